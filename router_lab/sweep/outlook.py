"""What a race would do, before it starts: its waves, its rule, its floor, and between which dollars it will end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from router_lab.sweep.forecast import CellEstimate
from router_lab.sweep.plan import Plan
from router_lab.sweep.race import RaceOptions, lanes_of


def race_outlook(plan: Plan, estimates: Sequence[CellEstimate], options: RaceOptions) -> dict[str, Any]:
    """The rule, and per suite the samples after each wave and those of the floor, with a range of dollars.

    `least`: the first wave and then the floor alone, were a suite settled after it; `most`: the whole grid. Both are of
    what is still lacking, over the candidates whose cost is known; `unknown` samples are of others. Raises InputError
    as the race itself would.
    """
    by_cell = {(e.suite, e.model, e.effort): e for e in estimates}
    suites, least, most, unknown = [], 0.0, 0.0, 0
    for lane in lanes_of(plan, options.rule, options.reference):
        first, total = lane.sizes[0], len(lane.samples)
        kept = first + sum(lane.floor[first:])
        suites.append({"suite": lane.suite, "candidates": len(lane.cells), "waves": lane.sizes, "floor": kept - first})
        for cell, _ in lane.cells:
            known = by_cell[lane.suite, cell.model, cell.effort]
            unknown += known.samples if known.usd is None else 0
            most += known.usd or 0.0
            # What is there already may be of the first wave or not: that it is, is the least that can be left to pay.
            epochs = max(1, plan_epochs(plan, lane.suite))
            lacking = max(0, kept * epochs - (total * epochs - known.samples))
            least += (known.usd or 0.0) * lacking / known.samples if known.samples else 0.0
    reference = None if options.reference is None else list(options.reference)
    return {"rule": asdict(options.rule), "reference": reference, "suites": suites, "least_usd": least,
            "most_usd": most, "unknown": unknown}  # fmt: skip


def plan_epochs(plan: Plan, suite: str) -> int:
    """Epochs of a suite's samples."""
    return next(task.epochs or 1 for cell, task in plan.tasks if cell.suite == suite)


def render_race(outlook: dict[str, Any]) -> str:
    """The same in words."""
    rule, who = outlook["rule"], outlook["reference"]
    against = "the best candidate" if who is None else who[0] + (f" ({who[1]})" if who[1] else "")
    lines = [
        f"race: for the cheapest candidate within {100 * rule['margin']:g} points of {against}, "
        f"confidence {rule['confidence']:g} a suite; who leaves still runs {rule['floor']:.0%} of the clusters"
    ]
    for suite in outlook["suites"]:
        sizes = suite["waves"]
        shown = ", ".join(map(str, sizes[:4])) + (f", … {sizes[-1]}" if len(sizes) > 4 else "")
        lines.append(
            f"  {suite['suite']}: {suite['candidates']} candidates, {len(sizes)} waves (samples {shown}), "
            f"floor {suite['floor']} further samples"
        )
    some = " of the known cells" if outlook["unknown"] else ""
    lines.append(
        f"  between ${outlook['least_usd']:.4f} (all settled after the first wave, then the floor) and "
        f"${outlook['most_usd']:.4f} (nobody leaves){some}"
    )
    return "\n".join(lines)
