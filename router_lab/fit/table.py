"""The routing table: per suite the cheapest candidate that is shown not to lose more than the margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router_lab.metrics import MIN_CLUSTERS, Estimate, clustered_mean, holm
from router_lab.metrics.estimate import p_values_below

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Cell:
    """One suite's row: the column chosen, its verdict, and the paired difference to the reference behind it.

    `pass`: shown after Holm's correction over all cells; `fail`: every cheaper candidate is shown to lose more, after
    Bonferroni's; `inconclusive`: the cheapest that might do, not shown."""

    suite: int
    column: int
    verdict: str
    gain: Estimate
    p: float


def routing_table(
    quality: Floats,
    cost_usd: Floats,
    suite: Ints,
    group: Ints,
    eligible: NDArray[np.bool_],
    reference: int,
    *,
    margin: float,
    confidence: float,
    weight: Floats | None = None,
    missing: NDArray[np.bool_] | None = None,
) -> list[Cell]:
    """A cell for each suite in which some eligible candidate is cheaper than the reference.

    quality, cost_usd [n, c], NaN = missing; suite, group [n]; eligible [suites, c]; weight [n, c]: one over the known
    probability with which an outcome was observed; missing [n, c]: outcomes that count as lost (`Evidence`). Every
    (suite, cheaper candidate) is one hypothesis "it loses more than the margin"; Holm's step-down keeps the chance of
    any false `pass` within 1 - confidence. A cell with fewer than MIN_CLUSTERS clusters cannot pass.
    """
    if missing is not None and missing.any():
        lost = np.repeat((np.arange(quality.shape[1]) == reference)[None].astype(np.float64), len(quality), axis=0)
        quality = np.where(missing, lost, quality)
    tests = [
        (
            s,
            int(column),
            *_compare(quality, cost_usd, group, np.flatnonzero(suite == s), int(column), reference, weight),
        )
        for s in range(len(eligible))
        for column in np.flatnonzero(eligible[s])
        if column != reference
    ]
    cheaper = [t for t in tests if t[3] > 0]
    shown = p_values_below([t[2] for t in cheaper], -margin)
    p = [float(one) if t[2].independent >= MIN_CLUSTERS else 1.0 for t, one in zip(cheaper, shown, strict=True)]
    adjusted = holm(p) if p else np.zeros(0)
    cells = []
    for s in sorted({t[0] for t in cheaper}):
        mine = [i for i, t in enumerate(cheaper) if t[0] == s]
        passed = [i for i in mine if adjusted[i] <= 1 - confidence]
        hopeful = [i for i in mine if cheaper[i][2].value >= -margin]
        best = max(passed or hopeful or mine, key=lambda i: (cheaper[i][3], -cheaper[i][1]))
        accused = not passed and all(cheaper[i][2].high(1 - (1 - confidence) / len(tests)) < -margin for i in mine)
        word = "pass" if passed else "fail" if accused else "inconclusive"
        cells.append(Cell(s, int(cheaper[best][1]), word, cheaper[best][2], float(adjusted[best])))
    return cells


def _compare(
    quality: Floats, cost: Floats, group: Ints, rows: Ints, column: int, reference: int, weight: Floats | None
) -> tuple[Estimate, float]:
    """Paired difference in quality to the reference, and dollars spared per row where both costs are known."""
    heavy = None if weight is None else weight[rows][:, [column, reference]].max(axis=1)
    gain = clustered_mean(quality[rows, column] - quality[rows, reference], group[rows], weights=heavy, span=1.0)
    spared = cost[rows, reference] - cost[rows, column]
    known = ~np.isnan(spared)
    weights = None if heavy is None else heavy[known]
    return gain, float(np.average(spared[known], weights=weights)) if known.any() else 0.0


def table_actions(cells: Sequence[Cell], suite: Ints, reference: int) -> Ints:
    """[n] the column that the table gives each row: its suite's, if shown, else the reference."""
    proven = {cell.suite: cell.column for cell in cells if cell.verdict == "pass"}
    return np.array([proven.get(int(s), reference) for s in suite], np.int64)
