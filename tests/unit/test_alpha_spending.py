"""Boundaries of looks at a known end: by simulation, and by the one case that can be worked by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from router_lab.racing.alpha_spending import backward, boundaries, forward, scored, scores
from router_lab.racing.sequential import Sums


def test_a_single_look_is_a_single_test() -> None:
    assert boundaries((1.0,), (1.0,), 0.05)[0] == pytest.approx(-float(ndtri(0.05)), abs=1e-4)
    assert forward((5, 10), 0.05)[0] == np.inf and forward((5, 10), 0.05)[1] == np.inf  # under 20 clusters


def test_all_looks_together_cross_with_the_error_that_was_set() -> None:
    looks = (30, 60, 100, 160, 250, 400)
    bounds = forward(looks, 0.05)
    steps = np.diff(np.array((0, *looks))) / looks[-1]
    paths = np.cumsum(np.random.default_rng(0).normal(size=(200_000, len(looks))) * np.sqrt(steps), axis=1)
    crossed = (paths >= np.array(bounds)).any(axis=1).mean()
    assert abs(crossed - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 200_000) + 0.0005
    # The last look of a single test would need 1.645; six looks, with the error spent evenly, cost a seventh of that.
    assert 1.645 < bounds[-1] < 1.9


def test_what_a_grid_will_say_is_foretold_wrongly_no_more_often_than_set() -> None:
    looks = (30, 60, 100, 160, 190, 200)
    bounds = backward(looks, 0.05)
    assert bounds[-1] == np.inf
    values = np.random.default_rng(1).normal(size=(40_000, 200))
    # Grids that end exactly at the value.
    sums = np.cumsum(values - values.mean(axis=1, keepdims=True), axis=1)
    at = np.array(looks[:-1])
    score = sums[:, at - 1] / np.sqrt(at * (1 - at / 200))
    crossed = (score >= np.array(bounds[:-1])).any(axis=1).mean()
    assert abs(crossed - 0.05) < 0.005


def test_scores_count_two_pseudo_observations() -> None:
    # 100 gains of .05: the sum 5 over sqrt(100 × (0 + 2 / 100)) is a t of 3.54, a normal score of 3.40 at 99 degrees.
    found = scores(np.array([5.0]), np.array([0.25]), np.array([100.0]))
    assert found[0] == pytest.approx(3.41, abs=0.02)
    assert scores(np.zeros(1), np.zeros(1), np.ones(1))[0] == -np.inf


GAINS = st.lists(
    st.one_of(st.sampled_from([-1.0, -0.05, 0.0, 0.05, 1.0]), st.floats(-1, 1)), min_size=1, max_size=60
)


@given(gains=GAINS, beside=GAINS, near=st.floats(0.5, 1.5), further=st.floats(1e-3, 9))
def test_scored_is_a_comparison_of_scores(
    gains: list[float], beside: list[float], near: float, further: float
) -> None:
    kinds = [np.array(gains), np.array(beside), np.zeros(30)]
    total, squares = (np.array([f(one) for one in kinds]) for f in (np.sum, lambda one: (one * one).sum()))
    count = np.array([float(len(one)) for one in kinds])
    found = scores(total, squares, count)
    at = max(1e-3, near * float(found[0])) if np.isfinite(found[0]) else further
    for needed in (np.full(3, at), np.full(3, further), np.full(3, np.inf)):
        assert (scored(total, squares, count, needed) == (found >= needed)).all()


def test_who_was_shown_stays_shown_and_is_not_tested_again() -> None:
    sums = Sums(2)
    sums.add(np.tile([[-1.0, 0.5]], (60, 1)), 0.0)
    assert sums.shown(0.05, 0.1, (60, 200), 60).tolist() == [False, True]
    assert sums.shown(0.05, 0.1, (60, 200), 60, np.array([True, False])).tolist() == [True, True]


def test_sums_show_by_bets_early_and_by_looks_late() -> None:
    sums = Sums(1)
    sums.add(np.full((60, 1), 0.5), 0.0)
    assert sums.shown(0.05, 0.1, (60, 200), 60)[0] and sums.shown(0.05, 0.1, (), 7)[0]
    weak = Sums(1)
    weak.add(np.tile([[1.0], [-1.0]], (40, 1)), 0.0)
    assert not weak.shown(0.05, 0.1, (80,), 80)[0]
