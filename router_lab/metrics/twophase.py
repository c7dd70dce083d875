"""Two phases: cheap candidates ran on every prompt, the dear reference on a part that was drawn at
a known probability.

Where the reference was not drawn its value v is predicted from what the cheap ones did there, and
what the prediction misses is made good on the drawn part:

    v* = r + (I / p) (v - r),    I = 1 where it was drawn, with probability p, r the prediction

So a mean of differences d* = q - v* is the regression estimator m + (I / p) (d - m) of the mean
difference (Sarndal, Swensson & Wretman 1992, Model Assisted Survey Sampling, section 6; with a
prediction learned on the same sample, the cross-prediction of Zrnic & Candes 2024, arXiv
2309.16598, and PPI++, arXiv 2311.01453). r is fitted on other clusters than it predicts, so v* has
the mean of v over draws, whatever r is; a good r only makes it vary less. Its variance is that of
cluster sums over all clusters; what is not known of them, degrees of freedom and losses that
nobody saw, goes by the drawn ones (`estimate_of_sums(drawn=)`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, sqrt

import numpy as np

from router_lab.metrics.estimate import Estimate
from router_lab.metrics.paired import column_means
from router_lab.metrics.steady import Floats, Ints, Mask
from router_lab.metrics.verdict import MIN_CLUSTERS, samples_needed

SHRINKS = (4.0, 16.0, 64.0)
"""Rows of prior weight for each coefficient being 0, on features of variance 1; the one is taken
that predicts best."""
KNOWN = 0.95
"""Share of the samples on which a candidate must have run for its outcomes to say something of the
reference's."""
SHARES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Shares that are looked at."""
LEAST = 5 * MIN_CLUSTERS
"""Drawn samples below which no regression is planned on."""
WORTH = 0.05
"""Share of the dollars that a drawn part must spare to be proposed."""


@dataclass(frozen=True)
class Regression:
    """values [n]: v*; NaN where the row was drawn and yet has no value. left: mean squared error
    of the predictions on the drawn rows, each by a fit without its cluster."""

    values: Floats
    left: float


def best_regression(
    values: Floats, drawn: Mask, inclusion: Floats, tried: Sequence[Floats], fold: Ints
) -> Regression:
    """`regress` with those of the `tried` features, each [n, q], and that prior weight that leave
    least."""
    found = [regress(values, drawn, inclusion, one, fold, shrink) for one in tried for shrink in SHRINKS]
    return min(found, key=lambda one: one.left)


def regress(
    values: Floats, drawn: Mask, inclusion: Floats, features: Floats, fold: Ints, shrink: float = SHRINKS[0]
) -> Regression:
    """`values` [n] (what of them is not `drawn` is not looked at) completed as the module says.

    inclusion [n]: the probability with which a row is drawn, in (0, 1]. features [n, q]: known of
    every row, without NaN. fold [n]: rows of a cluster are in one.
    """
    known = drawn & ~np.isnan(values)
    seen = np.where(known, values, 0.0)
    guess = np.zeros(len(values))
    for part in np.unique(fold):
        here, others = fold == part, known & (fold != part)
        if others.any():
            guess[here] = least_squares(features[others], seen[others], features[here], shrink)
    missed = np.where(known, seen - guess, 0.0)
    made_good = np.where(known, guess + missed / inclusion, guess)
    left = float((missed * missed).sum()) / max(1, int(known.sum()))
    return Regression(values=np.where(drawn & ~known, np.nan, made_good), left=left)


def features(values: Floats) -> Floats:
    """[n, q] of values [n, k]: themselves, and of several the least and the greatest; means where
    one is missing."""
    if not values.shape[1]:
        return values
    full = np.where(np.isnan(values), column_means(values), values)
    ends = [full.min(axis=1), full.max(axis=1)] if full.shape[1] > 1 else []
    return np.column_stack([full, *ends])


def suites_of(suite: Ints) -> Floats:
    """[n, suites - 1] which suite a row is of, one of them left out."""
    return np.asarray(suite[:, None] == np.unique(suite)[1:], np.float64)


def run_throughout(values: Floats, weight: Floats | None) -> list[int]:
    """Columns of [n, c] that are known nearly everywhere, of candidates that ran on all samples
    (weight 1)."""
    known = ~np.isnan(values)
    whole = (
        np.ones(values.shape[1], bool) if weight is None else (np.where(known, weight, 1.0) == 1).all(axis=0)
    )
    return [int(j) for j in np.flatnonzero((known.mean(axis=0) >= KNOWN) & whole)]


def paired_spread(values: Floats, other: Floats, known: Mask, fold: Ints) -> float:
    """Mean squared error, on `known` rows, of predicting `values` by `other` and the mean
    difference of other folds."""
    difference = (values - other)[known]
    away = np.zeros(len(difference))
    for part in np.unique(fold[known]):
        here = fold[known] == part
        away[here] = difference[here] - (difference[~here].mean() if (~here).any() else 0.0)
    return float((away * away).mean()) if len(away) else 0.0


def least_squares(features: Floats, values: Floats, asked: Floats, shrink: float = SHRINKS[0]) -> Floats:
    """Ridge regression of `values` [m] on `features` [m, q], at the rows `asked` [k, q]; the mean
    is not shrunk."""
    centre = features.mean(axis=0)
    scale = np.sqrt(((features - centre) * (features - centre)).mean(axis=0))
    used = scale > 0
    if not used.any():
        return np.full(len(asked), values.mean())
    unit, mean = ((features - centre) / np.where(used, scale, 1.0))[:, used], values.mean()
    gram = np.stack([(unit[:, [j]] * unit).sum(axis=0) for j in range(unit.shape[1])])
    gram[np.diag_indices(len(gram))] += shrink
    slopes = solved(gram, (unit * (values - mean)[:, None]).sum(axis=0))
    inside = ((asked - centre) / np.where(used, scale, 1.0))[:, used]
    return np.asarray(mean + (inside * slopes).sum(axis=1))


def solved(matrix: Floats, right: Floats) -> Floats:
    """x of `matrix x = right` for a symmetric positive definite matrix, by elimination: LAPACK
    adds in an order of the processor's."""
    left, found = matrix.copy(), right.copy()
    size = len(right)
    for j in range(size):
        factor = left[j + 1 :, j] / left[j, j]
        left[j + 1 :] -= factor[:, None] * left[j]
        found[j + 1 :] -= factor * found[j]
    for j in range(size - 1, -1, -1):
        found[j] = (found[j] - (left[j, j + 1 :] * found[j + 1 :]).sum()) / left[j, j]
    return found


@dataclass(frozen=True)
class Share:
    """A drawn part that shows the same for fewer dollars.

    share: of the samples on which the reference runs. samples: further ones, of all other
    candidates; `of_reference`: of the reference. dollars: of these all; `whole`: of as many as it
    takes where the reference runs on every one. explained: share of
    the variance of the paired difference that the others' outcomes explain, cross-fitted.
    """

    share: float
    samples: int
    of_reference: int
    dollars: float
    whole: float
    explained: float


def best_share(
    found: Estimate, gap: float, confidence: float, explained: float, others_usd: float, reference_usd: float
) -> Share | None:
    """The share that shows a distance `gap` with the fewest dollars; None where running the
    reference on every sample costs hardly more, or nothing can show it.

    found: the paired difference on samples that both ran. others_usd, reference_usd: of one
    sample. The part of its variance that the others' outcomes explain goes by all samples, the
    rest, and what was not seen, by the drawn ones.
    """
    needed = samples_needed(found, gap, confidence)
    if not needed:
        return None
    whole, best = needed * (others_usd + reference_usd), None
    for share in SHARES:
        left = explained + (1 - explained) / share
        part = replace(
            found, se=found.se * sqrt(left), size=found.size / share, lost=found.lost / (share * share)
        )
        more = samples_needed(part, gap, confidence)
        if more is None or share * (found.n + more) < LEAST:
            continue
        dollars = more * (others_usd + share * reference_usd)
        if dollars <= (1 - WORTH) * whole and (best is None or dollars < best.dollars):
            best = Share(share, more, ceil(share * more), dollars, whole, explained)
    return best
