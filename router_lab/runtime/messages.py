"""Which text of a conversation is routed on: one rule for what was measured and for what is
asked."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from router_lab.runtime.errors import PolicyError

TEXT_PARTS = ("text", "input_text")
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_WRAPPERS = ("messages", "input", "prompt")
"""Keys under which an export keeps a request's messages."""
_BEGINS = frozenset('<[{"')
"""How a text begins that may hold messages."""
_CHATML = re.compile(r"<\|im_start\|>[ ]*(\w+)[^\n]*\n(.*?)(?:<\|im_end\|>|\Z)", re.DOTALL)


def last_user_text(messages: object) -> str:
    """The text of the last user turn that has any, as the policy was fitted on: single questions.

    System prompts, answers, tool calls and tool results (also those that Anthropic's API puts into
    user messages) are passed over, so that an agent's growing context does not swamp what was
    asked. No user turn: the empty text.
    """
    if not isinstance(messages, (list, tuple)):  # no union, which is made anew each time
        raise PolicyError(f"decide: prompt is {type(messages).__name__}, not a str or a list of messages")
    index = last_user_turn(messages)
    return "" if index is None else text_of(messages[index].get("content"))


def last_user_turn(messages: list[Any] | tuple[Any, ...]) -> int | None:
    """Where the last user turn with a text stands. PolicyError for what is no message before it
    was found."""
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if not isinstance(message, dict):
            raise PolicyError(f"decide: prompt[{index}] is {type(message).__name__}, not a message (a dict)")
        if message.get("role") == "user" and text_of(message.get("content")):
            return index
    return None


def text_of(content: object) -> str:
    """Plain text of a message's content: a str, or the text parts of a list, one per line."""
    if isinstance(content, str):
        return content if type(content) is str else plain_text(content)
    if not isinstance(content, (list, tuple)):
        return ""
    parts = (
        part if isinstance(part, str) else part.get("text")
        for part in content
        if isinstance(part, str) or (isinstance(part, dict) and part.get("type") in TEXT_PARTS)
    )
    return "\n".join(plain_text(part) for part in parts if isinstance(part, str))


def plain_text(text: str) -> str:
    """The text itself: a subclass (numpy's, an Enum's, a hostile one) may measure, cut or encode
    it otherwise."""
    return text if type(text) is str else str.__str__(text)


def prompt_text(value: object) -> str | None:
    """The text of a `prompt` as tables hold it, equal to what `decide` reads of the same
    conversation.

    A text is itself, unless it is JSON of messages, or ChatML: then it is read as those. Messages
    are a list (also numpy's) of objects with a role, one such object, or an object with
    `messages`. None where there is no text to route on (null, an image alone, no user turn).
    Raises ValueError for anything else: no text is made up.
    """
    if type(value) is str and value[:64].lstrip()[:1] not in _BEGINS:
        return value  # nearly every prompt of a large table
    messages = messages_in(value)
    if messages is not None:
        return last_user_text(messages) or None
    if isinstance(value, str):
        return value
    value = _plain(value)
    if value is None or value != value:  # NaN is how tables hold null
        return None
    if isinstance(value, int | float):
        return str(value)
    raise ValueError(
        f"`prompt` is {_short(value)}: neither a text nor messages (objects with `role` and `content`)"
    )


def messages_in(value: object) -> list[dict[str, Any]] | None:
    """The messages that `value` holds (see `prompt_text`), or None if it is not of that form."""
    value = _plain(value)
    if isinstance(value, str):
        return _in_text(value)
    if isinstance(value, dict):
        if _is_message(value):
            return [value]
        inner = next((value[key] for key in _WRAPPERS if value.get(key) is not None), None)
        return None if inner is None or isinstance(inner, str) else messages_in(inner)
    return value if isinstance(value, list) and value and all(map(_is_message, value)) else None


def group_mark(value: object) -> str | None:
    """A mark of what a conversation's user turns hold beside text (images, files), None if
    nothing: two prompts of one text about two pictures are two questions, not one asked twice."""
    parts = [
        {key: item for key, item in part.items() if item is not None and key not in ("id", "internal")}
        for message in messages_in(value) or ()
        if message.get("role") == "user" and isinstance(message.get("content"), list)
        for part in message["content"]
        if isinstance(part, dict) and part.get("type") not in TEXT_PARTS
    ]
    if not parts:
        return None
    said = json.dumps([last_user_text(messages_in(value)), parts], sort_keys=True, default=repr)
    return "prompt-" + hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:16]


def _is_message(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.get("role") in _ROLES
        and bool(value.keys() & {"content", "tool_calls"})
    )


def _in_text(text: str) -> list[dict[str, Any]] | None:
    start = text[:64].lstrip()[:12]
    if start.startswith("<|im_start|>"):
        return [{"role": role, "content": said.strip("\n")} for role, said in _CHATML.findall(text)] or None
    if start[:1] not in ("[", "{", '"') or '"role' not in text.replace("\\", ""):
        return None
    try:
        return messages_in(json.loads(text))
    except (ValueError, RecursionError):
        return None


def _plain(value: object) -> object:
    """Lists and dicts from numpy's arrays and from other sequences and mappings, at any depth."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
