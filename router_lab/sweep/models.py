"""A candidate as an Inspect model whose every request carries the candidate's settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
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
from pydantic import ValidationError

from router_lab.masking import has_references, know, know_user, masked, revealed
from router_lab.providers.keys import CANDIDATE_KEY, RECORDED
from router_lab.runtime.errors import InputError
from router_lab.sweep.settings import Cell

MARKUP = re.compile(r"\[/?[a-z ]+\]")
"""Colours in Inspect's messages."""


def build_model(cell: Cell, recorded: Path, api_key: str | None = None, *, sending: bool = True) -> Model:
    """The model of `cell`. What identifies it (settings, few-shot text and all) is in the log's model arguments.

    System messages travel in GenerateConfig. Few-shot exchanges are put into every request at the provider, so any
    task, also a foreign agent, gets them. `recorded`: folder for the `recorded` provider;
    `api_key`: instead of the environment's. Keys in settings are references in all that is logged; with sending=False
    they are so in the request too. Raises InputError.
    """
    config = _generate_config(cell)
    where = f"model {cell.spec.model!r}"
    reveal = partial(revealed, found=cell.keys, where=where) if sending else dict
    arguments = reveal(cell.settings.model_args)
    base_url = revealed(cell.spec.base_url, {}, where) if sending else cell.spec.base_url
    is_recorded = cell.spec.model.startswith(RECORDED)
    if is_recorded:
        arguments = {CANDIDATE_KEY: candidate_arguments(cell), "folder": str(recorded), **arguments}
    try:
        model = get_model(
            cell.spec.model, config=config, base_url=base_url, memoize=False,
            **arguments | ({} if api_key is None else {"api_key": api_key}),
        )  # fmt: skip
    except (PrerequisiteError, ValueError, TypeError, ImportError) as error:
        raise InputError(masked(f"{where} cannot be made: {_one_line(error)}")) from None
    if api_key is None:
        for name in ("api_key", "initial_api_key"):
            know(getattr(model.api, name, None))
    know_user(getattr(model.api, "base_url", None) or "")  # which may be of the environment
    if base_url is not None:
        model._explicit_base_url = masked(cell.spec.base_url or "")  # what the log says of it
    # A provider would refuse an argument that it does not know; Model.model_args is only what the log records.
    model.model_args = {**cell.settings.model_args, CANDIDATE_KEY: candidate_arguments(cell)}
    client = getattr(model.api, "client", None)
    if client is not None and hasattr(client, "max_retries"):
        # Inspect retries as well, and what an SDK retries on its own is seen, limited and accounted for by nobody.
        client.max_retries = 0
    _send_raw(model.api, cell, reveal)
    if cell.settings.few_shot and not is_recorded:
        _put_few_shot(model.api, cell.settings.few_shot)
    return model


def candidate_arguments(cell: Cell) -> dict[str, Any]:
    """JSON that identifies the candidate in a log, complete enough to send the same request again."""
    return {
        "model": cell.model,
        "effort": cell.effort,
        "settings_sha": cell.settings.sha,
        "config": dict(cell.settings.config),
        "few_shot": [dict(example) for example in cell.settings.few_shot],
        "task_args": dict(cell.settings.task_args),
    }


def few_shot_messages(examples: Any) -> list[ChatMessage]:
    """Exchanges as user and assistant messages, in order."""
    return [
        message
        for example in examples
        for message in (ChatMessageUser(content=example["user"]), ChatMessageAssistant(content=example["assistant"]))
    ]


def _send_raw(api: ModelAPI, cell: Cell, reveal: Callable[[Any], Any]) -> None:
    """Make the SDK's client of `api` put `extra_body` and `extra_headers` into every request as they are, over whatever
    is there, with the values of the keys in them.

    Inspect does so for some providers, drops them for others and passes on a list of its own for a third; whether
    they arrive is seen by the recorder. Raises InputError where keys cannot be put in.
    """
    fields, headers = (cell.settings.config.get(name) or {} for name in ("extra_body", "extra_headers"))
    if not fields and not headers:
        return
    if getattr(getattr(api, "client", None), "request", None) is None:
        if has_references([fields, headers]):
            raise InputError(
                f"model {cell.spec.model!r}: its client is none that a key in extra_headers or extra_body could be "
                "given to at the last moment, and Inspect logs both; use the variable that the provider reads"
            )
        return
    body, heads = reveal(fields), reveal(headers)
    begin = api.initialize

    def wrap() -> None:
        client: Any = api.client  # type: ignore[attr-defined]
        ask = client.request

        async def request(cast_to: Any, options: Any, **kwargs: Any) -> Any:
            options.extra_json = {**(options.extra_json or {}), **body}
            if heads:
                given = options.headers if isinstance(options.headers, Mapping) else {}
                options.headers = {**given, **heads}
            return await ask(cast_to, options, **kwargs)

        client.request = request

    def initialize() -> None:
        begin()  # which makes another client
        wrap()

    wrap()
    api.initialize = initialize  # type: ignore[method-assign]


def _put_few_shot(api: ModelAPI, examples: Any) -> None:
    """Make `api` put the exchanges after the leading system messages of whatever it is asked."""
    ask = api.generate
    shots = few_shot_messages(examples)

    async def generate(input: list[ChatMessage], *args: Any, **kwargs: Any) -> Any:
        head = next((i for i, m in enumerate(input) if not isinstance(m, ChatMessageSystem)), len(input))
        return await ask([*input[:head], *shots, *input[head:]], *args, **kwargs)

    api.generate = generate  # type: ignore[method-assign]


def _generate_config(cell: Cell) -> GenerateConfig:
    fields = {**cell.settings.config, **cell.transport}
    unknown = fields.keys() - GenerateConfig.model_fields.keys()
    if unknown:
        raise InputError(f"candidate {cell.candidate}: `{min(unknown)}` is no field of Inspect's GenerateConfig")
    if cell.spec.model.startswith("openai/"):
        # Otherwise Inspect sends one unmetered "hello, world" per model object to see whether summaries are allowed.
        fields.setdefault("reasoning_summary", "none")
    try:
        return GenerateConfig(**fields)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"]))
        raise InputError(f"candidate {cell.candidate}: `{key}` is {fault['input']!r}: {fault['msg']}") from None


def _one_line(error: Exception) -> str:
    """Inspect's message without its markup: which client, and which variable is not set."""
    words = MARKUP.sub("", str(error)).removeprefix("ERROR: ").split()
    return " ".join(words)[:300] or type(error).__name__
