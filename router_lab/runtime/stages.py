"""Where a decision stands in its chain, and what comes after an answer there: `judging`, on what a
Decision holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from router_lab.runtime.answers import FEATURES, agrees, features_of, said, text_of
from router_lab.runtime.chains import AGREES, ANSWER, QUALITY, SIGNAL, Chain, Judge, Stage
from router_lab.runtime.errors import PolicyError, shown
from router_lab.runtime.judging import gains_of, known, onward

if TYPE_CHECKING:
    from router_lab.runtime.decision import Decision

STOPPED = "limit"


class Place(NamedTuple):
    """A stage of a chain: `at` is its place, from 0; `before` what the answer of the stage before
    said, None where there was none, or nobody compares."""

    chain: Chain
    at: int
    tradeoff: float
    before: bytes | None = None

    @classmethod
    def of(cls, chain: Chain, column: int, tradeoff: float) -> Place:
        return cls(chain, [stage.column for stage in chain].index(column), tradeoff)

    @property
    def stage(self) -> Stage:
        return self.chain[self.at]

    @property
    def later(self) -> tuple[int, ...]:
        """Columns of the stages after this one."""
        return tuple(stage.column for stage in self.chain[self.at + 1 :])


class Answer(NamedTuple):
    """What is known of an answer when it is judged."""

    text: str | None
    signals: Mapping[object, object]
    forced: bool


FAILED = Answer(None, {}, True)
"""Of which nothing is known but that it failed its check."""


def answer_of(answer: object, signals: object, check: object, stopped: object) -> Answer:
    """What `Decision.judge` was told. PolicyError where it can never be valid."""
    if stopped is not None and (not isinstance(stopped, str) or stopped != STOPPED):
        raise PolicyError(
            f'judge: stopped is {shown(stopped)}; a run is stopped at its limit ("{STOPPED}") or not at all (None)'
        )
    if signals is not None and not isinstance(signals, Mapping):
        raise PolicyError(f"judge: signals is {shown(signals)}, not a mapping of names to numbers")
    failed = _failed(check)
    return Answer(text_of(answer), {} if signals is None else signals, failed or stopped is not None)


def wanted(decision: Decision) -> tuple[str, ...]:
    """Names of the signals that decide what comes after this stage's answer; () where nothing
    does, or nobody is left to ask."""
    judge = _judge(decision)
    return () if judge is None or not any(free(decision)) else judge.signals


def free(decision: Decision) -> list[bool]:
    """[later] whether each later stage may still be asked."""
    place = decision._chain
    later = () if place is None else place.later
    left = decision._rest(later)
    return [column in left for column in later]


def after(decision: Decision, answer: Answer) -> tuple[int, Place] | None:
    """The column of the stage that is asked after this answer, and its place; None = none is."""
    place, judge = decision._chain, _judge(decision)
    if place is None:
        return None
    later = place.later
    found = onward(
        judge,
        decision._limits_row,
        {} if judge is None or answer.forced else _values(decision, place, judge, answer),
        [decision._cost[column] for column in later],
        place.tradeoff,
        free(decision),
        answer.forced,
    )
    return None if found is None else (later[found], moved(place, place.at + 1 + found, answer.text))


def moved(place: Place, at: int, text: str | None) -> Place:
    """The place of a later stage of the same chain, after an answer."""
    judges = (stage.judge for stage in place.chain[at:] if stage.judge is not None)
    compared = any(term.source == AGREES for judge in judges for term in judge.terms)
    return place._replace(at=at, before=said(text) if compared and text is not None else None)


def gains(decision: Decision, answer: Answer) -> list[float] | None:
    """[later] what each later stage is expected to add to the answer; None where that is not looked
    at."""
    place, judge = decision._chain, _judge(decision)
    if place is None or judge is None or answer.forced:
        return None
    values = _values(decision, place, judge, answer)
    return gains_of(judge, decision._limits_row, values) if known(judge, values) else None


def _judge(decision: Decision) -> Judge | None:
    return None if decision._chain is None else decision._chain.stage.judge


def _values(decision: Decision, place: Place, judge: Judge, answer: Answer) -> dict[str, float]:
    """By source what `judge` reads and is known."""
    found = {SIGNAL + name: _number(_told(answer.signals, name)) for name in judge.signals}
    sources = [term.source for term in judge.terms]
    for source in sources:
        if source.startswith(QUALITY):
            found[source] = decision._quality[int(source.removeprefix(QUALITY))]
    if answer.text is not None:
        if any(source.startswith(ANSWER) for source in sources):
            told = features_of(answer.text)
            found |= {ANSWER + name: value for name, value in zip(FEATURES, told, strict=True)}
        if AGREES in sources:
            found[AGREES] = agrees(said(answer.text), place.before)
    return found


def _number(value: object) -> float:
    """NaN for what is no number."""
    try:
        return (
            float(value) if isinstance(value, int | float | np.integer | np.floating | np.bool_) else math.nan
        )
    except Exception:  # noqa: BLE001  # a number of the caller's own kind may fail in any way
        return math.nan


def _told(signals: Mapping[object, object], name: str) -> object:
    try:
        return signals.get(name)
    except Exception:  # noqa: BLE001  # so may a mapping
        return None


def _failed(check: object) -> bool:
    """Whether a check failed; one that is neither true nor false, as pandas' NA, is not known."""
    try:
        return check is not None and not check
    except Exception:  # noqa: BLE001  # an array, or what fails when it is asked
        return False
