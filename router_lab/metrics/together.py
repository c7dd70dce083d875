"""One error probability for two tests on the same rows: the more they tell the same, the less they need to share."""

from __future__ import annotations

import numpy as np

from router_lab.metrics import steady

FARTHEST, NODES = 9.0, 1201
"""The common part is integrated from -FARTHEST to FARTHEST by Simpson's rule."""
ALIKE = 0.9995
"""Correlation from which two tests are one."""
HALVINGS = 50


def confidence_of_each(confidence: float, correlation: float) -> float:
    """The confidence at which each of two one-sided tests is made, so that with `confidence` neither errs.

    Their statistics are taken as normal with this correlation (Dunnett 1955): 1 = one test, the confidence itself;
    0 or less = half the error each (Bonferroni).
    """
    if correlation >= ALIKE:
        return confidence
    low, high = (float(steady.normal_quantile(p)) for p in (confidence, (1 + confidence) / 2))
    if correlation <= 0:
        return (1 + confidence) / 2
    u = np.linspace(-FARTHEST, FARTHEST, NODES)
    simpson = np.where(np.arange(NODES) % 2, 4.0, 2.0)
    simpson[[0, -1]] = 1.0
    density = simpson * steady.exp(-u * u / 2) / steady.SQRT_2PI * (2 * FARTHEST / (NODES - 1) / 3)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below = steady.normal_below((middle - np.sqrt(correlation) * u) / np.sqrt(1 - correlation))
        low, high = (middle, high) if float((density * below * below).sum()) < confidence else (low, middle)
    return float(steady.normal_below(high))
