"""Who may leave a race: pure decisions from the outcomes so far, the same wherever they are replayed.

The race of a suite is for the cheapest candidate that loses at most the margin against the best one, or against the
candidate that is named as the reference. After each wave a candidate leaves when it is shown

- `dominated`: somebody cheaper is at least as good,
- `worse`: it loses more than the margin, so that it can neither be chosen nor be the reference,
- `dearer`: it costs more than the named reference, so that choosing it saves nothing, or
- `hopeless`: it is cheaper than what could be settled on, but the whole grid could not pass it any more;

and everybody leaves when the suite is `settled`: one is left, or the nominee (`router_lab.metrics.nomination`) is shown
to lose at most the margin against every other one left, and to be the cheapest of them. Whoever the nominee need not be
compared with any more waits: it runs nothing but the floor until the suite is settled or somebody else is nominated.

With probability `confidence`, over all candidates and looks of a suite, neither the best one (or the reference) nor the
one that the rule would choose leaves wrongly, nor is one settled on that loses more than the margin: see LEAVING for
the shares of the error. Who leaves goes on with a random floor of the clusters, drawn beforehand, so that whatever it
is good for can still be seen. The unit is the cluster, and each has one vote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from router_lab.metrics.nomination import Nomination
from router_lab.metrics.sequential import cluster_means
from router_lab.metrics.spending import scores
from router_lab.metrics.tally import Sums, Tally

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
HOPELESS, PRICING = 0.05, 0.05
import os
LEAVING = (60, float(os.environ.get('LMIN','0.1')), float(os.environ.get('LCAP','0.4')))
"""Shares of the error: HOPELESS, PRICING; for leaving, 60 over the clusters of the grid, from .1 to .4; what is left is
for settling. Where a grid is long, losers leave early at any price, and settling is what is worth the error."""
import os
SCOUTS = float(os.environ.get('SCOUTS','.05'))
ABLE=float(os.environ.get('ABLE','.5'))
SURE=float(os.environ.get('SURE','.75'))
FIRST = 0.8
"""Of the error left for nominations, the share that each takes."""
EARLY = 0.8
"""Share of the error of leaving that bets may spend: most who leave are far behind."""
SCREENING = (20, 0.04)
"""Clusters, and share of the grid, that are only looked at before anybody is nominated."""


@dataclass(frozen=True)
class RaceRule:
    """margin, confidence: as in a recipe; floor: share of the clusters on which those who left still run."""

    margin: float = 0.03
    confidence: float = 0.90
    floor: float = 0.1


@dataclass(frozen=True)
class Leave:
    """Candidate `column` leaves; `by` is the one that showed it up (leads now), the winner where all is settled."""

    column: int
    reason: str
    by: int


class Race:
    """One suite. `look` after every wave; `racing` bool[c] says who is still in, `winner` what was settled on."""

    def __init__(
        self, rule: RaceRule, columns: int, reference: int | None = None, looks: Sequence[int] = ()
    ) -> None:  # fmt: skip
        """`columns` candidates; `reference`: its column, or None for the best one; the reference leaves only when the
        suite is settled. `looks`: clusters after each wave, to the end of the grid; without them only bets decide."""
        self.rule, self.reference, self._looks = rule, reference, tuple(map(int, looks))
        self.racing: Mask = np.ones(columns, bool)
        self.waiting: Mask = np.zeros(columns, bool)
        self.winner: int | None = None
        others = max(1, columns - 1)
        self._error = 1 - rule.confidence
        self._pricing = self._error * PRICING / (others * columns)
        grid = self._looks[-1] if self._looks else LEAVING[0] / LEAVING[2]
        leaving = min(max(LEAVING[0] / grid, LEAVING[1]), LEAVING[2])
        self._leaving = self._error * leaving / (2 if reference is None else 1)  # the best and the choice are at risk
        self._settling = self._error * (1 - HOPELESS - PRICING - leaving)
        self._against = Sums(columns)
        self._nominations: list[Nomination] = []
        self._quality, self._dollars = Tally(columns), Tally(columns)
        self._cheaper: Mask = np.zeros((columns, columns), bool)  # [k, j]: k is shown to cost no more than j
        self._price: Floats = np.full(columns, np.inf)

    @property
    def running(self) -> Mask:
        """[c] who runs all samples of the next wave: neither gone nor waiting."""
        return self.racing & ~self.waiting

    def look(self, quality: Floats, cost_usd: Floats, clusters: Ints) -> list[Leave]:
        """Take in the rows [n, c] of a wave and say who leaves, in column order.

        Rows in the race's order, of complete clusters; NaN where an outcome is missing. `clusters` [n]: codes that grow
        in that order. What is not running is ignored, so that only what was due may decide.
        """
        if not len(quality) or not self.racing.any():
            return []
        means = cluster_means(np.where(self.running, quality, np.nan), clusters)
        self._bet(means)
        self._quality.add(means)
        self._dollars.add(cluster_means(np.where(self.running, cost_usd, np.nan), clusters))
        both = self.running[:, None] & self.running & ~np.eye(len(self.racing), dtype=bool)
        self._cheaper = np.where(both, self._dollars.lower(self._pricing), self._cheaper)
        self._price = self._dollars.mean(np.inf)
        for nomination in self._nominations:
            nomination.add(means)
        leaves = self._settle() or self._leave()
        if self.racing.any():
            self._nominate()
            self.waiting = self._matched_and_dearer()
        return leaves

    def _bet(self, means: Floats) -> None:
        """Against each candidate, on whoever led it most before each cluster: the choice of the opponent is free as
        long as the cluster itself has no say in it."""
        ours = ~np.isnan(means)
        known = np.where(ours, means, 0.0)
        seen = self._quality.count + np.cumsum(ours, axis=0) - ours
        before = (self._quality.total + np.cumsum(known, axis=0) - known) / np.maximum(seen, 1)
        floor = np.where(self._cheaper, 0.0, self.rule.margin)  # [k, j]
        open_ = self.running[:, None] & ~np.eye(len(self.racing), dtype=bool)
        if self.reference is not None:
            open_ &= self._cheaper | (np.arange(len(self.racing)) == self.reference)[:, None]
        lead = np.where(open_, before[:, :, None] - before[:, None, :] - floor, -np.inf)
        opponent = lead.argmax(axis=1)  # [G, j]
        promising = np.take_along_axis(lead, opponent[:, None, :], axis=1)[:, 0, :] > 0
        gaps = np.take_along_axis(means, opponent, axis=1) - means
        floors = np.take_along_axis(floor, opponent, axis=0)
        self._against.add(np.where(promising, gaps, np.nan), floors)

    def _leave(self) -> list[Leave]:
        shown = self.racing & self._against.shown(self._leaving, EARLY, self._looks, self._quality.rows)
        dearer, hopeless = np.zeros(len(shown), bool), np.zeros(len(shown), bool)
        for nomination in self._nominations:
            for k in (match.column for match in nomination.front):
                hopeless |= self.racing & nomination.hopeless & self._below(k) & ~shown
        if self.reference is not None:
            shown[self.reference] = hopeless[self.reference] = False
            dearer = self.racing & self._cheaper[self.reference] & ~self._cheaper[:, self.reference]
        leaves = [
            self._told(int(j), bool(shown[j]), bool(hopeless[j])) for j in np.flatnonzero(shown | dearer | hopeless)
        ]
        self.racing[[leave.column for leave in leaves]] = False
        return leaves + ([] if self.racing.sum() > 1 else self._settle())

    def _told(self, column: int, shown: bool, hopeless: bool) -> Leave:
        """The reason in words: who leads the one that leaves, and whether that one is cheaper."""
        if hopeless:
            return Leave(column, "hopeless", next(n.opponent for n in self._nominations if n.hopeless[column]))
        if not shown:
            assert self.reference is not None
            return Leave(column, "dearer", self.reference)
        quality = self._quality.mean(0.0)
        rivals = np.where(self.racing & (np.arange(len(self.racing)) != column), quality, -np.inf)
        cheaper = np.where(self._cheaper[:, column], rivals, -np.inf)
        best = int(cheaper.argmax())
        if cheaper[best] >= quality[column]:
            return Leave(column, "dominated", best)
        return Leave(column, "worse", int(rivals.argmax()) if self.reference is None else self.reference)

    def _settle(self) -> list[Leave]:
        """Everybody leaves if one is left, or a nominee stays within the margin of those that count and is the
        cheapest; at the end of the grid it need only be the cheapest of those that the grid could pass."""
        left = np.flatnonzero(self.racing)
        able = self._able(self.rule.confidence) if self._ended else self.racing
        winner = int(left[0]) if len(left) == 1 else None
        for k in self._shown():
            rivals = left[left != k]
            if winner is None and self.racing[k] and (~able | self._cheaper[k])[rivals].all():
                winner = k
        if winner is None:
            return []
        self.winner = winner
        self.racing[:] = False
        return [Leave(int(j), "settled", winner) for j in left]

    def _shown(self) -> list[int]:
        """Nominees shown to be within the margin of those that count, and all before them too; the cheapest first."""
        shown: list[int] = []
        for nomination in self._nominations:
            for match in nomination.front:
                judged = self.racing.copy() if self.reference is None else np.arange(len(self.racing)) == self.reference
                judged[match.column] = False
                if not match.matched[judged].all():
                    break
                shown.append(match.column)
        return sorted(shown, key=lambda k: float(self._price[k]))

    @property
    def _ended(self) -> bool:
        return bool(self._looks) and self._quality.rows >= self._looks[-1]

    def _below(self, column: int) -> Mask:
        """[c] who seems to be cheaper than `column`, or is not shown to be dearer."""
        other = np.arange(len(self.racing)) != column
        return np.asarray(~self._cheaper[column] & other & (self._price <= self._price[column]))

    def _leader(self) -> int:
        """Column of the reference, or of the one still racing with the highest mean so far."""
        if self.reference is not None:
            return self.reference
        runs = self.running if self.running.any() else self.racing
        return int(np.where(runs, self._quality.mean(0.0), -np.inf).argmax())

    def _able(self, confidence: float) -> Mask:
        """[c] who would be shown within the margin of the leader by the end, were what was seen the truth."""
        past, leader = self._quality, self._leader()
        known = np.maximum(past.both[leader], 1)
        total = max(past.rows, self._looks[-1] if self._looks else 0)
        mean = past.gaps[leader] / known
        variance = np.maximum(past.gap_squares[leader] / known - mean**2, 0.0)
        open_ = float(ndtri(confidence)) * np.sqrt(variance / total + 2 / total**2)
        return np.asarray(self.racing & (mean + self.rule.margin >= open_))

    def _nominate(self) -> None:
        """Put forward the front of what was seen so far, without those that seem unable to pass: the best one, then of
        those cheaper the best one, and so on. A further front only when the race is twice as long."""
        now = self._quality.rows
        if self._ended or now < max(SCREENING[0], SCREENING[1] * (self._looks or (0,))[-1]):
            return
        for nomination in self._nominations:
            for k in self._cheaper_ones(nomination.front[-1].column):
                nomination.append(k)
        if self._nominations and now < 2 * self._nominations[-1].start:
            return
        within = self._within()
        sure = np.flatnonzero(within >= SURE)
        first = int(sure[self._price[sure].argmin()])
        front = [k for k in [first, *self._cheaper_ones(first)] if k != self.reference]
        if not front or any(front[-1] == match.column for n in self._nominations for match in n.front):
            return
        if not (self.racing & (self._price > self._price[front[-1]])).any():
            return  # nobody dearer to be spared
        weight = FIRST * (1 - FIRST) ** len(self._nominations)
        errors = (self._settling * weight, self._error * HOPELESS * weight)
        rule = self.rule
        nomination = Nomination(self._leader(), errors, rule.margin, rule.confidence, self._looks, self._quality)
        for k in front:
            nomination.append(k)
        self._nominations.append(nomination)

    def _cheaper_ones(self, column: int) -> list[int]:
        within, front = self._within(), [column]
        while True:
            cheaper = (within >= ABLE) & (self._price < self._price[front[-1]])
            if not cheaper.any():
                return front[1:]
            front.append(int(np.where(cheaper, within, -np.inf).argmax()))

    def _within(self) -> Floats:
        """[c] How likely each seems to be within the margin of the leader."""
        past, leader = self._quality, self._leader()
        known = np.maximum(past.both[leader], 1)
        mean = past.gaps[leader] / known
        variance = np.maximum(past.gap_squares[leader] / known - mean**2, 0.0)
        chance = ndtr((mean + self.rule.margin) / np.sqrt(variance / known + 2 / known**2))
        chance[leader] = 1.0
        return np.asarray(np.where(self.racing, chance, 0.0))

    def _target(self) -> tuple[Nomination, int] | None:
        """The cheapest nominee that seems able to pass: its nomination and its place there."""
        able, found = self._able(0.5), None
        for nomination in self._nominations:
            for place, match in enumerate(nomination.front):
                k = match.column
                if able[k] and (found is None or self._price[k] < self._price[found[0].front[found[1]].column]):
                    found = nomination, place
        return found

    def _matched_and_dearer(self) -> Mask:
        """[c] who need not run now: dearer than the nominee that seems to be the choice, and matched with it and with
        whoever is tested before it."""
        waits = np.zeros(len(self.racing), bool)
        if not self._nominations:
            return self._after_scouts()
        target = self._target()
        if target is None:
            return waits
        nomination, place = target
        k = nomination.front[place].column
        waits = self.racing & self._cheaper[k]
        if self.reference is None:
            for match in nomination.front[: place + 1]:
                waits &= match.matched
        else:
            waits[self.reference] = False
        if (self._below(k) & self.racing).any():
            waits[nomination.opponent] = False
        return np.asarray(waits)

    def unmatched(self) -> Mask:
        target = self._target()
        if target is None or not self.waiting.any():
            return self.racing.copy()
        return self.running.copy()

    def finish(self, quality: Floats, clusters: Ints) -> list[Leave]:
        target = self._target()
        if target is None or not self.waiting.any():
            return []
        k = target[0].front[target[1]].column
        means = cluster_means(quality, clusters)
        last = Sums(means.shape[1])
        last.add(means[:, [k]] - means, -self.rule.margin, bets=False)
        z = scores(last.total, last.squares, last.count)
        rivals = self.running.copy() if self.reference is None else np.arange(len(self.racing)) == self.reference
        rivals[k] = False
        cheap = self._below(k) & rivals & self.racing
        level = (1 - self.rule.confidence) / max(1, (self._price < self._price[self._leader()]).sum())
        if os.environ.get('DBG'): print('finish', k, level, -ndtri(level), [(int(j), round(float(z[j]),2)) for j in np.flatnonzero(rivals & ~cheap)], last.count[rivals], self.waiting.sum())
        if not (z >= float(-ndtri(level)))[rivals & ~cheap].all():
            return []
        gone = np.flatnonzero(self.waiting & self.racing)
        self.racing[gone] = False
        return [Leave(int(j), "needless", k) for j in gone]

    def _after_scouts(self) -> Mask:
        none = np.zeros(len(self.racing), bool)
        if not SCOUTS or not self._looks or self._quality.rows >= max(SCREENING[0], SCREENING[1] * self._looks[-1]):
            return none
        price = np.where(np.isfinite(self._price), self._price, 0.0)
        order = np.argsort(price, kind="stable")
        scouts = none.copy()
        scouts[order] = np.cumsum(price[order]) <= SCOUTS * price.sum()
        within = self._within()
        if not (within[scouts] >= SURE).any():
            return none
        if self.reference is not None:
            scouts[self.reference] = True
        return self.racing & ~scouts
