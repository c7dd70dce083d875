"""The regression estimator of two phases: by hand, unbiased over all draws, no bolder than what was drawn."""

from dataclasses import replace
from itertools import product
from math import sqrt

import numpy as np
import pytest

from router_lab.fit.choose import _alike, _low
from router_lab.fit.drawn import completed
from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.sums import pooled, statistics
from router_lab.fit.walk import walk
from router_lab.metrics import clustered_mean, estimate_of_sums, paired_saving
from router_lab.metrics.paired import Paired, Recorded
from router_lab.metrics.twophase import (
    SHRINKS,
    best_regression,
    features,
    least_squares,
    paired_spread,
    regress,
    solved,
    suites_of,
)

RNG = np.random.default_rng(5)
BOTH = np.array([0, 0, 0, 0, 1, 1, 1, 1])


def test_predicted_and_made_good_by_hand() -> None:
    """Two folds of four; drawn with probability 1/2: two rows in each, x the one feature.

    Fold 1's drawn rows have (x, v) = (0, 1), (1, 0): centred x -.5, .5 of scale .5, so +-1; the mean of v is .5, the
    slope (-1 * .5 + 1 * -.5) / (2 + 4) = -1/6. So fold 0 is predicted .5 + 1/6 at x 0, .5 - 1/6 at x 1. Fold 0's
    drawn rows have (0, 0), (0, 1): nothing tells them apart, so fold 1 is predicted .5.
    """
    assert SHRINKS[0] == 4
    x = np.array([0, 0, 0, 1, 0, 1, 0, 1.0])
    v = np.array([0, 1, 9, 9, 1, 0, 9, 9.0])
    drawn = np.array([1, 1, 0, 0, 1, 1, 0, 0], bool)
    found = regress(v, drawn, np.full(8, 0.5), x[:, None], BOTH)
    high, low = 2 / 3, 1 / 3
    wanted = [high + 2 * (0 - high), high + 2 * (1 - high), high, low, 0.5 + 2 * 0.5, 0.5 - 2 * 0.5, 0.5, 0.5]
    assert found.values == pytest.approx(wanted, abs=1e-15)
    assert found.left == pytest.approx((high**2 + (1 - high) ** 2 + 0.25 + 0.25) / 4)


def test_a_drawn_row_without_an_outcome_is_missing_and_no_prediction() -> None:
    v = np.array([np.nan, 1, 0, 0, 1, 0, 0, 1.0])
    drawn = np.array([1, 1, 0, 1, 1, 1, 0, 1], bool)
    values = regress(v, drawn, np.full(8, 0.5), RNG.random((8, 2)), BOTH).values
    assert np.isnan(values).tolist() == [True] + [False] * 7


def test_drawn_for_certain_are_the_outcomes_themselves() -> None:
    v = RNG.random(8)
    assert regress(v, np.ones(8, bool), np.ones(8), RNG.random((8, 2)), BOTH).values == pytest.approx(
        v, abs=1e-15
    )


@pytest.mark.parametrize("chance", [0.3, 0.5])
def test_the_mean_over_all_draws_is_the_truth(chance: float) -> None:
    """All 2^8 draws of eight clusters of two rows, each with its probability: no bias, whatever the features are."""
    group = np.repeat(np.arange(8), 2)
    v, x = RNG.random(16), RNG.normal(size=(16, 3))
    expected, weight = 0.0, 0.0
    for draw in product([False, True], repeat=8):
        drawn = np.array(draw)[group]
        found = regress(np.where(drawn, v, np.nan), drawn, np.full(16, chance), x, group % 4).values
        probability = chance ** sum(draw) * (1 - chance) ** (8 - sum(draw))
        expected, weight = expected + probability * found.mean(), weight + probability
    assert weight == pytest.approx(1)
    assert expected == pytest.approx(v.mean(), abs=1e-12)


def test_least_squares_as_the_normal_equations_have_it() -> None:
    x, y, at = RNG.normal(size=(30, 4)), RNG.random(30), RNG.normal(size=(5, 4))
    unit = (x - x.mean(axis=0)) / x.std(axis=0)
    slopes = np.linalg.solve(unit.T @ unit + SHRINKS[0] * np.eye(4), unit.T @ (y - y.mean()))
    wanted = y.mean() + (at - x.mean(axis=0)) / x.std(axis=0) @ slopes
    assert least_squares(x, y, at) == pytest.approx(wanted, rel=1e-12)
    still = np.column_stack([x, np.full(30, 3.0)])  # a feature that never moves says nothing
    assert least_squares(still, y, np.column_stack([at, np.full(5, 3.0)])) == pytest.approx(wanted, rel=1e-12)
    matrix = unit.T @ unit + np.eye(4)
    assert solved(matrix, y[:4]) == pytest.approx(np.linalg.solve(matrix, y[:4]), rel=1e-12)


def test_paired_spread_by_hand() -> None:
    """Differences 1, 0 and 0, 0 in two folds: missed by 1, 0 of the others' mean 0, and by .5, .5 of their mean .5."""
    values, other = np.array([1, 0, 1, 1, 5.0]), np.array([0, 0, 1, 1, 0.0])
    known = np.array([1, 1, 1, 1, 0], bool)
    assert paired_spread(values, other, known, np.array([0, 0, 1, 1, 1])) == pytest.approx(
        (1 + 0 + 0.25 + 0.25) / 4
    )


def test_what_hides_hides_among_the_drawn() -> None:
    """Ten clusters of one row, four of them drawn, nothing lost: the bound is that of four clusters, not of ten."""
    drawn = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0.0])
    found = estimate_of_sums(np.zeros(10), np.ones(10), span=1.0, drawn=drawn)
    few = estimate_of_sums(np.zeros(4), np.ones(4), span=1.0)
    assert (found.independent, found.clusters, found.size) == (4, 10, 0.25)
    assert found.low(0.9) == few.low(0.9)
    # The variance is that of all ten, with four to tell it by.
    values = np.array([2, -2, 0, 0, 1, -1, 0, 0, 1, -1.0])
    wide = clustered_mean(values, drawn=drawn > 0)
    assert wide.se == pytest.approx(sqrt(12 / 100 * 4 / 3))
    assert clustered_mean(values, span=1.0, drawn=np.ones(10, bool)) == clustered_mean(values, span=1.0)


def test_uneven_drawn_clusters_count_as_even_ones() -> None:
    """Drawn rows by cluster 4, 1, 1: Kish's number is 36 / 18 = 2, the unseen sqrt(66 / 216)."""
    found = estimate_of_sums(np.zeros(4), np.array([4, 4, 1, 1.0]), span=1.0, drawn=np.array([4, 0, 1, 1.0]))
    assert found.independent == 2 and found.size == pytest.approx(sqrt(66 / 216))


def test_a_saving_counts_the_drawn_too() -> None:
    drawn = np.arange(40) < 10
    found = paired_saving(RNG.random(40), 1 + RNG.random(40), drawn=drawn)
    assert (found.n, found.clusters, found.independent) == (40, 40, 10)


def evidence(n: int, drawn: np.ndarray, *, share: float = 0.5) -> Evidence:
    """A reference that is right on all rows but one in twenty, and a candidate that is wrong on each third row."""
    base = (np.arange(n) % 20 > 0).astype(float)
    cheap = (np.arange(n) % 3 > 0).astype(float)
    quality = np.column_stack([cheap, np.where(drawn, base, np.nan)])
    cost = np.column_stack([0.1 + 0.02 * RNG.random(n), np.where(drawn, 1 + RNG.random(n), np.nan)])
    weight = np.column_stack([np.ones(n), np.full(n, 1 / share)])
    rows = np.arange(n)
    return Evidence.bare(Recorded(quality, cost, 1, weight, group=rows), fold=rows % 6)


def test_what_the_others_explain_is_used() -> None:
    drawn = RNG.random(400) < 0.5
    before = evidence(400, drawn)
    after = completed(before, drawn, np.zeros(400, np.int64))
    assert after.phases is not None and after.phases.completed and after.phases.share == 0.5
    assert after.drawn is not None and (after.drawn == drawn).all()
    assert not np.isnan(after.quality).any() and not np.isnan(after.cost_usd).any() and after.weight is None
    assert (after.quality[:, 0] == before.quality[:, 0]).all() and (
        after.cost_usd[:, 0] == before.cost_usd[:, 0]
    ).all()
    goal, everywhere = Goal("margin", 0.5, 0.9), np.zeros((400, 1), np.int64)
    sure, weighted = (walk(everywhere, seen, goal).estimate for seen in (after, before))
    assert sure.independent == drawn.sum() and sure.n == 400
    assert sure.value - sure.low(0.9) < 0.9 * (weighted.value - weighted.low(0.9))


def test_without_a_drawn_part_nothing_changes() -> None:
    whole = evidence(60, np.ones(60, bool))
    assert completed(whole, None, np.zeros(60, np.int64)) is whole


def test_strict_and_what_explains_nothing_stay_weighted() -> None:
    """The second is a candidate that is always a tenth below the reference: pairing tells all, a regression less."""
    drawn = RNG.random(400) < 0.5
    bets = evidence(400, drawn)
    base = RNG.random(400)
    like = replace(bets, quality=np.column_stack([base - 0.1, np.where(drawn, base, np.nan)]))
    for before, strict in ((bets, True), (like, False)):
        after = completed(before, drawn, np.zeros(400, np.int64), strict=strict)
        assert after.phases is not None and not after.phases.completed and after.drawn is None
        assert after.weight is not None and (after.weight == before.weight).all()
        assert after.quality is before.quality and after.missing is not None and not after.missing.any()
        assert (after.phases.explained > 0) == strict and after.phases.explained >= 0


def test_a_candidate_on_a_random_floor_predicts_nothing() -> None:
    drawn = RNG.random(400) < 0.5
    known = evidence(400, drawn)
    assert known.weight is not None
    known.weight[::7, 0] = 10.0  # it left a race: what it did elsewhere is not known
    after = completed(known, drawn, np.zeros(400, np.int64))
    assert after.phases is not None and not after.phases.completed


def test_features_by_hand() -> None:
    found = features(np.array([[0, 1, 1], [1, np.nan, 0.5]]))
    assert found.tolist() == [[0, 1, 1, 0, 1], [1, 1, 0.5, 0.5, 1]]
    assert features(np.array([[0.5], [1]])).tolist() == [[0.5], [1]]
    assert features(np.zeros((2, 0))).shape == (2, 0)
    assert suites_of(np.array([0, 2, 1])).tolist() == [[0, 0], [0, 1], [1, 0]]


def test_what_was_drawn_and_lost_counts_as_right() -> None:
    """Two rows a group; of one group that was drawn the second outcome is gone: as if the reference had been right."""
    drawn = np.repeat(RNG.random(200) < 0.5, 2)
    drawn[:2] = True
    before = evidence(400, drawn)
    before.quality[1, 1] = np.nan
    after = completed(before, drawn, np.zeros(400, np.int64))
    full = np.where(drawn, np.nan_to_num(before.quality[:, 1], nan=1.0), np.nan)
    wanted = best_regression(
        full, drawn, np.full(400, 0.5), [features(before.quality[:, [0]]), np.zeros((400, 0))], before.fold
    ).values
    assert after.quality[:, 1] == pytest.approx(wanted) and not np.isnan(wanted).any()


def test_dollars_are_predicted_by_what_predicts_them_best() -> None:
    """A reference that costs ten times what the other does; and one whose dollars the suite alone tells."""
    drawn = np.arange(400) % 2 == 0
    known = evidence(400, drawn)
    cheap = 0.1 + RNG.random(400)
    tenfold = replace(known, cost_usd=np.column_stack([cheap, np.where(drawn, 10 * cheap, np.nan)]))
    found = completed(tenfold, drawn, np.zeros(400, np.int64)).cost_usd[:, 1]
    assert np.abs(found - 10 * cheap).mean() < 0.3 * np.abs(10 * cheap - 10 * cheap.mean()).mean()
    two = (np.arange(400) // 2 % 2).astype(np.int64)
    by_suite = replace(known, cost_usd=np.column_stack([cheap, np.where(drawn, 1.0 + 4 * two, np.nan)]))
    assert completed(by_suite, drawn, two).cost_usd[:, 1] == pytest.approx(1.0 + 4 * two, rel=0.15)


def test_a_further_sample_costs_the_reference_its_share() -> None:
    drawn = np.arange(400) % 4 == 0
    known = evidence(400, drawn, share=0.25)
    after = completed(known, drawn, np.zeros(400, np.int64))
    cheap, dear = after.cost_usd.mean(axis=0)
    assert after.sample_usd == pytest.approx(cheap + 0.25 * dear)
    assert known.sample_usd == pytest.approx(cheap + np.nanmean(known.cost_usd[:, 1]))


def test_a_choice_is_no_bolder_than_the_bound_that_tests_it() -> None:
    """The sums by which options are compared give the bound of the walk: the same clusters count, and hide as much."""
    drawn = RNG.random(400) < 0.25
    after = completed(evidence(400, drawn, share=0.25), drawn, np.zeros(400, np.int64))
    goal, everywhere = Goal("margin", 0.9, 0.9), np.zeros(400, np.int64)
    sums = pooled(statistics(everywhere[None], after, goal))
    tested = walk(everywhere[:, None], after, goal).estimate
    assert _alike(sums)[0] == drawn.sum() == tested.independent
    assert _low(sums, goal, 1.0)[0] == pytest.approx(tested.low(0.9))


def test_what_is_deployed_is_told_by_the_drawn_too() -> None:
    drawn, ones = np.arange(100) < 25, np.ones(100)
    deployed = Paired(ones, ones, ones, 2 * ones, ones, drawn=drawn, group=np.arange(100))
    half = deployed.take(np.arange(100) % 2 == 0)
    assert {one.independent for one in (deployed.gain(), deployed.saving(), deployed.over(deployed))} == {25}
    assert {one.independent for one in (half.gain(), half.saving(), half.over(half))} == {13}
    always = replace(evidence(100, drawn), drawn=drawn).always(0)
    assert always.gain().independent == 25


def test_the_regression_that_predicts_best_is_taken() -> None:
    """Where features tell nothing the mean is best, and then the heaviest prior; where they tell all, the lightest."""
    drawn = RNG.random(120) < 0.5
    noise, told, fold = RNG.normal(size=(120, 20)), RNG.normal(size=(120, 1)), np.arange(120) % 6
    share, none = np.full(120, 0.5), np.zeros((120, 0))
    blank = RNG.random(120)
    blind = best_regression(blank, drawn, share, [noise, none], fold)
    means = np.array([blank[drawn & (fold != part)].mean() for part in fold])
    assert blind.left == pytest.approx(((blank - means)[drawn] ** 2).mean())
    value = told[:, 0] * 3
    clear = best_regression(value, drawn, share, [none, told], fold)
    assert (
        clear.left == regress(value, drawn, share, told, fold, min(SHRINKS)).left < 0.1 * value[drawn].var()
    )
