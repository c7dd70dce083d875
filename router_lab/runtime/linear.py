"""The linear predictor of a policy, and the scale on which it predicts dollars."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime.features import DENSE, log2ish
from router_lab.runtime.vectors import VectorScale, VectorWeights

COST_LINKS = ("identity", "log2ish")


@dataclass(frozen=True, eq=False, repr=False)
class Linear:
    """Predictions `P[2c] = bias[suite row] + sum(weights[seen buckets]) * scale / sqrt(k) + (z @
    dense) * dense_scale`, and what the user's vector adds, for a policy fitted on vectors.

    k is the number of distinct features of the prompt (seen in fitting or not), z the standardised
    dense features in units of 1/Z_UNIT. Columns 0..c-1 predict quality, c..2c-1 cost in dollars
    (through `cost_link`). Integer sums are exact in any order: that is what makes decisions the
    same on every machine.
    """

    seen: NDArray[np.uint32]
    """[n] sorted bucket numbers that occurred in fitting."""
    weights: NDArray[np.int8]
    """[n + 1, 2c]; row 0 is zero and stands for every bucket not seen, row i + 1 belongs to
    seen[i]."""
    scale: NDArray[np.float64]
    """[2c]"""
    bias: NDArray[np.float64]
    """[suites + 1, 2c]; row POOLED, then one per suite."""
    dense: NDArray[np.int16]
    """[len(DENSE), 2c]"""
    dense_scale: NDArray[np.float64]
    """[2c]"""
    cost_bounds: NDArray[np.float64]
    """[2, c]: least and greatest cost in dollars that is ever predicted."""
    cost_link: str = "identity"
    vector: VectorWeights | None = None
    """None: fitted without vectors, and none may be passed."""

    @classmethod
    def quantised(
        cls,
        *,
        seen: NDArray[np.integer[Any]],
        weights: NDArray[np.floating[Any]],
        bias: NDArray[np.floating[Any]],
        dense: NDArray[np.floating[Any]],
        cost_bounds: NDArray[np.floating[Any]],
        cost_link: str = "identity",
        standard: VectorScale | None = None,
        vector: NDArray[np.floating[Any]] | None = None,
    ) -> Linear:
        """From fitted floats: `weights` [n, 2c] for row sums over sqrt(k), `dense` [13, 2c] for z
        in units of 1/Z_UNIT (divide a coefficient per standard deviation by Z_UNIT), `vector` [d,
        2c] likewise for vectors standardised by `standard` (None = no weight). Each column keeps
        its own scale."""
        small, scale = _quantise(np.concatenate([np.zeros((1, np.shape(weights)[1])), weights]), 127)
        medium, dense_scale = _quantise(dense, 32_767)
        return cls(
            seen=np.asarray(seen, np.uint32),
            weights=small.astype(np.int8),
            scale=scale,
            bias=np.array(bias, np.float64),
            dense=medium.astype(np.int16),
            dense_scale=dense_scale,
            cost_bounds=np.array(cost_bounds, np.float64),
            cost_link=cost_link,
            vector=None if standard is None else _vector_weights(standard, vector, np.shape(bias)[1]),
        )

    @classmethod
    def constant(
        cls,
        bias: NDArray[np.floating[Any]],
        cost_bounds: NDArray[np.floating[Any]],
        standard: VectorScale | None = None,
    ) -> Linear:
        """A predictor of rates alone: every prompt of a suite gets `bias` of its row, and coverage
        is always 0. With `standard` it takes vectors, which change nothing."""
        columns = np.shape(bias)[1]
        empty = np.zeros((0, columns))
        return cls.quantised(
            seen=np.zeros(0, np.uint32),
            weights=empty,
            bias=bias,
            dense=np.zeros((len(DENSE), columns)),
            cost_bounds=cost_bounds,
            standard=standard,
        )


def _quantise(
    values: NDArray[np.floating[Any]], most: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Whole numbers within ±most, and the scale of each column that turns them back."""
    peak = np.abs(values).max(axis=0, initial=0.0)
    scale = np.where(peak > 0, peak / most, 1.0).astype(np.float64)
    return np.rint(values / scale), scale


def _vector_weights(standard: VectorScale, values: NDArray[Any] | None, columns: int) -> VectorWeights:
    weights, scale = _quantise(np.zeros((len(standard.centre), columns)) if values is None else values, 127)
    return VectorWeights(standard, weights.astype(np.int8), scale)


def cost_to_link(cost_usd: NDArray[np.float64], link: str) -> NDArray[np.float64]:
    """Dollars -> the scale that `Linear` predicts on: dollars, or `log2ish` of nano-dollars."""
    cost = np.asarray(cost_usd, np.float64)
    return cost if link == "identity" else log2ish(cost * 1e9)


def cost_from_link(value: NDArray[np.float64], link: str) -> NDArray[np.float64]:
    """The inverse of `cost_to_link`, in exact IEEE steps (no exp), for values from 0 to 60."""
    if link == "identity":
        return value
    whole = np.floor(value)
    return np.asarray((np.ldexp(1.0 + (value - whole), whole.astype(np.int32)) - 1.0) * 1e-9, np.float64)


def unlinked(value: float) -> float:
    """`cost_from_link` of one number, where the link is `log2ish`: by the same steps."""
    whole = math.floor(value)
    return (math.ldexp(1.0 + (value - whole), whole) - 1.0) * 1e-9
