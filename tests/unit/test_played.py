"""Chains on recorded draws: whose answer is kept and what it costs, by hand, and as `judge` has it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from router_lab.outcomes.trials import Trials
from router_lab.played import Asked, Played, play
from router_lab.runtime.chains import Chain, Judge, Stage, Term


def trials(**changes: object) -> Trials:
    """Four draws of two candidates: a costs 1 (signals .5), b costs 10."""
    made = Trials(
        row=np.arange(4), quality=np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0]]),
        cost_usd=np.tile([1.0, 10.0], (4, 1)), signals_usd=np.tile([0.5, 7.0], (4, 1)), check=np.full((4, 2), np.nan),
        lost=np.zeros((4, 2)), signals={"x": np.array([[0.9, 0.1], [0.2, 0.1], [0.8, 0.1], [np.nan, 0.1]])},
        figures={"latency_s": np.tile([2.0, 3.0], (4, 1)), "style": np.tile([1.0, 5.0], (4, 1))},
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


ASKED = Asked(np.ones(4, np.int64), np.zeros((4, 2)), np.tile([1.0, 10.0], (4, 1)))
HEIGHTS = np.repeat(np.array([[[1.0, 0.0]]]), 2, axis=0)
JUDGE = Judge((1,), ("x",), np.zeros((2, 1)), (Term("signal:x", (0.0, 1.0), HEIGHTS),))
CHAIN: Chain = (Stage(0, JUDGE), Stage(1))


def played(chain: Chain = CHAIN, tradeoff: float = 0.05, **changes: object) -> Played:
    return play(chain, tradeoff, trials(**changes), ASKED)


def test_an_answer_is_kept_where_another_adds_less_than_it_costs() -> None:
    # A gain of 1 − x against .05 × 10 dollars: .1 and .2 are kept, .8 goes on, what is unknown too.
    got = played()
    assert got.last.tolist() == [0, 1, 0, 1]
    assert got.quality.tolist() == [1.0, 1.0, 0.0, 1.0]
    assert got.cost_usd.tolist() == [1.5, 11.5, 1.5, 11.5]
    assert got.signals_usd.tolist() == [0.5] * 4
    assert got.spent.tolist() == [[1, 0], [1, 10], [1, 0], [1, 10]]
    assert got.kept.tolist() == [[True, False], [False, True], [True, False], [False, True]]


def test_at_the_very_tradeoff_the_answer_is_kept() -> None:
    known = {"x": np.full((4, 2), 0.5)}
    assert played(tradeoff=0.05, signals=known).last.tolist() == [0, 0, 0, 0]
    assert played(tradeoff=0.0499, signals=known).last.tolist() == [1, 1, 1, 1]


def test_seconds_add_up_and_other_figures_are_of_the_answer_that_is_kept() -> None:
    got = played()
    assert got.figures["latency_s"].tolist() == [2.0, 5.0, 2.0, 5.0]
    assert got.figures["style"].tolist() == [1.0, 5.0, 1.0, 5.0]


def test_a_failed_check_goes_on_whatever_is_expected() -> None:
    check = np.array([[0.0, np.nan], [1.0, np.nan], [np.nan, np.nan], [np.nan, np.nan]])
    got = played(tradeoff=100.0, check=check)
    assert got.last.tolist() == [1, 0, 0, 1]


def test_a_stage_that_is_not_judged_pays_for_no_signal_and_moves_on_a_failed_check_alone() -> None:
    check = np.array([[0.0, np.nan], [np.nan, np.nan], [np.nan, np.nan], [np.nan, np.nan]])
    got = played((Stage(0), Stage(1)), check=check)
    assert got.last.tolist() == [1, 0, 0, 0]
    assert got.cost_usd.tolist() == [11.0, 1.0, 1.0, 1.0]
    assert not got.signals_usd.any()


def test_a_run_beyond_its_cap_costs_the_cap_fails_and_goes_on() -> None:
    cost = np.array([[1.0, 10.0], [3.0, 10.0], [2.0, 10.0], [9.0, 10.0]])
    alone = played((Stage(0, None, 2.0),), cost_usd=cost)
    assert alone.quality.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert alone.cost_usd.tolist() == [1.0, 2.0, 2.0, 2.0]
    assert alone.stopped.tolist() == [False, True, False, True]
    assert alone.kept.tolist() == [[True, False], [False, False], [True, False], [False, False]]
    both = played((Stage(0, None, 2.0), Stage(1)), cost_usd=cost)
    assert both.cost_usd.tolist() == [1.0, 12.0, 2.0, 12.0]
    assert both.quality.tolist() == [1.0, 1.0, 0.0, 1.0]
    assert not both.stopped.any()


def test_a_judged_run_that_was_stopped_has_no_signal_to_pay_for() -> None:
    got = played((Stage(0, JUDGE, 0.5), Stage(1)), tradeoff=100.0)
    assert got.cost_usd.tolist() == [10.5] * 4
    assert not got.signals_usd.any()


def test_who_lacks_an_outcome_that_was_asked_for_is_lost_there() -> None:
    quality = np.array([[1.0, np.nan], [0.0, np.nan], [np.nan, 1.0], [1.0, 1.0]])
    got = played(quality=quality)
    assert got.lost.tolist() == [0.0, 1.0, 1.0, 0.0]
    lost = np.tile([0.25, 0.5], (4, 1))
    assert played(lost=lost).lost.tolist() == [0.25, 0.5, 0.25, 0.5]


def test_a_stage_may_be_passed_over() -> None:
    heights = np.repeat(np.array([[[0.1, 0.1], [0.9, 0.9]]]), 2, axis=0)
    judge = Judge((1, 2), (), np.zeros((2, 2)), (Term("quality:0", (0.0, 1.0), heights),))
    other = Judge((2,), (), np.full((2, 1), -1.0), (Term("quality:0", (0.0, 1.0), heights[:, :1]),))
    wide = {name: np.pad(part, ((0, 0), (0, 1)), constant_values=1.0) for name, part in vars(trials()).items()
            if isinstance(part, np.ndarray) and part.ndim == 2}  # fmt: skip
    asked = Asked(np.ones(4, np.int64), np.zeros((4, 3)), np.ones((4, 3)))
    got = play(
        (Stage(0, judge), Stage(1, other), Stage(2)), 0.0, replace(trials(), **wide, figures={}), asked
    )
    assert got.asked.tolist() == [[True, False, True]] * 4
    assert got.cost_usd.tolist() == pytest.approx([2.0] * 4)
