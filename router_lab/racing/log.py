"""`race.jsonl`: the terms of a race in its first line, then one line a wave with what was seen and
who left.

A race goes on from what it holds with the same numbers, and so with the same decisions; under
other terms it is refused, because waves and bounds depend on them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from router_lab.providers.keys import sha256_of
from router_lab.racing.earlier import Earlier
from router_lab.racing.elimination import Reason
from router_lab.racing.race import RaceRule
from router_lab.racing.suite import SuiteRace
from router_lab.runtime.errors import InputError
from router_lab.runtime.files import append_line, atomic_write
from router_lab.runtime.model import Candidate
from router_lab.runtime.reading import read_regular

NAME = "race.jsonl"
DAMAGED = (LookupError, TypeError, ValueError, AttributeError)
"""What JSON of another shape than asked for raises."""
FORMAT = 4
"""Of the rules in `race.jsonl`: a race begun under others cannot be continued, for its waves and
bounds differ."""
AFRESH = (
    "use a new log directory, or rename this file to race afresh in this one, where samples that are there are not "
    "paid for again"
)


class RaceLog:
    """The file of one race, and the terms it has to have."""

    def __init__(
        self,
        folder: Path,
        rule: RaceRule,
        reference: Candidate | None,
        suites: Sequence[SuiteRace],
        earlier: Earlier | None = None,
    ) -> None:
        self.path, self._suites = folder / NAME, {one.suite: one for one in suites}
        head = {"race": FORMAT, "rule": asdict(rule), "reference": reference and list(reference)}
        head["suites"] = {one.suite: _terms(one) for one in suites}
        if earlier is not None:
            head["prior"] = earlier.identity
        self._head = json.loads(json.dumps(head))

    def replay(self) -> int:
        """Put the suites where the file says the race is; returns the number of looks.

        A line torn by the death of the process counts as not written. Raises InputError if it is
        of another race.
        """
        lines = self._whole_lines()
        if not lines:
            return 0
        self._check(self._read(lines[0], 1))
        for number, line in enumerate(lines[1:], 2):
            try:
                agrees = [self._agrees(look) for look in self._read(line, number)["looks"]]
            except DAMAGED as cause:
                raise self._refused(number, "is no look of this race") from cause
            if not all(agrees):
                raise self._refused(number, "was decided by another version of router_lab, or is damaged")
        return len(lines) - 1

    def _read(self, line: bytes, number: int) -> Any:
        try:
            return json.loads(line)
        except (ValueError, RecursionError) as cause:
            raise self._refused(number, "is damaged") from cause

    def _refused(self, number: int, why: str) -> InputError:
        return InputError(f"{self.path}, line {number}: {why}; {AFRESH}")

    def _agrees(self, look: Mapping[str, Any]) -> bool:
        """Whether the race of the suite, once it has looked as well, decides as it is written."""
        suite, upto, quality = self._suites[look["suite"]], look["upto"], look["quality"]
        exits = suite.finish(quality) if upto is None else suite.take(upto, quality, look["cost_usd"])
        return exits == [(column, Reason(reason), by) for column, reason, by in look["leaves"]]

    def begin(self) -> None:
        """Write the terms down, if there are none."""
        if not self._whole_lines():
            self._append(self._head)

    def write(self, looks: Sequence[Mapping[str, Any]], wave: int) -> None:
        """Add a wave."""
        self._append({"wave": wave, "looks": looks})

    def _append(self, entry: Mapping[str, object]) -> None:
        lines = self._whole_lines()
        if self.path.exists() and sum(map(len, lines)) < self.path.stat().st_size:
            atomic_write(self.path, b"".join(lines))  # without the torn line
        append_line(self.path, json.dumps(entry, separators=(",", ":")).encode())

    def _whole_lines(self) -> list[bytes]:
        lines = read_regular(self.path).splitlines(keepends=True) if self.path.exists() else []
        return lines[:-1] if lines and not lines[-1].endswith(b"\n") else lines

    def _check(self, begun: object) -> None:
        if not isinstance(begun, dict) or begun.get("race") != FORMAT:
            begun = begun if isinstance(begun, dict) else {}
            version = f"was begun under rules {begun.get('race')} of racing, this version of router_lab has rules {FORMAT}"
            raise InputError(f"{self.path}: {version}; {AFRESH}, or finish it with the version that began it")
        if isinstance(begun.get("rule"), dict):  # `floor` is what `control_share` was called once
            rule = {"control_share" if key == "floor" else key: value for key, value in begun["rule"].items()}
            begun = {**begun, "rule": rule}
        if begun != self._head:
            try:
                told = "; ".join(_differences(begun, self._head))
            except DAMAGED as cause:
                raise self._refused(1, "holds no terms of a race") from cause
            raise InputError(f"{self.path}: belongs to another race: {told}; {AFRESH}")


def _terms(suite: SuiteRace) -> dict[str, object]:
    return {
        "samples": len(suite.samples),
        "ids": sha256_of(suite.samples),
        "waves": sha256_of(suite.sizes),
        "candidates": [[*one.candidate, one.settings_sha] for one in suite.entrants],
    }


def _differences(begun: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In words, what was different when the race began."""
    told = [
        f"`race.{key}` was {begun['rule'].get(key)}, is {value}"
        for key, value in now["rule"].items() if begun["rule"].get(key) != value
    ]  # fmt: skip
    if begun["reference"] != now["reference"]:
        told.append(
            f"`race.reference` was {_reference(begun['reference'])}, is {_reference(now['reference'])}"
        )
    if begun.get("prior") != now.get("prior"):
        told.append(f"`race.prior` {_prior(begun.get('prior'))}, {_prior(now.get('prior'), now=True)}")
    for suite in dict.fromkeys([*begun["suites"], *now["suites"]]):
        was, is_ = begun["suites"].get(suite), now["suites"].get(suite)
        if was is None or is_ is None:
            told.append(f"suite `{suite}` was not there" if was is None else f"suite `{suite}` is gone")
        elif was != is_:
            told += _changed(suite, was, is_)
    return told or ["its terms differ"]


def _changed(suite: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    told = []
    before, after = (
        {Candidate(*who): sha for *who, sha in terms["candidates"]} for terms in (was, now)
    )  # with the hash of their settings
    told += [f"suite `{suite}` has no {one}" for one in sorted(before.keys() - after.keys())]
    told += [f"suite `{suite}` has a new candidate {one}" for one in sorted(after.keys() - before.keys())]
    told += [
        f"suite `{suite}`: the settings of {one} changed"
        for one, sha in after.items() if before.get(one, sha) != sha
    ]  # fmt: skip
    if was["samples"] != now["samples"]:
        told.append(f"suite `{suite}` had {was['samples']} samples, has {now['samples']}")
    elif was["ids"] != now["ids"]:
        told.append(f"suite `{suite}` has other samples, or the same in another order (`seed`)")
    elif was["waves"] != now["waves"]:
        told.append(f"suite `{suite}` has other waves (`wave`, `--batch`)")
    return told or [f"suite `{suite}` lists its candidates in another order"]


def _prior(identity: Mapping[str, Any] | None, now: bool = False) -> str:
    """What a race starts from, in words; which file it was is told by its bytes."""
    is_ = "is" if now else "was"
    if identity is None:
        return f"{is_} not given"
    was = ", ".join(f"{new}: {old}" for new, old in identity["was"].items())
    return f"{is_} a file of sha256 {identity['sha256'][:16]}" + (f" with was {{{was}}}" if was else "")


def _reference(who: Sequence[str] | None) -> str:
    return "the best candidate" if who is None else str(Candidate(*who))
