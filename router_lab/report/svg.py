"""The Pareto picture as one SVG element: no script, no font and no file from elsewhere.

Shape carries the meaning and colour only helps, so that the picture survives a black-and-white printer. Colours are
CSS variables of `style.css`, which also turns them for a dark screen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from router_lab.report.format import money, percent
from router_lab.report.layout import Box, Placed, place_labels, text_width
from router_lab.report.marks import KIND_NAMES, Kind, Mark, Step, drawing_order, front_steps
from router_lab.report.scale import Scale

LABEL_SIZE = 12.0
TICK_GAP = 6.0
"""Least px between the texts of two ticks."""
_IMPORTANCE: dict[Kind, int] = {"policy": 0, "reference": 1, "point": 2, "candidate": 3, "mix": 4, "oracle": 5}

_GLYPHS: dict[str, Callable[[float, float], str]] = {
    "candidate": lambda x, y: f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5"/>',
    "pale": lambda x, y: f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>',
    "reference": lambda x, y: f'<rect x="{x - 5.5:.1f}" y="{y - 5.5:.1f}" width="11" height="11"/>',
    "policy": lambda x, y: f'<path d="M{x:.1f} {y - 9:.1f}l9 9-9 9-9-9z"/>',
    "point": lambda x, y: f'<path d="M{x:.1f} {y - 6:.1f}l6 6-6 6-6-6z"/>',
    "mix": lambda x, y: f'<path d="M{x:.1f} {y - 6:.1f}l6 10.5h-12z"/>',
    "oracle": lambda x, y: f'<path d="M{x - 5:.1f} {y:.1f}h10M{x:.1f} {y - 5:.1f}v10"/>',
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
) -> str:
    """One `<svg class="pareto">`: dollars per 1,000 requests (log) across, quality upwards.

    before: the marks of an earlier sweep; only their front is drawn, dashed.  confidence: of the intervals, for the
    legend. A picture without marks says so. Marks whose label found no room are named by hovering, and counted.
    """
    head = (
        f'<svg class="pareto" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}: quality over dollars per 1,000 requests" preserveAspectRatio="xMidYMid meet">'
    )
    if not marks:
        empty = f'<text class="note" x="{width / 2}" y="{height / 2}" text-anchor="middle">nothing to show</text>'
        return f"{head}{empty}</svg>"
    key, key_height = _legend(marks, bool(before), width, confidence) if legend else ("", 0.0)
    scale = Scale.fit([*marks, *before], Box(66, key_height + 10, width - 18, height - 50))
    ordered = drawing_order(marks)
    body = [
        key,
        _axes(scale),
        _front(scale, front_steps(before), "before") if before else "",
        _front(scale, front_steps(marks), "front"),
        "".join(_interval(scale, m) for m in ordered),
        _labels(scale, ordered, _front_boxes(scale, before)),
        "".join(_mark(scale, m) for m in ordered),
    ]
    return f"{head}{''.join(body)}</svg>"


def _axes(scale: Scale) -> str:
    plot, parts = scale.plot, []
    for value in scale.quality_ticks(int((plot.bottom - plot.top) / 60)):
        y = scale.y(value)
        parts.append(f'<path class="grid" d="M{plot.left} {y:.1f}H{plot.right}"/>')
        digits = 0 if abs(100 * value - round(100 * value)) < 1e-6 else 1
        parts.append(f'<text class="tick" x="{plot.left - 9}" y="{y + 4:.1f}" text-anchor="end">')
        parts.append(f"{100 * value:.{digits}f}</text>")
    ticks = scale.cost_ticks(int((plot.right - scale.left) / 75), centred, TICK_GAP)
    if scale.free:
        broken = scale.left
        parts.append(f'<path class="axis" d="M{broken - 6} {plot.bottom + 5}l6 -10M{broken} {plot.bottom + 5}l6 -10"/>')
    for x, text in ticks:
        parts.append(f'<path class="grid" d="M{x:.1f} {plot.top}V{plot.bottom}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{plot.bottom + 19}" text-anchor="middle">{text}</text>')
    parts.append(f'<path class="axis" d="M{plot.left} {plot.bottom}H{plot.right}"/>')
    middle = (plot.left + plot.right) / 2
    parts.append(f'<text class="axis-name" x="{middle:.0f}" y="{plot.bottom + 40}" text-anchor="middle">')
    parts.append("cost, $ per 1,000 requests (log scale)</text>")
    middle = (plot.top + plot.bottom) / 2
    parts.append(f'<text class="axis-name" transform="translate(18 {middle:.0f}) rotate(-90)" text-anchor="middle">')
    parts.append("quality, %</text>")
    return "".join(parts)


def centred(x: float, text: str) -> tuple[float, float]:
    """Where a text of a tick begins and ends."""
    half = text_width(text, LABEL_SIZE) / 2
    return x - half, x + half


def _front(scale: Scale, steps: Sequence[Step], name: str) -> str:
    """The staircase to the right edge, and for the front of today its band."""
    if not steps:
        return ""
    ends = [*(scale.x(s.cost) for s in steps[1:]), scale.plot.right]
    line = f"M{scale.x(steps[0].cost):.1f} {scale.y(steps[0].quality):.1f}" + "".join(
        f"V{scale.y(s.quality):.1f}H{end:.1f}" for s, end in zip(steps, ends, strict=True)
    )
    if name == "before":
        return f'<path class="front before" d="{line}"/>'
    upper = f"M{scale.x(steps[0].cost):.1f} {scale.y(steps[0].high):.1f}" + "".join(
        f"V{scale.y(s.high):.1f}H{end:.1f}" for s, end in zip(steps, ends, strict=True)
    )
    starts = [scale.x(s.cost) for s in steps]
    lower = "".join(
        f"V{scale.y(s.low):.1f}H{start:.1f}" for s, start in zip(reversed(steps), reversed(starts), strict=True)
    )
    return f'<path class="band" d="{upper}{lower}Z"/><path class="front" d="{line}"/>'


def _classes(mark: Mark) -> str:
    extra = {"pale": mark.pale, "apart": not mark.compared, "new": mark.new}
    return " ".join(["mark", mark.kind, *(name for name, holds in extra.items() if holds)])


def _interval(scale: Scale, mark: Mark) -> str:
    if mark.low is None or mark.high is None:
        return ""
    x, top, bottom = scale.x(mark.cost), scale.y(mark.high), scale.y(mark.low)
    return (
        f'<path class="interval {_classes(mark)}" '
        f'd="M{x - 4:.1f} {top:.1f}h8M{x:.1f} {top:.1f}V{bottom:.1f}M{x - 4:.1f} {bottom:.1f}h8"/>'
    )


def _mark(scale: Scale, mark: Mark) -> str:
    x, y = scale.x(mark.cost), scale.y(mark.quality)
    interval = "" if mark.low is None or mark.high is None else f" ({percent(mark.low)} to {percent(mark.high)})"
    lines = [mark.label + (" (new)" if mark.new else ""), f"quality: {percent(mark.quality)}{interval}"]
    lines += [f"per 1,000 requests: {money(mark.cost)}", *(f"{name}: {value}" for name, value in mark.detail)]
    ring = f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="10.5"/>' if mark.new else ""
    glyph = _GLYPHS["pale" if mark.pale else mark.kind](x, y)
    hover = escape("\n".join(lines), quote=True)
    return (
        f'<g class="{_classes(mark)}" tabindex="0" data-label="{escape(mark.label, quote=True)}" data-hover="{hover}">'
        f"<title>{hover}</title>{ring}{glyph}</g>"
    )


def _labels(scale: Scale, marks: Sequence[Mark], avoid: Sequence[Box]) -> str:
    """Labels in order of importance, off the lines (and `avoid`) if possible; those without room are counted."""
    wanted = sorted(marks, key=lambda m: (_IMPORTANCE[m.kind] + (3 if m.pale else 0) - (2 if m.new else 0), m.cost))
    anchors = [(scale.x(m.cost), scale.y(m.quality)) for m in wanted]
    texts = [m.label + (" (new)" if m.new else "") for m in wanted]
    sizes = [
        (text_width(text, LABEL_SIZE) * (1.15 if m.kind == "policy" else 1.0), LABEL_SIZE + 3)
        for m, text in zip(wanted, texts, strict=True)
    ]
    halves = [11 if m.kind == "policy" or m.new else 7 for m in wanted]
    glyphs = [Box(x - r, y - r, x + r, y + r) for (x, y), r in zip(anchors, halves, strict=True)]
    bars = [
        Box(x - 2, scale.y(m.high), x + 2, scale.y(m.low))
        for m, (x, _) in zip(wanted, anchors, strict=True)
        if m.low is not None and m.high is not None
    ]
    soft = [*bars, *_front_boxes(scale, marks), *avoid]
    reach = [60.0 if m.pale and not m.new else 84.0 for m in wanted]
    placed = place_labels(anchors, sizes, glyphs, scale.plot, soft=soft, reach=reach, gaps=[r + 2.0 for r in halves])
    parts = [
        _label(mark, text, anchor, place)
        for mark, text, anchor, place in zip(wanted, texts, anchors, placed, strict=True)
        if place
    ]
    hidden = placed.count(None)
    if hidden:
        note = f"{hidden} unlabelled for want of room: hover, or see the table"
        x, y = scale.plot.right, scale.plot.top + 1  # at its upper edge, where labels seldom stand
        parts.append(f'<text class="note" x="{x}" y="{y}" text-anchor="end">{note}</text>')
    return "".join(parts)


def _front_boxes(scale: Scale, marks: Sequence[Mark]) -> list[Box]:
    """The front's line as thin boxes, for labels to keep off."""
    corners = [(scale.x(s.cost), scale.y(s.quality)) for s in front_steps(marks)]
    if not corners:
        return []
    boxes = []
    for (x, y), (end, up) in zip(corners, [*corners[1:], (scale.plot.right, corners[-1][1])], strict=True):
        boxes += [Box(x, y - 3, end, y + 3), Box(end - 3, up, end + 3, y)]
    return boxes


def _label(mark: Mark, text: str, anchor: tuple[float, float], place: Placed) -> str:
    box, (x, y) = place.box, anchor
    middle = (box.left + box.right) / 2
    leader = ""
    if place.far:
        end_x = min(max(x, box.left), box.right)
        end_y = box.bottom if box.bottom < y else box.top if box.top > y else (box.top + box.bottom) / 2
        leader = f'<path class="leader" d="M{x:.1f} {y:.1f}L{end_x:.1f} {end_y:.1f}"/>'
    return (
        f'{leader}<text class="label {_classes(mark)}" x="{middle:.1f}" y="{box.bottom - 4:.1f}" '
        f'text-anchor="middle">{escape(text)}</text>'
    )


def _legend(marks: Sequence[Mark], before: bool, width: int, confidence: float) -> tuple[str, float]:
    """Only what occurs, in rows as wide as the picture; also the height it takes."""
    entries: list[tuple[str, str]] = []
    for kind, name in KIND_NAMES.items():
        shown = [m for m in marks if m.kind == kind and m.compared]
        if any(not m.pale for m in shown):
            entries.append((f'<g class="mark {kind}">{_GLYPHS[kind](0, 0)}</g>', name))
        if any(m.pale for m in shown):
            entries.append((f'<g class="mark candidate pale">{_GLYPHS["pale"](0, 0)}</g>', "dominated"))
    if any(not m.compared for m in marks):
        entries.append((f'<g class="mark candidate pale apart">{_GLYPHS["pale"](0, 0)}</g>', "ran on too few samples"))
    if any(m.low is not None for m in marks):
        bar = '<path class="interval mark candidate" d="M-4 -7h8M0 -7V7M-4 7h8"/>'
        entries.append((bar, f"{100 * confidence:.0f} % interval, by cluster"))
    if any(m.on_front for m in marks):
        entries.append(('<path class="band" d="M-9 -6h18v12h-18z"/><path class="front" d="M-9 0h18"/>', "front"))
    if before:
        entries.append(('<path class="front before" d="M-9 0h18"/>', "front before"))
    if any(m.new for m in marks):
        entries.append(('<g class="mark new"><circle class="ring" r="8"/></g>', "new in this sweep"))
    x, y, parts = 76.0, 14.0, []
    for glyph, name in entries:
        room = text_width(name, LABEL_SIZE) + 34
        if x + room > width - 10 and x > 76:
            x, y = 76.0, y + 21
        text = f'<text class="key" x="15" y="4">{name}</text>'
        parts.append(f'<g transform="translate({x:.0f} {y:.0f})">{glyph}{text}</g>')
        x += room
    return f'<g class="legend">{"".join(parts)}</g>', y + 12
