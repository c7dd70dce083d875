"""Runs in the serving venv: GGUF files over the OpenAI-compatible API on loopback, one port a model, one thread each.

Standard library and xllamacpp alone. Reads one JSON object from standard input:
{"template": str, "models": [{"name": str, "path": str, "port": int}]}; port 0 takes a free one. Prints one JSON line
{"ready": {name: base_url}, "build": …} when all answer, and ends when its standard input is closed.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from typing import Any

CONTEXT = 4096


def serve(model: dict[str, Any], template: str) -> Any:
    """Start one model. The settings are those under which answers repeat, and they are part of what is recorded."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model["path"]
    params.model_alias = {model["name"]}
    params.hostnames = ["127.0.0.1"]
    params.port = model["port"]
    params.n_ctx = CONTEXT
    params.n_parallel = 1
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    # With the prefix cache on, temperature 0 does not repeat and input tokens depend on the order of requests.
    params.cache_prompt = False
    params.cache_ram_mib = 0
    params.use_jinja = True
    params.chat_template = template
    params.offline = True
    params.ui = False
    params.verbosity = -1
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
