"""RELEASE.json: which revision of a policy is published, signed with Ed25519 (extra `sign`).

It stands beside the revisions, in policies/<name>/, because publishing is not part of an artifact. `publish` writes it
with `build_release`; loaders verify it. What is signed are canonical bytes of the release's fields after a prefix that
no other signature shares. Whether a signature is required is the loader's setting: an unsigned file is then refused.
"""

from __future__ import annotations

import binascii
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from router_lab.runtime import jsonio
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.model import VERDICTS

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

RELEASE = "RELEASE.json"
_PREFIX = b"router-lab release 1\n"
_LARGEST = 1 << 16
_DIGITS = set("0123456789abcdef")


class Release(NamedTuple):
    """What is published. `number` grows by one with every release, also when an old revision is put back, so that an
    older release can be told from a newer one; `parent` is the revision that it replaced."""

    name: str
    alias: str
    number: int
    revision: str
    parent: str | None = None
    verdict: str = "inconclusive"


def keygen() -> tuple[bytes, str]:
    """A new key pair: (private key as unencrypted PKCS#8 PEM, public key as 64 hex digits)."""
    ed25519, serialization = _cryptography()
    private = ed25519.Ed25519PrivateKey.generate()
    pem: bytes = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem, private.public_key().public_bytes_raw().hex()


def build_release(release: Release, private_key: bytes | str | os.PathLike[str] | None = None) -> bytes:
    """The bytes of RELEASE.json, signed if a private key (PEM, or the path of a PEM file) is given."""
    _check(release)
    signature = None if private_key is None else _private(private_key).sign(_signed_bytes(release))
    text = None if signature is None else binascii.b2a_base64(signature, newline=False).decode("ascii")
    return jsonio.dumps({"release": release._asdict(), "signature": text})


def sign_release(data: bytes, private_key: bytes | str | os.PathLike[str]) -> bytes:
    """RELEASE.json `data`, signed (anew): the same release with another signature."""
    return build_release(parse_release(data)[0], private_key)


def parse_release(data: bytes) -> tuple[Release, bytes | None]:
    """(release, signature or None) of the bytes of a RELEASE.json; nothing is verified but the form."""
    value = jsonio.loads(data, RELEASE)
    if not isinstance(value, dict) or value.keys() != {"release", "signature"}:
        raise PolicyError(f"{RELEASE}: not an object of release and signature")
    row, text = value["release"], value["signature"]
    if not isinstance(row, dict) or row.keys() != set(Release._fields):
        raise PolicyError(f"{RELEASE}: release does not have exactly {', '.join(Release._fields)}")
    release = Release(**row)
    _check(release)
    if text is None:
        return release, None
    try:
        return release, binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise PolicyError(f"{RELEASE}: signature is not base64") from error


def verify_release(data: bytes, public_key: Any) -> Release:
    """The release in `data` if it is signed with `public_key` (32 raw bytes, hex, PEM, or a file's path)."""
    release, signature = parse_release(data)
    if signature is None:
        raise PolicyError(f"{RELEASE}: not signed, and this loader requires a signature")
    key = load_public_key(public_key)
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, _signed_bytes(release))
    except InvalidSignature:
        raise PolicyError(f"{RELEASE}: the signature is not of this release by this key") from None
    return release


def read_release_bytes(directory: Path) -> bytes:
    """The bytes of RELEASE.json in `directory`, at most 64 KiB."""
    path = directory / RELEASE
    try:
        with path.open("rb") as handle:
            data = handle.read(_LARGEST + 1)
    except OSError as error:
        raise PolicyError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > _LARGEST:
        raise PolicyError(f"{path}: more than the {_LARGEST} bytes allowed")
    return data


def resolve(path: Path, public_key: Any, *, signed: bool) -> tuple[Path, Release]:
    """The directory of the published revision, and its release. `path` is policies/<name> or a revision in it."""
    directory, release, _ = locate(path, public_key, signed=signed)
    return directory, release


def locate(path: Path, public_key: Any, *, signed: bool) -> tuple[Path, Release, bytes]:
    """`resolve`, and the bytes of the RELEASE.json that was believed."""
    if signed and public_key is None:
        raise PolicyError('load_policy: verify="signature" needs public_key')
    inside = (path / RELEASE).is_file()
    data = read_release_bytes(path if inside else path.parent)
    release = verify_release(data, public_key) if signed else parse_release(data)[0]
    if not inside:
        return path, release, data
    matches = [
        entry
        for entry in sorted(path.iterdir())
        if len(entry.name) >= 12 and release.revision.startswith(entry.name) and entry.is_dir()
    ]
    if not matches:
        raise PolicyError(f"{path / RELEASE}: no directory holds the published revision {release.revision}")
    return matches[-1], release, data


def load_public_key(key: Any) -> Ed25519PublicKey:
    """An Ed25519 public key from 32 raw bytes, their hex, PEM text, or the path of a file with one of the last two."""
    ed25519, serialization = _cryptography()
    public: Ed25519PublicKey
    if isinstance(key, ed25519.Ed25519PublicKey):
        public = key
        return public
    if isinstance(key, os.PathLike) or (isinstance(key, str) and len(key) != 64 and "BEGIN" not in key):
        try:
            key = Path(key).read_bytes()
        except OSError as error:
            raise PolicyError(f"public key {key}: cannot be read: {error.strerror}") from error
    data = key.encode("ascii", "replace") if isinstance(key, str) else key
    try:
        if isinstance(data, bytes) and b"BEGIN" in data:
            found = serialization.load_pem_public_key(data)
            if isinstance(found, ed25519.Ed25519PublicKey):
                public = found
                return public
        elif isinstance(data, bytes):
            raw = data if len(data) == 32 else bytes.fromhex(data.decode("ascii").strip())
            public = ed25519.Ed25519PublicKey.from_public_bytes(raw)
            return public
    except ValueError as error:
        raise PolicyError(f"public key: not 32 bytes, 64 hex digits or PEM of Ed25519: {error}") from error
    raise PolicyError("public key: not 32 bytes, 64 hex digits or PEM of Ed25519")


def fingerprint(key: Any) -> str:
    """The first 16 hex digits of the SHA-256 of a public key: for people to compare."""
    return hashlib.sha256(load_public_key(key).public_bytes_raw()).hexdigest()[:16]


def _private(key: bytes | str | os.PathLike[str]) -> Ed25519PrivateKey:
    ed25519, serialization = _cryptography()
    try:
        if isinstance(key, os.PathLike) or (isinstance(key, str) and "BEGIN" not in key):
            key = Path(key).read_bytes()
        data = key.encode() if isinstance(key, str) else key
        found = serialization.load_pem_private_key(data, password=None)
    except (OSError, ValueError, TypeError) as error:
        raise PolicyError(f"private key: not an unencrypted PEM of Ed25519: {error}") from error
    if not isinstance(found, ed25519.Ed25519PrivateKey):
        raise PolicyError("private key: not an Ed25519 key")
    private: Ed25519PrivateKey = found
    return private


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise PolicyError("signatures need the extra `sign`: pip install 'router-lab[sign]'") from error
    return ed25519, serialization


def _signed_bytes(release: Release) -> bytes:
    return _PREFIX + jsonio.dumps(release._asdict())


def _check(release: Release) -> None:
    for key in ("name", "alias"):
        value = getattr(release, key)
        if not isinstance(value, str) or not value or len(value) > 100:
            raise PolicyError(f"{RELEASE}: {key} {value!r} is not a text of 1 to 100 characters")
    if not isinstance(release.number, int) or isinstance(release.number, bool) or not 1 <= release.number < 2**53:
        raise PolicyError(f"{RELEASE}: number {release.number!r} is not a whole number of 1 or more")
    if not _is_revision(release.revision) or not (release.parent is None or _is_revision(release.parent)):
        raise PolicyError(f"{RELEASE}: revision and parent must be 64 hex digits (parent may be null)")
    if release.verdict not in VERDICTS:
        raise PolicyError(f"{RELEASE}: verdict {release.verdict!r} is not one of {', '.join(VERDICTS)}")


def _is_revision(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= _DIGITS
