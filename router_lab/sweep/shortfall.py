"""What to say of a budget that did not admit all samples."""

from __future__ import annotations

from router_lab.sweep.plan import Plan, positions
from router_lab.sweep.run import SweepResult


def least_wave(plan: Plan) -> int:
    """Samples × epochs of the smallest first wave: one sample of every cell."""
    return sum(task.epochs or 1 for cell, task in plan.tasks if positions(cell, task))


def shortfall(plan: Plan, result: SweepResult, *, race: bool) -> str:
    """Why nothing ran: what the first wave sets aside, and what the budget has left.

    A race runs its first wave whole, and the size of a later wave depends on what is done: no sum
    is named for these.
    """
    each, left = plan.grid.sweep.limits.usd or 0.0, max(0.0, (plan.budget_usd or 0.0) - result.spent_usd)
    has, limit = f"the budget has ${left:.4f} left", f"`limits: {{usd: {each:g}}}`"
    if race or result.reused:
        wave = "next" if result.reused else "first"
        why = f"{has}, too little for the {wave} wave, which sets aside {limit} for each of its samples"
    else:
        samples = least_wave(plan)
        why = (
            f"the first wave needs up to ${samples * each:.4f} set aside ({limit} × {samples} samples, one of each "
            f"suite for each candidate), and {has}"
        )
    return f"nothing was run: {why}"


def lacking(plan: Plan, result: SweepResult) -> str:
    """What of a budget remains after a run that it ended, and what would cover all samples that
    were not run."""
    each, budget = plan.grid.sweep.limits.usd or 0.0, plan.budget_usd or 0.0
    left = max(0.0, budget - result.spent_usd)
    more = max(0.0, result.unrun * each - left)
    return (
        f"the budget ends it: ${left:.4f} of ${budget:g} remains, which does not cover what the next samples set aside "
        f"(`limits: {{usd: {each:g}}}` each); {result.unrun} samples not run; a larger budget continues them, and "
        f"${more:.4f} more covers them all, whatever they cost"
    )
