"""Intervals of a mean that cannot leave [0, 1], from clustered rows."""

from math import isnan, nan, sqrt

from router_lab.metrics.estimate import Estimate
from router_lab.metrics.steady import t_quantile


def effective_size(mean: Estimate) -> float:
    """How many independent 0/1 answers would estimate this mean as well: q(1 − q) / se².

    Where every answer was the same nothing is known of the spread, and each cluster counts as one
    answer.
    """
    spread = mean.value * (1 - mean.value)
    return spread / (mean.se * mean.se) if mean.se > 0 and spread > 0 else float(mean.independent)


def bounded_interval(mean: Estimate, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided interval of a mean in [0, 1]: Wilson's score interval with the effective sample
    size.

    Does not shrink to nothing when every answer was right (Franco, Little, Louis & Slud 2019,
    "Comparative study of confidence intervals for proportions in complex sample surveys"). NaN
    with fewer than two clusters.
    """
    if mean.independent < 2 or isnan(mean.value):
        return nan, nan
    size, q = effective_size(mean), mean.value
    t = t_quantile(mean.independent - 1, 0.5 + confidence / 2)
    middle = (q + t * t / (2 * size)) / (1 + t * t / size)
    reach = t * sqrt(q * (1 - q) / size + t * t / (4 * size * size)) / (1 + t * t / size)
    return (0.0 if q == 0 else max(0.0, middle - reach)), (1.0 if q == 1 else min(1.0, middle + reach))
