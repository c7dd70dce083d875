"""A bill from traces alone, before any eval: what calls, tasks and months cost, where the dollars
go, and what of them bought nothing."""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from router_lab.metrics import weighted_quantile
from router_lab.report.sources import dollars_by_source
from router_lab.runtime.kinds import TOKENS
from router_lab.traces.dollars import Priced
from router_lab.traces.repeats import Repeats, repeats_of
from router_lab.traces.tasks import Bound, Task, bounds, looping, tasks_of

MONTH_DAYS = 365.25 / 12
LEAST_DAYS = 1.0
"""A rate per month is told from traces of this many days or more."""


class Row(NamedTuple):
    """A route or a model: how much it was used, what that cost (`unpriced` calls left out), and
    tokens by column."""

    name: str
    calls: int
    tasks: int
    usd: float
    unpriced: int
    tokens: Mapping[str, int]
    p50: float
    p95: float


class Loops(NamedTuple):
    """Looping tasks: how many, their dollars, by which rule (the first few), and bounds on turns
    that would have stopped them."""

    tasks: int
    usd: float
    rules: tuple[tuple[str, str], ...]
    bounds: tuple[Bound, ...]


@dataclass(frozen=True)
class TraceBill:
    """All dollars are of calls whose dollars are known; `unpriced` are not.

    days: from the first call to the last one's end; None where calls tell no time. month: dollars
    at that rate, None under LEAST_DAYS. p50, p95: dollars of a task, each with at least one priced
    call. sources: by route, dollars by what was paid for (`report.sources`), and what nobody knows.
    failed: calls without a whole answer and their dollars; failed_tasks: tasks that end with one
    and theirs. done: tasks that end with a whole answer.
    """

    calls: int
    tasks: int
    usd: float
    unpriced: int
    days: float | None
    month: float | None
    p50: float
    p95: float
    routes: tuple[Row, ...]
    models: tuple[Row, ...]
    sources: Mapping[str, Mapping[str, float]]
    failed: tuple[int, float]
    failed_tasks: tuple[int, float]
    done: int
    loops: Loops
    repeats: Repeats

    def to_json(self) -> dict[str, Any]:
        """Plain data; NaN as null."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def trace_bill(priced: Sequence[Priced], by: str = "session") -> TraceBill:
    """The bill of calls. by: what a task is, as `traces.tasks.tasks_of` takes it."""
    tasks = tasks_of(priced, by)
    ordered = [one for task in tasks for one in task.calls]
    days = _days(ordered)
    usd = _sum(ordered)
    failed = [one for one in ordered if one.call.failed]
    ended = [task for task in tasks if task.failed]
    costs = [task.usd for task in tasks]
    return TraceBill(
        calls=len(ordered), tasks=len(tasks), usd=usd, unpriced=sum(one.usd is None for one in ordered), days=days,
        month=usd / days * MONTH_DAYS if days is not None and days >= LEAST_DAYS else None,
        p50=_quantile(costs, 0.5), p95=_quantile(costs, 0.95), routes=_rows(tasks, lambda one: one.call.route),
        models=_rows(tasks, lambda one: one.call.model), sources=_sources(tasks), failed=(len(failed), _sum(failed)),
        failed_tasks=(len(ended), _sum([call for task in ended for call in task.calls])),
        done=sum(task.done for task in tasks), loops=_loops(tasks), repeats=repeats_of(_by_time(ordered)),
    )  # fmt: skip


def _by_time(calls: Sequence[Priced]) -> list[Priced]:
    first = dt.datetime.min.replace(tzinfo=dt.UTC)
    return sorted(calls, key=lambda one: one.call.started or first)


def _sum(calls: Sequence[Priced]) -> float:
    return math.fsum(one.usd for one in calls if one.usd is not None)


def _quantile(costs: Sequence[float], share: float) -> float:
    values = np.array(costs, np.float64)
    return weighted_quantile(values, np.ones(len(values)), share)


def _days(calls: Sequence[Priced]) -> float | None:
    times = [(c.started, c.seconds or 0.0) for one in calls if (c := one.call).started is not None]
    if not times:
        return None
    begin = min(start for start, _ in times if start is not None)
    end = max((start - begin).total_seconds() + seconds for start, seconds in times if start is not None)
    return end / 86_400


def _rows(tasks: Sequence[Task], name: Callable[[Priced], str]) -> tuple[Row, ...]:
    """By name, the dearest first; a task's dollars under a name are those of its calls there."""
    found: dict[str, dict[str, list[Priced]]] = defaultdict(lambda: defaultdict(list))
    for task in tasks:
        for one in task.calls:
            found[name(one)][task.key].append(one)
    rows = [_row(own, by_task) for own, by_task in found.items()]
    return tuple(sorted(rows, key=lambda row: (-row.usd, row.name)))


def _row(name: str, by_task: Mapping[str, Sequence[Priced]]) -> Row:
    calls = [one for own in by_task.values() for one in own]
    costs = [_sum(own) if any(one.usd is not None for one in own) else math.nan for own in by_task.values()]
    counted = [one.call.tokens.columns() for one in calls if one.call.tokens is not None]
    tokens = {column: sum(counts[column] for counts in counted) for column in TOKENS}
    return Row(
        name, len(calls), len(by_task), _sum(calls), sum(one.usd is None for one in calls), tokens,
        _quantile(costs, 0.5), _quantile(costs, 0.95),
    )  # fmt: skip


def _sources(tasks: Sequence[Task]) -> dict[str, dict[str, float]]:
    """By route, dollars by source. Of a call whose price by kind is not known nobody knows, nor of
    what follows a call without tokens in its conversation. A task's calls are taken for one, as
    far as their texts do not show that one begins anew."""
    rows, task_of = list[tuple[int, float, float, float, float]](), list[int]()
    for at, task in enumerate(tasks):
        whole = True
        for place, one in enumerate(task.calls):
            if place == 0 or one.call.opens:
                task_of.append(at)
                whole = True
            tokens = one.call.tokens
            if tokens is None:
                whole = whole and one.usd == 0  # what failed before it read anything
            elif whole:
                usd, read = (0.0, 0.0) if one.usd is None or one.read is None else (one.usd, one.read)
                rows.append((len(task_of) - 1, float(tokens.prompt), float(tokens.output), usd, read))
    parts = dollars_by_source(pd.DataFrame(rows, columns=["run", "read", "said", "usd", "read_usd"]))
    parts = parts.groupby([task_of[run] for run in parts.index]).sum()
    values = parts.to_numpy(np.float64).tolist()
    rows_of = {at: zip(parts.columns, row, strict=True) for at, row in zip(parts.index, values, strict=True)}
    found: dict[str, dict[str, float]] = {}
    for at, task in enumerate(tasks):
        own = found.setdefault(task.route, dict.fromkeys((*parts.columns, "unknown"), 0.0))
        told = dict(rows_of[at]) if at in rows_of else {}
        told = {name: 0.0 if math.isnan(usd) else usd for name, usd in told.items()}
        left = max(0.0, _sum(task.calls) - math.fsum(told.values()))
        told["unknown"] = 0.0 if left < 1e-9 * _sum(task.calls) else left
        for name, usd in told.items():
            own[name] += usd
    return found


def _loops(tasks: Sequence[Task]) -> Loops:
    found = looping(tasks)
    usd = math.fsum(_sum(one.task.calls) for one in found)
    dearest = sorted(found, key=lambda one: -_sum(one.task.calls))[:5]
    rules = tuple((one.task.key, one.rule) for one in dearest)
    return Loops(len(found), usd, rules, tuple(bounds(tasks, found)))


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
