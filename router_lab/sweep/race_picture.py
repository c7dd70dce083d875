"""A finished race as a picture for a terminal: what each candidate ran whole, where it ran the floor alone, and why."""

from __future__ import annotations

import itertools

from router_lab.sweep.lane import Lane

WIDTH = 40
WHOLE, FLOOR = "█", "░"


def race_picture(lane: Lane) -> str:
    """A line on the outcome, then a bar for each candidate, in file order: the suite's samples in the race's order."""
    total = len(lane.samples)
    names = [str(cell.candidate) for cell, _ in lane.cells]
    wide = max(map(len, names))
    reasons = {leave.column: f"{leave.reason} after {size}" for size, leave in lane.leaves}
    if lane.race.winner is not None:
        reasons[lane.race.winner] = f"settled on after {lane.shown}"
    rows = [
        f"  {name:{wide}} {_bar(lane, column, total)} {reasons.get(column, 'ran to the end')}"
        for column, name in enumerate(names)
    ]
    return "\n".join([standing_line(lane), *rows])


def standing_line(lane: Lane) -> str:
    """What a suite was settled on, or who is still in, and what is saved."""
    total = len(lane.samples)
    saved = sum(total - len(lane.samples_of(j, total)) for j in range(len(lane.cells)))
    left = f"{saved} of {total * len(lane.cells)} samples saved"
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
    whole = [True] * total
    for start, end in lane.ranges(column, total):
        whole[start:end] = [False] * (end - start)
    edges = [round(i * total / WIDTH) for i in range(WIDTH + 1)]
    cells = [whole[start : max(end, start + 1)] for start, end in itertools.pairwise(edges)]
    return "".join(WHOLE if 2 * sum(cell) >= len(cell) else FLOOR for cell in cells)
