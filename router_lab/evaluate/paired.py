"""What a shadow says: both policies' candidates were asked the same requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from router_lab.evaluate.logged import LogRows, Pair
from router_lab.metrics.estimate import Estimate, clustered_mean
from router_lab.metrics.steady import Floats
from router_lab.metrics.verdict import MIN_CLUSTERS, Verdict, verdict
from router_lab.runtime.policy import Policy


@dataclass(frozen=True)
class PairFound:
    """n: requests of the shadow's draw with both outcomes, or one candidate of both; asked: those
    that were asked twice; lost: asked, and without an outcome. differences by metric: challenger
    less champion; verdicts by metric, where there are enough pairs for one."""

    n: int
    asked: int
    lost: int
    differences: Mapping[str, Estimate]
    verdicts: Mapping[str, Verdict]


def paired_of(
    policy: Policy, log: LogRows, metrics: Sequence[str], floor: float, side: float
) -> PairFound | None:
    """The shadow's rows of this policy's revision; None where there are none. floor: that the
    difference in quality is to reach; side: confidence of a bound."""
    revision = policy.revision or "unsaved"
    pairs = {place: pair for place, pair in sorted(log.pairs.items()) if pair.revision == revision}
    if not pairs:
        return None
    places, rows = np.array(list(pairs), np.int64), list(pairs.values())
    weights = np.array([1 / pair.chance for pair in rows])
    differences, verdicts = {}, {}
    for metric in metrics:
        apart = _apart(rows, np.asarray(getattr(log, metric), np.float64)[places], metric)
        found = clustered_mean(
            apart, log.group[places], weights=weights, span=1.0 if metric == "quality" else 0.0
        )
        differences[metric] = found
        money = metric == "cost_usd"
        if found.independent >= MIN_CLUSTERS:
            verdicts[metric] = verdict(found.scaled(-1.0) if money else found, 0.0 if money else floor, side)
    unknown = [np.isnan(getattr(pair, metrics[0])) and not pair.same for pair in rows]
    return PairFound(
        len(rows) - sum(unknown), sum(not pair.same for pair in rows), sum(unknown), differences, verdicts
    )


def _apart(rows: Sequence[Pair], served: Floats, metric: str) -> Floats:
    """[n] challenger less champion; 0 where one candidate answered for both."""
    own = np.array([getattr(pair, metric) for pair in rows], np.float64)
    same = np.array([pair.same for pair in rows], bool)
    return np.where(same, 0.0 * served, own - served)
