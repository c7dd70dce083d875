"""What each call of a run cost, and what a run that is stopped after some of them has cost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.fit.caps import caps_of_turns
from router_lab.outcomes import OutcomeMatrix, validate_outcomes
from router_lab.outcomes.trials import trials_of
from router_lab.outcomes.turns import spent_by_turn, turns_of, turns_text, without_calls
from router_lab.played import Asked, play
from router_lab.runtime.budget import Budget, BudgetExceeded
from router_lab.runtime.chains import Stage
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate, Prices


def table(*runs: list[float] | None, **columns: object) -> pd.DataFrame:
    """One candidate's runs, by the dollars of their calls; None: two calls of which nothing is known."""
    frame = pd.DataFrame(
        {
            "suite": "s", "sample_id": [str(i) for i in range(len(runs))], "model": "m", "quality": 1.0,
            "cost_usd": [2.0 if run is None else float(sum(run)) for run in runs],
            "turns": [2 if run is None else len(run) for run in runs],
            "turns_usd": [None if run is None else turns_text(run) for run in runs],
        }
    )  # fmt: skip
    return frame.assign(**columns)


def test_a_text_and_its_dollars() -> None:
    assert turns_of(None) is None and turns_of("[]") == () and turns_of("[1, 0.25]") == (1.0, 0.25)
    assert turns_text([1, 0.25]) == "[1.0,0.25]"


@pytest.mark.parametrize(
    "text", ["3", "{}", '["1"]', "[true]", "[-0.1]", "[1e999]", "[NaN]", "[null]", "no list", "[[1]]"]
)
def test_what_is_no_list_of_dollars_is_refused_by_row_and_rule(text: str) -> None:
    with pytest.raises(InputError, match=r"outcomes: row 1: `turns_usd` is .*; it must be a JSON list"):
        validate_outcomes(table([1.0], [1.0, 2.0]).assign(turns_usd=[None, text]))


def test_there_are_as_many_calls_as_turns() -> None:
    with pytest.raises(InputError, match=r"row 0: `turns_usd` has 2 calls, and `turns` says 3"):
        validate_outcomes(table([1.0, 2.0], turns=3))
    assert spent_by_turn(validate_outcomes(table([1.0, 2.0]).drop(columns="turns")))[0] is not None


def test_dollars_after_each_call_and_of_whom_they_are_not_known() -> None:
    frame = validate_outcomes(table([1.0, 2.0, 0.5], None, [4.0]).assign(turns_usd=["[1,2,0.5]", None, None]))
    first, second, third = spent_by_turn(frame)
    assert first is not None and first.tolist() == [1.0, 3.0, 3.5]
    assert second is None
    assert third is not None and third.tolist() == [4.0]  # of one call, its dollars are the run's
    assert without_calls(frame) == {Candidate("m"): (1, 3)}
    assert without_calls(frame.drop(columns=["turns", "turns_usd"])) == {Candidate("m"): (3, 3)}
    assert without_calls(validate_outcomes(table([1.0, 2.0], [3.0]))) == {}
    kept_from = frame.assign(status=["ok", "infra", "ok"], quality=[1.0, None, 1.0])
    assert without_calls(validate_outcomes(kept_from)) == {}


def test_calls_that_do_not_add_up_are_refused_where_they_are_used() -> None:
    frame = validate_outcomes(table([1.0, 2.0], cost_usd=3.1))
    with pytest.raises(
        InputError, match=r"sample '0' of suite 's': `turns_usd` adds up to \$3, and `cost_usd` is \$3.1"
    ):
        spent_by_turn(frame)


def test_a_run_is_stopped_after_its_calls_or_at_its_dollars_whichever_comes_first() -> None:
    frame = validate_outcomes(table([1.0, 2.0, 3.0], [1.0, 2.0], [0.5] * 4, [9.0]))
    data = OutcomeMatrix.from_frame(frame)
    trials = trials_of(frame, data, calls=True)
    asked = Asked(np.ones(4, np.int64), np.ones((4, 1)), np.ones((4, 1)))
    assert trials.turns(0).tolist() == [3, 2, 4, 1]
    got = play((Stage(0, None, None, 2),), 0.0, trials, asked)
    assert (got.stopped.tolist(), got.cost_usd.tolist()) == ([True, False, True, False], [3.0, 3.0, 1.0, 9.0])
    assert got.quality.tolist() == [0.0, 1.0, 0.0, 1.0]
    both = play((Stage(0, None, 2.5, 2),), 0.0, trials, asked)
    assert (both.stopped.tolist(), both.cost_usd.tolist()) == ([True, True, True, True], [2.5, 2.5, 1.0, 2.5])
    far = play((Stage(0, None, None, 7),), 0.0, trials, asked)
    assert not far.stopped.any() and far.cost_usd.tolist() == [6.0, 3.0, 2.0, 9.0]
    some = trials.take(np.array([False, False, True, True]))
    assert play((Stage(0, None, None, 3),), 0.0, some, asked).cost_usd.tolist() == [1.5, 9.0]
    unknown = trials_of(frame, data)
    assert np.isnan(play((Stage(0, None, None, 2),), 0.0, unknown, asked).cost_usd).all()


@given(
    st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=12), min_size=1, max_size=6), st.integers(1, 8)
)
def test_a_budget_stops_the_runs_that_a_replay_stops_at_the_same_dollars(
    runs: list[list[int]], cap: int
) -> None:
    frame = validate_outcomes(table(*([float(usd) for usd in run] for run in runs)))
    trials = trials_of(frame, OutcomeMatrix.from_frame(frame), calls=True)
    count = len(runs)
    got = play(
        (Stage(0, None, None, cap),),
        0.0,
        trials,
        Asked(np.ones(count, np.int64), np.ones((count, 1)), np.ones((count, 1))),
    )
    for place, run in enumerate(runs):
        budget, stopped = Budget(max_turns=cap, prices=Prices(1.0, 1.0)), False
        for usd in run:
            try:
                budget.reserve(10).settle(10, 1, usd=float(usd))
            except BudgetExceeded as error:
                stopped = error.limit == "turns"
                break
        assert (stopped, budget.usd) == (got.stopped[place], got.cost_usd[place])


def test_caps_that_are_tried_stop_some_run() -> None:
    turns = np.array([1, 2, 2, 3, 10, -1])
    assert caps_of_turns(turns, (0.0, 0.5, 0.75, 1.0)) == [1, 2, 3]
    assert (
        caps_of_turns(np.array([1, 1, 1]), (0.5,)) == [] and caps_of_turns(np.array([-1, -1]), (0.5,)) == []
    )
