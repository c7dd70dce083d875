"""The walk along the mixes, step by step and by hand: what it stops at is the bound that a verdict prints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import stdtrit

from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.walk import Walked, walk
from router_lab.metrics import betting_p, clustered_mean
from router_lab.metrics.paired import Recorded


def evidence(
    quality: np.ndarray, cost: np.ndarray | None = None, group: np.ndarray | None = None
) -> Evidence:
    n = len(quality)
    costs = np.tile([1.0, 0.5], (n, 1)) if cost is None else cost
    groups = np.arange(n) if group is None else group
    return Evidence.bare(Recorded(quality, costs, 0, group=groups))


def always(n: int) -> np.ndarray:
    return np.ones((n, 1), np.int64)


K90 = 0.72109
"""Of the bound at .90: k = ((ln 10 - 1.2142) / 1.2816)^2."""


def bound(values: np.ndarray, span: float) -> float:
    """Lower bound at .90 of independent rows, as metrics.bound has it, by numpy."""
    n, left = len(values), values - values.mean()
    square, size, t = values.var() / (n - 1), span / n, float(stdtrit(n - 1, 0.9))
    skew = max(0.0, (size**3 - (left**3).sum() / n**3) / (size**2 + square))
    return float(values.mean() - t * np.sqrt(square + K90 * size**2) - skew * (t**2 + 2) / 3)


def right(*counts: int, of: int) -> np.ndarray:
    """[of, k] candidates that are right on the first `counts` rows."""
    return np.stack([(np.arange(of) < count).astype(float) for count in counts], axis=1)


def test_without_a_loss_one_cluster_is_what_was_not_seen() -> None:
    # 25 clusters, no difference: the bound at step s is -(1.3178 sqrt(.7211) + (1.3178^2 + 2) / 3) s / 25 = -.0946 s.
    found = walk(always(25), evidence(np.ones((25, 2))), Goal("margin", 0.03, 0.9))
    assert found[:3] == (pytest.approx(0.30), 16, pytest.approx(0.30))
    assert found.estimate.size == pytest.approx(0.3 / 25)
    assert found.estimate.low(0.9) == pytest.approx(-0.0946 * 0.3, rel=1e-2)


def test_a_least_quality_mixes_the_reference_with_the_choice() -> None:
    """The reference is right on 70 of 100 rows, the choice on 60: each step by numpy, with a whole loss unseen."""
    level, steps = 0.6, np.arange(51) / 50
    quality = right(70, 60, of=100)
    found = walk(always(100), evidence(quality), Goal("quality", level, 0.9))
    low = []
    for step in steps:
        mixed = (1 - step) * quality[:, 0] + step * quality[:, 1] - level
        low.append(bound(mixed, 1.0))
    passed = int(np.argmin(np.array(low) >= 0))
    assert found[:3] == (pytest.approx(steps[passed - 1]), passed + 1, pytest.approx(steps[passed - 1]))
    assert found.estimate.low(0.9) == pytest.approx(low[passed - 1], rel=1e-3)
    assert 0.2 < found.mix < 0.5


def test_where_only_the_start_is_shown_the_step_that_is_not_is_told() -> None:
    quality = right(70, 60, of=100)
    level = bound(quality[:, 0], 1.0) - 1e-5
    found = walk(always(100), evidence(quality), Goal("quality", level, 0.9))
    assert found[:3] == (0.0, 2, pytest.approx(0.02))
    assert found.estimate.low(0.9) < 0
    none = walk(always(100), evidence(quality), Goal("quality", level + 4e-5, 0.9))
    assert none[:3] == (-1.0, 1, 0.0)


def test_dollars_that_are_alike_need_no_caution() -> None:
    cost = np.tile([0.5, 0.9], (50, 1))
    found = walk(always(50), evidence(np.ones((50, 2)), cost), Goal("budget", 1.0, 0.9))
    assert (found.mix, found.estimate.size) == (1.0, 0.0)
    assert found.estimate.low(0.9) == pytest.approx(0.1)


def test_a_budget_has_room_for_one_more_dear_row() -> None:
    """Of 100 rows one costs $21, the others $1: the mean is 1.20, and one more such row adds 1 / 103 of 19.8."""
    dear = np.where(np.arange(100) == 7, 21.0, 1.0)
    costs = np.column_stack([np.zeros(100), dear])
    full = walk(always(100), evidence(np.ones((100, 2)), costs), Goal("budget", 100.0, 0.9))
    assert full.mix == 1.0 and full.estimate.value == pytest.approx(1 - 1.2 / 100)
    assert full.estimate.size == pytest.approx(19.8 / 100 / 103)


def test_a_budget_holds_where_few_rows_are_dear() -> None:
    """Lognormal costs (sigma 1): a mix of a half just breaks the budget. With a bound that knows only the dear rows
    that were seen it was certified in .12 of 400 draws."""
    broken = 0
    for seed in range(200):
        costs = np.exp(np.random.default_rng(seed).normal(-0.5, 1, 300))
        seen = evidence(np.ones((300, 2)), np.column_stack([np.full(300, 0.01), costs]))
        broken += walk(always(300), seen, Goal("budget", 0.505 * 0.9999, 0.9)).mix >= 0.5 - 1e-9
    assert broken <= 20


def test_a_row_is_worth_the_mean_of_what_its_choices_do() -> None:
    """Of two cuts one sends the odd rows to a candidate that is always wrong: a quarter is lost at a full mix."""
    odd = np.arange(400) % 2
    action = np.stack([odd, np.zeros(400, np.int64)], axis=1)
    found = walk(action, evidence(right(400, 0, of=400)), Goal("margin", 0.1, 0.9))
    assert found.estimate.value == pytest.approx(-0.25 * found.mix) and 0.2 < found.mix < 0.4


def test_weights_count_in_the_walk_as_in_a_mean() -> None:
    random = np.random.default_rng(5)
    weight = np.where(random.random((300, 1)) < 0.3, 4.0, 1.0) * np.ones((1, 2))
    group = np.arange(300) // 2
    seen = replace(evidence((random.random((300, 2)) < 0.8).astype(float), group=group), weight=weight)
    found = walk(always(300), seen, Goal("margin", 0.3, 0.9))
    gain = found.at * (seen.quality[:, 1] - seen.quality[:, 0])
    same = clustered_mean(gain, group, weights=weight[:, 0], span=found.at)
    assert (found.estimate.value, found.estimate.error) == pytest.approx((same.value, same.error))
    assert found.estimate.independent == same.independent < 150


def test_betting_bets_on_what_was_left_out() -> None:
    """By the same bets, made here, on the rows in the walk's own order."""
    quality = 1 - right(0, 12, of=300)
    goal = Goal("margin", 0.06, 0.9, strict=True)
    found = walk(always(300), evidence(quality), goal)

    def p(step: float) -> float:
        values = (step * (quality[:, 1] - quality[:, 0]))[np.random.default_rng(0).permutation(300)]
        return betting_p(values, np.ones(300), -0.06, span=step)

    bounded: Walked = walk(always(300), evidence(quality), replace(goal, strict=False))
    assert 0 < found.mix < bounded.mix
    assert found.betting == pytest.approx(p(found.mix)) and p(found.mix) <= 0.1 < p(found.mix + 0.02)
