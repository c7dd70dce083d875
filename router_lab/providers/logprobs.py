"""Log-probabilities of a generation's tokens in a recording: numbers alone, without the tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inspect_ai.model import Logprob, Logprobs

LOGPROBS = "logprobs"
"""A recorded generation's key of them."""
DIGITS = 4
"""After the point: a mean of rounded ones is as far from the true one as each is at most, 5e-5."""
MOST = 1e9
"""What is further from 0 is no log-probability."""


def rounded_logprobs(output: Mapping[str, Any]) -> list[float] | None:
    """Of the tokens of an output's first choice, in their order; None where its provider told
    none, or one that cannot be one."""
    told = (output["choices"][0].get("logprobs") or {}).get("content") or []
    numbers = [token.get("logprob") for token in told]
    if not numbers or not all(isinstance(one, int | float) and abs(one) < MOST for one in numbers):
        return None
    return [round(float(one), DIGITS) for one in numbers]


def told_logprobs(record: Mapping[str, Any]) -> Logprobs | None:
    """Those of a recorded generation as a provider tells them; None where none were recorded.
    Which tokens they are of is not recorded."""
    numbers = record.get(LOGPROBS)
    return None if numbers is None else Logprobs(content=[Logprob(token="", logprob=one) for one in numbers])
