"""A fit whose policy is guarded: what it predicts of left-out rows is what its policy would."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from router_lab.config import Recipe
from router_lab.fit import coverage, fit_policy
from router_lab.fit.design import Design
from router_lab.fit.fitters.blend import Blend
from router_lab.fit.model import Model, Predicted, crossfit
from router_lab.fit.task import Task
from router_lab.outcomes import OutcomeMatrix, validate_outcomes
from router_lab.runtime.errors import InputError
from router_lab.runtime.heads import guarded_many, head

EASY, HARD = "easy sum of small numbers such as two and three", "hard proof"
TAIL = "so please answer this with as few words as possible"
WORDS = len(EASY.split())


def outcomes(count: int = 400) -> pd.DataFrame:
    """Two candidates; the cheap one is right where the prompt begins with EASY. Each ends with the same words."""
    draw = np.random.default_rng(3)
    rows = []
    for number in range(count):
        easy = draw.random() < 0.5
        prompt = f"{EASY if easy else HARD} {draw.integers(90)} {TAIL}"
        for model, right, usd in (("cheap", 0.95 if easy else 0.2, 0.001), ("dear", 0.96, 0.01)):
            rows.append(("s", f"s{number}", prompt, model, float(draw.random() < right), usd))
    return pd.DataFrame(rows, columns=["suite", "sample_id", "prompt", "model", "quality", "cost_usd"])


def recipe(**changes: Any) -> Recipe:
    rule = {"margin": 0.05, "confidence": 0.8}
    return Recipe.model_validate({"name": "guarded", "rule": rule, "holdout": 0.0, **changes})


def test_a_guarded_policy_still_routes_and_words_at_the_end_move_nothing() -> None:
    frame = outcomes()
    plain, guarded = (fit_policy(recipe(suffix_guard=words), frame) for words in (0, WORDS))
    assert (
        guarded.spec.suffix_guard
        == guarded.spec.provenance["recipe"]["suffix_guard"]
        == WORDS
        == len(TAIL.split())
    )
    assert "suffix_guard" not in plain.spec.provenance["recipe"]
    steering = f"{HARD} 7 {TAIL} {EASY}"
    cheap = [policy.shares([f"{EASY} 7 {TAIL}", f"{HARD} 7 {TAIL}", steering], ["s"] * 3)[:, 0].tolist()
             for policy in (plain, guarded)]  # fmt: skip
    assert cheap[0][0] > 0.5 and cheap[0][1] == 0 and cheap[0][2] > 0.5
    assert cheap[1][0] > 0.5 and cheap[1][1:] == [0, 0]


def test_left_out_rows_are_predicted_as_the_policy_would() -> None:
    """Read backwards, a prompt tells by its last words who will do; its head tells nothing, so nobody gains by them."""
    frame = outcomes(60)
    frame["prompt"] = [" ".join(reversed(prompt.split())) for prompt in frame["prompt"]]
    data = OutcomeMatrix.from_frame(validate_outcomes(frame))
    design = Design.of(data.prompts, None, WORDS)
    task, folds = Task.of(data, design), np.arange(len(data)) % 3
    found = crossfit(task, folds, Blend(), 1)
    quality, cost = found.found["blend"]
    plain = crossfit(Task.of(data, Design.of(data.prompts)), folds, Blend(), 1).found["blend"]
    assert design.heads is not None
    heads = Design.of([head(prompt or "", WORDS) for prompt in data.prompts]).size
    assert np.diff(design.heads.found.indptr).tolist() == heads.tolist()
    assert (
        quality[:, 1].tolist() == plain[0][:, 1].tolist() and cost[:, 1].tolist() == plain[1][:, 1].tolist()
    )
    assert (quality[:, 0] <= plain[0][:, 0] + 1e-12).all() and (cost[:, 0] >= plain[1][:, 0] - 1e-12).all()
    assert (quality[:, 0] < plain[0][:, 0] - 1e-6).any()
    assert (design.coverage(folds) <= Design.of(data.prompts).coverage(folds)).all()


def test_heads_are_predicted_fold_by_fold() -> None:
    class Fake:
        def fit(self, task: Any, rows: Any) -> Any:
            at = float(rows[0])
            return SimpleNamespace(
                factor=np.zeros(2), blend=np.ones(2), parts=lambda task, out: (np.zeros((len(out), 2)),) * 2,
                begun=lambda task, out: np.full((len(out), 2), at),
            )  # fmt: skip

    task: Any = SimpleNamespace(targets=np.zeros((4, 2)), design=SimpleNamespace(heads=object()))
    found = crossfit(task, np.array([0, 0, 1, 1]), cast(Any, Fake()), 0)
    assert found.begun is not None and found.begun[:, 0].tolist() == [2, 2, 0, 0]


def learned(frame: pd.DataFrame) -> tuple[Task, Model]:
    data = OutcomeMatrix.from_frame(validate_outcomes(frame))
    task = Task.of(data, Design.of(data.prompts, None, WORDS))
    return task, Blend().fit(task, np.arange(len(data)))


def test_heads_say_as_much_as_prompts_on_the_mean() -> None:
    """Every prompt here has the same last words, which say something; a head, which lacks them, is not shifted by that."""
    task, model = learned(outcomes(60))
    rows = np.arange(60)
    heads = task.design.heads
    assert heads is not None and model.begun_centre is not None
    assert np.abs(model.begun(task, rows).mean(axis=0)).max() < 1e-6
    told = model.text.predict(heads.matrix[rows])
    assert np.abs((told - model.centre[task.suite]).mean(axis=0)).max() > 1e-3
    bias = model.begun_bias()
    assert bias is not None and bias.shape == (2, 4)
    shift = bias - model.compile(task).bias
    assert shift == pytest.approx(model.blend * (model.centre - model.begun_centre))
    assert model.blend.min() > 0 and np.abs(shift).max() > 1e-3


def test_the_slack_of_heads_by_hand() -> None:
    """Of three prompts (the fourth has none) the head says .125 less, .125 more and .25 less for column 0 beside the
    reference, column 1; mean 1/12, squares 1/64, 1/64 and 4/64: deviation sqrt(6/192 − 1/144) = .1559, of which .6 is
    .0935."""
    rates, text, begun = np.full((4, 4), 0.5), np.zeros((4, 4)), np.zeros((4, 4))
    text[:, 0], begun[:, 0] = (0.125, 0.0, 0.25, 0.0), (0.0, 0.125, 0.125, 0.5)
    begun[:, 1] = (0.0, 0.0, 0.125, 0.0)
    bounds, texts = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([True, True, True, False])
    task: Any = SimpleNamespace(half=2, bounds=bounds, texts=texts)
    bare = Predicted(task, rates, text, np.zeros(4), np.ones(4), 1, begun)
    assert bare.slack == 0 and bare.slackened().slack == 0.0935
    (quality, _), (strict, _) = (found._read(rates) for found in (bare.slackened(), bare))
    assert strict[:, 0].tolist() == [0.5, 0.5, 0.5, 0.5]
    assert quality[:, 0] == pytest.approx([0.5935, 0.5, 0.5935, 0.5])
    assert replace(bare, begun=None).slackened().slack == 0
    nothing: Any = SimpleNamespace(half=2, bounds=bounds, texts=np.zeros(4, bool))
    assert replace(bare, task=nothing).slackened().slack == 0


def test_a_policy_holds_what_its_fit_found_of_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two suites, so that suites are held out as well: with the same slack as everywhere."""
    frame, given, apart = outcomes(), list[float](), list[float]()
    frame["suite"] = np.where(frame["sample_id"].str.len() > 3, "s", "t")

    def seen(*parts: Any) -> Any:
        given.append(parts[3])
        apart.append(float(np.abs((parts[0][0] - parts[1][0]).mean(axis=0)).max()))
        return guarded_many(*parts)

    monkeypatch.setattr(coverage, "guarded_many", seen)
    spec = fit_policy(recipe(suffix_guard=WORDS), frame).spec
    assert spec.heads is not None and spec.heads.bias.shape == spec.linear.bias.shape
    assert 0 < spec.heads.slack < 0.5 and given and set(given) == {spec.heads.slack}
    assert np.abs(spec.heads.bias - spec.linear.bias).max() > 1e-3 and max(apart) < 0.03
    assert fit_policy(recipe(), frame).spec.heads is None
    rates = fit_policy(recipe(suffix_guard=WORDS, fitter="rates"), frame).spec
    assert rates.heads is not None and rates.heads.slack == 0
    assert rates.heads.bias.tolist() == rates.linear.bias.tolist()


def test_vectors_of_whole_prompts_are_refused() -> None:
    frame = outcomes(40)
    frame["vector"] = [[0.0, 1.0]] * len(frame)
    with pytest.raises(InputError, match="`suffix_guard: 3` needs predictions that read text alone"):
        fit_policy(recipe(suffix_guard=3), frame)
