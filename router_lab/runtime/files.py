"""Files that are either whole or not there, and files that grow by whole lines.

Every file of this project is written by one of two functions: `atomic_write` for what is replaced,
`append_line` for what grows. Both may be cut short at any moment, by kill -9 or for want of room,
and neither then leaves anything that a reader could take for something else.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from router_lab.runtime.addresses import local_path
from router_lab.runtime.jsonio import without_repeats
from router_lab.runtime.reading import read_bytes

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_TEMPORARY = re.compile(r"\.router-lab-[0-9a-f]{16}\.tmp")


def atomic_write(path: str | os.PathLike[str], data: bytes, *, mode: int = 0o666, new: bool = False) -> Path:
    """Write `data` to `path` so that a reader, or a crash at any moment, sees the old file or the
    new one.

    A temporary name of its own in the same directory (no process id: two containers may have the
    same), fsync, rename, fsync of the directory. Objects of a store are put whole by
    `router_lab.places`. mode: the file's, less the umask. new:
    FileExistsError where `path` is there already. Raises OSError; the old file is then untouched.
    """
    target = local_path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(target)
    try:
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), mode
        )
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        if not new:
            temporary.replace(target)
        else:
            _link(temporary, target)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:  # as of a write to a full disk
            error.filename = str(target)
        with contextlib.suppress(OSError):  # the first error is the one to tell
            temporary.unlink(missing_ok=True)
        raise
    sync_directory(target.parent)
    return target


def _link(temporary: Path, target: Path) -> None:
    """Unlike a rename, a link never replaces what is there."""
    try:
        os.link(temporary, target)
    except OSError as error:
        if isinstance(error, FileExistsError) or os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "is there already", str(target)) from error
        temporary.replace(target)  # a disk that knows no links
    else:
        temporary.unlink()


def temporary_beside(path: Path) -> Path:
    """A name for what is not finished, in the same directory, that nobody else has; readers pass
    over such names."""
    return path.with_name(f".router-lab-{os.urandom(8).hex()}.tmp")


def remove_leftovers(folder: str | os.PathLike[str], *, older_s: float = 0.0) -> None:
    """Delete what writers that were killed left in `folder`. Only for who holds the folder's lock;
    where others write without it, older_s spares what they touched in the last so many seconds."""
    with contextlib.suppress(OSError):
        for entry in Path(folder).iterdir():
            if not is_leftover(entry.name) or time.time() - entry.lstat().st_mtime < older_s:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def is_leftover(name: str) -> bool:
    """Whether a file is called as `temporary_beside` calls what is not finished."""
    return _TEMPORARY.fullmatch(name) is not None


def append_line(
    path: str | os.PathLike[str], line: bytes, *, sync: bool = False, wait_s: float | None = None
) -> None:
    r"""Add `line`, without its newline, to the file `path`: all of it or nothing, also among
    processes.

    A line that an earlier writer left torn is ended first, so that it spoils no other. Where the
    line cannot be written whole (a full disk), what was written of it is taken back. sync: fsync
    before returning, for what must survive a power cut. wait_s: how long to wait for another
    writer (one that was stopped holds the file until it goes on), then TimeoutError; None waits.
    Raises OSError, and ValueError for a line that holds a newline.
    """
    append_lines(path, [line], sync=sync, wait_s=wait_s)


def append_lines(
    path: str | os.PathLike[str], lines: Sequence[bytes], *, sync: bool = False, wait_s: float | None = None
) -> None:
    """`append_line` of several at once: all of them or none, under one lock. A kill may leave the
    first of them."""
    if any(b"\n" in line for line in lines):
        raise ValueError("append_line: the line holds a newline")
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # O_NONBLOCK: opening a FIFO that nobody reads would wait for ever.
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(target, flags, 0o666)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(target))
        if fcntl is not None:
            _lock(descriptor, wait_s)
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n" if hasattr(os, "pread") else False
        _write_whole(descriptor, (b"\n" if torn else b"") + b"".join(line + b"\n" for line in lines), size)
        if sync:
            os.fsync(descriptor)
    finally:
        # By name: a process forked meanwhile has the descriptor too, and closing keeps its lock.
        if fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _lock(descriptor: int, wait_s: float | None) -> None:
    if wait_s is None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                raise TimeoutError(errno.ETIMEDOUT, "another process holds the file") from None
            time.sleep(0.001)


def _write_whole(descriptor: int, data: bytes, size: int) -> None:
    try:
        written = os.write(descriptor, data)
        while written < len(data):  # a signal, or a disk with room for a part: the next write tells which
            written += os.write(descriptor, data[written:])
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


class Records(NamedTuple):
    """The JSON objects of a file of lines. `numbers`: the line of each, from 1; `torn`: lines that
    hold no object."""

    rows: list[dict[str, Any]]
    numbers: list[int]
    torn: list[int]


def read_records(path: str | os.PathLike[str]) -> Records:
    """The objects in a file written by `append_line`; a line that a crash or a full disk cut short
    is passed over and counted. Nothing at all for a file that is not there. Raises OSError, also
    for what is no regular file."""
    found = Records([], [], [])
    try:
        data = read_bytes(path)
    except FileNotFoundError:
        return found
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=without_repeats)
        except (ValueError, RecursionError):  # ValueError: also not UTF-8, and integers of too many digits
            row = None
        if isinstance(row, dict):
            found.rows.append(row)
            found.numbers.append(number)
        else:
            found.torn.append(number)
    return found


def sync_directory(path: str | os.PathLike[str]) -> None:
    """Make a rename in `path` survive a power cut, where the system lets a directory be synced."""
    with contextlib.suppress(OSError):  # not every system opens directories, or syncs them
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
