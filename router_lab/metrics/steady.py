"""Logarithm, exponential, normal and t distribution, to the same last bit on every machine.

The C library, scipy and numpy choose instructions by the processor (AVX-512, fused multiply-add),
and the last digits of their transcendental functions follow; a number that decides or is written
down may not. Here everything is made of + - * / and square roots, which IEEE 754 rounds in one
way, each an operation of numpy's own, in an order that no processor changes. Relative errors are a
few 1e-16 for `log`, `log1p` and `exp`, and 1e-13 elsewhere (1e-9 where a tail is below 1e-20). All
take and return float64 arrays or numbers.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""ln 2 in two parts, the first with so few digits that its whole multiples are exact (as in
FDLIBM)."""
LN2 = 0.6931471805599453
SQRT_2PI, SQRT_PI = 2.5066282746310002, 1.772453850905516
ERFC = (
    5.7703373861646978e-01, 3.5543692127049853e-01, 6.5095158828786540e-02, 3.6711423958366040e-03,
    -1.1128447433527144e-03, -1.6075829915379814e-04, 3.2780315741733900e-05, 5.4424416455312040e-06,
    -1.5154665553396285e-06, -1.4297608183611032e-07, 8.2346088248197452e-08, -1.2962846174247033e-09,
    -4.1547216722559458e-09, 6.3470579458879689e-10, 1.4320824526237174e-10, -6.1603837586687864e-11,
    2.0611490292310464e-12, 3.5713898505207454e-12, -8.5869755750422883e-13, -6.1404215045968162e-14,
    7.4129591354221707e-14, -1.2878587085651816e-14, -2.4868995751603509e-15, 1.5965007094109752e-15,
    -2.4646951146678477e-16,
)  # fmt: skip
"""Chebyshev coefficients of erfc(z) exp(z^2) / t in 2 t - 1, where t = 2 / (2 + z)."""
GAMMA = (-1 / 8, 1 / 128, 5 / 1024, -21 / 32768, -399 / 262144, 869 / 4194304, 39325 / 33554432)
"""gamma(a + 1/2) / gamma(a) = sqrt(a) (1 + GAMMA[0] / a + GAMMA[1] / a^2 + ...)."""
REMEMBERED = 200_000
LARGE = 200.0
"""Degrees of freedom from which Hill's transformation to a normal score is as good as the
continued fraction."""


def log(x: Any) -> Floats:
    """Natural logarithm; -inf at 0, NaN below."""
    values = np.asarray(x, np.float64)
    part, exponent = np.frexp(np.where((values > 0) & np.isfinite(values), values, 1.0))
    small = part < 0.7071067811865476
    part, whole = np.where(small, 2 * part, part), exponent - small
    ratio = (part - 1) / (part + 1)
    found = whole * LN2_HIGH + (_twice_atanh(ratio) + whole * LN2_LOW)
    return np.where(
        values > 0, np.where(np.isinf(values), np.inf, found), np.where(values == 0, -np.inf, np.nan)
    )


def log1p(x: Any) -> Floats:
    """log(1 + x) for x above -1, as exact for small x as for large."""
    values = np.asarray(x, np.float64)
    near = np.where(np.abs(values) < 0.25, values, 0.0)
    return np.where(np.abs(values) < 0.25, _twice_atanh(near / (2 + near)), log(1 + values))


def log2(x: Any) -> Floats:
    """Logarithm to the base 2."""
    return log(x) / LN2


def _twice_atanh(ratio: Floats) -> Floats:
    """log((1 + ratio) / (1 - ratio)) for ratios within 0.18."""
    square = ratio * ratio
    total = np.full(np.shape(ratio), 1 / 25)
    for odd in range(23, 0, -2):
        total = total * square + 1 / odd
    return np.asarray(2 * ratio * total, np.float64)


def exp(x: Any) -> Floats:
    """Exponential; 0 below -745, infinite above 709."""
    values = np.asarray(x, np.float64)
    inside = np.clip(values, -745.0, 709.0)
    whole = np.rint(inside / LN2)
    rest = (inside - whole * LN2_HIGH) - whole * LN2_LOW
    total = np.ones(np.shape(rest))
    for step in range(13, 0, -1):
        total = 1 + rest * total / step
    found = np.ldexp(total, whole.astype(np.int32))
    return np.where(values < -745.0, 0.0, np.where(values > 709.0, np.inf, found))


def normal_below(z: Any) -> Floats:
    """Chance of a standard normal number below z, with a small relative error in either tail."""
    values = np.asarray(z, np.float64)
    away = np.abs(values)
    place = 2 / (2 + away / sqrt(2))
    twice = 2 * (2 * place - 1)
    now, before = np.zeros(np.shape(away)), np.zeros(np.shape(away))
    for coefficient in ERFC[:0:-1]:  # Clenshaw's recurrence
        now, before = twice * now - before + coefficient, now
    tail = place * exp(-0.5 * away * away) * (0.5 * twice * now - before + ERFC[0]) / 2
    return np.where(values > 0, 1 - tail, tail)


def normal_quantile(p: Any) -> Floats:
    """z below which a standard normal number lies with probability p; infinite at 0 and 1."""
    chance = np.asarray(p, np.float64)
    tail = np.minimum(chance, 1 - chance)
    inside = np.maximum(tail, 1e-305)
    root = np.sqrt(-2 * log(inside))
    top = 2.515517 + root * (0.802853 + root * 0.010328)  # Abramowitz & Stegun 26.2.23
    z = root - top / (1 + root * (1.432788 + root * (0.189269 + root * 0.001308)))
    for _ in range(3):
        z = z + (normal_below(-z) - inside) / exp(-0.5 * z * z) * SQRT_2PI
    return np.where(chance < 0.5, -1.0, 1.0) * np.where(tail > 0, z, np.inf)


def t_below(df: Any, t: Any) -> Floats:
    """Chance of a number from Student's t distribution with df >= 1 degrees of freedom below t."""
    degrees, values = np.broadcast_arrays(np.asarray(df, np.float64), np.asarray(t, np.float64))
    tail = _t_tail(degrees, np.abs(values))
    return np.where(values > 0, 1 - tail, tail)


def t_quantiles(df: Any, p: float) -> Floats:
    """t below which a number from Student's t distribution with df >= 1 degrees of freedom lies
    with probability p in (0, 1); remembered, for the same few are asked for again and again."""
    degrees, place = np.unique(np.asarray(df, np.float64), return_inverse=True)
    found = {degree: _KNOWN.get((degree, p)) for degree in degrees.tolist()}
    new = [degree for degree, quantile in found.items() if quantile is None]
    if new:
        found |= dict(zip(new, _t_quantiles(np.array(new), p).tolist(), strict=True))
        if len(_KNOWN) > REMEMBERED:
            _KNOWN.clear()
        _KNOWN.update({(degree, p): found[degree] for degree in new})
    return np.array(list(found.values()), np.float64)[place].reshape(np.shape(df))


_KNOWN: dict[tuple[float, float], float | None] = {}


def _t_quantiles(df: Floats, p: float) -> Floats:
    """By Newton's method. What comes out of one number does not depend on those beside it: each
    stops by itself."""
    tail = min(p, 1 - p)
    z = float(normal_quantile(1 - tail))
    square = z * z
    bent = z + z * (square + 1) / (4 * df) + z * ((5 * square + 16) * square + 3) / (96 * df * df)
    found = np.where(df < 5, z, bent)  # where tails are heavy, from below the root of a convex function
    peak = _gamma_ratio(df / 2) / (np.sqrt(df) * SQRT_PI)
    ready = np.zeros(df.shape, bool)
    for _ in range(60):
        step = (_t_tail(df, found) - tail) / (peak * exp(-(df + 1) / 2 * log1p(found * found / df)))
        found = np.where(ready, found, found + step)
        ready |= np.abs(step) <= 1e-13 * found
        if ready.all():
            break
    return found if p > 0.5 else -found


def _t_tail(df: Floats, t: Floats) -> Floats:
    """Chance above t >= 0."""
    large = df >= LARGE
    if large.all():
        return _hill(df, t)
    few = _incomplete(np.where(large, 1.0, df), t)
    return np.where(large, _hill(np.maximum(df, LARGE), t), few) if large.any() else few


def _hill(df: Floats, t: Floats) -> Floats:
    """Algorithm 395 (Hill 1970, Communications of the ACM 13): the normal score of t."""
    a = df - 0.5
    b = 48 * a * a
    y = a * log1p(t * t / df)
    inner = (((-0.4 * y - 3.3) * y - 24.0) * y - 85.5) / (0.8 * y * y + 100 + b)
    return normal_below(-((inner + y + 3) / b + 1) * np.sqrt(y))


def _incomplete(df: Floats, t: Floats) -> Floats:
    """Half the incomplete beta function at df / (df + t^2), by its continued fraction (Press et
    al., Numerical Recipes, section 6.4), from the side on which that converges fast."""
    half, square = df / 2, t * t
    outer = 1 / (1 + square / df)  # df / (df + t^2)
    inner = square / (df + square)
    swap = outer > (half + 1) / (half + 2.5)
    a, b, x = np.where(swap, 0.5, half), np.where(swap, half, 0.5), np.where(swap, inner, outer)
    front = exp(-half * log1p(square / df)) * np.sqrt(inner) * _gamma_ratio(half) / SQRT_PI
    found = front / a * _fraction(a, b, x) / 2
    return np.where(swap, 0.5 - found, found)


def _fraction(a: Floats, b: Floats, x: Floats) -> Floats:
    """The continued fraction of the incomplete beta function, by Lentz's method; each number stops
    by itself."""
    c = np.ones(np.shape(x))
    d = 1 / (1 - (a + b) * x / (a + 1))
    found, ready = d, np.zeros(np.shape(x), bool)
    for m in range(1, 200):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / (1 + even * d), 1 + even / c
        change = d * c
        d, c = 1 / (1 + odd * d), 1 + odd / c
        found = np.where(ready, found, found * change * (d * c))
        ready |= np.abs(d * c - 1) < 1e-15
        if ready.all():
            break
    return found


def _gamma_ratio(a: Floats) -> Floats:
    """gamma(a + 1/2) / gamma(a): the series at a + 30, and back by the recurrence."""
    far = a + 30
    series = np.zeros(np.shape(a))
    for coefficient in reversed(GAMMA):
        series = (series + coefficient) / far
    found = np.sqrt(far) * (1 + series)
    for step in range(29, -1, -1):
        found = found * (a + step) / (a + step + 0.5)
    return found
