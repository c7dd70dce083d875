"""Columns of a terminal: names as wide as they are shown (a Chinese character is two columns), and
none without end."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len, chop_cells

from router_lab.runtime.visible import visible

LONGEST = 72
"""Columns of a name; what is longer keeps its beginning and its end."""


def named(name: object) -> str:
    """A name from outside for a line or a table: escaped, and cut in the middle where it is longer
    than LONGEST."""
    shown = visible(name)
    if cell_len(shown) <= LONGEST:
        return shown
    half = LONGEST // 2 - 1
    return f"{chop_cells(shown, half)[0]}…{chop_cells(shown[::-1], half)[0][::-1]}"


def widest(texts: Iterable[str]) -> int:
    """Columns of the widest; 0 of none."""
    return max(map(cell_len, texts), default=0)


def left(text: str, width: int) -> str:
    """`text` and as many blanks as fill `width` columns."""
    return text + " " * (width - cell_len(text))


def right(text: str, width: int) -> str:
    """As many blanks as fill `width` columns, and `text`."""
    return " " * (width - cell_len(text)) + text
