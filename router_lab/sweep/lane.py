"""One suite of a race: which samples each candidate is due on, before, while and after it races."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from inspect_ai import Task
from inspect_ai.dataset import Sample

from router_lab.metrics.race_order import on_floor, waves, whole_clusters
from router_lab.metrics.racing import Leave, Race, RaceRule
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate
from router_lab.sweep.cluster import cluster_of
from router_lab.sweep.plan import Plan, positions
from router_lab.sweep.settings import Cell

FIRST_WAVE = 10
"""Samples per suite in the first wave of a race, where the sweep file does not say."""


@dataclass
class Lane:
    """One suite of the race: its cells in file order, samples in the race's order, and who ran what.

    In each wave a candidate runs all samples or the floor alone; `skipped` has the ranges of the latter by column.
    Where nothing was settled by the last wave, those who still run catch up on what they have skipped, so that the race
    may release those who wait, and whoever is left after that runs everything.
    """

    suite: str
    cells: list[tuple[Cell, Task]]
    samples: list[Sample]
    clusters: list[str]
    ends: list[int]
    sizes: list[int]
    race: Race
    floor: list[bool]
    shown: int = 0
    asked: bool = False
    """Whether the race was asked whom it releases."""

    def __post_init__(self) -> None:
        self.skipped: dict[int, list[tuple[int, int]]] = {}
        self.leaves: list[tuple[int, Leave]] = []

    def samples_of(self, column: int, size: int) -> list[Sample]:
        """What a candidate has to have run once the race is `size` samples long."""
        due = [True] * size
        for start, end in self.ranges(column, size):
            due[start : min(end, size)] = self.floor[start : min(end, size)]
        return [sample for sample, now in zip(self.samples, due, strict=False) if now]

    def ranges(self, column: int, size: int) -> list[tuple[int, int]]:
        """From where to where, in the race's order, a candidate is due on the floor alone, up to `size` samples."""
        if column in (self.catching_up or ()):
            return []
        before = self.skipped.get(column, [])
        return before if self.race.running[column] or size <= self.shown else _joined(before, self.shown, size)

    @property
    def catching_up(self) -> list[int] | None:
        """Columns that run what they have skipped before `finish`; None while there are waves to come, and at last."""
        if self.shown < len(self.samples) or not self.race.racing.any():
            return None
        asks = bool(self.race.waiting.any()) and not self.asked
        who = self.race.running if asks else self.race.racing
        late = [column for column in np.flatnonzero(who).tolist() if column in self.skipped]
        return late if late or asks else None

    def take(self, size: int, quality: list[list[float | None]], cost: list[list[float | None]]) -> list[Leave]:
        """Look at rows `shown` to `size` and remember who leaves."""
        for column in np.flatnonzero(~self.race.running).tolist():
            self.skipped[column] = _joined(self.skipped.get(column, []), self.shown, size)
        codes = np.searchsorted(self.ends, np.arange(self.shown, size), side="right")
        leaves = self.race.look(np.array(quality, float), np.array(cost, float), codes)
        self.shown = size
        self.leaves += [(size, leave) for leave in leaves]
        return leaves

    def finish(self, quality: list[list[float | None]]) -> list[Leave]:
        """Look at all rows [n, c] once those catching up have caught up, and remember who is released."""
        for column in self.catching_up or ():
            del self.skipped[column]
        leaves: list[Leave] = []
        if self.race.waiting.any() and not self.asked:
            codes = np.searchsorted(self.ends, np.arange(len(self.samples)), side="right")
            leaves = self.race.release(np.array(quality, float), codes)
        self.asked = True
        self.leaves += [(self.shown, leave) for leave in leaves]
        return leaves


def _joined(ranges: list[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    if ranges and ranges[-1][1] == start:
        return [*ranges[:-1], (ranges[-1][0], end)]
    return [*ranges, (start, end)]


def lanes_of(plan: Plan, rule: RaceRule, reference: tuple[str, str | None] | None) -> list[Lane]:
    """A lane for each suite of a prepared sweep. Raises InputError for a reference that does not run a suite, and
    for one that runs a drawn part alone."""
    if plan.drawn is not None:
        raise InputError(
            "a race compares all candidates on the same samples, and `reference_share` keeps the reference from some "
            "of them; run the sweep without --race, or with reference_share: 1"
        )
    lanes, first = [], plan.grid.sweep.wave or FIRST_WAVE
    for suite in dict.fromkeys(cell.suite for cell, _ in plan.tasks):
        cells = [(cell, task) for cell, task in plan.tasks if cell.suite == suite]
        candidates = [cell.candidate for cell, _ in cells]
        asked = [(str(task.model), cell.effort) for cell, task in cells]  # as the sweep file names them
        if reference is not None and reference not in candidates and reference in asked:
            reference = candidates[asked.index(reference)]
        if reference is not None and reference not in candidates:
            known = ", ".join(str(Candidate(*one)) for one in candidates)
            who = Candidate(*reference)
            raise InputError(
                f"`race.reference` is {who}, which does not run suite `{suite}`; name one that runs every suite, by "
                f"model and effort as the sweep has them: {known}"
            )
        cell, task = cells[0]
        samples = list(task.dataset)[: positions(cell, task)]
        names = [cluster_of(sample, plan.grid.suites[suite].group) for sample in samples]
        codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
        order, ends = whole_clusters(np.array([codes[name] for name in names]))
        clusters = [names[i] for i in order]
        floor = [on_floor(plan.grid.sweep.seed, suite, name, rule.floor) for name in clusters]
        sizes = waves(first, ends, batch=plan.tier == "batch")
        looks = np.searchsorted(ends, sizes, side="right").tolist()
        race = Race(rule, len(cells), None if reference is None else candidates.index(reference), looks)
        lanes.append(Lane(suite, cells, [samples[i] for i in order], clusters, ends.tolist(), sizes, race, floor))
    return lanes
