"""The Pareto picture as one SVG element: no script, no font and no file from elsewhere.

Shape carries the meaning and colour only helps, so that the picture survives a black-and-white
printer. Colours are CSS variables of `style.css`, which also turns them for a dark screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from router_lab.report.format import money, percent
from router_lab.report.html import render
from router_lab.report.layout import Box, Placed, place_labels, text_width
from router_lab.report.marks import KIND_NAMES, Kind, Mark, Step, drawing_order, front_steps
from router_lab.report.scale import Scale

LABEL_SIZE = 12.0
PER = "1,000 requests"
TICK_GAP = 6.0
"""Least px between the texts of two ticks."""
_IMPORTANCE: dict[Kind, int] = {
    "policy": 0,
    "reference": 1,
    "point": 2,
    "candidate": 3,
    "mix": 4,
    "oracle": 5,
}


def pareto_svg(
    marks: Sequence[Mark],
    *,
    title: str,
    width: int = 860,
    height: int = 500,
    before: Sequence[Mark] = (),
    confidence: float = 0.95,
    legend: bool = True,
    alone: bool = False,
    per: str = PER,
    dominated: bool = True,
) -> Markup:
    """One `<svg class="pareto">`: dollars per 1,000 requests (log) across, quality upwards.

    before: the marks of an earlier sweep; only their front is drawn, dashed.  confidence: of the
    intervals, for the legend.  alone: with its style inside, for a file of its own. per: what a
    mark's dollars are for. dominated: whether who is dominated is named in the picture, not by
    hovering alone. A picture without marks says so. Marks whose label found no room are named by
    hovering, and counted.
    """
    frame = {"title": title, "width": width, "height": height, "alone": alone}
    if not marks:
        return render("pareto.svg", marks=(), **frame)
    key, key_height = _legend(marks, bool(before), width, confidence) if legend else ([], 0.0)
    scale = Scale.fit([*marks, *before], Box(66, key_height + 10, width - 18, height - 50))
    ordered = drawing_order(marks)
    labels, hidden = _labels(scale, ordered, _front_boxes(scale, before), dominated)
    return render(
        "pareto.svg", **frame, plot=scale.plot, legend=key, axes=_axes(scale), labels=labels, hidden=hidden,
        before=_stairs(scale, front_steps(before)), front=_stairs(scale, front_steps(marks)),
        marks=[_mark(scale, m, per) for m in ordered], per=per,
    )  # fmt: skip


def _axes(scale: Scale) -> dict[str, Any]:
    """Ticks as (px, text), and where the cost axis is broken to show what is free."""
    qualities = scale.quality_ticks(int((scale.plot.bottom - scale.plot.top) / 60))
    whole = [0 if abs(100 * q - round(100 * q)) < 1e-6 else 1 for q in qualities]
    return {
        "quality": [
            (scale.y(q), f"{100 * q:.{digits}f}") for q, digits in zip(qualities, whole, strict=True)
        ],
        "cost": scale.cost_ticks(int((scale.plot.right - scale.left) / 75), centred, TICK_GAP),
        "broken": scale.left if scale.free else None,
    }


def centred(x: float, text: str) -> tuple[float, float]:
    """Where a text of a tick begins and ends."""
    half = text_width(text, LABEL_SIZE) / 2
    return x - half, x + half


def _stairs(scale: Scale, steps: Sequence[Step]) -> list[dict[str, float]]:
    """Each step in px: from `x` to `end`, where the next begins or the picture ends; `y`, and
    `high` and `low` of the band around it."""
    ends = [*(scale.x(step.cost) for step in steps[1:]), scale.plot.right]
    return [
        {"x": scale.x(s.cost), "end": end, "y": scale.y(s.quality), "high": scale.y(s.high), "low": scale.y(s.low)}
        for s, end in zip(steps, ends, strict=True)
    ] if steps else []  # fmt: skip


def _classes(mark: Mark) -> str:
    extra = {"pale": mark.pale, "apart": not mark.compared, "new": mark.new}
    return " ".join(["mark", mark.kind, *(name for name, holds in extra.items() if holds)])


def _mark(scale: Scale, mark: Mark, per: str) -> dict[str, Any]:
    interval, bar = "", None
    if mark.low is not None and mark.high is not None:
        interval = f" ({percent(mark.low)} to {percent(mark.high)})"
        bar = {"top": scale.y(mark.high), "bottom": scale.y(mark.low)}
    lines = [mark.label + (" (new)" if mark.new else ""), f"quality: {percent(mark.quality)}{interval}"]
    lines += [f"per {per}: {money(mark.cost)}", *(f"{name}: {value}" for name, value in mark.detail)]
    return {
        "x": scale.x(mark.cost), "y": scale.y(mark.quality), "kind": _classes(mark), "label": mark.label,
        "new": mark.new, "bar": bar, "hover": lines, "shape": "pale" if mark.pale else mark.kind,
    }  # fmt: skip


def _labels(
    scale: Scale, marks: Sequence[Mark], avoid: Sequence[Box], dominated: bool
) -> tuple[list[dict[str, Any]], int]:  # fmt: skip
    """Labels in order of importance, off the lines (and `avoid`) if possible; and how many found
    no room."""
    wanted = sorted(
        (m for m in marks if dominated or not m.pale),
        key=lambda m: (_IMPORTANCE[m.kind] + (3 if m.pale else 0) - (2 if m.new else 0), m.cost),
    )
    anchors = [(scale.x(m.cost), scale.y(m.quality)) for m in wanted]
    texts = [m.label + (" (new)" if m.new else "") for m in wanted]
    sizes = [
        (text_width(text, LABEL_SIZE) * (1.15 if m.kind == "policy" else 1.0), LABEL_SIZE + 3)
        for m, text in zip(wanted, texts, strict=True)
    ]
    bars = [
        Box(scale.x(m.cost) - 2, scale.y(m.high), scale.x(m.cost) + 2, scale.y(m.low))
        for m in marks
        if m.low is not None and m.high is not None
    ]
    soft = [*bars, *_front_boxes(scale, marks), *avoid]
    placed = place_labels(
        anchors, sizes, [_glyph_box(scale, m) for m in marks], scale.plot, soft=soft,
        reach=[60.0 if m.pale and not m.new else 84.0 for m in wanted],
        gaps=[_half(m) + 2.0 for m in wanted],
    )  # fmt: skip
    labels = [
        _label(mark, text, anchor, place)
        for mark, text, anchor, place in zip(wanted, texts, anchors, placed, strict=True)
        if place
    ]
    return labels, placed.count(None)


def _half(mark: Mark) -> float:
    """Half of the px that a mark takes."""
    return 11.0 if mark.kind == "policy" or mark.new else 7.0


def _glyph_box(scale: Scale, mark: Mark) -> Box:
    x, y, r = scale.x(mark.cost), scale.y(mark.quality), _half(mark)
    return Box(x - r, y - r, x + r, y + r)


def _front_boxes(scale: Scale, marks: Sequence[Mark]) -> list[Box]:
    """The front's line as thin boxes, for labels to keep off."""
    corners = [(scale.x(s.cost), scale.y(s.quality)) for s in front_steps(marks)]
    if not corners:
        return []
    ends = [*corners[1:], (scale.plot.right, corners[-1][1])]
    return [
        box
        for (x, y), (end, up) in zip(corners, ends, strict=True)
        for box in (Box(x, y - 3, end, y + 3), Box(end - 3, up, end + 3, y))
    ]


def _label(mark: Mark, text: str, anchor: tuple[float, float], place: Placed) -> dict[str, Any]:
    box, (x, y) = place.box, anchor
    leader = None
    if place.far:
        end_x = min(max(x, box.left), box.right)
        end_y = box.bottom if box.bottom < y else box.top if box.top > y else (box.top + box.bottom) / 2
        leader = f"M{x:.1f} {y:.1f}L{end_x:.1f} {end_y:.1f}"
    middle = (box.left + box.right) / 2
    return {"text": text, "kind": _classes(mark), "x": middle, "y": box.bottom - 4, "leader": leader}


def _legend(
    marks: Sequence[Mark], before: bool, width: int, confidence: float
) -> tuple[list[dict[str, Any]], float]:  # fmt: skip
    """Only what occurs, in rows as wide as the picture: (shape, class of a mark, name); also the
    height it takes."""
    entries: list[tuple[str, str, str]] = []
    for kind, name in KIND_NAMES.items():
        shown = [m for m in marks if m.kind == kind and m.compared]
        if any(not m.pale for m in shown):
            entries.append((kind, kind, name))
        if any(m.pale for m in shown):
            entries.append(("pale", "candidate pale", "dominated"))
    further = {
        ("pale", "candidate pale apart", "ran on too few samples"): any(not m.compared for m in marks),
        ("interval", "", f"{100 * confidence:.0f} % interval, by cluster"): any(
            m.low is not None for m in marks
        ),
        ("front", "", "front"): any(m.on_front for m in marks),
        ("before", "", "front before"): before,
        ("new", "new", "new in this sweep"): any(m.new for m in marks),
    }
    entries += [entry for entry, occurs in further.items() if occurs]
    x, y, placed = 76.0, 14.0, []
    for shape, mark, name in entries:
        room = text_width(name, LABEL_SIZE) + 34
        if x + room > width - 10 and x > 76:
            x, y = 76.0, y + 21
        placed.append({"x": x, "y": y, "shape": shape, "mark": mark, "name": name})
        x += room
    return placed, y + 12
