"""Cells run through the providers' batch APIs: at half the price, within a day, and with little in
flight.

Inspect keeps the batches in flight in memory alone, so a killed process cannot pick them up and
pays for them again. What that can lose is bounded here: one batch at a time and candidate, and no
more requests in flight of one model than `in_flight`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from router_lab.config import BatchSpec
from router_lab.runtime.errors import InputError
from router_lab.sweep.settings import Cell

PROVIDERS = ("openai", "anthropic", "google", "grok", "together")
"""Those whose batch API Inspect speaks; with any other it would quietly ask one by one at the full
price."""


def batched(cells: Sequence[Cell], spec: BatchSpec) -> tuple[Cell, ...]:
    """The cells with batch transport. Raises InputError for a model whose provider has no batch
    API."""
    for part in (part for cell in cells for part in cell.parts):
        provider = part.spec.model.partition("/")[0]
        if provider not in PROVIDERS:
            raise InputError(
                f"model {part.spec.model!r}: Inspect has no batch API for provider {provider!r}, so --batch would pay "
                f"the full price; it has for {', '.join(PROVIDERS)}: run this model in a sweep without --batch"
            )
    config = {
        "size": spec.in_flight, "max_size": spec.in_flight, "max_batches": 1, "send_delay": spec.send_delay,
        "tick": spec.tick,
    }  # fmt: skip
    # An answer may take a day, so no attempt is given up; connections are what bounds the requests
    # in flight.
    changed = {"batch": config, "max_connections": spec.in_flight}

    def sent_so(cell: Cell) -> Cell:
        kept = {k: v for k, v in cell.transport.items() if k != "attempt_timeout"}
        team = {role: sent_so(part) for role, part in cell.team.items()}
        return replace(cell, transport=kept | changed, team=team)

    return tuple(map(sent_so, cells))
