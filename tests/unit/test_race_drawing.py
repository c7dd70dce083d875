"""Dear candidates on a drawn share: which one, what the others say of the rest, and when it shows a match."""

from itertools import product
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from scipy.stats import t as student

from router_lab.racing.alpha_spending import LEAST, Path, apart, begun, boundaries, information, scores
from router_lab.racing.drawing import completed, first_share, further_share
from router_lab.racing.history import History
from router_lab.racing.nomination import Match
from router_lab.racing.order import in_share, lot
from router_lab.racing.race import Race, RaceRule
from router_lab.racing.suite import Entrant, SuiteRace
from router_lab.runtime.model import Candidate

DEAR, CHEAP = np.array([False, True]), np.array([True, False])


@pytest.mark.parametrize(
    ("cheap", "dear", "share"),
    [
        (1.0, 100.0, 0.1),  # sqrt(1 / 100)
        (9.0, 100.0, 0.3),  # sqrt(9 / 100)
        (15.0, 100.0, 0.3),  # sqrt(15 / 100) is .387: below .4
        (30.0, 100.0, 0.5),  # .548
        (36.0, 100.0, 1.0),  # .6 spares nothing that is worth a regression
        (0.1, 100.0, 0.1),  # never below the control share
        (1.0, np.inf, 1.0),  # a price that nobody knows
        (1.0, 0.0, 1.0),
    ],
)
def test_the_dearer_the_rest_the_less_of_it_runs(cheap: float, dear: float, share: float) -> None:
    assert first_share(np.array([cheap, dear]), DEAR, CHEAP, 0.1) == share


def test_nobody_dear_or_a_large_control_share_draws_nothing() -> None:
    assert first_share(np.array([1.0, 100.0]), np.zeros(2, bool), np.ones(2, bool), 0.1) == 1.0
    assert first_share(np.array([1.0, 100.0]), DEAR, CHEAP, 0.25) == 0.3
    assert first_share(np.array([1.0, 100.0]), DEAR, CHEAP, 0.6) == 1.0


def test_a_share_grows_to_the_whole() -> None:
    assert further_share(0.1) == pytest.approx(0.14) and further_share(0.5) == pytest.approx(0.6)
    assert further_share(0.8) == 1.0 and further_share(1.0) == 1.0


def history_of(means: np.ndarray, drawn: np.ndarray, share: float) -> History:
    """Column 0 ran everything, as all but column 1 did, which ran what was drawn."""
    seen = means.copy()
    seen[~drawn, 1] = np.nan
    shares = np.ones(means.shape[1])
    shares[1] = share
    history = History(means.shape[1])
    history.add(seen, shares)
    return history


@settings(max_examples=20)
@given(
    st.integers(0, 2**32),
    st.integers(2, 5),
    st.sampled_from([0.2, 0.5, 0.9]),
    st.integers(2, 4),
    st.floats(-0.2, 0.2),
)
def test_over_all_draws_the_sum_is_that_of_the_whole_grid_whatever_is_predicted(
    seed: int, n: int, share: float, columns: int, floor: float
) -> None:
    means = np.random.default_rng(seed).random((n, columns))
    expected = 0.0
    for drawn in product([False, True], repeat=n):
        chance = float(np.prod([share if one else 1 - share for one in drawn]))
        history = history_of(means, np.array(drawn), share)
        expected += chance * completed(history.means, history.share, 0, 1, floor).total
    assert expected == pytest.approx((means[:, 0] - means[:, 1] - floor).sum(), abs=1e-9)


def test_outcomes_that_say_much_of_the_dear_ones_leave_less_open() -> None:
    rng = np.random.default_rng(3)
    luck = rng.random(400)
    means = np.column_stack([luck < 0.6, luck < 0.8, luck < 0.7, rng.random(400) < 0.7]).astype(float)
    drawn = rng.random(400) < 0.3
    alike = completed(*both(history_of(means[:, :3], drawn, 0.3)), 0, 1, -0.05)
    alone = completed(*both(history_of(means[:, [0, 1, 3]], drawn, 0.3)), 0, 1, -0.05)
    assert alike.clusters == alone.clusters == 400 and alike.drawn == alone.drawn == int(drawn.sum())

    def spread(found: object) -> float:
        return found.squares / 400 - (found.total / 400) ** 2  # type: ignore[attr-defined]

    paired = (means[drawn, 0] - means[drawn, 1]).var() / 0.3
    assert spread(alike) < spread(alone) < paired


def both(history: History) -> tuple[np.ndarray, np.ndarray]:
    return history.means, history.share


def test_a_cluster_that_was_due_and_lost_is_left_out_and_one_that_waited_as_well() -> None:
    history = History(2)
    history.add(np.array([[1.0, 0.0], [1.0, np.nan], [np.nan, 1.0]]), np.array([1.0, 1.0]))
    history.add(np.array([[1.0, np.nan]]), np.array([1.0, np.nan]))  # column 1 waits
    found = completed(history.means, history.share, 0, 1, 0.0)
    assert found == (1.0, 1.0, 1, 1)
    assert completed(history.means[1:], history.share[1:], 0, 1, 0.0) == (0.0, 0.0, 0, 0)


def test_history_is_widened_for_those_that_caught_up_and_kept_for_the_others() -> None:
    history = History(2)
    history.add(np.array([[1.0, np.nan]]), np.array([1.0, np.nan]))
    history.add(np.array([[0.0, np.nan], [1.0, 0.5]]), np.array([1.0, 0.2]))
    history.widen(np.array([[np.nan, 0.25], [np.nan, np.nan], [np.nan, 0.5]]), np.array([np.nan, 0.4]))
    assert history.share.tolist() == [[1.0, 0.4], [1.0, 0.4], [1.0, 0.4]]
    np.testing.assert_array_equal(history.means, [[1.0, 0.25], [0.0, np.nan], [1.0, 0.5]])


def test_one_look_is_a_single_test_and_a_path_says_what_boundaries_say() -> None:
    assert Path(0.05).then(0.36, 1.0).bound == pytest.approx(0.6 * norm.ppf(0.95))
    times, shares = (0.2, 0.5, 1.0), (0.2, 0.5, 1.0)
    path, bounds = begun(0.08), []
    for time, share in zip(times, shares, strict=True):
        path = path.then(time, share)
        bounds.append(path.bound)
    assert tuple(bounds) == boundaries(times, shares, 0.08)
    assert begun(0.08).then(0.2, 0.2) is begun(0.08).then(0.2, 0.2)


def test_boundaries_of_growing_shares_are_passed_by_chance_no_more_than_allowed() -> None:
    times = [0.1, 0.2, 0.3, 0.36, 0.5, 0.7, 1.0]
    spent = information(np.array([0.5, 0.8, 1.0, 1.0, 1.0, 1.0, 1.0]), np.array(times))
    assert spent[-1] == 1.0 and (np.diff(spent) > 0).all() and spent[2] == pytest.approx(0.6 / 1.3)
    path, bounds = begun(0.1), []
    for time, share in zip(times, spent.tolist(), strict=True):
        path = path.then(time, share)
        bounds.append(path.bound)
    rng = np.random.default_rng(0)
    walks = np.cumsum(rng.normal(size=(200_000, 7)) * np.sqrt(np.diff([0.0, *times])), axis=1)
    passed = float((walks >= bounds).any(axis=1).mean())
    assert abs(passed - 0.1) < 4 * sqrt(0.09 / 200_000)


def test_looks_close_to_the_last_test_nothing_but_the_end_always_does() -> None:
    assert apart(0.5, 0.4) and not apart(0.5, 0.495) and apart(1.0, 0.999) and not apart(1.0, 1.0)


def test_what_was_drawn_is_what_a_score_rests_on() -> None:
    # 100 clusters of gain .3, 25 of them seen: two pseudo-observations stand for 4 clusters each.
    total, squares, count, drawn = (np.array([x]) for x in (30.0, 40.0, 100.0, 25.0))
    scatter = (0.4 - 0.09) * 25 / 24
    z = norm.isf(student.sf(30 / sqrt(scatter * 100 + 2 * 16), 24))
    assert scores(total, squares, count, drawn)[0] == pytest.approx(z)
    assert scores(total, squares, count, count)[0] == scores(total, squares, count)[0]
    assert scores(total, squares, count, np.array([1.0]))[0] == -np.inf


def test_a_match_is_shown_by_a_drawn_share_and_not_before_enough_was_drawn() -> None:
    n = 200
    means = np.column_stack([np.ones(n), np.arange(n) % 2]).astype(float)
    for share, shown in ((0.05, False), (0.2, True)):
        drawn = np.arange(n) % round(1 / share) == 0
        drawn[::2] |= drawn[1::2]  # as many right as wrong
        match = Match(0, 2, 0.08, 0.05, 0, (n,))
        history = history_of(means, drawn, float(drawn.mean()))
        match.judge(history)
        assert match.matched.tolist() == [False, shown] and (drawn.sum() >= LEAST) == shown


def test_lots_are_what_shares_are_drawn_by_and_a_larger_share_only_adds() -> None:
    for name in map(str, range(300)):
        mine = lot(7, "s", name)
        assert 0 <= mine < 1
        for share in (0.1, 0.3, 0.5):
            assert in_share(7, "s", name, share) == (mine < share)


def grid(n: int) -> tuple[np.ndarray, np.ndarray]:
    """A cheap candidate that misses 4 in 100 of what the dear one can, and is as good within 10 points."""
    quality = np.ones((n, 2))
    quality[::10] = 0
    quality[3::25, 0] = 0
    return quality, np.tile([1.0, 90.0], (n, 1))


def run(n: int, wrong: bool = False) -> tuple[SuiteRace, np.ndarray]:
    """The race of that grid to its end; which of the dear one's samples were asked for."""
    quality, dollars = grid(n)
    if wrong:
        quality[2::5, 0] = 0
    looks = list(range(20, n + 1, 20))
    race = Race(RaceRule(0.1), 2, 1, looks)
    lots = [float(one) for one in (np.arange(n) * 0.6180339887498949) % 1]
    entrants = [Entrant(Candidate("cheap")), Entrant(Candidate("dear"))]
    one = SuiteRace("s", entrants, [str(i) for i in range(n)], list(range(1, n + 1)), looks, race, lots)
    asked: set[str] = set()
    while one.shown < n and race.racing.any():
        size = looks[looks.index(one.shown) + 1] if one.shown else looks[0]
        due = [set(one.samples_of(j, size)) for j in range(2)]
        assert due[1] >= asked
        asked = due[1]
        names = one.samples[one.shown : size]
        seen = np.array([[float(name in mine) for mine in due] for name in names])
        rows = slice(one.shown, size)
        one.take(size, np.where(seen, quality[rows], np.nan), np.where(seen, dollars[rows], np.nan))
    while one.catching_up is not None:
        due = [set(one.samples_of(j, n)) for j in range(2)]
        assert due[1] >= asked
        asked = due[1]
        seen = np.array([[float(name in mine) for mine in due] for name in one.samples])
        one.finish(np.where(seen, quality, np.nan), np.where(seen, dollars, np.nan))
    return one, np.array([name in asked for name in one.samples])


def test_a_dear_reference_runs_a_drawn_share_and_the_suite_is_settled_on_the_cheap_one() -> None:
    one, asked = run(400)
    assert one.winner == Candidate("cheap") and asked.mean() < 0.5
    (first, *_) = one.skipped[1]
    assert 0.1 <= first.share < 0.5 and first.start >= 20  # it began at .1, for sqrt(1 / 90) is .105


def test_where_nothing_is_shown_the_drawn_share_grows_to_the_whole_grid() -> None:
    one, asked = run(400, wrong=True)
    assert one.winner is None or one.winner == Candidate("dear")
    assert asked.all() or one.winner is not None
