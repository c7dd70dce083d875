"""Who may leave a race: pure decisions from the outcomes so far, the same wherever they are replayed.

The race of a suite is for the cheapest candidate that loses at most the margin against the best one, or against the
candidate that is named as the reference. After each wave a candidate leaves when it is shown

- `dominated`: somebody cheaper is at least as good,
- `worse`: it loses more than the margin, so that it can neither be chosen nor be the reference, or
- `dearer`: it costs more than the named reference, so that choosing it saves nothing;

and everybody leaves when the suite is `settled`: one is left, or the cheapest one left is shown to lose at most the
margin against every other one left. With probability `confidence`, over all candidates and looks of a suite, neither
the reference nor the candidate that the rule would choose leaves wrongly: .6 of the error is for leaving, .35 for
settling, .05 for which of two is cheaper. Who leaves goes on with a random floor of the clusters, drawn beforehand, so
that whatever it is good for can still be seen. The unit is the cluster, and each has one vote.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router_lab.metrics.sequential import BURN_IN, STAKES, asymptotic_low, cluster_means, log_growth, log_mean

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
LEAVING, SETTLING, PRICING = 0.6, 0.35, 0.05
GROWTH = 1.25
"""Each wave makes the race at least this much longer."""


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

    def __init__(self, rule: RaceRule, columns: int, reference: int | None = None) -> None:
        """`columns` candidates; `reference`: its column, or None for the best one. The reference leaves only when the
        suite is settled."""
        self.rule, self.reference = rule, reference
        self.racing: Mask = np.ones(columns, bool)
        self.winner: int | None = None
        delta, others = 1 - rule.confidence, max(1, columns - 1)
        self._leaving = np.log(1 / (delta * LEAVING))
        self._settling = np.log(others / (delta * SETTLING))
        self._pricing = delta * PRICING / (others * columns)
        self._against = np.zeros((len(STAKES), columns))
        self._within = np.zeros((len(STAKES), columns, columns))
        self._totals, self._clusters = np.zeros(columns), 0
        self._costs: Floats = np.zeros((0, columns))
        self._cheaper: Mask = np.zeros((columns, columns), bool)

    def look(self, quality: Floats, cost_usd: Floats, clusters: Ints) -> list[Leave]:
        """Take in the rows [n, c] of a wave and say who leaves, in column order.

        Rows in the race's order, of complete clusters; NaN where an outcome is missing. `clusters` [n]: codes that grow
        in that order. What is not racing is ignored.
        """
        if not len(quality) or not self.racing.any():
            return []
        means = cluster_means(np.where(self.racing, quality, np.nan), clusters)
        self._bet(means)
        self._within += log_growth(means[:, :, None] - means[:, None, :], -self.rule.margin)
        self._totals += np.nansum(means, axis=0)
        self._clusters += len(means)
        costs = cluster_means(np.where(self.racing, cost_usd, np.nan), clusters)
        self._costs = np.concatenate([self._costs, costs])
        self._cheaper = self._shown_cheaper()
        return self._settle() or self._leave()

    def _bet(self, means: Floats) -> None:
        """Against each candidate, on whoever led it most before each cluster: the choice of the opponent is free as
        long as the cluster itself has no say in it."""
        known = np.nan_to_num(means)
        before = self._totals + np.cumsum(known, axis=0) - known
        before /= (self._clusters + np.arange(len(means)) + 1)[:, None]
        floor = np.where(self._cheaper, 0.0, self.rule.margin)  # [k, j]
        open_ = self.racing[:, None] & ~np.eye(len(self.racing), dtype=bool)
        if self.reference is not None:
            open_ &= self._cheaper | (np.arange(len(self.racing)) == self.reference)[:, None]
        lead = np.where(open_, before[:, :, None] - before[:, None, :] - floor, -np.inf)
        opponent = lead.argmax(axis=1)  # [G, j]
        promising = np.take_along_axis(lead, opponent[:, None, :], axis=1)[:, 0, :] > 0
        gaps = np.take_along_axis(means, opponent, axis=1) - means
        floors = np.take_along_axis(floor, opponent, axis=0)
        self._against += log_growth(np.where(promising, gaps, np.nan), floors)

    def _leave(self) -> list[Leave]:
        shown = self.racing & (log_mean(self._against) >= self._leaving)
        dearer = np.zeros(len(shown), bool)
        if self.reference is not None:
            shown[self.reference] = False
            dearer = self.racing & self._cheaper[self.reference] & ~self._cheaper[:, self.reference]
        leaves = [self._told(int(j), bool(shown[j])) for j in np.flatnonzero(shown | dearer)]
        self.racing[[leave.column for leave in leaves]] = False
        return leaves + ([] if self.racing.sum() > 1 else self._settle())

    def _told(self, column: int, shown: bool) -> Leave:
        """The reason in words: who leads the one that leaves, and whether that one is cheaper."""
        if not shown:
            assert self.reference is not None
            return Leave(column, "dearer", self.reference)
        rivals = np.where(self.racing & (np.arange(len(self.racing)) != column), self._totals, -np.inf)
        cheaper = np.where(self._cheaper[:, column], rivals, -np.inf)
        best = int(cheaper.argmax())
        if cheaper[best] >= self._totals[column]:
            return Leave(column, "dominated", best)
        return Leave(column, "worse", int(rivals.argmax()) if self.reference is None else self.reference)

    def _settle(self) -> list[Leave]:
        """Everybody leaves if the cheapest one left is the only one, or stays within the margin of those that count."""
        left = np.flatnonzero(self.racing)
        capital = log_mean(self._within)
        for k in left:
            rivals = left[left != k]
            judged = rivals if self.reference is None else rivals[rivals == self.reference]
            if self._cheaper[k, rivals].all() and (capital[k, judged] >= self._settling).all():
                self.winner = int(k)
                self.racing[:] = False
                return [Leave(int(j), "settled", int(k)) for j in left]
        return []

    def _shown_cheaper(self) -> Mask:
        """[k, j]: k is shown to cost no more than j, on clusters where both costs are known."""
        result = self._cheaper.copy()
        left = np.flatnonzero(self.racing)
        for k in left:
            spared = self._costs[:, left] - self._costs[:, [k]]
            known = (~np.isnan(spared)).sum(axis=0) >= BURN_IN
            result[k, left] = known & (asymptotic_low(spared, self._pricing) >= 0) & (left != k)
        return result


def waves(first: int, ends: Ints) -> list[int]:
    """Rows run after each wave: at least `first`, each GROWTH times the one before or more, at `ends` of clusters."""
    sizes: list[int] = []
    wanted = float(first)
    for end in map(int, ends):
        if end >= wanted or end == ends[-1]:
            sizes.append(end)
            wanted = max(end + 1, end * GROWTH)
    return sizes


def on_floor(seed: int, suite: str, cluster: str, share: float) -> bool:
    """Whether a cluster belongs to the random floor: a hash decides, before anything is known."""
    digest = hashlib.sha256(f"{seed}\0{suite}\0{cluster}\0floor".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def whole_clusters(clusters: Ints) -> tuple[Ints, Ints]:
    """The order [n] in which a race runs rows, and the ends [G] of its clusters in that order.

    clusters [n]: codes in the fixed shuffled order of the suite. A cluster runs where its first row stands, for only
    complete clusters may be bet on; waves end where clusters do.
    """
    _, first, codes = np.unique(clusters, return_index=True, return_inverse=True)
    place = np.argsort(np.argsort(first, kind="stable"), kind="stable")[codes]
    order = np.argsort(place, kind="stable")
    return order.astype(np.int64), np.cumsum(np.bincount(place)).astype(np.int64)
