"""The choice and the random mix share one error probability, and no policy saves less than its mix."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from router_lab.certificate import Certificate, advice, who_mixes
from router_lab.config import Recipe
from router_lab.config.recipe import CandidateRef
from router_lab.fit import fit_policy
from router_lab.fit.build import fit_on, spec_of
from router_lab.fit.choose import CHOOSING, Option, choose, constants
from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.folds import group_folds
from router_lab.fit.model import READS
from router_lab.fit.problem import prepare
from router_lab.fit.rivals import (
    FIRST,
    LEAST_AHEAD,
    ahead,
    correlation,
    kept,
    lost_suites,
    rivals,
    without_gain,
)  # fmt: skip
from router_lab.fit.table import Cell, table_actions, without_suites
from router_lab.metrics import clustered_mean
from router_lab.metrics.paired import Ints, Recorded
from router_lab.metrics.steady import normal_quantile
from router_lab.metrics.together import confidence_of_second
from router_lab.outcomes import OutcomeMatrix, validate_outcomes
from router_lab.replay import replay
from router_lab.runtime.policy import Policy


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("correlation", [0.01, 0.3, 0.7, 0.95, 0.999])
def test_two_normal_tests_err_together_as_often_as_one_may(confidence: float, correlation: float) -> None:
    first = 1 - FIRST * (1 - confidence)
    second = confidence_of_second(confidence, first, correlation)
    z = [float(normal_quantile(p)) for p in (first, second)]
    both = multivariate_normal([0, 0], [[1, correlation], [correlation, 1]]).cdf(z)
    assert both == pytest.approx(confidence, abs=2e-5)


def test_one_test_needs_no_sharing_and_strangers_what_is_left() -> None:
    assert confidence_of_second(0.9, 0.92, 1.0) == 0.9
    assert (
        confidence_of_second(0.9, 0.92, 0.0) == confidence_of_second(0.9, 0.92, -0.5) == pytest.approx(0.98)
    )


def evidence(
    quality: np.ndarray, cost: list[float], reference: int, missing: np.ndarray | None = None
) -> Evidence:
    n = len(quality)
    folds = group_folds(np.zeros(n, np.int64), np.arange(n), 0, CHOOSING)
    costs = np.tile(np.array(cost), (n, 1))
    return Evidence.bare(Recorded(quality, costs, reference, missing=missing, group=np.arange(n)), fold=folds)


def by_hand(first: list[float], second: list[float]) -> float:
    """`correlation` of two fixed candidates with these gains, one row a cluster."""
    seen = evidence(np.column_stack([first, second, np.zeros(len(first))]), [0.1, 0.1, 1.0], 2)
    goal = Goal("margin", 0.05, 0.9)
    options, actions = constants(seen, goal)
    one, other = (choose(options[j : j + 1], actions[j : j + 1], seen, goal) for j in range(2))
    every = np.zeros((len(first), one.action.shape[1]), np.int64)
    return correlation(replace(one, action=every), replace(other, action=every + 1))


def test_correlation_by_hand() -> None:
    """Gains of twelve rows: sums of squares 12 each, what was not seen k = .721 rows each; products 12, 0 and -12."""
    up, across = [1.0, -1.0] * 6, [1.0, 1.0, -1.0, -1.0] * 3
    assert by_hand(up, list(up)) == pytest.approx(12 / (12 + 0.7206), abs=1e-4)
    assert by_hand(up, across) == pytest.approx(0)
    assert by_hand(up, [-u for u in up]) == pytest.approx(-12 / (12 + 0.7206), abs=1e-4)


def world(rng: np.random.Generator, n: int, candidates: int) -> tuple[Evidence, list[Option], np.ndarray]:
    """A predictor that knows something, and candidates that each lose a little."""
    hard = rng.normal(size=(n, 1))
    strength = np.linspace(-0.5, 1.5, candidates)
    truth = 1 / (1 + np.exp(-2 * (strength + 0.8 - hard)))
    quality = (rng.random((n, candidates)) < truth).astype(np.float64)
    seen = evidence(quality, list(np.geomspace(0.05, 1, candidates)), candidates - 1)
    options, actions = [], []
    for limit in rng.normal(size=4):
        options.append(Option(READS, 0.0, float(limit)))
        actions.append(np.where(hard[:, 0] + rng.normal(size=n) < limit, 0, candidates - 1))
    return seen, options, np.array(actions, np.int16)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(2, 5), st.sampled_from([0.02, 0.05, 0.1]), st.booleans(), st.booleans()
)
def test_what_is_deployed_never_saves_less_than_the_mix(
    seed: int, candidates: int, margin: float, mix: bool, strict: bool
) -> None:
    seen, options, actions = world(np.random.default_rng(seed), 150, candidates)
    goal = Goal("margin", margin, 0.9, strict=strict, mix=mix)
    found = rivals(options, actions, *constants(seen, goal), seen, goal)
    sure = 0.915  # prompts are read: .85 of .1 is what is tested at
    lead = ahead(found.deployed, found.random_mix)
    assert (
        lead > LEAST_AHEAD or found.deployed is found.random_mix or (lead >= 0 and not found.random_mix.acts)
    )
    assert not found.deployed.acts or found.deployed.paired().saving().value > 0
    for one in found:
        assert sure - 1e-9 <= one.goal.confidence <= 1 - (1 - FIRST) * 0.085 + 1e-9
        # Nothing is shown at a shared level that is not at the full one.
        assert one.mix <= one.tested(0.9).mix
    fixed, always = constants(seen, goal)
    careful = replace(goal, confidence=0.95)
    all_, alone = (
        choose([*options, *fixed], np.concatenate([actions, always]), seen, careful),
        choose(fixed, always, seen, careful),
    )
    alike, first = 0.0 if strict else correlation(all_, alone), 1 - FIRST * 0.085
    if not (all_.promising and alone.promising) or alike > 0.999:
        return
    second = confidence_of_second(sure, first, alike)
    if all_.tested(first).mix >= 1:
        assert found.random_mix.goal.confidence == pytest.approx(sure)
    elif alone.tested(second).mix >= 1:
        assert any(found.random_mix.goal.confidence == pytest.approx(level) for level in (sure, second))
    else:
        level = second if found.deployed is found.random_mix else first
        assert found.deployed.goal.confidence == pytest.approx(level)


def test_what_costs_more_on_rows_that_it_has_not_seen_is_not_kept() -> None:
    """The same quality, and a candidate that costs a tenth, or ten times as much as the reference."""
    seen = evidence(np.ones((100, 2)), [0.1, 1.0], 1)
    goal = Goal("margin", 0.05, 0.9)
    cheap = choose(*constants(seen, goal), seen, goal)
    assert kept(cheap) is cheap and cheap.acts
    dear = replace(cheap, evidence=replace(seen, cost_usd=seen.cost_usd[:, ::-1]))
    assert not kept(dear).acts and not kept(dear).promising


def test_where_all_is_the_mix_it_is_tested_once() -> None:
    seen, _, _ = world(np.random.default_rng(1), 300, 3)
    goal = Goal("margin", 0.05, 0.9)
    fixed, always = constants(seen, goal)
    found = rivals([], np.zeros((0, 300), np.int16), fixed, always, seen, goal)
    assert (
        found.deployed is found.random_mix and found.deployed.goal.confidence == 0.9 and found.deployed.acts
    )


def test_one_that_is_shown_to_its_end_leaves_the_other_the_whole_error() -> None:
    """The cheap candidate is always right: everything is shown."""
    quality = np.ones((200, 2))
    seen = evidence(quality, [0.1, 1.0], 1)
    goal = Goal("margin", 0.05, 0.9)
    half = np.where(np.arange(200) % 2, 0, 1).astype(np.int16)[None]
    found = rivals([Option(READS, 0.0, 0.0)], half, *constants(seen, goal), seen, goal)
    assert found.random_mix.mix == 1 and found.deployed is found.random_mix


def test_a_reference_that_was_picked_pays_for_that_where_it_is_itself_tested() -> None:
    assert Goal("quality", 0.8, 0.9, compared=5).sure == pytest.approx(0.98)
    assert Goal("budget", 0.8, 0.9, compared=5).sure == pytest.approx(0.98)
    assert Goal("margin", 0.02, 0.9, compared=5).sure == 0.9


Row = tuple[str, str, str, float | None, float]


def table(rows: list[Row]) -> pd.DataFrame:
    names = ["suite", "sample_id", "model", "quality", "cost_usd"]
    return pd.DataFrame(rows, columns=names)


def recipe(**rule: float) -> Recipe:
    return Recipe.model_validate({"name": "r", "rule": {"confidence": 0.9, **rule}, "holdout": 0.0})


def against_dear(margin: float) -> Recipe:
    return recipe(margin=margin).model_copy(update={"reference": CandidateRef(model="dear")})


def test_the_best_of_many_at_the_edge_is_seldom_shown_to_be_above_it() -> None:
    """12 candidates of a true quality of .79 where .8 is asked for: the best of them looks better than it is."""
    passed = 0
    for seed in range(12):
        right = np.random.default_rng(seed).random((100, 12)) < 0.79
        rows = [
            ("s", f"{i:03}", f"m{j:02}", float(right[i, j]), 1.0 + j) for i in range(100) for j in range(12)
        ]
        passed += fit_policy(recipe(min_quality=0.8), table(rows)).spec.certificate["verdict"] == "pass"
    assert passed <= 2


def halves(seed: int = 0) -> list[Row]:
    """Two suites: the cheap candidate is as good in `a`, and loses thirty points in `b`, a tenth of the rows."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for i in range(1000):
        suite = "b" if i < 100 else "a"
        right = rng.random() < 0.9
        cheap = rng.random() < 0.6 if suite == "b" else right
        rows += [
            (suite, f"{i:04}", "cheap", float(cheap), 0.1),
            (suite, f"{i:04}", "dear", float(right), 1.0),
        ]
    return rows


def test_a_suite_that_is_shown_to_lose_goes_to_the_reference() -> None:
    """Over all rows three points are lost, within the margin of five; in `b` alone thirty."""
    policy = fit_policy(recipe(margin=0.05), table(halves()))
    shown = policy.spec.certificate
    assert (
        shown["verdict"] == "pass" and shown["suites"]["b"]["closed"] and "closed" not in shown["suites"]["a"]
    )
    assert policy.shares(["x"], ["b"]).tolist() == [[0.0, 1.0]] and policy.shares(["x"], ["a"])[0, 0] > 0.9
    assert (
        shown["suites"]["b"]["savings"]["value"] == 0 == shown["suites"]["b"]["quality_difference"]["value"]
    )
    assert shown["over_random_mix"]["value"] >= 0


def test_the_table_routes_nothing_of_a_suite_that_is_left_to_the_reference() -> None:
    """The runtime's table asks nobody who may be chosen: a row of it that passed would take strange prompts away."""
    gain = clustered_mean([0.0, 0.0])
    cells = [Cell(s, 1, verdict, gain, 0.5) for s, verdict in enumerate(("pass", "pass", "fail"))]
    kept_cells = without_suites(cells, {1, 2})
    assert [c.verdict for c in kept_cells] == ["pass", "inconclusive", "fail"]
    assert table_actions(kept_cells, np.array([0, 1, 2]), 0).tolist() == [1, 0, 0]


def test_lost_suites_by_hand() -> None:
    """All rows are sent to the cheap one. In suite 1 it loses each of 30 rows; suite 2 has too few."""
    suite = np.array([0] * 60 + [1] * 30 + [2] * 4)
    quality = np.column_stack([(suite == 0).astype(float), np.ones(94)])
    seen = evidence(quality, [0.1, 1.0], 1)
    goal = Goal("margin", 0.5, 0.9)
    found = rivals([], np.zeros((0, 94), np.int16), *constants(seen, goal), seen, goal)
    assert found.deployed.acts and lost_suites(suite, [found]) == {1}


def test_a_suite_is_lost_where_that_is_shown_for_all_suites_together() -> None:
    """Of 40 rows of suite 0, `losses` are lost; nine further suites lose nothing. At .90 fewer losses show more than
    the margin than at .99, which ten suites need; three are seen and not shown."""
    suite = np.repeat(np.arange(10), 40)
    goal = Goal("margin", 0.05, 0.9)

    def lost(losses: int, suites: Ints) -> bool:
        quality = np.column_stack([(np.arange(400) >= losses).astype(float), np.ones(400)])
        seen = evidence(quality, [0.1, 1.0], 1)
        found = rivals([], np.zeros((0, 400), np.int16), *constants(seen, goal), seen, goal)
        return found.deployed.acts and 0 in lost_suites(suites, [found])

    alone, together = (min(k for k in range(3, 20) if lost(k, s)) for s in (np.minimum(suite, 1), suite))
    assert 2 < alone < together  # three of forty are above .05


@pytest.mark.parametrize("kind", ["margin", "quality"])
def test_what_is_missing_by_no_plan_counts_as_lost(kind: str) -> None:
    """Three rows: the cheap one's outcome is missing, the reference's, none."""
    quality = np.array([[np.nan, 1.0], [1.0, np.nan], [1.0, 1.0]])
    missing = np.isnan(quality)
    goal = Goal(kind, 0.25, 0.9)
    cheap, dear = np.zeros(3, np.int64), np.ones(3, np.int64)
    seen = evidence(quality, [0.1, 1.0], 1, missing=missing)
    by_plan = evidence(quality, [0.1, 1.0], 1, missing=np.zeros_like(missing))
    if kind == "margin":
        assert seen.values(cheap, goal).tolist() == [-1, 0, 0] and seen.values(dear, goal).tolist() == [
            0,
            0,
            0,
        ]
        assert np.isnan(by_plan.values(cheap, goal)).tolist() == [True, True, False]
    else:
        assert seen.values(cheap, goal).tolist() == [-0.25, 0.75, 0.75]
        assert seen.values(dear, goal).tolist() == [0.75, -0.25, 0.75]


PLANS = {
    "no row": (None, None, False), "infra": ("infra", "no answer", False),
    "invalidated": ("budget", "invalidated by me", False),
    "budget": ("budget", "the budget was spent", True), "not run": ("budget", "not run", True),
}  # fmt: skip


@pytest.mark.parametrize("plan", PLANS)
def test_missing_not_at_random_is_not_hidden_under_the_margin(plan: str) -> None:
    """The cheap one fails on 4 % of the prompts, whose rows are gone: who left them out by a plan did not look."""
    status, reason, planned = PLANS[plan]
    frame = table([(s, i, m, q, c) for s, i, m, q, c in halves() if s == "a"])
    frame["status"], frame["reason"] = "ok", None
    gone = (frame["model"] == "cheap") & (frame["sample_id"].astype(int) % 25 == 0)
    if status is None:
        frame = frame[~gone]
    else:
        frame.loc[gone, "quality"], frame.loc[gone, "status"], frame.loc[gone, "reason"] = (
            None,
            status,
            reason,
        )
    shown = fit_policy(against_dear(0.03), validate_outcomes(frame)).spec.certificate
    assert ("missing" not in shown) == planned
    if planned:
        assert shown["mix"] == 1 and shown["verdict"] == "pass"
    elif plan == "infra":  # 2 % of all runs: nothing is concluded
        assert shown["verdict"] == "inconclusive" and shown["mix"] == 0
    else:
        assert shown["missing"] == 36 and 0.3 < shown["mix"] < 0.75


def test_a_drawn_part_is_missing_by_plan() -> None:
    frame = table(halves())
    drawn = frame["sample_id"].astype(int) % 2 == 0
    frame = frame[(frame["model"] == "cheap") | drawn].assign(weight=1.0)
    frame.loc[frame["model"] == "dear", "weight"] = 2.0
    shown = fit_policy(against_dear(0.05), frame).spec.certificate
    assert "missing" not in shown and shown["verdict"] == "pass"


@pytest.mark.parametrize(("weight", "missing"), [(1.001, True), (1.01, True), (25 / 24, False)])
def test_a_weight_explains_as_many_rows_as_it_says(weight: float, missing: bool) -> None:
    """4 % of the cheap one's rows are gone; a weight of 25/24 says so, smaller ones do not."""
    frame = table([(s, i, m, q, c) for s, i, m, q, c in halves() if s == "a"])
    frame["weight"] = np.where(frame["model"] == "cheap", weight, 1.0)
    gone = (frame["model"] == "cheap") & (frame["sample_id"].astype(int) % 25 == 0)
    data = OutcomeMatrix.from_frame(validate_outcomes(frame[~gone]))
    assert data.missing.any() == missing


def test_what_was_drawn_and_lost_is_missing() -> None:
    """The dear one ran on half of the samples, by a draw: sample 2 was drawn and lost, sample 1 was not drawn."""
    frame = table(
        [("s", str(i), "cheap", 1.0, 0.1) for i in range(4)]
        + [("s", str(i), "dear", 1.0, 1.0) for i in (0, 2)]
    )
    frame["weight"] = np.where(frame["model"] == "dear", 2.0, 1.0)
    frame["status"], frame["reason"] = "ok", None
    frame.loc[5, ["quality", "status", "reason"]] = [None, "infra", "no answer"]
    data = OutcomeMatrix.from_frame(validate_outcomes(frame))
    assert data.missing[:, 1].tolist() == [False, False, True, False] and not data.missing[:, 0].any()


def test_a_choice_that_is_not_shown_leaves_the_table_idle_too() -> None:
    """A suite's row may pass on its own: what was judged is all of it together, so nothing of it acts."""
    fitted = fit_on(prepare(against_dear(0.05), table(halves())), 0)
    shown = spec_of(fitted)
    assert shown.routes["a"].verdict == "pass"
    idle = fitted.choices["default"]
    idle = replace(idle, walked=idle.walked._replace(mix=0.0))
    spec = spec_of(replace(fitted, choices={"default": idle}))
    assert spec.routes["a"].verdict == "inconclusive"
    assert Policy(spec).shares(["x", "y"], ["a", "b"]).tolist() == [[0.0, 1.0]] * 2
    assert idle.paired().moved.max() == 0


def test_a_mix_of_two_candidates_is_told_and_replayed_whole() -> None:
    """All are always right, at .1, .2 and 1 dollars. The mix: .3 * .1 + .2 * .2 + .5 * 1 = .57; the policy: .1."""
    rows: list[Row] = [
        ("s", f"{i:03}", model, 1.0, cost)
        for i in range(200)
        for model, cost in (("a", 0.1), ("b", 0.2), ("dear", 1.0))
    ]
    spec = fit_policy(against_dear(0.05), table(rows)).spec
    none = {"quality_difference": None, "savings": None}
    mix = {"model": "a", "effort": None, "probability": 0.3, **none}
    mix["others"] = [{"model": "b", "effort": None, "probability": 0.2}]
    over = {"value": -0.02, "low": -0.03, "high": -0.01}
    told = {"verdict": "pass", "mix": 0.4, "over_random_mix": over, "random_mix": mix,
            "reference": {"model": "dear", "effort": None}}  # fmt: skip
    shown = Certificate.from_json(told)
    assert shown.random_mix is not None and shown.random_mix.moved == 0.5
    assert who_mixes(shown.random_mix) == "a at 0.30, b at 0.20"
    assert (
        "send 30 % of the requests to a and 20 % to b, at random, and the others to dear."
        in advice(shown).text
    )
    fresh = table([("s", f"new {i}", model, quality, cost) for _, i, model, quality, cost in rows])
    found = replay(Policy(replace(spec, certificate=told)), fresh)
    assert found.estimate("savings_over_mix").value == pytest.approx(0.47)
    assert found.random_mix["savings"] == pytest.approx(0.43)
    assert found.to_json()["random_mix"]["others"] == mix["others"]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 5), st.sampled_from([0.02, 0.05, 0.1]), st.booleans())
def test_the_simpler_is_deployed_only_where_nothing_is_lost_and_the_promise_is_kept(
    seed: int, candidates: int, margin: float, strict: bool
) -> None:
    """Of a world's four readers all are `chained`, the first two `plain`."""
    seen, options, actions = world(np.random.default_rng(seed), 150, candidates)
    goal = Goal("margin", margin, 0.9, strict=strict)
    both = [rivals(options[:k], actions[:k], *constants(seen, goal), seen, goal).deployed for k in (4, 2)]
    chained, plain = ({"default": one} for one in both)
    found = without_gain(chained, plain)
    lead = ahead(*both)
    if found is None:
        assert lead > 0 or strict or both[0].goal.confidence < 0.95
        return
    kept_ = found["default"]
    assert lead <= 0 and ahead(both[0], kept_) <= 0
    assert kept_.goal.confidence >= both[1].goal.confidence
    alike = 0.0 if strict else correlation(*both)
    if alike <= 0:
        errs = 2 - both[0].goal.confidence - kept_.goal.confidence
    else:
        z = [float(normal_quantile(one.goal.confidence)) for one in (both[0], kept_)]
        corr = min(alike, 0.999999)
        errs = 1 - multivariate_normal([0, 0], [[1, corr], [corr, 1]]).cdf(z)
    assert errs <= 0.1 + 1e-3


def test_a_lead_at_any_point_keeps_the_chains() -> None:
    """400 rows, all right. One candidate costs .5, the other .6, the reference 1: the better is .1 ahead."""
    seen = evidence(np.ones((400, 3)), [0.5, 0.6, 1.0], 2)
    goal = Goal("margin", 0.05, 0.9)
    options, actions = constants(seen, goal)
    careful = replace(goal, confidence=0.92, promised=0.9)
    better, worse = (choose(options[j : j + 1], actions[j : j + 1], seen, careful) for j in (0, 1))
    assert ahead(better, worse) == pytest.approx(0.1)
    assert without_gain({"a": better}, {"a": worse}) is None
    found = without_gain({"a": worse}, {"a": better})
    assert found is not None and found["a"].options == better.options
    assert found["a"].goal.confidence == pytest.approx(0.98)  # of the .1 the first test has left .02
    assert without_gain({"a": worse}, {"a": worse}) == {"a": worse}  # one test
    assert without_gain({"a": better, "b": worse}, {"a": better, "b": better}) is not None
    assert without_gain({"a": worse, "b": better}, {"a": better, "b": worse}) is None
