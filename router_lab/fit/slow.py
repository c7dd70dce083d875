"""Chains that take longer than the recipe allows (`latency_p95_s`): they are not considered, and
the certificate names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from router_lab.certificate import ChainsTooSlow, TooSlow
from router_lab.config import Recipe
from router_lab.fit.limits import LEAST_RUNS
from router_lab.metrics.curves import TAIL, column_quantiles
from router_lab.metrics.paired import Floats, Ints, Mask
from router_lab.outcomes import SCORED, OutcomeMatrix, by_row
from router_lab.outcomes.columns import LATENCY
from router_lab.runtime.errors import InputError

if TYPE_CHECKING:
    from router_lab.fit.chains import Cascades
    from router_lab.fit.problem import Problem


def bounded(recipe: Recipe) -> float | None:
    """Seconds that a request of a chain may take; None where nothing bounds them, or no request is
    asked twice."""
    return recipe.latency_p95_s if recipe.escalate and recipe.stages > 1 else None


def require_seconds(recipe: Recipe, frame: pd.DataFrame) -> None:
    """InputError where chains are bounded in seconds and a scored row of a validated table has
    none."""
    if (bound := bounded(recipe)) is None:
        return
    scored = frame[frame["status"].isin(SCORED)]
    lacking = scored[scored[LATENCY].isna()] if LATENCY in scored.columns else scored
    if len(lacking):
        first, who = lacking.iloc[0], by_row(lacking)[0]
        raise InputError(
            f"recipe {recipe.name!r}: latency_p95_s: {bound:g} bounds the seconds of chains, and {len(lacking):,} of "
            f"{len(scored):,} scored rows have no `{LATENCY}`, the first sample {first['sample_id']!r} of suite "
            f"{first['suite']!r} by {who}: record seconds (batches have none), or take `latency_p95_s` out"
        )


def tails(seconds: Floats, suite: Ints, suites: int) -> Floats:
    """[suites, columns] the 95th percentile of a request's seconds [n, columns] in each suite, as a
    gate on `latency_p95_s` has it; that of all rows where a suite has fewer than LEAST_RUNS."""
    found = np.repeat(column_quantiles(seconds, TAIL)[None], suites, axis=0)
    for code, count in enumerate(np.bincount(suite, minlength=suites)):
        if count >= LEAST_RUNS:
            found[code] = column_quantiles(seconds[suite == code], TAIL)
    return found


def _tails_of(data: OutcomeMatrix) -> Floats:
    """`tails` of candidates."""
    return tails(data.figures[LATENCY], data.suite, len(data.suites))


def closed_to(problem: Problem, bound: float) -> Mask:
    """[suites + 1, c] where a candidate may not be chosen, for a failed check of it sends too many
    on for too long: of outcomes in which it does."""
    found = np.zeros(problem.eligible.shape, bool)
    found[1:] = _tails_of(problem.develop) > bound
    found[0] = found[1:].all(axis=0)
    found[:, problem.reference] = False
    return found


def too_slow(problem: Problem, cascades: Cascades | None) -> ChainsTooSlow | None:
    """What the recipe's bound left out; None where it has none, or no chain was looked at."""
    if (bound := bounded(problem.recipe)) is None:
        return None
    if cascades is not None:
        tried = _of_chains(cascades)
    elif (other := problem.escalating()) is not None:
        tried = _of_checks(other)
    else:
        return None
    left_out = tuple(
        _row(problem, columns, seconds, bound)
        for columns, seconds in tried.items()
        if (seconds > bound).any()
    )
    return ChainsTooSlow(latency_p95_s=bound, considered=len(tried), left_out=left_out)


def _of_chains(cascades: Cascades) -> dict[tuple[int, ...], Floats]:
    """By the columns of chains of two and more stages, [suites, versions] their seconds."""
    places: dict[tuple[int, ...], list[int]] = {}
    for place, entry in enumerate(cascades.entries):
        if len(entry.plan) > 1:
            places.setdefault(tuple(stage.column for stage in entry.plan), []).append(place)
    return {columns: cascades.tails[:, own] for columns, own in places.items()}


def _of_checks(other: Problem) -> dict[tuple[int, ...], Floats]:
    """The same of candidates that a failed check sends on to the reference."""
    found, last = _tails_of(other.develop), other.reference
    return {(j, last): found[:, [j]] for j in range(found.shape[1]) if j != last}


def _row(problem: Problem, columns: Sequence[int], seconds: Floats, bound: float) -> TooSlow:
    """Where seconds [suites, versions] of one chain are over the bound, as some are."""
    over = seconds > bound
    named, suites = problem.develop.candidates, problem.develop.suites
    every, some = over.all(axis=1), over.any(axis=1)
    return TooSlow(
        stages=tuple(tuple(named[column]) for column in columns),
        least_s=float(seconds[over].min()), most_s=float(seconds[over].max()),
        suites=tuple(suites[code] for code in np.flatnonzero(every)),
        some_versions=tuple(suites[code] for code in np.flatnonzero(some & ~every)),
    )  # fmt: skip
