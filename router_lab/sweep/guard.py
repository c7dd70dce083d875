"""Around every call of a candidate: whose fault a failure is, and not asking a dead provider again and again."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

from inspect_ai.model import ChatCompletionChoice, ChatMessageAssistant, ModelAPI, ModelOutput

FAILURES_TO_OPEN = 16
"""Failures in a row, over all samples of a model, after which it counts as dead: a provider that answers half of the
time is bad, not dead."""

COOL_S = 60.0
"""Seconds until one call may try a dead model again."""

OVERFLOW = re.compile(r"context.?(length|window)|maximum context|too many (input )?tokens|prompt is too long", re.I)
REFUSAL = re.compile(r"content.?(policy|filter|management)|safety|flagged|moderation|usage policy", re.I)


class CircuitOpenError(RuntimeError):
    """A call that was not made, because its provider has failed too often; the sample runs again on resume."""


class Breaker:
    """Opens after a row of failures, lets one call through each `cool_s`, closes at the first answer.

    A rate limit is not a failure: the provider lives, and waiting is its own remedy.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic, cool_s: float = COOL_S) -> None:
        self.name, self.clock, self.cool_s = name, clock, cool_s
        self.failures = 0
        self._next_try = 0.0
        self._last = ""

    def check(self) -> None:
        """Raises CircuitOpenError while open, save for one call each `cool_s` seconds."""
        if self.failures < FAILURES_TO_OPEN:
            return
        if self.clock() < self._next_try:
            raise CircuitOpenError(f"circuit breaker: {self.name} failed {self.failures} times in a row: {self._last}")
        self._next_try = self.clock() + self.cool_s

    def succeeded(self) -> None:
        """An answer, good or bad, came."""
        self.failures = 0

    def failed(self, error: str) -> None:
        """No answer came."""
        self.failures += 1
        self._last = error[:200]
        self._next_try = self.clock() + self.cool_s


def guard(
    api: ModelAPI,
    breaker: Breaker,
    on_failure: Callable[[bool], None],
    on_answer: Callable[[ModelOutput, str | None], None] | None = None,
) -> None:
    """Wrap `api.generate`. An overflow or a refusal becomes the candidate's (failed) answer, so that it is scored and
    never paid again; any other failure is raised, for Inspect's retries.

    on_failure(refused): told of each attempt without an answer; `refused` if the provider sent a status code.
    on_answer(output, ttl): told of each answer, and how long its prompt stays in the provider's cache, if that is said.
    """
    ask = api.generate

    async def generate(*args: Any, **kwargs: Any) -> Any:
        breaker.check()
        try:
            result = await ask(*args, **kwargs)
        except asyncio.CancelledError:
            breaker.failed("no answer in time")
            on_failure(False)
            raise
        except Exception as error:  # noqa: BLE001  # raised again, unless it is the candidate's own failure
            return _settle(error, api, breaker, on_failure)
        output, call = result if isinstance(result, tuple) else (result, None)
        if isinstance(output, Exception):
            settled = _settle(output, api, breaker, on_failure)
            return (settled, call) if call is not None else settled
        breaker.succeeded()
        if on_answer is not None:
            on_answer(output, api.cache_write_ttl())
        return result

    api.generate = generate  # type: ignore[method-assign]


def _settle(error: Exception, api: ModelAPI, breaker: Breaker, on_failure: Callable[[bool], None]) -> ModelOutput:
    """The failed answer that `error` stands for, or `error` raised."""
    status = getattr(error, "status_code", None)
    on_failure(status is not None)
    text = str(error)
    if status in (400, 403, 413, 422):
        breaker.succeeded()
        if OVERFLOW.search(text):
            return failed_answer(api.model_name, "model_length", text)
        if REFUSAL.search(text):
            return failed_answer(api.model_name, "content_filter", text)
    elif status != 429:
        breaker.failed(f"{type(error).__name__}: {text}")
    raise error


def failed_answer(model: str, stop_reason: Any, error: str) -> ModelOutput:
    """An answer without text that says why there is none."""
    choice = ChatCompletionChoice(message=ChatMessageAssistant(content="", model=model), stop_reason=stop_reason)
    return ModelOutput(model=model, choices=[choice], error=error[:500])
