"""Racing: capital, bounds, who leaves and why, and who runs what, by hand-worked numbers."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.racing.nomination import Nomination
from router_lab.racing.order import in_share, waves, whole_clusters
from router_lab.racing.outlook import race_picture
from router_lab.racing.race import Exit, Race, RaceRule, least_clusters
from router_lab.racing.sequential import STAKES, Tally, asymptotic_reach, cluster_means, log_growth, log_mean
from router_lab.racing.suite import Entrant, SuiteRace
from router_lab.runtime.model import Candidate


def test_capital_is_the_mean_over_stakes_of_what_each_became() -> None:
    growth = log_growth([1.0, -0.5, np.nan], 0.0)
    assert growth == pytest.approx([math.log((1 + s) * (1 - s / 2)) for s in STAKES])
    assert float(log_mean(growth)) == pytest.approx(
        math.log(np.mean([(1 + s) * (1 - s / 2) for s in STAKES]))
    )
    # Above a floor of .5 a difference of 1 gains (1 - .5) / 1.5 a unit staked, one of -1 loses the whole stake.
    assert log_growth([1.0], 0.5)[0] == pytest.approx(math.log1p(STAKES[0] / 3))
    assert log_growth([-1.0], 0.5)[-1] == pytest.approx(math.log1p(-0.95))


def low(values: np.ndarray, alpha: float) -> float:
    """The lower bound of a mean that an asymptotic confidence sequence gives, spelled out."""
    return float(values.mean() - values.std(ddof=1) * asymptotic_reach(len(values), alpha))


def test_asymptotic_bound_follows_the_paper() -> None:
    wide = -2 * math.log(0.1)
    rho2 = (wide + math.log(wide) + 1) / 100
    scaled = 100 * rho2 + 1
    reach = math.sqrt(2 * scaled / (100**2 * rho2) * math.log(1 + math.sqrt(scaled) / 0.1))
    assert asymptotic_reach(100, 0.05) == pytest.approx(reach)


def test_clusters_have_one_vote_each() -> None:
    means = cluster_means(np.array([[0.0, 1.0], [1.0, np.nan], [1.0, 0.0]]), np.array([7, 7, 9]))
    assert means.tolist() == [[0.5, 1.0], [1.0, 0.0]]


def test_sums_that_grow_say_what_the_whole_past_says() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((90, 3))
    values[40:, 2] = np.nan
    tally = Tally(3)
    for part in (values[:10], values[10:55], values[55:]):
        tally.add(part)
    gaps = values[:, None, :] - values[:, :, None]
    assert tally.gaps == pytest.approx(np.nansum(gaps, axis=0))
    assert tally.gap_squares == pytest.approx(np.nansum(gaps**2, axis=0))
    assert tally.both.tolist() == [[90, 90, 40], [90, 90, 40], [40, 40, 40]]
    assert tally.mean(0.0) == pytest.approx(np.nanmean(values, axis=0))
    shown = np.array([[low(np.nan_to_num(gaps[:, k, j]), 0.05) >= 0 for j in range(3)] for k in range(3)])
    assert tally.lower(0.05).tolist() == shown.tolist()
    early = Tally(2)
    early.add(np.tile([1.0, 9.0], (9, 1)))
    assert not early.lower(0.05).any()  # nine clusters prove nothing of dollars
    cheap = Tally(2)
    cheap.add(np.tile([1.0, 1.0], (20, 1)))
    assert cheap.lower(0.05).all()  # equal prices: each costs no more than the other


def rows(*columns: str) -> np.ndarray:
    return np.array([[int(c) for c in column] for column in columns], float).T


def test_worse_and_dominated_are_told_apart_and_the_reference_stays() -> None:
    quality, order = rows("1" * 40, "1" * 40, "0" * 40), np.arange(40)
    rising, falling = np.tile([1.0, 2.0, 3.0], (40, 1)), np.tile([3.0, 2.0, 1.0], (40, 1))
    assert Race(RaceRule(0.05), 3).look(quality, rising, order) == [Exit(2, "dominated", 0)]
    assert Race(RaceRule(0.05), 3).look(quality, falling, order) == [Exit(2, "worse", 0)]
    left = Race(RaceRule(0.05), 3, reference=1).look(quality, falling, order)
    assert [one for one in left if one.reason != "settled"] == [Exit(0, "dearer", 1), Exit(2, "worse", 1)]
    named = Race(RaceRule(0.05), 3, reference=2)
    assert named.look(quality, np.full((40, 3), np.nan), order) == [] and named.racing.all()


def test_dearer_than_the_reference_leaves() -> None:
    quality = rows("01" * 30, "10" * 30, "10" * 30)
    race = Race(RaceRule(0.05), 3, reference=1)
    assert race.look(quality, np.tile([1.0, 2.0, 3.0], (60, 1)), np.arange(60)) == [Exit(2, "dearer", 1)]
    assert race.racing.tolist() == [True, True, False] and race.winner is None


def test_a_reference_cheaper_than_all_settles_at_once() -> None:
    race = Race(RaceRule(0.05), 2, reference=0)
    left = race.look(rows("10" * 30, "10" * 30), np.tile([1.0, 2.0], (60, 1)), np.arange(60))
    assert left == [Exit(1, "dearer", 0), Exit(0, "settled", 0)] and race.winner == 0


def test_a_cheap_equal_is_nominated_on_the_past_and_settles_the_suite_on_what_comes_then() -> None:
    n = 180
    race, ones, dollars = Race(RaceRule(0.1, 0.9), 2), rows("1" * n, "1" * n), np.tile([1.0, 9.0], (n, 1))
    assert race.look(ones[:30], dollars[:30], np.arange(30)) == []
    left = race.look(ones[30:], dollars[30:], np.arange(30, n))
    # 150 further ties above a floor of -.1 at the largest stake: (1 + .95 × .1 / .9) ** 150 / 8 > 1 / .0722, where
    # .0722 = .1 × (1 - .02 - .02 - .2) × .95 is what the first nomination may spend.
    assert 150 * math.log1p(0.95 / 9) - math.log(8) > math.log(1 / 0.0722)
    assert left == [Exit(0, "settled", 0), Exit(1, "settled", 0)] and race.winner == 0


def test_a_known_end_lets_a_match_be_shown_before_bets_could() -> None:
    # 100 clusters, looks after 20, 60 and 100; the cheap one loses nothing and wins nothing at a margin of .1. Its test
    # starts after 20, so at the second look it has 40 ties: the sum 40 × .1 = 4 over the error sqrt(2) of the two
    # pseudo-observations is a t of 2.83 with 39 degrees of freedom, enough for half of the way; bets have
    # 40 × log(1 + .95 / 9) = 4.0, less than log(8) + log(1 / (.1 × .0722)) = 7.0.
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


LOOKS = [40, 160, 280, 400, 520]


def waiting_outcomes(price: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Margin .1. Column 0 costs 2 and loses 2 points to column 2; 3 always scores as 0 and is dearer; 1 costs `price`,
    or about as much as 0, and loses 23 of the first 160 samples and none later."""
    n = LOOKS[-1]
    quality = np.ones((n, 4))
    quality[::10] = 0
    quality[1::50, [0]] = quality[1::50, [3]] = 0
    quality[2:160:7, 1] = 0
    own = np.where(np.arange(n) % 2, 0.0, 3.9) if price is None else np.full(n, price)
    return quality, np.column_stack([np.full(n, 2.0), own, np.full(n, 9.0), np.full(n, 8.0)])


def raced(
    quality: np.ndarray, dollars: np.ndarray
) -> tuple[Race, dict[int, list[int]], list[tuple[int, Exit]]]:
    """The race, who waited after each look, and who left when."""
    race, start, waited, left = Race(RaceRule(0.1), 4, looks=LOOKS), 0, {}, []
    for end in LOOKS:
        left += [
            (end, one) for one in race.look(quality[start:end], dollars[start:end], np.arange(start, end))
        ]
        waited[end], start = np.flatnonzero(race.waiting).tolist(), end
        assert not (race.running & ~race.racing).any()
    return race, waited, left


def test_who_is_matched_and_dearer_waits_until_somebody_cheaper_joins() -> None:
    race, waited, left = raced(*waiting_outcomes())
    # After 40 column 1 is 12 points behind, so 0 is nominated, and by 160 it is matched with 2 and 3, which wait. After
    # 280 column 1 is only 8 points behind and joins: 2 and 3 run again until it is matched with them, at 400. Nothing
    # is settled, for 0 and 1 cannot be told apart by price.
    assert waited == {40: [], 160: [2, 3], 280: [], 400: [2, 3], 520: [2, 3]}
    assert left == [] and race.winner is None and race.racing.all()


def test_a_cheaper_one_that_joins_late_settles_the_suite_and_who_waits_leaves_with_it() -> None:
    race, waited, left = raced(*waiting_outcomes(1.0))
    assert waited[160] == [2, 3] and waited[280] == [] and race.winner == 1
    assert left == [(400, Exit(column, "settled", 1)) for column in range(4)]


FOUR = [Entrant(Candidate(name)) for name in ("mid", "odd", "best", "dear")]


def fresh() -> SuiteRace:
    """That race before its first look, every sample a cluster of its own."""
    n, race = LOOKS[-1], Race(RaceRule(0.1), 4, looks=LOOKS)
    control = [i % 10 == 3 for i in range(n)]
    return SuiteRace("s", FOUR, [str(i) for i in range(n)], list(range(1, n + 1)), LOOKS, race, control)


def ended() -> tuple[SuiteRace, np.ndarray, dict[int, int]]:
    """After all looks of that race; its quality, and the samples that column 3 was due on after each wave."""
    quality, dollars = waiting_outcomes()
    suite, due = fresh(), {}
    for end in LOOKS:
        due[end] = len(suite.samples_of(3, end))
        suite.take(end, quality[suite.shown : end].tolist(), dollars[suite.shown : end].tolist())
    return suite, quality, due


def test_who_waits_runs_the_control_share_alone_and_is_released_where_the_grid_decides_without_it() -> None:
    suite, quality, due = ended()
    # From 160 to 280 and from 400 to 520 it is due on 12 of 120 samples.
    assert due == {40: 40, 160: 160, 280: 172, 400: 292, 520: 304}
    assert suite.ranges(3, 520) == [(160, 280), (400, 520)] and suite.ranges(0, 520) == []
    assert suite.catching_up == []  # those who run have skipped nothing, so the race may be asked at once
    # 0 and 1 lose 63 and 75 of 520 samples, 11 against each other one way and 23 the other: whichever is the target
    # passes against the other at a margin of .1. 0 and 1 are cheaper than the leader, so each is tested at .1 / 2 or 3.
    left = suite.finish(quality.tolist())
    assert [(one.column, one.reason) for one in left] == [(2, "not_needed"), (3, "not_needed")]
    assert suite.catching_up is None and len(suite.samples_of(3, 520)) == 304
    assert [(one.candidate, one.after, one.look) for one in suite.eliminations] == [
        (("best", None), 520, 6),
        (("dear", None), 520, 6),
    ]
    # 13 samples a mark: 160 to 280 are the marks 12.3 to 21.5, of which the first is whole by more than half.
    assert race_picture(suite).splitlines() == [
        # 216 each of two that cost 9 and 8, of 520 each of four that cost 2, 1.95, 9 and 8.
        "s: not settled: mid, odd; 432 of 2080 samples saved, about 34% of the dollars",
        "  mid   " + "█" * 40 + "  ran to the end",
        "  odd   " + "█" * 40 + "  ran to the end",
        "  best  " + "█" * 12 + "░" * 10 + "█" * 9 + "░" * 9 + "  not needed after 520",
        "  dear  " + "█" * 12 + "░" * 10 + "█" * 9 + "░" * 9 + "  not needed after 520",
    ]


def test_the_picture_of_a_race_that_goes_on_shows_what_lies_ahead() -> None:
    begun = fresh()
    assert race_picture(begun).splitlines()[1] == "  mid   " + "·" * 40 + "  still in"
    quality, dollars = waiting_outcomes()
    begun.take(40, quality[:40].tolist(), dollars[:40].tolist())
    assert race_picture(begun).splitlines()[1] == "  mid   " + "█" * 3 + "·" * 37 + "  still in"


def test_the_page_on_races_names_every_file(root: Path) -> None:
    page = (root / "docs/racing.md").read_text()
    files = [path.name for path in (root / "router_lab/racing").glob("*.py") if path.name != "__init__.py"]
    assert len(files) > 10 and [name for name in files if f"`{name}`" not in page] == []


def test_how_many_clusters_it_takes_to_settle_anything() -> None:
    # .1 × .76 × .95 = .0722, and among ties -ln .0722 = 2.628 losses may hide: as much must n margins sum up to.
    assert least_clusters(RaceRule(0.03)) == 20 + 88 and least_clusters(RaceRule(0.5)) == 20 + 20


def test_one_candidate_alone_is_no_race_and_runs_everything() -> None:
    race = Race(RaceRule(0.1), 1, looks=[40, 80])
    assert race.look(np.ones((40, 1)), np.ones((40, 1)), np.arange(40)) == [] and race.running.all()
    assert race.look(np.ones((40, 1)), np.ones((40, 1)), np.arange(40, 80)) == [] and race.racing.all()


def test_who_waited_in_vain_runs_what_it_has_missed() -> None:
    suite, _, _ = ended()
    assert suite.finish([[None] * 4] * LOOKS[-1]) == []  # nothing is known, so nobody passes
    assert suite.catching_up == [2, 3] and len(suite.samples_of(3, 520)) == 520
    assert suite.finish([[None] * 4] * LOOKS[-1]) == []
    assert suite.catching_up is None and len(suite.samples_of(3, 520)) == 520 and suite.race.racing.all()


@pytest.mark.parametrize(
    ("known", "lost", "may"),
    [(950, 42, True), (950, 45, False), (1000, 44, False), (1000, 42, False), (1000, 41, True)],
)
def test_a_grid_that_is_known_in_part_does_not_say_who_fails_it(known: int, lost: int, may: bool) -> None:
    # At a margin of .05 and z 1.28: 42 lost of 950 lie .0058 above it, with an error of .0068: short by .003. The other
    # 50 clusters can bring 2.88 sqrt(50 / 1000) errors, .0044; to 45 they cannot bring what they are short by.
    means = np.ones((1000, 2))
    means[:lost, 0] = 0.0
    means[known:, 1] = np.nan
    race = Race(RaceRule(0.05, 0.9), 2, looks=(500, 1000))
    race._quality.add(means)
    assert race._able().tolist() == [may, True]


def test_nobody_is_released_by_a_target_that_does_not_pass_on_the_grid() -> None:
    suite, quality, _ = ended()
    target = suite.finish(quality.tolist())[0].by
    again, quality, _ = ended()
    quality[:, target] = 0
    assert again.finish(quality.tolist()) == [] and again.catching_up == [2, 3]


@given(st.integers(0, 2**32), st.floats(0.0, 0.9), st.sampled_from([20, 40, 100]))
def test_who_has_not_lost_to_the_leader_can_always_pass(seed: int, other: float, start: int) -> None:
    rng = np.random.default_rng(seed)
    looks = (start, start + 30, start + 60, start + 100)
    quality = (rng.random((looks[-1], 3)) < other).astype(float)
    quality[:, 1] = np.maximum(quality[:, 0], quality[:, 1])  # never below the leader
    past = Tally(3)
    past.add(quality[:start])
    nominee = Nomination([2], 0, (0.01, 0.005), 0.05, 0.9, looks, past)
    for before, end in pairwise(looks):
        nominee.add(quality[before:end])
        assert not nominee.cannot_pass[1]


def test_who_would_have_to_win_more_than_is_left_cannot_pass() -> None:
    # Margin .05, 200 clusters, nominated after 100 of which column 1 lost 34 to the leader, and 26 of the 80 after
    # that: it is 60 behind where the whole grid allows less than 10, with 20 to come.
    quality = np.ones((200, 3))
    quality[:180:3, 1] = 0
    past = Tally(3)
    past.add(quality[:100])
    nominee = Nomination([2], 0, (0.01, 0.005), 0.05, 0.9, (100, 180, 200), past)
    nominee.add(quality[100:180])
    assert nominee.cannot_pass.tolist() == [False, True, False]


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
    assert waves(10, np.arange(1, 31)) == [10, 13, 17, 22, 28, 30]
    assert waves(2, np.arange(1, 31))[-4:] == [25, 27, 29, 30]  # 2.5 % of 30 is less than the first wave
    assert waves(10, np.arange(1, 1001))[:5] == [10, 13, 17, 22, 28]
    assert waves(10, np.arange(1, 1001))[-3:] == [959, 984, 1000]
    assert waves(50, np.arange(1, 31)) == [30]
    assert waves(10, np.arange(1, 1601), batch=True) == [100, 200, 400, 800, 1200, 1600]
    assert waves(10, np.arange(1, 61), batch=True) == [10, 20, 35, 50, 60]


def test_the_control_share_is_drawn_beforehand_at_its_share() -> None:
    chosen = [in_share(0, "s", str(i), 0.1) for i in range(5000)]
    assert chosen == [in_share(0, "s", str(i), 0.1) for i in range(5000)]
    assert abs(sum(chosen) - 500) < 4 * math.sqrt(450)
    assert not any(in_share(0, "s", str(i), 0.0) for i in range(50))
