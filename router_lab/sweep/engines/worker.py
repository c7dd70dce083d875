"""A portion of a cell's samples, run in a process of its own on any machine."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from inspect_ai import Task

from router_lab.config import Sweep
from router_lab.inspect_compat import disown_buffers, drop_half_recovered
from router_lab.providers.keys import SLICES
from router_lab.providers.loopback import loopback_direct
from router_lab.runtime.errors import InputError
from router_lab.runtime.locks import FolderLock
from router_lab.sweep.bind import parts_of, tasks_of
from router_lab.sweep.budget import meter
from router_lab.sweep.cells import Where
from router_lab.sweep.cluster import narrowed
from router_lab.sweep.engines.bank import RemoteLedger, Teller
from router_lab.sweep.engines.slices import DEATH_S, Slice, is_there, keep
from router_lab.sweep.evalset import interrupted, run_tasks
from router_lab.sweep.finished import identity, log_path
from router_lab.sweep.money import spending_of
from router_lab.sweep.plan import Plan
from router_lab.sweep.progress import Counts, listen
from router_lab.sweep.settings import load_grid
from router_lab.sweep.stop import Stops, watch

TELL_S = 0.5
"""Seconds between two words on how many samples have run."""


@dataclass(frozen=True)
class Job:
    """One run of a sweep, as all its portions have it: `run` names it; source and base as in
    `prepare`; `cwd`: where it was begun, for task files that are named from there."""

    run: str
    source: str | Path | Sweep
    base: Path | None
    folder: Path
    cwd: Path
    budget_usd: float | None


class Ended(NamedTuple):
    """How a portion's run ended: `fault` ends the whole sweep; `cancelled`: somebody stopped it;
    `refused`: every request was, with this reason."""

    fault: str | None = None
    cancelled: bool = False
    refused: str | None = None


def run_slice(job: Job, one: Slice, where: Where, bank: Teller, answered: bool) -> Ended:
    """Run what a portion is asked for, and keep its log in the log directory.

    answered: whether the cell has ever answered. Raises InputError where this machine does not see
    the sweep as it was begun, or another process holds the portion for longer than one takes to
    die.
    """
    home = one.home(job.folder)
    if not (job.folder / SLICES).is_dir():  # the ledger is locked in it for as long as a run lasts
        raise InputError(
            f"{platform.node()}: does not see {job.folder}, where the sweep's logs are; give a log directory that all "
            "machines see (for logs at an address, set ROUTER_LAB_PLACES to one before the sweep begins)"
        )
    if not is_there(home):
        return Ended()
    with FolderLock(home, f"a portion of {where[0]} × {where[1]}", wait_s=DEATH_S):
        if not is_there(home) or bank.begin(one.name, where) is not None:
            return Ended()
        disown_buffers(home, anyones=True)
        drop_half_recovered(home)
        return _run(_plan_of(job, where, one), home, one, bank, answered)


def _run(plan: Plan, home: Path, one: Slice, bank: Teller, answered: bool) -> Ended:
    (cell, whole), limits = plan.tasks[0], plan.grid.sweep.limits
    task = _portion(whole, one)
    spending = spending_of(plan, RemoteLedger(bank, one.name))

    def told(text: str) -> None:
        bank.stop(cell.where, stops.reasons[cell.where], text)

    stops = Stops(told, answered={cell.where} if answered else set())
    meter(spending)
    watch(stops)
    samples = _Told(bank)
    listen(samples)
    try:
        with loopback_direct(part.spec.base_url for part in parts_of(plan.grid)):
            made = run_tasks([task], home, one.asked, limits)
    finally:
        meter(None)
        watch(None)
        listen(None)
        samples.close()
    bank.finish(one.name)
    cancelled = interrupted([task], made)
    for log in made:
        whole_now = log.status == "success" and one.asked == len(one.samples)
        keep(home, home.parent.parent, log_path(log), whole=whole_now)
    return Ended(spending.fault or spending.ledger.broken, cancelled, stops.doubtful().get(cell.where))


class _Told:
    """Samples are told to the bank as they begin and end, twice a second at most: each time costs
    it about as much as a call."""

    def __init__(self, bank: Teller) -> None:
        self.bank, self._kept, self._at = bank, Counts(), time.monotonic()

    def sample_begun(self) -> None:
        """One more sample runs."""
        self._more(Counts(started=1))

    def sample_done(self, failed: bool) -> None:
        """One more sample has run, well or badly."""
        self._more(Counts(finished=1, failed=int(failed)))

    def close(self) -> None:
        """Tell what was kept back."""
        self.bank.heard(self._kept)
        self._kept, self._at = Counts(), time.monotonic()

    def _more(self, counts: Counts) -> None:
        self._kept = self._kept.plus(counts)
        if time.monotonic() - self._at >= TELL_S:
            self.close()


def _portion(task: Task, one: Slice) -> Task:
    known = {str(sample.id): sample for sample in task.dataset}
    return narrowed(task, [known[name] for name in one.samples])


_PLANS: dict[tuple[str, Where], Plan] = {}
"""A process runs many portions of one sweep; loading a task may take long."""


def _plan_of(job: Job, where: Where, one: Slice) -> Plan:
    """The sweep, its cell `where` alone. Raises InputError where that is not the cell that the
    portion was cut from."""
    if (job.run, where) not in _PLANS:
        if job.cwd.is_dir():
            os.chdir(job.cwd)
        for old in [key for key in _PLANS if key[0] != job.run]:
            del _PLANS[old]
        _PLANS[job.run, where] = _loaded(job, where)
    plan = _PLANS[job.run, where]
    cell, task = plan.tasks[0]
    if identity(cell, task) != one.cell:
        raise InputError(
            f"{cell.label}: on {os.uname().nodename} its settings or its samples are others than where the sweep was "
            f"begun ({identity(cell, task)}, not {one.cell}): all machines must see the same files"
        )
    return plan


def _loaded(job: Job, where: Where) -> Plan:
    grid = load_grid(job.source, job.base)
    if where not in {cell.where for cell in grid.cells}:
        raise InputError(f"{job.source}: on {os.uname().nodename} has no {where[0]} × {where[1]}")
    alone = replace(grid, cells=tuple(cell for cell in grid.cells if cell.where == where))
    recorded = (grid.base / grid.sweep.recorded).resolve()
    return Plan(alone, tasks_of(alone, recorded, None, None), {}, recorded, job.budget_usd)
