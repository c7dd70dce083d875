"""Ridge regression of many columns at once on a sparse matrix, some of their entries missing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router_lab.fit.rows import Floats32, Rows


@dataclass(frozen=True)
class Ridge:
    """Predicts `X @ coefficients + intercept`: coefficients float32 [p, k], intercept float32
    [k]."""

    coefficients: Floats32
    intercept: Floats32

    def predict(self, matrix: Rows) -> Floats32:
        """[n, k]"""
        return np.asarray(matrix.times(self.coefficients) + self.intercept, np.float32)


def ridge(
    matrix: Rows,
    targets: NDArray[np.float64],
    weights: NDArray[np.float64],
    penalty: NDArray[np.float64],
    *,
    tolerance: float = 3e-3,
    steps: int = 40,
) -> Ridge:
    """Least squares of `targets` [n, k] with `weights` [n, k] (0 = missing) and `penalty` [k] on
    squared coefficients.

    Conjugate gradients on the dual system `(R K R + penalty) a = R y`, K the Gram matrix of the
    centred rows and R the root weights, all columns side by side (Hestenes & Stiefel 1952). The
    matrix is never squared, and what it is multiplied with is centred in its stead, so memory is a
    few [p, k] arrays. Targets are centred by their weighted means, which become the intercept; a
    column without any weight predicts 0.
    """
    total = weights.sum(axis=0)
    filled = np.where(weights > 0, targets, 0.0)
    mean = (filled * weights).sum(axis=0) / np.maximum(total, 1e-12)
    root = np.sqrt(weights).astype(np.float32)
    shrink = penalty.astype(np.float32)

    def apply(dual: Floats32) -> Floats32:
        return np.asarray(root * _centred(matrix.gram(_centred(root * dual))) + shrink * dual, np.float32)

    residual = (root * np.where(weights > 0, filled - mean, 0.0)).astype(np.float32)
    dual, way = np.zeros_like(residual), residual.copy()
    norm = (residual * residual).sum(axis=0)
    goal = norm * np.float32(tolerance * tolerance)
    for _ in range(steps):
        if (norm <= goal).all():
            break
        image = apply(way)
        length = norm / np.maximum((way * image).sum(axis=0), np.float32(1e-30))
        dual += length * way
        residual -= length * image
        after = (residual * residual).sum(axis=0)
        way = residual + after / np.maximum(norm, np.float32(1e-30)) * way
        norm = after
    coefficients = matrix.back(_centred(root * dual))
    return Ridge(coefficients, (mean - _mean(matrix.times(coefficients))).astype(np.float32))


def _mean(values: Floats32) -> NDArray[np.float64]:
    return np.asarray(values.sum(axis=0, dtype=np.float64) / max(1, len(values)))


def _centred(values: Floats32) -> Floats32:
    """Less the mean of each column: as if the matrix that it is multiplied with had been
    centred."""
    return np.asarray(values - _mean(values).astype(np.float32), np.float32)
