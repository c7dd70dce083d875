"""Requests that were made before: what an output cache would save."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from router_lab.outcomes.near import near_copies
from router_lab.traces.dollars import Priced


class Repeats(NamedTuple):
    """exact: calls whose whole request, model and route an earlier whole answer had. near: first
    questions of a conversation that are not among them, and are near-duplicates of an earlier one.
    told: calls of which the request is known, of `calls`."""

    exact: int
    exact_usd: float
    near: int
    near_usd: float
    told: int
    calls: int


def repeats_of(calls: Sequence[Priced]) -> Repeats:
    """Repeats among calls in their order; calls that failed are neither repeats nor repeated.

    What is near is a ceiling: numbers and names may differ, and the answers with them.
    """
    whole = [one for one in calls if not one.call.failed]
    told = [one for one in whole if one.call.request is not None]
    seen = set[tuple[str, str, str | None]]()
    again, fresh = list[Priced](), list[Priced]()
    for one in told:
        key = (one.call.route, one.call.model, one.call.request)
        (again if key in seen else fresh).append(one)
        seen.add(key)
    near = _near([one for one in fresh if _first(one)])
    return Repeats(len(again), _sum(again), len(near), _sum(near), len(told), len(calls))


def _first(one: Priced) -> bool:
    """Whether the request is one question: what was said before would make another of it."""
    roles = [message.role for message in one.call.messages if message.role != "system"]
    return roles == ["user"] and bool(one.call.prompt)


def _near(first: Sequence[Priced]) -> list[Priced]:
    groups = near_groups([one.call.route for one in first], [one.call.prompt or "" for one in first])
    seen = defaultdict[int, list[Priced]](list)
    for group, one in zip(groups, first, strict=True):
        seen[group].append(one)
    return [one for own in seen.values() for one in own[1:]]


def near_groups(routes: Sequence[str], prompts: Sequence[str]) -> list[int]:
    """[n] the least row to which each is linked by equal prompts or near copies of its route."""
    codes = {route: code for code, route in enumerate(dict.fromkeys(routes))}
    unique = list(dict.fromkeys(zip(routes, prompts, strict=True)))
    linked = near_copies(
        np.array([codes[route] for route, _ in unique], np.int64), [text for _, text in unique]
    )
    first = {pair: row for row, pair in reversed(list(enumerate(zip(routes, prompts, strict=True))))}
    group = {pair: first[unique[int(at)]] for pair, at in zip(unique, linked, strict=True)}
    return [group[pair] for pair in zip(routes, prompts, strict=True)]


def _sum(calls: Sequence[Priced]) -> float:
    return math.fsum(one.usd or 0.0 for one in calls)
