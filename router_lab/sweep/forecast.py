"""What a sweep will cost, before it starts: from what samples cost before, with a range that says
how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from router_lab.columns import aligned, named
from router_lab.outcomes.candidates import by_row
from router_lab.prices import today
from router_lab.runtime.kinds import PROMPT_COLUMNS
from router_lab.runtime.model import Candidate
from router_lab.runtime.visible import visible
from router_lab.sweep.plan import Plan, positions
from router_lab.sweep.settings import Cell, Where

Z90 = 1.645
"""Two-sided 90 % of a normal distribution."""


@dataclass(frozen=True)
class CellEstimate:
    """Dollars of the samples that a cell still lacks: `usd` expected, `low` to `high` a 90 %
    range; null = unknown.

    `seen`: earlier samples that it rests on. `input_tokens`, `output_tokens`: mean of a sample,
    cached parts of the prompt included. `batch_usd`: the same at the provider's batch price, null
    without one.
    """

    suite: str
    candidate: Candidate
    samples: int
    input_tokens: float | None
    output_tokens: float | None
    usd: float | None
    low: float | None
    high: float | None
    batch_usd: float | None
    seen: int
    epochs: int = 1
    sample_usd: float | None = None
    """Mean of the earlier samples."""
    cause: str | None = None
    """Why what is there of the cell could not be priced, and what mends it."""


def estimate(
    plan: Plan,
    history: pd.DataFrame | None,
    missing: Callable[[Cell], int] | None = None,
    causes: Mapping[Where, str] | None = None,
) -> list[CellEstimate]:
    """One estimate a cell, in file order. A cell of which nothing was ever run is unknown, never
    zero.

    Args:
        plan: a prepared sweep.
        history: outcomes of earlier sweeps, or of a pilot of this one, with `cost_usd`.
        missing: samples that a cell still lacks; by default all of them.
        causes: why what was run of a cell is not in `history`, by suite, model and effort.

    Raises InputError for a candidate without a price.
    """
    table, day = plan.prices(), today()
    result = []
    for cell, task in plan.tasks:
        left = positions(cell, task) * (task.epochs or 1) if missing is None else missing(cell)
        batches = [table.rates(part.model, day).tiers.get("batch") for part in cell.parts]
        # Of a team the dearest role's: what the others save more is not promised.
        batch = None if None in batches else max(filter(None, batches), default=None)
        result.append(_estimate_cell(cell, left, _rows(history, cell), batch))
        cause = (causes or {}).get(cell.where)
        if cause is not None and result[-1].usd is None:
            result[-1] = replace(result[-1], cause=cause)
    return result


def total(
    estimates: Sequence[CellEstimate], sample_usd: float | None = None, budget_left: float | None = None
) -> dict[str, Any]:
    """Sums over the known cells; their ranges add in square, since cells err apart. `unknown`
    counts other samples.

    `at_most_usd`: what all samples together cannot pass, where each has a dollar limit
    (`sample_usd`), and what is left of a budget (`budget_left`), whichever is smaller; null
    without either.
    """
    known = [e for e in estimates if e.usd is not None]
    usd = sum(e.usd or 0.0 for e in known)
    spread = math.sqrt(sum(((e.high or 0.0) - (e.usd or 0.0)) ** 2 for e in known))
    samples = sum(e.samples for e in estimates)
    bounds = [] if sample_usd is None else [samples * sample_usd]
    bounds += [] if budget_left is None else [max(0.0, budget_left)]
    return {
        "samples": samples,
        "unknown": sum(e.samples for e in estimates if e.usd is None),
        "usd": usd,
        "low": max(0.0, usd - spread),
        "high": usd + spread,
        "at_most_usd": min(bounds, default=None),
        "batch_saves_usd": sum((e.usd or 0.0) - e.batch_usd for e in known if e.batch_usd is not None),
    }


def render(
    estimates: Sequence[CellEstimate], sample_usd: float | None = None, budget_left: float | None = None
) -> str:
    """The estimates as a table for people, the total last."""
    rows = [("suite", "candidate", "samples", "tokens in / out", "dollars (90 % range)")]
    for e in estimates:
        tokens = "–" if e.output_tokens is None else f"{e.input_tokens:,.0f} / {e.output_tokens:,.0f}"
        who = named(e.candidate)
        rows.append((named(e.suite), who, str(e.samples), tokens, _dollars(e.usd, e.low, e.high)))
    t = total(estimates, sample_usd, budget_left)
    none = t["unknown"] == t["samples"] > 0
    sum_of = "known cells" if t["unknown"] and not none else "total"
    dollars = _dollars(None if none else t["usd"], t["low"], t["high"])
    rows.append((sum_of, "", str(t["samples"] - (0 if none else t["unknown"])), "", dollars))
    lines = aligned(rows, texts=(0, 1))
    if t["at_most_usd"] is not None:
        by_limits = sample_usd is not None and t["at_most_usd"] == t["samples"] * sample_usd
        by = (
            f"`limits: {{usd: {sample_usd:g}}}` for each sample"
            if by_limits
            else "what is left of the budget"
        )
        lines.append(f"at most ${t['at_most_usd']:.4f}, by {by}")
    if t["batch_saves_usd"]:
        lines.append(f"the providers' batch prices would save ${t['batch_saves_usd']:.4f} of it")
    causes: dict[str, int] = {}
    for e in estimates:
        if e.cause is not None:
            causes[e.cause] = causes.get(e.cause, 0) + e.samples
    for cause, samples in causes.items():
        lines.append(f"{samples} samples are of candidates that ran here and could not be priced: {cause}")
    never = t["unknown"] - sum(causes.values())
    if never:
        lines.append(
            f"{never} samples are of candidates that never ran here, and not in the total; "
            "a pilot tells, router-lab sweep … --dry-run --pilot 5, or earlier outcomes, --history FILE"
        )
    return "\n".join(map(visible, lines))


def _estimate_cell(cell: Cell, left: int, rows: pd.DataFrame | None, batch: float | None) -> CellEstimate:
    costs = np.array([]) if rows is None else rows["cost_usd"].to_numpy(dtype=np.float64)
    usd, spread = _predict(costs, left)
    return CellEstimate(
        suite=cell.suite,
        candidate=cell.candidate,
        samples=left,
        input_tokens=None if rows is None or rows.empty else _input_tokens(rows),
        output_tokens=None if rows is None or rows.empty else float(rows["output_tokens"].mean()),
        usd=usd,
        low=None if usd is None else max(0.0, usd - spread),
        high=None if usd is None else usd + spread,
        batch_usd=None if usd is None or batch is None else usd * batch,
        seen=len(costs),
        epochs=cell.epochs,
        sample_usd=float(costs.mean()) if len(costs) else None,
    )


def _input_tokens(rows: pd.DataFrame) -> float:
    """Mean of all that a sample's prompts hold, read from a cache, written to one, or neither."""
    kinds = [name for name in PROMPT_COLUMNS if name in rows]
    return float(rows[kinds].fillna(0).sum(axis=1).mean())


def _rows(history: pd.DataFrame | None, cell: Cell) -> pd.DataFrame | None:
    if history is None:
        return None
    here = history[(history["suite"] == cell.suite) & history["cost_usd"].notna()]
    return here[[who == cell.candidate for who in by_row(here)]]


def _predict(costs: np.ndarray[Any, np.dtype[np.float64]], left: int) -> tuple[float | None, float]:
    """(expected sum of `left` further samples, half a 90 % prediction range): its own scatter and
    the mean's error.

    One sample tells nothing of the scatter; then the range is as wide as the sum.
    """
    if left == 0:
        return 0.0, 0.0
    if not len(costs):
        return None, 0.0
    mean = float(costs.mean())
    if len(costs) == 1:
        return mean * left, mean * left
    deviation = float(costs.std(ddof=1))
    return mean * left, Z90 * deviation * math.sqrt(left + left**2 / len(costs))


def _dollars(usd: float | None, low: float | None, high: float | None) -> str:
    return "unknown" if usd is None else f"{usd:.4f} ({low:.4f}–{high:.4f})"
