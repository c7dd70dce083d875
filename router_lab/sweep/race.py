"""A sweep as a race: waves over the shuffled samples, survivors only, every look written down.

What was seen and who left is kept in `race.jsonl` (`router_lab.sweep.race_log`), so a race that is killed goes on with
the same decisions. Who left still runs a random floor of the clusters (`router_lab.sweep.lane`). What a sample scored
and cost is measured by the caller's `measure`, for reading logs is another stage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from inspect_ai import Task
from inspect_ai.dataset import Sample

from router_lab.metrics.racing import Leave, RaceRule
from router_lab.prices import PriceTable
from router_lab.sweep.cluster import narrowed
from router_lab.sweep.lane import Lane, lanes_of
from router_lab.sweep.plan import Plan
from router_lab.sweep.race_log import RaceLog
from router_lab.sweep.race_picture import race_picture, standing_line
from router_lab.sweep.settings import Cell

Measure = Callable[[Sequence[Path], PriceTable], pd.DataFrame]
"""Outcomes (suite, sample_id, model, effort, quality, cost_usd) of logs."""
MEASURED = ("quality", "cost_usd")
Seen = dict[tuple[str, str, str | None, str], dict[str, float]]
"""What was measured by suite, model, effort and sample."""


@dataclass(frozen=True)
class RaceOptions:
    """How to race: `reference` None = the best candidate; `measure` reads logs."""

    rule: RaceRule
    measure: Measure
    reference: tuple[str, str | None] | None = None


class Racer:
    """The race of a whole sweep. `portions` yields the tasks of each wave; call `look` after each."""

    def __init__(self, plan: Plan, folder: Path, options: RaceOptions) -> None:
        """Takes up what `race.jsonl` in `folder` holds. Raises InputError if that was another race."""
        self.rule, self.measure, self.prices = options.rule, options.measure, plan.prices()
        self.lanes = lanes_of(plan, options.rule, options.reference)
        self.sizes = {lane.suite: lane.sizes for lane in self.lanes}
        self.log = RaceLog(folder, options.rule, options.reference, self.lanes)
        self.wave = self.log.replay()
        self.log.begin()

    def portions(self) -> Iterator[list[tuple[Cell, Task]]]:
        """Cells with tasks narrowed to what each wave needs, from the first that was not looked at; once more the last
        one where all were, to find its logs; then what candidates have to catch up on."""
        last = max(map(len, self.sizes.values())) - 1
        for wave in range(min(self.wave, last), last + 1):
            yield self._portion(wave)
        while any(lane.catching_up is not None for lane in self.lanes):
            yield self._portion(last)

    def due(self) -> list[tuple[Cell, Task]]:
        """Cells with tasks narrowed to all that candidates are due on by the end, if nobody else leaves."""
        return self._portion(max(map(len, self.sizes.values())) - 1)

    def _portion(self, wave: int) -> list[tuple[Cell, Task]]:
        return [
            (cell, narrowed(task, lane.samples_of(column, self._size(lane, wave))))
            for lane in self.lanes
            for column, (cell, task) in enumerate(lane.cells)
        ]

    def look(self, logs: Sequence[Path]) -> list[str]:
        """Judge the wave that has just run; returns lines that say who left and why."""
        seen = _means(self.measure(logs, self.prices))
        looks, lines = [], []
        for lane in self.lanes:
            size = self._size(lane, self.wave)
            if size > lane.shown and lane.race.racing.any():
                quality, cost = (_column(seen, lane, size, name) for name in ("quality", "cost_usd"))
                leaves = lane.take(size, quality, cost)
                look = {"upto": size, "quality": quality, "cost_usd": cost}
            elif lane.catching_up is not None:
                quality = _whole(seen, lane)
                leaves = lane.finish(quality)
                look = {"upto": None, "quality": quality}
            else:
                continue
            told = [[leave.column, leave.reason, leave.by] for leave in leaves]
            looks.append({"suite": lane.suite, **look, "leaves": told})
            lines += [_told(lane, leave) for leave in leaves if leave.column != lane.race.winner]
            lines += [standing_line(lane)] if leaves else []
        if looks:
            self.log.write(looks, self.wave)
        self.wave += 1
        return lines

    def outcome(self) -> list[str]:
        """A picture for each suite: what it was settled on, or who is still in, and what each candidate ran."""
        return [race_picture(lane) for lane in self.lanes]

    def verdicts(self) -> list[dict[str, Any]]:
        """For each suite: `settled_on` a candidate or null, `after` how many of its `samples`, who is `racing` yet."""
        return [
            {
                "suite": lane.suite,
                "settled_on": None if lane.race.winner is None else list(lane.cells[lane.race.winner][0].candidate),
                "after": lane.shown,
                "samples": len(lane.samples),
                "racing": [list(cell.candidate) for j, (cell, _) in enumerate(lane.cells) if lane.race.racing[j]],
            }
            for lane in self.lanes
        ]

    def _size(self, lane: Lane, wave: int) -> int:
        steps = self.sizes[lane.suite]
        return steps[min(wave, len(steps) - 1)]

    def spared(self) -> int:
        """Samples × epochs of the full grid that the race does not run."""
        whole = sum(len(lane.samples) * (task.epochs or 1) for lane in self.lanes for _, task in lane.cells)
        return whole - sum(len(task.dataset) * (task.epochs or 1) for _, task in self.due())

    def to_json(self) -> dict[str, Any]:
        """For the manifest: the order of the samples by suite, who left it when, why, and for whom, and which ranges of
        that order a candidate was due on the floor alone."""
        return {
            "floor": self.rule.floor,
            "order": {lane.suite: [str(sample.id) for sample in lane.samples] for lane in self.lanes},
            "on_floor": {
                lane.suite: [str(sample.id) for sample, kept in zip(lane.samples, lane.floor, strict=True) if kept]
                for lane in self.lanes
            },
            "left": [
                {"suite": lane.suite, "model": cell.model, "effort": cell.effort, "after": size,
                 "reason": leave.reason, "by": list(lane.cells[leave.by][0].candidate)}
                for lane in self.lanes
                for size, leave in lane.leaves
                for cell in [lane.cells[leave.column][0]]
            ],
            "skipped": [
                {"suite": lane.suite, "model": cell.model, "effort": cell.effort, "ranges": ranges}
                for lane in self.lanes
                for j, (cell, _) in enumerate(lane.cells)
                if (ranges := [list(one) for one in lane.ranges(j, len(lane.samples))])
            ],
            "winners": {
                lane.suite: list(lane.cells[lane.race.winner][0].candidate)
                for lane in self.lanes if lane.race.winner is not None
            },
        }  # fmt: skip


def _means(frame: pd.DataFrame) -> Seen:
    """Means over epochs."""
    keys = ["suite", "model", "effort", "sample_id"]
    plain = pd.DataFrame({name: frame[name].to_numpy() for name in [*keys, *MEASURED]})  # no attrs: pandas copies them
    plain["effort"] = plain["effort"].astype(object).where(plain["effort"].notna(), None)
    means = plain.groupby(keys, dropna=False, sort=False)[list(MEASURED)].mean()
    return {
        (suite, model, None if pd.isna(effort) else effort, sample): dict(zip(MEASURED, values, strict=True))
        for (suite, model, effort, sample), values in zip(means.index, means.to_numpy(), strict=True)
    }


def _column(seen: Seen, lane: Lane, size: int, name: str) -> list[list[float | None]]:
    """Rows `shown` to `size` by candidate; null where nothing was scored or only the floor due."""
    return _table(seen, lane, lane.samples[lane.shown : size], name, np.flatnonzero(lane.race.running).tolist())


def _whole(seen: Seen, lane: Lane) -> list[list[float | None]]:
    """Qualities of all rows of those who have run them, as far as this race goes."""
    done = [j for j in range(len(lane.cells)) if not lane.ranges(j, len(lane.samples))]
    return _table(seen, lane, lane.samples, "quality", done)


def _table(
    seen: Seen, lane: Lane, samples: Sequence[Sample], name: str, columns: Sequence[int]
) -> list[list[float | None]]:
    keys = [(lane.suite, *cell.candidate) if j in columns else None for j, (cell, _) in enumerate(lane.cells)]
    rows = ([seen.get((*key, str(sample.id)), {}) if key else {} for key in keys] for sample in samples)
    return [[None if math.isnan(value := row.get(name, math.nan)) else float(value) for row in cells] for cells in rows]


def _told(lane: Lane, leave: Leave) -> str:
    cell, by = lane.cells[leave.column][0], lane.cells[leave.by][0]
    words = {
        "dominated": f"{by.candidate} is cheaper and at least as good",
        "worse": f"{by.candidate} is better by more than the margin",
        "dearer": f"it costs more than the reference {by.candidate}",
        "hopeless": f"it cannot be shown within the margin of {by.candidate} on these samples any more",
        "needless": f"{by.candidate} is cheaper, within the margin of it, and passes on these samples",
        "settled": f"the suite is settled on {by.candidate}",
    }
    return f"{lane.suite}, after {lane.shown} samples: {cell.candidate} leaves: {words[leave.reason]}"
