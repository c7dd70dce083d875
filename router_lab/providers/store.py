"""Recorded generations on disk: gzip-compressed JSON lines, one file per candidate and suite.

First line: what was recorded (format, model, effort, settings and their sha, suite, dataset sha,
model sha). Then one line per generation, keyed by `keys.request_key`. Same content, same bytes
(with one zlib).
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from router_lab.providers.keys import canonical_json, label_of
from router_lab.runtime.errors import InputError
from router_lab.runtime.files import atomic_write
from router_lab.runtime.jsonio import decode
from router_lab.runtime.reading import open_regular, read_regular, unpacked

FORMAT = "router-lab-recorded/1"
SUFFIX = ".jsonl.gz"


_LONGEST_HEADER = 64 << 20
"""Characters of a recording's first line."""


def candidate_label(model: str, effort: str | None, settings_sha: str) -> str:
    """The part of a file name by which the provider finds a candidate's recordings."""
    return label_of([model, effort, settings_sha])[:12]


def file_name(header: Mapping[str, Any]) -> str:
    """`suite/model.effort.label.jsonl.gz`, readable and without characters that a file system
    minds."""
    words = [_slug(header["model"]), _slug(header["effort"] or "default")]
    label = candidate_label(header["model"], header["effort"], header["settings_sha"])
    return f"{_slug(header['suite'])}/{'.'.join(words)}.{label}{SUFFIX}"


def write_recording(folder: Path, header: Mapping[str, Any], records: Iterable[Mapping[str, Any]]) -> Path:
    """Write one candidate's generations for one suite, sorted by key."""
    rows = sorted(records, key=lambda record: str(record["key"]))
    lines = [canonical_json({"format": FORMAT, **header, "records": len(rows)}), *map(canonical_json, rows)]
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9, mtime=0, filename="") as packed:
        packed.write(("\n".join(lines) + "\n").encode())
    return atomic_write(folder / file_name(header), buffer.getvalue())


def read_recording(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Header and generations of one file. Raises InputError for a damaged file or another
    format."""
    try:
        header, *rows = map(decode, unpacked(read_regular(path)).splitlines())
        if not all(isinstance(row, dict) for row in (header, *rows)):
            raise ValueError("a line is no object")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{path}: not a recording: {error}") from None
    if header.get("format") != FORMAT:
        raise InputError(f"{path}: format is {header.get('format')!r}, this version reads {FORMAT!r}")
    if header.get("records") != len(rows):
        raise InputError(f"{path}: says {header.get('records')} records, holds {len(rows)}")
    return header, rows


def read_header(path: Path) -> dict[str, Any]:
    """The first line of a recording. Raises InputError."""
    try:
        with open_regular(path) as file, gzip.open(file, "rt", encoding="utf-8") as lines:
            header = decode(lines.readline(_LONGEST_HEADER))
        if not isinstance(header, dict):
            raise ValueError("its first line is no object")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{path}: not a recording: {error}") from None
    return header


def recordings(folder: Path, label: str = "*") -> list[Path]:
    """Recording files under `folder`, of one candidate or of all."""
    return sorted(folder.rglob(f"*.{label}{SUFFIX}"))


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-").lower() or "x"
