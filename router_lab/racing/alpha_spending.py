"""Boundaries of a test that is looked at on the way to an end that is known beforehand.

A capital that bets (`router_lab.racing.sequential`) is valid for ever and pays for it: near the
end of a grid it needs about twice the samples of a single test. Where the number of clusters to
come is known, the error can be spent over the looks instead (Lan & DeMets 1983, "Discrete
sequential boundaries for clinical trials", Biometrika 70; Kim & DeMets 1987, the same journal 74,
for powers of time), evenly here: a candidate that is far ahead is shown early, and the last look
still is not far from a single test. What a look has seen is judged by the bound of a certificate
(`router_lab.metrics.bound`), on whose scale a boundary is a chance: sums of rare losses reach a
normal boundary far too often. How often all of it errs is measured (`make bench-race`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from router_lab.metrics.bound import Spread, caution_at, p_values, reach_at
from router_lab.metrics.steady import SQRT_2PI, Floats, Mask, exp, log, normal_below

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


def scored(gap: Floats, spread: Spread, known: Floats, needed: Floats) -> Mask:
    """[c] whether means of `known` clusters, `gap` above a floor, are as surely above it as normal
    scores of `needed` > 0 say; inf = no test.

    p-values are asked for only where somebody is near: no bound is closer than `needed` errors with
    the least caution, and that of a t is never closer than that of a normal number.
    """
    error = np.sqrt(spread.square + caution_at(0.5) * spread.size * spread.size)
    near = np.flatnonzero((known >= 2) & (gap >= needed * error))
    if len(near):
        near = near[gap[near] >= reach_at(spread.take(near), needed[near])]
    shown = np.zeros(len(gap), bool)
    if len(near):
        chance = p_values(gap[near], spread.take(near), known[near] - 1)
        shown[near] = chance <= normal_below(-needed[near])
    return shown


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
