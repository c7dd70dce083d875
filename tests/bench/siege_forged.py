"""Forged, replayed and expired releases, each offered to a running store, to one restarted from its state, and to a
new host: none serves what it may not, and what served before goes on serving."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.siege_common import Child, Row, Tell, acknowledged, policies, store_of

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


def forged(seed: int, base: Path) -> Row:
    """All forgeries against all hosts; the numbers in them are fixed, so `seed` only names the policies."""
    row = Row("forged releases")
    template = _source(base / "forged" / "source", seed)
    for name, (forge, hosts) in FORGERIES.items():
        for host in hosts:
            place = base / "forged" / "copy"
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(template.folder.parent, place)
            source = _moved(template, place)
            child = Child(lambda tell: HOSTS[host](tell, source, forge))  # noqa: B023  # ends within the turn
            said = child.ended(10.0)
            row.rounds += 1
            row.promise(child.status is not None, f"{name}: the store of a {host} host hangs")
            for kind, *_ in acknowledged(row, said, f"{name}, {host} host"):
                row.acknowledged -= kind != "served"
                row.refused += kind == "refused"
                row.promise(kind != "forged", f"{name}: served by a {host} host")
                row.lose(kind == "gone", f"{name}: a {host} host no longer serves what it served")
    return row


def _source(base: Path, seed: int) -> Source:
    from router_lab.publish import publish
    from router_lab.runtime.artifact import save_revision
    from router_lab.runtime.release import keygen

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
    return Source(folder, revisions, key, keys[0], base / "other_key.pem", other, first, _whole(revisions[2]))


def _moved(source: Source, place: Path) -> Source:
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
    changed(source, source.key, number=9, alias="scratch", verdict="fail", revision=_whole(source.revisions[0]))


def another_key(source: Source) -> None:
    changed(source, source.other_key, number=9, revision=_whole(source.revisions[0]))


def no_signature(source: Source) -> None:
    changed(source, None, number=9, revision=_whole(source.revisions[0]))


def edited(source: Source) -> None:
    path = source.folder / "RELEASE.json"
    value = json.loads(path.read_bytes())
    value["release"] |= {"number": 9, "revision": _whole(source.revisions[0])}
    path.write_text(json.dumps(value))


def older(source: Source) -> None:
    (source.folder / "RELEASE.json").write_bytes(source.first)


def same_number(source: Source) -> None:
    changed(source, source.key, revision=_whole(source.revisions[0]))


def other_weights(source: Source) -> None:
    """The files of the published revision are those of another policy, with a manifest that fits them."""
    published = source.revisions[2]
    shutil.rmtree(published)
    shutil.copytree(source.revisions[0], published)
    changed(source, None)  # and no signature that could be right


def flipped(source: Source) -> None:
    """One bit of the weights of a new revision."""
    changed(source, source.key, number=9, revision=_whole(source.revisions[0]))
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
    changed(source, source.key, number=9, revision=_whole(source.revisions[0]), expires=past)


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


def _whole(folder: Path) -> str:
    """The revision of a folder, all 64 digits."""
    from router_lab.runtime.artifact import MANIFEST

    revision: str = json.loads((folder / MANIFEST).read_bytes())["revision"]
    return revision


def _store(source: Source, state: Path | None = None, **settings: Any) -> Any:
    keyed = {"verify": "signature", "public_key": source.public} | settings
    return store_of(source.folder, state=state, **keyed)


def _judge(tell: Tell, source: Source, store: Any, before: str) -> None:
    if store.policy.revision not in (source.published, "default"):
        tell("forged", str(store.policy.revision))
    elif before == "good" and store.policy.revision != source.published:
        tell("gone")
    else:
        tell("refused", str(store.status.last_refusal))
    store.close()


def new_host(tell: Tell, source: Source, forge: Forge, **settings: Any) -> None:
    """It has never seen a release."""
    forge(source)
    try:
        store = _store(source, **settings)
    except Exception as error:  # noqa: BLE001  # refused before there is a store is as good
        tell("refused", str(error))
        return
    store.check()
    _judge(tell, source, store, "default")


def keyed_host(tell: Tell, source: Source, forge: Forge) -> None:
    """Its operator gave `public_key` and forgot `verify`."""
    from router_lab.runtime.store import PolicyStore

    default = PolicyStore.__init__.__kwdefaults__["verify"]
    new_host(tell, source, forge, verify=default)


def running(tell: Tell, source: Source, forge: Forge) -> None:
    """It serves release 3 when the forgery arrives."""
    store = _store(source, source.folder.parent / "state")
    store.check()
    tell("served", store.policy.revision)
    forge(source)
    for _ in range(3):
        store.check()
    _judge(tell, source, store, "good")


def _restarted(spoil: Callable[[Path], None], start: bool) -> Callable[[Tell, Source, Forge], None]:
    def host(tell: Tell, source: Source, forge: Forge) -> None:
        state = source.folder.parent / "state"
        before = _store(source, state)
        before.check()
        tell("served", before.policy.revision)
        before.close()
        spoil(state)
        forge(source)
        store = _store(source, state)
        if start:
            store.recover()
        store.check()
        # Whose state is spoilt, or was not asked for, may have nothing to serve; the forgery it may not serve.
        _judge(tell, source, store, "good" if spoil is _nothing and start else "default")

    return host


def _nothing(state: Path) -> None:
    pass


def _torn(state: Path) -> None:
    path = state / "state.json"
    path.write_bytes(path.read_bytes()[:17])


def _without(state: Path) -> None:
    (state / "state.json").unlink()


HOSTS: dict[str, Callable[[Tell, Source, Forge], None]] = {
    "new": new_host,
    "keyed": keyed_host,
    "running": running,
    "restarted": _restarted(_nothing, True),
    "checked": _restarted(_nothing, False),
    "torn": _restarted(_torn, True),
    "bare": _restarted(_without, True),
}
"""`checked` calls `check`, never `start`; of `torn` and `bare` state.json is damaged, or gone, and its copies stay."""

_ALL: tuple[str, ...] = ("new", "running", "restarted", "checked")
FORGERIES: dict[str, tuple[Forge, tuple[str, ...]]] = {
    "another policy's release": (another_policy, _ALL),
    "another alias": (another_alias, _ALL),
    "another key": (another_key, _ALL),
    "no signature": (no_signature, (*_ALL, "keyed")),
    "edited after signing": (edited, _ALL),
    "an older release": (older, ("running", "restarted", "checked", "torn", "bare")),
    "another revision, same number": (same_number, ("running", "restarted", "checked")),
    "another policy's weights": (other_weights, _ALL),
    "a bit of the weights": (flipped, _ALL),
    "expired": (expired, _ALL),
    "a FIFO as RELEASE.json": (fifo, _ALL),
    "60,000 brackets": (deep, _ALL),
    "a gigabyte of nothing": (sparse, _ALL),
    "60,000 digits": (digits, _ALL),
}


def fast_forward(base: Path) -> Row:
    """Whoever had the key once published number 2^53 − 1: publishing goes on, and hosts follow."""
    row = Row("number 2^53 − 1")
    source = _moved(_source(base / "forward" / "source", 0), base / "forward" / "source")

    def work(tell: Tell) -> None:
        from router_lab.publish import publish
        from router_lab.runtime.errors import RouterLabError

        store = _store(source, source.folder.parent / "state")
        store.check()
        try:
            changed(source, source.key, number=2**53 - 1, revision=_whole(source.revisions[0]))
        except RouterLabError as error:
            tell("refused", str(error))
        store.check()
        done = publish(source.revisions[1], force=True, private_key=source.key).release
        tell("publish", done.number)
        store.check()
        if store.policy.revision != done.revision:
            tell("broken", f"a host does not follow after a fast-forward: {store.status.last_refusal}")

    row.rounds = 1
    for kind, *rest in acknowledged(row, Child(work).ended(30.0), "after a fast-forwarded number"):
        row.refused += kind == "refused"
        row.acknowledged -= kind != "publish"
        row.promise(kind != "broken", str(rest[0]))
    return row


def hung_source(base: Path) -> Row:
    """A source that never answers: what serves goes on serving, and `rollback` and `close` do not wait for it."""
    row = Row("a source that hangs")
    source = _source(base / "hung", 0)

    def work(tell: Tell) -> None:
        calls, never = [0], threading.Event()

        def place() -> Path:
            calls[0] += 1
            if calls[0] > 2:
                never.wait()
            return source.folder

        from router_lab.publish import publish

        store = store_of(place, verify="signature", public_key=source.public, interval_s=0.01)
        store.check()
        publish(source.revisions[0], force=True, private_key=source.key)
        store.check()
        served = store.policy.revision
        tell("served", served)
        store.start()
        while calls[0] < 3:
            time.sleep(0.01)
        if not store.rollback() or store.policy.revision == served:
            tell("broken", "rollback does not go back while the source hangs")
        store.decide("and still it decides")
        tell("rolled back")
        store.close()
        tell("closed")

    child = Child(work)
    found = acknowledged(row, child.ended(20.0), "while the source hangs")
    row.rounds = 1
    for kind, *rest in found:
        row.promise(kind != "broken", str(rest))
    done = [line[0] for line in found]
    row.promise("rolled back" in done, "rollback waits for a source that hangs")
    row.promise(child.status == 0, "close waits for a source that hangs")
    return row
