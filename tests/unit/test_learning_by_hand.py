"""What fitters learn from, by hand, and settings as they are: changes that `make mutants` made here went unnoticed."""

from __future__ import annotations

import datetime as dt
import json
import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats

from router_lab.config import Recipe
from router_lab.fit import certificate, coverage, out_of_fold, problem, rivals, spec
from router_lab.fit.choose import Option, _alike, _scores, constants, splits
from router_lab.fit.design import DENSE_WEIGHT, SIZES, Design, Given, _rarity
from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.fitters import irt, knn, neighbours
from router_lab.fit.fitters.blend import Blend, SuiteRates, _smear, by_column
from router_lab.fit.fitters.irt import one_factor
from router_lab.fit.fitters.knn import Neighbours
from router_lab.fit.fitters.neighbours import Reach, unit_rows
from router_lab.fit.fitters.tuning import _row_mean
from router_lab.fit.limits import _tails
from router_lab.fit.model import READS, Predicted
from router_lab.fit.rows import BITS, Rows, ridge
from router_lab.fit.sums import Sums, pooled, statistics
from router_lab.fit.table import Cell, routing_table, table_actions, without_suites
from router_lab.fit.task import OWN, SHARED, Task, dollars, to_units
from router_lab.fit.walk import walk
from router_lab.metrics import Estimate, twophase, verdict
from router_lab.metrics.paired import Recorded
from router_lab.metrics.together import ALIKE, FARTHEST, NODES, confidence_of_second
from router_lab.metrics.twophase import features, least_squares
from router_lab.runtime.features import DENSE, Z_UNIT
from router_lab.runtime.linear import cost_to_link
from router_lab.runtime.points import Assign

PROMPTS = ["red blue", "red green", "red blue green", None]


def bare(quality: Any, cost: Any, reference: int = 1, fold: Any = None, **more: Any) -> Evidence:
    known = Recorded(
        np.asarray(quality, np.float64),
        np.asarray(cost, np.float64),
        reference,
        group=np.arange(len(quality)),
        **more,
    )
    return Evidence.bare(known, fold=fold)


def test_settings_are_what_docs_and_benches_speak_of() -> None:
    assert (Blend().penalty, Blend().blend, Blend().rare, Blend().vector) == (
        (6, 6),
        (0.5, 0.5),
        (False, False),
        (1, 1),
    )
    assert (Blend.most, Neighbours.most, SuiteRates().blend) == (1.0, 4.0, (0.0, 0.0))
    assert (neighbours.POOL, neighbours.COMMON, neighbours.BITS, irt.LOADING) == (20_000, 1_000, 20, 20.0)
    assert (SHARED, OWN, SIZES, DENSE_WEIGHT) == (5.0, 20.0, (0.0, 0.3, 3.0), 0.1)
    assert (problem.NEAR, coverage.LEAST_COVERED, coverage.NEVER) == (0.05, 0.02, 2.0)
    assert (coverage.ROWS, coverage.SUITE_FOLDS, len(coverage.QUANTILES)) == (5_000, 5, 21)
    assert (FARTHEST, NODES, ALIKE) == (9.0, 1201, 0.9995)
    assert (twophase.SHRINKS, twophase.LEAST, twophase.WORTH) == ((4.0, 16.0, 64.0), 100, 0.05)
    assert (rivals.FIRST, rivals.READING, rivals.LEAST_AHEAD) == (0.85, 0.85, 0.005)
    assert Goal("quality", 0.7, 0.9).sure == pytest.approx(0.9) and Goal("margin", 0.1, 0.9).mix
    assert 2**BITS == 8 * Z_UNIT == 512
    assert certificate.PROCEDURE.keys() == {"margin", "strict"}


def test_a_policy_without_changes_of_vectors_does_not_speak_of_them() -> None:
    assert Blend().notes() == {"penalty": [6.0, 6.0], "blend": [0.5, 0.5]}
    assert Blend(vector=(0.3, 1.0)).notes()["vector"] == [0.3, 1.0]
    assert Neighbours(reaches=(Reach(10, 0.5), Reach(30, 2.0))).notes()["reaches"] == [[10, 0.5], [30, 2.0]]
    assert "reaches" not in knn.Neighbours().notes()


def test_points_share_one_error() -> None:
    recipe = Recipe.model_validate(
        {"name": "r", "reference": {"model": "m"}, "rule": {"margin": 0.1, "confidence": 0.9}, "expires": "2027-01-31",
         "points": {"cheap": {"budget_usd_per_1k": 4.0, "confidence": 0.8}, "good": {"min_quality": 0.7}}}
    )  # fmt: skip
    goals = out_of_fold._goals(recipe, 3)
    assert {name: (g.kind, g.level) for name, g in goals.items()} == {
        "default": ("margin", 0.1), "cheap": ("budget", 0.004), "good": ("quality", 0.7),
    }  # fmt: skip
    assert goals["default"].confidence == pytest.approx(1 - 0.1 / 3) and goals[
        "cheap"
    ].confidence == pytest.approx(1 - 0.2 / 3)
    assert goals["default"].compared == 3
    noted = spec._provenance(cast(Any, SimpleNamespace(recipe=recipe)), cast(Any, Blend()), 7)
    assert (
        json.loads(json.dumps(noted))["recipe"]["expires"] == dt.date(2027, 1, 31).isoformat()
        and noted["seed"] == 7
    )
    assert "seed" not in spec._provenance(cast(Any, SimpleNamespace(recipe=recipe)), cast(Any, Blend()), None)


# The matrix


def test_columns_are_scaled_by_rarity_and_length() -> None:
    """Three words in 3, 2 and 2 of 4 rows, then 13 byte counts, then two components."""
    design = Design.of(PROMPTS, np.array([[1.0, 2.0], [2.0, 1.0], [0.0, 0.0], [np.nan, np.nan]]))
    words, end = len(design.kept), len(design.kept) + len(DENSE)
    plain, rare = (design.scale(rare=flag, vector=3.0) for flag in (False, True))
    assert (plain[:end] == 1).all() and plain[end:].tolist() == rare[end:].tolist() == [3.0, 3.0]
    assert (
        (rare[:words] == design.rarity[:words]).all()
        and (rare[words:end] == 1).all()
        and (rare[:words] != 1).any()
    )
    assert design.vectors is not None and len(design) == 4
    assert design.vectors.present.tolist() == [True, True, True, False]
    hashed, dense, vector = design.split(np.ones((end + 2, 2), np.float32))
    assert (hashed == 1).all() and vector is not None
    assert dense == pytest.approx(DENSE_WEIGHT / Z_UNIT) and vector == pytest.approx(
        1 / math.sqrt(2) / Z_UNIT
    )
    assert Design.of(PROMPTS).split(np.ones((end, 2), np.float32))[2] is None


def test_rarity_has_a_root_mean_square_of_one() -> None:
    """Words of 1 and of 4 rows of 4: log 4 and 0, with a trace of .001 each."""
    found = _rarity(np.array([1, 4]), 4)
    raw = np.array([math.log(4) + 1e-3, 1e-3])
    assert found[:2] == pytest.approx(raw / math.sqrt((raw[0] ** 2 + 4 * raw[1] ** 2) / 5), rel=1e-6)
    assert (found[2:] == 1).all() and len(found) == 2 + len(DENSE)


def test_given_vectors_are_standardised_on_those_that_are_there() -> None:
    """Mean 2 and deviation 1; the second component never varies; a usual row has length 1."""
    given = Given.of(np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, 5.0]]))
    assert given.present.tolist() == [True, True, False] and given.weight == pytest.approx(1 / math.sqrt(2))
    assert given.numbers.tolist() == [[-Z_UNIT, 0.0], [Z_UNIT, 0.0], [0.0, 0.0]]
    assert given.standard.centre.tolist() == [2.0, 5.0] and given.standard.spread.tolist() == [1.0, 1.0]
    near, far = (
        Given.of(np.array([[at], [at + by]])).numbers.any() for at, by in ((0.0, 3e-9), (100.0, 1e-7))
    )
    assert near and not far  # a deviation of 1.5e-9 is one beside 1, and 5e-8 is none beside 100
    none = Given.of(np.full((2, 2), np.nan))
    assert none.standard.centre.tolist() == [0.0, 0.0] and not none.numbers.any()


def test_common_words_count_in_a_length_and_only_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows [1 1 0], [1 0 1], [1 0 0] of rarity 1 2 3; the first word is common: it is in no row, and in each length."""
    monkeypatch.setattr(neighbours, "COMMON", 2)
    words = sp.csr_array(np.array([[1.0, 1, 0], [1, 0, 1], [1, 0, 0]], np.float32))
    design = SimpleNamespace(
        kept=np.arange(3), rarity=np.array([1.0, 2.0, 3.0], np.float32), vectors=None,
        matrix=SimpleNamespace(words=words, numbers=np.zeros((3, len(DENSE)))),
    )  # fmt: skip
    found = unit_rows(cast(Any, design)).toarray()
    size = 2.0**neighbours.BITS
    expected = [[0, 2 * size / math.sqrt(5), 0], [0, 0, 3 * size / math.sqrt(10)], [0, 0, 0]]
    assert found.tolist() == np.rint(np.array(expected)).tolist()


def test_rows_times_and_back_are_the_matrix() -> None:
    words = sp.csr_array(np.array([[1.0, 1.0], [0.0, 1.0]], np.float32))
    rows = Rows(
        words, np.array([0.5, 1.0], np.float32), np.array([[2.0], [-4.0]]), np.array([0.25], np.float32)
    )
    plain = np.array([[0.5, 0.5, 0.5], [0.0, 1.0, -1.0]])
    by = np.array([2.0, 1.0, 3.0], np.float32)
    for matrix, dense in ((rows, plain), (rows.scaled(by), plain * by)):
        put, got = np.array([[1.0], [2.0], [3.0]], np.float32), np.array([[1.0], [2.0]], np.float32)
        assert matrix.times(put) == pytest.approx(dense @ put, rel=1e-5)
        assert matrix.back(got) == pytest.approx(dense.T @ got, rel=1e-5)
        assert matrix.gram(got) == pytest.approx(dense @ dense.T @ got, rel=1e-5)
    assert rows.scaled(np.array([1.0, 1.0, 3.0], np.float32)).rarity is None


# What is learned


def one(values: list[float]) -> Rows:
    """A column of whole numbers."""
    words = sp.csr_array((len(values), 0), dtype=np.float32)
    return Rows(words, np.ones(len(values), np.float32), np.array(values)[:, None], np.ones(1, np.float32))


def test_one_column_of_a_ridge_by_hand() -> None:
    """Centred -1 0 1 of targets 1 2 4: 3 / (2 + 1), mean 7/3."""
    found = ridge(one([1.0, 2.0, 3.0]), np.array([[1.0], [2.0], [4.0]]), np.ones((3, 1)), np.array([1.0]))
    assert float(found.coefficients[0, 0]) == pytest.approx(1.0, rel=1e-3)
    assert float(found.intercept[0]) == pytest.approx(7 / 3 - 2, rel=1e-2)
    none = ridge(one([1.0, 2.0, 3.0]), np.ones((3, 1)), np.zeros((3, 1)), np.array([1.0]))
    assert not none.coefficients.any() and not none.intercept.any()


def test_one_direction_for_all_candidates() -> None:
    """Both fall by .5 from row to row: departures of either are the common ones, so slopes are 1; costs have their own."""
    targets = np.array([[0.9, 0.7, 1.0, 3.0], [0.4, 0.2, 2.0, 3.0], [-0.1, -0.3, 3.0, 3.0]])
    found = one_factor(one([1.0, 2.0, 3.0]), targets, np.ones((3, 4)), np.ones(4))
    # of sums -1, -1, 2 and 0, over 2 + 1
    assert found.coefficients[0] == pytest.approx([-1 / 3, -1 / 3, 2 / 3, 0], abs=1e-4)
    assert found.intercept == pytest.approx([0.4 + 2 / 3, 0.2 + 2 / 3, 2 - 4 / 3, 3], abs=1e-4)


def test_slopes_are_shrunk_towards_one() -> None:
    """Departures ±.6 and ±.2, in common ±.4: a prior of 20 * .16. Slopes (.24 + 3.2) / (.08 + 3.2) and / (.72 + 3.2)."""
    targets = np.array([[1.0, 0.6, 0.0, 0.0], [-0.2, 0.2, 0.0, 0.0]])
    found = one_factor(one([1.0, -1.0]), targets, np.ones((2, 4)), np.full(4, 2.0))
    slope = np.array([3.44 / 3.28, 3.44 / 3.92])
    assert found.coefficients[0, :2] == pytest.approx(0.2 * slope, rel=1e-4)  # .8 / (2 + 2)
    assert found.intercept[:2] == pytest.approx([0.4, 0.4], abs=1e-5)


def test_smearing_makes_mean_costs_right() -> None:
    predicted = np.full((2, 1), cost_to_link(np.array([0.01]), "log2ish")[0])
    shift = _smear(predicted, np.array([[0.02], [0.06]]), np.ones((2, 1)))
    assert float(shift[0]) == pytest.approx(2.0, rel=1e-6)  # four times as much
    assert _smear(predicted, np.zeros((2, 1)), np.ones((2, 1))).tolist() == [0.0]
    weighted = _smear(predicted, np.array([[0.02], [np.nan]]), np.array([[3.0], [0.0]]))
    assert float(weighted[0]) == pytest.approx(1.0, rel=1e-6)
    assert by_column((1.0, 2.0), 2).tolist() == [1, 1, 2, 2]


def test_row_means_are_weighted() -> None:
    assert _row_mean(np.array([[1.0, 3.0], [1.0, 1.0]]), np.array([[3.0, 1.0], [0.0, 0.0]])).tolist() == [
        [1.5],
        [0.0],
    ]


def task(**more: Any) -> Any:
    known = {
        "half": 1, "targets": np.array([[0.8, 1.0], [0.4, 1.0]]), "weights": np.ones((2, 2)), "suite": np.array([1, 1]),
        "suites": 1, "bounds": np.array([[0.01], [0.05]]), "texts": np.array([True, True]),
    }  # fmt: skip
    return SimpleNamespace(**(known | more))


def test_units_are_clipped() -> None:
    link = cost_to_link(np.array([0.001, 0.02, 1.0]), "log2ish")
    quality, cost = to_units(task(), np.column_stack([[-0.1, 0.5, 1.1], link]))
    assert quality.ravel().tolist() == [0.0, 0.5, 1.0] and cost.ravel() == pytest.approx([0.01, 0.02, 0.05])
    assert dollars(np.array([-1.0])) == pytest.approx(dollars(np.array([0.0])))


def test_what_reads_nothing_predicts_by_suite_alone() -> None:
    rates, text = np.array([[0.5, 1.0]] * 2), np.array([[0.2, 0.0], [-0.2, 0.0]])
    made = Predicted(task(), rates, text, np.zeros(2), np.array([0.5, 0.0]), 0)
    assert list(made.found) == [READS, "rates"]
    assert made.found[READS][0].ravel() == pytest.approx([0.6, 0.4])
    assert list(Predicted(task(), rates, text, np.zeros(2), np.zeros(2), 0).found) == ["rates"]
    silent = task(texts=np.array([False, False]))
    assert list(Predicted(silent, rates, text, np.zeros(2), np.array([0.5, 0.0]), 0).found) == ["rates"]
    known = made.knowing(np.array([True, False]))["rates"][0]
    assert known.ravel() == pytest.approx([0.8, 0.8])  # the only row that is known is the mean


def test_task_of_outcomes() -> None:
    data = SimpleNamespace(
        quality=np.array([[1.0, np.nan], [0.5, 1.0]]), cost_usd=np.array([[0.01, np.nan], [0.03, np.nan]]),
        weight=np.array([[2.0, 1.0], [1.0, 1.0]]), prompts=["a", None], suite=np.array([0, 1]), suites=("x", "y"),
        group=np.arange(2),
    )  # fmt: skip
    found = Task.of(cast(Any, data), cast(Any, SimpleNamespace(vectors=None)))
    assert found.weights.tolist() == [[2, 0, 2, 0], [1, 1, 1, 0]] and found.suite.tolist() == [1, 2]
    assert found.bounds.tolist() == [[0.01, 0.0], [0.03, 0.0]] and found.texts.tolist() == [True, False]
    assert found.half == 2 and found.suites == 2
    given = SimpleNamespace(vectors=SimpleNamespace(present=np.array([False, True])))
    assert Task.of(cast(Any, data), cast(Any, given)).texts.all()


# Choosing


def seen_of(evidence: Evidence) -> Recorded:
    return Recorded(evidence.quality, evidence.cost_usd, evidence.reference, group=evidence.group)


def test_statistics_and_scores_by_hand() -> None:
    """Four rows in two folds, all to cheap: gains -1 0 0 0, spared .09 of .1 each."""
    seen = bare([[0, 1], [1, 1], [1, 1], [1, 1]], [[0.01, 0.1]] * 4, fold=np.array([0, 0, 1, 1]))
    goal = Goal("margin", 0.9, 0.9)
    found = statistics(np.zeros((1, 4), np.int16), seen, goal)
    assert found.shape == (1, 2, len(Sums._fields))
    #                                m  share  s  ss  sm mm sss ssm smm mmm gained base heaviest
    assert found[0, 0] == pytest.approx([2, 2, -1, 1, -1, 2, -1, 1, -1, 2, 0.18, 0.2, 1])
    whole = pooled(found)
    assert np.array(whole)[:, 0] == pytest.approx(
        [4, 4, -1, 1, -1, 4, -1, 1, -1, 4, 0.36, 0.4, 1]
    ) and _alike(whole).tolist() == [4]
    start = pooled(statistics(np.ones((1, 4), np.int16), seen, goal)[0])
    none = bare(np.ones((40, 2)), [[0.01, 0.1]] * 40)
    sums = pooled(statistics(np.zeros((1, 40), np.int16), none, goal))
    base = pooled(statistics(np.ones((1, 40), np.int16), none, goal)[0])
    assert _scores(sums, base, goal, 1.0).tolist() == pytest.approx([0.9])  # nothing is lost: all of it
    part = _scores(whole, start, goal, 1.0)[0]
    assert 0 < part < 0.9
    assert _scores(whole, start, Goal("margin", 0.9, 0.9, mix=False), 1.0).tolist() == [0.0]


def test_a_candidate_for_everything_spares_a_thousandth() -> None:
    quality = np.ones((4, 4))
    quality[:, 0] = 0.5
    seen = bare(quality, np.tile([0.01, 0.09995, 0.09985, 0.1], (4, 1)), reference=3)
    options, actions = constants(seen, Goal("margin", 0.1, 0.9))
    assert [option.column for option in options] == [0, 2] and actions.tolist() == [[0] * 4, [2] * 4]
    assert options[0].tradeoff == pytest.approx(10 / 1e-3 / 0.1)
    assert constants(seen, Goal("budget", 0.1, 0.9))[0] == []
    shut = np.ones((4, 4), bool)
    shut[:, 2] = shut[:3, 0] = (
        False  # who may be chosen on one row is tried there, and who may on none is not
    )
    options, actions = constants(Evidence.bare(seen_of(seen), eligible=shut), Goal("margin", 0.1, 0.9))
    assert [option.column for option in options] == [0] and actions.tolist() == [[3, 3, 3, 0]]
    better = bare([[1.0, 0.5]] * 4, [[0.2, 0.1]] * 4)
    assert constants(better, Goal("budget", 0.3, 0.9))[0] == [Option("fixed", 0.0, 0.0, 0)]


@pytest.mark.parametrize(("folds", "halves"), [(1, 1), (2, 1), (3, 2), (4, 3), (6, 10)])
def test_halves_are_counted(folds: int, halves: int) -> None:
    assert len(splits(np.arange(folds))) == halves
    assert all(len(a) + len(b) == folds and len(a) - len(b) in (0, 1) for a, b in splits(np.arange(folds)))


def test_twenty_clusters_are_enough_to_walk() -> None:
    for n, mix in ((19, 0.0), (20, 1.0)):
        seen = bare(np.ones((n, 2)), [[0.01, 0.1]] * n)
        found = walk(np.zeros((n, 1), np.int64), seen, Goal("margin", 0.9, 0.9))
        assert (found.mix, found.at, found.tested) == (mix, 1.0, 50 if mix else 0)


def test_a_walk_within_a_budget_weighs_its_rows() -> None:
    """Half of 60 rows stand for three: 120 / 3 alike. Of .02 dollars .01 is left at once, and all of it in the end."""
    weight = np.ones((60, 2))
    weight[:30, 0] = 3.0
    seen = bare(np.ones((60, 2)), [[0.0, 0.01]] * 60, weight=weight)
    found = walk(np.zeros((60, 1), np.int64), seen, Goal("budget", 0.02, 0.9))
    assert (found.mix, found.tested, found.estimate.independent, found.estimate.n) == (1.0, 51, 40, 60)
    assert found.estimate.value == 1.0
    start = walk(np.ones((60, 1), np.int64), seen, Goal("budget", 0.005, 0.9))
    assert (start.mix, start.tested, start.at, start.estimate.value) == (-1.0, 1, 0.0, -1.0)


def test_what_is_lost_to_the_infrastructure_is_not_settled_by_more() -> None:
    open_ = Estimate(0.0, 0.1, 100, 100)
    assert verdict(open_, -0.01, 0.9, infra=0.01).samples_needed is not None
    assert verdict(open_, -0.01, 0.9, infra=0.011).samples_needed is None
    assert verdict(Estimate(0.0, 0.001, 100, 100), -0.1, 0.9).samples_needed is None


def test_second_tests_share_what_is_left() -> None:
    """Independent: the whole error less the first's. In between, by the normal distribution of both."""
    assert (
        confidence_of_second(0.9, 0.95, 0.0) == pytest.approx(0.95) == confidence_of_second(0.9, 0.95, -0.5)
    )
    assert confidence_of_second(0.9, 0.95, 0.9995) == 0.9
    second = confidence_of_second(0.9, 0.95, 0.5)
    z = [stats.norm.ppf(0.95), stats.norm.ppf(second)]
    both = stats.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]]).cdf(z)
    assert both == pytest.approx(0.9, abs=1e-5)


# Tables, limits and regressions


def test_a_table_by_hand() -> None:
    """Suite 0: cheap loses nothing of 40 rows; suite 1: it loses all; suite 2 has ten rows; in suite 3 it is closed."""
    suite = np.repeat([0, 1, 2, 3], [40, 40, 10, 40])
    quality = np.column_stack([(suite != 1).astype(float), np.ones(130)])
    known = Recorded(quality, np.tile([0.01, 0.1], (130, 1)), 1, group=np.arange(130), suite=suite)
    eligible = np.array([[True, True]] * 3 + [[False, True]])
    cells = routing_table(known, eligible, margin=0.2, confidence=0.9)
    assert [(c.suite, c.column, c.verdict) for c in cells] == [
        (0, 0, "pass"),
        (1, 0, "fail"),
        (2, 0, "inconclusive"),
    ]
    assert cells[2].p == 1.0 and cells[0].gain.n == 40
    assert table_actions(cells, suite, 1).tolist() == [0] * 40 + [1] * 90
    closed = without_suites(cells, [0, 1])
    assert [c.verdict for c in closed] == ["inconclusive", "fail", "inconclusive"]
    assert [c.verdict for c in without_suites(cells, [1])] == [c.verdict for c in cells]
    assert isinstance(cells[0], Cell)
    dear = Recorded(quality, np.tile([0.1, 0.1], (130, 1)), 1, group=np.arange(130), suite=suite)
    assert routing_table(dear, eligible, margin=0.2, confidence=0.9) == []


def test_of_those_that_passed_the_one_that_spares_most_is_taken() -> None:
    quality, cost = np.ones((60, 3)), np.tile([0.02, 0.01, 0.1], (60, 1))
    known = Recorded(quality, cost, 2, group=np.arange(60), suite=np.zeros(60, np.int64))
    (cell,) = routing_table(known, np.ones((1, 3), bool), margin=0.3, confidence=0.9)
    assert (cell.column, cell.verdict) == (1, "pass")


def test_tails_lie_between_two_values() -> None:
    """Of 0 ... 100 the 99th percentile is 99; of 0 and 1 it is .99; of one value that."""
    cells, tail, count = _tails(np.array([*range(101), 0.0, 1.0, 7.0]), np.array([2] * 101 + [0, 0, 5]))
    assert (cells.tolist(), count.tolist()) == ([0, 2, 5], [2, 101, 1])
    assert tail.tolist() == pytest.approx([0.99, 99.0, 7.0])


def test_fallbacks_are_the_best_first_the_cheaper_of_equals() -> None:
    data = SimpleNamespace(
        quality=np.array([[0.5, 0.9, 0.9]]), cost_usd=np.array([[0.1, 0.3, 0.2]]), weight=None
    )
    assert spec.fallbacks_of(cast(Any, SimpleNamespace(develop=data))) == (2, 1, 0)


def test_least_squares_shrink_slopes_and_no_mean() -> None:
    """Standardised -1 1 and values 1 3: a slope of 2 / (2 + 2) beside 2; a feature that never varies is left out."""
    found = least_squares(
        np.array([[0.0, 5.0], [2.0, 5.0]]), np.array([1.0, 3.0]), np.array([[2.0, 5.0], [4.0, 9.0]]), 2.0
    )
    assert found.tolist() == pytest.approx([2.5, 3.5])
    still = least_squares(np.zeros((2, 1)), np.array([1.0, 3.0]), np.ones((3, 1)))
    assert still.tolist() == [2.0, 2.0, 2.0]
    assert features(np.array([[1.0], [3.0]])).tolist() == [[1.0], [3.0]]
    assert features(np.array([[1.0, 5.0], [3.0, np.nan]])).tolist() == [[1, 5, 1, 5], [3, 5, 3, 5]]
    assert features(np.zeros((2, 0))).shape == (2, 0)


@pytest.mark.parametrize(("cover", "acts", "reads", "kept"),
                         [(0.5, False, False, True), (0.0, False, False, False), (0.5, False, True, False),
                          (0.5, True, False, None)])  # fmt: skip
def test_a_choice_that_is_not_shown_is_idle_or_leaves_the_table_idle(
    cover: float, acts: bool, reads: bool, kept: bool | None
) -> None:
    """What goes by the suite was judged without the table, so where that could be asked all go to the reference."""
    eligible = np.ones((3, 2), bool)
    option = Option(READS if reads else "fixed", 0.0, 0.0, None if reads else 0)
    choice = SimpleNamespace(
        acts=acts, by_suite=not reads, mix=0.4, pieces=((0.25, option), (0.5, None), (0.25, option))
    )
    fitted = SimpleNamespace(
        coverage=cover, problem=SimpleNamespace(reference=1, eligible=eligible), rates=(eligible * 1.0, eligible * 1.0),
        task=SimpleNamespace(texts=np.array([True])),
    )  # fmt: skip
    found = spec._point(cast(Any, fitted), cast(Any, choice), cast(Any, None))
    wanted = {True: (Assign((1, 1, 1)),), False: spec.IDLE, None: (Assign((0, 0, 0), 0.2),)}
    assert found == wanted[kept]
