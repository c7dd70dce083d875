"""A user's own vector beside the text: an embedding, or numbers that the application knows of a
request.

Standardised like the dense features of the text, to whole numbers, so that its part of a
prediction is exact too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime.errors import PolicyError
from router_lab.runtime.features import Z_LIMIT, Z_UNIT

Floats = NDArray[np.float64]
Vector = Sequence[float] | NDArray[Any]
Vectors = Sequence[Vector | None] | NDArray[Any]
MAX_LENGTH = 4096
"""Most numbers of a vector; common embedding models give 256 to 4096."""
_ROWS = 1024


class VectorScale(NamedTuple):
    """How vectors of d numbers are standardised: `centre` [d] and `spread` [d], mean and standard
    deviation in fitting (1 for a component that never varied)."""

    centre: Floats
    spread: Floats

    def units(self, vectors: Floats) -> Floats:
        """Finite vectors [d] or [n, d] -> whole numbers in units of 1/Z_UNIT deviations, cut to 8
        deviations, as float64; no finite number overflows."""
        reach = self.spread * (Z_LIMIT // Z_UNIT)
        near = np.minimum(np.maximum(vectors, self.centre - reach), self.centre + reach)
        return np.asarray(np.rint((near - self.centre) / self.spread * Z_UNIT), np.float64)


@dataclass(frozen=True, eq=False, repr=False)
class VectorWeights:
    """What a vector adds to the 2c predictions: `(units @ weights) * scale`. A vector that is
    missing adds nothing, as the centre does."""

    standard: VectorScale
    weights: NDArray[np.int8]
    """[d, 2c]"""
    scale: Floats
    """[2c]"""

    def to_json(self) -> dict[str, list[float]]:
        """All but the weights, as policy.json has it."""
        centre, spread = self.standard
        return {"centre": centre.tolist(), "spread": spread.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_json(cls, row: dict[str, Any], weights: NDArray[np.int8]) -> VectorWeights:
        """From `to_json` and the weights. Raises PolicyError for another length or what is not a
        number."""
        length, width = weights.shape
        centre, spread = (_numbers(row, key, length) for key in ("centre", "spread"))
        return cls(VectorScale(centre, spread), weights, _numbers(row, "scale", width))


def vector_length(row: object) -> int:
    """Of `VectorWeights.to_json`: d, from 1 to MAX_LENGTH. Raises PolicyError."""
    if (
        not isinstance(row, dict)
        or row.keys() != {"centre", "spread", "scale"}
        or not isinstance(row["centre"], list)
    ):
        raise PolicyError("policy.json: vector is not an object of the lists centre, spread and scale")
    length = len(row["centre"])
    if not 1 <= length <= MAX_LENGTH:
        raise PolicyError(f"policy.json: vector.centre has {length} numbers, not 1 to {MAX_LENGTH}")
    return length


def _numbers(row: Mapping[str, object], key: str, length: int) -> Floats:
    """A read-only float64 array."""
    values = row[key]
    if not isinstance(values, list) or len(values) != length:
        raise PolicyError(f"policy.json: vector.{key} is not a list of {length} numbers")
    if not all(type(value) in (int, float) for value in values):
        raise PolicyError(f"policy.json: vector.{key} holds something that is not a number")
    array = np.array(values, np.float64)
    array.flags.writeable = False
    return array


class Steering:
    """`VectorWeights` unpacked for speed, with the rules for what may be passed as a vector."""

    def __init__(self, known: VectorWeights) -> None:
        self._standard, self._scale = known.standard, known.scale
        self._length = len(known.standard.centre)
        # Whole numbers, whose products sum to less than 2**53: exact as float64 in whatever order
        # BLAS adds them.
        self._weights = known.weights.astype(np.float64)
        # As many products as OpenBLAS still makes in the calling thread: a decision wakes no
        # other.
        step = max(1, 9215 // max(1, self._weights.shape[1]))
        self._parts = [
            (slice(at, at + step), self._weights[at : at + step]) for at in range(0, self._length, step)
        ]

    def one(self, vector: Vector) -> Floats | None:
        """[2c] that `vector` adds; None where it counts as missing, a number in it not being
        finite.

        Raises PolicyError for what is no vector of this length.
        """
        values = self._read(vector, "decide: vector")
        if not np.isfinite(values).all():
            return None
        units = self._standard.units(values)
        (part, weights), *more = self._parts
        total = units[part] @ weights
        for part, weights in more:
            total += units[part] @ weights
        total *= self._scale
        return np.asarray(total, np.float64)

    def many(self, vectors: Vectors, count: int) -> tuple[Floats, NDArray[np.bool_]]:
        """([n, 2c] that each vector adds, [n] whether it is present); None or a row that is not
        finite is missing."""
        if len(vectors) != count:
            raise PolicyError(f"predict: {len(vectors)} vectors for {count} prompts")
        table = np.full((count, self._length), np.nan)
        for row, vector in enumerate(vectors):
            if vector is not None:
                table[row] = self._read(vector, f"predict: vectors[{row}]")
        present = np.isfinite(table).all(axis=1)
        added = np.zeros((count, len(self._scale)))
        rows = np.flatnonzero(present)
        for start in range(0, len(rows), _ROWS):
            here = rows[start : start + _ROWS]
            added[here] = (self._standard.units(table[here]) @ self._weights) * self._scale
        return added, present

    def _read(self, vector: object, where: str) -> Floats:
        """[d] float64 of this policy's length."""
        values = as_numbers(vector, where)
        if len(values) != self._length:
            raise PolicyError(
                f"{where} has {len(values)} numbers; this policy was fitted on vectors of {self._length}"
            )
        return values


def as_numbers(vector: Any, where: str) -> Floats:
    """A vector as [d] float64; an integer or a long double beyond its range makes it missing, like
    infinity.

    PolicyError for what is no sequence of numbers.
    """
    if type(vector) is np.ndarray and vector.dtype == np.float64 and vector.ndim == 1:
        return vector
    kind = getattr(getattr(vector, "dtype", None), "kind", "f")
    try:
        if kind not in "fiubO":
            raise TypeError(f"its numbers are of kind {kind!r}")
        with np.errstate(over="ignore"):
            values = np.asarray(vector, np.float64)
    except OverflowError:
        values = np.full(len(vector), np.nan)
    except Exception as error:  # noqa: BLE001  # an array type of the caller's may fail in any way
        raise PolicyError(f"{where} is not a sequence of numbers: {error}"[:300]) from None
    if values.ndim != 1:
        raise PolicyError(f"{where} has the shape {list(values.shape)}, not one row of numbers")
    return values
