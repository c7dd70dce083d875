"""A forward proxy as companies have them: it reaches one outside host and refuses loopback. Tests only."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from tests.servers.many import served

HOST = "http://api.example"


@contextmanager
def proxying(upstream: str) -> Iterator[tuple[str, list[str]]]:
    """(the proxy's URL, what it was asked for); `http://api.example` is `upstream`, all else gets 403."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append(self.path)
            if not self.path.startswith(HOST):
                return self.answer(403, b"loopback is refused")
            request = urllib.request.Request(upstream + self.path.removeprefix(HOST), body)
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as reply:
                return self.answer(reply.status, reply.read())

        def answer(self, status: int, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with served(Handler) as server:
        yield f"http://127.0.0.1:{server.server_port}", asked
