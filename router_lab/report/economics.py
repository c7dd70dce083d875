"""Unit economics: what a request, a success and a month cost, where the tail comes from, and where
the tokens go."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from router_lab.metrics import weighted_quantile
from router_lab.outcomes import scored_figures
from router_lab.outcomes.candidates import by_candidate, whose
from router_lab.replay import Replay
from router_lab.runtime.kinds import COUNTED, PROMPT_COLUMNS, inside

Floats = NDArray[np.float64]
TAIL_FACTOR = 5.0


@dataclass(frozen=True)
class Bill:
    """What serving costs: dollars per request at percentiles and in the mean, per success, and per
    month.

    `monthly`: 12 entries, dollars in each month from now, the volume growing every month.
    """

    name: str
    mean: float
    p50: float
    p95: float
    p99: float
    per_success: float
    monthly: tuple[float, ...]

    @property
    def month(self) -> float:
        return self.monthly[0]


def bill(name: str, costs: Floats, weights: Floats, quality: float, volume: float, growth: float) -> Bill:
    """A bill from request costs `costs` with probabilities `weights` (same shape, NaN costs left
    out).

    quality: mean quality of the same requests.  volume: requests a month.  growth: by which it
    grows every month.
    """
    known = ~np.isnan(costs) & (weights > 0)
    flat, heavy = costs[known], weights[known]
    mean = float((flat * heavy).sum() / heavy.sum()) if known.any() else math.nan
    p50, p95, p99 = (weighted_quantile(flat, heavy, q) for q in (0.5, 0.95, 0.99))
    return _priced(Bill(name, mean, p50, p95, p99, math.nan, ()), mean, quality, volume, growth)


def policy_bills(
    replayed: Replay, reference: str, volume: float, growth: float, *, mean: float, saving: float, quality: float,
    difference: float,
) -> tuple[Bill, Bill]:  # fmt: skip
    """(reference, policy): percentiles on the replay's rows, the very same for both, chance in
    expectation.

    mean, quality: dollars per request, and quality, of the reference over all that was measured;
    with the share `saving` and the difference in quality they give means, months and dollars per
    success: the replay's rows are few.
    """
    paid, costs = replayed.rows.reference_cost_usd, replayed.recorded.cost_usd
    base = bill(reference, paid, np.ones(len(paid)), replayed.reference_quality, volume, growth)
    routed = bill("the policy", costs, replayed.served, replayed.quality, volume, growth)
    return (
        _priced(base, mean, quality, volume, growth),
        _priced(routed, (1 - saving) * mean, quality + difference, volume, growth),
    )


def _priced(one: Bill, mean: float, quality: float, volume: float, growth: float) -> Bill:
    """The bill with another mean, and what follows from it: a month is the mean times the
    requests."""
    monthly = tuple(mean * volume * (1 + growth) ** m for m in range(12))
    return replace(one, mean=mean, per_success=mean / quality if quality > 0 else math.nan, monthly=monthly)


def candidate_bills(outcomes: pd.DataFrame, volume: float, growth: float) -> list[Bill]:
    """A bill for each candidate on all of its own rows, the dearest month first."""
    scored = scored_figures(outcomes)
    bills = []
    for who, part in by_candidate(scored):
        costs = part["cost_usd"].to_numpy(np.float64) if "cost_usd" in part else np.full(len(part), np.nan)
        bills.append(bill(str(who), costs, np.ones(len(part)), float(part["quality"].mean()), volume, growth))
    return sorted(bills, key=lambda b: -b.mean if math.isfinite(b.mean) else math.inf)


def tail(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Samples that finished (status `ok`) but cost over five times their candidate's median in the
    suite.

    Columns of the outcomes, with `label` and `times` (cost over that median); the most expensive
    first.
    """
    done = _done(outcomes)
    if "cost_usd" not in done.columns or done["cost_usd"].isna().all():
        return done.iloc[:0].assign(label="", times=math.nan)
    who = whose(done)
    median = done.groupby([done["suite"], who.code])["cost_usd"].transform("median")
    times = done["cost_usd"] / median.where(median > 0)
    here = (times > TAIL_FACTOR).to_numpy(bool)
    labels = [str(who.candidates[code]) for code in who.code[here].tolist()]
    found = done[here].assign(label=pd.Series(labels, done.index[here], dtype="str"), times=times[here])
    return found.sort_values(["cost_usd", "suite", "sample_id"], ascending=[False, True, True], kind="stable")


def _done(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Samples that finished, without their long texts."""
    scored = scored_figures(outcomes)
    finished = scored["status"] == "ok"
    return scored if finished.all() else scored[finished]


def tail_summary(outcomes: pd.DataFrame) -> list[dict[str, Any]]:
    """By candidate: how many samples are in its tail, their share of its samples and of its
    dollars, turns, retries."""
    found = tail(outcomes)
    done = _done(outcomes)
    who = whose(done)
    rows = []
    for label, part in found.groupby("label", sort=True):
        mine = np.array([str(one) == label for one in who.candidates], bool)
        own = done.loc[mine[who.code], ["cost_usd"]]
        rows.append(
            {
                "label": str(label),
                "n": len(part),
                "share": len(part) / len(own),
                "share_of_cost": float(part["cost_usd"].sum() / own["cost_usd"].sum()),
                "turns": float(part["turns"].mean()) if "turns" in part else math.nan,
                "retries": float(part["retries"].mean()) if "retries" in part else math.nan,
                "worst": float(part["times"].max()),
            }
        )
    return sorted(rows, key=lambda r: -r["share_of_cost"])


def token_rows(outcomes: pd.DataFrame) -> list[dict[str, Any]]:
    """By candidate: mean tokens per request, by column; of what was written without the kinds
    within it: what is left of `output_tokens` is the visible answer."""
    scored = scored_figures(outcomes)
    rows = []
    for who, part in by_candidate(scored):
        means = {
            kind.column: float(part[kind.column].mean()) if kind.column in part else math.nan
            for kind in COUNTED
        }
        for kind in (kind for kind in COUNTED if kind.side == "output"):
            means[kind.column] -= float(np.nansum([means[inner.column] for inner in inside(kind.name)]))
        rows.append({"label": str(who), **means})
    return rows


def batch_saving(prices: Mapping[str, Any] | None) -> float | None:
    """The share that the batch tier takes off, from a candidate's `prices`; None where no batch
    price is known."""
    multiplier = ((prices or {}).get("tiers") or {}).get("batch")
    return None if multiplier is None else 1 - float(multiplier)


def context_growth(calls: pd.DataFrame) -> list[dict[str, Any]]:
    """Mean input tokens (cached included) by turn of a conversation, where calls have more than
    one turn."""
    if calls.empty or int(calls["turn"].max()) < 2:
        return []
    columns = [c for c in PROMPT_COLUMNS if c in calls.columns]
    total = calls[columns].fillna(0).sum(axis=1)
    means = total.groupby(calls["turn"]).agg(["mean", "size"])
    rows = zip(means.index.to_numpy(np.int64), means["mean"], means["size"], strict=True)
    return [{"turn": int(turn), "input": float(mean), "n": int(size)} for turn, mean, size in rows]
