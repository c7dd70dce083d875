"""Figures that are printed twice agree: the bound that makes a verdict, in text, JSON and on the page."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy.special import stdtrit

from router_lab.certificate import Certificate, advice
from router_lab.cli.fit import summary
from router_lab.cli.mirror import verdict_tags
from router_lab.cli.show import show
from router_lab.config import Gate, Recipe
from router_lab.fit import fit_policy
from router_lab.gates import run_gates
from router_lab.gates.judge import _beside, _signed
from router_lab.metrics import Estimate, apart, bounds_told, clustered_mean, verdict
from router_lab.outcomes import validate_outcomes
from router_lab.plan import plan
from router_lab.replay import replay
from router_lab.report import candidate_table, report_html
from router_lab.report.format import percent
from router_lab.report.policy import figures, reference_row, served_rows
from router_lab.report.reviewed import bills_of
from router_lab.runtime.artifact import save_revision
from router_lab.runtime.model import Candidate
from router_lab.runtime.policy import Policy
from router_lab.runtime.shares import below, part

DEAR = {"model": "dear", "effort": None}


def world(n: int, seed: int, *, loss: float = 0.0, differ: float = 0.2, copies: int = 1) -> pd.DataFrame:
    """n samples: `dear` is right on 70 %; `cheap`, at a fifth of the price, differs on a share `differ` and loses
    `loss` on the mean; every sample `copies` times in its group."""
    random = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        right, flip = random.random() < 0.7, random.random()
        cheap = flip >= (differ + loss) / 2 / 0.7 if right else flip < (differ - loss) / 2 / 0.3
        for copy in range(copies):
            for model, good, cost in (("dear", right, 1.0), ("cheap", cheap, 0.2)):
                rows.append({
                    "suite": f"s{i % 2}", "sample_id": f"{i:04d}-{copy}", "model": model, "quality": float(good),
                    "cost_usd": cost * (1 + 0.3 * random.random()), "group": f"g{i:04d}",
                })  # fmt: skip
    return validate_outcomes(pd.DataFrame(rows))


def fitted(outcomes: pd.DataFrame, rule: dict[str, Any], **more: Any) -> Policy:
    return fit_policy(
        Recipe.model_validate({"name": "test", "reference": DEAR, "rule": rule, **more}), outcomes
    )


def number(text: str) -> float:
    return float(text.replace("−", "-").replace("+", "").replace("$", "").replace(",", ""))


NUMBER = r"[+−-]?\$?[\d,]+\.\d+"


def printed(text: str) -> tuple[str, list[float]] | None:
    """The kind of bounds that a reason was given with, and its numbers in order; None where it has none."""
    for kind in (
        "lower bound X reaches X",
        "upper bound X stays below X",
        "X lies between the bounds X and X",
    ):
        found = re.search(kind.replace("X", f"({NUMBER})"), text)
        if found:
            return kind, [number(g) for g in found.groups()]
    return None


WORLDS = [
    (rule, more, seed)
    for rule in (
        {"margin": 0.05},
        {"margin": 0.0333, "confidence": 0.8},
        {"min_quality": 0.62},
        {"min_quality": 0.7},
    )
    for more in ({}, {"strict": True})
    for seed in (0, 2)
]


@pytest.mark.parametrize(("rule", "more", "seed"), WORLDS)
def test_the_printed_bound_is_the_verdict(
    rule: dict[str, Any], more: dict[str, Any], seed: int, tmp_path: Path
) -> None:
    """Parsed from what people read: pass if and only if the lower bound reaches the floor, and in one figure only."""
    outcomes = world(80 + 60 * seed, seed, loss=0.04 * seed)
    policy = fitted(outcomes, rule, **more)
    shown = Certificate.of(policy)
    judged, word = shown.judged, shown.verdict
    lines = summary(policy)
    terminal = CliRunner().invoke(show, [str(save_revision(policy, tmp_path))]).output
    page = unescape(re.sub("<[^>]+>", "", report_html(outcomes, policy=policy)))
    said = {printed(text) for text in (lines[0], shown.reason, terminal)} if judged is None else set()
    assert said <= {None}
    if judged is not None and "betting does not" not in shown.reason:
        places = [printed(text) for text in (lines[0], shown.reason, terminal)]
        places += [printed(page)] if word != "inconclusive" else []
        assert all(place == places[0] for place in places) and places[0] is not None
        kind, numbers = places[0]
        scale = 100 if judged.unit == "quality_difference" else 1
        if word == "pass":
            assert kind.startswith("lower") and numbers[0] >= numbers[1]
            assert judged.low >= judged.floor
            assert numbers[0] == pytest.approx(scale * judged.low, abs=0.0051 * scale / 100)
        elif word == "inconclusive":
            assert kind.startswith(tuple("X")) and numbers[1] < numbers[0] <= numbers[2]
            assert judged.low < judged.floor <= judged.high
        assert numbers[0 if word == "inconclusive" else 1] == pytest.approx(scale * judged.floor)
    at = re.search(r"(?:at|up to) a mix of (\d\.\d\d)", shown.reason)
    if judged is not None and at is not None:  # where nothing was shown: the first step that was not
        assert number(at[1]) == pytest.approx(judged.mix) and judged.mix > 0
    for text in ("\n".join(lines), terminal):
        least = re.search(rf"^ *quality .* at least ({NUMBER})", text, flags=re.M)
        if least:  # the figure beside the verdict is its own bound
            assert word == "pass" and number(least[1]) >= 100 * judged.floor - 1e-9
            assert number(least[1]) == printed(lines[0])[1][0]  # type: ignore[index]
            assert shown.quality_difference.value == judged.value
        else:
            assert word != "pass" or not shown.mix or judged.unit != "quality_difference"
    assert advice(shown).text in page and advice(shown).text in terminal and advice(shown).text in lines[1]
    assert shown.action == advice(shown).action


def test_little_moved_is_little_risked() -> None:
    """A policy that sends 40 of 400 rows' requests elsewhere half of the time, and loses half of that on 4 of them: the
    loss that was not seen counts half as well, so the interval is that of the verdict."""
    gain = np.zeros(400)
    gain[:4] = -0.5
    found = clustered_mean(gain, span=0.5)
    assert found.size == pytest.approx(0.5 / 400)
    assert found.error == pytest.approx(np.sqrt(np.var(gain) * 400 / 399 / 400 + 0.25 / 400**2))
    assert clustered_mean(gain, span=1.0).size == pytest.approx(1 / 400) and clustered_mean(gain).size == 0


@pytest.mark.parametrize(
    ("value", "limit", "digits", "scale", "texts"),
    [(-0.0297, -0.03, 2, 100, ("−2.97", "−3.00")), (-0.030004, -0.03, 2, 100, ("−3.0004", "−3.00")),
     (-0.03, -0.03, 2, 100, ("−3.00", "−3.00")), (-0.0299999, -0.03, 2, 100, ("−3.00", "−3.00")),
     (-0.03332, -0.0333, 2, 100, ("−3.332", "−3.33")), (-0.00001, 0.0, 2, 100, ("−0.001", "+0.00")),
     (0.6, 0.62, 4, 1, ("+0.6000", "+0.6200")), (0.6199999, 0.62, 4, 1, ("+0.6199999", "+0.6200")),
     (-1e-9, -0.03, 2, 100, ("+0.00", "−3.00")), (float("-inf"), -0.03, 2, 100, ("−inf", "−3.00"))],
)  # fmt: skip
def test_rounding_never_turns_a_verdict_round(
    value: float, limit: float, digits: int, scale: float, texts: tuple[str, str]
) -> None:
    assert apart(value, limit, digits, scale) == texts


def test_bounds_are_told_apart_by_hand() -> None:
    assert bounds_told("pass", -0.02, 0.1, -0.03, digits=1, scale=100) == "lower bound −2.0 reaches −3.0"
    assert bounds_told("fail", -0.2, -0.03001, -0.03) == "upper bound −0.03001 stays below −0.0300"
    assert (
        bounds_told("inconclusive", -0.03001, 0.0, -0.03)
        == "−0.0300 lies between the bounds −0.03001 and +0.0000"
    )


def test_what_is_inconclusive_always_needs_some_more() -> None:
    """Sample sizes use the error of the bounds: a bound just short of the floor never needs 0 more samples."""
    random = np.random.default_rng(0)
    for _ in range(300):
        clusters = int(random.integers(20, 400))
        rows = clusters * int(random.integers(1, 5))
        found = Estimate(
            float(random.normal(-0.01, 0.02)), float(random.uniform(0, 0.05)), rows, clusters, 1 / clusters
        )
        judged = verdict(found, -0.03, float(random.choice([0.8, 0.9, 0.95])))
        assert (judged.verdict == "inconclusive") == ((judged.samples_needed or 0) > 0)


GATES = [
    {"metric": "quality", "against": "reference", "margin": 0.0333}, {"metric": "quality", "min": 0.7},
    {"metric": "savings", "min": 0.25}, {"metric": "cost_usd_per_1k", "max": 900.0}, {"metric": "savings", "max": 0.4},
]  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_the_bounds_that_a_gate_prints_are_its_verdict(seed: int) -> None:
    """A floor passes where the lower bound reaches it and fails where the upper one does not, a ceiling likewise; in
    the text as people read it and in JSON."""
    outcomes = world(200, seed, loss=0.02 * seed)
    policy = fitted(outcomes[outcomes["sample_id"] < "0100"], {"margin": 0.05}, holdout=0.0)
    # Nothing is certified.
    bare = Policy(replace(policy.spec, certificate={**policy.spec.certificate, "margin": 0.99}))
    report = run_gates(bare, outcomes, [Gate.model_validate(gate) for gate in GATES])
    assert report.n == 100
    for gate, result in zip(GATES, report.to_json()["results"], strict=True):
        found = re.search(r"one-sided: from ([+−\d.]+) to ([+−\d.]+)\), 100 fresh rows", result["reason"])
        assert found is not None
        low, high = number(found[1]), number(found[2])
        bound = gate.get("min", gate.get("max", -100 * gate.get("margin", 0.0)))  # type: ignore[operator]
        under = "max" in gate
        passed, failed = (high <= bound, low > bound) if under else (low >= bound, high < bound)
        assert result["verdict"] == ("pass" if passed else "fail" if failed else "inconclusive"), result


@pytest.mark.parametrize(
    ("low", "limit", "texts"),
    [(-0.0302, -0.03, "−3.02"), (-0.0298, -0.03, "−2.98"), (-0.03, -0.03, "−3.0"), (-0.041, -0.03, "−4.1"),
     (-0.00004, 0.0, "−0.004"), (0.0, -0.03, "0.0"), (-0.0001, -0.03, "0.0")],
)  # fmt: skip
def test_a_gate_adds_digits_where_a_bound_is_near(low: float, limit: float, texts: str) -> None:
    assert _beside(low, limit, _signed, 1, 100) == texts


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0%"), (1.0, "100%"), (0.4, "40%"), (0.996, "99.6%"), (0.99996, "99.996%"), (0.004, "0.4%"), (0.5049, "50%"),
     (1 / 3, "33%")],
)  # fmt: skip
def test_what_is_not_all_is_not_a_hundred(share: float, text: str) -> None:
    assert part(share) == text


def test_a_share_below_a_limit_is_seen_to_be_below_it() -> None:
    assert below(0.977, 0.982) == ("97.7%", "98.2%")
    assert below(0.5, 0.9) == ("50%", "90%") and below(0.98, 0.98) == ("98%", "98%")


@pytest.mark.parametrize(
    ("share", "text"),
    [(-0.0, "0.0 %"), (-1e-12, "0.0 %"), (-0.0004, "−0.04 %"), (0.99996, "99.996 %"), (1.0, "100.0 %"),
     (0.1234, "12.3 %")],
)  # fmt: skip
def test_per_cent_is_neither_minus_nothing_nor_all_by_rounding(share: float, text: str) -> None:
    assert percent(share) == text


def test_a_bill_agrees_with_itself_and_with_what_is_shown() -> None:
    """A month is the mean times the requests; the policy's mean is the reference's less the saving that is shown, and a
    success costs the mean over the quality that is shown, on the same rows."""
    outcomes = world(200, 1)
    policy = fitted(outcomes, {"margin": 0.05})
    table, found = candidate_table(outcomes), figures(policy, replay(policy, outcomes))
    base, routed = bills_of(outcomes, table, policy, replay(policy, outcomes), 1000.0, 0.1)
    row = reference_row(policy, table)
    assert row is not None and base.mean == pytest.approx(row["cost_usd_per_1k"] / 1000)
    for one in (base, routed):
        assert one.monthly[:2] == pytest.approx((1000 * one.mean, 1100 * one.mean))
    assert 1 - routed.mean / base.mean == pytest.approx(found.savings.value)
    assert base.per_success == pytest.approx(row["usd_per_success"])
    quality = row["quality"] + found.quality_difference.value
    assert routed.per_success == pytest.approx(routed.mean / quality)


def test_shares_by_suite_add_up_to_those_of_the_replay() -> None:
    """Rows that a race ran at one in four count for four, in both."""
    outcomes = world(120, 3)
    kept = outcomes.assign(inclusion=np.where(outcomes["suite"] == "s0", 0.25, 1.0), weight=None)
    kept = validate_outcomes(kept.drop(columns="weight"))
    shown = replay(fitted(kept, {"margin": 0.08}), kept)
    weight, rows = shown.rows.weight, served_rows(shown)
    assert weight is not None
    totals = [weight[shown.rows.suite == code].sum() for code in range(2)]
    for candidate, share in shown.shares.items():
        parts = [
            row["shares"].get(str(candidate), 0.0) * total for row, total in zip(rows, totals, strict=True)
        ]
        assert sum(parts) / sum(totals) == pytest.approx(share)


def test_where_nothing_is_concluded_nothing_is_routed() -> None:
    """5 % of runs lost to the infrastructure: inconclusive, and the artifact leaves everything to the reference."""
    outcomes = world(200, 1)
    lost = outcomes.index % 20 == 0
    outcomes = outcomes.assign(status=np.where(lost, "infra", "ok"), quality=outcomes["quality"].where(~lost))
    policy = fitted(outcomes, {"margin": 0.05})
    shown = Certificate.of(policy)
    assert shown.verdict == "inconclusive" and "infrastructure" in shown.reason and shown.judged is None
    assert shown.mix == 0 and shown.action == "do not route"
    assert {policy.decide("q", suite="s0", key=str(i)).model for i in range(50)} == {"dear"}
    figure = shown.quality_difference
    assert (figure.value, figure.low, figure.high) == (0.0, 0.0, 0.0)


def test_further_samples_of_a_certificate_are_those_to_run() -> None:
    """A fifth of them is held back: with 4 to choose on, 5 must be run; and `plan` counts the former."""
    policy = fitted(world(200, 2), {"min_quality": 0.7})
    shown = Certificate.of(policy)
    judged = shown.judged
    assert shown.verdict == "inconclusive"
    # What is uncertain at n rows, t(.9) E + s (t^2 + 2) / 3, is at f n: (1.2816 + .8416) E / sqrt(f) and little more.
    error = (judged.value - judged.low) / stdtrit(judged.clusters - 1, 0.9)
    total = error**2 * judged.n * ((1.2816 + 0.8416) / (judged.value - judged.floor)) ** 2
    assert shown.samples_needed == pytest.approx((total - judged.n) / 0.8, rel=0.2)


def test_mlflow_is_told_what_to_deploy() -> None:
    policy = fitted(world(200, 1), {"margin": 0.05})
    tags = verdict_tags(policy)
    assert (
        tags["deploy"] == advice(Certificate.of(policy)).text
        and tags["reason"] == Certificate.of(policy).reason
    )
    assert tags["mlflow.note.content"].startswith(f"certificate: {tags['verdict']} · {tags['deploy']}")


MIX = {"model": "cheap", "effort": "low", "probability": 0.25, "quality_difference": None, "savings": None}
REFERENCE = {"model": "dear", "effort": None}


@pytest.mark.parametrize(
    ("certificate", "action", "text"),
    [({"verdict": "pass", "mix": 0.4}, "route", "Route."),
     ({"verdict": "pass", "mix": 0.0}, "do not route", "Do not route: keep the reference, dear."),
     ({"verdict": "fail", "mix": 0.4}, "do not route", "Do not deploy this policy: keep the reference, dear."),
     ({"verdict": "inconclusive", "mix": 0.4}, "do not route", "Do not route yet: keep the reference, dear."),
     ({}, "do not route", "Do not route yet: keep the reference, dear."),
     ({"verdict": "pass", "mix": 0.4, "over_random_mix": {"value": -0.05, "high": -0.01}, "random_mix": MIX},
      "random mix",
      "Do not route: send 25 % of the requests to cheap @ low, at random, and the others to dear. That is shown to "
      "save 5.0 % more of the reference's cost, on the same rows."),
     ({"verdict": "pass", "mix": 1.0, "over_random_mix": {"value": -0.05, "high": 0.01},
       "random_mix": {**MIX, "probability": 1.0}}, "random mix",
      "Do not route: send all requests to cheap @ low. That saved 5.0 % more of the reference's cost, on the same "
      "rows."),
     ({"verdict": "pass", "mix": 0.4, "over_random_mix": {"value": -1e-12, "high": 0.0}, "random_mix": MIX},
      "route", "Route."),
     ({"verdict": "pass", "mix": 0.4, "over_random_mix": {"value": 0.0, "low": 0.0, "high": 0.0}, "random_mix": MIX},
      "route", "Route. What it does is the random mix itself: nothing was learned beyond that."),
     ({"verdict": "pass", "mix": 0.4, "rule": {"kind": "budget"}, "over_random_mix": {"value": -0.05, "high": -0.01},
       "random_mix": MIX}, "route", "Route."),
     ({"verdict": "fail", "mix": 0.4, "over_random_mix": {"value": -0.05, "high": -0.01}, "random_mix": MIX},
      "do not route", "Do not deploy this policy: keep the reference, dear.")],
)  # fmt: skip
def test_what_to_deploy_by_hand(certificate: dict[str, Any], action: str, text: str) -> None:
    found = advice(Certificate.from_json({"reference": REFERENCE, **certificate}))
    assert (found.action, found.text) == (action, text)


def test_the_least_margin_is_that_of_another_candidate_than_the_reference() -> None:
    """Nobody cheaper: what these samples can certify is told of the dearer candidate, by the very figures of `plan`;
    compared with itself the reference would seem to need next to no samples."""
    outcomes = world(200, 3)
    dear = {"model": "cheap", "effort": None}
    policy = fit_policy(Recipe.model_validate({"name": "test", "reference": dear, "holdout": 0}), outcomes)
    need = plan(outcomes, 0.03, 0.9, reference=Candidate("cheap")).needs[0]
    assert not Certificate.of(policy).mix
    assert Certificate.of(policy).smallest_margin == pytest.approx(need.smallest_margin)
    assert need.smallest_margin > 2 * 1.3 * np.sqrt(2) / 200
    alone = {"name": "test", "reference": dear, "candidates": [dear], "holdout": 0}
    assert Certificate.of(fit_policy(Recipe.model_validate(alone), outcomes)).smallest_margin is None
