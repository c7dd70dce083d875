"""A cell's samples in portions: each has a folder of its own within the log directory until all of
it is finished.

Inspect goes on from one log of a task in a folder, and one process at a time writes there: so a
portion that several machines may come to run, one after the other, is a folder with its own lock,
its own logs and its own recovery buffers. Its latest log stands in the log directory as well as
soon as its run has ended; when nothing of it is lacking any more, the folder goes.
"""

from __future__ import annotations

import json
import math
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from router_lab.inspect_compat import disown_buffers, drop_half_recovered
from router_lab.providers.keys import SLICES
from router_lab.runtime.errors import InputError
from router_lab.runtime.files import atomic_write, temporary_beside
from router_lab.runtime.locks import FolderLock
from router_lab.sweep.finished import Identity

RECORD = "slice.json"
LARGEST = 500
"""Samples of a portion at most: what a machine that dies in the middle of it must look at again."""
PORTIONS = 4
"""Portions for each that can run at once, at least: so nobody waits long for the last."""
DEATH_S = 60.0
"""Seconds to wait for a process of a run that died to die as well, and let go of its folder."""


@dataclass(frozen=True)
class Slice:
    """`samples`: all ids of the portion, of which a run is asked for the first `asked`; `cell`:
    what its logs say of themselves."""

    name: str
    cell: Identity
    samples: tuple[str, ...]
    asked: int

    def home(self, folder: Path) -> Path:
        """Where it is within a log directory."""
        return folder / SLICES / self.name

    def asking(self, due: Collection[str]) -> Slice:
        """The same with those that are due in front."""
        first = [name for name in self.samples if name in due]
        rest = [name for name in self.samples if name not in due]
        return replace(self, samples=(*first, *rest), asked=len(first))


def portion_size(samples: int, places: int) -> int:
    """How many of so many samples make a portion, where so many portions run at once."""
    return min(LARGEST, max(1, math.ceil(samples / (PORTIONS * max(1, places)))))


def cut(folder: Path, cell: Identity, samples: Sequence[str], size: int) -> list[Slice]:
    """Portions of `size` samples, each written down in the log directory before anybody runs
    it."""
    made = []
    for begin in range(0, len(samples), size):
        names = tuple(samples[begin : begin + size])
        one = Slice(uuid.uuid4().hex[:16], cell, names, len(names))
        home = one.home(folder)
        home.mkdir(parents=True)
        atomic_write(home / RECORD, json.dumps({"cell": list(cell), "samples": list(names)}).encode())
        made.append(one)
    return made


def begun(folder: Path, cells: Collection[Identity]) -> Iterator[Slice]:
    """Portions of these cells that earlier runs, or waves, left unfinished. Raises InputError for
    one that does not say which samples it is of."""
    for record in sorted((folder / SLICES).glob(f"*/{RECORD}")):
        try:
            said = json.loads(record.read_bytes())
            cell, samples = tuple(said["cell"]), tuple(map(str, said["samples"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{record}: does not say which samples its folder is of ({error}); move the folder away, and what it "
                "has finished is asked, and paid, again"
            ) from error
        if cell in cells:
            yield Slice(record.parent.name, cell, samples, 0)


def claim(folder: Path) -> None:
    """Call before a run looks at what is there: wait until no process of an earlier run holds a
    portion, and let what it had finished be recovered.

    Raises InputError if one still holds a portion after `DEATH_S` seconds.
    """
    for record in sorted((folder / SLICES).glob(f"*/{RECORD}")):
        with FolderLock(record.parent, "a sweep that begins", wait_s=DEATH_S):
            disown_buffers(record.parent, anyones=True)
            drop_half_recovered(record.parent)


def is_there(home: Path) -> bool:
    """Whether a portion is still one: of a run that was over before its machine was believed dead,
    nothing is."""
    return (home / RECORD).is_file()


def keep(home: Path, folder: Path, log: Path, *, whole: bool) -> None:
    """A run of the portion in `home` has ended with `log`: it is put into the log directory, and
    with `whole` nothing of the portion is lacking, so that its folder goes."""
    if not whole:
        beside = temporary_beside(folder / log.name)
        shutil.copyfile(log, beside)
        beside.replace(folder / log.name)
        return
    log.replace(folder / log.name)
    for older in sorted(home.glob("*.eval")):  # of runs that died; the log has all that they had
        older.replace(folder / older.name)
    (home / RECORD).unlink()  # from here on it is no portion
    shutil.rmtree(home, ignore_errors=True)


def lacking(samples: Sequence[str], epochs: int, there: Collection[tuple[str, int]]) -> list[str]:
    """Those of which an epoch is not there."""
    return [name for name in samples if any((name, epoch) not in there for epoch in range(1, epochs + 1))]


def due_of(
    one: Slice,
    wanted: Mapping[str, int],
    settled: Collection[tuple[str, int]],
    own: Collection[tuple[str, int]],
) -> Slice | None:
    """The portion as it must be run now, None where nothing of it is due.

    wanted: epochs by sample, of what this wave is to have; settled: what logs in the log directory
    have; own: what the portion's own folder has. What it has is asked for with what it lacks, for
    Inspect writes a log anew without what it is not asked for.
    """
    due = {
        name
        for name in one.samples
        if name in wanted and any((name, epoch) not in settled for epoch in range(1, wanted[name] + 1))
    }
    if not due and not set(own) - set(settled):
        return None
    return one.asking(due | {name for name, _ in own})
