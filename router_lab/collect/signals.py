"""What a log tells of an answer beside its score: its text, and signals, numbers that an
application would know as well when the answer is there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from router_lab.collect.calls import Call
from router_lab.prices import PriceTable
from router_lab.providers.evallog import resolve
from router_lab.providers.logprobs import VERDICTS, word_of
from router_lab.runtime.features import cap_text
from router_lab.runtime.messages import text_of

MOST_ANSWER = 20_000
"""Characters of an answer that a table keeps: of a longer one the first three quarters and the
last quarter, so that what the runtime looks at (`cap_text`) is there whole."""

LEAST = 1e-9
"""The least probability that a signal tells: its logarithm is a number."""


def signals_of(
    sample: Mapping[str, Any], calls: Sequence[Call], table: PriceTable, answers: bool = True
) -> dict[str, str | float]:
    """`answer` (unless answers=False) and the signals of a raw sample, those that are known: a
    table of logs that know none has no column of it.

    calls: of its last attempt. `signals_usd`: of the self-check, priced as `cost_usd` is.
    """
    own = [call for call in calls if call.own]
    checks = [call for call in calls if call.checks]
    found = {
        "answer": answer_of(sample) if answers else None,
        "signal_logprob": mean_logprob(_output(own[-1])) if own else None,
        "signal_self_check": true_logprob(_output(checks[-1])) if checks else None,
        "signals_usd": _dollars(checks, table) if checks else None,
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
    told = [_logprob(token) for token in tokens_of(output)]
    mean = sum(told) / len(told) if told else math.nan
    return mean if math.isfinite(mean) else None


def true_logprob(output: Mapping[str, Any]) -> float | None:
    """Log-probability that a self-check is answered by "True", where its first "True" or "False"
    stands: of all ways to write it among the likeliest tokens, else of the word that was said, or
    of not saying "False". None where no such word was said, or without log-probabilities."""
    for token in _told(tokens_of(output)):
        if word_of(token) not in VERDICTS:
            continue
        ways = [one for one in _told(token.get("top_logprobs")) if word_of(one) == "true"]
        likely = math.fsum(_probability(one) for one in ways)
        if not ways:
            likely = _probability(token) if word_of(token) == "true" else 1.0 - _probability(token)
        return math.log(min(max(likely, LEAST), 1.0))
    return None


def tokens_of(output: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tokens of an output's first choice with their log-probabilities, as far as they were
    told."""
    choices = output.get("choices") or []
    told = choices[0].get("logprobs") if choices else None
    content = told.get("content") if isinstance(told, Mapping) else None
    return [token for token in content if isinstance(token, Mapping)] if isinstance(content, list) else []


def _told(tokens: Any) -> list[Mapping[str, Any]]:
    """Those of `tokens` whose log-probability is a number."""
    found = [token for token in tokens if isinstance(token, Mapping)] if isinstance(tokens, list) else []
    return [token for token in found if not math.isnan(_logprob(token))]


def _logprob(token: Mapping[str, Any]) -> float:
    """NaN where it is no number."""
    told = token.get("logprob")
    try:
        return float(told) if isinstance(told, int | float) else math.nan
    except OverflowError:
        return math.nan


def _probability(token: Mapping[str, Any]) -> float:
    return math.exp(min(_logprob(token), 0.0))


def _dollars(calls: Sequence[Call], table: PriceTable) -> float | None:
    """What calls cost, each alone and uncached; None if one reported no usage."""
    usd = [
        None if call.tokens is None else table.cost(call.model, call.tokens.uncached(), call.started)
        for call in calls
    ]
    return None if None in usd else math.fsum(one for one in usd if one is not None)


def _output(call: Call) -> Mapping[str, Any]:
    return (call.event or {}).get("output") or {}
