"""What is published in a policy folder, by RELEASE.json and by its history, also where one of the
two is damaged."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from router_lab.publish.history import HISTORY, ReleaseRecord, largest_number, read_history, served
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.release import LARGEST_STEP, RELEASE, Release, parse_release, read_release_bytes


@dataclass(frozen=True)
class ReleaseState:
    """current: what the next release replaces, None for nothing; signed: whether that is. number:
    the largest number that a release ever had, or may have had. lines: the history, without what
    never came to be. problems: what a publisher should know."""

    folder: Path
    current: Release | None
    signed: bool
    number: int
    lines: list[ReleaseRecord]
    problems: list[str]


def current_release(folder: Path) -> Release | None:
    """What RELEASE.json in `folder` says, or None where nothing is published. Raises PolicyError
    for a damaged one."""
    return parse_release(read_release_bytes(folder))[0] if os.path.lexists(folder / RELEASE) else None


def read_release_state(folder: Path) -> ReleaseState:
    """What stands in `folder`, for a publisher who holds its lock.

    Where RELEASE.json is damaged, or its number is above any that a publisher could have come to,
    the last line of the history stands for it. Raises InputError for a history that cannot be
    read.
    """
    lines, damaged, trailing = read_history(folder)
    largest, problems = largest_number(line.number for line in lines), []
    if damaged:
        where = ", ".join(map(str, damaged[:5])) + (" …" if len(damaged) > 5 else "")
        problems.append(f"{folder / HISTORY}: {len(damaged)} damaged lines are passed over (line {where})")
    known = [line for line in lines if line.number <= largest]
    if len(known) < len(lines):
        problems.append(f"{folder / HISTORY}: {len(lines) - len(known)} releases with numbers far above {largest} are "
                        "passed over")  # fmt: skip
    current, signed, fault = _believed(folder, largest, known)
    if fault is not None:
        problems.append(f"{folder / RELEASE}: {fault}; going on from release {largest} of {HISTORY}")
        last = known[-1] if known else None
        current = last and Release(last.name, last.alias, last.number, last.revision, None, last.verdict)
    number = 0 if current is None else current.number
    if known and known[-1].number > number:
        never = number == 0 or len(known) < 2 or known[-2].number <= number
        problems.append(
            f"{folder}: release {known[-1]} was begun and never came to be; its number is left out" if never else
            f"{folder / RELEASE}: is release {number}, put back by hand: the history has {known[-1].number}"
        )  # fmt: skip
    came = served(known, number)
    # A damaged last line may be that of a release whose number nobody else knows.
    return ReleaseState(
        folder, current, signed, max(largest, number) + trailing, _with_current(came, current), problems
    )


def _believed(
    folder: Path, largest: int, lines: list[ReleaseRecord]
) -> tuple[Release | None, bool, str | None]:
    """(what RELEASE.json says, is it signed, None), or (None, False, why it is not what a
    publisher left there)."""
    if not os.path.lexists(folder / RELEASE):
        # Nothing replaced by the last line: the first publication that was ever begun never came
        # to be.
        return None, False, "is missing" if lines and lines[-1].replaces != 0 else None
    try:
        current, signature = parse_release(read_release_bytes(folder))
    except PolicyError as error:
        return None, False, str(error).removeprefix(f"{folder / RELEASE}: ").removeprefix(f"{RELEASE}: ")
    if current.number > largest + LARGEST_STEP:
        return None, False, f"number {current.number} is more than {LARGEST_STEP} above {largest}"
    return current, signature is not None, None


def _with_current(lines: list[ReleaseRecord], current: Release | None) -> list[ReleaseRecord]:
    """The history with the lines that it has lost and RELEASE.json still shows: of itself and what
    it replaced."""
    if current is None or (lines and lines[-1].number >= current.number):
        return lines
    found, number = list(lines), current.number
    if current.parent is not None and number > 1 and not (found and found[-1].revision == current.parent):
        found.append(
            ReleaseRecord(
                current.name, current.alias, number - 1, current.parent, "inconclusive", "publish", None
            )
        )
    return [*found, ReleaseRecord(*current[:4], current.verdict, "publish", None)]
