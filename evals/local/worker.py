"""Runs in the serving venv: GGUF files over the OpenAI-compatible API on loopback, one port a model, one thread each.

Standard library and xllamacpp alone. Reads one JSON object from standard input:
{"template": str, "models": [{"name": str, "path": str, "port": int}]}; port 0 takes a free one. Prints one JSON line
{"ready": {name: base_url}, "build": …} when all answer, and ends when its standard input is closed.
"""

from __future__ import annotations

import importlib.metadata
import json
import operator
import os
import sys
from typing import Any

SETTINGS = {
    "n_ctx": 4096,
    "n_parallel": 1,
    "cpuparams.n_threads": 1,
    "cpuparams_batch.n_threads": 1,
    # With the prefix cache on, temperature 0 does not repeat and input tokens depend on the order of requests.
    "cache_prompt": False,
    "cache_ram_mib": 0,
    "use_jinja": True,
    "offline": True,
    "ui": False,
}
"""The settings under which answers repeat; datasets/recorded/provenance.json keeps them beside the recordings."""


def serve(model: dict[str, Any], template: str) -> Any:
    """Start one model on loopback."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model["path"]
    params.model_alias = {model["name"]}
    params.hostnames = ["127.0.0.1"]
    params.port = model["port"]
    params.chat_template = template
    params.verbosity = -1
    for name, value in SETTINGS.items():
        *path, last = name.split(".")
        setattr(operator.attrgetter(*path)(params) if path else params, last, value)
    return xllamacpp.Server(params)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the engine writes to standard output; only the ready line belongs there
    spec = json.loads(sys.stdin.readline())
    servers = {model["name"]: serve(model, spec["template"]) for model in spec["models"]}
    ready = {name: f"{server.listening_address}/v1" for name, server in servers.items()}
    build = f"xllamacpp {importlib.metadata.version('xllamacpp')}"
    answers.write(json.dumps({"ready": ready, "build": build}) + "\n")
    answers.flush()
    while sys.stdin.readline():
        pass
    os._exit(0)  # the engine's threads would keep the process alive


if __name__ == "__main__":
    main()
