"""One ledger for many processes, and what they tell of their samples.

`Bank` owns the ledger; it runs in one process and does one thing at a time, so that no two calls
are held against the same dollars. `RemoteLedger` is what a process that runs samples has in place
of a `Ledger`: each call is written down by the bank before it is made. When a process dies, those
of its calls that were never answered count at their worst case as soon as somebody else takes its
portion up, or the next run reads the file.
"""

from __future__ import annotations

import datetime as dt
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from router_lab.prices import PriceTable, Tokens
from router_lab.providers.keys import SLICES
from router_lab.runtime.locks import FolderLock
from router_lab.sweep.engines.slices import DEATH_S
from router_lab.sweep.ledger import Ledger
from router_lab.sweep.progress import Counts
from router_lab.sweep.settings import Where


class Said(NamedTuple):
    """What the bank answers: `name` of a call that was opened, `usd` of one that was answered;
    `broken` as `Ledger` has it."""

    name: str = ""
    usd: float = 0.0
    broken: str | None = None


class State(NamedTuple):
    """Of a sweep as all its processes have told: money as `Ledger` has it, samples of this run,
    cells that were stopped and why, and lines for the user that are new."""

    spent_usd: float
    reserved_usd: float
    broken: str | None
    counts: Counts
    stopped: Mapping[Where, str]
    notes: tuple[str, ...]


class Teller(Protocol):
    """The bank, as a process has it that runs the portion `by`."""

    table: PriceTable

    def begin(self, by: str, where: Where) -> str | None:
        """As `Bank` has it."""

    def finish(self, by: str) -> None:
        """As `Bank` has it."""

    def open(self, by: str, worst_usd: float, most_usd: float | None) -> Said:
        """As `Bank` has it."""

    def close(
        self, by: str, name: str | None, model: str, tokens: Tokens, tools: Mapping[str, int] | None,
        seconds: float | None, tier: str | None,
    ) -> Said:  # fmt: skip
        """As `Bank` has it."""

    def end(self, by: str, name: str, *, charged: bool) -> Said:
        """As `Bank` has it."""

    def tool(self, name: str, at: dt.datetime) -> Said:
        """As `Bank` has it."""

    def unknown(self, model: str) -> Said:
        """As `Bank` has it."""

    def heard(self, counts: Counts) -> None:
        """As `Bank` has it."""

    def stop(self, where: Where, reason: str, told: str) -> None:
        """As `Bank` has it."""

    def state(self, seen: int = 0) -> State:
        """As `Bank` has it."""


class Bank:
    """Holds the ledger of a log directory, once it has taken it, for as long as its process
    lives."""

    def __init__(self, folder: Path, table: PriceTable, *, priced: bool, tier: str) -> None:
        self.folder, self.table, self._priced, self._tier = folder, table, priced, tier
        self._notes = list[str]()
        self._counts, self._stopped = Counts(), dict[Where, str]()
        self._calls: dict[str, set[str]] = defaultdict(set)

    def take(self) -> None:
        """Call first. Raises InputError where the ledger cannot be read, or the process that held
        it for an earlier run is still there after `DEATH_S` seconds."""
        self._lock = FolderLock(self.folder / SLICES, "the ledger of a sweep", wait_s=DEATH_S)
        self._lock.__enter__()
        with self._warned():
            self._ledger = Ledger(self.folder, self.table, priced=self._priced, tier=self._tier)

    def begin(self, by: str, where: Where) -> str | None:
        """A process takes up portion `by`, which no other holds: what one that died had open is
        lost. Returns why the portion's cell was stopped, if it was."""
        self.finish(by)
        return self._stopped.get(where)

    def finish(self, by: str) -> None:
        """All that portion `by` had to tell is told; a call of it that is still open is lost."""
        for name in sorted(self._calls.pop(by, ())):
            self._ledger.lose(name)

    def open(self, by: str, worst_usd: float, most_usd: float | None) -> Said:
        """As `Ledger.open`."""
        name = self._ledger.open(worst_usd, most_usd)
        self._calls[by].add(name)
        return Said(name=name)

    def close(
        self, by: str, name: str | None, model: str, tokens: Tokens, tools: Mapping[str, int] | None,
        seconds: float | None, tier: str | None,
    ) -> Said:  # fmt: skip
        """As `Ledger.close`."""
        with self._warned():
            usd = self._ledger.close(name, model, tokens, tools, seconds, tier)
        self._calls[by].discard(name or "")
        return Said(usd=usd, broken=self._ledger.broken)

    def end(self, by: str, name: str, *, charged: bool) -> Said:
        """As `Ledger.lose`, or with charged=False `Ledger.void`."""
        (self._ledger.lose if charged else self._ledger.void)(name)
        self._calls[by].discard(name)
        return Said(broken=self._ledger.broken)

    def tool(self, name: str, at: dt.datetime) -> Said:
        """As `Ledger.tool`."""
        self._ledger.tool(name, at)
        return Said(broken=self._ledger.broken)

    def unknown(self, model: str) -> Said:
        """As `Ledger.unknown`."""
        with self._warned():
            self._ledger.unknown(model)
        return Said(broken=self._ledger.broken)

    def heard(self, counts: Counts) -> None:
        """So many samples more."""
        self._counts = self._counts.plus(counts)

    def stop(self, where: Where, reason: str, told: str) -> None:
        """A cell's requests can only fail, as a process has seen; `told`: how it says so."""
        if where not in self._stopped:
            self._stopped[where] = reason
            self._notes.append(told)

    def state(self, seen: int = 0) -> State:
        """Everything, of the notes those after the first `seen`."""
        ledger = self._ledger
        return State(
            ledger.spent_usd, ledger.reserved_usd, ledger.broken, self._counts, dict(self._stopped),
            tuple(self._notes[seen:]),
        )  # fmt: skip

    @contextmanager
    def _warned(self) -> Iterator[None]:
        """What is warned of here is told to the user where the sweep was begun."""
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            yield
        self._notes += [str(one.message) for one in found]


class RemoteLedger:
    """A `Ledger` that a bank keeps; `by`: the portion whose calls are made here."""

    def __init__(self, bank: Teller, by: str) -> None:
        self.bank, self.by, self.table = bank, by, bank.table
        self.broken: str | None = None

    @property
    def spent_usd(self) -> float:
        """Of all processes and runs."""
        return self.bank.state().spent_usd

    @property
    def reserved_usd(self) -> float:
        """Part of `spent_usd`."""
        return self.bank.state().reserved_usd

    def open(self, worst_usd: float, most_usd: float | None = None) -> str:
        """As `Ledger` has it, against what all processes have spent and at risk."""
        return self.bank.open(self.by, worst_usd, most_usd).name

    def close(
        self, name: str | None, model: str, tokens: Tokens, tools: Mapping[str, int] | None = None,
        seconds: float | None = None, tier: str | None = None,
    ) -> float:  # fmt: skip
        """As `Ledger` has it."""
        return self._noted(self.bank.close(self.by, name, model, tokens, tools, seconds, tier)).usd

    def tool(self, name: str, at: dt.datetime) -> None:
        """As `Ledger` has it."""
        self._noted(self.bank.tool(name, at))

    def void(self, name: str) -> None:
        """As `Ledger` has it."""
        self._noted(self.bank.end(self.by, name, charged=False))

    def lose(self, name: str) -> None:
        """As `Ledger` has it."""
        self._noted(self.bank.end(self.by, name, charged=True))

    def unknown(self, model: str) -> None:
        """As `Ledger` has it."""
        self._noted(self.bank.unknown(model))

    def _noted(self, said: Said) -> Said:
        self.broken = said.broken or self.broken
        return said
