"""The seconds that a recipe allows chains (`latency_p95_s`): those that take longer are not
considered, and the certificate names them (`shown.chains_too_slow`)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from router_lab.config import Recipe
from router_lab.fit.limits import LEAST_RUNS
from router_lab.metrics.curves import TAIL, column_quantiles
from router_lab.metrics.paired import Floats, Ints, Mask
from router_lab.outcomes import SCORED, OutcomeMatrix, by_row
from router_lab.outcomes.columns import LATENCY
from router_lab.runtime.errors import InputError


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


def tails_of(data: OutcomeMatrix) -> Floats:
    """`tails` of candidates."""
    return tails(data.figures[LATENCY], data.suite, len(data.suites))


def closed_to(data: OutcomeMatrix, reference: int, bound: float) -> Mask:
    """[suites + 1, c] where a candidate may not be chosen, for a failed check of it sends too many
    on for too long: of outcomes in which it does."""
    found = np.zeros((len(data.suites) + 1, len(data.candidates)), bool)
    found[1:] = tails_of(data) > bound
    found[0] = found[1:].all(axis=0)
    found[:, reference] = False
    return found
