"""Off-policy estimates by hand: six rows, weights, residuals, and what no order or scale may change."""

from __future__ import annotations

from dataclasses import replace
from math import inf, isnan, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.metrics.offpolicy import (
    LEAST_ROWS,
    Logged,
    clipped,
    cross_fitted,
    estimate_of,
    folds_of,
    told_of,
    told_of_log,
    unasked,
    weights_of,
)
from router_lab.metrics.overlap import overlap_of

ACTION = np.array([0, 1, 0, 1, 0, 1])
CHANCE = np.array([0.5, 0.5, 0.8, 0.2, 0.8, 0.25])
REWARD = np.array([1.0, 0.0, 0.0, 1.0, 0.0, 1.0])
SIX = Logged(ACTION, CHANCE, REWARD, np.arange(6))
TARGET = np.array([[1, 0], [1, 0], [0.5, 0.5], [0.5, 0.5], [0, 1], [0, 1]], np.float64)
MODEL = np.tile([0.8, 0.5], (6, 1))
NOTHING = np.zeros((6, 2))


def test_weights_are_the_targets_chance_over_the_logs() -> None:
    """1/.5, none, .5/.8, .5/.2, none, 1/.25; whoever the target does not know weighs nothing."""
    assert weights_of(SIX, TARGET).tolist() == pytest.approx([2.0, 0.0, 0.625, 2.5, 0.0, 4.0])
    stranger = SIX._replace(action=np.array([-1, 1, 0, 1, 0, -1]))
    assert weights_of(stranger, TARGET).tolist() == pytest.approx([0.0, 0.0, 0.625, 2.5, 0.0, 0.0])


def test_self_normalised_weights_by_hand() -> None:
    """(2·1 + .625·0 + 2.5·1 + 4·1) / (2 + .625 + 2.5 + 4) = 8.5 / 9.125; unnormalised it would be 8.5 / 6, above 1."""
    assert told_of(SIX, TARGET, NOTHING, least=1).value == pytest.approx(8.5 / 9.125)


def test_doubly_robust_by_hand() -> None:
    """Predicted (.8 + .8 + .65 + .65 + .5 + .5) / 6 = .65. Residuals .2, −.8, .5, .5 with weights 2, .625, 2.5, 4:
    (.4 − .5 + 1.25 + 2) / 9.125 = 3.15 / 9.125."""
    told = told_of(SIX, TARGET, MODEL, span=1.0, least=1)
    middle = 3.15 / 9.125
    assert told.value == pytest.approx(0.65 + middle)
    load = 6 / 9.125
    by_hand = [0.15 + 2 * load * (0.2 - middle), 0.15, 0.625 * load * (-0.8 - middle),
               2.5 * load * (0.5 - middle), -0.15, -0.15 + 4 * load * (0.5 - middle)]  # fmt: skip
    assert told.influence.tolist() == pytest.approx(by_hand)
    assert float(told.influence.sum()) == pytest.approx(0.0)
    assert told.load.tolist() == pytest.approx([2 * load, 0, 0.625 * load, 2.5 * load, 0, 4 * load])


def test_a_residual_of_the_other_sign_moves_the_estimate_the_other_way() -> None:
    """One more success of row 2: its weight over all, .625 / 9.125, and not less."""
    higher = SIX._replace(reward=REWARD + np.array([0, 0, 1.0, 0, 0, 0]))
    gained = told_of(higher, TARGET, MODEL, least=1).value - told_of(SIX, TARGET, MODEL, least=1).value
    assert gained == pytest.approx(0.625 / 9.125)
    # What the target predicts of itself counts once, whoever was asked.
    brighter = told_of(SIX, TARGET, MODEL + 0.1, least=1).value
    assert brighter == pytest.approx(told_of(SIX, TARGET, MODEL, least=1).value)


def test_the_error_is_that_of_cluster_sums_by_hand() -> None:
    """Two equal clusters of three rows: each sum over n, against the other, with 2 / (2 − 1) for two of them."""
    logged = SIX._replace(group=np.array([0, 0, 0, 1, 1, 1]))
    told = told_of(logged, TARGET, MODEL, span=1.0, least=1)
    found = estimate_of(told, logged.group)
    first, second = told.influence[:3].sum() / 6, told.influence[3:].sum() / 6
    part = np.array([2.625, 6.5]) / 9.125  # of all weight
    left = np.array([first, second]) / (1 - part)
    squares = np.array([2.625, 6.5]) ** 2
    alike = squares.sum() ** 2 / (squares * squares).sum()
    assert (found.n, found.clusters, found.independent) == (6, 2, int(alike))
    assert found.se == pytest.approx(sqrt((left * left).sum() * alike / (alike - 1)), rel=1e-5)
    assert found.lost == pytest.approx(-float((left**3).sum()))


def test_what_was_not_seen_counts_by_the_weight_beyond_one() -> None:
    """Loads above 1 by 2·6/9.125 − 1 = .315, .644 and 1.630: the size of one more lost row, squares of cubes."""
    told = told_of(SIX, TARGET, MODEL, span=1.0, least=1)
    over = np.array([12 / 9.125 - 1, 15 / 9.125 - 1, 24 / 9.125 - 1])
    assert estimate_of(told, SIX.group).size == pytest.approx(sqrt((over**3).sum() / 6**3))
    assert estimate_of(told, SIX.group).above == pytest.approx(sqrt((over**3).sum() / 6**3))


def test_dollars_hide_as_far_as_residuals_were_seen_to_lie() -> None:
    """Residuals 2, 0 and 10 dollars of three rows alike, and of one that the target does not ask: the mean 4 lies 4
    above the least and 6 below the most; its tail counts three times."""
    logged = Logged(np.array([0, 0, 0, 1]), np.ones(4), np.array([2.0, 0.0, 10.0, 99.0]), np.arange(4))
    target = np.tile([1.0, 0.0], (4, 1))
    told = told_of(logged, target, np.zeros((4, 2)), least=1)
    assert (told.value, told.down, told.up) == (4.0, 4.0, 6.0)
    plain, long = (estimate_of(told, logged.group, long_tail=tail) for tail in (False, True))
    assert long.lost == pytest.approx(3 * plain.lost) and plain.lost != 0
    # Loads 4/3, 4/3, 4/3, 0: a third beyond one on three rows of four.
    over = sqrt(3 * (1 / 3) ** 3 / 4**3)
    assert plain.size == pytest.approx(4 * over) and plain.above == pytest.approx(6 * over)
    # What the other policy weighs more hides the other way round.
    turned = estimate_of(told_of_log(logged), logged.group, told)
    assert turned.size == pytest.approx(6 * over) and turned.above == pytest.approx(4 * over)


def test_no_row_carries_more_than_its_part_and_the_bias_is_bounded() -> None:
    """Weights 30 and 70 ones: 30 of 100 is cut to 5 of 75, which moves 30/100 − 5/75 of the distribution."""
    cut, moved = clipped(np.array([30.0] + [1.0] * 70))
    assert cut.max() == 100 / LEAST_ROWS and moved == pytest.approx(0.3 - 5 / 75)
    n = 71
    logged = Logged(np.zeros(n, np.int64), np.r_[1 / 30, np.ones(70)], np.r_[1.0, np.zeros(70)], np.arange(n))
    told = told_of(logged, np.ones((n, 1)), np.zeros((n, 1)), span=1.0)
    exact = told_of(logged, np.ones((n, 1)), np.zeros((n, 1)), span=1.0, least=1)
    assert (told.value, exact.value) == (pytest.approx(5 / 75), pytest.approx(0.3))
    assert abs(told.value - exact.value) <= told.bias == pytest.approx(2 * (0.3 - 5 / 75))
    found = estimate_of(told, logged.group)
    plain = replace(found, bias=0.0)
    assert found.high(0.95) - plain.high(0.95) == pytest.approx(told.bias)
    assert plain.low(0.95) - found.low(0.95) == pytest.approx(told.bias)


@pytest.mark.parametrize(("n", "usd"), [(3, 0.004), (6, 0.1), (11, 0.01)])
def test_what_rounding_leaves_of_residuals_that_are_all_alike_is_no_bias(n: int, usd: float) -> None:
    """Two fifths of the requests go to whom nobody asked, and dollars that never differ lie in no range."""
    alike = Logged(np.zeros(n, np.int64), np.full(n, 0.7), np.full(n, usd), np.arange(n))
    found = told_of(alike, np.tile([0.6, 0.4], (n, 1)), np.full((n, 2), 0.9 * usd))
    assert (found.bias, found.down, found.up) == (0.0, 0.0, 0.0)


def test_what_nobody_was_asked_widens_the_interval_by_its_mass() -> None:
    target = np.full((6, 3), [0.5, 0.49, 0.01])
    assert unasked(SIX, target) == pytest.approx(0.01)
    told = told_of(SIX, target, np.full((6, 3), 0.5), span=1.0, least=1)
    assert told.bias == pytest.approx(0.01)


@st.composite
def logs(draw: st.DrawFn) -> tuple[Logged, np.ndarray, np.ndarray, np.ndarray]:
    """(log, its own probabilities, another policy's, a model): 25 to 60 rows of three candidates."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(25, 60))
    own, other = random.dirichlet(np.ones(3), n) * 0.7 + 0.1, random.dirichlet(np.ones(3), n)
    action = np.array([random.choice(3, p=row / row.sum()) for row in own])
    chance = own[np.arange(n), action]
    logged = Logged(action, chance, random.random(n).round(2), random.integers(0, n // 2, n))
    return logged, own, other, random.random((n, 3))


@given(logs())
def test_of_the_policy_that_logged_without_chance_the_estimate_is_the_mean(world: tuple) -> None:  # type: ignore[type-arg]
    logged, _, _, model = world
    sure = logged._replace(propensity=np.ones(len(logged.reward)))
    target = np.eye(3)[logged.action]
    told = told_of(sure, target, model, span=1.0)
    assert told.value == pytest.approx(logged.reward.mean())
    assert told.bias == 0
    found = estimate_of(told, logged.group, told_of_log(sure))
    assert (found.value, found.se) == (pytest.approx(0.0, abs=1e-12), pytest.approx(0.0, abs=1e-12))


@given(logs())
def test_of_the_policy_that_logged_by_chance_and_no_model_the_estimate_is_the_mean(world: tuple) -> None:  # type: ignore[type-arg]
    logged, own, _, _ = world
    assert told_of(logged, own, np.zeros(own.shape), least=1).value == pytest.approx(logged.reward.mean())


@given(logs(), st.floats(0.01, 1.0))
def test_propensities_that_are_all_too_small_by_one_factor_change_nothing(
    world: tuple, factor: float
) -> None:  # type: ignore[type-arg]
    logged, _, target, model = world
    scaled = told_of(logged._replace(propensity=logged.propensity * factor), target, model, span=1.0)
    told = told_of(logged, target, model, span=1.0)
    assert scaled.value == pytest.approx(told.value) and scaled.bias == pytest.approx(told.bias)
    assert estimate_of(scaled, logged.group).se == pytest.approx(estimate_of(told, logged.group).se)


@given(logs(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(world: tuple, random: object) -> None:  # type: ignore[type-arg]
    logged, _, target, prior = world
    order = list(range(len(target)))
    random.shuffle(order)  # type: ignore[attr-defined]
    suite = np.arange(len(target)) % 2
    found = []
    for rows in (np.arange(len(target)), np.array(order)):
        some = logged.take(rows)
        model = cross_fitted(some, prior[rows], suite[rows])
        told = told_of(some, target[rows], model, span=1.0)
        one = estimate_of(told, some.group, told_of_log(some))
        found.append((told.value, one.value, one.se, one.size, one.lost, one.independent))
    assert found[0] == pytest.approx(found[1])


@given(logs())
def test_two_policies_differ_by_the_negative_of_their_difference_turned_round(world: tuple) -> None:  # type: ignore[type-arg]
    logged, own, other, model = world
    first, second = told_of(logged, own, model, span=1.0), told_of(logged, other, model, span=1.0)
    there, back = (
        estimate_of(*pair) for pair in ((first, logged.group, second), (second, logged.group, first))
    )
    assert there.value == pytest.approx(-back.value) and there.se == pytest.approx(back.se)
    assert there.low(0.9) == pytest.approx(-back.high(0.9)) and there.high(0.9) == pytest.approx(
        -back.low(0.9)
    )


def test_nothing_is_told_where_nobody_was_asked_as_the_target_would() -> None:
    told = told_of(SIX, np.tile([0.0, 0.0, 1.0], (6, 1)), np.full((6, 3), 0.5))
    assert isnan(told.value)
    found = estimate_of(told, SIX.group)
    assert isnan(found.value) and found.n == 0
    assert estimate_of(told_of_log(SIX), SIX.group).value == 0.5


def test_one_cluster_has_no_interval() -> None:
    one = estimate_of(told_of_log(SIX), np.zeros(6, np.int64))
    assert one.interval(0.9) == (-inf, inf)


def test_predictions_are_set_right_by_the_other_folds() -> None:
    """Of some 320 rows on other folds, all .25 above what was predicted: shrunken as by 20 rows that were not, and of
    what is left again for the suite; never by a row's own cluster."""
    group = np.arange(400)
    fold = folds_of(group)
    logged = Logged(np.zeros(400, np.int64), np.ones(400), np.full(400, 0.75), group)
    model = cross_fitted(logged, np.full((400, 2), 0.5), np.zeros(400, np.int64))
    for number in range(5):
        others = int((fold != number).sum())
        whole = 0.25 * others / (others + 20)
        own = (0.25 - whole) * others / (others + 20)
        assert model[fold == number, 0] == pytest.approx(0.5 + whole + own)
        assert model[fold == number, 1] == pytest.approx(0.5)  # nobody asked it
    # A row's own outcome changes nothing of its own prediction.
    other = logged._replace(reward=np.where(group == 7, 0.0, 0.75))
    again = cross_fitted(other, np.full((400, 2), 0.5), np.zeros(400, np.int64))
    assert again[7, 0] == model[7, 0] and (again[fold != fold[7], 0] < model[fold != fold[7], 0]).all()


def test_dollars_are_set_right_by_a_factor() -> None:
    """Paid twice what was predicted: between 1.9 and 2 after some 320 rows, dollars of any size; 0 stays 0."""
    logged = Logged(np.zeros(400, np.int64), np.ones(400), np.tile([0.002, 0.2], 200), np.arange(400))
    prior = np.stack([np.tile([0.001, 0.1], 200), np.zeros(400)], axis=1)
    model = cross_fitted(logged, prior, np.zeros(400, np.int64), ratio=True)
    assert (model[:, 0] / prior[:, 0] > 1.9).all() and (model[:, 0] / prior[:, 0] < 2.0).all()
    assert (model[:, 1] == 0).all()


def test_overlap_by_hand() -> None:
    """Squared sum over sum of squares, 9.125² / (4 + .390625 + 6.25 + 16); agreement (1 + 0 + .5 + .5 + 0 + 1) / 6."""
    found = overlap_of(SIX, TARGET)
    assert found.effective == pytest.approx(9.125**2 / 26.640625)
    assert found.agree == pytest.approx(0.5) and found.heaviest == pytest.approx(4 / 9.125)
    assert [(one.column, one.mass, one.rows) for one in found.asked] == [(0, 0.5, 3), (1, 0.5, 3)]
    assert [one.told for one in found.asked] == pytest.approx([2.625 / 6, 6.5 / 6])
    assert found.thin and found.drawn == 6
    # 20 of the half that it serves otherwise, one in 50 of them explored, two candidates: 20 / (.5·.02/2).
    assert found.rows_needed(0.02, 2) == 4000


def test_a_log_without_chance_lacks_whom_it_never_asked_where_the_target_would() -> None:
    """Both ask 0 on the first half, on the second the log goes on with 0 and the target asks 1; 2 gets a hundredth."""
    n = 400
    logged = Logged(np.zeros(n, np.int64), np.ones(n), np.ones(n), np.arange(n))
    target = np.zeros((n, 3))
    target[:200, 0] = target[200:, 1] = 0.99
    target[:, 2] = 0.01
    found = overlap_of(logged, target)
    assert [one.column for one in found.lacking] == [1] and found.drawn == 0
    assert [one.column for one in found.asked] == [0, 1, 2]
    # Asked, but only where the target does not: its weight stays far below its mass.
    half = logged._replace(action=np.r_[np.ones(200, np.int64), np.zeros(200, np.int64)])
    assert [one.column for one in overlap_of(half, target).lacking] == [0, 1]
