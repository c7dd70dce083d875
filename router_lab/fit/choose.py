"""Which tradeoff and guard, and how far to go: a nested choice whose left-out outcomes are then tested.

For each fold the operating point is chosen on the rows of the other folds and acts on the fold's own: pooled, these
left-out actions are evidence that no choice has seen. Options come in classes, one a predictor (the last sends every
prompt to one candidate: its mixes are the random mixes). A class is chosen by what its own nested choice reaches on
rows that it did not see, the option within it by all rows, so a large class does not win by its size.

What is deployed is the choice on all rows, which may be bolder than the folds' choices were, so its own figures are
used, corrected by what being left out cost those (`Trial`; Tibshirani & Tibshirani 2009 correct a minimised
cross-validation error likewise). Learn-then-Test (Angelopoulos et al. 2021, arXiv 2110.01052) then walks a path of ever
bolder versions, from the reference alone to the choice itself, each step a test at the full level, and stops at the
first failure: the fixed sequence needs no further correction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from router_lab.fit.evidence import Evidence, Goal, column_means
from router_lab.fit.walk import Trial, Walked, walk
from router_lab.metrics import effective_number
from router_lab.metrics.steady import t_quantiles

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SCALES = (0.0, 0.01, 0.03, 0.06, 0.1, 0.16, 0.25, 0.4, 0.7, 1.2, 2.5, 8.0, 100.0)
"""Tradeoffs tried, in quality per mean cost of the reference."""
GUARDS = (0.0, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3)
READS, FIXED = "blend", "fixed"
"""The class whose predictions read the prompt, and the class that reads nothing."""
LEAST_CHEAPER = 1e-3
"""Share of the reference's mean cost that a candidate for everything must at least spare."""


@dataclass(frozen=True)
class Option:
    """One member of the family that is searched: an operating point on one predictor's predictions."""

    predictor: str
    tradeoff: float
    guard: float
    column: int | None = None
    """Of class FIXED: the candidate that every prompt goes to."""


@dataclass(frozen=True)
class Choice:
    """What was chosen, its trial at full mix, and how far the walk went. `option` None: nothing promised to be worth
    testing."""

    option: Option | None
    evidence: Evidence
    """As the option meets it: only predictions that read the prompt leave uncovered rows to the table."""
    trial: Trial
    walked: Walked

    @property
    def mix(self) -> float:
        """0 = the reference wherever predictions would have decided; -1 = not even the routing table was shown."""
        return self.walked.mix if self.option is not None else min(self.walked.mix, 0.0)

    @property
    def acts(self) -> bool:
        """Whether a prediction ever moves a request."""
        return self.option is not None and self.mix > 0


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
    """All options of the predictors and their actions [options, n], without repeats of the same actions in a class."""
    options: list[Option] = []
    actions: list[NDArray[np.int16]] = []
    for name, (quality, cost) in predictions.items():
        seen = _met(evidence, name)
        known: set[bytes] = set()
        for scale in SCALES:
            best, ahead = _leaders(quality, cost, scale / evidence.unit, seen)
            for guard in GUARDS:
                action = _guarded(best, ahead, guard, seen).astype(np.int16)
                key = action.tobytes()
                if key not in known and (action != seen.table)[seen.covered].any():
                    known.add(key)
                    options.append(Option(name, scale / evidence.unit, guard))
                    actions.append(action)
    return options, np.array(actions, np.int16).reshape(len(actions), len(evidence.group))


def constants(evidence: Evidence, goal: Goal) -> tuple[list[Option], NDArray[np.int16]]:
    """The class FIXED: each candidate that is cheaper than the reference on the mean (under a budget: better), for
    every row on which it may be chosen. The tradeoff makes the runtime's rule pick it among the two."""
    quality = column_means(evidence.quality, evidence.weight)
    cost = column_means(evidence.cost_usd, evidence.weight)
    ref = evidence.reference
    with np.errstate(invalid="ignore"):
        better = quality > quality[ref] if goal.kind == "budget" else cost < (1 - LEAST_CHEAPER) * cost[ref]
    columns = [int(j) for j in np.flatnonzero(better & evidence.eligible.any(axis=0))]
    tradeoff = 0.0 if goal.kind == "budget" else 10 / LEAST_CHEAPER / evidence.unit
    actions = [np.where(evidence.eligible[:, j], j, ref).astype(np.int16) for j in columns]
    return (
        [Option(FIXED, tradeoff, 0.0, j) for j in columns],
        np.array(actions, np.int16).reshape(len(columns), len(evidence.group)),
    )


def _met(evidence: Evidence, predictor: str) -> Evidence:
    return evidence if predictor == READS else evidence.everywhere()


def choose(options: list[Option], actions: NDArray[np.int16], evidence: Evidence, goal: Goal) -> Choice:
    """The nested choice and its walk (module docstring). Ties go to the earlier class and option."""
    classes = list(dict.fromkeys(option.predictor for option in options))
    parts = []
    sums = _statistics(actions, evidence, goal) if options else np.zeros((0, 1, 9))
    for name in classes:
        mine = np.flatnonzero([option.predictor == name for option in options])
        parts.append(Class(mine, sums[mine], _statistics(_met(evidence, name).idle[None], evidence, goal)[0]))
    folds = np.unique(evidence.fold)
    final = _select(parts, folds, goal)
    if final is None:
        trial = Trial(evidence.idle, evidence.idle, ())
        return Choice(None, evidence, trial, walk(trial, evidence, goal))
    seen = _met(evidence, options[final].predictor)
    nested, chosen = seen.idle.copy(), []
    for fold in folds:
        best = _select(parts, folds[folds != fold], goal)
        rows = evidence.fold == fold
        action = seen.idle if best is None else actions[best].astype(np.int64)
        nested[rows] = action[rows]
        chosen.append((action, float(rows.mean())))
    trial = Trial(actions[final].astype(np.int64), nested, tuple(chosen))
    return Choice(options[final], seen, trial, walk(trial, seen, goal))


@dataclass(frozen=True)
class Class:
    """Options of one predictor: their places [k] among all, their statistics [k, folds, 9] and those of the start of
    their path [folds, 9] (`_statistics`)."""

    places: Ints
    sums: Floats
    start: Floats


def _select(parts: Sequence[Class], folds: Ints, goal: Goal) -> int | None:
    """Place of the option to take, seen from `folds`: the best of the class whose own choices do best left out."""
    if len(parts) > 1 and len(folds) > 1:
        scores = [_left_out(part, folds, goal) for part in parts]
        if max(scores) <= 0:
            return None
        parts = [parts[int(np.argmax(scores))]]
    for part in parts:
        best = _best(_pooled(part.sums[:, folds]), _pooled(part.start[folds]), goal)
        if best is not None:
            return int(part.places[best])
    return None


def _left_out(part: Class, folds: Ints, goal: Goal) -> float:
    """What a class reaches when each of `folds` is served by what the others choose."""
    served: list[Floats] = []
    means: list[float] = []
    for fold in folds:
        others = folds[folds != fold]
        best = _best(_pooled(part.sums[:, others]), _pooled(part.start[others]), goal)
        served.append(part.start[fold] if best is None else part.sums[best, fold])
        whole = _pooled((part.start if best is None else part.sums[best])[folds])
        means.append(float(whole[2] / whole[0]) if whole[0] else 0.0)
    unrest = float(np.var(means))
    return float(_scores(_pooled(np.array(served))[None], _pooled(part.start[folds]), goal, unrest)[0])


def _statistics(actions: NDArray[np.integer[Any]], evidence: Evidence, goal: Goal) -> Floats:
    """[options, folds, 9]: weighted rows; the clusters' mean weights; of cluster sums s and sizes m: s, s.s, s.m, m.m;
    what was gained and out of how much; the heaviest mean weight. `_pooled` adds folds up."""
    rows = np.arange(len(evidence.group))
    _, first, code = np.unique(evidence.group, return_index=True, return_inverse=True)
    by_group = sp.csr_array((np.ones(len(rows)), (code, rows)))
    fold = evidence.fold[first]
    by_fold = sp.csr_array((np.ones(len(fold)), (fold, np.arange(len(fold)))))
    blocks: list[Floats] = []
    for start in range(0, len(actions), 64):
        action = actions[start : start + 64].T
        values = evidence.values(action, goal)
        seen, weight = ~np.isnan(values), evidence.weights(action)
        heavy = seen.astype(np.float64) if weight is None else np.where(seen, weight, 0.0)
        sums, sizes = by_group @ np.where(seen, values * heavy, 0.0), by_group @ heavy
        money = [by_group @ np.nan_to_num(part * heavy) for part in evidence.worth(action, goal)]
        rows_of = sizes if weight is None else by_group @ seen.astype(np.float64)
        share = np.asarray(sizes) / np.maximum(np.asarray(rows_of), 1)
        parts = (sizes, share, sums, sums * sums, sums * sizes, sizes * sizes, *money)
        heaviest = [share[fold == f].max(axis=0, initial=0.0) for f in range(by_fold.shape[0])]
        added = [np.asarray(by_fold @ part).T for part in parts]
        blocks.append(np.stack([*added, np.transpose(heaviest)], axis=2))
    return np.concatenate(blocks)


def _pooled(sums: Floats) -> Floats:
    """[..., folds, 9] -> [..., 9]"""
    pooled = sums.sum(axis=-2)
    pooled[..., 8] = sums[..., 8].max(axis=-1, initial=0.0)
    return np.asarray(pooled)


def _best(sums: Floats, start: Floats, goal: Goal) -> int | None:
    """The option that gains most after the mix that its own lower bound would allow; None if none gains anything."""
    if not len(sums):
        return None
    score = _scores(sums, start, goal)
    best = int(score.argmax())
    return best if score[best] > 0 else None


def _scores(sums: Floats, start: Floats, goal: Goal, unrest: float = 0.0) -> Floats:
    """[options] share gained at the mix that the lower bound allows; sums [options, 9], start [9] the same of the
    path's start, unrest: further variance of the mean."""
    low, base = _low(sums, goal, 2.0, unrest), max(goal.floor, float(_low(start, goal, 0.0)))
    with np.errstate(invalid="ignore", divide="ignore"):
        mix = np.where(low >= goal.floor, 1.0, (base - goal.floor) / (base - low))
        worth = np.where(sums[:, 7] > 0, sums[:, 6] / sums[:, 7], 0.0)
    if not goal.mix:
        mix = np.floor(mix)
    return np.nan_to_num(np.where(effective_number(sums[:, 1], sums[:, 8]) >= 2, mix * worth, 0.0))


def _low(sums: Floats, goal: Goal, pseudo: float, unrest: float = 0.0) -> Floats:
    n, shares, total, ss, sm, mm, _, _, heaviest = np.moveaxis(sums, -1, 0)
    clusters = effective_number(shares, heaviest)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / n
        spread = (ss - 2 * mean * sm + mean * mean * mm) * clusters / (clusters - 1) / (n * n)
        further = pseudo / (clusters * clusters) if goal.kind != "budget" else 0.0
        error = np.sqrt(np.maximum(spread, 0) + unrest + further)
        return np.asarray(mean - _quantiles(clusters, goal.confidence) * error)


def _quantiles(clusters: Floats, confidence: float) -> Floats:
    """t quantiles at clusters - 1 degrees of freedom, in whole ones, as an `Estimate` counts clusters."""
    return t_quantiles(np.maximum(np.floor(clusters) - 1, 1), confidence)
