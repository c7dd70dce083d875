"""What `fit`, `show` and `route` say of a policy: who serves, what it reads, and what its predictions are worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from router_lab.cli import cli
from router_lab.cli.describe_policy import (
    coverage,
    escalates,
    fitted_by,
    reads,
    unasked_told,
    weight_of_vectors,
    who_serves,
)
from router_lab.cli.fit import summary
from router_lab.report.policy import pick_rows
from router_lab.runtime.artifact import save_revision
from router_lab.runtime.features import DENSE, Featuriser
from router_lab.runtime.linear import Linear
from router_lab.runtime.model import Candidate, PolicySpec, Profile, Route
from router_lab.runtime.points import Assign, Follow
from router_lab.runtime.policy import Policy
from router_lab.runtime.rule import draw
from router_lab.runtime.vectors import VectorScale

PLAIN = Featuriser(buckets=1 << 8)
SEEN = "label this ticket"
CHEAP, DEAR = Candidate("cheap"), Candidate("dear", "high")
STANDARD = VectorScale(np.zeros(3), np.ones(3))
# Rows of all suites pooled, of code and of triage: quality and dollars of cheap and dear. With a tradeoff of 10 the
# utilities are .59 and .80, .84 and .80, .49 and .80: on code alone, cheap is ahead, by .04.
BIAS = np.array([[0.60, 0.90, 0.001, 0.010], [0.85, 0.90, 0.001, 0.010], [0.50, 0.90, 0.001, 0.010]])
BOUNDS = np.array([[0.0, 0.0], [1.0, 1.0]])


def constant(standard: VectorScale | None = None) -> Linear:
    return Linear.constant(BIAS, BOUNDS, standard)


def reading(*, words: float = 0.1, vector: float | None = None) -> Linear:
    """Predictions that a seen word moves by `words`, and a vector's deviation by `vector`."""
    seen = np.unique(PLAIN(SEEN).buckets)
    known = {} if vector is None else {"standard": STANDARD, "vector": np.full((3, 4), vector)}
    return Linear.quantised(
        seen=seen, weights=np.full((len(seen), 4), words), bias=BIAS, dense=np.zeros((len(DENSE), 4)),
        cost_bounds=BOUNDS, **known,
    )  # fmt: skip


def policy(**changes: Any) -> Policy:
    known: dict[str, Any] = {
        "name": "support", "profiles": (Profile(CHEAP), Profile(DEAR)),
        "reference": 1, "suites": ("code", "triage"), "featuriser": PLAIN, "linear": constant(),
        "points": {"default": (Follow(10.0, 0.02, 0.75),)}, "point": "default", "coverage": 0.0, "routes": {},
        "fallbacks": (1, 0), "certificate": {"verdict": "pass", "reason": "shown"},
    }  # fmt: skip
    return Policy(PolicySpec(**(known | changes)))


def certified(predictor: str | None, **more: Any) -> dict[str, Any]:
    return {"verdict": "pass", "reason": "shown", "points": {"default": {"predictor": predictor}}, **more}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def test_who_serves_where_the_suite_decides() -> None:
    shown = policy()
    assert who_serves(shown) == [
        "who serves, at point default",
        "  code        75 % cheap, 25 % dear @ high",
        "  triage      dear @ high",
        "  (no suite)  dear @ high",
    ]
    for suite, who in (("code", {"cheap", "dear"}), ("triage", {"dear"}), (None, {"dear"})):
        assert {shown.decide("any", suite=suite, key=str(i)).model for i in range(50)} == who


def test_who_serves_where_the_prompt_decides() -> None:
    """Beforehand only this is known: what it came to on left-out rows, and who serves prompts unlike those seen."""
    figures = {
        "savings": {"value": 0.21, "low": 0.15, "high": 0.27, "n": 90, "clusters": 90},
        "quality_difference": {"value": -0.012, "low": -0.03, "high": 0.006, "n": 90, "clusters": 90},
    }
    shown = policy(
        linear=reading(), coverage=0.5, coverage_unknown=2.0, routes={"triage": Route(0, "pass")},
        certificate=certified("blend", suites={"code": figures}),
    )  # fmt: skip
    assert who_serves(shown) == [
        "who serves, at point default (averages are of the certificate's rows, against the reference; --outcomes shows "
        "who gets what)",
        "  code        by the prompt: on average 21.0 % (15.0 to 27.0) saved, −1.2 (−3.0 to +0.6) points; where less "
        "than 50% of the prompt was seen in fitting, dear @ high",
        "  triage      by the prompt; where less than 50% of the prompt was seen in fitting, cheap",
        "  (no suite)  dear @ high",
    ]
    assert shown.decide("zyx wvu", suite="triage").model == "cheap"
    assert shown.decide(SEEN).model == "dear" == shown.decide("zyx wvu").model


def test_who_serves_is_exact_for_familiar_and_for_other_prompts() -> None:
    rows = pick_rows(
        policy(linear=reading(words=0.0), coverage=0.5, routes={"triage": Route(0, "pass")}), by_prompt=False
    )
    assert [(r["suite"], r["shares"], r["unfamiliar"], r["coverage_needed"]) for r in rows] == [
        ("code", {CHEAP: 0.75, DEAR: 0.25}, DEAR, 0.5),
        ("triage", {DEAR: 1.0}, CHEAP, 0.5),
        (None, {DEAR: 1.0}, DEAR, 0.5),
    ]


def test_an_idle_or_expired_policy_leaves_all_to_the_reference() -> None:
    idle = who_serves(policy(linear=reading(), points={"default": (Follow(0.0, 1.0, 0.0),)}))
    assert idle[1:] == ["  code        dear @ high", "  triage      dear @ high", "  (no suite)  dear @ high"]
    assert who_serves(policy(expires="2020-01-01"))[0] == (
        "who serves, at point default; until it expired on 2020-01-01: now the reference serves everything"
    )


def test_show_prints_who_serves(tmp_path: Path) -> None:
    saved = save_revision(policy(), tmp_path)
    assert (
        "\nwho serves, at point default\n  code        75 % cheap, 25 % dear @ high\n"
        in run("show", saved).stdout
    )
    rows = json.loads(run("show", saved, "--json").stdout)["who_serves"]
    assert rows[0] == {
        "suite": "code", "by_prompt": False, "coverage_needed": 0.0, "unfamiliar": {"model": "dear", "effort": "high"},
        "shares": [
            {"model": "cheap", "effort": None, "share": 0.75}, {"model": "dear", "effort": "high", "share": 0.25},
        ],
        "assigned": [], "unfamiliar_shares": [{"model": "dear", "effort": "high", "share": 1.0}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("predictor", "linear", "text"),
    [("blend", reading(), "the prompt and its suite"),
     ("blend", reading(vector=0.1), "the prompt, its vector and its suite"),
     ("blend", reading(words=0.0, vector=0.1), "the vector and its suite"),
     ("blend", reading(vector=0.0), "the prompt and its suite"),
     ("rates", constant(), "the suite alone: reading the prompt as well did not do better on left-out rows"),
     ("rates", constant(STANDARD),
      "the suite alone: reading the prompt and its vector as well did not do better on left-out rows"),
     ("fixed", constant(), "nothing: a share of all prompts goes to one candidate or a few, as in a random mix"),
     (None, constant(), "nothing: the reference serves")],
)  # fmt: skip
def test_what_decides_is_told_in_words(predictor: str | None, linear: Linear, text: str) -> None:
    assert reads(policy(linear=linear, certificate=certified(predictor))) == text


def test_why_the_suite_alone_is_read() -> None:
    by_name = {"blend": [0.0, 0.0], "fitter": "rates"}
    assert reads(policy(certificate=certified("rates"), provenance=by_name)).endswith(
        "fitter `rates` reads nothing else"
    )
    untold = policy(certificate=certified("rates"), provenance=by_name | {"fitter": "default"})
    assert reads(untold) == "the suite alone: there were no prompts, or they told nothing"
    assert fitted_by(untold) == " (fitter default)" and fitted_by(policy()) == ""


def test_the_weight_of_vectors() -> None:
    assert weight_of_vectors(policy()) is None
    said = "3 numbers; by cross-validation they weigh 3 for quality and 0.3 for cost, the words of a prompt 1"
    assert weight_of_vectors(policy(linear=reading(vector=0.1), provenance={"vector": [3.0, 0.3]})) == said
    assert weight_of_vectors(policy(linear=constant(STANDARD))) == (
        "3 numbers; by cross-validation they weigh 1 for quality and 1 for cost, the words of a prompt 1; what decides "
        "does not read them"
    )


def test_escalation_says_what_it_gains() -> None:
    gain = {"value": 0.277, "low": 0.244, "high": 0.309, "n": 300, "clusters": 300}
    told = escalates(policy(escalation=(1,), certificate=certified("rates", escalation_gain=gain)))
    assert told == (
        'an answer that fails its check is asked again of dear @ high (`Decision.next("check")`); predicted and '
        "measured quality and cost of the policy count both calls, those of the baselines beside it one; that saves "
        "27.7 % (24.4 to 30.9) of the reference's cost more than without, paired"
    )
    assert escalates(policy(escalation=(1,))).endswith("those of the baselines beside it one")


def test_show_says_how_much_of_a_prompt_must_have_been_seen(tmp_path: Path) -> None:
    assert coverage(policy()) == "none needed, suite named or not: no prompt is read to decide"
    assert coverage(policy(linear=reading())) == "none needed, suite named or not"
    assert coverage(policy(linear=reading(), coverage=0.5)) == (
        "in a known suite, 50% of the prompt seen in fitting; without one, 50% of the prompt seen in fitting"
    )
    assert coverage(policy(linear=reading(), coverage_unknown=2.0)) == (
        "in a known suite, none needed; without one, predictions are not followed, whatever was seen"
    )
    both = policy(linear=reading(), coverage=0.5, coverage_unknown=0.75)
    said = (
        "in a known suite, 50% of the prompt seen in fitting; without one, 75% of the prompt seen in fitting"
    )
    assert f"\n  coverage   {said}\n" in run("show", save_revision(both, tmp_path)).stdout


NO_SUITE = "no suite was named, so predictions are of all suites pooled; known: code, triage"


def test_route_says_when_pooled_rates_are_used(tmp_path: Path) -> None:
    saved = save_revision(policy(), tmp_path)
    assert f"  note      {NO_SUITE}\n" in run("route", saved, "hi").stdout
    unknown = json.loads(run("route", saved, "hi", "--suite", "poems", "--json").stdout)
    assert unknown["notes"] == [
        "suite 'poems' is not one of this policy's, so predictions are of all suites pooled; known: code, triage"
    ]
    assert "note" not in run("route", saved, "hi", "--suite", "code").stdout


def test_many_suites_are_not_all_listed(tmp_path: Path) -> None:
    names = tuple(f"s{i:02d}" for i in range(15))
    linear = Linear.constant(np.repeat(BIAS[:1], 16, axis=0), BOUNDS)
    said = run("route", save_revision(policy(suites=names, linear=linear), tmp_path), "hi").stdout
    assert "s10, s11 and 3 more (`router-lab show`)\n" in said and "s12" not in said


def test_route_says_when_a_prompt_is_unfamiliar(tmp_path: Path) -> None:
    saved = save_revision(policy(linear=reading(), coverage=0.5, coverage_unknown=2.0), tmp_path)
    for asked, said in (
        (
            ("zyx wvu", "--suite", "code"),
            "only 0% of the prompt was seen in fitting (50% needed): the "
            "predictions know little of it, and are not followed",
        ),
        ((SEEN,), "predictions for such a request were not shown to hold, so they are not followed"),
    ):
        assert f"  note      {said}\n" in run("route", saved, *asked).stdout
    assert "note" not in run("route", saved, SEEN, "--suite", "code").stdout


def test_route_explains_utility_and_guard_by_hand(tmp_path: Path) -> None:
    saved = save_revision(policy(eligible=np.array([[1, 1], [1, 1], [0, 1]], bool)), tmp_path)
    shown = run("route", saved, "hi", "--suite", "code", "--explain", "--key", "0").stdout
    assert "tradeoff 10, guard 0.02, mix 0.75: utility = quality − tradeoff × cost" in shown
    assert "  0.850   0.001000    0.8400   +0.0400  cheap (beats the guard)\n" in shown
    assert "  0.900   0.010000    0.8000   +0.0000  dear @ high (the reference)\n" in shown
    rows = json.loads(run("route", saved, "hi", "--explain", "--json").stdout)["candidates"]
    assert rows[0]["standing"] == "does not beat the guard" and rows[0]["ahead"] == pytest.approx(0.59 - 0.80)
    assert [row["chosen"] for row in rows] == [False, True]
    barred = json.loads(run("route", saved, "hi", "--suite", "triage", "--explain", "--json").stdout)[
        "candidates"
    ]
    assert barred[0]["standing"].startswith("may not be chosen here")
    cap = ("--max-cost-usd", "0.005")
    bound = json.loads(run("route", saved, "hi", "--suite", "code", "--explain", "--json", *cap).stdout)[
        "candidates"
    ]
    assert [row["standing"] for row in bound] == ["beats the guard", "excluded by --max-cost-usd 0.005"]
    best = ("--suite", "code", "--min-quality", "0.88")
    bound = json.loads(run("route", saved, "hi", "--explain", "--json", *best).stdout)["candidates"]
    assert bound[0]["standing"] == "excluded by --min-quality 0.88"


def test_route_decides_as_on_a_day(tmp_path: Path) -> None:
    """The reference retires on 2 March, and the policy expires a day later: who serves on the day before each."""
    saved = save_revision(policy(retires=(None, "2099-03-02"), expires="2099-03-03"), tmp_path)
    asked = ("route", saved, "hi", "--suite", "code", "--explain", "--key", "none of the mix", "--date")
    before, gone, over = (run(*asked, f"2099-03-0{day}").stdout for day in (1, 2, 3))
    assert "retired" not in before and "dear @ high (the reference)" in before
    assert gone.startswith("cheap") and "dear @ high (excluded: it retired on 2099-03-02)" in gone
    assert "expired on 2099-03-03" not in gone and "expired on 2099-03-03" in over
    assert run(*asked, "tomorrow").exit_code == 2


@pytest.mark.parametrize("form", ["npy", "json", "inline"])
def test_route_takes_a_vector(form: str, tmp_path: Path) -> None:
    """A deviation of each of 3 components moves quality by 64 × .001 × 3 = .192; cost is left at its bound."""
    saved = save_revision(policy(linear=reading(words=0.0, vector=0.001)), tmp_path / "p")
    np.save(tmp_path / "v.npy", np.ones(3, np.float32))
    (tmp_path / "v.json").write_text("[1, 1.0, 1]")
    given = {"npy": tmp_path / "v.npy", "json": tmp_path / "v.json", "inline": "[1, 1, 1]"}[form]
    found = json.loads(
        run("route", saved, "hi", "--suite", "triage", "--vector", given, "--explain", "--json").stdout
    )
    assert found["candidates"][0]["quality"] == pytest.approx(0.50 + 0.192, abs=1e-3)
    assert found["evidence"]["vector_missing"] is False and found["notes"] == []


def test_route_says_that_a_vector_is_missing(tmp_path: Path) -> None:
    saved = save_revision(policy(linear=reading(vector=0.1)), tmp_path)
    for more in ((), ("--vector", "[1, null, 1]")):
        said = json.loads(run("route", saved, "hi", "--suite", "code", "--json", *more).stdout)["notes"]
        assert said == [
            "the policy was fitted on vectors of 3 numbers and got none that is finite: predictions are as for the "
            "mean vector"
        ]


@pytest.mark.parametrize(
    ("given", "said"),
    [("[1, 2]", "--vector [1, 2]: has 2 numbers; policy 'support' was fitted on vectors of 3"),
     ("[1, 2", "is not one list of numbers"), ('[1, "x", 2]', "is not one list of numbers"),
     ("[[1, 2, 3]]", "its shape is [1, 3]"), (f"[{' ' * 60}1]", f"--vector [{' ' * 59}…: has 1 numbers"),
     ("none.npy", "none.npy: no such file; give a .npy file"),
     ("text.npy", "text.npy: is not one list of numbers"), ("wide.npy", "its shape is [1, 3]"),
     ("words.json", "words.json: is not one list of numbers")],
)  # fmt: skip
def test_a_bad_vector_is_one_line(given: str, said: str, tmp_path: Path) -> None:
    saved = save_revision(policy(linear=reading(vector=0.1)), tmp_path / "p")
    (tmp_path / "text.npy").write_text("[1, 2, 3]")
    (tmp_path / "words.json").write_text("one two three")
    np.save(tmp_path / "wide.npy", np.ones((1, 3)))
    path = given if given.startswith("[") else str(tmp_path / given)
    done = run("route", saved, "hi", "--vector", path)
    assert done.exit_code == 1 and said in done.stderr and done.stderr.count("\n") == 1


def test_a_vector_for_a_policy_without_is_refused(tmp_path: Path) -> None:
    done = run("route", save_revision(policy(), tmp_path), "hi", "--vector", "[1]")
    assert done.stderr == "Error: --vector [1]: policy 'support' was fitted without vectors; leave it out\n"


def test_fit_and_show_say_whom_no_drop_in_can_ask(tmp_path: Path) -> None:
    """Of a candidate measured by suite one unknown is enough; teams are asked by their roles."""
    known = {"api": "anthropic", "arguments": {}}
    why = "through which API they were measured is not known; a column `request` of the outcomes says it"
    none = policy()
    assert f"drop-ins    cannot ask all 2 candidates: {why}, then fit again" in "\n".join(summary(none))
    assert f"cannot ask all 2 candidates: {why}" in run("show", save_revision(none, tmp_path / "none")).stdout
    by_suite = {"api": None, "suites": {"code": known, "triage": {"api": None}}}
    half = policy(profiles=(Profile(CHEAP, request=by_suite), Profile(DEAR, request=known)))
    saved = save_revision(half, tmp_path / "half")
    assert f"cannot ask 1 of 2 (cheap): {why}" in run("show", saved).stdout
    assert json.loads(run("show", saved, "--json").stdout)["api_unknown"] == [CHEAP.named()]
    kept = {"reproducible": False, "reason": "it asks twice"}
    whole = policy(profiles=(Profile(CHEAP, request=kept), Profile(DEAR, request=known)))
    assert unasked_told(whole) is None and "drop-ins" not in "\n".join(summary(whole))


def test_show_says_of_whom_answers_were_cut_off(tmp_path: Path) -> None:
    fixed = [{"model": "cheap", "effort": None, "cost_usd": 0.001, "cut_off": 0.124},
             {"model": "dear", "effort": "high", "cost_usd": 0.01}]  # fmt: skip
    saved = save_revision(policy(certificate=certified("rates", fixed=fixed)), tmp_path)
    shown = run("show", saved).stdout
    [line] = [line for line in shown.splitlines() if "cut off" in line]
    assert line.startswith("  cheap: ") and line.endswith(", 12 % cut off")


PIECES = (Follow(10.0, 0.02, 0.5), Assign((1, 0, 1), 0.25))
"""On code by the prompt or cheap; elsewhere dear has both pieces."""


def test_who_serves_at_a_point_of_pieces(tmp_path: Path) -> None:
    shown = policy(
        linear=reading(), coverage=0.5, points={"default": PIECES}, routes={"triage": Route(0, "pass")}
    )
    strange = "where less than 50% of the prompt was seen in fitting, "
    assert who_serves(shown)[1:] == [
        f"  code        by the prompt (but 25 % cheap whatever it says); {strange}75 % dear @ high, 25 % cheap",
        f"  triage      by the prompt (but 25 % dear @ high whatever it says); {strange}75 % cheap, 25 % dear @ high",
        f"  (no suite)  by the prompt (but 25 % dear @ high whatever it says); {strange}dear @ high",
    ]
    assigned = policy(linear=reading(), coverage=0.5, coverage_unknown=2.0, points={"default": PIECES[1:]})
    assert who_serves(assigned) == [
        "who serves, at point default",
        "  code        75 % dear @ high, 25 % cheap",
        "  triage      dear @ high",
        "  (no suite)  dear @ high",
    ]
    for one, told in ((shown, PIECES), (assigned, PIECES[1:])):
        assert pick_rows(one, by_prompt=False)[0]["unfamiliar_shares"] == {CHEAP: 0.25, DEAR: 0.75}
        assert {one.decide("zyx wvu", suite="code", key=str(i)).model for i in range(50)} == {"cheap", "dear"}
        value = json.loads(run("show", save_revision(one, tmp_path), "--json").stdout)
        assert len(value["points"]["default"]["pieces"]) == len(told)
    assert value["points"]["default"] == {
        "mix": 0.25,
        "pieces": [{"share": 0.25, "table": [{"model": "dear", "effort": "high"}, {"model": "cheap", "effort": None},
                                             {"model": "dear", "effort": "high"}]}],
    }  # fmt: skip


def test_what_reads_no_prompt_is_not_said_to_whatever_the_model_could_predict() -> None:
    """The predictions read words, but the suite alone decides."""
    by_suite = policy(linear=reading(), points={"default": PIECES[1:]}, certificate=certified("rates"))
    assert reads(by_suite) == "the suite alone: reading the prompt as well did not do better on left-out rows"
    assert coverage(by_suite) == "none needed, suite named or not: no prompt is read to decide"


def test_show_and_route_explain_pieces(tmp_path: Path) -> None:
    saved = save_revision(policy(linear=reading(words=0.0), points={"default": PIECES}), tmp_path)
    said = run("show", saved).stdout
    assert (
        "  pieces    each with its share of the requests, drawn by `key`: such a rule, or one candidate for all of a "
        "suite\n  default (default): mix 0.75: 0.5 tradeoff 10, guard 0.02; 0.25 cheap for 1 suite, dear @ high for 1 "
        "suite, dear @ high for no known suite\n"
    ) in said
    heads = {}
    for key in range(20):
        lines = run("route", saved, SEEN, "--suite", "code", "--key", key, "--explain").stdout.splitlines()
        heads[next(line for line in lines if "mix 0.75" in line)] = lines[0]
    assert heads == {
        "  tradeoff 10, guard 0.02, mix 0.75 (this key draws a piece of 50%): utility = quality − tradeoff × cost; who "
        "is ahead of the reference by more than the guard beats it": "cheap",
        "  mix 0.75: for this key a piece of 25% acts, and no rule on predictions decides": "cheap",
        "  mix 0.75: no piece of it acts, and no rule on predictions decides": "dear @ high",
    }
    key = next(str(k) for k in range(20) if 0.5 <= draw(str(k)) < 0.75)
    found = json.loads(
        run("route", saved, SEEN, "--suite", "code", "--key", key, "--explain", "--json").stdout
    )
    assert (found["evidence"]["tradeoff"], found["evidence"]["piece"], found["evidence"]["share"]) == (
        None,
        1,
        0.25,
    )
    assert {(row["utility"], row["ahead"]) for row in found["candidates"]} == {(None, None)}
