"""The numbers of a policy's predictions, in policy.json and the .npy files, <-> `Featuriser` and
`Linear`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime import npy
from router_lab.runtime.errors import PolicyError, shown
from router_lab.runtime.features import DENSE, FEATURISER, Featuriser
from router_lab.runtime.linear import Linear
from router_lab.runtime.typed import as_list, as_number, as_whole, only_keys

_UNBOUNDED = (Featuriser().least, Featuriser().greatest)
_LINEAR_NUMBERS = ("scale", "bias", "dense", "dense_scale", "cost_bounds")


def linear_out(linear: Linear) -> dict[str, object]:
    """`linear` of policy.json; the arrays lie beside it."""
    numbers = {name: getattr(linear, name).tolist() for name in _LINEAR_NUMBERS}
    return {**numbers, "cost_link": linear.cost_link}


def featuriser_out(featuriser: Featuriser) -> dict[str, object]:
    """`least` and `greatest` are left out where they bound nothing, as policies wrote it that knew
    no bounds."""
    value = {
        "name": FEATURISER,
        "buckets": featuriser.buckets,
        "cap": featuriser.cap,
        "centre": [float(number) for number in featuriser.centre],
        "spread": [float(number) for number in featuriser.spread],
    }
    if (featuriser.least, featuriser.greatest) == _UNBOUNDED:
        return value
    return value | {"least": list(featuriser.least), "greatest": list(featuriser.greatest)}


def featuriser_in(row: dict[str, Any]) -> Featuriser:
    """The inverse; PolicyError for another featuriser or key, TypeError and ValueError for another
    shape."""
    bounds = ("least", "greatest") if isinstance(row, dict) and row.keys() & {"least", "greatest"} else ()
    only_keys(
        row, frozenset({"name", "buckets", "cap", "centre", "spread", *bounds}), "policy.json: featuriser"
    )
    if row["name"] != FEATURISER:
        raise PolicyError(
            f"policy.json: featuriser.name {shown(row['name'])} is not {FEATURISER!r}; it needs another router_lab"
        )
    return Featuriser(
        as_whole(row["buckets"]),
        as_whole(row["cap"]),
        tuple(map(as_number, row["centre"])),
        tuple(map(as_number, row["spread"])),
        *(tuple(map(as_whole, as_list(row[key]))) for key in bounds),
    )


def linear_in(
    row: dict[str, Any],
    arrays: Mapping[str, bytes],
    width: int,
    suites: int,
    weights: NDArray[np.int8] | None,
) -> Linear:
    """The inverse, of `width` = 2c columns and so many rows of `suites`. weights: those of
    weights.npy, where other rows stand after them. PolicyError for another shape."""
    only_keys(
        row,
        frozenset([*_LINEAR_NUMBERS, "cost_link"]),
        "policy.json: linear",
    )
    seen = npy.load(arrays["buckets.npy"], "buckets.npy", "<u4", (-1,))
    if weights is None:
        weights = npy.load(arrays["weights.npy"], "weights.npy", "|i1", (len(seen) + 1, width)).astype(
            np.int8, copy=False
        )
    elif len(weights) != len(seen) + 1:
        raise PolicyError(
            f"weights.npy: shape {weights.shape} before the vector's rows, not {(len(seen) + 1, width)}"
        )
    dense = _floats(row["dense"], (len(DENSE), width), "dense")
    if (dense != np.rint(dense)).any() or np.abs(dense).max(initial=0.0) > 32_767:
        raise PolicyError("policy.json: linear.dense holds a number that is not a whole one within ±32767")
    return Linear(
        seen=seen.astype(np.uint32, copy=False),
        weights=weights,
        scale=_floats(row["scale"], (width,), "scale"),
        bias=_floats(row["bias"], (suites, width), "bias"),
        dense=dense.astype(np.int16),
        dense_scale=_floats(row["dense_scale"], (width,), "dense_scale"),
        cost_bounds=_floats(row["cost_bounds"], (2, width // 2), "cost_bounds"),
        cost_link=row["cost_link"],
    )


def _floats(rows: Any, shape: tuple[int, ...], key: str) -> NDArray[np.float64]:
    """A read-only float64 array from nested lists of numbers that must have this shape."""
    flat = rows if len(shape) == 1 else [value for row in rows for value in row]
    if (
        not isinstance(rows, list)
        or len(rows) != shape[0]
        or any(len(row) != shape[-1] for row in rows if len(shape) == 2)
    ):
        raise PolicyError(f"policy.json: linear.{key} has not the shape {list(shape)}")
    array = np.array([as_number(value) for value in flat], np.float64).reshape(shape)
    array.flags.writeable = False
    return array
