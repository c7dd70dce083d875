"""Guarded nearest neighbours, distilled into the ridge: for repeated kinds of prompts with noisy
outcomes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from router_lab.fit.fitters.blend import Blend
from router_lab.fit.fitters.neighbours import COUNTS, STRENGTHS, Neighbourhood, Reach, departures
from router_lab.fit.fitters.tuning import agreement, explained_by, some, tuned
from router_lab.fit.folds import left_out
from router_lab.fit.task import Floats, Ints, Task, suite_rates


@dataclass(frozen=True)
class Neighbours(Blend):
    """Fits the ridge to what each row's neighbours got, not to what it got itself: one lucky
    answer teaches nothing. reaches: of quality and of cost; None where there is nothing to be near
    to."""

    reaches: tuple[Reach, Reach] | None = None
    most: ClassVar[float] = 4.0  # reach and penalty both shrink it, and left-out rows may ask for more

    @classmethod
    def tuned(cls, task: Task, folds: Ints, seed: int) -> Self:
        if not task.texts.any() or folds.max() == 0:
            return cls(blend=(0.0, 0.0))
        return tuned(replace(cls(), reaches=choose_reaches(task, folds, seed)), task, folds, seed)

    def aims(self, task: Task, rows: Ints, rates: Floats) -> Floats:
        """The suite's rates, and by how much the neighbours of each row, other groups of `rows`,
        depart from theirs."""
        if self.reaches is None:
            return task.targets[rows]
        residual = np.zeros_like(task.targets)
        residual[rows] = task.targets[rows] - rates[task.suite[rows]]
        found = neighbourhood(task).among(rows, residual, task.weights, self.reaches)
        return np.asarray(rates[task.suite[rows]] + found, np.float64)

    def notes(self) -> dict[str, Any]:
        found = super().notes()
        return (
            found if self.reaches is None else {**found, "reaches": [list(reach) for reach in self.reaches]}
        )


def neighbourhood(task: Task) -> Neighbourhood:
    return task.once("neighbourhood", lambda: Neighbourhood(task.design, task.group))


def choose_reaches(task: Task, folds: Ints, seed: int) -> tuple[Reach, Reach]:
    """How many neighbours are followed, and how close they must be, for quality and for cost
    apart: the reach whose departures explain most of rows whose fold is left out, neighbours being
    sought in the others."""
    rows = some(task, seed)
    reaches = [Reach(count, strength) for count in COUNTS for strength in STRENGTHS]
    shared, square = np.zeros((len(reaches), 2)), np.zeros((len(reaches), 2))
    for train, out in left_out(folds, rows):
        rates = suite_rates(task.targets[train], task.weights[train], task.suite[train], task.suites)
        residual = task.targets - rates[task.suite]
        near = neighbourhood(task).near(out, train, max(COUNTS))
        for i, reach in enumerate(reaches):
            products = agreement(task, out, departures(near, residual, task.weights, reach), residual[out])
            shared[i] += products[0]
            square[i] += products[1]
    blend = explained_by(shared, square)[1]
    # Unlike the greatest shared^2 / square: of two alike, the freer.
    best = (2 * blend * shared - blend * blend * square).argmax(axis=0)
    return reaches[best[0]], reaches[best[1]]
