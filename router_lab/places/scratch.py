"""Folders for copies, each for as long as its process lives: what a kill left, the next run
deletes."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import weakref
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PREFIX = "router-lab-"
OWNED = ".router-lab-owned"
"""A file in such a folder, locked by the process that works there. The system frees the lock with
the process, also by kill -9, and a process number that another has by now cannot mislead."""


class Scratch:
    """A new folder, `path`, that `close` deletes, or the process's end; `keep` leaves it there for
    ever."""

    def __init__(self) -> None:
        sweep(Path(tempfile.gettempdir()))
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._owned = _own(self.path)
        self._gone = weakref.finalize(self, _delete, self.path, self._owned)

    @property
    def is_kept(self) -> bool:
        """Whether it was closed or is to stay."""
        return not self._gone.alive

    def keep(self) -> None:
        """What is in it is somebody's work: nobody deletes it."""
        if self._gone.detach() is not None:
            (self.path / OWNED).unlink(missing_ok=True)
            _let_go(self._owned)

    def close(self) -> None:
        """Delete it, unless it is to stay."""
        self._gone()


def _own(folder: Path) -> int | None:
    """Lock the folder's file before it has the name by which others look for it."""
    if fcntl is None:
        return None
    unnamed = folder / f"{OWNED}.new"
    descriptor = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(OSError):  # a disk without locks: then nobody sweeps here
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unnamed.rename(folder / OWNED)
    return descriptor


def _delete(folder: Path, owned: int | None) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _let_go(owned)


def _let_go(owned: int | None) -> None:
    if owned is not None:
        os.close(owned)


def sweep(parent: Path) -> None:
    """Delete the folders in `parent` whose owner is dead. What is not this user's, or has no
    owner's file (it is kept, just begun, or nobody's copy), stays."""
    if fcntl is None:
        return
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX):
                with contextlib.suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_uid == os.geteuid():
                        _swept(Path(entry.path))


def _swept(folder: Path) -> None:
    """Raises OSError where it is in use, or is no folder of a copy."""
    descriptor = os.open(folder / OWNED, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)  # raises for a link
    finally:
        os.close(descriptor)
