"""From outcomes to a policy: what it must find, what it must refuse, and that nothing depends on the order of rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from router_lab.config import Recipe
from router_lab.fit import FITTERS, build, fit_policy
from router_lab.fit.build import fit_problem
from router_lab.fit.problem import prepare
from router_lab.fit.reproduce import reproduce
from router_lab.outcomes import validate_outcomes
from router_lab.replay import replay
from router_lab.runtime.artifact import encode_policy, load_policy, save_policy
from router_lab.runtime.errors import InputError
from router_lab.runtime.points import mix_of
from tests.fit_worlds import EASY, HARD, constant, two_kinds


def recipe(**settings: object) -> Recipe:
    return Recipe.model_validate({"name": "test", "rule": {"margin": 0.05, "confidence": 0.9}, **settings})


def test_it_finds_the_words_that_tell_easy_from_hard() -> None:
    policy = fit_policy(recipe(), two_kinds())
    assert policy.spec.certificate["verdict"] == "pass"
    assert policy.decide(f"{EASY} red blue", suite="mixed", key="a").model == "small"
    assert policy.decide(f"{HARD} red blue", suite="mixed").model == "large"
    scored = replay(policy, two_kinds(seed=0))
    assert not scored.in_sample
    # Half the prompts at a tenth of the price: 45 % is the most that loses nothing.
    assert 0.25 < scored.savings < 0.55
    assert scored.savings > scored.random_mix["savings"] + 0.1


def test_shuffled_labels_save_no_more_than_the_random_mix() -> None:
    problem = prepare(recipe(), two_kinds(shuffle=True))
    more = [fit_problem(problem, deal).spec.certificate["over_random_mix"]["value"] for deal in range(4)]
    assert abs(np.mean(more)) < 0.01 and max(more) < 0.02


def test_a_reference_that_is_best_and_cheapest_means_do_not_route() -> None:
    policy = fit_policy(recipe(), constant({"good": 0.9, "bad": 0.5}, {"good": 0.01, "bad": 0.05}))
    certificate = policy.spec.certificate
    assert certificate["action"] == "do not route"
    assert "good" in certificate["reason"]
    assert policy.decide("question 1 of many").model == "good"


def test_same_bytes_whatever_the_order_of_rows() -> None:
    table = two_kinds(120)
    shuffled = table.sample(frac=1, random_state=3)
    first, second = (encode_policy(fit_policy(recipe(), t, seed=1)) for t in (table, shuffled))
    assert first == second


def test_a_saved_policy_decides_alike_and_its_certificate_is_reproduced(tmp_path: object) -> None:
    table = two_kinds(150)
    policy = load_policy(save_policy(fit_policy(recipe(), table), f"{tmp_path}/p"))
    again = reproduce(policy, table)
    assert again["same_revision"] and again["differences"] == []
    changed = table.assign(quality=np.where(table["sample_id"] < "s0020", 0.0, table["quality"]))
    assert reproduce(policy, changed)["differences"]


def test_holdout_rows_choose_nothing() -> None:
    table = two_kinds(300)
    spec = fit_policy(recipe(holdout=0.3), table).spec
    test = spec.certificate["test"]
    assert test["n"] + len(spec.groups) == 300
    assert fit_policy(recipe(holdout=0), table).spec.certificate["test"] is None


def test_points_share_the_error_and_order_by_margin() -> None:
    policy = fit_policy(recipe(points={"bold": {"margin": 0.2, "confidence": 0.9}}), two_kinds())
    points = policy.spec.certificate["points"]
    assert points["default"]["confidence"] == pytest.approx(0.95)
    saved = {name: replay(policy, two_kinds(), name).savings for name in points}
    assert saved["bold"] >= saved["default"]


@pytest.mark.parametrize("margin", [0.003, 0.01, 0.1])
def test_as_much_moves_as_was_shown(margin: float) -> None:
    """The pieces of a point add up to the mix of the certificate, less what the halves left to the reference."""
    policy = fit_policy(recipe(rule={"margin": margin, "confidence": 0.8}), two_kinds())
    shown = policy.spec.certificate["points"]["default"]
    assert mix_of(policy.spec.points["default"]) <= shown["mix"] + 1e-9
    assert (mix_of(policy.spec.points["default"]) > 0.5 * shown["mix"]) or not shown["shown"]


def test_without_chance_no_point_mixes() -> None:
    policy = fit_policy(recipe(mix=False), two_kinds())
    assert {mix_of(point) for point in policy.spec.points.values()} <= {0.0, 1.0}
    # One half chooses and the other judges: its rows are those the certificate speaks of, and none of them is unpaired.
    shown, rows = policy.spec.certificate, fit_policy(recipe(), two_kinds()).spec.certificate["n"]
    assert 0.4 * rows < shown["n"] < 0.6 * rows and shown["unpaired"] == 0


def test_a_budget_buys_quality_within_it() -> None:
    table = two_kinds(600)
    policy = fit_policy(Recipe.model_validate({"name": "b", "rule": {"budget_usd_per_1k": 60}}), table)
    scored = replay(policy, table)
    small = next(row for row in scored.fixed if row["model"] == "small")
    assert policy.reference.model == "small"
    assert scored.cost_usd <= 0.065
    assert scored.quality > small["quality"] + 0.1


def test_an_absolute_bar() -> None:
    table = two_kinds(600)
    rule = {"min_quality": 0.8, "confidence": 0.9}
    policy = fit_policy(Recipe.model_validate({"name": "q", "rule": rule}), table)
    assert policy.spec.certificate["verdict"] == "pass"
    assert replay(policy, table).quality > 0.75
    hopeless = fit_policy(Recipe.model_validate({"name": "q", "rule": {"min_quality": 0.99}}), table)
    assert hopeless.spec.certificate["verdict"] != "pass"


@pytest.mark.parametrize("fitter", sorted(FITTERS))
def test_every_fitter_keeps_the_contract(fitter: str) -> None:
    table = two_kinds(150)
    policy = fit_policy(recipe(fitter=fitter), table)
    quality, cost = policy.predict([EASY, HARD, ""], ["mixed", None, "unknown"])
    assert quality.shape == cost.shape == (3, 2)
    assert (quality >= 0).all() and (quality <= 1).all() and (cost > 0).all()


ODD = {
    "one candidate": lambda t: t[t["model"] == "large"],
    "thirty samples": lambda t: t[t["sample_id"] < "s0030"],
    "all qualities equal": lambda t: t.assign(quality=1.0),
    "a candidate on one suite only": lambda t: t[(t["model"] == "large") | (t["suite"] == "a")],
    "null prompts": lambda t: t.assign(prompt=None),
    "null costs": lambda t: t.assign(cost_usd=np.nan),
    "some null costs": lambda t: t.assign(cost_usd=t["cost_usd"].where(t["sample_id"] > "s0050")),
    "no cost column": lambda t: t.drop(columns="cost_usd"),
    "duplicate rows": lambda t: pd.concat([t, t]),
    "one group": lambda t: t.assign(group="g"),
    "one sample": lambda t: t[t["sample_id"] == "s0001"],
    "free": lambda t: t.assign(cost_usd=0.0),
}


@pytest.mark.parametrize("name", sorted(ODD))
def test_odd_inputs_give_a_policy_and_a_reason(name: str) -> None:
    table = two_kinds(120)
    table["suite"] = np.where(table["sample_id"] < "s0040", "a", "b")
    policy = fit_policy(recipe(holdout=0), ODD[name](table))
    certificate = policy.spec.certificate
    assert certificate["verdict"] in ("pass", "fail", "inconclusive") and certificate["reason"]
    assert policy.decide("anything at all").model in ("large", "small")
    replay(policy, validate_outcomes(ODD[name](table))).to_json()


def test_forty_candidates_on_fifty_samples() -> None:
    names = [f"m{i:02d}" for i in range(40)]
    table = constant(dict.fromkeys(names, 0.5), {m: 0.01 * (i + 1) for i, m in enumerate(names)}, n=50)
    assert fit_policy(recipe(), table).spec.certificate["verdict"] in ("pass", "inconclusive")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fitter": "magic"}, "fitter 'magic' is not one of"),
        ({"reference": {"model": "nobody"}}, "reference nobody is not in the outcomes"),
        ({"candidates": [{"model": "large"}, {"model": "nobody"}]}, "nobody is not in the outcomes"),
    ],
)
def test_bad_recipes_are_refused_with_the_reason(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_policy(recipe(**settings), two_kinds(60))


def test_nan_quality_is_refused() -> None:
    table = two_kinds(60)
    with pytest.raises(InputError, match="quality"):
        fit_policy(recipe(), table.assign(quality=np.nan))


@pytest.mark.parametrize(
    ("suites", "candidates", "guard", "message"),
    [
        (700, 120, 0, "700 suites and 120 candidates could not be loaded: policy.json: may take 7"),
        (500, 120, 20, "500 suites and 120 candidates could not be loaded: policy.json: may take 6"),
        (4097, 2, 0, "4,097 suites and 2 candidates could not be loaded: 4,097 suites, not up to 4,096"),
    ],
)
def test_what_no_loader_would_take_is_refused_before_it_is_fitted(
    suites: int, candidates: int, guard: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "fit_problem", lambda *_: pytest.fail("it was fitted"))
    rows = [
        {"suite": f"s{n}", "sample_id": "1", "model": f"m{who}", "quality": 1.0, "cost_usd": 1.0}
        for n in range(suites)
        for who in {0, n % candidates}
    ]
    with pytest.raises(InputError, match=f"recipe 'test': a policy of {message}"):
        fit_policy(recipe(reference={"model": "m0"}, holdout=0.0, suffix_guard=guard), pd.DataFrame(rows))
