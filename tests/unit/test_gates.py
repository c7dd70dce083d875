"""A gate matrix: constructed cases whose verdict, exit code and reason are known beforehand."""

from __future__ import annotations

import datetime as dt
import functools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from junitparser import JUnitXml

from router_lab.config import Gate
from router_lab.gates import GateReport, read_audit, run_gates
from router_lab.gates.arms import arm
from router_lab.gates.judge import Case, judge_gate
from router_lab.gates.measure import MEASURED, against_floor, price_drift
from router_lab.metrics import Estimate, clustered_mean, verdict, weighted_quantile
from router_lab.outcomes import validate_outcomes
from router_lab.outcomes.columns import GATED
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.features import DENSE, Featuriser
from router_lab.runtime.linear import Linear
from router_lab.runtime.model import Candidate, PolicySpec, Prices, Profile, group_code
from router_lab.runtime.points import Follow
from router_lab.runtime.policy import Policy

TODAY = dt.date(2026, 11, 22)
CHEAP, DEAR = Candidate("cheap", "low"), Candidate("dear")


def always(column: int, name: str = "always", **changes: Any) -> Policy:
    """A policy that sends everything to one column (0 cheap, 1 dear = the reference), and the rest by `changes`."""
    quality = [1.0, 0.0] if column == 0 else [0.0, 1.0]
    known: dict[str, Any] = {
        "name": name,
        "profiles": (Profile(CHEAP, prices=Prices(1.0, 4.0)), Profile(DEAR, prices=Prices(10.0, 40.0))),
        "reference": 1,
        "suites": ("a", "b"),
        "featuriser": Featuriser(buckets=1 << 8),
        "linear": Linear.quantised(
            seen=np.arange(1 << 8), weights=np.zeros((1 << 8, 4)), bias=np.array([[*quality, 0.001, 0.01]] * 3),
            dense=np.zeros((len(DENSE), 4)), cost_bounds=np.array([[0.0, 0.0], [1.0, 1.0]]),
        ),
        "points": {"default": (Follow(0.0, 0.0, 1.0),)},
        "point": "default",
        "coverage": 0.0,
        "routes": {},
        "fallbacks": (1, 0),
        "certificate": {"verdict": "pass", "reason": "shown", "margin": 0.03, "confidence": 0.9, "n": 4000},
    }  # fmt: skip
    return Policy(PolicySpec(**(known | changes)))


@functools.cache
def world(
    n: int = 400, wins: float = 0.0, losses: float = 0.0, base: float = 0.8, only: str | None = None
) -> pd.DataFrame:
    """n samples, half in each suite; dear is right on the first `base` of each suite.

    cheap answers like dear but for a share `losses` of dear's right answers, and `wins` of its wrong ones turned right,
    counted against all samples of a suite; `only` restricts both to one suite. cheap costs $.001, dear $.01; whatever
    else a gate may bound is 1.
    """
    rows = []
    for suite in ("a", "b"):
        size = n // 2
        right = np.arange(size) < round(base * size)
        cheap = right.copy()
        if only in (None, suite):
            cheap[: round(losses * size)] = False
            cheap[size - round(wins * size) :] = True
        for i in range(size):
            for candidate, good, cost in ((CHEAP, cheap[i], 0.001), (DEAR, right[i], 0.01)):
                rows.append(
                    {"suite": suite, "sample_id": f"{suite}{i}", "model": candidate.model, "effort": candidate.effort,
                     "quality": float(good), "cost_usd": cost, **{c.name: 1.0 for c in GATED}, "prompt": f"{suite} {i}",
                     "group": f"g{i}", "status": "ok"}
                )  # fmt: skip
    frame = validate_outcomes(pd.DataFrame(rows))
    frame.attrs["candidates"] = [
        {"model": "cheap", "effort": "low", "prices": {"input": 1.0, "output": 4.0}},
        {"model": "dear", "effort": None, "prices": {"input": 10.0, "output": 40.0}},
    ]
    return frame


def lose_infra(frame: pd.DataFrame, share: float) -> pd.DataFrame:
    lost = frame.index < share * len(frame)
    return frame.assign(status=np.where(lost, "infra", "ok"), quality=frame["quality"].where(~lost))


def slow(frame: pd.DataFrame, share: float, cost: float) -> pd.DataFrame:
    """A share of cheap's requests made dear."""
    cheap = frame.index[frame["model"] == "cheap"]
    return frame.assign(
        cost_usd=frame["cost_usd"].where(~frame.index.isin(cheap[: round(share * len(cheap))]), cost)
    )


UNCERTIFIED: dict[str, Any] = {"verdict": "inconclusive", "reason": "too little"}


def mixed(probability: float) -> dict[str, Any]:
    """A certificate whose random mix sends a share of all prompts to cheap."""
    mix = {
        "model": "cheap",
        "effort": "low",
        "probability": probability,
        "quality_difference": None,
        "savings": None,
    }
    return {**UNCERTIFIED, "random_mix": mix}


Make = Callable[[], tuple[Policy, pd.DataFrame]]
REFERENCE = {"metric": "quality", "against": "reference", "margin": 0.03}
FRESH = {"certificate": UNCERTIFIED}

# (what is true, the gate, policy and outcomes, verdict, a part of the reason)
MATRIX: list[tuple[str, dict[str, Any], Make, str, str]] = [
    ("equal answers lose nothing", REFERENCE, lambda: (always(0, **FRESH), world()), "pass", "0.0 points"),
    ("a loss of 10 points", REFERENCE, lambda: (always(0), world(losses=0.10)), "fail", "−10.0 points"),
    ("a gain of 10 points", REFERENCE, lambda: (always(0, **FRESH), world(wins=0.10)), "pass", "+10.0 points"),
    ("a loss of 3 points, just at the margin", REFERENCE, lambda: (always(0, **FRESH), world(losses=0.03)),
     "inconclusive", "−3.0 points"),
    ("certified, and fresh rows do not contradict", REFERENCE, lambda: (always(0), world(losses=0.03)), "pass",
     "certified to lose at most 3.0 points"),
    ("certified for a wider margin than asked", {**REFERENCE, "margin": 0.02},
     lambda: (always(0), world(losses=0.02)), "inconclusive", "−2.0 points"),
    ("certified, but the fresh rows contradict", REFERENCE, lambda: (always(0), world(losses=0.08)), "fail",
     "−8.0 points"),
    ("too few samples", REFERENCE, lambda: (always(0, **FRESH), world(n=30)), "inconclusive", "30 fresh rows"),
    ("fewer than 20 clusters", REFERENCE,
     lambda: (always(0, **FRESH), world().assign(group="one")), "inconclusive",
     "too few to say (400 rows in 2 groups); fewer than 20 groups conclude nothing"),
    ("the reference itself", REFERENCE, lambda: (always(1, **FRESH), world(losses=0.3)), "pass", "0.0 points"),
    ("an absolute floor, met", {"metric": "quality", "min": 0.7}, lambda: (always(0), world()), "pass", "0.8"),
    ("an absolute floor, missed", {"metric": "quality", "min": 0.9}, lambda: (always(0), world()), "fail", "0.8"),
    ("all right does not show .99", {"metric": "quality", "min": 0.99},
     lambda: (always(0), world(n=60, base=1.0)), "inconclusive", "1 "),
    ("a floor for each suite, met", {"metric": "quality", "min": 0.7, "suite": "each"},
     lambda: (always(0), world()), "pass", "0.8"),
    ("one suite collapses while the pool is fine", {"metric": "quality", "min": 0.6, "suite": "each"},
     lambda: (always(0), world(losses=0.5, wins=0.0, base=0.9, only="b")), "fail", "0.4"),
    ("the pool of that collapse", {"metric": "quality", "min": 0.6},
     lambda: (always(0), world(losses=0.5, base=0.9, only="b")), "pass", "0.65"),
    ("one suite asked for by name", {"metric": "quality", "min": 0.6, "suite": "b"},
     lambda: (always(0), world(losses=0.5, base=0.9, only="b")), "fail", "0.4"),
    ("savings shown", {"metric": "savings", "min": 0.5}, lambda: (always(0), world()), "pass", "0.9"),
    ("no savings", {"metric": "savings", "min": 0.5}, lambda: (always(1), world()), "fail", "0 "),
    ("a mix that sends half to cheap saves half as much", {"metric": "over_random_mix", "min": 0.4},
     lambda: (always(0, certificate=mixed(0.5)), world()), "pass", "0.45 "),
    ("no better than the mix", {"metric": "over_random_mix", "min": 0.1},
     lambda: (always(0, certificate=mixed(1.0)), world()), "fail", "0 "),
    ("the mix saves more", {"metric": "over_random_mix", "min": 0},
     lambda: (always(1, certificate=mixed(0.5)), world()), "fail", "−0.45 "),
    ("a ceiling on it", {"metric": "over_random_mix", "max": 0.1},
     lambda: (always(0, certificate=mixed(0.5)), world()), "fail", "0.45 "),
    ("without a mix the reference is what there is beside", {"metric": "over_random_mix", "min": 0.8},
     lambda: (always(0), world()), "pass", "0.9 "),
    ("mean cost under its ceiling", {"metric": "cost_usd_per_1k", "max": 2}, lambda: (always(0), world()), "pass",
     "1 "),
    ("mean cost over its ceiling", {"metric": "cost_usd_per_1k", "max": 2}, lambda: (always(1), world()), "fail", "10"),
    ("dollars per success", {"metric": "usd_per_success", "max": 0.002}, lambda: (always(0), world()), "pass",
     "0.00125"),
    ("P95 within the bound although 1 % is dear", {"metric": "cost_p95_usd", "max": 0.002},
     lambda: (always(0), slow(world(n=1200), 0.01, 0.5)), "pass", "P95 0.001"),
    ("P95 broken by 10 % of requests", {"metric": "cost_p95_usd", "max": 0.002},
     lambda: (always(0), slow(world(n=1200), 0.10, 0.5)), "fail", "P95 0.5"),
    ("P95 that 60 requests cannot show", {"metric": "cost_p95_usd", "max": 0.002},
     lambda: (always(0), slow(world(n=60), 0.04, 0.5)), "inconclusive", "within the bound"),
    ("latency", {"metric": "latency_s", "max": 2}, lambda: (always(0), world()), "pass", "1 "),
    ("latency that was never recorded", {"metric": "latency_s", "max": 2},
     lambda: (always(0), world().drop(columns="latency_s")), "inconclusive", "no row has the values that `latency_s`"),
    ("the infrastructure lost 5 % of runs", REFERENCE,
     lambda: (always(0), lose_infra(world(), 0.05)), "inconclusive", "infrastructure"),
    ("expires in time", {"metric": "expires_in_days", "min": 7},
     lambda: (always(0, expires="2026-12-31"), world()), "pass", "in 39 days"),
    ("expires tomorrow", {"metric": "expires_in_days", "min": 7},
     lambda: (always(0, expires="2026-11-23"), world()), "fail", "in 1 days"),
    ("expired", {"metric": "expires_in_days", "min": 0}, lambda: (always(0, expires="2026-11-20"), world()), "fail",
     "in -2 days"),
    ("prices as they were", {"metric": "price_drift", "max": 0.1}, lambda: (always(0), world()), "pass", "0.0 %"),
    ("a certificate that says pass", {"metric": "certificate", "min": 1}, lambda: (always(0), world()), "pass", "pass"),
    ("a certificate that does not", {"metric": "certificate", "min": 1}, lambda: (always(0, **FRESH), world()),
     "inconclusive", "too little"),
    ("a failed certificate", {"metric": "certificate", "min": 1},
     lambda: (always(0, certificate={"verdict": "fail", "reason": "a loss"}), world()), "fail", "a loss"),
    ("champion missing", {"metric": "quality", "against": "champion", "margin": 0.02},
     lambda: (always(0), world()), "inconclusive", "--champion"),
    ("everything is covered", {"metric": "uncovered_share", "max": 0.1}, lambda: (always(0), world()), "pass", "0 "),
    ("nothing is covered", {"metric": "uncovered_share", "max": 0.1}, lambda: (always(0, coverage=2.0), world()),
     "fail", "1 "),
]  # fmt: skip
EXIT = {"pass": 0, "fail": 3, "inconclusive": 4}


def run(gate: dict[str, Any], policy: Policy, outcomes: pd.DataFrame, **more: Any) -> GateReport:
    return run_gates(policy, outcomes, [Gate.model_validate(gate)], today=TODAY, **more)


@pytest.mark.parametrize(
    ("gate", "make", "word", "reason"), [row[1:] for row in MATRIX], ids=[r[0] for r in MATRIX]
)
def test_matrix(gate: dict[str, Any], make: Make, word: str, reason: str) -> None:
    report = run(gate, *make())
    assert report.verdict == word, report.to_text()
    assert report.exit_code == EXIT[word]
    assert any(reason in r.reason for r in report.results if r.verdict == word), report.to_text()


def test_a_champion_is_compared_row_by_row() -> None:
    outcomes, challenger, champion = world(losses=0.10), always(0, **FRESH), always(1, "champion")
    worse = run(
        {"metric": "quality", "against": "champion", "margin": 0.03}, challenger, outcomes, champion=champion
    )
    assert worse.verdict == "fail" and worse.results[0].value == pytest.approx(-0.10)
    cheaper = run({"metric": "cost_usd_per_1k", "against": "champion", "margin": 0.0}, challenger, outcomes,
                  champion=champion)  # fmt: skip
    assert cheaper.verdict == "pass" and cheaper.results[0].value == pytest.approx(0.9)


def test_prices_that_changed_are_named() -> None:
    now = {("cheap", "low"): Prices(1.5, 4.0), ("dear", None): Prices(10.0, 40.0)}
    report = run({"metric": "price_drift", "max": 0.1}, always(0), world(), prices=now)
    assert report.verdict == "fail" and "50.0 %" in report.results[0].reason
    assert run({"metric": "price_drift", "max": 0.1}, always(0), world(), prices={}).verdict == "inconclusive"


def test_rows_of_the_fit_are_no_evidence() -> None:
    codes = np.array(sorted(group_code(s, f"g{i}") for s in ("a", "b") for i in range(200)), np.uint64)
    report = run(REFERENCE, always(0, groups=codes, **FRESH), world())
    assert (report.verdict, report.n) == ("inconclusive", 0)
    half = np.array(sorted(group_code(s, f"g{i}") for s in ("a", "b") for i in range(100)), np.uint64)
    assert run(REFERENCE, always(0, groups=half), world()).n == 200


def test_labels_of_people_widen_the_interval_of_a_judge(tmp_path: Any) -> None:
    outcomes = world()
    # 134 labels; the judge was kind to 10 % of them.
    rows = outcomes[(outcomes["model"] == "cheap")].iloc[::3]
    strict = rows.assign(quality=rows["quality"].where(np.arange(len(rows)) % 10 > 0, 0.0))
    path = tmp_path / "audit.csv"
    strict[["suite", "sample_id", "model", "effort", "quality"]].to_csv(path, index=False)
    audit = read_audit(str(path), outcomes)
    floor = {"metric": "quality", "min": 0.5}
    bare, judged = (run(floor, always(0), outcomes, **more).results[0] for more in ({}, {"audit": audit}))
    error = strict["quality"].mean() - rows["quality"].mean()
    assert judged.value == pytest.approx(bare.value + error)
    assert judged.high - judged.low > bare.high - bare.low
    lone = run({"metric": "quality", "min": 0.75}, always(0), outcomes).verdict
    corrected = run({"metric": "quality", "min": 0.75}, always(0), outcomes, audit=audit).verdict
    assert (lone, corrected) == ("pass", "inconclusive")
    told = run(floor, always(0), outcomes, audit=audit)
    assert [one["suite"] for one in told.to_json()["judges"]] == sorted(set(audit["suite"]))
    assert "The judge of a: passes" in told.to_text() and "The judge of a" in told.to_markdown()
    json.dumps(told.to_json(), allow_nan=False)
    assert "judges" not in run(floor, always(0), outcomes).to_json()


@pytest.mark.parametrize(
    ("text", "message"),
    [("suite,sample_id,model\na,a0,cheap\n", "quality is missing"),
     ("suite,sample_id,model,quality\na,a0,cheap,2\n", "must lie in"),
     ("suite,sample_id,model,quality\na,a0,cheap,1\na,a1,cheap,\n", "line 3: `quality` is empty; fill it in, or take"),
     *((f"suite,sample_id,model,epoch,quality\na,a0,cheap,{epoch},1\n", "line 2: `epoch` is .*; it must be a whole")
       for epoch in ("", "1.5", "0", "1e30", "-1", "nan")),
     ("suite,sample_id,model,quality\nz,z0,cheap,1\n", "no row matches")],
)  # fmt: skip
def test_a_bad_audit_is_one_clear_line(tmp_path: Any, text: str, message: str) -> None:
    (tmp_path / "audit.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_audit(str(tmp_path / "audit.csv"), world(n=20))


def test_an_audit_is_its_keys_and_labels_whatever_else_is_in_it(tmp_path: Any) -> None:
    """Columns that somebody computed there take nobody's place; labels of no outcome are counted."""
    path = tmp_path / "audit.csv"
    path.write_text(
        "suite,sample_id,model,quality,quality_judge,cluster,error\na,a0,dear,1,0.5,all,9\na,a1,dear,0,,all,\n"
        "a,gone,dear,0,,,\n"
    )
    outcomes = world(n=20)
    with pytest.warns(
        RouterLabWarning, match="1 of 3 labels match no outcome by suite, sample_id, model and effort"
    ):
        audit = read_audit(str(path), outcomes)
    judge = outcomes.query("model == 'dear' and sample_id in ['a0', 'a1']").sort_values("sample_id")[
        "quality"
    ]
    assert audit["error"].tolist() == [1.0 - judge.iloc[0], 0.0 - judge.iloc[1]]
    assert audit["cluster"].nunique() == 2


@pytest.mark.parametrize(
    ("gate", "message"),
    [({"metric": "beauty", "min": 1}, "beauty.*known"), ({"metric": "quality", "min": 0.5, "suite": "z"}, "'z'.*a, b"),
     ({"metric": "latency_s", "max": 1, "against": "reference"}, "cannot be compared")],
)  # fmt: skip
def test_gates_that_make_no_sense_are_errors(gate: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(gate, always(0), world(n=60))


def test_null_challengers_pass_no_oftener_than_the_confidence_allows() -> None:
    """500 challengers that are exactly at the margin: each pass is a wrong one, and at .90 at most 10 % may be."""
    random, passed = np.random.default_rng(0), 0
    challenger, gate = arm(always(0, **FRESH), world(n=200)), Gate.model_validate(REFERENCE)
    for _ in range(500):
        # Of all rows 8 % are lost and 5 % are won: a true difference of −3 points.
        right, flip = random.random(200) < 0.8, random.random(200)
        mine = np.where(right, flip >= 0.08 / 0.8, flip < 0.05 / 0.2)
        rows = replace(challenger.rows, quality=mine.astype(float), reference_quality=right.astype(float))
        drawn = replace(challenger, rows=rows)
        (result,) = judge_gate(gate, Case(drawn, None, {}, TODAY, None, None))
        passed += result.verdict == "pass"
    assert passed <= 500 * 0.10 + 3 * np.sqrt(500 * 0.10 * 0.90)


def test_junit_is_read_by_junitparser(tmp_path: Any) -> None:
    odd = {"verdict": "inconclusive", "reason": "<&> \x01 µ"}
    gates = [
        Gate(metric="quality", min=0.5),
        Gate(metric="quality", min=0.95),
        Gate(metric="certificate", min=1),
    ]
    report = run_gates(always(0, certificate=odd), world(), gates, today=TODAY)
    (tmp_path / "gate.xml").write_bytes(report.to_junit())
    xml = JUnitXml.fromfile(str(tmp_path / "gate.xml"))
    assert (xml.tests, xml.failures, xml.errors) == (3, 1, 1)
    cases = [case for suite in xml for case in suite]
    assert [case.name for case in cases] == [r.name for r in report.results]
    assert [case.is_passed for case in cases] == [True, False, False]


def test_every_format_says_the_same() -> None:
    gates = [Gate(metric="quality", min=0.95), Gate(metric="savings", min=0.1)]
    report = run_gates(always(0), world(), gates, today=TODAY)
    value = json.loads(json.dumps(report.to_json()))
    assert value["verdict"] == "fail" and value["exit_code"] == 3 and len(value["results"]) == 2
    assert "### Gate: fail" in report.to_markdown() and "| ✗ fail | quality ≥ 0.95 |" in report.to_markdown()
    assert "1 passed, 1 failed, 0 inconclusive" in report.to_text()


def test_no_gate_is_no_pass() -> None:
    assert run_gates(always(0), world(n=60), [], today=TODAY).verdict == "inconclusive"


def test_score_test_by_hand() -> None:
    """20 of 20 right: the spread at a floor of .9 is sqrt(.9 × .1 / 20)."""
    shown = against_floor(clustered_mean(np.ones(20)), 0.9)
    assert shown.se == pytest.approx(np.sqrt(0.9 * 0.1 / 20))


def test_weighted_quantile_by_hand() -> None:
    values, weights = np.array([[1.0, 10.0], [2.0, 20.0]]), np.array([[0.9, 0.1], [1.0, 0.0]])
    assert weighted_quantile(values, weights, 0.5) == 2.0  # weights .9, 1, .1 at 1, 2, 10
    assert weighted_quantile(values, weights, 0.45) == 1.0
    assert weighted_quantile(values, weights, 0.99) == 10.0
    assert np.isnan(weighted_quantile(np.array([np.nan, 3.0]), np.array([1.0, 0.0]), 0.5))


def test_a_share_that_is_met_to_the_last_digit_is_met() -> None:
    """18 of 36 are a half, and 19 of 20 are .95, whatever rounding makes of sums of .05 or .1."""
    for weight in (0.05, 0.1, 1 / 3, 1.0):
        assert weighted_quantile(np.arange(1.0, 37.0), np.full(36, weight), 0.5) == 18.0
        assert weighted_quantile(np.arange(1.0, 21.0), np.full(20, weight), 0.95) == 19.0


def test_price_drift_by_hand() -> None:
    old = {("m", None): Prices(2.0, 8.0)}
    assert price_drift(old, {("m", None): Prices(1.0, 10.0)}) == pytest.approx(0.5)
    assert np.isnan(price_drift(old, {}))


def test_a_verdict_says_of_which_rows_it_speaks() -> None:
    gates = [
        Gate.model_validate(REFERENCE),
        Gate(metric="savings", min=0.5),
        Gate(metric="certificate", min=1),
    ]
    report = run_gates(always(0, expires="2026-12-31"), world(losses=0.03), gates, today=TODAY)
    assert [r["rows"] for r in report.to_json()["results"]] == ["certificate", "fresh", "certificate"]
    assert (
        "on the certificate's 4,000 rows; 400 fresh rows (−3.0 points) do not contradict it"
        in report.to_text()
    )
    assert "400 fresh rows in 400 groups" in report.results[1].reason
    assert "on 400 fresh rows, which the fit has not used" in report.to_text()
    (fact,) = run({"metric": "expires_in_days", "min": 7}, always(0, expires="2026-12-31"), world()).results
    assert fact.rows is None


def test_where_gate_and_certificate_differ_the_gate_says_why() -> None:
    report = run({**REFERENCE, "margin": 0.02}, always(0), world(losses=0.02))
    assert report.verdict == "inconclusive"
    assert report.to_json()["certificate"] == {
        "rows": "certificate", "verdict": "pass", "n": 4000, "margin": 0.03, "confidence": 0.9,
    }  # fmt: skip
    said = (
        "The certificate says pass, to lose at most 3.0 points with confidence 0.90: that is about its own 4,000 rows, "
        "left out fold by fold; the verdict here is about fresh rows unless a line says `certified`"
    )
    assert said in report.to_text() and said in report.to_markdown()
    agreed = run(REFERENCE, always(0), world()).to_text()
    assert "The certificate says" not in agreed


def test_a_handful_of_fresh_rows_is_not_given_an_interval() -> None:
    few = run(REFERENCE, always(0), world(n=6, losses=0.2))
    assert "6 fresh rows are too few to contradict it" in few.to_text()
    assert "these 6 rows alone could certify: none, they are too few" in few.to_text()
    assert few.smallest_margin is not None and few.to_json()["smallest_margin"] == few.smallest_margin
    bare = run({"metric": "savings", "min": 0.5}, always(0, **FRESH), world(n=6)).results[0]
    assert bare.reason == "too few to say (6 rows); fewer than 20 groups conclude nothing"


def test_what_is_saved_over_the_mix_by_hand() -> None:
    """Three requests of $.01 at the reference; cheap costs .001, .002 and .004. The mix sends half of all there, so a
    row costs .0055, .006 and .007 and the policy (all to cheap) spares .0045, .004 and .003 more: 11.5 / 30 of it."""
    outcomes = world(n=6).query("suite == 'a'").copy()
    cheap = outcomes["model"] == "cheap"
    outcomes.loc[cheap, "cost_usd"] = [0.001, 0.002, 0.004]
    seen = arm(always(0, certificate=mixed(0.5)), outcomes)
    reading = MEASURED["over_random_mix"](seen, np.ones(3, bool), 0.0, 1)
    assert reading.shown == pytest.approx(11.5 / 30)
    assert reading.estimate.value == reading.shown and reading.estimate.clusters == 3


def test_a_policy_that_escalates_is_judged_as_it_is_replayed() -> None:
    """cheap's wrong answers fail a check and go on to dear: quality as dear's, both costs and both latencies."""
    outcomes = world(losses=0.5)
    cheap = outcomes["model"] == "cheap"
    outcomes["check"] = pd.Series(np.where(cheap, outcomes["quality"] == 1, None), dtype="boolean")
    seen = arm(always(0, escalation=(1,), certificate=mixed(0.5)), outcomes)
    assert seen.rows.quality.mean() == 0.8 == seen.rows.reference_quality.mean()
    passed = np.array([100 <= int(sample[1:]) < 160 for _, sample in seen.keys])  # dear is right on 0 to 159
    assert seen.rows.cost_usd == pytest.approx(np.where(passed, 0.001, 0.011))
    assert seen.rows.figures["latency_s"] == pytest.approx(np.where(passed, 1.0, 2.0))
    assert seen.mix.cost_usd == pytest.approx(np.full(400, 0.0055))  # the mix needs no check


def test_shares_within_a_bound_stay_shares_and_show_their_side_of_the_floor() -> None:
    """64 cheap rows: the share within $1 is 64 of 64, and what 64 rows can show of it lies short of 95 %."""
    found = run({"metric": "cost_p95_usd", "max": 1.0}, always(0), world(64))
    (result,) = found.results
    low, high = map(float, re.search(r"; ([\d.]+) to ([\d.]+) % of requests", result.reason).groups())  # type: ignore[union-attr]
    assert high == 100.0
    assert (low >= 95.0) == (result.verdict == "pass")


def test_what_gave_no_evidence_is_not_settled_by_more_samples() -> None:
    judged = verdict(Estimate(0.0, 0.01, 500, 100), -0.03, 0.9, infra=0.2)
    assert judged.verdict == "inconclusive" and judged.samples_needed is None
    assert judged.reason.startswith("20.0% of runs gave no evidence") and "not scored" in judged.reason
