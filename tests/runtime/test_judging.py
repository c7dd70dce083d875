"""Acceptance models by hand, and one answer judged as many are: to the last bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_lab.runtime.chains import Judge, Term
from router_lab.runtime.judging import (
    KEEP,
    gains_many,
    gains_of,
    goes_on,
    goes_on_many,
    known,
    needed,
    onward,
    onward_many,
)

HEIGHTS = np.array([[[0.5, 0.25, -0.25]]])
ONE = Judge((2,), ("s",), np.array([[0.125]]), (Term("signal:s", (-1.0, 0.0, 2.0), HEIGHTS),))
"""One suite row, one later stage: .625 up to −1, falling to .375 at 0 and to −.125 from 2 on."""


@pytest.mark.parametrize(("value", "gain"), [
    (-9.0, 0.625), (-1.0, 0.625), (-0.5, 0.5), (0.0, 0.375), (0.5, 0.25), (1.0, 0.125), (2.0, -0.125), (99.0, -0.125),
])  # fmt: skip
def test_a_term_is_linear_between_its_knots_and_constant_beyond(value: float, gain: float) -> None:
    assert gains_of(ONE, 0, {"signal:s": value}) == [gain]
    assert gains_many(ONE, np.zeros(1, np.int64), {"signal:s": np.array([value])}).tolist() == [[gain]]


def test_the_first_of_the_greatest_utility_above_nothing_is_asked() -> None:
    """Gains less 10 times cost: .1 and .1, .0 and −.1."""
    free = [True, True]
    assert goes_on([0.2, 0.3], [0.01, 0.02], 10.0, free) == 0
    assert goes_on([0.2, 0.3], [0.01, 0.02], 10.0, [False, True]) == 1
    assert goes_on([0.1, 0.1], [0.01, 0.02], 10.0, free) is None
    assert goes_on([0.2, 0.3], [0.01, 0.02], 10.0, [False, False]) is None
    assert goes_on([0.1, 0.3], [0.01, 0.02], 10.0, free) == 1
    many = goes_on_many(np.array([[0.2, 0.3], [0.1, 0.1]]), np.array([[0.01, 0.02]] * 2), 10.0)
    assert many.tolist() == [0, KEEP]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_what_is_missing_goes_on_whatever_is_expected(value: float | None) -> None:
    held = {} if value is None else {"signal:s": value}
    assert not known(ONE, held)
    assert onward(ONE, 0, held, [1e9], 1e9, [True]) == 0
    assert onward(ONE, 0, held, [1e9], 1e9, [False]) is None
    arrays = {name: np.array([number]) for name, number in held.items()}
    row, costs, forced = np.zeros(1, np.int64), np.array([[1e9]]), np.zeros(1, bool)
    assert onward_many(ONE, row, arrays, costs, 1e9, forced).tolist() == [0]


def test_without_a_judge_only_what_is_forced_goes_on() -> None:
    assert onward(None, 0, {}, [0.0, 0.0], 0.0, [False, True]) is None
    assert onward(None, 0, {}, [0.0, 0.0], 0.0, [False, True], forced=True) == 1
    rows, forced = np.zeros(2, np.int64), np.array([True, False])
    assert onward_many(None, rows, {}, np.zeros((2, 2)), 0.0, forced).tolist() == [0, KEEP]
    assert onward_many(None, rows, {}, np.zeros((2, 0)), 0.0, forced).tolist() == [KEEP, KEEP]


def test_what_a_judge_needs() -> None:
    terms = tuple(
        Term(source, (0.0, 1.0), np.zeros((1, 1, 2)))
        for source in ("quality:3", "agrees", "answer:words", "signal:b", "agrees")
    )
    judge = Judge((1,), ("a", "b"), np.zeros((1, 1)), terms)
    assert needed(judge) == ("signal:a", "signal:b", "agrees", "answer:words")


NUMBERS = st.floats(-1e9, 1e9)
SOURCES = ("signal:a", "signal:b", "answer:length", "agrees", "quality:0")


@st.composite
def judges(draw: Any) -> Judge:
    rows, later = draw(st.integers(1, 3)), draw(st.integers(1, 2))

    def numbers(*shape: int) -> np.ndarray:
        size = math.prod(shape)
        return np.array(draw(st.lists(NUMBERS, min_size=size, max_size=size))).reshape(shape)

    terms = []
    for source in draw(st.lists(st.sampled_from(SOURCES), max_size=5)):
        knots = tuple(sorted(draw(st.lists(NUMBERS | st.floats(-2, 2), min_size=2, max_size=6, unique=True))))
        if knots[0] < knots[1]:  # −0.0 and 0.0 are two to `unique`
            terms.append(Term(source, knots, numbers(rows, later, len(knots))))
    terms = [term for term in terms if all(a < b for a, b in zip(term.knots, term.knots[1:], strict=False))]
    return Judge(tuple(range(1, later + 1)), ("a", "b"), numbers(rows, later), tuple(terms))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_one_is_judged_as_many_are(data: Any) -> None:
    judge = data.draw(judges())
    count, later = data.draw(st.integers(1, 6)), len(judge.later)
    rows = np.array(data.draw(st.lists(st.integers(0, len(judge.bias) - 1), min_size=count, max_size=count)))
    knots = [knot for term in judge.terms for knot in term.knots]
    value = st.floats() | st.floats(-2, 2) | (st.sampled_from(knots) if knots else st.just(0.0))
    whole = st.lists(value, min_size=count, max_size=count).map(np.array)
    values = {
        source: data.draw(whole) for source in SOURCES if source == "quality:0" or data.draw(st.booleans())
    }
    values["quality:0"] = np.nan_to_num(values["quality:0"], posinf=1.0, neginf=0.0)
    costs = np.array(data.draw(st.lists(st.floats(0, 10), min_size=count * later, max_size=count * later)))
    costs = costs.reshape(count, later)
    tradeoff = data.draw(st.floats(0, 1e9))
    flags = st.lists(st.booleans(), min_size=count * later, max_size=count * later)
    free = np.array(data.draw(flags)).reshape(count, later)
    forced = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))

    chosen = onward_many(judge, rows, values, costs, tradeoff, forced, free)
    held = {source: values.get(source, np.full(count, np.nan)) for source in SOURCES}
    gains = gains_many(judge, rows, held)
    for i in range(count):
        one = {source: array[i].item() for source, array in values.items()}
        told = gains_of(judge, int(rows[i]), {source: array[i].item() for source, array in held.items()})
        assert np.array(told).tobytes() == gains[i].tobytes()
        found = onward(
            judge, int(rows[i]), one, costs[i].tolist(), tradeoff, free[i].tolist(), bool(forced[i])
        )
        assert (KEEP if found is None else found) == chosen[i]
