"""The grid made ready: tasks loaded, models made, requests recorded. All that can fail before
money is spent."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import rich
from inspect_ai import Task

from router_lab.config import Sweep
from router_lab.places import fetched, is_address
from router_lab.prices import PriceTable, today
from router_lab.providers.loopback import loopback_direct
from router_lab.providers.store import candidate_label, read_header, recordings
from router_lab.runtime.errors import InputError
from router_lab.sweep.batch import batched
from router_lab.sweep.bind import models_of, parts_of, shares_calls, tasks_of
from router_lab.sweep.code import boundaries, refuse_unheld
from router_lab.sweep.drawn import Drawn, draw_reference
from router_lab.sweep.models import build_model, candidate_arguments
from router_lab.sweep.recorder import Requests, fingerprint, refuse_twins, request_dict
from router_lab.sweep.settings import Cell, Grid, load_grid
from router_lab.sweep.shared import SharedCalls
from router_lab.sweep_manifest import SweptCell

STAND_IN, NOWHERE = "not-a-key", "http://127.0.0.1:9/v1"
"""Key and server with which models are made for an estimate: nothing is sent."""


@dataclass(frozen=True)
class Plan:
    """Cells with their tasks, in file order, and what each candidate sends."""

    grid: Grid
    tasks: tuple[tuple[Cell, Task], ...]
    requests: Requests
    recorded: Path
    budget_usd: float | None = None
    lacking: tuple[str, ...] = ()
    """What a run still needs that an estimate does without: keys that are not set, one sentence a
    model, and whatever a budget needs."""
    tier: str = "standard"
    """At which price its requests run, `standard` or `batch`."""
    drawn: Drawn | None = None
    """Which samples the reference runs, where that is a part of them (`reference_share`)."""
    calls: SharedCalls | None = None
    """Answers that its candidates share, where they do."""

    @property
    def needed(self) -> int:
        """Samples × epochs of the whole grid."""
        return sum(positions(cell, task) * (task.epochs or 1) for cell, task in self.tasks)

    @property
    def longest(self) -> int:
        """Samples of the longest suite, as far as it is run."""
        return max(max(self.places(cell, task), default=-1) + 1 for cell, task in self.tasks)

    def places(self, cell: Cell, task: Task) -> Sequence[int]:
        """Where a cell's samples stand in its suite's order."""
        if self.drawn is not None and self.drawn.has(cell):
            return self.drawn.places[cell.suite]
        return range(positions(cell, task))

    def prices(self) -> PriceTable:
        """The sweep's price table; without a file of its own, genai-prices alone."""
        named = "prices_file" in self.grid.sweep.model_fields_set
        return PriceTable.load(self.prices_file(), missing=not named)

    def prices_file(self) -> Path:
        """Where its prices are, or would be."""
        path = self.grid.base / self.grid.sweep.prices_file
        whole, here = path.resolve(), Path.cwd()
        return whole.relative_to(here) if whole.is_relative_to(here) else path

    def boundaries(self) -> list[str]:
        """What holds the code that models write, a line for each suite that runs any."""
        return boundaries(self.tasks, self.recorded)

    def cells(self) -> tuple[SweptCell, ...]:
        """What the manifest says of each cell: its settings and the request that was recorded."""
        return tuple(
            SweptCell(
                suite=cell.suite, request=None if cell.team else self._request(cell), task_version=task.version,
                planned=positions(cell, task), **self._arguments(cell),
            )
            for cell, task in self.tasks
        )  # fmt: skip

    def _arguments(self, cell: Cell) -> dict[str, Any]:
        found = candidate_arguments(cell)
        for role, part in cell.team.items():
            found["roles"][role]["request"] = self._request(cell, role, part)
        return found

    def _request(self, cell: Cell, role: str = "", part: Cell | None = None) -> dict[str, Any]:
        """What a cell sends, or a role of its team."""
        part = part or cell
        if not part.recorded:
            return request_dict(self.requests.get((cell.where, role)), part)
        label = candidate_label(part.model, part.effort, part.settings.sha)
        headers = map(read_header, recordings(self.recorded, label))
        request: dict[str, Any] | None = next(
            (h.get("request") for h in headers if h["suite"] == cell.suite), None
        )
        return request or request_dict(None, part)


def positions(cell: Cell, task: Task) -> int:
    """Samples that a cell runs, its limit applied."""
    whole = len(task.dataset)
    return whole if cell.limit is None else min(whole, cell.limit)


def prepare(
    source: str | Path | Sweep,
    *,
    base: Path | None = None,
    limit: int | None = None,
    budget_usd: float | None = None,
    spending: bool = True,
    batch: bool = False,
) -> Plan:
    """Read, check and load everything. Raises InputError before anything is written or sent.

    Args:
        source: a sweep file, or a Sweep whose relative paths start at `base`.
        limit: samples per suite at most, for a trial.
        budget_usd: instead of the sweep file's own.
        batch: run through the providers' batch APIs, at their price.
        spending: False for an estimate, which needs no keys and no budget that could be kept;
            `lacking` names these.
    """
    grid = _limited(load_grid(source, base), limit)
    if batch:
        grid = replace(grid, cells=batched(grid.cells, grid.sweep.batch))
    recorded = _recorded(grid)
    calls = SharedCalls() if shares_calls(grid) else None
    lacking: dict[str, None] | None = None if spending else {}
    parts = parts_of(grid)
    with silent_console(), loopback_direct(part.spec.base_url for part in parts):
        for cell in () if spending else {part.spec.model: part for part in parts}.values():
            with _wanting(lacking):
                build_model(cell, recorded)
        asked, key = (grid, None) if spending else (_pointed_nowhere(grid), STAND_IN)
        tasks = tasks_of(asked, recorded, key, calls)
        with _wanting(lacking):
            refuse_unheld(tasks, recorded)
        requests = fingerprint(grid.cells, dict(enumerate(task for _, task in tasks)))
    refuse_twins(tasks, requests)
    tasks, drawn = draw_reference(grid, tasks)
    plan = Plan(
        grid, tasks, requests, recorded, _budget(grid.sweep, budget_usd), tier="batch" if batch else "standard",
        drawn=drawn, calls=calls,
    )  # fmt: skip
    with _wanting(lacking):
        _check_budget(plan)
    return replace(plan, lacking=tuple(lacking or ()))


def _recorded(grid: Grid) -> Path:
    """The folder of recorded generations on this machine."""
    given = grid.sweep.recorded
    return fetched(given) if is_address(given) else (grid.base / given).resolve()


def _limited(grid: Grid, limit: int | None) -> Grid:
    if not limit:
        return grid
    return replace(grid, cells=tuple(replace(c, limit=min(c.limit or limit, limit)) for c in grid.cells))


def _budget(sweep: Sweep, given: float | None) -> float | None:
    budget = sweep.budget_usd if given is None else given
    if budget is not None and not 0 <= budget < math.inf:  # NaN is in no range
        raise InputError(f"sweep {sweep.name}: budget_usd {budget!r} is not a finite number of 0 or more")
    return budget


@contextmanager
def _wanting(lacking: dict[str, None] | None) -> Iterator[None]:
    """What a run cannot do without is, for an estimate, a sentence of `lacking`."""
    try:
        yield
    except InputError as error:
        if lacking is None:
            raise
        lacking[str(error)] = None


def _pointed_nowhere(grid: Grid) -> Grid:
    """The grid with a server for each model, so that none is looked for in the environment."""

    def pointed(cell: Cell) -> Cell:
        spec = cell.spec.model_copy(update={"base_url": cell.spec.base_url or NOWHERE})
        return replace(cell, spec=spec, team={role: pointed(part) for role, part in cell.team.items()})

    return replace(grid, cells=tuple(map(pointed, grid.cells)))


def _check_budget(plan: Plan) -> None:
    """A hard budget needs to know what a sample and a call can cost at most. Raises InputError."""
    sweep = plan.grid.sweep
    if plan.budget_usd is None:
        return
    if sweep.limits.usd is None:
        raise InputError(
            f"sweep {sweep.name}: a budget of ${plan.budget_usd:g} needs `limits: {{usd: …}}`, the most that one "
            "sample may cost, judge included: it is set aside before the sample starts (--dry-run shows what they cost)"
        )
    table, day = plan.prices(), today()
    for cell, task in plan.tasks:
        for part, model in models_of(cell, task):
            table.rates(part.model, day)
            config = task.config.merge(model.config)
            if (
                config.max_tokens or model.api.max_tokens_for_config(config) or model.api.max_tokens()
            ) is None:
                raise InputError(
                    f"sweep {sweep.name}: candidate {part.candidate} has no max_tokens, so a call could cost anything "
                    "and no budget could hold; set it in `config:` or in its effort"
                )


@contextmanager
def silent_console() -> Iterator[None]:
    """Inspect greets and reports on standard output, which belongs to the command's result."""
    console = rich.get_console()
    quiet, console.quiet = console.quiet, True
    # A quiet console lays out all that it is given before it drops it: a table of the whole grid
    # at the end of each wave, a tenth of the wave's work.
    vars(console)["print"] = lambda *_, **__: None
    try:
        yield
    finally:
        vars(console).pop("print", None)  # gone already where Inspect has configured it anew
        console.quiet = quiet
