"""Predictions of a policy, one prompt or many, by the same steps in the same order: equal to the
last bit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime.brief import BRIEF_COLUMNS, Brief, Prediction
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.features import DENSE, extract, most_counted
from router_lab.runtime.heads import biases, guarded, guarded_many, head
from router_lab.runtime.linear import cost_from_link, cost_to_link
from router_lab.runtime.model import PolicySpec
from router_lab.runtime.vectors import Floats, Steering, Vectors

_ONES = np.ones(9216, np.float32)
"""As many numbers as OpenBLAS still adds in the calling thread: a decision wakes no other."""


class Predictions(NamedTuple):
    """Of n prompts: `quality` [n, c], `cost_usd` [n, c], `coverage` [n]."""

    quality: Floats
    cost_usd: Floats
    coverage: Floats


class Predictor:
    """`Linear` unpacked for speed: bucket -> row of weights, and count -> standard score of each
    dense feature."""

    def __init__(self, spec: PolicySpec) -> None:
        linear = spec.linear
        self._featuriser = spec.featuriser
        self._link = linear.cost_link
        self._half = len(spec.profiles)
        # As small as it can be: where a request finds it out of the processor's caches, half of
        # the time is its.
        self._row_of: NDArray[Any] = np.zeros(
            spec.featuriser.buckets, np.uint16 if len(linear.seen) < 1 << 16 else np.int32
        )
        self._row_of[linear.seen] = np.arange(1, len(linear.seen) + 1, dtype=self._row_of.dtype)
        self._rows = linear.weights
        self._scale, self._bias = linear.scale, biases(spec)
        # Whole numbers, whose products sum to less than 2**53: exact as float64 in whatever order
        # BLAS adds them.
        self._dense, self._dense_scale = linear.dense.astype(np.float64), linear.dense_scale
        # The link is monotone, so bounds on dollars can be set before it.
        least, most = cost_to_link(linear.cost_bounds, linear.cost_link)
        self._least = np.concatenate([np.zeros(self._half), least])
        self._most = np.concatenate([np.ones(self._half), most])
        # By count, then by feature: the scores of a short text lie side by side.
        top = most_counted(spec.featuriser.cap)
        self._scores = np.ascontiguousarray(spec.featuriser.standardised_counts(top).T, np.float64)
        self._features = np.arange(len(DENSE))
        self._steering = None if linear.vector is None else Steering(linear.vector)
        blind = not (len(linear.seen) or linear.dense.any())
        self._rates = [self._bounded(row.copy()) for row in self._bias] if blind else None
        self._guard, self._reference = spec.suffix_guard, spec.reference
        own = spec.heads
        # The row of a prompt's head is so far below the prompt's.
        self._below, self._slack = (0, 0.0) if own is None else (len(linear.bias), own.slack)
        few = 2 * self._half <= BRIEF_COLUMNS
        self._brief = Brief(spec, self._row_of, self._scores, self._least, self._most) if few else None

    def steered(self, vector: Any) -> Floats | None:
        """[2c] what the caller's vector adds to predictions, None where it counts as missing.
        Raises PolicyError."""
        return self._vectors("decide: vector").one(vector)

    def _vectors(self, what: str) -> Steering:
        if self._steering is None:
            raise PolicyError(f"{what} was given, but this policy was fitted without vectors; leave it out")
        return self._steering

    def one(self, text: str, row: int, added: Floats | None = None) -> Prediction:
        """Of one text; `row` is the suite's row in the tables, `added` what the vector adds."""
        found = self._one(text, row, added)
        if not self._guard:
            return found
        begun = self._one(head(text, self._guard), row + self._below, added)
        return guarded(found, begun, self._reference, self._slack)

    def _one(self, text: str, row: int, added: Floats | None) -> Prediction:
        if added is None:
            if self._rates is not None:  # no text changes anything
                return *self._rates[row], 0.0
            found = None if self._brief is None else self._brief.one(text, row)
            if found is not None:
                return found
        sums, dense, seen, own = self._sums(text)
        if added is None and self._brief is not None:
            return self._brief.of(sums.tolist(), dense.tolist(), seen, own, row)
        size = own or 1
        values = sums * self._scale
        values /= math.sqrt(size)
        values += dense * self._dense_scale
        if added is not None:
            values += added
            seen = seen if own else 1
        values += self._bias[row]
        return *self._bounded(values), seen / size

    def _bounded(self, values: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Quality and cost_usd [c] from the values [2c] of one text, which it overwrites."""
        np.maximum(values, self._least, out=values)
        np.minimum(values, self._most, out=values)
        dollars = cost_from_link(values[self._half :], self._link)
        return tuple(values[: self._half].tolist()), tuple(dollars.tolist())

    def many(
        self, texts: Sequence[str], rows: NDArray[np.integer[Any]], vectors: Vectors | None = None
    ) -> Predictions:
        """Of n texts; `rows` [n], `vectors` n of them, None = missing. Raises PolicyError for what
        is no vector."""
        found = self._many(texts, rows, vectors)
        if not self._guard:
            return found
        begun = self._many([head(text, self._guard) for text in texts], rows + self._below, vectors)
        coverage = np.minimum(found.coverage, begun.coverage)
        return Predictions(*guarded_many(found[:2], begun[:2], self._reference, self._slack), coverage)

    def _many(
        self, texts: Sequence[str], rows: NDArray[np.integer[Any]], vectors: Vectors | None
    ) -> Predictions:
        steering = None if vectors is None else self._vectors("predict: vectors")
        found = [self._sums(text) for text in texts]
        width = 2 * self._half
        sums = np.array([one[0] for one in found], np.int32).reshape(-1, width)
        dense = np.array([one[1] for one in found], np.float64).reshape(-1, width)
        seen = np.array([one[2] for one in found], np.float64)
        own = np.array([one[3] for one in found], np.float64)
        size = np.maximum(own, 1.0)
        values = sums * self._scale
        values /= np.sqrt(size)[:, None]
        values += dense * self._dense_scale
        if steering is not None and vectors is not None:
            added, present = steering.many(vectors, len(found))
            values += added
            seen[present & (own == 0)] = 1.0
        values += self._bias[rows]
        np.maximum(values, self._least, out=values)
        np.minimum(values, self._most, out=values)
        return Predictions(
            values[:, : self._half], cost_from_link(values[:, self._half :], self._link), seen / size
        )

    def _sums(self, text: str) -> tuple[NDArray[Any], Floats, int, int]:
        """Whole-number sums [2c] of hashed and of dense weights; features seen in fitting, and in
        all."""
        bag, counts = extract(text, buckets=self._featuriser.buckets, cap=self._featuriser.cap)
        rows = self._row_of[bag]
        weights = self._rows.take(rows, 0)
        if weights.size < len(_ONES):
            # A third faster. Exact: whole numbers, of which even MAX_CAP characters have too few
            # to reach 2**24.
            sums = _ONES[: len(weights)] @ weights.astype(np.float32)
        else:
            sums = np.add.reduce(weights, 0, np.int32)
        scores = self._scores[counts, self._features]
        return sums, scores @ self._dense, int(np.count_nonzero(rows)), len(rows)
