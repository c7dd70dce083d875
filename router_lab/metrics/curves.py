"""Fronts and curves of cost against quality: Pareto front and AIQ (RouterBench, arXiv 2403.12031),
APGR and CPT (RouteLLM, arXiv 2406.18665)."""

import math
from typing import Any

import numpy as np

from router_lab.metrics.steady import Floats, Mask


def pareto_front(cost: Any, quality: Any) -> Mask:
    """True for each point that no other one beats in cost or quality without losing in the other.

    Exact duplicates are all kept or all dropped together. NaN points are never on the front.
    """
    costs, goods = np.asarray(cost, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    on_front = np.zeros(len(costs), dtype=bool)
    order = [i for i in np.lexsort((-goods, costs)) if not (np.isnan(costs[i]) or np.isnan(goods[i]))]
    best, best_cost = -np.inf, np.nan
    for i in order:
        if goods[i] > best or (goods[i] == best and costs[i] == best_cost):
            on_front[i] = True
            best, best_cost = goods[i], costs[i]
    return on_front


def non_decreasing_hull(cost: Any, quality: Any) -> tuple[Floats, Floats]:
    """Corners (cost, quality) of the non-decreasing convex hull: what mixing the points at random
    can reach."""
    costs, goods = np.asarray(cost, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    front = pareto_front(costs, goods)
    points = sorted({(float(c), float(q)) for c, q in zip(costs[front], goods[front], strict=True)})
    hull: list[tuple[float, float]] = []
    for point in points:
        while len(hull) > 1 and _turns_up(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return np.array([c for c, _ in hull]), np.array([q for _, q in hull])


def _turns_up(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return (b[1] - a[1]) * (c[0] - a[0]) <= (c[1] - a[1]) * (b[0] - a[0])


def aiq(cost: Any, quality: Any, low: float, high: float) -> float:
    """Average improvement in quality: mean height of the hull over costs `low` to `high`
    (RouterBench, eq. 3).

    Left of its first corner the hull counts as zero, right of its last as level. Raises ValueError
    unless low < high.
    """
    if not low < high:
        raise ValueError(f"aiq: low ({low}) must be below high ({high})")
    corners, heights = non_decreasing_hull(cost, quality)
    if not len(corners) or corners[0] >= high:
        return 0.0
    start = max(low, float(corners[0]))
    grid = np.concatenate([[start], corners[(corners > start) & (corners < high)], [high]])
    return float(np.trapezoid(_height(grid, corners, heights), grid) / (high - low))


def _height(grid: Floats, corners: Floats, heights: Floats) -> Floats:
    """[n] heights at `grid`, none of it left of the first corner, of lines through the corners;
    level in the end."""
    after = np.minimum(np.searchsorted(corners, grid, side="right"), len(corners) - 1)
    before = np.maximum(after - 1, 0)
    wide = np.where(after > before, corners[after] - corners[before], 1.0)
    share = np.minimum((grid - corners[before]) / wide, 1.0)
    return np.asarray(heights[before] + share * (heights[after] - heights[before]), np.float64)


def call_curve(score: Any, weak: Any, strong: Any) -> tuple[Floats, Floats]:
    """Shares of rows sent to the strong candidate and the share of the quality gap recovered (PGR)
    at each.

    `score[n]`: larger means "send this row to the strong one"; `weak[n]`, `strong[n]`: observed
    quality. Equal scores are split at random, in expectation: the curve is straight across a tie.
    Raises ValueError when the two have one mean, for then there is no gap to recover.
    """
    scores = np.asarray(score, dtype=np.float64)
    gain = np.asarray(strong, dtype=np.float64) - np.asarray(weak, dtype=np.float64)
    if not len(gain) or abs(float(gain.sum())) < 1e-12:
        raise ValueError("call_curve: weak and strong have the same mean quality, so no gap can be recovered")
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    recovered = np.cumsum(gain[order])[ends] / gain.sum()
    return np.concatenate([[0.0], (ends + 1) / len(gain)]), np.concatenate([[0.0], recovered])


def apgr(score: Any, weak: Any, strong: Any) -> float:
    """Average performance gap recovered: area under `call_curve`; .5 is a coin."""
    shares, recovered = call_curve(score, weak, strong)
    return float(np.trapezoid(recovered, shares))


def cpt(score: Any, weak: Any, strong: Any, target: float) -> float:
    """Call-performance threshold: least share of strong calls that recovers `target` (0 to 1) of
    the gap."""
    shares, recovered = call_curve(score, weak, strong)
    reached = int(np.argmax(recovered >= target - 1e-12))
    if reached == 0:
        return 0.0
    before, after = recovered[reached - 1], recovered[reached]
    part = (target - before) / (after - before)
    return float(shares[reached - 1] + part * (shares[reached] - shares[reached - 1]))


TAIL = 0.95
"""The share of requests that a bound on a tail is of: P95."""


def weighted_quantile(values: Floats, weights: Floats, share: float) -> float:
    """The least value with at least `share` of the weight at or below it; NaN where no value is
    known and has weight.

    values, weights: of one shape. The share is asked for less by 1e-12 of itself: where it is met
    to the last digit (18 of 36 equal weights are a half), rounded sums would take the value after.
    """
    keep = ~np.isnan(values) & (weights > 0)
    if not keep.any():
        return math.nan
    known, heavy = values[keep], weights[keep]
    return float(np.quantile(known, share * (1 - 1e-12), weights=heavy, method="inverted_cdf"))


def column_quantiles(values: Floats, share: float) -> Floats:
    """[k] `weighted_quantile` of each column [n, k], its rows alike."""
    known = (~np.isnan(values)).sum(axis=0)
    place = np.maximum(np.ceil(share * (1 - 1e-12) * known).astype(np.int64) - 1, 0)
    return np.asarray(np.take_along_axis(np.sort(values, axis=0), place[None], axis=0)[0], np.float64)
