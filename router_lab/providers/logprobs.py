"""Log-probabilities of a generation's tokens in a recording: of an answer numbers alone, without
the tokens; of a self-check the tokens up to the word that was asked for, and what else was
likely."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inspect_ai.model import Logprob, Logprobs, TopLogprob

LOGPROBS = "logprobs"
"""A recorded generation's key of them."""
DIGITS = 4
"""After the point: a mean of rounded ones is as far from the true one as each is at most, 5e-5."""
MOST = 1e9
"""What is further from 0 is no log-probability."""
AROUND = " \t\r\n.,:*_`'\"\u2581\u0120"
"""Signs around a word within its token, and how two kinds of tokenizers write a space."""
VERDICTS = ("true", "false")
"""The words of which a self-check says one."""


def rounded_logprobs(output: Mapping[str, Any]) -> list[float] | None:
    """Of the tokens of an output's first choice, in their order; None where its provider told
    none, or one that cannot be one."""
    numbers = [_rounded(token) for token in _content(output)]
    known = [one for one in numbers if one is not None]
    return known if known and len(known) == len(numbers) else None


def rounded_words(output: Mapping[str, Any]) -> list[list[Any]] | None:
    """Of a self-check: `[token, log-probability, [[token, log-probability], …]]` of each token up
    to the first that says one of VERDICTS, the likeliest others with the last alone; None as in
    `rounded_logprobs`, and where no verdict was said."""
    found: list[list[Any]] = []
    for token in _content(output):
        number = _rounded(token)
        if number is None:
            return None
        found.append([str(token.get("token") or ""), number, []])
        if word_of(token) in VERDICTS:
            likely = [(str(one.get("token") or ""), _rounded(one)) for one in token.get("top_logprobs") or []]
            found[-1][2] = [[text, known] for text, known in likely if known is not None]
            return found
    return None


def told_logprobs(record: Mapping[str, Any]) -> Logprobs | None:
    """Those of a recorded generation as a provider tells them; None where none were recorded.
    Which tokens they are of is recorded of self-checks alone."""
    told = record.get(LOGPROBS)
    return None if told is None else Logprobs(content=[_logprob(one) for one in told])


def word_of(token: Mapping[str, Any]) -> str:
    """What a token says, without the signs around it, in lower case."""
    return str(token.get("token") or "").strip(AROUND).lower()


def _logprob(told: float | list[Any]) -> Logprob:
    if not isinstance(told, list):
        return Logprob(token="", logprob=told)
    token, number, likely = told
    others = [TopLogprob(token=text, logprob=one) for text, one in likely]
    return Logprob(token=token, logprob=number, top_logprobs=others or None)


def _content(output: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return (output["choices"][0].get("logprobs") or {}).get("content") or []


def _rounded(token: Mapping[str, Any]) -> float | None:
    """None where it is no log-probability."""
    told = token.get("logprob")
    return round(float(told), DIGITS) if isinstance(told, int | float) and abs(told) < MOST else None
