"""Two publishers at once, and forks of a process under load."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.siege_common import Child, Row, Tell, acknowledged, flushed, serves_default, store_of
from tests.bench.siege_kills import check_log, check_releases, release_folder

BOUND_S = 20.0
"""In which a forked child does what takes it some 50 ms; beyond it, it hangs."""


def publishers(rounds: int, draw: np.random.Generator, base: Path) -> Row:
    """Each round: two processes publish (in every third round one goes back instead) while two hosts look on."""
    row = Row("two publishers at once")
    template, revisions = release_folder(base / "publishers" / "template" / "support")
    first = Child(lambda tell: _publish(tell, revisions[0]))
    for _, number, revision in acknowledged(row, first.ended(), "the first release"):
        row.promise((number, revision[:8]) == (1, revisions[0].name[:8]), "the first release is not number 1")
    for turn in range(rounds):
        folder = base / "publishers" / str(turn) / "support"
        shutil.copytree(template, folder)
        _one_round(row, folder, draw, back=turn % 3 == 2)
        shutil.rmtree(folder.parent)
    return row


def _publish(tell: Tell, revision: Path) -> None:
    from router_lab.publish import publish

    release = publish(revision, force=True).release
    tell("publish", release.number, release.revision)


def _one_round(row: Row, folder: Path, draw: np.random.Generator, *, back: bool) -> None:
    over = folder.parent / "over"
    hosts = [Child(lambda tell: _host(tell, folder, over)) for _ in range(2)]
    for host in hosts:
        host.begun()
    revisions = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    waits = draw.uniform(0, 0.003, 2)
    reading, writing = os.pipe()

    def work(turn: int) -> Any:
        def write(tell: Tell) -> None:
            from router_lab.publish import publish, rollback

            os.close(writing)
            os.read(reading, 1)  # all begin when the parent closes its end
            time.sleep(waits[turn])
            for revision in revisions[1:]:
                last = (
                    rollback(folder)
                    if back and turn and revision != revisions[1]
                    else publish(revision, force=True)
                )
                tell("publish", last.release.number, last.release.revision)

        return write

    both = [Child(work(0)), Child(work(1))]
    os.close(writing)
    os.close(reading)
    known: list[tuple[int, str]] = []
    for child in both:
        said = child.ended()
        row.refused += sum(line[0] == "error" and line[1] == "InputError" for line in said)
        said = [line for line in said if line[0] != "error" or line[1] != "InputError"]
        known += [
            (number, revision) for _, number, revision in acknowledged(row, said, "publishing beside another")
        ]
    over.touch()
    row.rounds += 1
    row.promise(known, "neither of two publishers could publish")
    numbers = [number for number, _ in known]
    row.promise(len(numbers) == len(set(numbers)), "two publishers were told the same release number")
    check_releases(row, folder, dict(known))
    serve = [line[1:] for host in hosts for line in host.ended() if line[0] == "host"]
    row.promise(len(serve) == 2 and serve[0] == serve[1], "two hosts of one folder serve different releases")
    row.promise(all(said == [max(known)[0], dict(known)[max(known)[0]]] for said in serve if known),
                "a host does not serve the newest release")  # fmt: skip


def _host(tell: Tell, folder: Path, over: Path) -> None:
    store = store_of(folder)
    store.check()
    tell("ready")
    while not over.exists():
        store.check()
        time.sleep(0.002)
    store.check()
    tell("host", store.status.release, store.policy.revision)


def forks(count: int, draw: np.random.Generator, base: Path) -> Row:
    """A server that was started before it forked its workers, as gunicorn does with `preload_app`."""
    row = Row("forks under load")
    folder, revisions = release_folder(base / "forks" / "support")
    path, seed = base / "forks" / "week.jsonl", int(draw.integers(1 << 30))
    server = Child(lambda tell: _server(tell, folder, revisions, path, count, seed))
    said = server.ended(BOUND_S * (count + 2))
    row.rounds = count
    row.promise(server.status == 0, "the server that forked did not end well")
    logged: dict[str, bool] = {}
    for kind, *rest in acknowledged(row, said, "a server that forks"):
        if kind == "broken":
            row.acknowledged -= 1
            row.promise(False, rest[0])
        else:
            logged[rest[0]] = False
    check_log(row, path, logged)
    return row


def _server(tell: Tell, folder: Path, revisions: list[Path], path: Path, count: int, seed: int) -> None:
    from router_lab.publish import publish
    from router_lab.runtime.decisions import DecisionLog

    publish(revisions[0], force=True)
    store = store_of(folder, state=folder.with_name("state"), interval_s=0.02)
    store.start()
    log, over, draw = DecisionLog(path), threading.Event(), np.random.default_rng(seed)

    def load() -> None:
        while not over.is_set():
            log.write(store.decide("how do I reset my password", suite="a"))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    while serves_default(store):
        time.sleep(0.01)
    children: list[int] = []
    for turn in range(count):
        time.sleep(draw.uniform(0, 0.02))
        seen = store.status.release
        child = os.fork()
        if not child:
            _worker(tell, store, log, turn, seen)
        children.append(child)
        publish(revisions[turn % 3], force=True)
        if len(children) == 4 or turn == count - 1:
            _reap(tell, children)
    over.set()
    for thread in threads:
        thread.join()
    store.close()
    getattr(log, "close", lambda: None)()


def _worker(tell: Tell, store: Any, log: Any, turn: int, seen: int) -> None:
    """A worker's life: decide, log, start, see what was published since, close, end with 0."""
    status = 1
    try:
        name = log.write(store.decide("a worker's question"), id=f"worker-{turn}")
        flushed(log)
        tell("log", name)
        store.start()
        until = time.monotonic() + BOUND_S / 2
        while store.status.release <= seen and time.monotonic() < until:
            store.decide("a worker waits")
            time.sleep(0.005)
        if store.status.release <= seen:
            tell("broken", "after a fork and `start`, a store never sees a new release")
        store.close()
        status = 0
    except BaseException as error:  # noqa: BLE001  # a forked process must not run on in its parent's loop
        tell("broken", f"a forked worker fails: {type(error).__name__}: {error}")
    finally:
        os._exit(status)


def _reap(tell: Tell, children: list[int]) -> None:
    until = time.monotonic() + BOUND_S
    while children:
        child = children.pop()
        while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < until:
            time.sleep(0.005)
        if done == (0, 0):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            tell("broken", "a forked worker hangs")
        elif os.waitstatus_to_exitcode(done[1]):
            tell("broken", "a forked worker ends with an error")
