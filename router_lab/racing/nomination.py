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

from router_lab.metrics.steady import Floats, Mask, normal_quantile
from router_lab.racing.alpha_spending import LEAST, apart, backward, begun, information, scores
from router_lab.racing.drawing import completed
from router_lab.racing.history import History
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
        self.column, self.error = column, alpha
        self._margin, self._start = margin, start
        self._clusters = looks[-1] - start if looks else 0
        self._betting = alpha * EARLY if looks else alpha
        self._paths = [begun(alpha * (1 - EARLY))] * columns
        self._within = Sums(columns)
        self.matched: Mask = np.zeros(columns, bool)

    def add(self, means: Floats) -> None:
        """Bet on the cluster means [G, c] of a wave, NaN = not run."""
        self._within.add(means[:, [self.column]] - means, -self._margin)
        self.matched |= self._within.betted(self._betting)

    def judge(self, history: History) -> None:
        """Test what the clusters since the start show, each rival that is not matched at a time of
        its own: the share of the grid on which both ran."""
        means, share = history.means[self._start :], history.share[self._start :]
        if not self._clusters or not len(means):
            return
        due = np.minimum(share, share[:, [self.column]])
        ran = np.where(np.isnan(due), 0.0, due)
        time, seen = ran.sum(axis=0) / self._clusters, (ran > 0).sum(axis=0) / self._clusters
        open_ = ~self.matched & np.array(
            [apart(float(now), path.time) for now, path in zip(time, self._paths, strict=True)]
        )
        open_[self.column] = False
        total, squares, count, drawn = self._sums(means, due, share, open_)
        open_ &= drawn >= LEAST
        score = scores(total, squares, count, drawn)
        spent = information(seen, time)
        for column in np.flatnonzero(open_):
            path = self._paths[column].then(float(time[column]), float(spent[column]))
            self._paths[column] = path
            self.matched[column] = score[column] * sqrt(time[column]) >= path.bound

    def _sums(self, means: Floats, due: Floats, share: Floats, open_: Mask) -> tuple[Floats, ...]:
        """Sums of the gains [c], of their squares, clusters, and those seen; 0 of who is not
        open."""
        gains = np.where(np.isnan(due), np.nan, means[:, [self.column]] - means + self._margin)
        known = ~np.isnan(gains) & open_
        gains = np.where(known, gains, 0.0)
        count = known.sum(axis=0).astype(np.float64)
        found = np.stack([gains.sum(axis=0), (gains * gains).sum(axis=0), count, count])
        for column in np.flatnonzero(open_ & (np.where(np.isnan(due), 1.0, due) < 1).any(axis=0)):
            found[:, column] = completed(means, share, self.column, int(column), -self._margin)
        return tuple(found)


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
        self._errors, self._margin, self._confidence, self._race = errors, margin, confidence, looks
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

    def judge(self, history: History) -> None:
        """Test all matches on what was seen so far."""
        for match in self.matches:
            match.judge(history)

    def add(self, means: Floats, history: History) -> None:
        """Take in the cluster means [G, c] of a wave, NaN = not run, which `history` ends with."""
        self._now += len(means)
        for match in self.matches:
            match.add(means)
        self.judge(history)
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
        known = np.maximum(sums.count, 2.0)
        mean = sums.total / known
        scatter = np.maximum(sums.squares / known - mean * mean, 0.0) * known / (known - 1)
        open_ = np.sqrt(scatter * total + 2)
        # The sum of leads over minus the margin that the grid asks for, and less than nearly any
        # best one will have.
        passing = float(normal_quantile(self._confidence)) * open_
        best = self._margin * total + float(normal_quantile(self._errors[1])) * open_
        required = np.minimum(passing, best) - self._lead
        short = required * self._now / self._looks[-1] - sums.total
        spread = np.sqrt((scatter + 2 / known) * self._now * (1 - self._now / self._looks[-1]))
        complete = self._complete & (sums.count >= KNOWN * self._now)
        return np.asarray(complete & (short >= bound * spread))
