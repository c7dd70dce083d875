"""One error probability for two tests on the same rows: the more they tell the same, the less they
need to share."""

from __future__ import annotations

import numpy as np

from router_lab.metrics import steady

FARTHEST, NODES = 9.0, 1201
"""The common part is integrated from -FARTHEST to FARTHEST by Simpson's rule."""
ALIKE = 0.9995
"""Correlation from which two tests are one."""
HALVINGS = 50


def confidence_of_second(confidence: float, first: float, correlation: float) -> float:
    """The confidence of a second one-sided test beside one made at `first`, so that with
    `confidence` neither errs.

    Their statistics are taken as normal with this correlation (Dunnett 1955): 1 = one test, the
    confidence itself; 0 or less = what error the first leaves (Bonferroni). confidence <= first <
    1.
    """
    if correlation >= ALIKE:
        return confidence
    left = 1 - (first - confidence)
    if correlation <= 0:
        return left
    u = np.linspace(-FARTHEST, FARTHEST, NODES)
    simpson = np.where(np.arange(NODES) % 2, 4.0, 2.0)
    simpson[[0, -1]] = 1.0
    density = simpson * steady.exp(-u * u / 2) / steady.SQRT_2PI * (2 * FARTHEST / (NODES - 1) / 3)

    def below(z: float) -> np.ndarray:
        return steady.normal_below((z - np.sqrt(correlation) * u) / np.sqrt(1 - correlation))

    density = density * below(float(steady.normal_quantile(first)))
    low, high = (float(steady.normal_quantile(p)) for p in (confidence, left))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if float((density * below(middle)).sum()) < confidence else (low, middle)
    return float(steady.normal_below(high))
