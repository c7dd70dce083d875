"""Whose rows those of a table are: candidates by the columns that name them."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from router_lab.outcomes.columns import candidate_columns
from router_lab.runtime.model import Candidate


def by_row(frame: pd.DataFrame) -> list[Candidate]:
    """The candidate of each row of a table."""
    texts = (
        [text if isinstance(text, str) else None for text in frame[column]]
        for column in candidate_columns(frame.columns)[1:]
    )
    return [Candidate(*names) for names in zip(frame["model"], *texts, strict=True)]


def by_candidate(frame: pd.DataFrame) -> Iterator[tuple[Candidate, pd.DataFrame]]:
    """(candidate, its rows) of a table, sorted by candidate."""
    # A missing key of a group equals nothing, itself included.
    names = [frame[column].fillna("") for column in candidate_columns(frame.columns)]
    for (model, *rest), part in frame.groupby(names, sort=True):
        yield Candidate(str(model), *(str(name) or None for name in rest)), part


def candidates_of(frame: pd.DataFrame) -> tuple[Candidate, ...]:
    """The candidates of a table, sorted."""
    return tuple(sorted(set(by_row(frame[list(candidate_columns(frame.columns))].drop_duplicates()))))
