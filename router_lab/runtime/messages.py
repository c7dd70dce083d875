"""Which text of a conversation is routed on."""

from __future__ import annotations

from typing import Any

from router_lab.runtime.errors import PolicyError

_TEXT_PARTS = ("text", "input_text")


def last_user_text(messages: Any) -> str:
    """The text of the last user turn that has any, as the policy was fitted on: single questions.

    System prompts, answers, tool calls and tool results (also those that Anthropic's API puts into user messages) are
    passed over, so that an agent's growing context does not swamp what was asked. No user turn: the empty text.
    """
    if not isinstance(messages, list | tuple):
        raise PolicyError(f"decide: prompt is {type(messages).__name__}, not a str or a list of messages")
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if not isinstance(message, dict):
            raise PolicyError(f"decide: prompt[{index}] is {type(message).__name__}, not a message (a dict)")
        if message.get("role") == "user" and (text := _text(message.get("content"))):
            return text
    return ""


def _text(content: Any) -> str:
    """Plain text of a message's content: a str, or the text parts of a list, one per line."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        return ""
    parts = (
        part if isinstance(part, str) else part.get("text")
        for part in content
        if isinstance(part, str) or (isinstance(part, dict) and part.get("type") in _TEXT_PARTS)
    )
    return "\n".join(part for part in parts if isinstance(part, str))
