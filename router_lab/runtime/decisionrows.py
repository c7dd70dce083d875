"""A decision log read back: each decision with what became of it, in memory of some 300 bytes a
decision.

The files are read twice: once for the ids and the outcomes, which are kept as columns, and once
for the decisions, one at a time. So prompts are never held, and an outcome may stand before its
decision, or in another file.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from router_lab.runtime.decisionfiles import Parts, log_row
from router_lab.runtime.decisionstages import Later
from router_lab.runtime.errors import InputError, RouterLabWarning, shown
from router_lab.runtime.kinds import TOKENS
from router_lab.runtime.shares import many
from router_lab.runtime.values import LOGGED, name_of, plain, probability

Source = str | os.PathLike[str]
HAVE = ("decision has", "decisions have")
CHANCES = ("propensity", "share")
_TEXTS = ("status", "group")
_WHOLE = frozenset((*TOKENS, "turns"))
_HIGHEST = dict.fromkeys(LOGGED, math.inf) | {"quality": 1.0, "check": 1.0}


def read_decisions(
    path: Source | Iterable[Source], *, strict: bool = True, shadows: bool = False
) -> Iterator[dict[str, Any]]:
    """The logged decisions in order, each with what was logged of its outcome under "outcome"
    (None = nothing yet), and of a request that went on whom it asked next under "then"
    (`decisionstages.Asked`).

    path: a log, with the parts that were rotated away from it (`decisionfiles.log_parts`), or
    several files. What is no line of a log (torn, damaged) is passed over; the same line twice
    counts once; of an id written with different decisions the last counts, and of an outcome's
    column the last value. All of it is counted in RouterLabWarnings, as are outcomes of no
    decision there and times that lie ahead. A value that no outcome can have is an InputError;
    with strict=False that decision has no outcome, and the error's words under "refused".
    Decisions of a shadow, which served nobody, come only with `shadows` (their `shadow` is true).
    """
    with Reading(path) as reading:
        for note in reading.notes:
            warnings.warn(RouterLabWarning(note), stacklevel=2)
        for row in reading.decisions(strict=strict):
            if shadows or not row.get("shadow"):
                yield row
        for note in reading.later:
            warnings.warn(RouterLabWarning(note), stacklevel=2)


class Reading:
    """A log whose ids and outcomes have been read.

    `names`: its files; `n`: decisions; `rows`, `damaged`: lines that are one of a log, and that
    are none; `notes`: what was passed over or counted once, a text each; `later`: what was found
    while the decisions were read. Raises InputError if there is no such log.
    """

    def __init__(self, path: Source | Iterable[Source]) -> None:
        paths = [path] if isinstance(path, str | os.PathLike) else list(path)
        self._where = ", ".join(str(each) for each in paths[:3]) + (" …" if len(paths) > 3 else "")
        self._parts = Parts(paths)
        try:
            self._scan()
        except BaseException:
            self._parts.__exit__()
            raise

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.__exit__()

    def decisions(self, *, strict: bool = True) -> Iterator[dict[str, Any]]:
        """As `read_decisions`."""
        seen, at, soon = 0, -1, time.time() + 86_400
        ahead, chances = _Odd(), _Odd()
        for at, (name, number, line) in zip(range(len(self._wanted)), self._parts.lines(), strict=False):
            if not self._wanted[at]:
                continue
            row = log_row(line)
            if row is None or (slot := self._slots.get(row["id"])) is None:
                break  # another file than before
            seen += 1
            moment = row.get("time")  # an unknown one is no wrong one
            if moment is not None and not (isinstance(moment, int | float) and -1e10 < moment < soon):
                ahead.add(f"{shown(row['id'])} at {shown(moment, 40)} (line {number} of {name})")
            for key in CHANCES:
                if row.get(key) is not None and probability(row[key]) is None:
                    chances.add(
                        f"`{key}` {shown(row[key], 40)} of {shown(row['id'])} (line {number} of {name})"
                    )
            where = f"{self._where}: decision {row['id']!r}"
            yield row | self._later.of(slot) | self._outcomes.of(slot, where, strict)
        self._note(self.n - seen, ahead, chances)

    def _note(self, missing: int, ahead: _Odd, chances: _Odd) -> None:
        """What was found while the decisions were read."""
        if missing:
            what = f"changed while it was read; {many(missing, 'decision is', 'decisions are')} missing"
            self.later.append(f"{self._where}: {what}: read it again")
        if ahead.n:
            text = f"{many(ahead.n, *HAVE)} a time that is no UTC second of the past, the first {ahead.first}"
            self.later.append(f"{self._where}: {text}; milliseconds are divided by 1,000")
        if chances.n:
            text = f"{many(chances.n, *HAVE)} a chance that is none, the first {chances.first}"
            rule = "a propensity or share is above 0 (2**-64 and more) and up to 1; what is not counts as not logged"
            self.later.append(f"{self._where}: {text}; {rule}")

    def _scan(self) -> None:
        self._slots: dict[str, int] = {}
        self._outcomes, self._later = Outcomes(), Later()
        self._wanted = bytearray()
        self.later: list[str] = []
        # By slot: where the decision that counts stands, and what it says.
        lines, hashes = (
            array("q"),
            array("q"),
        )
        bad: Counter[str] = Counter()
        first: dict[str, int] = {}
        again, self.rows = 0, 0
        for name, number, line in self._parts.lines():
            self._wanted.append(0)
            row = log_row(line)
            if row is None:
                if line is None or line.strip():
                    bad[name] += 1
                    first.setdefault(name, number)
                continue
            self.rows += 1
            slot = self._slots.setdefault(row["id"], len(lines))
            if slot == len(lines):
                lines.append(-1)
                hashes.append(0)
            if row["kind"] != "decision":
                (self._outcomes if row["kind"] == "outcome" else self._later).add(slot, row)
                continue
            said = hash(line.rstrip()) if line else 0
            if lines[slot] >= 0:
                if hashes[slot] == said:
                    continue
                again += 1
                self._wanted[lines[slot]] = 0
            lines[slot], hashes[slot] = len(self._wanted) - 1, said
            self._wanted[-1] = 1
        self.n, self.damaged, self.names = sum(self._wanted), bad.total(), self._parts.names
        stray = (name for name, slot in self._slots.items() if lines[slot] < 0)
        self.notes = self._told(bad, first, again, next(stray, None), len(lines) - self.n)

    def _told(
        self, bad: Counter[str], first: dict[str, int], again: int, lone: str | None, stray: int
    ) -> list[str]:
        notes = list(self._parts.notes)
        for name, n in bad.items():
            what = many(
                n,
                "line is no line of a decision log and was",
                "lines are not lines of a decision log and were",
            )
            notes.append(f"{name}: {what} passed over, the first is line {first[name]}")
        if again:
            notes.append(
                f"{self._where}: {many(again, *HAVE)} the id of an earlier one; the last of an id counts"
            )
        if lone is not None:
            text = many(stray, "outcome belongs", "outcomes belong")
            notes.append(
                f"{self._where}: {text} to no decision that is logged there, the first to {shown(lone)}"
            )
        if self._outcomes.changed:
            text = many(self._outcomes.changed, "outcome contradicts", "outcomes contradict")
            notes.append(
                f"{self._where}: {text} an earlier one of the same decision; the last value of a column counts"
            )
        return notes


class _Odd:
    """How many decisions have a value that cannot be, and the first of them in words."""

    def __init__(self) -> None:
        self.n, self.first = 0, ""

    def add(self, told: str) -> None:
        self.n, self.first = self.n + 1, self.first or told


class Outcomes:
    """Columns of numbers by slot, NaN where nothing is known; a value that cannot be is kept
    beside them.

    `changed`: values that took the place of another one.
    """

    def __init__(self) -> None:
        self.changed = 0
        self._columns: dict[str, array[float]] = {}
        self._texts: dict[str, float] = {}
        self._names: list[str] = []
        self._odd: dict[int, dict[str, Any]] = {}

    def add(self, slot: int, row: Mapping[str, object]) -> None:
        """Note the columns of `row` that are known."""
        for name in row:
            if name not in _HIGHEST or (value := row[name]) is None:
                continue
            number = self._number(name, value)
            if number is None:
                self._odd.setdefault(slot, {})[name] = value
                continue
            if number != number:  # how a table has "not known"
                continue
            column = self._columns.get(name)
            if column is None:
                column = self._columns[name] = array("d")
            if len(column) <= slot:
                column.extend([math.nan] * (slot + 1 - len(column)))
            self.changed += column[slot] == column[slot] and column[slot] != number
            column[slot] = number
            if slot in self._odd:
                self._odd[slot].pop(name, None)

    def of(self, slot: int, where: str, strict: bool) -> dict[str, Any]:
        """The outcome as `plain` gives it; with strict=False the words of its error instead."""
        known = {
            name: self._value(name, column[slot])
            for name, column in self._columns.items()
            if slot < len(column) and not math.isnan(column[slot])
        }
        odd = self._odd.get(slot)
        if not odd:
            return {"outcome": known or None}
        try:
            return {"outcome": plain(known | odd, where)}
        except InputError as error:
            if strict:
                raise
            return {"outcome": None, "refused": str(error)}

    def _number(self, name: str, value: object) -> float | None:
        """What stands in the column for a value that an outcome may have; None for one that it may
        not."""
        if name in _TEXTS:
            if name == "status":
                try:
                    plain({name: value}, "")
                except InputError:
                    return None
            return self._texts.setdefault(name_of(value), float(len(self._texts)))
        if not isinstance(value, int | float):
            return None
        try:
            number = float(value)
        except OverflowError:
            return None
        if number != number:
            return None if name == "quality" else number
        fits = 0 <= number <= _HIGHEST[name] and number != math.inf and (name != "check" or number in (0, 1))
        return number if fits else None

    def _value(self, name: str, number: float) -> object:
        if name in _TEXTS:
            if len(self._names) < len(self._texts):
                self._names = list(self._texts)
            return self._names[int(number)]
        if name == "check":
            return bool(number)
        return int(number) if name in _WHOLE and number.is_integer() else number
