"""What is said of an error at the end of a command: one line where a user can act on it, the whole
where it is ours."""

from __future__ import annotations

import json
import sqlite3
import sys
import traceback
import zipfile
import zlib
from collections.abc import Iterator

from router_lab.runtime.errors import RouterLabError

TRACEBACK = "ROUTER_LAB_TRACEBACK"
"""Variable of the environment that shows where every error comes from."""
MORE = f"; {TRACEBACK}=1 shows where"
OTHERS = {
    "pyarrow.lib": ("ArrowException",), "yaml.error": ("YAMLError",), "pydantic_core": ("ValidationError",),
    "click.exceptions": ("Abort",),
}  # fmt: skip
"""Errors of what was read, by the modules that define them: looked up only if they are loaded."""


def user_message(error: Exception) -> str | None:
    """The one line that is said of an error, without `Error: `; None for one that is a fault of
    this program."""
    if isinstance(error, RouterLabError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"there is not enough memory: {_first(error)}{MORE}"
    if isinstance(error, OSError):  # no room, no right, a file where a folder must be, a name too long
        return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # how pathlib says ELOOP
        return str(error)
    of_data = (UnicodeError, json.JSONDecodeError, zipfile.BadZipFile, zlib.error, EOFError, sqlite3.Error)
    if isinstance(error, (*of_data, *_loaded())):
        return f"what was read is damaged, or of another kind: {type(error).__name__}: {_first(error)}{MORE}"
    return None


def traceback_lines(error: Exception) -> Iterator[str]:
    """An error that nobody expected, and what to do about it; texts from outside begin no line of
    their own."""
    for frame in traceback.extract_tb(error.__traceback__):
        yield f"  {frame.filename}:{frame.lineno}: {frame.name}: {frame.line}"
    yield f"{type(error).__name__}: {error}"
    yield "this is a fault of router_lab, not yours: please report it, with these lines and the command"


def _loaded() -> tuple[type[Exception], ...]:
    found = ((sys.modules.get(module), name) for module, names in OTHERS.items() for name in names)
    return tuple(getattr(module, name) for module, name in found if module is not None)


def _first(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")[:300] or type(error).__name__
