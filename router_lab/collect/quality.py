"""A suite's score as quality in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from router_lab.config import Suite
from router_lab.runtime.errors import InputError


def scorer_of(
    suite: Suite, declared: Sequence[str], seen: Sequence[Mapping[str, Any]], where: str
) -> str | None:
    """The one scorer by which every sample of a log is judged; None if no sample has a score.

    The suite's, else the first that the log declares, else (a log that declares none) the first
    score of the sample with the most: a scorer that returns None for a sample leaves it out there.
    Raises InputError if no sample has it.

    Args:
        declared: names in the log's header, a package's with its prefix.
        seen: the scores of each finished sample by scorer.
    """
    there = list(dict.fromkeys(name for scores in seen for name in scores))
    if not there:
        return None
    names = [name.rpartition("/")[2] for name in declared]
    known = [name for name in names if name in there]
    if suite.scorer is not None:
        if suite.scorer not in there:
            raise InputError(
                f"{where}: scorer `{suite.scorer}` is not among {', '.join(there)}; set `scorer:`"
            )
        return suite.scorer
    if not known:
        fullest: Mapping[str, Any] = max(seen, key=lambda scores: len(scores))
        return next(iter(fullest))
    if known[0] != names[0]:
        raise InputError(
            f"{where}: no sample has a score of `{names[0]}`, the first of its scorers; there are scores of "
            f"{', '.join(there)}: name one with `scorer:` in the suite"
        )
    return known[0]


def unscored(scores: Mapping[str, Any], scorer: str | None, suite: Suite) -> str | None:
    """Why a sample has no quality, though nothing went wrong with its answer; None if its score is
    there.

    Inspect's scorers return None, or NaN with a reason, for what they could not judge.
    """
    if scorer is None or scorer not in scores:
        return "it has no score" if scorer is None else f"scorer `{scorer}` gave no score"
    score = scores[scorer] or {}
    value, gave = score.get("value"), "no value"
    if isinstance(value, Mapping) and (suite.value is not None or not value):
        gave = f"no `{suite.value}`" if value else "no value"
        value = value.get(suite.value)
    if isinstance(value, float | str) and value not in suite.quality and _is_nan(value):
        value, gave = None, "NaN"
    why = score.get("reason") or (score.get("metadata") or {}).get("unscored_reason")
    return None if value is not None else f"scorer `{scorer}` gave {gave}" + (f" ({why})" if why else "")


def _is_nan(value: float | str) -> bool:
    return value.strip().lower() == "nan" if isinstance(value, str) else math.isnan(value)


def quality_of(value: Any, suite: Suite, where: str) -> float:
    """A score value as quality. Text goes through the suite's map; a number must lie in [0, 1].
    Raises InputError."""
    if isinstance(value, dict):
        if suite.value is None or suite.value not in value:
            raise InputError(
                f"{where}: score has the values {', '.join(value)}; name one with `value:` in the suite"
            )
        value = value[suite.value]
    if isinstance(value, str) and value in suite.quality:
        return float(suite.quality[value])
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        value = _number(value, suite, where)
    if not isinstance(value, int | float) or math.isnan(value):
        raise InputError(
            f"{where}: score is {value!r}; map it to a number in [0, 1] with `quality:` in the suite"
        )
    if not 0.0 <= value <= 1.0:
        raise InputError(
            f"{where}: quality is {value:g}; it must lie in [0, 1]: choose a scorer that does, or map with `quality:`"
        )
    return float(value)


def check_of(score: Mapping[str, Any] | None, suite: Suite) -> bool | None:
    """Whether the answer passed its run-time check; None where the suite has none or the scorer
    did not say."""
    if suite.check is None or score is None:
        return None
    value = (score.get("metadata") or {}).get(suite.check)
    return None if value is None else bool(value)


def _number(text: str, suite: Suite, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        known = ", ".join(suite.quality)
        raise InputError(
            f"{where}: score {text!r} has no quality; map it with `quality:` (known: {known})"
        ) from None
