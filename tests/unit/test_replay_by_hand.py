"""A policy on recorded outcomes, and what halves choose, by hand: changes that `make mutants` made here went unnoticed."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from router_lab.config import Gate, Recipe
from router_lab.fit.choose import Class, Option, Piece, _select, choose, constants
from router_lab.fit.coverage import _coverage
from router_lab.fit.design import Design
from router_lab.fit.drawn import _least_spread
from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.judged import _told, outcome, told_bounds
from router_lab.fit.problem import diagnose, prepare
from router_lab.fit.rivals import ahead, kept, lost_suites
from router_lab.fit.sums import pooled
from router_lab.fit.walk import Walked, walk
from router_lab.gates.arms import arm, unused_rows
from router_lab.gates.judge import run_gates
from router_lab.metrics import Estimate, betting_p, holm, verdict
from router_lab.metrics.paired import Recorded
from router_lab.outcomes import validate_outcomes
from router_lab.replay import replay, requests_of
from router_lab.runtime.model import Candidate, group_code
from tests.fit_worlds import constant
from tests.unit.test_gates import CHEAP, DEAR, always, mixed


def table(rows: list[tuple[str, float | None, float | None, float | None, float | None]]) -> pd.DataFrame:
    """(sample, quality and cost of cheap, quality and cost of dear)."""
    made = [
        {"suite": "a", "sample_id": sample, "model": who.model, "effort": who.effort, "quality": quality, "cost_usd": cost,
         "prompt": f"prompt {sample}", "group": f"g{sample}", "status": "ok"}
        for sample, *known in rows for who, quality, cost in ((CHEAP, *known[:2]), (DEAR, *known[2:]))
        if quality is not None
    ]  # fmt: skip
    return validate_outcomes(pd.DataFrame(made))


FOUR = [
    ("1", 1.0, 0.01, 1.0, 0.1),
    ("2", 0.0, 0.03, 1.0, 0.1),
    ("3", 1.0, 0.01, 0.0, 0.2),
    ("4", 1.0, 0.02, None, None),
]


def test_a_replay_by_hand() -> None:
    """Three rows that both have: 2/3 each, .05 of .4 dollars; the mix sends .4 to cheap; hindsight 1 for .01 .1 .01."""
    found = replay(always(0, certificate=mixed(0.4)), table(FOUR))
    assert (found.quality, found.reference_quality) == pytest.approx((2 / 3, 2 / 3))
    assert (found.cost_usd, found.reference_cost_usd, found.savings) == pytest.approx(
        (0.05 / 3, 0.4 / 3, 0.875)
    )
    assert (found.n, found.clusters, found.skipped, found.in_sample) == (3, 3, 1, False)
    assert found.shares == {CHEAP: 1.0, DEAR: 0.0}
    mix = found.random_mix
    assert (mix["model"], mix["effort"], mix["probability"]) == ("cheap", "low", 0.4)
    assert (mix["quality"], mix["cost_usd"], mix["savings"]) == pytest.approx((2 / 3, 0.26 / 3, 0.35))
    assert found.oracle["quality"] == 1.0
    assert (found.oracle["cost_usd"], found.oracle["savings"]) == pytest.approx((0.04, 0.7))
    cheap, dear = found.fixed
    assert (cheap["quality"], cheap["cost_usd"], cheap["n"]) == pytest.approx((0.75, 0.05 / 3, 3))
    assert (cheap["quality_difference"], cheap["savings"]) == pytest.approx((0.0, 0.875))
    assert (dear["quality"], dear["savings"], dear["quality_difference"]) == pytest.approx((2 / 3, 0.0, 0.0))
    assert dear["low"] == dear["high"] == 0.0 and cheap["low"] < 0 < cheap["high"]


def test_a_replay_as_data() -> None:
    found = replay(always(0, certificate=mixed(0.4)), table(FOUR))
    told = found.to_json()
    assert told["rows"] == "fresh" and told["in_sample"] is False and told["skipped"] == 1
    assert told["savings_over_mix"] == pytest.approx(0.525) == found.estimate("savings_over_mix").value
    assert told["intervals"]["quality"] == list(found.interval("quality"))
    assert found.interval("quality", 0.5)[0] > found.interval("quality")[0]
    assert told["shares"] == [
        {"model": "cheap", "effort": "low", "share": 1.0},
        {"model": "dear", "effort": None, "share": 0.0},
    ]
    one = replay(always(0), table(FOUR[:1])).to_json()
    assert one["intervals"]["quality"] == [None, None] and one["random_mix"]["probability"] == 0.0


def test_rows_of_the_fit_are_left_out_or_labelled() -> None:
    used = always(0, groups=np.array([group_code("a", "g1")], np.uint64))
    found = replay(used, table(FOUR))
    assert (found.n, found.quality, found.in_sample) == (2, 0.5, False)
    alone = replay(used, table(FOUR[:1]))
    assert alone.in_sample and alone.n == 1 and alone.to_json()["rows"] == "in-sample"


def test_a_policy_without_vectors_is_asked_without() -> None:
    data = SimpleNamespace(
        prompts=["x", None], suites=("a", "b"), suite=np.array([1, 0]), vectors=np.ones((2, 3))
    )
    assert requests_of(always(0), cast(Any, data)) == (["x", ""], ["b", "a"], None)


def test_an_arm_by_hand() -> None:
    frame = table(FOUR)
    mine = arm(always(0, certificate=mixed(0.5)), frame)
    assert len(mine) == 4 and mine.served.tolist() == [[1.0, 0.0]] * 4 and mine.infra == 0.0
    assert mine.keys[0] == ("a", "1") and mine.suite.tolist() == ["a"] * 4 and mine.covered.all()
    assert mine.mix.take(np.array([0, 1, 2])).saving().value == pytest.approx(0.4375)
    lost = frame.assign(status=["infra", *["ok"] * (len(frame) - 1)])
    lost.loc[lost["status"] == "infra", "quality"] = None
    assert arm(always(0), lost).infra == pytest.approx(1 / 7)


def test_a_gate_counts_dollars_by_the_mean_of_each_candidate() -> None:
    """Four samples of cheap for .07, three of dear for .4: that is what one more sample of both costs."""
    (found,) = run_gates(always(0), table(FOUR), [Gate(metric="quality", min=0.7)]).results
    assert found.samples_needed is not None and found.dollars_needed is not None
    assert found.dollars_needed / found.samples_needed == pytest.approx(0.0175 + 0.4 / 3)


def test_rows_are_unused_by_any_of_the_policies() -> None:
    frame = table(FOUR)
    first, second = (always(0, groups=np.array([group_code("a", g)], np.uint64)) for g in ("g1", "g3"))
    assert sorted(set(unused_rows(frame, first)["sample_id"])) == ["2", "3", "4"]
    assert sorted(set(unused_rows(frame, first, second)["sample_id"])) == ["2", "4"]
    assert len(unused_rows(frame, always(0))) == len(frame)


# What halves choose


def evidence(gains: list[float], cost: float = 0.01, **more: Any) -> Evidence:
    n = len(gains)
    quality = np.column_stack([1 + np.array(gains), np.ones(n)])
    known = Recorded(quality, np.tile([cost, 0.1], (n, 1)), 1, group=np.arange(n), **more)
    return Evidence.bare(known, fold=np.arange(n) % 6)


GOAL = Goal("margin", 0.5, 0.9)


def test_all_rows_judge_where_chance_is_allowed() -> None:
    seen = evidence([0.0] * 60)
    options, actions = constants(seen, GOAL)
    both = choose(options, actions, seen, GOAL)
    assert both.judged.all() and both.action.shape == (60, 10) and both.mix == 1.0
    assert both.pieces == ((1.0, options[0]),) and both.by_suite and both.acts and not both.reads
    alone = choose(options, actions, seen, replace(GOAL, mix=False))
    assert alone.judged.sum() == 30 and alone.action.shape == (60, 1)
    assert alone.judged.tolist() == (np.arange(60) % 6 > 2).tolist()
    none = choose([], np.zeros((0, 60), np.int16), seen, GOAL)
    assert not none.promising and not none.acts and not none.by_suite and none.mix == 0.0


def test_of_two_that_are_tied_the_middle_and_of_classes_the_earlier() -> None:
    sums, start = np.zeros((4, 1, 13)), np.zeros((1, 13))
    sums[:, 0, [0, 1, 5, 9]] = start[0, [0, 1, 5, 9]] = 40.0
    sums[:, 0, 12] = start[0, 12] = 1.0
    sums[:, 0, 10], sums[:, 0, 11] = [1.0, 2.0, 2.0, 2.0], 4.0
    one, two = (Class(np.array(places), start, 1) for places in ([0, 1], [2, 3]))
    goal = Goal("budget", 1.0, 0.9)
    half = np.array([0])
    assert _select([one, two], sums, half, goal) == 1
    assert _select([Class(np.arange(4), start, 1)], sums, half, goal) == 2
    sums[:, 0, 10] = 0.0
    assert _select([one, two], sums, half, goal) is None
    assert np.array(pooled(np.ones((2, 3, 13))))[:, 0].tolist() == [3.0] * 12 + [1.0]


def test_what_gains_nothing_is_not_kept() -> None:
    """A dearer one saves nothing; under a budget one that is worse on most rows gains nothing."""
    seen = evidence([0.0] * 60, cost=0.2)
    option = Option("fixed", 0.0, 0.0, 0)
    found = replace(
        choose([], np.zeros((0, 60), np.int16), seen, GOAL), pieces=(Piece(1.0, option),),
        action=np.zeros((60, 10), np.int64),
        walked=Walked(1.0, 1, 1.0, Estimate(0, 0, 60, 60)),
    )  # fmt: skip
    assert found.acts and kept(found).pieces == ()
    cheap = replace(found, evidence=evidence([0.0] * 60))
    assert kept(cheap) is cheap and kept(replace(found, pieces=())).pieces == ()
    bought = Goal("budget", 1.0, 0.9)
    assert kept(replace(cheap, goal=bought)).pieces == ()
    assert kept(replace(cheap, goal=bought, evidence=evidence([0.1] * 60))).acts
    assert ahead(cheap, found) == pytest.approx(1.9)  # .9 saved, and 1 lost
    better = replace(cheap, goal=bought, evidence=evidence([0.1] * 60))
    assert ahead(better, replace(better, evidence=evidence([-0.1] * 60))) == pytest.approx(0.2)
    assert lost_suites(np.zeros(60, np.int64), [cast(Any, SimpleNamespace(deployed=better))]) == set()


@pytest.mark.parametrize(("clusters", "lost"), [(20, {0}), (19, set())])
def test_a_suite_is_lost_from_twenty_clusters_on(clusters: int, lost: set[int]) -> None:
    seen = evidence([-1.0] * clusters + [0.0] * 60)
    n = clusters + 60
    found = replace(
        choose([], np.zeros((0, n), np.int16), seen, GOAL), pieces=(Piece(1.0, Option("fixed", 0.0, 0.0, 0)),),
        action=np.zeros((n, 10), np.int64), walked=Walked(1.0, 1, 1.0, Estimate(0, 0, n, n)),
    )  # fmt: skip
    suite = np.array([0] * clusters + [1] * 60)
    assert lost_suites(suite, [cast(Any, SimpleNamespace(deployed=found))]) == lost
    bought = replace(found, goal=Goal("budget", 1.0, 0.9))  # a budget promises nothing of a suite
    idle = replace(found, walked=found.walked._replace(mix=0.0))
    assert lost_suites(suite, [cast(Any, SimpleNamespace(deployed=one)) for one in (bought, idle)]) == set()


# Verdicts in words


def problem(best: bool = False, infra: float = 0.0, open_: bool = True) -> Any:
    return SimpleNamespace(
        reference=1, infra=infra, eligible=np.array([[open_, True]]),
        recipe=SimpleNamespace(holdout=0.2, min_seen=0.9, reference="best" if best else "named"),
        develop=SimpleNamespace(
            candidates=(CHEAP, DEAR), cost_usd=np.tile([0.01, 0.1], (40, 1)), quality=np.ones((40, 2))
        ),
    )  # fmt: skip


def chosen(
    mix: float, at: float, estimate: Estimate, betting: float | None = None, *, options: bool = True
) -> Any:
    return SimpleNamespace(
        goal=GOAL,
        walked=Walked(mix, 3, at, estimate, betting),
        mix=mix,
        acts=options and mix > 0,
        promising=options,
    )


SURE, OPEN = Estimate(0.0, 0.01, 40, 40), Estimate(-0.45, 0.1, 40, 40)


@pytest.mark.parametrize(
    ("mine", "about", "word", "reason", "judged"),
    [(chosen(0.6, 0.6, SURE), {}, "pass", "with 60 % of eligible traffic routed; lower bound ", True),
     (chosen(-1.0, 0.0, OPEN), {}, "inconclusive", "do not route: not even dear alone is shown to meet the rule; ", True),
     (chosen(0.0, 0.02, OPEN), {}, "inconclusive", "do not route yet: with 2 % of eligible traffic routed, ", True),
     (chosen(0.0, 0.0, SURE, options=False), {}, "inconclusive", "do not route: no choice promised a saving within", False),
     (chosen(0.0, 0.0, SURE, options=False), {"open_": False}, "pass",
      "do not route: no eligible candidate costs less than dear", False),
     (chosen(0.0, 0.0, SURE, options=False), {"open_": False, "best": True}, "pass",
      "do not route: no eligible candidate costs less than dear, the best single one", False),
     (chosen(0.6, 0.6, SURE), {"infra": 0.02}, "inconclusive", "2.0% of runs gave no evidence", False)],
)  # fmt: skip
def test_outcomes_in_words(mine: Any, about: dict[str, Any], word: str, reason: str, judged: bool) -> None:
    seen = evidence([0.0] * 40)
    found = outcome(problem(**about), seen, mine)
    assert (found.verdict, found.judged is not None) == (word, judged) and found.reason.startswith(reason)
    unpriced = replace(seen, cost_usd=np.full((40, 2), np.nan))
    if "infra" not in about:
        assert (
            outcome(problem(**about), unpriced, mine).reason
            == "do not route: no costs are known, so nothing can be saved; dear serves"
        )


def test_what_is_needed_is_counted_before_the_holdout() -> None:
    """A sample of both costs .11, of which a fifth is held out."""
    found = outcome(problem(), evidence([0.0] * 40), chosen(0.0, 0.02, OPEN))
    plain = verdict(OPEN, -0.5, 0.9).samples_needed
    assert plain is not None and found.samples_needed == math.ceil(plain / 0.8)
    assert found.dollars_needed == pytest.approx(plain * 0.11 / 0.8)


def test_what_betting_says() -> None:
    rule = verdict(SURE, -0.5, 0.9)
    assert _told(rule, chosen(1.0, 1.0, SURE)) == told_bounds(rule, GOAL)
    assert _told(rule, chosen(1.0, 1.0, SURE, 0.05)) == f"{told_bounds(rule, GOAL)}; by betting p = 0.0500"
    assert (
        _told(rule, chosen(0.0, 0.02, SURE, 0.2))
        == "betting does not show it: p = 0.2000, at most 0.1000 is needed"
    )
    promised = replace(GOAL, confidence=0.95, promised=0.9)
    assert told_bounds(rule, promised).endswith("(one-sided, 95 %, so that all of it holds at 90 %)")


def test_bets_by_hand() -> None:
    """Rows of .5 are 1 above a floor of -.5, of the .5 that a row can lose: gains of 2, and no more than .75 is bet."""
    gains = np.full(3, 2.0)
    capital, total, squares = 0.0, 0.0, 0.0
    for k, gain in enumerate(gains, 1):
        mean, spread = total / k, (0.25 + squares) / k
        bet = min(0.75, max(0.0, mean / (spread + mean * mean)))
        capital += math.log1p(bet * gain)
        squares += (gain - mean) ** 2
        total += gain
    assert betting_p(np.full(3, 0.5), np.ones(3), -0.5) == pytest.approx(math.exp(-capital))
    assert betting_p([], [], -0.5) == 1.0 and betting_p([0.0], [1.0], -1.0) == 0.0
    assert betting_p([-1.0, -1.0], [1.0, 1.0], -0.5) == 1.0
    many = walk(np.zeros((200, 1), np.int64), evidence([0.0] * 200), replace(GOAL, strict=True)).betting
    assert (
        many is not None
        and many == pytest.approx(betting_p(np.zeros(200), np.ones(200), -0.5))
        and many < 1e-6
    )
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06]) and holm(
        [0.6, 0.7]
    ).tolist() == [1.0, 1.0]


# Diagnostics, and what was seen of a prompt


def test_diagnostics_look_at_a_quarter_a_half_and_shuffled_outcomes() -> None:
    recipe = Recipe.model_validate(
        {"name": "r", "reference": {"model": "large"}, "rule": {"margin": 0.1}, "holdout": 0}
    )
    asked = prepare(recipe, constant({"large": 0.9, "small": 0.5}, {"large": 0.1, "small": 0.01}, n=40))
    own = np.arange(80.0).reshape(40, 2)
    parts = {
        name: own + 100 * k for k, name in enumerate(("quality", "cost_usd", "check", "weight", "missing"))
    }
    asked = replace(asked, develop=replace(asked.develop, **parts))
    seen: list[Any] = []

    def figures(one: Any) -> Any:
        seen.append(one.develop)
        return len(one.develop)

    found = diagnose(asked, figures, 3)
    assert found.learning_curve == (10, 20) and found.label_shuffle == 40
    shuffled = seen[-1]
    assert shuffled.prompts == asked.develop.prompts and (shuffled.quality != own).any()
    assert sorted(shuffled.quality[:, 0].tolist()) == own[:, 0].tolist()
    for k, name in enumerate(parts):  # what belongs together stays together
        assert (getattr(shuffled, name) == shuffled.quality + 100 * k).all()


def test_coverage_of_later_rows() -> None:
    """Words are buckets of one row or another: of those of the last row, what the first two have."""
    design = Design.of(["red blue", "green", "red blue", "violet", ""])
    task = cast(Any, SimpleNamespace(design=design))
    found = _coverage(task, np.array([0, 1]), np.array([2, 3, 4]))
    assert found[0] == 1.0 and found[1] < 1.0 and found[2] == (1.0 if design.size[4] else 0.0)
    assert _coverage(task, np.zeros(0, np.int64), np.array([0])).tolist() == [0.0]
    folds = np.array([0, 1, 2, 2, 1])
    assert design.coverage(folds)[0] == 1.0 and design.coverage(np.zeros(5, np.int64)).tolist() == [0.0] * 5
    assert Candidate("cheap", "low") == CHEAP


def test_the_candidate_most_like_the_reference() -> None:
    """Differences to the first are 1 on each row, which the mean of the other fold tells; to the second 0 and 2."""
    quality = np.column_stack([[0.0, 0, 0, 0], [1.0, -1, 1, -1], [1.0, 1, 1, 1]])
    known = Recorded(quality, np.ones((4, 3)), 2, group=np.arange(4))
    seen = Evidence.bare(known, fold=np.array([0, 0, 1, 1]))
    assert _least_spread(seen, np.ones(4, bool)) == 0.0
    assert _least_spread(replace(seen, quality=quality[:, 1:], reference=1), np.ones(4, bool)) == 1.0
    assert _least_spread(replace(seen, quality=quality[:, 2:], reference=0), np.ones(4, bool)) == 0.0
