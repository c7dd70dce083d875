"""What seems to be so in a race: who is put forward, whom the others run for, who waits for scouts; and the gate."""

import numpy as np
import pytest
from scipy.stats import norm

from router_lab.racing.nomination import Nomination
from router_lab.racing.sequential import Tally
from router_lab.racing.standing import Standing, gap, standing


def seems(within: list[float], price: list[float], *, named: bool = False, leader: int = 0) -> Standing:
    c = len(within)
    cheaper = np.array([[price[k] <= price[j] for j in range(c)] for k in range(c)])
    racing = np.array(within) > 0
    return Standing(racing, np.array(price), cheaper, leader, leader, np.array(within), named)


def test_the_cheapest_that_is_relied_on_is_put_forward_and_the_likeliest_of_those_cheaper() -> None:
    assert seems([1.0, 0.9, 0.6, 0.7, 0.3], [9, 5, 3, 2, 1]).nominees() == [1, 3]
    assert seems([1.0, 0.9, 0.4], [9, 5, 3]).nominees() == [1]
    assert seems([1.0, 0.7, 0.4], [9, 5, 3]).nominees() == [0, 1]
    assert seems([1.0, 0.4, 0.4], [9, 5, 3]).nominees() == []  # the dearest alone would spare nobody
    assert seems([1.0, 0.4, 0.4, 0.2], [9, 5, 3, 20]).nominees() == [0]


def test_a_named_reference_is_never_put_forward() -> None:
    assert seems([1.0, 0.7, 0.4], [9, 5, 3], named=True).nominees() == [1]
    assert seems([1.0, 0.4, 0.4], [9, 5, 3], named=True).nominees() == []


def test_somebody_cheaper_joins_as_long_as_nobody_relied_on_is_cheaper_still() -> None:
    assert seems([1.0, 0.9, 0.6, 0.7], [9, 5, 3, 2]).further([1]) == 3
    assert seems([1.0, 0.9, 0.6, 0.7], [9, 5, 3, 2]).further([1, 3]) == 2  # 3 is not relied on
    assert seems([1.0, 0.9, 0.6, 0.8], [9, 5, 3, 2]).further([1, 3]) is None
    assert seems([1.0, 0.4, 0.6, 0.7], [9, 5, 3, 2]).further([1]) is None  # the gate seems shut


def test_the_others_run_for_the_cheapest_nominee_relied_on_else_for_the_likeliest() -> None:
    assert seems([1.0, 0.9, 0.85, 0.7], [9, 5, 3, 2]).target([1, 2, 3]) == 2
    assert seems([1.0, 0.6, 0.7, 0.55], [9, 5, 3, 2]).target([1, 2, 3]) == 2
    assert seems([1.0, 0.4, 0.4, 0.4], [9, 5, 3, 2]).target([1, 2, 3]) is None


def test_the_dear_wait_while_scouts_that_cost_a_twentieth_are_looked_at() -> None:
    price = [50.0, 45.0, 3.0, 1.0]  # 4 of 99 dollars
    assert seems([1.0, 0.6, 0.5, 0.1], price).after_scouts().tolist() == [True, True, False, False]
    assert not seems([1.0, 0.6, 0.4, 0.1], price).after_scouts().any()  # no scout seems able to pass
    # Nobody costs so little.
    assert not seems([1.0, 0.9, 0.9, 0.9], [5.0, 4.0, 3.0, 2.0]).after_scouts().any()
    assert seems([1.0, 0.6, 0.5, 0.1], price, named=True).after_scouts().tolist() == [
        False,
        True,
        False,
        False,
    ]


def test_below_are_those_that_seem_cheaper_and_are_not_shown_to_be_dearer() -> None:
    assert seems([1.0, 0.9, 0.9], [9, 5, 3]).below(1).tolist() == [False, False, True]
    # Shown to cost no more.
    assert seems([1.0, 0.9, 0.9], [5, 5, 5]).below(1).tolist() == [
        False,
        False,
        False,
    ]


def test_how_probable_it_is_to_be_within_the_margin_is_a_normal_probability_with_two_pseudo_observations() -> (
    None
):
    quality = Tally(3)
    means = np.ones((50, 3))
    means[:5, 1] = 0
    quality.add(means)
    everybody = np.ones(3, bool)
    now = standing(
        quality, np.array([9.0, 5.0, 3.0]), np.zeros((3, 3), bool), everybody, everybody, None, 0.05
    )
    assert now.leader == 0 and now.within[0] == 1.0
    assert now.within[1] == pytest.approx(norm.cdf((-0.1 + 0.05) / np.sqrt(0.09 / 50 + 2 / 50**2)))
    assert now.within[2] == pytest.approx(norm.cdf(0.05 / np.sqrt(2 / 50**2)))


def test_a_leader_that_waits_is_compared_with_by_way_of_who_still_runs() -> None:
    quality = Tally(3)
    first = np.ones((20, 3))
    first[:2, 1] = 0  # the anchor loses 2 of 20 to the leader
    first[:10, 2] = 0
    quality.add(first)
    later = np.ones((80, 3))
    later[:, 0] = np.nan  # the leader waits
    quality.add(later)
    mean, error = gap(quality, 0, 1)
    # Column 2 lost 10 of 20 to the leader; but 8 of 100 to the anchor, which lost a tenth to the leader.
    chained = -8 / 100 - 2 / 20
    spread = (8 / 100 - 0.08**2) / 100 + 2 / 100**2 + (0.1 - 0.01) / 20 + 2 / 20**2
    assert mean[2] == pytest.approx(chained) and error[2] == pytest.approx(np.sqrt(spread))
    assert mean[0] == pytest.approx(0.0) and mean[1] == pytest.approx(-0.1)


def test_nobody_counts_before_the_first_of_a_nomination_is_shown() -> None:
    looks, past = (20, 120), Tally(3)
    past.add(np.ones((20, 3)))
    nomination = Nomination([0, 1], 0, (0.05, 0.005), 0.1, 0.9, looks, past)
    wave = np.ones((100, 3))
    wave[::3, 0] = 0  # the first loses a third to both others; the second loses nothing
    nomination.add(wave)
    everybody = np.ones(3, bool)
    assert nomination.matches[1].matched.all() and not nomination.matches[0].matched[1:].any()
    assert nomination.shown(everybody) == [] and not nomination.matched(1)[1:].any()
    open_gate = Nomination([1, 0, 2], 0, (0.05, 0.005), 0.1, 0.9, looks, past)
    open_gate.add(wave)
    assert open_gate.shown(everybody) == [1, 2]
    assert open_gate.matched(0).tolist() == [True, False, False] and open_gate.matched(2).all()


def test_those_who_join_share_the_error_and_the_first_has_all_of_it() -> None:
    past = Tally(4)
    past.add(np.ones((20, 4)))
    nomination = Nomination([3, 2, 1, 0], 0, (0.05, 0.005), 0.1, 0.9, (20, 120), past)
    assert [m._alpha for m in nomination.matches] == pytest.approx(
        [0.05, 0.05 * 0.9, 0.05 * 0.09, 0.05 * 0.009]
    )
    assert sum(m._alpha for m in nomination.matches[1:]) <= 0.05
