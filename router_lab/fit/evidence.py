"""What a policy has to hold, and the outcomes that it is judged by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from router_lab.metrics.paired import Columns, Floats, Ints, Mask, Paired, Recorded, column_means


@dataclass(frozen=True)
class Goal:
    """What must hold with probability `confidence`, and how it is tested.

    kind `margin`: lose at most `level` of mean quality against the reference; `quality`: a mean
    quality of at least `level`; `budget`: at most `level` dollars a request. The first two save as
    much as they can, a budget buys quality. `strict` tests by betting. `mix` allows chance.
    `compared`: the reference is the best of so many candidates, by these very rows; where it is
    itself tested, each of them could have been it, and they share the error. `promised`: the
    confidence that all of the procedure keeps, where this test is made at a higher one for that.
    `explore`: the share of requests that goes to anybody who may serve them, whatever is chosen.
    """

    kind: str
    level: float
    confidence: float
    strict: bool = False
    mix: bool = True
    compared: int = 1
    promised: float | None = None
    explore: float = 0.0

    @property
    def sure(self) -> float:
        """The confidence that a test needs: nothing is gained by luck against a reference that
        luck favoured."""
        return self.confidence if self.kind == "margin" else 1 - (1 - self.confidence) / self.compared

    @property
    def floor(self) -> float:
        """Least mean of `Evidence.values`."""
        return -self.level if self.kind == "margin" else 0.0


@dataclass(frozen=True)
class Phases:
    """How the outcomes of a reference were completed that ran on a drawn part alone.

    drawn [n]: rows on which it was to run. share: the probability with which. explained: share of
    the variance of its difference to the candidate most like it that the others' outcomes explain,
    cross-fitted; where that is nothing, weighting the drawn rows does as well, and so it is done
    (`completed` False).
    """

    drawn: Mask
    share: float
    explained: float
    completed: bool


@dataclass(frozen=True, kw_only=True)
class Evidence(Recorded):
    """Outcomes on which an operating point is chosen: n rows, c candidates.

    eligible [n, c]: may be chosen for that row; covered [n]: rows on which predictions are
    followed; elsewhere the column in `table` [n] acts; fold [n]. phases: how the reference's
    outcomes were completed, where it ran on a drawn part alone. chains: how many of the last
    columns are chains of candidates (`fit.chains`); answers: whether these are judged by them.
    """

    eligible: Mask
    covered: Mask
    table: Ints
    fold: Ints
    phases: Phases | None = None
    chains: int = 0
    answers: bool = False

    @property
    def alone(self) -> int:
        """Columns of single candidates."""
        return int(self.quality.shape[1]) - self.chains

    @property
    def lost(self) -> Floats:
        """[n, c] `missing`; zeros where nothing is."""
        return np.zeros_like(self.quality) if self.missing is None else self.missing

    @classmethod
    def bare(cls, known: Recorded, *, eligible: Mask | None = None, fold: Ints | None = None) -> Evidence:
        """Of rows that are all covered, by default with every candidate open and in one fold."""
        n = len(known.group)
        return Evidence(
            **vars(known), eligible=np.ones(known.quality.shape, bool) if eligible is None else eligible,
            covered=np.ones(n, bool), table=np.full(n, known.reference, np.int64),
            fold=np.zeros(n, np.int64) if fold is None else fold,
        )  # fmt: skip

    @property
    def baseline_action(self) -> Ints:
        """[n] what acts at mix 0: the reference, and the table where predictions are not
        followed."""
        return np.where(self.covered, self.reference, self.table)

    @cached_property
    def unit(self) -> float:
        """Mean known cost of the reference in dollars; 1 where it costs nothing or nothing is
        known."""
        mean = float(np.nan_to_num(column_means(self.cost_usd, self.weight)[self.reference]))
        return mean if mean > 0 else 1.0

    @property
    def sample_usd(self) -> float:
        """Dollars that one more sample costs: of every candidate, and of a drawn reference its
        share."""
        means = column_means(self.cost_usd, self.weight)[: self.alone]
        if self.phases is not None:
            means[self.reference] *= self.phases.share
        return float(np.nansum(means))

    def only(self, rows: Mask) -> Evidence:
        """The same with the outcomes of these rows alone; the others count as unpaired."""
        quality, cost = (np.where(rows[:, None], part, np.nan) for part in (self.quality, self.cost_usd))
        missing = None if self.missing is None else np.where(rows[:, None], self.missing, 0.0)
        return replace(self, quality=quality, cost_usd=cost, missing=missing)

    def everywhere(self) -> Evidence:
        """The same, with predictions followed on every row."""
        return self if self.covered.all() else replace(self, covered=np.ones_like(self.covered))

    def follow(self, action: Ints, mix: float) -> Paired:
        """What is given where `action` [n, k], columns in equal shares, is followed with
        probability `mix`, and else `baseline_action`; the reference alone where `mix` shows
        nothing (0 or less)."""
        if mix <= 0:
            return self.always(self.reference)
        return self.mixture((1 - mix, self.baseline_action), (mix, action))

    @property
    def evenly(self) -> Floats:
        """[n, c] the shares with which exploration draws who may be chosen; chains are not
        drawn."""
        may = self.eligible.copy()
        may[:, self.alone :] = False
        may[:, self.reference] = True
        return np.asarray(may / may.sum(axis=1, keepdims=True), np.float64)

    def exploring(self, goal: Goal) -> Floats:
        """[n] what the goal tests where everything explores; NaN where an outcome that this needs
        is missing."""
        shares = self.evenly
        every = np.tile(np.arange(shares.shape[1]), (len(shares), 1))
        return np.asarray(np.where(shares > 0, shares * self.values(every, goal), 0.0).sum(axis=1))

    def exploring_weights(self) -> Floats | None:
        """[n] weight of rows that need every outcome that exploration may draw."""
        if self.weight is None:
            return None
        wide = np.ones(self.evenly.shape)
        wide[:, : self.weight.shape[1]] = self.weight
        return np.asarray(np.where(self.evenly > 0, wide, 1.0).max(axis=1), np.float64)

    def follow_and_explore(self, action: Ints, mix: float, explore: float) -> Paired:
        """`follow` for all but a share `explore` of the requests, which goes to anybody who may be
        chosen."""
        shares, rows = np.zeros(self.quality.shape), np.arange(len(action))
        if mix > 0:
            for column in action.T:
                shares[rows, column] += mix / action.shape[1]
        shares[rows, self.baseline_action if mix > 0 else self.reference] += 1 - max(mix, 0.0)
        return self.served((1 - explore) * shares + explore * self.evenly)

    def values(self, action: Columns, goal: Goal) -> Floats:
        """What the goal tests, for columns [n] or [n, k] of actions; NaN where an outcome is
        missing."""
        if goal.kind == "budget":
            return 1 - self._of(self.cost_usd, action) / goal.level
        if goal.kind == "margin":
            return self.gain(action)
        return self._of(self.filled(0.0), action) - goal.level

    def gain_and_base(self, action: Columns, goal: Goal) -> tuple[Floats, Floats]:
        """What is gained and out of how much: dollars spared and the reference's; under a budget,
        quality and rows."""
        if goal.kind == "budget":
            gained = self._of(self.quality, action) - self._like(self.quality, action)
            return gained, np.where(np.isnan(gained), np.nan, 1.0)
        base = self._like(self.cost_usd, action)
        spared = base - self._of(self.cost_usd, action)
        return spared, np.where(np.isnan(spared), np.nan, base)
