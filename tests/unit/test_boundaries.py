"""What happens exactly at a limit, by hand: changes that `make mutants` made here went unnoticed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from router_lab.fit.fitters import neighbours
from router_lab.fit.limits import limits_of
from router_lab.fit.walk import STEPS
from router_lab.metrics import Estimate, verdict
from router_lab.metrics.twophase import paired_spread, run_throughout
from router_lab.metrics.verdict import apart
from router_lab.runtime.model import Candidate


def test_a_hundredth_of_lost_runs_is_still_evidence() -> None:
    sure = Estimate(0.0, 0.001, 1000, 1000)
    assert verdict(sure, -0.1, 0.9, infra=0.01).verdict == "pass"
    assert verdict(sure, -0.1, 0.9, infra=0.0101).verdict == "inconclusive"


def test_who_ran_on_nineteen_of_twenty_ran_throughout() -> None:
    values = np.zeros((20, 3))
    values[0, 1] = values[:2, 2] = np.nan
    assert run_throughout(values, None) == [0, 1]
    weight = np.ones((20, 3))
    weight[5, 0] = 2.0
    assert run_throughout(values, weight) == [1]


def test_in_one_fold_nothing_is_known_of_other_folds() -> None:
    """(1 + 9) / 2: the differences themselves, for no mean of other folds is there to take off."""
    known = np.array([True, True])
    assert paired_spread(np.array([1.0, 3.0]), np.zeros(2), known, np.zeros(2, np.int64)) == 5.0


@pytest.mark.parametrize(("rows", "own"), [(20, True), (19, False)])
def test_twenty_rows_have_a_tail_of_their_own(rows: int, own: bool) -> None:
    """Suite a: 10 tokens each. Suite b: 30 each, and what all suites together have is 30, too: twice that."""
    made = [("a", 10)] * rows + [("b", 30)] * 40
    frame = pd.DataFrame(
        [
            {"suite": s, "model": "m", "effort": None, "status": "ok", "output_tokens": t, "turns": 0}
            for s, t in made
        ]
    )
    everywhere, a, b = (row[0] for row in limits_of(frame, ("a", "b"), (Candidate("m"),)))
    assert (everywhere.max_tokens, b.max_tokens) == (60, 60)
    assert a.max_tokens == (20 if own else 60)
    assert a.turns is None  # none was needed, so none is no limit


def test_a_limit_of_more_digits_is_printed_with_as_many_as_the_value() -> None:
    assert apart(0.5, 0.03, 4) == ("+0.5000", "+0.0300")
    assert apart(0.12345671, 0.12345678, 4) == ("+0.1234567", "+0.1234568")


def test_what_is_tried() -> None:
    assert STEPS[0] == 0.0 and STEPS[1] == pytest.approx(0.02) and STEPS[-1] == 1.0 and len(STEPS) == 51
    assert neighbours.COUNTS == (10, 30, 100, 300) and neighbours.STRENGTHS == (0.1, 0.5, 2.0, 8.0)
