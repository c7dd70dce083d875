"""Every call of a sweep as it is made and answered, in a file that outlives the process: what
money was really spent.

One JSON object a line in `ledger.jsonl` of the log directory: `{"open": id, "usd": worst case}`
before a call under a budget, `{"call": id, "model": …, "tokens": […], "at": …}` after any call. A
call that was opened and never closed, because the process died or the line broke, counts as its
worst case: the provider may have charged it.
"""

from __future__ import annotations

import datetime as dt
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from router_lab.prices import PriceTable, Tokens, utc
from router_lab.prices.table import Moment
from router_lab.runtime.budget import MOST_TOKENS
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.files import append_line, read_records
from router_lab.runtime.kinds import KINDS

if TYPE_CHECKING:
    from router_lab.sweep.plan import Plan

LEDGER = "ledger.jsonl"
MOST_USD = 1e9
"""No call can cost more."""
WRITTEN = 5
"""Of Tokens at least the input's three kinds, cached an hour, and the output are in every line
ever written."""


class Book(Protocol):
    """What a running sweep asks of its ledger, which may be another process's."""

    table: PriceTable

    @property
    def spent_usd(self) -> float:
        """As `Ledger` has it."""

    @property
    def reserved_usd(self) -> float:
        """As `Ledger` has it."""

    @property
    def broken(self) -> str | None:
        """As `Ledger` has it."""

    def open(self, worst_usd: float, most_usd: float | None = None) -> str:
        """As `Ledger` has it."""

    def close(
        self, name: str | None, model: str, tokens: Tokens, tools: Mapping[str, int] | None = None,
        seconds: float | None = None, tier: str | None = None,
    ) -> float:  # fmt: skip
        """As `Ledger` has it."""

    def tool(self, name: str, at: dt.datetime) -> None:
        """As `Ledger` has it."""

    def void(self, name: str) -> None:
        """As `Ledger` has it."""

    def lose(self, name: str) -> None:
        """As `Ledger` has it."""

    def unknown(self, model: str) -> None:
        """As `Ledger` has it."""


class Ledger:
    """Append-only. `spent_usd`: what was answered, and what may have been; `at_risk_usd`: calls
    not yet answered."""

    def __init__(
        self, folder: Path, table: PriceTable, *, priced: bool, tier: str = "standard", reading: bool = False
    ) -> None:
        """Read what earlier runs wrote; with `reading` no more than that: nothing on disk changes.

        With `priced`, a call without a price is an error; without, it counts nothing
        and is warned of once a model.

        Raises InputError for a whole line that is no ledger entry.
        """
        self.path, self.table, self.priced, self.tier = folder / LEDGER, table, priced, tier
        self.spent_usd = 0.0
        self.reserved_usd = 0.0
        """Part of `spent_usd`: the worst case of calls that were never answered, which may not
        have been charged."""
        self.reading = reading
        self.broken: str | None = None
        """Why a line could not be written: no further call may be made, for its money would not be
        known."""
        self.calls = 0
        self._open: dict[str, float] = {}
        self._unpriced: set[str] = set()
        if self.path.exists() and not self.path.is_file():
            raise InputError(
                f"{self.path}: is no regular file, so the money spent cannot be known; move it away"
            )
        self._next = self._replay() if self.path.exists() else 0
        for name in list(self._open):
            self._count_lost(name)

    @property
    def at_risk_usd(self) -> float:
        """Worst case of the open calls."""
        return sum(self._open.values())

    def open(self, worst_usd: float, most_usd: float | None = None) -> str:
        """A call is about to be made that costs at most `worst_usd`; returns its id. Raises
        InputError, and the call must not be made, if it cannot be written down, or with what is
        spent and at risk could pass `most_usd`."""
        risked = self.spent_usd + self.at_risk_usd
        if most_usd is not None and risked + worst_usd > most_usd * (1 + 1e-12):
            raise InputError(
                f"the budget of ${most_usd:g} does not hold one more call: ${risked:.6f} are spent or at risk, "
                f"and it may cost ${worst_usd:.6f}; what was not run continues with a larger budget"
            )
        self._next += 1
        name = str(self._next)
        if not self._write({"open": name, "usd": worst_usd}):
            raise InputError(str(self.broken))
        self._open[name] = worst_usd
        return name

    def close(
        self,
        name: str | None,
        model: str,
        tokens: Tokens,
        tools: Mapping[str, int] | None = None,
        seconds: float | None = None,
        tier: str | None = None,
    ) -> float:
        """A call was answered; returns its dollars. `name=None`: it was never opened, for want of
        a budget.

        tier: at which it was made, by default the sweep's. tools: calls of tools that the provider
        ran. seconds: how long it took; it is priced when it was made.
        """
        at = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds or 0.0)
        entry: dict[str, Any] = {
            "call": name,
            "model": model,
            "tokens": list(tokens),
            "at": at.isoformat(timespec="seconds"),
        }
        entry |= {"tools": dict(tools)} if tools else {}
        tier = tier or self.tier
        if not self._write(entry if tier == "standard" else {**entry, "tier": tier}) and name is not None:
            worst = self._open.get(name, 0.0)  # what the file says of it: opened, and so its worst case
            self._count_lost(name)
            return worst
        return self._answered(name, model, tokens, tools or {}, at, tier)

    def tool(self, name: str, at: dt.datetime) -> None:
        """A tool that the harness runs, and that has a price, was called."""
        self._write({"tool": name, "at": at.isoformat(timespec="seconds")})
        self.spent_usd += self.table.own_tools({name: 1}, at)

    def void(self, name: str) -> None:
        """The provider refused the call with a status code: it costs nothing."""
        if self._write({"void": name}):
            self._open.pop(name, None)
        else:
            self._count_lost(name)

    def lose(self, name: str) -> None:
        """The line broke: the call counts at its worst case for ever."""
        self._write({"lost": name})
        self._count_lost(name)

    def unknown(self, model: str) -> None:
        """A call that was never opened, for want of a budget, was answered with figures that
        cannot be."""
        self.calls += 1
        self._unknown(model, "the server's figures of what they used cannot be")

    def _unknown(self, model: str, reason: object) -> None:
        if model not in self._unpriced:
            self._unpriced.add(model)
            text = f"calls of {model!r} are not in what this sweep says it spent: {reason}"
            warnings.warn(RouterLabWarning(text), stacklevel=4)

    def _count_lost(self, name: str) -> None:
        worst = self._open.pop(name, 0.0)
        self.spent_usd += worst
        self.reserved_usd += worst

    def _answered(
        self, name: str | None, model: str, tokens: Tokens, tools: Mapping[str, int], at: Moment, tier: str
    ) -> float:
        self._open.pop(name or "", None)
        self.calls += 1
        try:
            usd = self.table.cost(model, tokens, at, tier) + self.table.provider_tools(model, tools, at)
        except InputError as error:
            if self.priced:
                raise
            usd = 0.0
            self._unknown(model, error)
        self.spent_usd += usd
        return usd

    def _write(self, entry: dict[str, Any]) -> bool:
        """Whether the line is in the file; a power cut may cost the last ones, the death of the
        process none."""
        try:
            append_line(self.path, json.dumps(entry, separators=(",", ":")).encode())
        except OSError as error:
            rule = f"the ledger cannot be written: {error.strerror}; mend that (free some room) and run the sweep again"
            self.broken = self.broken or f"{self.path}: {rule}"
            return False
        return True

    def _replay(self) -> int:
        """Apply the file's entries and return a number that no call of it has; lines cut short are
        passed over, any other that is no entry is an InputError.

        Passing over is safe under a budget, where each call was opened on a line of its own before
        it was made: without its answer it counts at its worst case, and without that line it was
        not made. Elsewhere its money is unknown.
        """
        try:
            records, lines = read_records(self.path), self.path.read_bytes().split(b"\n")
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be read, so the money spent is not known: {error}"
            ) from error
        for number in records.torn:
            begun = lines[number - 1]
            if not b'{"'.startswith(begun[:2]) or begun.endswith(b"}"):
                self._refuse(number)
        opened = any("open" in row for row in records.rows)
        for number, row in zip(records.numbers, records.rows, strict=True):
            try:
                self._apply(row)
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
                self._refuse(number)
        if records.torn and not self.reading:
            what = (
                "calls under way count at their worst case"
                if opened
                else "what these calls cost is not known"
            )
            told = f"{self.path}: {len(records.torn)} lines were cut short, the first is line {records.torn[0]}; {what}"
            warnings.warn(RouterLabWarning(told), stacklevel=3)
        return max([0, *records.numbers, *records.torn])

    def _refuse(self, number: int) -> NoReturn:
        rule = "is no ledger entry, so the money spent cannot be known"
        raise InputError(f"{self.path}: line {number} {rule}; mend it, or use a new log directory") from None

    def _apply(self, entry: dict[str, Any]) -> None:
        if "open" in entry:
            worst = entry["usd"]
            if isinstance(worst, bool) or not isinstance(worst, int | float) or not 0 <= worst <= MOST_USD:
                raise ValueError(worst)
            self._count_lost(entry["open"])  # two sweeps once wrote here at a time, by the same numbers
            self._open[entry["open"]] = float(worst)
        elif "call" in entry:
            # `day` alone: written before prices by the hour were known here.
            at = utc(entry["at"]) if "at" in entry else dt.date.fromisoformat(entry["day"])
            tokens, tier = Tokens(*entry["tokens"]), entry.get("tier", "standard")
            if len(entry["tokens"]) < WRITTEN or not isinstance(entry["model"], str):
                raise ValueError(entry)
            tools = entry.get("tools", {}).values()
            counts = (getattr(tokens, kind.name) for kind in KINDS)
            if not all(_is_count(n) for n in (*counts, *(n for _, n in tokens.other), *tools)):
                raise ValueError(tokens)
            self._answered(entry["call"], entry["model"], tokens, entry.get("tools", {}), at, tier)
        elif "tool" in entry:
            self.spent_usd += self.table.own_tools({entry["tool"]: 1}, utc(entry["at"]))
        elif "lost" in entry:
            self._count_lost(entry["lost"])
        else:
            self._open.pop(entry["void"], None)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS


def budget_left(plan: Plan, folder: Path) -> float | None:
    """Dollars of a plan's budget that the runs in `folder` have not spent; None without a
    budget."""
    if plan.budget_usd is None:
        return None
    return max(0.0, plan.budget_usd - Ledger(folder, plan.prices(), priced=False, reading=True).spent_usd)


def refuse_forgotten(folder: Path, paid: int) -> None:
    """Raises InputError where `paid` samples in `folder` were paid for, and what they cost is not
    there any more."""
    path = folder / LEDGER
    if paid and not path.exists():
        rule = "so what is left of a budget is not known; put the file back, use a new log directory, or no budget"
        raise InputError(f"{path}: is gone, and {paid:,} samples beside it were paid for, {rule}")
