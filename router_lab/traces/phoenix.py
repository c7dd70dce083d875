"""Arize Phoenix: spans of OpenInference as its dataframe writes them (Parquet, CSV: columns
`attributes.llm.model_name`, `context.trace_id`) and as its API and command line do (nested
JSON)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from router_lab.traces.call import Problem, TracedCall
from router_lab.traces.fields import Json, beginning, first, flat, mapping, moment, text, tree
from router_lab.traces.records import Record
from router_lab.traces.spans import NAMES, Span, calls_of_spans

PREFIX = "attributes."
KINDS = ("span_kind", "spanKind")
SOME = 20
"""Spans of a trace by which it is told that they are OpenInference's."""


def claims(value: Json) -> bool:
    spans = value.get("spans")
    if isinstance(spans, list) and any(isinstance(one, dict) and claims(one) for one in spans[:SOME]):
        return True
    context = mapping(value.get("context"))
    ids = "context.trace_id" in value or "trace_id" in context or "traceId" in context
    own = any(kind in value for kind in KINDS) or any(str(key).startswith(PREFIX) for key in value)
    attributes = mapping(value.get("attributes"))
    inferred = any(str(key).startswith(("openinference", "llm")) for key in attributes)
    return (ids and own) or (inferred and "type" not in value)


def read(records: Sequence[Record], file: str) -> tuple[list[TracedCall], list[Problem], Counter[str]]:
    whole = [inner for record in records for inner in _inner(record)]
    calls, left = calls_of_spans([_span(record) for record in whole], file)
    return calls, [], left


def _inner(record: Record) -> list[Record]:
    """A trace's spans, where a record is a whole trace."""
    spans = record.value.get("spans")
    if not isinstance(spans, list):
        return [record]
    return [Record(f"{record.place}, span {at}", {"traceId": record.value.get("traceId"), **one})
            for at, one in enumerate(spans, start=1) if isinstance(one, dict)]  # fmt: skip


def _span(record: Record) -> Span:
    value = record.value
    named = dict(_attributes(value))
    kind = text(first(value, *KINDS))
    if kind is not None:
        named.setdefault(NAMES["operation"][1], kind)
    context = mapping(value.get("context"))
    told = mapping(value.get("status"))
    status = (
        text(first(value, "status_code", "statusCode", "status.status_code") or told.get("status_code")) or ""
    )
    said = text(first(value, "status_message", "statusMessage") or first(told, "description", "message"))
    start, unread = beginning(first(value, "start_time", "startTime"))
    return Span(
        record.place,
        text(first(value, "context.trace_id", "trace_id", "traceId") or first(context, "trace_id", "traceId")),
        text(first(value, "context.span_id", "span_id", "spanId") or first(context, "span_id", "spanId")),
        text(first(value, "parent_id", "parentId", "parent_span_id")), text(value.get("name")) or "",
        start=start, begun=unread, end=moment(first(value, "end_time", "endTime")),
        attributes=named, error=(said or "error") if status.upper().endswith("ERROR") else None,
    )  # fmt: skip


def _attributes(value: Json) -> list[tuple[str, object]]:
    """Attributes under dotted names, messages that are lists of objects spread out as the
    conventions do; whatever else a record has is among them, too."""
    nested = mapping(value.get("attributes"))
    own = {key.removeprefix(PREFIX): tree(inner) for key, inner in value.items() if key != "attributes"}
    found = [*flat(dict(nested)), *flat(own)]
    spread = [
        pair for key, inner in found if isinstance(inner, list | tuple) and key.startswith("llm.")
        for pair in flat(inner, key, lists=True)
    ]  # fmt: skip
    return [
        *((key, inner) for key, inner in found if not any(key == k.split(".0.")[0] for k, _ in spread)),
        *spread,
    ]
