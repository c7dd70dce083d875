"""Outcomes beside a reference's, row by row: what candidates recorded, and what a policy, one of
them or a mix of them gives.

Everything that is judged is such a pair on the same rows: what a fit chose, a policy on recorded
outcomes, a challenger beside its champion, one candidate for everything, the random mix. How they
are paired and weighed is written here only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from router_lab.metrics.estimate import Estimate, clustered_mean, clustered_value, paired_saving
from router_lab.metrics.steady import Floats as Floats
from router_lab.metrics.steady import Ints as Ints
from router_lab.metrics.steady import Mask as Mask

if TYPE_CHECKING:
    from router_lab.outcomes import OutcomeMatrix

Columns = NDArray[np.integer[Any]]


def heaviest(*weights: Floats | None) -> Floats | None:
    """Weight of rows that need several outcomes, from the weight of each; None = 1.

    Who left a race runs on with the same random clusters as all others who left, so what is
    observed is nested and the least likely of the outcomes decides.
    """
    known = [weight for weight in weights if weight is not None]
    return reduce(np.maximum, known) if known else None


def column_means(values: Floats, weight: Floats | None = None) -> Floats:
    """[c] means of what is known, rows weighted by `weight` [n, c]; NaN for a column without
    anything."""
    known = ~np.isnan(values)
    counted = known.astype(np.float64) if weight is None else np.where(known, weight, 0.0)
    total = np.where(known, values * counted, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(counted.sum(axis=0), 1e-12), np.nan)


@dataclass(frozen=True, kw_only=True)
class ByRow:
    """Arrays over the same n rows, beside what belongs to no row. group [n]: clusters; suite [n]:
    codes; figures: arrays by the column of outcomes that they come from."""

    group: Ints
    suite: Ints | None = None
    figures: Mapping[str, Floats] = field(default_factory=dict)

    def take(self, rows: NDArray[Any] | slice) -> Self:
        """The same on some rows (indices or a mask; of a slice no copy is made)."""
        parts = {name: part[rows] for name, part in vars(self).items() if isinstance(part, np.ndarray)}
        return replace(self, **parts, figures={name: part[rows] for name, part in self.figures.items()})

    def named(self, name: str) -> Floats:
        """One of the arrays, or of the figures."""
        return np.asarray(self.figures[name] if name in self.figures else getattr(self, name), np.float64)

    def by_suite(self) -> dict[int, Self]:
        """The rows of each suite, by its code."""
        assert self.suite is not None
        return {int(code): self.take(self.suite == code) for code in np.unique(self.suite)}


@dataclass(frozen=True)
class Paired(ByRow):
    """What one way to serve n rows gives, chance in expectation, beside the reference; arrays [n],
    NaN = not known.

    Where they were made by `both_known`, both qualities are known on the same rows (`scored`), both
    costs on some of these. moved: the share of a row's requests that may leave
    the reference. weight: one over the known probability with which all outcomes that a row needs
    were observed, None = 1. drawn: the rows of which no reference is predicted
    (`metrics.twophase`), None = all.
    """

    quality: Floats
    cost_usd: Floats
    reference_quality: Floats
    reference_cost_usd: Floats
    moved: Floats
    weight: Floats | None = None
    drawn: Mask | None = None

    def both_known(self) -> Self:
        """The same, of which what only one of the two knows is left out."""
        scored = ~np.isnan(self.quality + self.reference_quality)
        priced = scored & ~np.isnan(self.cost_usd + self.reference_cost_usd)
        return replace(
            self,
            quality=np.where(scored, self.quality, np.nan),
            reference_quality=np.where(scored, self.reference_quality, np.nan),
            cost_usd=np.where(priced, self.cost_usd, np.nan),
            reference_cost_usd=np.where(priced, self.reference_cost_usd, np.nan),
        )

    @property
    def scored(self) -> Mask:
        return ~np.isnan(self.quality)

    def mean(self, name: str) -> Estimate:
        """The mean of one of the arrays, or of the figures."""
        return clustered_mean(self.named(name), self.group, weights=self.weight)

    def value(self, name: str) -> float:
        """`mean(name).value`."""
        return clustered_value(self.named(name), self.group, weights=self.weight)

    def gain(self) -> Estimate:
        """The mean difference in quality to the reference; certain where no row leaves it, known
        or not."""
        span = float(self.moved.max(initial=0.0))
        gain = self.quality - self.reference_quality
        return clustered_mean(gain, self.group, weights=self.weight, span=span, drawn=self.drawn)

    def saving(self) -> Estimate:
        """The share of the reference's cost that is saved."""
        base, weights = self.reference_cost_usd, self.weight
        return paired_saving(self.cost_usd, base, self.group, weights=weights, drawn=self.drawn)

    def over(self, other: Paired) -> Estimate:
        """What is saved more than by another way to serve the same rows, as a share of the
        reference's cost."""
        base, weights = self.reference_cost_usd, heaviest(self.weight, other.weight)
        return paired_saving(
            self.cost_usd, other.cost_usd, self.group, reference=base, weights=weights, drawn=self.drawn
        )

    def against(self, other: Paired, moved: Floats) -> Paired:
        """The same with another way to serve these rows in the reference's place. moved [n]: the
        share of a row's requests that the two serve by different candidates."""
        weight = heaviest(self.weight, other.weight)
        return Paired(
            self.quality, self.cost_usd, other.quality, other.cost_usd, moved, weight, drawn=self.drawn,
            group=self.group, suite=self.suite,
        ).both_known()  # fmt: skip

    def within(self, other: Paired) -> Paired:
        """The same where `other` is known too."""
        quality = np.where(other.scored, self.quality, np.nan)
        cost = np.where(np.isnan(other.cost_usd), np.nan, self.cost_usd)
        weight = heaviest(self.weight, other.weight)
        return replace(self, quality=quality, cost_usd=cost, weight=weight).both_known()


@dataclass(frozen=True)
class Recorded(ByRow):
    """What c candidates, one of them the reference, were recorded to give n rows.

    quality, cost_usd, figures [n, c], NaN = missing; reference: its column. weight [n, c]: one
    over the known probability with which an outcome was observed, None = 1. missing [n, c]: the
    share of an outcome's epochs that no plan left out. What kept them away may be what they would
    have been, so they count as lost: a candidate's as 0, the reference's as 1 (the bound of Manski
    1989); None = those that are missing are left out. drawn [n]: rows of which the reference's
    outcome is no prediction, None = all.
    """

    quality: Floats
    cost_usd: Floats
    reference: int
    weight: Floats | None = None
    missing: Floats | None = None
    drawn: Mask | None = None

    @classmethod
    def of(cls, data: OutcomeMatrix, reference: int, missing: Floats | None = None) -> Recorded:
        return Recorded(
            data.quality, data.cost_usd, reference, data.weighting, missing, group=data.group,
            suite=data.suite, figures=data.figures,
        )  # fmt: skip

    @property
    def least(self) -> Floats:
        """[n, c] qualities that differ from the reference's by no more than the true ones do to
        its disadvantage."""
        return self.filled(np.arange(self.quality.shape[1]) == self.reference)

    def filled(self, lost: Any) -> Floats:
        """[n, c] qualities where an epoch that is missing counts as `lost`, a number or [c]."""
        if self.missing is None or not self.missing.any():
            return self.quality
        mean = np.nan_to_num(self.quality) * (1 - self.missing) + lost * self.missing
        return np.where(self.missing > 0, mean, self.quality)

    def gain(self, action: Columns) -> Floats:
        """Quality under columns [n] or [n, k] of actions minus the reference's, at least."""
        quality = self.least
        return self._of(quality, action) - self._like(quality, action)

    def weights(self, *actions: Columns) -> Floats | None:
        """[n] or [n, k] weight of rows that need the outcomes of all of these columns, [n] or [n,
        k], and the reference's."""
        if self.weight is None:
            return None
        found = heaviest(
            self._like(self.weight, actions[0]), *(self._of(self.weight, action) for action in actions)
        )
        return np.asarray(np.broadcast_to(np.asarray(found), actions[0].shape), np.float64)

    def served(self, shares: Floats) -> Paired:
        """What candidates give that serve `shares` [n, c] of the requests."""
        needed = shares > 0
        needed[:, self.reference] = True
        weight = None if self.weight is None else heaviest(*np.where(needed, self.weight, 1.0).T)
        moved = 1 - shares[:, self.reference]
        return self._paired(
            lambda values: np.where(shares > 0, shares * values, 0.0).sum(axis=1), moved, weight
        )

    def mixture(self, *parts: tuple[float, Columns]) -> Paired:
        """What is given where a share of the requests goes to each part: columns [n], or [n, k] in
        equal shares."""
        wide = [(share, _wide(action)) for share, action in parts if share > 0]
        moved = sum(share * (action != self.reference).any(axis=1) for share, action in wide)
        weight = self.weights(*(column for _, action in wide for column in action.T))

        def expected(values: Floats) -> Floats:
            return np.asarray(sum(share * self._of(values, action).mean(axis=1) for share, action in wide))

        return self._paired(expected, np.asarray(moved, np.float64), weight)

    def always(self, column: int) -> Paired:
        """One candidate for everything."""
        return self.chance({column: 1.0})

    def chance(self, shares: Mapping[int, float]) -> Paired:
        """Candidates for a share of the requests each, whatever they ask, the reference for the
        rest."""
        rows, rest = len(self.group), {self.reference: 1 - sum(shares.values())}
        return self.mixture(
            *((share, np.full(rows, column)) for column, share in [*rest.items(), *shares.items()])
        )

    def oracle(self) -> tuple[Floats, Floats]:
        """Hindsight: [n] the best quality of each row and what the cheapest of equals costs, over
        candidates that have both; NaN where none has."""
        known = ~np.isnan(self.quality + self.cost_usd)
        best = np.where(known, self.quality, -np.inf).max(axis=1)
        cheapest = np.where(known & (self.quality >= best[:, None]), self.cost_usd, np.inf).min(axis=1)
        some = known.any(axis=1)
        return np.where(some, best, np.nan), np.where(some, cheapest, np.nan)

    def _paired(self, expected: Callable[[Floats], Floats], moved: Floats, weight: Floats | None) -> Paired:
        """Rows that nothing moves are the reference's to the last digit."""

        def beside(values: Floats) -> tuple[Floats, Floats]:
            base = values[:, self.reference]
            return np.where(moved > 0, expected(values), base), base

        (quality, base), (cost, dollars) = beside(self.least), beside(self.cost_usd)
        figures = {name: beside(values)[0] for name, values in self.figures.items()}
        return Paired(
            quality, cost, base, dollars, moved, weight, self.drawn,
            group=self.group, suite=self.suite, figures=figures,
        ).both_known()  # fmt: skip

    def _of(self, values: Floats, action: Columns) -> Floats:
        return np.take_along_axis(values, _wide(action).astype(np.int64), axis=1).reshape(action.shape)

    def _like(self, values: Floats, action: Columns) -> Floats:
        return values[:, self.reference].reshape(-1, *(1 for _ in action.shape[1:]))


def _wide(action: Columns) -> Columns:
    return action if action.ndim > 1 else action[:, None]
