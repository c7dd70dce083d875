"""outcomes.parquet and calls.parquet: whole or not there, and the same table gives the same
bytes."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from router_lab.outcomes.cells import text_column
from router_lab.outcomes.columns import CALL_COLUMNS, OUTCOME_COLUMNS, REQUIRED
from router_lab.outcomes.delimited import header_of
from router_lab.outcomes.schema import validate_calls, validate_outcomes
from router_lab.places import copy, local_path
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.files import atomic_write
from router_lab.runtime.jsonio import decode
from router_lab.runtime.reading import open_regular

CARRIED = ("candidates", "suites", "provenance", "eliminations")
"""Keys of `DataFrame.attrs` that travel in the Parquet metadata as `router_lab.<key>`, JSON."""
PANDAS_ATTRS = "PANDAS_ATTRS"
"""Where pandas itself keeps `attrs`: written as well, so that they outlive `pd.read_parquet` and
`to_parquet`."""


def read_outcomes(path: str | Path) -> pd.DataFrame:
    """The outcomes table in `path` (Parquet, perhaps at an address), validated, defaults filled,
    `attrs` restored. Raises InputError; warns (RouterLabWarning) of a file from pandas that has
    lost what is known of the candidates."""
    with copy(path) as file:
        return validate_outcomes(read_parquet(file, warn=True), where=str(path))


def write_outcomes(frame: pd.DataFrame, path: str | Path) -> Path:
    """Validate `frame` and write it to `path`. Raises InputError; nothing is written then."""
    return write_frame(validate_outcomes(frame, where=str(path)), local_path(path))


def read_calls(path: str | Path) -> pd.DataFrame:
    """The calls table in `path` (Parquet). Raises InputError."""
    with copy(path) as file:
        return validate_calls(read_parquet(file), where=str(path))


def write_calls(frame: pd.DataFrame, path: str | Path) -> Path:
    """Validate `frame` and write it to `path`. Raises InputError; nothing is written then."""
    return write_frame(validate_calls(frame, where=str(path)), local_path(path))


def read_parquet(path: Path, *, warn: bool = False) -> pd.DataFrame:
    """What is in a Parquet file, not validated: integers exact, nulls among them or not; `attrs`
    restored.

    Raises InputError; with `warn`, warns of what `read_outcomes` warns of.
    """
    if path.is_dir():
        raise InputError(
            f"{path}: is a directory; name the Parquet file, or run `router-lab collect {path}` first"
        )
    if not path.exists():
        raise InputError(f"{path}: no such file; `router-lab collect` writes it")
    try:
        # The file itself, not a data set of one file: a column that is there twice is refused by
        # whoever needs it once.
        with open_regular(path) as file:
            table = pq.ParquetFile(file).read()
    except (pa.ArrowException, OSError) as error:
        raise InputError(_no_parquet(path, str(error).splitlines()[0])) from None
    metadata = table.schema.metadata or {}
    frame: pd.DataFrame = table.replace_schema_metadata(None).to_pandas(integer_object_nulls=True)
    try:
        frame.attrs = _attrs(metadata)
    except ValueError as error:
        raise InputError(f"{path}: what it says of its candidates is damaged: {error}") from None
    if warn and b"pandas" in metadata and "candidates" not in frame.attrs:
        warnings.warn(RouterLabWarning(f"{path}: {LOST}"), stacklevel=3)
    return frame


LOST = (
    "was written by pandas alone and holds no prices and no request settings of its candidates, so a policy fitted on "
    "it hands out no request arguments and knows no prices (nor does a gate on price_drift); to keep them, change what "
    "`router_lab.outcomes.read_outcomes` gives and save it by `write_outcomes`"
)
"""What is said of a file that pandas read and written again without its metadata, or never had
any."""


def _attrs(metadata: Mapping[bytes, bytes]) -> dict[Any, Any]:
    """What is CARRIED, from our own keys, else from where pandas keeps it."""
    raw = metadata.get(PANDAS_ATTRS.encode())
    kept = decode(raw) if raw is not None else {}
    found = {key: kept[key] for key in CARRIED if isinstance(kept, dict) and key in kept}
    own = {key: metadata.get(f"router_lab.{key}".encode()) for key in CARRIED}
    return found | {key: decode(value) for key, value in own.items() if value is not None}


def _no_parquet(path: Path, reason: str) -> str:
    """Why `path` was refused and what makes outcomes of it; of a CSV file also the columns that
    this will miss."""
    kind = next(
        (s[1:].lower() for s in path.suffixes[-2:] if s.lower() in (".csv", ".tsv", ".jsonl", ".ndjson")),
        None,
    )
    if kind is None:
        return f"{path}: is not a Parquet file ({reason}); `router-lab collect` reads CSV and JSONL"
    missing = (
        [c for c in REQUIRED if c not in header_of(path, OUTCOME_COLUMNS)] if kind in ("csv", "tsv") else []
    )
    first = f"column {', '.join(missing)} is missing, and it " if missing else ""
    target = path.with_suffix(".parquet")
    return (
        f"{path}: {first}is {kind.upper()}, which only `collect` reads: "
        f"router-lab collect {path} --out {target}, then name {target}"
    )


def write_frame(frame: pd.DataFrame, path: Path) -> Path:
    """Write a table as it is, not validated, with what of `attrs` is carried."""
    table = _arrow(frame)
    # pandas' own metadata names library versions, so the same table would not give the same bytes.
    carried = {k: frame.attrs[k] for k in CARRIED if k in frame.attrs}
    own = {f"router_lab.{key}": _json(value) for key, value in carried.items()}
    table = table.replace_schema_metadata(own | {PANDAS_ATTRS: _json(carried)} if own else None)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return atomic_write(path, buffer.getvalue())


def _arrow(frame: pd.DataFrame) -> pa.Table:
    """`frame` for Parquet; a column of the user's whose cells share no type (tables joined) is
    stored as text."""
    known = {*OUTCOME_COLUMNS, *CALL_COLUMNS}
    for column in [c for c in frame.columns if frame[c].dtype == object and c not in known]:
        try:
            pa.Array.from_pandas(frame[column])
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, UnicodeEncodeError):
            frame = frame.assign(**{column: text_column(frame[column], "outcomes", str(column))})
    return pa.Table.from_pandas(frame, preserve_index=False)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
