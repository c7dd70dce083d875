"""Column `turns_usd`: what each model call of a run cost, so that it is known what the run would
have cost had it been stopped after some of them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from router_lab.metrics.paired import Floats
from router_lab.outcomes.candidates import by_row
from router_lab.outcomes.cells import place
from router_lab.runtime.errors import InputError
from router_lab.runtime.jsonio import decode
from router_lab.runtime.model import Candidate

TURNS = "turns_usd"
RULE = "it must be a JSON list of the dollars of each model call of the run, in their order, each 0 or more"
NEAR = 1e-6
"""Of a run's dollars, by which the sum over its calls may miss them."""


def turns_of(value: object) -> tuple[float, ...] | None:
    """The dollars of each call, of a JSON text; None for null. Raises ValueError with the rule."""
    told = decode(value) if isinstance(value, str) else value
    if told is None:
        return None
    if not isinstance(told, list) or not all(map(_dollars, told)):
        raise ValueError(RULE)
    return tuple(map(float, told))


def turns_text(dollars: Sequence[float]) -> str:
    """As a table holds them: the same dollars, the same text."""
    return json.dumps([float(usd) for usd in dollars], separators=(",", ":"))


def turns_column(values: pd.Series[Any], turns: pd.Series[Any] | None, where: str) -> pd.Series[Any]:
    """A text column as `turns_text` writes it. Raises InputError naming `where`, the row, and the
    rule, also where there are not as many calls as `turns` says."""
    found: list[str | None] = []
    for at, text in enumerate(values):
        try:
            dollars = None if not isinstance(text, str) else turns_of(text)
        except ValueError as error:
            told = RULE if str(error) == RULE else f"{RULE} ({error})"
            raise InputError(f"{where}: {place(values, at)}: `{TURNS}` is {text!r:.60}; {told}") from None
        count = math.nan if turns is None or pd.isna(turns.iloc[at]) else float(turns.iloc[at])
        if dollars is not None and not math.isnan(count) and len(dollars) != count:
            raise InputError(
                f"{where}: {place(values, at)}: `{TURNS}` has {len(dollars):,} calls, and `turns` says {count:g}; {RULE}"
            )
        found.append(None if dollars is None else turns_text(dollars))
    return pd.Series(found, index=values.index, dtype="str", name=values.name)


def spent_by_turn(frame: pd.DataFrame) -> list[Floats | None]:
    """Of each row of a validated table, dollars after each of its calls, summed up; None where they
    are not known. Who made one call spent it all in that.

    Raises InputError for a row whose calls do not add up to its `cost_usd`: it was priced anew, and
    they were not.
    """
    texts = frame[TURNS].tolist() if TURNS in frame.columns else [None] * len(frame)
    turns = _numbers(frame, "turns")
    costs = _numbers(frame, "cost_usd")
    found: list[Floats | None] = []
    for at, (text, count, cost) in enumerate(zip(texts, turns, costs, strict=True)):
        dollars = (
            turns_of(text) if isinstance(text, str) else (cost,) * int(count) if count in (0, 1) else None
        )
        if dollars is None:
            found.append(None)
            continue
        summed = np.cumsum(dollars, dtype=np.float64)
        whole = float(summed[-1]) if len(summed) else 0.0
        if not math.isnan(cost) and abs(whole - cost) > NEAR * max(cost, NEAR):
            row = frame.iloc[at]
            raise InputError(
                f"outcomes: sample {row['sample_id']!r} of suite {row['suite']!r}: `{TURNS}` adds up to ${whole:.6g}, and "
                f"`cost_usd` is ${cost:.6g}: it was priced anew without its calls, and is collected with calls.parquet "
                "beside it; or these are no dollars of each call on its own, as [0.02, 0.01]"
            )
        found.append(summed)
    return found


def without_calls(frame: pd.DataFrame) -> dict[Candidate, tuple[int, int]]:
    """By candidate, how many of its scored and priced runs have no calls, and of how many; those
    alone of whom some have none."""
    known = [run is not None for run in spent_by_turn(frame)]
    priced = ~np.isnan(_numbers(frame, "cost_usd") + _numbers(frame, "quality"))
    every: Counter[Candidate] = Counter()
    lacking: Counter[Candidate] = Counter()
    for who, has, counts in zip(by_row(frame), known, priced, strict=True):
        if counts:
            every[who] += 1
            lacking[who] += not has
    return {who: (count, every[who]) for who, count in sorted(lacking.items()) if count}


def _numbers(frame: pd.DataFrame, name: str) -> Floats:
    if name not in frame.columns:
        return np.full(len(frame), np.nan)
    return frame[name].to_numpy(dtype=np.float64, na_value=np.nan)


def _dollars(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
