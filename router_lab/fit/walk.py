"""How far a choice may be followed: the Learn-then-Test walk along its mixes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import fsum, nan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from router_lab.fit.evidence import Evidence, Goal
from router_lab.metrics import MIN_CLUSTERS, Estimate, betting_p, effective_number, estimate_of_sums
from router_lab.metrics.estimate import by_cluster

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
STEPS = np.linspace(0.0, 1.0, 51)
NOTHING = Estimate(nan, nan, 0, 0)
"""Of no row at all."""


@dataclass(frozen=True)
class Trial:
    """The actions [n] of the choice on all rows (`final`), of each fold's choice on every row (`folds`, with the share
    of rows in the fold), and of each fold's choice on its own, left-out rows (`nested`)."""

    final: Ints
    nested: Ints
    folds: tuple[tuple[Ints, float], ...]

    def measure(self, values: Callable[[Ints], Floats]) -> Floats:
        """[n] values of the final choice plus what being left out changed: nested minus the mean over the folds'.

        Without the correction a choice bolder than the folds' broke its margin in 17 to 19 % of simulated draws at
        10 % allowed; without the first term nothing would be said about the choice that is deployed.
        """
        total = values(self.final)
        if all((action == self.final).all() for action, _ in self.folds):
            return total
        change = values(self.nested)
        for action, share in self.folds:
            change = change - share * values(action)
        # A row is left out of one of the k choices in the mean as well: what is measured is (k - 1) / k of the change.
        return total + change * len(self.folds) / (len(self.folds) - 1)

    @property
    def actions(self) -> list[Ints]:
        """Every action [n] that `measure` reads."""
        return [self.final, self.nested, *(action for action, _ in self.folds)]

    def unrest(self, values: Callable[[Ints], Floats], weight: Floats | None = None) -> float:
        """Variance that choosing adds: the mean squared distance of the folds' choices from the final one, in mean
        value on all rows, weighted by `weight` [n]. Nothing where all chose alike."""
        final = values(self.final)
        moved = [(share, _mean(values(action) - final, weight)) for action, share in self.folds]
        return fsum(share * mean * mean for share, mean in moved)


def _mean(values: Floats, weight: Floats | None) -> float:
    known = ~np.isnan(values)
    if not known.any():
        return 0.0
    return float(np.average(values[known], weights=None if weight is None else weight[known]))


class Walked(NamedTuple):
    """How far the goal is shown to hold (`mix`), the steps tested, and the one that a verdict speaks of: the last that
    was shown, or the first one tested where none was.

    at: the mix of that step.  estimate: of the mean of `Evidence.values` there, just as it was tested.  betting: the
    p-value by betting, where the goal asks for it.
    """

    mix: float
    tested: int
    at: float
    estimate: Estimate
    betting: float | None = None


def walk(trial: Trial, evidence: Evidence, goal: Goal) -> Walked:
    """How far along the path of mixes the goal is shown to hold.

    Step m follows predictions with probability m, the reference otherwise; rows left to the table stay as they are.
    Without `goal.mix` the path is its two ends. -1 when not even its start, reference and table, is shown (no loss
    against the reference needs no showing); fewer than MIN_CLUSTERS clusters show nothing.
    """
    idle = evidence.idle
    values = {
        "start": evidence.values(idle, goal),
        "end": trial.measure(lambda action: evidence.values(action, goal)),
        "left out": evidence.values(trial.nested, goal),
    }
    weight = evidence.weights(idle, *trial.actions)
    unrest = trial.unrest(lambda action: evidence.values(action, goal), weight)
    free = goal.kind == "margin" and not (idle != evidence.reference).any()
    reached = 0.0 if free else -1.0
    steps = (STEPS if goal.mix else STEPS[[0, -1]])[int(free) :]
    known = ~np.isnan(sum(values.values()))
    heavy = np.ones(int(known.sum())) if weight is None else weight[known]
    weighted = {"size": heavy} | {k: v[known] * heavy for k, v in values.items()}
    sums, rows = by_cluster(weighted, evidence.group[known])
    sizes, shares = sums["size"], sums["size"] / rows
    if not len(sizes):
        return Walked(reached, 0, 1.0, NOTHING)

    def step_at(step: float, tested: int) -> Walked:
        span = step if free else 1.0
        mixed = (1 - step) * sums["start"] + step * sums["end"]
        found = estimate_of_sums(mixed, sizes, shares=shares, pseudo=0.0 if goal.kind == "budget" else span)
        found = replace(found, n=int(known.sum()), pseudo=found.pseudo + unrest * step * step)
        betting = None
        if goal.strict and goal.kind != "budget":  # dollars have no bound to bet within
            betting = _betting((1 - step) * sums["start"] + step * sums["left out"], sizes, goal, span)
        return Walked(step, tested, step, found, betting)

    if effective_number(shares.sum(), shares.max()) < MIN_CLUSTERS:
        return step_at(1.0, 0)._replace(mix=reached)
    last: Walked | None = None
    for count, step in enumerate(steps, 1):
        now = step_at(float(step), count)
        if not (now.estimate.low(goal.confidence) >= goal.floor and (now.betting or 0.0) <= 1 - goal.confidence):
            if last is not None and last.mix > 0:
                return last._replace(tested=count)
            return now._replace(mix=reached if last is None else last.mix)
        last = now
    assert last is not None
    return last


def _betting(sums: Floats, sizes: Floats, goal: Goal, span: float) -> float:
    """The same by betting on left-out values in [-span, span], which no correction has widened."""
    order = np.random.default_rng(0).permutation(len(sums))
    return betting_p(sums[order], sizes[order], goal.floor, span=span)
