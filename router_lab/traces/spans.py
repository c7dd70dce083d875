"""Spans, of OpenTelemetry's GenAI conventions, their older names, and OpenInference's: which of
them are model calls, and what those say. Each thing is looked for under all names that it has had,
the current one first."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from router_lab.prices import Tokens
from router_lab.traces.call import UNNAMED, TracedCall
from router_lab.traces.conversation import Message, ToolUse, answer_of, messages_of, written
from router_lab.traces.fields import Json, between, count, dollars, first, flat, text, tree
from router_lab.traces.usage import tokens_of

NAMES: Mapping[str, tuple[str, ...]] = {
    "model": ("gen_ai.response.model", "gen_ai.request.model", "llm.model_name", "llm.response.model",
              "llm.request.model", "ai.response.model", "ai.model.id", "embedding.model_name"),
    "provider": ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider"),
    "read": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt",
             "llm.usage.prompt_tokens", "ai.usage.inputTokens", "ai.usage.promptTokens"),
    "cached": ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
               "gen_ai.usage.input_tokens.cached", "gen_ai.usage.cached_input_tokens",
               "llm.token_count.prompt_details.cache_read", "ai.usage.cachedInputTokens",
               "ai.usage.inputTokenDetails.cacheReadTokens"),
    "written": ("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens",
                "gen_ai.usage.cache_write_input_tokens", "gen_ai.usage.input_tokens.cache_write",
                "llm.token_count.prompt_details.cache_write", "ai.usage.cacheCreationInputTokens",
                "ai.usage.inputTokenDetails.cacheWriteTokens"),
    "wrote": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion",
              "llm.usage.completion_tokens", "ai.usage.outputTokens", "ai.usage.completionTokens"),
    "reasoning": ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.output_tokens.reasoning",
                  "gen_ai.usage.reasoning_output_tokens", "gen_ai.usage.reasoning_tokens",
                  "llm.token_count.completion_details.reasoning", "ai.usage.reasoningTokens",
                  "ai.usage.outputTokenDetails.reasoningTokens"),
    "usd": ("gen_ai.usage.cost", "llm.cost.total", "operation.cost", "gen_ai.usage.total_cost"),
    "session": ("gen_ai.conversation.id", "session.id", "langfuse.session.id", "thread.id"),
    "route": ("router_lab.suite", "gen_ai.workflow.name", "gen_ai.prompt.name", "gen_ai.agent.name", "agent.name",
              "openinference.project.name", "service.name"),
    "operation": ("gen_ai.operation.name", "openinference.span.kind", "traceloop.span.kind", "llm.request.type"),
    "tool": ("gen_ai.tool.name", "tool.name", "traceloop.entity.name"),
    "arguments": ("gen_ai.tool.call.arguments", "tool.parameters", "input.value", "traceloop.entity.input"),
    "finish": ("gen_ai.response.finish_reasons", "llm.response.finish_reason", "ai.response.finishReason",
               "gen_ai.completion.0.finish_reason", "llm.finish_reason"),
    "tier": ("openai.response.service_tier", "gen_ai.openai.response.service_tier", "openai.request.service_tier"),
}  # fmt: skip
ASKED = ("gen_ai.input.messages", "llm.input_messages", "gen_ai.prompt", "llm.prompts", "ai.prompt.messages",
         "ai.prompt", "input.value", "gen_ai.content.prompt")  # fmt: skip
SAID = ("gen_ai.output.messages", "llm.output_messages", "gen_ai.completion", "llm.completions", "ai.response.text",
        "output.value", "gen_ai.content.completion")  # fmt: skip
CALLS = (
    "chat",
    "text_completion",
    "generate_content",
    "completion",
    "llm",
    "embeddings",
    "embedding",
    "response",
)
"""Operations and kinds of span that are model calls."""
TOOLS = ("execute_tool", "tool")


@dataclass(frozen=True)
class Span:
    """A span of any tracer. attributes: under dotted names, those of its resource and of its events
    among them."""

    place: str
    trace: str | None
    span: str | None
    parent: str | None
    name: str
    start: dt.datetime | None
    end: dt.datetime | None
    attributes: Json
    error: str | None = None
    begun: str | None = None

    def told(self, what: str) -> Any:
        """What it says of something in NAMES."""
        return first(self.attributes, *NAMES[what])

    @property
    def kind(self) -> str:
        return (text(self.told("operation")) or "").lower()

    @property
    def is_call(self) -> bool:
        if self.kind:
            return self.kind in CALLS
        return self.told("model") is not None and (self.told("read") or self.told("wrote")) is not None


def calls_of_spans(spans: Sequence[Span], file: str) -> tuple[list[TracedCall], Counter[str]]:
    """The model calls among spans of a file, and how many spans are none, by the reason.

    A call within which another call is traced (an SDK under a framework) is left out: it would be
    counted twice.
    """
    left: Counter[str] = Counter()
    calls = [span for span in spans if span.is_call]
    outer = _outer(spans, calls)
    found = []
    for span in calls:
        if (span.trace, span.span) in outer:
            left["a call that is traced again within itself"] += 1
        else:
            found.append(_call(span, file))
    for span in spans:
        if not span.is_call:
            left[f"a span of another kind ({span.kind or 'no model, or no tokens'})"] += 1
    return _with_tools(found, spans), left


def _outer(spans: Sequence[Span], calls: Sequence[Span]) -> set[tuple[str | None, str | None]]:
    """(trace, span) of every span that has a call with tokens somewhere within it."""
    parents = {(s.trace, s.span): s.parent for s in spans}
    found: set[tuple[str | None, str | None]] = set()
    for call in calls:
        if call.told("read") is None and call.told("wrote") is None:
            continue
        at = (call.trace, call.parent)
        while at[1] is not None and at in parents and at not in found:
            found.add(at)
            at = (call.trace, parents[at])
    return found


def _call(span: Span, file: str) -> TracedCall:
    named = span.attributes
    read, wrote, cached, kept, thought = (
        count(span.told(what)) for what in ("read", "wrote", "cached", "written", "reasoning")
    )
    # What cannot be read is not nothing, and tracers write a cost of 0 where they know no price.
    unread = any(n is None and span.told(what) is not None for n, what in ((read, "read"), (wrote, "wrote")))
    tokens: Tokens | None = None if unread else tokens_of(read, wrote, cached, kept, thought)
    usd = dollars(span.told("usd"))
    if usd == 0 and (unread or (tokens is not None and tokens.prompt + tokens.output > 0)):
        usd = None
    answer, ended = _said(named)
    reasons = tree(span.told("finish"))
    finish = text(reasons[0]) if isinstance(reasons, list) and reasons else text(reasons)
    return TracedCall(
        file, span.place, text(span.told("model")) or "unknown", text(span.told("provider")),
        route=text(span.told("route")) or UNNAMED, session=text(span.told("session")), trace=span.trace,
        span=span.span, started=span.start, seconds=between(span.start, span.end), messages=_asked(named),
        answer=answer, tokens=tokens, usd=usd, error=span.error, finish=finish or ended,
        tier=_tier(span.told("tier")), metadata=_rest(named),
        begun=span.begun,
    )  # fmt: skip


def _tier(value: object) -> str:
    found = text(value)
    return found if found in ("batch", "flex", "priority") else "standard"


def _asked(named: Json) -> tuple[Message, ...]:
    frame = messages_of(named.get("gen_ai.system_instructions"), "system")
    for name in ASKED:
        found = messages_of(named.get(name)) or messages_of(numbered(named, name))
        if found:
            return (*frame, *found)
    return ()


def _said(named: Json) -> tuple[Message | None, str | None]:
    for name in SAID:
        for value in (named.get(name), numbered(named, name)):
            said, ended = answer_of(value)
            if said is not None:
                return said, ended
    calls = messages_of({"role": "assistant", "tool_calls": named.get("ai.response.toolCalls")}, "assistant")
    return (calls[0], None) if calls else (None, None)


def numbered(named: Json, prefix: str) -> list[dict[str, Any]]:
    """Messages that are spread over attributes (`PREFIX.0.message.role`, `PREFIX.0.content`), as
    objects of `role`, `content` and `tool_calls`."""
    parts: dict[int, dict[str, Any]] = defaultdict(dict)
    for key, value in named.items():
        found = re.fullmatch(re.escape(prefix) + r"\.(\d{1,6})\.(?:message\.)?(.+)", key)
        if found:
            parts[int(found[1])][found[2]] = value
    return [_whole(parts[at]) for at in sorted(parts)]


def _whole(part: Mapping[str, Any]) -> dict[str, Any]:
    content: dict[int, str] = {}
    tools: dict[int, dict[str, Any]] = defaultdict(dict)
    for key, value in part.items():
        said = re.fullmatch(r"contents\.(\d{1,6})\.message_content\.text", key)
        used = re.fullmatch(r"tool_calls\.(\d{1,6})\.(?:tool_call\.)?(?:function\.)?(name|arguments)", key)
        if said:
            content[int(said[1])] = str(value)
        elif used:
            tools[int(used[1])][used[2]] = value
    text_parts = [content[at] for at in sorted(content)]
    found: dict[str, Any] = {"content": first(part, "content") or text_parts}
    found |= {name: part[name] for name in ("role", "finish_reason") if name in part}
    return found | ({"tool_calls": [tools[at] for at in sorted(tools)]} if tools else {})


def _rest(named: Json) -> dict[str, object]:
    """Everything that is not a text of the conversation."""
    texts = (*ASKED, *SAID, "gen_ai.system_instructions", "gen_ai.tool.definitions", "llm.tools")
    return {
        key: value for key, value in flat(dict(named))
        if not any(key == name or key.startswith(f"{name}.") for name in texts)
    }  # fmt: skip


def _with_tools(calls: list[TracedCall], spans: Sequence[Span]) -> list[TracedCall]:
    """Where answers keep no tool calls, the tools that ran behind a call in its trace are its."""
    if any(call.tools for call in calls):
        return calls
    ran: dict[int, list[ToolUse]] = defaultdict(list)
    for span, name in _tools(spans):
        before = [
            (call.started, at) for at, call in enumerate(calls)
            if call.trace == span.trace and call.started is not None and span.start and call.started <= span.start
        ]  # fmt: skip
        if before:
            ran[max(before)[1]].append(ToolUse(name, written(span.told("arguments"))))
    return [replace(call, behind=tuple(ran[at])) if at in ran else call for at, call in enumerate(calls)]


def _tools(spans: Sequence[Span]) -> Iterator[tuple[Span, str]]:
    for span in spans:
        name = text(span.told("tool")) or span.name
        if span.kind in TOOLS and name:
            yield span, name
