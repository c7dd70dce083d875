"""What unknown suites are trusted with: found by holding whole suites out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.fit.choose import FIXED, Choice, Option, Piece
from router_lab.fit.coverage import _actions
from router_lab.fit.design import Design
from router_lab.fit.fitters.blend import Blend
from router_lab.fit.model import READS
from router_lab.fit.problem import prepare
from router_lab.fit.task import Task
from router_lab.outcomes import validate_outcomes
from router_lab.runtime.artifact import load_policy, save_policy
from router_lab.runtime.policy import Policy
from tests.fit_worlds import EASY, HARD, two_kinds

RECIPE = Recipe.model_validate({"name": "r", "rule": {"margin": 0.03, "confidence": 0.9}, "holdout": 0})


def several(flipped: tuple[str, ...] = (), n: int = 400) -> pd.DataFrame:
    """Three suites of easy and hard prompts; in a flipped one it is the hard ones that `small` can do."""
    parts = []
    for seed, suite in enumerate(("a", "b", "c")):
        part = two_kinds(n, seed).assign(suite=suite)
        part["group"] = suite + part["group"]
        if suite in flipped:
            easy = part["prompt"].str.startswith(EASY)
            swapped = part["prompt"].str.replace(EASY, "#").str.replace(HARD, EASY).str.replace("#", HARD)
            part["prompt"] = swapped.where(easy | part["prompt"].str.startswith(HARD))
        parts.append(part)
    return validate_outcomes(pd.concat(parts, ignore_index=True))


@pytest.fixture(scope="module")
def alike() -> Policy:
    return fit_policy(RECIPE, several())


@pytest.fixture(scope="module")
def contrary() -> Policy:
    return fit_policy(RECIPE, several(flipped=("b",), n=500))


def test_suites_that_resemble_each_other_lend_their_threshold_to_unknown_ones(alike: Policy) -> None:
    spec, shown = alike.spec, alike.spec.certificate["unknown_suites"]
    assert spec.coverage_unknown == spec.coverage
    assert shown["followed"] == pytest.approx(1.0, abs=0.05)
    assert shown["suites_held_out"] == 3
    assert alike.decide(f"{EASY} red blue green 7").model == "small"
    assert alike.decide(f"{HARD} red blue green 7").model == "large"


def test_where_a_suite_contradicts_the_others_an_unknown_one_stays_on_the_reference(contrary: Policy) -> None:
    spec, shown = contrary.spec, contrary.spec.certificate["unknown_suites"]
    assert spec.coverage_unknown is not None and spec.coverage < spec.coverage_unknown <= 1.01
    assert shown["coverage"] == spec.coverage_unknown
    assert shown["gain"]["low"] >= -0.03
    strange = f"{EASY} with words that were never seen before anywhere"
    decision = contrary.decide(strange)
    assert (decision.model, decision.evidence["coverage_needed"]) == ("large", spec.coverage_unknown)
    assert "needed" in decision.reason or "measured" in decision.reason
    assert contrary.decide(strange, suite="never measured").model == "large"
    assert contrary.decide(f"{EASY} red blue green 7", suite="a").code in ("predicted", "mixed")


def test_one_suite_alone_tells_nothing_about_others() -> None:
    policy = fit_policy(RECIPE, two_kinds())
    assert policy.spec.coverage_unknown is None
    assert "unknown_suites" not in policy.spec.certificate


def test_shares_and_decisions_agree_on_unknown_suites(contrary: Policy) -> None:
    prompts = [
        f"{EASY} {w} {i}" for i, w in enumerate(("red", "zebra quux", "fast slow", "nothing known here"))
    ]
    for suites in (None, ["a"] * 4, ["zzz"] * 4):
        shares = contrary.shares(prompts, suites)
        for i, prompt in enumerate(prompts):
            suite = None if suites is None else suites[i]
            code = contrary.decide(prompt, suite=suite).code
            if code not in ("predicted", "mixed"):
                assert shares[i].max() == 1.0
            assert (code in ("uncovered", "table")) == (
                not contrary.covered([prompt], suites and suites[:1])[0]
            )


def test_the_threshold_survives_the_artifact_and_is_absent_where_it_says_nothing(
    contrary: Policy, tmp_path
) -> None:
    loaded = load_policy(save_policy(contrary, tmp_path / "with"))
    assert loaded.spec.coverage_unknown == contrary.spec.coverage_unknown
    plain = Policy(replace(contrary.spec, coverage_unknown=None))
    written = (save_policy(plain, tmp_path / "without") / "policy.json").read_text()
    assert "coverage_unknown" not in written
    assert np.isclose(load_policy(tmp_path / "without").spec.coverage_needed(0), contrary.spec.coverage)


def test_a_candidate_for_everything_stays_itself_beside_pieces_that_read() -> None:
    """Held out with options that follow predictions, an option of one column is that column, not whom its tradeoff
    would make the cheapest of all."""
    recipe = Recipe.model_validate({"name": "c", "rule": {"margin": 0.05, "confidence": 0.9}, "holdout": 0})
    problem = prepare(recipe, several())
    data = problem.develop
    task = Task.of(data, Design.of(data.prompts, data.vectors))
    rows = np.arange(len(data))
    large = int(np.nanargmax(np.nanmean(data.cost_usd, axis=0)))
    options = (Option(READS, 0.0, 0.0), Option("rates", 0.0, 0.0), Option(FIXED, 1e9, 0.0, large))
    nothing = np.zeros((len(data), 1), np.int64)
    choice = Choice(tuple(Piece(1 / 3, option) for option in options), nothing, *[None] * 4)  # type: ignore[arg-type]
    found = _actions(problem, task, Blend(blend=(0.5, 0.5)), choice, 0.0, rows[::2], rows[1::2])
    assert found.shape == (len(rows[1::2]), 3) and (found[:, 2] == large).all()
