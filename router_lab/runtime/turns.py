"""Decisions of one process are made one after the other.

Under an interpreter lock no two could be computed at once anyway. But numpy lets go of that lock within an array
operation, another thread takes it, and both go on by turns of microseconds, each paid with the waking of a thread: with
8 threads and 2,000 decisions a second that doubled the 99th percentile (`make bench-threads`). Who waits here waits for
whole decisions instead. Nothing of a caller's own may run inside. And who has waited for PATIENCE_S goes on without:
at the interpreter's end a daemon thread may hold the turn and never run again.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

PATIENCE_S = 1.0
TURN: Any
"""Of `acquire(timeout=…)` and `release`. Whoever has it may take it again: a signal's handler may decide."""


class _Free:
    """Where there is no interpreter lock, decisions are made at once."""

    def acquire(self, timeout: float) -> bool:
        return False


def _renew() -> None:
    """Also in the child of a fork, which has the lock as another thread may have held it."""
    global TURN
    free = not getattr(sys, "_is_gil_enabled", lambda: True)()
    TURN = _Free() if free else threading.RLock()


_renew()
if hasattr(os, "register_at_fork"):  # elsewhere there is no fork
    os.register_at_fork(after_in_child=_renew)
