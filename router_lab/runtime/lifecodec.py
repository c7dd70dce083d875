"""What version 6 of policy.json adds: who retires, whom suites are kept to, what is explored; and
its rules, as `validate` has those of all else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from router_lab.runtime.errors import PolicyError, shown
from router_lab.runtime.model import PolicySpec
from router_lab.runtime.points import Assign, Cascade
from router_lab.runtime.typed import as_list, as_number, as_whole, real

LIFE_KEYS = ("retires", "successor", "allowed", "explore")


def life_out(spec: PolicySpec) -> dict[str, Any]:
    """The keys that say something; {} for a policy of an earlier version."""
    found: dict[str, Any] = {}
    if any(day is not None for day in spec.retires):
        found["retires"] = list(spec.retires)
    if spec.successor is not None:
        found["successor"] = int(spec.successor)
    if spec.allowed:
        found["allowed"] = {suite: [int(one) for one in own] for suite, own in sorted(spec.allowed.items())}
    if spec.explore:
        found["explore"] = {point: float(share) for point, share in sorted(spec.explore.items())}
    return found


def life_in(value: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a PolicySpec. PolicyError for a key that says nothing, TypeError for a wrong
    type."""
    for key in LIFE_KEYS:
        if key in value and (value[key] in (None, {}, []) or (key == "retires" and not any(value[key]))):
            raise PolicyError(f"policy.json: {key}: {shown(value[key])} says nothing; leave the key out")
    found: dict[str, Any] = {}
    if "retires" in value:
        found["retires"] = tuple(as_list(value["retires"]))
    if "successor" in value:
        found["successor"] = as_whole(value["successor"])
    if "allowed" in value:
        found["allowed"] = {
            suite: tuple(map(as_whole, as_list(own))) for suite, own in value["allowed"].items()
        }
    if "explore" in value:
        found["explore"] = {point: as_number(share) for point, share in value["explore"].items()}
    return found


def problems(spec: PolicySpec) -> Iterator[str]:
    """What is wrong with these keys, once suites, columns and points are known to be right."""
    yield from _retires(spec)
    yield from _successor(spec)
    for suite, own in spec.allowed.items():
        yield from _allowed(spec, suite, own)
    for name, share in spec.explore.items():
        if name not in spec.points:
            yield f"explore: {shown(name)} is not among the points {sorted(spec.points)}"
        if not real(share) or not 0 < share < 1:
            yield f"explore: {shown(name)}: {shown(share)} is not a share above 0 and below 1"


def _retires(spec: PolicySpec) -> Iterator[str]:
    if not spec.retires:
        return
    if not isinstance(spec.retires, tuple) or len(spec.retires) != len(spec.profiles):
        yield f"retires: {shown(spec.retires)} is not a date or null for each of {len(spec.profiles)} candidates"
    for candidate, day in zip(spec.candidates, spec.retires, strict=True):
        if day is not None and not _is_day(day):
            yield f"retires: {shown(day)} of {candidate} is not a date (YYYY-MM-DD)"
    if None not in spec.retires:
        yield "retires: every candidate retires; one must stay, or nobody is left to decide for"


def _is_day(day: object) -> bool:
    try:
        return isinstance(day, str) and date.fromisoformat(day).isoformat() == day
    except ValueError:
        return False


def _successor(spec: PolicySpec) -> Iterator[str]:
    then = spec.successor
    if then is None:
        return
    if isinstance(then, bool) or not isinstance(then, int) or not 0 <= then < len(spec.profiles):
        yield f"successor {shown(then)} is not a column of {len(spec.profiles)} candidates"
    own = spec.retires[spec.reference] if spec.retires else None
    if then == spec.reference or own is None:
        yield f"successor {spec.candidates[then]}: comes after the reference, which never retires or is itself named"
    day = spec.retires[then]
    if day is not None and own is not None and day <= own:
        yield f"successor {spec.candidates[then]}: retires on {day}, no later than the reference, on {own}"


def _allowed(spec: PolicySpec, suite: str, own: tuple[int, ...]) -> Iterator[str]:
    where, count = f"allowed: {shown(suite)}", len(spec.profiles)
    if suite not in spec.suites:
        yield f"{where} is not among the suites"
    if not isinstance(own, tuple) or not own or len(set(own)) != len(own):
        yield f"{where}: {shown(own)} is not a tuple of one column or several, each once"
    for column in own:
        if isinstance(column, bool) or not isinstance(column, int) or not 0 <= column < count:
            yield f"{where}: {shown(column)} is not a column of {count} candidates"
    if spec.retires and all(spec.retires[column] is not None for column in own):
        yield f"{where}: every one of them retires; one must stay, or nobody is left to serve the suite"
    route = spec.routes.get(suite)
    may = {*own, spec.reference}  # which stands for whoever is in its place
    if route is not None and route.verdict == "pass" and route.candidate not in may:
        yield f"{where}: its route is to {spec.candidates[route.candidate]}, which may not serve it"
    row = spec.suites.index(suite) + 1
    for name, point in spec.points.items():
        for piece in point:
            if isinstance(piece, Assign) and piece.table[row] not in may:
                yield f"{where}: points: {shown(name)}: assigns {spec.candidates[piece.table[row]]}, which may not serve it"
            chain = piece.chains[row] if isinstance(piece, Cascade) else None
            stages = () if chain is None else spec.chains[chain]
            if any(stage.column not in own for stage in stages):
                yield f"{where}: points: {shown(name)}: chain {chain} asks somebody who may not serve it"
