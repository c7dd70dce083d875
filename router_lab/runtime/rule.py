"""The rule of a decision, on plain arrays: what decides, once it is known who may serve.

Utilities of columns that may not be chosen are -inf. Every comparison is written once here and
shared by `decide` and its batch form, so that a replay cannot differ from what production does.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime.odds import unit

PREDICTED, REFERENCE, MIXED, TABLE, UNCOVERED = "predicted", "reference", "mixed", "table", "uncovered"
KEPT, STICKY, EXPIRED, ONLY = "kept", "sticky", "expired", "only"
ASSIGNED, BARRED, CHAINED = "assigned", "barred", "chained"
RETIRED, EXPLORED = "retired", "explored"

Floats = NDArray[np.float64]


def by_prediction(utility: Sequence[float], reference: int, guard: float) -> tuple[int, str]:
    """The column of greatest utility if it beats the reference by more than `guard`, else the
    reference.

    Where the reference may not be chosen, the best of the rest.
    """
    best = utility.index(max(utility))
    if best == reference:
        return reference, REFERENCE
    base = utility[reference]
    if utility[best] - base > guard:
        return best, ONLY if base == -math.inf else PREDICTED
    return reference, REFERENCE


def by_prediction_many(
    utility: Floats, reference: int | NDArray[np.int64], guard: float
) -> NDArray[np.int64]:
    """`by_prediction` for each row of `utility` [n, c]; `reference` one column, or that of each row
    [n], must be open in all."""
    best, every = utility.argmax(axis=1), np.arange(len(utility))
    gain = utility[every, best] - utility[every, reference]
    return np.where(gain > guard, best, reference)


def stays(
    utility: Sequence[float], index: int, previous: int, reference: int, guard: float, bonus: float
) -> bool:
    """Whether a conversation stays with `previous` although `index` was chosen for this turn
    alone.

    It does unless the switch gains more than `bonus`, the utility of the prompt cache thrown away.
    The reference's utility counts with the guard that others had to beat.
    """
    gain = utility[index] + (guard if index == reference else 0.0)
    gain -= utility[previous] + (guard if previous == reference else 0.0)
    return utility[previous] > -math.inf and gain <= bonus


def draw(key: str | bytes) -> float:
    """A number in [0, 1) that depends on `key` alone: the top 53 bits of SHA-256 of "mix:" and the
    key."""
    data = key if isinstance(key, bytes) else key.encode("utf-8", "replace")
    return unit(hashlib.sha256(b"mix:" + data).digest())


def blocked(may: NDArray[np.bool_], place: int | Sequence[int]) -> Floats | None:
    """0 where a column may be chosen (`may` [suites + 1, c]), -inf where it may only be predicted,
    to be added to utilities; None = all may. `place`: who always may, one column or that of each
    row."""
    if may.all():
        return None
    table = np.where(may, 0.0, -math.inf)
    table[np.arange(len(table)), place] = 0.0
    return table
