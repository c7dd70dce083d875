"""What a recipe says of retirement, of suites that are kept to some, and of exploration: fitted, certified, replayed."""

from __future__ import annotations

import datetime as dt
import warnings
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest

from router_lab.certificate import Certificate, Figure, SuiteRow, deploy
from router_lab.cli.diff import _changes
from router_lab.cli.gate import loosened
from router_lab.cli.mirror import verdict_tags
from router_lab.cli.route import explained
from router_lab.cli.show import life_json
from router_lab.config import Recipe, parse
from router_lab.fit import fit_policy
from router_lab.fit.build import fit_on
from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.model import in_places
from router_lab.fit.problem import prepare
from router_lab.fit.retiring import warn_of_retirement
from router_lab.fit.walk import walk
from router_lab.gates.arms import arm, moves
from router_lab.metrics.paired import Recorded
from router_lab.outcomes import OutcomeMatrix, validate_outcomes
from router_lab.outcomes.kept import at_home, kept_to, places
from router_lab.replay import escalated, replay
from router_lab.report.life import life_rows
from router_lab.report.told import lost_told
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.model import Candidate
from router_lab.runtime.policy import Policy
from tests.unit.test_gates import CHEAP, DEAR, always, mixed
from tests.unit.test_replay_by_hand import FOUR, table

TODAY = dt.date(2026, 12, 1)


def recipe(**more: Any) -> Recipe:
    return parse(Recipe, {"name": "r", "holdout": 0.2, **more}, where="recipe.yaml")


@pytest.mark.parametrize(("more", "message"), [
    ({"explore": 0.02, "mix": False}, "`explore: 0.02` needs chance, and `mix: false` forbids it"),
    ({"explore": 1.0}, "`explore` is 1.0"), ({"explore": -0.1}, "`explore` is -0.1"),
    ({"reference": {"model": "a", "retires": "2027-01-01"}, "candidates": [{"model": "a", "retires": "2027-02-01"}]},
     "say two days on which a retires"),
    ({"reference": {"model": "a"}, "successor": {"model": "b"}}, "a never retires; give it `retires`"),
    ({"allowed": {"s": []}}, "`allowed.s`"), ({"allowed": {"s": [{"model": "a", "retires": "2027-01-01"}]}}, "retires"),
    ({"candidates": [{"model": "a", "retires": "2027-01-01"}]}, "`candidates` all retire"),
    ({"candidates": [{"model": "a", "retires": "2027-01-01"}, {"model": "b"}], "allowed": {"s": [{"model": "a"}]}},
     "`allowed.s`: every one of them retires"),
    ({"reference": {"model": "a", "retires": "2027-01-01"}, "successor": {"model": "a"}}, "a retires no later than"),
    ({"reference": {"model": "a", "retires": "2027-01-02"}, "successor": {"model": "b"},
      "candidates": [{"model": "a"}, {"model": "b", "retires": "2027-01-02"}, {"model": "c"}]}, "b retires no later than"),
])  # fmt: skip
def test_what_contradicts_itself_is_refused_by_its_keys(more: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        recipe(**more)


# Replay, by hand


def test_a_replay_counts_what_is_explored() -> None:
    """`test_a_replay_by_hand`, a fifth explored among both: .9 of cheap, .1 of dear, each row; the mix explores too."""
    policy = always(0, explore={"default": 0.2})
    found = replay(policy, table(FOUR))
    cheap, dear = np.array([1.0, 0.0, 1.0]), np.array([1.0, 1.0, 0.0])
    assert found.quality == pytest.approx(float((0.9 * cheap + 0.1 * dear).mean()))
    assert found.cost_usd == pytest.approx(0.9 * 0.05 / 3 + 0.1 * 0.4 / 3)
    assert found.shares == pytest.approx({CHEAP: 0.9, DEAR: 0.1})
    assert found.random_mix["savings"] == pytest.approx(0.1 * (1 - 0.05 / 0.4))
    assert (
        replay(policy, table(FOUR), "other" if "other" in policy.spec.points else None).shares == found.shares
    )


def test_the_expectation_is_the_mean_of_the_draws() -> None:
    """Every decision scored by its own outcome, weighted by how often it came, is what replay expects."""
    policy, frame = always(0, explore={"default": 0.4}), table(FOUR[:3])
    quality = {(row.sample_id, row.model): row.quality for row in frame.itertuples()}
    n, total = 4000, 0.0
    counts: Counter[str] = Counter()
    for key in range(n):
        sample = str(key % 3 + 1)
        decision = policy.decide(f"prompt {sample}", suite="a", key=f"k{key}")
        counts[decision.model] += 1
        total += quality[sample, decision.model]
    # Five standard errors of a coin.
    assert total / n == pytest.approx(replay(policy, frame).quality, abs=5 * 0.5 / n**0.5)
    assert counts["dear"] / n == pytest.approx(0.2, abs=5 * 0.4 / n**0.5)


def test_what_is_explored_by_both_moves_nothing() -> None:
    one, other = always(0, explore={"default": 0.2}), always(0, explore={"default": 0.5})
    frame = table(FOUR)
    assert moves(arm(one, frame), arm(one, frame)).share == 0.0
    assert moves(arm(one, frame), arm(other, frame)).share == pytest.approx(0.3)


def test_a_kept_suite_is_compared_with_who_stands_in_the_references_place() -> None:
    """cheap alone may serve: nothing is lost and nothing saved, and of dear no outcome counts."""
    policy = always(0, allowed={"a": (0,)})
    found = replay(policy, table(FOUR))
    assert (found.n, found.quality, found.reference_quality) == (4, 0.75, 0.75)
    assert (found.savings, found.shares) == (0.0, {CHEAP: 1.0, DEAR: 0.0})
    assert found.estimate("quality_difference").interval() == (0.0, 0.0) and found.oracle["quality"] == 0.75
    assert found.random_mix["savings"] == 0.0 and arm(policy, table(FOUR)).rows.saving().value == 0.0


def test_the_random_mix_keeps_to_it_as_well() -> None:
    """It sends .4 to cheap, which may not serve here: all is dear's, in every row that has it."""
    found = replay(always(0, certificate=mixed(0.4), allowed={"a": (1,)}), table(FOUR))
    assert (found.random_mix["savings"], found.random_mix["quality"]) == (0.0, pytest.approx(2 / 3))
    assert found.estimate("savings_over_mix").value == 0.0


def test_outcomes_of_a_kept_suite_by_hand() -> None:
    data = OutcomeMatrix.from_frame(table(FOUR), (CHEAP, DEAR))
    assert kept_to(data, 1, {}) is data
    kept = kept_to(data, 1, {"a": (0,)})
    assert kept.quality[:, 1].tolist() == kept.quality[:, 0].tolist() == [1.0, 0.0, 1.0, 1.0]
    assert kept.cost_usd[:, 1].tolist() == data.cost_usd[:, 0].tolist()
    both = kept_to(data, 1, {"a": (0, 1)})
    assert np.array_equal(both.quality, data.quality, equal_nan=True)
    own = kept_to(data, 1, {"a": (1,)})
    assert np.isnan(own.quality[:, 0]).all() and not own.missing[:, 0].any() and own.quality[0, 1] == 1.0
    assert (
        places(data, 1, {"a": (0,)}).tolist() == [0] * 4 and places(data, 1, {"b": (0,)}).tolist() == [1] * 4
    )
    assert at_home(np.array([[0.25, 0.75]]), np.array([0]), 1).tolist() == [[0.0, 1.0]]


def test_a_failed_check_is_not_asked_again_where_the_reference_may_not_serve() -> None:
    frame = table(FOUR).assign(check=[False, None, False, None, False, None, False])
    assert escalated(frame, DEAR, ["a"]).equals(frame) and not escalated(frame, DEAR, ["b"]).equals(frame)


# The walk


def test_the_walk_tests_exploration_from_its_first_step() -> None:
    """A candidate that always loses, of whom a tenth is explored among two: .05 lost before anything is chosen."""
    n = 400
    known = Recorded(
        np.column_stack([np.zeros(n), np.ones(n)]), np.tile([0.01, 0.1], (n, 1)), 1, group=np.arange(n)
    )
    seen = Evidence.bare(known, fold=np.arange(n) % 6)
    still = np.ones((n, 1), np.int64)
    goal = Goal("margin", 0.04, 0.9, explore=0.1)
    assert walk(still, seen, goal).mix == -1.0
    assert walk(still, seen, Goal("margin", 0.08, 0.9, explore=0.1)).mix == 1.0
    assert walk(still, seen, Goal("margin", 0.04, 0.9)).mix == 1.0
    shown = walk(still, seen, Goal("margin", 0.08, 0.9, explore=0.1)).estimate
    assert shown.value == pytest.approx(-0.05)
    assert seen.evenly.tolist() == [[0.5, 0.5]] * n
    assert seen.follow_and_explore(still, 1.0, 0.1).gain().value == pytest.approx(-0.05)
    assert seen.follow_and_explore(np.zeros((n, 1), np.int64), 0.5, 0.1).quality[0] == pytest.approx(
        0.9 * 0.5 + 0.05
    )


def test_exploration_draws_no_chain_and_nobody_who_may_not_be_chosen() -> None:
    known = Recorded(np.ones((2, 4)), np.ones((2, 4)), 1, group=np.arange(2))
    eligible = np.array([[True, False, False, True], [True, False, True, True]])
    seen = Evidence(**vars(Evidence.bare(known, eligible=eligible)) | {"chains": 1})
    assert seen.evenly.tolist() == [[0.5, 0.5, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3, 0.0]]


# A fit


@pytest.fixture(scope="module")
def world() -> pd.DataFrame:
    """`small` costs a tenth of `large` and is as good, `local` costs half of it and is worse; two suites."""
    rng, found = np.random.default_rng(3), []
    for i in range(600):
        for model, right, cost in (
            ("large", 0.9, 0.10),
            ("small", 0.9, 0.01),
            ("local", 0.6, 0.05),
            ("tiny", 0.6, 0.005),
        ):
            found.append({
                "suite": ("open", "sensitive")[i % 2], "sample_id": f"s{i:04d}", "model": model,
                "quality": float(rng.random() < right), "cost_usd": cost, "prompt": f"question {i} of many",
                "group": f"g{i:04d}",
            })  # fmt: skip
    return validate_outcomes(pd.DataFrame(found))


KEPT = {"sensitive": [{"model": "local"}, {"model": "tiny"}]}
WIDE = {"reference": {"model": "large"}, "rule": {"margin": 0.15}, "escalate": False}


@pytest.fixture(scope="module")
def kept(world: pd.DataFrame) -> Policy:
    return fit_policy(recipe(**WIDE, allowed=KEPT), world)


def test_a_fit_chooses_in_a_kept_suite_among_its_own(kept: Policy, world: pd.DataFrame) -> None:
    names = [candidate.model for candidate in kept.candidates]
    assert kept.spec.allowed == {"sensitive": (names.index("local"), names.index("tiny"))}
    shares = dict(zip(names, kept.shares(["question 1 of many"], ["sensitive"])[0], strict=True))
    assert shares["large"] == shares["small"] == 0.0 and shares["tiny"] > 0.5
    # Judged against `local`: as good as it, at a tenth of its price. Against `large` a third would be lost.
    shown = Certificate.of(kept).suites or {}
    row = shown["sensitive"]
    assert row.allowed == (("local", None), ("tiny", None)) and shown["open"].allowed is None
    assert row.quality_difference is not None and row.quality_difference.value is not None
    assert abs(row.quality_difference.value) < 0.15 and Certificate.of(kept).verdict == "pass"
    again = replay(Policy(kept.spec), world[world["suite"] == "sensitive"])
    assert 0.5 < again.savings < 0.95 and again.reference_quality < 0.75


def test_predictions_of_the_reference_are_of_who_stands_in_its_place(world: pd.DataFrame) -> None:
    problem = prepare(recipe(**WIDE, allowed=KEPT), world)
    fitted, names = fit_on(problem, 0), [one.model for one in problem.develop.candidates]
    large, local = names.index("large"), names.index("local")
    here = problem.develop.suite == 1
    for quality, cost in (*fitted.predicted.found.values(), *fitted.predicted.knowing(here).values()):
        assert (quality[here, large] == quality[here, local]).all() and (
            cost[here, large] == cost[here, local]
        ).all()
        assert (quality[~here, large] > quality[~here, local]).all()
    quality, cost = fitted.rates
    assert quality[2, large] == quality[2, local] < quality[1, large] and cost[2, large] == cost[2, local]
    own = in_places((np.array([[0.1, 0.9]]), np.array([[1.0, 2.0]])), np.array([0]), 1)
    assert [part.tolist() for part in own] == [[[0.1, 0.1]], [[1.0, 1.0]]]


def test_a_suite_whose_reference_may_serve_is_judged_against_it(world: pd.DataFrame) -> None:
    allowed = {"sensitive": [{"model": "tiny"}, {"model": "large"}]}
    found = fit_policy(recipe(**WIDE, allowed=allowed), world)
    assert not found.spec.eligible[2, found.candidates.index(Candidate("small"))]  # type: ignore[index]
    alone = replay(found, world[world["suite"] == "sensitive"])
    assert alone.reference_quality > 0.85 and alone.shares[Candidate("small")] == 0.0


def test_a_suite_or_candidate_that_is_not_there_is_an_error(world: pd.DataFrame) -> None:
    with pytest.raises(
        InputError, match="allowed: suite 'sensitve' is not in the outcomes, which hold 'open', 'sensi"
    ):
        fit_policy(recipe(allowed={"sensitve": [{"model": "local"}]}), world)
    with pytest.raises(InputError, match="allowed: sensitive: who is not in the outcomes"):
        fit_policy(recipe(allowed={"sensitive": [{"model": "who"}]}), world)


def test_exploration_is_certified_with_the_policy(world: pd.DataFrame) -> None:
    plain = Certificate.of(fit_policy(recipe(**WIDE), world))
    found = fit_policy(recipe(**WIDE, explore=0.1), world)
    shown = Certificate.of(found)
    assert found.spec.explore == {"default": 0.1} and shown.exploration is not None
    does, gain, before = shown.exploration, shown.quality_difference, plain.quality_difference
    assert (
        does.share == 0.1 and does.quality_difference is not None and gain is not None and before is not None
    )
    assert does.quality_difference.value < 0 and gain.value < before.value  # type: ignore[operator]
    assert gain.value == pytest.approx(before.value + does.quality_difference.value, abs=1e-9)  # type: ignore[operator]
    assert replay(found, world).savings == pytest.approx(
        float(replay(found, world).estimate("savings").value)
    )
    assert "explores" in dict(life_rows(found)) and life_json(found)["explore"] == {"default": 0.1}


def test_where_exploration_breaks_the_rule_nothing_is_explored(world: pd.DataFrame) -> None:
    """Half of all requests among four of whom two lose 30 points: some 7 points lost, and 2 are allowed."""
    found = fit_policy(recipe(**WIDE | {"rule": {"margin": 0.02}}, explore=0.5), world)
    shown = Certificate.of(found)
    assert found.spec.explore == {} and shown.verdict == "inconclusive" and shown.exploration is None
    assert shown.reason is not None and "not even 50 % explored beside large" in shown.reason
    assert found.shares(["question 1 of many"], ["open"])[0].max() == 1.0


def test_who_retires_before_the_policy_expires_is_warned_of(world: pd.DataFrame) -> None:
    more = {"reference": {"model": "large", "retires": "2027-03-01"}, "successor": {"model": "small"}}
    with pytest.warns(
        RouterLabWarning, match=r"large retires on 2027-03-01, before the policy does, which never expires"
    ):
        found = fit_policy(recipe(**WIDE | more), world)
    assert dict(zip(found.candidates, found.spec.retires, strict=True))[Candidate("large")] == "2027-03-01"
    (row,) = [text for key, text in life_rows(found, TODAY) if key == "retires"]
    assert row == (
        "large on 2027-03-01, in 90 days: from then on small (named for that) serves in the reference's place"
    )
    assert "so it serves nothing any more" in dict(life_rows(found, dt.date(2027, 3, 1)))["retires"]
    assert "reference" in found.spec.provenance["recipe"] and "explore" not in found.spec.provenance["recipe"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_policy(recipe(**WIDE | more, expires="2027-03-01"), world)
    with (
        pytest.raises(InputError, match="successor who is not in the outcomes"),
        pytest.warns(RouterLabWarning),
    ):
        fit_policy(recipe(**WIDE | more | {"successor": {"model": "who"}}), world)


def test_a_champion_that_keeps_a_suite_closer_is_said() -> None:
    kept, both, plain = always(0, allowed={"a": (0,)}), always(0, allowed={"a": (0, 1)}), always(0)
    (told,) = loosened(kept, plain)
    assert told == "a may be served by dear, which the champion keeps out of it (`allowed`)"
    assert (
        loosened(kept, both) == [told]
        and loosened(both, kept) == loosened(plain, kept) == loosened(kept, kept) == []
    )


def test_a_mirror_and_an_explanation_say_it() -> None:
    policy = always(0, explore={"default": 0.02}, allowed={"a": (0,), "b": (1,)})
    tags = verdict_tags(policy)
    assert (
        tags["allowed"].count(" alone, ") == 2
        and tags["explores"].startswith("2 %")
        and "retires" not in tags
    )
    assert verdict_tags(always(0)).keys() == {"verdict", "reason", "deploy", "mlflow.note.content"}
    inside = policy.decide("prompt", suite="a")
    rows = explained(policy, inside, "prompt", "a", None, TODAY, {})
    assert [row["standing"] for row in rows] == [
        "in the reference's place", f"excluded by `allowed` of the recipe: a is kept to {CHEAP}",
    ]  # fmt: skip
    assert rows[0]["ahead"] in (0.0, None) and inside.reference == CHEAP


def test_what_changes_between_two_policies_is_said() -> None:
    old = always(0)
    new = always(
        0, explore={"default": 0.02}, allowed={"a": (0,)}, retires=(None, "2027-01-01"), successor=0,
    )  # fmt: skip
    assert _changes(old, new) == [
        "dear retires: never → 2027-01-01", "successor of the reference: the next fallback → cheap @ low",
        "a is served by: anybody → cheap @ low", "point default explores: 0 % → 2 %",
        *[line for line in _changes(old, new) if line.startswith("unfamiliar")],
    ]  # fmt: skip
    assert life_json(old) == {} and life_rows(old, TODAY) == []
    assert [key for key, _ in life_rows(new, TODAY)] == ["retires", "allowed", "explores"]
    told = dict(life_rows(new, TODAY))
    assert (
        told["allowed"]
        == "a is served by cheap @ low alone, whatever a request allows, judged against cheap @ low"
    )
    assert told["explores"] == "2 % of the requests at point default, each to anybody who may serve it"


def test_a_reference_that_has_retired_is_nothing_to_deploy_beside() -> None:
    """Of who has retired and is not the reference it is said; nothing of who retires later."""
    gone = always(0, retires=(None, "2026-12-01"))
    assert gone.reference == DEAR and deploy(gone, dt.date(2026, 11, 30)) == "Route."
    assert deploy(gone, TODAY) == (
        f"Do not deploy: the reference, {DEAR}, retired on 2026-12-01, and nothing is shown beside {CHEAP}, who serves "
        "in its place; fit again with another `reference`."
    )
    other = always(0, retires=("2026-12-01", None))
    assert deploy(other, TODAY) == f"Route. Shown with {CHEAP}, retired since: fit again without."


@pytest.mark.parametrize(("more", "message"), [
    ({"reference": {"model": "large", "retires": "2020-03-01"}, "successor": {"model": "small"}},
     r"large retired on 2020-03-01 and is asked no more, .*: take another `reference`$"),
    ({"candidates": [{"model": "small", "retires": "2020-03-01"}, {"model": "large"}], "expires": "2019-01-01"},
     r"small retired on 2020-03-01 .*: leave it out \(`candidates`\)$"),
])  # fmt: skip
def test_who_has_retired_is_not_told_to_expire(
    world: pd.DataFrame, more: dict[str, Any], message: str
) -> None:
    with pytest.warns(RouterLabWarning, match=message):
        warn_of_retirement(prepare(recipe(**WIDE | more), world))


def test_a_suite_that_others_make_up_for_is_named_with_its_loss() -> None:
    """Below the margin of 3 points by itself; as far as it is no loss, or too few, nothing is said."""

    def row(value: float, n: int = 90) -> SuiteRow:
        lost = Figure(value=value, low=value - 0.02, high=value + 0.02, n=n, clusters=n)
        return SuiteRow(n=n, clusters=n, quality_difference=lost)

    suites = {
        "far": row(-0.071),
        "at": row(-0.03),
        "few": row(-0.5, 12),
        "well": row(0.02),
        "near": row(-0.031),
    }
    assert lost_told(Certificate(margin=0.03, suites=suites)) == [
        "far −7.1 [−9.1, −5.1] points, near −3.1 [−5.1, −1.1] points: by itself more than the margin, which all "
        "suites keep together; others make up for it"
    ]
    assert lost_told(Certificate(suites=suites)) == []  # no margin, so nothing is promised
