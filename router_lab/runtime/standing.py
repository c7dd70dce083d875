"""Who may serve a suite on a day, and who stands in the reference's place there: candidates retire,
and a suite may be kept to a few."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime.model import PolicySpec

Open = tuple[bool, ...]
"""[c] who may serve."""
Mask = NDArray[np.bool_]
NOBODY: frozenset[int] = frozenset()


class Keeps(NamedTuple):
    """What holds for every request of a suite: `own` [c] who may serve it (None: all), `gone` [c]
    who has retired (None: nobody)."""

    own: Open | None
    gone: Open | None


class Standing(NamedTuple):
    """By row of the tables (POOLED first): `place`, the column that stands in the reference's
    place; `moved`, whether it does since somebody retired; `keeps`, None where all may serve.
    `open` [suites + 1, c]: who may serve at all."""

    place: tuple[int, ...]
    moved: tuple[bool, ...]
    keeps: tuple[Keeps | None, ...]
    open: Mask


def in_place(spec: PolicySpec, suite: str | None, gone: Collection[int] = NOBODY) -> int:
    """The column that stands in the reference's place in a suite, None = no known one.

    That is the reference; once it has retired its successor, and where the recipe names none the
    first of the fallbacks. A suite that is kept to some (`allowed`) takes none but these, in the
    order in which the recipe names them.
    """
    head = (spec.reference,) if spec.successor is None else (spec.reference, spec.successor)
    listed = None if suite is None else spec.allowed.get(suite)
    if listed is None:
        order: tuple[int, ...] = (*head, *spec.fallbacks)
    else:
        order = (*(one for one in head if spec.reference in listed and one in listed), *listed)
    return next(column for column in order if column not in gone)


def standing(spec: PolicySpec, gone: Collection[int] = NOBODY) -> Standing:
    """Who may serve once the columns of `gone` have retired."""
    count, suites = len(spec.profiles), (None, *spec.suites)
    lost = _open(count, gone) if len(gone) else None
    keeps: list[Keeps | None] = []
    for suite in suites:
        listed = None if suite is None else spec.allowed.get(suite)
        own = None if listed is None else _open(count, listed)
        keeps.append(None if own is None and lost is None else Keeps(own, lost))
    place = tuple(in_place(spec, suite, gone) for suite in suites)
    left = ~np.array(lost or (False,) * count)
    open_ = [left if one is None or one.own is None else left & np.array(one.own) for one in keeps]
    first = tuple(in_place(spec, suite) for suite in suites)
    moved = tuple(now != before for now, before in zip(place, first, strict=True))
    return Standing(place, moved, tuple(keeps), np.array(open_, np.bool_))


def first_second(day: str) -> float:
    """UTC seconds at which a date (YYYY-MM-DD) begins."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


def retirements(spec: PolicySpec) -> tuple[tuple[float, frozenset[int]], ...]:
    """The moments (UTC seconds) from which somebody is gone, ascending, and all who are gone from
    then on."""
    days = sorted({day for day in spec.retires if day is not None})
    return tuple(
        (first_second(day), frozenset(i for i, own in enumerate(spec.retires) if own is not None and own <= day))
        for day in days
    )  # fmt: skip


def may_explore(spec: PolicySpec, found: Standing) -> tuple[Open, ...]:
    """By row: [c] whom exploration may draw: who may serve there and be chosen there by prediction,
    and who stands in the reference's place."""
    eligible = found.open if spec.eligible is None else found.open & spec.eligible
    rows = np.array(eligible, np.bool_)
    rows[np.arange(len(rows)), list(found.place)] = True
    return tuple(tuple(row) for row in rows.tolist())


def _open(count: int, columns: Collection[int]) -> Open:
    return tuple(column in columns for column in range(count))
