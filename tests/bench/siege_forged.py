"""Forged, replayed and expired releases, each offered to a running store, to one restarted from its state, and to a
new host: none serves what it may not, and what served before goes on serving."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.siege_common import Child, Row, Tell, acknowledged, store_of
from tests.bench.siege_forgeries import (
    Forge,
    Source,
    another_alias,
    another_key,
    another_policy,
    changed,
    deep,
    digits,
    edited,
    expired,
    fifo,
    flipped,
    moved,
    no_signature,
    older,
    other_weights,
    same_number,
    signed_source,
    sparse,
    whole,
)


def forged(seed: int, base: Path) -> Row:
    """All forgeries against all hosts; the numbers in them are fixed, so `seed` only names the policies."""
    row = Row("forged releases")
    template = signed_source(base / "forged" / "source", seed)
    for name, (forge, hosts) in FORGERIES.items():
        for host in hosts:
            place = base / "forged" / "copy"
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(template.folder.parent, place)
            source = moved(template, place)
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

    default = (PolicyStore.__init__.__kwdefaults__ or {})["verify"]
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
    source = moved(signed_source(base / "forward" / "source", 0), base / "forward" / "source")

    def work(tell: Tell) -> None:
        from router_lab.publish import publish
        from router_lab.runtime.errors import RouterLabError

        store = _store(source, source.folder.parent / "state")
        store.check()
        try:
            changed(source, source.key, number=2**53 - 1, revision=whole(source.revisions[0]))
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
    source = signed_source(base / "hung", 0)

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
