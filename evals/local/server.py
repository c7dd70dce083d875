"""`running_server`: local models behind an OpenAI-compatible API for as long as a `with` block lasts."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.local.fetch import HERE, catalogue, serving_python, weights
from router_lab.runtime.errors import InputError

API_KEY = "LOCAL_API_KEY"
"""Inspect's `openai-api/local/…` wants a key; the server asks for none."""


@dataclass(frozen=True)
class Running:
    """What is being served: base URLs (ending in /v1) by model name, and the server's build."""

    urls: Mapping[str, str]
    build: str


@contextmanager
def running_server(
    models: Iterable[str], *, ports: Mapping[str, int] | None = None, gguf: Mapping[str, Path] | None = None
) -> Iterator[Running]:
    """Serve `models` (names in weights.yaml or in `gguf`) on loopback, and stop them at the end.

    Args:
        models: names; what is missing of server and weights is downloaded first, by hash.
        ports: by model name; default: the port in weights.yaml, which sweeps/local-*.yaml names. 0 takes a free one.
        gguf: files of your own by model name, used instead of the catalogue's.

    Sets $LOCAL_API_KEY, which Inspect needs for `openai-api/local/…`. Raises InputError if a port is
    taken or the server does not start.
    """
    known, own, chosen = catalogue(), dict(gguf or {}), dict(ports or {})
    served: list[dict[str, Any]] = [
        {
            "name": name,
            "path": str(own[name] if name in own else weights(name)),
            "port": chosen.get(name, known.get(name, {}).get("port", 0)),
        }
        for name in models
    ]
    for model in served:
        _refuse_taken(model["name"], model["port"])
    spec = {"template": template(), "models": served}
    os.environ.setdefault(API_KEY, "none")
    command = [str(serving_python()), str(HERE / "worker.py")]
    # stderr goes through: the engine's complaints (a port in use, no memory) are the best error message there is.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        try:
            process.stdin.write(json.dumps(spec) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                ended = process.wait()
                raise InputError(f"the model server did not start (exit code {ended}); see the lines above")
            answer = json.loads(line)
            yield Running(answer["ready"], answer["build"])
        finally:
            process.stdin.close()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


def template() -> str:
    """The chat template that makes reasoning_effort real."""
    return (HERE / "chat_template.jinja").read_text().rstrip("\n")


def template_sha() -> str:
    return hashlib.sha256(template().encode()).hexdigest()


def _refuse_taken(name: str, port: int) -> None:
    if port == 0:
        return
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise InputError(
                f"port {port} for {name} is taken: is another `evals.local.serve` running? --port {name}=0"
            )
