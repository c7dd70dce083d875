"""Means, ratios and their errors when rows come in clusters, and tests on them.

The unit of independence is the cluster (near-duplicate prompts, one template, one conversation), so every error
here is that of cluster sums: `sum_g u_g^2 * G / (G - 1) / n^2` with `u_g` the summed residuals of cluster g (the
linearised ratio estimator, Cochran, Sampling Techniques, 3rd ed., section 6.3), judged by a t distribution with
G - 1 degrees of freedom.

Rows that were run at a known probability only (a race's floor) count with a weight of one over it (Hajek 1971), and
clusters of unequal weight as the number that the heaviest of them would make up, sum w / max w: what a few heavy rows
did not show may well be there. With Kish's larger number, (sum w)^2 / sum w^2, certificates after a race broke more
often than they may (tests/bench/race_certificates.py).
"""

from dataclasses import dataclass, replace
from math import inf, nan, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router_lab.metrics import steady

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """A mean or ratio with the standard error of its cluster sums.

    `pseudo` is the variance that two pseudo-observations of +1 and -1 would add to the mean (see `clustered_mean`).
    """

    value: float
    se: float
    n: int
    clusters: int
    pseudo: float = 0.0

    @property
    def error(self) -> float:
        """Standard error with the pseudo-observations included: what bounds and tests use."""
        return sqrt(self.se * self.se + self.pseudo)

    def low(self, confidence: float) -> float:
        """One-sided lower bound; -inf with fewer than two clusters."""
        return self.value - self._reach(confidence)

    def high(self, confidence: float) -> float:
        """One-sided upper bound; inf with fewer than two clusters."""
        return self.value + self._reach(confidence)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Two-sided interval: `confidence` lies between the two bounds."""
        side = 0.5 + confidence / 2
        return self.low(side), self.high(side)

    def p_below(self, floor: float) -> float:
        """p-value of the hypothesis that the truth is at most `floor` (small: shown to be above it)."""
        if self.clusters < 2 or np.isnan(self.value):
            return 1.0
        if self.error == 0:
            return 0.0 if self.value > floor else 1.0
        return float(steady.t_below(self.clusters - 1, (floor - self.value) / self.error))

    def scaled(self, factor: float) -> "Estimate":
        """The estimate of `factor` times the quantity."""
        return replace(self, value=self.value * factor, se=self.se * abs(factor), pseudo=self.pseudo * factor * factor)

    def _reach(self, confidence: float) -> float:
        if self.clusters < 2:
            return inf
        return steady.t_quantile(self.clusters - 1, confidence) * self.error


def by_cluster(columns: dict[str, Floats], clusters: Ints) -> tuple[dict[str, Floats], Floats]:
    """Sums [G] of columns [n] by cluster code, and the rows in each, for the clusters that occur, in code order."""
    _, codes = np.unique(clusters, return_inverse=True)
    summed = {name: np.bincount(codes, weights=values).astype(np.float64) for name, values in columns.items()}
    return summed, np.bincount(codes).astype(np.float64)


def clustered_mean(values: Any, clusters: Any = None, *, weights: Any = None, pseudo: float = 0.0) -> Estimate:
    """Mean of `values[n]`; rows with one `clusters` code belong together (default: every row on its own).

    NaN values are left out. `weights[n]`: one over the known probability with which a row was run (default: 1).
    `pseudo` p adds 2 (p/G)^2 to the variance of a paired difference in [-p, p], as if one more cluster had gained p and
    one had lost it: without it a sample that happens to hold no loss claims to be certain (Agresti & Caffo 2000 do the
    same for two proportions). p is 1 for two candidates and 0 for what is the same; where two policies differ by
    chance, `caution` says it.
    """
    numbers = np.asarray(values, dtype=np.float64)
    return clustered_ratio(numbers, np.where(np.isnan(numbers), nan, 1.0), clusters, weights=weights, pseudo=pseudo)


def caution(moved: Any) -> float:
    """`pseudo` of the difference between two policies that serve a share `moved[n]` of each row's requests by
    different candidates: twice the greatest of them, at most 1.

    Once that share itself would be right in scale, but where losses are rare and never made up for, a gate at 10 %
    passed 15 % of policies that lose just more than it allows (90 clusters, a mix of .25, a margin of 2 points), for
    sums of few losses are skew; with twice that 10 % (tests/unit/test_caution.py).
    """
    return min(1.0, 2 * float(np.max(moved, initial=0.0)))


def clustered_ratio(
    numerator: Any, denominator: Any, clusters: Any = None, *, weights: Any = None, pseudo: float = 0.0
) -> Estimate:
    """`sum(numerator) / sum(denominator)` over rows, its error by linearisation over cluster sums.

    Rows where either is NaN are left out; `weights[n]` multiplies both. An empty or zero denominator gives a NaN
    estimate without clusters.
    """
    top, bottom = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    seen = ~(np.isnan(top) | np.isnan(bottom))
    weight = np.ones(int(seen.sum())) if weights is None else np.asarray(weights, dtype=np.float64)[seen]
    top, bottom = top[seen] * weight, bottom[seen] * weight
    total = float(bottom.sum())
    if not len(top) or total == 0:
        return Estimate(nan, nan, 0, 0)
    codes = np.arange(len(top)) if clusters is None else np.asarray(clusters)[seen]
    sums, rows = by_cluster({"top": top, "bottom": bottom, "weight": weight}, codes)
    shares = None if weights is None else sums["weight"] / rows
    estimate = estimate_of_sums(sums["top"], sums["bottom"], shares=shares, pseudo=pseudo)
    return replace(estimate, n=len(top))


def estimate_of_sums(sums: Floats, sizes: Floats, *, shares: Floats | None = None, pseudo: float = 0.0) -> Estimate:
    """`clustered_ratio` of numerators and denominators that are already summed by cluster, both [G].

    `shares[G]`: the mean weight of each cluster's rows, where rows are weighted.
    """
    total, count = float(sizes.sum()), len(sums)
    value = float(sums.sum()) / total
    residuals = sums - value * sizes
    effective = float(count) if shares is None else effective_number(shares.sum(), shares.max())
    squares = float((residuals * residuals).sum())  # never `@`: BLAS adds in an order of the processor's
    spread = sqrt(squares * effective / (effective - 1)) / abs(total) if effective > 1 else inf
    caution = pseudo / effective
    return Estimate(value, spread, round(total), int(effective), 2 * caution * caution)


def effective_number(total: Any, heaviest: Any) -> Any:
    """How many clusters as heavy as the heaviest make up the total weight; their number where all weigh the same."""
    return np.round(total / np.maximum(heaviest, 1e-300), 6)


def paired_saving(
    cost: Any, baseline: Any, clusters: Any = None, *, reference: Any = None, weights: Any = None
) -> Estimate:
    """Saving of `cost[n]` over `baseline[n]` as a share of what `reference[n]` (default: the baseline) costs.

    With `reference` given this is the difference between two savings against one reference, paired row by row.
    """
    spent, base = np.asarray(cost, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    return clustered_ratio(base - spent, base if reference is None else reference, clusters, weights=weights)


def betting_p(values: Any, sizes: Any, floor: float, span: float = 1.0) -> float:
    """p-value that the mean of rows in [-span, span] is at most `floor`, valid at any number of clusters.

    `values[G]` are cluster sums, `sizes[G]` the numbers of rows. Under the hypothesis `sum - floor * size` has a
    mean of at most zero, so a capital that bets on it is a supermartingale; the p-value is one over the most it
    ever reached (Ville). Bets follow the predictable plug-in of Waudby-Smith & Ramdas 2023, "Estimating means of
    bounded random variables by betting", section 4. The order of clusters must not depend on their values.
    """
    sums, counts = np.asarray(values, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    if not len(sums) or floor <= -span:
        return 0.0 if len(sums) else 1.0
    scale = float(counts.max()) * (span + floor)  # no cluster can lose more than this
    gains = (sums - floor * counts) / scale
    before = np.arange(1, len(gains) + 1)
    mean = (np.concatenate([[0.0], np.cumsum(gains)[:-1]])) / before
    away = gains - mean
    spread = (0.25 + np.concatenate([[0.0], np.cumsum(away * away)[:-1]])) / before
    bets = np.clip(mean / (spread + mean * mean), 0.0, 0.75)
    capital = np.cumsum(steady.log1p(bets * gains))
    return min(1.0, float(steady.exp(-max(0.0, float(capital.max())))))


def holm(p_values: Any) -> Floats:
    """Holm's step-down adjusted p-values, in the order given."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
