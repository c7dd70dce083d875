"""`reference_share`: the dear reference runs on a part of the samples that is drawn at a known
probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from inspect_ai import Task

from router_lab.config import Sweep
from router_lab.racing.order import in_share
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate
from router_lab.sweep.cluster import cluster_of, narrowed
from router_lab.sweep.settings import Cell, Grid
from router_lab.sweep_manifest import DrawnPart

PART = "reference"
Tasks = tuple[tuple[Cell, Task], ...]


@dataclass(frozen=True)
class Drawn:
    """Which samples of each suite the reference runs.

    candidate: its name in outcomes. share: the probability. places: by suite, where they stand in
    the suite's order. whole: by suite, how many samples there are; order: their ids.
    """

    candidate: Candidate
    share: float
    places: dict[str, list[int]]
    order: dict[str, list[str]]

    def has(self, cell: Cell) -> bool:
        """Whether a cell runs the drawn part alone."""
        return cell.candidate == self.candidate

    def part(self) -> DrawnPart:
        """For the manifest."""
        samples = {suite: [self.order[suite][i] for i in places] for suite, places in self.places.items()}
        return DrawnPart.of(self.candidate, share=self.share, samples=samples, order=self.order)


def draw_reference(grid: Grid, tasks: Tasks) -> tuple[Tasks, Drawn | None]:
    """The tasks, the reference's limited to what is drawn for it; None where it runs everything.

    A hash of the sweep's seed, suite and group draws, so a sweep that goes on or grows draws the
    same, and a larger share only adds. Raises InputError for a reference that is no candidate, and
    where nothing is drawn of any suite.
    """
    sweep = grid.sweep
    if sweep.reference is None or sweep.reference_share >= 1:
        return tasks, None
    candidate = _named(sweep, tasks)
    drawn = Drawn(candidate, sweep.reference_share, {}, {})
    result: list[tuple[Cell, Task]] = []
    for cell, task in tasks:
        if drawn.has(cell):
            samples = list(task.dataset)[: cell.limit]
            kept = [
                in_share(
                    sweep.seed,
                    cell.suite,
                    cluster_of(one, grid.suites[cell.suite].group),
                    drawn.share,
                    part=PART,
                )
                for one in samples
            ]
            drawn.places[cell.suite] = [i for i, one in enumerate(kept) if one]
            drawn.order[cell.suite] = [str(one.id) for one in samples]
            due = [one for one, own in zip(samples, kept, strict=True) if own]
            # The others stay behind, for a log must not be given fewer than it was begun with, and
            # those of them that an earlier share, or limit, has run are kept in it.
            rest = [one for one, own in zip(samples, kept, strict=True) if not own]
            task = narrowed(task, [*due, *rest, *list(task.dataset)[len(samples) :]])
            cell = replace(cell, limit=len(due))
        result.append((cell, task))
    if not any(drawn.places.values()):
        count = sum(map(len, drawn.order.values()))
        raise InputError(
            f"sweep {sweep.name}: reference_share {drawn.share:g} of {count} samples draws none for "
            f"{candidate}; take a larger share, or more samples"
        )
    return tuple(result), drawn


def _named(sweep: Sweep, tasks: Tasks) -> Candidate:
    assert sweep.reference is not None
    wanted = sweep.reference.candidate
    for cell, task in tasks:
        if wanted in (
            cell.candidate,
            *(Candidate(name, *cell.candidate[1:]) for name in (str(task.model), cell.spec.model)),
        ):
            return cell.candidate
    known = ", ".join(dict.fromkeys(str(cell.candidate) for cell, _ in tasks))
    raise InputError(
        f"sweep {sweep.name}: `reference` is {wanted}, which is none of its candidates; name one by model "
        f"and effort as the sweep has them: {known}"
    )


def told(drawn: Drawn, estimates: Sequence[Any]) -> str:
    """What the share spares, for an estimate (`forecast.CellEstimate`) of what is lacking."""
    run, whole = (sum(map(len, part.values())) for part in (drawn.places, drawn.order))
    line = f"reference_share {drawn.share:g}: {Candidate(*drawn.candidate)} runs {run} of {whole} samples, drawn by group"
    spared = spared_usd(drawn, estimates)
    return f"{line}; on all of them it would cost ${spared:.4f} more" if spared is not None else line


def spared_usd(drawn: Drawn, estimates: Sequence[Any]) -> float | None:
    """Dollars that the samples would cost for which the reference was not drawn; None where no
    cost is known."""
    mine = [e for e in estimates if e.candidate == drawn.candidate]
    if any(e.sample_usd is None for e in mine):
        return None
    return float(
        sum(e.sample_usd * e.epochs * (len(drawn.order[e.suite]) - len(drawn.places[e.suite])) for e in mine)
    )
