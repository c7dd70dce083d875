"""A table file of the user's, CSV, TSV, JSONL or Parquet, as a frame whose cells still hold all
that was written."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from router_lab.outcomes.cells import (
    Written,
    number_column,
    place,
    refuse_doubled,
    storable,
    text_column,
    written,
)
from router_lab.outcomes.columns import OUTCOME_COLUMNS, TEXT, is_number
from router_lab.outcomes.delimited import (
    DELIMITERS,
    file_text,
    read_delimited,
    settle_decimals,
)
from router_lab.outcomes.files import read_parquet
from router_lab.runtime.decisionfiles import is_rotated
from router_lab.runtime.errors import InputError
from router_lab.runtime.reading import open_regular

_KINDS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
_OTHERS = {
    ".xlsx": "a spreadsheet; save the sheet as CSV (UTF-8)", ".xls": "a spreadsheet; save the sheet as CSV (UTF-8)",
    ".ods": "a spreadsheet; save the sheet as CSV (UTF-8)",
    ".pkl": "a pickle, which is code; save it as Parquet: pandas.read_pickle(…).to_parquet(…)",
    ".pickle": "a pickle, which is code; save it as Parquet: pandas.read_pickle(…).to_parquet(…)",
    ".feather": "Feather; save it as Parquet: pandas.read_feather(…).to_parquet(…)",
}  # fmt: skip


def table_kind(path: Path) -> str | None:
    """`csv` (also of tabs), `jsonl` or `parquet` by the file's name, with or without `.gz`; a
    `.json` file that holds a list is a table too, since a log is a mapping, and so is a part of a
    decision log (`x.jsonl.1`). None = no table. Raises InputError for a sort of table not read."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    last = suffixes[-2:-1] if suffixes[-1:] == [".gz"] else suffixes[-1:]
    if last and last[0] in _OTHERS and not path.is_dir():
        raise InputError(f"{path}: is {_OTHERS[last[0]]}")
    if last == [".json"] and path.is_file():
        with open_regular(path) as file:
            return "jsonl" if file.read(100).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[") else None
    return _KINDS.get(last[0]) or ("jsonl" if is_rotated(path) else None) if last else None


def read_table_file(
    path: Path,
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
    names: Collection[str] = OUTCOME_COLUMNS,
) -> tuple[pd.DataFrame, str | None, list[str]]:
    """(table, delimiter, what was found of its dialect) of a table file; rows are indexed by
    `line` where it has lines.

    A file without a known ending is read as CSV. CSV cells are `str`; JSONL and Parquet cells are
    what they are there, integers exact. delimiter, encoding: of text files, None = found out
    (`delimited`); names: columns that a header is likely to have. Raises InputError.
    """
    kind = table_kind(path)
    if kind == "parquet":
        frame = read_parquet(path, warn=True)
        refuse_doubled(frame.columns, str(path))
        return frame, None, []
    text, found = file_text(path, encoding)
    said = [] if found in ("utf-8", "utf-8-sig") else [f"text in {found.upper()}"]
    if kind == "jsonl":
        return _from_json(path, text), None, said
    frame, sign = read_delimited(path, text, delimiter, names)
    return (
        frame,
        sign,
        [*([] if sign == "," else [f"{DELIMITERS.get(sign, repr(sign))} between columns"]), *said],
    )


def _from_json(path: Path, text: str) -> pd.DataFrame:
    decoder = json.JSONDecoder(parse_float=written, object_pairs_hook=_object)
    if text.lstrip().startswith("["):
        rows, lines = _decoded(decoder, text, f"{path}: "), None
        if not isinstance(rows, list):
            raise InputError(f"{path}: must be a list of objects, or one object a line")
    else:
        numbered = [(at, line) for at, line in enumerate(text.split("\n"), start=1) if line.strip()]
        rows = [_decoded(decoder, line, f"{path}: line {at}: ") for at, line in numbered]
        lines = pd.Index([at for at, _ in numbered], name="line")
    if not rows:
        raise InputError(f"{path}: is empty; a table has one JSON object a line")
    columns: dict[str, None] = {}
    for at, row in enumerate(rows):
        if not isinstance(row, dict):
            where = f"row {at}" if lines is None else f"line {lines[at]}"
            raise InputError(f"{path}: {where}: must be one whole JSON object, and it is {str(row)[:40]!r}")
        columns.update(dict.fromkeys(row))
    data = {c: pd.Series([row.get(c) for row in rows], dtype=object, index=lines) for c in columns}
    return pd.DataFrame(data, index=lines)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"has {next(name for name in names if names.count(name) > 1)!r} more than once")
    return made


def _decoded(decoder: json.JSONDecoder, text: str, where: str) -> Any:
    try:
        found = decoder.decode(text)
        return _storable_tree(found) if re.search(r"\\u[dD][89a-fA-F]", text) else found
    except json.JSONDecodeError as error:
        rule = "a .jsonl table has one whole object a line"
        raise InputError(f"{where}is not JSON: {error.msg} at character {error.pos + 1}; {rule}") from None
    except ValueError as error:  # a name twice, or an integer of thousands of digits
        raise InputError(f"{where}{error}") from None
    except RecursionError:
        raise InputError(f"{where}is nested too deeply") from None


def _storable_tree(tree: Any) -> Any:
    if isinstance(tree, dict):
        return _object([(storable(name), _storable_tree(value)) for name, value in tree.items()])
    if isinstance(tree, list):
        return [_storable_tree(value) for value in tree]
    return storable(tree) if isinstance(tree, str) else tree


def settle_others(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with the columns that are not ours as plain as they can be: JSON numbers that came
    as objects become integers, or floats where one is not whole; everything else is left as it
    is."""
    found = {}
    for column in [
        c for c in frame.columns if frame[c].dtype == object and c not in TEXT and not is_number(c)
    ]:
        kinds = {type(value) for value in frame[column] if value is not None}
        if kinds and kinds <= {Written, int, float}:
            whole = kinds == {int}
            found[column] = (
                frame[column] if whole and frame[column].isna().any() else pd.to_numeric(frame[column])
            )
        elif kinds == {str}:
            found[column] = text_column(frame[column], "", column)
    return frame.assign(**found)


def read_labels(path: Path, required: Sequence[str]) -> pd.DataFrame:
    """Audited rows from a table file: text columns as text, `quality` in [0, 1] or refused;
    `required` must be there.

    Raises InputError naming the file, the row, the value and the rule.
    """
    table, sign, _ = read_table_file(path)
    missing = [c for c in required if c not in table.columns]
    if missing:
        raise InputError(
            f"{path}: column {', '.join(missing)} is missing; an audit needs {', '.join(required)}"
        )
    if sign is not None:
        table, _ = settle_decimals(table, [c for c in table.columns if is_number(c)], None, str(path))
    for column in [c for c in TEXT if c in table.columns]:
        table[column] = text_column(table[column], str(path), column)
    quality = number_column(
        table["quality"], str(path), "quality", truth=True, wanted="a number, or true or false"
    )
    wrong = ~quality.between(0, 1).to_numpy(bool)
    if wrong.any():
        at = int(wrong.argmax())
        if quality.isna().iloc[at]:
            raise InputError(
                f"{path}: {place(table, at)}: `quality` is empty; fill it in, or take the row out"
            )
        said = f"{path}: {place(table, at)}: `quality` is {quality.iloc[at]:g}"
        raise InputError(f"{said}; `quality` must lie in [0, 1] in every row")
    return table.assign(quality=quality)
