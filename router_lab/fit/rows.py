"""The matrix of a fit, in the form in which no processor changes its products."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from router_lab.fit.whole import Floats, product
from router_lab.runtime.features import Z_LIMIT

Floats32 = NDArray[np.float32]
BITS = (Z_LIMIT - 1).bit_length()


@dataclass(frozen=True)
class Rows:
    """`[length * words | numbers] * scale`, a matrix [n, p + q].

    words: float32 CSR [n, p] of ones, so that a row's product is a plain sum in the order of its buckets; length
    float32 [n]; numbers float64 [n, q]: whole within +-Z_LIMIT, summed exactly (`whole.product`); scale float32
    [p + q].
    """

    words: sp.csr_array
    length: Floats32
    numbers: Floats
    scale: Floats32

    def __len__(self) -> int:
        return len(self.length)

    def __getitem__(self, rows: NDArray[Any]) -> Rows:
        return Rows(self.words[rows], self.length[rows], self.numbers[rows], self.scale)

    def scaled(self, by: Floats32) -> Rows:
        """Columns multiplied by `by` [p + q] more."""
        return replace(self, scale=self.scale * by)

    def times(self, coefficients: Floats32) -> Floats32:
        """[n, k] the matrix times coefficients [p + q, k]."""
        cut = self.words.shape[1]
        scaled = coefficients * self.scale[:, None]
        words = (self.words @ scaled[:cut]) * self.length[:, None]
        return np.asarray(words + product(self.numbers, BITS, scaled[cut:]).astype(np.float32), np.float32)

    def back(self, values: Floats32) -> Floats32:
        """[p + q, k] the transposed matrix times values [n, k]."""
        words = self._transposed @ (values * self.length[:, None])
        numbers = product(self.numbers.T, BITS, values).astype(np.float32)
        return np.asarray(np.concatenate([words, numbers]) * self.scale[:, None], np.float32)

    @cached_property
    def _transposed(self) -> sp.csr_array:
        return self.words.T.tocsr()
