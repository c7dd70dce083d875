"""The parts of the fit against answers worked out by hand or by plain linear algebra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from router_lab.cli.fit import summary
from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.fit.choose import Choice, Option, act, choose, constants, family, splits
from router_lab.fit.design import DENSE_WEIGHT, Design
from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.folds import group_folds
from router_lab.fit.model import Predicted
from router_lab.fit.rows import Rows, product, ridge, room, whole
from router_lab.fit.table import routing_table
from router_lab.fit.task import Task, suite_rates
from router_lab.fit.walk import walk
from router_lab.metrics import clustered_mean
from router_lab.metrics.paired import Recorded
from router_lab.outcomes import OutcomeMatrix, validate_outcomes
from router_lab.replay import escalated, replay
from router_lab.runtime.features import Z_UNIT, log2ish
from router_lab.runtime.model import Candidate
from tests.fit_worlds import HARD, checked, two_kinds


def evidence(
    quality: np.ndarray, cost: np.ndarray, reference: int, group: np.ndarray | None = None
) -> Evidence:
    groups = np.arange(len(quality)) if group is None else group
    folds = group_folds(np.zeros(len(quality), np.int64), groups)
    return Evidence.bare(Recorded(quality, cost, reference, group=groups), fold=folds)


def rows(n: int, words: int, numbers: int, seed: int, density: float = 0.5) -> tuple[Rows, np.ndarray]:
    """Rows of some words and whole numbers, rescaled, and the same as a plain float64 matrix."""
    rng = np.random.default_rng(seed)
    there = sp.random_array((n, words), density=density, rng=rng, format="csr", dtype=np.float32)
    there.data[:] = 1
    length, counted = rng.uniform(0.3, 1, n).astype(np.float32), np.rint(rng.uniform(-512, 512, (n, numbers)))
    scale = rng.uniform(0.5, 2, words + numbers).astype(np.float32)
    plain = np.hstack([there.toarray().astype(np.float64) * length[:, None], counted / 512]) * scale
    return Rows(there, length, counted, np.full(numbers, 1 / 512, np.float32)).scaled(scale), plain


def test_rows_are_the_matrix_they_stand_for() -> None:
    matrix, plain = rows(40, 12, 3, 1)
    rng = np.random.default_rng(5)
    v, w = rng.normal(size=(15, 4)).astype(np.float32), rng.normal(size=(40, 4)).astype(np.float32)
    assert matrix.times(v) == pytest.approx(plain @ v, abs=1e-5)
    assert matrix.back(w) == pytest.approx(plain.T @ w, abs=1e-5)
    assert matrix.gram(w) == pytest.approx(plain @ (plain.T @ w), abs=1e-4)
    assert matrix[np.array([3, 1])].times(v) == pytest.approx(plain[[3, 1]] @ v, abs=1e-5)


def test_whole_products_are_exact_in_any_order() -> None:
    """Numbers of a hundred powers of ten: what is rounded is each one, to 2**-bits of its column's greatest, and then
    nothing is."""
    rng = np.random.default_rng(6)
    numbers = rng.integers(-512, 513, (50, 300)).astype(np.float64)
    values = rng.normal(size=(300, 3)) * 10.0 ** rng.uniform(-50, 50, (300, 3))
    found = product(numbers, 9, values)
    order = rng.permutation(300)
    assert np.array_equal(found, product(numbers[:, order], 9, values[order]))
    rounded, powers = whole(values, room(9, 300))
    for column in range(3):
        exact = [
            sum(int(a) * int(b) for a, b in zip(row, rounded[:, column], strict=True)) for row in numbers
        ]
        assert found[:, column].tolist() == [
            float(Fraction(e) / Fraction(2) ** int(powers[column])) for e in exact
        ]
    assert np.abs(values - np.ldexp(rounded, -powers)).max(axis=0) == pytest.approx(
        0, abs=0.5 * 2.0**-34 * 1e51
    )
    assert whole(np.zeros((0, 2)), 10)[0].shape == (0, 2)


def test_ridge_is_the_normal_equations() -> None:
    x, dense = rows(40, 9, 3, 1)
    y, weight = np.random.default_rng(1).normal(size=(40, 2)), np.ones((40, 2))
    fitted = ridge(x, y, weight, np.array([0.5, 2.0]), tolerance=1e-6, steps=200)
    middle = dense - dense.mean(axis=0)
    for column, penalty in enumerate((0.5, 2.0)):
        solved = np.linalg.solve(
            middle.T @ middle + penalty * np.eye(12), middle.T @ (y[:, column] - y[:, column].mean())
        )
        assert fitted.coefficients[:, column] == pytest.approx(solved, abs=1e-4)
        level = y[:, column].mean() - dense.mean(axis=0) @ solved
        assert fitted.intercept[column] == pytest.approx(level, abs=1e-4)


def test_ridge_ignores_missing_targets() -> None:
    x, _ = rows(30, 5, 1, 2, density=0.8)
    y, weight = np.random.default_rng(2).normal(size=(30, 1)), np.ones((30, 1))
    weight[:10] = 0
    other = y.copy()
    other[:10] = 1e6
    penalty = np.array([1.0])
    assert ridge(x, y, weight, penalty).predict(x) == pytest.approx(
        ridge(x, other, weight, penalty).predict(x)
    )


def test_suite_rates_by_hand() -> None:
    # Two suites of two rows. Quality: pooled 1/2; suite 1 has 1, 1 and suite 2 has 0, 0.
    targets = np.array([[1.0, 3.0], [1.0, 3.0], [0.0, 3.0], [0.0, 3.0]])
    rates = suite_rates(targets, np.ones((4, 2)), np.array([1, 1, 2, 2]), 2)
    assert rates[0] == pytest.approx([0.5, 3.0])
    # Difficulty +1/2 shrunk by 2/(2+5) = 1/7; own departure (2*.5 + 20/7) / 22 -> .5 + 27/154.
    assert rates[1] == pytest.approx([0.5 + 27 / 154, 3.0])
    assert rates[2] == pytest.approx([0.5 - 27 / 154, 3.0])


@given(st.lists(st.integers(0, 8), min_size=1, max_size=40), st.integers(0, 3))
def test_folds_never_split_a_group(groups: list[int], seed: int) -> None:
    codes = np.array(groups)
    folds = group_folds(codes % 2, codes, seed)
    assert all(len(set(folds[codes == g])) == 1 for g in set(groups))
    assert folds.max() + 1 == min(5, len(set(groups)))


@given(st.integers(0, 50))
def test_a_larger_tradeoff_never_costs_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    quality, cost = rng.random((30, 4)), rng.random((30, 4))
    seen = evidence(quality, cost, 0)
    spent = [
        cost[np.arange(30), act([Option("x", tradeoff, 0.0)], {"x": (quality, cost)}, seen)[0]].sum()
        for tradeoff in (0.0, 0.1, 0.5, 1.0, 5.0, 100.0)
    ]
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(spent))


def test_the_walk_stops_where_the_bound_does() -> None:
    # 400 rows, the candidate loses on 40 of them: -.1 at full mix. t(.9, 399) = 1.2837, sd = sqrt(.09 * 400/399).
    quality = np.ones((400, 2))
    quality[:40, 1] = 0.0
    seen = evidence(quality, np.tile([1.0, 0.5], (400, 1)), 0)
    action = np.ones((400, 1), np.int64)
    # 40 losses: the third moment of a loss, .1 * .9 * .8 / 400^2, over the second, with the unseen one, is its skew.
    square, unseen = 0.09 * 400 / 399 / 400, 1 / 400
    skew = (0.072 / 400**2 + unseen**3) / (square + unseen**2)
    most = 0.05 / (0.1 + 1.2837 * np.sqrt(square + 0.7211 * unseen**2) + skew * (1.2837**2 + 2) / 3)
    reached, tested = walk(action, seen, Goal("margin", 0.05, 0.9))[:2]
    assert reached == pytest.approx(np.floor(most * 50) / 50)
    assert tested == round(reached * 50) + 1
    assert walk(action, seen, Goal("margin", 0.05, 0.9, mix=False))[0] == 0.0
    strict = walk(action, seen, Goal("margin", 0.05, 0.9, strict=True)).mix
    assert 0 < strict <= reached


def test_nineteen_clusters_show_nothing() -> None:
    quality = np.ones((190, 2))
    seen = evidence(quality, np.tile([1.0, 0.5], (190, 1)), 0, np.repeat(np.arange(19), 10))
    action = np.ones((190, 1), np.int64)
    assert walk(action, seen, Goal("margin", 0.05, 0.9))[:2] == (0.0, 0)


def test_halves_are_every_way_to_cut_six_folds() -> None:
    cuts = splits(np.repeat(np.arange(6), 4))
    assert len(cuts) == 10 and len({frozenset(half.tolist()) for cut in cuts for half in cut}) == 20
    for first, second in cuts:
        assert sorted([*first, *second]) == list(range(6)) and len(first) == 3
    assert [(a.tolist(), b.tolist()) for a, b in splits(np.zeros(5, np.int64))] == [([0], [])]
    assert len(splits(np.arange(5))) == 6  # three and two


def crowd(seed: int) -> tuple[np.ndarray, Evidence, Goal]:
    """120 rows; three candidates a little worse and much cheaper than the reference."""
    quality = (np.random.default_rng(seed).random((120, 4)) < [0.85, 0.8, 0.78, 0.76]).astype(float)
    plain = evidence(quality, np.tile([1.0, 0.3, 0.25, 0.2], (120, 1)), 0)
    folds = group_folds(np.zeros(120, np.int64), np.arange(120), 0, 6)
    return quality, replace(plain, fold=folds), Goal("margin", 0.1, 0.8)


def test_what_is_deployed_is_what_was_judged() -> None:
    """Each row's value is the mean over the cuts of what the other half's choice does to it; the pieces are those
    choices, in shares that add up to one."""
    quality, seen, goal = crowd(0)
    found = choose(*constants(seen, goal), seen, goal)
    assert found.action.shape == (120, 10) and len(found.options) > 1
    assert sum(piece.share for piece in found.pieces) == pytest.approx(1.0)
    for option in found.options:
        share = next(piece.share for piece in found.pieces if piece.option == option)
        assert (found.action == option.column).mean() == pytest.approx(share)
    gain = (np.take_along_axis(quality, found.action, axis=1) - quality[:, :1]).mean()
    assert found.walked.estimate.value == pytest.approx(found.walked.at * gain)


def test_no_row_is_served_by_what_it_helped_to_choose() -> None:
    """Turn one row's outcomes round: what the halves with it choose may change, what it itself is served with not."""
    quality, plain, goal = crowd(6)

    def served(values: np.ndarray, row: int) -> np.ndarray:
        seen = replace(plain, quality=values)
        return choose(*constants(seen, goal), seen, goal).action[row]

    changed = 0
    for row in range(20):
        turned = quality.copy()
        turned[row] = 1 - turned[row]
        assert (served(turned, row) == served(quality, row)).all()
        changed += (served(turned, row + 1) != served(quality, row + 1)).any()
    assert changed


def test_without_chance_those_who_chose_do_not_judge() -> None:
    """Whatever the judging half holds, the same option is chosen; and what the other half holds beside that choice is
    not in the estimate."""
    quality, plain, goal = crowd(0)
    goal = replace(goal, mix=False, level=0.4)

    def chosen(values: np.ndarray) -> Choice:
        seen = replace(plain, quality=values)
        return choose(*constants(seen, goal), seen, goal)

    found = chosen(quality)
    assert [piece.share for piece in found.pieces] == [1.0] and found.judged.sum() == 60
    assert (chosen(np.where(found.judged[:, None], 1 - quality, quality)).options) == found.options
    told = np.where(found.judged[:, None], quality, [1.0, 1.0, 0.0, 0.0])
    assert [option.column for option in chosen(told).options] == [1]
    (column,) = {option.column for option in found.options}
    gain = (quality[:, column] - quality[:, 0])[found.judged]
    assert (found.walked.estimate.n, found.walked.estimate.value) == (
        60,
        pytest.approx(found.walked.at * gain.mean()),
    )


def test_each_half_acts_by_what_it_knows() -> None:
    """What an option does to a half's rows is what the other half has learned, and that half is the pieces' too."""
    _, seen, goal = crowd(0)
    options, asked = [Option("rates", 1.0, 0.0)], []

    def acting(options: Sequence[Option], rows: np.ndarray) -> np.ndarray:
        asked.append(rows)
        return np.full((len(options), 120), 1 + int(rows[:60].sum()) % 3, np.int16)

    found = choose(options, np.full((1, 120), 1, np.int16), seen, goal, acting)
    halves = [np.isin(seen.fold, half) for pair in splits(seen.fold) for half in pair]
    others = [~np.isin(seen.fold, [*pair]) for pair in combinations(range(6), 4)]
    masks = {rows.tobytes() for rows in asked}
    assert masks <= {rows.tobytes() for rows in (*halves, *others)} and masks >= {
        rows.tobytes() for rows in others
    }
    assert len(masks) > 25
    for column, (one, other) in enumerate(splits(seen.fold)):
        for half in (one, other):
            known = np.isin(seen.fold, half)
            if any((known == rows).all() for rows in asked):
                assert (found.action[~known, column] == 1 + int(known[:60].sum()) % 3).all()
            else:
                assert (found.action[~known, column] == 0).all()


def test_of_options_that_are_tied_the_middle_one_is_taken() -> None:
    """Five that do the same on these rows: the middle one does it elsewhere, too, if any does."""
    _, seen, goal = crowd(0)
    options = [Option("rates", float(tradeoff), 0.0) for tradeoff in range(5)]
    found = choose(options, np.full((5, 120), 1, np.int16), seen, goal)
    assert {option.tradeoff for option in found.options} == {2.0}


def test_half_of_the_rows_has_suite_rates_of_its_own() -> None:
    """Two suites of four rows, no prompt: by hand the rates of the first half, whatever the other's rows say."""
    targets = np.array([[1, 0], [1, 0], [0, 0], [1, 0], [0, 0], [0, 0], [0, 0], [1, 0]], np.float64)
    suite, half = np.repeat([1, 2], 4), np.array([1, 1, 0, 0, 1, 1, 0, 0], bool)

    def known(values: np.ndarray, factor: float = 0.0, column: int = 0) -> np.ndarray:
        task = Task(
            Design.of([None] * 8, None), values, np.ones((8, 2)), suite, np.arange(8), 2,
            np.array([[0.0], [9.0]]), np.zeros(8, bool), np.zeros((8, 1)),
        )  # fmt: skip
        predicted = Predicted(
            task, np.full((8, 2), 0.9), np.zeros((8, 2)), np.array([0.0, factor]), np.full(2, 0.5), 0
        )
        assert list(predicted.found) == ["rates"] and (predicted.found["rates"][0] == 0.9).all()
        return predicted.knowing(half)["rates"][column]

    # Both of the first suite's two rows were right, none of the second's: 1/2 on the mean of four. A suite's residual
    # is 1, its mean .5; the difficulty .5 * 2 / (2 + 5) = 1/7, and .5 + (1 + 20/7) / 22 = .5 + 27/154.
    found = known(targets)
    assert found[:, 0] == pytest.approx([0.5 + 27 / 154] * 4 + [0.5 - 27 / 154] * 4)
    turned = targets.copy()
    turned[~half] = 1 - turned[~half]
    assert (known(turned) == found).all()
    assert (known(targets, 1.0) == found).all() and (known(targets, 1.0, 1) > known(targets, 0.0, 1)).all()


def test_choose_prefers_what_saves_after_its_own_mix() -> None:
    rng = np.random.default_rng(0)
    easy = rng.random(1000) < 0.5
    truth = np.stack([np.full(1000, 0.9), np.where(easy, 0.9, 0.1)], axis=1)
    quality = (rng.random((1000, 2)) < truth).astype(float)
    cost = np.tile([1.0, 0.1], (1000, 1))
    seen = evidence(quality, cost, 0)
    options, actions = family({"blend": (truth, cost)}, seen)
    chosen = choose(options, actions, seen, Goal("margin", 0.05, 0.9))
    assert chosen.mix > 0.9
    assert (chosen.action == easy[:, None]).mean() > 0.99


def test_table_by_hand() -> None:
    rng = np.random.default_rng(3)
    suite = np.repeat([0, 1], 300)
    quality = np.ones((600, 3))
    quality[:, 1] = rng.random(600) < np.where(suite == 0, 0.995, 0.5)
    quality[:, 2] = rng.random(600) < 0.3
    cost = np.tile([1.0, 0.2, 0.1], (600, 1))
    recorded = Recorded(quality, cost, 0, group=np.arange(600), suite=suite)
    cells = routing_table(recorded, np.ones((2, 3), bool), margin=0.05, confidence=0.9)
    assert [(cell.suite, cell.column, cell.verdict) for cell in cells] == [(0, 1, "pass"), (1, 2, "fail")]


def test_a_table_of_two_suites_needs_more_than_one_alone() -> None:
    """A candidate that loses 10 of 200 rows is shown to lose less than 7.9 points, p = .07 of .10 allowed; of two such
    suites neither is, for Holm's correction asks .05 of the first."""
    quality = np.ones((400, 2))
    quality[:10, 1] = quality[200:210, 1] = 0.0
    cost, group = np.tile([1.0, 0.2], (400, 1)), np.arange(400)
    margin = -clustered_mean(quality[:200, 1] - 1, span=1.0).low(0.93)

    def words(rows: int, suites: int) -> list[str]:
        suite = group[:rows] // 200
        opened = np.ones((suites, 2), bool)
        recorded = Recorded(quality[:rows], cost[:rows], 0, group=group[:rows], suite=suite)
        cells = routing_table(recorded, opened, margin=margin, confidence=0.9)
        return [cell.verdict for cell in cells]

    assert margin == pytest.approx(0.079, abs=0.002)
    assert words(200, 1) == ["pass"] and words(400, 2) == ["inconclusive"] * 2


def test_coverage_counts_rows_of_other_folds() -> None:
    design = Design.of(["alpha beta", "alpha gamma", "alpha delta", "unseen words"])
    coverage = design.coverage(np.array([0, 1, 2, 3]))
    # Of "alpha", "beta" and their pair only "alpha" occurs in another row.
    assert coverage[0] == pytest.approx(1 / 3)
    assert coverage[3] == 0.0


def test_the_fit_trains_on_what_the_runtime_computes() -> None:
    prompts = ["a b", *("word " * n for n in range(40, 120)), "word " * 400]
    design = Design.of(prompts)
    dense = design.matrix.numbers * design.matrix.units
    for row, prompt in zip(dense, prompts, strict=True):
        counted = design.featuriser.standardise(log2ish(design.featuriser(prompt).counts))
        assert row == pytest.approx(counted * DENSE_WEIGHT / Z_UNIT, abs=1e-6)
    assert dense[0, 0] == pytest.approx(design.featuriser.least[0] * DENSE_WEIGHT / Z_UNIT)
    assert dense[-1, 0] == pytest.approx(design.featuriser.greatest[0] * DENSE_WEIGHT / Z_UNIT)


def test_a_text_shorter_than_all_that_was_seen_is_judged_as_the_shortest_are() -> None:
    table = two_kinds(300)  # no prompt has fewer than 40 characters
    policy = fit_policy(Recipe.model_validate({"name": "s", "rule": {"margin": 0.05}}), table)
    assert policy.spec.linear.dense.any()
    quality, cost = policy.predict(["zz", "q", "x" * 9])
    assert quality[0].tolist() == quality[1].tolist() == quality[2].tolist()
    assert cost[0].tolist() == cost[1].tolist() == cost[2].tolist()


def test_escalated_outcomes_by_hand() -> None:
    table = checked(50)
    after = escalated(table, Candidate("large"))
    failed = (table["model"] == "small") & table["check"].eq(False).fillna(False)
    assert failed.any()
    assert (after.loc[failed, "quality"] == 1.0).all()
    assert after.loc[failed, "cost_usd"].to_numpy() == pytest.approx(0.11)
    assert after.loc[~failed, "cost_usd"].equals(table.loc[~failed, "cost_usd"])


def test_escalation_is_used_where_it_wins_and_not_where_there_is_no_check() -> None:
    recipe = Recipe.model_validate({"name": "e", "rule": {"margin": 0.05, "confidence": 0.9}})
    table = checked()
    policy = fit_policy(recipe, table)
    assert policy.spec.escalation == (policy.candidates.index(Candidate("large")),)
    assert policy.spec.certificate["escalation"] is True
    assert policy.spec.certificate["escalation_gain"]["low"] > 0
    line = next(line for line in summary(policy) if line.startswith("escalation  on: "))
    assert (
        "asked again of large" in line and "count both calls" in line and "more than without, paired" in line
    )
    # Mix may keep some.
    drawn = [policy.decide("question number 123", suite="s", key=str(k)) for k in range(20)]
    assert next(d for d in drawn if d.model == "small").next("check").model == "large"
    # Cheap at first, both prices for the 27 % that fail: 1 - (.01 + .27 * .1) / .1 = 63 % at most, times the mix shown.
    scored = replay(policy, table)
    assert 0.25 < scored.savings < 0.7
    assert scored.savings > scored.random_mix["savings"] + 0.1
    plain = fit_policy(recipe.model_copy(update={"escalate": False}), table)
    assert plain.spec.escalation == () and "escalation_gain" not in plain.spec.certificate
    assert not [line for line in summary(plain) if line.startswith("escalation")]
    assert fit_policy(recipe, two_kinds(100)).spec.escalation == ()


def test_fallbacks_are_ranked_by_their_own_answers_also_with_escalation() -> None:
    """`wrong` is never right and always caught: asked again, its quality is the reference's 1; `fair` is right on 80 %
    and its check lets all pass. On their own: 1, .8, about .7 and 0."""
    table = checked(200)
    first = table[table["model"] == "large"]
    number = first["sample_id"].str[1:].astype(int)
    fair = first.assign(model="fair", quality=(number % 5 > 0).astype(float), cost_usd=0.05, check=True)
    wrong = first.assign(model="wrong", quality=0.0, cost_usd=0.001, check=False)
    table = validate_outcomes(pd.concat([table, fair, wrong], ignore_index=True))
    after = escalated(table, Candidate("large")).groupby("model")["quality"].mean()
    assert after["wrong"] == 1.0 and after["fair"] == 0.8
    recipe = Recipe.model_validate(
        {"name": "e", "reference": {"model": "large"}, "rule": {"margin": 0.05, "confidence": 0.9}}
    )
    policy = fit_policy(recipe, table)
    assert policy.spec.escalation == (policy.candidates.index(Candidate("large")),)
    assert [policy.candidates[column].model for column in policy.spec.fallbacks] == [
        "large",
        "fair",
        "small",
        "wrong",
    ]
    drawn = next(
        d for d in (policy.decide("x", suite="s", key=str(k)) for k in range(20)) if d.model == "small"
    )
    assert [c.model for c in drawn.fallbacks] == ["large", "fair", "wrong"]


def test_diagnostics_are_asked_for() -> None:
    recipe = Recipe.model_validate({"name": "d", "rule": {"margin": 0.05, "confidence": 0.9}})
    found = fit_policy(recipe, two_kinds(200), diagnostics=True).spec.certificate["diagnostics"]
    assert found["label_shuffle"]["over_random_mix"]["value"] < 0.01  # .27 where labels are not shuffled
    assert [row["n"] for row in found["learning_curve"]] == sorted(
        row["n"] for row in found["learning_curve"]
    )


def test_matrix_weights_reach_the_rates() -> None:
    table = two_kinds(60)
    data = OutcomeMatrix.from_frame(table)
    assert (data.weight == 1).all()


def test_the_least_likely_of_the_outcomes_a_row_needs_gives_its_weight() -> None:
    weight = np.array([[1.0, 10.0, 1.0], [10.0, 10.0, 1.0], [1.0, 1.0, 1.0]])
    known = replace(evidence(np.zeros((3, 3)), np.ones((3, 3)), 2), weight=weight)
    one, two = np.array([0, 0, 0]), np.array([1, 2, 1])
    assert evidence(np.zeros((3, 3)), np.ones((3, 3)), 2).weights(one) is None
    assert known.weights(one).tolist() == [1, 10, 1]
    assert known.weights(one, two).tolist() == [10, 10, 1]
    assert known.weights(np.stack([one, two], axis=1)).tolist() == [[1, 10], [10, 1], [1, 1]]


def test_table_weighs_rows_that_were_run_by_chance() -> None:
    """60 rows of weight 1 where `small` loses nothing, 40 of weight 10 where it loses a quarter of the time: -.217, not
    -.1, is what a fresh prompt would lose."""
    quality = np.ones((100, 2))
    quality[60:70, 0] = 0.0
    weight = np.ones((100, 2))
    weight[60:, 0] = 10.0
    cost, zeros = np.tile([1.0, 5.0], (100, 1)), np.zeros(100, np.int64)
    same = {"margin": 0.16, "confidence": 0.9}
    recorded = Recorded(quality, cost, 1, group=np.arange(100), suite=zeros)
    plain = routing_table(recorded, np.ones((1, 2), bool), **same)
    heavy = routing_table(replace(recorded, weight=weight), np.ones((1, 2), bool), **same)
    assert (plain[0].verdict, plain[0].gain.value) == ("pass", pytest.approx(-0.1))
    assert (heavy[0].verdict, heavy[0].gain.value) == ("inconclusive", pytest.approx(-100 / 460))


def raced(frame: pd.DataFrame, after: int, floor: float, seed: int = 0) -> pd.DataFrame:
    """`small` leaves after so many samples and runs on with a random share of the rest."""
    ids = sorted(frame["sample_id"].unique())
    kept = np.random.default_rng(seed).random(len(ids)) < floor
    chance = {name: (1.0 if i < after else floor) for i, name in enumerate(ids)}
    run = {name for i, name in enumerate(ids) if i < after or kept[i]}
    small = frame["model"] == "small"
    part = frame[~small | frame["sample_id"].isin(run)].drop(columns=["weight", "inclusion"], errors="ignore")
    inclusion = np.where(part["model"] == "small", part["sample_id"].map(chance), 1.0)
    return validate_outcomes(part.assign(inclusion=inclusion))


def test_who_left_a_race_is_chosen_on_its_floor_and_the_floor_is_weighed() -> None:
    """The first 200 samples are all hard, so `small` leaves; easy ones come after, of which a tenth are run. A policy
    fitted on that routes the easy half of what is to come; without the weights, `small` would look hopeless."""
    world = two_kinds(4000, seed=5)
    hard = world["prompt"].str.startswith(HARD)
    order = pd.concat([world[hard].head(400), world.drop(world[hard].head(400).index)])
    order["sample_id"] = [f"t{i // 2:05d}" for i in range(len(order))]
    part = raced(order, 200, 0.1)
    recipe = Recipe.model_validate({"name": "r", "rule": {"margin": 0.05, "confidence": 0.9}, "holdout": 0})
    policy = fit_policy(recipe, part)
    certificate = policy.spec.certificate
    assert certificate["verdict"] == "pass" and certificate["points"]["default"]["shown"]
    every = replay(policy, two_kinds(2000, seed=6))
    assert every.savings > 0.225  # half of what always routing right would save
    assert every.quality - every.reference_quality > -0.05
    mine = next(row for row in certificate["fixed"] if row["model"] == "small")
    truth = float(order[order["model"] == "small"]["quality"].mean())
    assert mine["quality"] == pytest.approx(truth, abs=0.06)
    assert float(part[part["model"] == "small"]["quality"].mean()) < truth - 0.08


def test_the_certificate_says_whose_answers_were_cut_off() -> None:
    """A quarter of `small`'s answers whose end is known; nothing is said of `large`, of which none was."""
    world = two_kinds(100, seed=7).assign(cut_off=pd.NA)
    ends = {"s0001": True, "s0002": False, "s0003": False, "s0004": False}
    small = world["model"] == "small"
    world.loc[small, "cut_off"] = world.loc[small, "sample_id"].map(ends)
    world.loc[~small, "cut_off"] = False
    recipe = Recipe.model_validate(
        {"name": "r", "rule": {"margin": 0.05, "confidence": 0.9}, "fitter": "rates"}
    )
    fixed = fit_policy(recipe, validate_outcomes(world)).spec.certificate["fixed"]
    assert {row["model"]: row.get("cut_off") for row in fixed} == {"small": 0.25, "large": None}
