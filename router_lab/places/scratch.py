"""Folders for copies, within one of this process, which lasts as long as they do: what a kill left,
the next run deletes."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import weakref
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PREFIX = "router-lab-"
OWNED = ".router-lab-owned"
"""A file in a process's folder, which that process keeps locked. The system frees the lock with the
process, also by kill -9, and a process number that another has by now cannot mislead."""


class Scratch:
    """A new folder, `path`, that `close` deletes, or the process's end."""

    def __init__(self) -> None:
        self._home = _Home.enter()
        self.path = Path(tempfile.mkdtemp(dir=self._home.path))
        self._gone = weakref.finalize(self, _delete, self.path, self._home)

    @property
    def is_over(self) -> bool:
        """Whether it was closed or kept."""
        return not self._gone.alive

    def keep(self) -> Path:
        """What is in it is somebody's work: where it lies from now on, and nobody deletes it."""
        kept = Path(tempfile.mkdtemp(prefix=PREFIX)) / "kept"
        self.path.rename(kept)
        self.close()
        return kept

    def close(self) -> None:
        """Delete it."""
        self._gone()


class _Home:
    """The folder of this process."""

    now: _Home | None = None
    # A collection of garbage may close a copy while this very thread is opening another.
    lock = threading.RLock()

    def __init__(self) -> None:
        parent = Path(tempfile.gettempdir())
        sweep(parent)
        self.process, self.copies = os.getpid(), 0
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        self._owned = _own(self.path)

    @classmethod
    def enter(cls) -> _Home:
        """The one of now, for one copy more: a fork's child has its own, and so has who finds that
        a cleaner of the disk took it."""
        with cls.lock:
            found = cls.now
            if found is not None:
                found.copies += 1  # before its folder is looked at, or it may go after that
                if found.process == os.getpid() and found.path.is_dir():
                    return found
            found = cls.now = _Home()
            found.copies = 1
            return found

    def leave(self) -> None:
        """One copy less; with the last the folder goes."""
        with _Home.lock:
            self.copies -= 1
            if self.copies:
                return
            shutil.rmtree(self.path, ignore_errors=True)
            if self._owned is not None:
                os.close(self._owned)
            if _Home.now is self:
                _Home.now = None


def _delete(folder: Path, home: _Home) -> None:
    if home.process == os.getpid():  # not where the child of a fork ends
        shutil.rmtree(folder, ignore_errors=True)
        home.leave()


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
    """Raises OSError where it is in use, or is no folder of copies."""
    descriptor = os.open(folder / OWNED, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)  # raises for a link
    finally:
        os.close(descriptor)
