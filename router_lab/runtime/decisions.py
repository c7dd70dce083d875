"""`DecisionLog`: decisions and what became of them, as JSON lines, and back as rows of an outcomes table.

Deciding never waits for this: the caller writes when it likes. Prompts are written only if asked for.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router_lab.runtime.errors import InputError
from router_lab.runtime.messages import prompt_text

if TYPE_CHECKING:
    from router_lab.runtime.decision import Decision

OUTCOME_COLUMNS = (
    "quality", "status", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens",
    "turns", "cost_usd", "paid_usd", "check", "latency_s", "group",
)  # fmt: skip
"""What `DecisionLog.outcome` takes: columns of the outcomes table."""
_PROVIDERS = {"anthropic": "anthropic", "openai_chat": "openai", "openai_responses": "openai"}


class DecisionLog:
    """Appends to the file `path`; safe among threads, and among processes for lines up to the system's pipe size.

    prompts=True writes the prompts too. `clock` gives UTC seconds.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, prompts: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        self.path = Path(path)
        self._prompts = prompts
        self._clock = clock
        self._lock = threading.Lock()
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def write(
        self,
        decision: Decision,
        *,
        prompt: str | list[dict[str, Any]] | None = None,
        suite: str | None = None,
        id: str | None = None,
    ) -> str:
        """Log a decision and return the id for its outcome; also marks the current OpenTelemetry span, if any.

        Of a `prompt` that is a list of messages the text is written that `decide` reads.

        A decision that lacked the vector its policy was fitted on has `vector_missing: true` in its row.
        """
        number = id or uuid.uuid4().hex
        data = decision.to_dict()
        row = {"kind": "decision", "id": number, "time": self._clock(), "suite": suite} | {
            key: data[key] for key in ("model", "effort", "tier", "quality", "cost_usd", "reason", "revision")
        }
        row["code"] = decision.code
        if decision.vector_missing:
            row["vector_missing"] = True
        if self._prompts and prompt is not None:
            row["prompt"] = prompt if isinstance(prompt, str) else prompt_text(prompt)
        self._append(row)
        mark_span(decision)
        return number

    def outcome(self, id: str, **columns: Any) -> None:
        """Log what became of decision `id`: columns of the outcomes table (OUTCOME_COLUMNS)."""
        unknown = sorted(set(columns) - set(OUTCOME_COLUMNS))
        if unknown:
            raise InputError(f"{self.path}: outcome has no column {unknown[0]!r}; use {', '.join(OUTCOME_COLUMNS)}")
        self._append({"kind": "outcome", "id": id, "time": self._clock(), **columns})

    def _append(self, row: dict[str, Any]) -> None:
        line = json.dumps(row, sort_keys=True, ensure_ascii=True).encode("ascii") + b"\n"
        with self._lock, self.path.open("ab", buffering=0) as handle:
            handle.write(line)


def read_decisions(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """The logged decisions in order, each with what was logged of its outcome under "outcome" (None = nothing yet).

    A last line cut short by a crash is passed over; any other line that is not JSON is an InputError with its number.
    """
    decisions: dict[str, dict[str, Any]] = {}
    lines = Path(path).read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            row = json.loads(line)
            kind, name = row["kind"], row["id"]
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break
            raise InputError(f"{path}: line {number} is not a line of a decision log: {error}") from error
        if kind == "decision":
            decisions[name] = row | {"outcome": None}
        elif name in decisions:
            decisions[name]["outcome"] = (decisions[name]["outcome"] or {}) | {
                key: row[key] for key in OUTCOME_COLUMNS if key in row
            }
    yield from decisions.values()


def outcome_rows(path: str | os.PathLike[str], *, default_suite: str = "production") -> list[dict[str, Any]]:
    """Rows of an outcomes table (DESIGN §4) for the decisions whose quality is known.

    sample_id is the decision's id; predictions and revision come along as extra columns, so that what was promised can
    be laid beside what happened.
    """
    rows = []
    for decision in read_decisions(path):
        outcome = decision["outcome"]
        if outcome is None or outcome.get("quality") is None:
            continue
        rows.append(
            {
                "suite": decision.get("suite") or default_suite,
                "sample_id": decision["id"],
                "epoch": 1,
                "model": decision["model"],
                "effort": decision["effort"],
                "prompt": decision.get("prompt"),
                "tier": decision["tier"],
                "started_at": decision["time"],
                "predicted_quality": decision["quality"],
                "predicted_cost_usd": decision["cost_usd"],
                "revision": decision["revision"],
                "status": "ok",
                **outcome,
            }
        )
    return rows


def span_attributes(decision: Decision) -> dict[str, str | float]:
    """Attributes for a span, after OpenTelemetry's GenAI semantic conventions; ours have the prefix `router_lab.`."""
    request = decision.measured
    model = (request.get("arguments") or {}).get("model", decision.model)
    found: dict[str, str | float] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": str(model),
        "router_lab.effort": decision.effort or "",
        "router_lab.tier": decision.tier,
        "router_lab.code": decision.code,
        "router_lab.revision": decision.revision,
        "router_lab.predicted_quality": decision.quality,
        "router_lab.predicted_cost_usd": decision.cost_usd,
    }
    provider = _PROVIDERS.get(request.get("api") or "")
    if provider:
        found["gen_ai.provider.name"] = provider
    if decision.limits.max_tokens is not None:
        found["gen_ai.request.max_tokens"] = decision.limits.max_tokens
    return found


def mark_span(decision: Decision) -> None:
    """Put `span_attributes` on the current OpenTelemetry span, if there is such a thing."""
    try:
        from opentelemetry import trace
    except ImportError:
        return
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attributes(span_attributes(decision))
