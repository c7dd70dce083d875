"""The routing table: per suite the cheapest candidate that is shown not to lose more than the
margin."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from router_lab.metrics import MIN_CLUSTERS, Estimate, holm
from router_lab.metrics.estimate import p_values_below
from router_lab.metrics.paired import Ints, Mask, Recorded


@dataclass(frozen=True)
class Cell:
    """One suite's row: the column chosen, its verdict, and the paired difference to the reference
    behind it.

    `pass`: shown after Holm's correction over all cells; `fail`: every cheaper candidate is shown
    to lose more, after Bonferroni's; `inconclusive`: the cheapest that might do, not shown."""

    suite: int
    column: int
    verdict: str
    gain: Estimate
    p: float


class Tried(NamedTuple):
    """That `column` loses more than the margin in a suite is tested by its `gain`; spared: mean
    dollars."""

    suite: int
    column: int
    gain: Estimate
    spared: float


def routing_table(recorded: Recorded, eligible: Mask, *, margin: float, confidence: float) -> list[Cell]:
    """A cell for each suite in which some eligible candidate is cheaper than the reference;
    eligible [suites, c].

    Every (suite, cheaper candidate) is one hypothesis "it loses more than the margin"; Holm's
    step-down keeps the chance of any false `pass` within 1 - confidence. A cell with fewer than
    MIN_CLUSTERS clusters cannot pass.
    """
    tests: list[Tried] = []
    for s, here in recorded.by_suite().items():
        for column in np.flatnonzero(eligible[s]):
            if column != recorded.reference:
                paired = here.always(int(column))
                spared = paired.value("reference_cost_usd") - paired.value("cost_usd")
                tests.append(Tried(s, int(column), paired.gain(), 0.0 if np.isnan(spared) else spared))
    cheaper = [one for one in tests if one.spared > 0]
    shown = p_values_below([one.gain for one in cheaper], -margin)
    p = [
        float(value) if one.gain.independent >= MIN_CLUSTERS else 1.0
        for one, value in zip(cheaper, shown, strict=True)
    ]
    adjusted = holm(p) if p else np.zeros(0)
    cells = []
    for s in sorted({one.suite for one in cheaper}):
        mine = [i for i, one in enumerate(cheaper) if one.suite == s]
        passed = [i for i in mine if adjusted[i] <= 1 - confidence]
        hopeful = [i for i in mine if cheaper[i].gain.value >= -margin]
        best = max(passed or hopeful or mine, key=lambda i: (cheaper[i].spared, -cheaper[i].column))
        accused = not passed and all(
            cheaper[i].gain.high(1 - (1 - confidence) / len(tests)) < -margin for i in mine
        )
        word = "pass" if passed else "fail" if accused else "inconclusive"
        cells.append(Cell(s, cheaper[best].column, word, cheaper[best].gain, float(adjusted[best])))
    return cells


def without_suites(cells: Sequence[Cell], suites: Collection[int]) -> list[Cell]:
    """The same table where nothing is shown of `suites`, which are left to the reference."""
    return [
        replace(c, verdict="inconclusive") if c.suite in suites and c.verdict == "pass" else c for c in cells
    ]


def table_actions(cells: Sequence[Cell], suite: Ints, reference: int) -> Ints:
    """[n] the column that the table gives each row: its suite's, if shown, else the reference."""
    proven = {cell.suite: cell.column for cell in cells if cell.verdict == "pass"}
    return np.array([proven.get(int(s), reference) for s in suite], np.int64)
