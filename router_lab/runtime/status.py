"""What a `PolicyStore` says of itself: a status that can be read at any moment, and refusals told
once in a row."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from router_lab.runtime.errors import PolicyError


class Status(NamedTuple):
    """Of a store, now: what serves, since when (UTC seconds), checks made and refused, and the
    last refusal."""

    revision: str | None
    release: int
    since: float | None
    checks: int
    refused: int
    last_refusal: str | None
    interrupted_since: float | None = None
    """Since when no look at the source has succeeded; None while they do. To alert on, after some
    intervals."""
    last_success: float | None = None
    state_fault: str | None = None
    """Why what serves is not kept on disk, or what is wrong there; None where all is well. To
    alert on."""
    origin: str = "default"
    """Where what serves comes from: `source`, `kept` (the last good one on disk), `previous` (the
    one before it, where that was damaged, or after a rollback), `default`."""
    expires: float | None = None
    """When the release that serves is over: it serves on, and no host takes it anew."""
    policy_expires: str | None = None
    """UTC date from which on the policy that serves decides the reference."""
    retires: str | None = None
    """UTC date on which the first of its candidates retires, and serves nothing more."""


class StatusReporter:
    """Keeps a status that several threads change; `now` is one of them whole. on_refused: told of
    each refusal that differs from the one before, outside of every lock, so that it may ask the
    store for anything."""

    def __init__(self, on_refused: Callable[[PolicyError], None] | None, clock: Callable[[], float]) -> None:
        self.now = Status(None, 0, None, 0, 0, None)
        self._on_refused, self._clock = on_refused, clock
        self.renew()

    def renew(self) -> None:
        """Also in the child of a fork, which has the lock as another thread may have held it."""
        self._lock = threading.Lock()

    def tell(self, **changes: Any) -> None:
        """Change these fields."""
        with self._lock:
            self.now = self.now._replace(**changes)

    def looked(self) -> None:
        """A look at the source has begun."""
        with self._lock:
            self.now = self.now._replace(checks=self.now.checks + 1)

    def refuse(self, error: BaseException, *, of_source: bool = False) -> None:
        """Count it, and tell who asked to be told; `of_source`: the source could not be used."""
        told = (
            error
            if isinstance(error, PolicyError)
            else PolicyError(f"policy store: the source failed: {error!r}")
        )
        with self._lock:
            before, since = self.now.last_refusal, self.now.interrupted_since
            if of_source and since is None:
                since = self._clock()
            self.now = self.now._replace(
                refused=self.now.refused + 1, last_refusal=str(told), interrupted_since=since
            )
        if str(told) != before and self._on_refused is not None:
            with contextlib.suppress(Exception):
                self._on_refused(told)
