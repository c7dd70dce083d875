"""One candidate at a time is put forward as the one to settle on, and tested on the clusters that come after that.

Only the past says who is nominated, so its test owes nothing to how many could have been: the first nomination gets
most of the error set aside, the next most of what is left. Against several rivals no correction is due either: "within
the margin of each" is claimed only once it is shown for every one of them (an intersection–union test, Berger 1982).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from router_lab.metrics.spending import LEAST, backward
from router_lab.metrics.tally import Sums, Tally

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
EARLY = 0.1
"""Share of the error of a match that bets may spend: most matches come late."""
KNOWN = 0.9
"""Share of the clusters that must be known to say what a whole grid cannot show."""


class Nomination:
    """`column` is to be shown within the margin of its rivals; `alone`: of 1, the most that any rival can have.

    matched [c]: of whom it is shown; hopeless [c]: who is shown to be unable to pass on the whole grid.
    """

    def __init__(
        self, column: int, alone: bool, opponent: int, errors: tuple[float, float], margin: float, confidence: float,
        looks: tuple[int, ...], past: Tally,
    ) -> None:  # fmt: skip
        """errors: for matching and for hopelessness; looks: clusters after each look of the race; opponent: the one
        against whom the others would have to pass; past: quality until now."""
        self.column, self.alone, self.opponent, self.start = column, alone, opponent, past.rows
        self._errors, self._margin, self._confidence = errors, margin, confidence
        self._looks = tuple(look - self.start for look in looks if look > self.start)
        self._within, self._reach = Sums(len(past.count)), Sums(len(past.count))
        self._now = 0
        self._lead = past.gaps[opponent] + margin * past.both[opponent]
        self._complete = past.both[opponent] >= KNOWN * self.start
        self.matched: Mask = np.zeros(len(past.count), bool)
        self.hopeless: Mask = np.zeros(len(past.count), bool)

    def add(self, means: Floats) -> None:
        """Take in the cluster means [G, c] of a wave, NaN = not run."""
        own = means[:, [self.column]]
        self._within.add(np.repeat(own - 1.0, means.shape[1], axis=1) if self.alone else own - means, -self._margin)
        self._now += len(means)
        self.matched |= self._within.shown(self._errors[0], EARLY, self._looks, self._now)
        self._reach.add(means - means[:, [self.opponent]], -self._margin, bets=False)
        self.hopeless |= self._out_of_reach()

    def _out_of_reach(self) -> Mask:
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
        open_ = np.sqrt(scatter * total + 2)
        passing = float(ndtri(self._confidence)) * open_  # sum of leads over minus the margin that the grid asks for
        best = self._margin * total + float(ndtri(self._errors[1])) * open_  # less than nearly any best one will have
        required = np.minimum(passing, best) - self._lead
        short = required * self._now / self._looks[-1] - sums.total
        spread = np.sqrt((scatter + 2 / known) * self._now * (1 - self._now / self._looks[-1]))
        complete = self._complete & (sums.count >= KNOWN * self._now)
        return np.asarray(complete & (short >= bound * spread))
