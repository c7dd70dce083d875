"""A sweep as a race: waves over the shuffled samples, survivors only, every look written down.

`race.jsonl` in the log directory keeps the rule, and per suite and wave what was seen and who left: a race that is
killed goes on from there with the same numbers, and so with the same decisions. Who left still runs a random floor of
the clusters. What a sample scored and cost is measured by the caller's `measure`, for reading logs is another stage.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample

from router_lab.metrics.race_order import on_floor, waves, whole_clusters
from router_lab.metrics.racing import Leave, Race, RaceRule
from router_lab.prices import PriceTable
from router_lab.providers.keys import sha256_of
from router_lab.runtime.errors import InputError
from router_lab.sweep.plan import Plan, positions
from router_lab.sweep.settings import Cell

RACE = "race.jsonl"
FORMAT = 3
"""Of the rules in `race.jsonl`: a race begun under others cannot be continued, for its waves and bounds differ."""
FIRST_WAVE = 10
"""Samples per suite in the first wave of a race, where the sweep file does not say."""
Measure = Callable[[Sequence[Path], PriceTable], pd.DataFrame]
"""Outcomes (suite, sample_id, model, effort, quality, cost_usd) of logs."""


@dataclass(frozen=True)
class RaceOptions:
    """How to race: `reference` None = the best candidate; `measure` reads logs."""

    rule: RaceRule
    measure: Measure
    reference: tuple[str, str | None] | None = None


@dataclass
class Lane:
    """One suite of the race: its cells in file order, samples in the race's order, and who ran what.

    In each wave a candidate runs all samples or the floor alone; `skipped` has the ranges of the latter by column.
    Where nothing was settled by the last wave, those who still run catch up on what they have skipped, so that the race
    may release those who wait, and whoever is left after that runs everything.
    """

    suite: str
    cells: list[tuple[Cell, Task]]
    samples: list[Sample]
    clusters: list[str]
    ends: list[int]
    sizes: list[int]
    race: Race
    floor: list[bool]
    shown: int = 0
    asked: bool = False
    """Whether the race was asked whom it releases."""

    def __post_init__(self) -> None:
        self.skipped: dict[int, list[tuple[int, int]]] = {}
        self.leaves: list[tuple[int, Leave]] = []

    def samples_of(self, column: int, size: int) -> list[Sample]:
        """What a candidate has to have run once the race is `size` samples long."""
        due = [True] * size
        for start, end in self.ranges(column, size):
            due[start : min(end, size)] = self.floor[start : min(end, size)]
        return [sample for sample, now in zip(self.samples, due, strict=False) if now]

    def ranges(self, column: int, size: int) -> list[tuple[int, int]]:
        """From where to where, in the race's order, a candidate is due on the floor alone, up to `size` samples."""
        if column in (self.catching_up or ()):
            return []
        before = self.skipped.get(column, [])
        return before if self.race.running[column] or size <= self.shown else _joined(before, self.shown, size)

    @property
    def catching_up(self) -> list[int] | None:
        """Columns that run what they have skipped before `finish`; None while there are waves to come, and at last."""
        if self.shown < len(self.samples) or not self.race.racing.any():
            return None
        asks = bool(self.race.waiting.any()) and not self.asked
        who = self.race.running if asks else self.race.racing
        late = [column for column in np.flatnonzero(who).tolist() if column in self.skipped]
        return late if late or asks else None

    def take(self, size: int, quality: list[list[float | None]], cost: list[list[float | None]]) -> list[Leave]:
        """Look at rows `shown` to `size` and remember who leaves."""
        for column in np.flatnonzero(~self.race.running).tolist():
            self.skipped[column] = _joined(self.skipped.get(column, []), self.shown, size)
        codes = np.searchsorted(self.ends, np.arange(self.shown, size), side="right")
        leaves = self.race.look(np.array(quality, float), np.array(cost, float), codes)
        self.shown = size
        self.leaves += [(size, leave) for leave in leaves]
        return leaves

    def finish(self, quality: list[list[float | None]]) -> list[Leave]:
        """Look at all rows [n, c] once those catching up have caught up, and remember who is released."""
        for column in self.catching_up or ():
            del self.skipped[column]
        leaves: list[Leave] = []
        if self.race.waiting.any() and not self.asked:
            codes = np.searchsorted(self.ends, np.arange(len(self.samples)), side="right")
            leaves = self.race.release(np.array(quality, float), codes)
        self.asked = True
        self.leaves += [(self.shown, leave) for leave in leaves]
        return leaves


def _joined(ranges: list[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    if ranges and ranges[-1][1] == start:
        return [*ranges[:-1], (ranges[-1][0], end)]
    return [*ranges, (start, end)]


class Racer:
    """The race of a whole sweep. `portions` yields the tasks of each wave; call `look` after each."""

    def __init__(self, plan: Plan, folder: Path, options: RaceOptions) -> None:
        """Takes up what `race.jsonl` in `folder` holds. Raises InputError if that was another race."""
        rule, reference = options.rule, options.reference
        self.path, self.rule, self.measure = folder / RACE, rule, options.measure
        self.prices = plan.prices()
        first = plan.grid.sweep.wave or FIRST_WAVE
        self.lanes = lanes_of(plan, rule, reference)
        self.sizes = {lane.suite: lane.sizes for lane in self.lanes}
        self.wave = 0
        head = {"race": FORMAT, "rule": asdict(rule), "reference": reference and list(reference), "first": first}
        head["suites"] = {lane.suite: _fingerprint(lane) for lane in self.lanes}
        self._resume(json.loads(json.dumps(head)))

    def portions(self) -> Iterator[list[tuple[Cell, Task]]]:
        """Cells with tasks narrowed to what each wave needs, from the first that was not looked at; once more the last
        one where all were, to find its logs; then what candidates have to catch up on."""
        last = max(map(len, self.sizes.values())) - 1
        for wave in range(min(self.wave, last), last + 1):
            yield self._portion(wave)
        while any(lane.catching_up is not None for lane in self.lanes):
            yield self._portion(last)

    def _portion(self, wave: int) -> list[tuple[Cell, Task]]:
        return [
            (cell, narrowed(task, lane.samples_of(column, self._size(lane, wave))))
            for lane in self.lanes
            for column, (cell, task) in enumerate(lane.cells)
        ]

    def look(self, logs: Sequence[Path]) -> list[str]:
        """Judge the wave that has just run; returns lines that say who left and why."""
        frame = self.measure(logs, self.prices)
        frame = frame.set_index(["suite", "model", "sample_id"])
        looks, lines = [], []
        for lane in self.lanes:
            size = self._size(lane, self.wave)
            if size > lane.shown and lane.race.racing.any():
                quality, cost = (_column(frame, lane, size, name) for name in ("quality", "cost_usd"))
                leaves = lane.take(size, quality, cost)
                look = {"upto": size, "quality": quality, "cost_usd": cost}
            elif lane.catching_up is not None:
                quality = _whole(frame, lane)
                leaves = lane.finish(quality)
                look = {"upto": None, "quality": quality}
            else:
                continue
            told = [[leave.column, leave.reason, leave.by] for leave in leaves]
            looks.append({"suite": lane.suite, **look, "leaves": told})
            lines += [_told(lane, leave) for leave in leaves] + ([_standing(lane)] if leaves else [])
        self._write({"wave": self.wave, "looks": looks})
        self.wave += 1
        return lines

    def _size(self, lane: Lane, wave: int) -> int:
        steps = self.sizes[lane.suite]
        return steps[min(wave, len(steps) - 1)]

    def spared(self) -> int:
        """Samples × epochs of the full grid that the race does not run."""
        return sum(
            (len(lane.samples) - len(lane.samples_of(j, len(lane.samples)))) * (task.epochs or 1)
            for lane in self.lanes
            for j, (_, task) in enumerate(lane.cells)
        )

    def to_json(self) -> dict[str, Any]:
        """For the manifest: the order of the samples by suite, who left it when, why, and for whom, and which ranges of
        that order a candidate was due on the floor alone."""
        return {
            "floor": self.rule.floor,
            "order": {lane.suite: [str(sample.id) for sample in lane.samples] for lane in self.lanes},
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

    def _resume(self, head: dict[str, Any]) -> None:
        lines = self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []
        if lines and not lines[-1].endswith(b"\n"):  # torn by the death of the process: that look is made again
            self.path.write_bytes(b"".join(lines[:-1]))
            lines = lines[:-1]
        if not lines:
            self._write(head)
            return
        begun = json.loads(lines[0])
        if begun.get("race") != FORMAT:
            rule = f"was begun under rules {begun.get('race')} of racing, this version of router_lab has rules {FORMAT}"
            raise InputError(
                f"{self.path}: {rule}; use a new log directory, or finish it with the version that began it"
            )
        if begun != head:
            rule = "belongs to another race: rule, reference, candidates or samples differ"
            raise InputError(f"{self.path}: {rule}; use a new log directory")
        lanes = {lane.suite: lane for lane in self.lanes}
        for look in (look for line in lines[1:] for look in json.loads(line)["looks"]):
            lane, upto = lanes[look["suite"]], look["upto"]
            if upto is None:
                leaves = lane.finish(look["quality"])
            else:
                leaves = lane.take(upto, look["quality"], look["cost_usd"])
            if [[leave.column, leave.reason, leave.by] for leave in leaves] != look["leaves"]:
                raise InputError(f"{self.path}: was decided by another version of router_lab; use a new log directory")
        self.wave = len(lines) - 1

    def _write(self, entry: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, separators=(",", ":")) + "\n")


def narrowed(task: Task, samples: list[Sample]) -> Task:
    """The same task with these samples alone; its identity in logs is that of the whole."""
    part = copy.copy(task)
    part.dataset = MemoryDataset(samples, name=task.dataset.name, location=task.dataset.location)
    return part


def lanes_of(plan: Plan, rule: RaceRule, reference: tuple[str, str | None] | None) -> list[Lane]:
    """A lane for each suite of a prepared sweep. Raises InputError for a reference that does not run a suite."""
    lanes, first = [], plan.grid.sweep.wave or FIRST_WAVE
    for suite in dict.fromkeys(cell.suite for cell, _ in plan.tasks):
        cells = [(cell, task) for cell, task in plan.tasks if cell.suite == suite]
        candidates = [cell.candidate for cell, _ in cells]
        if reference is not None and reference not in candidates:
            known = ", ".join(map(str, candidates))
            raise InputError(f"race: reference {reference} does not run suite `{suite}`; there are: {known}")
        cell, task = cells[0]
        samples = list(task.dataset)[: positions(cell, task)]
        names = [_cluster(sample, plan.grid.suites[suite].group) for sample in samples]
        codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
        order, ends = whole_clusters(np.array([codes[name] for name in names]))
        clusters = [names[i] for i in order]
        floor = [on_floor(plan.grid.sweep.seed, suite, name, rule.floor) for name in clusters]
        sizes = waves(first, ends)
        looks = np.searchsorted(ends, sizes, side="right").tolist()
        race = Race(rule, len(cells), None if reference is None else candidates.index(reference), looks)
        lanes.append(Lane(suite, cells, [samples[i] for i in order], clusters, ends.tolist(), sizes, race, floor))
    return lanes


def _cluster(sample: Sample, group: str | None) -> str:
    """As `collect` will group it: the suite's metadata key, else equal inputs."""
    if group is not None:
        return str((sample.metadata or {}).get(group))
    content = sample.input if isinstance(sample.input, str) else [m.model_dump(exclude={"id"}) for m in sample.input]
    return sha256_of(json.loads(json.dumps(content, default=str)))


def _fingerprint(lane: Lane) -> str:
    candidates = [[*cell.candidate, cell.settings.sha] for cell, _ in lane.cells]
    return sha256_of([candidates, [str(sample.id) for sample in lane.samples]])


def _column(frame: pd.DataFrame, lane: Lane, size: int, name: str) -> list[list[float | None]]:
    """Rows `shown` to `size` by candidate, means over epochs; null where nothing was scored or only the floor due."""
    return _table(frame, lane, lane.samples[lane.shown : size], name, np.flatnonzero(lane.race.running).tolist())


def _whole(frame: pd.DataFrame, lane: Lane) -> list[list[float | None]]:
    """Qualities of all rows of those who have run them, as far as this race goes."""
    done = [j for j in range(len(lane.cells)) if not lane.ranges(j, len(lane.samples))]
    return _table(frame, lane, lane.samples, "quality", done)


def _table(
    frame: pd.DataFrame, lane: Lane, samples: Sequence[Sample], name: str, columns: Sequence[int]
) -> list[list[float | None]]:
    ids = [str(sample.id) for sample in samples]
    table = []
    for j, (cell, _) in enumerate(lane.cells):
        mine = frame[frame["effort"].eq(cell.effort) if cell.effort is not None else frame["effort"].isna()]
        known = mine.index.isin([(lane.suite, cell.model, i) for i in ids])
        means = mine[known & (j in columns)].groupby(level="sample_id")[name].mean()
        table.append(means.reindex(ids).tolist())
    return [[None if np.isnan(value) else float(value) for value in row] for row in zip(*table, strict=True)]


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


def _standing(lane: Lane) -> str:
    names = [
        str(cell.candidate) + (" (waits)" if lane.race.waiting[j] else "") for j, (cell, _) in enumerate(lane.cells)
    ]
    still = [name for name, racing in zip(names, lane.race.racing, strict=True) if racing]
    total = len(lane.samples)
    saved = sum(total - len(lane.samples_of(j, total)) for j in range(len(lane.cells)))
    return f"{lane.suite}: still in: {', '.join(still) or 'nobody'}; {saved} of {total * len(lane.cells)} samples saved"
