"""What a policy has to hold, and the outcomes that it is judged by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Goal:
    """What must hold with probability `confidence`, and how it is tested.

    kind `margin`: lose at most `level` of mean quality against the reference; `quality`: a mean quality of at least
    `level`; `budget`: at most `level` dollars a request. The first two save as much as they can, a budget buys quality.
    `strict` tests by betting. `mix` allows chance.
    """

    kind: str
    level: float
    confidence: float
    strict: bool = False
    mix: bool = True

    @property
    def floor(self) -> float:
        """Least mean of `Evidence.values`."""
        return -self.level if self.kind == "margin" else 0.0


def column_means(values: Floats) -> Floats:
    """[c] means of what is known; NaN for a column without anything."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


@dataclass(frozen=True)
class Evidence:
    """Outcomes on which an operating point is chosen: n rows, c candidates.

    quality, cost_usd [n, c] as observed (NaN = missing); eligible [n, c]: may be chosen for that row; covered [n]: rows
    on which predictions are followed; elsewhere the column in `table` [n] acts; group, fold [n]; reference: its column.
    """

    quality: Floats
    cost_usd: Floats
    eligible: NDArray[np.bool_]
    covered: NDArray[np.bool_]
    table: Ints
    group: Ints
    fold: Ints
    reference: int

    @property
    def idle(self) -> Ints:
        """[n] what acts at mix 0: the reference, and the table where predictions are not followed."""
        return np.where(self.covered, self.reference, self.table)

    @property
    def unit(self) -> float:
        """Mean known cost of the reference in dollars; 1 where it costs nothing or nothing is known."""
        mean = float(np.nan_to_num(column_means(self.cost_usd[:, [self.reference]]))[0])
        return mean if mean > 0 else 1.0

    def everywhere(self) -> Evidence:
        """The same, with predictions followed on every row."""
        return self if self.covered.all() else replace(self, covered=np.ones_like(self.covered))

    def values(self, action: NDArray[np.integer[Any]], goal: Goal) -> Floats:
        """What the goal tests, for columns [n] or [n, k] of actions; NaN where an outcome is missing."""
        if goal.kind == "budget":
            return 1 - self._of(self.cost_usd, action) / goal.level
        picked = self._of(self.quality, action)
        return picked - (goal.level if goal.kind == "quality" else self._like(self.quality, action))

    def worth(self, action: NDArray[np.integer[Any]], goal: Goal) -> tuple[Floats, Floats]:
        """What is gained and out of how much: dollars spared and the reference's; under a budget, quality and rows."""
        if goal.kind == "budget":
            gained = self._of(self.quality, action) - self._like(self.quality, action)
            return gained, np.where(np.isnan(gained), np.nan, 1.0)
        base = self._like(self.cost_usd, action)
        spared = base - self._of(self.cost_usd, action)
        return spared, np.where(np.isnan(spared), np.nan, base)

    @staticmethod
    def _of(values: Floats, action: NDArray[np.integer[Any]]) -> Floats:
        wide = action.astype(np.int64).reshape(len(values), -1)
        return np.take_along_axis(values, wide, axis=1).reshape(action.shape)

    def _like(self, values: Floats, action: NDArray[np.integer[Any]]) -> Floats:
        return values[:, self.reference].reshape(-1, *(1 for _ in action.shape[1:]))
