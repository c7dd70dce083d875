"""Who of those that a policy uses retires soon: a warning before it is deployed."""

from __future__ import annotations

import datetime as dt

from router_lab.runtime.model import PolicySpec
from router_lab.runtime.points import Assign, Cascade, Piece, follows
from router_lab.runtime.policy import Policy
from router_lab.runtime.standing import in_place

SOON_DAYS = 30


def retiring_soon(policy: Policy, day: dt.date, *, gone: bool = False) -> tuple[str, ...]:
    """A sentence on each candidate that `policy` uses and that retires within SOON_DAYS after
    `day`, the first first; with `gone` also on those that have retired by then."""
    spec, told = policy.spec, list[tuple[int, str]]()
    for column in _used(spec):
        own = spec.retires[column] if spec.retires else None
        if own is None or (left := (dt.date.fromisoformat(own) - day).days) > SOON_DAYS:
            continue
        if left <= 0 and not gone:
            continue
        name = str(spec.candidates[column])
        who = f"the reference, {name}," if column == spec.reference else name
        if left > 0:
            when = f"retires on {own}, in {left} day{'s' * (left != 1)}: fit again without it by then"
        else:
            when = f"retired on {own} and serves nothing any more: fit again without it"
        told.append((left, f"{who} {when}"))
    return tuple(text for _, text in sorted(told))


def _used(spec: PolicySpec) -> list[int]:
    """The columns that a point may ask first or in a chain, and who stands in the reference's
    place."""
    if any(map(follows, spec.points.values())) or any(spec.explore.values()):
        return list(range(len(spec.profiles)))
    found = {in_place(spec, suite) for suite in (None, *spec.suites)} | {
        route.candidate for route in spec.routes.values() if route.verdict == "pass"
    }
    for piece in (piece for point in spec.points.values() for piece in point):
        found |= _named(spec, piece)
    return sorted(found)


def _named(spec: PolicySpec, piece: Piece) -> set[int]:
    if isinstance(piece, Assign):
        return set(piece.table)
    chains = [number for number in piece.chains if number is not None] if isinstance(piece, Cascade) else []
    return {stage.column for number in chains for stage in spec.chains[number]}
