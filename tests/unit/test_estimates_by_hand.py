"""Estimates, their bounds, verdicts and curves at their edges, by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from router_lab.metrics import (
    Estimate,
    aiq,
    betting_p,
    clustered_mean,
    clustered_ratio,
    holm,
    paired_saving,
    steady,
    verdict,
)
from router_lab.metrics.bound import Spread, _root, caution, growth_needed, p_values, reach
from router_lab.metrics.curves import call_curve, cpt, non_decreasing_hull, pareto_front, weighted_quantile
from router_lab.metrics.estimate import (
    Summed,
    by_cluster,
    effective_number,
    effective_size,
    estimate_of_sums,
    left_of_budget,
    p_values_below,
)
from router_lab.metrics.paired import Paired, Recorded, heaviest
from router_lab.metrics.together import confidence_of_second
from router_lab.metrics.twophase import (
    best_regression,
    best_share,
    least_squares,
    paired_spread,
    regress,
    run_throughout,
    solved,
)
from router_lab.metrics.verdict import (
    apart,
    bounds_told,
    certifiable_margin,
    first_samples,
    samples_needed,
    too_few,
    uneven_told,
)

# Estimates


def test_an_error_has_room_for_the_greater_of_both_unseen() -> None:
    one = Estimate(0.5, 0.3, 40, 40, size=0.4)
    assert one.error == pytest.approx(0.5) and replace(one, above=0.1).error == pytest.approx(0.5)
    assert replace(one, size=0.1, above=0.4).error == pytest.approx(0.5)
    assert (one.independent, replace(one, alike=12).independent) == (40, 12)


def test_a_multiple_of_an_estimate_turns_its_ends() -> None:
    one = Estimate(0.5, 0.1, 40, 30, size=0.02, lost=0.001, alike=25, above=0.03)
    twice, back = one.scaled(2.0), one.scaled(-2.0)
    assert (twice.value, twice.se, twice.size, twice.lost, twice.above) == pytest.approx(
        (1.0, 0.2, 0.04, 0.008, 0.06)
    )
    assert (back.value, back.se, back.size, back.lost, back.above) == pytest.approx(
        (-1.0, 0.2, 0.06, -0.008, 0.04)
    )
    assert (back.n, back.clusters, back.alike) == (40, 30, 25)
    assert back.low(0.9) == pytest.approx(-2 * one.high(0.9)) and back.high(0.9) == pytest.approx(
        -2 * one.low(0.9)
    )
    same = replace(one, above=None).scaled(-2.0)
    assert same.size == pytest.approx(0.04) and same.above is None
    assert one.scaled(0.0).size == 0.0


def test_bounds_by_clusters_alike() -> None:
    """t(.95) of 9 degrees; an interval at .9 has a twentieth on either side; one cluster bounds nothing."""
    one = Estimate(0.5, 0.1, 40, 40, alike=10)
    t = stats.t.ppf(0.95, 9)
    assert one.interval(0.9) == pytest.approx((0.5 - 0.1 * t, 0.5 + 0.1 * t))
    assert one.interval()[0] == pytest.approx(0.5 - 0.1 * stats.t.ppf(0.975, 9))
    for few in (Estimate(0.5, 0.1, 40, 1), replace(one, alike=1)):
        assert (few.low(0.9), few.high(0.9)) == (-math.inf, math.inf)
    assert Estimate(0.5, 0.1, 40, 2).low(0.9) == pytest.approx(0.5 - 0.1 * stats.t.ppf(0.9, 1))


def test_p_values_where_nothing_varies() -> None:
    """Without spread what lies above a floor is above it for sure, and what lies on or below it never."""
    still = Estimate(0.5, 0.0, 30, 30)
    assert [still.p_below(floor) for floor in (0.4, 0.5, 0.6)] == [0.0, 1.0, 1.0]
    found = p_values_below([still, Estimate(math.nan, 0.0, 30, 30), Estimate(0.5, 0.0, 30, 1)], 0.4)
    assert found.tolist() == [0.0, 1.0, 1.0]
    assert p_values_below([], 0.4).tolist() == []
    assert Estimate(0.5, 0.1, 30, 2).p_below(0.4) == pytest.approx(stats.t.sf(1.0, 1))
    assert Estimate(0.5, 0.1, 30, 30).p_below(0.7) == pytest.approx(stats.t.sf(-2.0, 29))


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(("lost", "size"), [(0.0, 0.0), (0.0, 0.02), (2e-6, 0.01), (-2e-6, 0.01)])
def test_a_p_value_is_where_the_bound_meets_the_floor(confidence: float, lost: float, size: float) -> None:
    one = Estimate(0.5, 0.05, 60, 60, size=size, lost=lost)
    assert one.p_below(one.low(confidence)) == pytest.approx(1 - confidence, rel=2e-2)
    plain = 0.5 - 0.05 * stats.t.ppf(confidence, 59)
    assert one.low(confidence) == pytest.approx(plain) if size == 0 else one.low(confidence) < plain - 1e-4


def test_a_square_and_its_slope() -> None:
    """2 t^2 + 3 t = 5 at 1; 3 t = -6 below 0; without either, or with a square alone, at either end."""
    found = _root(np.array([2.0, 2.0, 0.0, 0.0, 0.0, 1.0]), np.array([3.0, 3.0, 0.0, 0.0, 4.0, 0.0]),
                  np.array([5.0, -6.0, 1.0, 0.0, 2.0, 9.0]))  # fmt: skip
    assert found.tolist() == pytest.approx([1.0, -2.0, math.inf, -math.inf, 0.5, 3.0])


def test_p_values_of_many_are_those_of_each() -> None:
    gap, df = np.array([0.05, -0.02, 0.3]), np.array([9.0, 30.0, 5.0])
    spread = Spread(np.array([0.001, 0.002, 0.0]), np.array([1e-5, 0.0, 0.0]), np.array([0.02, 0.0, 0.01]))
    found = p_values(gap, spread, df)
    alone = [float(p_values(gap[[i]], Spread(*(part[[i]] for part in spread)), df[[i]])[0]) for i in range(3)]
    assert found.tolist() == pytest.approx(alone, rel=1e-6)
    assert found[1] == pytest.approx(stats.t.sf(-0.02 / math.sqrt(0.002), 30))
    assert caution(3.0) > caution(2.0) > caution(1.2816) == pytest.approx(0.721, abs=1e-3)


def test_growth_counts_what_was_not_seen_and_the_skew() -> None:
    """At the factor that is found the reach, and .8416 of the error with room for one more, make up the distance."""
    factor = growth_needed(0.3, Spread(1.0, 0.5, 0.2), 0.9, 0.8)
    square, lost, size = 1 / factor, 0.5 / factor**2, 0.2 / factor
    z, k = stats.norm.ppf(0.9), float(caution(stats.norm.ppf(0.9)))
    skew = (size**3 + lost) / (size**2 + square)
    needed = z * math.sqrt(square + k * size**2) + skew * (z * z + 2) / 3
    assert needed + stats.norm.ppf(0.8) * math.sqrt(square + size**2) == pytest.approx(0.3)
    assert growth_needed(0.3, Spread(0.0, 0.0, 0.0), 0.9, 0.8) == pytest.approx(1e-12, rel=1e-2)
    assert float(reach(Spread(0.04, 0.0, 0.0), 1, 0.5)) == pytest.approx(0.0, abs=1e-9)


def test_clusters_that_occur_in_code_order() -> None:
    sums, rows = by_cluster(
        {"a": np.array([1.0, 2.0, 4.0]), "b": np.array([1.0, 1.0, 0.5])}, np.array([7, 3, 7])
    )
    assert (
        sums["a"].tolist() == [2.0, 5.0] and sums["b"].tolist() == [1.0, 1.5] and rows.tolist() == [1.0, 2.0]
    )


def test_a_ratio_leaves_out_what_is_not_known_on_either_side() -> None:
    """(1 * 1 + 2 * 3) / (2 * 1 + 4 * 3) on two rows in one cluster and one apart."""
    found = clustered_ratio(
        [1.0, math.nan, 2.0, 5.0], [2.0, 1.0, 4.0, math.nan], [0, 0, 1, 1], weights=[1, 1, 3, 1]
    )
    assert (found.value, found.clusters) == (pytest.approx(0.5), 2) and found.n == 2
    for nothing in (
        clustered_ratio([], []),
        clustered_ratio([1.0, 2.0], [0.0, 0.0]),
        clustered_mean([math.nan]),
    ):
        assert math.isnan(nothing.value) and (nothing.n, nothing.clusters) == (0, 0)
    plain = clustered_mean([0.0, 1.0, 1.0, 0.0], [0, 0, 1, 1])
    assert (plain.value, plain.se, plain.n, plain.clusters, plain.alike) == (0.5, 0.0, 4, 2, 2)


def test_weights_count_by_the_mean_of_a_cluster() -> None:
    """Clusters of mean weight 2 and 1: three alike would be 3 / 2 = 1.5, a cluster and a half: one."""
    found = clustered_mean([1.0, 1.0, 0.0], [0, 0, 1], weights=[1.0, 3.0, 1.0])
    assert found.value == pytest.approx(0.8) and found.alike == 1
    even = clustered_mean([1.0, 0.0, 0.0], weights=[2.0, 2.0, 2.0], span=1.0)
    assert (even.alike, even.value) == (3, pytest.approx(1 / 3)) and even.size == pytest.approx(1 / 3)
    assert float(effective_number(3.0, 1.0)) == 3.0 and float(effective_number(2.0, 3.0)) == pytest.approx(
        0.666667
    )


def test_drawn_rows_are_counted_by_cluster() -> None:
    """Of six rows in three clusters four were drawn, two in the first: 16 / (4 + 1 + 1) alike."""
    found = clustered_mean(np.arange(6.0), [0, 0, 1, 1, 2, 2], drawn=np.array([1, 1, 1, 0, 0, 1], bool))
    assert (found.alike, found.clusters, found.n) == (2, 3, 6) and found.value == 2.5
    assert clustered_mean(np.arange(6.0), [0, 0, 1, 1, 2, 2]).alike == 3


def test_sums_count_their_rows() -> None:
    found = estimate_of_sums(np.array([1.0, 1.0, 0.0]), np.array([2.0, 2.0, 1.0]))
    assert (found.n, found.clusters, found.value, found.size) == (5, 3, 0.4, 0.0)
    one = estimate_of_sums(np.array([1.0]), np.array([2.0]), span=1.0)
    assert (one.se, one.alike, one.size) == (math.inf, 1, 1.0)


def test_a_saving_beside_another_has_room_for_a_loss_of_everything() -> None:
    """Rows of 1 against 2 dollars, a third row dear: of the difference .5, .5 and -2 of a reference of 4 each."""
    found = paired_saving([1.0, 1.0, 4.0], [3.0, 3.0, 2.0], reference=[4.0, 4.0, 4.0])
    assert found.value == pytest.approx(2 / 12) and found.size > found.above > 0  # type: ignore[operator]
    unseen = math.sqrt(3 * (1 / 3) ** 3)
    unseen /= 1 + 3 * unseen
    assert (found.size, found.above) == pytest.approx((unseen * (1 / 6 + 0.5), unseen * (0.5 - 1 / 6)))
    loss = paired_saving(
        [9.0, 1.0], [1.0, 1.0], reference=[1.0, 1.0]
    )  # -8 counts as -1, which is above the mean
    assert (loss.value, loss.size) == (-4.0, 0.0)
    more = paired_saving([2.0, 0.0], [1.0, 1.0])  # nothing saved is the least that is taken for possible
    assert more.size == 0.0 and more.value == 0.0
    none = paired_saving([1.0], [math.nan])
    assert math.isnan(none.value) and (none.n, none.clusters) == (0, 0)


def test_one_cluster_that_pays_for_all_bounds_nothing() -> None:
    alone = paired_saving([1.0, 0.0], [2.0, 0.0])
    assert alone.se == math.inf and alone.value == 0.5


def test_what_is_left_of_a_budget_can_be_any_loss() -> None:
    """.9 of .1 ... -2 left of two rows: of the next there may be one as dear as that."""
    found = left_of_budget(np.array([0.9, 0.9, -2.0, 0.2]), np.ones(4))
    assert found.value == pytest.approx(0.0) and found.n == 4
    unseen = 0.25 / (1 + 3 * 0.25)
    assert found.size == pytest.approx(2 * unseen) and found.above == pytest.approx(0.9 * unseen)
    weighed = left_of_budget(np.array([0.9, 0.9, -2.0, 0.2]), np.ones(4), shares=np.array([4.0, 1, 1, 1]))
    assert weighed.alike == 1 and weighed.se == math.inf
    assert Summed(np.ones(2), np.ones(2), None, None, 7).estimate().n == 7


def test_bets_at_the_ends() -> None:
    """Nobody can lose more than the span: a floor there is shown by anything; nothing shows nothing."""
    assert betting_p([1.0], [1.0], -1.0) == 0.0 and betting_p([], [], -1.0) == 1.0 == betting_p([], [], 0.0)
    assert betting_p([0.5], [1.0], -0.5, span=0.5) == 0.0
    assert betting_p([0.0], [1.0], -0.5) == 1.0  # the first bet is on nothing
    # Gains (.5 + .5) / .5; before the second bet the mean is 1 and the spread (.25 + 4) / 2: 1 / 3.125 of the capital.
    assert betting_p([0.5, 0.5], [1.0, 1.0], -0.5) == pytest.approx(1 / (1 + 0.32 * 2))
    assert betting_p([0.5, -1.0], [1, 1], -0.5) == 1.0  # what is lost after is not won back


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03]).tolist() == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.6, 0.5]).tolist() == [1.0, 1.0] and holm([]).tolist() == []


def test_answers_that_a_mean_is_worth() -> None:
    assert effective_size(Estimate(0.5, 0.1, 90, 30)) == pytest.approx(25)
    for same in (Estimate(1.0, 0.1, 90, 30), Estimate(0.5, 0.0, 90, 30), Estimate(0.0, 0.1, 90, 30)):
        assert effective_size(same) == 30.0


# What is remembered, and exponents at their ends


def test_quantiles_are_remembered() -> None:
    asked = np.array([7.25, 9.25, 7.25])
    found = steady.t_quantiles(asked, 0.8125)
    assert found == pytest.approx(stats.t.ppf(0.8125, asked)) and found[0] == found[2]
    assert steady._KNOWN[7.25, 0.8125] == found[0] and steady.t_quantiles(9.25, 0.8125) == found[1]


def test_exponents_at_their_ends() -> None:
    found = steady.exp(np.array([-745.0, -745.1, 709.0, 709.1, 0.0]))
    assert found[0] > 0 and found[1] == 0 and found[3] == math.inf and found[4] == 1.0
    assert found[2] == pytest.approx(math.exp(709.0))
    assert steady.log(np.array([0.0, -1.0, math.inf, 1.0]))[[0, 2, 3]].tolist() == [-math.inf, math.inf, 0.0]
    assert math.isnan(steady.log(-1.0)) and steady.log1p(0.25) == pytest.approx(math.log(1.25), rel=1e-15)
    assert steady.log2(8.0) == pytest.approx(3.0)


def test_few_degrees_beside_many_are_as_exact_as_alone() -> None:
    asked, t = np.array([5.0, 500.0, 199.0, 200.0]), np.array([-2.0, -2.0, -1.5, -1.5])
    assert steady.t_below(asked, t) == pytest.approx(stats.t.cdf(t, asked), rel=1e-9)


@pytest.mark.parametrize("df", [200.0, 250.0, 1000.0])
def test_many_degrees_are_as_exact_as_few(df: float) -> None:
    for t in (0.5, 2.0, 6.0):
        assert float(steady.t_below(df, -t)) == pytest.approx(stats.t.sf(t, df), rel=1e-9)


# Verdicts


def test_a_verdict_at_its_edges() -> None:
    """What reaches the floor passes, what only touches it from below does not fail."""
    still = Estimate(0.5, 0.0, 30, 30)
    assert [verdict(still, floor, 0.9).verdict for floor in (0.4, 0.5, 0.6)] == ["pass", "pass", "fail"]
    open_ = Estimate(0.5, 0.1, 30, 30)
    at_high = verdict(open_, open_.high(0.9), 0.9)
    assert at_high.verdict == "inconclusive" and verdict(open_, open_.low(0.9), 0.9).verdict == "pass"
    assert at_high.value == 0.5 and (at_high.n, at_high.clusters, at_high.confidence) == (30, 30, 0.9)
    assert verdict(open_, 0.5).confidence == 0.95


def test_samples_that_make_twenty_clusters() -> None:
    """Twenty are enough, and on the floor itself no number would do; of one cluster of five it takes 95 more."""
    assert verdict(Estimate(0.5, 0.1, 20, 20), 0.5, 0.9).samples_needed is None
    assert verdict(Estimate(0.5, math.inf, 5, 1), 0.5, 0.9).samples_needed == 95
    assert verdict(Estimate(0.5, 0.1, 5, 5, alike=2), 0.5, 0.9).samples_needed == 45
    assert (
        verdict(Estimate(0.5, 0.1, 3, 10), 0.5, 0.9).samples_needed == 17
    )  # weights: fewer rows than clusters
    few = verdict(Estimate(0.5, 0.1, 10, 10), 0.5, 0.9, dollars_per_sample=0.25)
    assert (few.samples_needed, few.dollars_needed) == (10, 2.5)
    assert verdict(Estimate(0.5, 0.1, 10, 10), 0.5, 0.9).dollars_needed is None
    assert verdict(Estimate(0.5, 0.1, 10, 10), 0.5, 0.9, min_clusters=10).reason.startswith(
        "+0.5000 lies between"
    )


def test_what_concludes_nothing_says_why() -> None:
    nothing = verdict(Estimate(math.nan, math.nan, 0, 0), 0.5, 0.9)
    assert (nothing.verdict, nothing.reason) == (
        "inconclusive",
        "there is nothing to judge: no row has both values",
    )
    few = verdict(Estimate(0.5, 0.1, 12, 12), 0.5, 0.9)
    assert few.reason == "too few to say (12 rows); fewer than 20 groups conclude nothing"
    carried = verdict(Estimate(0.5, 0.1, 90, 40, alike=12), 0.5, 0.9)
    assert carried.reason == (
        "too few to say (90 rows in 40 groups, so uneven that they count as 12); fewer than 20 groups conclude nothing"
    )
    lost = verdict(Estimate(0.9, 0.0, 40, 40), 0.5, 0.9, infra=0.02)
    assert lost.verdict == "inconclusive" and lost.reason.endswith("; above 1% nothing is concluded")
    assert uneven_told(None) == "" and uneven_told(1200) == ", carried by few: all groups count as 1,200"
    assert too_few(40, 40, None, 1.0) is None and too_few(40, 40, -1.5, None) is None
    assert (
        too_few(None, None, -2.0, 1.0) == "too few to say"
        and too_few(40, None, -2.0, 1.0) == "too few to say (40 rows)"
    )


def test_bounds_are_printed_on_their_side() -> None:
    assert bounds_told("pass", 0.70001, 0.9, 0.7) == "lower bound +0.7000 reaches +0.7000"
    assert bounds_told("fail", 0.1, 0.69999, 0.7) == "upper bound +0.69999 stays below +0.7000"
    assert (
        bounds_told("inconclusive", 0.69996, 0.8, 0.7)
        == "+0.7000 lies between the bounds +0.69996 and +0.8000"
    )
    assert bounds_told("pass", -0.0297, 0.1, -0.03, digits=2, scale=100) == "lower bound −2.97 reaches −3.00"
    assert apart(-0.00001, 0.0, 2) == ("−0.00001", "+0.00") and apart(0.0, -0.0, 2) == ("+0.00", "+0.00")
    assert apart(0.123456, 0.1234, 4, sign="") == ("0.1235", "0.1234")
    assert apart(1 / 3, 1 / 3 + 1e-9, 2)[0] != apart(1 / 3, 1 / 3 + 1e-9, 2)[1]


def test_margins_and_samples_at_their_edges() -> None:
    mean = Estimate(0.0, 0.1, 100, 100)
    assert samples_needed(mean, -0.1, 0.9) == samples_needed(mean, 0.1, 0.9) == 351
    assert (
        samples_needed(replace(mean, n=0), 0.1, 0.9) is None
        and samples_needed(replace(mean, se=math.inf), 0.1) is None
    )
    lopsided = replace(mean, size=0.1, above=0.0)
    assert samples_needed(lopsided, 0.1, 0.9) > samples_needed(lopsided, -0.1, 0.9)  # type: ignore[operator]
    # 4.508 / gap^2 in all: 1e9 at 6.714e-5
    assert samples_needed(mean, 6.6e-5, 0.9) is None and samples_needed(mean, 6.8e-5, 0.9) is not None
    assert samples_needed(mean, 0.1, 0.9, power=0.9) == math.ceil(100 * (2 * stats.norm.ppf(0.9)) ** 2) - 100
    assert certifiable_margin(Estimate(math.nan, 0.1, 90, 90)) == math.inf
    shifted = certifiable_margin(replace(mean, value=0.3), 0.9)
    assert shifted == pytest.approx(certifiable_margin(mean, 0.9))
    assert first_samples(0.05, 0.9, holdout=0.0, differ=0.4) == 722  # twice 360.6, and one for luck


# Curves


def test_a_front_keeps_equals_and_leaves_out_what_is_not_known() -> None:
    cost, quality = [1.0, 1.0, 2.0, 2.0, math.nan, 0.5, 3.0], [0.5, 0.5, 0.5, 0.9, 1.0, math.nan, 0.9]
    assert pareto_front(cost, quality).tolist() == [True, True, False, True, False, False, False]
    assert pareto_front([1.0, 1.0], [0.4, 0.5]).tolist() == [False, True]
    assert pareto_front([], []).tolist() == []
    assert pareto_front([None, 1, 2, 3], [1, None, False, True]).tolist() == [False, False, True, True]
    assert [part.tolist() for part in non_decreasing_hull([None, 1, 2], [1, True, False])] == [[1.0], [1.0]]


def test_a_hull_between_its_ends() -> None:
    corners, heights = non_decreasing_hull([1.0, 2.0, 4.0], [0.2, 0.8, 1.0])
    assert corners.tolist() == [1.0, 2.0, 4.0] and heights.tolist() == [0.2, 0.8, 1.0]
    # .5 * 1 up to 2 and .9 * 2 up to 4, of the whole from 0 to 5 with 1.0 after
    assert aiq([1.0, 2.0, 4.0], [0.2, 0.8, 1.0], 0.0, 5.0) == pytest.approx((0.5 + 1.8 + 1.0) / 5)
    assert aiq([1.0, 2.0, 4.0], [0.2, 0.8, 1.0], 1.0, 2.0) == pytest.approx(0.5)
    assert aiq([math.nan], [0.5], 0.0, 1.0) == 0.0
    with pytest.raises(ValueError, match="must be below"):
        aiq([1.0], [0.5], 2.0, 1.0)


def test_no_gap_is_no_curve() -> None:
    for weak, strong in (([], []), ([0.5, 0.5], [1.0, 0.0])):
        with pytest.raises(ValueError, match="no gap can be recovered"):
            call_curve(np.zeros(len(weak)), weak, strong)
    shares, recovered = call_curve([1.0, 2.0], [1.0, 1.0], [0.0, 0.5])  # strong is worse: the gap is negative
    assert shares.tolist() == [0, 0.5, 1] and recovered == pytest.approx([0, 1 / 3, 1])
    assert cpt([1.0, 2.0], [0.0, 0.0], [1.0, 1.0], 0.5) == pytest.approx(0.5)


def test_a_weighted_quantile_is_a_value_that_is_known() -> None:
    values, weights = np.array([3.0, 1.0, 2.0, math.nan]), np.array([1.0, 2.0, 1.0, 9.0])
    assert [weighted_quantile(values, weights, share) for share in (0.25, 0.5, 0.51, 0.75, 0.76)] == [
        1,
        1,
        2,
        2,
        3,
    ]
    assert weighted_quantile(values, np.array([0.0, 0.0, 1.0, 1.0]), 0.9) == 2.0
    assert math.isnan(weighted_quantile(values, np.zeros(4), 0.5)) and math.isnan(
        weighted_quantile(values[3:], weights[3:], 0.5)
    )


# Pairs and two phases


def test_figures_come_along() -> None:
    known = Recorded(
        np.array([[1.0, 1.0], [0.0, 1.0], [math.nan, 1.0]]), np.array([[1.0, 4.0], [3.0, 4.0], [1.0, 4.0]]), 1,
        group=np.array([0, 0, 1]), suite=np.array([2, 5, 2]), drawn=np.array([True, False, True]),
        figures={"latency_s": np.array([[1.0, 2.0]] * 3)},
    )  # fmt: skip
    cheap = known.always(0)
    assert {code: len(part.group) for code, part in cheap.by_suite().items()} == {2: 2, 5: 1}
    assert cheap.named("latency_s").tolist() == [1.0] * 3 and cheap.named("quality")[:2].tolist() == [
        1.0,
        0.0,
    ]
    assert cheap.drawn is not None and cheap.drawn.tolist() == [True, False, True]
    assert cheap.mean("latency_s").value == 1.0 and cheap.mean("cost_usd").value == 2.0
    beside = cheap.against(known.always(1), np.full(3, 0.5))
    assert (
        beside.drawn is cheap.drawn
        and beside.suite is cheap.suite
        and beside.gain().size == pytest.approx(0.5)
    )
    assert beside.scored.tolist() == [True, True, False] and beside.reference_quality[:2].tolist() == [
        1.0,
        1.0,
    ]
    assert heaviest(np.array([1.0, 3.0]), np.array([2.0, 1.0])).tolist() == [2.0, 3.0]  # type: ignore[union-attr]


def test_a_pair_is_weighed_by_the_heavier_side() -> None:
    ones, group = np.ones(4), np.arange(4)
    one = Paired(ones, ones, ones, 2 * ones, ones, np.array([3.0, 1, 1, 1]), group=group)
    other = Paired(ones, 2 * ones, ones, 2 * ones, ones, np.array([1.0, 1, 1, 3]), group=group)
    for found in (one.over(other), one.against(other, ones).gain(), one.within(other).gain()):
        assert found.alike == 2  # 3 1 1 3: eight in all, the heaviest is three
    assert one.saving().alike == 2 and one.over(other).value == pytest.approx(0.5)


def test_a_mixture_in_equal_shares() -> None:
    known = Recorded(np.array([[0.0, 0.5, 1.0]] * 2), np.array([[1.0, 2.0, 4.0]] * 2), 2, group=np.arange(2),
                     weight=np.array([[4.0, 2.0, 1.0]] * 2))  # fmt: skip
    found = known.mixture((0.5, np.array([2, 2])), (0.5, np.array([[0, 1], [2, 2]])), (0.0, np.array([0, 0])))
    assert found.quality.tolist() == [0.625, 1.0] and found.moved.tolist() == [0.5, 0.0]
    assert found.weight is not None and found.weight.tolist() == [4.0, 1.0]
    both = known.chance({0: 0.25, 1: 0.25})
    assert both.quality.tolist() == [0.625] * 2 and both.moved.tolist() == [0.5] * 2


def test_predictions_without_a_known_fold_are_nothing() -> None:
    """One fold alone: nobody else is known, so the guess is 0 and what was drawn counts as often as it was left."""
    values, drawn = np.array([1.0, math.nan, 0.5]), np.array([True, True, False])
    found = regress(values, drawn, np.full(3, 0.5), np.zeros((3, 0)), np.zeros(3, np.int64))
    assert found.values[[0, 2]].tolist() == [2.0, 0.0] and math.isnan(found.values[1]) and found.left == 1.0
    none = regress(values, np.zeros(3, bool), np.full(3, 0.5), np.zeros((3, 0)), np.zeros(3, np.int64))
    assert none.left == 0.0
    found = best_regression(values, drawn, np.full(3, 0.5), [np.zeros((3, 0))], np.zeros(3, np.int64))
    assert found.left == 1.0


def test_spread_of_a_difference_by_folds() -> None:
    """Differences 1, 3 and 5 in folds 0, 0 and 1: 1 - 5, 3 - 5 and 5 - 2."""
    values, other = np.array([1.0, 3.0, 5.0, 99.0]), np.zeros(4)
    known, fold = np.array([True, True, True, False]), np.array([0, 0, 1, 1])
    assert paired_spread(values, other, known, fold) == pytest.approx((16 + 4 + 9) / 3)
    assert paired_spread(values, other, known, np.zeros(4, np.int64)) == pytest.approx((1 + 9 + 25) / 3)
    assert paired_spread(values, other, np.zeros(4, bool), fold) == 0.0


def test_who_ran_throughout_has_a_weight_of_one_where_it_is_known() -> None:
    values = np.ones((20, 3))
    values[0, 1] = math.nan
    weight = np.ones((20, 3))
    weight[0, 1], weight[3, 2] = 5.0, 2.0
    assert run_throughout(values, weight) == [0, 1] and run_throughout(values, None) == [0, 1, 2]
    assert solved(np.array([[4.0, 2.0], [2.0, 3.0]]), np.array([10.0, 9.0])).tolist() == pytest.approx(
        [1.5, 2.0]
    )
    found = least_squares(np.array([[0.0], [2.0]]), np.array([1.0, 3.0]), np.array([[2.0]]))
    assert found.tolist() == pytest.approx([2 + 2 / 6])  # a slope of 2 / (2 + 4)


def test_shares_that_spare_just_enough() -> None:
    """All explained, the least share .1 for 1,000 and more: (others + .1 r) against .95 (others + r)."""
    found = Estimate(0.0, 0.02, 1000, 1000)
    needed = samples_needed(found, 0.01, 0.9)
    assert needed is not None
    edge: dict[str, Any] = {"found": found, "gap": 0.01, "confidence": 0.9, "explained": 1.0}
    assert best_share(**edge, others_usd=17.9, reference_usd=1.0) is not None  # 17.95 of 18.9 * .95 = 17.955
    assert best_share(**edge, others_usd=18.1, reference_usd=1.0) is None  # 18.15 of 19.1 * .95 = 18.145
    assert best_share(**(edge | {"gap": 0.0}), others_usd=0.1, reference_usd=1.0) is None
    seen = replace(found, size=0.001, lost=1e-6)
    best = best_share(**(edge | {"found": seen}), others_usd=0.5, reference_usd=1.0)
    assert best is not None
    part = replace(seen, size=0.001 / best.share, lost=1e-6 / best.share**2)
    assert best.samples == samples_needed(part, 0.01, 0.9) and best.explained == 1.0


def test_a_second_test_gets_what_the_first_leaves_and_more_where_they_agree() -> None:
    found = [confidence_of_second(0.9, 0.95, r) for r in (0.0, 0.2, 0.5, 0.8, 0.99)]
    assert found == sorted(found, reverse=True) and found[0] == pytest.approx(0.95) and 0.9 < found[-1] < 0.92
