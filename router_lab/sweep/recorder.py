"""What a candidate really sends: one request to a recorder on loopback, before a cent is spent.

Providers drop, rename and clamp settings (two efforts of one model can be byte-identical on the wire), so candidates
are told apart by their requests and not by what was asked for.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from inspect_ai import Task
from inspect_ai.model import ChatMessage, ChatMessageSystem, ChatMessageUser, GenerateConfig, Model

from router_lab.providers.keys import RECORDED, canonical_json, sha256_of
from router_lab.runtime.errors import InputError
from router_lab.sweep.models import build_model
from router_lab.sweep.settings import Cell
from router_lab.sweep.tasks import declared_args

PROBE = "router-lab: which request does this candidate send?"
APIS = {"/chat/completions": "openai_chat", "/responses": "openai_responses", "/messages": "anthropic"}
"""URL path endings by the API that the runtime's request arguments are for."""

CONTENT = ("messages", "input", "system", "instructions", "stream", "stream_options")
"""Body fields that are not arguments: what is asked, and how the answer travels."""

HEADERS = ("anthropic-beta", "openai-beta")
"""Headers that change what a request means."""

OFFLINE = ("mockllm", "none", RECORDED.rstrip("/"))
"""Providers that send nothing."""

TIMEOUT_S = 20.0
REFUSAL = {"type": "error", "error": {"type": "invalid_request_error", "message": "recorded"}}


@dataclass(frozen=True)
class Request:
    """One recorded request: `api` (null if of no known kind), its arguments, and a hash of all that identifies it."""

    api: str | None
    arguments: dict[str, Any]
    fingerprint: str


class Recorder(AbstractContextManager["Recorder"]):
    """An HTTP server on loopback that keeps each request and answers that it was bad, so that nobody tries again."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.seen))
        self._server.daemon_threads = True

    def __enter__(self) -> Recorder:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Base of every provider's paths; clients append their own."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"


def fingerprint(cells: Sequence[Cell]) -> dict[tuple[str, str | None, str], Request | None]:
    """The request of each (model, effort, suite); None where the provider sends nothing that could be recorded."""
    found: dict[tuple[str, str | None, str], Request | None] = {}
    done: dict[tuple[str, str | None, str], Request | None] = {}
    with Recorder() as recorder:
        for cell in cells:
            same = (*cell.candidate, cell.settings.sha)
            if same not in done:
                done[same] = _record(cell, recorder)
            found[(*cell.candidate, cell.suite)] = done[same]
    return found


def request_dict(request: Request | None, cell: Cell) -> dict[str, Any]:
    """As it travels with outcomes into the artifact: api, arguments, system, few_shot."""
    asked = dict(cell.settings.config)
    system = asked.pop("system_message", None)
    few_shot = [dict(example) for example in cell.settings.few_shot]
    api, arguments = (request.api, request.arguments) if request is not None else (None, asked)
    return {"api": api, "arguments": arguments, "system": system, "few_shot": few_shot}


def _record(cell: Cell, recorder: Recorder) -> Request | None:
    if cell.spec.model.partition("/")[0] in OFFLINE:
        return None
    before = len(recorder.seen)
    asyncio.run(_ask(_pointed_at(recorder.url, cell)))
    if len(recorder.seen) == before:
        return None
    path, headers, body = recorder.seen[-1]
    raw = cell.settings.config.get("extra_body") or {}
    dropped = sorted(raw.keys() - body.keys())
    if dropped:
        raise InputError(
            f"suite `{cell.suite}`: {cell.candidate}: `extra_body.{dropped[0]}` does not reach this provider: it would "
            "be measured without it; take it out, or ask for it by `args` or another setting"
        )
    api = next((name for ending, name in APIS.items() if path.partition("?")[0].endswith(ending)), None)
    arguments = {key: value for key, value in sorted(body.items()) if key not in {*CONTENT, *raw} and value != []}
    if raw:  # SDKs refuse arguments that they do not know, and send these as they are
        arguments["extra_body"] = {key: body[key] for key in sorted(raw)}
    return Request(api, arguments, sha256_of([path, headers, body]))


def _pointed_at(url: str, cell: Cell) -> Model:
    """The candidate's model with the recorder as its server, no retries and no key of the user's."""
    # Anthropic's client appends /v1/messages itself, OpenAI's /chat/completions.
    base = url.removesuffix("/v1") if cell.spec.model.startswith("anthropic/") else url
    spec = cell.spec.model_copy(update={"base_url": base})
    transport = {"max_retries": 0, "timeout": int(TIMEOUT_S), "cache_prompt": cell.transport.get("cache_prompt", False)}
    return build_model(
        replace(cell, spec=spec, transport=transport), Path(), api_key="router-lab-recorder", sending=False
    )


async def _ask(model: Model) -> None:
    """One generate call at the provider, past Inspect's connection pools, which belong to the event loop of an eval."""
    config = model.config.merge(GenerateConfig())
    if config.max_tokens is None:
        config.max_tokens = model.api.max_tokens_for_config(config) or model.api.max_tokens()
    messages: list[ChatMessage] = [ChatMessageUser(content=PROBE)]
    if config.system_message:
        messages.insert(0, ChatMessageSystem(content=config.system_message))
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await model.api.generate(messages, [], "none", config)
    except Exception:  # noqa: BLE001  # whatever the provider makes of the recorder's answer: the request is what counts
        pass
    finally:
        await model.api.aclose()


def refuse_twins(
    tasks: Sequence[tuple[Cell, Task]], found: Mapping[tuple[str, str | None, str], Request | None]
) -> None:
    """Raise InputError if two candidates of a suite would send the same bytes to the same place, in the same task.

    Arguments that an effort gives to the task (turns, results kept) make two candidates of one request, but only
    where the task declares them.
    """
    owners: dict[tuple[Any, ...], Cell] = {}
    for cell, task in tasks:
        request = found[(*cell.candidate, cell.suite)]
        sent = request.fingerprint if request is not None else cell.settings.sha
        task_args = canonical_json(declared_args(task, cell.settings.task_args))
        key = (cell.suite, cell.spec.model, cell.spec.base_url, sent, task_args)
        if key in owners and owners[key].candidate != cell.candidate:
            raise InputError(
                f"suite `{cell.suite}`: candidates {owners[key].candidate} and {cell.candidate} send byte-identical "
                "requests: measuring both pays twice for one; drop one, or give it settings that reach the provider"
            )
        owners.setdefault(key, cell)


def _handler(seen: list[tuple[str, dict[str, str], dict[str, Any]]]) -> type[BaseHTTPRequestHandler]:
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
