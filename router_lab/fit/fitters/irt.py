"""One difficulty of the prompt for all candidates: for many candidates on few samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from router_lab.fit.fitters.blend import Blend
from router_lab.fit.rows import Ridge, Rows, ridge
from router_lab.fit.task import Floats

LOADING = 20.0
"""Rows of prior weight for a candidate's slope of 1 on the shared difficulty."""


@dataclass(frozen=True)
class OneFactor(Blend):
    """Quality from one difficulty of the prompt, shared by all candidates; cost as ever."""

    def learn(self, matrix: Rows, targets: Floats, weights: Floats, penalty: Floats) -> Ridge:
        return one_factor(matrix, targets, weights, penalty)


def one_factor(matrix: Rows, targets: Floats, weights: Floats, penalty: Floats) -> Ridge:
    """A ridge whose quality columns share one direction: the linear form of item response theory
    with one trait.

    The ridge is fitted to each row's mean departure from the candidates' means; candidate j
    follows it with the slope of its own departures on those of the others, shrunk towards 1 by
    LOADING rows. With many candidates and few rows one direction is all that can be learned. Cost
    columns are fitted as ever.
    """
    half = targets.shape[1] // 2
    quality, weight = targets[:, :half], weights[:, :half]
    mean = (weight * quality).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-12)
    gone = weight * (quality - mean)
    count = weight.sum(axis=1, keepdims=True)
    common = gone.sum(axis=1, keepdims=True) / np.maximum(count, 1e-12)
    others = (gone.sum(axis=1, keepdims=True) - gone) / np.maximum(count - weight, 1e-12)
    prior = LOADING * float((common * common).sum()) / max(1, len(common)) + 1e-12
    slope = ((gone * others).sum(axis=0) + prior) / ((weight * others * others).sum(axis=0) + prior)
    known = (count > 0).astype(np.float64)
    stacked = ridge(
        matrix, np.hstack([common, targets[:, half:]]), np.hstack([known, weights[:, half:]]),
        np.concatenate([penalty[:1], penalty[half:]]),
    )  # fmt: skip
    shared = np.outer(stacked.coefficients[:, 0], slope)
    level = mean + slope * float(stacked.intercept[0])
    return Ridge(
        np.hstack([shared, stacked.coefficients[:, 1:]]).astype(np.float32),
        np.concatenate([level, stacked.intercept[1:]]).astype(np.float32),
    )
