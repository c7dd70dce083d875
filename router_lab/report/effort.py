"""What effort bought: each effort of a model beside the model's cheapest, suite by suite, paired
on common samples."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from router_lab.columns import aligned, named
from router_lab.metrics import clustered_ratio, too_few
from router_lab.metrics.paired import Recorded
from router_lab.outcomes import OutcomeMatrix, cut_off_share, scored_figures
from router_lab.outcomes.candidates import by_candidate
from router_lab.report.format import MISSING, cut_off, points
from router_lab.report.table import CONFIDENCE, records
from router_lab.runtime.model import Candidate

PAYS, LOSES, UNSHOWN = "pays", "loses", "not shown"
MARKS = {PAYS: "✓", LOSES: "✗", UNSHOWN: "·"}


def effort_table(outcomes: pd.DataFrame, confidence: float = CONFIDENCE) -> pd.DataFrame:
    """One row per suite, model and effort beyond the model's cheapest one; empty where no model
    has two efforts.

    The base of a model is its effort of least mean cost over the samples that all of its efforts
    were run on.

    - model, effort, base: the two efforts compared;  suite;  n, clusters: common samples and
      groups of them
    - difference, low, high: mean paired difference in quality, effort − base, and its two-sided
      interval at `confidence`, by cluster (`metrics.bound`, so that no small sample claims
      certainty)
    - cost_ratio: what the effort costs as a multiple of the base
    - cut_off, base_cut_off: shares of the suite's answers that ended at max_tokens, by effort and
      by base; a loss where more was cut off may be the limit's
    - word: `pays` (the whole interval is above zero), `loses` (all of it is below) or `not shown`,
      as with fewer than 20 clusters whatever the interval
    """
    matrix = OutcomeMatrix.from_frame(outcomes)
    cut = _cut_off(outcomes)
    rows = [
        {
            "suite": suite,
            **row,
            **{
                key: cut.get((suite, matrix.candidates[of]), np.nan)
                for key, of in (("cut_off", j), ("base_cut_off", base))
            },
        }
        for j, base in _pairs(matrix)
        for code, suite in enumerate(matrix.suites)
        if (row := _row(matrix, matrix.suite == code, j, base, confidence))
    ]
    columns = ["suite", "model", "effort", "harness", "base", "n", "clusters", "difference", "low", "high",
               "cost_ratio", "word", "cut_off", "base_cut_off"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _cut_off(outcomes: pd.DataFrame) -> dict[tuple[str, Candidate], float]:
    scored = scored_figures(outcomes)
    return {
        (str(suite), who): cut_off_share(part)
        for who, own in by_candidate(scored)
        for suite, part in own.groupby("suite")
    }


def effort_text(table: pd.DataFrame) -> str:
    """`effort_table` as aligned text: a line per effort, a column per suite, `+31.0 ±9.2 ×2.7 ✓`
    in the cells."""
    if table.empty:
        return "no model was run at two efforts"
    suites = sorted(table["suite"].unique())
    head = ["quality, in points, and cost against the same model's cheapest effort", *map(named, suites)]
    lines = [head]
    ordered = sorted(records(table), key=_name)
    for name, cells in groupby(ordered, key=_name):
        by_suite = {row["suite"]: row for row in cells}
        lines.append(
            [named(name), *(_cell(by_suite[suite]) if suite in by_suite else MISSING for suite in suites)]
        )
        cut = {suite: _cut(row) for suite, row in by_suite.items()}
        if any(cut.values()):
            lines.append(
                ["  cut off at max_tokens, it and its base", *(cut.get(suite, "") for suite in suites)]
            )
    key = f"± 95 % interval; {MARKS[PAYS]} pays, {MARKS[LOSES]} loses, {MARKS[UNSHOWN]} not shown"
    return "\n".join([*aligned(lines), key])


def _pairs(matrix: OutcomeMatrix) -> Iterator[tuple[int, int]]:
    """(effort, base) as columns of the matrix, for each model and harness with two efforts."""
    models = [(candidate.model, candidate.harness) for candidate in matrix.candidates]
    for model in dict.fromkeys(models):
        columns = [j for j, name in enumerate(models) if name == model]
        cost = matrix.cost_usd[:, columns]
        common = ~np.isnan(cost).any(axis=1)
        if len(columns) > 1 and common.any():
            base = columns[int(np.argmin(cost[common].mean(axis=0)))]
            yield from ((j, base) for j in columns if j != base)


def _row(matrix: OutcomeMatrix, rows: Any, j: int, base: int, confidence: float) -> dict[str, Any] | None:
    paired = Recorded.of(matrix, base).take(rows).always(j)
    if not paired.scored.any():
        return None
    found = paired.gain()
    low, high = found.interval(confidence)
    cost = clustered_ratio(paired.cost_usd, paired.reference_cost_usd, paired.group, weights=paired.weight)
    return {
        **matrix.candidates[j].named(),
        "base": matrix.candidates[base].effort,
        "n": found.n,
        "clusters": found.clusters,
        "difference": found.value,
        "low": low,
        "high": high,
        "cost_ratio": cost.value,
        "word": UNSHOWN
        if too_few(found.n, found.clusters)
        else PAYS
        if low > 0
        else LOSES
        if high < 0
        else UNSHOWN,
    }


def _name(row: dict[str, Any]) -> str:
    return f"{Candidate.of(row)} − {row['base'] or 'no effort set'}"


def _cut(row: dict[str, Any]) -> str:
    """`81 % / 66 %`; nothing where neither was cut off."""
    shares = [cut_off(row["cut_off"]), cut_off(row["base_cut_off"])]
    return " / ".join(share or "0 %" for share in shares) if any(shares) else ""


def _cell(row: dict[str, Any]) -> str:
    few = too_few(row["n"], row["clusters"], row["low"], row["high"])
    if few is not None:
        return few
    reach = 100 * (row["high"] - row["low"]) / 2
    ratio = f"×{row['cost_ratio']:.1f}" if np.isfinite(row["cost_ratio"]) else ""
    return f"{points(row['difference'])} ±{reach:.1f} {ratio} {MARKS[row['word']]}"
