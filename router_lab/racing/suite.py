"""One suite of a race: which samples each candidate is due on, before, while and after it
races."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from router_lab.metrics.steady import Floats
from router_lab.racing.drawing import further_share
from router_lab.racing.elimination import Elimination
from router_lab.racing.order import lot, waves, whole_clusters
from router_lab.racing.race import Exit, Race, RaceRule
from router_lab.runtime.model import Candidate

Table = Sequence[Sequence[float | None]] | Floats
"""Outcomes by row and candidate, as `race.jsonl` holds them; None = not run, or not scored."""


class Range(NamedTuple):
    """From where to where, in the race's order, a candidate is due on a share of the clusters."""

    start: int
    end: int
    share: float


class CatchUp(NamedTuple):
    """`columns` run `share` of what they have skipped."""

    columns: list[int]
    share: float


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

    ends: of the clusters in that order; sizes: samples after each wave; lots: of each sample's
    cluster, in [0, 1): a share of the clusters are those with a smaller lot. In each wave a
    candidate runs all samples or a share of them: `skipped` has the ranges of the latter by
    column. Where nothing was settled by the last wave, those who still run catch up on what they
    have skipped, in growing shares; then the race may release those who wait, and whoever is left
    after that runs everything. asked: whether the race was asked whom it releases.
    """

    suite: str
    entrants: Sequence[Entrant]
    samples: Sequence[str]
    ends: Sequence[int]
    sizes: Sequence[int]
    race: Race
    lots: Sequence[float]
    shown: int = 0
    looks: int = 0
    asked: bool = False
    skipped: dict[int, list[Range]] = field(default_factory=dict)
    eliminations: list[Elimination] = field(default_factory=list)

    @property
    def control(self) -> list[bool]:
        """Whether a sample is of the random share that everybody runs."""
        return [lot < self.race.rule.control_share for lot in self.lots]

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
        for start, end, share in self.ranges(column, size):
            due[start:end] = [lot < share for lot in self.lots[start : min(end, size)]]
        return [name for name, now in zip(self.samples, due, strict=False) if now]

    def ranges(self, column: int, size: int) -> list[Range]:
        """The parts, up to `size` samples, of which a candidate is due on a share alone."""
        before = self.skipped.get(column, [])
        catching = self.catching_up
        if catching is not None and column in catching.columns:
            return _widened(before, catching.share)
        share = float(self.race.due[column])
        return before if share == 1 or size <= self.shown else _joined(before, Range(self.shown, size, share))

    @property
    def catching_up(self) -> CatchUp | None:
        """Who runs more of what it has skipped before `finish`; None while there are waves to
        come, and at last."""
        if self.shown < len(self.samples) or not self.race.racing.any():
            return None
        asks = bool(self.race.waiting.any()) and not self.asked
        late = [j for j in np.flatnonzero(self.race.running).tolist() if j in self.skipped]
        if late:
            return CatchUp(late, further_share(min(float(self.race.share[j]) for j in late)))
        if asks:
            return CatchUp([], 1.0)
        late = [j for j in np.flatnonzero(self.race.racing).tolist() if j in self.skipped]
        return CatchUp(late, 1.0) if late else None

    def take(self, size: int, quality: Table, cost_usd: Table) -> list[Exit]:
        """Look at rows `shown` to `size` and remember who leaves."""
        for column, share in enumerate(self.race.due.tolist()):
            if share < 1:
                part = Range(self.shown, size, share)
                self.skipped[column] = _joined(self.skipped.get(column, []), part)
        codes = np.searchsorted(self.ends, np.arange(self.shown, size), side="right")
        exits = self.race.look(np.array(quality, float), np.array(cost_usd, float), codes)
        self.shown = size
        return self._noted(exits)

    def finish(self, quality: Table, cost_usd: Table) -> list[Exit]:
        """Look at all rows [n, c] once those catching up have caught up, and remember who leaves
        or is released."""
        catching = self.catching_up
        assert catching is not None
        for column in catching.columns:
            self.skipped[column] = _widened(self.skipped[column], catching.share)
            if not self.skipped[column]:
                del self.skipped[column]
        codes = np.searchsorted(self.ends, np.arange(len(self.samples)), side="right")
        rows = np.array(quality, float)
        if catching.columns:
            return self._noted(self.race.widen(rows, np.array(cost_usd, float), codes, catching.share))
        self.asked = True
        return self._noted(self.race.release(rows, codes))

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
    reference: int | None, *, first: int, seed: int, batch: bool = False,
) -> SuiteRace:  # fmt: skip
    """A race that has not begun. samples, clusters: their ids and clusters in the suite's own
    order; reference: the column that is named; first: samples of the first wave; seed: draws the
    control share; batch: in few waves."""
    codes = {name: code for code, name in enumerate(dict.fromkeys(clusters))}
    order, ends = whole_clusters(np.array([codes[name] for name in clusters]))
    lots = [lot(seed, suite, clusters[i]) for i in order]
    sizes = waves(first, ends, batch=batch)
    race = Race(rule, len(entrants), reference, np.searchsorted(ends, sizes, side="right").tolist())
    return SuiteRace(suite, entrants, [samples[i] for i in order], ends.tolist(), sizes, race, lots)


def _joined(parts: list[Range], more: Range) -> list[Range]:
    if parts and (parts[-1].end, parts[-1].share) == (more.start, more.share):
        return [*parts[:-1], parts[-1]._replace(end=more.end)]
    return [*parts, more]


def _widened(parts: list[Range], share: float) -> list[Range]:
    """The same once each holds at least `share`; without those that are whole."""
    return [one._replace(share=max(one.share, share)) for one in parts if max(one.share, share) < 1]
