"""Who may write beneath an address for a while: an object there that says so, and runs out.

A lock of the system ends with its process; an object stays after kill -9. So it says until when it
holds and is renewed while its holder lives; who died is waited for no longer than that. Its
holder's own next run on the same machine shows by the same token that nobody else came between,
and need not wait.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import socket
import time
from collections.abc import Callable

from router_lab.places.store import ABSENT, ChangedThereError, Store
from router_lab.runtime.errors import InputError
from router_lab.runtime.locks import LOCK

HOLDS_S = 300.0
"""Seconds that a lease holds unless it is renewed: how long a dead machine keeps others waiting."""
VARIABLE = "ROUTER_LAB_LEASE_S"
"""Variable of the environment: other seconds."""
RENEWALS = 10
"""A holder renews it this often while it would hold."""


class LostError(InputError):
    """Another holds the address by now: nothing more may be put there."""


class Lease:
    """The lease of everything beneath an address, for who knows `token`.

    doing: what for, said to whoever finds it held ("a sweep"). Clocks of machines that share an
    address may differ by less than HOLDS_S.
    """

    def __init__(
        self, store: Store, token: str, doing: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._store, self._token, self._doing, self._clock = store, token, doing, clock
        self._stamp, self._holds_s = ABSENT, _seconds()
        self.until = 0.0
        """When it ends, in seconds since 1970, unless it is renewed."""

    def take(self) -> bool:
        """Hold the address; whether this token has held it last, and nobody since. Raises
        InputError while another holds it."""
        for _ in range(3):
            entry = self._store.entry(LOCK)
            said = {} if entry is None else self._said()
            mine = said.get("token") == self._token
            if entry is not None and not mine and _until(said) > self._clock():
                raise InputError(self._held(said))
            try:
                self._put(ABSENT if entry is None else entry.stamp)
            except ChangedThereError:  # another was quicker: who?
                continue
            return mine
        raise InputError(f"{self._store.address}: others begin there at the same moment; run it again")

    @property
    def renewed_s(self) -> float:
        """Seconds after which it is to be renewed."""
        return self._holds_s / RENEWALS

    def renew(self) -> None:
        """Hold it as long again, if it is time. Raises LostError where another has taken it, and
        InputError where the address cannot be reached."""
        if self._clock() > self.until - self._holds_s + self.renewed_s:
            try:
                self._put(self._stamp)
            except ChangedThereError:
                raise LostError(
                    f"{self._store.address}: another run has taken it, so this one was stopped; see who writes there"
                ) from None

    def has_ended(self) -> bool:
        """Whether another may take it by now."""
        return self._clock() > self.until

    def release(self) -> None:
        """Let the next one in; nothing where another holds it already."""
        with contextlib.suppress(ChangedThereError):
            self._store.delete(LOCK, self._stamp)

    def _put(self, expected: str) -> None:
        until = self._clock() + self._holds_s
        said = {
            "token": self._token,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "doing": self._doing,
            "until": until,
        }
        self._stamp = self._store.write(LOCK, json.dumps(said).encode(), expected)
        self.until = until

    def _said(self) -> dict[str, object]:
        """What the lease that is there says; nothing where it is gone or was not written by this
        project: anybody may take such a one."""
        try:
            said = json.loads(self._store.read(LOCK))
        except (ValueError, RecursionError, InputError):
            return {}
        return said if isinstance(said, dict) else {}

    def _held(self, said: dict[str, object]) -> str:
        who = f"{said.get('doing')} (process {said.get('pid')} on {said.get('host')})"
        moment = dt.datetime.fromtimestamp(_until(said), dt.UTC)
        return (
            f"{self._store.address}: {who} holds this address, at least until {moment:%H:%M:%S} UTC; if it was killed, "
            "run this again after that, else wait for it to end, or name another address"
        )


def _until(said: dict[str, object]) -> float:
    until = said.get("until")
    return float(until) if isinstance(until, int | float) and until < 1e11 else 0.0


def _seconds() -> float:
    given = os.environ.get(VARIABLE)
    try:
        seconds = HOLDS_S if given is None else float(given)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds < 1e6:
        raise InputError(f"{VARIABLE}={given}: must be seconds, 1 or more")
    return seconds
