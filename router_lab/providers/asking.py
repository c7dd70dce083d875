"""Inspect's models, made and asked: with a candidate's own few-shot and raw fields, live or
against a recorder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

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

from router_lab.inspect_compat import (
    PrerequisiteError,
    around_generate,
    around_requests,
    client_of,
    one_line,
    say_base_url,
)
from router_lab.masking import has_references, know, know_user, masked, revealed
from router_lab.providers.keys import RECORDED
from router_lab.providers.recorder import KEY, Recorder, Sent
from router_lab.runtime.errors import InputError

OFFLINE = ("mockllm", "none", RECORDED.rstrip("/"))
"""Providers that send nothing."""

TIMEOUT_S = 20.0

_MESSAGES: TypeAdapter[list[ChatMessage]] = TypeAdapter(list[ChatMessage])
_TOOLS: TypeAdapter[list[ToolInfo]] = TypeAdapter(list[ToolInfo])


@dataclass(frozen=True)
class Ask:
    """What Inspect hands to a provider for one call, as its logs have it: messages and tools as
    JSON objects."""

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
    keys: Mapping[str, str] | None = None,
    logprobs: bool = False,
) -> Model:
    """Inspect's model `name`. Raw fields of `config.extra_body` are put into every body,
    `config.extra_headers` into its headers, `few_shot` into every request at the provider, so that
    any task, also a foreign agent, gets them.

    keys: values of references (`masking.hidden`) in arguments, base URL, raw fields and headers,
    beside those of the environment; they are put in where the request leaves, and no log sees
    them. None leaves references as they are. Raises InputError.
    """
    where = f"model {name!r}"
    if name.startswith("openai/") and config.reasoning_summary is None:
        # Otherwise Inspect sends one unmetered "hello, world" per model object to see whether
        # summaries are allowed.
        config = config.model_copy(update={"reasoning_summary": "none"})

    def reveal(tree: Any) -> Any:
        return tree if keys is None else revealed(tree, keys, where)

    given = dict(reveal(arguments or {})) | ({} if api_key is None else {"api_key": api_key})
    try:
        model = get_model(name, config=config, base_url=reveal(base_url), memoize=False, **given)
    except (PrerequisiteError, ValueError, TypeError, ImportError) as error:
        raise InputError(masked(f"{where} cannot be made: {one_line(error)}")) from None
    # The server and, where it was not given, the key may be of the environment.
    know_user(model.api.base_url or "")
    for attribute in ("api_key", "initial_api_key") if api_key is None else ():
        know(getattr(model.api, attribute, None))
    if base_url is not None:
        say_base_url(model, masked(base_url))
    _send_raw(model.api, name, config, reveal)
    if few_shot:
        _put_few_shot(model.api, few_shot)
    if logprobs:
        _ask_logprobs(model.api)
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
    """What model `name` sends for `ask`, or None if nothing reached the recorder. Raises
    InputError."""
    config = {**ask.config, "max_retries": 0, "timeout": int(TIMEOUT_S), "batch": None}
    model = make_model(
        name,
        GenerateConfig.model_validate(config),
        base_url=recorded_base(name, recorder),
        api_key=KEY,
        arguments=arguments,
        few_shot=few_shot,
    )
    base = str(getattr(client_of(model.api), "base_url", recorder.root))
    if not base.startswith(recorder.root):
        return None  # it goes to a server of its own choice: nothing is sent there
    before = len(recorder.seen)
    # A thread of its own: a notebook's has an event loop that is running.
    with ThreadPoolExecutor(1) as threads:
        threads.submit(asyncio.run, _ask(model, ask)).result()
    return recorder.seen[-1] if len(recorder.seen) > before else None


async def _ask(model: Model, ask: Ask) -> None:
    """One generate call at the provider, past Inspect's connection pools, which belong to the
    event loop of an eval."""
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
        for message in (
            ChatMessageUser(content=example["user"]),
            ChatMessageAssistant(content=example["assistant"]),
        )
    ]


def _send_raw(api: ModelAPI, name: str, config: GenerateConfig, reveal: Callable[[Any], Any]) -> None:
    """Make the SDK's client of `api` put `extra_body` and `extra_headers` into every request as
    they are, over whatever is there, with the values of the keys in them; and try nothing again:
    Inspect does, and what an SDK retries on its own is seen, limited and accounted for by nobody.

    Inspect does so for some providers, drops them for others and passes on a list of its own for a
    third; whether they arrive is seen by the recorder. Raises InputError where keys cannot be put
    in.
    """
    client, fields, headers = client_of(api), config.extra_body or {}, config.extra_headers or {}
    if hasattr(client, "max_retries"):
        client.max_retries = 0
    if not fields and not headers:
        return
    if not hasattr(client, "request"):
        if has_references([fields, headers]):
            raise InputError(
                f"model {name!r}: its client is none that a key in extra_headers or extra_body could be "
                "given to at the last moment, and Inspect logs both; use the variable that the provider reads"
            )
        return
    body, heads = reveal(fields), reveal(headers)

    def put(options: Any) -> None:
        options.extra_json = {**(options.extra_json or {}), **body}
        if heads:
            given = options.headers if isinstance(options.headers, Mapping) else {}
            options.headers = {**given, **heads}

    around_requests(api, put)


def _put_few_shot(api: ModelAPI, examples: Any) -> None:
    """Make `api` put the exchanges after the leading system messages of whatever it is asked."""
    shots = few_shot_messages(examples)

    async def generate(ask: Any, input: list[ChatMessage], *args: Any, **kwargs: Any) -> Any:
        head = next((i for i, m in enumerate(input) if not isinstance(m, ChatMessageSystem)), len(input))
        return await ask([*input[:head], *shots, *input[head:]], *args, **kwargs)

    around_generate(api, generate)


def _ask_logprobs(api: ModelAPI) -> None:
    """Make `api` ask for the log-probability of each token, unless its settings say otherwise.

    In the model's own settings it would be a part of the task's identity, for Inspect and for us,
    and whatever was finished without it would be run and paid for again.
    """

    async def generate(
        ask: Any, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: Any, config: GenerateConfig
    ) -> Any:
        if config.logprobs is None:
            config = config.model_copy(update={"logprobs": True})
        return await ask(input, tools, tool_choice, config)

    around_generate(api, generate)
