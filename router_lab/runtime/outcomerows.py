"""Rows of an outcomes table from a decision log: what production has shown of whom it asked."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from router_lab.runtime.decisionrows import Source, read_decisions
from router_lab.runtime.decisionstages import REPLACED, TOTALS, replaced
from router_lab.runtime.kinds import TOKENS
from router_lab.runtime.model import Candidate
from router_lab.runtime.values import probability


def outcome_rows(
    path: Source | Iterable[Source], *, default_suite: str = "production"
) -> list[dict[str, Any]]:
    """Rows of an outcomes table (docs/architecture.md, every column) for the decisions whose
    quality is known, and for a shadow's.

    sample_id is a digest of the prompt where the log holds it, so that whoever was asked the same
    is found in one sample, once as each `epoch`; else the decision's id, of a shadow's that of the
    decision beside which it was asked. `decision` is the id. `group` is the outcome's own, else the
    digest of what chance was drawn by: a hash repeats its draws. `propensity` is the probability
    with which this candidate was asked, where it was logged. Predictions and revision come along
    as extra columns, so that what was promised can be laid beside what happened. A request that
    asked several candidates is a row of the last, whose answer was kept: without dollars, tokens
    and seconds, which are of all of them. Where a gateway fell back by itself to a model that no
    decision names, the candidate that it replaced has a row with status `infra`: it gave no
    answer, and the other was sent what was measured of somebody else.
    """
    rows = []
    epochs: Counter[tuple[str, str, Candidate]] = Counter()
    for decision in read_decisions(path, shadows=True):
        outcome = decision["outcome"]
        if outcome is None or "quality" not in outcome:
            continue
        row = _row(decision, outcome, default_suite)
        # What a table can hold: half a character (a lone surrogate) becomes `?`, as in `decide`.
        texts = {
            key: value.encode("utf-8", "replace").decode("utf-8")
            for key, value in row.items()
            if isinstance(value, str)
        }
        row |= texts
        run = row["suite"], row["sample_id"], Candidate.of(row)
        epochs[run] += 1
        rows.append(row | {"epoch": epochs[run]})
    return rows


def prompt_digest(prompt: str) -> str:
    """The sample of a logged prompt: the first 32 hex digits of its SHA-256."""
    return hashlib.sha256(prompt.encode("utf-8", "replace")).hexdigest()[:32]


def stands_for(decision: Mapping[str, Any]) -> str:
    """The id of the request: of a shadow's row that of the decision beside which it was asked."""
    of = decision.get("of") if decision.get("shadow") else None
    return of if isinstance(of, str) else str(decision["id"])


def _row(decision: Mapping[str, Any], outcome: Mapping[str, Any], default_suite: str) -> dict[str, Any]:
    prompt, by, then = decision.get("prompt"), replaced(decision), decision.get("then", ())
    if by is not None:
        reason = f"gave no answer: the gateway fell back to {by}"
        group = {"group": outcome["group"]} if "group" in outcome else {}
        outcome = {"status": "infra", "quality": None, "reason": reason, **group}
        then = [one for one in then if one.code != REPLACED]
    row = {
        "suite": decision.get("suite") or default_suite,
        "sample_id": prompt_digest(prompt) if isinstance(prompt, str) else stands_for(decision),
        "epoch": 1,
        **Candidate.of(decision).named(),
        "prompt": prompt,
        "tier": decision["tier"],
        "started_at": decision.get("time"),
        "predicted_quality": decision["quality"],
        "predicted_cost_usd": decision["cost_usd"],
        "revision": decision["revision"],
        "decision": decision["id"],
        "status": "ok",
        **_drawn(decision),
        **outcome,
    }
    if then:
        last = then[-1]
        row = {name: value for name, value in row.items() if name not in (*TOTALS, *TOKENS)} | {
            **last.candidate.named(), "predicted_quality": last.quality,
            "predicted_cost_usd": last.cost_usd,
        }  # fmt: skip
    return row


def _drawn(decision: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the chance by which this row came to be."""
    found: dict[str, Any] = {"group": draw} if isinstance(draw := decision.get("draw"), str) else {}
    chance = propensity_of(decision)
    if chance is not None:
        found["propensity"] = chance
    if decision.get("explored"):
        found["explored"] = True
    if decision.get("shadow"):
        found["shadow"] = True
    return found


def propensity_of(decision: Mapping[str, Any]) -> float | None:
    """The probability with which a logged candidate was to be asked, of a shadow's that of its
    share too; None where none in (0, 1] was logged."""
    chosen = probability(decision.get("propensity", 1.0 if decision.get("shadow") else None))
    share = share_of(decision)
    return None if chosen is None or share is None else chosen * share


def share_of(decision: Mapping[str, Any]) -> float | None:
    """The probability with which a shadow drew this request, whoever was then chosen; None where
    none in (0, 1] was logged."""
    return probability(decision.get("share", 1.0))
