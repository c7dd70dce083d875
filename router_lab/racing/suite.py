"""One suite of a race: which samples each candidate is due on, before, while and after it
races."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from router_lab.racing.earlier import Earlier, Expected
from router_lab.racing.elimination import Elimination
from router_lab.racing.order import in_share, waves, whole_clusters
from router_lab.racing.race import Exit, Race, RaceRule
from router_lab.runtime.model import Candidate

Table = Sequence[Sequence[float | None]]
"""Outcomes by row and candidate, as `race.jsonl` holds them; None = not run, or not scored."""
Ranges = list[tuple[int, int]]


class Entrant(NamedTuple):
    """Who races: its name in outcomes, the hash of its settings, and how often it runs each
    sample."""

    candidate: Candidate
    settings_sha: str = ""
    epochs: int = 1


@dataclass
class SuiteRace:
    """The race of one suite: its entrants in file order, ids of its samples in the race's order,
    and who ran what.

    ends: of the clusters in that order; sizes: samples after each wave; control: whether a sample
    is of the random share that everybody runs. In each wave a candidate runs all samples or the
    control share alone; `skipped` has the ranges of the latter by column. Where nothing was
    settled by the last wave, those who still run catch up on what they have skipped, so that the
    race may release those who wait, and whoever is left after that runs everything. asked: whether
    the race was asked whom it releases. expected: what an earlier sweep, if one was named, lets it
    expect.
    """

    suite: str
    entrants: Sequence[Entrant]
    samples: Sequence[str]
    ends: Sequence[int]
    sizes: Sequence[int]
    race: Race
    control: Sequence[bool]
    shown: int = 0
    looks: int = 0
    asked: bool = False
    skipped: dict[int, Ranges] = field(default_factory=dict)
    eliminations: list[Elimination] = field(default_factory=list)
    expected: Expected | None = None

    @property
    def candidates(self) -> list[Candidate]:
        """By column."""
        return [one.candidate for one in self.entrants]

    @property
    def winner(self) -> Candidate | None:
        """What the suite was settled on."""
        return None if self.race.winner is None else self.entrants[self.race.winner].candidate

    def samples_of(self, column: int, size: int) -> list[str]:
        """What a candidate has to have run once the race is `size` samples long."""
        due = [True] * size
        for start, end in self.ranges(column, size):
            due[start : min(end, size)] = self.control[start : min(end, size)]
        return [name for name, now in zip(self.samples, due, strict=False) if now]

    def ranges(self, column: int, size: int) -> Ranges:
        """From where to where, in the race's order, a candidate is due on the control share alone,
        up to `size` samples."""
        if column in (self.catching_up or ()):
            return []
        before = self.skipped.get(column, [])
        return (
            before if self.race.running[column] or size <= self.shown else _joined(before, self.shown, size)
        )

    @property
    def catching_up(self) -> list[int] | None:
        """Columns that run what they have skipped before `finish`; None while there are waves to
        come, and at last."""
        if self.shown < len(self.samples) or not self.race.racing.any():
            return None
        asks = bool(self.race.waiting.any()) and not self.asked
        who = self.race.running if asks else self.race.racing
        late = [column for column in np.flatnonzero(who).tolist() if column in self.skipped]
        return late if late or asks else None

    def take(self, size: int, quality: Table, cost_usd: Table) -> list[Exit]:
        """Look at rows `shown` to `size` and remember who leaves."""
        for column in np.flatnonzero(~self.race.running).tolist():
            self.skipped[column] = _joined(self.skipped.get(column, []), self.shown, size)
        codes = np.searchsorted(self.ends, np.arange(self.shown, size), side="right")
        exits = self.race.look(np.array(quality, float), np.array(cost_usd, float), codes)
        self.shown = size
        return self._noted(exits)

    def finish(self, quality: Table) -> list[Exit]:
        """Look at all rows [n, c] once those catching up have caught up, and remember who is
        released."""
        for column in self.catching_up or ():
            del self.skipped[column]
        exits: list[Exit] = []
        if self.race.waiting.any() and not self.asked:
            codes = np.searchsorted(self.ends, np.arange(len(self.samples)), side="right")
            exits = self.race.release(np.array(quality, float), codes)
        self.asked = True
        return self._noted(exits)

    def _noted(self, exits: list[Exit]) -> list[Exit]:
        self.looks += 1
        who = self.candidates
        self.eliminations += [
            Elimination.of(
                who[one.column],
                suite=self.suite,
                after=self.shown,
                look=self.looks,
                reason=one.reason,
                by=who[one.by],
            )
            for one in exits
        ]
        return exits


def suite_race(
    suite: str, entrants: Sequence[Entrant], samples: Sequence[str], clusters: Sequence[str], rule: RaceRule,
    reference: int | None, *, first: int, seed: int, batch: bool = False, earlier: Earlier | None = None,
) -> SuiteRace:  # fmt: skip
    """A race that has not begun. samples, clusters: their ids and clusters in the suite's own
    order; reference: the column that is named; first: samples of the first wave; seed: draws the
    control share; batch: in few waves; earlier: what the last sweep showed."""
    order, ends = whole_clusters(np.array(clusters, object))
    control = [in_share(seed, suite, clusters[i], rule.control_share) for i in order]
    sizes = waves(first, ends, batch=batch)
    expected = None if earlier is None else earlier.expected(
        suite, [one.candidate for one in entrants], samples, clusters
    )  # fmt: skip
    looks = np.searchsorted(ends, sizes, side="right").tolist()
    race = Race(rule, len(entrants), reference, looks, None if expected is None else expected.prior)
    in_order = [samples[i] for i in order]
    return SuiteRace(suite, entrants, in_order, ends.tolist(), sizes, race, control, expected=expected)


def _joined(ranges: Ranges, start: int, end: int) -> Ranges:
    if ranges and ranges[-1][1] == start:
        return [*ranges[:-1], (ranges[-1][0], end)]
    return [*ranges, (start, end)]
