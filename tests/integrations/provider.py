"""A provider on loopback for drop-ins: the three APIs, streamed and not, with calls of tools.

Where tools are offered and no result has come back, the first one is called with `{"city": "Paris"}`; else the answer
is `answer(model, prompt)`. Models in `down` are away, each answer has a log-probability of −0.25 a token.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from router_lab.runtime.budget import Budget
from tests.servers.loopback import Loopback
from tests.servers.wires import Reply, for_path

CALL = '{"city": "Paris"}'


class Provider(Loopback):
    """`with Provider() as server:` then `server.url`, `server.root`, `server.requests`."""

    def __init__(self, say: Callable[[str, str], str] = lambda model, prompt: f"{model} says so") -> None:
        super().__init__()
        self.say = say
        self._server.socket.listen(1024)  # a storm of connections is not turned away
        self.down: set[str] = set()

    def telling(self, budget: Budget | None) -> list[int]:
        """Tokens that are set aside in `budget` while each request from now on is under way."""
        found, said = list[int](), self.say
        assert budget is not None

        def say(model: str, prompt: str) -> str:
            found.append(budget._held_tokens)
            return said(model, prompt)

        self.say = say
        return found

    @property
    def models(self) -> list[str]:
        """Who was asked, in order."""
        return [request["body"]["model"] for request in self.requests]

    def respond(self, path: str, body: dict[str, Any], headers: Mapping[str, str] | None = None) -> Reply:
        with self._lock:
            self.requests.append({"path": path, "body": body, "headers": dict(headers or {})})
        model = body["model"]
        if model in self.down:
            return for_path(path).fault("down", body)
        kind = path.split("/v1/")[1].split("?")[0]
        calls = (
            body["tools"][0] if body.get("tools") and "tool_result" not in str(results(kind, body)) else None
        )
        prompt = "" if calls else _prompt(kind, body)
        parts = {"chat/completions": _chat, "responses": _responses, "messages": _messages}[kind]
        return parts(body, self.say(model, prompt), calls)


def results(kind: str, body: Mapping[str, Any]) -> list[str]:
    """A mark for each result of a tool in the conversation."""
    items = body.get("input" if kind == "responses" else "messages")
    found = list[str]()
    for item in items if isinstance(items, list) else ():
        if item.get("role") == "tool" or item.get("type") == "function_call_output":
            found.append("tool_result")
        content = item.get("content")
        found += (
            [part["type"] for part in content or () if isinstance(part, dict)]
            if isinstance(content, list)
            else []
        )
    return found


def _prompt(kind: str, body: Mapping[str, Any]) -> str:
    items = body["input" if kind == "responses" else "messages"]
    return (
        items if isinstance(items, str) else json.dumps(items[-1].get("content") or items[-1].get("output"))
    )


def _size(body: Mapping[str, Any]) -> int:
    return len(json.dumps(body)) // 4


def _reply(value: Any) -> Reply:
    return Reply(json.dumps(value).encode())


def _events(events: Iterator[dict[str, Any]], named: bool, done: str = "") -> Reply:
    lines = "".join(
        (f"event: {event['type']}\n" if named else "") + f"data: {json.dumps(event)}\n\n" for event in events
    )
    return Reply((lines + done).encode(), headers={"Content-Type": "text/event-stream"})


def _chat(body: dict[str, Any], text: str, tool: dict[str, Any] | None) -> Reply:
    usage = {"prompt_tokens": _size(body), "completion_tokens": 5, "total_tokens": _size(body) + 5,
             "prompt_tokens_details": {"cached_tokens": 0}}  # fmt: skip
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if tool:
        function = {"name": tool["function"]["name"], "arguments": CALL}
        message = {"role": "assistant", "content": None, "tool_calls": [
            {"index": 0, "id": "call_1", "type": "function", "function": function}]}  # fmt: skip
    reason = "tool_calls" if tool else "stop"
    head = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
    if not body.get("stream"):
        for call in message.get("tool_calls", ()):
            del call["index"]
        choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": reason}
        if body.get("logprobs"):
            token = {"token": text, "logprob": -0.25, "bytes": None, "top_logprobs": []}
            choice["logprobs"] = {"content": [token], "refusal": None}
        return _reply({**head, "object": "chat.completion", "choices": [choice], "usage": usage})

    def chunks() -> Iterator[dict[str, Any]]:
        chunk = {**head, "object": "chat.completion.chunk"}
        pieces = [message] if tool else [{"role": "assistant", "content": ""}, *({"content": word + " "} for word in text.split())]  # fmt: skip # noqa: E501
        for piece in pieces:
            yield {**chunk, "choices": [{"index": 0, "delta": piece, "finish_reason": None}]}
        yield {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
        if (body.get("stream_options") or {}).get("include_usage"):
            yield {**chunk, "choices": [], "usage": usage}

    return _events(chunks(), named=False, done="data: [DONE]\n\n")


def _responses(body: dict[str, Any], text: str, tool: dict[str, Any] | None) -> Reply:
    usage = {
        "input_tokens": _size(body), "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": _size(body) + 5,
    }  # fmt: skip
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    if "message.output_text.logprobs" in (body.get("include") or ()):
        part["logprobs"] = [{"token": text, "logprob": -0.25, "bytes": [], "top_logprobs": []}]
    item: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }
    if tool:
        item = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": tool["name"], "arguments": CALL,
                "status": "completed"}  # fmt: skip
    whole = {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": body["model"],
             "output": [item], "parallel_tool_calls": True, "tool_choice": "auto", "tools": body.get("tools") or [],
             "usage": usage, "error": None, "incomplete_details": None, "instructions": None, "metadata": {},
             "temperature": 1.0, "top_p": 1.0}  # fmt: skip
    if not body.get("stream"):
        return _reply(whole)

    def events() -> Iterator[dict[str, Any]]:
        place = {"output_index": 0, "item_id": item["id"]}
        begun = {**whole, "status": "in_progress", "output": [], "usage": None}
        yield {"type": "response.created", "response": begun}
        if tool:
            yield {"type": "response.output_item.added", "output_index": 0, "item": {**item, "arguments": ""}}
            yield {"type": "response.function_call_arguments.delta", **place, "delta": CALL}
            yield {
                "type": "response.function_call_arguments.done",
                **place,
                "arguments": CALL,
                "name": tool["name"],
            }
        else:
            empty = {**part, "text": "", "logprobs": []}
            yield {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}}
            yield {"type": "response.content_part.added", **place, "content_index": 0, "part": empty}
            yield {
                "type": "response.output_text.delta",
                **place,
                "content_index": 0,
                "delta": text,
                "logprobs": [],
            }
            yield {
                "type": "response.output_text.done",
                **place,
                "content_index": 0,
                "text": text,
                "logprobs": [],
            }
            yield {"type": "response.content_part.done", **place, "content_index": 0, "part": part}
        yield {"type": "response.output_item.done", "output_index": 0, "item": item}
        yield {"type": "response.completed", "response": whole}

    return _events(
        ({**event, "sequence_number": number} for number, event in enumerate(events())), named=True
    )


def _messages(body: dict[str, Any], text: str, tool: dict[str, Any] | None) -> Reply:
    block: dict[str, Any] = {"type": "text", "text": text}
    if tool:
        block = {"type": "tool_use", "id": "toolu_1", "name": tool["name"], "input": json.loads(CALL)}
    reason = "tool_use" if tool else "end_turn"
    usage = {"input_tokens": _size(body), "output_tokens": 5, "cache_read_input_tokens": 0,
             "cache_creation_input_tokens": 0}  # fmt: skip
    head = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "stop_sequence": None,
    }
    if not body.get("stream"):
        return _reply({**head, "content": [block], "stop_reason": reason, "usage": usage})

    def events() -> Iterator[dict[str, Any]]:
        yield {
            "type": "message_start",
            "message": {**head, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}},
        }
        empty = {**block, "input": {}} if tool else {**block, "text": ""}
        yield {"type": "content_block_start", "index": 0, "content_block": empty}
        delta = (
            {"type": "input_json_delta", "partial_json": CALL}
            if tool
            else {"type": "text_delta", "text": text}
        )
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
        yield {"type": "content_block_stop", "index": 0}
        yield {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": 5},
        }
        yield {"type": "message_stop"}

    return _events(events(), named=True)
