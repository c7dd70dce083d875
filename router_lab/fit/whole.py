"""Sums of products that no order of addition and no fused multiply-add changes: over whole numbers
below 2**53.

BLAS kernels add in an order of their own, and compilers join a multiplication to an addition where
a processor can (aarch64 can): with products that are whole numbers, and sums of them below 2**53,
every float64 result is exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
EXACT = 53
"""Bits of a whole number that a float64 holds."""


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
