"""A suite's score as quality in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from router_lab.config import Suite
from router_lab.runtime.errors import InputError


def score_of(sample: Mapping[str, Any], suite: Suite, where: str) -> Mapping[str, Any] | None:
    """The score that the suite's quality is read from; None if the sample was not scored. Raises InputError."""
    scores = sample.get("scores") or {}
    if not scores:
        return None
    if suite.scorer is None:
        first: Mapping[str, Any] = next(iter(scores.values()))
        return first
    if suite.scorer not in scores:
        raise InputError(f"{where}: scorer `{suite.scorer}` is not among {', '.join(scores)}; set `scorer:`")
    named: Mapping[str, Any] = scores[suite.scorer]
    return named


def quality_of(value: Any, suite: Suite, where: str) -> float:
    """A score value as quality. Text goes through the suite's map; a number must lie in [0, 1]. Raises InputError."""
    if isinstance(value, dict):
        if suite.value is None or suite.value not in value:
            raise InputError(f"{where}: score has the values {', '.join(value)}; name one with `value:` in the suite")
        value = value[suite.value]
    if isinstance(value, str) and value in suite.quality:
        return float(suite.quality[value])
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        value = _number(value, suite, where)
    if not isinstance(value, int | float) or math.isnan(value):
        raise InputError(f"{where}: score is {value!r}; map it to a number in [0, 1] with `quality:` in the suite")
    if not 0.0 <= value <= 1.0:
        raise InputError(
            f"{where}: quality is {value:g}; it must lie in [0, 1]: choose a scorer that does, or map with `quality:`"
        )
    return float(value)


def check_of(score: Mapping[str, Any] | None, suite: Suite) -> bool | None:
    """Whether the answer passed its run-time check; None where the suite has none or the scorer did not say."""
    if suite.check is None or score is None:
        return None
    value = (score.get("metadata") or {}).get(suite.check)
    return None if value is None else bool(value)


def _number(text: str, suite: Suite, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        known = ", ".join(suite.quality)
        raise InputError(f"{where}: score {text!r} has no quality; map it with `quality:` (known: {known})") from None
