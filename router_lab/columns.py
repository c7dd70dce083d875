"""Columns of a terminal: names as wide as they are shown (a Chinese character is two columns), and
none without end; the one way to align a table, and to break a line where a terminal ends.

What is not a terminal (a pipe, a file) has no end: there every row and sentence is one line.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from itertools import zip_longest
from typing import TextIO

from rich.cells import cell_len, chop_cells

from router_lab.runtime.visible import visible

LONGEST = 72
"""Columns of a name; what is longer keeps its beginning and its end."""
ENDLESS = 100_000
"""Columns of what is no terminal."""
LEAST, WELL = 24, 30
"""Columns that a text keeps, if it has as many, beside the figures of its row: where that brings
them all into one line, and where they take several blocks anyway."""
GAP = 2
NARROWEST = 40
"""Columns of a terminal that says it has fewer; some say 1 until somebody looks at them."""


def named(name: object) -> str:
    """A name from outside for a line or a table: escaped, and cut in the middle where it is longer
    than LONGEST."""
    shown = visible(name)
    if cell_len(shown) <= LONGEST:
        return shown
    half = LONGEST // 2 - 1
    return f"{chop_cells(shown, half)[0]}…{chop_cells(shown[::-1], half)[0][::-1]}"


def terminal_width(stream: TextIO | None = None) -> int:
    """Columns of the terminal that `stream` (standard output by default) is; ENDLESS for what is
    none."""
    try:
        columns = os.get_terminal_size((stream or sys.stdout).fileno()).columns
        return max(NARROWEST, columns) if columns else ENDLESS
    except (OSError, ValueError, AttributeError):  # no terminal, closed, or no file at all
        return ENDLESS


def aligned(
    *parts: Iterable[Sequence[object]],
    texts: Collection[int] = (0,),
    indent: int = 0,
    width: int | None = None,
) -> list[str]:
    """Parts of one table, each a head and rows of as many cells, as lines of columns that are
    aligned throughout; an empty line between parts, and nothing of none.

    Columns in `texts` stand left and are folded at words where `width` (default: the terminal's)
    is less than they take. The others are figures: they stand right and are never broken; those
    that do not fit follow beneath, in blocks of their own that begin with the first column again.
    """
    cells = [rows for part in parts if (rows := [[visible(cell) for cell in row] for row in part])]
    if not cells:
        return []
    columns = range(len(cells[0][0]))
    whole = [max(cell_len(row[i]) for part in cells for row in part) for i in columns]
    room = (terminal_width() if width is None else width) - indent
    least = whole
    for text in (LEAST, WELL):
        if sum(least) + GAP * (len(least) - 1) > room:
            least = [min(whole[i], text) if i in texts else _narrowest(cells, i) for i in columns]
    blocks = [(block, _widths(block, whole, least, room)) for block in _blocks(least, room)]
    drawn = [
        _rendered([[row[i] for i in block] for row in part], widths, [i in texts for i in block])
        for part in cells
        for block, widths in blocks
    ]
    lines = [line for n, block in enumerate(drawn) for line in [*([""] if n else []), *block]]
    return [f"{' ' * indent}{line}".rstrip() for line in lines]


def _narrowest(cells: Sequence[Sequence[Sequence[str]]], column: int) -> int:
    """Columns of the widest figure, or of the widest word of its heading."""
    figures = [row[column] for _, *body in cells for row in body]
    words = [word for head, *_ in cells for word in head[column].split()]
    return max(map(cell_len, [*figures, *words]), default=0)


def _blocks(least: Sequence[int], room: int) -> list[list[int]]:
    """The columns, as many as fit in each block, the first in all of them."""
    blocks = [[0]]
    for column in range(1, len(least)):
        taken = sum(least[i] + GAP for i in blocks[-1])
        if taken + least[column] > room and len(blocks[-1]) > 1:
            blocks.append([0])
        blocks[-1].append(column)
    return blocks


def _widths(block: Sequence[int], whole: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """The least of each column, and what is left of the room for the texts in turn; all but the
    last of them at most half of it."""
    widths = [least[i] for i in block]
    for n, i in enumerate(block):
        spare = room - sum(widths) - GAP * (len(widths) - 1)
        most = whole[i] if n + 1 == len(block) else min(whole[i], max(widths[n], room // 2))
        widths[n] += max(0, min(most - widths[n], spare))
    return widths


def _rendered(cells: Sequence[Sequence[str]], widths: Sequence[int], texts: Sequence[bool]) -> list[str]:
    lines = []
    for row in cells:
        folded = [_folded(*one) for one in zip(row, widths, texts, strict=True)]
        for parts in zip_longest(*folded, fillvalue=""):
            blanks = [" " * (width - cell_len(part)) for part, width in zip(parts, widths, strict=True)]
            placed = zip(parts, blanks, texts, strict=True)
            lines.append((" " * GAP).join(p + blank if text else blank + p for p, blank, text in placed))
    return lines


def _folded(cell: str, width: int, text: bool) -> list[str]:
    """A cell's lines, none wider than its column: a text's as `wrapped` breaks it, a heading's at
    its words, and a word that is longer wherever the column ends."""
    if cell_len(cell) <= width:
        return [cell if text else cell.rstrip()]
    lines = wrapped(cell, width, cut=True) if text else [""]
    for word in () if text else cell.split():
        if lines[-1] and cell_len(f"{lines[-1]} {word}") > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".lstrip()
    return [part for line in lines for part in chop_cells(line, width)]


def wrapped(line: str, width: int, *, cut: bool = False) -> list[str]:
    """`line` broken at words where `width` columns end. What follows stands under the text behind
    the first gap of two blanks, as in a list of names and what they mean, else two deeper than the
    line's first word (a mark before it is none). A number keeps its %, an effort its @. A longer
    word stays whole, for it may be a path to copy; with `cut` it ends at a slash or hyphen."""
    if cell_len(line) <= width:
        return [line]
    lead = re.match(r"(?:[^\w ] )? *", line)
    gap = re.match(r" *[^ ]+(?: [^ ]+)* {2,}", line)
    listed = gap is not None and cell_len(gap[0]) <= width // 2
    head = gap[0] if gap and listed else lead[0] if lead else ""
    hang = " " * (cell_len(head) + (0 if listed else GAP))
    lines = [head]
    for n, word in enumerate(re.split("(?<!@) (?!%)", line[len(head) :])):
        long = cut and cell_len(hang + word) > width
        for m, part in enumerate(re.findall("[^/-]+[/-]*|[/-]+", word) if long else [word]):
            blank = " " if n and not m else ""
            if (n or m) and cell_len(lines[-1] + blank + part) > width:
                lines.append(hang + part)
            else:
                lines[-1] += blank + part
    return lines
