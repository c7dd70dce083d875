"""What a `PolicyStore` remembers: in memory always, and as far as its disk goes in a `State` that
outlives it.

The disk is a fallback and never a precondition: what it refuses is told, tried again, and serves
all the same. Other processes may write to it, so what they have accepted meanwhile is heard before
anything new is taken.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from os import PathLike

from router_lab.runtime.accepting import Rules
from router_lab.runtime.artifact import Opened
from router_lab.runtime.errors import PolicyError, RouterLabError
from router_lab.runtime.state import Remembered, State
from router_lab.runtime.status import StatusReporter


class LastKnownGood:
    """`known`: what is remembered, to be changed under `lock`, which is held for moments only.
    `bound`: the name and alias that the store was given."""

    def __init__(
        self,
        state: str | PathLike[str] | None,
        bound: tuple[str | None, str | None],
        reporter: StatusReporter,
        rules: Rules,
    ) -> None:
        self.state = None if state is None else State(state)
        self.known = Remembered(name=bound[0], alias=bound[1])
        self._bound, self._reporter, self._rules = bound, reporter, rules
        self._read = state is None
        self._unsaved: tuple[Opened, bool] | None = None
        self.renew()

    def renew(self) -> None:
        """Also in the child of a fork, which has the lock as another thread may have held it."""
        self.lock = threading.Lock()

    def read(self, *, again: bool = False) -> None:
        """Before the first acceptance, whatever the way to it; `again` for what another process
        has done since."""
        if self.state is None or (self._read and not again):
            return
        disk, fault = self.state.read()
        with self.lock:
            first, self._read = not self._read, True
            pairs = zip(self._bound, (disk.name, disk.alias), strict=True)
            # Of what served under another setting, nothing counts.
            if not any(want and had and want != had for want, had in pairs):
                self.known = self._loaded(disk) if first else self._heard(disk)
        if fault is not None and not again:
            self._reporter.tell(state_fault=fault)
            self._reporter.refuse(PolicyError(f"state: {fault}"))

    def accepted(self, opened: Opened, restart: bool) -> None:
        """To be kept by the next `save`; restart: whether numbers start anew with it."""
        self._unsaved = None if self.state is None else (opened, restart)

    def save(self) -> None:
        """Keep what was accepted, if it is not kept yet."""
        unsaved, state = self._unsaved, self.state
        if unsaved is None or state is None:
            return
        if self._on_disk(lambda: state.keep(unsaved[0], self.known, restart=unsaved[1])):
            self._unsaved = None
        else:  # there may be room for the number alone
            with contextlib.suppress(OSError, RouterLabError):
                state.write(self.known, restart=unsaved[1])

    def write(self, *, restart: bool = False) -> None:
        """Keep what is known, without a policy to be kept."""
        self._unsaved, state = None, self.state
        if state is not None:
            self._on_disk(lambda: state.write(self.known, restart=restart))

    def _loaded(self, disk: Remembered) -> Remembered:
        name, alias = self._bound
        newest = max(disk.release, self.known.release)
        return disk._replace(release=newest, name=name or disk.name, alias=alias or disk.alias)

    def _heard(self, disk: Remembered) -> Remembered:
        mine = self.known
        # Keys that are trusted at a time sign one row of numbers; of one that no longer is,
        # numbers say nothing.
        same = disk.signer == mine.signer or self._rules.counts(disk.signer)
        if same and disk.release > mine.release:
            return self._loaded(disk)
        if disk.release == mine.release:  # another process may have rolled back from it
            return mine._replace(rejected=tuple(dict.fromkeys(mine.rejected + disk.rejected)))
        return mine

    def _on_disk(self, write: Callable[[], Remembered]) -> bool:
        assert self.state is not None
        try:
            disk = write()
        except (OSError, RouterLabError) as error:
            fault = f"{self.state.directory}: cannot be written: {error}; what serves is not kept"
            news = self._reporter.now.state_fault is None
            self._reporter.tell(state_fault=fault)
            if news:
                self._reporter.refuse(PolicyError(fault))
            return False
        with self.lock:
            self.known = self.known._replace(current=disk.current, previous=disk.previous)
        self._reporter.tell(state_fault=None)
        return True
