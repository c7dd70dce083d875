"""Inspect's `eval_set` as a sweep calls it: what is in flight at once, and what is written down as
it happens."""

from __future__ import annotations

import sqlite3
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inspect_ai import Task, eval_set
from inspect_ai.log import EvalLog

from router_lab.config.sweep import Limits
from router_lab.inspect_compat import PrerequisiteError, batches_go_on, one_line, recovery_beside
from router_lab.providers.keys import RECORDED
from router_lab.runtime.errors import InputError
from router_lab.sweep.plan import silent_console

ALWAYS: dict[str, Any] = {
    # A log with a failed sample counts as unfinished, so that the next run asks for that sample
    # again; within this run Inspect's own retries of a call are enough.
    "fail_on_error": True,
    "continue_on_fail": True,
    "retry_immediate": False,
    "retry_attempts": 1,
    "log_dir_allow_dirty": True,
    "log_model_api": False,
    "log_level": "warning",
    "display": "none",
    "score_display": False,
}

RECORDED_SAMPLES = 8
"""Of a recording, at once: a score may be computed by a program of its own, which the next sample
need not wait for."""


def run_tasks(tasks: Sequence[Task], folder: Path, limit: int, limits: Limits) -> list[EvalLog]:
    """The logs of `tasks`, of each the first `limit` samples; what is finished in `folder` is not
    run again.

    After an interrupt, which Inspect takes for itself: fewer logs than tasks, or one whose status
    is `cancelled`.
    """
    logs: list[EvalLog] = []
    # Tasks of providers, then those of recordings: money's first.
    for part in filter(None, ([t for t in tasks if is_recorded(t) is free] for free in (False, True))):
        with _told(folder), silent_console(), recovery_beside(folder), batches_go_on():
            _, made = eval_set(
                part,
                model=None,
                log_dir=str(folder),
                limit=limit,
                token_limit=limits.tokens,
                working_limit=None if limits.seconds is None else int(limits.seconds),
                **at_once(part),
                **ALWAYS,
            )
        logs += made
        if interrupted(part, made):
            break
    return logs


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """What the log folder does to Inspect is said in one line: no room, no right, a log that
    cannot be read."""
    try:
        yield
    except (OSError, sqlite3.Error, zipfile.BadZipFile, zlib.error, EOFError, PrerequisiteError) as error:
        raise InputError(
            f"{folder}: logs cannot be written or read there: {one_line(error)}; what is finished is kept: mend it "
            "(room, rights) and run the same command again"
        ) from error


def interrupted(tasks: Sequence[Task], made: Sequence[EvalLog]) -> bool:
    """Whether a run of `tasks` that left the logs `made` was cancelled."""
    return len(made) < len(tasks) or any(log.status == "cancelled" for log in made)


def at_once(tasks: Sequence[Task]) -> dict[str, Any]:
    """How many of `tasks`, all of recorded models or all of others, run side by side, and whether
    each event is kept.

    A provider is waited for, so all its tasks wait together, bounded by its connections, and what
    it answered is on disk at once: it was paid for. A recording answers immediately and for
    nothing: side by side its tasks only get in each other's way (half as much CPU again, and
    nothing finished for minutes), and a kill costs seconds of work.
    """
    recorded = all(is_recorded(task) for task in tasks)
    if recorded:
        return {"max_tasks": 1, "max_samples": RECORDED_SAMPLES, "log_realtime": False}
    return {"max_tasks": len(tasks), "log_realtime": True}


def is_recorded(task: Task) -> bool:
    """Whether all of the task's answers come from recordings."""
    # A role that the task itself brings, a judge's say, is no candidate's.
    return str(task.model).startswith(RECORDED)
