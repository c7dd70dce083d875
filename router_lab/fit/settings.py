"""Penalty and blend by grouped cross-validation, judged by what routing needs: differences between candidates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from router_lab.fit.predictor import BLENDS, PENALTIES, PENALTY_ROWS, Model, Settings, Task, fit_model

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def choose_settings(task: Task, folds: Ints, seed: int = 0, *, one_factor: bool = False) -> Settings:
    """The penalty and blend with the least squared error on left-out groups, for quality and for cost apart.

    On at most PENALTY_ROWS rows, drawn by `seed`. Up to 1,500 rows every fold is left out once, above that two.
    """
    rows = np.arange(len(folds))
    if len(rows) > PENALTY_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, PENALTY_ROWS, replace=False))
    if not task.texts.any() or folds.max() == 0:
        return Settings(blend=(0.0, 0.0))
    last = int(folds.max()) + 1 if len(rows) <= 1500 else 2
    loss = np.zeros((2, len(PENALTIES), len(BLENDS)))
    for i, penalty in enumerate(PENALTIES):
        for fold in range(last):
            train, out = rows[folds[rows] != fold], rows[folds[rows] == fold]
            model = fit_model(task, train, Settings((penalty, penalty), one_factor=one_factor))
            loss[:, i] += _losses(task, model, out)
    chosen = [np.unravel_index(int(block.argmin()), block.shape) for block in loss]
    return Settings(
        penalty=(PENALTIES[chosen[0][0]], PENALTIES[chosen[1][0]]),
        blend=(BLENDS[chosen[0][1]], BLENDS[chosen[1][1]]),
        one_factor=one_factor,
    )


def _losses(task: Task, model: Model, out: Ints) -> Floats:
    """[2, blends] summed squared errors of quality (its differences between candidates) and of cost."""
    rates, text = model.parts(task, out)
    half, targets, weights = task.half, task.targets[out], task.weights[out]
    told = weights * task.texts[out][:, None]
    result = np.zeros((2, len(BLENDS)))
    for k, blend in enumerate(BLENDS):
        error = rates + blend * text - targets
        for block, part in enumerate((slice(0, half), slice(half, None))):
            weight, wrong = told[:, part], error[:, part]
            if block == 0 and half > 1:
                wrong = wrong - (weight * wrong).sum(axis=1, keepdims=True) / np.maximum(
                    weight.sum(axis=1, keepdims=True), 1e-12
                )
            result[block, k] = float((weight * wrong**2).sum())
    return result
