"""How sessions of several turns went, from outcomes: what the runtime weighs a switch by."""

from __future__ import annotations

import numpy as np
import pandas as pd

from router_lab.fit.problem import Problem
from router_lab.metrics.paired import Floats, Ints
from router_lab.outcomes import SCORED
from router_lab.outcomes.candidates import whose
from router_lab.outcomes.codes import coded_texts
from router_lab.runtime.kinds import PROMPT_COLUMNS
from router_lab.runtime.model import CACHING, Session, Sessions


def sessions_of(problem: Problem) -> Sessions | None:
    """Means of sessions by suite and candidate, the first row over all suites, from the rows that
    the fit chooses on; None where no sample took a second turn, or tokens were not recorded.

    Outcomes hold sums over the calls of a sample. Each turn is taken to add as much to the prompt
    as every other: of T prompts of n tokens in all, the last then has 2n / (T + 1).
    """
    data, frame = problem.develop, problem.frame
    if not {"turns", "input_tokens"} <= set(frame.columns):
        return None
    kept = data.rows_in(frame, np.ones(len(data), bool))
    rows = frame[kept & frame["status"].isin(SCORED).to_numpy(bool)]
    turns = rows["turns"].to_numpy(np.float64, na_value=np.nan)
    tokens = _prompts(rows)
    known = (turns >= 1) & ~np.isnan(tokens)
    if not (turns[known] > 1).any():
        return None
    turns, tokens, rows = turns[known], tokens[known], rows[known]
    last = 2.0 * tokens / (turns + 1.0)
    width = len(data.candidates)
    cell = coded_texts(rows["suite"], data.suites) * width + whose(rows).places(data.candidates)
    values = (turns, last, tokens - last)
    pooled = _means(values, cell % width, width)
    own = _means(values, cell, len(data.suites) * width)
    caching = problem.frame.attrs.get("provenance", {}).get("caching")
    return Sessions(
        caching if caching in CACHING else CACHING[0],
        (pooled, *(own[at : at + width] for at in range(0, len(own), width))),
    )


def _prompts(rows: pd.DataFrame) -> Floats:
    """[n] tokens of all prompts of a sample, cached or not; NaN where input was not recorded."""
    total = rows["input_tokens"].to_numpy(np.float64, na_value=np.nan)
    for column in PROMPT_COLUMNS:
        if column != "input_tokens" and column in rows.columns:
            total = total + np.nan_to_num(rows[column].to_numpy(np.float64, na_value=np.nan))
    return total


def _means(values: tuple[Floats, ...], cell: Ints, count: int) -> tuple[Session | None, ...]:
    """[count] the means of `values` [n] by cell; None for a cell without a row."""
    rows = np.bincount(cell, minlength=count)
    means = [np.bincount(cell, one, minlength=count) / np.maximum(rows, 1) for one in values]
    return tuple(Session(*(float(mean[j]) for mean in means)) if rows[j] else None for j in range(count))
