"""Around every call of a candidate: whose fault a failure is, and not asking a dead provider again
and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from inspect_ai.model import ChatCompletionChoice, ChatMessageAssistant, ModelAPI, ModelCall, ModelOutput

from router_lab.inspect_compat import around_generate, client_of
from router_lab.masking import mask_error, masked, masked_tree, starred
from router_lab.providers.failures import OVERFLOW, REFUSAL, Fault, fault, of_exception, reason_of

Model = TypeVar("Model", ModelCall, ModelOutput)

FAILURES_TO_OPEN = 16
"""Failures in a row, over all samples of a model, after which it counts as dead: a provider that
answers half of the time is bad, not dead."""

COOL_S = 60.0
"""Seconds until one call may try a dead model again."""

REFUSALS_TO_STOP, LATER_REFUSALS_TO_STOP = 3, 8
"""Answers in a row that only the operator can mend (a wrong key, an unknown model), over all
samples of a model, after which it is not asked again in this run: before its first answer, and
after it."""


UNREACHABLE_S = 2.0
"""A server that has never answered may be about to: for this long after the first vain try it
counts as a failure like any other, which Inspect tries again, and only then as a wrong address."""


class RefusedError(RuntimeError):
    """A call that is not tried again: only the operator can mend what refuses it."""


class StoppedError(RefusedError):
    """The same, when it is sure: a call that was the last one, or was not made. The sample runs
    again on resume."""


class CircuitOpenError(RuntimeError):
    """A call that was not made, because its provider has failed too often; the sample runs again
    on resume."""


class Breaker:
    """Opens after a row of failures, lets one call through each `cool_s`, closes at the first
    answer.

    A rate limit is not a failure: the provider lives, and waiting is its own remedy.
    """

    def __init__(
        self, name: str, clock: Callable[[], float] = time.monotonic, cool_s: float = COOL_S
    ) -> None:
        self.name, self.clock, self.cool_s = name, clock, cool_s
        self.failures = 0
        self.answered = False
        self.refusals = 0
        self.stopped: str | None = None
        """Why the model is not asked again in this run."""
        self._next_try = 0.0
        self._last = ""
        self._unreached_since: float | None = None

    def check(self) -> None:
        """Raises StoppedError once stopped, CircuitOpenError while open, save for one call each
        `cool_s` seconds."""
        if self.stopped is not None:
            raise StoppedError(f"not asked again: {self.stopped}")
        if self.failures < FAILURES_TO_OPEN:
            return
        if self.clock() < self._next_try:
            raise CircuitOpenError(
                f"circuit breaker: {self.name} failed {self.failures} times in a row: {self._last}"
            )
        self._next_try = self.clock() + self.cool_s

    def lives(self) -> None:
        """The provider refused this one request."""
        self.failures = 0

    def succeeded(self) -> None:
        """An answer, good or bad, came."""
        self.failures = self.refusals = 0
        self.answered = True

    def unreachable(self) -> bool:
        """No connection; whether the address must be wrong, as nobody ever answered there and some
        time has passed."""
        now = self.clock()
        self._unreached_since = now if self._unreached_since is None else self._unreached_since
        return not self.answered and now - self._unreached_since >= UNREACHABLE_S

    def refused(self, reason: str) -> None:
        """What only the operator can mend kept the answer back."""
        self.refusals += 1
        if self.refusals >= (LATER_REFUSALS_TO_STOP if self.answered else REFUSALS_TO_STOP):
            self.stopped = self.stopped or reason

    def failed(self, error: str) -> None:
        """No answer came."""
        self.failures += 1
        self._last = error[:200]
        self._next_try = self.clock() + self.cool_s


def guard(
    api: ModelAPI,
    breaker: Breaker,
    on_failure: Callable[[bool], None],
    on_answer: Callable[[ModelOutput, str | None, Any], None] = lambda *_: None,
) -> None:
    """Wrap `api.generate`. An overflow or a refusal becomes the candidate's (failed) answer, so
    that it is scored and never paid again. What only the operator can mend is raised so that it is
    not tried again, and in the end stops the model; any other failure is raised, for Inspect's
    retries.

    on_failure(refused): told of each attempt without an answer; `refused` if it cannot have cost
    anything: the provider sent a status code, or was not asked. on_answer(output, ttl, response):
    told of each answer, how long its prompt stays in the provider's cache, if that is said, and
    the provider's own answer, if Inspect has it.
    """

    async def generate(ask: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            breaker.check()
        except (CircuitOpenError, StoppedError):
            on_failure(True)
            raise
        try:
            result = await ask(*args, **kwargs)
        except asyncio.CancelledError:
            breaker.failed("no answer in time")
            on_failure(False)
            raise
        except Exception as error:  # noqa: BLE001  # raised again, unless it is the candidate's own failure
            mask_error(error)
            return _settle(error, api, breaker, on_failure)
        output, call = result if isinstance(result, tuple) else (result, None)
        if isinstance(output, Exception):
            mask_error(output)
            call = call if call is None else _starred(call)
            output = _settle(output, api, breaker, on_failure)
        else:
            breaker.succeeded()
            on_answer(output, api.cache_write_ttl(), None if call is None else call.response)
            if starred(repr(output)) != repr(output):
                output, call = _starred(output), call if call is None else _starred(call)
        return output if call is None else (output, call)

    around_generate(api, generate)


def _starred(part: Model) -> Model:
    """A part of Inspect's log in which a server gave a key back, with stars for it."""
    return type(part).model_validate(masked_tree(part.model_dump(), starred))


def _settle(
    error: Exception, api: ModelAPI, breaker: Breaker, on_failure: Callable[[bool], None]
) -> ModelOutput:
    """The failed answer that `error` stands for, or `error` raised."""
    failure = of_exception(error)
    status, text, whose = failure.status, failure.text, fault(failure)
    on_failure(status is not None or whose is Fault.UNREACHABLE)
    if whose is Fault.OPERATOR or (whose is Fault.UNREACHABLE and breaker.unreachable()):
        where = api.base_url or getattr(client_of(api), "base_url", None) or api.model_name
        said = masked(f"{where}: {text}" if whose is Fault.UNREACHABLE else text)[:500]
        breaker.refused(reason_of(replace(failure, text=said)))
        if breaker.stopped is not None:
            raise StoppedError(said) from None
        if status != 401:  # Inspect may have a way to renew a key
            raise RefusedError(said) from None  # what it was raised from may quote the key
    elif status in (400, 403, 413, 422):
        if OVERFLOW.search(text) or REFUSAL.search(text):
            breaker.succeeded()
            return failed_answer(
                api.model_name, "model_length" if OVERFLOW.search(text) else "content_filter", text
            )
        breaker.lives()
    elif status != 429:
        breaker.failed(f"{type(error).__name__}: {text}")
    raise error


def failed_answer(model: str, stop_reason: Any, error: str) -> ModelOutput:
    """An answer without text that says why there is none."""
    choice = ChatCompletionChoice(
        message=ChatMessageAssistant(content="", model=model), stop_reason=stop_reason
    )
    return ModelOutput(model=model, choices=[choice], error=error[:500])
