"""Rows by what they share, as whole numbers: a table of ten million rows has a million samples and
ten candidates, and a text or a name for each row would take more memory than all of its figures."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

Ints = npt.NDArray[np.int64]
Ranks = npt.NDArray[np.int32]


class Coded(NamedTuple):
    """Which cells of some columns each row has: `code` [rows], counted in the order in which they
    first stand there; `first` [codes], the first row of each."""

    code: Ints
    first: Ints

    def place(self, keys: Iterable[Hashable], places: Mapping[Any, int]) -> Ints:
        """[rows] what `places` says of the key of each row's code; -1 where it has none.

        keys: of the codes, in their order."""
        found = np.fromiter((places.get(key, -1) for key in keys), np.int64, len(self.first))
        return found[self.code]

    def spread(self, values: Sequence[object], index: pd.Index[Any]) -> pd.Series[Any]:
        """What `values` [codes] has for the code of each row, as objects."""
        found = np.empty(len(values), object)
        found[:] = values
        return pd.Series(found[self.code], index=index, dtype=object)


def each(rows: int) -> Coded:
    """Every row by itself."""
    return Coded(np.arange(rows), np.arange(rows))


def ranked(frame: pd.DataFrame, columns: Sequence[str]) -> list[Ranks]:
    """Of each column, [rows] the place of the row's cell among all that occur in it, sorted; -1 of
    a missing one."""
    return [pd.factorize(frame[column], sort=True)[0].astype(np.int32) for column in columns]


def sorting(ranks: Sequence[Ranks]) -> Ints | None:
    """[rows] in which order rows are sorted by their ranks, the first column first; None where
    they are."""
    tied = np.ones(max(0, len(ranks[0]) - 1), bool)
    for column in ranks:
        if (tied & (column[1:] < column[:-1])).any():
            return np.lexsort(list(ranks)[::-1])
        tied &= column[1:] == column[:-1]
    return None


def has_doubles(ranks: Sequence[Ranks], order: Ints | None) -> bool:
    """Whether two rows have the same ranks; `order` as `sorting` gives it."""
    tied = np.ones(max(0, len(ranks[0]) - 1), bool)
    for column in ranks:
        ordered = column if order is None else column[order]
        tied &= ordered[1:] == ordered[:-1]
    return bool(tied.any())


def coded(*columns: pd.Series[Any] | Ints) -> Coded:
    """Rows by their cells in all of the columns; a missing cell equals another missing one."""
    code = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        own, found = pd.factorize(column)
        # Dense again after each column, so that no number of them outgrows 64 bits.
        code = pd.factorize(code * (len(found) + 1) + own)[0].astype(np.int64, copy=False)
    first = np.empty(int(code.max(initial=-1)) + 1, np.int64)
    first[code[::-1]] = np.arange(len(code) - 1, -1, -1)  # of several rows the last one written stays
    return Coded(code, first)


def coded_texts(values: pd.Series[Any], texts: Sequence[str]) -> Ints:
    """[rows] where the text of each row stands among `texts`; -1 where it is none of them."""
    found = coded(values)
    return found.place(values.iloc[found.first], {text: place for place, text in enumerate(texts)})


def coded_samples(frame: pd.DataFrame) -> tuple[Coded, list[tuple[str, str]]]:
    """The rows of a table by (suite, sample_id), and the pair of each code."""
    found = coded(frame["suite"], frame["sample_id"])
    return found, pairs_at(frame, "sample_id", found.first)


def pairs_at(frame: pd.DataFrame, column: str, rows: Ints) -> list[tuple[str, str]]:
    """(suite, another column) of some rows."""
    return list(zip(frame["suite"].iloc[rows], frame[column].iloc[rows], strict=True))
