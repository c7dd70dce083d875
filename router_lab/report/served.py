"""What one way to serve requests costs and gives: the reference alone, a policy, or the best
candidate of a sweep."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from router_lab.certificate import Certificate
from router_lab.metrics.steady import Floats
from router_lab.outcomes import scored_figures
from router_lab.outcomes.candidates import whose
from router_lab.replay import Replay
from router_lab.report.economics import Bill
from router_lab.report.format import candidate_label
from router_lab.report.sources import attempts_of, mixed, sources_of
from router_lab.runtime.policy import Policy


@dataclass(frozen=True)
class Served:
    """Per task; NaN = not known. quality: its mean. failed: the share of dollars that bought no
    quality (a task of quality .4 counts as .6 failed). written: output tokens. attempts: how often
    a task was begun, one that counts among them. sources: dollars by `sources.SOURCES`; {} = not
    known."""

    bill: Bill
    quality: float
    failed: float
    written: float
    attempts: float
    sources: Mapping[str, float]


def failed_share(costs: Floats, quality: Floats, weights: Floats) -> float:
    """Share of dollars that bought no quality; all of one shape, rows without either left out."""
    known = ~np.isnan(costs + quality) & (weights > 0)
    spent = (costs * weights)[known]
    total = float(spent.sum())
    return float((spent * (1 - quality[known])).sum()) / total if total > 0 else math.nan


def served_alone(
    outcomes: pd.DataFrame,
    calls: pd.DataFrame | None,
    bill: Bill,
    quality: float,
    replayed: Replay | None = None,
) -> Served:
    """The candidate that the bill names, on all of its own scored rows; where it stands beside a
    policy, what failed is of the replay's rows, the very same for both."""
    return Served(
        bill, quality, _failed_alone(outcomes, bill.name) if replayed is None else _failed_beside(replayed)[0],
        _written(outcomes).get(bill.name, math.nan), attempts_of(outcomes).get(bill.name, math.nan),
        sources_of(outcomes, calls).get(bill.name, {}),
    )  # fmt: skip


def served_routed(
    outcomes: pd.DataFrame,
    calls: pd.DataFrame | None,
    policy: Policy,
    replayed: Replay,
    bill: Bill,
    quality: float,
) -> Served:
    """The policy. Tokens, attempts and sources are those of the candidates whose answers are
    kept, by their shares."""
    kept = np.average(replayed.answered[replayed.rows.scored], axis=0, weights=_scored_weight(replayed))
    whole = float(kept.sum())
    shares = {
        candidate_label(*who): float(share) / whole for who, share in zip(policy.candidates, kept, strict=True)
    } if whole > 0 else {}  # fmt: skip
    chains = Certificate.of(policy).chains
    checks = 0.0 if chains is None else float(chains.signals_usd)
    sources = mixed(sources_of(outcomes, calls), shares, bill.mean - checks)
    return Served(
        bill, quality, _failed_beside(replayed)[1], _mean(_written(outcomes), shares),
        _mean(attempts_of(outcomes), shares), sources | {"checks": checks} if sources else {},
    )  # fmt: skip


def _failed_alone(outcomes: pd.DataFrame, label: str) -> float:
    mine = _rows_of(outcomes, label)
    cost = mine["cost_usd"].to_numpy(np.float64) if "cost_usd" in mine else np.full(len(mine), np.nan)
    weight = mine["weight"].to_numpy(np.float64) if "weight" in mine else np.ones(len(mine))
    return failed_share(cost, mine["quality"].to_numpy(np.float64), weight)


def _failed_beside(replayed: Replay) -> tuple[float, float]:
    """(reference, policy): shares of dollars that bought nothing, on rows where all is known of
    both."""
    rows = replayed.rows
    there = ~np.isnan(rows.reference_cost_usd + rows.reference_quality)
    weight = there * (np.ones(len(there)) if rows.weight is None else rows.weight)
    alone = failed_share(rows.reference_cost_usd, rows.reference_quality, weight)
    shares = replayed.served * weight[:, None]
    return alone, failed_share(replayed.recorded.cost_usd, replayed.recorded.quality, shares)


def _scored_weight(replayed: Replay) -> Floats | None:
    weight = replayed.rows.weight
    return None if weight is None else weight[replayed.rows.scored]


def _rows_of(outcomes: pd.DataFrame, label: str) -> pd.DataFrame:
    scored = scored_figures(outcomes)
    who = whose(scored)
    return scored[np.array([str(one) == label for one in who.candidates], bool)[who.code]]


def _written(outcomes: pd.DataFrame) -> dict[str, float]:
    """Mean output tokens by candidate."""
    if "output_tokens" not in outcomes.columns:
        return {}
    scored = scored_figures(outcomes)
    who = whose(scored)
    means = scored["output_tokens"].groupby(who.code, sort=True).mean()  # of each code, from 0 on
    return {str(one): float(mean) for one, mean in zip(who.candidates, means, strict=True)}


def _mean(known: Mapping[str, float], shares: Mapping[str, float]) -> float:
    """By shares; NaN where somebody's is not known."""
    if not shares:
        return math.nan
    return math.fsum(share * known.get(label, math.nan) for label, share in shares.items() if share > 0)
