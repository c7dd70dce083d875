"""What came back from a provider, whichever API and however it is held: plain dicts, or the models
of an SDK."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from router_lab.integrations.sessions import Used
from router_lab.runtime.budget import MOST_TOKENS

CACHED_FROM = 1024
"""Tokens of a prompt from which OpenAI's APIs hold it in their cache without being asked."""
_CHAT = ("prompt_tokens", "completion_tokens", "prompt_tokens_details")
_RESPONSES = ("input_tokens", "output_tokens", "input_tokens_details")
_MESSAGES = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")


class Answer(NamedTuple):
    """An answer as far as it is judged and counted. text: as a user would see it, None where it is
    not known; calls_tools: it asks for tools and so is no answer yet; used: None = not reported;
    id: where a request may go on from it by name."""

    text: str | None = None
    signals: Mapping[str, float] = {}
    used: Used | None = None
    calls_tools: bool = False
    id: str | None = None


def read(api: str, answer: object, judged: bool = True) -> Answer:
    """The answer of `api` to a request that was not streamed; what cannot be read is unknown.
    judged: whether what it says matters, or what it used alone."""
    if not judged:
        id = field(answer, "id") if api == "openai_responses" else None
        return Answer(used=used(api, field(answer, "usage")), id=_text(id))
    try:
        if api == "anthropic":
            return _message(answer)
        return _response(answer) if api == "openai_responses" else _completion(answer)
    except Exception:  # noqa: BLE001  # whatever a host's object does, the answer was paid for
        return Answer()


def used(api: str, usage: object) -> Used | None:
    """Tokens from a usage block of `api`; None where there is none, or it does not say how many
    went in and came out: what is not known is not nothing."""
    if usage is None:
        return None
    if api == "anthropic":
        found, output = _partly(usage)
    else:
        ins, outs, details = _CHAT if api == "openai_chat" else _RESPONSES
        whole, output = counts(usage, (ins, outs))
        (cached,) = counts(field(usage, details), ("cached_tokens",))
        whole = whole or 0
        cached = min(cached or 0, whole)
        found = Used(whole, output or 0, cached, whole if whole >= CACHED_FROM else cached)
    # No prompt has no tokens, and an answer has none only where it is said.
    return None if not found.input or output is None else found


def _partly(usage: object) -> tuple[Used, int | None]:
    """What an event of Anthropic's says, which leaves out what another has told or will tell; and
    its output, None where it says none."""
    fresh, read, written, output = counts(usage, _MESSAGES)
    held = (read or 0) + (written or 0)
    return Used((fresh or 0) + held, output or 0, read or 0, held), output


def field(value: object, name: str) -> object:
    """A key of a dict or an attribute of an SDK's model; None where it is missing."""
    if isinstance(value, dict):
        return value.get(name)
    try:
        found = getattr(value, name, None)
        # Asked last: it is dear of a model of an SDK, which is none.
        return value.get(name) if found is None and isinstance(value, Mapping) else found
    except Exception:  # noqa: BLE001  # a host's object may fail in any way, after it was paid for
        return None


def items(value: object) -> Sequence[object]:
    """A list's items; none of anything else."""
    return value if isinstance(value, list | tuple) else ()


def _completion(answer: object) -> Answer:
    choice = next(iter(items(field(answer, "choices"))), None)
    message = field(choice, "message")
    return Answer(
        _text(field(message, "content")),
        _logprob(items(field(field(choice, "logprobs"), "content"))),
        used("openai_chat", field(answer, "usage")),
        bool(field(message, "tool_calls") or field(message, "function_call")),
    )


def _response(answer: object) -> Answer:
    output = items(field(answer, "output"))
    parts = [
        part for item in output if field(item, "type") == "message" for part in items(field(item, "content"))
    ]
    texts = [text for part in parts if isinstance(text := field(part, "text"), str)]
    return Answer(
        "".join(texts) if texts else None,
        _logprob([token for part in parts for token in items(field(part, "logprobs"))]),
        used("openai_responses", field(answer, "usage")),
        any(str(field(item, "type")).endswith("_call") for item in output),
        _text(field(answer, "id")),
    )


def _message(answer: object) -> Answer:
    blocks = items(field(answer, "content"))
    texts = [
        text for block in blocks if field(block, "type") == "text" and (text := _text(field(block, "text")))
    ]
    return Answer(
        "".join(texts) if texts else None,
        {},
        used("anthropic", field(answer, "usage")),
        any(str(field(block, "type")) == "tool_use" for block in blocks),
    )


def _logprob(tokens: Iterable[object]) -> dict[str, float]:
    """The mean log-probability of the tokens, as collected outcomes have it."""
    found = [float(value) for token in tokens if isinstance(value := field(token, "logprob"), int | float)]
    mean = sum(found) / len(found) if found else math.nan
    return {"logprob": mean} if math.isfinite(mean) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def counts(usage: object, names: Iterable[str]) -> list[int | None]:
    """Tokens of a usage block by name, which some servers write as 12.0; None for what is no count,
    or not said."""
    found: list[int | None] = []
    for name in names:
        value = usage.get(name) if type(usage) is dict else field(usage, name)
        if type(value) is float and value.is_integer():
            value = int(value)
        found.append(value if type(value) is int and 0 <= value <= MOST_TOKENS else None)
    return found


class Stream:
    """What the events of a streamed answer say of it: its tokens, and its id."""

    def __init__(self, api: str) -> None:
        self._api, self._used, self._told = api, Used(), False
        self._id: str | None = None

    def see(self, event: object) -> bool:
        """Read an event; whether it says nothing but the usage (of OpenAI's chat API)."""
        response, message = field(event, "response"), field(event, "message")
        usage = field(event, "usage") or field(response, "usage") or field(message, "usage")
        self._id = _text(field(response, "id")) or self._id
        if self._api == "anthropic":
            # It tells input first and output last, where input may be left out or told again. What
            # the first event counts as output is a beginning.
            self._used = Used(*map(max, self._used, _partly(usage)[0]))
            self._told = self._told or counts(field(event, "usage"), ("output_tokens",)) != [None]
            return False
        found = used(self._api, usage)
        if found is not None:
            self._used, self._told = found, True
        return usage is not None and self._api == "openai_chat" and not items(field(event, "choices"))

    @property
    def answer(self) -> Answer:
        """What is known of the answer so far."""
        return Answer(None, {}, self._used if self._told and self._used.input else None, id=self._id)
