"""What levers of a harness do on their own, and together: effects of a factorial experiment, every
combination of levels paired on the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import nan
from typing import NamedTuple

import numpy as np

from router_lab.metrics.estimate import Estimate, clustered_mean, paired_saving
from router_lab.metrics.steady import Floats, Ints, Mask

UNKNOWN = Estimate(nan, nan, 0, 0)


class Change(NamedTuple):
    """A lever, by its axis, moved from its first level (0) to another."""

    lever: int
    level: int


class Together(NamedTuple):
    """Shares of dollars saved: by each of two changes alone, by both, and what both save more than
    their product (1 − (1 − first) × (1 − second)), below 0 where savings clash."""

    first: float
    second: float
    both: float
    beyond: Estimate

    @property
    def product(self) -> float:
        """What both would save if each saved its share of what the other leaves."""
        return self.both - self.beyond.value

    @property
    def sum(self) -> float:
        return self.first + self.second


@dataclass(frozen=True)
class Factorial:
    """n rows in every combination of levels, NaN = not known.

    quality, cost_usd [n, *levels]: an axis for each lever; the first level of each is what its
    others are compared with. group [n]: clusters. weight [n]: one over the known probability with
    which a row was run in all combinations, None = 1.
    """

    quality: Floats
    cost_usd: Floats
    group: Ints
    weight: Floats | None = None

    def gain(self, change: Change) -> Estimate:
        """Quality that a change adds, mean over the levels of all other levers; in [−1, 1]."""
        base, moved = self._made(self.quality, change)
        return self._mean(moved - base, span=1.0)

    def interaction(self, first: Change, second: Change) -> Estimate:
        """What the first change adds to quality more where the second was made than where it was
        not: a difference of differences, the same in either order; in [−2, 2]."""
        neither, one, two, both = self._made(self.quality, first, second)
        return self._mean(both - one - two + neither, span=2.0)

    def saving(self, change: Change) -> Estimate:
        """Share of dollars that a change saves, mean over the levels of all other levers."""
        kept = self._kept(*self._made(self.cost_usd, change))
        if kept is None:
            return UNKNOWN
        known, (x, y), (shares,) = kept
        saved = float((1 - shares).mean())
        # A row's part in the mean of several shares: each is that of its own combination.
        away = (shares * x - y).sum(axis=1)
        whole = x.sum(axis=1)
        return paired_saving(
            whole - saved * whole - away, whole, self.group[known], weights=self._heavy(known)
        )

    def together(self, first: Change, second: Change) -> Together | None:
        """What two changes save alone and both, mean over the levels of all other levers; None
        where dollars are not known."""
        kept = self._kept(*self._made(self.cost_usd, first, second))
        if kept is None:
            return None
        known, (x, a, b, ab), (ra, rb, rab) = kept
        beyond = float((ra * rb - rab).mean())
        away = (ra * (b - rb * x) + rb * (a - ra * x) - (ab - rab * x)).sum(axis=1)
        whole = x.sum(axis=1)
        found = paired_saving(
            np.zeros(len(whole)),
            beyond * whole + away,
            self.group[known],
            reference=whole,
            weights=self._heavy(known),
        )
        return Together(float((1 - ra).mean()), float((1 - rb).mean()), float((1 - rab).mean()), found)

    def _mean(self, values: Floats, span: float) -> Estimate:
        """Of rows that are known in every combination of the other levers."""
        return clustered_mean(values.mean(axis=1), self.group, weights=self.weight, span=span)

    def _kept(self, base: Floats, *spent: Floats) -> tuple[Mask, list[Floats], Floats] | None:
        """Rows [n] that are known in all of these, all of these there [rows, k] over the mean of
        each combination's base, and which share of it each of `spent` keeps [spent, k]. None where
        there is nothing."""
        known = np.asarray(~np.isnan(np.add.reduce([base, *spent])).any(axis=1), np.bool_)
        if not known.any():
            return None
        heavy = np.ones(int(known.sum())) if self.weight is None else self.weight[known]
        unit = np.average(base[known], axis=0, weights=heavy)
        if not (unit > 0).all():
            return None
        shares = np.array([np.average(part[known], axis=0, weights=heavy) / unit for part in spent])
        return known, [part[known] / unit for part in (base, *spent)], shares

    def _made(self, values: Floats, *changes: Change) -> list[Floats]:
        """[n, combinations of the other levers] without any change, with each, and with both of
        two."""
        found = []
        for made in (some for count in range(len(changes) + 1) for some in combinations(changes, count)):
            at = {change.lever: 0 for change in changes} | dict(made)
            place = tuple(at.get(axis, slice(None)) for axis in range(values.ndim - 1))
            found.append(values[(slice(None), *place)].reshape(len(values), -1))
        return found

    def _heavy(self, rows: Mask) -> Floats | None:
        return None if self.weight is None else self.weight[rows]
