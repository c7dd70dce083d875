"""From outcomes and a policy to the bills, and to the sentences of a review."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from router_lab.replay import Replay
from router_lab.report.economics import Bill, candidate_bills, policy_bills
from router_lab.report.format import candidate_label
from router_lab.report.policy import figures, reference_row
from router_lab.report.review import Question, Review
from router_lab.report.served import served_alone, served_routed
from router_lab.report.table import pooled, records
from router_lab.report.told import ranged
from router_lab.runtime.policy import Policy


def bills_of(
    outcomes: pd.DataFrame, known: pd.DataFrame, policy: Policy | None, replayed: Replay | None, volume: float,
    growth: float,
) -> Sequence[Bill]:  # fmt: skip
    """Of every candidate; with a policy, of the reference and of the policy. known: their
    `candidate_table`."""
    if policy is None or replayed is None:
        return candidate_bills(outcomes, volume, growth)
    row, found = reference_row(policy, known), figures(policy, replayed)
    mean, quality = (math.nan, math.nan) if row is None else (row["cost_usd_per_1k"] / 1000, row["quality"])
    saving, difference = found.savings.value or 0.0, found.quality_difference.value or 0.0
    return policy_bills(
        replayed, candidate_label(*policy.reference), volume, growth, mean=mean, saving=saving, quality=quality,
        difference=difference,
    )  # fmt: skip


def review_of(
    outcomes: pd.DataFrame, known: pd.DataFrame, bills: Sequence[Bill], policy: Policy | None = None,
    replayed: Replay | None = None, calls: pd.DataFrame | None = None, *, volume: float, question: Question | None = None,
) -> Review | None:  # fmt: skip
    """The reference beside the policy; without one, the best candidate. None where nobody was
    measured well enough to be compared."""
    asked = Question() if question is None else question
    if policy is None or replayed is None:
        best = best_row(known)
        if best is None:
            return None
        own = next(one for one in bills if one.name == best["label"])
        return Review(served_alone(outcomes, calls, own, best["quality"]), None, "", volume, asked)
    row, gain = reference_row(policy, known), figures(policy, replayed).quality_difference
    quality = replayed.reference_quality if row is None else row["quality"]
    base, routed = bills
    alone = served_alone(outcomes, calls, base, quality, replayed)
    ours = served_routed(outcomes, calls, policy, replayed, routed, quality + (gain.value or 0.0))
    return Review(alone, ours, ranged(gain, " points"), volume, asked)


def best_row(known: pd.DataFrame) -> dict[str, Any] | None:
    """Of a `candidate_table`, over all suites: the best of those that are compared, of two alike
    the cheaper."""
    rows = [r for r in records(pooled(known)) if r["compared"]]
    if not rows:
        return None

    def dollars(row: dict[str, Any]) -> float:
        return row["cost_usd_per_1k"] if math.isfinite(row["cost_usd_per_1k"]) else math.inf

    return max(rows, key=lambda r: (r["quality"], -dollars(r)))
