"""When a store looks at its source: a thread of its own, at intervals that no fleet shares, also
after a fork.

A look may hang for ever, on a dead disk or in the caller's own function. So nothing waits for one
without a bound, and a look that ends after its thread was given up changes nothing: it carries the
number of its turn.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Callable

import numpy as np

JITTER = 0.1
"""A wait is this share longer or shorter: hosts that were started together do not ask together."""
_ALL: weakref.WeakSet[Poller] = weakref.WeakSet()


class Poller:
    """Calls `look(turn)` in a daemon thread, at once and then every `interval_s` seconds, jittered
    by `rng`.

    Raises ValueError for an interval that is not a finite number above 0.
    """

    def __init__(
        self, look: Callable[[int], object], interval_s: float, rng: np.random.Generator | None = None
    ) -> None:
        if isinstance(interval_s, bool) or not (math.isfinite(interval_s) and interval_s > 0):
            raise ValueError(f"interval_s: {interval_s!r} is not a finite number of seconds above 0")
        self.interval_s = interval_s
        self._look, self._rng = look, rng
        self.asleep = False
        """Whether this is a fork's child whose parent looked: it begins to with the first
        `wake`."""
        self.turn = 0
        self._renew()
        _ALL.add(self)

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self.one_at_a_time = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.turn += 1

    def start(self) -> None:
        """Begin, unless it looks already."""
        with self._lock:
            self.asleep = False
            if self._thread is None:
                self._stop = threading.Event()
                self._thread = threading.Thread(
                    target=self._run,
                    args=(self.turn, self._stop),
                    name="router-lab-policy-store",
                    daemon=True,
                )
                self._thread.start()

    def stop(self, wait_s: float) -> None:
        """End it; a look that is under way for `wait_s` seconds more is given up: it ends when it
        ends, and changes nothing."""
        with self._lock:
            self.asleep = False
            thread, self._thread = self._thread, None
            self._stop.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(wait_s)
        with self._lock:
            self.turn += 1
            if thread is not None and thread.is_alive():
                self.one_at_a_time = threading.RLock()

    def _run(self, turn: int, stop: threading.Event) -> None:
        rng = np.random.default_rng() if self._rng is None else self._rng
        while turn == self.turn:
            self._look(turn)
            if stop.wait(self.interval_s * (1.0 + JITTER * (2.0 * float(rng.random()) - 1.0))):
                return


def _forked() -> None:
    """A child has the locks as another thread may have held them, and none of the threads."""
    for poller in list(_ALL):
        poller.asleep = poller.asleep or poller._thread is not None
        poller._renew()


if hasattr(os, "register_at_fork"):  # elsewhere there is no fork
    os.register_at_fork(after_in_child=_forked)
