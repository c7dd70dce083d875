"""Run a grid: one `eval_set` a wave over a fixed shuffled order, resumable after any death of the process."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import unquote, urlsplit

import rich
from inspect_ai import Task, eval_set
from inspect_ai.log import EvalLog, list_eval_logs, read_eval_log, read_eval_log_sample_summaries

from router_lab.config import Sweep
from router_lab.providers.keys import CANDIDATE_KEY, MANIFEST, SUITE_KEY
from router_lab.runtime.errors import InputError
from router_lab.runtime.files import atomic_write
from router_lab.sweep.models import build_model, candidate_arguments
from router_lab.sweep.progress import Progress, default_stream
from router_lab.sweep.settings import Cell, Grid, load_grid
from router_lab.sweep.tasks import load_task, with_model


@dataclass(frozen=True)
class SweepResult:
    """What a sweep left: the logs that count (others in the folder are superseded), and how many samples it ran."""

    log_dir: Path
    logs: tuple[Path, ...]
    needed: int
    reused: int
    generated: int
    failed: int
    candidates: tuple[dict[str, Any], ...] = field(repr=False, default=())


@dataclass(frozen=True)
class Plan:
    """The grid with its tasks loaded and its models made: everything that can fail before a request is sent."""

    grid: Grid
    tasks: tuple[tuple[Cell, Task], ...]

    def size(self, cell: Cell, task: Task) -> int:
        """Samples × epochs of a cell."""
        return min(len(task.dataset), cell.limit or len(task.dataset)) * (task.epochs or 1)

    @property
    def needed(self) -> int:
        """Samples × epochs of the whole grid."""
        return sum(self.size(cell, task) for cell, task in self.tasks)


def prepare(source: str | Path | Sweep, *, base: Path | None = None, limit: int | None = None) -> Plan:
    """Read, check and load everything. Raises InputError before anything is written or sent.

    Args:
        source: a sweep file, or a Sweep whose relative paths start at `base`.
        limit: samples per suite at most, for a trial.
    """
    grid = load_grid(source, base)
    cells = tuple(replace(c, limit=min(c.limit or limit, limit)) if limit else c for c in grid.cells)
    recorded = (grid.base / grid.sweep.recorded).resolve()
    loaded: dict[str, Task] = {}
    tasks = []
    for cell in cells:
        key = json.dumps([cell.suite, cell.settings.task_args], sort_keys=True)
        with silent_console():
            if key not in loaded:
                suite = grid.suites[cell.suite]
                loaded[key] = load_task(cell.suite, suite, grid.suites_base, grid.sweep.seed, cell.settings.task_args)
            model = build_model(cell, recorded)
        tasks.append((cell, with_model(loaded[key], model, cell.epochs)))
    return Plan(Grid(grid.sweep, grid.suites, cells, grid.base, grid.suites_base), tuple(tasks))


def run_sweep(
    source: str | Path | Sweep,
    log_dir: str | Path,
    *,
    base: Path | None = None,
    limit: int | None = None,
    progress: TextIO | None = None,
    quiet: bool = False,
) -> SweepResult:
    """Generate what is missing in `log_dir` and return the logs that make up the sweep.

    A sample that is finished there is never asked for again, also after kill -9; one that failed is. Raises InputError.

    Args:
        source, base, limit: as in `prepare`.
        log_dir: folder for Inspect logs; made if absent. One sweep, one folder.
        progress: where progress goes, standard error by default; `quiet=True` prints none.
    """
    plan = prepare(source, base=base, limit=limit)
    folder = Path(log_dir).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    before = finished_samples(folder, plan)
    stream = None if quiet else (progress or default_stream())
    logs: dict[str, EvalLog] = {}
    with Progress(plan.grid.sweep.name, plan.needed, len(before), stream) as counter:
        for wave in waves(plan):
            for bound, tasks in by_limit(plan, wave).items():
                for log in _eval_set(plan, tasks, folder, bound):
                    logs[log.eval.task_id] = log
    paths = tuple(sorted(_path(log) for log in logs.values()))
    result = SweepResult(
        log_dir=folder,
        logs=paths,
        needed=plan.needed,
        reused=len(before),
        generated=counter.finished,
        failed=counter.failed,
        candidates=tuple(candidate_arguments(cell) for cell in plan.grid.cells),
    )
    write_manifest(plan, result)
    return result


def waves(plan: Plan) -> Iterator[int]:
    """Growing numbers of samples per suite, doubling until the longest suite is done."""
    longest = max(min(len(t.dataset), c.limit or len(t.dataset)) for c, t in plan.tasks)
    size = plan.grid.sweep.wave
    while size is not None and size < longest:
        yield size
        size *= 2
    yield longest


def by_limit(plan: Plan, wave: int) -> dict[int, list[Task]]:
    """Tasks by the number of samples they run in this wave: Inspect takes one `limit` for all tasks of an eval set."""
    groups: dict[int, list[Task]] = defaultdict(list)
    for cell, task in plan.tasks:
        groups[min(wave, cell.limit or wave)].append(task)
    return groups


def _eval_set(plan: Plan, tasks: list[Task], folder: Path, limit: int) -> list[EvalLog]:
    limits = plan.grid.sweep.limits
    with silent_console():
        _, logs = eval_set(
            tasks,
            log_dir=str(folder),
            model=None,
            limit=limit,
            max_tasks=len(tasks),
            fail_on_error=False,
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


def finished_samples(folder: Path, plan: Plan) -> set[tuple[str, str | None, str, str, int]]:
    """(model, effort, suite, sample id, epoch) that finished logs in `folder` hold for this very plan."""
    wanted = {
        (cell.suite, cell.settings.sha, task.metadata[SUITE_KEY]["dataset_sha"], cell.candidate)
        for cell, task in plan.tasks
        if task.metadata
    }
    found = set()
    for info in list_eval_logs(str(folder)):
        log = read_eval_log(info, header_only=True)
        candidate = log.eval.model_args.get(CANDIDATE_KEY)
        suite = (log.eval.metadata or {}).get(SUITE_KEY)
        if not candidate or not suite:
            continue
        name = (candidate["model"], candidate["effort"])
        if (suite["suite"], candidate["settings_sha"], suite["dataset_sha"], name) in wanted:
            found |= {
                (*name, str(suite["suite"]), str(s.id), s.epoch)
                for s in read_eval_log_sample_summaries(info)
                if s.completed and s.error is None
            }
    return found


def write_manifest(plan: Plan, result: SweepResult) -> Path:
    """Say in the log directory which logs belong to the sweep."""
    content = {
        "sweep": plan.grid.sweep.name,
        "logs": [path.name for path in result.logs],
        "needed": result.needed,
        "candidates": list(result.candidates),
    }
    return atomic_write(result.log_dir / MANIFEST, (json.dumps(content, indent=1) + "\n").encode())


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a log directory, or None. Raises InputError if it is no JSON object."""
    path = folder / MANIFEST
    if not path.exists():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    return content


@contextmanager
def silent_console() -> Iterator[None]:
    """Inspect greets and reports on standard output, which belongs to the command's result."""
    console = rich.get_console()
    quiet, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = quiet


def _path(log: EvalLog) -> Path:
    parts = urlsplit(log.location)
    return Path(unquote(parts.path) if parts.scheme == "file" else log.location)
