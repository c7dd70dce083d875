"""Outcomes of suites that are kept to some candidates: those of nobody else exist there, and where
the reference may not serve, another stands in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from router_lab.metrics.paired import Floats, Ints
from router_lab.outcomes.matrix import OutcomeMatrix

Allowed = Mapping[str, Sequence[int]]
"""By suite, the columns that alone may serve it."""


def places(data: OutcomeMatrix, reference: int, allowed: Allowed) -> Ints:
    """[n] the column that stands in the reference's place: the reference, or where it may not
    serve the first who may."""
    by_suite = np.full(len(data.suites), reference, np.int64)
    for code, suite in enumerate(data.suites):
        own = allowed.get(suite, (reference,))
        by_suite[code] = reference if reference in own else own[0]
    return np.asarray(by_suite[data.suite], np.int64)


def closed(data: OutcomeMatrix, allowed: Allowed) -> NDArray[np.bool_]:
    """[n, c] who may not serve."""
    may = np.ones((len(data.suites), len(data.candidates)), np.bool_)
    for code, suite in enumerate(data.suites):
        if suite in allowed:
            may[code] = False
            may[code, list(allowed[suite])] = True
    return np.asarray(~may[data.suite], np.bool_)


def kept_to(data: OutcomeMatrix, reference: int, allowed: Allowed) -> OutcomeMatrix:
    """The same without the outcomes of those who may not serve, as if nobody had meant to run
    them; the reference's column has those of who stands in its place."""
    if not allowed:
        return data
    rows, place, lost = np.arange(len(data)), places(data, reference, allowed), closed(data, allowed)
    lost[:, reference] = False

    def kept(values: NDArray[np.float64], none: float) -> Floats:
        found = np.where(lost, none, values)
        found[:, reference] = values[rows, place]
        return found

    return replace(
        data, quality=kept(data.quality, np.nan), cost_usd=kept(data.cost_usd, np.nan),
        check=kept(data.check, np.nan), weight=kept(data.weight, 1.0), missing=kept(data.missing, 0.0),
        figures={name: kept(part, np.nan) for name, part in data.figures.items()},
    )  # fmt: skip


def at_home(shares: Floats, place: Ints, reference: int) -> Floats:
    """[n, c] shares of requests, with those of who stands in the reference's place under the
    reference's column, which has his outcomes: nothing of them is moved."""
    found, rows = shares.copy(), np.flatnonzero(place != reference)
    found[rows, reference] += found[rows, place[rows]]
    found[rows, place[rows]] = 0.0
    return found
