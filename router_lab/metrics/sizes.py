"""How many samples a first sweep needs, before there is any: from a guess of how often two
candidates differ."""

from __future__ import annotations

from math import ceil, prod, sqrt

from router_lab.metrics.estimate import Estimate
from router_lab.metrics.verdict import MIN_CLUSTERS, samples_needed

DIFFER = 0.2
"""Share of samples on which two candidates of like quality were found to differ (FACTS: the d of
9.8 d / margin^2)."""


def first_samples(margin: float, confidence: float, *, holdout: float, differ: float = DIFFER) -> int:
    """Samples until a candidate as good as the reference is shown to lose at most `margin`, with
    power .8.

    By `samples_needed`, which `plan` and certificates use, for a paired difference of variance
    `differ`; a fit chooses on what its `holdout` leaves. A policy that sends only some requests
    elsewhere (a partial mix) needs fewer.
    """
    one = samples_needed(Estimate(0.0, sqrt(differ), 1, 1), margin, confidence) or 0
    return ceil((one + 1) / (1 - holdout))


def first_groups(holdout: float, sure: float = 0.95) -> int:
    """Groups until at least MIN_CLUSTERS of them are held out, with probability `sure`: with fewer
    no gate concludes.

    Which groups those are is settled by a hash, so their number is binomial.
    """
    groups = MIN_CLUSTERS
    while _at_most(MIN_CLUSTERS - 1, groups, holdout) > 1 - sure:
        groups += 1
    return groups


def _at_most(most: int, draws: int, chance: float) -> float:
    """Probability of `most` or fewer among independent `draws` of a `chance`."""
    term = total = prod([1 - chance] * draws)
    for hits in range(most):
        term *= (draws - hits) / (hits + 1) * chance / (1 - chance)
        total += term
    return total
