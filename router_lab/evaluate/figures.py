"""One metric of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from router_lab.metrics.offpolicy import OffEstimate
from router_lab.metrics.verdict import Verdict


@dataclass(frozen=True)
class Figure:
    """One metric. value: of the policy; beside: of what it is held against (the log's own mean, or
    another policy); difference: policy less that, on the same requests; floor: what the difference
    in quality, or what is saved in dollars, is to reach; verdict: whether it does; counts: as how
    many requests of the policy's the log's count, of which MIN_CLUSTERS are needed."""

    metric: str
    value: OffEstimate
    beside: OffEstimate
    difference: OffEstimate
    floor: float
    verdict: Verdict
    counts: float
