"""Files that are either whole or not there, files that grow by whole lines, and files that somebody else wrote.

Every file of this project is written by one of two functions: `atomic_write` for what is replaced, `append_line` for
what grows. Both may be cut short at any moment, by kill -9 or for want of room, and neither then leaves anything that a
reader could take for something else. What is read was perhaps written by anybody: `open_regular` and `read_regular`
wait for nobody and take no more than they were told to.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import json
import os
import re
import stat
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from router_lab.runtime.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_TEMPORARY = re.compile(r"\.router-lab-[0-9a-f]{16}\.tmp")


def atomic_write(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write `data` to `path` so that a reader, or a crash at any moment, sees the old file or the new one.

    A temporary name of its own in the same directory (no process id: two containers may have the same), fsync, rename,
    fsync of the directory. Raises OSError; the old file is then untouched.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".router-lab-{os.urandom(8).hex()}.tmp")
    try:
        with temporary.open("xb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            temporary.unlink(missing_ok=True)
        raise
    sync_directory(target.parent)
    return target


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Delete what writers that were killed left in `folder`. Only for who holds the folder's lock."""
    with contextlib.suppress(OSError):
        for entry in Path(folder).iterdir():
            if _TEMPORARY.fullmatch(entry.name):
                entry.unlink(missing_ok=True)


def append_line(path: str | os.PathLike[str], line: bytes, *, sync: bool = False) -> None:
    r"""Add `line`, without its newline, to the file `path`: all of it or nothing, also among processes.

    A line that an earlier writer left torn is ended first, so that it spoils no other. Where the line cannot be written
    whole (a full disk), what was written of it is taken back. sync: fsync before returning, for what must survive a
    power cut. Raises OSError, and ValueError for a line that holds a newline.
    """
    if b"\n" in line:
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
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n" if hasattr(os, "pread") else False
        _write_whole(descriptor, (b"\n" if torn else b"") + line + b"\n", size)
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)  # which also unlocks


def _write_whole(descriptor: int, data: bytes, size: int) -> None:
    try:
        written = os.write(descriptor, data)
        while written < len(data):  # a signal, or a disk with room for a part: the next write tells which
            written += os.write(descriptor, data[written:])
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


_OTHERS = {
    stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket",
}  # fmt: skip
MOST = 1 << 31
"""Bytes of a file that are read at once where nothing says how many there may be."""


def open_regular(path: str | os.PathLike[str], most: int | None = None) -> BinaryIO:
    """The regular file `path`, open for reading; of up to `most` bytes, if given.

    Neither a device nor a pipe is opened, which could answer for ever or never. Raises InputError: the file, what is
    wrong with it and what to do.
    """
    try:
        return _opened(os.fspath(path), most)
    except (OSError, ValueError) as error:
        raise InputError(_told(os.fspath(path), error)) from None


def read_regular(path: str | os.PathLike[str], most: int = MOST) -> bytes:
    """The bytes of the regular file `path`, of which there are `most` at most. Raises InputError as `open_regular`."""
    try:
        return _bytes(os.fspath(path), most)
    except (OSError, ValueError) as error:
        raise InputError(_told(os.fspath(path), error)) from None


def unpacked(data: bytes, most: int = MOST) -> bytes:
    """What gzip packed into `data`, `most` bytes at most. Raises OSError, EOFError and zlib.error as `gzip` does."""
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
        found = packed.read(most + 1)
    if len(found) > most:
        raise OSError(errno.EFBIG, f"it unpacks to more than {most:,} bytes")
    return found


def _bytes(path: str, most: int) -> bytes:
    with _opened(path, most) as handle:
        data = handle.read(os.fstat(handle.fileno()).st_size + 1)  # asking for `most` would map that much memory first
        while more := handle.read(1 << 16):  # it grew
            if len(data) > most:
                break
            data += more
    if len(data) > most:
        raise OSError(errno.EFBIG, _too_large(most), path)
    return data


def _opened(path: str, most: int | None) -> BinaryIO:
    # Looked at before it is opened, which may do something to a device; and again, lest it was changed between.
    _refuse_other(Path(path).stat(), path, most)
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        _refuse_other(os.fstat(descriptor), path, most)
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def _refuse_other(status: os.stat_result, path: str, most: int | None) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, "is a folder; name a file", path)
    if not stat.S_ISREG(status.st_mode):
        kind = _OTHERS.get(stat.S_IFMT(status.st_mode), "no regular file")
        raise OSError(errno.EINVAL, f"is {kind}; save what it says to a file, and name that", path)
    if most is not None and status.st_size > most:
        raise OSError(errno.EFBIG, _too_large(most), path)


def _too_large(most: int) -> str:
    size = f"{most >> 20:,} MiB" if most >= 1 << 20 else f"{most:,} bytes"
    return f"has more than {size}, the most that is read of such a file; is it another one?"


def _told(path: str, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path}: no such file"
    if not isinstance(error, OSError):  # a NUL in the name, or half a character
        return f"{path}: is no name that a file can have"
    said = error.strerror or str(error)
    return f"{path}: {said}" if said.startswith(("is ", "has ")) else f"{path}: cannot be read: {said}"


class Records(NamedTuple):
    """The JSON objects of a file of lines. `numbers`: the line of each, from 1; `torn`: lines that hold no object."""

    rows: list[dict[str, Any]]
    numbers: list[int]
    torn: list[int]


def read_records(path: str | os.PathLike[str]) -> Records:
    """The objects in a file written by `append_line`; a line that a crash or a full disk cut short is passed over and
    counted. Nothing at all for a file that is not there. Raises OSError, also for what is no regular file."""
    found = Records([], [], [])
    try:
        data = _bytes(os.fspath(path), MOST)
    except FileNotFoundError:
        return found
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
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
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:  # not every system opens directories
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
