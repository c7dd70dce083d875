"""kill -9 at random moments in publish, rollback, save, reload and log: what was acknowledged is there, and it goes on.

One folder of each kind lives through all its kills, so that what one leaves behind is what the next one finds.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.bench.siege_common import (
    Child,
    Row,
    Tell,
    acknowledged,
    flushed,
    policies,
    serves_default,
    store_of,
)

SPAN_S = 0.3
"""A kill comes at a random moment within this after the writer's first word; an operation takes 5 to 60 ms."""


def kill_publish(count: int, draw: np.random.Generator, base: Path) -> Row:
    """Publishing three revisions in turn."""
    folder, revisions = release_folder(base / "publish" / "support")

    def work(tell: Tell) -> None:
        from router_lab.publish import publish

        tell("ready")
        for number in itertools.count():
            done = publish(revisions[number % 3], force=True)
            tell("publish", done.release.number, done.release.revision)

    return _kill_releases(Row("kill -9 in publish"), count, draw, folder, work)


def kill_rollback(count: int, draw: np.random.Generator, base: Path) -> Row:
    """Publishing two and going back to the first of them; the first steps of a run find what a kill left."""
    folder, revisions = release_folder(base / "rollback" / "support")

    def work(tell: Tell) -> None:
        from router_lab.publish import publish, rollback

        tell("ready")
        for number in itertools.count():
            good, bad = revisions[number % 3], revisions[(number + 1) % 3]
            first = publish(good, force=True).release
            second = publish(bad, force=True).release
            tell("publish", first.number, first.revision)
            tell("publish", second.number, second.revision)
            back = rollback(folder).release
            tell("rollback", back.number, back.revision, first.revision)

    return _kill_releases(Row("kill -9 in rollback"), count, draw, folder, work)


def release_folder(folder: Path, count: int = 3) -> tuple[Path, list[Path]]:
    """A folder of revisions of the policy `support`, of which none is published."""
    from router_lab.runtime.artifact import save_revision

    return folder, [save_revision(policy, folder) for policy in policies(count)]


def _kill_releases(
    row: Row, count: int, draw: np.random.Generator, folder: Path, work: Callable[[Tell], None]
) -> Row:
    known: dict[int, str] = {}
    doubled = 0
    for _ in range(count):
        said = Child(work).killed_after(draw.uniform(0, SPAN_S))
        row.rounds += 1
        for kind, number, revision, *wanted in acknowledged(row, said, "the next operation after a kill"):
            row.promise(number > max(known, default=0), "a release number that is not above the one before")
            row.promise(
                not wanted or wanted == [revision], f"{kind} went to another revision than the one before"
            )
            known[number] = revision
        doubled = check_releases(row, folder, known, doubled)
    return row


def check_releases(row: Row, folder: Path, known: dict[int, str], doubled: int = 0) -> int:
    """Check a release folder against the numbers and revisions acknowledged; how many numbers stand twice in it."""
    from router_lab import load_policy
    from router_lab.publish import current_release, history

    with row.readable("RELEASES.jsonl"):
        numbers = [entry["number"] for entry in history(folder)]
        there = {(entry["number"], entry["revision"]) for entry in history(folder)}
        missing = [number for number, revision in known.items() if (number, revision) not in there]
        row.lose(len(missing), "acknowledged releases are not in RELEASES.jsonl")
        for number in missing:  # each is lost once
            del known[number]
        twice = len(numbers) - len(set(numbers))
        row.promise(twice <= doubled, "a release number stands twice in RELEASES.jsonl")
        doubled = max(doubled, twice)
    with row.readable("RELEASE.json"):
        current = current_release(folder)
        if (
            known
            and row.promise(current is not None, "nothing is published any more")
            and current is not None
        ):
            row.promise(current.number >= max(known), "RELEASE.json is older than what was acknowledged")
            row.promise(
                load_policy(folder).revision == current.revision, "another revision loads than is published"
            )
    return doubled


def kill_save(count: int, draw: np.random.Generator, base: Path) -> Row:
    """Saving six policies, by name of their revision and into folders of a name; afterwards the same again."""
    from router_lab import load_policy
    from router_lab.runtime.artifact import MANIFEST, revision_of, save_policy, save_revision
    from router_lab.runtime.artifact import encode_policy as encoded

    row, made = Row("kill -9 in save"), policies(6)
    wanted = [revision_of(encoded(policy)) for policy in made]

    def work(folder: Path) -> Callable[[Tell], None]:
        def save(tell: Tell) -> None:
            tell("ready")
            for number, policy in enumerate(made):
                named = folder / f"named-{number}"
                if number % 2 and (named / MANIFEST).exists():
                    continue  # finished: a saved policy is never written over
                place = save_policy(policy, named) if number % 2 else save_revision(policy, folder)
                tell("save", number, str(place))

        return save

    for turn in range(count):
        folder = base / "save" / str(turn)
        said = Child(work(folder)).killed_after(draw.uniform(0, SPAN_S))
        row.rounds += 1
        for _, number, place in acknowledged(row, said, "save"):
            with row.readable("a policy that was saved"):
                row.lose(load_policy(place).revision != wanted[number], "a saved policy is another one")
        again = Child(work(folder))
        for line in again.ended():
            if line[0] == "error":
                row.promise(False, f"saving again after a kill: {line[2]}")
        shutil.rmtree(folder, ignore_errors=True)
    return row


def kill_reload(count: int, draw: np.random.Generator, base: Path) -> Row:
    """A store that takes each release as it is published; after the kill another one starts from its state alone."""
    folder, revisions = release_folder(base / "reload" / "support")
    state, row = base / "reload" / "state", Row("kill -9 in reload (store state)")

    def work(tell: Tell) -> None:
        from router_lab.publish import publish

        store = store_of(folder, state=state)
        store.recover()
        tell("ready")
        for number in itertools.count():
            done = publish(revisions[number % 3], force=True)
            store.check()
            tell(
                "reload",
                store.status.release,
                store.policy.revision,
                done.release.number,
                done.release.revision,
            )

    old: bytes | None = None
    newest, served = 0, ""
    for _ in range(count):
        said = Child(work).killed_after(draw.uniform(0, SPAN_S))
        row.rounds += 1
        for _, number, revision, published, wanted in acknowledged(row, said, "the next run after a kill"):
            row.promise(
                (number, revision) == (published, wanted), "a store does not serve the release just published"
            )
            newest, served = number, revision
        if old is None and newest:
            old = (folder / "RELEASE.json").read_bytes()
        child = Child(lambda tell: _check_state(tell, state, folder, old, newest))  # noqa: B023  # ends within the turn
        for line in child.ended(60.0):
            row.promise(line[0] != "broken", str(line[-1]))
            row.lost += line[0] == "lost"
            row.promise(line[0] not in ("lost", "error"), str(line[-1]))
        row.promise(child.status is not None, "a store that starts from its state hangs")
    row.notes += [f"newest release kept: {newest} ({served[:12]})"]
    return row


def _check_state(tell: Tell, state: Path, folder: Path, old: bytes | None, newest: int) -> None:
    """Start a store whose source is gone, and one whose source is older than what was accepted."""
    gone = store_of(folder.parent / "gone", state=state)
    gone.recover()
    if newest and (serves_default(gone) or gone.status.release < newest):
        tell("lost", "a store whose source is gone does not serve what it kept")
    gone.close()
    if old is None:
        return
    replayed = folder.parent / "replayed"
    shutil.rmtree(replayed, ignore_errors=True)
    shutil.copytree(folder, replayed)
    (replayed / "RELEASE.json").write_bytes(old)
    from router_lab.publish import current_release

    release = current_release(replayed)
    assert release is not None
    for name, start in (("start", True), ("check alone", False)):
        copy = state.with_name("copy")  # a store that accepts it would spoil the state for the next turn
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(state, copy)
        store = store_of(replayed, state=copy)
        if start:
            store.recover()
        store.check()
        if release.number < newest and store.status.release < newest and not serves_default(store):
            tell("broken", f"an older release was accepted after a newer one ({name})")
        store.close()


def kill_log(count: int, draw: np.random.Generator, base: Path) -> Row:
    """Decisions and outcomes into one file; every line acknowledged is read back, whatever the kills tore."""
    path, row = base / "log" / "week.jsonl", Row("kill -9 in the decision log")
    policy = policies(1)[0]
    kept: dict[str, bool] = {}

    def work(turn: int) -> Callable[[Tell], None]:
        def log(tell: Tell) -> None:
            from router_lab.runtime.decisions import DecisionLog

            opened = DecisionLog(path, prompts=True)
            tell("ready")
            for number in itertools.count():
                name = opened.write(
                    policy.decide(f"question {number}"), prompt="x" * 2000, id=f"{turn}-{number}"
                )
                flushed(opened)
                tell("decision", name)
                opened.outcome(name, quality=0.5, output_tokens=number)
                flushed(opened)
                tell("outcome", name, opened.lost)

        return log

    for turn in range(count):
        said = Child(work(turn)).killed_after(draw.uniform(0, SPAN_S / 4))
        row.rounds += 1
        for kind, name, *lost in acknowledged(row, said, "the log after a kill"):
            kept[name] = kind == "outcome"
            row.promise(not any(lost), "the log counts lines as lost though the disk is free")
        check_log(row, path, kept)
    return row


def check_log(row: Row, path: Path, kept: dict[str, bool]) -> None:
    """Every decision in `kept` is read, and its outcome where True; what is not is lost once."""
    import warnings

    from router_lab.runtime.decisions import read_decisions

    with row.readable("the decision log"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torn lines are warned of, and expected here
        found = {line["id"]: line["outcome"] is not None for line in read_decisions(path)}
        missing = [
            name for name, outcome in kept.items() if name not in found or (outcome and not found[name])
        ]
        row.lose(len(missing), "acknowledged lines are not in the decision log")
        for name in missing:
            del kept[name]
