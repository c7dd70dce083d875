"""Lines over one axis as an SVG element: what happens by step, or by volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from markupsafe import Markup

from router_lab.report.html import render
from router_lab.report.layout import Box, linear_ticks, text_width
from router_lab.report.svg import LABEL_SIZE

Point = tuple[float, float]


class Line(NamedTuple):
    """kind: `own` is drawn full and dark, `other` dashed and grey: they differ without colour."""

    name: str
    points: Sequence[Point]
    kind: Literal["own", "other"] = "own"


class Axis(NamedTuple):
    """What stands along an axis, how its numbers are written, and which it reaches from and to."""

    name: str
    form: Callable[[float], str]
    low: float
    high: float

    def ticks(self, about: int, *, whole: bool = False) -> list[tuple[float, str]]:
        """Texts that differ, each at its number; whole: of whole numbers alone."""
        found = [t for t in linear_ticks(self.low, self.high, about) if not whole or abs(t - round(t)) < 1e-9]
        texts = {self.form(tick): tick for tick in reversed(found)}
        return sorted((tick, text) for text, tick in texts.items())


def lines_svg(
    lines: Sequence[Line], across: Axis, up: Axis, *, title: str, width: int = 520, height: int = 300,
    whole: bool = False, at: Point | None = None, said: str = "",
) -> Markup:  # fmt: skip
    """One `<svg class="lines">`. whole: the axis across counts. at: a point that is marked, and
    `said` beside it. What a line is called stands in the key above."""
    ticks = up.ticks(5)
    room = max((text_width(text, LABEL_SIZE) for _, text in ticks), default=0.0)
    plot = Box(max(66.0, 36 + room), 44, width - 18, height - 50)

    def x(value: float) -> float:
        return plot.left + (value - across.low) / ((across.high - across.low) or 1.0) * (
            plot.right - plot.left
        )

    def y(value: float) -> float:
        return plot.bottom - (value - up.low) / ((up.high - up.low) or 1.0) * (plot.bottom - plot.top)

    key, start = [], plot.left
    for line in lines:
        key.append((start, line.kind, line.name))
        start += text_width(line.name, LABEL_SIZE) + 52
    return render(
        "lines.svg", title=title, width=width, height=height, plot=plot, key=key, said=said,
        across=[(x(v), text) for v, text in across.ticks(6, whole=whole)], across_name=across.name,
        up=[(y(v), text) for v, text in ticks], up_name=up.name,
        lines=[(line.kind, [(x(a), y(b)) for a, b in line.points]) for line in lines],
        at=None if at is None else (x(at[0]), y(at[1])), left=at is not None and x(at[0]) > (plot.left + plot.right) / 2,
    )  # fmt: skip
