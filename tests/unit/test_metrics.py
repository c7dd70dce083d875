"""Intervals, verdicts and curves against numbers worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import chdtri

from router_lab import metrics


def test_clustered_mean_by_hand() -> None:
    # Clusters {1, 0}, {1}, {0}: mean 1/2, residual sums 0, 1/2, -1/2; they count as 4^2 / (2^2 + 1 + 1) = 8/3 clusters,
    # so se^2 = (1/4 + 1/4) * (8/3) / (5/3) / 4^2, with one degree of freedom.
    estimate = metrics.clustered_mean([1.0, 0.0, 1.0, 0.0], [7, 7, 3, 5])
    assert estimate.value == 0.5
    assert estimate.se == pytest.approx(math.sqrt(0.5 * 1.6 / 16))
    assert (estimate.n, estimate.clusters, estimate.independent) == (4, 3, 2)
    # t quantile at .95 with 1 degree of freedom is 6.3138.
    assert estimate.low(0.95) == pytest.approx(0.5 - 6.3138 * estimate.se, abs=1e-4)
    assert estimate.interval(0.90) == pytest.approx((estimate.low(0.95), estimate.high(0.95)))


def test_clusters_of_copies_are_worth_one_row_each() -> None:
    once = metrics.clustered_mean([1.0, 0.0, 0.0])
    thrice = metrics.clustered_mean(np.repeat([1.0, 0.0, 0.0], 3), np.repeat([0, 1, 2], 3))
    assert thrice.se == pytest.approx(once.se)


def test_what_was_not_seen_forbids_certainty() -> None:
    plain, wary = metrics.clustered_mean(np.zeros(50)), metrics.clustered_mean(np.zeros(50), span=1.0)
    assert plain.low(0.9) == 0.0
    assert wary.error == pytest.approx(1 / 50)
    # t(.9, 49) = 1.2991; k = ((ln 10 - (1.2816^2 + 2) / 3) / 1.2816)^2 = .7211; one unseen loss of 1/50.
    assert wary.low(0.9) == pytest.approx(-(1.2991 * math.sqrt(0.7211) + (1.2991**2 + 2) / 3) / 50, abs=1e-5)
    assert wary.high(0.9) == pytest.approx(-wary.low(0.9))
    assert wary.scaled(0.5).error == pytest.approx(wary.error / 2)
    assert wary.scaled(0.5).low(0.9) == pytest.approx(wary.low(0.9) / 2)


@pytest.mark.parametrize("lost", [0, 1, 2, 5])
@pytest.mark.parametrize("chance", [0.1, 0.05, 0.01, 0.001])
def test_few_losses_are_bounded_as_a_poisson_number_is(lost: int, chance: float) -> None:
    """Garwood's exact upper limit of a Poisson number, chi2(1 - chance, 2 k + 2) / 2, within 3 %."""
    gain = np.where(np.arange(20_000) < lost, -1.0, 0.0)
    limit = float(chdtri(2 * lost + 2, chance)) / 2
    assert -20_000 * metrics.clustered_mean(gain, span=1.0).low(1 - chance) == pytest.approx(limit, rel=0.03)


def test_gains_are_no_losses() -> None:
    """Three gains and three losses have no skew: what is left is the unseen one's, one of seven squares."""
    both = metrics.clustered_mean(np.repeat([1.0, -1.0, 0.0], [3, 3, 94]), span=1.0)
    lost = metrics.clustered_mean(np.repeat([-1.0, 0.0], [6, 94]), span=1.0)
    square = both.se * both.se
    assert both.lost == pytest.approx(0.0)
    skew = 0.01**3 / (0.01**2 + square)
    reach = 1.2902 * math.sqrt(square + 0.7211e-4) + skew * (1.2902**2 + 2) / 3
    assert both.low(0.9) == pytest.approx(-reach, abs=1e-5)
    assert lost.value - lost.low(0.9) > lost.high(0.9) - lost.value


def test_uneven_clusters_count_as_fewer() -> None:
    """One cluster of 8 rows and 12 of 1: 20^2 / (64 + 12) = 5.26 clusters, and what was not seen is as large as
    sqrt((512 + 12) / 20^3)."""
    found = metrics.clustered_mean(np.zeros(20), np.minimum(np.arange(20), 12), span=1.0)
    assert (found.clusters, found.independent) == (13, 5)
    assert found.size == pytest.approx(math.sqrt(524 / 8000))


def test_uneven_clusters_conclude_nothing_where_as_many_alike_would_not() -> None:
    """24 clusters of 1 and one of 24: 48^2 / (24 + 576) = 3.84 clusters, though there are 25."""
    found = metrics.clustered_mean(np.zeros(48), np.minimum(np.arange(48), 24))
    judged = metrics.verdict(found, -0.5, 0.9)
    assert (found.clusters, found.independent, judged.verdict) == (25, 3, "inconclusive")
    assert judged.samples_needed == 20 * 48 // 3 - 48  # as uneven as these, until they count as 20
    assert "too few to say (48 rows in 25 groups, so uneven that they count as 3)" in judged.reason
    assert (
        metrics.verdict(metrics.clustered_mean(np.zeros(48), np.arange(48) // 2), -0.5, 0.9).verdict == "pass"
    )


@given(
    values=st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), min_size=3, max_size=40),
    chance=st.floats(0.0005, 0.4),
    span=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_a_p_value_is_the_error_at_which_the_bound_is_reached(
    values: list[float], chance: float, span: float
) -> None:
    found = metrics.clustered_mean(values, np.arange(len(values)) // 2, span=span)
    floor = found.low(1 - chance)
    if found.independent >= 2 and found.error > 1e-9:
        assert found.p_below(floor) == pytest.approx(min(chance, 1.0), rel=1e-3)


def test_missing_rows_and_empty_samples() -> None:
    assert metrics.clustered_mean([1.0, math.nan, 0.0]).value == 0.5
    empty = metrics.clustered_mean([])
    assert math.isnan(empty.value) and empty.clusters == 0 and empty.p_below(0.0) == 1.0
    assert metrics.clustered_mean([0.3]).low(0.9) == -math.inf


def test_paired_saving_by_hand() -> None:
    saving = metrics.paired_saving([1.0, 1.0], [2.0, 4.0])
    assert saving.value == pytest.approx(4 / 6)
    # Residuals: (2-1) - 2/3*2 = -1/3 and (4-1) - 2/3*4 = 1/3 of 6, each over one less its share of the cost: against
    # the other row alone, which saves 3/4 or 1/2, it is (1/18) / (2/3) and (1/18) / (1/3); as 1.8 rows alike.
    assert saving.se == pytest.approx(math.hypot(1 / 12, 1 / 6) * math.sqrt(1.8 / 0.8))
    assert saving.lost == pytest.approx(-2 * (1 / 6**3 - 1 / 12**3))
    # A further row as in metrics.bound, sqrt((1/3)^3 + (2/3)^3) = .577, less what remains: / (1 + 3 * .577).
    assert saving.size == pytest.approx((2 / 3 - 1 / 2) * 0.57735 / 2.73205, abs=1e-6)
    assert saving.above == pytest.approx((3 / 4 - 2 / 3) * 0.57735 / 2.73205, abs=1e-6)
    against = metrics.paired_saving([1.0, 1.0], [2.0, 4.0], reference=[10.0, 10.0])
    assert against.value == pytest.approx(4 / 20)
    assert (against.n, against.clusters, against.independent) == (2, 2, 2)
    unknown = metrics.paired_saving([math.nan], [1.0])
    assert math.isnan(unknown.value) and unknown.clusters == 0


def test_a_saving_that_nothing_can_change_is_certain() -> None:
    """Nothing moves, or all cost the same share: no unseen row of those kinds would tell otherwise."""
    idle = metrics.paired_saving([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert idle.interval() == (0.0, 0.0)
    tenth = metrics.paired_saving([0.125, 0.25, 0.5], [1.0, 2.0, 4.0])
    assert tenth.interval() == (0.875, 0.875)


def test_a_saving_has_room_for_a_row_that_saves_nothing_and_for_none_that_saves_more_than_any() -> None:
    """99 rows that save .9 and one of like cost that saves nothing: at .975 the bound is Garwood's for the one seen."""
    cost = np.where(np.arange(100) < 99, 0.1, 1.0)
    saving = metrics.paired_saving(cost, np.ones(100))
    assert saving.value == pytest.approx(0.891)
    assert saving.size == pytest.approx(0.891 * 0.01 / 1.03)
    assert saving.above == pytest.approx(0.009 * 0.01 / 1.03)
    assert 0.9 - saving.low(0.975) > 0.9 * float(chdtri(4, 0.025)) / 2 / 100  # 5.57 rows of 100
    assert saving.high(0.975) < 0.92


def test_a_difference_of_savings_has_room_for_a_row_that_saves_as_much_less_as_was_seen() -> None:
    """Nine rows at .1 and one at 1, where the mix pays .55: +.45 nine times and -.45 once of the reference's dollar."""
    cost, mix = np.where(np.arange(10) < 9, 0.1, 1.0), np.full(10, 0.55)
    over = metrics.paired_saving(cost, mix, reference=np.ones(10))
    assert over.value == pytest.approx(0.36)
    assert over.size == pytest.approx((0.36 + 0.45) * 0.1 / 1.3)
    assert over.above == pytest.approx((0.45 - 0.36) * 0.1 / 1.3)
    assert over.error == pytest.approx(math.hypot(over.se, over.size))
    assert over.scaled(-1).error == pytest.approx(over.error)
    # A row that costs five times the reference is taken for one that costs all of it more.
    dear = metrics.paired_saving(np.where(cost < 1, 0.1, 5.0), mix, reference=np.ones(10))
    assert dear.value == pytest.approx(-0.04)
    assert dear.size == pytest.approx((1 - 0.04) * 0.1 / 1.3)


def test_a_saving_turned_round_has_its_bounds_turned_round() -> None:
    rng = np.random.default_rng(3)
    base = np.exp(1.5 * rng.normal(size=60))
    saving = metrics.paired_saving(base * np.where(rng.random(60) < 0.8, 0.1, 1.0), base)
    turned = saving.scaled(-2.0)
    assert turned.low(0.9) == pytest.approx(-2 * saving.high(0.9))
    assert turned.high(0.95) == pytest.approx(-2 * saving.low(0.95))
    assert turned.scaled(-0.5).interval() == pytest.approx(saving.interval())
    assert saving.p_below(saving.low(0.93)) == pytest.approx(0.07, rel=1e-3)
    assert metrics.samples_needed(saving, 0.1, 0.9) != metrics.samples_needed(saving, -0.1, 0.9)


def test_the_dearest_row_is_judged_by_the_others() -> None:
    """One row of 50 with half of the cost that saves half: the others save nothing, so alone it moves the ratio by 1/4;
    against theirs by 1/2."""
    base = np.where(np.arange(50) == 0, 49.0, 1.0)
    saving = metrics.paired_saving(np.where(np.arange(50) == 0, 24.5, 1.0), base)
    assert saving.value == pytest.approx(0.25)
    small = 49 * (0.25 / 98 / (1 - 1 / 98)) ** 2
    assert saving.se == pytest.approx(math.sqrt((0.25**2 + small) / (1 - 0.25 - 49 / 98**2)))


def test_holm_by_hand() -> None:
    assert metrics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert metrics.holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])


def test_verdict_has_three_words() -> None:
    sure = metrics.Estimate(0.0, 0.01, 400, 400)
    assert metrics.verdict(sure, -0.03).verdict == "pass"
    assert metrics.verdict(sure, 0.03).verdict == "fail"
    unsure = metrics.verdict(sure, -0.01, dollars_per_sample=0.5)
    assert unsure.verdict == "inconclusive"
    # ((1.6449 + .8416) / .01)^2 * (400 * .0001) = 2473.03, so 2474 samples in all.
    assert unsure.samples_needed == 2474 - 400
    assert unsure.dollars_needed == pytest.approx((2474 - 400) * 0.5)
    assert metrics.verdict(sure, -0.03, infra=0.011).verdict == "inconclusive"
    assert metrics.verdict(metrics.Estimate(0.0, 0.0001, 400, 19), -0.03).verdict == "inconclusive"


def test_a_verdict_without_data_is_inconclusive() -> None:
    nothing = metrics.verdict(metrics.clustered_mean([]), -0.02)
    assert nothing.verdict == "inconclusive"
    assert math.isnan(nothing.value) and math.isnan(nothing.low)


def test_samples_for_an_equal_arm() -> None:
    # d = .2 discordant prompts, 2 points: (1.6449 + .8416)^2 * .2 / .0004 = 3091.
    arm = metrics.Estimate(0.0, math.sqrt(0.2 / 100), 100, 100)
    assert metrics.samples_needed(arm, 0.02) == 3092 - 100
    assert metrics.samples_needed(arm, 0.0) is None
    assert metrics.certifiable_margin(arm, 0.95) == pytest.approx(1.6604 * arm.se, abs=1e-5)


def test_betting_is_exact_where_t_is_not() -> None:
    # 200 rows without a difference: capital prod(1 + bet * floor...) must reach 20 for a margin of 5 points.
    assert metrics.betting_p(np.zeros(200), np.ones(200), -0.05) < 0.05
    assert metrics.betting_p(np.zeros(200), np.ones(200), -0.005) > 0.05
    assert metrics.betting_p(np.full(100, -0.5), np.ones(100), -0.02) == 1.0


def test_betting_keeps_its_level_at_the_boundary() -> None:
    rng = np.random.default_rng(0)
    draws = rng.choice([-1.0, 0.0, 1.0], p=[0.12, 0.78, 0.10], size=(1000, 300))  # truth -.02
    share = np.mean([metrics.betting_p(row, np.ones(300), -0.02) <= 0.1 for row in draws])
    assert share <= 0.1


def test_pareto_front_by_hand() -> None:
    cost, quality = [1.0, 2.0, 3.0, 3.0, 1.0, math.nan], [0.5, 0.4, 0.9, 0.8, 0.5, 1.0]
    assert metrics.pareto_front(cost, quality).tolist() == [True, False, True, False, True, False]


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=20))
def test_front_has_no_dominated_point(points: list[tuple[int, int]]) -> None:
    front = metrics.pareto_front([c for c, _ in points], [q for _, q in points])
    for (cost, good), kept in zip(points, front, strict=True):
        beaten = any(c <= cost and q >= good and (c, q) != (cost, good) for c, q in points)
        assert kept == (not beaten)


def test_aiq_by_hand() -> None:
    # Hull (1, .2) - (3, .8), level to 4; (2, .3) lies below. Over 1..4: area .5*2 + .8*1 = 1.8, mean .6.
    assert metrics.aiq([1, 2, 3], [0.2, 0.3, 0.8], 1, 4) == pytest.approx(0.6)
    # Nothing is bought below a cost of 1: over 0..4 the same area is spread over 4.
    assert metrics.aiq([1, 2, 3], [0.2, 0.3, 0.8], 0, 4) == pytest.approx(0.45)
    with pytest.raises(ValueError, match="below"):
        metrics.aiq([1], [1], 2, 2)


def test_apgr_and_cpt_by_hand() -> None:
    weak, strong = [0, 0, 1, 1], [1, 1, 1, 1]
    # The two rows that gain come first: PGR 0, .5, 1, 1, 1 at shares 0 .. 1; area .75.
    assert metrics.apgr([4, 3, 2, 1], weak, strong) == pytest.approx(0.75)
    assert metrics.cpt([4, 3, 2, 1], weak, strong, 0.8) == pytest.approx(0.4)
    assert metrics.apgr([1, 2, 3, 4], weak, strong) == pytest.approx(0.25)
    assert metrics.apgr([0, 0, 0, 0], weak, strong) == pytest.approx(0.5)  # ties are split
    with pytest.raises(ValueError, match="same mean"):
        metrics.apgr([1], [1], [1])


def test_a_row_run_at_one_in_four_counts_for_four() -> None:
    """Four rows of weight 1 and one of 4: mean (2 + 4) / 8, and 8 / 4 = 2 clusters as heavy as the heaviest. Residuals
    1/4, 1/4, -3/4, -3/4 and 1 sum squares to 36/16; times 2 / (2 - 1), over 8^2."""
    found = metrics.clustered_mean([1.0, 1.0, 0.0, 0.0, 1.0], weights=[1.0, 1.0, 1.0, 1.0, 4.0], span=1.0)
    assert found.value == pytest.approx(6 / 8)
    assert found.independent == 2
    assert found.se == pytest.approx(math.sqrt(36 / 16 * 2 / 64))
    assert found.size == pytest.approx(1 / 2)


def test_equal_weights_change_nothing() -> None:
    rng = np.random.default_rng(3)
    values, clusters = rng.integers(-1, 2, 50).astype(float), rng.integers(0, 20, 50)
    plain = metrics.clustered_mean(values, clusters, span=1.0)
    weighted = metrics.clustered_mean(values, clusters, weights=np.full(50, 10.0), span=1.0)
    assert (weighted.value, weighted.se) == pytest.approx((plain.value, plain.se))
    assert (weighted.n, weighted.independent) == (plain.n, plain.independent)
    assert weighted.size == pytest.approx(plain.size)


def test_weighted_bounds_hold_where_rows_were_left_out_at_a_known_probability() -> None:
    """Rows that are hard are kept at one in five: the weighted lower bound at 90 % misses in about a tenth of 1,000
    draws, while the mean of what is left says .23 too much."""
    rng, missed, naive = np.random.default_rng(0), 0, 0.0
    for _ in range(1000):
        hard = rng.random(300) < 0.5
        value = (rng.random(300) < np.where(hard, 0.2, 0.9)).astype(float)
        chance = np.where(hard, 0.2, 1.0)
        value[rng.random(300) >= chance] = np.nan
        missed += metrics.clustered_mean(value, weights=1 / chance).low(0.9) > 0.55
        naive += float(np.nanmean(value)) - 0.55
    assert missed <= 122  # 99 % of Binomial(1000, .1) lie at or below
    assert naive / 1000 == pytest.approx(0.23, abs=0.01)


@pytest.mark.parametrize(("n", "clusters", "low", "high", "text"), [
    (6, 6, -1.1, 1.1, "too few to say (6 rows)"), (1, 1, None, None, "too few to say (1 row)"),
    (1200, 19, -0.1, 0.1, "too few to say (1,200 rows in 19 groups)"), (1200, 20, -0.1, 0.1, None),
    (25, 25, -1.0, 1.0, None), (25, 25, -1.1, 1.0, "too few to say (25 rows)"),
    (None, None, -1.3, 0.9, "too few to say"), (None, None, None, None, None), (30, None, -0.2, 0.2, None),
])  # fmt: skip
def test_an_interval_wider_than_its_range_or_of_few_clusters_says_nothing(
    n: int | None, clusters: int | None, low: float | None, high: float | None, text: str | None
) -> None:
    assert metrics.too_few(n, clusters, low, high) == text
