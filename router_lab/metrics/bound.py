"""How far a bound lies from an estimate: right also where samples are small, losses rare, and
clusters uneven.

A t interval on cluster sums breaks in three ways, and one formula mends them:

    reach = t sqrt(se^2 + k h^2) + s (t^2 + 2) / 3,    t of Kish's number of clusters, less one

- **What was not seen.** Where no loss was seen yet se is 0, and yet ln(1/d) clusters may hide
  among those that were not run (the Poisson limit of rare losses, its exact bound: Garwood 1936).
  h is one more lost cluster, k what makes the formula reach ln(1/d) at none.
- **Skew.** Few losses make a long tail: s is the size of a loss, third over second moment of what
  was lost with the unseen one among it, and 0 where as much was gained. (t^2 + 2) / 3 is the term
  of the Poisson's bound (Cornish and Fisher 1938); for equal clusters of pure losses the formula
  follows Garwood's limits within 3 %.
- **Uneven clusters.** What the unseen one holds is sqrt(sum m^3 / n^3): between the mean cluster
  that a row is in (too little: what a few large ones did not show) and the largest one (far too
  much). For clusters alike it is 1 / G.

Measured, with the worlds in which it was, by `make bench-guarantee`.
"""

from __future__ import annotations

from functools import cache
from math import inf, sqrt
from typing import Any, NamedTuple

import numpy as np

from router_lab.metrics import steady
from router_lab.metrics.steady import Floats, Ints

ROUNDS = 6
"""Of the fixed point by which a p-value finds its own k."""
HALVINGS = 80


class Spread(NamedTuple):
    """What an estimate is uncertain by, each a number or an array of one shape, in units of the
    estimate.

    square: its variance. lost: the sum over clusters of (what pulled it down)^3; what pulled it up
    counts as negative. size: how much one more lost cluster would pull it down; 0 where nothing
    can hide (costs, shares).
    """

    square: Any
    lost: Any
    size: Any

    def grown(self, factor: Any) -> Spread:
        """Of `factor` times as many samples of the same kind."""
        return Spread(self.square / factor, self.lost / (factor * factor), self.size / factor)

    def take(self, places: Ints) -> Spread:
        """Of these of an array's."""
        return Spread(self.square[places], self.lost[places], self.size[places])


def reach(spread: Spread, df: Any, confidence: float) -> Any:
    """How far below the estimate its one-sided bound lies; df >= 1 degrees of freedom. confidence
    in [.5, 1)."""
    return _reach(spread, steady.t_quantiles(df, confidence), caution_at(confidence))


def reach_at(spread: Spread, z: Any) -> Any:
    """`reach` at the chance of a normal number above z >= 0, of infinitely many degrees of
    freedom."""
    return _reach(spread, z, caution(z))


def _reach(spread: Spread, t: Any, k: Any) -> Any:
    return t * np.sqrt(spread.square + k * spread.size * spread.size) + skewed(spread) * (t * t + 2) / 3


def skewed(spread: Spread) -> Any:
    """The size of a loss: third over second moment of what was lost, the unseen among it; 0 where
    no tail is longer."""
    second = np.asarray(spread.size * spread.size + spread.square, np.float64)
    third = np.asarray(spread.size * spread.size * spread.size + spread.lost, np.float64)
    long = (second > 0) & (third > 0) & np.isfinite(second)
    return np.divide(third, second, out=np.zeros(long.shape), where=long)


def caution(z: Any) -> Any:
    """k such that z sqrt(k) + (z^2 + 2) / 3 is ln(1/d), where d is the chance of a normal number
    above z; from d = .10 on that of .10, .721."""
    least = np.maximum(z, _TENTH)
    missing = -steady.log(steady.normal_below(-least)) - (least * least + 2) / 3
    return missing * missing / (least * least)


@cache
def caution_at(confidence: float) -> float:
    """`caution` of the quantile of one confidence."""
    return float(caution(steady.normal_quantile(confidence)))


_FARTHEST = 30.0
"""Normal quantile beyond which no chance is told apart from none."""
_TENTH = float(steady.normal_quantile(0.9))


def p_values(gap: Any, spread: Spread, df: Any) -> Floats:
    """The least d at which estimates `gap` above a floor are shown to be above it: `reach` at 1 -
    d is `gap`. Arrays of one length."""
    gap, df = np.asarray(gap, np.float64), np.asarray(df, np.float64)
    tail, k = np.asarray(skewed(spread)) / 3, caution(np.zeros(gap.shape))
    chance = np.ones(gap.shape)
    for turn in range(ROUNDS):
        before = chance
        if turn:
            k = caution(np.minimum(_FARTHEST, steady.normal_quantile(1 - chance)))
        error = np.sqrt(spread.square + k * spread.size * spread.size)
        t = _root(tail, error, gap - 2 * tail)
        chance = np.where(np.isfinite(t), steady.t_below(df, -np.where(np.isfinite(t), t, 0.0)), t < 0)
        if (chance == before).all():  # to the last bit: no further turn would change any
            break
    return chance


def _root(square: Floats, slope: Floats, level: Floats) -> Floats:
    """t of `square t^2 + slope t = level`, on the branch through 0; below that, without the
    square. Infinite where there is neither."""
    with np.errstate(divide="ignore", invalid="ignore"):
        rising = 2 * level / (slope + np.sqrt(np.maximum(slope * slope + 4 * square * level, 0.0)))
        straight = np.where(slope > 0, level / slope, np.where(level > 0, inf, -inf))
    return np.where((level > 0) & (square > 0), rising, straight)


def growth_needed(gap: float, spread: Spread, confidence: float, power: float) -> float:
    """How many times as many samples show a true distance `gap` > 0 with this `power`, normal
    quantiles for t's; inf where more than 1e12 times would do."""
    z, sure = float(steady.normal_quantile(confidence)), float(steady.normal_quantile(power))
    k = float(caution(z))

    def short(factor: float) -> bool:
        grown = spread.grown(factor)
        luck = sure * np.sqrt(grown.square + grown.size * grown.size)
        return bool(_reach(grown, z, k) + luck > gap)

    low, high = 1e-12, 1e12
    if short(high):
        return inf
    for _ in range(HALVINGS):
        middle = sqrt(low * high)
        low, high = (middle, high) if short(middle) else (low, middle)
    return high
