"""A file as records, whatever it is: JSON, JSONL, CSV or Parquet, packed by gzip or not. What
cannot be read is a problem with its place; only a file that cannot be opened is an error."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from router_lab.outcomes.delimited import DELIMITERS
from router_lab.outcomes.files import read_parquet
from router_lab.runtime.errors import InputError
from router_lab.runtime.reading import read_regular, unpacked, unpacked_part
from router_lab.traces.call import Problem
from router_lab.traces.fields import Json, decoded

ENDINGS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
"""Names of files that are read where a folder is named; each may end in `.gz`, too."""
LISTS = ("data", "traces", "logs", "items", "results")
"""Keys under which an export or an answer of an API keeps its list of records."""
WIDEST = 1 << 27
"""Characters of one cell of a CSV."""
_ITEM, _NEXT = re.compile(r"\s*\[\s*"), re.compile(r"\s*,\s*")


class Record(NamedTuple):
    """One object of a file, and where it stands: `line 3`, `item 2`, `row 7`."""

    place: str
    value: Json


def files_of(sources: tuple[Path, ...]) -> list[Path]:
    """The files named, and of folders those at or below them that may hold traces, in order.
    Raises InputError for a folder without any."""
    found = []
    for source in sources:
        if not source.is_dir():
            found.append(source)
            continue
        below = sorted(
            p
            for p in source.rglob("*")
            if p.is_file() and p.name.lower().removesuffix(".gz").endswith(ENDINGS)
        )
        if not below:
            raise InputError(
                f"{source}: holds no file that ends in {', '.join(ENDINGS)}; name the file itself"
            )
        found += below
    return found


def records_of(path: Path) -> tuple[list[Record], list[Problem]]:
    """(records, problems) of a file; of one whose gzip is cut off or damaged what lies before that.
    Raises InputError for one that cannot be opened, or is no text and no Parquet."""
    data, lost = _bytes(path)
    if data[:4] == b"PAR1":
        return _of_parquet(path)
    text, wrong = _decoded_lines(data, str(path))
    wrong = [*lost, *wrong]
    begin = text.lstrip()[:1]
    found = _of_json(text, str(path)) if begin in ("{", "[") else _of_csv(text, str(path))
    return found[0], [*wrong, *found[1]]


def _bytes(path: Path) -> tuple[bytes, list[Problem]]:
    """What is in the file, unpacked where it is gzipped, as far as it goes."""
    data = read_regular(path)
    if data[:2] != b"\x1f\x8b":
        return data, []
    try:
        return unpacked(data), []
    except (OSError, EOFError, zlib.error) as error:
        found, why = unpacked_part(data), error
    if not found:
        raise InputError(f"{path}: cannot be read: {why}") from None
    rule = f"gzip ends or is damaged there ({why}): {len(found):,} bytes are read, what lies behind is lost"
    return found, [Problem(str(path), f"byte {len(found):,} of what is packed", rule)]


def _decoded_lines(data: bytes, file: str) -> tuple[str, list[Problem]]:
    """The text; a line that is not UTF-8 becomes an empty one, and a problem."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace"), []
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode("utf-8"), []
    except UnicodeDecodeError:
        lines, wrong = [], []
    for at, line in enumerate(data.split(b"\n"), start=1):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            lines.append("")
            wrong.append(Problem(file, f"line {at}", "is not UTF-8"))
    return "\n".join(lines), wrong


def _of_json(text: str, file: str) -> tuple[list[Record], list[Problem]]:
    lines = [(at, line) for at, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if len(lines) > 1:  # one object a line, unless no line is one
        objects, wrong = _of_lines(lines, file)
        if objects and (len(objects) >= len(wrong) or not _is_json(text)):
            return objects, wrong
    try:
        whole = decoded(text)
    except ValueError as error:
        items = list(_items(text))
        records, wrong = _of_list(items, file) if items else ([], [])
        behind = f"all behind item {len(items)}" if items else "the file"
        return records, [
            *wrong,
            Problem(file, behind, f"is neither JSON nor one JSON object a line: {error}"),
        ]
    return _of_list(whole, file)


def _items(text: str) -> Iterator[Any]:
    """The first items of a JSON list that is broken further on."""
    at, decoder = _ITEM.match(text, 0), json.JSONDecoder()
    while at is not None:
        try:
            _, end = decoder.raw_decode(text, at.end())
            yield decoded(text[at.end() : end])
        except (ValueError, RecursionError):
            return
        at = _NEXT.match(text, end)


def _is_json(text: str) -> bool:
    try:
        decoded(text)
    except ValueError:
        return False
    return True


def _of_lines(lines: list[tuple[int, str]], file: str) -> tuple[list[Record], list[Problem]]:
    found, wrong = [], []
    for at, line in lines:
        try:
            value = decoded(line)
        except ValueError as error:
            wrong.append(Problem(file, f"line {at}", f"is not JSON: {error}"))
            continue
        if isinstance(value, Mapping):
            found.append(Record(f"line {at}", value))
        else:
            wrong.append(Problem(file, f"line {at}", "is not an object"))
    return found, wrong


def _of_list(whole: Any, file: str) -> tuple[list[Record], list[Problem]]:
    """A list's objects; of one object its list, if it is only the wrapper of one."""
    if isinstance(whole, Mapping):
        key = next((key for key in LISTS if isinstance(whole.get(key), list)), None)
        if key is None or "id" in whole or "request_id" in whole:
            return [Record("the file", whole)], []
        whole = whole[key]
    if not isinstance(whole, list):
        return [], [Problem(file, "the file", "is not an object or a list")]
    found, wrong = [], []
    for at, value in enumerate(whole, start=1):
        if isinstance(value, Mapping):
            found.append(Record(f"item {at}", value))
        else:
            wrong.append(Problem(file, f"item {at}", "is not an object"))
    return found, wrong


def _of_csv(text: str, file: str) -> tuple[list[Record], list[Problem]]:
    head = text.lstrip("\r\n").split("\n", 1)[0]
    sign = max(DELIMITERS, key=head.count)
    if not head.count(sign):
        rule = "is no JSON, CSV (a header of two columns or more) or Parquet" if head.strip() else "is empty"
        return [], [Problem(file, "the file", rule)]
    before = csv.field_size_limit(WIDEST)
    try:
        return _of_rows(csv.reader(io.StringIO(text.replace("\0", ""), newline=""), delimiter=sign), file)
    finally:
        csv.field_size_limit(before)


def _of_rows(rows: Any, file: str) -> tuple[list[Record], list[Problem]]:
    found: list[Record] = []
    wrong: list[Problem] = []
    names: list[str] = []
    try:
        for row in rows:
            if not any(row) or (names and [name.strip() for name in row] == names):
                continue  # nothing, or the header of a table that was put behind another
            if not names:
                names = [name.strip() for name in row]
            elif len(row) != len(names):
                rule = f"has {len(row)} cells, the header {len(names)}"
                wrong.append(Problem(file, f"line {rows.line_num}", rule))
            else:
                found.append(Record(f"line {rows.line_num}", dict(zip(names, row, strict=True))))
    except csv.Error as error:
        wrong.append(Problem(file, f"line {rows.line_num} and all behind it", f"is no CSV: {error}"))
    return found, wrong


def _of_parquet(path: Path) -> tuple[list[Record], list[Problem]]:
    frame = read_parquet(path)
    if frame.index.name is not None and frame.index.name not in frame.columns:
        frame = frame.reset_index()
    rows = (dict(zip(map(str, frame.columns), cells, strict=True)) for cells in _cells(frame))
    return [Record(f"row {at}", row) for at, row in enumerate(rows, start=1)], []


def _cells(frame: Any) -> Iterator[list[Any]]:
    for row in frame.itertuples(index=False, name=None):
        yield [_plain(cell) for cell in row]


def _plain(cell: Any) -> Any:
    """What pandas and pyarrow make of a cell, as JSON would have it."""
    if isinstance(cell, float) and math.isnan(cell):
        return None
    if isinstance(cell, Mapping):
        return {str(key): _plain(value) for key, value in cell.items() if value is not None}
    if hasattr(cell, "tolist"):
        return _plain(cell.tolist())
    if isinstance(cell, list | tuple):
        return [_plain(value) for value in cell]
    if hasattr(cell, "to_pydatetime"):
        return None if cell != cell else cell.to_pydatetime()  # NaT
    return cell
