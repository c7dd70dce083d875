"""Which settings a fitter takes, what neighbours and rivals do, and what a fit says of itself, by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from router_lab.certificate import Certificate
from router_lab.config import Recipe
from router_lab.fit import certificate as certifying
from router_lab.fit import reproduce, rivals
from router_lab.fit.certificate import _fixed, _two_phase, digest, smallest_margin, with_test
from router_lab.fit.choose import Option, Piece, _alike, _scores, act, choose, family
from router_lab.fit.drawn import completed
from router_lab.fit.evidence import Evidence, Goal, Phases
from router_lab.fit.fitters import neighbours, tuning
from router_lab.fit.fitters.blend import Blend
from router_lab.fit.fitters.irt import one_factor
from router_lab.fit.fitters.neighbours import Neighbourhood, Reach, nearest, unit_rows
from router_lab.fit.limits import _bounds, _real, _whole, limits_of
from router_lab.fit.model import READS, Model, crossfit
from router_lab.fit.problem import diagnose, prepare
from router_lab.fit.rivals import Rivals, correlation
from router_lab.fit.rows import Ridge, Rows, _centred, _mean, product, ridge, whole
from router_lab.fit.sums import pooled, statistics
from router_lab.fit.table import routing_table
from router_lab.fit.task import suite_rates
from router_lab.fit.walk import walk
from router_lab.metrics import Estimate, certifiable_margin
from router_lab.metrics.paired import Recorded
from router_lab.runtime.features import DENSE
from router_lab.runtime.model import Candidate
from tests.fit_worlds import constant

CHEAP, DEAR = Candidate("cheap", "low"), Candidate("dear")
MARGIN = Goal("margin", 0.1, 0.9)


def bare(quality: Any, cost: Any, reference: int = 1, **more: Any) -> Evidence:
    values = np.asarray(quality, np.float64)
    known = Recorded(
        values, np.asarray(cost, np.float64), reference, group=np.arange(len(values)),
        suite=np.zeros(len(values), np.int64),
    )  # fmt: skip
    return Evidence.bare(known, **more)


# Settings


def tuned(
    monkeypatch: pytest.MonkeyPatch, explained: Any, *, vectors: bool = False, most: float = 1.0
) -> Blend:
    """Settings where `explained(settings)` says the products of quality and of cost: (sum d r, sum d d) each."""
    tried: list[Blend] = []

    def products(task: Any, folds: Any, rows: Any, settings: Blend) -> Any:
        assert (
            settings not in tried and settings.blend == Blend().blend
        )  # each is fitted once, whatever is followed
        tried.append(settings)
        return np.transpose(explained(settings))

    monkeypatch.setattr(tuning, "_products", products)
    task = SimpleNamespace(
        texts=np.array([True, False]), targets=np.zeros((4, 2)), half=1,
        design=SimpleNamespace(vectors=object() if vectors else None),
    )  # fmt: skip
    base = Blend() if most == 1.0 else cast(Any, type("Wide", (Blend,), {"most": most}))()
    return tuning.tuned(base, cast(Any, task), np.array([0, 1, 0, 1]), 0)


def test_where_nothing_is_told_or_left_out_nothing_is_followed() -> None:
    task: Any = SimpleNamespace(texts=np.array([False]), targets=np.zeros((4, 2)), half=1)
    for texts, folds in ((False, [0, 1, 0, 1]), (True, [0, 0, 0, 0])):
        task.texts = np.array([texts])
        found = tuning.tuned(Blend(), task, np.array(folds), 0)
        assert found == replace(Blend(), blend=(0.0, 0.0))


def test_quality_and_cost_have_settings_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quality is explained best at 10, cost at 100, rare words help cost alone: blends 3 / 4 and 1."""

    def explained(settings: Blend) -> Any:
        quality = (3.0, 4.0) if settings.penalty[0] == 10.0 and not settings.rare[0] else (1.0, 4.0)
        cost = (5.0, 4.0) if settings.penalty[1] == 100.0 and settings.rare[1] else (2.0, 4.0)
        return [quality, (cost[0] + (settings.penalty[1] == 100.0), cost[1])]

    found = tuned(monkeypatch, explained)
    assert (found.penalty, found.rare, found.vector) == ((10.0, 100.0), (False, True), (1.0, 1.0))
    assert found.blend == pytest.approx((0.75, 1.0))
    wide = tuned(monkeypatch, explained, most=4.0)
    assert wide.blend == pytest.approx((0.75, 1.5))


def test_vectors_are_tried_at_other_lengths_and_then_at_other_penalties(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Shorter ones suit quality, longer ones cost, which then wants 1.5 instead of 4."""

    def explained(settings: Blend) -> Any:
        best = (4.0, 1.5 if settings.vector[1] == 3.0 else 4.0)
        longer = (settings.vector[0] == 0.3, settings.vector[1] == 3.0)
        return [(1.0 + (settings.penalty[i] == best[i]) + 1.5 * longer[i], 9.0) for i in range(2)]

    found = tuned(monkeypatch, explained, vectors=True)
    assert (found.vector, found.penalty) == ((0.3, 3.0), (4.0, 1.5))
    assert tuned(monkeypatch, explained).vector == (1.0, 1.0)


def test_of_equals_the_first_setting_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    found = tuned(monkeypatch, lambda settings: [(1.0, 4.0), (0.0, 4.0)])
    assert (found.penalty, found.rare, found.blend) == ((1.5, 1.5), (False, False), (0.25, 0.0))


def test_products_are_of_rows_left_out() -> None:
    """Each fold is fitted on the others: of rows 0 to 3 (of five) two by two; a fold with nothing of them adds none."""
    asked = []

    class Settings:
        def fit(self, task: Any, train: Any) -> Any:
            asked.append(train.tolist())
            return SimpleNamespace(
                parts=lambda task, out: (np.full((len(out), 2), 0.5), np.full((len(out), 2), 2.0))
            )

    task = SimpleNamespace(half=1, targets=np.ones((5, 2)), weights=np.ones((5, 2)), texts=np.ones(5, bool))
    found = tuning._products(cast(Any, task), np.array([0, 0, 2, 2, 1]), np.arange(4), cast(Any, Settings()))
    assert asked == [[2, 3], [0, 1]]
    assert found.tolist() == [[4 * 2 * 0.5] * 2, [4 * 4.0] * 2]


def test_one_candidate_has_no_differences() -> None:
    task = SimpleNamespace(half=1, weights=np.array([[2.0, 1.0]]), texts=np.array([True]))
    found = tuning.agreement(cast(Any, task), np.array([0]), np.array([[0.5, 2.0]]), np.array([[0.25, 3.0]]))
    assert found.tolist() == [[2 * 0.5 * 0.25, 6.0], [2 * 0.25, 4.0]]


# Models


def test_factors_are_the_mean_of_the_folds() -> None:
    """Each fold is predicted by a fit on the other; smearing is averaged column by column."""

    class Fake:
        def fit(self, task: Any, rows: Any) -> Any:
            at = float(rows[0])
            return SimpleNamespace(
                factor=np.array([0.0, at]), blend=np.array([0.5, 0.25]),
                parts=lambda task, out: (np.full((len(out), 2), at), np.full((len(out), 2), -at)),
            )  # fmt: skip

    task: Any = SimpleNamespace(targets=np.zeros((4, 2)), design=SimpleNamespace(heads=None))
    found = crossfit(task, np.array([0, 0, 1, 1]), cast(Any, Fake()), 0)
    assert found.factor.tolist() == [0.0, 1.0] and found.blend.tolist() == [0.5, 0.25]
    assert found.rates[:, 0].tolist() == [2, 2, 0, 0] and found.text[:, 1].tolist() == [-2, -2, 0, 0]


def test_a_model_by_its_parts() -> None:
    matrix = Rows(
        sp.csr_array((2, 0), dtype=np.float32),
        np.ones(2, np.float32),
        np.array([[1.0], [2.0]]),
        np.ones(1, np.float32),
    )
    text = Ridge(np.array([[1.0, 10.0]], np.float32), np.array([0.5, 0.0], np.float32))
    model = Model(
        np.array([[0.5, 3.0], [0.25, 4.0]]),
        text,
        np.array([[1.0, 1.0], [2.0, 2.0]]),
        np.array([0.0, 1.0]),
        np.ones(2),
    )
    task: Any = SimpleNamespace(design=SimpleNamespace(matrix=matrix), suite=np.array([1, 0]))
    rates, departed = model.parts(task, np.array([0, 1]))
    assert rates.tolist() == [[0.25, 5.0], [0.5, 4.0]] and departed.tolist() == [[-0.5, 8.0], [1.5, 19.0]]


def test_suite_rates_are_shrunk_twice() -> None:
    """Suites of 5 rows at 1 and at 0, one column of quality: pooled 1/2, shared prior ±.5 * 5 / 10, own 20 rows."""
    targets, weights = np.repeat([[1.0, 0.0]], 10, axis=0), np.ones((10, 2))
    targets[5:, 0] = 0.0
    found = suite_rates(targets, weights, np.repeat([1, 2], 5), 2)
    own = 0.5 + (2.5 + 20 * 0.25) / 25
    assert found[:, 0].tolist() == pytest.approx([0.5, own, 1 - own]) and (found[:, 1] == 0).all()


def test_a_mean_of_one_row_is_that_row() -> None:
    assert _mean(np.array([[3.0, 5.0]], np.float32)).tolist() == [3.0, 5.0]
    assert _mean(np.zeros((0, 2), np.float32)).tolist() == [0.0, 0.0]
    assert _centred(np.array([[1.0], [3.0]], np.float32)).tolist() == [[-1.0], [1.0]]
    assert product(np.array([[1.0, 2.0]]), 2, np.array([[0.5], [0.25]])).tolist() == [[1.0]]
    assert whole(np.zeros((2, 1)), 4)[0].tolist() == [[0.0], [0.0]] and whole(np.zeros((0, 1)), 4)[
        0
    ].shape == (0, 1)


def one(values: list[float]) -> Rows:
    words = sp.csr_array((len(values), 0), dtype=np.float32)
    return Rows(words, np.ones(len(values), np.float32), np.array(values)[:, None], np.ones(1, np.float32))


def test_a_ridge_weighs_rows_and_leaves_out_those_without_weight() -> None:
    """Weights 1 1 0 of targets 0 2 99 at -1 1 0: mean 1, slope 2 / (2 + 2)."""
    found = ridge(
        one([-1.0, 1.0, 0.0]),
        np.array([[0.0], [2.0], [99.0]]),
        np.array([[1.0], [1.0], [0.0]]),
        np.array([2.0]),
    )
    assert float(found.coefficients[0, 0]) == pytest.approx(0.5, rel=1e-2)
    assert float(found.intercept[0]) == pytest.approx(1.0, rel=1e-2)
    few = ridge(one([-1.0, 1.0]), np.array([[0.0], [2.0]]), np.ones((2, 1)), np.array([2.0]), steps=0)
    assert few.coefficients.tolist() == [[0.0]] and few.intercept.tolist() == [1.0]


def test_one_factor_leaves_out_who_did_not_run() -> None:
    """Of the last row nothing is known: neither means nor slopes nor the direction change."""
    targets = np.array([[1.0, 0.6, 1.0, 1.0], [-0.2, 0.2, 3.0, 1.0], [9.0, 9.0, 2.0, 1.0]])
    weights = np.ones((3, 4))
    weights[2, :2] = 0.0
    found = one_factor(one([1.0, -1.0, 0.0]), targets, weights, np.full(4, 2.0))
    prior = 20 * 0.32 / 3  # common .4 and -.4 of three rows
    slope = np.array([(0.24 + prior) / (0.08 + prior), (0.24 + prior) / (0.72 + prior)])
    assert found.coefficients[0, :2] == pytest.approx(0.2 * slope, rel=1e-3)
    assert found.intercept[:2] == pytest.approx([0.4, 0.4], abs=1e-4)
    assert (
        found.coefficients[0, 2] == pytest.approx(-0.5, rel=1e-3) and found.coefficients.dtype == np.float32
    )


# Neighbours


def test_the_nearest_by_hand() -> None:
    """Rows along 1, along 1 and 2, along 2, and one longer than 1 by rounding: who is of the same group is at 0."""
    size = 2**neighbours.BITS
    unit = sp.csr_array(
        np.array([[size, 0], [3 * size // 5, 4 * size // 5], [0, size], [size + 8, 0]], np.float64)
    )
    found = nearest(unit, np.array([0, 2]), np.array([0, 1, 2, 3]), np.array([0, 1, 2, 3]), 2)
    assert found.rows.tolist() == [[3, 1], [1, 0]]  # nobody else is near row 2: the earliest of those at 0
    assert found.closeness.ravel() == pytest.approx([1.0, 0.6, 0.8, 0.0], abs=1e-5)
    assert nearest(unit, np.array([3]), np.arange(3), np.array([0, 1, 2, 3]), 9).closeness.max() == 1.0
    grouped = nearest(unit, np.array([0]), np.arange(4), np.array([0, 1, 2, 0]), 1)
    assert grouped.rows.tolist() == [[1]] and grouped.closeness[0, 0] == pytest.approx(0.6, abs=1e-5)
    alone = nearest(unit, np.array([0]), np.array([1]), np.arange(4), 5)
    assert alone.rows.tolist() == [[1]]


def test_opposite_vectors_are_as_far_as_strangers() -> None:
    size = 2**neighbours.BITS
    unit = sp.csr_array(np.array([[size], [-size], [size]], np.float64))
    found = nearest(unit, np.array([0]), np.array([1, 2]), np.arange(3), 2)
    assert found.rows.tolist() == [[2, 1]] and found.closeness.tolist() == [[1.0, 0.0]]


def test_blocks_of_rows_are_asked_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", 2)
    unit = sp.csr_array(np.eye(5)[[0, 1, 2, 0, 1]] * 2**neighbours.BITS)
    found = nearest(unit, np.arange(5), np.arange(5), np.arange(5), 1)
    assert found.rows[:, 0].tolist() == [3, 4, 0, 0, 1] and found.closeness[:, 0].tolist() == [1, 1, 0, 1, 1]


def test_words_and_vectors_are_half_each_where_a_row_has_both() -> None:
    words = sp.csr_array(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], np.float32))
    numbers = np.hstack([np.full((3, len(DENSE)), 7.0), np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 2.0]])])
    design: Any = SimpleNamespace(
        kept=np.arange(2), rarity=np.ones(2 + len(DENSE), np.float32), vectors=object(),
        matrix=SimpleNamespace(words=words, numbers=numbers),
    )  # fmt: skip
    size, half = 2.0**neighbours.BITS, 2.0**neighbours.BITS / math.sqrt(2)
    wanted = [[half, 0, 0.6 * half, 0.8 * half], [0, size, 0, 0], [0, 0, 0, size]]
    assert unit_rows(design).toarray() == pytest.approx(np.array(wanted), abs=1.0)


def test_neighbours_are_sought_in_a_pool_and_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    words = sp.csr_array(np.ones((6, 1), np.float32))
    design: Any = SimpleNamespace(
        kept=np.arange(1), rarity=np.ones(1, np.float32), vectors=None,
        matrix=SimpleNamespace(words=words, numbers=np.zeros((6, len(DENSE)))),
    )  # fmt: skip
    near = Neighbourhood(design, np.arange(6))
    assert near.near(np.array([0]), np.arange(1, 6), 9).rows.shape == (1, 5)
    monkeypatch.setattr(neighbours, "POOL", 3)
    some = near.near(np.array([0]), np.arange(1, 6), 9).rows[0]
    assert len(set(some.tolist())) == 3 and near.near(np.array([0]), np.arange(1, 4), 9).rows.shape == (1, 3)
    residual, weights = np.array([[1.0, 2.0]] * 6), np.ones((6, 2))
    found = near.among(np.arange(3), residual, weights, (Reach(1, 1.0), Reach(2, 2.0)))
    assert found == pytest.approx(np.array([[0.5, 1.0]] * 3), abs=1e-5)  # 1 / (1 + 1), and 4 / (2 + 2)
    assert near.among(np.arange(3), 9 * residual, weights, (Reach(1, 1.0), Reach(2, 2.0))) is found


# Rivals


class Fake(SimpleNamespace):
    """A choice that walks to `to(confidence)`, and remembers at which confidence it was tested."""

    def tested(self, confidence: float) -> Fake:
        return Fake(**(vars(self) | {"sure": confidence, "mix": self.to(confidence)}))


def pair(
    monkeypatch: pytest.MonkeyPatch, whole_to: Any, mix_to: Any, *, lead: float = 1.0, alike: float = 0.0,
    promising: tuple[bool, bool] = (True, True), reads: bool = False, goal: Goal = MARGIN,
) -> Rivals:  # fmt: skip
    """Rivals of which the choice among all and the mix walk so far, at an error of .1 (of which .85 where one reads)."""
    asked: list[tuple[int, Goal]] = []

    def choosing(options: Any, actions: Any, evidence: Any, careful: Goal, acting: Any = None) -> Any:
        asked.append((len(options), careful))
        first = len(asked) == 1
        return Fake(
            name="mix" if first else "all",
            promising=promising[first],
            to=mix_to if first else whole_to,
            mix=0.0,
        )

    monkeypatch.setattr(rivals, "choose", choosing)
    monkeypatch.setattr(rivals, "kept", lambda choice: choice)
    monkeypatch.setattr(rivals, "correlation", lambda one, other: alike)
    monkeypatch.setattr(rivals, "ahead", lambda one, other: lead if one.name != other.name else 0.0)
    options = [Option(READS if reads else "rates", 0.0, 0.0)]
    seen = bare(np.ones((2, 2)), np.ones((2, 2)))
    none = np.zeros((1, 2), np.int16)
    found = rivals.rivals(options, none, [Option("fixed", 0.0, 0.0, 0)], none, seen, goal)
    assert [n for n, _ in asked] == [1, 2]
    assert all(
        (one.confidence, one.promised) == pytest.approx(((1 + goal.sure) / 2, 0.9)) for _, one in asked
    )
    return found


def told(found: Rivals) -> Any:
    return [(one.name, pytest.approx(one.sure)) for one in cast(Any, found)]


def test_the_choice_among_all_takes_its_part_of_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """.85 of .1 for the choice, beside the mix tested alike; of strangers the mix has what is left."""
    some = lambda confidence: 0.5
    assert told(pair(monkeypatch, some, some)) == [("all", 0.915), ("mix", 0.915)]
    assert told(pair(monkeypatch, some, some, lead=0.005)) == [("mix", 0.985)] * 2
    assert told(pair(monkeypatch, some, some, lead=0.0051)) == [("all", 0.915), ("mix", 0.915)]
    assert told(pair(monkeypatch, some, some, reads=True)) == [
        ("all", 1 - 0.85 * 0.085),
        ("mix", 1 - 0.85 * 0.085),
    ]
    assert told(pair(monkeypatch, some, some, alike=1.0)) == [("all", 0.9), ("mix", 0.9)]
    betting = replace(MARGIN, strict=True)
    assert told(pair(monkeypatch, some, some, alike=1.0, goal=betting)) == [("all", 0.915), ("mix", 0.915)]


def test_who_is_shown_to_its_end_leaves_the_whole_error(monkeypatch: pytest.MonkeyPatch) -> None:
    end, some = (lambda confidence: 1.0), (lambda confidence: 0.98)
    assert told(pair(monkeypatch, end, some)) == [("all", 0.915), ("mix", 0.9)]
    assert told(pair(monkeypatch, end, some, lead=0.0)) == [("mix", 0.9)] * 2
    assert told(pair(monkeypatch, some, end)) == [("all", 0.9), ("mix", 0.9)]
    assert told(pair(monkeypatch, some, end, lead=0.0)) == [("mix", 0.985)] * 2


def test_who_promises_nothing_needs_no_part_of_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    some = lambda confidence: 0.5
    assert told(pair(monkeypatch, some, some, promising=(True, False))) == [("all", 0.9), ("mix", 0.9)]
    assert told(pair(monkeypatch, some, some, promising=(False, True))) == [("mix", 0.9), ("mix", 0.9)]
    assert told(pair(monkeypatch, some, some, promising=(False, False))) == [("all", 0.9), ("mix", 0.9)]


def test_what_never_varies_is_like_nothing() -> None:
    """Budgets of which one is spent alike on every row; and two choices that do the same."""
    cost = np.array([[1.0, 2.0, 4.0], [1.0, 1.0, 4.0]])
    seen = bare(np.ones((2, 3)), cost, reference=2)
    goal = Goal("budget", 10.0, 0.9)
    one, other, both = (
        cast(Any, SimpleNamespace(action=np.full((2, k), j), evidence=seen, goal=goal))
        for j, k in ((0, 1), (1, 1), (1, 2))
    )
    assert correlation(one, other) == 0.0 and correlation(one, one) == 1.0
    assert correlation(other, both) == pytest.approx(1.0)  # of other shapes, and yet the same on every row


# Choosing


def test_actions_by_guard_table_and_what_is_open() -> None:
    """Cheap is ahead by .2, .1 and .3 at no price; the last row is not covered, and goes by its table."""
    seen = replace(
        bare(np.ones((4, 2)), np.ones((4, 2))), covered=np.array([True, True, True, False]), table=np.array([1, 1, 1, 0]),
        eligible=np.array([[True, True], [True, True], [False, True], [True, True]]),
    )  # fmt: skip
    found = {READS: (np.array([[0.9, 0.7], [0.9, 0.8], [0.9, 0.6], [0.1, 0.9]]), np.array([[1.0, 2.0]] * 4))}
    options = [Option(READS, 0.0, 0.15), Option(READS, 0.1, 0.15), Option("fixed", 0.0, 0.0, 0)]
    assert act(options, found, seen).tolist() == [[0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 1, 0]]
    rates = {"rates": found[READS]}
    assert act([Option("rates", 0.0, 0.15)], rates, seen).tolist() == [[0, 1, 1, 1]]  # those know every row
    kept, actions = family(rates, seen)
    assert kept and (actions != seen.table).any(axis=1).all()
    assert len({action.tobytes() for action in actions}) == len(actions) == len(kept)


def test_a_lower_bound_of_the_path_is_where_the_mix_starts() -> None:
    """A least quality of .5: the reference is at .9, cheap at .1: no more than half of the way holds."""
    seen = bare(np.tile([0.1, 0.9], (400, 1)), np.tile([0.01, 0.1], (400, 1)))
    goal = Goal("quality", 0.5, 0.9)
    sums = pooled(statistics(np.zeros((1, 400), np.int16), seen, goal))
    start = pooled(statistics(np.ones((1, 400), np.int16), seen, goal)[0])
    score = float(_scores(sums, start, goal, 1.0)[0])
    assert score == pytest.approx(0.9 * 0.5, abs=0.01) and score < 0.45
    one_row = pooled(statistics(np.zeros((1, 1), np.int16), seen.take(np.array([0])), goal))
    assert _alike(one_row).tolist() == [1] and _scores(one_row, start, goal, 1.0).tolist() == [0.0]


def test_statistics_of_clusters_that_weigh_more() -> None:
    """Two rows in one cluster, of weights 1 and 3: size 4, mean weight 2, sum -.5 - 3; the other cluster is one row."""
    known = Recorded(
        np.array([[0.5, 1.0], [0.0, 1.0], [1.0, 1.0]]), np.tile([0.01, 0.1], (3, 1)), 1,
        weight=np.array([[1.0, 1.0], [3.0, 1.0], [2.0, 1.0]]), group=np.array([0, 0, 1]),
    )  # fmt: skip
    found = statistics(np.zeros((1, 3), np.int16), Evidence.bare(known), MARGIN)[0, 0]
    s, m = np.array([-3.5, 0.0]), np.array([4.0, 2.0])
    wanted = [
        part.sum()
        for part in (m, np.array([2.0, 2.0]), s, s * s, s * m, m * m, s**3, s * s * m, s * m * m, m**3)
    ]
    assert found[:10].tolist() == pytest.approx(wanted)
    assert found[10:].tolist() == pytest.approx([6 * 0.09, 6 * 0.1, 2.0])


def test_a_budget_counts_the_rows_that_were_drawn() -> None:
    seen = replace(bare(np.ones((60, 2)), np.tile([0.01, 0.02], (60, 1))), drawn=np.arange(60) < 30)
    for goal in (Goal("budget", 0.05, 0.9), Goal("margin", 0.9, 0.9)):
        found = walk(np.zeros((60, 1), np.int64), seen, goal)
        assert (found.estimate.independent, found.estimate.n, found.mix) == (30, 60, 1.0)


def test_what_just_keeps_to_a_budget_is_shown() -> None:
    seen = bare(np.ones((40, 2)), np.full((40, 2), 0.01))
    found = walk(np.zeros((40, 1), np.int64), seen, Goal("budget", 0.01, 0.9))
    assert (found.mix, found.tested, found.estimate.value) == (1.0, 51, 0.0)


def test_nothing_to_choose_from_is_the_reference() -> None:
    seen = bare(np.ones((40, 2)), np.tile([0.01, 0.1], (40, 1)), fold=np.arange(40) % 6)
    found = choose([], np.zeros((0, 40), np.int16), seen, MARGIN)
    assert found.pieces == (Piece(1.0, None),) and not found.promising and (found.action == 1).all()
    assert found.mix == 0.0 and found.options == () and not found.by_suite


# The certificate


def test_a_margin_that_can_be_certified_is_that_of_the_cheapest_other() -> None:
    """Who never acts is measured by the cheapest that is open: fair, which differs on half of the rows."""
    quality = np.column_stack([np.zeros(40), (np.arange(40) % 2).astype(float), np.ones(40)])
    cost = np.tile([0.01, 0.02, 0.1], (40, 1))
    seen = bare(quality, cost, reference=2)
    data = SimpleNamespace(
        candidates=(CHEAP, Candidate("fair"), DEAR), cost_usd=cost, weight=np.ones((40, 3))
    )
    asked: Any = SimpleNamespace(reference=2, develop=data, eligible=np.array([[False, True, True]]))
    idle: Any = SimpleNamespace(action=np.full((40, 1), 2), goal=MARGIN)
    assert smallest_margin(asked, seen, idle) == pytest.approx(certifiable_margin(seen.always(1).gain(), 0.9))
    asked.eligible[0, :2] = True
    assert smallest_margin(asked, seen, idle) == pytest.approx(certifiable_margin(seen.always(0).gain(), 0.9))
    acting: Any = SimpleNamespace(action=np.full((40, 1), 1), goal=MARGIN)
    assert smallest_margin(asked, seen, acting) == pytest.approx(
        certifiable_margin(seen.always(1).gain(), 0.9)
    )
    asked.eligible[0, :2] = False
    assert smallest_margin(asked, seen, idle) == math.inf


@pytest.mark.parametrize(
    ("loss", "kind", "n", "word"),
    [
        (-0.3, "margin", 40, "fail"),
        (-0.3, "quality", 40, "pass"),
        (-0.3, "margin", 0, "pass"),
        (-0.05, "margin", 40, "pass"),
    ],
)
def test_a_test_split_turns_a_verdict_only_where_it_shows_a_loss(
    loss: float, kind: str, n: int, word: str
) -> None:
    held: Any = SimpleNamespace(
        n=n, clusters=n, skipped=3, estimate=lambda name: Estimate(loss, 0.01, 40, 40)
    )
    before = Certificate(verdict="pass", mix=0.5, samples_needed=7, dollars_needed=1.0)
    found = with_test(before, held, Goal(kind, 0.1, 0.9))
    assert found.verdict == word and found.test is not None and (found.test.n, found.test.skipped) == (n, 3)
    if word == "fail":
        assert found.reason is not None and found.reason.startswith(
            "on the 40 fresh rows of the test split, −30.00 points: upper bound −28.7"
        )
        assert found.judged is not None and (found.judged.mix, found.judged.rows) == (0.5, "fresh")
        assert (found.samples_needed, found.dollars_needed, found.action) == (None, None, "do not route")
    else:
        assert (found.samples_needed, found.action) == (7, "route")


def test_a_candidate_for_everything_is_told_with_its_weights() -> None:
    quality, cost = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[0.01, 0.1], [0.03, 0.1]])
    weight = np.array([[3.0, 1.0], [1.0, 1.0]])
    seen = replace(bare(quality, cost), weight=weight)
    frame = pd.DataFrame({"model": ["cheap"], "effort": ["low"], "status": ["ok"], "cut_off": [False]})
    data = SimpleNamespace(candidates=(CHEAP, DEAR), quality=quality, group=np.arange(2))
    found = _fixed(cast(Any, SimpleNamespace(develop=data, frame=frame)), seen, 0)
    assert (found.model, found.effort, found.quality, found.cost_usd) == (
        "cheap",
        "low",
        0.75,
        pytest.approx(0.015),
    )
    assert (
        found.quality_difference is not None
        and found.quality_difference.value == -0.25
        and found.cut_off is None
    )
    assert found.savings is not None and found.savings.value == pytest.approx(0.85)


def test_two_phases_are_told() -> None:
    seen = bare(np.ones((4, 2)), np.ones((4, 2)))
    assert _two_phase(seen) is None
    phases = Phases(np.array([True, False, True, True]), 0.5, 0.25, completed=False)
    found = _two_phase(replace(seen, phases=phases, group=np.array([0, 1, 0, 2])))
    assert found is not None
    assert (found.share, found.drawn, found.clusters, found.explained) == (0.5, 3, 2, 0.25)
    assert found.estimator == "weighting"
    done = _two_phase(replace(seen, phases=replace(phases, completed=True)))
    assert done is not None and done.estimator == "regression"


def test_a_digest_is_of_samples_qualities_and_costs() -> None:
    known: dict[str, Any] = {
        "candidates": (CHEAP, DEAR), "suites": ("a",), "suite": np.zeros(1, np.int64), "sample_id": ["s"],
        "quality": np.ones((1, 2)), "cost_usd": np.ones((1, 2)),
    }  # fmt: skip
    changes: list[dict[str, Any]] = [
        {}, {"sample_id": ["t"]}, {"quality": np.zeros((1, 2))}, {"cost_usd": np.zeros((1, 2))}, {"suites": ("b",)},
        {"suite": np.ones(1, np.int64)},
    ]  # fmt: skip
    assert len({digest(cast(Any, SimpleNamespace(**(known | change)))) for change in changes}) == len(changes)
    assert certifying.SEVERAL == "several"


def test_a_table_accuses_where_every_cheaper_one_is_shown_to_lose() -> None:
    """Cheap loses all of 60 rows and fair nothing that is shown: nobody is accused; where both do, the suite fails."""
    cost = np.tile([0.01, 0.02, 0.1], (60, 1))
    for fair, word in ((np.arange(60) % 10 > 0, "inconclusive"), (np.zeros(60, bool), "fail")):
        quality = np.column_stack([np.zeros(60), fair.astype(float), np.ones(60)])
        known = Recorded(quality, cost, 2, group=np.arange(60), suite=np.zeros(60, np.int64))
        (cell,) = routing_table(known, np.ones((1, 3), bool), margin=0.1, confidence=0.9)
        assert cell.verdict == word and cell.column == (1 if word == "inconclusive" else 0)


# What a drawn part is weighed by


def test_a_weight_of_one_is_drawn_as_the_least_likely() -> None:
    """Strict: values stay, weights of drawn rows are one over their probability, and a half where nothing says it."""
    n = 40
    drawn = np.arange(n) % 2 == 0
    weight = np.column_stack([np.ones(n), np.where(drawn, 2.0, 1.0)])
    weight[0, 1] = 4.0
    quality = np.column_stack([np.arange(n) % 3 > 0, np.where(drawn, 1.0, np.nan)])
    known = Recorded(quality.astype(float), np.ones((n, 2)), 1, weight=weight, group=np.arange(n))
    found = completed(Evidence.bare(known, fold=np.arange(n) % 4), drawn, np.zeros(n, np.int64), strict=True)
    assert found.weight is not None and found.weight[:3, 1].tolist() == [4.0, 1.0, 2.0]
    assert found.phases is not None and (found.phases.share, found.phases.completed) == (0.25, False)


# Reproducing, limits and diagnostics


def test_without_a_seed_it_is_nought_and_diagnostics_are_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    now = SimpleNamespace(spec=SimpleNamespace(certificate={"verdict": "pass", "n": 3}))

    def fitting(recipe: Any, outcomes: Any, seed: int, *, diagnostics: bool) -> Any:
        asked.append((recipe.name, seed, diagnostics))
        return now

    monkeypatch.setattr(reproduce, "fit_policy", fitting)
    monkeypatch.setattr(reproduce, "outcomes_for", lambda policy, outcomes, where: outcomes)
    monkeypatch.setattr(reproduce, "encode_policy", lambda policy: b"")
    monkeypatch.setattr(reproduce, "revision_of", lambda data: "r2")
    recipe = {"name": "r", "rule": {"margin": 0.1}}
    for more, seed in (({}, 0), ({"seed": 7}, 7)):
        spec = SimpleNamespace(
            name="p", provenance={"recipe": recipe, **more}, certificate={"verdict": "fail", "n": 3}
        )
        found = reproduce.reproduce(cast(Any, SimpleNamespace(spec=spec, revision="r2")), pd.DataFrame())
        assert asked.pop() == ("r", seed, False)
        assert (found["same_revision"], found["verdict"], found["was"]) == (True, "pass", "fail")
        assert found["differences"] == ["verdict: 'fail', now 'pass'"]


def test_limits_by_hand() -> None:
    """Nineteen rows of a suite take the limit of all, twenty their own; 100 of all rows, 10 of suite b."""
    frame = pd.DataFrame({
        "suite": ["a"] * 19 + ["b"] * 20, "model": "cheap", "effort": "low", "status": "ok",
        "output_tokens": [100] * 19 + [10] * 20, "cost_usd": 0.0,
    })  # fmt: skip
    (all_, *_), (a, *_), (b, *_) = limits_of(frame, ("a", "b"), (CHEAP, DEAR))
    assert (all_.max_tokens, a.max_tokens, b.max_tokens) == (200, 200, 20)
    assert all_.turns is None and all_.usd is None
    _, (_, dear), _ = limits_of(frame, ("a", "b"), (CHEAP, DEAR))
    assert dear.max_tokens is None
    assert (_whole(0.2), _whole(2.2), _whole(0.0), _whole(np.nan)) == (1, 3, None, None)
    assert (_real(0.2), _real(0.0), _real(-1.0), _real(np.nan)) == (0.2, None, None, None)
    assert np.isnan(_bounds(frame, "turns", np.ones(39, bool), np.zeros(39, np.int64), 3, 2)).all()


def test_a_learning_curve_has_at_least_one_group() -> None:
    recipe = Recipe.model_validate(
        {"name": "r", "reference": {"model": "large"}, "rule": {"margin": 0.1}, "holdout": 0}
    )
    asked = prepare(recipe, constant({"large": 0.9, "small": 0.5}, {"large": 0.1, "small": 0.01}, n=2))
    found = diagnose(asked, lambda one: cast(Any, len(one.develop)), 3)
    assert found.learning_curve == (1, 1) and found.label_shuffle == 2
