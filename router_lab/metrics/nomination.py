"""One candidate at a time is put forward as the one to settle on, and tested on the clusters that come after that.

Only the past says who is nominated, so its test owes nothing to how many could have been: the first nomination gets
most of the error set aside, the next most of what is left. Against several rivals no correction is due either: "within
the margin of each" is claimed only once it is shown for every one of them (an intersection–union test, Berger 1982).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from router_lab.metrics.sequential import STAKES, log_growth, log_mean
from router_lab.metrics.spending import LEAST, backward, forward, scores

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
EARLY = 0.1
"""Share of the error of a match that bets may spend: most matches come late."""
KNOWN = 0.9
"""Share of the clusters that must be known to say what a whole grid cannot show."""


class Sums:
    """Gains so far by column: their sums, squares, count, and the capital of bets on them."""

    def __init__(self, columns: int) -> None:
        self.total, self.squares, self.count = np.zeros(columns), np.zeros(columns), np.zeros(columns)
        self.capital = np.zeros((len(STAKES), columns))

    def add(self, gaps: Floats, floor: Floats | float) -> None:
        """Take in differences [G, c] in [-1, 1] of which a mean above `floor` is to be shown; NaN = unknown."""
        gains = np.nan_to_num(gaps - floor)
        self.total += gains.sum(axis=0)
        self.squares += (gains**2).sum(axis=0)
        self.count += (~np.isnan(gaps)).sum(axis=0)
        self.capital += log_growth(gaps, floor)

    def shown(self, alpha: float, early: float, looks: tuple[int, ...], now: int) -> Mask:
        """[c] whether the mean is shown to be above the floor after `now` clusters of looks[-1]; `alpha`: the error of
        all looks together, of which bets may spend `early` and the looks the rest; without looks all is for bets."""
        early = early if looks else 1.0
        bets = np.asarray(log_mean(self.capital) >= np.log(1 / (alpha * early)))
        if now not in looks or now < LEAST:
            return bets
        bound = forward(looks, alpha * (1 - early))[looks.index(now)]
        needed = bound * np.sqrt(looks[-1] / np.maximum(self.count, 1.0))
        return np.asarray(bets | ((self.count >= LEAST) & (scores(self.total, self.squares, self.count) >= needed)))


class Nomination:
    """`column` is to be shown within the margin of its rivals; `alone`: of 1, the most that any rival can have.

    matched [c]: of whom it is shown; hopeless [c]: who is shown to be unable to pass on the whole grid.
    """

    def __init__(
        self, column: int, alone: bool, opponent: int, errors: tuple[float, float], margin: float, confidence: float,
        start: int, looks: tuple[int, ...], columns: int,
    ) -> None:  # fmt: skip
        """errors: for matching and for hopelessness; looks: clusters after each look of the race, `start` of them past;
        opponent: the one against whom the others would have to pass."""
        self.column, self.alone, self.opponent, self.start = column, alone, opponent, start
        self._errors, self._margin, self._confidence = errors, margin, confidence
        self._looks = tuple(look - start for look in looks if look > start)
        self._within, self._reach = Sums(columns), Sums(columns)
        self._now = 0
        self.matched: Mask = np.zeros(columns, bool)
        self.hopeless: Mask = np.zeros(columns, bool)

    def add(self, means: Floats, past: Floats) -> None:
        """Cluster means [G, c] since the last look, NaN = not run; past [start, c]: those before the nomination."""
        own = means[:, [self.column]]
        gaps = own - (np.where(np.isnan(own), np.nan, 1.0) if self.alone else means)
        self._within.add(np.broadcast_to(gaps, means.shape), -self._margin)
        self._now += len(means)
        self.matched |= self._within.shown(self._errors[0], EARLY, self._looks, self._now)
        self._reach.add(means - means[:, [self.opponent]], -self._margin)
        self.hopeless |= self._out_of_reach(past)

    def _out_of_reach(self, past: Floats) -> Mask:
        """Who cannot pass: what it would have to gain on the clusters to come is out of reach, sampled without
        replacement from a grid on which it passes."""
        sums = self._reach
        none = np.zeros(len(sums.count), bool)
        if self._now not in self._looks or self._now < LEAST:
            return none
        total = self.start + self._looks[-1]
        bound = backward(self._looks, self._errors[1])[self._looks.index(self._now)]
        if not np.isfinite(bound):
            return none
        known = np.maximum(sums.count, 2.0)
        scatter = np.maximum(sums.squares / known - (sums.total / known) ** 2, 0.0) * known / (known - 1)
        lead = past - past[:, [self.opponent]] + self._margin
        open_ = np.sqrt(scatter * total + 2)
        passing = float(ndtri(self._confidence)) * open_  # sum of leads over minus the margin that the grid asks for
        best = self._margin * total + float(ndtri(self._errors[1])) * open_  # less than nearly any best one will have
        required = np.minimum(passing, best) - np.nansum(lead, axis=0)
        short = required * self._now / self._looks[-1] - sums.total
        spread = np.sqrt((scatter + 2 / known) * self._now * (1 - self._now / self._looks[-1]))
        complete = ((~np.isnan(lead)).sum(axis=0) >= KNOWN * self.start) & (sums.count >= KNOWN * self._now)
        return np.asarray(complete & (short >= bound * spread))
