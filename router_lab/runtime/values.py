"""What may stand in the columns of an outcome, value by value: one rule where it is logged and
where it is read."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

from router_lab.runtime.errors import InputError, shown
from router_lab.runtime.kinds import TOKENS

STATUSES = ("ok", "error", "limit", "infra", "budget")
LOGGED = ("quality", "status", *TOKENS, "turns", "cost_usd", "paid_usd", "check", "latency_s", "group")
"""Columns of the outcomes table that can be known of a decision that was served."""

LEAST = 2.0**-64
"""No draw gives a smaller probability; whatever is divided by one would overflow."""

QUALITY_RULE = "it must lie in [0, 1]; map the score with `quality:` in the suite, or in a table divide it by its maximum"
NUMBER_RULE = "it must be finite and not negative"
STATUS_RULE = f"known: {', '.join(STATUSES)}"


def plain(columns: Mapping[str, object], where: str) -> dict[str, Any]:
    """The columns that are known, as JSON has them; a None is unknown, and so is a NaN or NA but
    as `quality`.

    Any type that counts as a number will do (numpy's scalars and 0-d arrays, Decimal, Fraction),
    any str subclass as a text. Raises InputError naming `where`, the column, the value and the
    rule.
    """
    unknown = sorted(set(columns) - set(LOGGED))
    if unknown:
        raise InputError(f"{where}: an outcome has no column {unknown[0]!r}; use {', '.join(LOGGED)}")
    known = {
        c: _plain(c, v, where)
        for c, v in columns.items()
        if v is not None and (c == "quality" or not _absent(v))
    }
    return {column: value for column, value in known.items() if value is not None}


def probability(value: object) -> float | None:
    """A logged probability; None for what no draw has, or is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not LEAST <= value <= 1:
        return None
    return float(value)


def name_of(value: object) -> str:
    """An id or a name as text, as a table's cell of that type is read (`outcomes.cells.text_of`):
    `7`, `7.0` and numpy's 7 are all "7", True is "true", bytes are UTF-8, dates ISO 8601; an Enum
    of texts is its value."""
    value = _scalar(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    try:
        return str(int(value) if isinstance(value, float) and value.is_integer() else value)
    except Exception:  # noqa: BLE001  # a number of thousands of digits, an object whose own text fails
        raise InputError(f"an id or a name must be a text; {type(value).__name__} gives none") from None


def _plain(column: str, value: object, where: str) -> object:
    if column == "group":
        return name_of(value)
    if column == "status":
        if name_of(value) not in STATUSES:
            raise InputError(f"{where}: `status` is {shown(value)}; {STATUS_RULE}")
        return name_of(value)
    number = _number(column, value, where)
    if column == "quality":
        if not 0 <= number <= 1:
            raise InputError(f"{where}: `quality` is {shown(value)}; {QUALITY_RULE}")
        return number
    if column == "check":
        if number not in (0, 1):
            raise InputError(f"{where}: `check` is {shown(value)}; it must be true or false")
        return bool(number)
    if not 0 <= number < math.inf:
        raise InputError(f"{where}: `{column}` is {shown(value)}; {NUMBER_RULE}")
    return (
        int(number) if number.is_integer() and column not in ("cost_usd", "paid_usd", "latency_s") else number
    )


def _absent(value: object) -> bool:
    """Whether it is how a table has "not known": NaN of any type, and pandas' NA and NaT."""
    try:
        return bool(value != value)
    except Exception:  # noqa: BLE001  # NA answers neither yes nor no, nor does an array
        return type(value).__name__ == "NAType"


def _number(column: str, value: object, where: str) -> float:
    try:
        # float() would read it, and a table of texts and numbers is none of numbers.
        if isinstance(value, str | bytes):
            raise TypeError
        return float(_scalar(value))
    except Exception:  # noqa: BLE001  # of numbers, arrays and tensors of many sorts
        wanted = "true or false" if column == "check" else "a number"
        raise InputError(f"{where}: `{column}` is {shown(value)}; it must be {wanted}") from None


def _scalar(value: Any) -> Any:
    """What an array or tensor of one number holds; anything else as it is."""
    try:
        return value.item()
    except Exception:  # noqa: BLE001  # it holds none, or many: the caller says what was wanted
        return value
