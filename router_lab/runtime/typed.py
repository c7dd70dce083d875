"""What JSON has, as the type that it must have: TypeError for any other, PolicyError for other keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router_lab.runtime.errors import PolicyError, shown

ONE: tuple[type, ...] = (dict,)
MANY: tuple[type, ...] = (list,)
NAMES = {dict: "an object", list: "a list", str: "a text", int: "a whole number"}


def refuse_shape(given: Mapping[str, Any], shapes: Mapping[str, tuple[type, ...]]) -> None:
    """Raises ValueError where `given` says something of another sort than `shapes` has; MANY is a list of objects."""
    for name, kinds in shapes.items():
        value = given.get(name)
        wrong = value is not None and not isinstance(value, kinds)
        if wrong or (kinds is MANY and value and not all(isinstance(one, dict) for one in value)):
            wanted = "a list of objects" if kinds is MANY else " or ".join(NAMES[kind] for kind in kinds)
            raise ValueError(f"`{name}` is {str(value)[:40]!r}; it must be {wanted}")


def as_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{shown(value)} is not a list")
    return value


def only_keys(row: Any, keys: frozenset[str], where: str) -> None:
    """Exactly these keys: a misspelt one is never skipped over."""
    if not isinstance(row, dict):
        raise PolicyError(f"{where}: not an object")
    if row.keys() != keys:
        raise PolicyError(f"{where}: unknown or missing keys: {', '.join(sorted(row.keys() ^ keys))}"[:300])


def as_whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{shown(value)} is not a whole number")
    return value


def as_number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{shown(value)} is not a number")
    return float(value)


def as_name(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{shown(value)} is not a text")
    return value


def as_names(value: Any) -> dict[str, list[str]]:
    """Lists of names by name."""
    if not isinstance(value, dict):
        raise TypeError(f"{shown(value)} is not an object")
    return {as_name(key): [as_name(one) for one in as_list(names)] for key, names in value.items()}
