"""Dear candidates on a drawn share of the clusters, and what the others' outcomes say of the rest.

While the cheap candidates run everything, those that are dearer than the target run the clusters
whose lot is below a share p. What they would have scored elsewhere is predicted from the outcomes
of those that ran everything, and the drawn clusters make good what the prediction misses
(`router_lab.metrics.twophase.regress`): a mean of gains g is tested on

    m + (I / p) (g - m),    I = 1 where it was drawn, m the prediction by other folds

which has the mean of g whatever m is (Robins, Rotnitzky & Zhao 1994, "Estimation of regression
coefficients when some regressors are not always observed", JASA 89; in evaluations of language
models Fisch et al. 2024, arXiv 2405.06034 on stratified prediction-powered inference). Nobody has
to believe the predictions: bad ones cost power, never validity.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from router_lab.metrics.steady import Floats, Mask
from router_lab.metrics.twophase import KNOWN, features, regress
from router_lab.outcomes.matrix import FOLDS

SHARES = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""Shares that are drawn at first, the largest of which still spares something."""
DEARER = 2.0
"""How many times the price of the cheapest nominee makes a candidate dear."""
GROWTH, STEP = 1.2, 0.04
"""At the end of a grid on which nothing was settled a share grows by this factor, and at least by
so much."""
PRIOR = 16.0
"""Rows of prior weight for each coefficient being 0."""
FEW = 6
"""Predictors above which all but the tested candidate's are averaged."""


class Completed(NamedTuple):
    """Sums over `clusters`, of which `drawn` were seen and the others predicted."""

    total: float
    squares: float
    clusters: int
    drawn: int


def first_share(price: Floats, dear: Mask, cheap: Mask, least: float) -> float:
    """The share of the clusters that the `dear` [c] run while the `cheap` run all of them, at these
    mean dollars [c]; 1 where a share spares nothing.

    What a difference costs to know is least at p = sqrt((1 - R²) / R² · dollars of the cheap / of
    the dear) (Cochran 1977, Sampling Techniques, section 12.5, double sampling); R² is taken as
    a half, for it is not known yet.
    """
    usd = float(price[dear].sum())
    if not dear.any() or not np.isfinite(usd) or usd <= 0:
        return 1.0
    wanted = sqrt(float(price[cheap].sum()) / usd)
    known = [share for share in SHARES if share >= least]
    if not known or wanted >= 1.2 * known[-1]:
        return 1.0
    return max([share for share in known if share <= wanted], default=known[0])


def further_share(share: float) -> float:
    """The next one at the end of a grid."""
    grown = max(share * GROWTH, share + STEP)
    return 1.0 if grown > 0.95 else grown


def completed(means: Floats, share: Floats, column: int, other: int, floor: float) -> Completed:
    """Gains of `column` over `other`, less `floor`, on the clusters that both were due on at some
    probability.

    means, share [G, c]: as in `router_lab.racing.history`.
    """
    due = np.minimum(share[:, column], share[:, other])
    gap = means[:, column] - means[:, other] - floor
    seen = ~np.isnan(gap)
    used = ~np.isnan(due) & (seen | (due < 1))
    if not seen[used].any():
        return Completed(0.0, 0.0, 0, 0)
    tried = _predictors(means[used], share[used], column, other)
    fold = np.arange(int(used.sum())) % FOLDS
    values = regress(gap[used], seen[used], due[used], tried, fold, PRIOR).values
    return Completed(float(values.sum()), float((values * values).sum()), len(values), int(seen[used].sum()))


def _predictors(means: Floats, share: Floats, column: int, other: int) -> Floats:
    """[n, q] outcomes of those that ran everything: of `column` its own, of many others their
    mean, of all the least and the greatest."""
    whole = (share == 1).all(axis=0) & ((~np.isnan(means)).mean(axis=0) >= KNOWN)
    rest = [k for k in np.flatnonzero(whole).tolist() if k not in (column, other)]
    own = [means[:, k] for k in (column, other) if whole[k]]
    if len(rest) + len(own) <= FEW:
        return features(
            np.column_stack([*own, *(means[:, k] for k in rest)]) if own or rest else means[:, :0]
        )
    others = means[:, rest]
    known = ~np.isnan(others)
    mean = np.where(known, others, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    ends = [np.where(known, others, 1.0).min(axis=1), np.where(known, others, 0.0).max(axis=1)]
    return np.column_stack([features(np.column_stack([*own, mean])), *ends])
