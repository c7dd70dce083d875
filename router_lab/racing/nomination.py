"""Who is put forward to be settled on, and tested on the clusters that come after that.

Only the past says who is nominated, so no test owes anything to how many could have been. A
nomination has a first candidate and cheaper ones that may join later. The first is tested with all
the error of the nomination, and the others count only once it is shown, which costs nothing: if it
should not be shown, nobody counts, and if it should, there is no error in showing it (a
gatekeeper, Westfall & Krishen 2001). The others share the error: the first to join gets most of
it, the next most of what is left. Against several rivals no correction is due either: "within the
margin of each" is claimed only once it is shown for every one of them (an intersection–union test,
Berger 1982).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt

import numpy as np

from router_lab.metrics.bound import Spread, reach
from router_lab.metrics.steady import Floats, Mask
from router_lab.racing.alpha_spending import LEAST, backward, scored
from router_lab.racing.sequential import Sums, Tally

EARLY = 0.1
"""Share of the error of a match that bets may spend: most matches come late."""
JOINING = 0.9
"""Of the error left for those who join a nomination, the share that each takes."""
KNOWN = 0.9
"""Share of the clusters that must be known to say what a whole grid cannot show."""


class Match:
    """`column` is to be shown within the margin of its rivals; matched [c]: of whom it is
    shown."""

    def __init__(
        self, column: int, columns: int, alpha: float, margin: float, start: int, looks: tuple[int, ...]
    ) -> None:  # fmt: skip
        """alpha: error of all looks together; start: clusters seen before; looks: clusters of the
        race at each look."""
        self.column = column
        self._alpha, self._margin = alpha, margin
        self._looks = tuple(look - start for look in looks if look > start)
        self._within, self._now = Sums(columns), 0
        self.matched: Mask = np.zeros(columns, bool)

    def add(self, means: Floats) -> None:
        """Take in the cluster means [G, c] of a wave, NaN = not run."""
        self._now += len(means)
        self._within.add(means[:, [self.column]] - means, -self._margin)
        self.matched = self._within.shown(self._alpha, EARLY, self._looks, self._now, self.matched)


class Nomination:
    """`matches`, the first of them the gatekeeper; cannot_pass [c]: who is shown to be unable to
    pass on the grid, against `opponent` and so against anybody better."""

    def __init__(
        self, columns: Sequence[int], opponent: int, errors: tuple[float, float], margin: float, confidence: float,
        looks: tuple[int, ...], past: Tally,
    ) -> None:  # fmt: skip
        """columns: the first, and those that join at once; errors: for matching and for who cannot
        pass; looks: clusters after each look of the race; past: quality until now."""
        self.matches: list[Match] = []
        self.opponent, self.start = opponent, past.rows
        self._errors, self._margin, self._race = errors, margin, looks
        self._confidence = confidence
        self._looks = tuple(look - self.start for look in looks if look > self.start)
        self._reach, self._now = Sums(len(past.count)), 0
        self._lead = past.gaps[opponent] + margin * past.both[opponent]
        self._complete = past.both[opponent] >= KNOWN * self.start
        self.cannot_pass: Mask = np.zeros(len(past.count), bool)
        for column in columns:
            self.join(column)

    @property
    def columns(self) -> list[int]:
        """Of the matches, in order."""
        return [match.column for match in self.matches]

    def join(self, column: int) -> None:
        """Test `column`, cheaper than the first, on the clusters to come."""
        others = len(self.matches) - 1
        share = 1.0 if others < 0 else JOINING * prod([1 - JOINING] * others)
        start = self.start + self._now
        self.matches.append(
            Match(column, len(self.cannot_pass), self._errors[0] * share, self._margin, start, self._race)
        )  # fmt: skip

    def shown(self, judged: Mask) -> list[int]:
        """Columns shown to be within the margin of all `judged` [c]; nobody if the first is
        not."""
        first = self.matches[0].column
        shown = [
            m.column for m in self.matches if m.matched[judged & (np.arange(len(judged)) != m.column)].all()
        ]
        return shown if first in shown else []

    def matched(self, column: int) -> Mask:
        """[c] of whom both the first and `column` are shown to be within the margin; nobody if it
        is not nominated."""
        found = [match.matched for match in self.matches if match.column == column]
        return found[0] & self.matches[0].matched if found else np.zeros(len(self.cannot_pass), bool)

    def add(self, means: Floats) -> None:
        """Take in the cluster means [G, c] of a wave, NaN = not run."""
        self._now += len(means)
        for match in self.matches:
            match.add(means)
        self._reach.add(means - means[:, [self.opponent]], -self._margin, bets=False)
        self.cannot_pass |= self._out_of_reach()

    def _out_of_reach(self) -> Mask:
        """Who cannot pass: what it would have to gain on the clusters to come is out of reach,
        sampled without replacement from a grid on which it passes."""
        sums = self._reach
        none = np.zeros(len(sums.count), bool)
        if self._now not in self._looks or self._now < LEAST:
            return none
        total = self.start + self._looks[-1]
        bound = backward(self._looks, self._errors[1])[self._looks.index(self._now)]
        if not np.isfinite(bound):
            return none
        # The mean lead over minus the margin that the grid asks for, and less than nearly any best
        # one will have.
        below, left = sums.below(), 1 - self._now / self._looks[-1]
        grid = below.grown(total / sums.known)
        passing = reach(grid, total - 1, self._confidence)
        best = self._margin - reach(grid, total - 1, 1 - self._errors[1])
        required = (np.minimum(passing, best) * total - self._lead) / self._looks[-1]
        short = required - sums.total / self._now
        above = Spread(below.square, -below.lost, below.size)
        asked = self._complete & (sums.count >= KNOWN * self._now) & ~self.cannot_pass
        return scored(short / sqrt(left), above, sums.count, np.where(asked, bound, np.inf))
