"""Claims about paired differences that may be tested at every look, at no cost in validity.

The unit is the cluster, as everywhere here. Capital that bets on a claim is a non-negative
supermartingale as long as the claim is false, so the chance that it ever reaches 1/alpha is at
most alpha, whenever one looks and whenever one stops (Ville 1939; Waudby-Smith & Ramdas 2023,
"Estimating means of bounded random variables by betting", JRSS B 86, section 4). Bets are a fixed
mixture of stakes, so the capital does not depend on the order of the clusters within a look. Means
of capital are capital again, which is how several opponents share one error without Bonferroni's
price (Vovk & Wang 2021, "E-values: calibration, combination and applications", section 3).

Dollars have no bound to bet within: they are compared by an asymptotic confidence sequence
(Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2024, "Time-uniform central limit theory and
asymptotic confidence sequences", theorem 2.2, in its one-sided form) after a burn-in.

What a race knows so far is kept as sums that grow with each wave: no look goes through the past
again (`Tally`, `Sums`).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np

from router_lab.metrics.bound import Spread
from router_lab.metrics.steady import Floats, Ints, Mask, exp, log, log1p
from router_lab.racing.alpha_spending import LEAST, forward, scored

STAKES = np.array([0.02, 0.03472, 0.06027, 0.10462, 0.18161, 0.31526, 0.54726, 0.95])
"""Shares of the capital staked, each with an eighth of it, in even ratios: some stake is always
near the best one."""

BURN_IN, TIGHTEST = 10, 100
"""Clusters before dollars are compared, for the central limit theorem needs some; and those at
which their bound is tightest."""


def log_growth(differences: Any, floor: Any) -> Floats:
    """log of what each stake becomes, [stakes, ...], by betting that the mean difference is above
    `floor`.

    differences [G, ...] in [-1, 1], one per cluster, NaN where unknown (such a cluster does not
    bet); floor: in (-1, 1), a number or [G, ...]. Add up the growth of all looks; `log_mean` over
    the first axis is the log e-value of the claim, and at alpha it may be believed from log(1 /
    alpha) on.
    """
    gains = (np.asarray(differences, dtype=np.float64) - floor) / (1 + np.asarray(floor))
    gains = np.where(np.isnan(gains), 0.0, gains)
    return np.asarray(log1p(STAKES.reshape(-1, *(1,) * gains.ndim) * gains).sum(axis=1))


def log_mean(logs: object) -> Floats:
    """log of the mean of `exp(logs)` over the first axis, without overflow; -inf counts as
    nothing."""
    values = np.asarray(logs, dtype=np.float64)
    most = values.max(axis=0)
    above = np.where(most > -np.inf, values - np.where(most > -np.inf, most, 0.0), -np.inf)
    return np.asarray(most + log(exp(above).mean(axis=0)))


def asymptotic_reach(count: int, alpha: float) -> float:
    """How many standard deviations of a cluster a lower bound lies below the mean of `count`
    clusters, so that it holds at all looks together with probability 1 - alpha, asymptotically;
    it is tightest at TIGHTEST. alpha below .3."""
    wide = -2 * float(log(2 * alpha))
    rho2 = (wide + float(log(wide)) + 1) / TIGHTEST
    scaled = count * rho2 + 1
    return sqrt(2 * scaled / (count * count * rho2) * float(log1p(sqrt(scaled) / (2 * alpha))))


def cluster_means(values: object, clusters: Ints) -> Floats:
    """Means [G, ...] of rows [n, ...] by cluster, in the order of the codes; a NaN row is left out
    of its cluster."""
    numbers = np.asarray(values, dtype=np.float64)
    if (clusters[1:] > clusters[:-1]).all():
        return numbers.copy()
    _, codes = np.unique(clusters, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(int(codes.max()) + 1))
    known = ~np.isnan(numbers[order])
    total = np.add.reduceat(np.where(known, numbers[order], 0.0), starts, axis=0)
    count = np.add.reduceat(known.astype(np.float64), starts, axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


class Tally:
    """Cluster means by column. total, squares, count [c]; gaps, gap_squares, both [k, j]: of
    column j minus column k on the clusters that both have run; rows: clusters taken in."""

    def __init__(self, columns: int) -> None:
        self.rows = 0
        self._each, self._pairs = np.zeros((3, columns)), np.zeros((3, columns, columns))
        self.total, self.squares, self.count = self._each
        self.gaps, self.gap_squares, self.both = self._pairs

    def add(self, means: Floats) -> None:
        """Take in cluster means [G, c]; NaN = not run."""
        known = ~np.isnan(means)
        values, ran = np.where(known, means, 0.0), known.astype(np.float64)
        self.rows += len(means)
        self.total += values.sum(axis=0)
        self.squares += (values * values).sum(axis=0)
        self.count += ran.sum(axis=0)
        gaps = values[:, None, :] - values[:, :, None]
        gaps *= known[:, None, :] & known[:, :, None]
        self.gaps += gaps.sum(axis=0)
        self.gap_squares += (gaps * gaps).sum(axis=0)
        self.both += ran.T @ ran  # whole numbers: exact in whatever order BLAS adds them

    def plus(self, other: Tally, weights: Floats) -> Tally:
        """This, and of `other` as many clusters as `weights` [c] says; of a pair the smaller
        number."""
        each = weights / np.maximum(other.count, 1)
        pair = np.minimum(weights[:, None], weights) / np.maximum(other.both, 1)
        found = Tally(len(weights))
        found.rows = self.rows
        found._each[:] = self._each + each * other._each
        found._pairs[:] = self._pairs + pair * other._pairs
        return found

    def take(self, columns: Sequence[int]) -> Tally:
        """Of these columns alone."""
        found = Tally(len(columns))
        found.rows = self.rows
        found._each[:] = self._each[:, columns]
        found._pairs[:] = self._pairs[:, columns][:, :, columns]
        return found

    def mean(self, empty: float) -> Floats:
        """[c]; `empty` for a column that has run nothing."""
        return np.where(self.count > 0, self.total / np.maximum(self.count, 1), empty)

    def lower(self, alpha: float) -> Mask:
        """[k, j]: column k is shown to be no higher than j; a cluster that one of them lacks
        counts as a tie."""
        if self.rows < BURN_IN:
            return np.zeros(self.both.shape, bool)
        mean = self.gaps / self.rows
        variance = np.maximum(self.gap_squares - self.rows * mean * mean, 0.0) / (self.rows - 1)
        return np.asarray(
            (self.both >= BURN_IN) & (mean >= np.sqrt(variance) * asymptotic_reach(self.rows, alpha))
        )


class Sums:
    """Gains so far by column: their sums, squares, cubes, count, and the capital of bets on
    them."""

    def __init__(self, columns: int) -> None:
        self.total, self.squares, self.cubes, self.count = np.zeros((4, columns))
        self.capital = np.zeros((len(STAKES), columns))

    def add(self, gaps: Floats, floor: Floats | float, bets: bool = True) -> None:
        """Take in differences [G, c] in [-1, 1] of which a mean above `floor` is to be shown; NaN
        = unknown."""
        known = ~np.isnan(gaps)
        gains = np.where(known, gaps - floor, 0.0)
        self.total += gains.sum(axis=0)
        self.squares += (gains * gains).sum(axis=0)
        self.cubes += (gains * gains * gains).sum(axis=0)
        self.count += known.sum(axis=0)
        if bets:
            self.capital += log_growth(gaps, floor)

    @property
    def known(self) -> Floats:
        """[c] how many gains, 2 at least."""
        return np.maximum(self.count, 2.0)

    def below(self) -> Spread:
        """[c] what a lower bound of the mean gain is made of; one more cluster could lose 1."""
        known = self.known
        mean = self.total / known
        variance = np.maximum(self.squares / known - mean * mean, 0.0) / (known - 1)
        cubed = self.cubes / known - 3 * mean * self.squares / known + 2 * mean * mean * mean
        return Spread(variance, -cubed / (known * known), 1 / known)

    def shown(
        self, alpha: float, early: float, looks: tuple[int, ...], now: int, before: Mask | bool = False
    ) -> Mask:
        """[c] whether the mean is shown to be above the floor after `now` clusters of looks[-1], or
        was `before`; `alpha`: the error of all looks together, of which bets may spend `early` and
        the looks the rest; without looks all is for bets."""
        early = early if looks else 1.0
        bets = np.asarray(before | (log_mean(self.capital) >= log(1 / (alpha * early))))
        if now not in looks or now < LEAST:
            return bets
        bound = forward(looks, alpha * (1 - early))[looks.index(now)]
        if not np.isfinite(bound) or not (self.total > 0).any():
            return bets
        needed = bound * np.sqrt(looks[-1] / np.maximum(self.count, 1.0))
        tested = ~bets & (self.count >= LEAST)
        needed = np.where(tested, needed, np.inf)
        return bets | scored(self.total / self.known, self.below(), self.count, needed)
