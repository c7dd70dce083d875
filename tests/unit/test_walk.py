"""The walk along the mixes, step by step and by hand: what it stops at is the bound that a verdict prints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import stdtrit

from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.walk import Trial, Walked, walk
from router_lab.metrics import betting_p, clustered_mean

T99 = float(stdtrit(99, 0.9))
"""t(.9) with 99 degrees of freedom."""


def evidence(quality: np.ndarray, cost: np.ndarray | None = None, group: np.ndarray | None = None) -> Evidence:
    n = len(quality)
    costs = np.tile([1.0, 0.5], (n, 1)) if cost is None else cost
    groups = np.arange(n) if group is None else group
    idle = np.zeros(n, np.int64)
    return Evidence(quality, costs, np.ones((n, 2), bool), np.ones(n, bool), idle, groups, idle, 0)


def always(n: int) -> Trial:
    return Trial(np.ones(n, np.int64), np.ones(n, np.int64), ())


def right(*counts: int, of: int) -> np.ndarray:
    """[of, k] candidates that are right on the first `counts` rows."""
    return np.stack([(np.arange(of) < count).astype(float) for count in counts], axis=1)


def test_without_a_loss_two_clusters_are_the_caution() -> None:
    # 25 clusters, no difference: the bound at step s is -t(.9, 24) sqrt(2) s / 25 = -1.3178 * 1.4142 s / 25 = -.0746 s.
    found = walk(always(25), evidence(np.ones((25, 2))), Goal("margin", 0.03, 0.9))
    assert found[:3] == (pytest.approx(0.40), 21, pytest.approx(0.40))
    assert found.estimate.pseudo == pytest.approx(2 * 0.4**2 / 25**2)
    assert found.estimate.low(0.9) == pytest.approx(-0.07455 * 0.4, rel=1e-3)


def test_a_least_quality_mixes_the_reference_with_the_choice() -> None:
    """The reference is right on 70 of 100 rows, the choice on 60: each step by numpy, with whole pseudo-clusters."""
    level, steps = 0.6, np.arange(51) / 50
    quality = right(70, 60, of=100)
    found = walk(always(100), evidence(quality), Goal("quality", level, 0.9))
    low = []
    for step in steps:
        mixed = (1 - step) * quality[:, 0] + step * quality[:, 1] - level
        low.append(mixed.mean() - T99 * np.sqrt(mixed.var() / 99 + 2 / 100**2))
    passed = int(np.argmin(np.array(low) >= 0))
    assert found[:3] == (pytest.approx(steps[passed - 1]), passed + 1, pytest.approx(steps[passed - 1]))
    assert found.estimate.low(0.9) == pytest.approx(low[passed - 1], rel=1e-6)
    assert 0.2 < found.mix < 0.5


def test_where_only_the_start_is_shown_the_step_that_is_not_is_told() -> None:
    quality = right(70, 60, of=100)
    error = np.sqrt(quality[:, 0].var() / 99 + 2 / 100**2)
    level = 0.7 - T99 * error - 1e-6
    found = walk(always(100), evidence(quality), Goal("quality", level, 0.9))
    assert found[:3] == (0.0, 2, pytest.approx(0.02))
    assert found.estimate.low(0.9) < 0
    none = walk(always(100), evidence(quality), Goal("quality", level + 2e-5, 0.9))
    assert none[:3] == (-1.0, 1, 0.0)


def test_dollars_need_no_caution() -> None:
    cost = np.tile([0.5, 0.9], (50, 1))
    found = walk(always(50), evidence(np.ones((50, 2)), cost), Goal("budget", 1.0, 0.9))
    assert (found.mix, found.estimate.pseudo) == (1.0, 0.0)
    assert found.estimate.low(0.9) == pytest.approx(0.1)


def test_unrest_and_rows_of_a_partial_step() -> None:
    """200 clusters of two rows; the choice loses on 40 rows; one fold of five chose the reference. Its choice is .1
    better on the mean, so choosing adds .2 * .1^2 to the variance, times the square of the step."""
    group = np.arange(400) // 2
    final, fold = np.ones(400, np.int64), np.zeros(400, np.int64)
    nested = np.where(np.arange(400) % 10 < 2, 0, 1)
    seen = evidence(1 - right(0, 40, of=400), group=group)
    trial = Trial(final, nested, tuple((final if k else fold, 0.2) for k in range(5)))
    found = walk(trial, seen, Goal("margin", 0.08, 0.9))
    assert 0 < found.mix < 1
    assert found.estimate.pseudo == pytest.approx(2 * (found.mix / 200) ** 2 + 0.002 * found.mix**2)
    assert (found.estimate.n, found.estimate.clusters) == (400, 200)


def test_weights_count_in_the_walk_as_in_a_mean() -> None:
    random = np.random.default_rng(5)
    weight = np.where(random.random((300, 1)) < 0.3, 4.0, 1.0) * np.ones((1, 2))
    group = np.arange(300) // 2
    seen = replace(evidence((random.random((300, 2)) < 0.8).astype(float), group=group), weight=weight)
    found = walk(always(300), seen, Goal("margin", 0.3, 0.9))
    gain = found.at * (seen.quality[:, 1] - seen.quality[:, 0])
    same = clustered_mean(gain, group, weights=weight[:, 0], pseudo=found.at)
    assert (found.estimate.value, found.estimate.error) == pytest.approx((same.value, same.error))
    assert found.estimate.clusters == same.clusters < 150


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
    lost = Trial(np.ones(300, np.int64), np.ones(300, np.int64), ((np.ones(300, np.int64), 1.0),))
    worse = replace(lost, nested=np.zeros(300, np.int64))
    swapped = evidence(np.stack([quality[:, 1], quality[:, 0]], axis=1))
    assert walk(lost, swapped, goal).betting < walk(worse, swapped, goal).betting  # type: ignore[operator]
