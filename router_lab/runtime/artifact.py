"""Artifacts: a policy as a directory of data. Save, verify, load. The format is specified in
docs/artifact-format.md.

Loading reads every file once, into memory, within a size fixed here, and then looks only at those
bytes: hashes, signature if the *loader* asks for one, bounded parse, schema, semantic rules,
self-test. Nothing in a file can lower what the loader asks for, and any failure is a PolicyError
naming the file and the rule.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from router_lab.runtime import codec, golden, jsonio
from router_lab.runtime.addresses import local_path
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.files import is_leftover
from router_lab.runtime.folders import is_unfinished, place_folder
from router_lab.runtime.model import PolicySpec
from router_lab.runtime.policy import Policy
from router_lab.runtime.reading import read_bytes
from router_lab.runtime.release import RELEASE, Located, Release, locate, moment, release_expired
from router_lab.runtime.validate import too_many

Verify = Literal["hash", "signature", "off"]
PathLike = str | os.PathLike[str]

MANIFEST = "MANIFEST.json"
LARGEST = {
    MANIFEST: 1 << 16,
    "policy.json": 1 << 24,
    "certificate.json": 1 << 22,
    "golden.jsonl": 1 << 22,
    "buckets.npy": (1 << 24) + 128,
    "groups.npy": 1 << 25,
    "weights.npy": 1 << 26,
}
"""Most bytes of each file of an artifact; these are also all the files there are."""
LARGEST_IN_ALL = 72 << 20
"""Most bytes of all files together, so that loading stays within 200 MB whatever is in them."""
PARSED = {"policy.json": 64_000_000, "certificate.json": jsonio.MOST}
"""Most bytes of memory that these files may take once parsed."""
PARTS = tuple(name for name in LARGEST if name != MANIFEST)
_LONGEST = 1000
"""Characters of an error about a file's content: a forged list of a million numbers is not printed
into a log."""
_OCCUPIED = "not a new or empty directory; a saved policy is never written over"
DIRECTORY_DIGITS = 16
"""Digits of the revision that name its directory under policies/<name>."""


def encode_policy(policy: Policy) -> dict[str, bytes]:
    """All files of the artifact but MANIFEST.json. The same policy gives the same bytes."""
    value, files = codec.encode(policy.spec)
    rows = golden.answers(_timeless(policy.spec))
    try:
        files["policy.json"] = jsonio.dumps(value)
        files["certificate.json"] = jsonio.dumps(dict(policy.spec.certificate))
        files["golden.jsonl"] = b"".join(jsonio.dumps(row) for row in rows)
    except (TypeError, ValueError) as error:
        raise PolicyError(
            f"policy {policy.spec.name!r}: request, certificate or provenance is not JSON: {error}"
        ) from error
    for name, data in files.items():
        _within(name, data)
    _in_all(sum(map(len, files.values())), f"policy {policy.spec.name!r}")
    _decode(files)  # what a loader would refuse is not written
    return files


def refuse_size(suites: Sequence[str], candidates: int, *, guarded: bool = False) -> None:
    """PolicyError where no policy of these suites and this number of candidates could be loaded,
    whatever is in its tables: who fits it finds out before, and not after. guarded: with a level
    for the heads of prompts, too."""
    for problem in too_many(len(suites), candidates):
        raise PolicyError(problem)
    tables = {
        "bias": [0.0] * (2 * candidates),
        "eligible": [0] * candidates,
        "limits": [[0] * 3] * candidates,
        **({"heads": [0.0] * (2 * candidates)} if guarded else {}),
    }
    name, rows = "policy.json", len(suites) + 1
    data = jsonio.dumps({"suites": list(suites), **{key: [row] * rows for key, row in tables.items()}})
    _within(name, data)
    jsonio.refuse_large(data, name, PARSED[name])


def _within(name: str, data: bytes) -> None:
    if len(data) > LARGEST[name]:
        raise PolicyError(
            f"{name}: {len(data)} bytes are more than the {LARGEST[name]} that a loader accepts"
        )


def _in_all(size: int, what: str) -> None:
    if size > LARGEST_IN_ALL:
        raise PolicyError(
            f"{what}: its files have {size} bytes, more than the {LARGEST_IN_ALL} that a loader accepts"
        )


def revision_of(files: Mapping[str, bytes]) -> str:
    """SHA-256 over the lines `<sha256> <size> <name>` of the files, sorted by name."""
    return _revision({name: _entry(data) for name, data in files.items()})


def save_policy(policy: Policy, dir: PathLike) -> Path:
    """Write the artifact into `dir` itself, which must be new or empty, and return it.

    It is put there whole, or not at all. What a save that was killed left in `dir` counts as
    nothing.
    """
    target = local_path(dir, PolicyError)
    refuse_file(target)
    if target.exists() and not is_unfinished(target, LARGEST, MANIFEST):
        raise PolicyError(f"{target}: {_OCCUPIED}")
    return write_files(encode_policy(policy), target)


def refuse_file(folder: Path) -> None:
    """PolicyError where `folder`, or what it would lie in, is there and is no directory."""
    for place in (folder, *folder.parents):
        if place.exists():
            if not place.is_dir():
                raise PolicyError(
                    f"{place}: is a file; policies are written into a folder, so name another place"
                )
            return


def write_files(files: Mapping[str, bytes], target: Path) -> Path:
    """Write the files of an artifact and their manifest."""
    entries = {name: _entry(data) for name, data in files.items()}
    manifest = {"format": codec.FORMAT, "files": entries, "revision": _revision(entries)}
    try:
        return place_folder({**files, MANIFEST: jsonio.dumps(manifest)}, target, MANIFEST)
    except FileExistsError as error:
        raise PolicyError(f"{target}: {_OCCUPIED}") from error
    except OSError as error:
        raise PolicyError(
            f"{target}: cannot be written: {error.strerror}; no policy was saved there"
        ) from error


def save_revision(policy: Policy, parent: PathLike) -> Path:
    """Write the artifact to `parent/<first digits of its revision>`; one that is there already is
    checked and kept."""
    folder = local_path(parent, PolicyError)
    refuse_file(folder)
    files = encode_policy(policy)
    revision = revision_of(files)
    target = folder / revision[:DIRECTORY_DIGITS]
    if (target / MANIFEST).exists():
        if load_policy(target).revision != revision:
            raise PolicyError(f"{target}: holds another policy than revision {revision}")
        return target
    return write_files(files, target)  # which knows its own work, should another process have been quicker


def load_policy(
    path: PathLike,
    *,
    verify: Verify | None = None,
    public_key: object = None,
    name: str | None = None,
    alias: str | None = None,
    clock: Callable[[], float] = time.time,
) -> Policy:
    """Load the artifact in directory `path`, the one that `path/RELEASE.json` publishes, or the
    only one in `path`.

    verify: "hash" checks every file against the manifest; "signature" besides demands a
    RELEASE.json beside the revision, signed with a key in `public_key`, that names this revision;
    "off" skips the manifest, for an artifact being edited by hand. Left out, it is "signature" if
    a `public_key` is given and "hash" if none is; a key beside one of the others is refused, since
    it would not be looked at. All of them parse within bounds, check every rule and run the
    self-test. public_key: a key (32 raw bytes, their hex, or PEM), a sequence of keys, or the path
    of a file of keys (`runtime.keys.trusted_keys`), which is read anew at each load. name, alias:
    the policy and the alias that are expected; a release of another is refused, and one that has
    expired. Raises PolicyError naming the file and the rule; of a folder of several revisions of
    which none is published, the paths to choose from. (A `PolicyStore` never takes what is not
    published for being the only one.)
    """
    place = path if verify == "off" else revision_in(path)
    return open_artifact(
        place, verify=verify, public_key=public_key, name=name, alias=alias, clock=clock
    ).policy


def revision_in(path: PathLike) -> Path:
    """`path` itself if it is an artifact or has a RELEASE.json, else the only revision in it.

    Raises PolicyError for a folder that holds none, or several of which none is published: they
    are named, with the verdict of each.
    """
    folder = local_path(path, PolicyError)
    if not folder.is_dir() or (folder / MANIFEST).exists() or os.path.lexists(folder / RELEASE):
        return folder
    found = revisions_in(folder)
    if len(found) == 1:
        return found[0]
    if not found:
        raise PolicyError(
            f"{folder}: holds no policy (no {MANIFEST}, no {RELEASE}); `router-lab fit … --out` writes one"
        )
    names = ", ".join(f"{revision} ({_verdict(revision)})" for revision in found)
    raise PolicyError(
        f"{folder}: holds {len(found)} revisions and none is published; name one of {names}, or `router-lab publish` "
        "one"
    )


def revisions_in(folder: Path) -> list[Path]:
    """The directories in `folder` that hold a whole artifact."""
    found = sorted(manifest.parent for manifest in folder.glob(f"*/{MANIFEST}"))
    return [revision for revision in found if not is_leftover(revision.name)]


def _verdict(revision: Path) -> str:
    """What the certificate in a directory says, unchecked: to tell revisions apart for people."""
    try:
        return str(jsonio.loads(_read(revision, "certificate.json"), "certificate.json")["verdict"])
    except (PolicyError, KeyError, TypeError):
        return "unreadable"


class Opened(NamedTuple):
    """An artifact that passed every check: the policy, the bytes it came from, what published it,
    if anything, and the fingerprint of the key that signed that, if a signature was asked for."""

    policy: Policy
    files: Mapping[str, bytes]
    release: Release | None
    release_bytes: bytes | None
    signer: str | None = None


def open_artifact(
    path: PathLike,
    *,
    verify: Verify | None = None,
    public_key: object = None,
    name: str | None = None,
    alias: str | None = None,
    accept_expired: bool = False,
    clock: Callable[[], float] = time.time,
) -> Opened:
    """`load_policy`, for those who keep a copy of what was loaded.

    accept_expired: take a release whose time is over, for who has served it before.
    """
    how, directory = verification(verify, public_key), local_path(path, PolicyError)
    found: Located | None = None
    if how == "signature" or alias is not None or os.path.lexists(directory / RELEASE):
        found = locate(directory, public_key, signed=how == "signature", name=name, alias=alias)
        directory = found.directory
        if not accept_expired and release_expired(found.release, clock()):
            raise PolicyError(
                f"{directory.parent / RELEASE}: release {found.release.number} of {found.release.name!r} expired on "
                f"{moment(found.release.expires or 0.0)}; publish it again"
            )
    files, revision = read_files(directory, checked=how != "off")
    if found is not None and found.release.revision != revision:
        raise PolicyError(f"{directory}: its revision {revision} is not the one that {RELEASE} names")
    timeless = _decode(files)
    expected = name if found is None else found.release.name
    if expected not in (None, timeless.spec.name):
        who = "this loader expects" if found is None else f"{RELEASE} publishes"
        raise PolicyError(f"{directory}: is a policy named {timeless.spec.name!r}, and {who} {expected!r}")
    golden.check(timeless, files["golden.jsonl"])
    policy = timeless.renewed(revision=revision, clock=clock)
    return Opened(policy, files, *((None, None, None) if found is None else found[1:]))


def verification(verify: Verify | None, public_key: object) -> Verify:
    """What a loader checks, of what it was told. Raises PolicyError for a key that would not be
    looked at."""
    if verify is None:
        return "hash" if public_key is None else "signature"
    if verify not in ("hash", "signature", "off"):
        raise PolicyError(f'load_policy: verify {verify!r} is not "hash", "signature" or "off"')
    if verify != "signature" and public_key is not None:
        raise PolicyError(
            f'load_policy: verify="{verify}" never looks at public_key; pass verify="signature", or leave the key out'
        )
    return verify


def read_files(directory: Path, *, checked: bool = True) -> tuple[dict[str, bytes], str]:
    """(the files by name, their revision); with `checked`, exactly what MANIFEST.json lists, or
    PolicyError."""
    if not directory.is_dir():
        raise PolicyError(f"{directory}: not a directory")
    entries = _manifest(directory) if checked else None
    files: dict[str, bytes] = {}
    for name in PARTS:
        files[name] = _read(directory, name)
        _in_all(sum(map(len, files.values())), str(directory / name))
    found = {name: _entry(data) for name, data in files.items()}
    for name in PARTS:
        if entries is not None and entries[name] != found[name]:
            raise PolicyError(f"{directory / name}: size or sha256 is not the one in {MANIFEST}")
    return files, _revision(found)


def _decode(files: Mapping[str, bytes]) -> Policy:
    certificate = _parsed(files, "certificate.json")
    if not isinstance(certificate, dict):
        raise PolicyError("certificate.json: not an object")
    spec = codec.decode(_parsed(files, "policy.json"), files, certificate)
    try:
        return _timeless(spec)
    except PolicyError as error:  # a semantic rule, which knows of no files
        raise PolicyError(f"policy.json: {error}"[:_LONGEST]) from error


def _parsed(files: Mapping[str, bytes], name: str) -> object:
    return jsonio.loads(files[name], name, PARSED[name])


def _timeless(spec: PolicySpec) -> Policy:
    """The policy as it decides before it expires, for golden answers."""
    return Policy(spec, clock=lambda: float("-inf"))


def _manifest(directory: Path) -> dict[str, object]:
    """The entries of MANIFEST.json, which must name exactly the files of an artifact and its own
    revision."""
    value = jsonio.loads(_read(directory, MANIFEST), MANIFEST)
    if (
        not isinstance(value, dict)
        or value.keys() != {"format", "files", "revision"}
        or value["format"] != codec.FORMAT
    ):
        raise PolicyError(
            f"{directory / MANIFEST}: not an object of format {codec.FORMAT!r}, files and revision"
        )
    entries = value["files"]
    if not isinstance(entries, dict) or entries.keys() != set(PARTS):
        raise PolicyError(f"{directory / MANIFEST}: files are not exactly {', '.join(sorted(PARTS))}")
    for name, entry in entries.items():
        if (
            not isinstance(entry, dict)
            or entry.keys() != {"sha256", "size"}
            or not isinstance(entry["sha256"], str)
        ):
            raise PolicyError(f"{directory / MANIFEST}: {name} is not given as sha256 and size")
    with os.scandir(directory) as found:  # of a million of them the first will do
        extra = next((entry.name for entry in found if entry.name not in LARGEST), None)
    if extra is not None:
        raise PolicyError(f"{directory / extra[:100]}: not a file of an artifact")
    if value["revision"] != _revision(entries):
        raise PolicyError(f"{directory / MANIFEST}: revision is not that of its list of files")
    return entries


def _hint(directory: Path) -> str:
    """What to do about a folder that is no artifact but holds some."""
    inside = [revision.name for revision in revisions_in(directory)]
    if not inside:
        return ""
    return f"; the folder holds revisions: name one, such as {directory / inside[0]}, or `router-lab publish` one"


def _read(directory: Path, name: str) -> bytes:
    """The bytes of a regular file, no symlink, within its size; opened once: nothing is swapped
    under it."""
    path = directory / name
    try:
        return read_bytes(path, LARGEST[name], follow=False)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise PolicyError(
            f"{path}: cannot be read: {why} (missing, or a symlink){_hint(directory)}"
        ) from error


def _entry(data: bytes) -> dict[str, object]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def _revision(entries: Mapping[str, Mapping[str, Any]]) -> str:
    lines = "".join(f"{entries[name]['sha256']} {entries[name]['size']} {name}\n" for name in sorted(entries))
    return hashlib.sha256(lines.encode("utf-8", "replace")).hexdigest()
