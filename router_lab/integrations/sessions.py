"""Sessions of a host: who served each so far, what its prompt cache holds, and what it may spend.

Held in the memory of one process, the newest few thousand of them.
"""

from __future__ import annotations

import threading
from itertools import islice
from typing import NamedTuple, TypeVar

from router_lab.runtime.budget import Budget
from router_lab.runtime.model import Candidate, Prices

FREE = Prices(0.0, 0.0)
"""Of a session's whole budget: each turn has the prices of who serves it."""


class Used(NamedTuple):
    """Tokens of one call as the provider counts them: `input` with those read from and written to
    its prompt cache; `held` of them are in the cache now."""

    input: int = 0
    output: int = 0
    read: int = 0
    held: int = 0


class Served(NamedTuple):
    """Who served a session last, the tokens that its prompt cache holds, those of the context with
    the answer, and when, in seconds of the sessions' clock."""

    candidate: Candidate
    cached: int
    context: int
    at: float


class Allowance(NamedTuple):
    """What one session may spend; None = no such limit. Dollars at the prices of the policy."""

    turns: int | None = None
    tokens: int | None = None
    usd: float | None = None


Value = TypeVar("Value")


def bounded(kept: dict[str, Value], most: int) -> list[Value]:
    """Forget the first of `kept`, where it has more than `most`, and give them back. Some at once:
    a dict whose first one is taken out again and again looks for it ever longer."""
    if len(kept) <= most:
        return []
    return [kept.pop(key) for key in list(islice(kept, 1 + most // 64))]


class Sessions:
    """A bounded map, safe among threads and tasks: nothing waits while it is locked.

    most: how many are kept; those that were used the longest ago are forgotten first, with what
    they spent. cache_s: seconds for which a provider keeps a prompt cache after its last use.
    """

    def __init__(self, most: int, cache_s: float, allowance: Allowance) -> None:
        if most < 1:
            raise ValueError(f"sessions: most is {most!r}; at least one must be kept")
        self._most, self._cache_s, self._allowance = most, cache_s, allowance
        self._limited = allowance != Allowance()
        self._served: dict[str, Served] = {}
        self._budgets: dict[str, Budget] = {}
        # A stream that is dropped tells of its end from within the collector of garbage, which may
        # run in the very thread that holds this.
        self._lock = threading.RLock()

    def __len__(self) -> int:
        with self._lock:
            return len(self._served)

    def served(self, key: str | None, now: float) -> Served | None:
        """Who served the session so far; its cache is empty once its time has run out."""
        if key is None:
            return None
        with self._lock:
            found = self._served.pop(key, None)
            if found is None:
                return None
            self._served[key] = found  # the last in order
        return found if now - found.at <= self._cache_s else found._replace(cached=0)

    def serve(self, key: str | None, served: Served) -> None:
        """Remember who served a turn."""
        if key is not None:
            with self._lock:
                self._served.pop(key, None)
                self._served[key] = served
                if len(self._served) > self._most:
                    bounded(self._served, self._most)

    def budget(self, key: str | None) -> Budget | None:
        """The budget of a named session, made with its first turn, or of a request without one;
        None where there is no allowance."""
        if not self._limited:
            return None
        if key is None:
            return self._fresh()
        with self._lock:
            found = self._budgets.pop(key, None)
            if found is None:
                found = self._fresh()
            self._budgets[key] = found  # the last in order
            if len(self._budgets) > self._most:
                bounded(self._budgets, self._most)
            return found

    def _fresh(self) -> Budget:
        turns, tokens, usd = self._allowance
        return Budget(max_turns=turns, max_tokens=tokens, max_usd=usd, prices=FREE)

    @property
    def allowance(self) -> Allowance:
        return self._allowance
