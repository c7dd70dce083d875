"""CSV as people have it: bytes to text, the delimiter and the decimal sign found or named, every
cell as written."""

from __future__ import annotations

import codecs
import csv
import io
import re
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from router_lab.outcomes.cells import place, refuse_doubled
from router_lab.outcomes.columns import COLUMNS
from router_lab.runtime.errors import InputError
from router_lab.runtime.reading import read_regular, unpacked

COUNTS = tuple(c.name for c in COLUMNS if c.whole)
"""Columns of whole numbers."""
DELIMITERS = {",": "','", ";": "';'", "\t": "tab", "|": "'|'"}
"""What may stand between columns, and how it is called."""
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
          (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
_COMMA = r"\s*[+-]?\d*,\d+(?:[eE][+-]?\d+)?\s*"
_POINT = r"\s*[+-]?\d*\.\d+(?:[eE][+-]?\d+)?\s*"
_GROUPED = r"\s*[+-]?[1-9]\d{0,2},\d{3}\s*"
"""`1,234` may be 1234 or 1.234."""
_GROUPED_POINT = r"\s*[+-]?[1-9]\d{0,2}\.\d{3}\s*"
"""So may `1.234` where things are counted, which are seldom thousandths."""


def file_bytes(path: Path) -> bytes:
    """What is in the file, unpacked where it is gzipped. Raises InputError."""
    data = read_regular(path)
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return unpacked(data)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


def file_text(path: Path, encoding: str | None = None) -> tuple[str, str]:
    """(text, encoding) of a file: UTF-8, or what its byte order mark says, or `encoding`. Raises
    InputError."""
    data = file_bytes(path)
    found = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    if encoding is None and found == "utf-8" and 3 * data[:1000].count(0) > len(data[:1000]):
        raise InputError(
            f"{path}: holds zero bytes, as UTF-16 without its mark does; `collect --encoding utf-16-le` reads that, or "
            "save it as UTF-8"
        )
    try:
        text = data.decode(encoding or found)
    except UnicodeDecodeError as error:
        line, byte = data.count(b"\n", 0, error.start) + 1, data[error.start : error.start + 1].hex()
        said = f"{path}: line {line}: byte 0x{byte} is not {(encoding or found).upper()}"
        raise InputError(
            f"{said}; `collect --encoding cp1252` reads most tables from Windows, or save it as UTF-8"
        ) from None
    except (LookupError, ValueError):  # no such name, or one that no name can be
        raise InputError(
            f"{path}: encoding {encoding!r} is not known; utf-8, cp1252 and utf-16 are"
        ) from None
    return text.removeprefix("\ufeff"), encoding or found


def header_of(path: Path, names: Collection[str]) -> list[str]:
    """The column names of a CSV file, none of what cannot be read as one."""
    try:
        text, _ = file_text(path)
        return [cell.strip() for cell in _header(path, text, _delimiter(path, text, names))]
    except InputError:
        return []


def read_delimited(
    path: Path, text: str, delimiter: str | None, names: Collection[str]
) -> tuple[pd.DataFrame, str]:
    """(table, delimiter) of CSV text: cells as `str`, missing only where an unquoted cell is
    empty, indexed by line.

    delimiter: one character; None = the one of DELIMITERS under which the header has most of
    `names`. Raises InputError for a header that fits two of them or names a column twice, and for
    a row that does not fit the header.
    """
    if not text.strip():
        raise InputError(f"{path}: is empty; a table starts with a row of column names")
    # What Excel writes for itself: the line stays, so that lines count.
    told = re.match(r"sep=([^\r\n])(?=\r?\n)", text)
    text, delimiter = (text, delimiter) if told is None else (text[told.end() :], delimiter or told[1])
    known = {name.lower() for name in names}
    sign = delimiter or _delimiter(path, text, known)
    text, returned = _without_returns(text)
    data = text.lstrip("\r\n").encode("utf-8", "replace")
    header = _header(path, text, sign)
    if any(_is_number(cell) for cell in header) and not any(cell.strip().lower() in known for cell in header):
        shown = sign.join(header)[:60]
        raise InputError(
            f"{path}: its first row, {shown!r}, names no columns; a table starts with a row of their names"
        )
    columns = _columns(path, header)
    lines = _row_lines(path, text, sign)
    frame = _parsed(path, data, sign, columns, lines)
    if returned is not None:
        frame = frame.apply(lambda cells: cells.str.replace(returned, "\r", regex=False))
    frame.index = pd.Index(lines[1:], name="line")
    frame = frame.drop(columns=[c for c in columns if c.startswith("unnamed_") and frame[c].isna().all()])
    return frame.dropna(how="all"), sign


def _parsed(path: Path, data: bytes, sign: str, columns: list[str], lines: list[int]) -> pd.DataFrame:
    """The cells below the header, all of them text. Raises InputError for a row that does not fit
    it."""
    uneven: list[Any] = []

    def refuse(row: Any) -> str:
        uneven.append(row)
        return "error"

    try:
        table = pa.csv.read_csv(
            pa.BufferReader(data),
            pa.csv.ReadOptions(
                use_threads=False, block_size=len(data) + 1024, column_names=columns, skip_rows_after_names=1
            ),
            pa.csv.ParseOptions(delimiter=sign, newlines_in_values=True, invalid_row_handler=refuse),
            pa.csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.large_string()),
                strings_can_be_null=True, null_values=[""], quoted_strings_can_be_null=False,
            ),
        )  # fmt: skip
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: {_uneven(uneven, lines, sign) or str(error).splitlines()[0]}") from None
    return pd.DataFrame(table.to_pandas())


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"\s*[+-]?\d+([.,]\d+)?\s*", cell) is not None


def _without_returns(text: str) -> tuple[str, str | None]:
    """Where lines end in a newline, a carriage return alone is a part of its cell, though writers
    (Python's csv) leave it without quotes and readers take it for the end of a line: it is read as
    a character that the text has not."""
    end = re.search(r"\r\n?|\n", text)
    if end is None or end[0] == "\r" or re.search(r"\r(?!\n)", text) is None:
        return text, None
    spare = next(chr(code) for code in range(0xE000, 0xF8FF) if chr(code) not in text)
    return re.sub(r"\r(?!\n)", spare, text), spare


def _delimiter(path: Path, text: str, names: Collection[str]) -> str:
    """The delimiter of a header: it shows most of our columns; else the only one that splits
    it."""
    split = {sign: _header(path, text, sign) for sign in DELIMITERS}
    known = {sign: sum(cell.strip().lower() in names for cell in row) for sign, row in split.items()}
    best = max(known.values())
    fits = [s for s in DELIMITERS if (known[s] == best if best else len(split[s]) > 1)]
    fits = [s for s in fits if len(split[s]) > 1] or fits
    if len(fits) > 1 and any(len(split[s]) > 1 for s in fits):
        first, second = (f"{DELIMITERS[s]} ({len(split[s])} columns)" for s in fits[:2])
        raise InputError(
            f"{path}: its header may be split by {first} or {second}; `collect --delimiter ';'` says which, or save it "
            "with commas"
        )
    return fits[0] if fits else ","


def _header(path: Path, text: str, sign: str) -> list[str]:
    """The cells of the first row that is not blank."""
    try:
        return next((row for row in csv.reader(io.StringIO(text, newline=""), delimiter=sign) if row), [])
    except csv.Error as error:
        raise InputError(f"{path}: its first row is no row of column names: {error}") from None


def _columns(path: Path, header: list[str]) -> list[str]:
    """The names of a header, without spaces around them; a column without one is `unnamed_N`.
    Refuses doubled ones."""
    columns = [cell.strip() or f"unnamed_{number}" for number, cell in enumerate(header, start=1)]
    refuse_doubled(columns, str(path))
    return columns


def _row_lines(path: Path, text: str, sign: str) -> list[int]:
    """The line that each row, the header's included, starts on; a quoted cell may span lines,
    blank lines are none.

    Raises InputError for a cell whose quotes do not close, or close before its end: readers would
    take the rest of the file for it, or drop the quotes.
    """
    if '"' not in text:
        return [at for at, line in enumerate(re.split("\r\n|\n|\r", text), start=1) if line]
    mark = re.escape(sign)
    cell = rf'(?>"[^"]*+(?:""[^"]*+)*+"|[^"{mark}\r\n][^{mark}\r\n]*+|)'
    row = re.compile(rf"(?>{cell}{mark})*+{cell}(?:\r\n|\n|\r|\Z)")
    starts, line, at = [], 1, 0
    while at < len(text):
        found = row.match(text, at)
        if found is None:
            raise InputError(f"{path}: {_unclosed(text[at:], line, mark, cell)}")
        if found[0].strip("\r\n"):
            starts.append(line)
        line += len(re.findall("\r\n|\n|\r", found[0]))
        at = found.end()
    return starts


def _unclosed(text: str, line: int, mark: str, cell: str) -> str:
    """What is said of the first row of `text`, which starts on `line` and has a quote that is not
    where one may be."""
    good = re.match(rf"(?>{cell}{mark})*+", text)
    bad = text[good.end() :] if good else text
    line += text[: len(text) - len(bad)].count("\n")
    closed = re.match(cell, bad)
    ended = f"closes before {bad[closed.end() :][:20]!r}" if closed and closed[0] else "never closes"
    return (
        f"line {line}: a cell starts with a quote that {ended}; a quote inside a quoted cell is doubled, and nothing "
        "but the delimiter follows the last one"
    )


def _uneven(rows: list[Any], lines: list[int], sign: str) -> str | None:
    """What is said of a row that has more or fewer cells than the header."""
    if not rows:
        return None
    row = rows[0]
    at = f"line {lines[row.number - 1]}" if row.number and row.number <= len(lines) else f"row {row.number}"
    return (
        f"{at}: has {row.actual_columns} cells, and the header has {row.expected_columns}; quote a cell that holds "
        f"{DELIMITERS.get(sign, repr(sign))}, with quotes inside it doubled; `collect --delimiter ';'` names "
        "another delimiter"
    )


def settle_decimals(
    frame: pd.DataFrame, columns: list[str], decimal: str | None, where: str
) -> tuple[pd.DataFrame, str]:
    """(`frame` with decimal points in the number columns `columns`, the decimal sign that they
    had).

    decimal: `,` or `.`; None = a comma where a cell says so (`0,5`) and none has a point. Raises
    InputError where cells of both sorts stand, and where `1,234` may be 1234 as well as 1.234.
    """
    text = {c: frame[c] for c in columns if isinstance(frame[c].dtype, pd.StringDtype)}
    seen = {c: s for c, s in text.items() if s.str.contains(",", regex=False).any()}
    point = _first(text, _POINT)
    if decimal is None:
        comma, grouped = _first(seen, _COMMA, but=_GROUPED), _first(seen, _GROUPED)
        if (comma or grouped) and point:
            raise InputError(
                f"{where}: {comma or grouped} and {point} write decimals in two ways; `collect "
                "--decimal ','` or `'.'` says which, and then mend the other"
            )
        if grouped and not comma:
            raise InputError(
                f"{where}: {grouped} may be a decimal comma or thousands; `collect --decimal ','` or `'.'` says which"
            )
        counted = _first({c: s for c, s in text.items() if c in COUNTS}, _GROUPED_POINT)
        if counted and not comma:
            raise InputError(
                f"{where}: {counted} may be thousands; write 1234 for 1.234, or say `collect --decimal .`"
            )
        decimal = "," if comma else "."
    if decimal == ".":
        return frame, decimal
    if point:
        raise InputError(
            f"{where}: {point} has a point, and the decimal sign is a comma; write no thousands separators"
        )
    return frame.assign(**{c: s.str.replace(",", ".", regex=False) for c, s in seen.items()}), decimal


def _first(columns: dict[str, pd.Series[Any]], pattern: str, but: str | None = None) -> str | None:
    """The first cell that is written like `pattern`, with its place; None if there is none."""
    for name, cells in columns.items():
        found = cells.str.fullmatch(pattern).fillna(False).to_numpy(bool)
        if but is not None:
            found = found & ~cells.str.fullmatch(but).fillna(False).to_numpy(bool)
        if found.any():
            at = int(np.argmax(found))
            return f"{place(cells, at)}: `{name}` {cells.iloc[at].strip()!r}"
    return None
