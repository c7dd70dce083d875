"""The two tables of the project: their columns, what may stand in them, and the errors that say
what does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from router_lab.outcomes.cells import json_of, number_column, place, refuse_doubled, text_column, truth_column
from router_lab.outcomes.codes import coded, each, has_doubles, ranked, sorting
from router_lab.outcomes.columns import (
    CALL_COLUMNS,
    COLUMNS,
    FLAGS,
    INDEXES,
    KEY,
    NUMBERS,
    OUTCOME_COLUMNS,
    REQUIRED,
    TEXT,
    candidate_columns,
    is_number,
)
from router_lab.outcomes.copies import prompt_mark
from router_lab.outcomes.requests import REQUEST, take_requests
from router_lab.outcomes.steps import STEPS, steps_column
from router_lab.outcomes.turns import TURNS, turns_column
from router_lab.outcomes.vectors import VECTOR, restore_vectors, settle_vectors
from router_lab.runtime.errors import InputError
from router_lab.runtime.messages import group_mark, prompt_text
from router_lab.runtime.model import Candidate
from router_lab.runtime.values import NUMBER_RULE, QUALITY_RULE, STATUS_RULE, STATUSES

SCORED = ("ok", "error", "limit")
"""Statuses whose quality counts; `infra` and `budget` rows are not evidence about a candidate.
`infra`: begun, and kept from an answer or a score by something else (the server, the operator, an
interrupt, a scorer that gave none). `budget`: left out on purpose: for money, by a race, by a
person who invalidated it, or never begun. `reason` says which."""
_MAY_BE_EMPTY = tuple(c.name for c in COLUMNS if c.empty)
LONG = ("prompt", "answer", STEPS)
MAY_BE_MESSAGES = (str, list, tuple, dict, np.ndarray)
INVALIDATED = "invalidated"
"""How the reason of a `budget` row begins that a person has set aside: of his choosing, so not
left out by a plan."""


def validate_outcomes(frame: pd.DataFrame, *, where: str = "outcomes") -> pd.DataFrame:
    """`frame` with defaults filled in, types settled, rows in a fixed order; `frame` itself is
    left alone.

    Errors name a row by its index label, and call it what the index is called (`line` of a file),
    else `row`. Cells are read by `outcomes.cells`: text columns keep what is written, in number
    columns text is read as numbers. Exact copies of a row are dropped. Unknown columns are kept,
    and so is `frame.attrs`. Raises InputError for a missing column, an unknown status, a quality
    outside [0, 1] or missing where the status counts, a negative number, two different rows for
    one (suite, sample, epoch, candidate), or one candidate name with two `settings_sha` in one
    suite (a preset may have settings of its own for a suite), or a bad `vector`
    (`settle_vectors`).
    """
    missing = [c for c in REQUIRED if c not in frame.columns]
    if missing:
        raise InputError(
            f"{where}: column {', '.join(missing)} is missing; an outcomes table needs {', '.join(REQUIRED)}"
        )
    refuse_doubled(frame.columns, where)
    if frame.empty:
        raise InputError(f"{where}: has no rows; a sweep or a table with at least one outcome is needed")
    out = frame.copy(deep=False)
    attrs = take_requests(out, where) if REQUEST in out.columns else dict(frame.attrs)
    out.attrs = {}
    _settle_text(out, where)
    _settle_numbers(out, where)
    if TURNS in out.columns:
        out[TURNS] = turns_column(out[TURNS], out.get("turns"), where)
    out["group"] = _groups(out)
    vectors = settle_vectors(out, where) if VECTOR in out.columns else None
    out = _in_order(out, where).reset_index(drop=True)
    if vectors is not None:
        restore_vectors(out, vectors)
    first = [c for c in OUTCOME_COLUMNS if c in out.columns]
    out = out[first + sorted(c for c in out.columns if c not in first)]
    out.attrs = {key: Shared(value) if isinstance(value, list) else value for key, value in attrs.items()}
    return out


def _in_order(out: pd.DataFrame, where: str) -> pd.DataFrame:
    """Without exact copies of a row; a table that is in order is as large as one copy of it."""
    ranks = ranked(out, [column for column in KEY if column in out.columns])
    order = sorting(ranks)
    if has_doubles(ranks, order):
        out = out[~_copies(out)]
        _refuse_conflicts(out, where)
        ranks = ranked(out, [column for column in KEY if column in out.columns])
        order = sorting(ranks)
    _refuse_two_settings(out, where)
    return out if order is None else out.iloc[order]


class Shared(list[Any]):
    """A list in `attrs` that all copies of a table share, and nobody changes. pandas copies
    `attrs` in depth at every operation: with the requests of eight candidates on six suites that
    was nine tenths of the time of a report."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Shared:
        return self


def validate_calls(frame: pd.DataFrame, *, where: str = "calls") -> pd.DataFrame:
    """The calls table with types settled and rows in a fixed order. Raises InputError for a
    missing key column."""
    needed = ("suite", "sample_id", "model", "turn")
    missing = [c for c in needed if c not in frame.columns]
    if missing:
        raise InputError(
            f"{where}: column {', '.join(missing)} is missing; a calls table needs {', '.join(needed)}"
        )
    out = frame.copy(deep=False)
    for column in [c for c in TEXT if c in out.columns]:
        out[column] = text_column(out[column], where, column)
    for column in [c for c in (*NUMBERS, *INDEXES) if c in out.columns]:
        if not pd.api.types.is_numeric_dtype(out[column].dtype):
            out[column] = number_column(out[column], where, column)
    order = [c for c in (*KEY, "turn", "attempt") if c in out.columns]
    out = out.sort_values(order, kind="stable", na_position="first", ignore_index=True)
    first = [c for c in CALL_COLUMNS if c in out.columns]
    return out[first + sorted(c for c in out.columns if c not in first)]


def _settle_text(out: pd.DataFrame, where: str) -> None:
    for column in ("effort", "prompt"):
        if column not in out.columns:
            out[column] = None
    _settle_prompts(out, where)
    for column in [c for c in TEXT if c in out.columns]:
        values = text_column(out[column], where, column)
        empty = values == ""
        out[column] = values.mask(empty) if column not in _MAY_BE_EMPTY and empty.any() else values
    if STEPS in out.columns:
        out[STEPS] = steps_column(out[STEPS], where)
    for column in ("suite", "sample_id", "model"):
        _refuse(out, out[column].isna(), where, f"`{column}` is empty; every outcome needs one")
    if "harness" in out.columns and out["harness"].isna().all():
        del out["harness"]  # a table without any is one of before harnesses
    out["status"] = out["status"].fillna("ok") if "status" in out.columns else "ok"
    _refuse(out, ~out["status"].isin(STATUSES), where, "`status` is {!r}; " + STATUS_RULE, out["status"])


def _settle_prompts(out: pd.DataFrame, where: str) -> None:
    """Put text in the place of messages in `out["prompt"]` (see `runtime.messages.prompt_text`),
    and give rows whose messages hold more than text, and that have no `group`, one of their own
    content. Raises InputError naming the row.
    """
    prompts = out["prompt"]
    # Equal texts are read once. What is no text may be no key of anything.
    same = coded(prompts) if isinstance(prompts.dtype, pd.StringDtype) else each(len(prompts))
    some = prompts.iloc[same.first]
    values = list(some)
    texts: list[Any] = []
    marks: list[str | None] = []
    for label, value in zip(some.index, values, strict=True):
        try:
            # Numbers, dates and bytes are text by the rule of every text column
            # (`outcomes.cells`).
            texts.append(prompt_text(value) if isinstance(value, MAY_BE_MESSAGES) else value)
        except ValueError as error:
            raise InputError(f"{where}: {out.index.name or 'row'} {label}: {error}") from None
        marks.append(None if texts[-1] is value else group_mark(value))
    if all(text is value for text, value in zip(texts, values, strict=True)):
        return
    out["prompt"] = same.spread(texts, out.index)
    if any(marks):
        given = (
            out["group"].astype("str")
            if "group" in out.columns
            else pd.Series(None, index=out.index, dtype="str")
        )
        out["group"] = given.where(given.notna(), same.spread(marks, out.index).astype("str"))


def _settle_numbers(out: pd.DataFrame, where: str) -> None:
    epoch = number_column(out["epoch"], where, "epoch").fillna(1) if "epoch" in out.columns else None
    if epoch is not None:
        rule = "epochs count from 1, in whole numbers"
        wrong = (epoch < 1) | (epoch != epoch.round()) | (epoch >= 2**53)
        _refuse(out, wrong, where, "`epoch` is {:g}; " + rule, epoch)
    out["epoch"] = 1 if epoch is None else epoch.astype("int64")
    for column in [c for c in out.columns if is_number(c) and c not in ("quality", "epoch")]:
        out[column] = number_column(out[column], where, column)
        if column in NUMBERS:
            wrong = (out[column] < 0) | np.isinf(out[column])
            _refuse(out, wrong, where, f"`{column}` is {{}}; {NUMBER_RULE}", out[column])
    if "propensity" in out.columns:
        _refuse_chances(out, "propensity", where)
    if "inclusion" in out.columns:
        _settle_inclusion(out, where)
    _settle_quality(out, where)
    for column in [c for c in FLAGS if c in out.columns]:
        out[column] = truth_column(out[column], where, column)


def _settle_quality(out: pd.DataFrame, where: str) -> None:
    quality = number_column(out["quality"], where, "quality", truth=True, wanted="a number, or true or false")
    wrong = (quality < 0) | (quality > 1) | np.isinf(quality)
    _refuse(out, wrong, where, "`quality` is {:g}; " + QUALITY_RULE, quality)
    counts = out["status"].isin(SCORED)
    rule = "a row that was not scored must say `infra` or `budget`"
    _refuse(out, counts & quality.isna(), where, "`quality` is null with status {!r}; " + rule, out["status"])
    out["quality"] = quality.where(counts)


def _settle_inclusion(out: pd.DataFrame, where: str) -> None:
    out["inclusion"] = out["inclusion"].fillna(1.0)
    _refuse_chances(out, "inclusion", where)
    if "weight" not in out.columns:
        out["weight"] = 1 / out["inclusion"]


def _refuse_chances(out: pd.DataFrame, column: str, where: str) -> None:
    """InputError for a number of the column that is the probability of nothing that happened."""
    wrong = (out[column] <= 0) | (out[column] > 1)
    _refuse(out, wrong, where, f"`{column}` is {{:g}}; a probability lies in (0, 1]", out[column])


def _refuse(
    out: pd.DataFrame, bad: pd.Series[Any], where: str, said: str, values: pd.Series[Any] | None = None
) -> None:
    """InputError for the first row where `bad` holds; `said` is formatted with that row's
    value."""
    mask = bad.to_numpy(dtype=bool)
    if mask.any():
        at = int(mask.argmax())
        told = said if values is None else said.format(values.iloc[at])
        raise InputError(f"{where}: {place(out, at)}: {told}")


def _groups(out: pd.DataFrame) -> pd.Series[Any]:
    """The cluster key: as given; else equal prompts of a suite are one cluster, by a hash that
    ignores other rows.

    A prompt of no characters tells nothing of what is alike: its sample is a cluster of its own,
    as without a prompt.
    """
    given: pd.Series[Any] = (
        out["group"] if "group" in out.columns else pd.Series(None, index=out.index, dtype="str")
    )
    if given.notna().all():
        return given
    same = coded(out["prompt"])
    some = list(out["prompt"].iloc[same.first])
    marks = [prompt_mark(text) if isinstance(text, str) and text else None for text in some]
    default = pd.Series(marks, dtype="str").take(same.code).set_axis(out.index)
    if None in marks:
        default = default.where(default.notna(), out["sample_id"])
    return default if given.isna().all() else given.where(given.notna(), default)


def _copies(out: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Rows that repeat an earlier one in every column."""
    try:
        return out.duplicated().to_numpy(bool)
    except TypeError:  # lists or mappings in a column that is not ours
        plain = {c: out[c].map(json_of) for c in out.columns if out[c].dtype == object}
        return out.assign(**plain).duplicated().to_numpy(bool)


def _refuse_conflicts(out: pd.DataFrame, where: str) -> None:
    key = [column for column in KEY if column in out.columns]
    doubled = out.duplicated(key, keep=False).to_numpy(bool)
    if doubled.any():
        row = out.iloc[int(doubled.argmax())]
        alike = np.flatnonzero(doubled & (out[key].fillna("") == row[key].fillna("")).all(axis=1))
        first, second = (out.iloc[[at]] for at in alike[:2])
        differ = [c for c in out.columns if repr(first[c].iloc[0]) != repr(second[c].iloc[0])]
        raise InputError(
            f"{where}: {place(out, alike[0])} and {place(out, alike[1])}: two different rows for suite "
            f"{row['suite']!r}, sample {row['sample_id']!r}, epoch {row['epoch']}, {_name(row)}; keep one, or number "
            f"them as epochs (they differ in {', '.join(map(str, differ[:5]))}; {int(doubled.sum())} rows are doubled)"
        )


def _refuse_two_settings(out: pd.DataFrame, where: str) -> None:
    if "settings_sha" not in out.columns:
        return
    cell = ["suite", *candidate_columns(out.columns)]
    settings = out.dropna(subset="settings_sha").drop_duplicates([*cell, "settings_sha"])
    for _, rows in settings.groupby(cell, dropna=False, sort=False):
        if len(rows) > 1:
            first, second = rows["settings_sha"].iloc[:2]
            raise InputError(
                f"{where}: candidate {_name(rows.iloc[0])} stands for two settings (settings_sha {first[:12]} and "
                f"{second[:12]}); give one of them its own effort name"
            )


def _name(row: Any) -> str:
    return str(Candidate.of(row))


def scored_figures(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of a validated table whose quality counts, without the texts of prompts, answers and
    steps, which take most of its memory."""
    plain = frame.drop(columns=[name for name in LONG if name in frame.columns])
    counts = plain["status"].isin(SCORED)
    return plain if counts.all() else plain[counts]


def cut_off_share(scored: pd.DataFrame) -> float:
    """Share of rows with an answer that was cut off at `max_tokens`, of those where it is known;
    NaN if of none."""
    if "cut_off" not in scored.columns:
        return float("nan")
    known = scored["cut_off"].dropna()
    return float(known.astype("float64").mean()) if len(known) else float("nan")
