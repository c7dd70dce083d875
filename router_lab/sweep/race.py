"""A sweep as a race: the samples and tasks of a plan for `router_lab.racing`, which says who is
due on what.

What a sample scored and cost is measured by the caller's `measure`, for reading logs is another
stage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from inspect_ai import Task

from router_lab.outcomes import OutcomeMatrix
from router_lab.outcomes.candidates import by_row, candidates_of
from router_lab.prices import PriceTable
from router_lab.racing.earlier import Earlier
from router_lab.racing.log import RaceLog
from router_lab.racing.outlook import race_outlook
from router_lab.racing.prior_outlook import prior_outlook
from router_lab.racing.race import RaceRule
from router_lab.racing.rehearsal import rehearse
from router_lab.racing.suite import Entrant, SuiteRace, suite_race
from router_lab.racing.sweep_race import Due, Seen, SweepRace
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate
from router_lab.sweep.cluster import cluster_of, narrowed
from router_lab.sweep.finished import Done
from router_lab.sweep.forecast import CellEstimate
from router_lab.sweep.plan import Plan, positions
from router_lab.sweep.settings import Cell

Measure = Callable[[Sequence[Path], PriceTable], pd.DataFrame]
"""Outcomes (suite, sample_id, model, effort, quality, cost_usd) of logs."""
MEASURED = ("quality", "cost_usd")
FIRST_WAVE = 10
"""Samples per suite in the first wave of a race, where the sweep file does not say."""


@dataclass(frozen=True)
class RaceOptions:
    """How to race: `reference` None = the best candidate; `measure` reads logs; `earlier`: what the
    last sweep showed, to start from."""

    rule: RaceRule
    measure: Measure
    reference: Candidate | None = None
    earlier: Earlier | None = None


class Racer(SweepRace):
    """The race of a plan: what is due as tasks of Inspect, what was seen from its logs."""

    def __init__(self, plan: Plan, folder: Path, options: RaceOptions) -> None:
        """Takes up what `race.jsonl` in `folder` holds. Raises InputError if that was another
        race."""
        self.measure, self.prices, self._cells = options.measure, plan.prices(), _by_suite(plan)
        suites = suite_races(plan, options)
        super().__init__(folder, options.rule, options.reference, suites, options.earlier)

    def tasks(self, due: Due) -> list[tuple[Cell, Task]]:
        """Cells with tasks narrowed to the samples that are due."""
        samples = {suite: {str(s.id): s for s in cells[0][1].dataset} for suite, cells in self._cells.items()}
        cells = [(self._cells[one.suite][column], samples[one.suite], names) for one, column, names in due]
        return [
            (cell, narrowed(task, [known[name] for name in names])) for (cell, task), known, names in cells
        ]

    def result(self) -> dict[str, Any]:
        """What `SweepResult` says of a race."""
        return {"spared": self.spared(), "raced": tuple(self.outcome()), "verdicts": tuple(self.verdicts())}

    def seen(self, logs: Sequence[Path]) -> Seen:
        """What the logs say, means over epochs."""
        frame = self.measure(logs, self.prices)
        keys = ["suite", "candidate", "sample_id"]
        # Without attrs, which pandas copies.
        plain = pd.DataFrame({name: frame[name].to_numpy() for name in ("suite", "sample_id", *MEASURED)})
        whos = candidates_of(frame)
        code = {who: number for number, who in enumerate(whos)}
        plain["candidate"] = [code[who] for who in by_row(frame)]
        means = plain.groupby(keys, dropna=False, sort=False)[list(MEASURED)].mean()
        rows = zip(means.index, means.to_numpy(), strict=True)
        return {
            (suite, whos[number], sample): dict(zip(MEASURED, row, strict=True))
            for (suite, number, sample), row in rows
        }


def suite_races(plan: Plan, options: RaceOptions) -> list[SuiteRace]:
    """For each suite of a prepared sweep a race that has not begun. Raises InputError for a
    reference that does not run a suite, for one that runs a drawn part alone, and for earlier
    outcomes that say nothing of the candidates."""
    if plan.drawn is not None:
        raise InputError(
            "a race compares all candidates on the same samples, and `reference_share` keeps the reference from some "
            "of them; run the sweep without --race, or with reference_share: 1"
        )
    sweep, races = plan.grid.sweep, []
    if options.earlier is not None:
        options.earlier.check([cell.candidate for cell, _ in plan.tasks])
    for suite, cells in _by_suite(plan).items():
        cell, task = cells[0]
        samples = list(task.dataset)[: positions(cell, task)]
        entrants = [Entrant(one.candidate, one.settings.sha, its.epochs or 1) for one, its in cells]
        column = None if options.reference is None else _column(options.reference, suite, cells)
        races.append(suite_race(
            suite, entrants, [str(sample.id) for sample in samples],
            [cluster_of(sample, plan.grid.suites[suite].group) for sample in samples],
            options.rule, column, first=sweep.wave or FIRST_WAVE, seed=sweep.seed, batch=plan.tier == "batch",
            earlier=options.earlier,
        ))  # fmt: skip
    return races


def outlook_of(
    plan: Plan, estimates: Sequence[CellEstimate], options: RaceOptions, folder: Path,
    done: Done, then: pd.DataFrame | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What the race would do from where `race.jsonl` in `folder` says it is. `done`: finished
    (sample id, epoch) by cell; then: earlier outcomes under the names of these candidates, at
    today's prices. Raises InputError as the race itself would."""
    suites = suite_races(plan, options)
    RaceLog(folder, options.rule, options.reference, suites, options.earlier).replay()
    costs = {(one.suite, one.candidate): (one.usd, one.samples) for one in estimates}
    there = {(cell.suite, cell.candidate): set(done.get(cell.where, ())) for cell, _ in plan.tasks}
    outlook = race_outlook(options.rule, options.reference, suites, costs, there)
    if options.earlier is not None and then is not None:
        rng, known = np.random.default_rng(plan.grid.sweep.seed), OutcomeMatrix.from_frame(then)
        batch = plan.tier == "batch"
        guesses = [rehearse(one, known, options.rule, rng, batch) for one in suites if not one.shown]
        outlook["prior"] = prior_outlook(options.earlier, suites, guesses)
    return outlook


def _by_suite(plan: Plan) -> dict[str, list[tuple[Cell, Task]]]:
    return {
        suite: [(cell, task) for cell, task in plan.tasks if cell.suite == suite]
        for suite in dict.fromkeys(cell.suite for cell, _ in plan.tasks)
    }


def _column(reference: Candidate, suite: str, cells: Sequence[tuple[Cell, Task]]) -> int:
    """Where the reference is among the cells, by its name in outcomes or else in the sweep
    file."""
    names = [cell.candidate for cell, _ in cells]
    for known in (
        names,
        [Candidate(str(task.model), cell.effort, cell.candidate.harness) for cell, task in cells],
    ):
        if reference in known:
            return known.index(reference)
    raise InputError(
        f"`race.reference` is {reference}, which does not run suite `{suite}`; name one that runs every "
        f"suite, by model and effort as the sweep has them: {', '.join(map(str, names))}"
    )
