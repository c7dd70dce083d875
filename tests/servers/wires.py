"""The three request and answer formats, written from the providers' public API references."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.servers.meter import Usage


@dataclass(frozen=True)
class Reply:
    """An HTTP answer; `withheld` bytes are announced but never sent."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    withheld: int = 0


class Wire(Protocol):
    """One provider's format."""

    def prompt(self, body: dict[str, Any]) -> str: ...
    def reply(self, body: dict[str, Any], text: str, usage: Usage | None, *, refused: bool) -> Reply: ...
    def fault(self, kind: str, body: dict[str, Any]) -> Reply: ...
    def error(self, status: int, kind: str, message: str) -> bytes: ...


def for_path(path: str) -> Wire:
    """The format that a URL path speaks."""
    known: dict[str, Wire] = {"chat/completions": Chat(), "responses": Responses(), "messages": Messages()}
    return known[path.split("/v1/")[1].split("?")[0]]


class _Base:
    def error(self, status: int, kind: str, message: str) -> bytes:
        raise NotImplementedError

    def fault(self, kind: str, body: dict[str, Any]) -> Reply:
        if kind == "cut":
            return Reply(b'{"id": "half an ans', withheld=400)
        if kind in ("malformed", "garbage"):
            return Reply(b'{"id": "x", "choices": [}')
        status, name, message = {
            "429": (429, "rate_limit_error", "Rate limit reached"),
            "500": (500, "api_error", "Internal server error"),
            "529": (529, "overloaded_error", "Overloaded"),
            "down": (503, "api_error", "Service unavailable"),
            "overflow": (
                400,
                "invalid_request_error",
                "prompt is too long: maximum context length is 10 tokens",
            ),
            "badkey": (401, "authentication_error", "invalid api key"),
        }[kind]
        return Reply(
            self.error(status, name, message),
            status,
            {"Content-Type": "application/json", "Retry-After": "0"},
        )


class Chat(_Base):
    """OpenAI chat completions."""

    def prompt(self, body: dict[str, Any]) -> str:
        return _text(body["messages"][-1]["content"])

    def reply(self, body: dict[str, Any], text: str, usage: Usage | None, *, refused: bool) -> Reply:
        reason = "content_filter" if refused else "stop"
        head = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
        counts = (
            None
            if usage is None
            else {
                "prompt_tokens": usage.prompt,
                "completion_tokens": usage.output - usage.reasoning * usage.apart,
                "total_tokens": usage.prompt + usage.output,
                "prompt_tokens_details": {"cached_tokens": usage.read},
                "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
            }
        )
        if body.get("stream"):
            delta = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
            last = {"index": 0, "delta": {}, "finish_reason": reason}
            chunk = {**head, "object": "chat.completion.chunk"}
            return _events(
                [
                    {**chunk, "choices": [delta]},
                    {**chunk, "choices": [last]},
                    {**chunk, "choices": [], "usage": counts},
                ],
                done=True,
            )
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": reason}
        if body.get("logprobs"):
            token = {"token": text, "logprob": -0.25, "bytes": None}
            top = [token] * (body.get("top_logprobs", 0) > 0)
            choice["logprobs"] = {"content": [{**token, "top_logprobs": top}], "refusal": None}
        return _json(
            {
                **head,
                "object": "chat.completion",
                "choices": [choice],
                **({"usage": counts} if counts else {}),
            }
        )

    def error(self, status: int, kind: str, message: str) -> bytes:
        code = "context_length_exceeded" if "context" in message else None
        return json.dumps({"error": {"message": message, "type": kind, "code": code, "param": None}}).encode()


class Responses(Chat):
    """OpenAI responses."""

    def prompt(self, body: dict[str, Any]) -> str:
        asked = body["input"]
        return asked if isinstance(asked, str) else _text(asked[-1]["content"])

    def reply(self, body: dict[str, Any], text: str, usage: Usage | None, *, refused: bool) -> Reply:
        part = (
            {"type": "refusal", "refusal": "No."}
            if refused
            else {"type": "output_text", "text": text, "annotations": []}
        )
        message = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [part],
        }
        counts = (
            None
            if usage is None
            else {
                "input_tokens": usage.prompt,
                "input_tokens_details": {"cached_tokens": usage.read, "cache_write_tokens": usage.written},
                "output_tokens": usage.output,
                "output_tokens_details": {"reasoning_tokens": usage.reasoning},
                "total_tokens": usage.prompt + usage.output,
            }
        )
        return _json({
            "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": body["model"],
            "output": [message], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": counts,
            "error": None, "incomplete_details": None, "instructions": None, "metadata": {},
            "temperature": 1.0, "top_p": 1.0,
        })  # fmt: skip


class Messages(_Base):
    """Anthropic messages."""

    def prompt(self, body: dict[str, Any]) -> str:
        return _text(body["messages"][-1]["content"])

    def reply(self, body: dict[str, Any], text: str, usage: Usage | None, *, refused: bool) -> Reply:
        reason = "refusal" if refused else "end_turn"
        counts = (
            {"input_tokens": 0, "output_tokens": 0}
            if usage is None
            else {
                "input_tokens": usage.fresh,
                "cache_read_input_tokens": usage.read,
                "cache_creation_input_tokens": usage.written,
                "output_tokens": usage.output,
            }
        )
        message = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "stop_sequence": None,
        }
        if not body.get("stream"):
            return _json(
                {
                    **message,
                    "content": [{"type": "text", "text": text}],
                    "stop_reason": reason,
                    "usage": counts,
                }
            )
        start = {**message, "content": [], "stop_reason": None, "usage": {**counts, "output_tokens": 1}}
        delta = {"stop_reason": reason, "stop_sequence": None}
        return _events([
            {"type": "message_start", "message": start},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": delta, "usage": {"output_tokens": counts["output_tokens"]}},
            {"type": "message_stop"},
        ])  # fmt: skip

    def error(self, status: int, kind: str, message: str) -> bytes:
        return json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode()


def _text(content: Any) -> str:
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def _json(value: Any) -> Reply:
    return Reply(json.dumps(value).encode())


def _events(events: Iterable[dict[str, Any]], done: bool = False) -> Reply:
    lines = [
        (f"event: {event['type']}\n" if "type" in event else "") + f"data: {json.dumps(event)}\n\n"
        for event in events
    ]
    if done:
        lines.append("data: [DONE]\n\n")
    return Reply("".join(lines).encode(), headers={"Content-Type": "text/event-stream"})
