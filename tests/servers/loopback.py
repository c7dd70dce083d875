"""A model provider on loopback: OpenAI's chat and responses APIs and Anthropic's messages API, streaming included.

It counts requests, meters what it answers, and misbehaves where a prompt says so: a prompt with `[[429]]` is refused
once and then answered, `[[down]]` never is. Tests only.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.servers import wires
from tests.servers.many import ManyServer
from tests.servers.meter import Tariff, Usage

ONCE = ("429", "500", "529", "cut", "malformed", "hang")
"""Misbehaviour on the first try of a prompt; the second try is answered."""

ALWAYS = ("down", "overflow", "refuse", "badkey", "leak", "nousage", "empty", "garbage", "silent")
"""Misbehaviour on every try."""


class Loopback:
    """`with Loopback(tariffs) as server:` then `server.url`; `server.bill` is what everything it answered costs."""

    def __init__(
        self,
        tariffs: Mapping[str, Tariff] | None = None,
        *,
        answer: Callable[[str], str] = lambda prompt: prompt.rsplit(maxsplit=1)[-1],
        usage: Callable[[str, str], Usage] | None = None,
        delay: float = 0.0,
        hang: float = 30.0,
    ) -> None:
        """`answer(prompt)` is the text; `usage(prompt, text)` what it used, by default a token per 4 characters."""
        self.tariffs = dict(tariffs or {})
        self.answer, self.usage, self.delay, self.hang = answer, usage or counted, delay, hang
        self.ignore_marks = False
        self.refusing: dict[str, wires.Reply] = {}
        """What a model's every request is answered with, as by a server that does not know the key, model or path."""
        self.closing = threading.Event()
        self.requests: list[dict[str, Any]] = []
        self.bill = Decimal(0)
        self.answered: Counter[str] = Counter()
        self._tries: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server = ManyServer(("127.0.0.1", 0), _handler(self))

    def __enter__(self) -> Loopback:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """For OpenAI clients; Anthropic's add /v1 themselves."""
        return f"{self.root}/v1"

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def prompts(self) -> Counter[str]:
        """(model, body) requests by their number, to find what was sent twice."""
        return Counter(json.dumps(request["body"], sort_keys=True) for request in self.requests)

    def respond(
        self, path: str, body: dict[str, Any], headers: Mapping[str, str] | None = None
    ) -> wires.Reply:
        """What the server does with one request; with `[[leak]]` it complains and quotes all that it was sent."""
        wire = wires.for_path(path)
        prompt = wire.prompt(body)
        with self._lock:
            self.requests.append({"path": path, "body": body, "headers": dict(headers or {})})
            key = f"{path} {json.dumps(body, sort_keys=True)}"
            self._tries[key] += 1
            first = self._tries[key] == 1
        time.sleep(self.delay)
        if body["model"] in self.refusing:
            return self.refusing[body["model"]]
        words = [] if self.ignore_marks else markers(prompt)
        fault = next((word for word in words if word in ALWAYS or (first and word in ONCE)), None)
        if fault in ("hang", "silent"):
            self.closing.wait(self.hang)
        if fault == "leak":
            return wires.Reply(
                wire.error(400, "invalid_request_error", f"not liked: {dict(headers or {})} {body}"), 400
            )
        if fault not in (None, "hang", "silent", "refuse", "nousage", "empty"):
            return wire.fault(fault, body)
        text = "" if fault == "empty" else self.answer(prompt)
        usage = self.usage(prompt, text)
        with self._lock:
            self.answered[body["model"]] += 1
            if body["model"] in self.tariffs:
                self.bill += self.tariffs[body["model"]].bill(usage)
        return wire.reply(body, text, None if fault == "nousage" else usage, refused=fault == "refuse")


def markers(prompt: str) -> list[str]:
    """Words in double brackets."""
    return re.findall(r"\[\[([\w-]+)\]\]", prompt)


def counted(prompt: str, text: str) -> Usage:
    """A token per four characters; `[[cached]]`, `[[think]]` and `[[long]]` in the prompt add their kinds."""
    words = markers(prompt)
    fresh = len(prompt) // 4 + 1 + (250_000 if "long" in words else 0)
    read, written = (1200, 300) if "cached" in words else (0, 0)
    thought = 77 if "think" in words else 0
    return Usage(fresh, read, written, len(text) // 4 + 1 + thought, thought)


@contextmanager
def serving(**kwargs: Any) -> Iterator[Loopback]:
    """A running server."""
    with Loopback(**kwargs) as server:
        yield server


def _handler(server: Loopback) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            reply = server.respond(self.path, body, dict(self.headers))
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body) + reply.withheld))
            self.end_headers()
            self.wfile.write(reply.body)
            if reply.withheld:  # a cut answer: less than was announced, and then the line is dead
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    return Handler
