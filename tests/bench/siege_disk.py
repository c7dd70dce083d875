"""A full disk under each writer: a tmpfs of 1 MiB, filled up to a few random pages before each try.

Without the right to mount, no file may grow beyond those pages (RLIMIT_FSIZE), which the table then says.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.siege_common import (
    Child,
    Row,
    Tell,
    acknowledged,
    command,
    flushed,
    policies,
    serves_default,
    store_of,
)  # fmt: skip
from tests.bench.siege_kills import check_log, check_releases, release_folder

PAGE = 4096
LINE = "\n"


class Disk:
    """`with Disk(folder) as disk:` a file system of 1 MiB at `folder`; `fill(pages)` leaves that many, `free` all."""

    may_mount = True

    def __init__(self, folder: Path) -> None:
        self.folder, self.mounted, self.left = folder, False, -1
        self._filler, self._owner = folder / "filler", os.getpid()

    def __enter__(self) -> Disk:
        self.folder.mkdir(parents=True)
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(self.folder)]
        with contextlib.suppress(OSError):
            self.mounted = (
                Disk.may_mount and subprocess.run(mount, capture_output=True, check=False).returncode == 0
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.folder)], capture_output=True, check=False)

    def fill(self, pages: int) -> None:
        """Leave room for `pages` pages."""
        self.left = pages * PAGE
        self._limit()
        if self.mounted:
            self._filler.unlink(missing_ok=True)
            found = os.statvfs(self.folder)
            self._filler.write_bytes(bytes(max(0, found.f_bavail - pages) * found.f_frsize))

    def free(self) -> None:
        """Room again."""
        self.left = -1
        self._limit()
        self._filler.unlink(missing_ok=True)

    def _limit(self) -> None:
        """Without a mount, of this process, unless it is the siege's own."""
        if not self.mounted and os.getpid() != self._owner:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard if self.left < 0 else self.left, hard))

    def grow(self) -> None:
        """Room for what never fits into 1 MiB, such as Inspect's logs."""
        self.free()
        if self.mounted:
            subprocess.run(
                ["mount", "-o", "remount,size=64m", str(self.folder)], capture_output=True, check=True
            )

    def child(self, work: Callable[[Tell], None]) -> Child:
        """A process that writes to this disk."""

        def limited(tell: Tell) -> None:
            self._limit()
            work(tell)

        return Child(limited)

    def run(self, row: Row, what: str, *words: str | Path) -> bool:
        """A command line on this disk: whether it did it. If not, it must have said why in one line, with status 1."""
        said = self.child(command(*words)).ended()
        status, text = next(((line[1], line[2]) for line in said if line[0] == "status"), (None, ""))
        if not row.promise(status is not None, f"{what} hangs or dies on a full disk"):
            return False
        if status in (0, 4):
            row.acknowledged += 1
            return True
        errors = [line for line in text.splitlines() if line.startswith("Error: ")]
        row.promise(status == 1, f"{what} on a full disk ends with status {status}")
        row.promise(
            "Traceback" not in text,
            f"{what} on a full disk ends in a traceback: {text.strip().rpartition(LINE)[2][:90]}",
        )
        row.promise(len(errors) == 1, f"{what} on a full disk does not say so in one line of error")
        row.refused += len(errors) == 1
        return False


def disk_attacks(turns: int, draw: np.random.Generator, base: Path, names: tuple[str, ...]) -> Iterator[Row]:
    """One row a writer, each on a disk of its own."""
    for name in names:
        with Disk(base / f"disk-{name.replace(' ', '-')}" / "small") as disk:
            row = Row(
                f"full disk: {name}", notes=[] if disk.mounted else ["not mounted: RLIMIT_FSIZE instead"]
            )
            WRITERS[name](row, turns, draw, disk)
            yield row


def on_publish(row: Row, turns: int, draw: np.random.Generator, disk: Disk) -> None:
    """publish and rollback by the command line."""
    folder, revisions = release_folder(disk.folder / "support")
    known: dict[int, str] = {}
    doubled = 0

    def step(*words: str | Path) -> None:
        nonlocal doubled
        before = _serves(row, folder)
        done = disk.run(row, str(words[0]), *words)
        after = _serves(row, folder)
        row.promise(
            done or after == before, f"{words[0]} said that it failed, and another release is in place"
        )
        row.promise(
            not done or disk.left >= 0 or after != before, f"{words[0]} said that it is done, and it is not"
        )
        if done and after is not None:
            known[after[0]] = after[1]
        doubled = check_releases(row, folder, known, doubled)

    step("publish", revisions[0], "--force")
    step("publish", revisions[1], "--force")
    for turn in range(turns):
        row.rounds += 1
        words = ("publish", revisions[turn % 3], "--force") if turn % 2 else ("rollback", folder)
        disk.fill(int(draw.integers(0, 3)))
        step(*words)
        disk.free()
        newest = max(known, default=0)
        step("publish", revisions[(turn + 1) % 3], "--force")
        row.promise(max(known, default=0) > newest, "after the disk has room again, publish does not go on")


def _serves(row: Row, folder: Path) -> tuple[int, str] | None:
    from router_lab.publish import current_release

    with row.readable("RELEASE.json on a full disk"):
        current = current_release(folder)
        return None if current is None else (current.number, current.revision)
    return None


def on_keys(row: Row, turns: int, draw: np.random.Generator, disk: Disk) -> None:
    """keygen and sign: a key that was not written whole is no key, and does not stand in the way."""
    folder, revisions = release_folder(disk.folder / "support", 1)
    key = disk.folder / "first.pem"
    disk.run(row, "keygen", "keygen", key)
    disk.run(row, "publish", "publish", revisions[0], "--force")
    for turn in range(turns):
        row.rounds += 1
        fresh = disk.folder / f"{turn}.pem"
        disk.fill(int(draw.integers(0, 2)))
        made = disk.run(row, "keygen", "keygen", fresh)
        row.promise(made == _is_key(fresh), "keygen leaves a file that is no key, or none though it said so")
        disk.run(row, "sign", "sign", folder, "--key", key)
        _serves(row, folder)
        disk.free()
        if not made:
            row.promise(
                disk.run(row, "keygen", "keygen", fresh), "after a full disk, keygen refuses its own leftover"
            )
        row.promise(
            disk.run(row, "sign", "sign", folder, "--key", key), "after a full disk, sign does not go on"
        )


def _is_key(path: Path) -> bool:
    return path.exists() and b"END PRIVATE KEY" in path.read_bytes()


def on_save(row: Row, turns: int, draw: np.random.Generator, disk: Disk) -> None:
    """save_revision and save_policy, which must take their own half-written folder for what it is."""
    from router_lab import load_policy
    from router_lab.runtime.artifact import encode_policy, revision_of, save_policy, save_revision

    made = policies(4)
    for turn in range(turns):
        row.rounds += 1
        policy, named = made[turn % 4], disk.folder / f"named-{turn}"

        def save(tell: Tell) -> None:
            place = save_policy(policy, named) if turn % 2 else save_revision(policy, disk.folder)  # noqa: B023
            tell("save", str(place))

        for pages in (int(draw.integers(0, 16)), -1):
            disk.free() if pages < 0 else disk.fill(pages)
            said = disk.child(save).ended()
            if pages >= 0 and said and said[0][0] == "error":
                row.refused += row.promise(said[0][1] in ("PolicyError", "InputError"), f"save: {said[0][2]}")
                continue
            for _, place in acknowledged(row, said, "saving again once there is room"):
                with row.readable("a policy that was saved"):
                    row.lose(
                        load_policy(place).revision != revision_of(encode_policy(policy)), "another policy"
                    )
                shutil.rmtree(place)
            break


def on_state(row: Row, turns: int, draw: np.random.Generator, disk: Disk) -> None:
    """A store whose state disk is full goes on: it serves what its source has, cold or warm, and keeps it later."""
    folder, revisions = release_folder(disk.folder.with_name("source") / "support")
    state = disk.folder / "state"

    def serve(tell: Tell) -> None:
        from router_lab.publish import publish

        for cold in (True, False):
            publish(revisions[turn % 3 if cold else (turn + 1) % 3], force=True)
            disk.fill(pages)
            if cold:
                store = store_of(folder, state=state)
                store.recover()
            store.check()
            disk.free()
            if store.policy.revision != _published(folder):
                tell(
                    "broken",
                    f"a full state disk stops a {'cold start' if cold else 'warm store'} from serving news",
                )
        done = publish(revisions[(turn + 2) % 3], force=True).release
        store.check()
        store.close()
        tell("kept", done.number, done.revision)

    for turn in range(turns):  # noqa: B007  # the work's
        row.rounds += 1
        pages = int(draw.integers(0, 16))
        for kind, *rest in acknowledged(row, Child(serve).ended(), "a store on a full disk"):
            row.acknowledged -= kind != "kept"
            if row.promise(kind != "broken", str(rest[0])):
                _kept(row, folder, state, *rest)


def _published(folder: Path) -> str:
    from router_lab.publish import current_release

    current = current_release(folder)
    assert current is not None
    return current.revision


def _kept(row: Row, folder: Path, state: Path, number: int, revision: str) -> None:
    def restart(tell: Tell) -> None:
        store = store_of(folder.with_name("gone"), state=state)
        store.recover()
        tell("kept", store.status.release, store.policy.revision, serves_default(store))
        store.close()

    said = Child(restart).ended()
    kept = [line[1:3] for line in said if line[0] == "kept"]
    row.lose(
        kept != [[number, revision]], "once there is room again, a restart does not find the newest release"
    )


def on_log(row: Row, turns: int, draw: np.random.Generator, disk: Disk) -> None:
    """The decision log never raises, counts what is lost, keeps what was written, and goes on."""
    policy, path = policies(1)[0], disk.folder / "week.jsonl"
    kept: dict[Any, Any] = {}

    def write(tell: Tell) -> None:
        from router_lab.runtime.decisions import DecisionLog

        log = DecisionLog(path, prompts=True)
        for number in range(40):
            if number in (10, 30):
                disk.free() if number == 30 else disk.fill(pages)
            before = log.lost
            name = log.write(policy.decide("x"), prompt="x" * int(sizes[number]), id=f"{turn}-{number}")
            flushed(log)
            if log.lost == before:
                tell("line", name, number)
        tell("lost", log.lost)

    for turn in range(turns):  # noqa: B007  # the work's
        row.rounds += 1
        pages, sizes = int(draw.integers(0, 4)), draw.integers(1, 3 * PAGE, 40)
        said = disk.child(write).ended()
        lines = [line for line in acknowledged(row, said, "the log on a full disk") if line[0] == "line"]
        row.acknowledged -= 1
        later = [line[2] for line in lines if line[2] >= 30]
        row.promise(later == list(range(30, 40)), "once there is room again, the log does not go on")
        row.refused += sum(line[1] for line in said if line[0] == "lost")
        kept |= {line[1]: False for line in lines}
        check_log(row, path, kept)
        for file in path.parent.glob("week.jsonl*"):
            file.unlink()
        kept.clear()


def on_stages(row: Row, turns: int, draw: np.random.Generator, disk: Disk) -> None:
    """collect, fit, gate, report and prices: each writes its file whole or says that it cannot."""
    work = disk.folder.with_name("work")
    steps = _prepare(work, disk.folder)
    for turn in range(turns):
        name, words, out = steps[turn % len(steps)]
        words = tuple(str(word).replace("TURN", str(turn)) for word in words)
        row.rounds += 1
        disk.fill(int(draw.integers(0, 4)))
        before = _contents(out)
        done = disk.run(row, name, *words)
        row.promise(done or _contents(out) == before, f"{name} said that it failed, and its file is another")
        disk.free()
        if not done and row.promise(disk.run(row, name, *words), f"after a full disk, {name} does not go on"):
            row.promise(_contents(out), f"{name} said that it is done, and has written nothing")


def _prepare(work: Path, out: Path) -> list[tuple[str, tuple[str | Path, ...], Path]]:
    """A world of 40 samples, a policy fitted on it, and the commands with the file that each writes."""
    from router_lab.config import Recipe
    from router_lab.fit import fit_policy
    from router_lab.runtime.artifact import save_revision
    from tests.fit_worlds import two_kinds

    work.mkdir(parents=True)
    frame = two_kinds(60)
    columns = ["suite", "sample_id", "model", "quality", "cost_usd", "prompt", "group"]
    frame[columns].to_csv(work / "ours.csv", index=False)
    frame.to_parquet(work / "outcomes.parquet")
    (work / "recipe.yaml").write_text("name: support\n")
    (work / "gates.yaml").write_text("gates:\n  - {metric: quality, min: 0.10}\n")
    policy = save_revision(fit_policy(Recipe(name="support"), frame), work / "policies")
    outcomes = work / "outcomes.parquet"
    return [
        ("collect", ("collect", work / "ours.csv", "--out", out / "outcomes.parquet"), out / "outcomes.parquet"),
        ("fit", ("fit", work / "recipe.yaml", "--outcomes", outcomes, "--out", out / "policies"), out / "policies"),
        ("gate", ("gate", policy, "--outcomes", outcomes, "--gates", work / "gates.yaml", "--write-json",
                  out / "gate.json"), out / "gate.json"),
        ("report", ("report", outcomes, policy, "--html", out / "page.html"), out / "page.html"),
        ("prices", ("prices", "add", "a/TURN", "--input", "1", "--output", "3", "--source", "https://example.com",
                    "--prices", out / "prices.yaml", "--starts", "2026-01-01", "--confirmed"), out / "prices.yaml"),
    ]  # fmt: skip


def _contents(path: Path) -> bytes:
    """Of a file, or the names of a folder's finished artifacts."""
    if path.is_dir():
        return b" ".join(sorted(found.parent.name.encode() for found in path.glob("*/MANIFEST.json")))
    return path.read_bytes() if path.exists() else b""


WRITERS: dict[str, Callable[[Row, int, np.random.Generator, Disk], None]] = {
    "publish, rollback": on_publish,
    "keygen, sign": on_keys,
    "save": on_save,
    "store state": on_state,
    "decision log": on_log,
    "collect … report": on_stages,
}
LIGHT = ("publish, rollback", "keygen, sign", "save", "store state", "decision log")
HEAVY = ("collect … report",)
