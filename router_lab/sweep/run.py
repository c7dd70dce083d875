"""Run a grid: one `eval_set` a wave over a fixed shuffled order, resumable after any death of the
process."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from inspect_ai import Task
from inspect_ai.log import EvalLog

from router_lab.config import Sweep
from router_lab.places import address_of, kept
from router_lab.prices.table import digest
from router_lab.providers.loopback import loopback_direct
from router_lab.runtime.files import atomic_write
from router_lab.runtime.locks import FolderLock
from router_lab.sweep.bind import parts_of
from router_lab.sweep.budget import Spending
from router_lab.sweep.cluster import narrowed
from router_lab.sweep.engines import LOCAL, Engine, EngineName, Place, open_engine
from router_lab.sweep.finished import (
    Done,
    finished_samples,
    identity,
    identity_of,
    log_path,
    logged_sizes,
    logs_of,
    samples_due,
)
from router_lab.sweep.ledger import refuse_forgotten
from router_lab.sweep.money import spending_of
from router_lab.sweep.plan import Plan, positions, prepare
from router_lab.sweep.progress import Progress, default_stream
from router_lab.sweep.race import RaceOptions, Racer
from router_lab.sweep.settings import Cell, Where
from router_lab.sweep.stop import Stops
from router_lab.sweep.waves import Prefixes, budget_waves, free_waves
from router_lab.sweep_manifest import PricesFile, SweepManifest


@dataclass(frozen=True)
class SweepResult:
    """What a sweep left: the logs that count (others in the folder are superseded), and how many
    samples it ran.

    `spent_usd`: all calls of this log directory so far, also of runs before this one. `unrun`:
    samples × epochs for which the budget did not reach and that are not there; more money
    continues them. `generated`: asked for by this run, well (`answered`) or badly (`failed`).
    `reserved_usd`: part of `spent_usd`, the most that calls could cost that were never answered,
    as those in flight at a kill. `paid`: whether any candidate is more than a recording. `spared`:
    samples × epochs that a race left out; `raced`: what it settled on or who is still in, a
    picture for each suite, and `verdicts` the same as data. `stopped`: suite, candidate and the
    server's reason, where that can only be mended by the operator.
    """

    log_dir: Path
    logs: tuple[Path, ...]
    needed: int
    reused: int
    generated: int
    failed: int
    spent_usd: float
    unrun: int
    spared: int = 0
    raced: tuple[str, ...] = ()
    verdicts: tuple[dict[str, Any], ...] = ()
    stopped: tuple[tuple[Where, str], ...] = ()
    reserved_usd: float = 0.0
    paid: bool = True

    @property
    def answered(self) -> int:
        """Samples × epochs that this run asked for and that did not fail."""
        return self.generated - self.failed

    @property
    def not_begun(self) -> int:
        """Samples × epochs that are neither there nor were asked for, nor left out by a race: for
        want of money, or because their candidate was stopped."""
        return max(0, self.needed - self.reused - self.generated - self.spared)


def run_sweep(
    source: str | Path | Sweep,
    log_dir: str | Path,
    *,
    base: Path | None = None,
    limit: int | None = None,
    budget_usd: float | None = None,
    race: RaceOptions | None = None,
    batch: bool = False,
    engine: EngineName = "local",
    progress: TextIO | None = None,
    quiet: bool = False,
) -> SweepResult:
    """Generate what is missing in `log_dir` and return the logs that make up the sweep.

    A sample that is finished there is never asked for again, also after kill -9 or an interrupt
    (which is raised as KeyboardInterrupt); one that failed is, and so is one that a person has
    invalidated. A candidate whose requests fail for a reason that only the operator can mend is
    stopped at once (`stopped`). With a budget (`budget_usd`, else the sweep file's), what all runs
    in `log_dir` have spent never passes it. Raises InputError.

    Args:
        source, base, limit, budget_usd: as in `prepare`.
        log_dir: folder for Inspect logs, or an address (docs/addresses.md); made if absent, and
            locked: a second sweep there raises InputError.
        race: drop candidates that cannot win, as they are shown not to; see docs/racing.md.
        batch: through the providers' batch APIs, at their price; see `router_lab.sweep.batch`.
        engine: who runs the samples; see `router_lab.sweep.engines`.
        progress: where progress goes, standard error by default; `quiet=True` prints none.
    """
    plan = prepare(source, base=base, limit=limit, budget_usd=budget_usd, batch=batch)
    doing, stream = f"sweep {plan.grid.sweep.name}", None if quiet else (progress or default_stream())
    with (
        kept(log_dir, doing) as where,
        FolderLock(folder := where.resolve(), doing),
        open_engine(engine, Place(plan, folder, source, base)) as running,
    ):
        return _Run(plan, folder, race, running).to_its_end(stream)


class _Run:
    """A run of a plan in its log directory: what was there, what is spent, the logs that it has."""

    def __init__(self, plan: Plan, folder: Path, race: RaceOptions | None, engine: Engine) -> None:
        if plan.calls is not None:
            plan.calls.keep_in(folder)
        self.plan, self.folder, self.engine, self.logs = plan, folder, engine, dict[str, EvalLog]()
        self.done = finished_samples(folder, plan)
        self.reused = sum(
            len(samples_due(cell, task) & self.done.get(cell.where, set())) for cell, task in plan.tasks
        )
        if plan.budget_usd is not None:
            paid = (cell for cell, _ in plan.tasks if not cell.recorded)
            refuse_forgotten(folder, sum(len(self.done.get(cell.where, ())) for cell in paid))
        self.spending = spending_of(plan, engine.ledger)
        self.racer = None if race is None else Racer(plan, folder, race)

    def to_its_end(self, stream: TextIO | None) -> SweepResult:
        """Run what is lacking. Raises InputError, or KeyboardInterrupt where somebody stopped
        it."""
        plan = self.plan
        self._note()
        try:
            local = loopback_direct(part.spec.base_url for part in parts_of(plan.grid))
            with local, Progress(plan.grid.sweep.name, plan.needed, self.reused, stream) as counter:
                for line in [*plan.boundaries(), *(self.racer.begins() if self.racer else ())]:
                    counter.note(line)
                stops = Stops(counter.note, answered={where for where, done in self.done.items() if done})
                with self.engine.watched(self.spending, counter, stops):
                    unrun = (
                        self._waves(stops) if self.racer is None else self._race(self.racer, counter, stops)
                    )
        except KeyboardInterrupt:
            self._note()
            raise
        self._write_manifest(self.logs.values(), unrun=unrun)
        raced = {} if self.racer is None else self.racer.result()
        return SweepResult(
            log_dir=self.folder,
            logs=tuple(sorted(log_path(log) for log in self.logs.values())),
            needed=plan.needed,
            reused=self.reused,
            generated=counter.finished,
            failed=counter.failed,
            spent_usd=self.spending.ledger.spent_usd,
            unrun=unrun,
            stopped=tuple(stops.reasons.items()),
            reserved_usd=self.spending.ledger.reserved_usd,
            paid=any(not cell.recorded for cell, _ in plan.tasks),
            **raced,
        )

    def _note(self) -> None:
        """Before the first sample and after each wave, so that whatever a kill leaves can be read
        and priced."""
        found = (log for _, _, log in logs_of(self.folder, self.plan))
        there = {log.location: log for log in found if log_path(log).parent == self.folder}
        self._write_manifest(there.values(), interrupted=True)

    def _make(self, tasks: list[Task], limit: int) -> None:
        """Have tasks run. Raises what kept them from their end: a fault, or an interrupt."""
        self.logs |= {log.eval.task_id: log for log in self.engine.make(tasks, limit)}

    def _write_manifest(
        self, logs: Collection[EvalLog], *, unrun: int = 0, interrupted: bool = False
    ) -> None:
        """Say in the log directory which logs belong to the sweep, how far it was to go, and what
        candidates send."""
        plan, ledger = self.plan, self.spending.ledger
        planned = {identity(cell, task): positions(cell, task) for cell, task in plan.tasks}
        SweepManifest(
            sweep=plan.grid.sweep.name,
            logs=tuple(sorted(log_path(log).name for log in logs)),
            planned={log_path(log).name: planned[identity_of(log)] for log in logs},
            # A log lists only the samples that its last wave wanted; `collect` says of the others
            # that money ran out.
            order={
                str(task.version): [str(sample.id) for sample in task.dataset]
                for cell, task in plan.tasks
                if plan.drawn is None or not plan.drawn.has(cell)
            },
            needed=plan.needed,
            budget_usd=plan.budget_usd,
            spent_usd=ledger.spent_usd,
            reserved_usd=ledger.reserved_usd,
            prices=_prices_of(plan, self.folder),
            unrun=unrun,
            candidates=plan.cells(),
            interrupted=interrupted,
            race=None if self.racer is None else self.racer.record(),
            drawn=None if plan.drawn is None else plan.drawn.part(),
            engine=None if self.engine.name == LOCAL else self.engine.name,
        ).write(self.folder)

    def _waves(self, stops: Stops) -> int:
        """All cells to the same length, as far as the money reaches; returns samples × epochs that
        it does not and that are not there either."""
        plan, reach = self.plan, 0
        for reach in _waves(plan, self.folder, self.spending, self.done):
            for bound, tasks in _by_limit(plan, reach, stops, self.done).items():
                self._make(tasks, bound)
            stops.close()
            self._note()
        return sum(
            _lacking(narrowed(task, samples[bisect_left(plan.places(cell, task), reach) :]), cell, self.done)
            for cell, task in plan.tasks
            for samples in [list(task.dataset[: positions(cell, task)])]
        )

    def _race(self, racer: Racer, counter: Progress, stops: Stops) -> int:
        """Wave by wave, those still in and the others' control share; returns what the money did
        not reach."""
        plan, begun, whole = self.plan, False, {cell.where: task for cell, task in self.plan.tasks}
        for cells in map(racer.tasks, racer.portions()):
            done = finished_samples(self.folder, plan)
            # Of the tasks as they will be given to Inspect, for what an earlier race failed at is
            # asked again with them.
            asked = [(c, _with_finished(whole[c.where], task, done.get(c.where, set()))) for c, task in cells]
            lacking = [_lacking(task, cell, done) for cell, task in asked]
            if not self.spending.admits(sum(lacking)):
                return sum(_lacking(task, cell, done) for cell, task in racer.tasks(racer.due()))
            # Inspect writes a log anew for every task it is given, without what the task does not
            # ask for: so each asks for what is there, too, which a race before this one may have
            # run. The first wave of a process asks for all logs.
            due = [
                (cell, task)
                for (cell, task), n in zip(asked, lacking, strict=True)
                if (n or not begun) and cell.where not in stops.reasons
            ]
            begun = True
            for bound, tasks in _no_smaller(due, whole, logged_sizes(self.folder, plan)).items():
                self._make(tasks, bound)
            if due:
                stops.close()
            for line in racer.look(racer.seen([log_path(log) for log in self.logs.values()])):
                counter.note(line)
            self._note()
            counter.needed = plan.needed - racer.spared()
        return 0


def _lacking(task: Task, cell: Cell, done: Done) -> int:
    """Samples × epochs of a task that are not there."""
    there, epochs = done.get(cell.where, set()), range(1, (task.epochs or 1) + 1)
    return sum((str(sample.id), epoch) not in there for sample in task.dataset for epoch in epochs)


def _with_finished(whole: Task, wave: Task, done: set[tuple[str, int]]) -> Task:
    """A wave's task, and besides its samples those of the whole task that are there."""
    due, there = {str(sample.id) for sample in wave.dataset}, {name for name, _ in done}
    return narrowed(whole, [*wave.dataset, *(s for s in whole.dataset if str(s.id) in there - due)])


def _no_smaller(
    due: Sequence[tuple[Cell, Task]], whole: Mapping[Where, Task], logged: Mapping[Where, int]
) -> dict[int, list[Task]]:
    """Tasks by the number of samples they run: of a dataset smaller than its log was begun with
    Inspect runs all anew, so such a task keeps the whole one, what it does not ask for behind."""
    groups: dict[int, list[Task]] = defaultdict(list)
    narrow = [task for cell, task in due if logged.get(cell.where, 0) <= len(task.dataset)]
    if narrow:
        groups[max(len(task.dataset) for task in narrow)] += narrow
    for cell, task in due:
        if logged.get(cell.where, 0) > len(task.dataset):
            asked = {str(sample.id) for sample in task.dataset}
            rest = [sample for sample in whole[cell.where].dataset if str(sample.id) not in asked]
            groups[len(asked)].append(narrowed(whole[cell.where], [*task.dataset, *rest]))
    return groups


def _waves(plan: Plan, folder: Path, spending: Spending, done: Done) -> Iterator[int]:
    """How many samples of each suite to have after each wave."""
    first = plan.grid.sweep.wave
    if plan.budget_usd is None:
        return free_waves(plan.longest, first and max(first, _furthest(plan, done)))
    keys = {}
    for cell, task in plan.tasks:
        places = plan.places(cell, task)
        at = dict(zip(places, task.dataset, strict=False))
        keys[cell.where] = [
            frozenset((str(at[i].id), epoch) for epoch in range(1, (task.epochs or 1) + 1) if i in at)
            for i in range(max(places, default=-1) + 1)
        ]
    return budget_waves(Prefixes(keys, done), spending.admits, first, lambda: finished_samples(folder, plan))


def _furthest(plan: Plan, done: Done) -> int:
    """The first wave that holds all that is there: where money does not end them, waves need not
    begin at the front again."""
    ends = (
        place + 1 if str(sample.id) in names else 0
        for cell, task in plan.tasks
        for names in [{name for name, _ in done.get(cell.where, ())}]
        for place, sample in zip(plan.places(cell, task), task.dataset, strict=False)
    )
    return max(ends, default=0)


def _by_limit(plan: Plan, wave: int, stops: Stops, done: Done) -> dict[int, list[Task]]:
    """Tasks by the number of samples they run in this wave: Inspect takes one `limit` for all
    tasks of an eval set.

    Who was stopped in an earlier wave is not asked again. done: what was there before this run.
    Inspect writes a log anew for every task that it is given, without what lies beyond the limit,
    and a later wave, or a run with a higher limit, would ask for that again: so it comes right
    after the wave's own samples.
    """
    groups: dict[int, list[Task]] = defaultdict(list)
    for cell, task in plan.tasks:
        due, samples = bisect_left(plan.places(cell, task), wave), list(task.dataset)
        if not due or cell.where in stops.reasons:
            continue
        names = {name for name, _ in done.get(cell.where, ())}
        there = [s for s in samples[due:] if str(s.id) in names]
        rest = [s for s in samples[due:] if str(s.id) not in names]
        whole = narrowed(task, [*samples[:due], *there, *rest]) if there else task
        groups[due + len(there)].append(whole)
    return groups


def _prices_of(plan: Plan, folder: Path) -> PricesFile:
    """From the log directory, so that both can move together; at an address they lie with the
    logs, for nothing is beside them on another machine."""
    file = plan.prices_file()
    sha = digest(file) if file.is_file() else None
    if sha is not None and address_of(folder) is not None:
        file = atomic_write(folder / file.name, file.read_bytes())
    return PricesFile(file=Path(os.path.relpath(file.resolve(), folder)).as_posix(), sha256=sha)
