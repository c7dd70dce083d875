"""The forgeries: what somebody who can write to a folder of releases may put there."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.siege_common import policies

Forge = Callable[["Source"], None]


class Source(NamedTuple):
    """A folder of signed releases 1 to 3 of `support`, with what an attacker may have: older files, other keys."""

    folder: Path
    revisions: list[Path]
    key: Path
    public: str
    other_key: Path
    other: Path
    """A folder of another policy, whose release is signed with the same key."""
    first: bytes
    """RELEASE.json of release 1."""
    published: str
    """The revision of release 3, which is what may be served."""


def signed_source(base: Path, seed: int) -> Source:
    from router_lab.publish import publish
    from router_lab.runtime.artifact import save_revision
    from router_lab.runtime.keys import keygen

    folder, other = base / "support", base / "toy-experiment"
    revisions = [save_revision(policy, folder) for policy in policies(3, first=10 * seed)]
    toy = save_revision(policies(1, "toy-experiment", first=10 * seed + 5)[0], other)
    keys = []
    for name in ("key", "other_key"):
        private, public = keygen()
        (base / f"{name}.pem").write_bytes(private)
        keys.append(public)
    key = base / "key.pem"
    first = b""
    for revision in revisions:
        publish(revision, force=True, private_key=key)
        first = first or (folder / "RELEASE.json").read_bytes()
    for _ in range(9):
        publish(toy, force=True, private_key=key)
    return Source(folder, revisions, key, keys[0], base / "other_key.pem", other, first, whole(revisions[2]))


def moved(source: Source, place: Path) -> Source:
    folder = place / source.folder.name
    return source._replace(folder=folder, revisions=[folder / path.name for path in source.revisions],
                           key=place / source.key.name, other_key=place / source.other_key.name,
                           other=place / source.other.name)  # fmt: skip


def changed(source: Source, key: Path | None, **fields: Any) -> None:
    """Put a release into place that differs from the published one in `fields`; signed by whoever has `key`."""
    from router_lab.runtime.release import RELEASE, build_release, parse_release

    path = source.folder / RELEASE
    release = parse_release(path.read_bytes())[0]._replace(**fields)
    path.write_bytes(build_release(release, key))


def another_policy(source: Source) -> None:
    """Everything of `toy-experiment` is copied over `support`: signed with the right key, release 9."""
    for entry in source.other.iterdir():
        target = source.folder / entry.name
        if entry.is_dir():
            shutil.copytree(entry, target)
        else:
            shutil.copy(entry, target)


def another_alias(source: Source) -> None:
    changed(
        source, source.key, number=9, alias="scratch", verdict="fail", revision=whole(source.revisions[0])
    )


def another_key(source: Source) -> None:
    changed(source, source.other_key, number=9, revision=whole(source.revisions[0]))


def no_signature(source: Source) -> None:
    changed(source, None, number=9, revision=whole(source.revisions[0]))


def edited(source: Source) -> None:
    path = source.folder / "RELEASE.json"
    value = json.loads(path.read_bytes())
    value["release"] |= {"number": 9, "revision": whole(source.revisions[0])}
    path.write_text(json.dumps(value))


def older(source: Source) -> None:
    (source.folder / "RELEASE.json").write_bytes(source.first)


def same_number(source: Source) -> None:
    changed(source, source.key, revision=whole(source.revisions[0]))


def other_weights(source: Source) -> None:
    """The files of the published revision are those of another policy, with a manifest that fits them."""
    published = source.revisions[2]
    shutil.rmtree(published)
    shutil.copytree(source.revisions[0], published)
    changed(source, None)  # and no signature that could be right


def flipped(source: Source) -> None:
    """One bit of the weights of a new revision."""
    changed(source, source.key, number=9, revision=whole(source.revisions[0]))
    path = source.revisions[0] / "weights.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def expired(source: Source) -> None:
    """A release whose time is over; where releases never expire, whoever holds an old one holds it for ever."""
    from router_lab.runtime.release import Release

    if "expires" not in Release._fields:
        raise LookupError("a release has no field that says when it expires")
    past = float(int(time.time()) - 60)
    changed(source, source.key, number=9, revision=whole(source.revisions[0]), expires=past)


def fifo(source: Source) -> None:
    """Whoever opens it waits for a writer that never comes."""
    (source.folder / "RELEASE.json").unlink()
    os.mkfifo(source.folder / "RELEASE.json")


def deep(source: Source) -> None:
    """JSON that no parser should follow to its end."""
    (source.folder / "RELEASE.json").write_bytes(b"[" * 60_000)


def sparse(source: Source) -> None:
    """A gigabyte that costs the attacker nothing."""
    with (source.folder / "RELEASE.json").open("r+b") as file:
        file.truncate(1 << 30)


def digits(source: Source) -> None:
    """A number of sixty thousand digits."""
    path = source.folder / "RELEASE.json"
    path.write_bytes(path.read_bytes().replace(b'"number":3', b'"number":' + b"9" * 60_000))


def whole(folder: Path) -> str:
    """The revision of a folder, all 64 digits."""
    from router_lab.runtime.artifact import MANIFEST

    revision: str = json.loads((folder / MANIFEST).read_bytes())["revision"]
    return revision
