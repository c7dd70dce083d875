"""Dollars of tables by the user's prices: of the rows that bring none, or had theirs by earlier
prices."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from router_lab.collect.calls import Call, request_cost, turn_costs
from router_lab.collect.notes import Notes
from router_lab.collect.pricing import priced_candidates
from router_lab.outcomes import read_calls, validate_outcomes
from router_lab.outcomes.turns import TURNS, turns_text
from router_lab.prices import Counted, PriceTable, midday, read_usage, today, utc
from router_lab.prices.usage import FIELDS
from router_lab.runtime.errors import InputError
from router_lab.runtime.jsonio import decode
from router_lab.runtime.model import Candidate

CALLS = "calls.parquet"
"""The table of calls, beside that of their outcomes."""


class _Beside(NamedTuple):
    """What holds for every row of the table at `path`."""

    path: Path
    table: PriceTable
    caching: str
    teams: Mapping[Candidate, frozenset[str]]
    calls: Mapping[tuple[Any, ...], list[Call]] | None
    notes: Notes


def reprice(
    frame: pd.DataFrame, path: Path, table: PriceTable, caching: str, *, every: bool = False
) -> pd.DataFrame:
    """`frame` with `cost_usd` from its tokens and `table`, each row on its own day (`started_at`,
    else today).

    Dollars that no prices made (`cost_usd` without `price_date`) are the table's own, such as a
    bill's, and stay, unless `every` row is to be priced; `attrs["dollars"]` says how many did.
    Calls are priced one by one where `calls.parquet` lies beside `path`; without it only sums are
    known, which is refused for a model whose price depends on the length of a call. Rows without
    tokens, or of a sample that was never answered (`turns` 0), keep their cost. Candidates have the
    table's prices then, which a policy fitted on them carries. Raises InputError.
    """
    own = _own(frame) & (not every)
    if not own.any() and not {"input_tokens", "output_tokens"} <= {*frame.columns}:
        raise InputError(
            f"{path}: has no token columns; only rows with input_tokens and output_tokens can be re-priced"
        )
    teams = teams_of(frame)
    beside = _Beside(path, table, caching, teams, _calls_beside(path, teams), Notes())
    out, days = frame.copy(), list[str]()
    costs, dates, turns = [], [], []
    for row, kept in zip(out.to_dict("records"), own, strict=True):
        moment = _moment(row.get("started_at"), path)
        days.append((moment.date() if isinstance(moment, dt.datetime) else moment).isoformat())
        kept = kept or not _has_tokens(row)
        cost, by_turn = (row.get("cost_usd"), row.get(TURNS)) if kept else _dollars(row, moment, beside)
        costs.append(cost)
        dates.append(row.get("price_date") if kept else days[-1])
        turns.append(by_turn)
    known = priced_candidates(out.assign(price_date=days), frame.attrs.get("candidates", ()), table)
    out["cost_usd"], out["price_date"] = costs, dates
    if TURNS in out.columns or any(isinstance(text, str) for text in turns):
        out[TURNS] = turns
    out.attrs = {**frame.attrs, "candidates": known, "dollars": _told(path, int(own.sum()), len(out))}
    beside.notes.warn()
    return validate_outcomes(out, where=str(path))


def _own(frame: pd.DataFrame) -> pd.Series:
    """The rows that bring dollars of their own. What prices made has their day beside it."""
    if "cost_usd" not in frame.columns:
        return pd.Series(False, index=frame.index)
    made = frame["price_date"].notna() if "price_date" in frame.columns else False
    return frame["cost_usd"].notna() & ~pd.Series(made, index=frame.index)


def _told(path: Path, kept: int, rows: int) -> list[str]:
    if not kept:
        return []
    which = f"all {rows:,} rows" if kept == rows else f"{kept:,} of {rows:,} rows"
    return [
        f"{path}: cost_usd of {which} is the table's own and was kept; candidates have the prices as well "
        "(--reprice computes cost_usd from tokens and prices instead)"
    ]


def _has_tokens(row: Mapping[Any, Any]) -> bool:
    told = (row.get("input_tokens"), row.get("output_tokens"))
    return not any(count is None or pd.isna(count) for count in told) and row.get("turns") != 0


def _dollars(row: Mapping[Any, Any], moment: dt.date, beside: _Beside) -> tuple[float | None, str | None]:
    """What a row costs, and each of its calls."""
    path, table, caching, teams, calls, notes = beside
    own = None if calls is None else _of_last_attempt(calls.get(_key(row), []), row.get("retries"))
    _refuse_sums_of_a_team(row, own, teams, path)
    if own:
        cost = request_cost(own, table, caching, own[0].attempt)
    else:
        cost = _from_sums(row, table, moment, path, notes)
    tools = 0.0 if cost is None else _tools(row, table, moment)
    return None if cost is None else cost + tools, _by_turn(own or [], table, caching, tools)


def _refuse_sums_of_a_team(
    row: Mapping[Any, Any], own: Sequence[Call] | None, teams: Collection[Candidate], path: Path
) -> None:
    if not own and Candidate.of({str(k): v for k, v in row.items()}) in teams:
        raise InputError(
            f"{path}: sample {row['sample_id']!r}: team {row['model']!r} asks several models, and sums over calls do "
            "not say which used what; put calls.parquet beside the table"
        )


def _by_turn(own: list[Call], table: PriceTable, caching: str, tools: float) -> str | None:
    """What each call costs, of a run of several; None where tools cost something, too: after which
    call they were called, the table does not say."""
    if len(own) < 2 or tools:
        return None
    dollars = turn_costs(own, table, caching, own[0].attempt)
    return None if dollars is None else turns_text(dollars)


def teams_of(frame: pd.DataFrame) -> dict[Candidate, frozenset[str]]:
    """The candidates that are teams, and their roles."""
    rows = frame.attrs.get("candidates") or ()
    return {Candidate.of(row): frozenset(row["roles"]) for row in rows if row.get("roles")}


def _calls_beside(
    path: Path, teams: Mapping[Candidate, frozenset[str]]
) -> dict[tuple[Any, ...], list[Call]] | None:
    beside = path.with_name(CALLS)
    if not beside.is_file():
        return None
    grouped: dict[tuple[Any, ...], list[Call]] = {}
    for row in read_calls(beside).to_dict("records"):
        role = row["role"] if isinstance(row.get("role"), str) else None
        teamed = role in teams.get(Candidate.of({str(k): v for k, v in row.items()}), ())
        if role is not None and not teamed:
            continue
        call = Call(
            model=row["call_model"] if teamed else row["model"],
            role=role,
            teamed=teamed,
            turn=int(row["turn"]),
            attempt=int(row.get("attempt") or 1),
            tokens=None if pd.isna(row.get("output_tokens")) else _counted(row).tokens,
            seconds=None,
            started=_as_moment(_moment(row.get("started_at"), beside)),
            paid=True,
        )
        grouped.setdefault(_key(row), []).append(call)
    return grouped


def _counted(row: Mapping[Any, Any]) -> Counted:
    """The tokens of a row of ours or of somebody else's, whose `total_tokens`, if it has it, tells
    how they counted."""
    columns = {field: kind.column for field, kind in FIELDS.items()} | {"total_tokens": "total_tokens"}
    usage = {field: row.get(column) for field, column in columns.items()}
    return read_usage(
        {field: value for field, value in usage.items() if value is not None and not pd.isna(value)}
    )


def _of_last_attempt(calls: list[Call], retries: Any) -> list[Call]:
    last = (
        max((c.attempt for c in calls), default=1)
        if retries is None or pd.isna(retries)
        else int(retries) + 1
    )
    return [call for call in calls if call.attempt == last]


def _from_sums(
    row: Mapping[Any, Any], table: PriceTable, day: dt.date, path: Path, notes: Notes
) -> float | None:
    rates = table.rates(row["model"], day)
    turns = row.get("turns")
    known = turns is not None and not pd.isna(turns)
    where = f"{path}: sample {row['sample_id']!r}: {row['model']!r}"
    if not rates.flat and (not known or turns != 1):
        raise InputError(
            f"{where} charges long calls more ({rates.source}), and sums over calls do not say how long each was; put "
            "calls.parquet beside the table"
        )
    if rates.per_1k_requests and not known:
        raise InputError(
            f"{where} charges each request ({rates.source}), and the table does not say how many a row made; add a "
            "column `turns`, or put calls.parquet beside the table"
        )
    tokens, doubt = _counted(row)
    if doubt:
        notes.of_row(row["model"], doubt)
    if tokens is None:
        return None
    requests = int(turns) if known and turns is not None else 1
    return rates.cost(tokens.uncached()._replace(requests=requests))


def _tools(row: Mapping[Any, Any], table: PriceTable, day: dt.date) -> float:
    """Dollars of the tool calls that `collect` counted in a log, by `tool_calls`."""
    used = decode(row["tool_calls"]) if isinstance(row.get("tool_calls"), str) else {}
    return table.provider_tools(row["model"], used.get("provider", {}), day) + table.own_tools(
        used.get("own", {}), day
    )


def _key(row: Mapping[Any, Any]) -> tuple[Any, ...]:
    return row["suite"], row["sample_id"], int(row.get("epoch") or 1), Candidate.of(row)


def _moment(text: Any, path: Path) -> dt.date:
    """When, in UTC: a timestamp (one without an offset is UTC), a bare day, or today where nothing
    is said."""
    if not isinstance(text, str):
        return today()
    try:
        return dt.date.fromisoformat(text) if len(text) == len("2026-01-01") else utc(text)
    except ValueError:
        raise InputError(
            f"{path}: `started_at` is {text!r}; it must be a day or a time as 2026-01-31T12:00:00+00:00"
        ) from None


def _as_moment(day: dt.date) -> dt.datetime:
    return day if isinstance(day, dt.datetime) else midday(day)
