"""What each call of a run cost: a run's dollars, divided over its calls by their tokens at list
prices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from router_lab.outcomes import scored_figures
from router_lab.outcomes.columns import KEY, WHO
from router_lab.runtime.kinds import PROMPT_COLUMNS
from router_lab.runtime.model import Candidate

MILLION = 1e6


def call_dollars(
    outcomes: pd.DataFrame, calls: pd.DataFrame | None, roles: frozenset[str] = frozenset()
) -> pd.DataFrame:
    """A row for each call that a scored run's `cost_usd` is made of, in the order in which they
    were made.

    Of the last attempt, the candidate's own, those of a team's roles, and those of `roles`.
    Columns: run (index label of the outcome), place (from 0 within the run), turn, role, read and
    written (tokens), said (of what was written without reasoning), usd and read_usd (what of it was
    for reading), seconds. usd is NaN where neither the calls nor the candidates' prices tell how a
    run's dollars divide; where caches were used, they divide as if there were none.
    """
    runs = scored_figures(outcomes)
    if calls is None or calls.empty or runs.empty:
        return pd.DataFrame(
            columns=["run", "place", "turn", "role", "read", "written", "said", "usd", "read_usd", "seconds"]
        )
    key = [*KEY]
    total = runs["cost_usd"] if "cost_usd" in runs else pd.Series(math.nan, index=runs.index)
    known = _keyed(runs).assign(run=runs.index, total=total)[[*key, "run", "total"]]
    mine = _own(_keyed(calls), roles, team_roles(outcomes)).merge(known, on=key, how="inner")
    order = (
        ["run", "started_at", "turn"]
        if mine["role"].notna().any() and "started_at" in mine
        else ["run", "turn"]
    )
    mine = mine.sort_values(order, kind="stable", ignore_index=True)
    read = _tokens(mine, PROMPT_COLUMNS)
    written, thought = _tokens(mine, ("output_tokens",)), _tokens(mine, ("reasoning_tokens",))
    weight, reading = _weights(mine, read, written, outcomes.attrs)
    whole = weight.groupby(mine["run"]).transform("sum", min_count=1)
    missing = weight.isna().groupby(mine["run"]).transform("any")
    share = (weight / whole.where(whole > 0)).where(~missing)
    usd = mine["total"] * share
    return pd.DataFrame({
        "run": mine["run"], "place": mine.groupby("run").cumcount(), "turn": mine["turn"], "role": mine["role"],
        "read": read, "written": written, "said": (written - thought.fillna(0)).clip(lower=0), "usd": usd,
        "read_usd": usd * reading, "seconds": mine.get("seconds", math.nan),
    })  # fmt: skip


def _keyed(frame: pd.DataFrame) -> pd.DataFrame:
    """With every column of the key, and no null in it: a missing key equals nothing."""
    epoch = frame["epoch"].fillna(1).astype("int64") if "epoch" in frame else 1
    names = {name: frame[name].fillna("") if name in frame else "" for name in WHO[1:]}
    return frame.assign(epoch=epoch, **names)


def team_roles(outcomes: pd.DataFrame) -> dict[Candidate, tuple[str, ...]]:
    """Who is a team, and its roles in the order of their names."""
    listed = outcomes.attrs.get("candidates") or ()
    return {Candidate.of(one): tuple(sorted(one["roles"])) for one in listed if one.get("roles")}


def _own(
    calls: pd.DataFrame, roles: frozenset[str], teams: Mapping[Candidate, tuple[str, ...]]
) -> pd.DataFrame:
    role = calls["role"] if "role" in calls else pd.Series(None, index=calls.index, dtype="str")
    keep = (role.isna() | role.isin(sorted(roles))).to_numpy(bool)
    if teams:
        keys = {
            (*(part or "" for part in (w.model, w.effort, w.harness)), one)
            for w, r in teams.items()
            for one in r
        }
        rows = zip(*(calls[name] for name in WHO), role, strict=True)
        keep = keep | np.fromiter((row in keys for row in rows), bool, len(calls))
    kept = calls.assign(role=role)[keep]
    if "attempt" not in kept:
        return kept
    return kept[kept["attempt"] == kept.groupby([*KEY])["attempt"].transform("max")]


def _tokens(calls: pd.DataFrame, columns: tuple[str, ...]) -> pd.Series[Any]:
    """[calls] tokens of these columns; NaN where none of them is known."""
    there = [c for c in columns if c in calls.columns]
    if not there:
        return pd.Series(math.nan, index=calls.index)
    return calls[there].astype("float64").sum(axis=1, min_count=1)


def _weights(
    calls: pd.DataFrame, read: pd.Series[Any], written: pd.Series[Any], attrs: Mapping[Any, Any]
) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """[calls] by what a run's dollars divide, and which share of a call's are for what it read."""
    candidates = attrs.get("candidates") or ()
    roles = [role for one in candidates for role in (one.get("roles") or {}).values()]
    prices = {one["model"]: one.get("prices") or {} for one in (*candidates, *roles)}
    asked = calls["call_model"].fillna(calls["model"]) if "call_model" in calls else calls["model"]
    rates = np.array(
        [
            _rates(prices.get(one) or prices.get(own) or {})
            for one, own in zip(asked, calls["model"], strict=True)
        ]
    ).reshape(-1, 3)
    into, out, fee = (pd.Series(rates[:, at], index=calls.index) for at in range(3))
    reading = read * into / MILLION
    listed = reading + written * out / MILLION + fee
    share = (reading / listed.where(listed > 0)).fillna(0.0).where(listed.notna())
    if "cost_usd" not in calls.columns:
        return listed, share
    return calls["cost_usd"].where(calls["cost_usd"].notna(), listed), share


def _rates(prices: Mapping[str, Any]) -> tuple[float, float, float]:
    """Dollars per million tokens read and written, and per call; NaN where none is known."""
    into, out = prices.get("input"), prices.get("output")
    fee = prices.get("per_1k_requests") or 0.0
    return (math.nan if into is None else into), (math.nan if out is None else out), fee / 1000
