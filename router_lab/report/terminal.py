"""The Pareto picture and the candidates' table for a terminal: plain text, no colour needed to
read it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
from rich.cells import cell_len

from router_lab.columns import aligned, named, terminal_width
from router_lab.report.format import EMPTY
from router_lab.report.layout import Box, place_labels
from router_lab.report.marks import KIND_NAMES, Mark, drawing_order, front_steps
from router_lab.report.scale import Scale
from router_lab.report.table import COLUMNS, records, single

GLYPHS = {"candidate": "●", "reference": "■", "policy": "◆", "point": "◇", "mix": "△", "oracle": "✳"}
PALE, APART = "○", "◌"
_MARGIN = 6


def pareto_text(marks: Sequence[Mark], width: int = 96, height: int = 18) -> str:
    """The picture of `svg.pareto_svg` in characters: cost on a log axis, quality upwards, the
    front as a line.

    width: of the whole picture, in columns, or the terminal's where that has fewer; height: rows of
    the plot alone. Intervals are in the table, not here.
    """
    if not marks:
        return "nothing to show"
    width = min(width, terminal_width())
    flat = [
        Mark(m.label, m.cost, m.quality, kind=m.kind, on_front=m.on_front, compared=m.compared) for m in marks
    ]
    columns = width - _MARGIN
    scale = Scale.fit(flat, Box(0, 0, columns - 1, height - 1), free_lane=8.0)
    grid = [[" "] * columns for _ in range(height)]

    def at(mark: Mark) -> tuple[int, int]:
        return round(scale.x(mark.cost)), round(scale.y(mark.quality))

    _draw_front(grid, flat, scale)
    ordered = drawing_order(flat)
    _draw_labels(grid, list(reversed(ordered)), at)
    for mark in ordered:
        x, y = at(mark)
        grid[y][x] = PALE if mark.pale and mark.compared else APART if mark.pale else GLYPHS[mark.kind]
    return "\n".join([*_rows(grid, scale), *_cost_axis(scale, columns), *_key(flat, width)])


def _draw_front(grid: list[list[str]], marks: Sequence[Mark], scale: Scale) -> None:
    steps = front_steps(marks)
    at = [(round(scale.x(s.cost)), round(scale.y(s.quality))) for s in steps]
    for (x, y), (end, up) in zip(at, [*at[1:], (len(grid[0]) - 1, at[-1][1])], strict=True) if at else []:
        for column in range(x, end + 1):
            grid[y][column] = "─"
        for row in range(up + 1, y):
            grid[row][end] = "│"
        if up < y:
            grid[y][end], grid[up][end] = "┘", "┌"


def _draw_labels(grid: list[list[str]], marks: Sequence[Mark], at: Callable[[Mark], tuple[int, int]]) -> None:
    """Beside, above or below the mark, where nothing else stands; the rest are in the table."""
    anchors = [at(m) for m in marks]
    # Doubled rows and a gap of two columns make the pixel rules of place_labels fit characters.
    boxes = [Box(x - 1.5, 2 * y - 0.9, x + 1.5, 2 * y + 0.9) for x, y in anchors]
    lines = [
        Box(x - 0.5, 2 * y - 0.5, x + 0.5, 2 * y + 0.5)
        for y, row in enumerate(grid)
        for x, character in enumerate(row)
        if character != " "
    ]
    area = Box(-0.6, -1.1, len(grid[0]) + 0.1, 2 * len(grid) - 0.9)
    labels = [named(m.label) for m in marks]
    sizes = [(cell_len(label) + 1.0, 1.8) for label in labels]
    centres = [(float(x), 2.0 * y) for x, y in anchors]
    near, gaps = [0.0] * len(marks), [2.0] * len(marks)
    placed = place_labels(centres, sizes, boxes, area, soft=lines * 20, reach=near, gaps=gaps)
    for label, place in zip(labels, placed, strict=True):
        if place is None:
            continue
        row = round((place.box.top + place.box.bottom) / 4)
        start = round(place.box.left + 0.5)
        for character in label:
            if 0 <= row < len(grid) and 0 <= start < len(grid[0]):
                grid[row][start : start + cell_len(character)] = [character, ""][: cell_len(character)]
            start += cell_len(character)


def _rows(grid: list[list[str]], scale: Scale) -> list[str]:
    ticks = {round(scale.y(q)): f"{100 * q:.0f}" for q in scale.quality_ticks(len(grid) // 4)}
    return [
        f"{ticks.get(y, ''):>4} {'┤' if y in ticks else '│'}{''.join(row)}".rstrip()
        for y, row in enumerate(grid)
    ]


def _cost_axis(scale: Scale, columns: int) -> list[str]:
    line, names = ["─"] * columns, [" "] * (columns + 8)
    for at, text in scale.cost_ticks(columns // 12, _written, 1.0):
        x, start = round(at), int(_written(at, text)[0])
        if 0 <= x < columns:
            line[x] = "┬"
            names[start : start + len(text)] = text
    unit = "quality in % (upwards) over $ per 1,000 requests (log scale)"
    return [" " * 5 + "└" + "".join(line), " " * _MARGIN + "".join(names).rstrip(), " " * _MARGIN + unit]


def _written(x: float, text: str) -> tuple[float, float]:
    """The columns in which a text of a tick begins, and ends before."""
    start = max(0, round(x) - len(text) // 2)
    return start, start + len(text)


def _key(marks: Sequence[Mark], width: int) -> list[str]:
    parts = [
        f"{GLYPHS[kind]} {name}"
        for kind, name in KIND_NAMES.items()
        if any(m.kind == kind and not m.pale for m in marks)
    ]
    parts += [f"{PALE} dominated"] if any(m.pale and m.compared for m in marks) else []
    parts += [f"{APART} ran on too few samples"] if any(m.pale and not m.compared for m in marks) else []
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + len(part) + _MARGIN + 3 > width:
            lines.append("")
        lines[-1] += ("   " if lines[-1] else "") + part
    return [" " * _MARGIN + line for line in lines]


def format_table(table: pd.DataFrame, most_suites: int = 12) -> str:
    """`report.candidate_table` as aligned text, one block per suite; `●` marks who is on that
    suite's front; a column that would be empty for every row is left out.

    Beyond `most_suites` the smaller suites are left to the report, and counted.
    """
    sizes = single(table).groupby("suite")["n"].max().sort_values(ascending=False, kind="stable")
    rows = records(table[table["pooled"] | table["suite"].isin(sizes.index[:most_suites])])
    blocks = [(r["suite"], r["pooled"]) for r in rows]
    columns = [(brief, cell) for _, brief, cell in COLUMNS if any(cell(r) not in EMPTY for r in rows)]
    cells = [
        [f"{'●' if r['on_front'] else ' '} {named(r['label'])}", *(cell(r) for _, cell in columns)]
        for r in rows
    ]
    parts = [
        [
            ["all suites" if whole else named(suite), *(name for name, _ in columns)],
            *(row for row, block in zip(cells, blocks, strict=True) if block == (suite, whole)),
        ]
        for suite, whole in dict.fromkeys(blocks)
    ]
    lines = aligned(*parts)
    if len(sizes) > most_suites:
        lines += ["", f"{len(sizes) - most_suites} smaller suites are in the report"]
    return "\n".join(lines)
