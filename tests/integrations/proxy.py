"""LiteLLM's real proxy as a process on loopback, with our plugin and models of a provider on loopback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integrations.provider import Provider

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "router_lab.integrations.litellm.plugin"
KEY = "sk-loopback"
MEMORY = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "PYTHONMALLOC": "malloc", "PYTHON_GC_THRESHOLD": "50000,50,100",
}  # fmt: skip
"""Of the proxy's environment, as docs/gateways.md has it."""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def config(
    provider: Provider,
    models: Iterable[str],
    settings: Mapping[str, Any],
    fallbacks: Iterable[Mapping[str, list[str]]] = (),
) -> dict[str, Any]:
    """The proxy's configuration: a group for each model of a policy, and the names that are routed."""
    groups: list[dict[str, Any]] = []
    for name in models:
        kind, base = ("anthropic", provider.root) if "anthropic" in name else ("openai", provider.url)
        params = {"model": f"{kind}/{name}-1", "api_base": base, "api_key": "x"}
        groups.append({"model_name": name, "litellm_params": params})
    nobody = {"model": "openai/nobody", "api_base": "http://127.0.0.1:9/v1", "api_key": "x"}
    groups += [{"model_name": name, "litellm_params": nobody} for name in ("router_lab", "router_lab/triage")]
    return {
        "model_list": groups,
        "router_settings": {"num_retries": 0, "fallbacks": [dict(one) for one in fallbacks]},
        "general_settings": {"master_key": KEY},
        "litellm_settings": {"callbacks": [PLUGIN], "num_retries": 0, "router_lab": dict(settings)},
    }


@contextmanager
def proxy(folder: Path, written: Mapping[str, Any], memory: Mapping[str, str] = MEMORY) -> Iterator[str]:
    """The address of a proxy with this configuration, once it answers. memory: of its environment."""
    path, port = folder / "config.yaml", free_port()
    path.write_text(json.dumps(written))  # JSON is YAML
    program = str(Path(sys.executable).parent / "litellm")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "127.0.0.1",
           "DISABLE_ADMIN_UI": "True", "LITELLM_TELEMETRY": "False", "HOME": str(folder), **memory}  # fmt: skip
    command = [
        program,
        "--config",
        str(path),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--telemetry",
        "False",
    ]
    with (folder / "proxy.log").open("w") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=folder)
        try:
            wait_for(f"http://127.0.0.1:{port}/health/liveliness", process, folder / "proxy.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    while process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).read()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the proxy ended with {process.returncode}: {log.read_text()[-3000:]}")
