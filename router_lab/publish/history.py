"""RELEASES.jsonl: a line for every publication and rollback of a policy, oldest first, and the way
back through it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from router_lab.runtime.errors import InputError
from router_lab.runtime.files import Records, read_records
from router_lab.runtime.model import VERDICTS
from router_lab.runtime.release import LARGEST_STEP, is_revision

HISTORY = "RELEASES.jsonl"
"""One JSON object a line, oldest first: every publication and rollback of a policy, forced ones
marked."""


class ReleaseRecord(NamedTuple):
    """A release as the history has it. `replaces`: the number that RELEASE.json had when the line
    was written, 0 for nothing; None for lines of before November 2026, which do not say."""

    name: str
    alias: str
    number: int
    revision: str
    verdict: str
    action: str
    replaces: int | None

    def __str__(self) -> str:
        return f"{self.number} ({self.revision[:16]}, {self.verdict})"


class History(NamedTuple):
    """The lines that are releases, and the numbers of those lines of the file that are not;
    `trailing` counts the latter after the last release."""

    lines: list[ReleaseRecord]
    damaged: list[int]
    trailing: int


def history(folder: Path) -> list[dict[str, Any]]:
    """Every publication and rollback in `folder`, oldest first; damaged lines are passed over."""
    return _records(folder).rows


def read_history(folder: Path) -> History:
    """The history of `folder`, empty where there is none. Raises InputError for a file that cannot
    be read."""
    records = _records(folder)
    lines, damaged, last = [], list(records.torn), 0
    for row, at in zip(records.rows, records.numbers, strict=True):
        line = _line(row)
        if line is None:
            damaged.append(at)
        else:
            lines.append(line)
            last = at
    return History(lines, sorted(damaged), sum(at > last for at in damaged))


def _records(folder: Path) -> Records:
    try:
        return read_records(folder / HISTORY)
    except OSError as error:
        raise InputError(
            f"{folder / HISTORY}: cannot be read: {error.strerror}; put it right first"
        ) from error


def _line(row: Mapping[str, Any]) -> ReleaseRecord | None:
    name, alias = row.get("name"), row.get("alias")
    number, revision, replaces = row.get("number"), row.get("revision"), row.get("replaces")
    if not (
        isinstance(name, str)
        and isinstance(alias, str)
        and isinstance(revision, str)
        and is_revision(revision)
        and _is_number(number)
    ):
        return None
    if not _is_number(replaces):
        replaces = 0 if "replaces" in row else None
    verdict = row.get("verdict")
    action = "rollback" if row.get("action") == "rollback" else "publish"
    word = str(verdict) if verdict in VERDICTS else "inconclusive"
    return ReleaseRecord(name, alias, int(number or 0), revision, word, action, replaces)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**53


def largest_number(numbers: Iterable[int]) -> int:
    """The largest number that can be reached from 0 by steps that publishers take; 0 for none."""
    last = 0
    for number in sorted(numbers):
        if number - last > LARGEST_STEP:
            break
        last = number
    return last


def served(lines: Sequence[ReleaseRecord], current: int | None) -> list[ReleaseRecord]:
    """The lines that came to be. A publisher that was killed leaves a line whose number
    RELEASE.json never had: the line after it, or RELEASE.json with the number `current`, then has
    something older to replace."""
    after = [*(line.replaces for line in lines[1:]), current][: len(lines)]
    return [line for line, next_ in zip(lines, after, strict=True) if next_ is None or line.number <= next_]


def rollback_targets(lines: Sequence[ReleaseRecord], current: int | None) -> list[ReleaseRecord]:
    """What `rollback` can go back to, the next first: releases that were published and never
    rolled back from since.

    lines: those that came to be (`served`); current: the number that stands in RELEASE.json, None
    if nobody knows.
    """
    stack: list[ReleaseRecord] = []  # what is published, on top, and under it what it replaced
    failed: set[str] = set()
    for line in lines:
        _put_aside(stack, line.replaces)
        if line.action == "publish":
            stack.append(line)
        else:
            at = max((i for i, known in enumerate(stack) if known.revision == line.revision), default=None)
            from_here = len(stack) - 1 if at is None else at + 1
            failed.update(known.revision for known in stack[max(from_here, 0) :])
            del stack[max(from_here if at is None else at, 0) :]
            stack.append(line)
        failed.discard(line.revision)
    _put_aside(stack, current)
    top = {stack[-1].revision} if stack else set()
    found: dict[str, ReleaseRecord] = {}
    for line in reversed(stack[:-1]):
        if line.revision not in failed | top:
            found.setdefault(line.revision, line)
    return list(found.values())


def _put_aside(stack: list[ReleaseRecord], number: int | None) -> None:
    """Where somebody put an older RELEASE.json back by hand, what came after it is not what a new
    release replaces."""
    while number is not None and len(stack) > 1 and stack[-1].number > number:
        stack.pop()
