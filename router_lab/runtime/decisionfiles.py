"""The files of a decision log, as rotation leaves them, and their lines, whatever crashes have
left of them."""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import json
import lzma
import math
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from router_lab.runtime.addresses import local_path
from router_lab.runtime.errors import InputError
from router_lab.runtime.reading import open_regular
from router_lab.runtime.values import name_of

_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_ROTATED = re.compile(
    r"(?:\.(?P<number>\d{1,6})|[-.](?P<date>\d{4}-?\d\d-?\d\d(?:[-_T]?\d+)*))(?:\.gz|\.bz2|\.xz)?"
)
LINE_BYTES = 4 << 20
"""No line of a log is longer; what is longer is passed over as damaged, without being held in
memory."""
ENDLESS_BYTES = 64 << 20
"""What goes on for longer without an end of line is another file, or a hole of gigabytes in this
one."""


def log_parts(path: str | os.PathLike[str]) -> list[Path]:
    """The file `path` and what rotation made of earlier ones, oldest first: `x.jsonl-20261128.gz`,
    `x.jsonl.2.gz`, `x.jsonl.1`, `x.jsonl`. Raises InputError if there is none."""
    target = local_path(path)
    dated, numbered = [], []
    folder = target.parent
    for entry in folder.iterdir() if folder.is_dir() else ():
        found = (
            _ROTATED.fullmatch(entry.name.removeprefix(target.name))
            if entry.name.startswith(target.name)
            else None
        )
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


def is_log_name(path: str | os.PathLike[str]) -> bool:
    """Whether a file is called as a decision log, or as a rotated part of one, is: `x.jsonl`,
    `x.jsonl.2.gz`."""
    stem, dot, rest = Path(path).name.rpartition(".jsonl")
    return bool(stem and dot) and (rest in ("", *_OPENERS) or is_rotated(path))


def is_rotated(path: str | os.PathLike[str]) -> bool:
    """Whether a file is called as a part of a log that was rotated away is: `x.jsonl.1`,
    `x.jsonl-20261128.gz`."""
    stem, dot, rest = Path(path).name.rpartition(".jsonl")
    return bool(stem and dot) and _ROTATED.fullmatch(rest) is not None


class Parts:
    """The open files of a log, oldest first: a rotation while they are read changes nothing.

    `names`: of the files; `notes`: what could not be read, a text each. Raises InputError if there
    is no such log.
    """

    def __init__(self, paths: Iterable[str | os.PathLike[str]]) -> None:
        asked = list(paths)
        self.notes: list[str] = []
        for _ in range(5):  # a rotation between listing and opening: look again
            with contextlib.ExitStack() as stack:
                self._open(asked, stack)
                if all(entry.exists() and _same(entry, key) for key, entry in self._entries.items()):
                    self._stack = stack.pop_all()
                    break
        else:
            raise InputError(f"{asked[0]}: is rotated faster than it can be opened; read a copy")
        self.names = [str(entry) for entry in self._entries.values()]

    def _open(self, asked: list[str | os.PathLike[str]], stack: contextlib.ExitStack) -> None:
        self._entries: dict[tuple[int, int], Path] = {}
        self._files: list[BinaryIO] = []
        self.notes = []
        for part in (part for each in asked for part in log_parts(each)):
            try:
                raw = stack.enter_context(open_regular(part))
            except InputError as error:
                self.notes.append(f"{error}; none of its lines count")
                continue
            status = os.fstat(raw.fileno())
            if (status.st_dev, status.st_ino) in self._entries:
                continue
            self._entries[status.st_dev, status.st_ino] = part
            opener = _OPENERS.get(part.suffix)
            self._files.append(raw if opener is None else stack.enter_context(opener(raw, "rb")))

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def lines(self) -> Iterator[tuple[str, int, bytes | None]]:
        """(file, number from 1, line) of all of them, from the first; None for a line that is too
        long to be one."""
        for name, file in zip(self.names, self._files, strict=True):
            try:
                file.seek(0)
                for number, line in enumerate(_lines(file), start=1):
                    yield name, number, line
            except (EOFError, OSError, zlib.error, lzma.LZMAError) as problem:
                said = f"{name}: cannot be read to its end ({problem}); what came before counts"
                if said not in self.notes:
                    self.notes.append(said)


def _same(entry: Path, key: tuple[int, int]) -> bool:
    status = entry.stat()
    return (status.st_dev, status.st_ino) == key


def _lines(handle: BinaryIO) -> Iterator[bytes | None]:
    """Each line; None for one that is too long to be one."""
    while line := handle.readline(LINE_BYTES):
        if len(line) < LINE_BYTES or line.endswith(b"\n"):
            yield line
            continue
        passed = len(line)
        while line and not line.endswith(b"\n"):
            if passed > ENDLESS_BYTES:
                raise OSError(errno.EFBIG, f"more than {ENDLESS_BYTES >> 20} MiB without an end of line")
            line = handle.readline(LINE_BYTES)
            passed += len(line)
        yield None


def log_row(line: bytes | None) -> dict[str, Any] | None:
    """The row of a line, its id as text; None for what is no line of a log."""
    try:
        row = json.loads(line or b"")
        if type(row["id"]) is not str:
            row["id"] = name_of(row["id"])
        for column in ("suite", "code"):
            if not isinstance(row.get(column, ""), str | None):
                row[column] = name_of(row[column])
        kind = row["kind"]
        if kind in ("decision", "stage"):
            fits = (
                isinstance(row["model"], str)
                and isinstance(row["revision"], str)
                and isinstance(row["tier"], str)
                and isinstance(row["effort"], str | None)
                and isinstance(row.get("harness"), str | None)
            )
            return row if fits and _number(row["quality"]) and _number(row["cost_usd"]) else None
        return row if kind == "outcome" else None
    except (ValueError, KeyError, TypeError, RecursionError, InputError):
        return None


def _number(value: object) -> bool:
    """Null is a prediction that was no number; older logs may hold NaN itself, which is no figure
    either."""
    if type(value) is float:
        return math.isfinite(value)
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53)
