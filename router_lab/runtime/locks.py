"""A lock for a folder that one process at a time may write: a sweep's logs, a policy's releases, a
store's state.

The system's own lock (`flock`) on a file in the folder: it ends with the process that holds it,
also by kill -9, so no lock is ever left behind, and the file that stays means nothing by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from pathlib import Path

from router_lab.runtime.addresses import local_path
from router_lab.runtime.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".router-lab.lock"
WAIT_S = 30.0
"""Seconds that a writer of policies or releases waits for another one in the same folder."""
_HELD: set[FolderLock] = set()


class FolderLock:
    """Holds `folder` for one process while the context lasts; the same process cannot hold it
    twice either.

    doing: what for, said to whoever finds it held ("a sweep"). wait_s: how long to wait for
    another holder. Raises InputError if it is held by another all that time, or cannot be locked.
    A fork's child does not hold it.
    """

    def __init__(self, folder: str | os.PathLike[str], doing: str, *, wait_s: float = 0.0) -> None:
        self.folder, self.doing, self.wait_s = local_path(folder), doing, wait_s
        self._descriptor: int | None = None

    def __enter__(self) -> FolderLock:
        path = self.folder / LOCK
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
            descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
        except OSError as error:
            raise InputError(f"{path}: cannot be opened to lock the folder: {error.strerror}") from error
        try:
            self._wait(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        _HELD.add(self)
        with contextlib.suppress(OSError):  # who holds it is a courtesy; that it is held is not
            said = {
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "doing": self.doing,
                "since": int(time.time()),
            }
            os.ftruncate(descriptor, 0)
            os.write(descriptor, json.dumps(said).encode())
        return self

    def __exit__(self, *_: object) -> None:
        if fcntl is not None and self._descriptor is not None:
            # By name: a process forked while the lock was taken may have the descriptor, and
            # `_not_mine` not know it.
            with contextlib.suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self._release()

    def _release(self) -> None:
        _HELD.discard(self)
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def _wait(self, descriptor: int) -> None:
        until = time.monotonic() + self.wait_s
        while not _try(descriptor, self.folder):
            if time.monotonic() >= until:
                who = _holder(descriptor)
                raise InputError(
                    f"{self.folder}: {who} holds this folder; wait for it to end, or name another folder"
                )
            time.sleep(0.02)


def _try(descriptor: int, folder: Path) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be locked: {error.strerror}; name a folder on another disk"
        ) from error
    return True


def _holder(descriptor: int) -> str:
    try:
        said = json.loads(os.read(descriptor, 4096))
        return f"{said['doing']} (process {said['pid']} on {said['host']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _not_mine() -> None:
    """The child of a fork has the descriptor as well, and would keep the folder locked after its
    parent's end."""
    for lock in list(_HELD):
        lock._release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_not_mine)
