"""Draws behind a matrix: which line of the table each one is, and what is known of its answer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from router_lab.outcomes import OutcomeMatrix, validate_outcomes
from router_lab.outcomes.trials import Trials, signals_of, trials_of


def table(rows: list[dict[str, object]]) -> pd.DataFrame:
    return validate_outcomes(pd.DataFrame([{"suite": "s", "cost_usd": 1.0, **row} for row in rows]))


def trials(rows: list[dict[str, object]]) -> tuple[Trials, OutcomeMatrix]:
    frame = table(rows)
    data = OutcomeMatrix.from_frame(frame)
    return trials_of(frame, data), data


def test_a_candidate_with_fewer_epochs_has_its_own_again_in_turn() -> None:
    of_b = [
        {"sample_id": "1", "model": "b", "epoch": e, "quality": q} for e, q in ((1, 0.1), (2, 0.2), (3, 0.3))
    ]
    of_a = [{"sample_id": "1", "model": "a", "epoch": e, "quality": q} for e, q in ((1, 0.7), (2, 0.9))]
    found, data = trials([*of_a, *of_b])
    assert [str(one) for one in data.candidates] == ["a", "b"]
    assert found.quality[:, 0].tolist() == [0.7, 0.9, 0.7]
    assert found.quality[:, 1].tolist() == [0.1, 0.2, 0.3]
    assert found.row.tolist() == [0, 0, 0]


def test_a_candidate_that_did_not_run_a_sample_is_unknown_there() -> None:
    rows = [
        {"sample_id": "1", "model": "a", "quality": 1.0, "signal_x": 0.5, "answer": "yes"},
        {"sample_id": "2", "model": "a", "quality": 0.0},
        {"sample_id": "2", "model": "b", "quality": 1.0, "signal_x": 0.25, "signals_usd": 0.5},
    ]
    found, _ = trials(rows)
    assert np.isnan(found.quality[0, 1]) and np.isnan(found.cost_usd[0, 1])
    assert np.isnan(found.signals["x"]).tolist() == [[False, True], [True, False]]
    assert found.signals_usd[1].tolist() == [0.0, 0.5]
    assert found.signals_usd[0, 1] == 0.0
    assert found.answers is not None and found.answers.tolist() == [["yes", None], [None, None]]


def test_runs_that_the_infrastructure_lost_are_no_draws() -> None:
    rows = [
        {"sample_id": "1", "model": "a", "epoch": 1, "quality": 1.0},
        {"sample_id": "1", "model": "a", "epoch": 2, "quality": None, "status": "infra"},
    ]
    found, _ = trials(rows)
    assert found.quality.tolist() == [[1.0]]
    assert found.lost.tolist() == [[0.5]]


def test_agreement_is_of_what_is_said_and_nothing_agrees_with_nothing() -> None:
    rows = [
        {"sample_id": "1", "model": "a", "quality": 1.0, "answer": "The answer: 42."},
        {"sample_id": "1", "model": "b", "quality": 1.0, "answer": "the ANSWER 42"},
        {"sample_id": "2", "model": "a", "quality": 1.0, "answer": "…"},
        {"sample_id": "2", "model": "b", "quality": 1.0, "answer": None},
    ]
    found, _ = trials(rows)
    assert found.agreement(1, 0)[0] == 1.0
    assert np.isnan(found.agreement(1, 0)[1])
    assert found.agreement(0, None).tolist() == [0.0, 0.0]
    assert found.agreement(0, 1)[1] == 0.0


def test_taking_samples_keeps_their_draws_and_what_was_read() -> None:
    rows = [{"sample_id": str(i), "model": "a", "epoch": e, "quality": i / 10, "answer": "x" * i}
            for i in range(4) for e in (1, 2)]  # fmt: skip
    found, _ = trials(rows)
    kept = np.array([False, True, False, True])
    before = found.read().take(kept)
    assert before.row.tolist() == [0, 0, 1, 1]
    assert before.quality[:, 0].tolist() == [0.1, 0.1, 0.3, 0.3]
    assert before.shape("length").tolist() == found.take(kept).shape("length").tolist()
    assert before.mean(before.quality[:, 0], 2).tolist() == [0.1, 0.3]


def test_dealt_draws_go_with_their_sample() -> None:
    rows = [{"sample_id": str(i), "model": "a", "quality": i / 10} for i in range(3)]
    found, data = trials(rows)
    dealt = np.array([2, 0, 1])
    moved = found.dealt(dealt)
    assert moved.mean(moved.quality[:, 0], 3) == pytest.approx(data.quality[dealt, 0])


def test_signals_are_columns_with_a_value() -> None:
    frame = pd.DataFrame({"signal_b": [1.0], "signal_a": [0.5], "signal_none": [None], "signals_usd": [1.0]})
    assert signals_of(frame) == ("a", "b")
