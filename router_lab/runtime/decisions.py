"""`DecisionLog`: decisions and what became of them, as JSON lines, and back as rows of an outcomes table.

Deciding never waits for this: the caller writes when it likes. Prompts are written only if asked for.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import uuid
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.jsonio import decode
from router_lab.runtime.messages import prompt_text
from router_lab.runtime.reading import read_regular
from router_lab.runtime.values import LOGGED, name_of, plain
from router_lab.runtime.visible import visible

if TYPE_CHECKING:
    from router_lab.runtime.decision import Decision

_PROVIDERS = {"anthropic": "anthropic", "openai_chat": "openai", "openai_responses": "openai"}


_LOGS: weakref.WeakSet[DecisionLog] = weakref.WeakSet()


def _unlocked() -> None:
    """A process that was forked while a thread wrote would wait for ever for a thread that it does not have."""
    for log in _LOGS:
        log._lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # elsewhere there is no fork
    os.register_at_fork(after_in_child=_unlocked)


class DecisionLog:
    """Appends to the file `path`; safe among threads, after a fork, and among processes for lines up to the system's
    pipe size.

    prompts=True writes the prompts too. `clock` gives UTC seconds. A line that cannot be written (no room, no right)
    never fails the request: it is counted in `lost`, and the first one is said through `logging`.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, prompts: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        self.path = Path(path)
        self.lost = 0
        self._prompts = prompts
        self._clock = clock
        self._lock = threading.Lock()
        _LOGS.add(self)

    def write(self, decision: Decision, *, prompt: Any = None, suite: str | None = None, id: Any = None) -> str:
        """Log a decision and return the id for its outcome (`id` as text, else a new one); never raises.

        Also marks the current OpenTelemetry span, if any. prompt: as `decide` takes it; of a list of messages the text
        is written that `decide` reads. A decision that lacked the
        vector its policy was fitted on has `vector_missing: true` in its row.
        """
        number = uuid.uuid4().hex
        try:
            number = number if id is None or name_of(id) == "" else name_of(id)
            self._append(self._row(decision, prompt, suite, number))
            mark_span(decision)
        except Exception as error:  # noqa: BLE001  # a log must not fail the request that it is about
            self._lose(error)
        return number

    def outcome(self, id: Any, **columns: Any) -> None:
        """Log what became of decision `id`: columns of the outcomes table (`values.LOGGED`), None where not known.

        Raises InputError for what `collect` would refuse later; never because the file cannot be written.
        """
        known = plain(columns, f"{self.path}: outcome of {name_of(id)!r}")
        try:
            self._append({"kind": "outcome", "id": name_of(id), "time": self._clock(), **known})
        except Exception as error:  # noqa: BLE001  # as above
            self._lose(error)

    def _row(self, decision: Decision, prompt: Any, suite: Any, number: str) -> dict[str, Any]:
        data = decision.to_dict()
        named = None if suite is None else name_of(suite)
        row = {"kind": "decision", "id": number, "time": self._clock(), "suite": named} | {
            key: data[key] for key in ("model", "effort", "tier", "quality", "cost_usd", "reason", "revision")
        }
        row["code"] = decision.code
        if decision.vector_missing:
            row["vector_missing"] = True
        if self._prompts and prompt is not None:
            row["prompt"] = prompt if isinstance(prompt, str) else prompt_text(prompt)
        return row

    def _append(self, row: dict[str, Any]) -> None:
        line = json.dumps(row, sort_keys=True, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as handle:
                if handle.write(line) != len(line):
                    raise OSError("written in part")

    def _lose(self, error: Exception) -> None:
        with self._lock:
            self.lost += 1
            first = self.lost == 1
        if first:
            said = "%s: a line of the decision log was lost: %s: %s; further ones are counted in DecisionLog.lost"
            logging.getLogger("router_lab").warning(said, visible(self.path), type(error).__name__, visible(error))


def read_decisions(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """The logged decisions in order, each with what was logged of its outcome under "outcome" (None = nothing yet).

    A last line cut short by a crash is passed over; any other line that is not JSON is an InputError with its number.
    So is a value that no outcome can have. Outcomes of no decision in the file are counted in a RouterLabWarning.
    """
    decisions: dict[str, dict[str, Any]] = {}
    outcomes: dict[str, dict[str, Any]] = {}  # apart: another process may have written one before its decision
    lines = read_regular(path).split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            row = decode(line)
            kind, name = row["kind"], name_of(row["id"])
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break
            raise InputError(f"{path}: line {number} is not a line of a decision log: {error}") from error
        if kind == "decision":
            decisions[name] = row | {"id": name}
        else:
            outcomes.setdefault(name, {}).update({key: row[key] for key in LOGGED if row.get(key) is not None})
    stray = sorted(outcomes.keys() - decisions.keys())
    if stray:
        said = f"{path}: {len(stray):,} outcomes belong to no decision that is logged there, the first to {stray[0]!r}"
        warnings.warn(RouterLabWarning(said), stacklevel=2)
    for name, row in decisions.items():
        known = outcomes.get(name)
        yield row | {"outcome": None if known is None else plain(known, f"{path}: decision {name!r}")}


def outcome_rows(path: str | os.PathLike[str], *, default_suite: str = "production") -> list[dict[str, Any]]:
    """Rows of an outcomes table (DESIGN §4) for the decisions whose quality is known.

    sample_id is the decision's id; predictions and revision come along as extra columns, so that what was promised can
    be laid beside what happened.
    """
    rows = []
    for decision in read_decisions(path):
        outcome = decision["outcome"]
        if outcome is None or "quality" not in outcome:
            continue
        row = {
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
        rows.append({key: _whole(value) if isinstance(value, str) else value for key, value in row.items()})
    return rows


def _whole(text: str) -> str:
    """A text that a table can hold: half a character (a lone surrogate) becomes `?`, as it does in `decide`."""
    return text.encode("utf-8", "replace").decode("utf-8")


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
