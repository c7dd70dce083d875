"""A row that needs the outcomes of two has the weight of the rarer one, wherever rows are weighed: each by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from router_lab.fit.certificate import Expected, over_mix
from router_lab.gates.arms import arm
from router_lab.gates.measure import compared
from router_lab.gates.moves import moves
from router_lab.replay import Rows
from tests.unit.test_diff import policy, table


def test_a_scored_row_has_the_weight_of_the_rarest_outcome_that_it_needs() -> None:
    """Row 0 is served by column 0 (weight 5), row 1 by the reference, column 1 (2), alone; 2 (9) is asked for."""
    nothing, two = np.zeros((2, 3)), np.zeros(2)
    rows = Rows(
        np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), nothing, nothing, two, two, two, two, np.zeros(2, np.int64),
        np.arange(2), ("s",), 1, np.array([[5.0, 2.0, 9.0], [5.0, 2.0, 9.0]]),
    )  # fmt: skip
    assert rows.weights().tolist() == [5.0, 2.0]  # type: ignore[union-attr]
    assert rows.weights(2).tolist() == [9.0, 9.0]  # type: ignore[union-attr]
    assert replace(rows, weight=None).weights() is None


@pytest.mark.parametrize(("mine", "base"), [([4.0, 1.0], [1.0, 1.0]), ([1.0, 1.0], [4.0, 1.0])])
def test_two_arms_are_compared_at_the_heavier_weight(mine: list[float], base: list[float]) -> None:
    """A gain of 1 at weight 4 and of 0 at weight 1: .8; $1 of $2 saved at 4, nothing of $2 at 1: 4 of 10."""
    one = {"quality": np.array([1.0, 0.0]), "cost_usd": np.array([1.0, 2.0]), "weight": np.array(mine)}
    two = {"quality": np.zeros(2), "cost_usd": np.array([2.0, 2.0]), "weight": np.array(base)}
    found: dict[str, Any] = {m: compared(m, one, two, np.arange(2), np.ones(2)) for m in ("quality", "savings")}
    assert found["quality"].value == pytest.approx(0.8)
    assert found["savings"].value == pytest.approx(0.4)


def test_what_moves_is_averaged_at_the_heavier_weight() -> None:
    """Suite a goes from dear to cheap, which is wrong on every other row: the wrong ones weigh 3 in the second arm."""
    before, after = arm(policy({}, 0.0), table()), arm(policy({"a": "cheap"}, 1.0), table())
    lost = after.qualities[:, 0] == 0
    (plain,) = moves(before, after).pairs
    (heavy,) = moves(before, replace(after, weight=np.where(lost, 3.0, 1.0))).pairs
    assert plain.quality_difference == pytest.approx(-0.5)
    assert heavy.quality_difference == pytest.approx(-0.75)


def test_over_the_random_mix_a_row_has_the_heavier_weight() -> None:
    """The policy saves $1 more of $2 on the first row, at weights 1 and 3, and nothing on the second: 3 of 8."""
    base, gain, moved = np.array([2.0, 2.0]), np.zeros(2), np.ones(2)
    mine = Expected(gain, np.array([1.0, 2.0]), base, np.array([1.0, 1.0]), moved)
    mix = Expected(gain, base, base, np.array([3.0, 1.0]), moved)
    assert over_mix(mine, mix, np.arange(2)).value == pytest.approx(3 / 8)
    assert over_mix(mine, replace(mix, weight=None), np.arange(2)).value == pytest.approx(1 / 4)
