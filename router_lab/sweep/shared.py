"""A call that several candidates make is made once: the next one gets the answer that is there.

Teams differ in one role and agree in others, and a role whose prompt does not depend on another's
choice asks what was asked before. A request is what is sent: model, server, settings, messages,
tools, and which draw of the sample's epoch it is. Answers stand in a file of JSON lines in the log
directory, so that they are there after a kill; each with what the call used and how long it took.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from inspect_ai.model import ChatMessage, GenerateConfig, ModelAPI, ModelCall, ModelOutput
from pydantic import ValidationError

from router_lab.inspect_compat import around_generate, running_sample
from router_lab.masking import masked_tree, starred
from router_lab.providers.keys import SHARED_NOTE, TRANSPORT, canonical_messages, sha256_of
from router_lab.runtime.errors import InputError
from router_lab.runtime.files import append_line, append_lines, read_records

FILE = "calls.jsonl"
Answer = tuple[ModelOutput, ModelCall]


class SharedCalls:
    """The answers of one log directory, once it is known. One process writes it: the directory is
    locked."""

    def __init__(self) -> None:
        self.path = Path(FILE)
        self._answers: dict[str, dict[str, Any]] = {}
        self._running: dict[str, asyncio.Lock] = {}

    def keep_in(self, folder: Path) -> None:
        """Read and write the file in `folder`. Raises InputError for one that holds what is no
        answer."""
        self.path = folder / FILE
        if not self.path.exists():
            return
        try:
            found = read_records(self.path)
            append_lines(self.path, [])  # what nobody may write would be asked, and paid, again after a kill
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be read and written: {error.strerror}; give the right to, or move it away"
            ) from error
        for number, record in zip(found.numbers, found.rows, strict=True):
            if not isinstance(record.get("key"), str):
                raise InputError(
                    f"{self.path}: line {number} is no answer of a call; move the file away, and calls are made anew"
                )
            self._answers.setdefault(record["key"], record)

    async def ask(self, key: str, call: Callable[[], Awaitable[Any]]) -> Any:
        """The answer that is known under `key`, else that of `call`, which nobody else makes
        meanwhile. Failures are not kept, and whoever waits tries then."""
        async with self._running.setdefault(key, asyncio.Lock()):
            if key in self._answers:
                return self._known(key)
            result = await call()
            output = result[0] if isinstance(result, tuple) else result
            if isinstance(output, ModelOutput) and output.choices and output.error is None:
                seconds = result[1].time if isinstance(result, tuple) else None
                self._keep(key, output, seconds)
            return result

    def _known(self, key: str) -> Answer:
        record = self._answers[key]
        try:
            output = ModelOutput.model_validate(record["output"])
            call = ModelCall.create(request={"key": key}, response={}, time=record.get("seconds"))
        except (KeyError, ValidationError) as error:
            raise InputError(
                f"{self.path}: the answer {key[:12]}… is damaged: {str(error).splitlines()[0]}; take its line out"
            ) from None
        output.metadata = {**(output.metadata or {}), SHARED_NOTE: True}
        return output, call

    def _keep(self, key: str, output: ModelOutput, seconds: float | None) -> None:
        # As logs have it: a key that a server gave back is stars.
        answer = masked_tree(output.model_dump(mode="json", exclude_none=True), starred)
        record = {"key": key, "seconds": seconds, "output": answer}
        self._answers[key] = record
        # Without room the ledger beside it cannot be written either, and stops the sweep before the
        # next call; this answer was paid for, and its sample may still end with it.
        with suppress(OSError):
            append_line(self.path, json.dumps(record, separators=(",", ":")).encode())


def share(api: ModelAPI, calls: SharedCalls, identity: Any, always: bool) -> None:
    """Let answers of `api` come from `calls`, where the temperature is 0, or `always`.

    identity: what is sent beside messages, tools and generation settings, as JSON (model, server,
    few-shot examples, raw arguments).
    """
    drawn: dict[tuple[str, str], set[int]] = {}

    async def generate(
        ask: Any,
        input: list[ChatMessage],
        tools: Any,
        tool_choice: Any,
        config: GenerateConfig,
        **kwargs: Any,
    ) -> Any:
        if not (always or config.temperature == 0):
            return await ask(input, tools, tool_choice, config, **kwargs)
        sample, epoch = running_sample()
        bare = sha256_of([identity, *_sent(input, tools, tool_choice, config)])
        taken = drawn.setdefault((sample, bare), set())
        draw = next(number for number in count() if number not in taken)
        taken.add(draw)
        key = sha256_of([bare, epoch, draw])
        answered = False
        try:
            result = await calls.ask(key, lambda: ask(input, tools, tool_choice, config, **kwargs))
            answered = not isinstance(result[0] if isinstance(result, tuple) else result, Exception)
        finally:
            # What failed is asked again as the same draw, or nobody would find its answer.
            if not answered:
                taken.discard(draw)
        return result

    around_generate(api, generate)


def _sent(input: list[ChatMessage], tools: Any, tool_choice: Any, config: GenerateConfig) -> list[Any]:
    messages = canonical_messages([message.model_dump(exclude_none=True) for message in input])
    shown = [tool.model_dump(mode="json", exclude_none=True) for tool in tools]
    choice = tool_choice if isinstance(tool_choice, str) else getattr(tool_choice, "name", None)
    settings = {
        k: v for k, v in config.model_dump(mode="json", exclude_none=True).items() if k not in TRANSPORT
    }
    return [messages, shown, choice, settings]
