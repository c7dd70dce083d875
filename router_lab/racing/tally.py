"""What a race knows so far, as sums that grow with each wave: no look goes through the past
again."""

from __future__ import annotations

import numpy as np

from router_lab.metrics.steady import Floats, Mask, log
from router_lab.racing.alpha_spending import LEAST, forward, scores
from router_lab.racing.sequential import BURN_IN, STAKES, asymptotic_reach, log_growth, log_mean


class Tally:
    """Cluster means by column. total, squares, count [c]; gaps, gap_squares, both [k, j]: of
    column j minus column k on the clusters that both have run; rows: clusters taken in."""

    def __init__(self, columns: int) -> None:
        self.rows = 0
        self.total, self.squares, self.count = np.zeros(columns), np.zeros(columns), np.zeros(columns)
        self.gaps, self.gap_squares, self.both = (np.zeros((columns, columns)) for _ in range(3))

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
    """Gains so far by column: their sums, squares, count, and the capital of bets on them."""

    def __init__(self, columns: int) -> None:
        self.total, self.squares, self.count = np.zeros(columns), np.zeros(columns), np.zeros(columns)
        self.capital = np.zeros((len(STAKES), columns))

    def add(self, gaps: Floats, floor: Floats | float, bets: bool = True) -> None:
        """Take in differences [G, c] in [-1, 1] of which a mean above `floor` is to be shown; NaN
        = unknown."""
        known = ~np.isnan(gaps)
        gains = np.where(known, gaps - floor, 0.0)
        self.total += gains.sum(axis=0)
        self.squares += (gains * gains).sum(axis=0)
        self.count += known.sum(axis=0)
        if bets:
            self.capital += log_growth(gaps, floor)

    def shown(self, alpha: float, early: float, looks: tuple[int, ...], now: int) -> Mask:
        """[c] whether the mean is shown to be above the floor after `now` clusters of looks[-1];
        `alpha`: the error of all looks together, of which bets may spend `early` and the looks the
        rest; without looks all is for bets."""
        early = early if looks else 1.0
        bets = np.asarray(log_mean(self.capital) >= log(1 / (alpha * early)))
        if now not in looks or now < LEAST:
            return bets
        bound = forward(looks, alpha * (1 - early))[looks.index(now)]
        if not np.isfinite(bound) or not (self.total > 0).any():
            return bets
        needed = bound * np.sqrt(looks[-1] / np.maximum(self.count, 1.0))
        return np.asarray(
            bets | ((self.count >= LEAST) & (scores(self.total, self.squares, self.count) >= needed))
        )
