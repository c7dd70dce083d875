"""Outcomes that come as a table, or as a log of decisions."""

from __future__ import annotations

import datetime as dt
import warnings
from itertools import islice
from pathlib import Path

import pandas as pd

from router_lab.collect.names import LIKELY, as_option, look_alikes, missing_columns
from router_lab.collect.shape import TableOptions, shaped
from router_lab.outcomes import validate_outcomes
from router_lab.outcomes.columns import REQUIRED, candidate_columns, is_number
from router_lab.outcomes.delimited import settle_decimals
from router_lab.outcomes.tablefile import read_table_file, settle_others, table_kind
from router_lab.runtime.decisionfiles import is_rotated
from router_lab.runtime.decisions import outcome_rows
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.jsonio import decode
from router_lab.runtime.reading import open_regular

NO_EFFORT = frozenset({"None", "null", "NULL", "nan", "NaN", "NA", "N/A", "<NA>"})
"""Written by programs for "nothing is known"; in a text column they are texts, which is said.
(`none` is an effort.)"""

_LONGEST_LINE = 1 << 20
"""Bytes in which a line of a decision log says what it is."""
_TORN = 64
"""Lines that crashes may have torn before the first whole one; a file that begins with more is no
log."""


def read_table(path: Path, options: TableOptions | None = None) -> pd.DataFrame:
    """A CSV, TSV, JSONL or Parquet file of outcomes, or a log of decisions with their outcomes,
    validated.

    `attrs["notes"]` says what was found of the file's dialect. Raises InputError; of a text file
    it names the line. Warns (RouterLabWarning) of what is probably not meant: columns and efforts
    by other names, rows that are copies.
    """
    if _is_decision_log(path):
        if options not in (None, TableOptions()):
            raise InputError(
                f"{path}: is a log of decisions and has our columns; collect it apart, without --map and such"
            )
        return validate_outcomes(decisions(path), where=str(path))
    asked = options or TableOptions()
    names = {*LIKELY, *asked.map.values(), *asked.wide}
    raw, sign, notes = read_table_file(path, delimiter=asked.delimiter, encoding=asked.encoding, names=names)
    frame, said = shaped(raw, asked, str(path))
    if sign is not None:
        numbers = [c for c in frame.columns if is_number(c)]
        frame, decimal = settle_decimals(frame, numbers, asked.decimal, str(path))
        notes += ["decimal commas"] if decimal == "," else []
    missing = [c for c in REQUIRED if c not in frame.columns]
    if missing:
        raise InputError(f"{path}: {missing_columns(frame.columns, missing)}")
    made = validate_outcomes(settle_others(frame), where=str(path))
    for text in [*said, *_doubts(frame, made, str(path))]:
        warnings.warn(RouterLabWarning(text), stacklevel=2)
    made.attrs["notes"] = [f"{path}: {', '.join(notes)}"] if notes else []
    return made


def _doubts(frame: pd.DataFrame, made: pd.DataFrame, where: str) -> list[str]:
    """What a reader of the table should know: nothing of it is an error, and all of it may change
    a result."""
    said = []
    alike = look_alikes(frame.columns)
    if alike:
        names = ", ".join(f"`{name}`" for name in alike.values())
        said.append(f"{where}: {names}: kept, and read by nothing; to have it read: {as_option(alike)}")
    for column in ("effort", "group"):
        words = sorted(NO_EFFORT & set(made[column].dropna().unique())) if column in frame.columns else []
        if words:
            n, word = int((made[column] == words[0]).sum()), words[0]
            said.append(
                f"{where}: {column} {word!r} ({n} of {len(made)} rows) is taken as a name; for none leave it empty"
            )
    for column in ("suite", *candidate_columns(made.columns)):
        padded = [v for v in made[column].dropna().unique() if v != v.strip()]
        if padded:
            said.append(
                f"{where}: the {column} {padded[0]!r} has spaces around it, which are kept as a part of its name"
            )
    if len(made) < len(frame):
        labels = frame.index[frame.astype(str).duplicated().to_numpy(bool)]
        told = f", {frame.index.name or 'row'} {', '.join(map(str, labels[:3]))}" if len(labels) else ""
        said.append(
            f"{where}: rows that repeat an earlier one in every column are left out ({len(frame) - len(made)}{told}"
            f"{' …' if len(labels) > 3 else ''}); runs of one sample are told apart by a column `epoch`, 1, 2, …"
        )
    return said


def _is_decision_log(path: Path) -> bool:
    if is_rotated(path):
        return True
    if table_kind(path) != "jsonl" or path.suffix == ".gz":
        return False
    with open_regular(path) as lines:
        read = islice(iter(lambda: lines.readline(_LONGEST_LINE), b""), _TORN)
        first = next((line for line in read if line.strip() and _is_json(line)), b"")
    try:
        row = decode(first)
    except ValueError:
        return False
    return isinstance(row, dict) and row.get("kind") in ("decision", "outcome")


def _is_json(line: bytes) -> bool:
    """A log may begin with a line that a crash left torn."""
    try:
        decode(line)
    except ValueError:
        return False
    return True


def decisions(path: Path) -> pd.DataFrame:
    """What `DecisionLog` wrote in production, as outcomes: of decisions whose quality is known.
    Raises InputError."""
    rows = outcome_rows(path)
    if not rows:
        raise InputError(
            f"{path}: no decision in it has an outcome with a quality; log them: DecisionLog.outcome(id, quality=…)"
        )
    for row in rows:
        try:
            moment = dt.datetime.fromtimestamp(float(row["started_at"]), dt.UTC)
        except (TypeError, ValueError, OverflowError, OSError) as error:
            raise InputError(
                f"{path}: decision {row['sample_id']!r}: `time` is {row['started_at']!r}; it must be UTC seconds"
            ) from error
        row["started_at"] = moment.isoformat(timespec="seconds")
    frame = _weighted(pd.DataFrame(rows))
    frame.attrs["suites"] = [
        {
            "name": name,
            "check": "check" in frame and bool(frame.loc[frame["suite"] == name, "check"].notna().any()),
        }
        for name in sorted(frame["suite"].unique())
    ]
    return frame


def _weighted(frame: pd.DataFrame) -> pd.DataFrame:
    """With `inclusion` where chance chose some of the candidates: each row then stands for as many
    requests as its propensity says. One without a propensity was chosen without chance."""
    if "propensity" not in frame.columns or not (frame["propensity"] < 1).any():
        return frame
    return frame.assign(inclusion=frame["propensity"].fillna(1.0))
