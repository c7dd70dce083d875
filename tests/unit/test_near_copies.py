"""Prompts of one template are one cluster where nobody gave a `group`; a suite that is one template is left alone."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from router_lab.config import Recipe
from router_lab.fit.problem import prepare
from router_lab.outcomes import OutcomeMatrix, split_column, validate_outcomes
from router_lab.outcomes.near import Words, code_of, near_copies
from router_lab.runtime.errors import RouterLabWarning

RECIPE = Recipe.model_validate({"name": "near", "rule": {"margin": 0.05}, "holdout": 0})
NAMES = ("Ana", "Bob", "Carla", "Dmitri", "Elena", "Farid")
PARTS = [a + b for a in ("ba", "ke", "lo", "mi", "nu", "pa", "re", "so") for b in "bdfgklmnprst"]


def template(kind: int, copy: int) -> str:
    words = np.random.default_rng([3, kind]).choice(PARTS, 14)
    return f"{' '.join(words[:7])} {NAMES[copy % 6]} {' '.join(words[7:])} {17 * copy + kind}?"


def table(kinds: int, copies: int, **columns: object) -> pd.DataFrame:
    frame = pd.DataFrame(
        [
            ("s", f"{k:02d}-{c:02d}", m, template(k, c), 1.0)
            for k in range(kinds)
            for c in range(copies)
            for m in "ab"
        ],
        columns=["suite", "sample_id", "model", "prompt", "quality"],
    )
    return validate_outcomes(frame.assign(cost_usd=1.0, **columns))


def test_numbers_and_names_within_a_sentence_are_taken_for_one_another() -> None:
    codes, words = Words().read(["Ana pays Bob $1,250.50. Then he leaves at 12:30!", "", "Bob"])
    told = ["ana", "pays", "N", "0", "then", "he", "leaves", "at", "0", "bob"]
    assert codes.tolist() == [code_of(word) for word in told]
    assert words.tolist() == [9, 0, 1]


def test_the_rows_of_a_template_are_one_cluster() -> None:
    """40 templates of 6 in one suite: 240 prompts, 40 clusters, each of one template."""
    data = OutcomeMatrix.from_frame(table(40, 6))
    kinds = [sample[:2] for sample in data.sample_id]
    assert len(set(data.group.tolist())) == 40 == len(set(zip(kinds, data.group.tolist(), strict=True)))
    assert len(set(data.name.tolist())) == 240  # names, and with them the split, stay
    assert OutcomeMatrix.from_frame(table(40, 6, group=None)).group.tolist() == data.group.tolist()


def test_given_groups_are_taken_as_given() -> None:
    frame = table(10, 6)
    given = OutcomeMatrix.from_frame(validate_outcomes(frame.assign(group=frame["sample_id"])))
    assert len(set(given.group.tolist())) == 60


def test_templates_across_suites_are_one_cluster() -> None:
    frame = table(40, 6)
    frame["suite"] = "suite-" + frame["sample_id"].str[-1]
    assert (
        len(set(OutcomeMatrix.from_frame(validate_outcomes(frame.drop(columns="group"))).group.tolist()))
        == 40
    )


@pytest.mark.parametrize(
    "form", ["What is {a} + {b}?", "question {a} of {b}", "Compute {a} times {b}. Answer with one number."]
)
def test_a_suite_that_is_one_template_is_left_alone(form: str) -> None:
    """Nothing tells which of its prompts are alike: one cluster of a whole suite could show nothing at all."""
    prompts = [form.format(a=i, b=3 * i + 1) for i in range(100)]
    assert near_copies(np.zeros(100, np.int64), prompts).tolist() == list(range(100))


def test_an_instruction_before_different_questions_makes_no_copies() -> None:
    told = "Answer the question below. Give the answer directly, without a complete sentence. Question: "
    prompts = [told + " ".join(np.random.default_rng([5, i]).choice(PARTS, 10)) for i in range(80)]
    assert near_copies(np.zeros(80, np.int64), prompts).tolist() == list(range(80))


def test_alike_is_three_fifths_of_the_words_and_pairs() -> None:
    """Twelve words and eleven pairs: one other word in the middle breaks 1 + 2 of 23, 20 of 26 are shared (.77); two
    break 2 + 4, 17 of 29 (.59) are not enough."""
    base = [f"word{c}" for c in "abcdefghijkl"]
    one, two = list(base), list(base)
    one[3], two[3], two[8] = "other", "other", "further"
    fill = [" ".join(np.random.default_rng([9, i]).choice(PARTS, 12)) for i in range(20)]
    assert near_copies(np.zeros(22, np.int64), [" ".join(base), " ".join(one), *fill])[1] == 0
    assert near_copies(np.zeros(22, np.int64), [" ".join(base), " ".join(two), *fill])[1] == 1


def test_which_rows_are_linked_does_not_depend_on_their_order() -> None:
    prompts = [template(k, c) for k in range(25) for c in range(5)]
    order = np.random.default_rng(0).permutation(len(prompts))
    plain = near_copies(np.zeros(125, np.int64), prompts)
    moved = near_copies(np.zeros(125, np.int64), [prompts[i] for i in order])
    assert ((plain[order][:, None] == plain[order][None]) == (moved[:, None] == moved[None])).all()


@pytest.mark.parametrize("prompts", [[], [""], ["a"], ["\ud800 x", "\ud800 x"], ["?!", "...", "\n"]])
def test_any_text_is_taken(prompts: list[str]) -> None:
    assert len(near_copies(np.zeros(len(prompts), np.int64), prompts)) == len(prompts)


def test_fit_says_what_near_copies_do_to_the_evidence() -> None:
    said = (
        r"240 of 240 samples without a `group` are near copies, as if of one template \('\d\d-\d\d' of suite 's' and "
        r"'\d\d-\d\d' of suite 's'\): they count as 40 clusters, all samples as 40 instead of 240\. "
        r"Give a column `group`"
    )
    with pytest.warns(RouterLabWarning, match=said):
        problem = prepare(RECIPE, table(40, 6))
    assert len(set(problem.develop.group.tolist())) == 40
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepare(RECIPE, table(240, 1))


def test_near_copies_move_no_row_of_the_split() -> None:
    frame = table(40, 6)
    with pytest.warns(RouterLabWarning, match="near copies"):
        problem = prepare(RECIPE.model_copy(update={"holdout": 0.2}), frame)
    assert problem.held is not None and problem.copied == 0
    assert set(problem.held["sample_id"]) == set(frame[split_column(frame) == "test"]["sample_id"])
