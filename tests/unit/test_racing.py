"""Racing: capital, bounds, who leaves and why, the floor, and means after leaving, by hand-worked numbers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.metrics.race_order import on_floor, waves, whole_clusters
from router_lab.metrics.racing import Leave, Race, RaceRule
from router_lab.metrics.sequential import STAKES, asymptotic_low, cluster_means, log_growth, log_mean, raced_mean


def test_capital_is_the_mean_over_stakes_of_what_each_became() -> None:
    growth = log_growth([1.0, -0.5, np.nan], 0.0)
    assert growth == pytest.approx([math.log((1 + s) * (1 - s / 2)) for s in STAKES])
    assert float(log_mean(growth)) == pytest.approx(math.log(np.mean([(1 + s) * (1 - s / 2) for s in STAKES])))
    # Above a floor of .5 a difference of 1 gains (1 - .5) / 1.5 a unit staked, one of -1 loses the whole stake.
    assert log_growth([1.0], 0.5)[0] == pytest.approx(math.log1p(STAKES[0] / 3))
    assert log_growth([-1.0], 0.5)[-1] == pytest.approx(math.log1p(-0.95))


def test_asymptotic_bound_waits_and_then_follows_the_paper() -> None:
    values = np.array([1.0, 3.0] * 50)
    assert asymptotic_low(values[:9], 0.05) == -np.inf
    wide = -2 * math.log(0.1)
    rho2 = (wide + math.log(wide) + 1) / 100
    scaled = 100 * rho2 + 1
    reach = math.sqrt(2 * scaled / (100**2 * rho2) * math.log(1 + math.sqrt(scaled) / 0.1))
    assert float(asymptotic_low(values, 0.05)) == pytest.approx(2.0 - values.std(ddof=1) * reach)


def test_clusters_have_one_vote_each() -> None:
    means = cluster_means(np.array([[0.0, 1.0], [1.0, np.nan], [1.0, 0.0]]), np.array([7, 7, 9]))
    assert means.tolist() == [[0.5, 1.0], [1.0, 0.0]]


def rows(*columns: str) -> np.ndarray:
    return np.array([[int(c) for c in column] for column in columns], float).T


def test_worse_and_dominated_are_told_apart_and_the_reference_stays() -> None:
    quality, order = rows("1" * 40, "1" * 40, "0" * 40), np.arange(40)
    rising, falling = np.tile([1.0, 2.0, 3.0], (40, 1)), np.tile([3.0, 2.0, 1.0], (40, 1))
    assert Race(RaceRule(0.05), 3).look(quality, rising, order) == [Leave(2, "dominated", 0)]
    assert Race(RaceRule(0.05), 3).look(quality, falling, order) == [Leave(2, "worse", 0)]
    left = Race(RaceRule(0.05), 3, reference=1).look(quality, falling, order)
    assert [one for one in left if one.reason != "settled"] == [Leave(0, "dearer", 1), Leave(2, "worse", 1)]
    named = Race(RaceRule(0.05), 3, reference=2)
    assert named.look(quality, np.full((40, 3), np.nan), order) == [] and named.racing.all()


def test_dearer_than_the_reference_leaves() -> None:
    quality = rows("01" * 30, "10" * 30, "10" * 30)
    race = Race(RaceRule(0.05), 3, reference=1)
    assert race.look(quality, np.tile([1.0, 2.0, 3.0], (60, 1)), np.arange(60)) == [Leave(2, "dearer", 1)]
    assert race.racing.tolist() == [True, True, False] and race.winner is None


def test_a_reference_cheaper_than_all_settles_at_once() -> None:
    race = Race(RaceRule(0.05), 2, reference=0)
    left = race.look(rows("10" * 30, "10" * 30), np.tile([1.0, 2.0], (60, 1)), np.arange(60))
    assert left == [Leave(1, "dearer", 0), Leave(0, "settled", 0)] and race.winner == 0


def test_a_cheap_equal_is_nominated_on_the_past_and_settles_the_suite_on_what_comes_then() -> None:
    n = 180
    race, ones, dollars = Race(RaceRule(0.1, 0.9), 2), rows("1" * n, "1" * n), np.tile([1.0, 9.0], (n, 1))
    assert race.look(ones[:30], dollars[:30], np.arange(30)) == []
    left = race.look(ones[30:], dollars[30:], np.arange(30, n))
    # 150 further ties above a floor of -.1 at the largest stake: (1 + .95 × .1 / .9) ** 150 / 8 > 1 / .04, where .04 =
    # .1 × (1 - .05 - .05 - .4) × .8 is what the first nomination may spend.
    assert 150 * math.log1p(0.95 / 9) - math.log(8) > math.log(1 / 0.04)
    assert left == [Leave(0, "settled", 0), Leave(1, "settled", 0)] and race.winner == 0


def test_a_known_end_lets_a_match_be_shown_before_bets_could() -> None:
    # 100 clusters, looks after 20, 60 and 100; the cheap one loses nothing and wins nothing at a margin of .1. Its test
    # starts after 20, so at the second look it has 40 ties: the sum 40 × .1 = 4 over the error sqrt(2) of the two
    # pseudo-observations is a t of 2.83 with 39 degrees of freedom, enough for half of the way; bets have
    # 40 × log(1 + .95 / 9) = 4.0, less than log(8) + log(1 / (.1 × .04)).
    quality, dollars = rows("1" * 100, "1" * 100), np.tile([1.0, 9.0], (100, 1))
    ends = [20, 60, 100]
    outcomes = []
    for looks in (ends, []):
        race, start, left = Race(RaceRule(0.1, 0.9), 2, looks=looks), 0, []
        for end in ends[:2]:
            left += race.look(quality[start:end], dollars[start:end], np.arange(start, end))
            start = end
        outcomes.append(race.winner)
    assert outcomes == [0, None]


def test_who_is_matched_and_dearer_waits_and_is_needed_again_only_if_nothing_is_settled() -> None:
    rng = np.random.default_rng(0)
    n = 120
    # Column 0 is cheap and perfect, 2 is dear and useless against it, 1 only a little cheaper than 0 and unclear.
    quality = np.column_stack([np.ones(n), rng.random(n) < 0.93, rng.random(n) < 0.9]).astype(float)
    race = Race(RaceRule(0.05), 3, looks=[20, 40, 60, 80, 100, 120])
    waited = False
    for start in range(0, n, 20):
        part = slice(start, start + 20)
        race.look(quality[part], np.tile([2.0, 1.0, 9.0], (n, 1))[part], np.arange(n)[part])
        assert not race.waiting[0] and not race.waiting[1]
        waited |= bool(race.waiting[2])
        assert not (race.running & ~race.racing).any()
    assert waited or not race.racing[2]


def test_without_prices_or_outcomes_nobody_leaves_for_being_cheap() -> None:
    race = Race(RaceRule(0.05), 2)
    unknown = np.full((60, 2), np.nan)
    assert race.look(unknown, unknown, np.arange(60)) == []
    assert race.look(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0, np.int64)) == []
    assert race.racing.all()


@given(st.integers(0, 2**32), st.integers(1, 12), st.sampled_from([None, 0, 1]))
def test_looking_in_waves_never_lets_the_lone_best_leave_as_long_as_it_never_loses(
    seed: int, wave: int, reference: int | None
) -> None:
    rng = np.random.default_rng(seed)
    n = 60
    quality = (rng.random((n, 3)) < [1.0, 0.6, 0.3]).astype(float)
    race = Race(RaceRule(0.05), 3, reference)
    gone: list[int] = []
    for start in range(0, n, wave):
        part = slice(start, start + wave)
        left = race.look(quality[part], np.tile([3.0, 2.0, 1.0], (n, 1))[part], np.arange(n)[part])
        gone += [one.column for one in left if one.reason != "settled"]
        assert 0 not in gone or reference == 1
    assert len(gone) == len(set(gone))


def test_clusters_run_whole_where_their_first_row_stands_and_waves_end_with_them() -> None:
    order, ends = whole_clusters(np.array([3, 1, 3, 0, 1]))
    assert order.tolist() == [0, 2, 1, 4, 3] and ends.tolist() == [2, 4, 5]
    assert waves(1, ends) == [2, 4, 5]
    assert waves(10, np.arange(1, 31)) == [10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30]  # a twentieth of 30 is 1.5
    assert waves(10, np.arange(1, 1001))[:5] == [10, 13, 17, 22, 28]
    assert waves(10, np.arange(1, 1001))[-3:] == [915, 965, 1000]
    assert waves(50, np.arange(1, 31)) == [30]


def test_the_floor_is_drawn_beforehand_at_its_share() -> None:
    drawn = [on_floor(0, "s", str(i), 0.1) for i in range(5000)]
    assert drawn == [on_floor(0, "s", str(i), 0.1) for i in range(5000)]
    assert abs(sum(drawn) - 500) < 4 * math.sqrt(450)
    assert not any(on_floor(0, "s", str(i), 0.0) for i in range(50))


def test_the_mean_after_leaving_counts_the_floor_for_the_others() -> None:
    # Two rows before it left, then four of which one (at probability .25) was run: guess .5, stand-ins .5 + .5 / .25.
    values = [1.0, 0.0, np.nan, 1.0, np.nan, np.nan]
    assert raced_mean(values, [1, 1, 0.25, 0.25, 0.25, 0.25], 0.5) == pytest.approx((1 + 0 + 3 * 0.5 + 2.5) / 6)
