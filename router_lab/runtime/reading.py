"""Files from outside, read: regular ones, of a bounded size, and nothing that could answer for
ever or never."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import os
import stat
import zlib
from pathlib import Path
from typing import BinaryIO

from router_lab.runtime.errors import InputError

_OTHERS = {
    stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a symlink",
}  # fmt: skip
SMALL = 1 << 16
"""Bytes of a file that holds a few values, such as a key or a release."""
MOST = 1 << 31
"""Bytes of a file that are read at once where nothing says how many there may be."""


def open_regular(path: str | os.PathLike[str], most: int | None = None) -> BinaryIO:
    """The regular file `path`, open for reading; of up to `most` bytes, if given.

    Neither a device nor a pipe is opened, which could answer for ever or never. Raises InputError:
    the file, what is wrong with it and what to do.
    """
    try:
        return _opened(os.fspath(path), most)
    except (OSError, ValueError) as error:
        raise InputError(_told(os.fspath(path), error)) from None


def read_regular(path: str | os.PathLike[str], most: int = MOST) -> bytes:
    """The bytes of the regular file `path`, of which there are `most` at most. Raises InputError
    as `open_regular`."""
    try:
        return read_bytes(path, most)
    except (OSError, ValueError) as error:
        raise InputError(_told(os.fspath(path), error)) from None


def unpacked(data: bytes, most: int = MOST) -> bytes:
    """What gzip packed into `data`, `most` bytes at most. Raises OSError, EOFError and zlib.error
    as `gzip` does."""
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
        found = packed.read(most + 1)
    if len(found) > most:
        raise OSError(errno.EFBIG, f"it unpacks to more than {most:,} bytes")
    return found


def unpacked_part(data: bytes, most: int = MOST) -> bytes:
    """As much of what gzip packed into `data` as can be unpacked, where not all of it can; nothing
    where that is more than `most` bytes."""
    found, size = list[bytes](), 0
    with (
        gzip.GzipFile(fileobj=io.BytesIO(data)) as packed,
        contextlib.suppress(OSError, EOFError, zlib.error),
    ):
        while part := packed.read1(1 << 16):
            size += len(part)
            if size > most:
                return b""
            found.append(part)
    return b"".join(found)


def read_bytes(path: str | os.PathLike[str], most: int = MOST, *, follow: bool = True) -> bytes:
    """`read_regular` for those who tell of an error themselves. follow: False refuses a symlink.
    Raises OSError."""
    path = os.fspath(path)
    with _opened(path, most, follow) as handle:
        # Asking for `most` would map that much memory first.
        data = handle.read(os.fstat(handle.fileno()).st_size + 1)
        while more := handle.read(1 << 16):  # it grew
            if len(data) > most:
                break
            data += more
    if len(data) > most:
        raise OSError(errno.EFBIG, _too_large(most), path)
    return data


def _opened(path: str, most: int | None, follow: bool = True) -> BinaryIO:
    # Looked at before it is opened, which may do something to a device; and again, lest it was
    # changed between.
    _refuse_other(Path(path).stat(follow_symlinks=follow), path, most)
    flags = (
        os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    flags |= 0 if follow else getattr(os, "O_NOFOLLOW", 0)
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
