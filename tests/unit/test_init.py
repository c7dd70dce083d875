"""What `init` writes can pass its own gate at the size that it names, and it says beforehand where it cannot."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.cli.init import init
from router_lab.config import Recipe, load
from router_lab.fit import fit_policy
from router_lab.gates import run_gates
from router_lab.metrics import first_groups, first_samples
from router_lab.outcomes import split_of, validate_outcomes
from router_lab.plan import plan


def measured(questions: int, topics: int, seed: int) -> pd.DataFrame:
    """Two candidates that differ on a fifth of the questions; `dear` is a point better and costs five times as much.
    Topics are of unlike difficulty, .75 on the mean."""
    random = np.random.default_rng(seed)
    level = np.clip(0.75 + random.normal(0, 0.1, topics), 0.3, 0.95)
    rows = []
    for i in range(questions):
        p = level[i % topics]
        right, flip = random.random() < p, random.random()
        cheap = flip >= 0.105 / p if right else flip < 0.095 / (1 - p)
        for model, good, cost in (("dear", right, 1.0), ("cheap", cheap, 0.2)):
            rows.append({
                "suite": "questions", "sample_id": f"{i:04d}", "model": model, "quality": float(good),
                "cost_usd": cost * (1 + random.random() / 2), "group": f"topic {i % topics}",
            })  # fmt: skip
    return validate_outcomes(pd.DataFrame(rows))


@pytest.fixture
def written(tmp_path: Path) -> tuple[Recipe, str, int, int]:
    """The recipe, what was said, and the size that was named."""
    done = CliRunner().invoke(init, [str(tmp_path / "mine")])
    assert done.exit_code == 0
    named = re.search(r"about (\d+) questions, in (\d+) topics or more", done.stderr)
    assert named is not None and "3 examples, which can conclude nothing" in done.stderr
    for file in ("recipe.yaml", "evals/questions.py"):
        assert named[0] in (tmp_path / "mine" / file).read_text()
    return load(Recipe, tmp_path / "mine/recipe.yaml"), done.stderr, int(named[1]), int(named[2])


def test_sizes_by_hand() -> None:
    """z .90 = 1.2816 and z .80 = .8416: .2 × (2.1231 / .05)² = 360.6 to choose on, which four fifths of 452 are."""
    assert first_samples(0.05, 0.90, holdout=0.2) == math.ceil(361 / 0.8) == 452
    assert first_samples(0.03, 0.90, holdout=0.0) == math.ceil(0.2 * (2.12316 / 0.03) ** 2) == 1002
    groups = first_groups(0.2)
    held = np.random.default_rng(0).binomial([groups - 10, groups, groups + 10], 0.2, (20_000, 3))
    few = (held < 20).mean(axis=0)
    assert few[1] <= 0.055 and few[0] > few[1] > few[2]


def test_the_size_is_that_of_the_rule(written: tuple[Recipe, str, int, int]) -> None:
    recipe, _, questions, topics = written
    margin = recipe.rule.margin
    assert margin is not None and recipe.gates[0].margin == margin
    least = first_samples(margin, recipe.rule.confidence, holdout=recipe.holdout)
    assert least <= questions < least + 10 and first_groups(recipe.holdout) <= topics < questions
    # `plan` on such outcomes agrees: nothing or little is missing were the candidates equal.
    (need,) = plan(measured(questions, topics, 0), margin, recipe.rule.confidence).needs
    assert need.if_equal is not None and need.if_equal <= 0.25 * questions


def test_it_passes_its_own_gate_at_the_size_that_it_names(written: tuple[Recipe, str, int, int]) -> None:
    """20 draws of a true saving, none picked: nearly all must pass, and the bound is far from that."""
    recipe, _, questions, topics = written
    words = []
    for seed in range(20):
        outcomes = measured(questions, topics, seed)
        words.append(run_gates(fit_policy(recipe, outcomes, seed), outcomes, recipe.gates).verdict)
    assert words.count("pass") >= 15, words


def test_twenty_topics_cannot_pass_and_the_gate_says_why(written: tuple[Recipe, str, int, int]) -> None:
    recipe, _, questions, _ = written
    outcomes = measured(questions, 20, 0)
    held = {g for g in outcomes["group"].unique() if split_of("questions", g) == "test"}
    assert len(held) < 20
    report = run_gates(fit_policy(recipe, outcomes), outcomes, recipe.gates)
    assert report.verdict == "inconclusive"
    assert any(
        f"in {len(held)} groups); fewer than 20 groups conclude nothing" in r.reason for r in report.results
    )


@pytest.mark.parametrize("name", ["file/inside", "x" * 300], ids=["in a file", "too long"])
def test_a_place_where_nothing_can_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    done = CliRunner().invoke(cli, ["init", name])
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    assert re.fullmatch(r"Error: \S+: (Not a directory|File name too long)\n", done.stderr), done.stderr
