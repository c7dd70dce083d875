"""Who runs a sweep's samples: this process (`local`), or a cluster of machines (`ray`).

A sweep says which samples are due, wave by wave; an engine has them run and says which logs there
are. Both write what they finish into the log directory as they finish it, and every call into one
ledger before it is made, so that a run goes on from wherever the one before it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from inspect_ai import Task
from inspect_ai.log import EvalLog

from router_lab.config import Sweep
from router_lab.runtime.errors import InputError
from router_lab.sweep.budget import Spending
from router_lab.sweep.ledger import Book
from router_lab.sweep.plan import Plan
from router_lab.sweep.progress import Progress
from router_lab.sweep.stop import Stops
from router_lab.sweep_manifest import SweepManifest

EngineName = Literal["local", "ray"]
LOCAL, RAY = "local", "ray"


class Engine(Protocol):
    """Runs the samples of one plan in one log directory, for as long as it is open."""

    name: str

    @property
    def ledger(self) -> Book:
        """Where every call is written down."""

    def watched(self, spending: Spending, counter: Progress, stops: Stops) -> AbstractContextManager[object]:
        """While this lasts `counter` and `stops` hear of every sample, `spending` of every
        call."""

    def make(self, tasks: Sequence[Task], limit: int) -> list[EvalLog]:
        """The logs of `tasks` (oldest first), of each the first `limit` samples; what is finished
        is not run again.

        Raises InputError for what ends the sweep, and KeyboardInterrupt where somebody stopped it;
        what was finished by then is kept.
        """


@dataclass(frozen=True)
class Place:
    """A plan, where it came from (a sweep file, or a Sweep whose paths start at `base`), and its
    log directory."""

    plan: Plan
    folder: Path
    source: str | Path | Sweep
    base: Path | None = None


def open_engine(name: str, place: Place) -> AbstractContextManager[Engine]:
    """The engine of that name. Raises InputError, also while it opens, for a plan or a log
    directory that it cannot serve."""
    return _OPENERS[name](place)


def _local(place: Place) -> AbstractContextManager[Engine]:
    from router_lab.sweep.engines.local import local_engine

    if SweepManifest.of(place.folder).engine == RAY:
        raise InputError(
            f"{place.folder}: has several logs of one candidate and suite, as `--engine ray` writes them, and Inspect "
            "would go on from one of them alone and pay for the others again: give `--engine ray` here too (one "
            "machine is enough), or another log directory"
        )
    return local_engine(place)


def _ray(place: Place) -> AbstractContextManager[Engine]:
    try:
        from router_lab.sweep.engines.cluster import ray_engine
    except ModuleNotFoundError as error:
        if error.name != RAY:
            raise
        raise InputError(
            "--engine ray needs Ray, which is not installed: pip install 'router-lab[ray]', on every machine"
        ) from None
    return ray_engine(place)


_OPENERS: dict[str, Callable[[Place], AbstractContextManager[Engine]]] = {LOCAL: _local, RAY: _ray}
