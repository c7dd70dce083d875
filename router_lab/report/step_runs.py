"""Runs with steps, of each candidate, as the statistics of `metrics.steps` take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from router_lab.metrics.steps import Runs
from router_lab.outcomes import SCORED
from router_lab.outcomes.candidates import by_candidate
from router_lab.outcomes.copies import clusters_of
from router_lab.outcomes.steps import STEPS, Step, steps_of

MOST_PLACES = 64
"""Steps from here on share one rate in each suite."""


@dataclass(frozen=True)
class Part:
    """The runs of one candidate: rows of the outcomes, and their steps."""

    label: str
    frame: pd.DataFrame
    steps: Sequence[tuple[Step, ...]]
    runs: Runs


def parts_of(outcomes: pd.DataFrame) -> list[Part]:
    """Of each candidate with scored runs that have steps, the dearest run first."""
    if STEPS not in outcomes.columns:
        return []
    rows = outcomes[outcomes["status"].isin(SCORED) & outcomes[STEPS].notna()]
    if rows.empty:
        return []
    rows = rows.assign(cluster=clusters_of(rows))
    parts = []
    for who, part in by_candidate(rows):
        steps = [steps_of(text) for text in part[STEPS]]
        parts.append(Part(str(who), part, steps, _runs(part, steps)))
    means = {
        part.label: float(np.nanmean(part.runs.cost_usd)) if _priced(part.runs) else -1.0 for part in parts
    }
    return sorted(parts, key=lambda part: (-means[part.label], part.label))


def _priced(runs: Runs) -> bool:
    return not bool(np.isnan(runs.cost_usd).all())


def _runs(part: pd.DataFrame, steps: Sequence[tuple[Step, ...]]) -> Runs:
    """Cells are suites and places. A run that ended at a failed step would have gone on to the
    length that is usual in its suite: the median of those that did not."""
    made = np.array([len(run) for run in steps])
    stopped = np.array([not run[-1].passed for run in steps])
    suite = np.unique(part["suite"].astype(object), return_inverse=True)[1]
    usual = made.copy()
    for one in np.unique(suite):
        whole = made[(suite == one) & ~stopped]
        if len(whole):
            there = (suite == one) & stopped
            usual[there] = np.maximum(made[there], int(np.quantile(whole, 0.5, method="inverted_cdf")))
    width = int(usual.max())
    passed = np.full((len(part), width), np.nan)
    for at, run in enumerate(steps):
        passed[at, : len(run)] = [one.passed for one in run]
    place = np.arange(width)
    cell = suite[:, None] * MOST_PLACES + np.minimum(place, MOST_PLACES - 1)
    cost = part["cost_usd"].to_numpy(np.float64) if "cost_usd" in part else np.full(len(part), np.nan)
    weight = part["weight"].to_numpy(np.float64) if "weight" in part else None
    return Runs(
        passed, np.where(place < usual[:, None], cell, -1), cost, part["cluster"].to_numpy(np.int64), weight
    )
