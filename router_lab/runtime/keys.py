"""Ed25519 keys (extra `sign`): the one that signs releases, and those that a loader trusts.

A loader trusts a list, so that a key can be added before the old one goes. The list is a file that
is read anew at each load, or a value of the program; what is in it is the loader's own setting,
and no file that is loaded can change it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from router_lab.runtime.errors import PolicyError
from router_lab.runtime.reading import SMALL, read_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_HEX = re.compile(r"[0-9a-fA-F]{64}")
_PRINT = re.compile(r"[0-9a-f]{16}")
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_FORMS = "not 32 bytes, 64 hex digits or PEM of Ed25519"


@dataclass(frozen=True)
class TrustedKey:
    """A key that a loader believes: for releases of the policy `name` and the `alias` alone, where
    these are given.

    key: 32 raw bytes, their hex, PEM, or a cryptography Ed25519PublicKey.
    """

    key: Any
    name: str | None = None
    alias: str | None = None

    def covers(self, name: str, alias: str) -> bool:
        return self.name in (None, name) and self.alias in (None, alias)

    @property
    def scope(self) -> str:
        """ " for name=support alias=champion", or nothing for a key that signs everything."""
        given = [
            f"{key}={value}"
            for key, value in (("name", self.name), ("alias", self.alias))
            if value is not None
        ]
        return f" for {' '.join(given)}" if given else ""


def keygen() -> tuple[bytes, str]:
    """A new key pair: (private key as unencrypted PKCS#8 PEM, public key as 64 hex digits)."""
    ed25519, serialization = cryptography()
    private = ed25519.Ed25519PrivateKey.generate()
    pem: bytes = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem, private.public_key().public_bytes_raw().hex()


def trusted_keys(given: object) -> tuple[TrustedKey, ...]:
    """The keys that a loader's `public_key` names, with those that it revokes left out.

    given: a key in any form of `load_public_key`, a `TrustedKey`, the path of a file of keys, or a
    sequence of these. In a file stand PEM blocks, or a key a line as 64 hex digits, which may be
    followed by `name=…` and `alias=…` for the only releases that it may sign; `revoked
    FINGERPRINT` takes a key out, wherever in `given` it stands; from `#` to the end of a line is a
    comment. Files are read now. Raises PolicyError naming the file and the line, also where no key
    is left.
    """
    found, revoked = _collect(given)
    kept = tuple(key for key in found if fingerprint(key.key) not in revoked)
    if not kept:
        gone = f": all {len(found)} of them are revoked" if found else ""
        raise PolicyError(f"public key: no key is trusted{gone}; give the key that signs releases")
    return kept


def load_public_key(key: object) -> Ed25519PublicKey:
    """An Ed25519 public key from 32 raw bytes, their hex, PEM text, or the path of a file with one
    of the last two."""
    found = _collect(key)[0]
    if len(found) != 1:
        raise PolicyError(f"public key: {len(found)} keys, where one is needed")
    return cast("Ed25519PublicKey", found[0].key)


def fingerprint(key: object) -> str:
    """The first 16 hex digits of the SHA-256 of a public key: for people to compare."""
    return hashlib.sha256(load_public_key(key).public_bytes_raw()).hexdigest()[:16]


def named(keys: Iterable[TrustedKey]) -> str:
    """The fingerprints of keys, with what each may sign."""
    return ", ".join(f"{fingerprint(key.key)}{key.scope}" for key in keys)


def load_private_key(key: bytes | str | os.PathLike[str]) -> Ed25519PrivateKey:
    """The private key in a PEM text or file."""
    ed25519, serialization = cryptography()
    try:
        if isinstance(key, os.PathLike) or (isinstance(key, str) and "BEGIN" not in key):
            key = read_bytes(key, SMALL)
        data = key.encode() if isinstance(key, str) else key
        found = serialization.load_pem_private_key(data, password=None)
    except (OSError, ValueError, TypeError) as error:
        raise PolicyError(f"private key: not an unencrypted PEM of Ed25519: {error}") from error
    if not isinstance(found, ed25519.Ed25519PrivateKey):
        raise PolicyError("private key: not an Ed25519 key")
    return cast("Ed25519PrivateKey", found)


def cryptography() -> tuple[Any, Any]:
    """The modules ed25519 and serialization of `cryptography`. Raises PolicyError where it is not
    installed."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise PolicyError("signatures need the extra `sign`: pip install 'router-lab[sign]'") from error
    return ed25519, serialization


def _collect(given: object) -> tuple[list[TrustedKey], set[str]]:
    """(keys, fingerprints of revoked ones), in the order given; every `key` is an
    Ed25519PublicKey."""
    ed25519, _ = cryptography()
    if isinstance(given, ed25519.Ed25519PublicKey):
        return [TrustedKey(given)], set()
    if isinstance(given, TrustedKey):
        return [TrustedKey(load_public_key(given.key), given.name, given.alias)], set()
    if isinstance(given, bytes | bytearray):
        if len(given) == 32:
            return [TrustedKey(_raw(bytes(given), "public key"))], set()
        return _parse(bytes(given), "public key")
    if isinstance(given, str) and (_HEX.fullmatch(given) or "\n" in given or "BEGIN" in given):
        return _parse(given.encode("utf-8", "replace"), "public key")
    if isinstance(given, str | os.PathLike):
        try:
            return _parse(read_bytes(given, SMALL), f"public key {os.fspath(given)}")
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise PolicyError(f"public key {os.fspath(given)}: cannot be read: {why}") from error
    if isinstance(given, Sequence):
        parts = [_collect(one) for one in given]
        return [key for keys, _ in parts for key in keys], {gone for _, revoked in parts for gone in revoked}
    raise PolicyError(f"public key: {_FORMS}")


def _parse(data: bytes, where: str) -> tuple[list[TrustedKey], set[str]]:
    """The keys in a file's text: PEM blocks, and what stands on lines of their own."""
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    found = [TrustedKey(_pem(block.group(0), block.group(1), where)) for block in _PEM.finditer(text)]
    revoked: set[str] = set()
    for number, line in enumerate(
        _PEM.sub(lambda block: "\n" * block.group(0).count("\n"), text).split("\n"), start=1
    ):
        place = f"{where}, line {number}"
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise PolicyError(f"{place}: {_FORMS}: {error}") from error
        if not words:
            continue
        if words[0] == "revoked":
            if len(words) != 2 or not _PRINT.fullmatch(words[1]):
                raise PolicyError(
                    f"{place}: revoked is followed by a fingerprint of 16 hex digits, as keygen prints it"
                )
            revoked.add(words[1])
        else:
            found.append(_line(words, place))
    return found, revoked


def _line(words: list[str], place: str) -> TrustedKey:
    if not _HEX.fullmatch(words[0]):
        raise PolicyError(f"{place}: {_FORMS}")
    scope = dict.fromkeys(("name", "alias"), "")
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if key not in scope or not equals or not value or scope[key]:
            raise PolicyError(f"{place}: {word[:40]!r} is not name=POLICY or alias=ALIAS, given once")
        scope[key] = value
    return TrustedKey(_raw(bytes.fromhex(words[0]), place), scope["name"] or None, scope["alias"] or None)


def _raw(data: bytes, where: str) -> Ed25519PublicKey:
    try:
        return cast("Ed25519PublicKey", cryptography()[0].Ed25519PublicKey.from_public_bytes(data))
    except ValueError as error:
        raise PolicyError(f"{where}: {_FORMS}: {error}") from error


def _pem(block: str, label: str, where: str) -> Ed25519PublicKey:
    ed25519, serialization = cryptography()
    if "PRIVATE" in label:
        raise PolicyError(
            f"{where}: holds a private key; give loaders the public one, and keep this to yourself"
        )
    try:
        found = serialization.load_pem_public_key(block.encode("utf-8", "replace"))
    except ValueError as error:
        raise PolicyError(f"{where}: {_FORMS}: {error}") from error
    if not isinstance(found, ed25519.Ed25519PublicKey):
        raise PolicyError(f"{where}: {_FORMS}")
    return cast("Ed25519PublicKey", found)
