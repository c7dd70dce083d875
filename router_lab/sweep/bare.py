"""What Inspect alone takes for the samples of a sweep on this machine: an estimate starts from it,
and the sweep's own pace is compared with it."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from inspect_ai import Task, eval_set
from inspect_ai.hooks import Hooks, TaskEnd, TaskStart, hooks

from router_lab.providers.keys import marked
from router_lab.runtime.errors import InputError
from router_lab.sweep.evalset import ALWAYS, at_once, is_recorded
from router_lab.sweep.plan import Plan, positions, silent_console
from router_lab.sweep.settings import Where

SAMPLES = 100
"""Of each suite: enough to say how fast a machine is, in about a second."""


class Took(NamedTuple):
    """What a task took, which is its own where tasks run one after the other: `cpu` are the
    seconds of this process and the programs that it ran, which do not depend on what else the
    machine does."""

    samples: int
    seconds: float
    cpu: float


Timed = Mapping[Where, Took]


@contextmanager
def task_times() -> Iterator[Timed]:
    """Fills with the tasks that a sweep, or Inspect itself on a sweep's tasks, runs while this
    lasts."""
    times: dict[Where, Took] = {}
    _Clock.times = times
    try:
        yield times
    finally:
        _Clock.times = None


@hooks(name="router_lab_clock", description="Times the tasks of a demo")
class _Clock(Hooks):
    """Inspect keeps one instance per process. Logs hold whole seconds only."""

    times: dict[Where, Took] | None = None
    begun: tuple[float, float] = (0.0, 0.0)

    def enabled(self) -> bool:
        return _Clock.times is not None

    async def on_task_start(self, data: TaskStart) -> None:
        _Clock.begun = _clocks()

    async def on_task_end(self, data: TaskEnd) -> None:
        name = marked(data.log.eval.metadata, data.log.eval.model_args)
        if _Clock.times is not None and data.log.results is not None and name is not None:
            seconds, cpu = (now - then for now, then in zip(_clocks(), _Clock.begun, strict=True))
            _Clock.times[name] = Took(data.log.results.completed_samples, seconds, cpu)


def _clocks() -> tuple[float, float]:
    """Seconds by the clock and by the processor."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(one.ru_utime + one.ru_stime for one in used)


def bare_times(plan: Plan, limit: int | None) -> Timed:
    """Of each suite's first candidate and first samples, run by `inspect_ai.eval_set` alone, as a
    sweep sets it, into a folder that is thrown away. One sample runs before them: what is loaded
    then is not counted.

    Raises InputError if one of these candidates is not recorded: it would be paid for.
    """
    tasks = first_tasks(plan)
    most = min(limit or SAMPLES, SAMPLES)
    with silent_console():
        for some, length in ((tasks[:1], 1), (tasks, most)):
            with tempfile.TemporaryDirectory(prefix="bare-") as folder, task_times() as times:
                eval_set(some, model=None, log_dir=folder, limit=length, **at_once(some), **ALWAYS)
    return times


def expected_seconds(plan: Plan, times: Timed) -> float:
    """What the whole of `plan` takes, one task after the other, at the pace of a task of each
    suite."""
    per_sample = {suite: took.seconds / took.samples for (suite, *_), took in times.items()}
    return sum(
        per_sample[cell.suite] * positions(cell, task) * (task.epochs or 1) for cell, task in plan.tasks
    )


def added(swept: Timed, bare: Timed) -> float:
    """By which share the tasks of `bare` took more CPU a sample in `swept`."""
    alone = sum(swept[name].samples * took.cpu / took.samples for name, took in bare.items())
    return sum(swept[name].cpu for name in bare) / alone - 1


def first_tasks(plan: Plan) -> list[Task]:
    """The first task of each suite. Raises InputError if one is not recorded."""
    first: dict[str, Task] = {}
    for cell, task in plan.tasks:
        if cell.suite not in first:
            if not is_recorded(task):
                raise InputError(f"{cell.label}: only recorded models are run for the sake of a measurement")
            first[cell.suite] = task
    return list(first.values())
