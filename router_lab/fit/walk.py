"""How far a choice may be followed: the Learn-then-Test walk along its mixes."""

from __future__ import annotations

from dataclasses import replace
from math import nan
from typing import NamedTuple

import numpy as np

from router_lab.fit.evidence import Evidence, Goal
from router_lab.metrics import MIN_CLUSTERS, Estimate, betting_p, estimate_of_sums
from router_lab.metrics.estimate import by_cluster, left_of_budget
from router_lab.metrics.paired import Floats, Ints, Mask, heaviest

STEPS = np.linspace(0.0, 1.0, 51)


class Walked(NamedTuple):
    """How far the goal is shown to hold (`mix`), the steps tested, and the one that a verdict
    speaks of: the last that was shown, or the first one tested where none was.

    at: the mix of that step.  estimate: of the mean of `Evidence.values` there, just as it was
    tested.  betting: the p-value by betting, where the goal asks for it.
    """

    mix: float
    tested: int
    at: float
    estimate: Estimate
    betting: float | None = None


def walk(action: Ints, evidence: Evidence, goal: Goal) -> Walked:
    """How far along the path of mixes the goal is shown to hold; action [n, k]: what left-out
    choices give each row.

    Step m follows the choice with probability m, the reference otherwise; rows left to the table
    stay as they are. Without `goal.mix` the path is its two ends. -1 when not even its start,
    reference, table and what is explored, is shown (no loss against the reference needs no
    showing); fewer than MIN_CLUSTERS clusters show nothing.
    """
    start, end, heavy = _ends(action, evidence, goal)
    still = bool((evidence.baseline_action == evidence.reference).all())
    free = goal.kind == "margin" and still and not goal.explore
    reached = 0.0 if free else -1.0
    steps = (STEPS if goal.mix else STEPS[[0, -1]])[int(free) :]
    if not (known := ~np.isnan(start + end)).any():
        return Walked(reached, 0, 1.0, Estimate(nan, nan, 0, 0))
    sums, shares, drawn = _sums(start, end, known, heavy, evidence)

    def step_at(step: float, tested: int) -> Walked:
        span = goal.explore + (1 - goal.explore) * step if goal.kind == "margin" and still else 1.0
        mixed = (1 - step) * sums["start"] + step * sums["end"]
        if goal.kind == "budget":
            found = left_of_budget(mixed, sums["size"], shares=shares, drawn=drawn)
        else:
            found = estimate_of_sums(mixed, sums["size"], shares=shares, span=span, drawn=drawn)
        found = replace(found, n=int(known.sum()))
        betting = None
        if goal.strict and goal.kind != "budget":  # dollars have no bound to bet within
            order = np.random.default_rng(0).permutation(len(mixed))
            betting = betting_p(mixed[order], sums["size"][order], goal.floor, span=span)
        return Walked(step, tested, step, found, betting)

    if step_at(1.0, 0).estimate.independent < MIN_CLUSTERS:
        return step_at(1.0, 0)._replace(mix=reached)
    last: Walked | None = None
    for count, step in enumerate(steps, 1):
        now = step_at(float(step), count)
        if now.estimate.low(goal.confidence) < goal.floor or (now.betting or 0.0) > 1 - goal.confidence:
            if last is not None and last.mix > 0:
                return last._replace(tested=count)
            return now._replace(mix=reached if last is None else last.mix)
        last = now
    assert last is not None
    return last


def _ends(action: Ints, evidence: Evidence, goal: Goal) -> tuple[Floats, Floats, Floats | None]:
    """[n] what the goal tests at the two ends of the path, exploration included, and the weight of
    rows that need all of these outcomes."""
    baseline = evidence.baseline_action
    start, end = evidence.values(baseline, goal), evidence.values(action, goal).mean(axis=1)
    heavy = evidence.weights(baseline, *action.T)
    if not goal.explore:
        return start, end, heavy
    explored = goal.explore * evidence.exploring(goal)
    start, end = ((1 - goal.explore) * part + explored for part in (start, end))
    return start, end, heaviest(heavy, evidence.exploring_weights())


def _sums(
    start: Floats, end: Floats, known: Mask, weight: Floats | None, evidence: Evidence
) -> tuple[dict[str, Floats], Floats | None, Floats | None]:
    """By cluster: size, start and end; the mean weight of its rows, where they are weighted; how
    many were drawn."""
    heavy = np.ones(int(known.sum())) if weight is None else weight[known]
    columns = {"size": heavy, "start": start[known] * heavy, "end": end[known] * heavy}
    if evidence.drawn is not None:
        columns["drawn"] = evidence.drawn[known].astype(np.float64)
    sums, rows = by_cluster(columns, evidence.group[known])
    return sums, None if weight is None else sums["size"] / rows, sums.get("drawn")
