"""Small functions of the fit, by hand: changes that `make mutants` made here went unnoticed."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from router_lab.config import Recipe
from router_lab.fit import choose, out_of_fold
from router_lab.fit.certificate import _cut_off, _missing, _mix, _oracle, _point, _suites
from router_lab.fit.choose import READS, Choice, Option, Piece, family
from router_lab.fit.coverage import _held_out, _walk, known_threshold
from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.fitters import tuning
from router_lab.fit.fitters.neighbours import Near, Reach, departures
from router_lab.fit.judged import _cheaper, _unseen, outcome
from router_lab.fit.pieces import piece_of
from router_lab.fit.problem import SHARES, _eligible, _hardly_drawn, _reference, prepare
from router_lab.fit.reproduce import _differences
from router_lab.fit.rivals import correlation
from router_lab.fit.rows import room, whole
from router_lab.fit.table import Cell
from router_lab.fit.walk import Walked
from router_lab.metrics import Estimate
from router_lab.metrics.paired import Paired, Recorded
from router_lab.outcomes import validate_outcomes
from router_lab.runtime.errors import RouterLabWarning
from router_lab.runtime.model import Candidate
from router_lab.runtime.points import Assign, Follow

CHEAP, FAIR, DEAR = Candidate("cheap", "low"), Candidate("fair"), Candidate("dear")
NOTHING = Estimate(np.nan, np.nan, 0, 0)
BUDGET = Goal("budget", 0.02, 0.9)


def recipe(**more: Any) -> Recipe:
    known = {"name": "r", "reference": {"model": "large"}, "rule": {"margin": 0.1}, "holdout": 0}
    return Recipe.model_validate(known | more)


def made(
    pieces: tuple[Piece, ...], mix: float, evidence: Evidence, action: np.ndarray, goal: Goal, seen: Estimate
) -> Choice:
    n = len(evidence.group)
    return Choice(pieces, action, evidence, goal, Walked(mix, 3, max(mix, 0.0), seen), np.ones(n, bool))


def bare(quality: Any, cost: Any, reference: int = 1, **more: Any) -> Evidence:
    quality = np.asarray(quality, np.float64)
    known = Recorded(
        quality, np.asarray(cost, np.float64), reference, group=np.arange(len(quality)),
        suite=np.zeros(len(quality), np.int64),
    )  # fmt: skip
    return Evidence.bare(known, **more)


# The verdict of a choice


class Data(SimpleNamespace):
    """Some of a matrix."""

    def __len__(self) -> int:
        return len(self.quality)


def problem(cost: Any, eligible: list[bool], *, best: bool = False, quality: Any = None) -> Any:
    costs = np.asarray(cost, np.float64)
    names = (CHEAP, FAIR, DEAR)[-costs.shape[1] :]
    return SimpleNamespace(
        reference=costs.shape[1] - 1, infra=0.0, eligible=np.array([eligible]),
        recipe=SimpleNamespace(holdout=0.0, min_seen=0.95, reference="best" if best else "named"),
        develop=SimpleNamespace(
            candidates=names, cost_usd=costs, quality=np.ones(costs.shape) if quality is None else quality
        ),
    )  # fmt: skip


def test_a_budget_that_the_reference_keeps_and_nothing_betters_is_a_pass() -> None:
    """Half the budget is left, give or take little: the verdict stands and says by what."""
    cost = np.tile([0.005, 0.01], (40, 1))
    seen = bare(np.ones((40, 2)), cost)
    idle = made((), 0.0, seen, np.ones((40, 1), np.int64), BUDGET, Estimate(0.5, 0.01, 40, 40))
    found = outcome(problem(cost, [True, True]), seen, idle)
    assert found.verdict == "pass" and (found.n, found.clusters) == (40, 40)
    assert found.judged is not None and found.judged.value == pytest.approx(10.0)
    assert found.reason.startswith(
        "do not route: nothing within the budget promised to be better than dear; "
    )
    over = replace(idle, walked=Walked(0.0, 3, 0.0, Estimate(-0.5, 0.01, 40, 40)))
    assert outcome(problem(cost, [True, True]), seen, over).verdict == "inconclusive"


def test_who_costs_less_and_was_hardly_seen_is_named() -> None:
    """cheap may be chosen; fair may not, spares a dollar a row, and ran on three of four."""
    cost = np.tile([1.0, 2.0, 3.0], (4, 1))
    quality = np.ones((4, 3))
    quality[0, 1] = np.nan
    told = _unseen(problem(cost, [True, False, True], quality=quality))
    assert told == "; fair costs less, and ran on 75% of the samples, where 95% are needed (`min_seen`)"
    assert _unseen(problem(cost, [True, True, True])) == ""
    assert _unseen(problem(cost[:, [0, 2, 2]], [True, False, True])) == ""


@pytest.mark.parametrize(("cost", "open_", "cheaper"),
                         [([[1.0, 2.0]], True, True), ([[2.0, 2.0]], True, False), ([[1.0, 2.0]], False, False),
                          ([[1.0, 2.0], [5.0, 2.0]], True, False), ([[1.0, 2.0], [5.0, np.nan]], True, True)])  # fmt: skip
def test_who_is_cheaper_is_so_on_rows_where_both_have_a_cost(cost: Any, open_: bool, cheaper: bool) -> None:
    assert _cheaper(problem(cost, [open_, True])) is cheaper


# The certificate


def test_the_mix_names_the_likeliest_first() -> None:
    """At a mix of .8: .25 to cheap, .5 to fair in two pieces, a quarter to the reference."""
    seen = bare(np.ones((20, 3)), np.tile([0.001, 0.002, 0.01], (20, 1)), reference=2)
    parts = [(0.25, 0), (0.2, 1), (0.3, 1), (0.25, None)]
    pieces = tuple(Piece(share, None if j is None else Option("fixed", 0.0, 0.0, j)) for share, j in parts)
    chosen = made(
        pieces, 0.8, seen, np.ones((20, 1), np.int64), Goal("margin", 0.1, 0.9), Estimate(0, 0, 20, 20)
    )
    found = _mix(problem(seen.cost_usd, [True] * 3), chosen, chosen.paired())
    assert (found.model, found.probability) == ("fair", pytest.approx(0.4))
    assert found.others is not None and [(m.model, m.effort) for m in found.others] == [("cheap", "low")]
    assert found.others[0].probability == pytest.approx(0.2)
    idle = _mix(
        problem(seen.cost_usd, [True] * 3),
        replace(chosen, walked=Walked(0.0, 1, 0.0, NOTHING)),
        chosen.paired(),
    )
    assert (idle.model, idle.probability, idle.others) == ("dear", 0.0, None)


def test_outcomes_that_no_plan_left_out_are_counted_by_epochs() -> None:
    """Half of two epochs is one, a quarter of four is one, all is one; who may not be chosen does not count."""
    data = SimpleNamespace(
        suite=np.array([0, 0, 1]), missing=np.array([[0.5, 0.0], [0.25, 0.0], [1.0, 1.0]]),
        epochs=np.array([[1, 2], [3, 2], [0, 0]]),
    )  # fmt: skip
    asked = SimpleNamespace(develop=data, eligible=np.array([[True, True], [True, True], [True, False]]))
    assert _missing(cast(Any, asked)) == 3
    asked.eligible[2] = True
    assert _missing(cast(Any, asked)) == 4


def test_a_row_of_the_table_keeps_the_effort() -> None:
    develop = SimpleNamespace(candidates=(CHEAP, DEAR), suites=("a",))
    data = SimpleNamespace(develop=develop, allowed={})
    mine = bare(np.ones((4, 2)), np.ones((4, 2))).always(0)
    cell = Cell(0, 0, "pass", Estimate(0.01, 0.001, 40, 30), 0.02)
    row = _suites(cast(Any, data), mine, [cell], ())["a"].table
    assert row is not None
    assert (row.model, row.effort, row.verdict, row.p_holm) == ("cheap", "low", "pass", 0.02)
    assert row.quality_difference is not None and row.quality_difference.value == 0.01


def test_hindsight_by_hand() -> None:
    """Best 1 for .001, best 1 for .01 alone, and a row without any cost."""
    seen = bare([[1, 1], [0, 1], [1, 1]], [[0.001, 0.01], [0.001, 0.01], [np.nan, np.nan]])
    found = _oracle(seen)
    assert (found.quality, found.cost_usd, found.n) == (1.0, pytest.approx(0.0055), 2)
    assert _oracle(bare([[np.nan, np.nan]], [[1.0, 1.0]])).n == 0


def test_answers_that_ended_at_max_tokens() -> None:
    frame = pd.DataFrame({
        "model": ["m"] * 4 + ["n"] * 2, "effort": ["low"] * 3 + [None] * 3, "status": ["ok"] * 6,
        "cut_off": [True, False, False, True, False, False],
    })  # fmt: skip
    assert _cut_off(frame, Candidate("m", "low")) == pytest.approx(1 / 3)
    assert _cut_off(frame, Candidate("m")) == 1.0 and _cut_off(frame, Candidate("n")) is None


def test_a_point_of_pieces_that_differ_is_several() -> None:
    seen = bare(np.ones((20, 2)), np.ones((20, 2)))
    one, other = Option("reads", 1.0, 0.1), Option("rates", 2.0, 0.2)
    goal, action = Goal("margin", 0.1, 0.9), np.zeros((20, 1), np.int64)

    def point(mix: float, *options: Option) -> Any:
        pieces = tuple(Piece(1 / len(options), option) for option in options)
        return _point(goal, made(pieces, mix, seen, action, goal, Estimate(0, 0, 20, 20)))

    alone, both, none = point(0.5, one), point(-1.0, one, other), point(0.5)
    assert (alone.predictor, alone.tradeoff, alone.guard, alone.mix, alone.shown) == (
        "reads",
        1.0,
        0.1,
        0.5,
        True,
    )
    assert (both.predictor, both.tradeoff, both.guard, both.mix, both.shown) == (
        "several",
        None,
        None,
        0.0,
        False,
    )
    assert (none.predictor, none.mix, none.shown) == (None, 0.0, False)


# Rivals


def test_two_budgets_are_as_alike_as_their_costs() -> None:
    """Budgets are left by 1 - cost / level: the correlation is that of the costs, nothing unseen beside it."""
    cost = np.array([[1.0, 2.0, 4.0], [2.0, 1.0, 4.0], [3.0, 5.0, 4.0], [6.0, 4.0, 4.0]])
    seen = bare(np.ones((4, 3)), cost, reference=2)
    one, other = (
        SimpleNamespace(action=np.full((4, 1), j), evidence=seen, goal=Goal("budget", 10.0, 0.9))
        for j in (0, 1)
    )
    # centred costs -2 -1 0 3 and -1 -2 2 1: 2 + 2 + 0 + 3 = 7 of sqrt(14 * 10)
    assert correlation(cast(Any, one), cast(Any, other)) == pytest.approx(7 / np.sqrt(140))
    still = SimpleNamespace(action=np.full((4, 1), 2), evidence=seen, goal=one.goal)
    assert correlation(cast(Any, one), cast(Any, still)) == 0.0


# What a fit starts from


def test_samples_without_a_vector_are_counted() -> None:
    rows = [
        {"suite": "a", "sample_id": f"s{i}", "model": m, "quality": 1.0, "cost_usd": 0.01, "prompt": f"question {i}",
         "group": f"g{i}", "vector": None if i < 3 else [float(i), 1.0]}
        for i in range(12) for m in ("large", "small")
    ]  # fmt: skip
    with pytest.warns(RouterLabWarning, match=r"^3 of 12 samples have no `vector`"):
        prepare(recipe(), validate_outcomes(pd.DataFrame(rows)))


@pytest.mark.parametrize(("drawn", "lost"), [(14, True), (15, False), (16, False)])
@pytest.mark.filterwarnings("ignore:suite 'a'")
def test_a_suite_is_hardly_drawn_below_three_standard_errors(drawn: int, lost: bool) -> None:
    """Of 100 rows, drawn at one in four: 14 say 56 + 3 sqrt(14 * 4 * 3) = 94.9, 15 say 60 + 40.2."""
    weight = np.ones((100, 2))
    weight[:drawn, 1] = 4.0
    data = SimpleNamespace(
        drawn=lambda _: np.arange(100) < drawn, weight=weight, suite=np.zeros(100, np.int64), suites=("a",),
        candidates=(CHEAP, DEAR),
    )  # fmt: skip
    assert _hardly_drawn(cast(Any, data), 1) == ([0] if lost else [])


def test_who_may_be_chosen_where() -> None:
    """Suite 0: cheap on all of 4 rows, dear on 3; suite 1: cheap without a cost. Nine of ten are needed, then .75."""
    quality = np.ones((6, 2))
    quality[3, 1] = np.nan
    cost = np.ones((6, 2))
    cost[4:, 0] = np.nan
    data = Data(
        quality=quality, cost_usd=cost, weight=np.ones((6, 2)), suite=np.array([0, 0, 0, 0, 1, 1]), suites=("a", "b"),
        candidates=(CHEAP, DEAR),
    )  # fmt: skip
    assert _eligible(cast(Any, data), 0.9).tolist() == [[True, False], [True, False], [False, True]]
    assert _eligible(cast(Any, data), 0.75).tolist() == [[True, True], [True, True], [False, True]]


def test_a_row_run_by_chance_stands_for_as_many_as_its_weight() -> None:
    """One of four rows at one in four: 4 / 4, give or take 2 sqrt(12) / 4. At weight 1.2: (1.2 + 2 sqrt(.24)) / 4."""
    quality = np.array([[1.0], [np.nan], [np.nan], [np.nan]])
    data = Data(
        quality=quality, cost_usd=np.ones((4, 1)), weight=np.full((4, 1), 4.0), suite=np.zeros(4, np.int64),
        suites=("a",), candidates=(DEAR,),
    )  # fmt: skip
    assert _eligible(cast(Any, data), 1.0).all()
    assert _eligible(cast(Any, data), 2.73).all() and not _eligible(cast(Any, data), 2.74).any()
    data.weight = np.full((4, 1), 1.2)
    assert _eligible(cast(Any, data), 0.54).all() and not _eligible(cast(Any, data), 0.55).any()


def best(quality: list[float], cost: list[float], **more: Any) -> tuple[int, int]:
    data = SimpleNamespace(
        quality=np.tile(quality, (10, 1)), cost_usd=np.tile(cost, (10, 1)), weight=np.ones((10, len(cost))),
        candidates=(CHEAP, FAIR, DEAR), drawn=lambda _: None,
    )  # fmt: skip
    data.quality[:2, 0] = np.nan
    return _reference(cast(Any, data), recipe(reference="best", **more))


def test_the_best_is_the_cheaper_of_equals_of_those_seen_everywhere() -> None:
    assert best([1.0, 0.9, 0.9], [0.1, 0.3, 0.2], min_seen=0.9) == (2, 2)
    assert best([1.0, 0.9, 0.9], [0.1, 0.3, 0.2], min_seen=0.8) == (0, 3)


def test_under_a_budget_the_best_is_within_it_or_the_cheapest() -> None:
    within = {"rule": {"budget_usd_per_1k": 250}, "min_seen": 0.9}
    assert best([1.0, 0.9, 0.8], [0.1, 0.3, 0.25], **within) == (2, 2)
    assert best([1.0, 0.9, 0.8], [0.1, 0.3, 0.26], **within) == (2, 2)  # none is within: the cheapest


# What options do


def test_options_that_do_the_same_are_tried_once_unless_they_were_learned_here() -> None:
    quality = np.array([[0.9, 0.95]] * 3 + [[0.2, 0.95]] * 3)
    seen = bare(quality, np.tile([0.01, 0.1], (6, 1)))
    found = {READS: (quality, seen.cost_usd)}
    options, actions = family(found, seen)
    assert len({row.tobytes() for row in actions}) == len(actions) == len(options) > 1
    assert (actions != 1).any(axis=1).all()
    more, again = family(found, seen, learned=True)
    assert len(more) == len(again) > len(options)


def test_what_is_tried_here() -> None:
    assert choose.SCALES == (0.0, 0.01, 0.03, 0.06, 0.1, 0.16, 0.25, 0.4, 0.7, 1.2, 2.5, 8.0, 100.0)
    assert choose.GUARDS == (0.0, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3)
    assert tuning.PENALTIES == (1.5, 4.0, 10.0, 30.0, 100.0)
    assert (choose.CHOOSING, choose.LEAST_CHEAPER, SHARES) == (6, 1e-3, (0.25, 0.5))
    assert (tuning.PENALTY_ROWS, tuning.PENALTY_OUTCOMES) == (5_000, 50_000)


def test_settings_are_tried_on_five_thousand_rows_or_fifty_thousand_outcomes() -> None:
    def rows(n: int, half: int) -> int:
        found = tuning.some(cast(Any, SimpleNamespace(targets=np.zeros((n, 1)), half=half)), 0)
        assert (np.diff(found) > 0).all()
        return len(found)

    assert (rows(5_000, 20), rows(5_001, 20), rows(10_001, 5), rows(9_000, 5)) == (
        5_000,
        5_000,
        10_000,
        9_000,
    )


def test_squares_that_a_blend_explains() -> None:
    """2 b s - b^2 q at b = s / q within [0, most]: 1/4 at 1/4; at 1, 2 * 6 - 4; nothing where departures are wrong."""
    squares, blend = tuning.explained_by(np.array([1.0, 6.0, -1.0]), np.array([4.0, 4.0, 4.0]))
    assert (squares.tolist(), blend.tolist()) == ([0.25, 8.0, 0.0], [0.25, 1.0, 0.0])
    squares, blend = tuning.explained_by(np.array([6.0]), np.array([4.0]), most=2.0)
    assert (squares.tolist(), blend.tolist()) == ([9.0], [1.5])


def test_agreement_of_differences_between_candidates() -> None:
    """Two candidates: departures .2 and 0 are ±.1 about their mean, what is left .4 and 0 ±.2; cost has no mean."""
    task = SimpleNamespace(half=2, weights=np.ones((1, 4)), texts=np.array([True]))
    departed, left = np.array([[0.2, 0.0, 1.0, 2.0]]), np.array([[0.4, 0.0, 3.0, 1.0]])
    found = tuning.agreement(cast(Any, task), np.array([0]), departed, left)
    assert found == pytest.approx(np.array([[0.04, 5.0], [0.02, 5.0]]))
    task.texts[:] = False
    assert not tuning.agreement(cast(Any, task), np.array([0]), departed, left).any()


def test_departures_of_neighbours_by_hand() -> None:
    """Closeness .5 and .25, residuals .4 and .8, weights 1 and 2: (.5 * .4 + .25 * 1.6) / (.5 + .5 + 1)."""
    near = Near(np.array([[1, 2, 0]]), np.array([[0.5, 0.25, 0.125]]))
    residual, weights = np.array([[9.0], [0.4], [0.8]]), np.array([[1.0], [1.0], [2.0]])
    found = departures(near, residual, weights, Reach(2, 1.0))
    assert found[0, 0] == pytest.approx(0.3, abs=1e-6)


def test_pieces_by_hand() -> None:
    """Rates of two suites below the pooled: with cheap closed in suite 2; guard .1 is reached by .2 alone."""
    rates = np.array([[0.9, 0.8], [0.9, 0.85], [0.9, 0.0]]), np.array([[1.0, 2.0]] * 3)
    eligible = np.array([[True, True], [True, True], [False, True]])

    def columns(option: Option, **more: Any) -> tuple[int, ...]:
        piece = piece_of(option, 0.5, rates, eligible, 1, **more)
        assert isinstance(piece, Assign) and piece.share == 0.5
        return piece.table

    assert columns(Option("rates", 0.0, 0.07)) == (0, 1, 1)
    assert columns(Option("rates", 0.1, 0.12)) == (0, 0, 1)
    assert columns(Option("rates", 0.1, 0.12), told=False) == (1, 0, 1)
    assert columns(Option("fixed", 0.0, 0.0, 0)) == (0, 0, 1)
    assert piece_of(Option(READS, 2.0, 0.1), 0.5, rates, eligible, 1) == Follow(2.0, 0.1, 0.5)


# Prompts unlike the others, and suites that come later


def test_rows_that_are_not_covered_go_by_the_table() -> None:
    """Of 100 rows two have nothing seen: the table, fitted without their folds, sends them to small."""
    rows = [
        {"suite": "a", "sample_id": f"s{i:03d}", "model": m, "quality": 1.0, "cost_usd": c, "prompt": f"question {i}",
         "group": f"g{i:03d}"}
        for i in range(100) for m, c in (("large", 0.1), ("small", 0.01))
    ]  # fmt: skip
    asked = prepare(recipe(), validate_outcomes(pd.DataFrame(rows)))
    coverage = np.ones(100)
    coverage[[3, 4]] = 0.0
    design = SimpleNamespace(coverage=lambda folds: coverage)
    small = next(j for j, c in enumerate(asked.develop.candidates) if c.model == "small")
    seen, threshold = out_of_fold._evidence(asked, cast(Any, design), np.arange(100) % 4, 0.1, 0.9)
    assert threshold == 0.98 and np.flatnonzero(~seen.covered).tolist() == [3, 4]
    assert (seen.table == small).all()


def test_two_percent_of_prompts_may_be_unlike_the_others() -> None:
    coverage = np.arange(101) / 100
    assert known_threshold(coverage, np.ones(101, bool)) == 0.02
    assert known_threshold(coverage, coverage >= 0.5) == 0.51
    assert known_threshold(coverage, np.zeros(101, bool)) == 0.0


def test_suites_are_held_out_in_five_parts_largest_first() -> None:
    """Sizes 6 5 4 3 2 1: the last joins the smallest part. A copy in another part is on neither side."""
    suite = np.repeat(np.arange(6), [6, 5, 4, 3, 2, 1])
    group = np.arange(21)
    group[20] = 0  # the row of suite 5 is a copy of one of suite 0
    parts = list(_held_out(suite, group))
    assert [sorted(set(suite[out].tolist())) for _, out in parts] == [[0], [1], [2], [3], [4, 5]]
    assert parts[0][0].tolist() == list(range(6, 20))
    assert parts[4][0].tolist() == list(range(1, 18))
    assert parts[1][0].tolist() == [*range(6), *range(11, 21)]


def test_the_threshold_sinks_until_the_goal_is_not_shown() -> None:
    """Of 200 rows with coverage 0 to 1 the lower half loses everything: followed is what is above."""
    seen = np.arange(200) / 199
    quality = np.column_stack([(seen >= 0.5).astype(float), np.ones(200)])
    evidence = bare(quality, np.tile([0.01, 0.1], (200, 1)))
    action, suite = np.zeros((200, 1), np.int64), np.arange(200) % 2
    goal = Goal("margin", 0.05, 0.9)
    found = _walk(evidence, seen, action, np.array([1.0]), goal, (0.0, 2.0), suite)
    assert (found.coverage, found.suites_held_out) == (0.5, 2)
    assert found.gain is not None and (found.followed, found.gain.value) == (0.5, 0.0)
    none = _walk(evidence, seen, action, np.array([1.0]), goal, (0.0, 0.4), suite)
    assert none.gain is not None and (none.coverage, none.followed, none.gain.value) == (2.0, 0.0, 0.0)


# Whole numbers, and what is not reproduced


def test_whole_numbers_and_room_for_their_sums() -> None:
    rounded, powers = whole(np.array([[1.0, 0.3], [-0.5, 0.1]]), 4)
    assert powers.tolist() == [3, 5] and rounded.tolist() == [[8.0, 10.0], [-4.0, 3.0]]
    assert [room(20, n) for n in (0, 1, 2, 3, 4, 5)] == [33, 33, 32, 31, 31, 30]


def test_figures_that_differ_are_named() -> None:
    was = {"a": 1.0, "b": [1.0, 2.0], "c": "x", "d": {"e": 0.5}, "f": [1.0]}
    now = {"a": 1.0 + 5e-7, "b": [1.0, 2.1], "c": "y", "d": {"e": 0.5}, "f": [1.0, 2.0]}
    assert list(_differences(was, now, "")) == [
        "b[1]: 2, now 2.1", "c: 'x', now 'y'", "f: [1.0], now [1.0, 2.0]",
    ]  # fmt: skip
    assert list(_differences({"a": 1.0}, {"a": 1.00001}, "")) == ["a: 1, now 1.00001"]
    assert list(_differences({}, {"a": 1.0}, "x")) == ["x.a: None, now 1.0"]


def test_what_a_further_sample_costs_and_the_unit() -> None:
    seen = bare(np.ones((2, 2)), [[0.01, 0.1], [0.03, np.nan]])
    assert seen.sample_usd == pytest.approx(0.12) and seen.unit == pytest.approx(0.1)
    assert bare(np.ones((2, 2)), [[0.01, 0.0], [0.03, 0.0]]).unit == 1.0
    only = seen.only(np.array([True, False]))
    assert np.isnan(only.quality[1]).all() and only.quality[0].tolist() == [1.0, 1.0]
    assert Goal("quality", 0.7, 0.9, compared=2).sure == pytest.approx(0.95)
    assert Goal("margin", 0.1, 0.9, compared=2).sure == 0.9


def test_values_that_a_goal_tests() -> None:
    seen = bare([[0.5, 1.0]], [[0.01, 0.1]])
    cheap = np.array([0])
    assert seen.values(cheap, BUDGET).tolist() == [0.5]
    assert seen.values(cheap, Goal("margin", 0.1, 0.9)).tolist() == [-0.5]
    assert seen.values(cheap, Goal("quality", 0.3, 0.9)).tolist() == pytest.approx([0.2])
    assert [part.tolist() for part in seen.gain_and_base(cheap, BUDGET)] == [[-0.5], [1.0]]
    spared, base = seen.gain_and_base(cheap, Goal("margin", 0.1, 0.9))
    assert (spared[0], base[0]) == pytest.approx((0.09, 0.1))


def test_served_is_a_paired() -> None:
    mine = bare([[0.5, 1.0], [0.0, 1.0]], [[0.01, 0.1]] * 2).follow(np.array([[0], [1]]), 0.5)
    assert isinstance(mine, Paired)
    assert mine.quality.tolist() == [0.75, 1.0] and mine.moved.tolist() == [0.5, 0.0]
    assert mine.cost_usd.tolist() == pytest.approx([0.055, 0.1])
    idle = bare([[0.5, 1.0]], [[0.01, 0.1]]).follow(np.array([[0]]), 0.0)
    assert idle.quality.tolist() == [1.0] and idle.moved.tolist() == [0.0]
