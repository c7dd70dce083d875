"""Langfuse: observations as its interface, its API and its blob storage export them, and traces
that hold their observations; JSON, JSONL or CSV, in camelCase or snake_case."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from router_lab.prices import Tokens
from router_lab.traces.call import UNNAMED, Problem, TracedCall
from router_lab.traces.conversation import answer_of, messages_of
from router_lab.traces.fields import (
    Json,
    beginning,
    between,
    count,
    dollars,
    first,
    flat,
    mapping,
    moment,
    text,
)
from router_lab.traces.records import Record
from router_lab.traces.usage import tokens_of, usage_tokens

CALLS = ("GENERATION", "EMBEDDING")
TEXTS = ("input", "output")
OURS = ("trace_id", "parent_observation_id", "usage_details", "cost_details", "calculated_total_cost",
        "model_parameters", "provided_model_name")  # fmt: skip
"""Names that few others have: two of them, and a record is Langfuse's."""


def claims(value: Json) -> bool:
    named = {_snake(str(key)) for key in value}
    if isinstance(value.get("observations"), list):
        return True
    typed = str(value.get("type", "")).upper() in (*CALLS, "SPAN", "EVENT", "AGENT", "TOOL", "CHAIN")
    return (typed and "trace_id" in named) or sum(name in named for name in OURS) >= 2


def read(records: Sequence[Record], file: str) -> tuple[list[TracedCall], list[Problem], Counter[str]]:
    calls, wrong, left = list[TracedCall](), list[Problem](), Counter[str]()
    traces = {
        t: _named(r.value) for r in records if (t := text(r.value.get("id"))) and not _is_observation(r.value)
    }
    for record in [inner for one in records for inner in _inner(one)]:
        value = _named(record.value)
        kind = str(value.get("type") or "").upper()
        usage = first(value, "usage_details", "usage", "prompt_tokens", "input_usage", "total_cost")
        if kind in CALLS or (not kind and value.get("trace_id") and usage is not None):
            calls.append(_call(record, value, traces.get(text(value.get("trace_id")) or "", {}), file))
        else:
            left[f"an observation of another kind ({kind.lower() or 'a trace'})"] += 1
    return calls, wrong, left


def _snake(name: str) -> str:
    """One spelling of a name: `usageDetails`, `usage_details` and `Usage Details` are one."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[\s-]+", "_", name).lower()


def _named(value: Json) -> dict[str, Any]:
    return {_snake(str(key)): inner for key, inner in value.items()}


def _is_observation(value: Json) -> bool:
    return "trace_id" in _named(value)


def _inner(record: Record) -> list[Record]:
    """A trace and its observations, each of which knows the trace."""
    own = record.value.get("observations")
    if not isinstance(own, list) or not all(isinstance(one, dict) for one in own):
        return [record]
    apart = mapping(first(record.value, "trace", "raw_trace"))
    trace = _named(apart or {key: inner for key, inner in record.value.items() if key != "observations"})
    known = {"traceId": trace.get("id"), "sessionId": trace.get("session_id"), "traceName": trace.get("name")}
    return [
        Record(f"{record.place}, observation {at}", {**known, **one}) for at, one in enumerate(own, start=1)
    ]


def _call(record: Record, value: Json, trace: Json, file: str) -> TracedCall:
    answer, finish = answer_of(value.get("output"))
    (start, unread), end = beginning(value.get("start_time")), moment(value.get("end_time"))
    failed = str(value.get("level") or "").upper() == "ERROR"
    metadata = mapping(value.get("metadata"))
    rest = {key: inner for key, inner in record.value.items() if _snake(str(key)) not in TEXTS}
    return TracedCall(
        file, record.place, text(first(value, "model", "provided_model_name", "model_id")) or "unknown",
        text(first(metadata, "ls_provider", "provider")),
        route=text(first(value, "trace_name") or trace.get("name") or value.get("name")) or UNNAMED,
        session=text(first(value, "session_id") or trace.get("session_id")), trace=text(value.get("trace_id")),
        span=text(value.get("id")), started=start, seconds=between(start, end),
        messages=messages_of(value.get("input")), answer=answer, tokens=_tokens(value), usd=_usd(value),
        error=(text(value.get("status_message")) or "error") if failed else None, finish=finish,
        metadata=dict(flat(rest)), begun=unread,
    )  # fmt: skip


def _tokens(value: Json) -> Tokens | None:
    """Langfuse counts kinds apart: `input` is what is neither read from a cache nor written to one.
    A provider's own usage that was passed on whole is read as that provider's."""
    for name in ("usage_details", "usage"):
        usage = mapping(value.get(name))
        theirs = "prompt_tokens" in usage or "input_tokens" in usage
        found = usage_tokens(usage, apart=None if theirs else True)
        if found is not None:
            return found
    return tokens_of(
        count(first(value, "prompt_tokens", "input_usage", "input_tokens")),
        count(first(value, "completion_tokens", "output_usage", "output_tokens")),
    )


def _usd(value: Json) -> float | None:
    """The whole call's; a cost of 0 beside tokens means that Langfuse knows no price of the
    model."""
    details = mapping(value.get("cost_details"))
    parts = [n for key, part in details.items() if key != "total" and (n := dollars(part)) is not None]
    total = first(value, "calculated_total_cost", "total_cost")
    found = dollars(first(details, "total") if total is None else total)
    found = sum(parts) if found is None and parts else found
    return found or None
