"""Which tradeoff and guard, and how far to go: a nested choice whose left-out outcomes are then tested.

For each fold the operating point is chosen on the rows of the other folds and acts on the fold's own: pooled, these
left-out actions are evidence that no choice has seen. What is deployed is the choice on all rows, which may be bolder
than the folds' choices were, so its own figures are used, corrected by what being left out cost those (`Trial`;
Tibshirani & Tibshirani 2009 correct a minimised cross-validation error likewise). Learn-then-Test (Angelopoulos et al.
2021, arXiv 2110.01052) then walks a path of ever bolder versions, from the reference alone to the choice itself, each
step a test at the full level, and stops at the first failure: the fixed sequence needs no further correction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import stdtrit

from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.walk import Trial, walk

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SCALES = (0.0, 0.01, 0.03, 0.06, 0.1, 0.16, 0.25, 0.4, 0.7, 1.2, 2.5, 8.0, 100.0)
"""Tradeoffs tried, in quality per mean cost of the reference."""
GUARDS = (0.0, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3)


@dataclass(frozen=True)
class Option:
    """One member of the family that is searched: an operating point on one predictor's predictions."""

    predictor: str
    tradeoff: float
    guard: float


@dataclass(frozen=True)
class Choice:
    """What was chosen, its trial at full mix, and how far the walk went. `option` None: nothing promised to be worth
    testing."""

    option: Option | None
    trial: Trial
    mix: float
    """0 = the reference wherever predictions would have decided; -1 = not even the routing table was shown."""
    tested: int
    """Steps of the path that were tested."""


def act(quality: Floats, cost: Floats, option: Option, evidence: Evidence) -> Ints:
    """[n] columns chosen: the runtime's rule, `by_prediction_many`, on predictions [n, c]."""
    return _guarded(*_leaders(quality, cost, option.tradeoff, evidence), option.guard, evidence)


def _leaders(quality: Floats, cost: Floats, tradeoff: float, evidence: Evidence) -> tuple[Ints, Floats]:
    """[n] the column of greatest utility, and how far it is ahead of the reference."""
    utility = quality - tradeoff * cost
    utility[~evidence.eligible] = -np.inf
    best = utility.argmax(axis=1)
    return best, utility[np.arange(len(best)), best] - utility[:, evidence.reference]


def _guarded(best: Ints, ahead: Floats, guard: float, evidence: Evidence) -> Ints:
    return np.where(evidence.covered, np.where(ahead > guard, best, evidence.reference), evidence.table)


def family(
    predictions: Mapping[str, tuple[Floats, Floats]], evidence: Evidence
) -> tuple[list[Option], NDArray[np.int16]]:
    """All options and their actions [options, n], without repeats of the same actions."""
    base = evidence.cost_usd[:, evidence.reference]
    unit = float(base[~np.isnan(base)].mean()) if (base > 0).any() else 1.0
    options: list[Option] = []
    actions: list[NDArray[np.int16]] = []
    known: set[bytes] = set()
    for name, (quality, cost) in predictions.items():
        for scale in SCALES:
            best, ahead = _leaders(quality, cost, scale / unit, evidence)
            for guard in GUARDS:
                action = _guarded(best, ahead, guard, evidence).astype(np.int16)
                key = action.tobytes()
                if key not in known and (action != evidence.table)[evidence.covered].any():
                    known.add(key)
                    options.append(Option(name, scale / unit, guard))
                    actions.append(action)
    return options, np.array(actions, np.int16).reshape(len(actions), len(evidence.group))


def choose(options: list[Option], actions: NDArray[np.int16], evidence: Evidence, goal: Goal) -> Choice:
    """The nested choice and its walk (module docstring). Ties go to the earlier option."""
    idle = np.where(evidence.covered, evidence.reference, evidence.table)
    nested, final, folds = idle.copy(), None, []
    if options:
        sums, start = _statistics(actions, evidence, goal), _statistics(idle[None], evidence, goal)[0]
        for fold in range(sums.shape[1]):
            best = _best(sums.sum(axis=1) - sums[:, fold], start.sum(axis=0) - start[fold], goal)
            rows = evidence.fold == fold
            action = idle if best is None else actions[best].astype(np.int64)
            nested[rows] = action[rows]
            folds.append((action, float(rows.mean())))
        final = _best(sums.sum(axis=1), start.sum(axis=0), goal)
    if final is None:
        mix, tested = walk(Trial(idle, idle, ()), evidence, goal)
        return Choice(None, Trial(idle, idle, ()), min(mix, 0.0), tested)
    trial = Trial(actions[final].astype(np.int64), nested, tuple(folds))
    return Choice(options[final], trial, *walk(trial, evidence, goal))


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
