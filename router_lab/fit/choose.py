"""Which tradeoff and guard, and how far to go: a nested choice whose left-out outcomes are then tested.

For each fold the operating point is chosen on the rows of the other folds and acts on the fold's own: pooled, these
left-out actions are evidence that the choice has not seen. Learn-then-Test (Angelopoulos et al. 2021, arXiv 2110.01052)
then walks a path of ever bolder versions of it, from the reference alone to the choice itself, each step a test at the
full level, and stops at the first failure: the fixed sequence needs no further correction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import stdtrit

from router_lab.metrics import MIN_CLUSTERS, betting_p, clustered_mean
from router_lab.metrics.estimate import cluster_sums

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
STEPS = np.linspace(0.0, 1.0, 51)
SCALES = (0.0, 0.01, 0.03, 0.06, 0.1, 0.16, 0.25, 0.4, 0.7, 1.2, 2.5, 8.0, 100.0)
"""Tradeoffs tried, in quality per mean cost of the reference."""
GUARDS = (0.0, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3)


@dataclass(frozen=True)
class Goal:
    """What must hold with probability `confidence`, and how it is tested.

    kind `margin`: lose at most `level` of mean quality against the reference; `quality`: a mean quality of at least
    `level`; `budget`: at most `level` dollars a request. The first two save as much as they can, a budget buys quality.
    `strict` tests by betting. `mix` allows chance.
    """

    kind: str
    level: float
    confidence: float
    strict: bool = False
    mix: bool = True

    @property
    def floor(self) -> float:
        """Least mean of `Evidence.values`."""
        return -self.level if self.kind == "margin" else 0.0


@dataclass(frozen=True)
class Evidence:
    """Outcomes on which an operating point is chosen: n rows, c candidates.

    quality, cost_usd [n, c] as observed (NaN = missing); eligible [n, c]: may be chosen for that row; covered [n]: rows
    on which predictions are followed; elsewhere the column in `table` [n] acts; group, fold [n]; reference: its column.
    """

    quality: Floats
    cost_usd: Floats
    eligible: NDArray[np.bool_]
    covered: NDArray[np.bool_]
    table: Ints
    group: Ints
    fold: Ints
    reference: int

    def values(self, action: NDArray[np.integer[Any]], goal: Goal) -> Floats:
        """What the goal tests, for columns [n] or [n, k] of actions; NaN where an outcome is missing."""
        if goal.kind == "budget":
            return 1 - self._of(self.cost_usd, action) / goal.level
        picked = self._of(self.quality, action)
        return picked - (goal.level if goal.kind == "quality" else self._like(self.quality, action))

    def worth(self, action: NDArray[np.integer[Any]], goal: Goal) -> tuple[Floats, Floats]:
        """What is gained and out of how much: dollars spared and the reference's; under a budget, quality and rows."""
        if goal.kind == "budget":
            gained = self._of(self.quality, action) - self._like(self.quality, action)
            return gained, np.where(np.isnan(gained), np.nan, 1.0)
        base = self._like(self.cost_usd, action)
        spared = base - self._of(self.cost_usd, action)
        return spared, np.where(np.isnan(spared), np.nan, base)

    @staticmethod
    def _of(values: Floats, action: NDArray[np.integer[Any]]) -> Floats:
        wide = action.astype(np.int64).reshape(len(values), -1)
        return np.take_along_axis(values, wide, axis=1).reshape(action.shape)

    def _like(self, values: Floats, action: NDArray[np.integer[Any]]) -> Floats:
        return values[:, self.reference].reshape(-1, *(1 for _ in action.shape[1:]))


@dataclass(frozen=True)
class Option:
    """One member of the family that is searched: an operating point on one predictor's predictions."""

    predictor: str
    tradeoff: float
    guard: float


@dataclass(frozen=True)
class Choice:
    """What was chosen on all rows, what the nested choices did to each row when it was left out, and how far the walk
    went. `option` None: nothing promised to be worth testing."""

    option: Option | None
    action: Ints
    """[n] the nested actions, at full mix."""
    mix: float
    """0 = the reference wherever predictions would have decided; -1 = not even the routing table was shown."""
    tested: int
    """Steps of the path that were tested."""


def act(quality: Floats, cost: Floats, option: Option, evidence: Evidence) -> Ints:
    """[n] columns chosen: the runtime's rule, `by_prediction_many`, on predictions [n, c]."""
    utility = quality - option.tradeoff * cost
    utility[~evidence.eligible] = -np.inf
    reference = evidence.reference
    best = utility.argmax(axis=1)
    ahead = utility[np.arange(len(best)), best] - utility[:, reference]
    return np.where(evidence.covered, np.where(ahead > option.guard, best, reference), evidence.table)


def family(
    predictions: Mapping[str, tuple[Floats, Floats]], evidence: Evidence
) -> tuple[list[Option], NDArray[np.int16]]:
    """All options and their actions [options, n], without repeats of the same actions."""
    base = evidence.cost_usd[:, evidence.reference]
    unit = float(base[~np.isnan(base)].mean()) if (base > 0).any() else 1.0
    options, actions, known = [], [], set()
    for name, (quality, cost) in predictions.items():
        for scale in SCALES:
            for guard in GUARDS:
                option = Option(name, scale / unit, guard)
                action = act(quality, cost, option, evidence).astype(np.int16)
                key = action.tobytes()
                if key not in known and (action != evidence.table)[evidence.covered].any():
                    known.add(key)
                    options.append(option)
                    actions.append(action)
    return options, np.array(actions, np.int16).reshape(len(actions), len(evidence.group))


def choose(options: list[Option], actions: NDArray[np.int16], evidence: Evidence, goal: Goal) -> Choice:
    """The nested choice and its walk (module docstring). Ties go to the earlier option."""
    idle = np.where(evidence.covered, evidence.reference, evidence.table)
    nested, final = idle.copy(), None
    if options:
        sums, start = _statistics(actions, evidence, goal), _statistics(idle[None], evidence, goal)[0]
        for fold in range(sums.shape[1]):
            best = _best(sums.sum(axis=1) - sums[:, fold], start.sum(axis=0) - start[fold], goal)
            if best is not None:
                rows = evidence.fold == fold
                nested[rows] = actions[best][rows]
        final = _best(sums.sum(axis=1), start.sum(axis=0), goal)
    mix, tested = walk(nested, evidence, goal)
    if final is None:
        return Choice(None, idle, min(mix, 0.0), tested)
    return Choice(options[final], nested, mix, tested)


def walk(action: Ints, evidence: Evidence, goal: Goal) -> tuple[float, int]:
    """How far along the path of mixes the goal is shown to hold, and how many steps were tested.

    Step m follows predictions with probability m, the reference otherwise; rows left to the table stay as they are.
    Without `goal.mix` the path is its two ends. -1 when not even its start, reference and table, is shown (no loss
    against the reference needs no showing); fewer than MIN_CLUSTERS clusters show nothing.
    """
    idle = np.where(evidence.covered, evidence.reference, evidence.table)
    start, end = evidence.values(idle, goal), evidence.values(action, goal)
    free = goal.kind == "margin" and not (idle != evidence.reference).any()
    reached = 0.0 if free else -1.0
    steps = (STEPS if goal.mix else STEPS[[0, -1]])[int(free) :]
    known = ~np.isnan(start + end)
    if len(np.unique(evidence.group[known])) < MIN_CLUSTERS:
        return reached, 0
    for count, step in enumerate(steps, 1):
        span = float(step) if free else 1.0
        if _p_value((1 - step) * start + step * end, evidence.group, goal, span) > 1 - goal.confidence:
            return reached, count
        reached = float(step)
    return reached, len(steps)


def _p_value(values: Floats, group: Ints, goal: Goal, span: float) -> float:
    """p-value of the goal not being met; `span` bounds the values, and scales the pseudo-observations with them."""
    if not goal.strict or goal.kind == "budget":  # dollars have no bound to bet within
        estimate = clustered_mean(values, group, pseudo=goal.kind != "budget")
        return replace(estimate, pseudo=estimate.pseudo * span**2).p_below(goal.floor)
    seen = ~np.isnan(values)
    sums, sizes = cluster_sums(values[seen], group[seen]), cluster_sums(np.ones(int(seen.sum())), group[seen])
    order = np.random.default_rng(0).permutation(len(sums))
    return betting_p(sums[order], sizes[order], goal.floor, span=span)


def _statistics(actions: NDArray[np.integer[Any]], evidence: Evidence, goal: Goal) -> Floats:
    """[options, folds, 8]: rows, clusters, summed values; of cluster sums s and sizes m: s.s, s.m, m.m; what was gained
    and out of how much."""
    rows = np.arange(len(evidence.group))
    _, first, code = np.unique(evidence.group, return_index=True, return_inverse=True)
    by_group = sp.csr_array((np.ones(len(rows)), (code, rows)))
    fold = evidence.fold[first]
    by_fold = sp.csr_array((np.ones(len(fold)), (fold, np.arange(len(fold)))))
    blocks: list[Floats] = []
    for start in range(0, len(actions), 64):
        action = actions[start : start + 64].T
        values = evidence.values(action, goal)
        seen = ~np.isnan(values)
        sums, sizes = by_group @ np.where(seen, values, 0.0), by_group @ seen.astype(np.float64)
        money = [by_group @ np.nan_to_num(part) for part in evidence.worth(action, goal)]
        parts = (sizes, (sizes > 0).astype(np.float64), sums, sums * sums, sums * sizes, sizes * sizes, *money)
        blocks.append(np.stack([np.asarray(by_fold @ part).T for part in parts], axis=2))
    return np.concatenate(blocks)


def _best(sums: Floats, start: Floats, goal: Goal) -> int | None:
    """The option that gains most after the mix that its own lower bound would allow; None if none gains anything.

    sums [options, 8], start [8] the same of the path's start.
    """
    low, base = _low(sums, goal), max(goal.floor, float(_low(start, goal, pseudo=False)))
    with np.errstate(invalid="ignore", divide="ignore"):
        mix = np.where(low >= goal.floor, 1.0, (base - goal.floor) / (base - low))
        worth = np.where(sums[:, 7] > 0, sums[:, 6] / sums[:, 7], 0.0)
    if not goal.mix:
        mix = np.floor(mix)
    score = np.nan_to_num(np.where(sums[:, 1] >= 2, mix * worth, 0.0))
    best = int(score.argmax())
    return best if score[best] > 0 else None


def _low(sums: Floats, goal: Goal, *, pseudo: bool = True) -> Floats:
    n, clusters, total, ss, sm, mm = np.moveaxis(sums, -1, 0)[:6]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / n
        spread = (ss - 2 * mean * sm + mean**2 * mm) * clusters / (clusters - 1) / n**2
        error = np.sqrt(np.maximum(spread, 0) + (2 / clusters**2 if pseudo and goal.kind != "budget" else 0.0))
        return np.asarray(mean - stdtrit(np.maximum(clusters - 1, 1), goal.confidence) * error)
