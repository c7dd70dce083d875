"""Synthetic exports, made here: in each format the same two calls of one session, written as that format writes them.

The first: 1,000,000 tokens read, 400,000 of them from a cache, 100,000 written, 20,000 of those reasoning. The second
reads 500,000 and fails. At PRICES they cost 1.2 + .2 + .8 = $2.20 and $1.00."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from router_lab.config import Price
from router_lab.prices import PriceTable

MODEL = "acme-1"
FIRST, SECOND, WHOLE = 2.20, 1.00, 3.20
QUESTION, ANSWER = "Where is parcel 17?", "On its way."
START, END, LATER = "2026-10-01T08:00:00Z", "2026-10-01T08:00:02Z", "2026-10-01T08:00:05Z"
NANOS = {START: "1790841600000000000", END: "1790841602000000000", LATER: "1790841605000000000"}
USAGE = {
    "prompt_tokens": 1_000_000, "completion_tokens": 100_000, "total_tokens": 1_100_000,
    "prompt_tokens_details": {"cached_tokens": 400_000}, "completion_tokens_details": {"reasoning_tokens": 20_000},
}  # fmt: skip
CHOICES = [{"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}]
ASKED = [{"role": "user", "content": QUESTION}]


def prices() -> PriceTable:
    """$ per million: 2 to read, .5 from a cache, 2.5 into one, 8 to write."""
    fields: dict[str, Any] = {
        "input": 2,
        "output": 8,
        "cache_read": 0.5,
        "cache_write_5m": 2.5,
        "tiers": {"batch": 0.5},
    }
    entry = Price(starts="2026-01-01", checked="2026-01-01", source="https://example.com", **fields)  # type: ignore[arg-type]
    return PriceTable({MODEL: [entry]}, default=False)


def attributes(**named: Any) -> list[dict[str, Any]]:
    kinds = {str: "stringValue", int: "intValue", list: "arrayValue"}
    made = []
    for key, value in named.items():
        told = str(value) if isinstance(value, int) else value
        told = {"values": [{"stringValue": one} for one in value]} if isinstance(value, list) else told
        made.append({"key": key, "value": {kinds[type(value)]: told}})
    return made


def otlp(names: dict[str, str] | None = None) -> dict[str, Any]:
    """Current names, or older ones for them; around both calls the agent's span with the sum, which is no call."""
    old = names or {}

    def named(**given: Any) -> list[dict[str, Any]]:
        return attributes(**{old.get(key, key): value for key, value in given.items()})

    common = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "acme", "gen_ai.request.model": MODEL,
              "gen_ai.conversation.id": "s1", "my_own": "kept"}  # fmt: skip
    said = [{"role": "assistant", "parts": [{"type": "text", "content": ANSWER}], "finish_reason": "stop"}]
    asked = [{"role": "user", "parts": [{"type": "text", "content": QUESTION}]}]
    first = named(**common, **{
        "gen_ai.usage.input_tokens": 1_000_000, "gen_ai.usage.cache_read.input_tokens": 400_000,
        "gen_ai.usage.output_tokens": 100_000, "gen_ai.usage.reasoning.output_tokens": 20_000,
        "gen_ai.input.messages": json.dumps(asked), "gen_ai.output.messages": json.dumps(said),
        "gen_ai.response.finish_reasons": ["stop"],
    })  # fmt: skip
    second = named(**common, **{"gen_ai.usage.input_tokens": 500_000, "gen_ai.usage.output_tokens": 0})
    agent = named(**{"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 1_500_000})
    spans = [
        {"traceId": "t1", "spanId": "a", "name": "agent", "startTimeUnixNano": NANOS[START], "attributes": agent},
        {"traceId": "t1", "spanId": "b", "parentSpanId": "a", "name": "chat", "startTimeUnixNano": NANOS[START],
         "endTimeUnixNano": NANOS[END], "attributes": first},
        {"traceId": "t1", "spanId": "c", "parentSpanId": "a", "name": "chat", "startTimeUnixNano": NANOS[LATER],
         "attributes": second, "status": {"code": 2, "message": "timeout"}},
    ]  # fmt: skip
    resource = {"attributes": attributes(**{"service.name": "support"})}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}


OLD_NAMES = {
    "gen_ai.provider.name": "gen_ai.system", "gen_ai.usage.input_tokens": "gen_ai.usage.prompt_tokens",
    "gen_ai.usage.output_tokens": "gen_ai.usage.completion_tokens",
    "gen_ai.usage.cache_read.input_tokens": "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.reasoning.output_tokens": "gen_ai.usage.reasoning_tokens",
}  # fmt: skip


def litellm() -> list[dict[str, Any]]:
    """The first row's spend is 0 beside tokens (LiteLLM knows no price), the second's says what it cost."""
    common = {"call_type": "acompletion", "model": MODEL, "custom_llm_provider": "acme", "session_id": "s1",
              "request_tags": ["User-Agent: x", "support"], "my_own": "kept", "cache_hit": "False"}  # fmt: skip
    return [
        {**common, "request_id": "r1", "spend": 0.0, "prompt_tokens": 1_000_000, "completion_tokens": 100_000,
         "total_tokens": 1_100_000, "startTime": START, "endTime": END, "metadata": {"usage_object": USAGE},
         "messages": ASKED, "response": {"choices": CHOICES}, "status": "success"},
        {**common, "request_id": "r2", "spend": SECOND, "prompt_tokens": 500_000, "completion_tokens": 0,
         "total_tokens": 500_000, "startTime": LATER, "endTime": LATER, "messages": {}, "response": {},
         "metadata": {"error_information": {"error_message": "timeout"}}, "status": "failure"},
    ]  # fmt: skip


def langfuse() -> list[dict[str, Any]]:
    """Kinds are counted apart; the second's dollars are the source's own."""
    common = {"traceId": "t1", "sessionId": "s1", "traceName": "support", "type": "GENERATION", "model": MODEL,
              "my_own": "kept"}  # fmt: skip
    return [
        {**common, "id": "o0", "type": "SPAN", "startTime": START},
        {**common, "id": "o1", "startTime": START, "endTime": END, "input": ASKED, "output": CHOICES[0]["message"],
         "usageDetails": {"input": 600_000, "input_cached_tokens": 400_000, "output": 80_000,
                          "output_reasoning_tokens": 20_000, "total": 1_100_000}},
        {**common, "id": "o2", "startTime": LATER, "level": "ERROR", "statusMessage": "timeout",
         "usage": {"input": 500_000, "output": 0}, "costDetails": {"input": 0.4, "output": 0.6}},
    ]  # fmt: skip


def phoenix() -> list[dict[str, Any]]:
    """Columns of the dataframe."""
    common = {"name": "ChatAcme", "span_kind": "LLM", "parent_id": "a", "context.trace_id": "t1",
              "attributes.session.id": "s1", "attributes.llm.model_name": MODEL, "attributes.agent.name": "support",
              "attributes.my_own": "kept"}  # fmt: skip
    count = "attributes.llm.token_count."
    return [
        {**common, "name": "agent", "span_kind": "AGENT", "parent_id": None, "context.span_id": "a", "start_time": START},
        {**common, "context.span_id": "b", "start_time": START, "end_time": END, "status_code": "OK",
         f"{count}prompt": 1_000_000, f"{count}completion": 100_000, f"{count}prompt_details.cache_read": 400_000,
         f"{count}completion_details.reasoning": 20_000,
         "attributes.llm.input_messages": [{"message.role": "user", "message.content": QUESTION}],
         "attributes.llm.output_messages": [{"message.role": "assistant", "message.content": ANSWER}]},
        {**common, "context.span_id": "c", "start_time": LATER, "status_code": "ERROR", "status_message": "timeout",
         f"{count}prompt": 500_000, f"{count}completion": 0},
    ]  # fmt: skip


def nested(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those spans as Phoenix's API has them."""
    made = []
    for row in rows:
        inner: dict[str, Any] = {}
        for key, value in row.items():
            if key.startswith("attributes."):
                *path, last = key.split(".")[1:]
                at = inner
                for part in path:
                    at = at.setdefault(part, {})
                at[last] = value
        context = {"trace_id": row["context.trace_id"], "span_id": row["context.span_id"]}
        made.append(
            {**{k: v for k, v in row.items() if "." not in k}, "context": context, "attributes": inner}
        )
    return made


def chat() -> list[dict[str, Any]]:
    common = {"route": "support", "session_id": "s1", "my_own": "kept"}
    return [
        {**common, "id": "1", "timestamp": START, "end_time": END, "request": {"model": MODEL, "messages": ASKED},
         "response": {"model": MODEL, "choices": CHOICES, "usage": USAGE}},
        {**common, "id": "2", "timestamp": LATER, "request": {"model": MODEL, "messages": ASKED},
         "response": {"model": MODEL, "usage": {"prompt_tokens": 500_000, "completion_tokens": 0}},
         "error": {"message": "timeout"}},
    ]  # fmt: skip


def anthropic() -> list[dict[str, Any]]:
    """Cached tokens beside the input; the first answer as Anthropic writes it."""
    rows = chat()
    usage = {"input_tokens": 600_000, "cache_read_input_tokens": 400_000, "output_tokens": 100_000}
    said = {
        "model": MODEL,
        "content": [{"type": "text", "text": ANSWER}],
        "stop_reason": "end_turn",
        "usage": usage,
    }
    return [{**rows[0], "response": said}, rows[1]]


def responses() -> list[dict[str, Any]]:
    rows = chat()
    usage = {
        "input_tokens": 1_000_000,
        "input_tokens_details": {"cached_tokens": 400_000},
        "output_tokens": 100_000,
    }
    said = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": ANSWER}]}]
    return [{**rows[0], "request": {"model": MODEL, "input": QUESTION},
             "response": {"model": MODEL, "output": said, "usage": usage}}, rows[1]]  # fmt: skip


def as_json(rows: Any) -> str:
    return json.dumps(rows)


def as_lines(rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in (rows if isinstance(rows, list) else [rows]))


def as_csv(rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    table = csv.DictWriter(text, names)
    table.writeheader()
    for row in rows:
        table.writerow({k: json.dumps(v) if isinstance(v, dict | list) else v for k, v in row.items()})
    return text.getvalue()


def snake(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    renamed = {"traceId": "trace_id", "sessionId": "session_id", "traceName": "trace_name", "startTime": "start_time",
               "endTime": "end_time", "usageDetails": "usage_details", "costDetails": "cost_details",
               "statusMessage": "status_message", "model": "provided_model_name"}  # fmt: skip
    return [{renamed.get(key, key): value for key, value in row.items()} for row in rows]


def whole_trace() -> list[dict[str, Any]]:
    own = [{k: v for k, v in row.items() if k not in ("sessionId", "traceName")} for row in langfuse()]
    return [{"id": "t1", "name": "support", "sessionId": "s1", "observations": own}]


def beside_its_trace() -> dict[str, Any]:
    """As the interface downloads one trace."""
    (whole,) = whole_trace()
    return {
        "trace": {k: v for k, v in whole.items() if k != "observations"},
        "observations": whole["observations"],
    }


def bucket() -> list[dict[str, Any]]:
    """As LiteLLM's older versions write to a bucket: the answer's choices as texts."""
    rows = [{key: value for key, value in row.items() if key != "response"} for row in litellm()]
    return [{**rows[0], "output": [json.dumps(CHOICES[0])]}, rows[1]]


def in_traces() -> list[dict[str, Any]]:
    """As Phoenix's command line has whole traces."""
    return [{"traceId": "t1", "status": "OK", "spans": nested(phoenix())}]


EXPORTS: dict[str, tuple[str, str, Callable[[], str]]] = {
    "otlp": ("otlp", "json", lambda: as_json(otlp())),
    "otlp, a line": ("otlp", "jsonl", lambda: as_lines(otlp())),
    "otlp, older names": ("otlp", "json", lambda: as_json(otlp(OLD_NAMES))),
    "litellm": ("litellm", "json", lambda: as_json(litellm())),
    "litellm, of the api": ("litellm", "json", lambda: as_json({"data": litellm(), "total": 2})),
    "litellm, lines": ("litellm", "jsonl", lambda: as_lines(litellm())),
    "litellm, csv": ("litellm", "csv", lambda: as_csv(litellm())),
    "langfuse": ("langfuse", "json", lambda: as_json(langfuse())),
    "langfuse, snake case": ("langfuse", "jsonl", lambda: as_lines(snake(langfuse()))),
    "langfuse, csv": ("langfuse", "csv", lambda: as_csv(langfuse())),
    "langfuse, traces": ("langfuse", "json", lambda: as_json(whole_trace())),
    "langfuse, one trace": ("langfuse", "json", lambda: as_json(beside_its_trace())),
    "litellm, of a bucket": ("litellm", "json", lambda: as_json(bucket())),
    "phoenix, traces": ("phoenix", "json", lambda: as_json({"data": in_traces()})),
    "phoenix": ("phoenix", "jsonl", lambda: as_lines(phoenix())),
    "phoenix, csv": ("phoenix", "csv", lambda: as_csv(phoenix())),
    "phoenix, of the api": ("phoenix", "json", lambda: as_json({"data": nested(phoenix())})),
    "chat": ("chat", "jsonl", lambda: as_lines(chat())),
    "chat, anthropic": ("chat", "jsonl", lambda: as_lines(anthropic())),
    "chat, responses": ("chat", "json", lambda: as_json(responses())),
}
"""By name: the format, the file's ending, and its text."""


def write(folder: Path, name: str) -> Path:
    _, ending, make = EXPORTS[name]
    path = folder / f"export.{ending}"
    path.write_text(make(), encoding="utf-8")
    return path


def write_parquet(folder: Path) -> Path:
    """Phoenix's dataframe, as it saves it."""
    frame = pd.DataFrame(phoenix()).set_index("context.span_id")
    for column in ("start_time", "end_time"):
        frame[column] = pd.to_datetime(frame[column])
    path = folder / "spans.parquet"
    frame.to_parquet(path)
    return path
