"""Geometry of a picture, free of any drawing language: axes, ticks, and labels that do not
overlap."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from unicodedata import east_asian_width


@dataclass(frozen=True)
class Box:
    """An axis-parallel rectangle; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """Shared area in px²; 0 where they do not touch."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return width * height if width > 0 and height > 0 else 0.0

    def inside(self, other: Box) -> bool:
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.top >= other.top
            and self.bottom <= other.bottom
        )


@dataclass(frozen=True)
class Placed:
    """A label's box, where its text starts, and whether it stands so far off that it needs a
    leader line."""

    box: Box
    far: bool


def log_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Round numbers in [low, high] for a log axis, 0 < low ≤ high: the densest set of at most
    `most`.

    From 1-2-5 per decade down to every other decade; a range too narrow for those gets evenly
    spaced numbers.
    """
    digits: tuple[float, ...]
    first, last = math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1
    for digits in ((1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [digit * 10.0**power for power in range(first, last) for digit in digits]
        ticks = [t for t in ticks if low <= t * (1 + 1e-9) and t <= high * (1 + 1e-9)]
        if 3 <= len(ticks) <= most:
            return ticks
    decades = [
        10.0**p for p in range(first, last) if low <= 10.0**p * (1 + 1e-9) and 10.0**p <= high * (1 + 1e-9)
    ]
    if len(decades) > most:
        return decades[:: math.ceil(len(decades) / most)]
    # Evenly spaced dollars would crowd the last decade.
    return decades if high >= 10 * low and len(decades) > 1 else linear_ticks(low, high, 4)


def linear_ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Multiples of 1, 2, 2.5 or 5 × a power of ten in [low, high], about `about` of them; `low`
    alone where the two are nearer than a float divides."""
    raw = (high - low) / about
    if raw < sys.float_info.min:
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(m for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    start = math.ceil(low / step - 1e-9)
    return [n * step for n in range(start, math.floor(high / step + 1e-9) + 1)]


def text_width(text: str, size: float) -> float:
    """Width in px of `text` in a sans-serif of `size` px, on the safe side for the fonts that
    browsers fall back to."""
    narrow, wide = set("iljtfrI.,:;|!'()[] ·/-"), set("mwMW@%—")
    return size * sum(
        0.36 if c in narrow else 0.92 if c in wide else 1.05 if east_asian_width(c) in "WF" else 0.64
        for c in text
    )


_AROUND: list[tuple[float, float]] = [(1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1)]
_SPIRAL = [(math.cos(a), math.sin(a)) for a in (math.pi * k / 8 for k in range(16))]


def place_labels(
    anchors: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    obstacles: Sequence[Box],
    area: Box,
    *,
    soft: Iterable[Box] = (),
    reach: Sequence[float] | None = None,
    gaps: Sequence[float] | None = None,
) -> list[Placed | None]:
    """Where each label goes, in order of importance; None where there is no room.

    anchors: mark centres.  sizes: (width, height) of each label.  obstacles: boxes that no label
    may touch (the marks). soft: boxes better left free (lines).  reach: how far (px) each label
    may stand off; default 84. gaps: px between a mark's centre and its label; default 9. No two of
    the returned boxes overlap, and all lie in `area`.
    """
    taken = list(obstacles)
    avoid = list(soft)
    placed: list[Placed | None] = []
    count = len(anchors)
    for anchor, size, limit, gap in zip(
        anchors, sizes, reach or [84.0] * count, gaps or [9.0] * count, strict=True
    ):
        best: tuple[float, Placed] | None = None
        for rank, (box, far) in enumerate(_positions(anchor, size, gap, limit)):
            if not box.inside(area) or any(box.overlap(other) for other in taken):
                continue
            penalty = rank * (0.8 if far else 2.0) + (22.0 if far else 0.0)
            penalty += 0.6 * sum(box.overlap(other) for other in avoid)
            if best is None or penalty < best[0]:
                best = (penalty, Placed(box, far))
        placed.append(best[1] if best else None)
        if best:
            taken.append(best[1].box)
    return placed


def _positions(
    anchor: tuple[float, float], size: tuple[float, float], gap: float, limit: float
) -> Iterable[tuple[Box, bool]]:
    for dx, dy in _AROUND:
        yield _box_beside(anchor, size, dx, dy, gap), False
    for distance in (d for d in (24.0, 40.0, 60.0, 84.0) if d <= limit):
        for dx, dy in _SPIRAL:
            yield _box_beside(anchor, size, dx, dy, distance), True


def _box_beside(
    anchor: tuple[float, float], size: tuple[float, float], dx: float, dy: float, distance: float
) -> Box:
    """The box whose nearest edge is `distance` away from the anchor in the direction (dx, dy)."""
    (x, y), (width, height) = anchor, size
    centre_x = x + dx * distance + (width / 2) * max(-1.0, min(1.0, 1.6 * dx))
    centre_y = y + dy * distance * (0.75 if dx else 1.0) + (height / 2) * dy
    return Box(centre_x - width / 2, centre_y - height / 2, centre_x + width / 2, centre_y + height / 2)
