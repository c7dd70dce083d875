"""When asking a cheap candidate first pays: how well a number tells right answers from wrong ones,
what a perfect one would save, and where nothing is saved any more.

Everything here is of one pair: a cheap candidate that is always asked, and a dear one that is asked
too for a share of the requests. With r the cheap one's dollars (and its signals') over the dear
one's, and e the share of the dear one's dollars that are still spent, a request costs r + e.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from router_lab.metrics.estimate import Estimate, clustered_mean
from router_lab.metrics.paired import Floats, Ints, Mask


def auc(score: Floats, right: Mask, stratum: Ints, clusters: Ints) -> Estimate | None:
    """How often a right answer's score [m] is above a wrong one's of the same stratum, equals a
    half; its error by clusters. None where no stratum has both.

    Over all such pairs of a right and a wrong answer (Mann & Whitney 1947). An answer's part in it
    is what its own pairs have beyond the mean (Obuchowski 1997, "Nonparametric analysis of
    clustered ROC curve data"), so that the parts of a cluster add up.
    """
    above, pairs = np.zeros(len(score)), np.zeros(len(score))
    for code in np.unique(stratum):
        here = stratum == code
        good, bad = np.flatnonzero(here & right), np.flatnonzero(here & ~right)
        below = _below(score[bad], score[good])
        above[good], pairs[good] = below, len(bad)
        above[bad], pairs[bad] = len(good) - _below(score[good], score[bad]), len(good)
    count = float(pairs[right].sum())
    if count == 0:
        return None
    value = float(above[right].sum()) / count
    parts = value + len(score) * (above - value * pairs) / count
    # One more answer that is ranked below, or above, all of the other kind.
    fewest = min(float((right & (pairs > 0)).sum()), float((~right & (pairs > 0)).sum()))
    return clustered_mean(parts, clusters, span=len(score) / fewest)


def _below(values: Floats, at: Floats) -> Floats:
    """How many of `values` lie below each of `at`, equals counted as a half."""
    ordered = np.sort(values)
    return np.asarray(
        (np.searchsorted(ordered, at, "left") + np.searchsorted(ordered, at, "right")) / 2, np.float64
    )


class Bound(NamedTuple):
    """What no signal could beat: the share of the dear one's dollars saved, dollars saved a
    request, and the share of requests that ask it."""

    saving: float
    usd: float
    share: float


def perfect(gain: Floats, cheap_usd: Floats, dear_usd: Floats, weight: Floats, margin: float) -> Bound:
    """What a signal saves that knows where the dear one adds something (`gain` [m] > 0), and how
    much: it asks on for the most quality per dollar first, until no more than `margin` is lost.

    In hindsight, on the very rows: no other choice of rows that loses no more saves more, for this
    is its linear program's (Dantzig 1957; the last row is asked in part). weight [m] of the rows.
    """
    lacking = float((weight * gain).sum()) - margin * float(weight.sum())
    asked = np.zeros(len(gain))
    if lacking > 0:
        worth = np.flatnonzero(gain > 0)
        order = worth[np.argsort(-gain[worth] / np.maximum(dear_usd[worth], 1e-300), kind="stable")]
        added = weight[order] * gain[order]
        before = np.cumsum(added) - added
        asked[order] = np.clip(lacking - before, 0.0, added) / added
    dear = float((weight * dear_usd).sum())
    saved = dear - float((weight * (cheap_usd + asked * dear_usd)).sum())
    total = float(weight.sum())
    return Bound(saved / dear if dear > 0 else 0.0, saved / total, float((weight * asked).sum()) / total)


def needed_auc(
    right: float, gains: tuple[float, float], ratio: float, margin: float, saved: float = 0.0
) -> float | None:
    """The AUC below which no more than `saved` is saved, by a signal that is right of a share k of
    the answers, and of the others says anything: .5 + k / 2. None where no k would do.

    right: how often the cheap one is. gains: what the dear one adds where the cheap one is wrong,
    and where it is right (mostly below 0). ratio: r. No more is saved where a share of 1 - r -
    saved asks on; then chance loses the rest of all that the dear one adds, and who knows asks the
    wrong answers first. Asking on is taken to cost the same everywhere.
    """
    wrong, share = 1 - right, 1 - ratio - saved
    if share < 0:
        return None
    whole = wrong * gains[0] + right * gains[1]
    chance = (1 - share) * whole
    if chance <= margin:
        return 0.5
    knowing = whole - min(share, wrong) * gains[0] - max(0.0, share - wrong) * gains[1]
    if knowing > margin:
        return None
    return 0.5 + (chance - margin) / (chance - knowing) / 2
