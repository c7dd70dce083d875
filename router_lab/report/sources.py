"""Where a task's dollars go: the prompt that each turn repeats, what was said before, tool results,
answers; and what attempts cost that were made again."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from router_lab.outcomes import scored_figures
from router_lab.outcomes.candidates import by_candidate
from router_lab.report.call_dollars import call_dollars

SOURCES = {
    "frame": "the first prompt, frame and question, in every turn",
    "history": "earlier turns, sent again",
    "results": "what was new in later prompts: tool results, further questions",
    "answers": "answers and reasoning",
    "checks": "checks of answers",
    "unknown": "nobody knows",
}
"""In the order in which they are told. Calls do not tell the frame from the question."""


def sources_of(outcomes: pd.DataFrame, calls: pd.DataFrame | None) -> dict[str, dict[str, float]]:
    """By candidate: mean dollars of a scored run by the keys of SOURCES. They add up to `cost_usd`;
    what calls or prices do not tell is `unknown`. Checks are 0: only a policy asks for them.

    A turn reads the first prompt, what earlier turns held, and what is new. Where a harness cut
    something, the rest counts as first prompt as far as it reaches.
    """
    runs = scored_figures(outcomes)
    priced = call_dollars(outcomes, calls)
    parts = dollars_by_source(
        priced[priced["role"].isna()]
    )  # in a team each role has a conversation of its own
    found: dict[str, dict[str, float]] = {}
    for who, part in by_candidate(runs):
        cost = part["cost_usd"] if "cost_usd" in part else pd.Series(math.nan, index=part.index)
        mine = parts.reindex(part.index).fillna(0.0).where(cost.notna())
        means = {name: float(mine[name].mean()) for name in parts.columns}
        known = sum(means.values())
        left = max(0.0, float(cost.mean()) - known)
        found[str(who)] = {**means, "checks": 0.0, "unknown": 0.0 if left < 1e-9 * max(known, 1e-9) else left}
    return found


def dollars_by_source(priced: pd.DataFrame) -> pd.DataFrame:
    """Dollars by source of each run of which all calls have dollars.

    priced: a row for each call in their order: run, read and said (tokens), usd and read_usd.
    """
    columns = ["frame", "history", "results", "answers"]
    if priced.empty:
        return pd.DataFrame(columns=columns, dtype=np.float64)
    runs = priced.groupby("run")
    read = priced["read"]
    first, before = runs["read"].transform("first"), runs["read"].shift() + runs["said"].shift()
    new = (read - before).clip(lower=0).fillna(0.0)
    frame = np.minimum(first, read - new)
    usd = priced["read_usd"] / read.where(read > 0)
    table = pd.DataFrame({
        "frame": usd * frame, "history": usd * (read - new - frame), "results": usd * new,
        "answers": priced["usd"] - priced["read_usd"],
    }).assign(run=priced["run"])  # fmt: skip
    unknown = priced["usd"].isna().groupby(priced["run"]).any()
    return table.groupby("run")[columns].sum()[~unknown]


def mixed(
    by_candidate: Mapping[str, Mapping[str, float]], shares: Mapping[str, float], mean: float
) -> dict[str, float]:
    """Dollars by source of requests of which each candidate serves a share, brought to their mean
    of `mean` dollars; {} where a candidate's are not known."""
    if any(label not in by_candidate for label, share in shares.items() if share > 0):
        return {}
    total = {
        name: math.fsum(share * by_candidate[label][name] for label, share in shares.items() if share > 0)
        for name in SOURCES
    }
    spent = math.fsum(total.values())
    return {name: usd * mean / spent for name, usd in total.items()} if spent > 0 else {}


def attempts_of(outcomes: pd.DataFrame) -> dict[str, float]:
    """By candidate: attempts per scored run, the one that counts among them; NaN = not known."""
    runs = scored_figures(outcomes)
    if "retries" not in runs.columns:
        return {}
    return {str(who): 1 + float(part["retries"].mean()) for who, part in by_candidate(runs)}
