"""Run a grid: one `eval_set` a wave over a fixed shuffled order, resumable after any death of the process."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import unquote, urlsplit

from inspect_ai import Task, eval_set
from inspect_ai.log import EvalLog, list_eval_logs, read_eval_log, read_eval_log_sample_summaries

from router_lab.config import Sweep
from router_lab.prices.table import digest
from router_lab.providers.keys import CANDIDATE_KEY, MANIFEST, SUITE_KEY, tier_of
from router_lab.runtime.errors import InputError
from router_lab.runtime.files import atomic_write
from router_lab.sweep.budget import Spending, meter
from router_lab.sweep.buffer import disown_buffers, recovery_beside
from router_lab.sweep.ledger import Ledger
from router_lab.sweep.plan import Plan, positions, prepare, silent_console
from router_lab.sweep.progress import Progress, default_stream
from router_lab.sweep.race import RaceOptions, Racer, narrowed
from router_lab.sweep.settings import Cell
from router_lab.sweep.waves import Prefixes, budget_waves, free_waves

Done = dict[str, set[tuple[str, int]]]
"""Finished (sample id, epoch) by cell key."""


@dataclass(frozen=True)
class SweepResult:
    """What a sweep left: the logs that count (others in the folder are superseded), and how many samples it ran.

    `spent_usd`: all calls of this log directory so far, also of runs before this one. `unrun`: samples × epochs for
    which the budget did not reach; more money continues them. `spared`: samples × epochs that a race left out; `raced`:
    what it settled on or who is still in, a picture for each suite, and `verdicts` the
    same as data.
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


def run_sweep(
    source: str | Path | Sweep,
    log_dir: str | Path,
    *,
    base: Path | None = None,
    limit: int | None = None,
    budget_usd: float | None = None,
    race: RaceOptions | None = None,
    batch: bool = False,
    progress: TextIO | None = None,
    quiet: bool = False,
) -> SweepResult:
    """Generate what is missing in `log_dir` and return the logs that make up the sweep.

    A sample that is finished there is never asked for again, also after kill -9 or an interrupt (which is raised as
    KeyboardInterrupt); one that failed is. With a budget (`budget_usd`, else the sweep file's), what all runs in
    `log_dir` have spent never passes it. Raises InputError.

    Args:
        source, base, limit, budget_usd: as in `prepare`.
        log_dir: folder for Inspect logs; made if absent. One sweep, one folder.
        race: drop candidates that cannot win, as they are shown not to; see `router_lab.metrics.racing`.
        batch: through the providers' batch APIs, at their price; see `router_lab.sweep.batch`.
        progress: where progress goes, standard error by default; `quiet=True` prints none.
    """
    plan = prepare(source, base=base, limit=limit, budget_usd=budget_usd, batch=batch)
    folder = Path(log_dir).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    disown_buffers(folder)
    done = finished_samples(folder, plan)
    reused = sum(map(len, done.values()))
    spending = _spending(plan, folder)
    stream = None if quiet else (progress or default_stream())
    logs: dict[str, EvalLog] = {}
    racer = None if race is None else Racer(plan, folder, race)
    meter(spending)
    try:
        with Progress(plan.grid.sweep.name, plan.needed, reused, stream) as counter:
            if racer is None:
                unrun = _run_waves(plan, folder, spending, done, logs)
            else:
                unrun = _run_race(plan, folder, spending, racer, counter, logs)
    finally:
        meter(None)
        spending.ledger.shut()
    result = SweepResult(
        log_dir=folder,
        logs=tuple(sorted(_path(log) for log in logs.values())),
        needed=plan.needed,
        reused=reused,
        generated=counter.finished,
        failed=counter.failed,
        spent_usd=spending.ledger.spent_usd,
        unrun=unrun,
        spared=racer.spared() if racer is not None else 0,
        raced=tuple(racer.outcome()) if racer is not None else (),
        verdicts=tuple(racer.verdicts()) if racer is not None else (),
    )
    _write_manifest(plan, result, logs, racer)
    return result


def _run_waves(plan: Plan, folder: Path, spending: Spending, done: Done, logs: dict[str, EvalLog]) -> int:
    """All cells to the same length, as far as the money reaches; returns samples × epochs that it does not."""
    reach = 0
    for reach in _waves(plan, spending, done):
        for bound, tasks in _by_limit(plan, reach).items():
            made = _eval_set(plan, tasks, folder, bound)
            _refuse_stop(plan, spending, tasks, made)
            logs |= {log.eval.task_id: log for log in made}
    return sum(max(0, positions(c, t) - reach) * (t.epochs or 1) for c, t in plan.tasks)


def _run_race(
    plan: Plan, folder: Path, spending: Spending, racer: Racer, counter: Progress, logs: dict[str, EvalLog]
) -> int:
    """Wave by wave, those still in and the others' random floor; returns what the money did not reach."""
    begun, whole = False, {cell_key(cell): task for cell, task in plan.tasks}
    for cells in racer.portions():
        done = finished_samples(folder, plan)
        lacking = {cell_key(cell): _lacking(task, done.get(cell_key(cell), set())) for cell, task in cells}
        if not spending.admits(sum(lacking.values())):
            return sum(_lacking(task, done.get(cell_key(cell), set())) for cell, task in racer.due())
        # Inspect writes a log anew for every task it is given, without what the task does not ask for: so each asks for
        # what is there, too, which a race before this one may have run. The first wave of a process asks for all logs.
        due = [
            _with_finished(whole[cell_key(cell)], task, done.get(cell_key(cell), set()))
            for cell, task in cells if not begun or lacking[cell_key(cell)]
        ]  # fmt: skip
        begun = True
        if due:
            longest = max(len(task.dataset) for task in due)
            made = _eval_set(plan, due, folder, longest)
            _refuse_stop(plan, spending, due, made)
            logs |= {log.eval.task_id: log for log in made}
        for line in racer.look([_path(log) for log in logs.values()]):
            counter.note(line)
        counter.needed = plan.needed - racer.spared()
    return 0


def _lacking(task: Task, done: set[tuple[str, int]]) -> int:
    """Samples × epochs of a task that are not there."""
    return sum((str(s.id), epoch) not in done for s in task.dataset for epoch in range(1, (task.epochs or 1) + 1))


def _with_finished(whole: Task, wave: Task, done: set[tuple[str, int]]) -> Task:
    """A wave's task, and besides its samples those of the whole task that are there."""
    due, there = {str(sample.id) for sample in wave.dataset}, {name for name, _ in done}
    return narrowed(whole, [*wave.dataset, *(s for s in whole.dataset if str(s.id) in there - due)])


def _refuse_stop(plan: Plan, spending: Spending, tasks: list[Task], made: list[EvalLog]) -> None:
    """Raise what kept a wave from its end: a fault, or an interrupt, which Inspect takes for itself: it cancels what
    runs and returns what logs there are."""
    if spending.fault:
        raise InputError(f"sweep {plan.grid.sweep.name}: {spending.fault}")
    if len(made) < len(tasks) or any(log.status == "cancelled" for log in made):
        raise KeyboardInterrupt


def finished_samples(folder: Path, plan: Plan) -> Done:
    """What the logs in `folder` hold of this very plan, by cell key; crashed logs count what they had written down."""
    if not folder.is_dir():
        return {}
    folder = folder.resolve()
    wanted = {_identity(cell, task): cell_key(cell) for cell, task in plan.tasks}
    found: Done = defaultdict(set)
    for info in list_eval_logs(str(folder)):
        log = read_eval_log(info, header_only=True)
        candidate = log.eval.model_args.get(CANDIDATE_KEY) or {}
        suite = (log.eval.metadata or {}).get(SUITE_KEY) or {}
        identity = (suite.get("suite"), candidate.get("settings_sha"), log.eval.task_version)
        key = wanted.get((*identity, candidate.get("model"), candidate.get("effort")))
        if key is not None:
            summaries = read_eval_log_sample_summaries(info)
            found[key] |= {(str(s.id), s.epoch) for s in summaries if s.completed and s.error is None}
    return found


def missing_samples(plan: Plan, folder: Path) -> Callable[[Cell], int]:
    """How many samples × epochs of a cell `folder` does not hold yet."""
    done = finished_samples(folder, plan)
    planned = {cell_key(cell): positions(cell, task) * (task.epochs or 1) for cell, task in plan.tasks}
    return lambda cell: max(0, planned[cell_key(cell)] - len(done.get(cell_key(cell), ())))


def _identity(cell: Cell, task: Task) -> tuple[str | int | None, ...]:
    return cell.suite, cell.settings.sha, task.version, cell.model, cell.effort


def cell_key(cell: Cell) -> str:
    """Names a cell where finished samples are counted."""
    return json.dumps([cell.suite, cell.model, cell.effort])


def _spending(plan: Plan, folder: Path) -> Spending:
    sample_usd = plan.grid.sweep.limits.usd
    ledger = Ledger(folder, plan.prices(), priced=sample_usd is not None, tier=plan.tier)
    shots = (json.dumps([dict(shot) for shot in cell.settings.few_shot]) for cell, _ in plan.tasks)
    return Spending(
        ledger,
        {str(task.model): cell.model for cell, task in plan.tasks},
        budget_usd=plan.budget_usd,
        sample_usd=sample_usd,
        extra_bytes=max(len(text.encode()) for text in shots),
        tiers={tier_of({**c.settings.config, **c.transport}, c.settings.model_args) for c, _ in plan.tasks},
        hour_writes=any(
            c.transport.get("cache_prompt") or c.settings.model_args.get("cache_ttl") for c, _ in plan.tasks
        ),
    )


def _waves(plan: Plan, spending: Spending, done: Done) -> Iterator[int]:
    """How many samples of each suite to have after each wave."""
    first = plan.grid.sweep.wave
    if plan.budget_usd is None:
        return free_waves(max(positions(cell, task) for cell, task in plan.tasks), first)
    keys = {
        cell_key(cell): [
            frozenset((str(sample.id), epoch) for epoch in range(1, (task.epochs or 1) + 1))
            for sample in task.dataset[: positions(cell, task)]
        ]
        for cell, task in plan.tasks
    }
    return budget_waves(Prefixes(keys, done), spending.admits, first)


def _by_limit(plan: Plan, wave: int) -> dict[int, list[Task]]:
    """Tasks by the number of samples they run in this wave: Inspect takes one `limit` for all tasks of an eval set."""
    groups: dict[int, list[Task]] = defaultdict(list)
    for cell, task in plan.tasks:
        groups[min(wave, cell.limit or wave)].append(task)
    return groups


def _eval_set(plan: Plan, tasks: list[Task], folder: Path, limit: int) -> list[EvalLog]:
    limits = plan.grid.sweep.limits
    with silent_console(), recovery_beside(folder):
        _, logs = eval_set(
            tasks,
            log_dir=str(folder),
            model=None,
            limit=limit,
            max_tasks=len(tasks),
            # A log with a failed sample counts as unfinished, so that the next run asks for that sample again; within
            # this run Inspect's own retries of a call are enough.
            fail_on_error=True,
            continue_on_fail=True,
            retry_immediate=False,
            retry_attempts=1,
            log_realtime=True,
            log_dir_allow_dirty=True,
            log_model_api=False,
            log_level="warning",
            display="none",
            score_display=False,
            turn_limit=limits.turns,
            token_limit=limits.tokens,
            working_limit=None if limits.seconds is None else int(limits.seconds),
        )
    return logs


def _write_manifest(plan: Plan, result: SweepResult, logs: dict[str, EvalLog], racer: Racer | None) -> Path:
    """Say in the log directory which logs belong to the sweep, how far it was to go, and what candidates send."""
    planned = {_identity(cell, task): positions(cell, task) for cell, task in plan.tasks}
    content = {
        "sweep": plan.grid.sweep.name,
        "logs": [path.name for path in result.logs],
        "planned": {_path(log).name: planned[_identity_of(log)] for log in logs.values()},
        # A log lists only the samples that its last wave wanted; `collect` says of the others that money ran out.
        "order": {str(task.version): [str(sample.id) for sample in task.dataset] for _, task in plan.tasks},
        "needed": result.needed,
        "budget_usd": plan.budget_usd,
        "spent_usd": result.spent_usd,
        "prices": _prices_of(plan, result.log_dir),
        "unrun": result.unrun,
        "candidates": plan.candidates(),
        **({"race": racer.to_json()} if racer is not None else {}),
    }
    return atomic_write(result.log_dir / MANIFEST, (json.dumps(content, indent=1) + "\n").encode())


def _prices_of(plan: Plan, folder: Path) -> dict[str, Any]:
    """Where the sweep's prices are, from its log directory, so that both can move together. Null: genai-prices."""
    file = plan.prices_file()
    sha = digest(file) if file.is_file() else None
    return {"file": Path(os.path.relpath(file.resolve(), folder)).as_posix(), "sha256": sha}


def _identity_of(log: EvalLog) -> tuple[str | int | None, ...]:
    candidate, suite = log.eval.model_args[CANDIDATE_KEY], (log.eval.metadata or {})[SUITE_KEY]
    version = log.eval.task_version
    return suite["suite"], candidate["settings_sha"], version, candidate["model"], candidate["effort"]


def _path(log: EvalLog) -> Path:
    parts = urlsplit(log.location)
    return Path(unquote(parts.path) if parts.scheme == "file" else log.location)
