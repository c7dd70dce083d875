"""Stacked bars as an SVG element: what something is made of, one below the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from router_lab.report.html import render
from router_lab.report.layout import Box, linear_ticks, text_width
from router_lab.report.svg import LABEL_SIZE

COLOURS = 6
"""Classes `p0` to `p5` of lines.css; who comes after shares the last."""
THICK, ROW = 16, 42


class Bar(NamedTuple):
    """A name, and sizes by the names of its parts, in their order from the axis on."""

    name: str
    parts: Sequence[tuple[str, float]]

    @property
    def total(self) -> float:
        return sum(size for _, size in self.parts)


def stacked_svg(
    bars: Sequence[Bar], name: str, form: Callable[[float], str], *, title: str, width: int = 720
) -> Markup:
    """One `<svg class="stacked">`. name: of the axis; form: how its numbers are written. Each bar
    has its name above it and its total behind; what a part is stands in the key, and over it."""
    kinds = {part: at for at, part in enumerate(dict.fromkeys(part for bar in bars for part, _ in bar.parts))}
    top = max((bar.total for bar in bars), default=0.0) or 1.0
    plot = Box(18, 34, width - 90, 34 + ROW * len(bars) + 6)

    def along(size: float) -> float:
        """In px. Divided first: px per dollar may be more than a float holds."""
        return (plot.right - plot.left) * (size / top)

    drawn = [
        (plot.top + ROW * at + 22, bar.name, _parts(bar, kinds, plot.left, along, form),
         plot.left + along(bar.total), form(bar.total))
        for at, bar in enumerate(bars)
    ]  # fmt: skip
    key, start = [], plot.left
    for part, at in kinds.items():
        key.append((start, _kind(at), part))
        start += text_width(part, LABEL_SIZE) + 44
    ticks = {form(tick): tick for tick in reversed(linear_ticks(0.0, top, 5))}
    return render(
        "bars.svg", title=title, width=width, height=plot.bottom + 50, plot=plot, key=key, name=name, bars=drawn,
        thick=THICK, ticks=sorted((plot.left + along(tick), text) for text, tick in ticks.items()),
    )  # fmt: skip


def _parts(
    bar: Bar,
    kinds: dict[str, int],
    left: float,
    along: Callable[[float], float],
    form: Callable[[float], str],
) -> list[tuple[str, float, float, str]]:
    found = []
    for part, size in bar.parts:
        found.append((_kind(kinds[part]), left, along(size), f"{part}: {form(size)}"))
        left += along(size)
    return found


def _kind(at: int) -> str:
    return f"p{min(at, COLOURS - 1)}"
