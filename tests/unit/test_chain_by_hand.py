"""What a chain of two is worth, by hand: how well a number tells right from wrong, the bound that no signal beats, and
where nothing is saved any more."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.metrics.chain import auc, needed_auc, perfect

ONE = np.zeros(4, np.int64)


def test_an_auc_counts_pairs_and_ties_as_halves() -> None:
    """Right 3 and 2, wrong 2 and 1: three pairs and a tie of four. A part of each answer: (1 - .875) / 2, and so on."""
    score, right = np.array([3.0, 2.0, 2.0, 1.0]), np.array([True, True, False, False])
    found = auc(score, right, ONE, np.arange(4))
    assert found is not None
    assert found.value == pytest.approx(0.875)
    assert found.se == pytest.approx(math.sqrt(4 * 0.0625**2 * 4 / 3))


@pytest.mark.parametrize(("clusters", "se"), [([0, 1, 0, 1], 0.0), ([0, 1, 1, 0], 0.25)])
def test_the_error_of_an_auc_is_that_of_cluster_sums(clusters: list[int], se: float) -> None:
    """Parts of .0625, -.0625, -.0625 and .0625: in pairs they are nothing, or twice .125 (2 × 2 × .125² = .25²)."""
    score, right = np.array([3.0, 2.0, 2.0, 1.0]), np.array([True, True, False, False])
    found = auc(score, right, ONE, np.array(clusters))
    assert found is not None
    assert found.se == pytest.approx(se, abs=1e-12)


def test_an_auc_compares_answers_of_one_stratum() -> None:
    score, right = np.array([1.0, 0.0, 5.0, 6.0]), np.array([True, False, True, False])
    found = auc(score, right, np.array([0, 0, 1, 1]), np.arange(4))
    assert found is not None and found.value == 0.5  # one of two; 5 beside 0 does not count
    assert auc(score, right, np.array([0, 1, 2, 3]), np.arange(4)) is None


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=30), st.integers(1, 4))
def test_a_number_that_right_and_wrong_answers_share_tells_nothing(values: list[int], times: int) -> None:
    score = np.array([*values, *values * times], np.float64)
    right = np.arange(len(score)) < len(values)
    found = auc(score, right, np.zeros(len(score), np.int64), np.arange(len(score)))
    assert found is not None
    assert found.value == pytest.approx(0.5)
    low, high = found.interval()
    assert low <= 0.5 <= high


@given(st.lists(st.tuples(st.integers(-9, 9), st.booleans(), st.integers(0, 2)), min_size=1, max_size=40))
def test_an_auc_goes_by_order_alone(rows: list[tuple[int, bool, int]]) -> None:
    score, right, stratum = (np.array(part) for part in zip(*rows, strict=True))
    every = np.arange(len(score))
    found, more, less = (
        auc(s, right, stratum, every) for s in (score * 1.0, score**3 * 2.0 + 1, -score * 1.0)
    )
    assert (found is None) == (more is None) == (less is None)
    if found is not None and more is not None and less is not None:
        assert more.value == pytest.approx(found.value) == pytest.approx(1 - less.value)
        assert 0 <= found.value <= 1


def test_no_signal_is_right_at_random() -> None:
    """Of 2,000 draws of a world without a signal, 95 % of the intervals hold .5, four standard errors either way."""
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(500):
        found = auc(rng.normal(size=60), rng.random(60) < 0.6, np.zeros(60, np.int64), np.arange(60) // 2)
        assert found is not None
        low, high = found.interval()
        held += low <= 0.5 <= high
    assert held >= 500 * (0.95 - 4 * math.sqrt(0.05 * 0.95 / 500))


def test_a_perfect_signal_asks_what_adds_most_for_a_dollar() -> None:
    """Four rows, cheap at 1; the dear one adds 1, 0, 1 and -1 at 10, 10, 20 and 10. A margin of .25 loses all that it
    adds, one of .125 needs half of it: half of the first row, 5 dollars of 50."""
    gain, cheap, dear = np.array([1.0, 0.0, 1.0, -1.0]), np.ones(4), np.array([10.0, 10.0, 20.0, 10.0])
    found = perfect(gain, cheap, dear, np.ones(4), 0.25)
    assert found == pytest.approx((1 - 4 / 50, 46 / 4, 0.0))
    found = perfect(gain, cheap, dear, np.ones(4), 0.125)
    assert found == pytest.approx((1 - 9 / 50, 41 / 4, 0.125))
    # Who answers two draws of one sample counts once.
    twice = perfect(np.repeat(gain, 2), np.repeat(cheap, 2), np.repeat(dear, 2), np.full(8, 0.5), 0.125)
    assert twice == pytest.approx(found)


ROWS = st.lists(
    st.tuples(st.floats(-1, 1), st.floats(0.1, 2), st.floats(0.1, 9), st.booleans()), min_size=1, max_size=12
)


@given(ROWS, st.floats(0.0, 0.5))
def test_no_choice_that_loses_no_more_saves_more_than_a_perfect_signal(
    rows: list[tuple[float, float, float, bool]], margin: float
) -> None:
    gain, cheap, dear, asked = (np.array(part) for part in zip(*rows, strict=True))
    if gain[~asked].sum() <= margin * len(gain):
        saving = 1 - (cheap.sum() + dear[asked].sum()) / dear.sum()
        assert saving <= perfect(gain, cheap, dear, np.ones(len(gain)), margin).saving + 1e-9


@pytest.mark.parametrize(
    ("ratio", "margin", "saved", "needed"),
    [
        # The dear one adds .2 in all. At .75 asked on, chance loses .05 and who knows nothing: .03 of .05 must be known.
        (0.25, 0.02, 0.0, 0.8),
        (0.05, 0.02, 0.2, 0.8),  # the same share, where .2 is to be saved besides
        (0.25, 0.05, 0.0, 0.5),  # as much may be lost by chance
        (0.9, 0.02, 0.0, None),  # a tenth asked on: even who knows loses .15
        (1.1, 0.02, 0.0, None),  # the first one alone costs more
    ],
)
def test_the_auc_at_which_nothing_is_saved(
    ratio: float, margin: float, saved: float, needed: float | None
) -> None:
    found = needed_auc(0.6, (0.5, 0.0), ratio, margin, saved)
    assert found == (None if needed is None else pytest.approx(needed))


def test_a_signal_of_the_needed_auc_saves_nothing() -> None:
    """Of .6 of the answers it is right; of the others it says anything. As above: an AUC of .8, and a loss of .02 where
    three quarters ask on."""
    rng, n = np.random.default_rng(0), 40_000
    right = rng.random(n) < 0.6
    known = np.where(right, 0.4 + 0.6 * rng.random(n), 0.4 * rng.random(n))
    score = np.where(rng.random(n) < 0.6, known, rng.random(n))
    found = auc(score, right, np.zeros(n, np.int64), np.arange(n))
    assert found is not None and found.value == pytest.approx(0.8, abs=0.01)
    gain = np.where(right, 0.0, 0.5)
    kept = score > np.quantile(score, 0.75)
    assert float((gain * kept).mean()) == pytest.approx(0.02, abs=0.003)
