"""Numbers that a verdict may rest on: clustered intervals, one verdict rule, sample sizes, fronts
and curves."""

from router_lab.metrics.advice import Advice, advice, shown_to_lose, who_mixes
from router_lab.metrics.curves import (
    aiq,
    apgr,
    call_curve,
    cpt,
    non_decreasing_hull,
    pareto_front,
    weighted_quantile,
)
from router_lab.metrics.estimate import (
    Estimate,
    betting_p,
    clustered_mean,
    clustered_ratio,
    effective_number,
    estimate_of_sums,
    holm,
    paired_saving,
)
from router_lab.metrics.sizes import first_groups, first_samples
from router_lab.metrics.verdict import (
    MIN_CLUSTERS,
    Verdict,
    apart,
    bounds_told,
    certifiable_margin,
    samples_needed,
    too_few,
    uneven,
    uneven_told,
    verdict,
)

__all__ = [
    "MIN_CLUSTERS",
    "Advice",
    "Estimate",
    "Verdict",
    "advice",
    "aiq",
    "apart",
    "apgr",
    "betting_p",
    "bounds_told",
    "call_curve",
    "certifiable_margin",
    "clustered_mean",
    "clustered_ratio",
    "cpt",
    "effective_number",
    "estimate_of_sums",
    "first_groups",
    "first_samples",
    "holm",
    "non_decreasing_hull",
    "paired_saving",
    "pareto_front",
    "samples_needed",
    "shown_to_lose",
    "too_few",
    "uneven",
    "uneven_told",
    "verdict",
    "weighted_quantile",
    "who_mixes",
]
