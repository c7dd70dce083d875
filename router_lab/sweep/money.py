"""The money of a plan: its ledger, and what its calls are held against."""

from __future__ import annotations

import json
from pathlib import Path

from router_lab.providers.keys import tier_of
from router_lab.sweep.bind import models_of
from router_lab.sweep.budget import Spending
from router_lab.sweep.ledger import Book, Ledger
from router_lab.sweep.plan import Plan


def ledger_of(plan: Plan, folder: Path) -> Ledger:
    """The ledger in a plan's log directory. Raises InputError."""
    priced = plan.grid.sweep.limits.usd is not None
    return Ledger(folder, plan.prices(), priced=priced, tier=plan.tier)


def spending_of(plan: Plan, book: Book) -> Spending:
    """What the calls of a plan are held against, and written down in `book`."""
    parts = [part for cell, _ in plan.tasks for part in cell.parts]
    shots = (json.dumps([dict(shot) for shot in part.settings.few_shot]) for part in parts)
    return Spending(
        book,
        {str(model): part.model for cell, task in plan.tasks for part, model in models_of(cell, task)},
        budget_usd=plan.budget_usd,
        sample_usd=plan.grid.sweep.limits.usd,
        extra_bytes=max(len(text.encode()) for text in shots),
        tiers={tier_of({**c.settings.config, **c.transport}, c.settings.model_args) for c in parts},
        hour_writes=any(
            c.transport.get("cache_prompt") or c.settings.model_args.get("cache_ttl") for c in parts
        ),
    )
