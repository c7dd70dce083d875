"""Inspect's models, made and asked: with a candidate's own few-shot and raw fields, live or against a recorder."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    GenerateConfig,
    Model,
    ModelAPI,
    get_model,
)
from inspect_ai.tool import ToolFunction, ToolInfo
from pydantic import TypeAdapter

from router_lab.providers.keys import RECORDED
from router_lab.providers.recorder import KEY, Recorder, Sent
from router_lab.runtime.errors import InputError

OFFLINE = ("mockllm", "none", RECORDED.rstrip("/"))
"""Providers that send nothing."""

TIMEOUT_S = 20.0
MARKUP = re.compile(r"\[/?[a-z ]+\]")
"""Colours in Inspect's messages."""

_MESSAGES: TypeAdapter[list[ChatMessage]] = TypeAdapter(list[ChatMessage])
_TOOLS: TypeAdapter[list[ToolInfo]] = TypeAdapter(list[ToolInfo])


@dataclass(frozen=True)
class Ask:
    """What Inspect hands to a provider for one call, as its logs have it: messages and tools as JSON objects."""

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: Any = "none"
    config: Mapping[str, Any] = field(default_factory=dict)


def make_model(
    name: str,
    config: GenerateConfig,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    few_shot: Sequence[Mapping[str, str]] = (),
) -> Model:
    """Inspect's model `name`. Raw fields of `config.extra_body` are put into every body, `few_shot` into every request
    at the provider, so that any task, also a foreign agent, gets them. Raises InputError."""
    try:
        model = get_model(
            name, config=config, base_url=base_url, api_key=api_key, memoize=False, **dict(arguments or {})
        )
    except (PrerequisiteError, ValueError, TypeError, ImportError) as error:
        raise InputError(f"model {name!r} cannot be made: {_one_line(error)}") from None
    client = getattr(model.api, "client", None)
    if client is not None and hasattr(client, "max_retries"):
        # Inspect retries as well, and what an SDK retries on its own is seen, limited and accounted for by nobody.
        client.max_retries = 0
    if config.extra_body and client is not None:
        _send_raw(client, config.extra_body)
    if few_shot:
        _put_few_shot(model.api, few_shot)
    return model


def recorded_base(name: str, recorder: Recorder) -> str:
    """The base URL that points Inspect's model `name` at a recorder."""
    # Anthropic's client appends /v1/messages itself, OpenAI's /chat/completions.
    return recorder.root if name.partition("/")[0] == "anthropic" else recorder.url


def record(
    name: str,
    ask: Ask,
    recorder: Recorder,
    *,
    arguments: Mapping[str, Any] | None = None,
    few_shot: Sequence[Mapping[str, str]] = (),
) -> Sent | None:
    """What model `name` sends for `ask`, or None if nothing reached the recorder. Raises InputError."""
    config = {**ask.config, "max_retries": 0, "timeout": int(TIMEOUT_S), "batch": None}
    if name.startswith("openai/"):
        # Otherwise Inspect sends one unmetered "hello, world" per model object to see whether summaries are allowed.
        config["reasoning_summary"] = config.get("reasoning_summary") or "none"
    model = make_model(
        name,
        GenerateConfig.model_validate(config),
        base_url=recorded_base(name, recorder),
        api_key=KEY,
        arguments=arguments,
        few_shot=few_shot,
    )
    base = str(getattr(getattr(model.api, "client", None), "base_url", recorder.root))
    if not base.startswith(recorder.root):
        return None  # it goes to a server of its own choice: nothing is sent there
    before = len(recorder.seen)
    # A thread of its own: a notebook's has an event loop that is running.
    with ThreadPoolExecutor(1) as threads:
        threads.submit(asyncio.run, _ask(model, ask)).result()
    return recorder.seen[-1] if len(recorder.seen) > before else None


async def _ask(model: Model, ask: Ask) -> None:
    """One generate call at the provider, past Inspect's connection pools, which belong to the event loop of an eval."""
    config = model.config.merge(GenerateConfig())
    if config.max_tokens is None:
        config.max_tokens = model.api.max_tokens_for_config(config) or model.api.max_tokens()
    messages = _MESSAGES.validate_python([dict(message) for message in ask.messages])
    tools = _TOOLS.validate_python([dict(tool) for tool in ask.tools])
    choice = ToolFunction(**ask.tool_choice) if isinstance(ask.tool_choice, Mapping) else ask.tool_choice
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await model.api.generate(messages, tools, choice, config)
    except Exception:  # noqa: BLE001  # whatever the provider makes of the recorder's answer: the request is what counts
        pass
    finally:
        await model.api.aclose()


def few_shot_messages(examples: Any) -> list[ChatMessage]:
    """Exchanges as user and assistant messages, in order."""
    return [
        message
        for example in examples
        for message in (ChatMessageUser(content=example["user"]), ChatMessageAssistant(content=example["assistant"]))
    ]


def _send_raw(client: Any, fields: Mapping[str, Any]) -> None:
    """Make an SDK's client put `fields` into every request body as they are, over whatever is there.

    Inspect does so for some providers, drops them for others and passes on a list of its own for a third; whether
    they arrive is seen by the recorder.
    """
    ask = getattr(client, "request", None)
    if ask is None:
        return

    async def request(cast_to: Any, options: Any, **kwargs: Any) -> Any:
        options.extra_json = {**(options.extra_json or {}), **fields}
        return await ask(cast_to, options, **kwargs)

    client.request = request


def _put_few_shot(api: ModelAPI, examples: Any) -> None:
    """Make `api` put the exchanges after the leading system messages of whatever it is asked."""
    ask = api.generate
    shots = few_shot_messages(examples)

    async def generate(input: list[ChatMessage], *args: Any, **kwargs: Any) -> Any:
        head = next((i for i, m in enumerate(input) if not isinstance(m, ChatMessageSystem)), len(input))
        return await ask([*input[:head], *shots, *input[head:]], *args, **kwargs)

    api.generate = generate  # type: ignore[method-assign]


def _one_line(error: Exception) -> str:
    """Inspect's message without its markup: which client, and which variable is not set."""
    words = MARKUP.sub("", str(error)).removeprefix("ERROR: ").split()
    return " ".join(words)[:300] or type(error).__name__
