"""Boundaries of a test that is looked at on the way to an end that is known beforehand.

A capital that bets (`router_lab.racing.sequential`) is valid for ever and pays for it: near the
end of a grid it needs about twice the samples of a single test. Where the number of clusters to
come is known, the error can be spent over the looks instead (Lan & DeMets 1983, "Discrete
sequential boundaries for clinical trials", Biometrika 70; Kim & DeMets 1987, the same journal 74,
for powers of time), evenly here: a candidate that is far ahead is shown early, and the last look
still is not far from a single test. As with the t test of a certificate, validity is that of the
central limit theorem.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from router_lab.metrics.steady import SQRT_2PI, Floats, Mask, exp, log, normal_below, normal_quantile, t_below

POWER = 1.0
"""Share of the error that is spent by time t of the way: t to this power."""
CLOSEST = 0.02
"""A look that is followed by another within this share of its time has no boundary of its own."""
LEAST = 20
"""Clusters before a normal approximation is trusted, as for verdicts: earlier looks test
nothing."""
POINTS = 120


def boundaries(times: Sequence[float] | Floats, shares: Sequence[float] | Floats, alpha: float) -> Floats:
    """What a Brownian motion seen at `times` must reach at each of them; inf = no test there.

    times: growing, above 0; shares: of the error `alpha`, in (0, 1), spent by each, growing to 1.
    The chance of ever reaching the boundary is `alpha` in all. Computed by the recursion of
    Armitage, McPherson & Rowe 1969 ("Repeated significance tests on accumulating data", JRSS A
    132) on a grid of points.
    """
    result = np.full(len(times), np.inf)
    before, spent = 0.0, 0.0
    places, density = np.zeros(1), np.ones(1)  # the density already times the points' width
    for look in _apart(times):
        step = float(np.sqrt(times[look] - before))
        bound = _bound(places, density, step, alpha * (shares[look] - spent))
        result[look] = bound
        grid = np.linspace(-6.0 * float(np.sqrt(times[look])), bound, POINTS)
        weight = np.full(POINTS, grid[1] - grid[0])
        weight[[0, -1]] /= 2
        away = (grid[:, None] - places[None, :]) / step
        kernel = exp(-0.5 * away * away) / (step * SQRT_2PI)
        # Not `@`, whose order is the processor's.
        places, density = grid, (kernel * density).sum(axis=1) * weight
        before, spent = times[look], shares[look]
    return result


@lru_cache(maxsize=4096)
def forward(looks: tuple[int, ...], alpha: float) -> tuple[float, ...]:
    """Boundaries of a sum over clusters, in units of the scatter of a whole grid of looks[-1]
    clusters."""
    tested = np.array([look for look in looks if look >= LEAST], np.float64)
    if not len(tested):
        return (np.inf,) * len(looks)
    times = tested / looks[-1]
    bounds = boundaries(times, _spent(times), alpha)
    return (*[np.inf] * (len(looks) - len(tested)), *bounds.tolist())


@lru_cache(maxsize=4096)
def backward(looks: tuple[int, ...], alpha: float) -> tuple[float, ...]:
    """Normal scores that show, before its end, that the sum of a grid of looks[-1] clusters will
    stay below a value.

    What is left of a grid is a sample without replacement: at look n the distance to that value,
    over its scatter `sd * sqrt(n * (1 - n / N))`, is a Brownian motion at time n / (N - n) over
    the root of that time. inf = no test.
    """
    ends = np.array([look for look in looks[:-1] if look >= LEAST], np.float64)
    if not len(ends):
        return (np.inf,) * len(looks)
    times = ends / (looks[-1] - ends)
    bounds = boundaries(times, _spent(ends / ends[-1]), alpha) / np.sqrt(times)
    return (*[np.inf] * (len(looks) - len(ends) - 1), *bounds.tolist(), np.inf)


def _spent(times: Floats) -> Floats:
    return exp(POWER * log(times))


def scores(total: Floats, squares: Floats, count: Floats) -> Floats:
    """Normal scores [...] of sums of `count` gains with these sums of squares; -inf with fewer
    than two.

    Two pseudo-observations of +1 and -1 are added to the variance, as in `clustered_mean`, so that
    ties alone do not look certain, and t distributions are turned into normal ones.
    """
    known, t = _statistics(total, squares, count)
    judged = -normal_quantile(np.maximum(t_below(known - 1, -t), 1e-300))
    return np.where(count >= 2, judged, -np.inf)


def scored(total: Floats, squares: Floats, count: Floats, needed: Floats) -> Mask:
    """Whether `scores` are at least `needed` > 0, without them where nobody is near: a t above 0 is
    never below its normal score."""
    near = (count >= 2) & (_statistics(total, squares, count)[1] >= needed)
    return np.asarray(near & (scores(total, squares, count) >= needed)) if near.any() else near


def _statistics(total: Floats, squares: Floats, count: Floats) -> tuple[Floats, Floats]:
    """How many gains [...], 2 at least, and the t statistic of their mean."""
    known, scatter = scattered(total, squares, count)
    return known, total / np.sqrt((scatter + 2 / known) * known)


def scattered(total: Floats, squares: Floats, count: Floats) -> tuple[Floats, Floats]:
    """How many gains [...], 2 at least, and their variance."""
    known = np.maximum(count, 2.0)
    mean = total / known
    return known, np.maximum(squares / known - mean * mean, 0.0) * known / (known - 1)


def _apart(times: Sequence[float] | Floats) -> list[int]:
    """Looks that are tested: the last, and backwards from it those far enough from the next
    one."""
    kept = [len(times) - 1]
    for look in range(len(times) - 2, -1, -1):
        if times[kept[-1]] - times[look] >= CLOSEST * times[kept[-1]]:
            kept.append(look)
    return kept[::-1]


def _bound(places: Floats, density: Floats, step: float, due: float) -> float:
    """The point above which a fresh step leaves `due` of the density, by Newton's method on its
    logarithm.

    The logarithm of a normal density's tail is concave, so steps from the left never go past the
    root; bisection bounds them where the density is not quite normal.
    """
    low, high = float(places.min()), float(places.max()) + 9 * step
    point, target = max(low, float(places.max()) - step), float(log(due))
    for _ in range(60):
        away = (places - point) / step
        above = float((density * normal_below(away)).sum())
        low, high = (point, high) if above > due else (low, point)
        slope = float((density * exp(-0.5 * away * away)).sum()) / (step * SQRT_2PI)
        moved = point + above * (float(log(above)) - target) / slope if above > 0 < slope else np.inf
        if abs(moved - point) < 1e-10 * step:
            break
        point = float(moved) if low < moved < high else (low + high) / 2
    return point
