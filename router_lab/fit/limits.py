"""Limits of a request from the recorded distribution."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
import pandas as pd

from router_lab.metrics.paired import Floats, Ints, Mask
from router_lab.outcomes import SCORED
from router_lab.outcomes.candidates import whose
from router_lab.outcomes.codes import coded_texts
from router_lab.runtime.model import Candidate, Limits

SLACK = 2.0
"""Limits stop runaways, not work: twice the 99th percentile of what was recorded."""
LEAST_RUNS = 20
"""With fewer rows a percentile says nothing about the tail: the limit of all suites together is
used."""


def limits_of(
    frame: pd.DataFrame, suites: tuple[str, ...], candidates: tuple[Candidate, ...]
) -> tuple[tuple[Limits, ...], ...]:
    """[suites + 1][c] limits of output tokens, turns and dollars; the first row is over all
    suites."""
    scored = frame["status"].isin(SCORED).to_numpy(bool)
    row = coded_texts(frame["suite"], suites) + 1
    cell = (row * len(candidates) + whose(frame).places(candidates))[scored]
    columns = [
        _bounds(frame, name, scored, cell, len(suites) + 1, len(candidates))
        for name in ("output_tokens", "turns", "cost_usd")
    ]
    return tuple(
        tuple(
            Limits(_whole(columns[0][i, j]), _whole(columns[1][i, j]), _real(columns[2][i, j]))
            for j in range(len(candidates))
        )
        for i in range(len(suites) + 1)
    )


def _bounds(frame: pd.DataFrame, name: str, scored: Mask, cell: Ints, rows: int, columns: int) -> Floats:
    """[rows, columns] SLACK times the 99th percentile of a column over the rows that were scored,
    by their `cell`; NaN where it was never recorded."""
    result = np.full((rows, columns), np.nan)
    if name not in frame.columns:
        return result
    values = frame[name].to_numpy(np.float64, na_value=np.nan)[scored]
    seen = ~np.isnan(values)
    values, cell = values[seen], cell[seen]
    column, tail, _ = _tails(values, cell % columns)
    result[0, column] = tail
    result[1:] = result[0]
    known, tail, count = _tails(values, cell)
    result.ravel()[known[count >= LEAST_RUNS]] = tail[count >= LEAST_RUNS]
    return result * SLACK


def _tails(values: Floats, cell: Ints) -> tuple[Any, Floats, Ints]:
    """The cells that occur, the 99th percentile of each, between two values in proportion, and its
    number of values.

    Not pandas' own: that is one expression of a compiler, which some processors round once and
    others twice.
    """
    order = np.lexsort((values, cell))
    cells, first, count = np.unique(cell[order], return_index=True, return_counts=True)
    place = (count - 1) * 0.99
    below = np.floor(place).astype(np.int64)
    low, high = (values[order][first + np.minimum(at, count - 1)] for at in (below, below + 1))
    return cells, low + (high - low) * (place - below), count


def _whole(value: Any) -> int | None:
    return None if np.isnan(value) or value <= 0 else max(1, ceil(value))


def _real(value: Any) -> float | None:
    return None if np.isnan(value) or value <= 0 else float(value)
