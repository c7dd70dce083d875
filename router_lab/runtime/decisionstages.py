"""Of a request that went on to further candidates: who was asked after the first, as a decision log
has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from router_lab.runtime.model import Candidate

ESCALATED = "escalated"
"""The code of a decision that was made because an answer was not kept."""
REPLACED = "replaced"
"""The code of a row of a model that no decision names: a gateway fell back to it by itself."""
KEPT = "kept"
"""The code of a row of somebody asked before: whoever was asked after it gave no answer, so that
its own is kept."""
TOTALS = ("cost_usd", "paid_usd", "latency_s", "turns")
"""Columns of an outcome that count every candidate that was asked."""


class Asked(NamedTuple):
    """A later decision of a request: who was asked, why, and what was predicted."""

    model: str
    effort: str | None
    code: str
    quality: float | None
    cost_usd: float | None
    harness: str | None = None

    @property
    def candidate(self) -> Candidate:
        """Who was asked."""
        return Candidate(self.model, self.effort, self.harness)


class Later:
    """By slot, the later decisions of a request in the order of the log. One asked again, as
    when a stream goes back to who broke off in it, counts once, where it came last. A row that was
    read before, of the same time, is a copy, as where a log is read beside its backup."""

    def __init__(self) -> None:
        self._asked: dict[int, tuple[tuple[Asked, object], ...]] = {}

    def add(self, slot: int, row: Mapping[str, Any]) -> None:
        asked = Asked(
            row["model"], row["effort"], str(row.get("code", "unknown")), row["quality"], row["cost_usd"],
            row.get("harness"),
        )  # fmt: skip
        known = self._asked.get(slot, ())
        if (asked, row.get("time")) not in known:
            self._asked[slot] = (*known, (asked, row.get("time")))

    def of(self, slot: int) -> dict[str, tuple[Asked, ...]]:
        """Under "then"; nothing for a request of which one candidate was asked."""
        asked = [one for one, _ in self._asked.get(slot, ())]
        last = tuple(one for at, one in enumerate(asked) if one not in asked[at + 1 :])
        return {"then": last} if last else {}


def replaced(decision: Mapping[str, Any]) -> str | None:
    """The model to which a gateway fell back by itself, whose answer this is; None for others."""
    then = decision.get("then", ())
    return then[-1].model if then and then[-1].code == REPLACED else None


def escalated(decision: Mapping[str, Any]) -> bool:
    """Whether another candidate was asked because an answer was not kept."""
    return any(asked.code == ESCALATED for asked in decision.get("then", ()))
