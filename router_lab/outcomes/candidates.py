"""Whose rows those of a table are: candidates by the columns that name them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from router_lab.outcomes.codes import Ints, coded
from router_lab.outcomes.columns import candidate_columns
from router_lab.runtime.model import Candidate


class Whose(NamedTuple):
    """The candidates of a table in the order of their first rows, and which of them each row is
    of, [rows]."""

    candidates: list[Candidate]
    code: Ints

    def places(self, columns: Sequence[Candidate]) -> Ints:
        """[rows] where the row's candidate stands among `columns`; -1 where it is none of them."""
        at = {one: place for place, one in enumerate(columns)}
        return np.array([at.get(one, -1) for one in self.candidates], np.int64)[self.code]


def whose(frame: pd.DataFrame) -> Whose:
    """The candidates of the rows of a table."""
    names = candidate_columns(frame.columns)
    found = coded(*(frame[name] for name in names))
    model, *rest = (frame[name].iloc[found.first] for name in names)
    texts = ([text if isinstance(text, str) else None for text in cells] for cells in rest)
    return Whose([Candidate(*one) for one in zip(model, *texts, strict=True)], found.code)


def by_row(frame: pd.DataFrame) -> list[Candidate]:
    """The candidate of each row of a table: the same object for all rows of one."""
    found = whose(frame)
    return [found.candidates[code] for code in found.code.tolist()]


def by_candidate(frame: pd.DataFrame) -> Iterator[tuple[Candidate, pd.DataFrame]]:
    """(candidate, its rows) of a table, sorted by candidate."""
    found = whose(frame)
    for candidate in sorted(set(found.candidates)):
        yield candidate, frame[found.places([candidate]) == 0]


def candidates_of(frame: pd.DataFrame) -> tuple[Candidate, ...]:
    """The candidates of a table, sorted."""
    return tuple(sorted(set(whose(frame).candidates)))
