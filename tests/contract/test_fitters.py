"""What every fitter must hold, whoever wrote it: parametrized over FITTERS, so a new one is tested by being named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from router_lab.config import Recipe
from router_lab.fit import FITTERS, fit_policy
from router_lab.fit.design import Design
from router_lab.fit.fitters.blend import Blend
from router_lab.fit.folds import group_folds
from router_lab.fit.model import crossfit
from router_lab.fit.task import Task
from router_lab.outcomes import OutcomeMatrix
from router_lab.replay import replay
from router_lab.runtime.artifact import encode_policy, load_policy, save_policy
from tests.fit_worlds import EASY, HARD, directions, two_kinds


def recipe(fitter: str) -> Recipe:
    return Recipe.model_validate({"name": "test", "fitter": fitter, "rule": {"margin": 0.05}, "holdout": 0})


def task_of(table: object) -> tuple[Task, OutcomeMatrix]:
    data = OutcomeMatrix.from_frame(table)  # type: ignore[arg-type]
    return Task.of(data, Design.of(data.prompts, data.vectors)), data


@pytest.mark.parametrize("fitter", sorted(FITTERS))
class TestFitter:
    def test_settings_are_in_range_and_repeatable(self, fitter: str) -> None:
        task, data = task_of(two_kinds(100))
        folds = group_folds(data.suite, data.group)
        found, notes = FITTERS[fitter].tuned(task, folds, 0), FITTERS[fitter].tuned(task, folds, 0).notes()
        assert found.notes() == notes == json.loads(json.dumps(notes))
        if isinstance(found, Blend):
            assert min(found.penalty) > 0 and 0 <= min(found.blend) <= max(found.blend) <= found.most

    def test_out_of_fold_predictions_do_not_depend_on_the_fold(self, fitter: str) -> None:
        task, data = task_of(two_kinds(100))
        folds = group_folds(data.suite, data.group)
        settings = FITTERS[fitter].tuned(task, folds, 0)
        before = crossfit(task, folds, settings, 0).found
        changed, _ = task_of(two_kinds(100))
        changed.targets[folds == 1] = 0.0
        after = crossfit(changed, folds, settings, 0).found
        here = folds == 1
        assert list(before) == list(after)
        for name, (quality, cost) in before.items():
            assert (quality[here] == after[name][0][here]).all() and (
                cost[here] == after[name][1][here]
            ).all()
        quality, cost = next(iter(before.values()))
        assert quality.min() >= 0 and quality.max() <= 1 and (cost >= task.bounds[0]).all()

    def test_a_loaded_policy_predicts_within_bounds(self, fitter: str, tmp_path: Path) -> None:
        policy = load_policy(save_policy(fit_policy(recipe(fitter), two_kinds(100)), tmp_path / "p"))
        quality, cost = policy.predict([EASY, HARD, ""], ["mixed", None, "unknown"])
        assert quality.shape == cost.shape == (3, 2)
        assert (quality >= 0).all() and (quality <= 1).all() and (cost > 0).all()
        assert policy.spec.provenance["fitter"] == fitter

    def test_bytes_do_not_depend_on_the_order_of_rows(self, fitter: str) -> None:
        table = two_kinds(60)
        one, two = (
            encode_policy(fit_policy(recipe(fitter), t))
            for t in (table, table.sample(frac=1, random_state=1))
        )
        assert one == two

    @pytest.mark.parametrize("odd", ["null prompts", "vectors alone", "one group", "one candidate"])
    def test_odd_tables(self, fitter: str, odd: str) -> None:
        table = {
            "null prompts": lambda: two_kinds(60, prompts=False),
            "vectors alone": lambda: directions(60, prompts=False),
            "one group": lambda: two_kinds(60).assign(group="g"),
            "one candidate": lambda: two_kinds(60).query("model == 'large'"),
        }[odd]()
        policy = fit_policy(recipe(fitter), table)
        assert np.isfinite(policy.predict(["a", ""])[0]).all()
        replay(policy, table).to_json()
