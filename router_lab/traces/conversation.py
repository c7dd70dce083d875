"""Messages as providers, SDKs and tracers write them down, in one shape: who spoke, what, and
which tools were called with what."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from router_lab.traces.fields import first, text, tree

ROLES = {"developer": "system", "human": "user", "ai": "assistant", "model": "assistant", "function": "tool"}
"""Roles of some, by the four that are used here: system, user, assistant, tool."""
TEXTS = ("text", "input_text", "output_text", "refusal")
CALLS = ("tool_use", "tool_call", "function_call", "server_tool_use")
RESULTS = ("tool_result", "tool_call_response", "function_call_output", "tool_response")
UNSAID = ("thinking", "reasoning", "redacted_thinking")
"""Parts that nobody is shown."""
MOST_MESSAGES = 10_000


class ToolUse(NamedTuple):
    """A tool's name and the arguments it was called with, as JSON with sorted keys."""

    name: str
    arguments: str = ""


class Message(NamedTuple):
    """role: `system`, `user`, `assistant` or `tool`."""

    role: str
    text: str
    tools: tuple[ToolUse, ...] = ()


def messages_of(value: object, role: str = "user") -> tuple[Message, ...]:
    """The messages in a text, a message, a list of them, or a request body (`messages`, `input`,
    `prompt`, with `system` or `instructions`), also from JSON. role: of what names none."""
    found = tree(value)
    if isinstance(found, Mapping) and not _is_message(found):
        inner = first(found, "messages", "input", "prompt", "contents", "kwargs", "args")
        if inner is None:
            return _of_one(found, role)
        frame = messages_of(first(found, "system", "instructions"), "system")
        return (*frame, *messages_of(inner, role))
    if isinstance(found, list | tuple):
        items = list(found)[:MOST_MESSAGES]
        if len(items) == 1 and isinstance(items[0], list):  # a batch of one conversation
            items = items[0][:MOST_MESSAGES]
        if items and not any(isinstance(i, Mapping) and (_is_message(i) or _is_item(i)) for i in items):
            return _of_one(items, role)
        return tuple(message for item in items for message in _of_one(item, role))
    return _of_one(found, role)


def _is_message(value: Mapping[str, Any]) -> bool:
    return "role" in value or ("content" in value and value.get("type") in ("human", "ai", "system", "tool"))


def _is_item(value: Mapping[str, Any]) -> bool:
    """An item of OpenAI's responses: a call or a result that stands beside messages."""
    return value.get("type") in ("function_call", "function_call_output")


def _of_one(value: object, role: str) -> tuple[Message, ...]:
    if value in (None, "", [], {}):
        return ()
    if not isinstance(value, Mapping):
        said, tools, _ = _content(value)
        return (Message(role, said, tools),) if said or tools else ()
    who = text(first(value, "role")) or text(value.get("type") if "content" in value else None) or role
    who = ROLES.get(who, who if who in ("system", "user", "assistant", "tool") else role)
    parts = first(value, "content", "parts", "text")
    said, tools, result = _content(value if _is_item(value) else parts)
    more = tuple(_called(first(call, "function") or call) for call in _calls(value))
    if result and not said.strip(result):
        who = "tool"
    found = Message(who, said, (*tools, *(one for one in more if one is not None)))
    return (found,) if found.text or found.tools else ()


def _calls(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """`tool_calls` of a message, and the older single `function_call`."""
    several = tree(message.get("tool_calls"))
    found = [*(several if isinstance(several, list) else []), message.get("function_call")]
    yield from (call for call in found if isinstance(call, Mapping))


def _content(value: object) -> tuple[str, tuple[ToolUse, ...], str]:
    """(text, tools called, text of tools' results alone) of a message's content."""
    parts: Sequence[object] = value if isinstance(value, list | tuple) else [value]
    texts, tools, results = [], [], []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping):
            kind = part.get("type")
            if kind in CALLS:
                tools.append(_called(part))
            elif kind in RESULTS:
                said = _plain(first(part, "content", "response", "output", "result"))
                texts.append(said)
                results.append(said)
            elif kind not in UNSAID:
                texts.append(
                    _plain(first(part, "text", "content", "value") if kind in (None, *TEXTS) else None)
                )
    joined = "\n".join(part for part in texts if part)
    return joined, tuple(tool for tool in tools if tool is not None), "\n".join(filter(None, results))


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return "\n".join(
            filter(
                None, (_plain(first(v, "text", "content") if isinstance(v, Mapping) else v) for v in value)
            )
        )
    return "" if value is None else written(value)


def _called(call: Mapping[str, Any]) -> ToolUse | None:
    name = text(call.get("name")) if isinstance(call, Mapping) else None
    return None if name is None else ToolUse(name, written(first(call, "arguments", "input", "args")))


def written(value: object) -> str:
    """`value` as JSON with sorted keys, so that the same arguments are the same text."""
    found = tree(value)
    if found is None:
        return ""
    try:
        return json.dumps(found, sort_keys=True, ensure_ascii=False, default=str)
    except (ValueError, TypeError, RecursionError):
        return "unknown"


def last_question(messages: Sequence[Message]) -> str | None:
    """The text of the last user turn; None where there is none."""
    return next((m.text for m in reversed(messages) if m.role == "user" and m.text), None)


def answer_of(value: object) -> tuple[Message | None, str | None]:
    """(what the model wrote, why it ended) of a provider's whole response, of a message, or of a
    text."""
    found = tree(value)
    if not isinstance(found, Mapping):
        last = found[-1] if isinstance(found, list) and found else None
        ended = text(last.get("finish_reason")) if isinstance(last, Mapping) else None
        return _joined(messages_of(found, "assistant")), ended
    choices = tree(found.get("choices"))
    if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
        chosen = choices[0]
        said = _joined(messages_of(first(chosen, "message", "text", "delta"), "assistant"))
        return said, text(chosen.get("finish_reason"))
    finish = text(first(found, "stop_reason", "finish_reason", "finishReason"))
    details = found.get("incomplete_details")
    if finish is None and isinstance(details, Mapping):
        finish = text(details.get("reason"))
    inner = (
        first(found, "output", "message", "generations", "completion") if "content" not in found else found
    )
    return _joined(messages_of(found if inner is None else inner, "assistant")), finish


def _joined(messages: Sequence[Message]) -> Message | None:
    """The assistant's turns as one."""
    own = [m for m in messages if m.role == "assistant"]
    if not own:
        return None
    return Message(
        "assistant", "\n".join(m.text for m in own if m.text), tuple(t for m in own for t in m.tools)
    )
