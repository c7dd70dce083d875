"""Outcomes that come as a table: read, and priced anew if the user gives prices."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from router_lab.collect.calls import Call, request_cost, turn_costs
from router_lab.collect.names import LIKELY, as_option, look_alikes, missing_columns
from router_lab.collect.notes import Notes
from router_lab.collect.pricing import priced_candidates
from router_lab.collect.shape import TableOptions, shaped
from router_lab.outcomes import read_calls, validate_outcomes
from router_lab.outcomes.columns import REQUIRED, candidate_columns, is_number
from router_lab.outcomes.delimited import settle_decimals
from router_lab.outcomes.tablefile import read_table_file, settle_others, table_kind
from router_lab.outcomes.turns import TURNS, turns_text
from router_lab.prices import Counted, PriceTable, midday, read_usage, today, utc
from router_lab.prices.usage import FIELDS
from router_lab.runtime.decisionfiles import is_rotated
from router_lab.runtime.decisions import outcome_rows
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.jsonio import decode
from router_lab.runtime.model import Candidate
from router_lab.runtime.reading import open_regular

NO_EFFORT = frozenset({"None", "null", "NULL", "nan", "NaN", "NA", "N/A", "<NA>"})
"""Written by programs for "nothing is known"; in a text column they are texts, which is said.
(`none` is an effort.)"""

CALLS = "calls.parquet"
"""The table of calls, beside that of their outcomes."""
_LONGEST_LINE = 1 << 20
"""Bytes in which a line of a decision log says what it is."""
_TORN = 64
"""Lines that crashes may have torn before the first whole one; a file that begins with more is no
log."""


def read_table(path: Path, options: TableOptions | None = None) -> pd.DataFrame:
    """A CSV, TSV, JSONL or Parquet file of outcomes, or a log of decisions with their outcomes,
    validated.

    `attrs["notes"]` says what was found of the file's dialect. Raises InputError; of a text file
    it names the line. Warns (RouterLabWarning) of what is probably not meant: columns and efforts
    by other names, rows that are copies.
    """
    if _is_decision_log(path):
        if options not in (None, TableOptions()):
            raise InputError(
                f"{path}: is a log of decisions and has our columns; collect it apart, without --map and such"
            )
        return validate_outcomes(decisions(path), where=str(path))
    asked = options or TableOptions()
    names = {*LIKELY, *asked.map.values(), *asked.wide}
    raw, sign, notes = read_table_file(path, delimiter=asked.delimiter, encoding=asked.encoding, names=names)
    frame, said = shaped(raw, asked, str(path))
    if sign is not None:
        numbers = [c for c in frame.columns if is_number(c)]
        frame, decimal = settle_decimals(frame, numbers, asked.decimal, str(path))
        notes += ["decimal commas"] if decimal == "," else []
    missing = [c for c in REQUIRED if c not in frame.columns]
    if missing:
        raise InputError(f"{path}: {missing_columns(frame.columns, missing)}")
    made = validate_outcomes(settle_others(frame), where=str(path))
    for text in [*said, *_doubts(frame, made, str(path))]:
        warnings.warn(RouterLabWarning(text), stacklevel=2)
    made.attrs["notes"] = [f"{path}: {', '.join(notes)}"] if notes else []
    return made


def _doubts(frame: pd.DataFrame, made: pd.DataFrame, where: str) -> list[str]:
    """What a reader of the table should know: nothing of it is an error, and all of it may change
    a result."""
    said = []
    alike = look_alikes(frame.columns)
    if alike:
        names = ", ".join(f"`{name}`" for name in alike.values())
        said.append(f"{where}: {names}: kept, and read by nothing; to have it read: {as_option(alike)}")
    for column in ("effort", "group"):
        words = sorted(NO_EFFORT & set(made[column].dropna().unique())) if column in frame.columns else []
        if words:
            n, word = int((made[column] == words[0]).sum()), words[0]
            said.append(
                f"{where}: {column} {word!r} ({n} of {len(made)} rows) is taken as a name; for none leave it empty"
            )
    for column in ("suite", *candidate_columns(made.columns)):
        padded = [v for v in made[column].dropna().unique() if v != v.strip()]
        if padded:
            said.append(
                f"{where}: the {column} {padded[0]!r} has spaces around it, which are kept as a part of its name"
            )
    if len(made) < len(frame):
        labels = frame.index[frame.astype(str).duplicated().to_numpy(bool)]
        told = f", {frame.index.name or 'row'} {', '.join(map(str, labels[:3]))}" if len(labels) else ""
        said.append(
            f"{where}: rows that repeat an earlier one in every column are left out ({len(frame) - len(made)}{told}"
            f"{' …' if len(labels) > 3 else ''}); runs of one sample are told apart by a column `epoch`, 1, 2, …"
        )
    return said


def _is_decision_log(path: Path) -> bool:
    if is_rotated(path):
        return True
    if table_kind(path) != "jsonl" or path.suffix == ".gz":
        return False
    with open_regular(path) as lines:
        read = islice(iter(lambda: lines.readline(_LONGEST_LINE), b""), _TORN)
        first = next((line for line in read if line.strip() and _is_json(line)), b"")
    try:
        row = decode(first)
    except ValueError:
        return False
    return isinstance(row, dict) and row.get("kind") in ("decision", "outcome")


def _is_json(line: bytes) -> bool:
    """A log may begin with a line that a crash left torn."""
    try:
        decode(line)
    except ValueError:
        return False
    return True


def decisions(path: Path) -> pd.DataFrame:
    """What `DecisionLog` wrote in production, as outcomes: of decisions whose quality is known.
    Raises InputError."""
    rows = outcome_rows(path)
    if not rows:
        raise InputError(
            f"{path}: no decision in it has an outcome with a quality; log them: DecisionLog.outcome(id, quality=…)"
        )
    for row in rows:
        try:
            moment = dt.datetime.fromtimestamp(float(row["started_at"]), dt.UTC)
        except (TypeError, ValueError, OverflowError, OSError) as error:
            raise InputError(
                f"{path}: decision {row['sample_id']!r}: `time` is {row['started_at']!r}; it must be UTC seconds"
            ) from error
        row["started_at"] = moment.isoformat(timespec="seconds")
    frame = _weighted(pd.DataFrame(rows))
    frame.attrs["suites"] = [
        {
            "name": name,
            "check": "check" in frame and bool(frame.loc[frame["suite"] == name, "check"].notna().any()),
        }
        for name in sorted(frame["suite"].unique())
    ]
    return frame


def _weighted(frame: pd.DataFrame) -> pd.DataFrame:
    """With `inclusion` where chance chose some of the candidates: each row then stands for as many
    requests as its propensity says. One without a propensity was chosen without chance."""
    if "propensity" not in frame.columns or not (frame["propensity"] < 1).any():
        return frame
    return frame.assign(inclusion=frame["propensity"].fillna(1.0))


def reprice(frame: pd.DataFrame, path: Path, table: PriceTable, caching: str) -> pd.DataFrame:
    """`frame` with `cost_usd` from its tokens and `table`, each row on its own day (`started_at`,
    else today).

    Calls are priced one by one where `calls.parquet` lies beside `path`; without it only sums are
    known, which is refused for a model whose price depends on the length of a call. Rows without
    tokens, or of a sample that was never answered (`turns` 0), keep their cost. Candidates have the
    table's prices then, which a policy fitted on them carries.
    """
    teams = teams_of(frame)
    calls = _calls_beside(path, teams)
    out = frame.copy()
    if "input_tokens" not in out.columns or "output_tokens" not in out.columns:
        raise InputError(
            f"{path}: has no token columns; only rows with input_tokens and output_tokens can be re-priced"
        )
    notes = Notes()
    costs, days, turns = [], [], []
    for row in out.to_dict("records"):
        moment = _moment(row.get("started_at"), path)
        days.append((moment.date() if isinstance(moment, dt.datetime) else moment).isoformat())
        own = None if calls is None else _of_last_attempt(calls.get(_key(row), []), row.get("retries"))
        if pd.isna(row["input_tokens"]) or pd.isna(row["output_tokens"]) or row.get("turns") == 0:
            cost, by_turn = row.get("cost_usd"), row.get(TURNS)
        else:
            _refuse_sums_of_a_team(row, own, teams, path)
            if own:
                cost = request_cost(own, table, caching, own[0].attempt)
            else:
                cost = _from_sums(row, table, moment, path, notes)
            tools = 0.0 if cost is None else _tools(row, table, moment)
            cost = None if cost is None else cost + tools
            by_turn = _by_turn(own or [], table, caching, tools)
        costs.append(cost)
        turns.append(by_turn)
    out["cost_usd"], out["price_date"] = costs, days
    if TURNS in out.columns or any(isinstance(text, str) for text in turns):
        out[TURNS] = turns
    out.attrs = {
        **frame.attrs,
        "candidates": priced_candidates(out, frame.attrs.get("candidates", ()), table),
    }
    notes.warn()
    return validate_outcomes(out, where=str(path))


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
