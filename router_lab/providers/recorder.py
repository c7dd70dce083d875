"""What a provider's SDK really sends: a server on loopback that keeps the request and answers that
it was bad."""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from router_lab.providers.keys import sha256_of

APIS = {"/chat/completions": "openai_chat", "/responses": "openai_responses", "/messages": "anthropic"}
"""URL path endings by the API that the runtime's request arguments are for."""

CONTENT = {
    "openai_chat": ("messages",),
    "openai_responses": ("input", "instructions"),
    "anthropic": ("messages", "system"),
}
"""Body fields that say what is asked."""

STREAMING = ("stream", "stream_options")
"""Body fields that say how the answer travels."""

HEADERS = ("anthropic-beta", "openai-beta")
"""Headers that change what a request means."""

KEY = "router-lab-recorder"
"""The key that a recorded request carries instead of the user's."""

REFUSAL = {"type": "error", "error": {"type": "invalid_request_error", "message": "recorded"}}

Sent = tuple[str, dict[str, str], dict[str, Any]]
"""Path, the headers of `HEADERS`, body."""


@dataclass(frozen=True)
class Request:
    """One recorded request: `api` (null if of no known kind), its arguments as the SDK takes them,
    the fields that say what is asked, and a hash of all that identifies it."""

    api: str | None
    arguments: dict[str, Any]
    fingerprint: str
    content: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, sent: Sent, raw: Mapping[str, Any]) -> Request:
        """From what was sent; `raw` are fields that were put into the body by `extra_body`."""
        path, headers, body = sent
        api = next((name for ending, name in APIS.items() if path.partition("?")[0].endswith(ending)), None)
        asked = CONTENT[api] if api else ("messages", "input", "system", "instructions")
        arguments = {k: v for k, v in sorted(body.items()) if k not in {*asked, *STREAMING, *raw}}
        unknown = (
            {key: arguments.pop(key) for key in sorted(arguments.keys() - _parameters(api))} if api else {}
        )
        extra = unknown | {key: body[key] for key in sorted(raw)}
        if extra:  # SDKs refuse arguments that they do not know, and send these as they are
            arguments["extra_body"] = {key: extra[key] for key in sorted(extra)}
        if headers and api:
            arguments["extra_headers"] = dict(headers)
        content = {key: body[key] for key in asked if key in body}
        return cls(api, arguments, sha256_of([path, headers, body]), content)


class Recorder(AbstractContextManager["Recorder"]):
    """An HTTP server on loopback that keeps each request and refuses it, so that nobody tries
    again."""

    def __init__(self) -> None:
        self.seen: list[Sent] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.seen))
        self._server.daemon_threads = True

    def __enter__(self) -> Recorder:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """Base of every provider's paths; clients append their own."""
        return f"{self.root}/v1"


@cache
def _parameters(api: str) -> frozenset[str]:
    """The arguments that the SDK's method of an API takes."""
    if api == "anthropic":
        from anthropic.resources.messages import Messages as Methods
    elif api == "openai_chat":
        from openai.resources.chat.completions import Completions as Methods  # type: ignore[assignment]
    else:
        from openai.resources.responses import Responses as Methods  # type: ignore[assignment]
    return frozenset(inspect.signature(Methods.create).parameters)


def _handler(seen: list[Sent]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                body = json.loads(raw)
            except ValueError:
                body = {"raw": raw.decode(errors="replace")}
            seen.append((self.path, {h: v for h in HEADERS if (v := self.headers.get(h))}, body))
            answer = json.dumps(REFUSAL).encode()
            self.send_response(400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    return Handler
