"""Which portions of a plan have to be run: what earlier runs and waves left unfinished, and what
nobody has begun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from inspect_ai import Task
from inspect_ai.log import EvalLog

from router_lab.config.sweep import RaySpec
from router_lab.providers.boundary import CODE_KEY
from router_lab.providers.keys import marked
from router_lab.runtime.errors import InputError
from router_lab.sweep.engines.slices import Slice, begun, cut, due_of, lacking, portion_size
from router_lab.sweep.finished import (
    Done,
    finished_samples,
    identity,
    log_path,
    logs_of,
    unwritten_samples,
)
from router_lab.sweep.plan import Plan
from router_lab.sweep.settings import Where


class Portions:
    """Of a plan in its log directory, which no process but this one, and those that it has begun,
    writes."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self.tasks = {cell.where: task for cell, task in plan.tasks}
        self._cells = {identity(cell, task): cell.where for cell, task in plan.tasks}

    def due(self, tasks: Sequence[Task], limit: int, places: int) -> list[tuple[Slice, Where]]:
        """What has to be run so that the first `limit` samples of each task are there, where so
        many portions run at once."""
        wanted = {
            where_of(task): {str(sample.id): task.epochs or 1 for sample in list(task.dataset)[:limit]}
            for task in tasks
        }
        settled = finished_samples(self.folder, self.plan, settled=True)
        found: list[tuple[Slice, Where]] = []
        covered: dict[Where, set[str]] = {where: set() for where in wanted}
        for one in list(begun(self.folder, self._cells)):
            where = self._cells[one.cell]
            if where not in wanted:
                continue
            covered[where].update(one.samples)
            own = finished_samples(one.home(self.folder), self.plan).get(where, set())
            due = due_of(one, wanted[where], settled.get(where, set()), own)
            found += [] if due is None else [(due, where)]
        return [*found, *self._new(wanted, settled, covered, places)]

    def logs(self, tasks: Sequence[Task]) -> list[EvalLog]:
        """The logs that the log directory itself has of tasks, oldest first."""
        asked = {where_of(task) for task in tasks}
        found = [log for where, _, log in logs_of(self.folder, self.plan) if where in asked]
        return sorted(
            (log for log in found if log_path(log).parent == self.folder), key=lambda log: log.eval.created
        )

    def _new(
        self, wanted: Mapping[Where, Mapping[str, int]], settled: Done, covered: Mapping[Where, set[str]], places: int
    ) -> list[tuple[Slice, Where]]:  # fmt: skip
        """Portions of what nobody has begun, all cells by turns."""
        fresh: dict[Where, list[str]] = {}
        for where, samples in wanted.items():
            epochs = self.tasks[where].epochs or 1
            lack = lacking(list(samples), epochs, settled.get(where, set()))
            fresh[where] = [name for name in lack if name not in covered[where]]
        spec, names = self.plan.grid.sweep.ray, {where: cell for cell, where in self._cells.items()}
        size = spec.samples or portion_size(sum(map(len, fresh.values())), places)
        made = [
            (place, one, where)
            for where, ids in fresh.items()
            for place, one in enumerate(cut(self.folder, names[where], ids, size))
        ]
        return [(one, where) for _, one, where in sorted(made, key=lambda each: each[0])]


def where_of(task: Task) -> Where:
    """Suite and candidate of a task that is bound to its model."""
    found = marked(task.metadata, getattr(task.model, "model_args", None))
    assert found is not None
    return found


def cpus_of(task: Task, spec: RaySpec) -> float:
    """CPUs that a portion of a task needs: more where its samples have sandboxes."""
    sandboxed = (
        task.sandbox is not None
        or (task.metadata or {}).get(CODE_KEY)
        or any(sample.sandbox is not None for sample in task.dataset)
    )
    return spec.sandbox_cpus if sandboxed else spec.cpus


def refuse_one_process(plan: Plan) -> None:
    """Raises InputError for what only one process can do."""
    what = None
    if plan.tier == "batch":
        what = (
            "--batch bounds by one process what is in flight, and so lost at a kill; leave one of the two out"
        )
    elif plan.calls is not None:
        what = (
            "candidates that share calls (`share_calls`, by default teams at temperature 0) need one process that knows "
            "all answers; write `share_calls: false` in the sweep file, or leave --engine out"
        )
    if what:
        raise InputError(f"sweep {plan.grid.sweep.name}: --engine ray: {what}")


def refuse_halves(plan: Plan, folder: Path) -> None:
    """Raises InputError for what a run in one process has finished, and only another one can go on
    from."""
    settled, unsettled = finished_samples(folder, plan, settled=True), unwritten_samples(folder, plan)
    portions = list(begun(folder, {identity(cell, task) for cell, task in plan.tasks}))
    for cell, task in plan.tasks:
        done, mine = settled.get(cell.where, set()), identity(cell, task)
        names = {name for name, _ in done | unsettled.get(cell.where, set())}
        names -= {name for one in portions if one.cell == mine for name in one.samples}
        half = lacking(sorted(names), task.epochs or 1, done)
        if half:
            raise InputError(
                f"{folder}: a run without `--engine ray` has finished a part of {len(half)} samples of {cell.label}, the "
                f"first is {half[0]}, which would be paid for again: let that run come to its end first (`--limit` keeps "
                "it short), or take another log directory"
            )
