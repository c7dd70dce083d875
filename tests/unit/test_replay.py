"""Replay against column means and hand-made shares; batch and single decisions agree."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.outcomes import OutcomeMatrix
from router_lab.replay import replay, score
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate
from tests.fit_worlds import constant, two_kinds

RECIPE = Recipe.model_validate({"name": "test", "rule": {"margin": 0.05, "confidence": 0.9}})


def test_always_one_candidate_is_its_column_mean() -> None:
    table = two_kinds(150)
    policy = fit_policy(RECIPE, table)
    data = OutcomeMatrix.from_frame(table)
    for column in range(2):
        shares = np.zeros((len(data), 2))
        shares[:, column] = 1.0
        result = score(policy, data, shares, in_sample=False)
        assert result.quality == pytest.approx(data.quality[:, column].mean())
        assert result.cost_usd == pytest.approx(data.cost_usd[:, column].mean())
    assert result.savings == pytest.approx(1 - data.cost_usd[:, 1].mean() / data.cost_usd[:, 0].mean())


def test_chance_is_scored_in_expectation() -> None:
    table = two_kinds(100)
    policy = fit_policy(RECIPE, table)
    data = OutcomeMatrix.from_frame(table)
    result = score(policy, data, np.tile([0.25, 0.75], (len(data), 1)), in_sample=False)
    assert result.quality == pytest.approx(
        0.25 * data.quality[:, 0].mean() + 0.75 * data.quality[:, 1].mean()
    )
    assert result.shares == {Candidate("large"): pytest.approx(0.25), Candidate("small"): pytest.approx(0.75)}


def test_replay_agrees_with_what_decide_does() -> None:
    table = two_kinds(300)
    policy = fit_policy(RECIPE, table)
    data = OutcomeMatrix.from_frame(table)
    prompts = [p or "" for p in data.prompts]
    shares = policy.shares(prompts, ["mixed"] * len(prompts))
    for prompt, row in zip(prompts[:60], shares, strict=False):
        drawn = Counter(policy.decide(prompt, suite="mixed", key=str(k)).candidate for k in range(200))
        for column, candidate in enumerate(policy.candidates):
            assert drawn[candidate] / 200 == pytest.approx(row[column], abs=0.15)
            if row[column] in (0.0, 1.0):
                assert drawn[candidate] / 200 == row[column]


def test_missing_outcomes_are_skipped_only_where_they_matter() -> None:
    table = two_kinds(100)
    policy = fit_policy(RECIPE, table)
    data = OutcomeMatrix.from_frame(table)
    data.quality[:10, 1] = np.nan
    shares = np.tile([1.0, 0.0], (len(data), 1))
    assert score(policy, data, shares, in_sample=False).skipped == 0
    shares[:, 1], shares[:, 0] = 1.0, 0.0
    assert score(policy, data, shares, in_sample=False).skipped == 10


def test_used_groups_are_left_out_or_labelled() -> None:
    table = two_kinds(200)
    assert not replay(fit_policy(RECIPE, table), table).in_sample
    everything = fit_policy(RECIPE.model_copy(update={"holdout": 0.0}), table)
    assert replay(everything, table).in_sample
    later = replay(everything, two_kinds(260, seed=5))
    assert not later.in_sample and later.n == 60


def test_oracle_bounds_every_fixed_candidate() -> None:
    table = constant({"a": 0.6, "b": 0.5, "c": 0.7}, {"a": 0.01, "b": 0.02, "c": 0.03})
    result = replay(fit_policy(RECIPE, table), table)
    assert result.oracle["quality"] >= max(row["quality"] for row in result.fixed)
    assert result.to_json()["oracle_upper_bound"]["quality"] == result.oracle["quality"]


def test_unknown_metric_and_foreign_outcomes_are_refused() -> None:
    table = two_kinds(80)
    policy = fit_policy(RECIPE, table)
    with pytest.raises(InputError, match="metric 'speed'"):
        replay(policy, table).interval("speed")
    with pytest.raises(InputError, match="no scored row"):
        replay(policy, constant({"x": 0.5, "y": 0.5}, {"x": 1.0, "y": 1.0}))
