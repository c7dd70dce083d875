"""Batch endpoints on loopback: OpenAI's files and batches, Anthropic's message batches. Tests only.

Answers and the bill are those of `Loopback`, whose tariffs then hold batch prices."""

from __future__ import annotations

import json
import re
import threading
import time
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.servers.loopback import Loopback


class BatchLoopback(Loopback):
    """A provider whose batches are done `batch_s` seconds after they came; each is computed, and billed, on arrival."""

    def __init__(self, *args: Any, batch_s: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.batch_s = batch_s
        self.files: dict[str, bytes] = {}
        self.sizes: list[int] = []
        self.ready: dict[str, float] = {}
        self._guard = threading.Lock()
        self._server.RequestHandlerClass = _handler(self)

    def upload(self, content: bytes) -> str:
        """Keep a file, return its id."""
        with self._guard:
            name = f"file-{len(self.files)}"
            self.files[name] = content
        return name

    def open(self, requests: list[tuple[str, str, dict[str, Any]]], shape: str) -> str:
        """Answer (custom id, path, body) requests as one batch and return its id."""
        lines = []
        for name, path, body in requests:
            reply = self.respond(path, body)
            answer = json.loads(reply.body)
            if shape == "openai":
                lines.append(
                    {
                        "custom_id": name,
                        "error": None,
                        "response": {"status_code": reply.status, "body": answer},
                    }
                )
            else:
                lines.append({"custom_id": name, "result": {"type": "succeeded", "message": answer}})
        batch = "batch_" + self.upload("\n".join(map(json.dumps, lines)).encode())
        with self._guard:
            self.sizes.append(len(requests))
            self.ready[batch] = time.monotonic() + self.batch_s
        return batch

    def done(self, batch: str) -> bool:
        return time.monotonic() >= self.ready[batch]


def _openai(server: BatchLoopback, batch: str) -> dict[str, Any]:
    done = server.done(batch)
    return {
        "id": batch, "object": "batch", "endpoint": "/v1/responses", "input_file_id": "file-0", "created_at": 1,
        "completion_window": "24h", "status": "completed" if done else "in_progress",
        "output_file_id": batch.removeprefix("batch_") if done else None,
        "request_counts": {"total": 1, "completed": int(done), "failed": 0},
    }  # fmt: skip


def _anthropic(server: BatchLoopback, batch: str) -> dict[str, Any]:
    done, day = server.done(batch), "2026-01-01T00:00:00Z"
    counts = {"processing": int(not done), "succeeded": int(done), "errored": 0, "canceled": 0, "expired": 0}
    return {
        "id": batch, "type": "message_batch", "processing_status": "ended" if done else "in_progress",
        "request_counts": counts, "created_at": day, "expires_at": day, "ended_at": day if done else None,
        "archived_at": None, "cancel_initiated_at": None,
        "results_url": f"{server.url}/messages/batches/{batch}/results" if done else None,
    }  # fmt: skip


def _handler(server: BatchLoopback) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw, path = self.rfile.read(int(self.headers["Content-Length"])), self.path.partition("?")[0]
            if path.endswith("/files"):
                head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
                parts = BytesParser(policy=HTTP).parsebytes(head + raw).iter_parts()
                content = next(part for part in parts if part.get_filename() is not None)
                name = server.upload(content.get_payload(decode=True))
                about = {
                    "bytes": 1,
                    "created_at": 1,
                    "filename": "x",
                    "purpose": "batch",
                    "status": "processed",
                }
                self.send({"id": name, "object": "file", **about})
            elif path.endswith("/messages/batches"):
                asked = [(r["custom_id"], "/v1/messages", r["params"]) for r in json.loads(raw)["requests"]]
                self.send(_anthropic(server, server.open(asked, "anthropic")))
            elif path.endswith("/batches"):
                lines = map(json.loads, server.files[json.loads(raw)["input_file_id"]].splitlines())
                asked = [(line["custom_id"], line["url"], line["body"]) for line in lines]
                self.send(_openai(server, server.open(asked, "openai")))
            else:
                reply = server.respond(self.path, json.loads(raw))
                self.reply(reply.body, reply.status)

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if found := re.search(r"/files/(file-\d+)/content$", path):
                self.reply(server.files[found[1]])
            elif found := re.search(r"/messages/batches/(batch_file-\d+)/results$", path):
                self.reply(server.files[found[1].removeprefix("batch_")])
            elif found := re.search(r"/messages/batches/(batch_file-\d+)$", path):
                self.send(_anthropic(server, found[1]))
            else:
                self.send(_openai(server, path.rsplit("/", 1)[1]))

        def send(self, value: Any) -> None:
            self.reply(json.dumps(value).encode())

        def reply(self, body: bytes, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
