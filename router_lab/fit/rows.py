"""The matrix of a fit, in the form in which no processor changes its products.

BLAS kernels add in an order of their own, and compilers join a multiplication to an addition where
a processor can (aarch64 can): with products that are whole numbers, and sums of them below 2**53,
every float64 result is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from router_lab.metrics.paired import Floats
from router_lab.runtime.features import Z_LIMIT

Floats32 = NDArray[np.float32]
BITS = (Z_LIMIT - 1).bit_length()
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
        found = self.words @ words
        found *= self.length[:, None]
        found += product(self.numbers, BITS, numbers).astype(np.float32)
        return np.asarray(found, np.float32)

    def _back(self, values: Floats32) -> tuple[Floats32, Floats32]:
        words = self._transposed @ (values * self.length[:, None])
        return np.asarray(words, np.float32), product(self.numbers.T, BITS, values).astype(np.float32)

    @cached_property
    def _transposed(self) -> sp.csr_array:
        return self.words.T.tocsr()


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
