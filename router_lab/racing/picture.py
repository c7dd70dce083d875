"""A race as a picture for a terminal: what each candidate ran whole, where the control share
alone, and why."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from router_lab.columns import aligned, named
from router_lab.racing.suite import SuiteRace
from router_lab.runtime.visible import visible

WIDTH = 40
WHOLE, CONTROL, AHEAD = "█", "░", "·"


def race_picture(one: SuiteRace) -> str:
    """A line on the outcome, then a bar for each candidate, in file order: the suite's samples in
    the race's order, and what lies ahead of a race that has not come to its end."""
    total = len(one.samples)
    reasons = {gone.candidate: f"{gone.reason.words} after {gone.after}" for gone in one.eliminations}
    if one.winner is not None:
        reasons[one.winner] = f"settled on after {one.shown}"
    still = "ran to the end" if one.shown == total else "still in"
    rows = [
        (named(who), _bar(one, column, total), reasons.get(who, still))
        for column, who in enumerate(one.candidates)
    ]
    return "\n".join([visible(standing_line(one)), *aligned(rows, texts=(0, 2), indent=2)])


def standing_line(one: SuiteRace) -> str:
    """What a suite was settled on, or who is still in, and what is saved: samples, and about what
    share of dollars."""
    total = len(one.samples)
    spared = [total - len(one.samples_of(j, total)) for j in range(len(one.entrants))]
    left = f"{sum(spared)} of {total * len(one.entrants)} samples saved"
    price = one.race.price
    if sum(spared) and np.isfinite(price).all() and price.sum() > 0:
        left += f", about {(price * spared).sum() / (price * total).sum():.0%} of the dollars"
    if one.winner is not None:
        return f"{one.suite}: settled on {one.winner} after {one.shown} of {total} samples; {left}"
    names = [
        str(who) + (" (waits)" if one.race.waiting[j] and one.shown < total else "")
        for j, who in enumerate(one.candidates)
        if one.race.racing[j]
    ]
    return f"{one.suite}: {'not settled' if one.shown == total else 'still in'}: {', '.join(names)}; {left}"


def _bar(one: SuiteRace, column: int, total: int) -> str:
    marks = [WHOLE] * total
    for start, end in one.ranges(column, total):
        marks[start:end] = [CONTROL] * (end - start)
    if one.race.racing[column]:
        marks[one.shown :] = [AHEAD] * (total - one.shown)
    edges = [round(i * total / WIDTH) for i in range(WIDTH + 1)]
    cells = [marks[start : max(end, start + 1)] for start, end in pairwise(edges)]
    return "".join(max((WHOLE, CONTROL, AHEAD), key=cell.count) for cell in cells)
