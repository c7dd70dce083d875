"""A row that needs the outcomes of several has the weight of the rarest, wherever rows are weighed: each by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from router_lab.gates.arms import arm, moves
from router_lab.metrics.paired import Paired, Recorded, heaviest
from tests.unit.test_diff import policy, table

HEAVY = np.array([[5.0, 2.0, 9.0], [5.0, 2.0, 9.0]])
NOTHING = np.zeros((2, 3))
OUTCOMES = Recorded(NOTHING, NOTHING, 1, HEAVY, group=np.arange(2))


def paired(quality: list[float], cost: list[float], weight: list[float] | None) -> Paired:
    """Beside a reference that is never right and costs $2, in clusters of one."""
    heavy = None if weight is None else np.array(weight)
    rows = np.array(quality), np.array(cost), np.zeros(2), np.full(2, 2.0), np.ones(2)
    return Paired(*rows, heavy, group=np.arange(2))


def test_the_rarest_decides() -> None:
    one, two = np.array([4.0, 1.0]), np.array([1.0, 3.0])
    assert (
        np.asarray(heaviest(one, two)).tolist() == [4.0, 3.0] == np.asarray(heaviest(two, None, one)).tolist()
    )
    assert heaviest() is None is heaviest(None, None)


def test_a_scored_row_has_the_weight_of_the_rarest_outcome_that_it_needs() -> None:
    """Row 0 is served by column 0 (weight 5), row 1 by the reference, column 1 (2), alone."""
    shares = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    rows, other = OUTCOMES.served(shares), OUTCOMES.always(2)
    assert np.asarray(rows.weight).tolist() == [5.0, 2.0] and np.asarray(other.weight).tolist() == [9.0, 9.0]
    assert (
        np.asarray(other.within(rows).weight).tolist()
        == [9.0, 9.0]
        == np.asarray(rows.within(other).weight).tolist()
    )
    assert replace(OUTCOMES, weight=None).served(shares).weight is None


def test_a_mixture_has_the_weight_of_all_that_may_serve() -> None:
    """Columns 0 (weight 5) and the reference (2) serve row 0 in equal shares; row 1 the reference and 2 (9)."""
    found = OUTCOMES.mixture((0.5, np.array([1, 1])), (0.5, np.array([[0, 1], [2, 2]])))
    assert np.asarray(found.weight).tolist() == [5.0, 9.0] and found.moved.tolist() == [0.5, 0.5]
    assert np.asarray(OUTCOMES.weights(np.array([[0, 1], [2, 2]]))).tolist() == [[5.0, 2.0], [9.0, 9.0]]


@pytest.mark.parametrize(
    ("mine", "base"), [([4.0, 1.0], [1.0, 1.0]), ([1.0, 1.0], [4.0, 1.0]), ([4.0, 1.0], None)]
)
def test_two_arms_are_compared_at_the_heavier_weight(mine: list[float], base: list[float] | None) -> None:
    """A gain of 1 at weight 4 and of 0 at weight 1: .8; $1 of $2 saved at 4, nothing of $2 at 1: 4 of 10."""
    found = paired([1.0, 0.0], [1.0, 2.0], mine).against(paired([0.0, 0.0], [2.0, 2.0], base), np.ones(2))
    assert found.gain().value == pytest.approx(0.8)
    assert found.saving().value == pytest.approx(0.4)


def test_what_moves_is_averaged_at_the_heavier_weight() -> None:
    """Suite a goes from dear to cheap, which is wrong on every other row: the wrong ones weigh 3 in the second arm."""
    before, after = arm(policy({}, 0.0), table()), arm(policy({"a": "cheap"}, 1.0), table())
    lost = after.recorded.quality[:, 0] == 0
    (plain,) = moves(before, after).pairs
    (heavy,) = moves(before, replace(after, rows=replace(after.rows, weight=np.where(lost, 3.0, 1.0)))).pairs
    assert plain.quality_difference == pytest.approx(-0.5)
    assert heavy.quality_difference == pytest.approx(-0.75)


def test_over_the_random_mix_a_row_has_the_heavier_weight() -> None:
    """The policy saves $1 more of $2 on the first row, at weights 1 and 3, and nothing on the second: 3 of 8."""
    mine, mix = paired([0.0, 0.0], [1.0, 2.0], [1.0, 1.0]), paired([0.0, 0.0], [2.0, 2.0], [3.0, 1.0])
    assert mine.over(mix).value == pytest.approx(3 / 8)
    assert mine.over(replace(mix, weight=None)).value == pytest.approx(1 / 4)
