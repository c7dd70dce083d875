"""Decisions of one process are made one after the other: `with decision_lock.LOCK:`.

Under an interpreter lock no two could be computed at once anyway. But numpy lets go of that lock
within an array operation, another thread takes it, and both go on by turns of microseconds, each
paid with the waking of a thread: with 8 threads and 2,000 decisions a second that doubled the 99th
percentile (`make bench-threads`). Who waits here waits for whole decisions instead. Nothing of a
caller's own may run inside, so that it always ends; but where the interpreter ends, a daemon
thread may hold the turn and never run again, so from then on there is none.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from typing import Any

LOCK: contextlib.AbstractContextManager[Any]
"""Whoever is in it may enter again: a signal's handler may ask for a decision. `with` it: between
`acquire` and a `try` a signal could raise, and the turn would never be given back."""


def _renew() -> None:
    """Also in the child of a fork, which has the lock as another thread may have held it."""
    global LOCK
    free = not getattr(sys, "_is_gil_enabled", lambda: True)()
    LOCK = contextlib.nullcontext() if free else threading.RLock()


def _end() -> None:
    global LOCK
    LOCK = contextlib.nullcontext()


_renew()
atexit.register(_end)
if hasattr(os, "register_at_fork"):  # elsewhere there is no fork
    os.register_at_fork(after_in_child=_renew)
