"""Each cell's task bound to its models, every one of which is guarded, metered and surrounded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from inspect_ai import Task
from inspect_ai.model import Model

from router_lab.providers.keys import tier_of
from router_lab.sweep.around import with_harness
from router_lab.sweep.budget import report_answer, report_failure
from router_lab.sweep.cells import TASK_ARGS, Cell
from router_lab.sweep.guard import Breaker, guard
from router_lab.sweep.models import build_model, team_model
from router_lab.sweep.settings import Grid
from router_lab.sweep.shared import SharedCalls, share
from router_lab.sweep.tasks import load_task, with_model

Bound = tuple[tuple[Cell, Task], ...]


def parts_of(grid: Grid) -> list[Cell]:
    """Whose requests are made: each candidate's, of a team each role's."""
    return [part for cell in grid.cells for part in cell.parts]


def models_of(cell: Cell, task: Task) -> Iterator[tuple[Cell, Model]]:
    """The models of a bound task that are its candidate's, with their cells."""
    if not cell.team:
        assert task.model is not None
        yield cell, task.model
    for role, part in cell.team.items():
        model = (task.model_roles or {})[role]
        assert isinstance(model, Model)
        yield part, model


def shares_calls(grid: Grid) -> bool:
    """Whether a call that several candidates make is made once."""
    asked = grid.sweep.share_calls
    return any(cell.team for cell in grid.cells) if asked is None else asked


def tasks_of(grid: Grid, recorded: Path, api_key: str | None, calls: SharedCalls | None) -> Bound:
    """The tasks of a grid's cells, in its order. Raises InputError."""
    loaded: dict[str, Task] = {}
    binder = _Binder(grid, recorded, api_key, calls)
    tasks = []
    for cell in grid.cells:
        own = {name: str(value) for name, value in cell.keys.items() if name.startswith(f"{TASK_ARGS}.")}
        key = json.dumps([cell.suite, cell.settings.task_args, own], sort_keys=True)
        if key not in loaded:
            loaded[key] = load_task(
                cell.suite,
                grid.suites[cell.suite],
                grid.suites_base,
                grid.sweep.seed,
                cell.settings.task_args,
                sample_usd=grid.sweep.limits.usd,
                keys=own,
            )
        model = binder.bound(team_model(cell, recorded, api_key, sending=api_key is None), cell, cell.main)
        roles = {
            role: binder.bound(build_model(part, recorded, api_key, sending=api_key is None), cell, part)
            for role, part in cell.team.items()
        }
        turns = (grid.sweep.limits.turns, cell.around.turns)
        # A recording answers the checks that it was made with.
        check = cell.self_check if getattr(model.api, "checked", True) else None
        tasks.append((cell, with_model(loaded[key], model, cell.epochs, check, roles=roles, turns=turns)))
    return tuple(tasks)


class _Binder:
    """What is put around every model of one sweep."""

    def __init__(self, grid: Grid, recorded: Path, api_key: str | None, calls: SharedCalls | None) -> None:
        self.calls, self.always = calls, grid.sweep.share_calls is True
        self._breakers: dict[tuple[str, str | None], Breaker] = {}

    def bound(self, model: Model, cell: Cell, part: Cell) -> Model:
        """`model`, which makes `part`'s requests for `cell`."""
        if not part.recorded:
            if self.calls is not None:
                share(model.api, self.calls, _identity(part), self.always)
            server = (part.spec.model, part.spec.base_url)
            breaker = self._breakers.setdefault(server, Breaker(part.spec.model))
            tier = tier_of({**part.settings.config, **part.transport}, part.settings.model_args)
            guard(
                model.api,
                breaker,
                partial(report_failure, part.model),
                partial(report_answer, part.model, tier, part.spec.model),
            )
        return with_harness(model, cell.around)


def _identity(part: Cell) -> list[object]:
    shots = [dict(shot) for shot in part.settings.few_shot]
    return [
        part.spec.model,
        (part.spec.base_url or "").rstrip("/"),
        shots,
        part.settings.model_args,
        part.logprobs,
    ]
