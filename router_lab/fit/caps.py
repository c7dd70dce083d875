"""Dollar caps: a run that would have cost more is stopped at the cap, fails at a known price, and
may go on to another candidate.

Most of what agents cost goes into runs that fail anyway. What a cap does is known exactly from
recorded dollars, for a run that cost more had not ended when it reached the cap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from router_lab.metrics.paired import Floats
from router_lab.runtime.chains import Chain, Stage

if TYPE_CHECKING:
    from router_lab.fit.chains import Ground

CAPS = (
    0.05,
    0.1,
    0.15,
    0.2,
    0.25,
    0.3,
    0.35,
    0.4,
    0.45,
    0.5,
    0.55,
    0.6,
    0.65,
    0.7,
    0.75,
    0.8,
    0.85,
    0.9,
    0.95,
    0.98,
)
"""Quantiles of a candidate's recorded dollars at which its runs may be stopped."""


def caps_of(ground: Ground, columns: Sequence[int], tradeoff: float) -> list[Chain]:
    """Chains of one stage with a cap, and of two of which the first has one: the second, the one
    whose best cap (or none) is worth most on the mean, at the tradeoff."""
    found: list[Chain] = []
    best: dict[int, Stage] = {}
    for column in columns:
        stages = [Stage(column, None, cap) for cap in caps(ground.trials.cost_usd[:, column])]
        found += [(stage,) for stage in stages]
        worth = [_worth(ground, stage, tradeoff) for stage in (Stage(column), *stages)]
        best[column] = (Stage(column), *stages)[int(np.argmax(worth))]
    if ground.most < 2:
        return found
    pairs = [
        (first, best[column])
        for (first,) in found
        for column in columns
        if column != first.column
    ]  # fmt: skip
    return [*found, *pairs]


def caps(cost_usd: Floats) -> list[float]:
    """The caps that are tried of a candidate with these recorded dollars."""
    known = cost_usd[np.isfinite(cost_usd) & (cost_usd > 0)]
    if not len(known):
        return []
    return [float(f"{cap:.6g}") for cap in np.unique(np.quantile(known, CAPS, method="higher"))]


def _worth(ground: Ground, stage: Stage, tradeoff: float) -> float:
    cost, quality = ground.trials.cost_usd[:, stage.column], ground.trials.quality[:, stage.column]
    if stage.cap_usd is not None:
        quality = np.where(cost > stage.cap_usd, 0.0, quality)
        cost = np.minimum(cost, stage.cap_usd)
    return float(np.nanmean(quality - tradeoff * cost))
