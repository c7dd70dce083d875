"""Calls as tasks: what a session (or a trace) took, which tasks go round in circles, and what a
bound on turns would have done."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import NamedTuple

from router_lab.traces.dollars import Priced

REPEATED = 3
"""A task that calls one tool with the same arguments so often is looping."""
LONG, FACTOR = 10, 3.0
"""So is one of more turns than this, and than this many times the median of its route's tasks."""
LOSSES = (0.0, 0.01, 0.05)
"""Shares of the successes for which the smallest bound on turns is sought."""
_FIRST = dt.datetime.min.replace(tzinfo=dt.UTC)


@dataclass(frozen=True)
class Task:
    """The calls of one session, trace, or lone call, in their order. route: of its first call."""

    key: str
    calls: tuple[Priced, ...]

    @property
    def route(self) -> str:
        return self.calls[0].call.route

    @property
    def turns(self) -> int:
        return len(self.calls)

    @cached_property
    def usd(self) -> float:
        """Dollars of those calls of which they are known; NaN where of none."""
        known = [one.usd for one in self.calls if one.usd is not None]
        return math.fsum(known) if known else math.nan

    @property
    def done(self) -> bool:
        """Whether it ended with a whole answer: a success, as far as traces tell."""
        return self.calls[-1].call.done

    @property
    def failed(self) -> bool:
        return self.calls[-1].call.failed

    def beyond(self, turns: int) -> float:
        """Dollars of its calls after the first `turns`."""
        return math.fsum(one.usd or 0.0 for one in self.calls[turns:])


class Looping(NamedTuple):
    """A task that goes round in circles, and by which rule."""

    task: Task
    rule: str


class Bound(NamedTuple):
    """What `max_turns` would have done: how many looping tasks it stops, the dollars of all calls
    that it spares, and how many of the tasks that ended with a whole answer it stops, of all."""

    max_turns: int
    stopped: int
    usd: float
    lost: int
    of: int


def tasks_of(calls: Sequence[Priced], by: str = "session") -> list[Task]:
    """Tasks in the order of their first calls. by: `session` takes a session's calls together,
    else a trace's; `trace` a trace's, else a session's. A call with neither is a task."""
    found: dict[str, list[Priced]] = defaultdict(list)
    for at, one in enumerate(calls):
        call = one.call
        ids = [("session", call.session), ("trace", call.trace)]
        named = next(
            (f"{kind} {name}" for kind, name in (ids if by == "session" else ids[::-1]) if name), None
        )
        found[named or f"call {at}"].append(one)
    tasks = [
        Task(key, tuple(sorted(own, key=lambda one: one.call.started or _FIRST)))
        for key, own in found.items()
    ]
    return sorted(tasks, key=lambda task: task.calls[0].call.started or _FIRST)


def looping(tasks: Sequence[Task]) -> list[Looping]:
    """The tasks that loop: one tool with the same arguments REPEATED times, or far more turns than
    their route's tasks have."""
    turns: dict[str, list[int]] = defaultdict(list)
    for task in tasks:
        turns[task.route].append(task.turns)
    usual = {route: median(counts) for route, counts in turns.items()}
    found = []
    for task in tasks:
        rule = _rule(task, usual)
        if rule is not None:
            found.append(Looping(task, rule))
    return found


def _rule(task: Task, usual: Mapping[str, float]) -> str | None:
    used = Counter(tool for one in task.calls for tool in one.call.tools if tool.arguments)
    tool, times = used.most_common(1)[0] if used else (None, 0)
    if tool is not None and times >= REPEATED:
        return f"called {tool.name} {times} times with the same arguments"
    if task.turns > max(LONG, FACTOR * usual[task.route]):
        return f"{task.turns} turns, where half of its route's tasks have {usual[task.route]:g} or fewer"
    return None


def bounds(tasks: Sequence[Task], found: Sequence[Looping]) -> list[Bound]:
    """For each share of LOSSES the smallest `max_turns` that stops no more of the successes, if it
    stops a looping task at all; each bound once."""
    if not found:
        return []
    most = max(one.task.turns for one in found)
    tried = [
        bound(tasks, found, turns) for turns in sorted({task.turns for task in tasks} | {1}) if turns < most
    ]
    chosen = (next((b for b in tried if b.lost <= share * b.of), None) for share in LOSSES)
    return list(dict.fromkeys(b for b in chosen if b is not None and b.stopped))


def bound(tasks: Sequence[Task], found: Sequence[Looping], turns: int) -> Bound:
    """What `max_turns` of `turns` would have done."""
    return Bound(
        turns, sum(one.task.turns > turns for one in found),
        math.fsum(task.beyond(turns) for task in tasks if task.turns > turns),
        sum(task.done and task.turns > turns for task in tasks), sum(task.done for task in tasks),
    )  # fmt: skip
