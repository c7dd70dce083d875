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

from router_lab.cli.fit import summary
from router_lab.cli.show import show
from router_lab.config import Gate, Recipe
from router_lab.fit import fit_policy
from router_lab.gates import run_gates
from router_lab.gates.judge import _beside, _signed
from router_lab.metrics import Estimate, advice, apart, bounds_told, clustered_mean, verdict
from router_lab.outcomes import validate_outcomes
from router_lab.report import report_html
from router_lab.runtime.artifact import save_revision
from router_lab.runtime.policy import Policy

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
    return fit_policy(Recipe.model_validate({"name": "test", "reference": DEAR, "rule": rule, **more}), outcomes)


def number(text: str) -> float:
    return float(text.replace("−", "-").replace("+", "").replace("$", "").replace(",", ""))


NUMBER = r"[+−-]?\$?[\d,]+\.\d+"


def printed(text: str) -> tuple[str, list[float]] | None:
    """The kind of bounds that a reason was given with, and its numbers in order; None where it has none."""
    for kind in ("lower bound X reaches X", "upper bound X stays below X", "X lies between the bounds X and X"):
        found = re.search(kind.replace("X", f"({NUMBER})"), text)
        if found:
            return kind, [number(g) for g in found.groups()]
    return None


WORLDS = [
    (rule, more, seed)
    for rule in ({"margin": 0.05}, {"margin": 0.0333, "confidence": 0.8}, {"min_quality": 0.62}, {"min_quality": 0.7})
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
    shown = policy.spec.certificate
    judged, word = shown["judged"], shown["verdict"]
    lines = summary(policy)
    terminal = CliRunner().invoke(show, [str(save_revision(policy, tmp_path))]).output
    page = unescape(re.sub("<[^>]+>", "", report_html(outcomes, policy=policy)))
    said = {printed(text) for text in (lines[0], shown["reason"], terminal)} if judged is None else set()
    assert said <= {None}
    if judged is not None and "betting does not" not in shown["reason"]:
        places = [printed(text) for text in (lines[0], shown["reason"], terminal)]
        places += [printed(page)] if word != "inconclusive" else []
        assert all(place == places[0] for place in places) and places[0] is not None
        kind, numbers = places[0]
        scale = 100 if judged["unit"] == "quality_difference" else 1
        if word == "pass":
            assert kind.startswith("lower") and numbers[0] >= numbers[1]
            assert judged["low"] >= judged["floor"]
            assert numbers[0] == pytest.approx(scale * judged["low"], abs=0.0051 * scale / 100)
        elif word == "inconclusive":
            assert kind.startswith(tuple("X")) and numbers[1] < numbers[0] <= numbers[2]
            assert judged["low"] < judged["floor"] <= judged["high"]
        assert numbers[0 if word == "inconclusive" else 1] == pytest.approx(scale * judged["floor"])
    for text in ("\n".join(lines), terminal):
        least = re.search(rf"^ *quality .* at least ({NUMBER})", text, flags=re.M)
        if least:  # the figure beside the verdict is its own bound
            assert word == "pass" and number(least[1]) >= 100 * judged["floor"] - 1e-9
            assert number(least[1]) == printed(lines[0])[1][0]  # type: ignore[index]
            assert shown["quality_difference"]["value"] == judged["value"]
        else:
            assert word != "pass" or not shown["mix"] or judged["unit"] != "quality_difference"
    assert advice(shown).text in page and advice(shown).text in terminal and advice(shown).text in lines[1]
    assert shown["action"] == advice(shown).action


def test_little_moved_is_little_risked() -> None:
    """A policy that sends 40 of 400 rows' requests elsewhere half of the time, and loses half of that on 4 of them: the
    one gained and the one lost cluster of caution count half as well, so the interval is that of the verdict."""
    gain = np.zeros(400)
    gain[:4] = -0.5
    found = clustered_mean(gain, pseudo=0.5)
    assert found.pseudo == pytest.approx(2 * 0.25 / 400**2)
    assert found.error == pytest.approx(np.sqrt(np.var(gain) * 400 / 399 / 400 + 0.5 / 400**2))
    assert clustered_mean(gain, pseudo=True).pseudo == 2 / 400**2 and clustered_mean(gain).pseudo == 0


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
    assert bounds_told("inconclusive", -0.03001, 0.0, -0.03) == "−0.0300 lies between the bounds −0.03001 and +0.0000"


def test_what_is_inconclusive_always_needs_some_more() -> None:
    """Sample sizes use the error of the bounds: a bound just short of the floor never needs 0 more samples."""
    random = np.random.default_rng(0)
    for _ in range(300):
        clusters = int(random.integers(20, 400))
        rows = clusters * int(random.integers(1, 5))
        found = Estimate(
            float(random.normal(-0.01, 0.02)), float(random.uniform(0, 0.05)), rows, clusters, 2 / clusters**2
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
    bare = Policy(replace(policy.spec, certificate={**policy.spec.certificate, "margin": 0.99}))  # nothing is certified
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
