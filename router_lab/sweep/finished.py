"""What a log directory already holds of a plan: by identity, so that nothing changed is ever taken
for finished."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from inspect_ai import Task
from inspect_ai.log import EvalLog, EvalLogInfo, list_eval_logs, read_eval_log, read_eval_log_sample_summaries

from router_lab.inspect_compat import disown_buffers as disown_buffers
from router_lab.inspect_compat import unwritten
from router_lab.providers.evallog import RawLog
from router_lab.providers.keys import marks
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate
from router_lab.sweep.plan import Plan, positions
from router_lab.sweep.settings import Cell, Where

Done = dict[Where, set[tuple[str, int]]]
"""Finished (sample id, epoch) by cell."""
Identity = tuple[str | int | None, ...]


def finished_samples(folder: Path, plan: Plan, *, settled: bool = False) -> Done:
    """What the logs in `folder` hold of this very plan, by cell; of a run that was killed also
    what it had finished and not yet written to its log, which the next run recovers. settled:
    neither that nor what is in folders within `folder`."""
    found: Done = defaultdict(set)
    for key, info, log in sorted(logs_of(folder, plan), key=lambda one: one[2].eval.created):
        home = log_path(log).parent
        if settled and home != folder.resolve():
            continue
        # What a person has set aside is run again.
        whole = RawLog(log_path(log)).samples() if log.invalidated else ()
        set_aside = {(str(s["id"]), int(s["epoch"])) for s in whole if s.get("invalidation")}
        summaries = read_eval_log_sample_summaries(info)
        found[key] |= {(str(s.id), s.epoch) for s in summaries if s.completed and s.error is None}
        if log.status == "started" and not settled:
            found[key] |= {(str(s.id), s.epoch) for s in unwritten(home, info.name)}
        found[key] -= set_aside
    return found


def unwritten_samples(folder: Path, plan: Plan) -> Done:
    """What a run that was killed had finished in `folder` itself and not yet written to its log,
    by cell."""
    found: Done = defaultdict(set)
    for key, info, log in logs_of(folder, plan):
        if log.status == "started" and log_path(log).parent == folder.resolve():
            found[key] |= {(str(s.id), s.epoch) for s in unwritten(folder, info.name)}
    return found


def logs_of(folder: Path, plan: Plan) -> Iterator[tuple[Where, EvalLogInfo, EvalLog]]:
    """(cell, log, its header) of every log in `folder` that is of this very plan, finished or
    not."""
    if not folder.is_dir():
        return
    wanted = {identity(cell, task): cell.where for cell, task in plan.tasks}
    for info in list_eval_logs(str(folder.resolve())):
        try:
            log = read_eval_log(info, header_only=True)
        except Exception as error:  # whatever Inspect's readers make of a damaged file
            path = Path(unquote(urlsplit(info.name).path)) if "://" in info.name else Path(info.name)
            said = next(iter(str(error).splitlines()), "")[:200] or type(error).__name__
            raise InputError(
                f"{path}: not an Inspect log, or a damaged one: {said}; move it out of {folder}, and its samples are "
                "asked again"
            ) from error
        key = wanted.get(identity_of(log))
        if key is not None:
            yield key, info, log


def logged_sizes(folder: Path, plan: Plan) -> dict[Where, int]:
    """By cell, of how many samples the largest dataset was that a log in `folder` began with."""
    found: dict[Where, int] = {}
    for where, _, log in logs_of(folder, plan):
        found[where] = max(found.get(where, 0), log.eval.dataset.samples or 0)
    return found


def first_error(logs: Iterable[Path]) -> str | None:
    """The last line of the first error that samples in `logs` ended with."""
    for path in logs:
        for summary in read_eval_log_sample_summaries(str(path)):
            if summary.error:
                return next(reversed(summary.error.strip().splitlines()), "")[:300]
    return None


def missing_samples(plan: Plan, folder: Path) -> Callable[[Cell], int]:
    """How many samples × epochs of a cell `folder` does not hold yet; what it holds beyond the
    limit does not count."""
    done = finished_samples(folder, plan)
    wanted = {cell.where: samples_due(cell, task) for cell, task in plan.tasks}
    return lambda cell: len(wanted[cell.where] - done.get(cell.where, set()))


def samples_due(cell: Cell, task: Task) -> set[tuple[str, int]]:
    """(sample id, epoch) of all that a cell runs."""
    samples = task.dataset[: positions(cell, task)]
    return {(str(sample.id), epoch) for sample in samples for epoch in range(1, (task.epochs or 1) + 1)}


def identity(cell: Cell, task: Task) -> Identity:
    """What a log of this cell must say of itself: suite, settings, dataset and candidate."""
    return cell.suite, cell.settings.sha, task.version, *cell.candidate


def identity_of(log: EvalLog) -> Identity:
    """The same, of a log; of one that no sweep of ours made it equals none."""
    suite, candidate = marks(log.eval.metadata, log.eval.model_args)
    named = suite.get("suite"), candidate.get("settings_sha"), log.eval.task_version
    return *named, *(Candidate.of(candidate) if "model" in candidate else (None, None))


def log_path(log: EvalLog) -> Path:
    """Where a log is."""
    parts = urlsplit(log.location)
    return Path(unquote(parts.path) if parts.scheme == "file" else log.location)
