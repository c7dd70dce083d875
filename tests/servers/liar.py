"""A model server on loopback that lies: about what was used, about its own length, about whether it ever ends.

How it lies is the model's name (`LIES`). It keeps its own books: what each answer really used, in a file that outlives
whoever asks and is killed for it. Tests only.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import tempfile
import time
from decimal import Decimal
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.servers.many import ManyServer
from tests.servers.meter import Tariff, Usage
from tests.servers.wires import Chat

TARIFF = Tariff("100", "200")
"""Dollars per million tokens: dear, so that a budget of cents is soon reached."""
USED = Usage(20, output=5)
"""Of every answer: $0.003."""

_COUNTS: dict[str, Any] = {
    "negative": {"prompt_tokens": -(10**6), "completion_tokens": -(10**6), "total_tokens": -2 * 10**6},
    "half-negative": {"prompt_tokens": -(10**6), "completion_tokens": 5, "total_tokens": 5},
    "nan": {"prompt_tokens": float("nan"), "completion_tokens": float("nan"), "total_tokens": float("nan")},
    "infinite": {"prompt_tokens": float("inf"), "completion_tokens": 5, "total_tokens": 5},
    "huge": {"prompt_tokens": 10**15, "completion_tokens": 10**15, "total_tokens": 2 * 10**15},
    "strings": {"prompt_tokens": "many", "completion_tokens": "some", "total_tokens": "all"},
    "fractions": {"prompt_tokens": 20.5, "completion_tokens": 0.1, "total_tokens": 20.6},
    "zero": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    "cached": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25,
               "prompt_tokens_details": {"cached_tokens": 10**9}},
}  # fmt: skip
LIES = (*_COUNTS, "missing", "error-200", "page-200", "drip", "reset", "429", "retry-after", "short", "long", "renamed",
        "empty", "endless")  # fmt: skip


class Liar:
    """The server in a process of its own, forked from one that has no threads. `books()` is all that it was asked."""

    def __init__(self, delay: float = 0.0) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="liar-"))
        self._books, address = self._folder / "books", self._folder / "address"
        self._books.touch()
        self._process = os.fork()
        if not self._process:
            try:
                _serve(address, self._books, delay)
            finally:
                os._exit(1)
        while not address.exists():
            time.sleep(0.005)
        self.url = address.read_text()

    def __enter__(self) -> Liar:
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        shutil.rmtree(self._folder, ignore_errors=True)

    def books(self) -> list[dict[str, str]]:
        """Of each request: `sample` (model/number), and `usd` that it really cost."""
        return [
            json.loads(line)
            for line in self._books.read_text().splitlines(keepends=True)
            if line.endswith("\n")
        ]

    def billed(self) -> Decimal:
        """Dollars of all that it computed."""
        return sum((Decimal(row["usd"]) for row in self.books()), Decimal(0))

    def asked(self) -> list[str]:
        return [row["sample"] for row in self.books()]


def _serve(address: Path, books: Path, delay: float) -> None:
    ledger = os.open(books, os.O_WRONLY | os.O_APPEND)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            time.sleep(delay)
            lie = body["model"].rpartition("/")[2]
            free = lie in ("429", "retry-after", "error-200", "page-200")
            usd = Decimal(0) if free else TARIFF.bill(USED)
            prompt = Chat().prompt(body)
            row = {"sample": f"{lie}/s{prompt.split()[-1]}", "usd": str(usd)}
            os.write(ledger, json.dumps(row).encode() + b"\n")
            self.close_connection = True
            with contextlib.suppress(OSError):  # clients are killed on purpose
                self._lie(lie, body, prompt)

        def _lie(self, lie: str, body: dict[str, Any], prompt: str) -> None:
            answer = json.loads(Chat().reply(body, prompt.split()[-1], USED, refused=False).body)
            if lie in _COUNTS:
                answer["usage"] = _COUNTS[lie]
            elif lie == "missing":
                del answer["usage"]
            elif lie == "renamed":
                answer["model"] = "another/far-dearer-model"
            elif lie == "empty":
                answer["choices"] = []
            elif lie in ("error-200", "429", "retry-after"):
                answer = {
                    "error": {"message": "Not now", "type": "rate_limit_error", "code": None, "param": None}
                }
            data = b"<html>Sign in</html>" if lie == "page-200" else json.dumps(answer).encode()
            length = len(data) + {
                "short": -40,
                "long": 4000,
                "drip": 10**9,
                "endless": 10**9,
                "reset": 0,
            }.get(lie, 0)
            self.send_response(429 if lie in ("429", "retry-after") else 200)
            self.send_header("Content-Type", "text/html" if lie == "page-200" else "application/json")
            self.send_header("Content-Length", str(length))
            self.send_header("Retry-After", "86400" if lie == "retry-after" else "0")
            self.end_headers()
            self._send(lie, data)

        def _send(self, lie: str, data: bytes) -> None:
            if lie == "reset":
                self.wfile.write(data[:40])
                self.wfile.flush()
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                return
            piece = {"drip": b" ", "endless": b" " * (1 << 16)}.get(lie)
            while piece:  # JSON may begin with any amount of white space
                self.wfile.write(piece)
                time.sleep(0.05)
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ManyServer(("127.0.0.1", 0), Handler)
    server.start()
    written = address.with_name("written")
    written.write_text(f"http://127.0.0.1:{server.server_port}/v1")
    written.rename(address)
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.1)
