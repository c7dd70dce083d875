"""The files of a decision log, as rotation leaves them, and their lines, whatever crashes have left of them."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import math
import os
import re
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.values import name_of

_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_ROTATED = re.compile(r"(?:\.(?P<number>\d{1,6})|[-.](?P<date>\d{4}-?\d\d-?\d\d(?:[-_T]?\d+)*))(?:\.gz|\.bz2|\.xz)?")
LINE_BYTES = 4 << 20
"""No line of a log is longer; what is longer is passed over as damaged, without being held in memory."""


def log_parts(path: str | os.PathLike[str]) -> list[Path]:
    """The file `path` and what rotation made of earlier ones, oldest first: `x.jsonl-20261128.gz`, `x.jsonl.2.gz`,
    `x.jsonl.1`, `x.jsonl`. Raises InputError if there is none."""
    target = Path(path)
    dated, numbered = [], []
    folder = target.parent
    for entry in folder.iterdir() if folder.is_dir() else ():
        found = _ROTATED.fullmatch(entry.name.removeprefix(target.name)) if entry.name.startswith(target.name) else None
        if found is None or not entry.is_file():
            continue
        if found["number"] is None:
            dated.append((re.sub(r"\D", "", found["date"]), entry))
        else:
            numbered.append((-int(found["number"]), entry))
    parts = [entry for _, entry in sorted(dated)] + [entry for _, entry in sorted(numbered)]
    parts += [target] if target.is_file() else []
    if not parts:
        raise InputError(f"{target}: there is no decision log, nor a rotated part of one")
    return parts


def read_parts(parts: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """The rows of the files in order, ids as text; damaged lines are counted in one RouterLabWarning a file."""
    for part in parts:
        bad, first, error = 0, 0, ""
        try:
            for number, line in enumerate(_lines(part), start=1):
                row = _row(line) if line is not None else None
                if row is not None:
                    yield row
                elif line is None or line.strip():
                    bad, first = bad + 1, first or number
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as problem:
            error = f"{part}: cannot be read to its end ({problem}); what came before counts"
        if bad:
            said = (
                f"{part}: {bad:,} lines are not lines of a decision log and were passed over, the first is line {first}"
            )
            warnings.warn(RouterLabWarning(said), stacklevel=3)
        if error:
            warnings.warn(RouterLabWarning(error), stacklevel=3)


def _lines(path: Path) -> Iterator[bytes | None]:
    """Each line; None for one that is too long to be one."""
    opener = _OPENERS.get(path.suffix)
    with cast(BinaryIO, path.open("rb") if opener is None else opener(path, "rb")) as handle:
        while line := handle.readline(LINE_BYTES):
            if len(line) < LINE_BYTES or line.endswith(b"\n"):
                yield line
                continue
            while line and not line.endswith(b"\n"):
                line = handle.readline(LINE_BYTES)
            yield None


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
        row["id"] = name_of(row["id"])
        kind = row["kind"]
        if kind == "decision":
            texts = ("model", "revision", "tier")
            fits = all(isinstance(row[k], str) for k in texts) and isinstance(row["effort"], str | None)
            fits = fits and all(_number(row[k]) for k in ("quality", "cost_usd"))
            return row if fits else None
        return row if kind == "outcome" else None
    except (ValueError, KeyError, TypeError, RecursionError, InputError):
        return None


def _number(value: Any) -> bool:
    """Null is a prediction that was no number; older logs may hold NaN itself, which is no figure either."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and _finite(value))


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
