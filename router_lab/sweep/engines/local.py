"""All samples in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from inspect_ai import Task
from inspect_ai.log import EvalLog

from router_lab.inspect_compat import disown_buffers, drop_half_recovered
from router_lab.runtime.errors import InputError
from router_lab.sweep.budget import Spending, meter
from router_lab.sweep.engines import LOCAL, Place
from router_lab.sweep.evalset import interrupted, run_tasks
from router_lab.sweep.money import ledger_of
from router_lab.sweep.progress import Progress
from router_lab.sweep.stop import Stops, watch


class LocalEngine:
    """Inspect's hooks tell of what happens here, as long as it is watched."""

    name = LOCAL

    def __init__(self, place: Place) -> None:
        self.place, self.ledger = place, ledger_of(place.plan, place.folder)

    @contextmanager
    def watched(self, spending: Spending, counter: Progress, stops: Stops) -> Iterator[None]:
        """As `Engine` has it."""
        self._spending = spending
        meter(spending)
        watch(stops)
        try:
            yield
        finally:
            meter(None)
            watch(None)

    def make(self, tasks: Sequence[Task], limit: int) -> list[EvalLog]:
        """As `Engine` has it: a fault, or an interrupt, which Inspect takes for itself (it cancels
        what runs and returns what logs there are), is raised."""
        sweep = self.place.plan.grid.sweep
        made = run_tasks(tasks, self.place.folder, limit, sweep.limits)
        fault = self._spending.fault or self.ledger.broken
        if fault:
            raise InputError(f"sweep {sweep.name}: {fault}")
        if interrupted(tasks, made):
            raise KeyboardInterrupt
        return made


@contextmanager
def local_engine(place: Place) -> Iterator[LocalEngine]:
    """For the samples of a plan in its log directory."""
    disown_buffers(place.folder)
    drop_half_recovered(place.folder)
    yield LocalEngine(place)
