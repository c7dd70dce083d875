"""Who may leave a race: pure decisions from the outcomes so far, the same wherever they are
replayed.

The race of a suite is for the cheapest candidate that loses at most the margin against the best
one, or against the candidate that is named as the reference. After each wave a candidate leaves
when it is shown

- `dominated`: somebody cheaper is at least as good,
- `worse`: it loses more than the margin, so that it can neither be chosen nor be the reference,
- `dearer`: it costs more than the named reference, so that choosing it saves nothing, or
- `cannot_pass`: it is cheaper than what could be settled on, but the whole grid could not pass it
  any more;

and everybody leaves when the suite is `settled`: one is left, or a nominee
(`router_lab.racing.nomination`) is shown to lose at most the margin against every other one left,
and to be the cheapest of them. Whoever need not be compared with any more, or not yet, waits: it
runs nothing but the control share (`router_lab.racing.standing` says who). At the end of a grid on
which nothing was settled, those who wait leave as `not_needed` if a nominee that is cheaper and
shown to be within the margin of them passes on the grid; else they run what they have missed.

With probability `confidence`, over all candidates and looks of a suite, neither the best one (or
the reference) nor the one that the rule would choose leaves wrongly, nor is one settled on that
loses more than the margin: see LEAVING for the shares of the error. Who leaves goes on with a
random control share of the clusters, drawn beforehand, so that whatever it is good for can still
be seen. The unit is the cluster, and each has one vote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import NamedTuple

import numpy as np

from router_lab.metrics.steady import Floats, Ints, Mask, log, normal_quantile
from router_lab.racing.alpha_spending import LEAST, scored
from router_lab.racing.elimination import Reason
from router_lab.racing.nomination import Nomination
from router_lab.racing.prior import Prior
from router_lab.racing.sequential import Sums, Tally, cluster_means
from router_lab.racing.standing import Standing, gap, standing

UNABLE, PRICING = 0.02, 0.02
LEAVING = (30, 0.05, 0.2)
"""Shares of the error: UNABLE, PRICING; for leaving, 30 over the clusters of the grid, from .05 to
.2; what is left is for settling. Where a grid is long, losers leave early at any price, and
settling is what is worth the error."""
FIRST = 0.95
"""Of the error left for nominations, the share that each takes."""
EARLY = 0.8
"""Share of the error of leaving that bets may spend: most who leave are far behind."""
SCREENING = (20, 0.04)
"""Clusters, and share of the grid, that are only looked at before anybody is nominated."""


@dataclass(frozen=True)
class RaceRule:
    """margin, confidence: as in a recipe; control_share: of the clusters, on which those who left
    still run."""

    margin: float = 0.03
    confidence: float = 0.90
    control_share: float = 0.1


def screening(looks: Sequence[int]) -> float:
    """Clusters that are only looked at, of a race with these `looks`."""
    return max(SCREENING[0], SCREENING[1] * (looks or (0,))[-1])


def least_clusters(rule: RaceRule) -> int:
    """About how many clusters a suite needs for anything to be settled: ties alone, of two that
    are always alike.

    Among n ties after the screening ln(1 / error) losses may hide, and they sum up to n margins.
    """
    alpha = (1 - rule.confidence) * (1 - UNABLE - PRICING - LEAVING[2]) * FIRST
    return SCREENING[0] + ceil(max(LEAST, -float(log(alpha)) / rule.margin))


class Exit(NamedTuple):
    """Candidate `column` leaves; `by` is the one that showed it up (leads now), the winner where
    all is settled."""

    column: int
    reason: Reason
    by: int


class Race:
    """One suite. `look` after every wave; `racing` bool[c] says who is still in, `winner` what was
    settled on, `price` [c] the mean dollars of a cluster so far, inf where nothing was run."""

    def __init__(
        self, rule: RaceRule, columns: int, reference: int | None = None, looks: Sequence[int] = (),
        prior: Prior | None = None,
    ) -> None:  # fmt: skip
        """`columns` candidates; `reference`: its column, or None for the best one; the reference
        leaves only when the suite is settled. `looks`: clusters after each wave, to the end of the
        grid; without them only bets decide. `prior`: what is expected, which says who is put
        forward and who waits, and has no part in what is shown."""
        self.rule, self.reference, self._looks = rule, reference, tuple(map(int, looks))
        self.prior = prior
        self.racing: Mask = np.ones(columns, bool)
        self.waiting: Mask = np.zeros(columns, bool)
        self.winner: int | None = None
        self._error = 1 - rule.confidence
        self._pricing = self._error * PRICING / (max(1, columns - 1) * columns)
        grid = self._looks[-1] if self._looks else LEAVING[0] / LEAVING[2]
        leaving = min(max(LEAVING[0] / grid, LEAVING[1]), LEAVING[2])
        # The best and the choice are at risk.
        self._leaving = self._error * leaving / (2 if reference is None else 1)
        self._settling = self._error * (1 - UNABLE - PRICING - leaving)
        self._against = Sums(columns)
        self._nominations: list[Nomination] = []
        self._quality, self._dollars = Tally(columns), Tally(columns)
        self._cheaper: Mask = np.zeros((columns, columns), bool)  # [k, j]: k is shown to cost no more than j
        self.price: Floats = np.full(columns, np.inf)

    @property
    def running(self) -> Mask:
        """[c] who runs all samples of the next wave: neither gone nor waiting."""
        return self.racing & ~self.waiting

    def look(self, quality: Floats, cost_usd: Floats, clusters: Ints) -> list[Exit]:
        """Take in the rows [n, c] of a wave and say who leaves, in column order.

        Rows in the race's order, of complete clusters; NaN where an outcome is missing. `clusters`
        [n]: codes that grow in that order. What is not running is ignored, so that only what was
        due may decide.
        """
        if not len(quality) or not self.racing.any():
            return []
        means = cluster_means(np.where(self.running, quality, np.nan), clusters)
        self._bet(means)
        self._quality.add(means)
        self._dollars.add(cluster_means(np.where(self.running, cost_usd, np.nan), clusters))
        both = self.running[:, None] & self.running & ~np.eye(len(self.racing), dtype=bool)
        self._cheaper = np.where(both, self._dollars.lower(self._pricing), self._cheaper)
        self.price = self._dollars.mean(np.inf)
        for nomination in self._nominations:
            nomination.add(means)
        exits = self._settle() or self._leave()
        if self.racing.any():
            seen = self._quality
            if self.prior is not None:
                # Half of a screening at most: as much that is new has a say, and can disagree.
                seen = self.prior.beside(seen, screening(self._looks) / 2)
            seems = self._standing(seen)
            self._nominate(seems, seen)
            self.waiting = self._not_needed(seems)
        return exits

    def release(self, quality: Floats, clusters: Ints) -> list[Exit]:
        """Who need not run what it has missed, at the end of a grid on which nothing was settled.

        quality [n, c] of all rows, in the race's order, with whatever those who still run had
        missed. Whoever waits is dearer than the target, and shown to be no more than the margin
        above it unless a reference is named. If that passes on the grid against all the others, by
        the test of the routing table (the target is one of those cheaper than the leader, hence
        Bonferroni over these), those who wait can be neither the choice nor needed as a reference.
        A statement about the grid, as `cannot_pass`.
        """
        seems = self._standing()
        target = seems.target(self.nominated)
        if target is None or not self.waiting.any():
            return []
        means = cluster_means(quality, clusters)
        last = Sums(means.shape[1])
        last.add(means[:, [target]] - means, -self.rule.margin, bets=False)
        level = self._error / max(1, int((self.price < self.price[seems.leader]).sum()))
        needed = np.full(len(means[0]), -float(normal_quantile(level)))
        passed = scored(last.total / last.known, last.below(), last.count, needed)
        rivals = self._judged(self.running)
        rivals[target] = False
        if not passed[rivals].all():
            return []
        gone = np.flatnonzero(self.waiting & self.racing)
        self.racing[gone] = False
        return [Exit(int(column), Reason.NOT_NEEDED, target) for column in gone]

    def _bet(self, means: Floats) -> None:
        """Against each candidate, on whoever led it most before each cluster: the choice of the
        opponent is free as long as the cluster itself has no say in it."""
        ours = ~np.isnan(means)
        known = np.where(ours, means, 0.0)
        seen = self._quality.count + np.cumsum(ours, axis=0) - ours
        before = (self._quality.total + np.cumsum(known, axis=0) - known) / np.maximum(seen, 1)
        floor = np.where(self._cheaper, 0.0, self.rule.margin)  # [k, j]
        open_ = self.running[:, None] & ~np.eye(len(self.racing), dtype=bool)
        if self.reference is not None:
            open_ &= self._cheaper | self._judged(self.racing)[:, None]
        lead = np.where(open_, before[:, :, None] - before[:, None, :] - floor, -np.inf)
        opponent = lead.argmax(axis=1)  # [G, j]
        promising = np.take_along_axis(lead, opponent[:, None, :], axis=1)[:, 0, :] > 0
        gaps = np.take_along_axis(means, opponent, axis=1) - means
        floors = np.take_along_axis(floor, opponent, axis=0)
        self._against.add(np.where(promising, gaps, np.nan), floors)

    def _leave(self) -> list[Exit]:
        shown = self.racing & self._against.shown(self._leaving, EARLY, self._looks, self._quality.rows)
        dearer, cannot_pass = np.zeros(len(shown), bool), np.zeros(len(shown), bool)
        seems = self._standing()
        for nomination in self._nominations:
            for column in nomination.columns:
                cannot_pass |= self.racing & nomination.cannot_pass & seems.below(column) & ~shown
        if self.reference is not None:
            shown[self.reference] = cannot_pass[self.reference] = False
            dearer = self.racing & self._cheaper[self.reference] & ~self._cheaper[:, self.reference]
        exits = [
            self._told(int(j), bool(shown[j]), bool(cannot_pass[j]))
            for j in np.flatnonzero(shown | dearer | cannot_pass)
        ]
        self.racing[[one.column for one in exits]] = False
        return exits + ([] if self.racing.sum() > 1 else self._settle())

    def _told(self, column: int, shown: bool, cannot_pass: bool) -> Exit:
        """The reason in words: who leads the one that leaves, and whether that one is cheaper."""
        if cannot_pass:
            by = next(n.opponent for n in self._nominations if n.cannot_pass[column])
            return Exit(column, Reason.CANNOT_PASS, by)
        if not shown:
            assert self.reference is not None
            return Exit(column, Reason.DEARER, self.reference)
        quality = self._quality.mean(0.0)
        rivals = np.where(self.racing & (np.arange(len(self.racing)) != column), quality, -np.inf)
        cheaper = np.where(self._cheaper[:, column], rivals, -np.inf)
        best = int(cheaper.argmax())
        if cheaper[best] >= quality[column]:
            return Exit(column, Reason.DOMINATED, best)
        return Exit(column, Reason.WORSE, int(rivals.argmax()) if self.reference is None else self.reference)

    def _settle(self) -> list[Exit]:
        """Everybody leaves if one is left, or a nominee stays within the margin of those that
        count and is the cheapest; at the end of the grid it need only be the cheapest of those
        that the grid could pass."""
        left = np.flatnonzero(self.racing)
        able = self._able() if self._ended else self.racing
        # One alone is no race: it runs everything.
        winner = int(left[0]) if len(left) == 1 < len(self.racing) else None
        shown = {k for nomination in self._nominations for k in nomination.shown(self._judged(self.racing))}
        for k in sorted(shown, key=lambda k: float(self.price[k])):
            rivals = left[left != k]
            if winner is None and self.racing[k] and (~able | self._cheaper[k])[rivals].all():
                winner = k
        if winner is None:
            return []
        self.winner = winner
        self.racing[:] = False
        return [Exit(int(j), Reason.SETTLED, winner) for j in left]

    def _judged(self, among: Mask) -> Mask:
        """[c] those of whom a nominee must be within the margin: `among`, or the named reference
        alone."""
        if self.reference is None:
            return among.copy()
        return np.asarray(np.arange(len(among)) == self.reference)

    @property
    def _ended(self) -> bool:
        return bool(self._looks) and self._quality.rows >= self._looks[-1]

    def _standing(self, seen: Tally | None = None) -> Standing:
        """After what was `seen`; by default what the race itself has, which alone may decide."""
        margin = self.rule.margin
        return standing(
            seen or self._quality, self.price, self._cheaper, self.racing, self.running, self.reference, margin
        )  # fmt: skip

    def _able(self) -> Mask:
        """[c] who may pass on the whole grid, whatever (but for an error of UNABLE) the clusters
        hold on which it or the leader waited: a grid that is known in part does not say who fails
        it."""
        seems, seen = self._standing(), self._quality
        mean, error = gap(seen, seems.leader, seems.anchor)
        unseen = 1 - seen.both[seems.leader] / seen.rows
        needed, luck = map(float, normal_quantile([self.rule.confidence, 1 - self._error * UNABLE]))
        passes = mean + self.rule.margin >= (needed - luck * np.sqrt(unseen)) * error
        passes[seems.leader] = True
        return np.asarray(self.racing & passes)

    @property
    def _screening(self) -> bool:
        return self._quality.rows < screening(self._looks)

    @property
    def nominated(self) -> list[int]:
        """Columns that were put forward, in order."""
        return [column for nomination in self._nominations for column in nomination.columns]

    def _nominate(self, seems: Standing, seen: Tally) -> None:
        """Let one join each nomination that wants one; make a further one only when the race is
        twice as long, and none before `seen` has as much of its first as a screening."""
        now = self._quality.rows
        if self._ended:
            return
        for nomination in self._nominations:
            column = seems.further(nomination.columns)
            if column is not None:
                nomination.join(column)
        if self._nominations and now < 2 * self._nominations[-1].start:
            return
        nominees = seems.nominees()
        if not nominees or any(nominees[-1] in nomination.columns for nomination in self._nominations):
            return
        if self._screening and seen.both[seems.leader, nominees[0]] < screening(self._looks):
            return
        weight = FIRST * prod([1 - FIRST] * len(self._nominations))
        errors = (self._settling * weight, self._error * UNABLE * weight)
        opponent = nominees[0] if self.reference is None else self.reference
        rule = self.rule
        self._nominations.append(
            Nomination(nominees, opponent, errors, rule.margin, rule.confidence, self._looks, self._quality)
        )

    def _not_needed(self, seems: Standing) -> Mask:
        """[c] who waits: the dear while scouts are looked at; then who is dearer than the target,
        if both it and the first of its nomination are matched with it, or need not be because a
        reference is named."""
        nobody = np.zeros(len(self.racing), bool)
        if not self._nominations:
            return seems.after_scouts() if self._looks and self._screening else nobody
        target = seems.target(self.nominated)
        if target is None:
            return nobody
        waits = self.racing & self._cheaper[target]
        if self.reference is not None:
            waits[self.reference] = False
            return np.asarray(waits)
        waits &= np.any([nomination.matched(target) for nomination in self._nominations], axis=0)
        if (seems.below(target) & self.racing).any():  # who must reach the opponents
            waits[[n.opponent for n in self._nominations if target in n.columns]] = False
        return np.asarray(waits)
