"""The races of all suites of a sweep, wave by wave: who is due on what, what was seen of them, and
who left."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from router_lab.racing.earlier import Earlier
from router_lab.racing.elimination import PriorFile, RaceRecord, Skipped
from router_lab.racing.log import RaceLog
from router_lab.racing.outlook import race_picture, standing_line
from router_lab.racing.prior_outlook import rests
from router_lab.racing.race import RaceRule
from router_lab.racing.suite import SuiteRace
from router_lab.runtime.model import Candidate

Seen = Mapping[tuple[str, Candidate, str], Mapping[str, float]]
"""`quality` and `cost_usd` as measured, by suite, candidate and sample."""
Due = list[tuple[SuiteRace, int, list[str]]]
"""Of a suite, each column with the samples that it has to have run."""


class SweepRace:
    """`portions` yields what each wave needs; call `look` after each."""

    def __init__(
        self, folder: Path, rule: RaceRule, reference: Candidate | None, suites: Sequence[SuiteRace],
        earlier: Earlier | None = None,
    ) -> None:  # fmt: skip
        """Takes up what `race.jsonl` in `folder` holds. Raises InputError if that was another
        race."""
        self.rule, self.suites, self._earlier = rule, suites, earlier
        self._file = RaceLog(folder, rule, reference, suites, earlier)
        self.wave = self._file.replay()
        self._file.begin()

    def portions(self) -> Iterator[Due]:
        """What is due in each wave, from the first that was not looked at; once more the last one
        where all were, to find its logs; then what candidates have to catch up on."""
        last = max(len(one.sizes) for one in self.suites) - 1
        for wave in range(min(self.wave, last), last + 1):
            yield self.due(wave)
        while any(one.catching_up is not None for one in self.suites):
            yield self.due()

    def due(self, wave: int | None = None) -> Due:
        """What is due in a wave, or all that candidates are due on by the end if nobody else
        leaves."""
        return [
            (one, column, one.samples_of(column, len(one.samples) if wave is None else _size(one, wave)))
            for one in self.suites for column in range(len(one.entrants))
        ]  # fmt: skip

    def look(self, seen: Seen) -> list[str]:
        """Judge the wave that has just run; returns lines that say who left and why."""
        looks, lines = [], []
        for one in self.suites:
            size, before = _size(one, self.wave), len(one.eliminations)
            if size > one.shown and one.race.racing.any():
                running = np.flatnonzero(one.race.running).tolist()
                quality, cost = (
                    _table(seen, one, one.samples[one.shown : size], name, running)
                    for name in ("quality", "cost_usd")
                )
                look = {
                    "upto": size,
                    "quality": quality,
                    "cost_usd": cost,
                    "leaves": one.take(size, quality, cost),
                }
            elif one.catching_up is not None:
                done = [j for j in range(len(one.entrants)) if not one.ranges(j, len(one.samples))]
                quality = _table(seen, one, one.samples, "quality", done)
                look = {"upto": None, "quality": quality, "leaves": one.finish(quality)}
            else:
                continue
            looks.append({"suite": one.suite, **look})
            left = one.eliminations[before:]
            lines += [str(elimination) for elimination in left if elimination.candidate != one.winner]
            lines += [standing_line(one)] if left else []
        if looks:
            self._file.write(looks, self.wave)
        self.wave += 1
        return lines

    def begins(self) -> list[str]:
        """What each suite's race starts from, where an earlier sweep was named."""
        return [
            f"{one.suite}: prior {rests(one.expected.clusters, one.expected.own, one.expected.left_out)}"
            for one in self.suites
            if one.expected is not None
        ]

    def outcome(self) -> list[str]:
        """A picture for each suite: what it was settled on, or who is still in, and what each
        candidate ran."""
        return [race_picture(one) for one in self.suites]

    def verdicts(self) -> list[dict[str, Any]]:
        """For each suite: `settled_on` a candidate or null, `after` how many of its `samples`, who
        is `racing` yet."""
        return [
            {
                "suite": one.suite,
                "settled_on": one.winner and list(one.winner),
                "after": one.shown,
                "samples": len(one.samples),
                "racing": [list(who) for j, who in enumerate(one.candidates) if one.race.racing[j]],
            }
            for one in self.suites
        ]

    def spared(self) -> int:
        """Samples × epochs of the full grid that the race does not run."""
        return sum((len(one.samples) - len(due)) * one.entrants[j].epochs for one, j, due in self.due())

    def record(self) -> RaceRecord:
        """For the sweep's manifest."""
        return RaceRecord(
            control_share=self.rule.control_share,
            order={one.suite: list(one.samples) for one in self.suites},
            on_control={
                one.suite: [name for name, kept in zip(one.samples, one.control, strict=True) if kept]
                for one in self.suites
            },
            left=tuple(elimination for one in self.suites for elimination in one.eliminations),
            skipped=[
                Skipped.of(who, suite=one.suite, ranges=ranges)
                for one in self.suites
                for j, who in enumerate(one.candidates)
                if (ranges := one.ranges(j, len(one.samples)))
            ],
            winners={one.suite: one.winner for one in self.suites if one.winner is not None},
            prior=None if self._earlier is None else PriorFile(**self._earlier.named()),
        )


def _size(one: SuiteRace, wave: int) -> int:
    return one.sizes[min(wave, len(one.sizes) - 1)]


def _table(
    seen: Seen, one: SuiteRace, samples: Sequence[str], name: str, columns: Sequence[int]
) -> list[list[float | None]]:
    """Rows of `samples` by candidate; null where nothing was scored, and for all but `columns`."""
    keys = [(one.suite, who) if j in columns else None for j, who in enumerate(one.candidates)]
    rows = ([seen.get((*key, sample), {}) if key else {} for key in keys] for sample in samples)
    return [
        [None if math.isnan(value := row.get(name, math.nan)) else float(value) for row in cells]
        for cells in rows
    ]
