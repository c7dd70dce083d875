"""Small functions of the metrics, of replay and of what gates say, by hand: changes that `make mutants` made here went
unnoticed."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import special, stats

from router_lab.certificate import Certificate, Figure, Mixed, PointShown, RandomMix, Reference, Rule, advice
from router_lab.certificate.advice import lost_to_mix, shown_to_lose, who_mixes
from router_lab.config import Gate
from router_lab.gates.arms import arm
from router_lab.gates.judge import (
    Case,
    _beside,
    _bounds,
    _certified,
    _judge_fact,
    _number,
    _reason,
    _signed,
    _unknown,
    describe,
    judge_gate,
    run_gates,
)
from router_lab.gates.measure import Reading
from router_lab.gates.result import GateReport, Result
from router_lab.metrics import Estimate, estimate_of_sums, paired_saving, verdict
from router_lab.metrics.bound import Spread, caution_at, growth_needed, reach, skewed
from router_lab.metrics.curves import (
    aiq,
    apgr,
    call_curve,
    column_quantiles,
    cpt,
    non_decreasing_hull,
    weighted_quantile,
)
from router_lab.metrics.estimate import bounded_interval, clustered_mean, clustered_value, effective_size
from router_lab.metrics.paired import Recorded, column_means, heaviest
from router_lab.metrics.steady import normal_quantile, t_below, t_quantiles
from router_lab.metrics.twophase import KNOWN, SHARES, best_share, run_throughout, solved, suites_of
from router_lab.metrics.verdict import (
    _at_most,
    certifiable_margin,
    first_groups,
    first_samples,
    samples_needed,
    too_few,
    uneven,
)
from router_lab.replay import escalated, number
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate
from tests.unit.test_gates import always, world

# Advice


def shown(**more: Any) -> Certificate:
    known: dict[str, Any] = {"verdict": "pass", "reference": Reference(model="dear", effort=None)}
    return Certificate(**(known | more))


def over(value: float, low: float, high: float) -> Figure:
    return Figure(value=value, low=low, high=high)


MIX = RandomMix(model="cheap", probability=0.4, quality_difference=None, savings=None)


def test_an_old_certificate_without_a_mix_routes() -> None:
    assert advice(shown()).text == "Route." and advice(shown(action="do not route")).action == "do not route"
    assert advice(shown(mix=0.0)).text == "Do not route: keep the reference, dear."
    assert advice(shown(mix=0.5, action="do not route")).action == "route"
    assert advice(shown(verdict="fail")).text == "Do not deploy this policy: keep the reference, dear."
    assert (
        advice(shown(verdict="inconclusive", reference=None)).text == "Do not route yet: keep the reference."
    )


def test_what_saves_and_loses_backfires_by_name_and_interval() -> None:
    def failed(gain: Figure, saved: float) -> str:
        found = shown(verdict="fail", quality_difference=gain, savings=over(saved, 0.1, 0.6))
        return (
            advice(found)
            .text.removeprefix("Do not deploy this policy: ")
            .removesuffix("keep the reference, dear.")
        )

    assert failed(over(-0.112, -0.166, -0.059), 0.478) == (
        "it backfires, for it saves 47.8 % and changes quality by -11.2 points [-16.6, -5.9]; "
    )
    assert failed(over(-0.112, -0.166, 0.0), 0.478) == failed(over(-0.112, -0.166, -0.059), -0.1) == ""


def test_a_mix_that_saved_more_is_advised() -> None:
    found = advice(shown(mix=1.0, random_mix=MIX, over_random_mix=over(-0.1, -0.2, 0.01)))
    assert found.action == "random mix"
    assert found.text == (
        "Do not route: send 40 % of the requests to cheap, at random, and the others to dear. That saved 10.0 % more "
        "of the reference's cost, on the same rows."
    )
    nobody = advice(shown(mix=1.0, over_random_mix=over(-0.1, -0.2, -0.01)))
    assert nobody.action == "do not route" and "is shown to save 10.0 % more" in nobody.text


def test_what_is_lost_to_the_mix_is_more_than_rounding_and_no_budget() -> None:
    assert lost_to_mix(shown(over_random_mix=over(-1e-10, -0.1, 0.1))) is None
    assert lost_to_mix(shown(over_random_mix=over(-2e-9, -0.1, 0.1))) is not None
    rule = Rule(kind="budget", level=0.1)
    assert lost_to_mix(shown(rule=rule, over_random_mix=over(-0.1, -0.2, -0.01))) is None
    assert shown_to_lose(shown(over_random_mix=over(-0.1, -0.2, -0.01)))
    assert not shown_to_lose(shown(over_random_mix=over(-0.1, -0.2, 0.0)))
    assert not shown_to_lose(shown(over_random_mix=over(0.1, -0.2, -0.01)))


def test_a_policy_that_is_the_mix_says_so() -> None:
    same = over(0.0, -1e-9, 1e-9)
    assert "is the random mix itself" in advice(shown(mix=1.0, random_mix=MIX, over_random_mix=same)).text
    for other in (over(0.0, -2e-9, 0.0), over(0.0, 0.0, 2e-9), Figure(value=0.0)):
        assert advice(shown(mix=1.0, random_mix=MIX, over_random_mix=other)).text == "Route."
    none = replace(MIX, probability=0.0)
    assert advice(shown(mix=1.0, random_mix=none, over_random_mix=same)).text == "Route."


@pytest.mark.parametrize(("tradeoff", "who"), [(1.0, "one candidate"), (None, "a few candidates")])
def test_a_policy_that_reads_nothing_says_so(tradeoff: float | None, who: str) -> None:
    point = PointShown(kind="margin", level=0.1, confidence=0.9, predictor="fixed", tradeoff=tradeoff, guard=None,
                       mix=0.5, shown=True)  # fmt: skip
    assert advice(shown(mix=0.5, points={"default": point})).text.endswith(f"at random, to {who}.")


def test_who_mixes_and_with_whom() -> None:
    others = (Mixed(model="fair", effort="low", probability=0.1),)
    assert who_mixes(replace(MIX, others=others)) == "cheap at 0.40, fair @ low at 0.10"
    text = advice(
        shown(mix=1.0, random_mix=replace(MIX, others=others), over_random_mix=over(-0.1, -0.2, 0.1))
    ).text
    assert "send 40 % of the requests to cheap and 10 % to " in text
    alone = advice(
        shown(mix=1.0, random_mix=replace(MIX, probability=1.0), over_random_mix=over(-0.1, -0.2, 0.1))
    )
    assert "send all requests to cheap. " in alone.text


# Estimates and bounds


def test_an_estimate_of_sums_by_hand() -> None:
    """Sums 1 0 0 1 of sizes 1: mean 1/2, residuals ±1/8; one more loss would be sqrt(4 / 64) = 1/4 of the span."""
    found = estimate_of_sums(np.array([1.0, 0, 0, 1]), np.ones(4), span=0.5)
    assert (found.value, found.se, found.n, found.clusters, found.alike) == (
        0.5,
        pytest.approx(math.sqrt(1 / 12)),
        4,
        4,
        4,
    )
    assert (found.size, found.lost) == (0.125, 0.0)
    lost = estimate_of_sums(np.array([-1.0, 0, 0, 0]), np.ones(4))
    # residuals -3/16, 1/16 three times: the cubes sum to (-27 + 3) / 4096
    assert lost.lost == pytest.approx(24 / 4096)
    uneven_ = estimate_of_sums(np.zeros(3), np.array([2.0, 1, 1]), span=1.0)
    assert uneven_.alike == 2  # 16 / 6
    assert uneven_.size == pytest.approx(math.sqrt(10 / 64))


def test_weights_and_drawn_rows_count_as_the_heaviest_of_them_would() -> None:
    shares = np.array([4.0, 1, 1, 1, 1])
    weighted = estimate_of_sums(np.zeros(5), np.ones(5), shares=shares, span=1.0)
    assert weighted.alike == 2 and weighted.size == pytest.approx(0.5)  # 8 / 4, and one over it
    drawn = estimate_of_sums(np.zeros(5), np.ones(5), drawn=np.array([1.0, 1, 1, 0, 0]), span=1.0)
    assert drawn.alike == 3 and drawn.size == pytest.approx(math.sqrt(3 / 27))
    none = estimate_of_sums(np.zeros(2), np.ones(2), drawn=np.zeros(2))
    assert none.se == math.inf


def test_a_saving_measures_each_row_against_the_others() -> None:
    """Costs 1 and 3 of which nothing and all is saved: 3/4; residuals -3/16 / (3/4) and 3/16 / (1/4), over 1 - 10/16."""
    found = paired_saving([1.0, 0.0], [1.0, 3.0])
    left = np.array([-0.25, 0.75])
    assert found.value == 0.75
    assert found.se == pytest.approx(math.sqrt((left**2).sum() / (1 - 10 / 16)))
    assert found.lost == pytest.approx(-2 * (left**3).sum())
    unseen = math.sqrt(28 / 64)
    unseen /= 1 + 3 * unseen
    assert (found.size, found.above) == pytest.approx((unseen * 0.75, unseen * 0.25))


def test_a_weighted_saving_has_room_for_the_heaviest() -> None:
    """Weights 3 1 1 1: the heaviest is half of all, so alike 2; one more of it is 1/2 / (1 + 3/2)."""
    found = paired_saving([0.5] * 4, [1.0] * 4, weights=[3.0, 1, 1, 1])
    assert found.alike == 2 and found.value == 0.5
    # nothing differs, so only the room at the ends is left: all saved .5, and least is nothing
    assert (found.size, found.above) == (0.0, 0.0)
    other = paired_saving([0.0, 1, 1, 1], [1.0] * 4, weights=[3.0, 1, 1, 1])
    assert (other.size, other.above) == pytest.approx((0.2 * 0.5, 0.2 * 0.5))


def test_a_bound_by_hand() -> None:
    """t(.9) with 9 degrees is 1.38303; with nothing seen and room for one the bound is ln 10 of them."""
    plain = Spread(0.04, 0.0, 0.0)
    assert float(reach(plain, 9, 0.9)) == pytest.approx(0.2 * 1.383029)
    many = Spread(0.0, 0.0, 0.001)
    assert float(reach(many, 10_000_000, 0.9)) == pytest.approx(0.001 * math.log(10), rel=1e-5)
    assert float(skewed(Spread(0.04, 0.004, 0.0))) == pytest.approx(0.1)
    assert float(skewed(Spread(0.04, -0.004, 0.0))) == 0.0 and float(skewed(Spread(0.0, 0.0, 0.0))) == 0.0
    assert Spread(8.0, 8.0, 8.0).grown(2) == (4.0, 2.0, 4.0)
    z = stats.norm.ppf(0.95)
    assert z * math.sqrt(caution_at(0.95)) + (z * z + 2) / 3 == pytest.approx(math.log(20))
    assert caution_at(0.8) == caution_at(0.9) == pytest.approx(0.721, abs=1e-3)


def test_growth_until_a_distance_is_shown() -> None:
    """(z(.9) + z(.8)) se = gap: with se 1 and gap .5, 2.1232^2 / .25; nothing shows a distance of 1e-9."""
    assert growth_needed(0.5, Spread(1.0, 0.0, 0.0), 0.9, 0.8) == pytest.approx(18.032, abs=1e-3)
    assert growth_needed(1e-9, Spread(1.0, 0.0, 0.0), 0.9, 0.8) == math.inf


def test_sizes_and_margins_by_hand() -> None:
    mean = Estimate(0.0, 0.1, 100, 100)
    assert samples_needed(mean, 0.1, 0.9) == 351  # 4.508 times as many as there are
    assert samples_needed(mean, 0.0) is None and samples_needed(mean, math.nan) is None
    assert samples_needed(mean, 1.0, 0.9) == 0
    assert certifiable_margin(mean, 0.9) == pytest.approx(0.1 * stats.t.ppf(0.9, 99))
    more = certifiable_margin(mean, 0.9, power=0.8)
    assert more == pytest.approx(0.1 * (stats.t.ppf(0.9, 99) + stats.norm.ppf(0.8)))
    assert certifiable_margin(Estimate(0.0, 0.1, 1, 1)) == math.inf
    assert certifiable_margin(Estimate(0.0, 0.1, 2, 2)) < math.inf


def test_samples_of_a_first_sweep() -> None:
    """.2 * 4.508 / .0025 = 360.6, all of them; a fifth is held out."""
    assert first_samples(0.05, 0.9, holdout=0.0) == 361
    assert first_samples(0.05, 0.9, holdout=0.2) == math.ceil(361 / 0.8)


@pytest.mark.parametrize("holdout", [0.2, 0.5])
def test_groups_of_a_first_sweep(holdout: float) -> None:
    found = first_groups(holdout)
    assert stats.binom.cdf(19, found, holdout) <= 0.05 < stats.binom.cdf(19, found - 1, holdout)
    assert _at_most(3, 10, holdout) == pytest.approx(stats.binom.cdf(3, 10, holdout))


def test_who_is_too_few() -> None:
    assert too_few(6, 6) == "too few to say (6 rows)" and too_few(1, 1) == "too few to say (1 row)"
    assert too_few(90, 19) == "too few to say (90 rows in 19 groups)" and too_few(90, 20) is None
    assert too_few(None, 3) == "too few to say" and too_few(9, None) is None
    assert too_few(90, 90, -1.0, 1.0) is None and too_few(90, 90, -1.0, 1.01) == "too few to say (90 rows)"
    assert too_few(90, 90, -math.inf, 1.0) is None
    assert uneven(Estimate(0, 0, 90, 20, alike=19)) == 19 and uneven(Estimate(0, 0, 90, 19, alike=19)) is None
    assert uneven(Estimate(0, 0, 90, 20, alike=20)) is None


def test_a_bounded_interval_is_wilsons() -> None:
    """Eight of ten with se^2 = .016 is ten answers; t(.975) with 9 degrees is 2.26216."""
    mean = Estimate(0.8, math.sqrt(0.016), 10, 10)
    assert effective_size(mean) == pytest.approx(10)
    t = stats.t.ppf(0.975, 9)
    middle = (0.8 + t * t / 20) / (1 + t * t / 10)
    half = t * math.sqrt(0.016 + t * t / 400) / (1 + t * t / 10)
    assert bounded_interval(mean) == pytest.approx((middle - half, middle + half))
    low, high = bounded_interval(Estimate(1.0, 0.0, 20, 20))
    assert high == 1.0 and low == pytest.approx(1 / (1 + stats.t.ppf(0.975, 19) ** 2 / 20))
    low, high = bounded_interval(Estimate(0.0, 0.0, 20, 20))
    assert low == 0.0 and 0 < high < 1
    assert all(map(math.isnan, bounded_interval(Estimate(0.5, 0.1, 1, 1))))


@given(st.floats(1, 5000), st.floats(-30, 30))
@example(1.0, 7.243034698741646e-09)
def test_t_below_is_half_an_incomplete_beta_function(df: float, t: float) -> None:
    """Abramowitz & Stegun 26.7.1. Not scipy's own distribution, which says .5 of this example: of Cauchy's, .5 +
    atan(t) / pi is 2.3e-9 more."""
    tail = special.betaincc(0.5, df / 2, t * t / (df + t * t)) / 2
    assert float(t_below(df, t)) == pytest.approx(1 - tail if t > 0 else tail, rel=1e-9, abs=1e-14)


@given(st.floats(-30, 30))
def test_one_degree_of_freedom_is_cauchys_distribution(t: float) -> None:
    assert float(t_below(1.0, t)) == pytest.approx(0.5 + math.atan(t) / math.pi, rel=1e-12)


@given(st.floats(1, 5000), st.one_of(st.floats(0.001, 0.499), st.floats(0.501, 0.999)))
@settings(max_examples=40)
def test_t_quantile_is_scipys(df: float, p: float) -> None:
    assert float(t_quantiles(df, p)) == pytest.approx(stats.t.ppf(p, df), rel=1e-9, abs=1e-9)
    assert float(normal_quantile(p)) == pytest.approx(stats.norm.ppf(p), rel=1e-11, abs=1e-14)


# Curves


def test_a_hull_leaves_out_what_mixing_beats() -> None:
    corners, heights = non_decreasing_hull([1.0, 2.0, 3.0, 4.0, 2.5], [0.0, 0.1, 0.8, 0.9, 0.4])
    assert corners.tolist() == [1.0, 3.0, 4.0] and heights.tolist() == [0.0, 0.8, 0.9]
    straight, _ = non_decreasing_hull([1.0, 2.0, 3.0], [0.0, 0.5, 1.0])
    assert straight.tolist() == [1.0, 3.0]


def test_the_mean_height_of_a_hull() -> None:
    """From (1, .5) to (3, .9), level after: over 0 to 4 nothing, then .7 * 2, then .9."""
    assert aiq([1.0, 3.0], [0.5, 0.9], 0.0, 4.0) == pytest.approx((1.4 + 0.9) / 4)
    assert aiq([1.0, 3.0], [0.5, 0.9], 2.0, 3.0) == pytest.approx(0.8)
    assert aiq([1.0, 3.0], [0.5, 0.9], 0.0, 1.0) == 0.0 and aiq([2.0], [0.5], 0.0, 4.0) == pytest.approx(0.25)
    with pytest.raises(ValueError, match="must be below"):
        aiq([1.0], [0.5], 1.0, 1.0)


def test_a_call_curve_is_straight_across_a_tie() -> None:
    """Scores 3 2 2 1 with gains 1 0 1 0: half of the gap by the first, the rest by the next two."""
    shares, recovered = call_curve([2.0, 3.0, 1.0, 2.0], [0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0])
    assert shares.tolist() == [0, 0.25, 0.75, 1] and recovered.tolist() == [0, 0.5, 1, 1]
    given_ = ([2.0, 3.0, 1.0, 2.0], [0.0, 0.0, 1.0, 1.0], [1.0] * 4)
    assert apgr(*given_) == pytest.approx(0.0625 + 0.375 + 0.25)
    assert [cpt(*given_, target) for target in (0.0, 0.25, 0.5, 0.75, 1.0)] == pytest.approx(
        [0, 0.125, 0.25, 0.5, 0.75]
    )


# Pairs


def test_the_heaviest_weight_and_weighted_means() -> None:
    assert heaviest(None, None) is None
    found = heaviest(np.array([1.0, 4.0]), None, np.array([2.0, 1.0]))
    assert found is not None and found.tolist() == [2.0, 4.0]
    values, weight = np.array([[1.0, np.nan], [0.0, np.nan]]), np.array([[3.0, 1.0], [1.0, 1.0]])
    assert column_means(values, weight)[0] == 0.75 and np.isnan(column_means(values, weight)[1])
    assert column_means(values)[0] == 0.5


def test_what_is_served_weighed_and_moved_by_hand() -> None:
    """Shares .25 / .75 and all to the reference; the first row needs an outcome of weight 4, the second of 2."""
    known = Recorded(
        np.array([[0.0, 1.0], [0.5, 1.0]]), np.array([[0.01, 0.1], [np.nan, 0.1]]), 1,
        weight=np.array([[4.0, 1.0], [8.0, 2.0]]), group=np.arange(2), figures={"latency_s": np.array([[1.0, 5.0]] * 2)},
    )  # fmt: skip
    mine = known.served(np.array([[0.25, 0.75], [0.0, 1.0]]))
    assert mine.quality.tolist() == [0.75, 1.0] and mine.moved.tolist() == [0.25, 0.0]
    assert mine.cost_usd.tolist() == pytest.approx([0.0775, 0.1])
    assert mine.weight is not None and mine.weight.tolist() == [4.0, 2.0]
    assert mine.figures["latency_s"].tolist() == [4.0, 5.0]
    assert known.always(0).moved.tolist() == [1.0, 1.0]
    half = known.chance({0: 0.5})
    assert half.quality.tolist() == [0.5, 0.75] and np.isnan(half.cost_usd[1])
    assert [part.tolist() for part in known.oracle()] == [[1.0, 1.0], [0.1, 0.1]]
    assert known.take(np.array([1])).figures["latency_s"].tolist() == [[1.0, 5.0]]


def test_what_is_missing_counts_as_lost_by_its_share() -> None:
    known = Recorded(
        np.array([[1.0, np.nan], [0.8, 0.5]]), np.ones((2, 2)), 1, missing=np.array([[0.25, 1.0], [0.0, 0.5]]),
        group=np.arange(2),
    )  # fmt: skip
    assert known.least.tolist() == [[0.75, 1.0], [0.8, 0.75]]
    assert known.gain(np.zeros(2, np.int64)) == pytest.approx(np.array([-0.25, 0.05]))


def test_a_way_beside_another_on_rows_that_both_know() -> None:
    known = Recorded(
        np.array([[0.0, 1.0], [np.nan, 1.0]]), np.array([[0.01, 0.1]] * 2), 1, group=np.arange(2)
    )
    cheap, dear = known.always(0), known.always(1)
    assert dear.within(cheap).scored.tolist() == [True, False]
    assert cheap.against(dear, np.ones(2)).gain().value == -1.0
    assert cheap.over(dear).value == pytest.approx(0.9) and dear.over(cheap).value == pytest.approx(-0.9)
    assert dear.gain().size == 0.0 and cheap.gain().size == 1.0


# Two phases


def test_what_two_phases_look_at() -> None:
    assert KNOWN == 0.95 and SHARES == (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
    values = np.zeros((20, 2))
    values[:2, 1] = np.nan
    assert run_throughout(values, None) == [0]
    assert suites_of(np.array([3, 1, 5])).tolist() == [[1, 0], [0, 0], [0, 1]]
    matrix, right = np.array([[4.0, 1, 0], [1, 3, 1], [0, 1, 2]]), np.array([1.0, 2, 3])
    assert solved(matrix, right) == pytest.approx(np.linalg.solve(matrix, right))


def test_the_share_that_shows_the_same_for_the_fewest_dollars() -> None:
    """All is explained, so the least share would do, but for the least that a regression is planned on; where
    the others cost nearly all, nothing is spared."""
    found = Estimate(0.0, 0.02, 1000, 1000)
    best = best_share(found, 0.01, 0.9, 1.0, 0.01, 1.0)
    assert best is not None and best.share == 0.05
    needed = samples_needed(found, 0.01, 0.9)
    assert needed is not None and best.samples == needed and best.of_reference == math.ceil(0.05 * needed)
    assert best.dollars == pytest.approx(needed * 0.06) and best.whole == pytest.approx(needed * 1.01)
    assert best_share(found, 0.01, 0.9, 1.0, 20.0, 1.0) is None  # spares .95 of 21
    few = best_share(Estimate(0.0, 0.02, 400, 400), 0.03, 0.9, 1.0, 0.01, 1.0)
    assert few is not None and (few.samples, few.share) == (402, 0.15)  # a tenth of 802 is below 100
    assert best_share(found, 0.01, 0.9, 0.0, 0.01, 1.0) is None
    assert best_share(found, 0.01, 0.9, 0.5, 0.01, 0.0) is None
    # Variance .5 + .5 / .1 = 5.5 as large, at .11 a sample.
    half = best_share(found, 0.01, 0.9, 0.5, 0.01, 1.0)
    assert (
        half is not None and half.share == 0.1 and half.samples == pytest.approx(18_032 * 5.5 - 1000, abs=6)
    )
    assert half.of_reference == math.ceil(half.samples / 10) and half.dollars == pytest.approx(
        half.samples * 0.11
    )


# Replay


def test_a_failed_check_asks_the_reference_again() -> None:
    rows = [
        ("1", "cheap", 0.0, 0.01, 1.0, False), ("1", "dear", 1.0, 0.1, 4.0, None),
        ("2", "cheap", 1.0, 0.01, 1.0, True), ("2", "dear", 0.0, 0.1, 4.0, False),
        ("3", "cheap", 1.0, 0.01, 1.0, False), ("4", "cheap", 0.5, 0.01, 1.0, None),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["sample_id", "model", "quality", "cost_usd", "latency_s", "check"])
    frame = frame.assign(suite="a", epoch=1, effort=None)
    found = escalated(frame, Candidate("dear"))
    assert found["quality"].tolist()[:4] == [1.0, 1.0, 1.0, 0.0] and found["quality"].tolist()[5] == 0.5
    assert found["cost_usd"].tolist()[:4] == pytest.approx([0.11, 0.1, 0.01, 0.1])
    assert found["latency_s"].tolist()[:4] == pytest.approx([5.0, 4.0, 1.0, 4.0])
    assert found.loc[4, ["quality", "cost_usd"]].isna().all()
    assert frame["quality"].tolist()[0] == 0.0


def test_what_is_no_number_is_null() -> None:
    assert number(math.nan) is None and number(math.inf) is None and number(0.5) == 0.5 and number("x") == "x"


# What gates say


def gate(**more: Any) -> Gate:
    return Gate.model_validate({"metric": "quality"} | more)


def test_gates_in_words() -> None:
    assert describe(gate(against="reference", margin=0.03), -0.03, 1) == "quality ≥ reference − 3.0 points"
    assert describe(gate(against="champion", margin=0.0125), -0.0125, 1) == "quality ≥ champion − 1.25 points"
    assert (
        describe(gate(metric="savings", against="champion", margin=0.1), -0.1, 1)
        == "cost ≤ champion + 10.0 %"
    )
    assert describe(gate(metric="cost_p95_usd", max=0.02), 0.02, -1) == "cost_p95_usd ≤ 0.02"
    assert describe(gate(against="reference", min=-0.5), -0.5, 1) == "quality against reference ≥ −0.5"
    assert _bounds(gate(min=0.1, max=0.9, margin=0.2, against="reference")) == [
        (0.1, 1),
        (0.9, -1),
        (-0.2, 1),
    ]


def test_a_bound_is_printed_on_its_side_of_the_limit() -> None:
    assert _beside(0.70004, 0.7, _number, 4, 1) == "0.70004" and _beside(0.8, 0.7, _number, 4, 1) == "0.8"
    assert _beside(-0.03, -0.03, _signed, 1, 100) == "−3.0"
    assert (
        _beside(-0.0301, -0.03, _signed, 1, 100) == "−3.01"
        and _beside(-0.0299, -0.03, _signed, 1, 100) == "−2.99"
    )
    assert (_signed(0.0001), _signed(-0.0001), _signed(0.05), _signed(-0.05)) == (
        "0.0",
        "0.0",
        "+5.0",
        "−5.0",
    )


@pytest.mark.parametrize(
    ("asked", "more", "infra", "suite", "holds"),
    [({}, {}, 0.0, None, True), ({}, {}, 0.01, None, True), ({}, {}, 0.011, None, False), ({}, {}, 0.0, "a", False),
     ({"margin": 0.02}, {}, 0.0, None, False), ({"margin": 0.04}, {}, 0.0, None, True),
     ({"confidence": 0.95}, {}, 0.0, None, False), ({"confidence": 0.8}, {}, 0.0, None, True),
     ({"against": "champion"}, {}, 0.0, None, False), ({"metric": "savings"}, {}, 0.0, None, False),
     ({}, {"verdict": "inconclusive"}, 0.0, None, False), ({}, {"margin": None}, 0.0, None, False),
     ({}, {"confidence": None}, 0.0, None, False), ({"margin": None, "min": 0.0}, {}, 0.0, None, False)],
)  # fmt: skip
def test_a_certificate_answers_for_what_it_has_shown(
    asked: dict[str, Any], more: dict[str, Any], infra: float, suite: str | None, holds: bool
) -> None:
    case = SimpleNamespace(
        shown=shown(**({"margin": 0.03, "confidence": 0.9} | more)), challenger=SimpleNamespace(infra=infra)
    )
    told = gate(**({"against": "reference", "margin": 0.03} | asked))
    assert _certified(told, cast(Any, case), suite) is holds


@pytest.mark.parametrize(
    ("asked", "verdict", "value"),
    [({"metric": "expires_in_days", "min": 10}, "pass", 10.0), ({"metric": "expires_in_days", "min": 11}, "fail", 10.0),
     ({"metric": "price_drift", "max": 0.1}, "inconclusive", math.nan), ({"metric": "certificate", "min": 1}, "pass", 1.0)],
)  # fmt: skip
def test_facts_by_hand(asked: dict[str, Any], verdict: str, value: float) -> None:
    policy = SimpleNamespace(spec=SimpleNamespace(expires="2026-12-02", profiles=()))
    case = SimpleNamespace(
        shown=shown(), challenger=SimpleNamespace(policy=policy), today=dt.date(2026, 11, 22), prices={}
    )
    ((bound, sign),) = _bounds(gate(**asked))
    found = _judge_fact(gate(**asked), cast(Any, case), "x", bound, sign)
    assert found.verdict == verdict and found.value == pytest.approx(value, nan_ok=True)
    assert found.rows == (
        "certificate" if asked["metric"] == "certificate" else None if verdict != "inconclusive" else "fresh"
    )


def test_a_report_is_as_bad_as_its_worst() -> None:
    def report(*words: str) -> GateReport:
        results = tuple(
            Result("q", None, word, 0.5, 0.4, 0.3, math.nan, 0.9, 40, 40, "because") for word in words
        )
        return GateReport("p", None, None, results, 40, None)

    each = (("pass",), ("pass", "fail", "inconclusive"), ("pass", "inconclusive"), ())
    assert [report(*words).exit_code for words in each] == [0, 3, 4, 4]
    row = report("pass").to_json()["results"][0]
    assert row["high"] is None and row["low"] == 0.3 and row["rows"] == "fresh"


# What is told of a reading


def told(value: float, se: float, floor: float, form: Any, sign: int, shown_: float | None = None) -> str:
    judged = verdict(Estimate(value, se, 100, 50), floor, 0.9)
    return _reason(
        judged, Reading(Estimate(value, se, 100, 50), floor, value if shown_ is None else shown_, form), sign
    )


def test_readings_in_words() -> None:
    """t(.9) with 49 degrees is 1.29907, so bounds lie .0130 away."""
    data = "100 fresh rows in 50 groups"
    assert told(0.8, 0.01, 0.7, "share", 1) == f"0.8 (at 90 %, one-sided: from 0.787 to 0.813), {data}"
    assert told(0.995, 0.01, 0.7, "share", 1).endswith(f"to 1), {data}")
    assert told(0.005, 0.01, -0.7, "share", 1).startswith("0.005 (at 90 %, one-sided: from 0 to ")
    assert told(1.5, 0.01, 0.7, "number", 1) == f"1.5 (at 90 %, one-sided: from 1.487 to 1.513), {data}"
    ceiling = told(-0.8, 0.01, -0.9, "number", -1, 0.8)
    assert ceiling == f"0.8 (at 90 %, one-sided: from 0.787 to 0.813), {data}"
    assert (
        told(-0.02, 0.01, -0.05, "difference", 1)
        == f"−2.0 points (at 90 %, one-sided: from −3.3 to −0.7), {data}"
    )
    within = told(0.97, 0.01, 0.95, "percentile", -1, 3.0)
    assert within == f"P95 3; 95.7 to 98.3 % of requests are within the bound, {data}"
    assert (
        told(0.995, 0.01, 0.95, "percentile", -1, 3.0)
        == f"P95 3; 98.2 to 100.0 % of requests are within the bound, {data}"
    )
    beyond = told(-0.97, 0.01, -0.95, "percentile", 1, 3.0)
    assert beyond == f"P95 3; 95.7 to 98.3 % of requests are within the bound, {data}"
    few = verdict(Estimate(0.8, 0.01, 10, 10), 0.7, 0.9)
    assert _reason(few, Reading(Estimate(0.8, 0.01, 10, 10), 0.7, 0.8, "share"), 1) == few.reason


def test_what_is_not_known_stands_on_no_row() -> None:
    found = _unknown("x", "a", gate(min=0.5), 0.5, "why")
    assert (found.n, found.clusters, found.verdict, found.bound, found.reason) == (
        0,
        0,
        "inconclusive",
        0.5,
        "why",
    )
    assert found.where == "a" and replace(found, suite=None).where == "all suites"


def test_a_gate_judges_once_for_each_suite_and_bound() -> None:
    fresh = world(wins=0.1, only="a")
    mine = arm(always(0), fresh)
    case = Case(mine, None, {}, dt.date(2026, 11, 22), None, None)
    each = list(judge_gate(gate(suite="each", min=0.5, max=0.95), case))
    assert [(r.suite, r.bound, r.verdict) for r in each] == [
        ("a", 0.5, "pass"), ("a", 0.95, "pass"),
        ("b", 0.5, "pass"), ("b", 0.95, "pass"),
    ]  # fmt: skip
    assert [round(r.value, 6) for r in each] == [0.9, 0.9, 0.8, 0.8] and {r.n for r in each} == {200}
    (alone,) = judge_gate(gate(suite="b", against="reference", margin=0.03), case)
    assert (alone.value, alone.suite, alone.n) == (0.0, "b", 200)
    (none,) = judge_gate(gate(against="champion", margin=0.03), case)
    assert none.verdict == "inconclusive" and "no champion was given" in none.reason
    beside = replace(case, champion=arm(always(1), fresh))
    (against,) = judge_gate(gate(against="champion", margin=0.03), beside)
    assert against.value == pytest.approx(0.05) and against.verdict == "pass"
    (saved,) = judge_gate(gate(metric="savings", against="champion", margin=0.03), beside)
    assert saved.value == pytest.approx(0.9)
    with pytest.raises(InputError, match="no fresh outcomes; there are: a, b"):
        list(judge_gate(gate(suite="c", min=0.5), case))
    for wrong in (
        {"metric": "speed", "min": 1.0},
        {"metric": "latency_s", "against": "reference", "margin": 0.1},
    ):
        with pytest.raises(InputError, match="gate: metric"):
            list(judge_gate(gate(**wrong), case))


def test_labels_shift_what_a_gate_judges() -> None:
    """Of cheap two labels .2 below the judge: .8 is .6, for a floor as for a ceiling; beside dear it loses .2 more."""
    audit = pd.DataFrame({"model": ["cheap"] * 2 + ["dear"] * 2, "effort": ["low"] * 2 + [""] * 2,
                          "error": [-0.2, -0.2, 0.0, 0.0]})  # fmt: skip
    served = arm(always(0), world())
    everywhere = pd.concat(audit.assign(suite=suite) for suite in sorted(set(served.suite)))
    everywhere["cluster"] = [str(at) for at in range(len(everywhere))]
    case = Case(served, None, {}, dt.date(2026, 11, 22), everywhere, None)
    values = [
        next(judge_gate(gate(**asked), case)).value
        for asked in (
            {"min": 0.5},
            {"max": 0.9},
            {"against": "reference", "margin": 0.03},
            {"metric": "savings", "min": 0.5},
        )
    ]
    assert values == pytest.approx([0.6, 0.6, -0.2, 0.9])


def test_a_report_sums_up_what_is_missing() -> None:
    """Of two that are open the one that needs more is told, with its dollars."""
    results = tuple(
        Result("q", None, "inconclusive", 0.5, 0.4, 0.3, 0.6, 0.9, 40, 40, "because", needed, 2.0 * needed)
        for needed in (100, 300)
    )
    report = GateReport(
        "p", None, None, results, 40, 0.05, clusters=20, certificate=shown(margin=0.03, confidence=0.9, n=50)
    )
    lines = report._summary()
    assert (
        lines[0]
        == "p: inconclusive (0 passed, 0 failed, 2 inconclusive) on 40 fresh rows, which the fit has not used"
    )
    assert lines[1].startswith(
        "The certificate says pass, to lose at most 3.0 points with confidence 0.90: that is about its own 50 rows"
    )
    assert lines[2:] == [
        "Smallest margin that these 40 rows alone could certify: 5.0 points",
        "To settle what is inconclusive: about 300 more samples (about $600.00)",
    ]
    for few in (replace(report, clusters=19), replace(report, smallest_margin=1.0)):
        assert few._summary()[2].endswith("could certify: none, they are too few")
    quiet = replace(report, smallest_margin=None, certificate=shown(verdict="inconclusive"), results=())
    assert len(quiet._summary()) == 1


def test_the_least_margin_is_that_of_the_surest_gate() -> None:
    fresh = world(wins=0.1, losses=0.1)
    gates = [gate(against="reference", margin=0.03, confidence=sure) for sure in (0.9, 0.99, 0.8)]
    gain = arm(always(0), fresh).rows.gain()
    found = run_gates(always(0), fresh, gates)
    assert found.smallest_margin == certifiable_margin(gain, 0.99) > certifiable_margin(gain, 0.9)
    assert run_gates(always(0), fresh, []).smallest_margin == certifiable_margin(gain, 0.9)
    assert run_gates(always(1), fresh, gates).smallest_margin is None


def test_quantiles_of_columns_are_those_of_equal_weights() -> None:
    rng = np.random.default_rng(4)
    values = np.where(rng.random((41, 5)) < 0.2, np.nan, rng.normal(size=(41, 5)))
    values[:, 4] = np.nan
    for share in (0.0, 0.5, 0.95, 1.0):
        found = column_quantiles(values, share)
        each = [weighted_quantile(column, np.ones(41), share) for column in values.T]
        assert np.array_equal(found, each, equal_nan=True)
    assert column_quantiles(np.arange(20.0)[:, None], 0.95).tolist() == [18.0]


def test_a_value_alone_is_that_of_the_mean_to_the_last_bit() -> None:
    rng = np.random.default_rng(5)
    for weights in (None, rng.uniform(1, 3, 57)):
        values = np.where(rng.random(57) < 0.2, np.nan, rng.normal(size=57))
        groups = rng.integers(0, 20, 57)
        assert (
            clustered_value(values, groups, weights=weights)
            == clustered_mean(values, groups, weights=weights).value
        )
    assert np.isnan(clustered_value([np.nan], [0]))
