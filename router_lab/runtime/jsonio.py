"""JSON with one way to write a value, and a reader that a hostile file cannot lead astray.

What a text would become is bounded before it is parsed: `[[],[],…` takes thirty times its own size
in memory. The figures are CPython's of a 64-bit machine, rounded up; tests/runtime/test_hostile.py
measures that they are enough.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from router_lab.runtime.errors import PolicyError

MOST = 16_000_000
"""Bytes of memory that a parsed file may take unless its reader allows more."""
DEEPEST = 64
"""Lists and objects within each other: what walks through them later, such as a copy, does so by
recursion."""
_CONTAINER, _ITEM, _ALWAYS = 100, 120, 4096
"""Bytes of a list or an object, and of a comma or a colon: the value or key beside it, and its
place."""


def dumps(value: object) -> bytes:
    """Canonical bytes: sorted keys, no spaces, ASCII, shortest floats that read back the same, a
    newline at the end."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii") + b"\n"


def loads(data: bytes, name: str, most: int = MOST) -> Any:
    """Parse; PolicyError naming `name` for anything but plain JSON without repeated keys and
    infinite numbers, for what would take more than `most` bytes of memory, and for more than
    DEEPEST levels."""
    refuse_large(data, name, most)
    try:
        value = json.loads(
            data.decode("utf-8"),
            parse_constant=_refuse,
            parse_float=_finite,
            object_pairs_hook=without_repeats,
        )
    except RecursionError:
        raise PolicyError(f"{name}: nested too deeply") from None
    except ValueError as error:  # also UnicodeDecodeError, JSONDecodeError and integers of too many digits
        raise PolicyError(f"{name}: not valid JSON: {error}"[:300]) from error
    if _deeper(value, DEEPEST):
        raise PolicyError(f"{name}: nested too deeply, beyond {DEEPEST} levels")
    return value


def refuse_large(data: bytes, name: str, most: int) -> None:
    """PolicyError naming `name` for what would take more than `most` bytes of memory."""
    size = memory(data, most)
    if size > most:
        raise PolicyError(
            f"{name}: may take {size / 1e6:,.0f} MB of memory once parsed, and a loader allows {most / 1e6:,.0f}; "
            "it needs fewer suites, candidates or examples"
        )


def decode(data: bytes | str, **options: Any) -> Any:
    """`json.loads`, of which every fault is a ValueError: also what is nested too deeply. Numbers
    of thousands of digits, which Python refuses to read, are one already; NaN and infinities are
    read."""
    try:
        return json.loads(data, **options)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def memory(data: bytes, most: int) -> int:
    """At least as many bytes as parsing `data` takes at its peak, `data` itself apart. Nothing is
    parsed for it, and beyond `most` it need not be exact."""
    plain = data.isascii()
    # A text is as wide as its widest character: one emoji makes four bytes of every letter beside
    # it.
    width = 4 if not plain or b"\\ud" in data or b"\\uD" in data else 2 if b"\\u" in data else 1
    # The text as a str, and its pieces once more, with the room that a growing text takes.
    size = _ALWAYS + len(data) * (1 if plain else 4) + len(data) * width * 7 // 4
    if size > most:
        return size
    texts = data.replace(b"\\\\", b"").replace(b'\\"', b"")  # what is left of quotes begins or ends a text
    quotes = texts.count(b'"')
    if quotes // 2 * _ITEM > most:
        return size + quotes // 2 * _ITEM
    around = b"".join(texts.split(b'"')[::2])
    containers = around.count(b"[") + around.count(b"{")
    return size + _CONTAINER * containers + _ITEM * (around.count(b",") + around.count(b":"))


def _deeper(value: object, levels: int) -> bool:
    """Whether lists and objects stand in each other more than `levels` deep; walked level by
    level."""
    level = [value]
    for _ in range(levels):
        level = [
            item
            for box in level
            if isinstance(box, list | dict)
            for item in (box.values() if isinstance(box, dict) else box)
            if isinstance(item, list | dict)
        ]
    return bool(level)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is not a finite number")
    return value


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, object]:
    """The `object_pairs_hook` that takes no key twice. Raises ValueError."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is repeated")
    return found
