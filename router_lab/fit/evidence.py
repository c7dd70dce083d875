"""What a policy has to hold, and the outcomes that it is judged by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from router_lab.fit.drawn import Phases

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Goal:
    """What must hold with probability `confidence`, and how it is tested.

    kind `margin`: lose at most `level` of mean quality against the reference; `quality`: a mean quality of at least
    `level`; `budget`: at most `level` dollars a request. The first two save as much as they can, a budget buys quality.
    `strict` tests by betting. `mix` allows chance. `compared`: the reference is the best of so many candidates, by
    these very rows; where it is itself tested, each of them could have been it, and they share the error.
    """

    kind: str
    level: float
    confidence: float
    strict: bool = False
    mix: bool = True
    compared: int = 1

    @property
    def sure(self) -> float:
        """The confidence that a test needs: nothing is gained by luck against a reference that luck favoured."""
        return self.confidence if self.kind == "margin" else 1 - (1 - self.confidence) / self.compared

    @property
    def floor(self) -> float:
        """Least mean of `Evidence.values`."""
        return -self.level if self.kind == "margin" else 0.0


def column_means(values: Floats, weight: Floats | None = None) -> Floats:
    """[c] means of what is known, rows weighted by `weight` [n, c]; NaN for a column without anything."""
    known = ~np.isnan(values)
    counted = known.astype(np.float64) if weight is None else np.where(known, weight, 0.0)
    total = np.where(known, values * counted, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(counted.sum(axis=0), 1e-12), np.nan)


@dataclass(frozen=True)
class Evidence:
    """Outcomes on which an operating point is chosen: n rows, c candidates.

    quality, cost_usd [n, c] as observed (NaN = missing); eligible [n, c]: may be chosen for that row; covered [n]: rows
    on which predictions are followed; elsewhere the column in `table` [n] acts; group, fold [n]; reference: its column.
    weight [n, c]: one over the known probability with which an outcome was observed; None = 1 everywhere.
    missing [n, c]: outcomes that no plan left out. What kept them away may be what they would have been, so they count
    as lost: a candidate's as 0, the reference's as 1 (the bound of Manski 1989); None = none.
    phases: how the reference's outcomes were completed, where it ran on a drawn part alone.
    """

    quality: Floats
    cost_usd: Floats
    eligible: NDArray[np.bool_]
    covered: NDArray[np.bool_]
    table: Ints
    group: Ints
    fold: Ints
    reference: int
    weight: Floats | None = None
    missing: NDArray[np.bool_] | None = None
    phases: Phases | None = None

    @property
    def drawn(self) -> NDArray[np.bool_] | None:
        """[n] rows of which the reference's outcome is no prediction; None = it is none of any row."""
        return self.phases.drawn if self.phases is not None and self.phases.completed else None

    @property
    def idle(self) -> Ints:
        """[n] what acts at mix 0: the reference, and the table where predictions are not followed."""
        return np.where(self.covered, self.reference, self.table)

    @property
    def unit(self) -> float:
        """Mean known cost of the reference in dollars; 1 where it costs nothing or nothing is known."""
        weight = None if self.weight is None else self.weight[:, [self.reference]]
        mean = float(np.nan_to_num(column_means(self.cost_usd[:, [self.reference]], weight))[0])
        return mean if mean > 0 else 1.0

    @property
    def sample_usd(self) -> float:
        """Dollars that one more sample costs: of every candidate, and of a drawn reference its share."""
        means = column_means(self.cost_usd, self.weight)
        if self.phases is not None:
            means[self.reference] *= self.phases.share
        return float(np.nansum(means))

    def only(self, rows: NDArray[np.bool_]) -> Evidence:
        """The same with the outcomes of these rows alone; the others count as unpaired."""
        quality, cost = (np.where(rows[:, None], part, np.nan) for part in (self.quality, self.cost_usd))
        missing = None if self.missing is None else self.missing & rows[:, None]
        return replace(self, quality=quality, cost_usd=cost, missing=missing)

    def everywhere(self) -> Evidence:
        """The same, with predictions followed on every row."""
        return self if self.covered.all() else replace(self, covered=np.ones_like(self.covered))

    def weights(self, *actions: NDArray[np.integer[Any]]) -> Floats | None:
        """Weight of a row for which all of these columns' outcomes and the reference's are needed; [n] or [n, k].

        Who left a race runs on with the same random clusters as all others who left, so what is observed is nested and
        the least likely of the outcomes decides.
        """
        if self.weight is None:
            return None
        found = self._like(self.weight, actions[0])
        for action in actions:
            found = np.maximum(found, self._of(self.weight, action))
        return np.asarray(np.broadcast_to(found, actions[0].shape), np.float64)

    def values(self, action: NDArray[np.integer[Any]], goal: Goal) -> Floats:
        """What the goal tests, for columns [n] or [n, k] of actions; NaN where an outcome is missing."""
        if goal.kind == "budget":
            return 1 - self.spent(action) / goal.level
        return self.picked(action) - goal.level if goal.kind == "quality" else self.gain(action)

    def spent(self, action: NDArray[np.integer[Any]]) -> Floats:
        """Dollars under columns [n] or [n, k] of actions."""
        return self._of(self.cost_usd, action)

    def picked(self, action: NDArray[np.integer[Any]]) -> Floats:
        """Quality under columns [n] or [n, k] of actions, at least."""
        quality = self.quality if self.missing is None else np.where(self.missing, 0.0, self.quality)
        return self._of(quality, action)

    def gain(self, action: NDArray[np.integer[Any]]) -> Floats:
        """Quality under columns [n] or [n, k] of actions minus the reference's, at least."""
        base = self.quality if self.missing is None else np.where(self.missing, 1.0, self.quality)
        gained: Floats = self.picked(action) - self._like(base, action)
        if self.missing is None or not self.missing.any():
            return gained
        same = (action == self.reference) & self._like(self.missing, action)
        return np.asarray(np.where(same, 0.0, gained), np.float64)

    def worth(self, action: NDArray[np.integer[Any]], goal: Goal) -> tuple[Floats, Floats]:
        """What is gained and out of how much: dollars spared and the reference's; under a budget, quality and rows."""
        if goal.kind == "budget":
            gained = self._of(self.quality, action) - self._like(self.quality, action)
            return gained, np.where(np.isnan(gained), np.nan, 1.0)
        base = self._like(self.cost_usd, action)
        spared = base - self.spent(action)
        return spared, np.where(np.isnan(spared), np.nan, base)

    @staticmethod
    def _of(values: Floats, action: NDArray[np.integer[Any]]) -> Floats:
        wide = action.astype(np.int64).reshape(len(values), -1)
        return np.take_along_axis(values, wide, axis=1).reshape(action.shape)

    def _like(self, values: NDArray[Any], action: NDArray[np.integer[Any]]) -> Any:
        return values[:, self.reference].reshape(-1, *(1 for _ in action.shape[1:]))
