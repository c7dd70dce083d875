"""LiteLLM's spend logs: rows of its table `LiteLLM_SpendLogs`, from the API (`/spend/logs`), the
interface or the database; JSON, JSONL or CSV."""

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
    credited,
    dollars,
    first,
    flat,
    mapping,
    moment,
    number,
    text,
    tree,
)  # fmt: skip
from router_lab.traces.records import Record
from router_lab.traces.usage import usage_tokens

TEXTS = ("messages", "response", "output", "proxy_server_request")
CREDIT = "a refund or correction (a spend below 0, without tokens)"
NO_KEY = ("", "Cache OFF", "None", None)


def claims(value: Json) -> bool:
    rows = "spend" in value and ("request_id" in value or "call_type" in value)
    return rows or ("call_type" in value and "startTime" in value)


def read(records: Sequence[Record], file: str) -> tuple[list[TracedCall], list[Problem], Counter[str]]:
    calls, left = list[TracedCall](), Counter[str]()
    credits, asked = list[float](), 0
    for record in records:
        credit = credited(record.value.get("spend"))
        credits += [credit] if credit else []
        if text(record.value.get("model")) is None and not record.value.get("status"):
            left[CREDIT if credit else "a spend that is no model call (no model)"] += 1
            continue
        call = _call(record, file)
        if credit and not _worked(call):
            left[CREDIT] += 1
            continue
        calls.append(call)
        asked += bool(credit)
    return calls, [Problem(file, "the file", _credits(credits, asked))] if credits else [], left


def _worked(call: TracedCall) -> bool:
    """Whether a row is a call that was made: it has tokens, or an error."""
    return call.error is not None or (call.tokens is not None and call.tokens.input + call.tokens.output > 0)


def _credits(credits: Sequence[float], asked: int) -> str:
    """What is said of a file's spends below 0; `asked` of them are calls."""
    rows = (
        f"{len(credits):,} row{'s' * (len(credits) > 1)} with a spend below 0, -${sum(credits):,.6g} in all"
    )
    rule = "refunds and corrections lower no figure here; take them off yourself where they are right"
    return f"{rows}: {rule}" + (
        f" (calls among them, which count at list prices: {asked:,})" if asked else ""
    )


def _call(record: Record, file: str) -> TracedCall:
    value, metadata = record.value, mapping(record.value.get("metadata"))
    (start, unread), end = beginning(value.get("startTime")), moment(value.get("endTime"))
    lasted = number(value.get("request_duration_ms"))
    answer, finish = answer_of(value.get("response") or _choices(value.get("output")))
    rest = {key: inner if key != "metadata" else metadata for key, inner in value.items() if key not in TEXTS}
    # The row's own counts and, where it is there, the provider's usage, which tells kinds apart.
    usage = {**mapping(metadata.get("usage_object")), **_counts(value)}
    key = value.get("cache_key")
    return TracedCall(
        file, record.place, text(first(value, "model", "model_group")) or "unknown",
        text(value.get("custom_llm_provider")), route=_route(value, metadata), session=text(value.get("session_id")),
        trace=text(first(mapping(metadata.get("spend_logs_metadata")), "trace_id", "parent_trace_id")),
        span=text(value.get("request_id")), started=start,
        seconds=between(start, end) if lasted is None else lasted / 1e3, messages=_asked(value), answer=answer,
        tokens=usage_tokens(usage, apart=False), usd=_usd(value), error=_error(value, metadata),
        finish=finish, key=None if key in NO_KEY else text(key),
        metadata=dict(flat(rest)), begun=unread,
    )  # fmt: skip


def _choices(output: object) -> dict[str, Any]:
    """The answer as buckets of older versions have it: a list of choices, each as its JSON."""
    return {"choices": [tree(one) for one in output]} if isinstance(output, list) else {}


def _counts(value: Json) -> dict[str, Any]:
    names = (
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
    )
    return {name: value[name] for name in names if value.get(name) not in (None, "")}


def _usd(value: Json) -> float | None:
    """What was spent. LiteLLM writes 0 for a model whose price it does not know, too: of such a row
    nothing is known, unless a cache answered or nothing was counted."""
    spent = dollars(value.get("spend"))
    free = text(value.get("cache_hit")) == "True" or value.get("cache_hit") is True
    counted = first(value, "total_tokens")
    return None if spent == 0 and counted is not None and number(counted) != 0 and not free else spent


def _asked(value: Json) -> tuple[Message, ...]:
    """The request, which newer versions keep as the proxy got it; neither is there unless the
    proxy was told to store prompts."""
    sent = mapping(value.get("proxy_server_request"))
    return messages_of(value.get("messages")) or messages_of(sent.get("body") or sent)


def _route(value: Json, metadata: Json) -> str:
    """The first tag that the application gave, else the key's or the team's name."""
    tags = tree(value.get("request_tags"))
    given = [tag for tag in (tags if isinstance(tags, list) else []) if not str(tag).startswith("User-Agent")]
    named = first(metadata, "user_api_key_alias", "user_api_key_team_alias")
    return (text(given[0]) if given else None) or text(named) or text(value.get("model_group")) or UNNAMED


def _error(value: Json, metadata: Json) -> str | None:
    told = mapping(metadata.get("error_information"))
    status = str(first(value, "status") or metadata.get("status") or "").lower()
    if status not in ("failure", "failed", "error") and not told:
        return None
    return text(first(told, "error_message", "error_class", "error_code")) or status
