"""What is paired with what, by hand: three candidates on four rows, the second of them the reference."""

from __future__ import annotations

import numpy as np
import pytest

from router_lab.metrics.paired import Paired, Recorded

NO = np.nan
QUALITY = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, NO], [1.0, NO, 1.0], [1.0, 0.0, 1.0]])
COST = np.array([[1.0, 4.0, 2.0], [1.0, 4.0, NO], [1.0, NO, 2.0], [NO, 2.0, 3.0]])
OUTCOMES = Recorded(QUALITY, COST, 1, group=np.arange(4), suite=np.array([0, 0, 1, 1]))


def known(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(v) else float(v) for v in values]


def test_what_only_one_side_knows_is_left_out() -> None:
    """Column 0 against 1: row 2 has no reference, row 3 has no cost of column 0, though the reference cost $2."""
    found = OUTCOMES.always(0)
    assert known(found.quality) == [1, 0, None, 1] and known(found.reference_quality) == [1, 1, None, 0]
    assert known(found.cost_usd) == [1, 1, None, None] and known(found.reference_cost_usd) == [
        4,
        4,
        None,
        None,
    ]
    assert found.gain().value == pytest.approx((0 - 1 + 1) / 3) and found.gain().n == 3
    assert found.saving().value == pytest.approx(6 / 8)
    assert found.mean("cost_usd").value == 1 and found.mean("reference_cost_usd").value == 4
    assert {code: part.gain().value for code, part in found.by_suite().items()} == {0: -0.5, 1: 1.0}


def test_a_baseline_stands_on_the_rows_of_the_policy() -> None:
    """Column 2 knows rows 0 and 3 beside the reference, column 0 row 1 too, and of row 3 no cost."""
    policy, always = OUTCOMES.always(2), OUTCOMES.always(0)
    assert known(always.within(policy).quality) == [1, None, None, 1]
    assert known(policy.within(always).cost_usd) == [2, None, None, None]
    assert known(always.within(policy).cost_usd) == [1, None, None, None]
    assert policy.over(always).value == pytest.approx((1 - 2) / 4)


def test_chance_is_paired_in_expectation_and_the_reference_is_itself() -> None:
    """A quarter to column 0, a quarter to 2, half to the reference: .5 + .25 + 0 of row 0."""
    mixed = OUTCOMES.chance({0: 0.25, 2: 0.25})
    assert known(mixed.quality) == [0.75, None, None, 0.5] and known(mixed.cost_usd) == [
        2.75,
        None,
        None,
        None,
    ]
    shares = np.tile([0.25, 0.5, 0.25], (4, 1))
    assert known(OUTCOMES.served(shares).quality) == known(mixed.quality)
    assert mixed.moved.tolist() == [0.5] * 4 == OUTCOMES.served(shares).moved.tolist()
    thirds = OUTCOMES.mixture((0.7, np.ones(4, np.int64)), (0.3, np.ones((4, 3), np.int64)))
    assert not thirds.moved.any() and thirds.gain().interval() == (0.0, 0.0)


def test_another_policy_in_the_reference_s_place() -> None:
    """Column 0 against column 2: row 0 alone is known of both with dollars, row 3 with qualities alone."""
    found = OUTCOMES.always(0).against(OUTCOMES.always(2), np.ones(4))
    assert known(found.quality - found.reference_quality) == [1, None, None, 0]
    assert found.gain().value == 0.5 and found.saving().value == pytest.approx(0.5)


def test_hindsight_takes_the_cheapest_of_the_best_that_have_both() -> None:
    """Row 0: columns 0 and 1 are right, the first costs $1. Row 3: column 0 has no cost, 2 is right for $3."""
    best, cheapest = OUTCOMES.oracle()
    assert known(best) == [1, 1, 1, 1] and known(cheapest) == [1, 4, 1, 3]
    nobody = Recorded(np.full((1, 2), NO), np.ones((1, 2)), 0, group=np.zeros(1, np.int64))
    assert known(nobody.oracle()[0]) == [None]


def test_the_reference_s_outcome_is_always_needed() -> None:
    """The reference ran at one in six, column 0 throughout: what column 0 serves is known as seldom."""
    weight = np.tile([1.0, 6.0, 2.0], (4, 1))
    heavy = Recorded(QUALITY, COST, 1, weight, group=np.arange(4))
    everything = np.tile([1.0, 0.0, 0.0], (4, 1))
    for found in (
        heavy.served(everything),
        heavy.always(0),
        heavy.mixture((1.0, np.zeros((4, 2), np.int64))),
    ):
        assert np.asarray(found.weight).tolist() == [6.0] * 4


def test_what_counts_as_lost_is_no_better_than_it_can_be() -> None:
    """Column 2 missing counts as 0 beside a right answer; a missing reference as 1, also beside itself."""
    lost = Recorded(QUALITY, COST, 1, missing=np.isnan(QUALITY), group=np.arange(4))
    assert (
        lost.gain(np.full(4, 2)).tolist() == [-1, -1, 0, 1]
        and lost.gain(np.ones(4, np.int64)).tolist() == [0] * 4
    )
    assert known(lost.always(2).quality) == [0, 0, 1, 1] and known(lost.always(2).reference_quality) == [
        1,
        1,
        1,
        0,
    ]
    assert isinstance(lost.always(2), Paired) and known(lost.always(2).cost_usd) == [2, None, None, 3]
