"""RELEASE.json: which revision of a policy is published, signed with Ed25519 (extra `sign`).

It stands beside the revisions, in policies/<name>/, because publishing is not part of an artifact.
`publish` writes it with `build_release`; loaders verify it. What is signed are canonical bytes of
the release's fields after a prefix that no other signature shares. Whether a signature is
required, by which key, and of which policy and alias, is the loader's setting. There are two
forms, both specified in docs/artifact-format.md: a release that never expires is written in the
first, which every loader reads.
"""

from __future__ import annotations

import binascii
import datetime as dt
import os
from pathlib import Path
from typing import Any, NamedTuple

from router_lab.runtime import jsonio
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.keys import (
    fingerprint,
    load_private_key,
    named,
    trusted_keys,
)
from router_lab.runtime.model import VERDICTS
from router_lab.runtime.reading import SMALL, read_bytes

RELEASE = "RELEASE.json"
NUMBERS = 2**53
"""Numbers of releases lie below."""
LARGEST_STEP = 1_000_000
"""A release number may be this much above the one before. A greater step is no publisher's: it
would leave no number for those that come after (TUF calls it a fast-forward attack)."""
_PREFIX = {1: b"router-lab release 1\n", 2: b"router-lab release 2\n"}
_DIGITS = set("0123456789abcdef")
_LEAST_DIGITS = 12
_FOR_EVER = 253_402_300_800.0  # the year 10000


class Release(NamedTuple):
    """What is published. `number` grows with every release, also when an old revision is put back,
    so that an older release can be told from a newer one; `parent` is the revision that it
    replaced; `expires` is the moment from which no loader takes it any more, in whole UTC seconds,
    None for never."""

    name: str
    alias: str
    number: int
    revision: str
    parent: str | None = None
    verdict: str = "inconclusive"
    expires: float | None = None


class Located(NamedTuple):
    """A published revision's directory, its release, the bytes of the RELEASE.json that was
    believed, and the fingerprint of the key that signed it, where a signature was asked for."""

    directory: Path
    release: Release
    data: bytes
    signer: str | None


def build_release(release: Release, private_key: bytes | str | os.PathLike[str] | None = None) -> bytes:
    """The bytes of RELEASE.json, signed if a private key (PEM, or the path of a PEM file) is
    given."""
    _check(release)
    row, key, text = release_row(release), None, None
    if private_key is not None:
        private = load_private_key(private_key)
        key = fingerprint(private.public_key())
        text = binascii.b2a_base64(private.sign(_signed_bytes(release)), newline=False).decode("ascii")
    return jsonio.dumps({"release": row, "signature": text, **({"key": key} if "expires" in row else {})})


def sign_release(data: bytes, private_key: bytes | str | os.PathLike[str]) -> bytes:
    """RELEASE.json `data`, signed (anew): the same release with another signature."""
    return build_release(parse_release(data)[0], private_key)


def parse_release(data: bytes) -> tuple[Release, bytes | None]:
    """(release, signature or None) of the bytes of a RELEASE.json; nothing is verified but the
    form."""
    return _parse(data)[:2]


def _parse(data: bytes) -> tuple[Release, bytes | None, str | None]:
    """`parse_release`, and the fingerprint of the key that the second form says signed it."""
    value = jsonio.loads(data, RELEASE)
    if not isinstance(value, dict) or not isinstance(row := value.get("release"), dict):
        raise PolicyError(f"{RELEASE}: not an object of release and signature")
    second = "expires" in row
    fields = [field for field in Release._fields if second or field != "expires"]
    if value.keys() != {"release", "signature"} | ({"key"} if second else set()):
        raise PolicyError(f"{RELEASE}: not an object of release and signature{', and key' if second else ''}")
    if row.keys() != set(fields):
        raise PolicyError(f"{RELEASE}: release does not have exactly {', '.join(fields)}")
    release = Release(**(row | {"expires": _seconds(row["expires"])} if second else row))
    _check(release)
    text, key = value["signature"], value.get("key")
    if key is not None and not (isinstance(key, str) and len(key) == 16 and set(key) <= _DIGITS):
        raise PolicyError(f"{RELEASE}: key is not a fingerprint of 16 hex digits")
    if text is None:
        return release, None, None
    try:
        return release, binascii.a2b_base64(text, strict_mode=True), key
    except (binascii.Error, TypeError, ValueError) as error:
        raise PolicyError(f"{RELEASE}: signature is not base64") from error


def verified_release(data: bytes, public_key: object) -> tuple[Release, str]:
    """(release, fingerprint of the key that signed it), by a key of `public_key` (any form of
    `keys.trusted_keys`) whose scope covers the release.

    Raises PolicyError naming the keys that are trusted.
    """
    release, signature, said = _parse(data)
    trusted = trusted_keys(public_key)
    if signature is None:
        raise PolicyError(
            f"{RELEASE}: not signed, and this loader requires a signature (trusted: {named(trusted)}); "
            "`router-lab sign` it"
        )
    from cryptography.exceptions import InvalidSignature

    signers = []
    for key in trusted:
        try:
            key.key.verify(signature, _signed_bytes(release))
        except InvalidSignature:
            continue
        signers.append(key)
    for key in signers:
        if key.covers(release.name, release.alias):
            return release, fingerprint(key.key)
    if signers:
        raise PolicyError(
            f"{RELEASE}: signed by {named(signers)}, which does not cover {release.name!r} as {release.alias!r}"
        )
    by = "" if said is None else f"; it says that {said} signed it"
    raise PolicyError(
        f"{RELEASE}: the signature is not of this release by a trusted key{by}; trusted: {named(trusted)}"
    )


def release_expired(release: Release, now: float) -> bool:
    """Whether loaders refuse the release at `now` (UTC seconds). A clock that tells no time leaves
    nothing valid."""
    return release.expires is not None and not now < release.expires


def moment(seconds: float) -> str:
    """UTC seconds as RELEASE.json writes them: 2026-12-24T18:00:00Z."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_release_bytes(directory: Path) -> bytes:
    """The bytes of RELEASE.json in `directory`: a regular file, or a symlink to one, of at most 64
    KiB."""
    path = directory / RELEASE
    try:
        return read_bytes(path, SMALL)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise PolicyError(f"{path}: cannot be read: {why}") from error


def locate(
    path: Path, public_key: object, *, signed: bool, name: str | None = None, alias: str | None = None
) -> Located:
    """What RELEASE.json publishes in `path`, which is policies/<name> or a revision in it.

    signed: it must be signed with a key in `public_key`. name, alias: what the release must be of,
    if given.
    """
    if signed and public_key is None:
        raise PolicyError('load_policy: verify="signature" needs public_key')
    inside = os.path.lexists(path / RELEASE)
    folder = path if inside else path.parent
    data = read_release_bytes(folder)
    try:
        release, signer = verified_release(data, public_key) if signed else (parse_release(data)[0], None)
    except PolicyError as error:
        raise PolicyError(str(error).replace(f"{RELEASE}: ", f"{folder / RELEASE}: ", 1)) from error
    if name not in (None, release.name) or alias not in (None, release.alias):
        expected = " as ".join(repr(word) if word is not None else "anything" for word in (name, alias))
        raise PolicyError(
            f"{folder / RELEASE}: publishes {release.name!r} as {release.alias!r}, and this loader expects {expected}"
        )
    return Located(find_revision(path, release.revision) if inside else path, release, data, signer)


def find_revision(folder: Path, revision: str) -> Path:
    """The directory in `folder` that is named by the first digits (12 or more) of `revision`."""
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    except OSError as error:
        raise PolicyError(f"{folder}: cannot be read: {error.strerror}") from error
    found = [name for name in names if len(name) >= _LEAST_DIGITS and revision.startswith(name)]
    if not found:
        shown = ", ".join(name for name in names if not name.startswith(".")) or "no directory"
        raise PolicyError(
            f"{folder / RELEASE}: no directory holds the published revision {revision}: it would be named "
            f"{revision[:16]}, and there is {shown[:300]}"
        )
    return folder / found[-1]


def _signed_bytes(release: Release) -> bytes:
    row = release_row(release)
    return _PREFIX[2 if "expires" in row else 1] + jsonio.dumps(row)


def release_row(release: Release) -> dict[str, object]:
    """The release as RELEASE.json has it: in the first form where it never expires."""
    row = release._asdict()
    expires = row.pop("expires")
    return row if expires is None else {**row, "expires": moment(expires)}


def _seconds(text: Any) -> float:
    """What `moment` wrote, in this one spelling."""
    try:
        found = dt.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=dt.UTC).timestamp()
        if moment(found) == text:
            return found
    except (TypeError, ValueError, OverflowError):
        pass
    raise PolicyError(f"{RELEASE}: expires {str(text)[:40]!r} is not a moment such as 2026-12-24T18:00:00Z")


def _check(release: Release) -> None:
    for key in ("name", "alias"):
        value = getattr(release, key)
        if not isinstance(value, str) or not value or len(value) > 100:
            raise PolicyError(f"{RELEASE}: {key} {str(value)[:100]!r} is not a text of 1 to 100 characters")
    if (
        not isinstance(release.number, int)
        or isinstance(release.number, bool)
        or not 1 <= release.number < NUMBERS
    ):
        raise PolicyError(
            f"{RELEASE}: number {str(release.number)[:40]} is not a whole number of 1 to 2^53 − 1"
        )
    if not is_revision(release.revision) or not (release.parent is None or is_revision(release.parent)):
        raise PolicyError(f"{RELEASE}: revision and parent must be 64 hex digits (parent may be null)")
    if not isinstance(release.verdict, str) or release.verdict not in VERDICTS:
        raise PolicyError(
            f"{RELEASE}: verdict {str(release.verdict)[:40]!r} is not one of {', '.join(VERDICTS)}"
        )
    expires = release.expires
    if expires is not None and not (0 <= expires < _FOR_EVER and expires == int(expires)):
        raise PolicyError(f"{RELEASE}: expires {expires!r} is not a whole second of the years 1970 to 9999")


def is_revision(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= _DIGITS
