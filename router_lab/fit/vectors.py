"""The outcomes' own vectors as further dense features, in the runtime's units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime.vectors import VectorScale

Floats = NDArray[np.float64]
SIZES = (0.0, 0.3, 3.0)
"""Lengths of the whole vector beside the text's words, whose length is 1, that cross-validation
may prefer to 1; 0 leaves it out."""
LEAST_SPREAD = 1e-9


@dataclass(frozen=True)
class Given:
    """`numbers` float64 [n, d]: standardised, in whole units; 0 where a vector is missing, as at
    the centre. `present` [n]: whether it is not. `weight`: what a deviation counts for, so that a
    usual row has length 1."""

    standard: VectorScale
    numbers: Floats
    present: NDArray[np.bool_]
    weight: float

    @classmethod
    def of(cls, vectors: Floats) -> Given:
        """`vectors` [n, d], NaN rows missing, standardised on the others; a component that never
        varies counts for nothing."""
        present = np.asarray(~np.isnan(vectors).any(axis=1), bool)
        told = vectors[present]
        length = vectors.shape[1]
        centre = told.mean(axis=0) if len(told) else np.zeros(length)
        spread = told.std(axis=0) if len(told) else np.ones(length)
        moves = spread > LEAST_SPREAD * np.maximum(1.0, np.abs(centre))
        standard = VectorScale(centre, np.where(moves, spread, 1.0))
        weight = float(1 / np.sqrt(length))
        numbers = np.zeros(vectors.shape)
        numbers[present] = standard.units(told) * moves
        return cls(standard, numbers, present, weight)
