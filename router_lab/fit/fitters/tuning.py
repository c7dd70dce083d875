"""Penalty and blend by grouped cross-validation, judged by what routing needs: differences between
candidates."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from router_lab.fit.design import SIZES
from router_lab.fit.folds import left_out
from router_lab.fit.task import Floats, Ints, Task

if TYPE_CHECKING:
    from router_lab.fit.fitters.blend import Blend

Settings = TypeVar("Settings", bound="Blend")
PENALTIES = (1.5, 4.0, 10.0, 30.0, 100.0)
PENALTY_ROWS, PENALTY_OUTCOMES = 5_000, 50_000
"""Rows that settings are chosen on: so many, or as many more as keep within so many outcomes. What
two candidates differ by within a suite is little, and half of MMLU's rows do not tell it from
noise."""


def tuned(base: Settings, task: Task, folds: Ints, seed: int) -> Settings:
    """Penalty, blend and weighting of rare words, for quality and for cost apart, by leaving out
    each fold of the rows that `some` takes.

    With d the ridge's departures on left-out rows and r what the suite rates leave to explain, a
    blend b of a penalty explains 2 b sum d r - b^2 sum d d of r's squares: the penalty that
    explains most at its best blend, sum d r / sum d d within [0, 1], is taken, and rare words
    weigh more where that then explains still more. (Were it judged at a blend above 1, which it
    cannot have, a penalty that shrinks too much would be taken: in a race's specialist world,
    tests/bench/race_specialist.py, whom that hid was lost in every third fit.) A grid of squared
    errors over penalties and blends let its coarse blends choose the penalty: 80 on MMLU where 4
    ranks best (APGR .685 against .693). Last, where there are vectors, their length beside the
    words. `base` holds what is not chosen here.
    """
    rows = some(task, seed)
    if not task.texts.any() or folds.max() == 0:
        return replace(base, blend=(0.0, 0.0))

    @cache
    def explained(settings: Blend) -> tuple[Floats, Floats]:
        shared, square = _products(task, folds, rows, settings)
        return explained_by(shared, square, base.most)

    def best(*ways: Settings) -> Settings:
        """For quality and for cost apart, the first of `ways` that explains most, with its
        blend."""
        found = [explained(replace(way, blend=base.blend)) for way in ways]
        most = np.argmax([squares for squares, _ in found], axis=0)
        quality, cost = (ways[place] for place in most)
        return replace(
            base, penalty=(quality.penalty[0], cost.penalty[1]), rare=(quality.rare[0], cost.rare[1]),
            vector=(quality.vector[0], cost.vector[1]),
            blend=(float(found[most[0]][1][0]), float(found[most[1]][1][1])),
        )  # fmt: skip

    now = best(*(replace(base, penalty=(penalty, penalty)) for penalty in PENALTIES))
    now = best(now, replace(now, rare=(True, True)))
    if task.design.vectors is not None:
        now = best(now, *(replace(now, vector=(length, length)) for length in SIZES))
        # Longer vectors need another penalty.
        now = best(now, *(replace(now, penalty=(penalty, penalty)) for penalty in PENALTIES))
    return now


def some(task: Task, seed: int) -> Ints:
    """All rows, or PENALTY_ROWS of them, more where that is no more than PENALTY_OUTCOMES."""
    rows = np.arange(len(task.targets))
    most = max(PENALTY_ROWS, PENALTY_OUTCOMES // task.half)
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    return rows


def explained_by(shared: Floats, square: Floats, most: float = 1.0) -> tuple[Floats, Floats]:
    """Squares explained by the best blend, and that blend, at most `most`."""
    shared, square = np.maximum(shared, 0.0), np.maximum(square, 1e-12)
    blend = np.minimum(shared / square, most)
    return 2 * blend * shared - blend * blend * square, blend


def _products(task: Task, folds: Ints, rows: Ints, settings: Blend) -> Floats:
    """[2, 2]: sum d r and sum d d over left-out rows, of quality (its differences between
    candidates) and of cost."""
    result = np.zeros((2, 2))
    for train, out in left_out(folds, rows):
        rates, departed = settings.fit(task, train).parts(task, out)
        result += agreement(task, out, departed, task.targets[out] - rates)
    return result


def agreement(task: Task, out: Ints, departed: Floats, left: Floats) -> Floats:
    """[2, 2]: sum d r and sum d d of departures d and what they should have been, r, of quality
    and of cost."""
    half, weights = task.half, task.weights[out] * task.texts[out][:, None]
    result = np.empty((2, 2))
    for block, part in enumerate((slice(0, half), slice(half, None))):
        weight, d, r = weights[:, part], departed[:, part], left[:, part]
        if block == 0 and half > 1:
            d, r = d - _row_mean(d, weight), r - _row_mean(r, weight)
        result[:, block] = float((weight * d * r).sum()), float((weight * d * d).sum())
    return result


def _row_mean(values: Floats, weight: Floats) -> Floats:
    """[n, 1]"""
    total = weight.sum(axis=1, keepdims=True)
    return np.asarray((weight * values).sum(axis=1, keepdims=True) / np.maximum(total, 1e-12))
