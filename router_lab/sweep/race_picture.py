"""A finished race as a picture for a terminal: what each candidate ran whole, where it ran the floor alone, and why."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from router_lab.columns import left, named, widest
from router_lab.runtime.visible import visible
from router_lab.sweep.lane import Lane

WIDTH = 40
WHOLE, FLOOR, AHEAD = "█", "░", "·"


def race_picture(lane: Lane) -> str:
    """A line on the outcome, then a bar for each candidate, in file order: the suite's samples in the race's order, and
    what lies ahead of a race that has not come to its end."""
    total = len(lane.samples)
    names = [named(cell.candidate) for cell, _ in lane.cells]
    wide = widest(names)
    reasons = {leave.column: f"{leave.reason} after {size}" for size, leave in lane.leaves}
    if lane.race.winner is not None:
        reasons[lane.race.winner] = f"settled on after {lane.shown}"
    still = "ran to the end" if lane.shown == total else "still in"
    rows = [
        f"  {left(name, wide)} {_bar(lane, column, total)} {reasons.get(column, still)}"
        for column, name in enumerate(names)
    ]
    return "\n".join(map(visible, [standing_line(lane), *rows]))


def standing_line(lane: Lane) -> str:
    """What a suite was settled on, or who is still in, and what is saved: samples, and about what share of dollars."""
    total = len(lane.samples)
    spared = [total - len(lane.samples_of(j, total)) for j in range(len(lane.cells))]
    left = f"{sum(spared)} of {total * len(lane.cells)} samples saved"
    price = lane.race.price
    if sum(spared) and np.isfinite(price).all() and price.sum() > 0:
        left += f", about {(price * spared).sum() / (price * total).sum():.0%} of the dollars"
    if lane.race.winner is not None:
        winner = lane.cells[lane.race.winner][0].candidate
        return f"{lane.suite}: settled on {winner} after {lane.shown} of {total} samples; {left}"
    names = [
        str(cell.candidate) + (" (waits)" if lane.race.waiting[j] and lane.shown < total else "")
        for j, (cell, _) in enumerate(lane.cells)
        if lane.race.racing[j]
    ]
    return f"{lane.suite}: {'not settled' if lane.shown == total else 'still in'}: {', '.join(names)}; {left}"


def _bar(lane: Lane, column: int, total: int) -> str:
    marks = [WHOLE] * total
    for start, end in lane.ranges(column, total):
        marks[start:end] = [FLOOR] * (end - start)
    if lane.race.racing[column]:
        marks[lane.shown :] = [AHEAD] * (total - lane.shown)
    edges = [round(i * total / WIDTH) for i in range(WIDTH + 1)]
    cells = [marks[start : max(end, start + 1)] for start, end in pairwise(edges)]
    return "".join(max((WHOLE, FLOOR, AHEAD), key=cell.count) for cell in cells)
