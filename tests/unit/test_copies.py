"""Equal prompts are one cluster, whatever suites and groups they stand in; and no row's split moves for it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.fit.coverage import _held_out
from router_lab.fit.folds import group_folds
from router_lab.fit.problem import prepare
from router_lab.gates.arms import unused_rows
from router_lab.metrics import clustered_mean
from router_lab.outcomes import OutcomeMatrix, split_column, validate_outcomes
from router_lab.outcomes.copies import APART, clusters_of, join_names, prompt_mark
from router_lab.plan import plan
from router_lab.replay import replay
from router_lab.report.table import candidate_table
from router_lab.runtime.errors import RouterLabWarning
from router_lab.runtime.model import Candidate, group_code

RECIPE = Recipe.model_validate({"name": "copies", "rule": {"margin": 0.05}})
WORDS = tuple(f"{a}{b}{c}" for a in "bdfgklmn" for b in "aeiou" for c in ("ra", "te", "mo", "si", "lun"))


def question(i: int) -> str:
    """One of many prompts no two of which are alike."""
    return " ".join(np.random.default_rng([7, i]).choice(WORDS, 12))


def copied(prompts: int, suites: int, *, groups: str | None = None, seed: int = 0) -> pd.DataFrame:
    """`prompts` questions, each in every suite with the same outcomes there; `small` loses one prompt in ten.

    groups: a format of suite s and prompt i, None = no column.
    """
    lost = np.random.default_rng(seed).random(prompts) < 0.1
    rows = [
        {
            "suite": f"suite-{s}", "sample_id": f"x{i:04d}", "model": model, "prompt": question(i),
            "quality": float(model == "large" or not lost[i]), "cost_usd": cost,
            **({} if groups is None else {"group": groups.format(s=s, i=i)}),
        }
        for s in range(suites) for i in range(prompts) for model, cost in (("large", 0.1), ("small", 0.01))
    ]  # fmt: skip
    return validate_outcomes(pd.DataFrame(rows))


def rows(*cells: tuple[str, str, str | None, str | None]) -> pd.DataFrame:
    """One row for each (suite, sample, group, prompt), of one candidate."""
    frame = pd.DataFrame(cells, columns=["suite", "sample_id", "group", "prompt"])
    return validate_outcomes(frame.assign(model="m", quality=1.0))


def clusters(*cells: tuple[str, str, str | None, str | None]) -> list[int]:
    """The cluster of each cell, by the first that is in it: cells in the order of (suite, sample)."""
    data = OutcomeMatrix.from_frame(rows(*cells))
    first: dict[int, int] = {}
    return [first.setdefault(int(code), i) for i, code in enumerate(data.group)]


def test_equal_prompts_of_two_suites_are_one_cluster() -> None:
    assert clusters(("a", "1", None, "What is rain?"), ("b", "1", None, "What is rain?")) == [0, 0]
    assert clusters(("a", "1", "g", "What is rain?"), ("b", "1", "h", "What is rain?")) == [0, 0]
    assert clusters(("a", "1", "g", "What is rain?"), ("b", "1", "g", "What is snow?")) == [0, 1]


def test_what_is_joined_with_one_is_joined_with_all() -> None:
    """a/g holds P and Q, b/h Q and R, c/k R: all three are one; c/m holds S alone."""
    found = clusters(
        ("a", "1", "g", "P"), ("a", "2", "g", "Q"), ("b", "1", "h", "Q"), ("b", "2", "h", "R"),
        ("c", "1", "k", "R"), ("c", "2", "m", "S"),
    )  # fmt: skip
    assert found == [0, 0, 0, 0, 0, 5]


def test_copies_within_a_suite_are_joined_whatever_groups_were_given() -> None:
    assert clusters(("a", "1", "row-1", "P"), ("a", "2", "row-2", "P"), ("a", "3", None, "P")) == [0, 0, 0]


def test_case_spacing_and_the_form_of_accents_make_no_other_prompt() -> None:
    same = ("Où est le café?", "  où EST\n le   cafe\u0301?\r\n")
    assert clusters(("a", "1", None, same[0]), ("b", "1", None, same[1])) == [0, 0]
    assert clusters(("a", "1", None, "x³ + 1"), ("b", "1", None, "x3 + 1")) == [0, 1]  # not the same question


def test_no_prompt_joins_nothing() -> None:
    blank = [("a", "1", None, None), ("b", "1", None, None), ("b", "2", None, ""), ("c", "1", None, " \n")]
    assert clusters(*blank, ("c", "2", None, "\t")) == [0, 1, 2, 3, 4]


def test_pictures_are_told_apart_and_joined_by_their_content() -> None:
    def asked(picture: str) -> list[dict[str, object]]:
        parts = [{"type": "text", "text": "What is this?"}, {"type": "image", "image": picture}]
        return [{"role": "user", "content": parts}]

    frame = pd.DataFrame({
        "suite": ["a", "a", "b", "c"], "sample_id": ["1", "2", "1", "1"], "model": "m", "quality": 1.0,
        "prompt": [asked("cat.png"), asked("dog.png"), asked("cat.png"), "What is this?"],
    })  # fmt: skip
    group = OutcomeMatrix.from_frame(validate_outcomes(frame)).group.tolist()
    assert group[0] == group[2] and len(set(group)) == 3


def test_one_text_with_two_vectors_is_two_questions() -> None:
    """Spread of the four others about their mean: near 1. A hundredth apart is one vector measured twice."""
    asked = [("a", "g1", (1.0, 0.0)), ("b", "g1", (1.01, 0.0)), ("b", "g2", (0.0, 1.0)), ("c", "g1", None)]
    others = [("d", f"o{i}", v) for i, v in enumerate([(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)])]
    frame = pd.DataFrame(
        [(s, f"{g}", g, "Rate it." if s in "abc" else f"{g} {v}", v) for s, g, v in asked + others],
        columns=["suite", "sample_id", "group", "prompt", "vector"],
    )
    group = OutcomeMatrix.from_frame(validate_outcomes(frame.assign(model="m", quality=1.0))).group.tolist()
    assert group[0] == group[1] == group[3] != group[2]  # an unknown vector is taken for that of the first
    assert len(set(group)) == 6


def test_a_text_that_a_suite_keeps_apart_is_an_instruction() -> None:
    """One text under APART given groups of a suite joins nothing, in that suite or another; under one less it does."""
    told = [("a", f"{i:02d}", f"repo-{i}", "Fix the failing test.") for i in range(APART)]
    elsewhere = ("b", "0", "other", "Fix the failing test.")
    assert len(set(clusters(*told, elsewhere))) == APART + 1
    assert len(set(clusters(*told[1:], elsewhere))) == 1
    data = OutcomeMatrix.from_frame(rows(*told, elsewhere))
    assert join_names(data.groups, data.name, data.prompts).apart == {"fix the failing test.": APART + 1}


CELLS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("ghk"), st.sampled_from([None, "P", "Q", "R", "S", "T"])),
    min_size=1, max_size=14,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(CELLS, st.permutations("abc"))
def test_clusters_are_the_closure_of_sharing_a_name_or_a_prompt(
    cells: list[tuple[str, str, str | None]], renamed: list[str]
) -> None:
    names = tuple(sorted({(suite, group) for suite, group, _ in cells}))
    key = np.array([names.index((suite, group)) for suite, group, _ in cells])
    found = join_names(names, key, [prompt for *_, prompt in cells]).component[key]
    n = len(cells)
    near = np.eye(n, dtype=bool)
    for i in range(n):
        for j in range(n):
            near[i, j] |= key[i] == key[j] or (cells[i][2] is not None and cells[i][2] == cells[j][2])
    for _ in range(n):
        near = near @ near
    assert ((found[:, None] == found[None]) == near).all()
    other = dict(zip("abc", renamed, strict=True))
    frame = pd.DataFrame([(other[s], g, p) for s, g, p in cells], columns=["suite", "group", "prompt"])
    again = clusters_of(frame)
    assert ((again[:, None] == again[None]) == near).all()


@settings(max_examples=40, deadline=None)
@given(CELLS, st.integers(0, 3))
def test_no_fold_splits_a_cluster(cells: list[tuple[str, str, str | None]], seed: int) -> None:
    frame = rows(*((s, str(i), g, p) for i, (s, g, p) in enumerate(cells)))
    data = OutcomeMatrix.from_frame(frame)
    folds = group_folds(data.suite, data.group, seed)
    for code in np.unique(data.group):
        assert len(set(folds[data.group == code])) == 1


@pytest.mark.parametrize("groups", [None, "g{i}", "{s}-{i}"])
def test_the_error_of_five_copies_is_that_of_one(groups: str | None) -> None:
    """60 prompts in five suites tell no more than 60 prompts in one: se and clusters are equal, whatever the groups."""
    one, five = (OutcomeMatrix.from_frame(copied(60, k, groups=groups)) for k in (1, 5))
    alone, all_ = (clustered_mean(d.quality[:, 1] - d.quality[:, 0], d.group) for d in (one, five))
    assert (all_.n, all_.clusters) == (300, 60) and alone.clusters == 60
    assert all_.value == pytest.approx(alone.value) and all_.se == pytest.approx(alone.se)
    loss = -alone.value  # the share p of 60 that lost: the error of their mean is sqrt(p (1 - p) / 59)
    assert alone.se == pytest.approx(np.sqrt(loss * (1 - loss) / 59))


def test_plan_and_table_count_copies_once() -> None:
    table = copied(60, 5, groups="{s}-{i}")
    pooled = candidate_table(table)
    assert pooled[pooled["suite"] == "all"]["clusters"].tolist() == [60, 60]
    assert pooled[pooled["suite"] == "suite-3"]["clusters"].tolist() == [60, 60]
    once, five = (plan(t, 0.05, reference=Candidate("large")).needs[0] for t in (copied(60, 1), table))
    assert (five.n, once.n) == (300, 60)
    assert (five.low, five.high) == (pytest.approx(once.low), pytest.approx(once.high))


def test_no_row_moves_and_copies_of_chosen_rows_are_not_tested_on() -> None:
    """Two suites, holdout .2: a test row whose copy is to choose on is left out, counted and said."""
    table = copied(200, 2, groups="{s}-{i}")
    split = split_column(table)
    samples = table.assign(split=split).drop_duplicates(["suite", "sample_id"])
    by_prompt = samples.pivot(index="sample_id", columns="suite", values="split")
    test = (by_prompt == "test").to_numpy()
    both, left_out = int(test.all(axis=1).sum()), int((test.any(axis=1) & ~test.all(axis=1)).sum())
    assert both and left_out
    said = f"{left_out} of {2 * both + left_out} samples of the test split are copies of prompts to choose on"
    with pytest.warns(RouterLabWarning, match=said):
        problem = prepare(RECIPE, table)
    assert problem.copied == left_out and problem.held is not None
    assert problem.held["sample_id"].nunique() == both
    assert set(split_column(problem.held)) == {"test"}
    assert len(problem.develop) == (samples["split"] == "develop").sum()
    assert not set(problem.held["prompt"]) & set(problem.develop.prompts)


def test_an_artifact_knows_the_copies_that_it_left_out() -> None:
    """`groups` covers every name of a cluster that was chosen on, so a gate takes no copy for a fresh row."""
    table = copied(200, 2, groups="{s}-{i}")
    with pytest.warns(RouterLabWarning, match="copies of prompts to choose on"):
        policy = fit_policy(RECIPE, table)
    split = table.assign(split=split_column(table)).drop_duplicates(["suite", "sample_id"])
    fresh = set(split.groupby("sample_id").filter(lambda part: (part["split"] == "test").all())["sample_id"])
    codes = {
        group_code(f"suite-{s}", f"{s}-{i}") for s in (0, 1) for i in range(200) if f"x{i:04d}" not in fresh
    }
    assert set(policy.spec.groups.tolist()) == codes
    assert set(unused_rows(table, policy)["sample_id"]) == fresh
    # A file of the left-out suite alone, too: nothing of the fit is in it to be joined with.
    assert set(unused_rows(table[table["suite"] == "suite-1"], policy)["sample_id"]) == fresh
    again = replay(policy, table[table["suite"] == "suite-1"])
    assert (again.n, again.in_sample) == (len(fresh), False)


def test_a_prompt_that_was_fitted_is_known_under_another_suite_and_group() -> None:
    """Where the fit had no `group`, its code is that of the prompt: later files are recognised by their prompts."""
    table = copied(100, 1)
    policy = fit_policy(
        Recipe.model_validate({"name": "copies", "rule": {"margin": 0.05}, "holdout": 0}), table
    )
    later = copied(130, 1, groups="later-{i}").assign(suite="elsewhere")
    assert sorted(set(unused_rows(later, policy)["sample_id"])) == [f"x{i:04d}" for i in range(100, 130)]
    with pytest.warns(RouterLabWarning, match="does not know"):
        mixed = replay(policy, validate_outcomes(pd.concat([later, table])))
    assert (mixed.n, mixed.in_sample) == (30, False)


def test_a_given_group_in_a_new_file_alone_cannot_be_recognised() -> None:
    """A policy holds no prompts: this is the limit that docs/certificate.md states."""
    named = copied(100, 1, groups="own-{i}")
    policy = fit_policy(
        Recipe.model_validate({"name": "copies", "rule": {"margin": 0.05}, "holdout": 0}), named
    )
    later = copied(100, 1, groups="later-{i}").assign(suite="elsewhere")
    assert len(unused_rows(later, policy)) == 200
    assert len(unused_rows(validate_outcomes(pd.concat([later, named])), policy)) == 0


def test_holding_a_suite_out_holds_its_copies_out() -> None:
    """Suites 0 and 1 share prompts 0 and 1; suite 2 has its own. With 0 out, its copies in 1 are not known either."""
    suite, group = np.array([0, 0, 1, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 4, 5, 6])
    parts = {tuple(out): tuple(inside) for inside, out in _held_out(suite, group)}
    assert parts == {(2, 3, 4): (5, 6), (0, 1): (4, 5, 6), (5, 6): (0, 1, 2, 3, 4)}


def test_rows_without_copies_keep_their_clusters_and_marks() -> None:
    table = rows(("a", "1", None, "P"), ("a", "2", None, "Q"), ("b", "1", "g", None))
    data = OutcomeMatrix.from_frame(table)
    assert data.group.tolist() == data.name.tolist() and data.groups[int(data.name[2])] == ("b", "g")
    assert {data.groups[k][1] for k in data.name[:2]} == {prompt_mark("P"), prompt_mark("Q")}
    assert prompt_mark("P") == "prompt-5c62e091b8c0565f"
