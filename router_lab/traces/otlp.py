"""OpenTelemetry's OTLP JSON, as a collector's file exporter writes it: `resourceSpans` in one
object, or one such object a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from router_lab.traces.call import Problem, TracedCall
from router_lab.traces.fields import DEEPEST, Json, beginning, first, mapping, moment, text
from router_lab.traces.records import Record
from router_lab.traces.spans import Span, calls_of_spans

ROOTS = ("resourceSpans", "resource_spans")


def claims(value: Json) -> bool:
    return any(name in value for name in ROOTS)


def read(records: Sequence[Record], file: str) -> tuple[list[TracedCall], list[Problem], Counter[str]]:
    spans, wrong = list[Span](), list[Problem]()
    for record in records:
        for place, span, resource in _spans(record):
            if isinstance(span, Mapping):
                spans.append(_span(place, span, resource))
            else:
                wrong.append(Problem(file, place, "is not a span"))
    calls, left = calls_of_spans(spans, file)
    return calls, wrong, left


def _spans(record: Record) -> Iterator[tuple[str, Any, Json]]:
    at = 0
    for part in _items(first(record.value, *ROOTS)):
        resource = _attributes(mapping(mapping(part).get("resource")).get("attributes"))
        scopes = first(mapping(part), "scopeSpans", "scope_spans", "instrumentationLibrarySpans")
        for scope in _items(scopes):
            for span in _items(mapping(scope).get("spans")):
                at += 1
                yield f"{record.place}, span {at}", span, resource


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _span(place: str, span: Json, resource: Json) -> Span:
    events = [event for event in _items(span.get("events")) if isinstance(event, Mapping)]
    named = {**resource, **_attributes(span.get("attributes"))}
    for event in events:
        for key, value in _attributes(event.get("attributes")).items():
            named.setdefault(key, value)
    named |= _spoken(events, named)
    start, unread = beginning(first(span, "startTimeUnixNano", "start_time_unix_nano"))
    return Span(
        place, text(first(span, "traceId", "trace_id")), text(first(span, "spanId", "span_id")),
        text(first(span, "parentSpanId", "parent_span_id")), text(span.get("name")) or "",
        start=start, begun=unread,
        end=moment(first(span, "endTimeUnixNano", "end_time_unix_nano")), attributes=named, error=_error(span, named),
    )  # fmt: skip


def _spoken(events: Sequence[Json], named: Json) -> dict[str, Any]:
    """Messages that older instrumentations wrote as events, `gen_ai.user.message`."""
    asked, said = list[dict[str, Any]](), list[dict[str, Any]]()
    for event in events:
        name = text(event.get("name")) or ""
        own = _attributes(event.get("attributes"))
        content = first(own, "content", "gen_ai.event.content", "body")
        inner = mapping(content)
        if name == "gen_ai.choice":
            said.append(dict(mapping(first(own, "message") or inner.get("message")) or {"content": content}))
        elif name.startswith("gen_ai.") and name.endswith(".message"):
            asked.append({"role": name.split(".")[1], "content": inner.get("content", content)})
    both = {"gen_ai.input.messages": asked, "gen_ai.output.messages": said}
    return {key: value for key, value in both.items() if value and not named.get(key)}


def _error(span: Json, named: Json) -> str | None:
    status = mapping(span.get("status"))
    failed = str(status.get("code")) in ("2", "STATUS_CODE_ERROR")
    said = text(named.get("error.type")) or text(status.get("message"))
    return (said or "error") if failed or "error.type" in named else None


def _attributes(value: object) -> dict[str, Any]:
    """OTLP's list of keys and typed values; a plain mapping is taken as it is."""
    if isinstance(value, Mapping):
        return {str(key): inner for key, inner in value.items()}
    pairs = [pair for pair in _items(value) if isinstance(pair, Mapping)]
    return {str(pair.get("key")): _value(pair.get("value")) for pair in pairs}


def _value(value: object, deep: int = DEEPEST) -> Any:
    if not isinstance(value, Mapping) or deep == 0:
        return value
    for kind in ("stringValue", "intValue", "doubleValue", "boolValue", "bytesValue"):
        if kind in value:
            return value[kind]
    if "arrayValue" in value:
        return [_value(one, deep - 1) for one in _items(mapping(value["arrayValue"]).get("values"))]
    if "kvlistValue" in value:
        pairs = [p for p in _items(mapping(value["kvlistValue"]).get("values")) if isinstance(p, Mapping)]
        return {str(p.get("key")): _value(p.get("value"), deep - 1) for p in pairs}
    return None
