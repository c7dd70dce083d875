"""The matrix of a fit, in the form in which no processor changes its products, and ridge
regression of many columns at once on it, some of their entries missing.

BLAS kernels add in an order of their own, and compilers join a multiplication to an addition where
a processor can (aarch64 can): with products that are whole numbers, and sums of them below 2**53,
every float64 result is exact.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from router_lab.metrics.paired import Floats
from router_lab.runtime.features import Z_LIMIT

Floats32 = NDArray[np.float32]
BITS = (Z_LIMIT - 1).bit_length()
LARGE, THREADS = 1 << 22, 2
"""Entries from which products are shared by so many threads."""
EXACT = 53
"""Bits of a whole number that a float64 holds."""


@dataclass(frozen=True)
class Rows:
    """`[length * words * rarity | numbers * units]`, a matrix [n, p + q].

    words: float32 CSR [n, p] of ones, so that a row's product is a plain sum in the order of its
    buckets; length float32 [n]; numbers float64 [n, q]: whole within +-Z_LIMIT, summed exactly
    (`product`); units float32 [q]; rarity float32 [p], None = 1.
    """

    words: sp.csr_array
    length: Floats32
    numbers: Floats
    units: Floats32
    rarity: Floats32 | None = None

    def __len__(self) -> int:
        return len(self.length)

    @property
    def width(self) -> int:
        """p + q"""
        return int(self.words.shape[1]) + len(self.units)

    def __getitem__(self, rows: NDArray[Any]) -> Rows:
        return replace(self, words=self.words[rows], length=self.length[rows], numbers=self.numbers[rows])

    def scaled(self, by: Floats32) -> Rows:
        """The plain matrix, its columns multiplied by `by` [p + q]."""
        words, numbers = by[: self.words.shape[1]], by[self.words.shape[1] :]
        return replace(self, units=self.units * numbers, rarity=None if (words == 1).all() else words)

    def times(self, coefficients: Floats32) -> Floats32:
        """[n, k] the matrix times coefficients [p + q, k]."""
        cut = self.words.shape[1]
        words = coefficients[:cut] if self.rarity is None else coefficients[:cut] * self.rarity[:, None]
        return self._times(words, coefficients[cut:] * self.units[:, None])

    def back(self, values: Floats32) -> Floats32:
        """[p + q, k] the transposed matrix times values [n, k]."""
        words, numbers = self._back(values)
        if self.rarity is not None:
            words *= self.rarity[:, None]
        return np.concatenate([words, numbers * self.units[:, None]])

    def gram(self, values: Floats32) -> Floats32:
        """[n, k] the matrix times its transpose times values [n, k], with no copy of what is as
        long as p."""
        words, numbers = self._back(values)
        if self.rarity is not None:
            words *= (self.rarity * self.rarity)[:, None]
        return self._times(words, numbers * (self.units * self.units)[:, None])

    def _times(self, words: Floats32, numbers: Floats32) -> Floats32:
        found = _product(self._parts, words)
        found *= self.length[:, None]
        found += product(self.numbers, BITS, numbers).astype(np.float32)
        return np.asarray(found, np.float32)

    def _back(self, values: Floats32) -> tuple[Floats32, Floats32]:
        words = _product(self._transposed, values * self.length[:, None])
        return words, product(self.numbers.T, BITS, values).astype(np.float32)

    @cached_property
    def _parts(self) -> list[sp.csr_array]:
        return _split(self.words)

    @cached_property
    def _transposed(self) -> list[sp.csr_array]:
        return _split(self.words.T.tocsr())


def _split(matrix: sp.csr_array) -> list[sp.csr_array]:
    """The matrix, or its rows in as many parts of about as many entries as threads share a product;
    the parts are no copies."""
    ends = matrix.indptr
    if ends[-1] < LARGE:
        return [matrix]
    cuts = np.searchsorted(ends, np.linspace(0, ends[-1], THREADS + 1)[1:-1])
    bounds = [0, *cuts.tolist(), matrix.shape[0]]
    return [
        sp.csr_array(
            (
                matrix.data[ends[start] : ends[end]],
                matrix.indices[ends[start] : ends[end]],
                ends[start : end + 1] - ends[start],
            ),
            shape=(end - start, matrix.shape[1]),
        )
        for start, end in pairwise(bounds)
    ]


def _product(parts: list[sp.csr_array], values: Floats32) -> Floats32:
    """[n, k] the rows of all parts times values [p, k]. Each row is one thread's, so how many there
    are changes nothing."""
    if len(parts) == 1:
        return np.asarray(parts[0] @ values, np.float32)
    with ThreadPoolExecutor(len(parts)) as pool:
        return np.concatenate(list(pool.map(lambda part: part @ values, parts)), dtype=np.float32)


def whole(values: NDArray[np.floating[Any]], bits: int) -> tuple[Floats, NDArray[np.int32]]:
    """Columns [n, k] rounded to whole numbers within +-2**bits, and the powers of two [k] by which
    they were scaled: `ldexp(whole, -powers)` is within 2**-bits of the greatest of its column."""
    peak = np.abs(values).max(axis=0, initial=0.0).astype(np.float64)
    powers = bits - np.frexp(peak)[1]
    return np.rint(np.ldexp(np.asarray(values, np.float64), powers)), powers


def product(numbers: Floats, size: int, values: NDArray[np.floating[Any]]) -> Floats:
    """float64 [n, k] `numbers @ values` for whole numbers [n, q] within +-2**size and any values
    [q, k], which are first rounded to as many bits as keep the sums exact."""
    rounded, powers = whole(values, room(size, len(values)))
    return np.asarray(np.ldexp(numbers @ rounded, -powers), np.float64)


def room(size: int, terms: int) -> int:
    """Bits left for numbers of which `terms` are summed, each times one within +-2**size."""
    return EXACT - size - max(0, terms - 1).bit_length()


@dataclass(frozen=True)
class Ridge:
    """Predicts `X @ coefficients + intercept`: coefficients float32 [p, k], intercept float32
    [k]."""

    coefficients: Floats32
    intercept: Floats32

    def predict(self, matrix: Rows) -> Floats:
        """[n, k], of the precision of its coefficients."""
        return np.asarray(matrix.times(self.coefficients) + self.intercept, np.float64)


def ridge(
    matrix: Rows,
    targets: Floats,
    weights: Floats,
    penalty: Floats,
    *,
    tolerance: float = 3e-3,
    steps: int = 40,
) -> Ridge:
    """Least squares of `targets` [n, k] with `weights` [n, k] (0 = missing) and `penalty` [k] on
    squared coefficients.

    A column without any weight predicts 0, and costs nothing. The others are solved side by side
    until all have converged.
    """
    some = np.asarray((weights > 0).any(axis=0), bool)
    if some.all():
        return _solved(matrix, targets, weights, penalty, tolerance, steps)
    found = Ridge(np.zeros((matrix.width, len(some)), np.float32), np.zeros(len(some), np.float32))
    if some.any():
        aims, heavy = np.compress(some, targets, axis=1), np.compress(some, weights, axis=1)
        told = _solved(matrix, aims, heavy, penalty[some], tolerance, steps)
        found.coefficients[:, some], found.intercept[some] = told.coefficients, told.intercept
    return found


def _solved(
    matrix: Rows, targets: Floats, weights: Floats, penalty: Floats, tolerance: float, steps: int
) -> Ridge:
    """Conjugate gradients on the dual system `(R K R + penalty) a = R y`, K the Gram matrix of the
    centred rows and R the root weights, all columns side by side (Hestenes & Stiefel 1952).

    The matrix is never squared, and what it is multiplied with is centred in its stead, so memory
    is a few [p, k] arrays. Targets are centred by their weighted means, which become the
    intercept.
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


def _mean(values: Floats32) -> Floats:
    return np.asarray(values.sum(axis=0, dtype=np.float64) / max(1, len(values)))


def _centred(values: Floats32) -> Floats32:
    """Less the mean of each column: as if the matrix that it is multiplied with had been
    centred."""
    return np.asarray(values - _mean(values).astype(np.float32), np.float32)
