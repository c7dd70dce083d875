"""Cells of a user's table as text or as numbers: what counts as missing, and what is refused,
whatever the file was.

Text is kept as it is written. `NA`, `null`, `None`, `nan`, `007` and `1e5` are texts where a text
is wanted; where a number is wanted, the usual words for "none" are a missing number.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Iterable
from decimal import Decimal
from numbers import Real
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pandas as pd

from router_lab.runtime.errors import InputError

MISSING = frozenset({"", "-", "na", "n/a", "#n/a", "<na>", "nan", "null", "none"})
"""What stands for a missing number, in any case of letters."""
_TRUTH = {"true": 1.0, "false": 0.0}
_RULES = (
    (r"\d[ \u00a0\u202f\u2009'’_]\d{3}\b", "write the digits alone, 1234 for 1 234"),
    (
        ",",
        "write 0.5 for 0,5 and no thousands separators; `collect --decimal ','` reads a CSV of decimal commas",
    ),
    ("%", "write a share, 0.12 for 12 %"),
    ("[$€£¥]|USD|EUR", "write the number alone, in US dollars"),
)


class Written(float):
    """A JSON number that remembers how it was written: a text column wants `1.10`, not 1.1."""

    __slots__ = ("text",)
    text: str

    def __str__(self) -> str:
        return self.text


def written(text: str) -> float:
    """The float of a JSON number: plain where `text_of` gives its text back, else `Written`."""
    plain = float(text)
    if repr(plain) == text and not plain.is_integer():
        return plain
    made = Written(text)
    made.text = text
    return made


def text_of(value: object) -> str | None:
    """One cell as text; None = missing. Raises ValueError with the rule that it breaks.

    Texts are kept; integers keep every digit; a float that is a whole number loses its `.0`,
    because pandas makes floats of integers wherever one is missing, and is refused from 2^53 on,
    where it may have lost digits; truth values are `true` and `false`, dates ISO 8601, bytes
    UTF-8, lists and mappings JSON.
    """
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Written):
        return value.text
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, int | np.integer | Decimal | UUID):
        return None if isinstance(value, Decimal) and value.is_nan() else str(value)
    if isinstance(value, float | np.floating):
        return _text_of_float(value)
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("bytes must be UTF-8") from None
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, dt.date | dt.time):  # a datetime, and so a Timestamp, is a date
        return value.isoformat()
    if isinstance(value, list | tuple | dict | np.ndarray):
        return storable(json_of(value))
    raise ValueError(f"it must be a text, and it is a {type(value).__name__}")


def json_of(value: object) -> str:
    """Lists, arrays and mappings as compact JSON; what JSON does not know as its text."""
    return json.dumps(
        value, ensure_ascii=False, default=lambda v: v.tolist() if hasattr(v, "tolist") else str(v)
    )


def _text_of_float(value: Any) -> str | None:
    if math.isnan(value):
        return None
    if math.isinf(value) or value != int(value):
        return str(value)
    if abs(value) >= 2 ** (24 if isinstance(value, np.float32) else 53):
        raise ValueError("a float of that size may have lost digits; store the column as text or as integers")
    return str(int(value))


def storable(text: str) -> str:
    """Half of a surrogate pair, which no file can hold, as `?`: what the runtime makes of it
    too."""
    return text.encode("utf-8", "replace").decode("utf-8")


def text_column(values: pd.Series[Any], where: str, column: str) -> pd.Series[Any]:
    """`values` as pandas' `str`, each cell by `text_of`. Raises InputError naming `where`, the row
    and the rule."""
    if isinstance(values.dtype, pd.StringDtype):
        return values.astype("str")
    if values.isna().all():
        return pd.Series(None, index=values.index, dtype="str")
    if pd.api.types.infer_dtype(values, skipna=True) == "string":
        try:
            return values.astype("str")
        except UnicodeEncodeError:
            pass  # cell by cell, then
    cells = []
    # As objects, floats of 32 bits would become floats of 64 that are written with other digits.
    plain = values.to_numpy() if values.dtype == np.float32 else values.astype(object)
    for at, value in enumerate(plain):
        try:
            cells.append(text_of(value))
        except ValueError as error:
            raise InputError(
                f"{where}: {place(values, at)}: `{column}` is {_shown(value)}; {error}"
            ) from None
    return pd.Series(cells, index=values.index, dtype="str")


def number_column(
    values: pd.Series[Any], where: str, column: str, *, truth: bool = False, wanted: str = "a number"
) -> pd.Series[Any]:
    """`values` as float64, missing ones NaN; texts are read as numbers, with truth=True `true` and
    `false` as 1 and 0.

    Raises InputError naming `where`, the row, the value and the rule: it must be `wanted`.
    """
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_complex_dtype(values.dtype):
        return pd.Series(values.to_numpy("float64", na_value=np.nan), index=values.index)
    if isinstance(values.dtype, pd.StringDtype):
        cells = values.str.strip()
    elif pd.api.types.infer_dtype(values, skipna=True) in ("floating", "empty"):
        cells = values
    else:
        cells = values.astype(object).map(_plain_number)
    numbers = pd.to_numeric(cells, errors="coerce").to_numpy("float64", na_value=np.nan).copy()
    left = np.flatnonzero(np.isnan(numbers) & cells.notna().to_numpy(bool))
    for at, cell in zip(left.tolist(), cells.iloc[left].astype(str), strict=True):
        word = cell.lower()
        if truth and word in _TRUTH:
            numbers[at] = _TRUTH[word]
        elif word not in MISSING:
            said = f"it must be {wanted}{_hint(values.iloc[at])}"
            raise InputError(f"{where}: {place(values, at)}: `{column}` is {_shown(values.iloc[at])}; {said}")
    return pd.Series(numbers, index=values.index)


def _plain_number(value: Any) -> object:
    if isinstance(value, str):
        return storable(value).strip()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    try:
        # A date, a span of time, a complex number or a list is no number, though pandas would make
        # one of the first three; as its text it is refused. So is a number that no float holds.
        # An integer to numpy.
        number = isinstance(value, Real | Decimal | np.bool_) and not isinstance(value, np.timedelta64)
        return float(value) if number else str(value)
    except (ArithmeticError, ValueError):
        return str(value)


def missing_numbers(values: pd.Series[Any]) -> pd.Series[Any]:
    """Where a number is missing: null, not a number, or one of the words that people write for
    it."""
    absent = values.isna()
    if pd.api.types.is_numeric_dtype(values.dtype):
        return absent
    words = [isinstance(value, str) and value.strip().lower() in MISSING for value in values]
    return absent | np.array(words, bool)


def _hint(value: object) -> str:
    """How to write what is probably meant by a cell that is no number."""
    text = str(value)
    return next((f": {rule}" for signs, rule in _RULES if re.search(signs, text)), "")


def truth_column(values: pd.Series[Any], where: str, column: str) -> pd.Series[Any]:
    """`values` as pandas' `boolean`: true, false, 1 and 0 in any case of letters. Raises
    InputError."""
    numbers = number_column(values, where, column, truth=True, wanted="true or false").to_numpy("float64")
    bad = ~np.isin(numbers, (0.0, 1.0)) & ~np.isnan(numbers)
    if bad.any():
        at = int(bad.argmax())
        raise InputError(
            f"{where}: {place(values, at)}: `{column}` is {numbers[at]:g}; it must be true or false"
        )
    unknown: npt.NDArray[np.bool_] = np.isnan(numbers)
    return pd.Series(pd.arrays.BooleanArray(numbers == 1.0, unknown), index=values.index)


def place(values: pd.Series[Any] | pd.DataFrame, at: int) -> str:
    """Row number `at` of a table by its label, and as what its index is called: `line` of a file,
    else `row`.

    Where the index has levels, each by its name, the last first: `line 7, column gpt-5`.
    """
    label = values.index[at]
    labels = label if isinstance(label, tuple) else (label,)
    named = [f"{name or 'row'} {one}" for name, one in zip(values.index.names, labels, strict=True)]
    return ", ".join(reversed(named))


def refuse_doubled(columns: Iterable[object], where: str) -> None:
    """Raises InputError for a column name that stands there twice, with the places."""
    names = list(map(str, columns))
    for name in names:
        if names.count(name) > 1:
            places = " and ".join(str(at) for at, other in enumerate(names, start=1) if other == name)
            raise InputError(
                f"{where}: column {name!r} is there more than once (columns {places}); rename or remove one"
            )


def _shown(value: object) -> str:
    text = repr(value.decode("utf-8", "replace") if isinstance(value, bytes) else value)
    return text if len(text) <= 60 else text[:57] + "…"


def no_formula(text: str) -> str:
    """`text` for a table that people open: with an apostrophe before what a spreadsheet would take
    for a formula, and run, or show its result instead of the text."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
