"""Dollar caps: a run that would have cost more is stopped at the cap, fails at a known price, and
may go on to another candidate.

Most of what agents cost goes into runs that fail anyway. What a cap does is known exactly from
recorded dollars, for a run that cost more had not ended when it reached the cap.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from router_lab.metrics.paired import Floats
from router_lab.outcomes.trials import Trials
from router_lab.runtime.chains import Stage

QUANTILES = (
    0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98,
)  # fmt: skip
"""Of a candidate's recorded dollars, at which its runs may be stopped."""
FEW = QUANTILES[1::3]
"""Of these, those after which another candidate is asked."""


def capped(trials: Trials, columns: Sequence[int], most: int) -> list[tuple[Stage, ...]]:
    """Each candidate alone with each of its caps; and where chains may have two stages, another
    after it."""
    found: list[tuple[Stage, ...]] = [
        (Stage(column, None, cap),)
        for column in columns
        for cap in caps(trials.cost_usd[:, column], QUANTILES)
    ]
    if most < 2:
        return found
    return found + [
        (Stage(column, None, cap), Stage(other))
        for column in columns
        for cap in caps(trials.cost_usd[:, column], FEW)
        for other in columns
        if other != column
    ]  # fmt: skip


def caps(cost_usd: Floats, quantiles: Sequence[float]) -> list[float]:
    """The caps that are tried of a candidate with these recorded dollars."""
    known = cost_usd[np.isfinite(cost_usd) & (cost_usd > 0)]
    if not len(known):
        return []
    return sorted({float(f"{cap:.6g}") for cap in np.quantile(known, quantiles, method="higher")})
