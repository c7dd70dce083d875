"""Caps: a run that would have cost more, or made more model calls, is stopped there, fails at a
known price, and may go on to another candidate.

Most of what agents cost goes into runs that fail anyway. What a cap in dollars does is known
exactly from recorded dollars, for a run that cost more had not ended when it reached the cap; what
one in turns does, from the dollars of each call (`turns_usd`), and from nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from router_lab.certificate import TurnCaps, WithoutCalls
from router_lab.config import Recipe
from router_lab.metrics.paired import Floats, Ints
from router_lab.outcomes import candidates_of
from router_lab.outcomes.trials import Trials
from router_lab.outcomes.turns import without_calls
from router_lab.played import Asked, play
from router_lab.runtime.chains import Chain, Stage, UnderCap

QUANTILES = (
    0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98,
)  # fmt: skip
"""Of a candidate's recorded dollars, at which its runs may be stopped."""
FEW = QUANTILES[1::3]
"""Of these, those after which another candidate is asked."""
PRIOR = 20.0
"""Samples that a suite's gain by a chain, or its part under a cap, is shrunk by towards that of all
suites."""


def capped(trials: Trials, columns: Sequence[int], most: int) -> list[tuple[Stage, ...]]:
    """Each candidate alone with each of its caps, in dollars or in turns; and where chains may have
    two stages, another after it."""
    alone = ((stage,) for column in columns for stage in _stopped(trials, column, QUANTILES))
    found: list[tuple[Stage, ...]] = [*alone]
    if most < 2:
        return found
    return found + [
        (stage, Stage(other))
        for column in columns
        for stage in _stopped(trials, column, FEW)
        for other in columns
        if other != column
    ]


def _stopped(trials: Trials, column: int, quantiles: Sequence[float]) -> list[Stage]:
    """A candidate with each cap that is tried of it."""
    turns = caps_of_turns(trials.turns(column), quantiles)
    return [
        *(Stage(column, None, cap) for cap in caps(trials.cost_usd[:, column], quantiles)),
        *(Stage(column, cap_turns=cap) for cap in turns),
    ]


def caps(cost_usd: Floats, quantiles: Sequence[float]) -> list[float]:
    """The caps in dollars that are tried of a candidate with these recorded ones."""
    known = cost_usd[np.isfinite(cost_usd) & (cost_usd > 0)]
    if not len(known):
        return []
    return sorted({float(f"{cap:.6g}") for cap in np.quantile(known, quantiles, method="higher")})


def caps_of_turns(turns: Ints, quantiles: Sequence[float]) -> list[int]:
    """The caps in turns that are tried of a candidate with these recorded ones (-1 = not known):
    those that stop some run."""
    known = turns[turns > 0]
    if not len(known):
        return []
    tried = {int(cap) for cap in np.quantile(known, quantiles, method="higher")}
    return sorted(cap for cap in tried if cap < known.max())


def with_under_cap(chain: Chain, trials: Trials, suite: Ints, weight: Floats, rows: Sequence[int]) -> Chain:
    """The chain, each stage with a cap told what that leaves of its recorded runs in `rows` (0 =
    all suites). suite [m] of the draws, codes; weight [m]."""
    return tuple(
        stage._replace(under_cap=_under_cap(stage, trials, suite, weight, rows)) if stage.capped else stage
        for stage in chain
    )


def _under_cap(
    stage: Stage, trials: Trials, suite: Ints, weight: Floats, rows: Sequence[int]
) -> UnderCap | None:
    """A suite's part is shrunk by PRIOR samples towards that of all; None where no run has a cost
    and a quality."""
    whole = np.stack([trials.cost_usd[:, stage.column], trials.quality[:, stage.column]])
    # The predictions it would judge by are not looked at: it is asked alone.
    bare = Asked(suite + 1, trials.quality, trials.cost_usd)
    got = play((stage._replace(judge=None),), 0.0, trials, bare)
    known = np.isfinite(whole).all(axis=0) & np.isfinite(got.cost_usd)
    if not known.any():
        return None
    weight, suite = np.where(known, weight, 0.0), np.where(known, suite, 0)
    parts = [np.nan_to_num(part) * weight for part in (*whole, got.cost_usd, got.quality)]
    every = np.array([part.sum() for part in parts])
    size = max(int(suite.max()) + 1, *rows)
    own = np.stack([np.bincount(suite, part, size).astype(np.float64) for part in parts])
    count = np.bincount(suite, weight, size)
    pooled = _part(every[2:], every[:2])
    by_suite = (_part(own[2:], own[:2]) * count + pooled[:, None] * PRIOR) / (count + PRIOR)
    found = np.stack([pooled if row == 0 else by_suite[:, row - 1] for row in rows], axis=1)
    return UnderCap(tuple(rows), *(tuple(float(f"{one:.6g}") for one in part) for part in found))


def _part(stopped: Floats, whole: Floats) -> Floats:
    """What is left of sums; all of nothing."""
    return np.clip(np.where(whole > 0, stopped / np.where(whole > 0, whole, 1.0), 1.0), 0.0, 1.0)


def turn_caps(recipe: Recipe, frame: pd.DataFrame) -> TurnCaps | None:
    """Who could be stopped after some model calls, and of whom too little is known; None without
    caps."""
    if not recipe.caps:
        return None
    lacking = without_calls(frame)
    return TurnCaps(
        considered=tuple(tuple(who) for who in candidates_of(frame) if who not in lacking),
        left_out=tuple(
            WithoutCalls(candidate=tuple(who), runs=runs, of=every) for who, (runs, every) in lacking.items()
        ),
    )  # fmt: skip
