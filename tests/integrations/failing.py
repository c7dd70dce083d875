"""A provider on loopback whose models fail, each in its own way."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.integrations.provider import Provider
from tests.servers.wires import Reply, for_path

Fault = Callable[["Failing", str, dict[str, Any]], Reply]


class Failing(Provider):
    """Models of which each answer is what `faults` makes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: dict[str, Fault] = {}

    def respond(self, path: str, body: dict[str, Any], headers: Mapping[str, str] | None = None) -> Reply:
        fault = self.faults.get(body["model"])
        return self.usual(path, body, headers) if fault is None else fault(self, path, body)

    def usual(self, path: str, body: dict[str, Any], headers: Mapping[str, str] | None = None) -> Reply:
        return super().respond(path, body, headers)


def failing(kind: str, after_s: float = 0.0) -> Fault:
    def fault(provider: Failing, path: str, body: dict[str, Any]) -> Reply:
        time.sleep(after_s)
        return for_path(path).fault(kind, body)

    return fault


def breaking(provider: Failing, path: str, body: dict[str, Any]) -> Reply:
    """A stream that breaks off behind its first event, before it says anything."""
    first = provider.usual(path, body).body.split(b"\n\n")[0] + b"\n\n"
    return Reply(first, 200, {"Content-Type": "text/event-stream"}, withheld=4_000)
