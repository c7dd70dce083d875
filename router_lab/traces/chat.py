"""Chat completions, one request and its response a line: OpenAI's chat and responses, Anthropic's
messages, and the files that OpenAI's batches give back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from router_lab.traces.call import UNNAMED, Problem, TracedCall
from router_lab.traces.conversation import Message, answer_of, messages_of
from router_lab.traces.fields import (
    Json,
    beginning,
    between,
    dollars,
    first,
    flat,
    mapping,
    moment,
    number,
    text,
)  # fmt: skip
from router_lab.traces.records import Record
from router_lab.traces.usage import usage_tokens

REQUESTS = ("request", "body", "kwargs", "prompt", "messages", "input")
RESPONSES = ("response", "completion", "output")
ROUTES = ("route", "suite", "feature", "name", "task")
SESSIONS = ("session_id", "session", "conversation_id", "thread_id")
TRACES = ("trace_id", "trace")


def claims(value: Json) -> bool:
    response = _response(value)
    answered = any(name in response for name in ("choices", "content", "output", "usage"))
    return answered or "custom_id" in value or "messages" in value


def read(records: Sequence[Record], file: str) -> tuple[list[TracedCall], list[Problem], Counter[str]]:
    calls, wrong, left = list[TracedCall](), list[Problem](), Counter[str]()
    asked = {t: r.value for r in records if (t := text(r.value.get("custom_id"))) and "body" in r.value}
    for record in records:
        value = record.value
        if not _response(value) and value.get("error") is None and not isinstance(_said(value), str):
            if text(value.get("custom_id")) in asked:
                left["a request of a batch, whose answer stands in its output"] += 1
            else:
                wrong.append(Problem(file, record.place, "has a request and no response"))
        else:
            calls.append(_call(record, asked.get(text(value.get("custom_id")) or "", {}), file))
    return calls, wrong, left


def _response(value: Json) -> Json:
    """The provider's answer: under a name of its own, within a batch's, or the record itself."""
    found = mapping(first(value, *RESPONSES))
    if "status_code" in found or "body" in found:
        return mapping(found.get("body"))
    if found:
        return found
    return value if any(name in value for name in ("choices", "usage", "stop_reason")) else {}


def _said(value: Json) -> Any:
    return first(value, *RESPONSES)


def _request(value: Json, asked: Json) -> Json:
    sent = (
        mapping(first(value, "request", "kwargs")) or mapping(value.get("body")) or mapping(asked.get("body"))
    )
    return sent or {
        key: value[key] for key in ("messages", "input", "prompt", "system", "model") if key in value
    }


def _call(record: Record, asked: Json, file: str) -> TracedCall:
    value, response = record.value, _response(record.value)
    request, said = _request(value, asked), _said(value)
    answer, finish = answer_of(response or said)
    metadata = {**mapping(request.get("metadata")), **mapping(value.get("metadata"))}
    begun = first(value, "timestamp", "started_at", "created_at", "start_time")
    begun = first(response, "created", "created_at") if begun is None else begun
    start, unread = beginning(begun)
    lasted = number(first(value, "latency_s", "seconds", "duration_s"))
    if lasted is None:
        millis = number(first(value, "latency_ms", "duration_ms"))
        lasted = (
            between(start, moment(first(value, "end_time", "ended_at"))) if millis is None else millis / 1e3
        )
    return TracedCall(
        file, record.place, text(first(response, "model") or first(request, "model") or value.get("model")) or "unknown",
        text(first(value, "provider") or first(metadata, "provider")),
        route=text(first(value, *ROUTES) or first(metadata, *ROUTES)) or UNNAMED,
        session=text(first(value, *SESSIONS) or first(metadata, *SESSIONS)),
        trace=text(first(value, *TRACES) or first(metadata, *TRACES)),
        span=text(first(value, "custom_id", "id") or first(response, "id")), started=start, seconds=lasted,
        messages=_asked(request), answer=answer,
        tokens=usage_tokens(mapping(first(response, "usage") or value.get("usage"))),
        usd=dollars(first(value, "cost_usd", "usd", "cost") or first(mapping(response.get("usage")), "cost")),
        error=_error(value), finish=finish, tier=_tier(value, response),
        metadata=dict(flat(_rest(value, response))), begun=unread,
    )  # fmt: skip


def _asked(request: Json) -> tuple[Message, ...]:
    return messages_of(dict(request)) if any(n in request for n in ("messages", "input", "prompt")) else ()


def _error(value: Json) -> str | None:
    told = value.get("error")
    status = number(mapping(value.get("response")).get("status_code"))
    body = mapping(mapping(value.get("response")).get("body")).get("error")
    found = told or body
    if found:
        return text(first(mapping(found), "message", "code", "type")) or text(found) or "error"
    return f"status {status:.0f}" if status is not None and status >= 400 else None


def _tier(value: Json, response: Json) -> str:
    named = text(response.get("service_tier"))
    if "custom_id" in value:
        return "batch"
    return named if named in ("flex", "priority", "batch") else "standard"


def _rest(value: Json, response: Json) -> dict[str, Any]:
    """All that is no text of the conversation."""
    own = {
        key: inner for key, inner in value.items() if key not in (*REQUESTS, *RESPONSES, "choices", "content")
    }
    texts = ("choices", "content", "output")
    return {
        **own,
        "response": {k: v for k, v in response.items() if k not in texts and response is not value},
    }
