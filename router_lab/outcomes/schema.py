"""The two tables of the project: their columns, what may stand in them, and the errors that say what does not."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from router_lab.outcomes.prompts import settle_prompts
from router_lab.outcomes.requests import COLUMN as REQUEST
from router_lab.outcomes.requests import take_requests
from router_lab.outcomes.vectors import COLUMN as VECTOR
from router_lab.outcomes.vectors import restore_vectors, settle_vectors
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate

REQUIRED = ("suite", "sample_id", "model", "quality")
KEY = ("suite", "sample_id", "epoch", "model", "effort")
STATUSES = ("ok", "error", "limit", "infra", "budget")
SCORED = ("ok", "error", "limit")
"""Statuses whose quality counts; `infra` and `budget` rows are not evidence about a candidate."""

TEXT = (
    "suite", "sample_id", "model", "effort", "prompt", "status", "group", "settings_sha", "dataset_sha", "tier",
    "started_at", "price_date", "log", "eval_id", "reason", "role",
)  # fmt: skip
TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
NUMBERS = (*TOKENS, "turns", "cost_usd", "paid_usd", "judge_usd", "retries", "latency_s", "seconds", "weight",
           "inclusion")  # fmt: skip
"""`inclusion` is the known probability with which this row was run (racing keeps a random floor), `weight` one over
it; absent means 1, and the weight follows from the inclusion where only that is given."""

OUTCOME_COLUMNS = (
    "suite", "sample_id", "epoch", "model", "effort", "prompt", "quality", "status", *TOKENS, "turns", "cost_usd",
    "paid_usd", "judge_usd", "retries", "check", "latency_s", "group", "settings_sha", "dataset_sha", "tier",
    "started_at", "price_date", "log", "eval_id", "reason",
)  # fmt: skip
CALL_COLUMNS = (
    "suite", "sample_id", "epoch", "model", "effort", "turn", "attempt", "role", *TOKENS, "seconds", "cost_usd",
    "tier", "started_at",
)  # fmt: skip


def validate_outcomes(frame: pd.DataFrame, *, where: str = "outcomes") -> pd.DataFrame:
    """`frame` with defaults filled in, types settled, rows in a fixed order; `frame` itself is left alone.

    Errors name a row by its index label, and call it what the index is called (`line` of a file), else `row`.
    Exact copies of a row are dropped. Unknown columns are kept, and so is `frame.attrs`.
    Raises InputError for a missing column, an unknown status, a quality outside [0, 1] or missing where the status
    counts, a negative number, two different rows for one (suite, sample, epoch, candidate), or one candidate name with
    two `settings_sha` in one suite (a preset may have settings of its own for a suite), or a bad `vector`
    (`settle_vectors`).
    """
    missing = [c for c in REQUIRED if c not in frame.columns]
    if missing:
        raise InputError(
            f"{where}: column {', '.join(missing)} is missing; an outcomes table needs {', '.join(REQUIRED)}"
        )
    if frame.empty:
        raise InputError(f"{where}: has no rows; a sweep or a table with at least one outcome is needed")
    out = frame.copy(deep=False)
    attrs = take_requests(out, where) if REQUEST in out.columns else dict(frame.attrs)
    _settle_text(out, where)
    _settle_numbers(out, where)
    out["group"] = _groups(out)
    vectors = settle_vectors(out, where) if VECTOR in out.columns else None
    keys = list(KEY)
    out = out.sort_values(keys, kind="stable", na_position="first", ignore_index=True).drop_duplicates(
        ignore_index=True
    )
    _refuse_conflicts(out, where)
    if vectors is not None:
        restore_vectors(out, vectors)
    first = [c for c in OUTCOME_COLUMNS if c in out.columns]
    out = out[first + sorted(c for c in out.columns if c not in first)]
    out.attrs = attrs
    return out


def validate_calls(frame: pd.DataFrame, *, where: str = "calls") -> pd.DataFrame:
    """The calls table with types settled and rows in a fixed order. Raises InputError for a missing key column."""
    needed = ("suite", "sample_id", "model", "turn")
    missing = [c for c in needed if c not in frame.columns]
    if missing:
        raise InputError(f"{where}: column {', '.join(missing)} is missing; a calls table needs {', '.join(needed)}")
    out = frame.copy(deep=False)
    for column in [c for c in TEXT if c in out.columns]:
        out[column] = out[column].astype("str")
    for column in [c for c in (*NUMBERS, "epoch", "turn", "attempt") if c in out.columns]:
        out[column] = pd.to_numeric(out[column])
    order = [c for c in (*KEY, "turn", "attempt") if c in out.columns]
    out = out.sort_values(order, kind="stable", na_position="first", ignore_index=True)
    first = [c for c in CALL_COLUMNS if c in out.columns]
    return out[first + sorted(c for c in out.columns if c not in first)]


def _settle_text(out: pd.DataFrame, where: str) -> None:
    for column in ("effort", "prompt"):
        if column not in out.columns:
            out[column] = None
    settle_prompts(out, where)
    for column in [c for c in TEXT if c in out.columns]:
        out[column] = out[column].astype("str")
    for column in ("suite", "sample_id", "model"):
        bad = out[column].isna() | (out[column] == "")
        if bad.any():
            raise InputError(f"{where}: {_place(out, _row(bad))}: `{column}` is empty; every outcome needs one")
    out["status"] = out["status"].fillna("ok") if "status" in out.columns else "ok"
    unknown = ~out["status"].isin(STATUSES)
    if unknown.any():
        row = _row(unknown)
        raise InputError(
            f"{where}: {_place(out, row)}: `status` is {out['status'][row]!r}; known: {', '.join(STATUSES)}"
        )


def _settle_numbers(out: pd.DataFrame, where: str) -> None:
    out["epoch"] = _number(out, "epoch", where).fillna(1).astype("int64") if "epoch" in out.columns else 1
    if (out["epoch"] < 1).any():
        row = _row(out["epoch"] < 1)
        raise InputError(f"{where}: {_place(out, row)}: `epoch` is {out['epoch'][row]}; epochs count from 1")
    for column in [c for c in NUMBERS if c in out.columns]:
        out[column] = _number(out, column, where)
        bad = (out[column] < 0) | np.isinf(out[column])
        if bad.any():
            row = _row(bad)
            raise InputError(
                f"{where}: {_place(out, row)}: `{column}` is {out[column][row]}; it must be finite and not negative"
            )
    if "inclusion" in out.columns:
        _settle_inclusion(out, where)
    quality = _number(out, "quality", where)
    bad = (quality < 0) | (quality > 1) | np.isinf(quality)
    if bad.any():
        row = _row(bad)
        rule = "it must lie in [0, 1]; map the score with `quality:` in the suite"
        raise InputError(f"{where}: {_place(out, row)}: `quality` is {quality[row]:g}; {rule}")
    counts = out["status"].isin(SCORED)
    if (counts & quality.isna()).any():
        row = _row(counts & quality.isna())
        rule = "a row that was not scored must say `infra` or `budget`"
        raise InputError(f"{where}: {_place(out, row)}: `quality` is null with status {out['status'][row]!r}; {rule}")
    out["quality"] = quality.where(counts)
    if "check" in out.columns:
        out["check"] = out["check"].astype("boolean")


def _settle_inclusion(out: pd.DataFrame, where: str) -> None:
    out["inclusion"] = out["inclusion"].fillna(1.0)
    bad = (out["inclusion"] <= 0) | (out["inclusion"] > 1)
    if bad.any():
        row = _row(bad)
        raise InputError(f"{where}: row {row}: `inclusion` is {out['inclusion'][row]:g}; a probability lies in (0, 1]")
    if "weight" not in out.columns:
        out["weight"] = 1 / out["inclusion"]


def _number(out: pd.DataFrame, column: str, where: str) -> pd.Series[Any]:
    values = pd.to_numeric(out[column], errors="coerce").astype("float64")
    bad = values.isna() & out[column].notna()
    if bad.any():
        row = _row(bad)
        raise InputError(f"{where}: {_place(out, row)}: `{column}` is {out[column][row]!r}; it must be a number")
    return values


def _row(mask: pd.Series[Any]) -> Any:
    return mask.index[int(np.argmax(mask.to_numpy(dtype=bool)))]


def _place(out: pd.DataFrame, row: Any) -> str:
    return f"{out.index.name or 'row'} {row}"


def _groups(out: pd.DataFrame) -> pd.Series[Any]:
    """The cluster key: as given; else equal prompts of a suite are one cluster, by a hash that ignores other rows."""
    given: pd.Series[Any]
    given = out["group"].astype("str") if "group" in out.columns else pd.Series(None, index=out.index, dtype="str")
    if given.notna().all():
        return given
    digests = {p: "prompt-" + _sha(p)[:16] for p in out["prompt"].dropna().unique()}
    default = out["prompt"].map(digests).astype("str")
    return given.where(given.notna(), default.where(default.notna(), out["sample_id"]))


def _refuse_conflicts(out: pd.DataFrame, where: str) -> None:
    doubled = out.duplicated(list(KEY), keep=False)
    if doubled.any():
        row = out[doubled].iloc[0]
        raise InputError(
            f"{where}: two different rows for suite {row['suite']!r}, sample {row['sample_id']!r}, "
            f"epoch {row['epoch']}, {_name(row)}; keep one, or number them as epochs"
        )
    if "settings_sha" not in out.columns:
        return
    settings = out.dropna(subset="settings_sha").drop_duplicates(["suite", "model", "effort", "settings_sha"])
    for _, rows in settings.groupby(["suite", "model", "effort"], dropna=False, sort=False):
        if len(rows) > 1:
            first, second = rows["settings_sha"].iloc[:2]
            raise InputError(
                f"{where}: candidate {_name(rows.iloc[0])} stands for two settings (settings_sha {first[:12]} and "
                f"{second[:12]}); give one of them its own effort name"
            )


def _name(row: Any) -> str:
    return str(Candidate(row["model"], row["effort"] if isinstance(row["effort"], str) else None))


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
