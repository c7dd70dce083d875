"""The named ways to predict; whatever the way, it compiles to the runtime's few forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from router_lab.fit.predictor import Settings, Task
from router_lab.fit.settings import PLAIN, choose_reaches, choose_settings

Fitter = Callable[[Task, NDArray[np.int64], int], Settings]


def _default(task: Task, folds: NDArray[np.int64], seed: int) -> Settings:
    """Suite rates blended with the hashed ridge, penalty and blend by cross-validation."""
    return choose_settings(task, folds, seed)


def _rates(task: Task, folds: NDArray[np.int64], seed: int) -> Settings:
    """Shrunken suite rates alone: the prompt is not looked at."""
    return Settings(blend=(0.0, 0.0))


def _irt(task: Task, folds: NDArray[np.int64], seed: int) -> Settings:
    """One difficulty of the prompt for all candidates: for many candidates on few samples."""
    return choose_settings(task, folds, seed, replace(PLAIN, one_factor=True))


def _knn(task: Task, folds: NDArray[np.int64], seed: int) -> Settings:
    """Guarded nearest neighbours, distilled into the ridge: for repeated kinds of prompts with noisy outcomes."""
    if not task.texts.any() or folds.max() == 0:
        return Settings(blend=(0.0, 0.0))
    return choose_settings(task, folds, seed, replace(PLAIN, reaches=choose_reaches(task, folds, seed)))


FITTERS: dict[str, Fitter] = {"default": _default, "irt": _irt, "knn": _knn, "rates": _rates}
"""By the name that recipe.yaml uses: (task, folds, seed) -> Settings."""
