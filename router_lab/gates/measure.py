"""What a gate can look at: each metric as an estimate whose bound `metrics.verdict` judges."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from router_lab.gates.arms import Arm
from router_lab.metrics import Estimate, clustered_mean, clustered_ratio, weighted_quantile
from router_lab.metrics.curves import TAIL
from router_lab.metrics.estimate import effective_size
from router_lab.metrics.paired import Mask
from router_lab.outcomes.columns import GATED
from router_lab.runtime.kinds import KINDS
from router_lab.runtime.model import Candidate, Prices, Profile


@dataclass(frozen=True)
class Reading:
    """A metric measured: `estimate` is of what is tested against `floor`; `shown` is the figure
    that people ask for.

    For a ceiling both are negated, for a percentile the estimate is the share of requests within
    the bound. form: how its bounds are told: a `share` lies in [0, 1], of a `percentile` they are
    shares of requests, of a `difference` points.
    """

    estimate: Estimate
    floor: float
    shown: float
    form: Literal["number", "share", "percentile", "difference"] = "number"


Measure = Callable[[Arm, Mask, float, int], Reading]
"""Of an arm, on some rows: against a bound, +1 for a floor or −1 for a ceiling."""


def against_floor(mean: Estimate, floor: float) -> Estimate:
    """The estimate of a mean in [0, 1] with at least the spread that it would have if `floor` were
    the truth.

    This is the score test (Wilson): twenty right answers of twenty do not show a quality of .99.
    """
    if mean.independent < 2 or math.isnan(mean.value) or not 0 < floor < 1:
        return mean
    return replace(mean, se=max(mean.se, math.sqrt(floor * (1 - floor) / effective_size(mean))))


def _per_success(arm: Arm, rows: Mask) -> Estimate:
    paid = arm.rows.take(rows)
    return clustered_ratio(paid.cost_usd, paid.quality, paid.group, weights=paid.weight)


def _mean(name: str, arm: Arm, rows: Mask) -> Estimate:
    return arm.rows.take(rows).mean(name)


def _saving(arm: Arm, rows: Mask) -> Estimate:
    return arm.rows.take(rows).saving()


def _over_mix(arm: Arm, rows: Mask) -> Estimate:
    return arm.rows.take(rows).over(arm.mix.take(rows))


def _per_thousand(arm: Arm, rows: Mask) -> Estimate:
    return _mean("cost_usd", arm, rows).scaled(1000.0)


def _uncovered(arm: Arm, rows: Mask) -> Estimate:
    return clustered_mean(~arm.covered[rows], arm.rows.group[rows])


def _plain(
    estimate: Callable[[Arm, Mask], Estimate],
    arm: Arm,
    rows: Mask,
    bound: float,
    sign: int,
    *,
    share: bool = False,
) -> Reading:
    """share: of a mean in [0, 1]."""
    found = estimate(arm, rows)
    tested = against_floor(found, bound) if share else found
    return Reading(tested.scaled(sign), sign * bound, found.value, "share" if share else "number")


def _percentile(name: str, arm: Arm, rows: Mask, bound: float, sign: int) -> Reading:
    """P95 ≤ bound is tested as: at least 95 % of requests stay within the bound (so no shape is
    assumed)."""
    values, shares, mine = arm.recorded.named(name)[rows], arm.served[rows], arm.rows.take(rows)
    known = ~np.isnan(values)
    weight = np.where(known, shares, 0.0).sum(axis=1)
    inside = np.where(known & (values <= bound), shares, 0.0).sum(axis=1)
    within = inside / np.where(weight > 0, weight, np.nan)
    mean = clustered_mean(within, mine.group, weights=mine.weight)
    heavy = shares if mine.weight is None else shares * mine.weight[:, None]
    shown = weighted_quantile(values, heavy, TAIL)
    return Reading(against_floor(mean, TAIL).scaled(-sign), -sign * TAIL, shown, "percentile")


MEASURED: Mapping[str, Measure] = {
    "quality": partial(_plain, partial(_mean, "quality"), share=True),
    "savings": partial(_plain, _saving),
    "over_random_mix": partial(_plain, _over_mix),
    "cost_usd_per_1k": partial(_plain, _per_thousand),
    "usd_per_success": partial(_plain, _per_success),
    "cost_p95_usd": partial(_percentile, "cost_usd"),
    **{c.name: partial(_plain, partial(_mean, c.name)) for c in GATED},
    **{c.tail: partial(_percentile, c.name) for c in GATED},
    "uncovered_share": partial(_plain, _uncovered, share=True),
}
"""Metrics with sampling error, from rows that no fit has used. savings: of the reference's cost,
paired. over_random_mix: saved more than the certificate's random mix does on the same rows, as a
share of the reference's cost. uncovered_share: prompts so unlike the fitted ones that the
classifier does not decide them."""


COMPARED = ("quality", "savings", "cost_usd_per_1k")


def expires_in_days(expires: str | None, today: dt.date) -> float:
    """Days until the policy falls back to its reference; infinite when it never does."""
    return math.inf if expires is None else float((dt.date.fromisoformat(expires) - today).days)


def priced(profiles: Sequence[Profile]) -> Iterator[tuple[Candidate, Prices | None]]:
    """Each candidate, and each role of a team, with its prices."""
    for profile in profiles:
        parts = [role.profile for role in profile.roles.values()] or [profile]
        yield from ((part.candidate, part.prices) for part in parts)


def price_drift(old: Mapping[Candidate, Prices], now: Mapping[Candidate, Prices]) -> float:
    """The largest relative change of a price of a candidate, of requests and of every kind of
    tokens that is not a cache's; NaN when none can be compared."""
    changes = [
        abs((getattr(now[key], kind) or 0.0) / getattr(price, kind) - 1)
        for key, price in old.items()
        if key in now
        for kind in (*(kind.name for kind in KINDS if not kind.cached), "per_1k_requests")
        if getattr(price, kind)
    ]
    return max(changes, default=math.nan)


FACTS = ("expires_in_days", "price_drift", "certificate")
"""Metrics without sampling error: days left, relative change of prices, and 1 where the
certificate says `pass`."""
