"""What a gate can look at: each metric as an estimate whose bound `metrics.verdict` judges."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from router_lab.gates.arms import Arm, Mask
from router_lab.metrics import Estimate, clustered_mean, clustered_ratio, paired_saving
from router_lab.metrics.bounded import effective_size
from router_lab.runtime.model import Prices

Floats = NDArray[np.float64]
TAIL = 0.95


@dataclass(frozen=True)
class Reading:
    """A metric measured: `estimate` is of what is tested against `floor`; `shown` is the figure that people ask for.

    For a ceiling both are negated, for a percentile the estimate is the share of requests within the bound.
    """

    estimate: Estimate
    floor: float
    shown: float


def against_floor(mean: Estimate, floor: float) -> Estimate:
    """The estimate of a mean in [0, 1] with at least the spread that it would have if `floor` were the truth.

    This is the score test (Wilson): twenty right answers of twenty do not show a quality of .99.
    """
    if mean.independent < 2 or math.isnan(mean.value) or not 0 < floor < 1:
        return mean
    return replace(mean, se=max(mean.se, math.sqrt(floor * (1 - floor) / effective_size(mean))))


def _quality(arm: Arm, rows: Mask, bound: float, sign: int) -> Reading:
    mean = clustered_mean(arm.quality[rows], arm.group[rows], weights=arm.weight[rows])
    return Reading(against_floor(mean, bound).scaled(sign), sign * bound, mean.value)


def _mean(name: str, factor: float = 1.0) -> Callable[[Arm, Mask, float, int], Reading]:
    def reading(arm: Arm, rows: Mask, bound: float, sign: int) -> Reading:
        values = getattr(arm, name)[rows].astype(np.float64)
        mean = clustered_mean(values, arm.group[rows], weights=arm.weight[rows]).scaled(factor)
        return Reading(mean.scaled(sign), sign * bound, mean.value)

    return reading


def _uncovered(arm: Arm, rows: Mask, bound: float, sign: int) -> Reading:
    mean = clustered_mean((~arm.covered[rows]).astype(np.float64), arm.group[rows])
    return Reading(against_floor(mean, bound).scaled(sign), sign * bound, mean.value)


def _per_success(arm: Arm, rows: Mask, bound: float, sign: int) -> Reading:
    ratio = clustered_ratio(arm.cost_usd[rows], arm.quality[rows], arm.group[rows], weights=arm.weight[rows])
    return Reading(ratio.scaled(sign), sign * bound, ratio.value)


def _savings(arm: Arm, rows: Mask, bound: float, sign: int) -> Reading:
    saving = paired_saving(arm.cost_usd[rows], arm.reference_cost_usd[rows], arm.group[rows], weights=arm.weight[rows])
    return Reading(saving.scaled(sign), sign * bound, saving.value)


def _over_random_mix(arm: Arm, rows: Mask, bound: float, sign: int) -> Reading:
    more = paired_saving(
        arm.cost_usd[rows], arm.mix_cost_usd[rows], arm.group[rows], reference=arm.reference_cost_usd[rows],
        weights=arm.mix_weight[rows],
    )  # fmt: skip
    return Reading(more.scaled(sign), sign * bound, more.value)


def _percentile(name: str) -> Callable[[Arm, Mask, float, int], Reading]:
    """P95 ≤ bound is tested as: at least 95 % of requests stay within the bound (so no shape is assumed)."""

    def reading(arm: Arm, rows: Mask, bound: float, sign: int) -> Reading:
        values, shares, weights = getattr(arm, name)[rows], arm.shares[rows], arm.weight[rows]
        known = ~np.isnan(values)
        weight = np.where(known, shares, 0.0).sum(axis=1)
        within = np.where(known & (values <= bound), shares, 0.0).sum(axis=1) / np.where(weight > 0, weight, np.nan)
        mean = clustered_mean(within, arm.group[rows], weights=weights)
        shown = weighted_quantile(values, shares * weights[:, None], TAIL)
        return Reading(against_floor(mean, TAIL).scaled(-sign), -sign * TAIL, shown)

    return reading


def weighted_quantile(values: Floats, weights: Floats, share: float) -> float:
    """The least value below which at least `share` of the weight lies; missing values are left out."""
    flat, heavy = values.ravel(), weights.ravel()
    keep = ~np.isnan(flat) & (heavy > 0)
    if not keep.any():
        return math.nan
    order = np.argsort(flat[keep], kind="stable")
    total = np.cumsum(heavy[keep][order])
    return float(flat[keep][order][np.searchsorted(total, share * total[-1] * (1 - 1e-12))])


MEASURED: Mapping[str, Callable[[Arm, Mask, float, int], Reading]] = {
    "quality": _quality,
    "savings": _savings,
    "over_random_mix": _over_random_mix,
    "cost_usd_per_1k": _mean("cost_usd", 1000.0),
    "usd_per_success": _per_success,
    "cost_p95_usd": _percentile("costs"),
    "latency_s": _mean("latency_s"),
    "latency_p95_s": _percentile("latencies"),
    "uncovered_share": _uncovered,
}
"""Metrics with sampling error, from rows that no fit has used. savings: of the reference's cost, paired.
over_random_mix: saved more than the certificate's random mix does on the same rows, as a share of the reference's cost.
uncovered_share: prompts so unlike the fitted ones that the classifier does not decide them."""


def compared(
    metric: str, mine: Mapping[str, Floats], base: Mapping[str, Floats], group: NDArray[np.int64], moved: Floats
) -> Estimate:
    """The paired estimate of `metric` against another arm: quality as a difference, cost as the share saved. A row
    needs the outcomes of both, so the heavier of the two `weight`s counts. moved [n]: the share of a row's requests
    that the two serve by different candidates."""
    weights = np.fmax(mine["weight"], base["weight"])
    if metric == "quality":
        return clustered_mean(
            mine["quality"] - base["quality"], group, weights=weights, span=float(np.max(moved, initial=0.0))
        )
    return paired_saving(mine["cost_usd"], base["cost_usd"], group, weights=weights)


COMPARED = ("quality", "savings", "cost_usd_per_1k")


def expires_in_days(expires: str | None, today: dt.date) -> float:
    """Days until the policy falls back to its reference; infinite when it never does."""
    return math.inf if expires is None else float((dt.date.fromisoformat(expires) - today).days)


def price_drift(old: Mapping[tuple[str, str | None], Prices], now: Mapping[tuple[str, str | None], Prices]) -> float:
    """The largest relative change of a price of a candidate: of input, output, reasoning or requests; NaN when none can
    be compared."""
    changes = [
        abs((getattr(now[key], kind) or 0.0) / getattr(price, kind) - 1)
        for key, price in old.items()
        if key in now
        for kind in ("input", "output", "reasoning", "per_1k_requests")
        if getattr(price, kind)
    ]
    return max(changes, default=math.nan)


FACTS = ("expires_in_days", "price_drift", "certificate")
"""Metrics without sampling error: days left, relative change of prices, and 1 where the certificate says `pass`."""
