"""Boundaries of looks at a known end: by simulation, and by the one case that can be worked by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from router_lab.metrics.bound import Spread, p_values
from router_lab.metrics.steady import Floats, normal_below
from router_lab.racing.alpha_spending import backward, boundaries, forward, scored
from router_lab.racing.nomination import Nomination
from router_lab.racing.sequential import Sums, Tally


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


def judged(*gains: list[float]) -> tuple[Floats, Spread, Floats]:
    """Columns of gains over a floor of 0, as a look has them."""
    sums = Sums(len(gains))
    for column, values in enumerate(gains):
        wave = np.full((len(values), len(gains)), np.nan)
        wave[:, column] = values
        sums.add(wave, 0.0)
    return sums.total / sums.known, sums.below(), sums.count


@pytest.mark.parametrize(
    ("losses", "chance"),
    # Of a hundred clusters that each gain .05 and 1 less where they are lost, five are lost at a mean of 0. The chance
    # to see none of five is e^-5, one or none 6 e^-5, two at most 18.5 e^-5.
    [(0, 0.00674), (1, 0.0404), (2, 0.1247)],
)
def test_rare_losses_are_shown_as_seldom_as_a_poisson_number_is_small(losses: int, chance: float) -> None:
    gap, spread, known = judged([0.05] * (100 - losses) + [-0.95] * losses)
    for factor, expected in ((0.8, False), (1.2, True)):
        needed = -np.atleast_1d(ndtri(min(factor * chance, 0.49)))
        assert scored(gap, spread, known, needed).tolist() == [expected], (losses, factor)


def test_what_a_look_is_uncertain_by() -> None:
    # Gains 1, 0, 0, -.6 (mean .1, deviations .9, -.1, -.1, -.7): squares 1.32 over 3 × 4, cubes .384 over 64.
    _, spread, known = judged([1.0, 0.0, 0.0, -0.6])
    assert known.tolist() == [4] and spread.size.tolist() == [0.25]
    assert spread.square[0] == pytest.approx(1.32 / 12) and spread.lost[0] == pytest.approx(-0.384 / 64)
    assert not scored(*judged([1.0]), np.array([0.1]))[0]  # one gain shows nothing


GAINS = st.lists(
    st.one_of(st.sampled_from([-1.0, -0.05, 0.0, 0.05, 1.0]), st.floats(-1, 1)), min_size=1, max_size=60
)


@given(gains=GAINS, beside=GAINS, near=st.floats(0.5, 1.5), further=st.floats(1e-3, 9))
def test_scored_is_a_comparison_of_p_values(
    gains: list[float], beside: list[float], near: float, further: float
) -> None:
    gap, spread, known = judged(gains, beside, [0.0] * 30)
    found = np.where(known >= 2, p_values(gap, spread, np.maximum(known - 1, 1)), 1.0)
    at = max(1e-3, -near * float(ndtri(np.clip(found[0], 1e-15, 0.49))))
    for needed in (np.full(3, at), np.full(3, further), np.full(3, np.inf)):
        expected = found <= normal_below(-needed)
        assert (scored(gap, spread, known, needed) == (expected & np.isfinite(needed))).all()


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


@pytest.mark.parametrize(("gains", "base"), [(5, -0.0552), (20, -0.089)])
def test_rare_gains_to_come_are_not_ruled_out(gains: int, base: float) -> None:
    """400 clusters of which a few gain 1, in any order: the grid passes by a hair. Taken for normal sums, 20 gains were
    ruled out in .014 and .006 of orders at errors of .01 and .002."""
    rng, found = np.random.default_rng(0), []
    grid = np.full((400, 1001), base)
    grid[:gains] = 1.0
    grid = rng.permuted(grid, axis=0)
    grid[:, 0] = 0.0  # the opponent
    for error in (0.1, 0.01, 0.002):
        nomination = Nomination([1], 0, (0.05, error), 0.05, 0.9, (40, 80, 160, 240, 320, 400), Tally(1001))
        for wave in np.split(grid, (40, 80, 160, 240, 320)):
            nomination.add(wave)
        found.append(float(nomination.cannot_pass.mean()))
    assert 0.005 < found[0] <= 0.05 and found[1] <= 0.005 and found[2] <= 0.002


def test_who_may_be_the_best_is_not_ruled_out_for_failing_the_grid() -> None:
    """A margin so small that most of those who are just as good fail a grid of 400 by chance."""
    grid = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], (400, 1001), p=[0.2, 0.6, 0.2])
    grid[:, 0] = 0.0
    nomination = Nomination([1], 0, (0.05, 0.01), 0.01, 0.9, (40, 80, 160, 240, 320, 400), Tally(1001))
    for wave in np.split(grid, (40, 80, 160, 240, 320)):
        nomination.add(wave)
    assert nomination.cannot_pass.mean() <= 0.01
