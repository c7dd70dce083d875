"""Penalty and blend by grouped cross-validation, judged by what routing needs: differences between candidates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from router_lab.fit.predictor import PENALTIES, PENALTY_ROWS, Model, Settings, Task, fit_model

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def choose_settings(task: Task, folds: Ints, seed: int = 0, *, one_factor: bool = False) -> Settings:
    """Penalty, blend and weighting of rare words, for quality and for cost apart, by leaving out each fold of at most
    PENALTY_ROWS rows.

    With d the ridge's departures on left-out rows and r what the suite rates leave to explain, the best blend of a
    penalty explains (sum d r)^2 / sum d d of r's squares: the penalty that explains most is taken, rare words weigh
    more where that then explains still more, and the blend is the best one, sum d r / sum d d, within [0, 1].
    A grid of squared errors over penalties and blends let its coarse blends choose the penalty: 80 on MMLU where
    4 ranks best (APGR .685 against .693).
    """
    rows = np.arange(len(folds))
    if len(rows) > PENALTY_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, PENALTY_ROWS, replace=False))
    if not task.texts.any() or folds.max() == 0:
        return Settings(blend=(0.0, 0.0))

    def explained(settings: Settings) -> tuple[Floats, Floats]:
        """[2] squares explained, and [2] the best blend."""
        shared, square = np.maximum(_products(task, folds, rows, replace(settings, one_factor=one_factor)), 0.0)
        square = np.maximum(square, 1e-12)
        return shared**2 / square, np.minimum(shared / square, 1.0)

    found = [explained(Settings((penalty, penalty))) for penalty in PENALTIES]
    best = np.argmax([squares for squares, _ in found], axis=0)
    penalty = (PENALTIES[best[0]], PENALTIES[best[1]])
    more, blends = explained(Settings(penalty, rare=(True, True)))
    rare = [bool(more[k] > found[best[k]][0][k]) for k in range(2)]
    blend = [float(blends[k] if rare[k] else found[best[k]][1][k]) for k in range(2)]
    return Settings(penalty, (blend[0], blend[1]), (rare[0], rare[1]), one_factor)


def _products(task: Task, folds: Ints, rows: Ints, settings: Settings) -> Floats:
    """[2, 2]: sum d r and sum d d over left-out rows, of quality (its differences between candidates) and of cost."""
    result = np.zeros((2, 2))
    for fold in range(int(folds.max()) + 1):
        train, out = rows[folds[rows] != fold], rows[folds[rows] == fold]
        if len(train) and len(out):
            result += _left_out(task, fit_model(task, train, settings), out)
    return result


def _left_out(task: Task, model: Model, out: Ints) -> Floats:
    rates, departed = model.parts(task, out)
    half, weights = task.half, task.weights[out] * task.texts[out][:, None]
    left = task.targets[out] - rates
    result = np.zeros((2, 2))
    for block, part in enumerate((slice(0, half), slice(half, None))):
        weight, d, r = weights[:, part], departed[:, part], left[:, part]
        if block == 0 and half > 1:
            d, r = d - _row_mean(d, weight), r - _row_mean(r, weight)
        result[:, block] = float((weight * d * r).sum()), float((weight * d * d).sum())
    return result


def _row_mean(values: Floats, weight: Floats) -> Floats:
    """[n, 1]"""
    mean: Floats = (weight * values).sum(axis=1, keepdims=True) / np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
    return mean
