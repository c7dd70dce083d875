"""What JSON has, as the type that it must have: TypeError for any other, PolicyError for other
keys."""

from __future__ import annotations

from typing import Any

from router_lab.runtime.errors import PolicyError, shown

GREATEST = 1e9
"""No number of a policy is greater: dollars, scores, seconds and rates all stay far below."""


def real(value: object) -> bool:
    """A number that products of three stay finite of: an overflow would warn, and warnings may be
    errors."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= GREATEST


def as_list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{shown(value)} is not a list")
    return value


def only_keys(row: object, keys: frozenset[str], where: str) -> None:
    """Exactly these keys: a misspelt one is never skipped over."""
    if not isinstance(row, dict):
        raise PolicyError(f"{where}: not an object")
    if row.keys() != keys:
        raise PolicyError(f"{where}: unknown or missing keys: {', '.join(sorted(row.keys() ^ keys))}"[:300])


def as_whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{shown(value)} is not a whole number")
    return value


def as_number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{shown(value)} is not a number")
    return float(value)
