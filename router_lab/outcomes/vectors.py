"""Column `vector`: numbers of the user's own for each sample, such as an embedding of its
prompt."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from router_lab.runtime.errors import InputError
from router_lab.runtime.jsonio import decode
from router_lab.runtime.typed import GREATEST  # no number of a policy may be greater
from router_lab.runtime.vectors import MAX_LENGTH

Floats = npt.NDArray[np.float64]
VECTOR = "vector"


def settle_vectors(out: pd.DataFrame, where: str) -> list[Floats]:
    """Replace column `vector` by whole numbers, rows of the list returned (-1 = null), so that
    rows can be compared.

    A cell is null, a list or array of numbers, or the JSON text of a list (as CSV has it). Raises
    InputError, naming the row, for anything else, a number that is not finite or beyond 1e9, two
    lengths, or two vectors of one sample.
    """
    known: dict[bytes, int] = {}
    found: list[Floats] = []
    codes = np.full(len(out), -1, np.int64)
    first: Any = None
    for place, (row, cell) in enumerate(out[VECTOR].items()):
        values = _read(cell, f"{where}: {out.index.name or 'row'} {row}: `{VECTOR}`")
        if values is None:
            continue
        if not found:
            first = row
        elif len(values) != len(found[0]):
            raise InputError(
                f"{where}: {out.index.name or 'row'} {row}: `{VECTOR}` has {len(values)} numbers and "
                f"{out.index.name or 'row'} {first}'s has {len(found[0])}; all must have the same length"
            )
        key = values.tobytes()
        if key not in known:
            known[key] = len(found)
            found.append(values)
        codes[place] = known[key]
    out[VECTOR] = codes
    _refuse_two(out, codes, where)
    return found


def restore_vectors(out: pd.DataFrame, found: list[Floats]) -> None:
    """Put the arrays back that `settle_vectors` took out; equal vectors share one array."""
    cells = np.empty(len(out), object)
    for place, code in enumerate(out[VECTOR]):
        cells[place] = None if code < 0 else found[code]
    out[VECTOR] = pd.Series(cells, index=out.index, dtype=object)


def _read(cell: Any, place: str) -> Floats | None:
    if cell is None or cell is pd.NA or (isinstance(cell, float) and np.isnan(cell)):
        return None
    try:
        if isinstance(cell, np.ndarray) and cell.ndim == 1 and cell.dtype.kind in "fiu":
            values = cell.astype(np.float64)
        else:
            values = np.array([float(value) for value in (decode(cell) if isinstance(cell, str) else cell)])
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{place} is {str(cell)[:60]!r}; it must be a list of numbers") from None
    values += 0.0  # -0 equals 0, but not by its bytes
    if not 1 <= len(values) <= MAX_LENGTH:
        raise InputError(f"{place} has {len(values)} numbers; it must have 1 to {MAX_LENGTH}")
    bad = ~(np.abs(values) <= GREATEST)
    if bad.any():
        at = int(bad.argmax())
        raise InputError(
            f"{place} holds {values[at]:g} at position {at}; every number must be finite and within {GREATEST:g}"
        )
    return values


def _refuse_two(out: pd.DataFrame, codes: npt.NDArray[np.int64], where: str) -> None:
    """A vector says something of the sample, so all candidates' rows of it agree, or are null."""
    told = out[codes >= 0]
    distinct = told.drop_duplicates(["suite", "sample_id", VECTOR])
    doubled = distinct.duplicated(["suite", "sample_id"])
    if doubled.any():
        row = distinct[doubled].iloc[0]
        raise InputError(
            f"{where}: {out.index.name or 'row'} {row.name}: `{VECTOR}` is not that of other rows of suite "
            f"{row['suite']!r}, sample {row['sample_id']!r}; a sample has one vector"
        )


def vectors_of(frame: pd.DataFrame, row: npt.NDArray[np.int64], count: int) -> Floats | None:
    """float64[count, d] from the column of a validated table, `row` the sample of each of its
    rows, -1 of none: one row with a vector is enough, a sample without any is NaN. None where no
    row has one."""
    if VECTOR not in frame.columns:
        return None
    result: Floats | None = None
    for sample, cell in zip(row, frame[VECTOR], strict=True):
        if sample >= 0 and isinstance(cell, np.ndarray):
            if result is None:
                result = np.full((count, len(cell)), np.nan)
            result[sample] = cell
    return result
