"""Fields of records that anybody may have written: what they hold if it can be used, else None;
never an error."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from router_lab.prices.moments import utc
from router_lab.runtime.budget import MOST_TOKENS
from router_lab.runtime.errors import shown
from router_lab.runtime.typed import GREATEST

Json = Mapping[str, Any]
DEEPEST = 40
"""Levels of a record that are looked into."""
_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3), (1e8, 1.0))
"""Epochs from this size on are in this many parts of a second: nano, micro, milli, whole."""
_NO_YEAR = 2100
"""From which on no number is an epoch."""


def decoded(text: str) -> Any:
    """The value of a JSON text; half characters in it, which no file can hold, become U+FFFD.
    Raises ValueError, also for what is nested too deeply."""
    try:
        found = json.loads(text)
        return _whole(found) if re.search(r"\\u[dD][89a-fA-F]", text) else found
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_whole(key): _whole(inner) for key, inner in value.items()}
    return [_whole(inner) for inner in value] if isinstance(value, list) else value


def tree(value: object) -> Any:
    """`value`, or what it says where it is a text that holds a JSON object or list."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return decoded(value)
        except ValueError:
            return value
    return value


def mapping(value: object) -> Json:
    """`value` as a mapping, also from its JSON; empty for anything else."""
    found = tree(value)
    return found if isinstance(found, Mapping) else {}


def flat(
    value: object, prefix: str = "", *, lists: bool = False, deep: int = DEEPEST
) -> Iterator[tuple[str, Any]]:
    """Every leaf of nested mappings under its keys joined by dots; with `lists`, of lists too,
    under their numbers."""
    items: Iterator[tuple[object, Any]] | None = None
    if isinstance(value, Mapping):
        items = iter(value.items())
    elif lists and isinstance(value, list | tuple):
        items = iter(enumerate(value))
    if items is None or deep == 0:
        yield prefix, value
        return
    for key, inner in items:
        yield from flat(inner, f"{prefix}.{key}" if prefix else str(key), lists=lists, deep=deep - 1)


def first(record: Json, *names: str) -> Any:
    """The value of the first of `names` that is there and not empty."""
    return next((v for name in names if (v := record.get(name)) not in (None, "", [], {})), None)


def text(value: object) -> str | None:
    """A text that says something, or a whole number as text (ids are numbers in some exports)."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    try:
        return str(value).strip() or None
    except ValueError:  # an integer of thousands of digits
        return None


def number(value: object) -> float | None:
    """A finite number of 0 or more, also from its text."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and found >= 0 else None


def dollars(value: object) -> float | None:
    """What one call cost; what no call can cost is not known."""
    found = number(value)
    return None if found is None or found > GREATEST else found


def credited(value: object) -> float:
    """Dollars below 0, as a refund has them, without their sign; 0 of anything else."""
    flipped: object = None
    if isinstance(value, str):
        flipped = value.strip()[1:] if value.strip().startswith("-") else None
    elif isinstance(value, int | float):
        flipped = -value
    return dollars(flipped) or 0.0


def count(value: object) -> int | None:
    """A whole number of tokens."""
    found = number(value)
    return None if found is None or found > MOST_TOKENS or found != int(found) else int(found)


def moment(value: object) -> dt.datetime | None:
    """A moment in UTC from ISO text (without an offset: UTC), or from seconds, milli-, micro- or
    nanoseconds since 1970."""
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)
    if isinstance(value, str) and not re.fullmatch(r"\s*[\d.eE+]+\s*", value):
        try:
            return utc(value.strip().replace(" UTC", "").replace("Z", "+00:00"))
        except (ValueError, OverflowError):
            return None
    epoch = number(value)
    parts = next((parts for least, parts in _UNITS if epoch is not None and epoch >= least), None)
    try:
        if parts is None or epoch is None:
            return None
        found = dt.datetime.fromtimestamp(epoch / parts, dt.UTC)
        return found if found.year < _NO_YEAR else None  # 20260131120000 is no number of milliseconds
    except (ValueError, OverflowError, OSError):
        return None


def beginning(value: object) -> tuple[dt.datetime | None, str | None]:
    """When a call began, and what its source says of that where it is no moment; neither where it
    says nothing (0 is nothing)."""
    found = moment(value)
    silent = found is not None or value in (None, "", [], {}) or number(value) == 0
    return found, None if silent else shown(value, 40)


def between(start: dt.datetime | None, end: dt.datetime | None) -> float | None:
    """Seconds from one moment to the other, if it is the later one."""
    return None if start is None or end is None or end < start else (end - start).total_seconds()
