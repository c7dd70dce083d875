"""What a log tells of an answer beside its score: its text, and signals, numbers that an
application would know as well when the answer is there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from router_lab.collect.calls import Call
from router_lab.providers.evallog import resolve
from router_lab.runtime.features import cap_text
from router_lab.runtime.messages import text_of

MOST_ANSWER = 20_000
"""Characters of an answer that a table keeps: of a longer one the first three quarters and the
last quarter, so that what the runtime looks at (`cap_text`) is there whole."""


def signals_of(
    sample: Mapping[str, Any], calls: Sequence[Call], answers: bool = True
) -> dict[str, str | float]:
    """`answer` (unless answers=False) and the signals of a raw sample, those that are known: a
    table of logs that know none has no column of it.

    calls: of its last attempt.
    """
    own = [call for call in calls if call.own and call.event is not None]
    found = {
        "answer": answer_of(sample) if answers else None,
        "signal_logprob": mean_logprob(_output(own[-1])) if own else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def answer_of(sample: Mapping[str, Any]) -> str | None:
    """The text of the final completion, MOST_ANSWER characters at most; None where no answer
    came."""
    output = sample.get("output") or {}
    choices = output.get("choices") or []
    if not choices or output.get("error"):
        return None
    text = resolve(dict(sample), output.get("completion"))
    if not isinstance(text, str):
        text = text_of(resolve(dict(sample), (choices[0].get("message") or {}).get("content")))
    return text if len(text) <= MOST_ANSWER else cap_text(text, MOST_ANSWER - 1)


def mean_logprob(output: Mapping[str, Any]) -> float | None:
    """Mean log-probability of the tokens of an answer; None where its provider told none, or one
    that is no finite number."""
    told = [token.get("logprob") for token in tokens_of(output)]
    numbers = [float(one) for one in told if isinstance(one, int | float) and math.isfinite(one)]
    return math.fsum(numbers) / len(numbers) if numbers and len(numbers) == len(told) else None


def tokens_of(output: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tokens of an output's first choice with their log-probabilities, as far as they were
    told."""
    choices = output.get("choices") or []
    told = (choices[0].get("logprobs") if choices else None) or {}
    return [token for token in told.get("content") or [] if isinstance(token, Mapping)]


def _output(call: Call) -> Mapping[str, Any]:
    return (call.event or {}).get("output") or {}
