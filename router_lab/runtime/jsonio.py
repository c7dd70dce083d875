"""JSON with one way to write a value, and a reader that a hostile file cannot lead astray."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from router_lab.runtime.errors import PolicyError


def dumps(value: Any) -> bytes:
    """Canonical bytes: sorted keys, no spaces, ASCII, shortest floats that read back the same, a newline at the end."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii") + b"\n"


def loads(data: bytes, name: str) -> Any:
    """Parse; PolicyError naming `name` for anything but plain JSON without repeated keys and infinite numbers."""
    try:
        return json.loads(
            data.decode("utf-8"), parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_without_repeats
        )
    except RecursionError:
        raise PolicyError(f"{name}: nested too deeply") from None
    except ValueError as error:  # also UnicodeDecodeError, JSONDecodeError and integers of too many digits
        raise PolicyError(f"{name}: not valid JSON: {error}") from error


def decode(data: bytes | str, **options: Any) -> Any:
    """`json.loads`, of which every fault is a ValueError: also what is nested too deeply. Numbers of thousands of
    digits, which Python refuses to read, are one already; NaN and infinities are read."""
    try:
        return json.loads(data, **options)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is not a finite number")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is repeated")
    return found
