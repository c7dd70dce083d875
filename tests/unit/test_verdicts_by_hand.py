"""What gates and replay answer, at their edges and by hand."""

from __future__ import annotations

import datetime as dt
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from junitparser import JUnitXml

from router_lab.certificate import Certificate
from router_lab.config import Gate
from router_lab.gates.arms import Arm, arm, change, moves
from router_lab.gates.audit import read_audit, shifted_difference
from router_lab.gates.judge import (
    Case,
    _beside,
    _certified_reason,
    _exactly,
    _judge_fact,
    _number,
    _share,
    carried_prices,
    describe,
    judge_gate,
    run_gates,
)
from router_lab.gates.measure import MEASURED, against_floor, price_drift
from router_lab.gates.result import GateReport, Result
from router_lab.metrics import Estimate, verdict
from router_lab.metrics.paired import Recorded
from router_lab.outcomes import OutcomeMatrix, validate_outcomes
from router_lab.replay import replay, requests_of, score
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.model import Candidate, Prices, Profile
from tests.unit.test_gates import CHEAP, DEAR, always, lose_infra, mixed, world

DAY = dt.date(2026, 11, 22)
ALL = np.ones(4, bool)


def gate(**more: Any) -> Gate:
    return Gate.model_validate({"metric": "quality"} | more)


def case(mine: Arm, **more: Any) -> Case:
    known: dict[str, Any] = {
        "champion": None,
        "prices": {},
        "today": DAY,
        "audit": None,
        "dollars_per_sample": None,
    }
    return Case(mine, **(known | more))


def hand(
    served: Any, quality: Any = None, cost: Any = None, weight: Any = None, ends: Any = None, columns: Any = None,
    keys: Any = None, candidates: tuple[Candidate, ...] = (CHEAP, DEAR),
) -> Arm:  # fmt: skip
    """An arm of shares, and of pieces of the draw: `ends` with the columns of each row in each piece."""
    shares = np.array(served, np.float64)
    n = len(shares)
    known = Recorded(
        np.array(quality or [[1.0, 1.0]] * n), np.array(cost or [[0.001, 0.01]] * n), 1,
        weight=None if weight is None else np.array(weight), group=np.arange(n), suite=np.zeros(n, np.int64),
        figures={"latency_s": np.array([[1.0, 3.0]] * n)},
    )  # fmt: skip
    policy = SimpleNamespace(candidates=candidates, spec=SimpleNamespace(reference=1, chains=()))
    pieces = SimpleNamespace(
        ends=np.array([1.0] if ends is None else ends),
        columns=shares.argmax(axis=1)[:, None] if columns is None else np.array(columns),
        explore=0.0,
    )
    return Arm(
        policy=cast(Any, policy), keys=tuple(keys or (("a", str(i)) for i in range(n))),
        suite=np.array(["a"] * n, object), rows=known.served(shares), mix=known.served(np.tile([0.5, 0.5], (n, 1))),
        served=shares, recorded=known, stretches=cast(Any, pieces), covered=np.ones(n, bool), infra=0.0,
    )  # fmt: skip


# Metrics


def test_figures_beside_quality_and_dollars_are_gated_too() -> None:
    mine = hand([[0.5, 0.5]] * 4)
    mean, tail = MEASURED["latency_s"](mine, ALL, 2.5, -1), MEASURED["latency_p95_s"](mine, ALL, 2.5, -1)
    assert (mean.shown, mean.estimate.value, mean.floor, mean.form) == (2.0, -2.0, -2.5, "number")
    assert (tail.shown, tail.estimate.value, tail.floor, tail.form) == (3.0, 0.5, 0.95, "percentile")


def test_a_percentile_weighs_rows_and_leaves_out_what_nobody_served() -> None:
    """Row 0 stands for three: of 3 + 1 requests with a known cost three are within 2; the last row knows nothing."""
    mine = hand([[1, 0]] * 3, cost=[[1, 9], [3, 9], [math.nan, 9]], weight=[[3, 1], [1, 1], [1, 1]])
    found = MEASURED["cost_p95_usd"](mine, np.ones(3, bool), 2.0, -1)
    assert (found.estimate.value, found.shown, found.estimate.n) == (pytest.approx(0.75), 3.0, 2)
    least = MEASURED["cost_p95_usd"](mine, np.array([True, False, True]), 2.0, -1)
    assert (least.estimate.value, least.shown, least.estimate.n) == (1.0, 1.0, 1)


def test_a_mean_of_shares_has_the_spread_that_its_floor_would_have() -> None:
    mine = hand([[1, 0]] * 4)
    assert MEASURED["quality"](mine, ALL, 0.9, 1).estimate.se == pytest.approx(math.sqrt(0.9 * 0.1 / 4))
    assert MEASURED["uncovered_share"](mine, ALL, 0.1, -1).estimate.se == pytest.approx(
        math.sqrt(0.9 * 0.1 / 4)
    )
    assert MEASURED["savings"](mine, ALL, 0.5, 1).estimate.se == pytest.approx(0.0, abs=1e-12)
    assert against_floor(Estimate(0.5, 0.1, 20, 20), 0.5).se == 0.1  # 25 answers: the same
    assert against_floor(Estimate(0.5, 0.1, 20, 20, alike=1), 0.4).se == 0.1


def test_prices_are_compared_kind_by_kind_but_for_caches() -> None:
    key = ("m", None)
    old = {key: Prices(10.0, 40.0, cache_read=1.0, per_1k_requests=2.0)}
    assert price_drift(old, {key: Prices(10.0, 40.0, cache_read=9.0, per_1k_requests=2.0)}) == 0.0
    assert price_drift(old, {key: Prices(10.0, 40.0, per_1k_requests=3.0)}) == pytest.approx(0.5)
    assert price_drift(old, {key: Prices(10.0, 40.0)}) == 1.0  # what was charged for is free now
    assert price_drift({key: Prices(10.0, 0.0)}, {key: Prices(11.0, 5.0)}) == pytest.approx(0.1)


# Gates


def test_what_is_open_says_what_settles_it_and_what_is_settled_does_not() -> None:
    fresh = world(losses=0.035)
    asked = [gate(against="reference", margin=0.03)]
    (open_,) = run_gates(always(0, certificate={"verdict": "inconclusive"}), fresh, asked).results
    assert (open_.verdict, open_.rows) == ("inconclusive", "fresh") and open_.samples_needed is not None
    assert open_.dollars_needed == pytest.approx(0.011 * open_.samples_needed)
    assert open_.value == pytest.approx(-0.035) and open_.low < -0.035 < open_.high and open_.bound == -0.03
    (held,) = run_gates(always(0), fresh, asked).results
    assert (held.verdict, held.rows, held.samples_needed, held.dollars_needed) == (
        "pass",
        "certificate",
        None,
        None,
    )


def test_one_suite_of_many_fails_after_correction_alone() -> None:
    """A loss that a test at .9 shows and one at 1 - .1 / 2 does not: open for each of two suites, a fail for one."""
    fresh = world(losses=0.0725, only="a")
    loss = arm(always(0), fresh).rows.take(np.arange(400) < 200).gain()
    assert loss.value < 0 and loss.clusters == 200
    margin = -(loss.high(0.9) + loss.high(0.95)) / 2  # between the bounds
    mine = case(arm(always(0), fresh))
    first, second = judge_gate(gate(suite="each", against="reference", margin=margin), mine)
    assert (first.suite, first.verdict, second.verdict) == ("a", "inconclusive", "pass")
    assert first.reason.endswith("; but not after correcting for 2 suites looked at")
    (alone,) = judge_gate(gate(suite="a", against="reference", margin=margin), mine)
    assert alone.verdict == "fail" and "correcting" not in alone.reason


def test_infra_loss_leaves_a_gate_open() -> None:
    lost = lose_infra(world(), 0.02)
    (found,) = run_gates(always(0, certificate={"verdict": "inconclusive"}), lost, [gate(min=0.5)]).results
    assert found.verdict == "inconclusive" and found.reason.startswith("2.0% of runs gave no evidence")
    (kept,) = run_gates(always(0), lose_infra(world(), 0.01), [gate(min=0.5)]).results
    assert kept.verdict == "pass"


def test_a_value_that_no_row_has_is_named() -> None:
    unpriced = world().assign(cost_usd=np.nan)
    found = list(judge_gate(gate(metric="savings", min=0.1), case(arm(always(0), unpriced))))
    assert [r.reason for r in found] == [
        "there is nothing to judge: no row has the values that `savings` is made of"
    ]
    (against,) = judge_gate(
        gate(metric="savings", against="reference", margin=0.1), case(arm(always(0), unpriced))
    )
    assert against.reason == "there is nothing to judge: no row has both values"


@pytest.mark.parametrize(
    ("shown", "metric", "bound", "sign", "word", "rows"),
    [({"verdict": "inconclusive", "reason": "few"}, "certificate", 1.0, 1, "inconclusive", "certificate"),
     ({"verdict": "fail"}, "certificate", 1.0, 1, "fail", "certificate"), ({}, "certificate", 1.0, 1, "fail", "certificate"),
     ({"verdict": "pass"}, "certificate", 0.0, -1, "fail", "certificate"),
     ({}, "expires_in_days", 400.0, 1, "pass", None), ({}, "price_drift", 0.11, -1, "pass", None),
     ({}, "price_drift", 0.05, -1, "fail", None)],
)  # fmt: skip
def test_facts_stand_on_no_rows(
    shown: dict[str, Any], metric: str, bound: float, sign: int, word: str, rows: str | None
) -> None:
    """Never expires; a price of 10 is 11 now, one of who has no prices does not count."""
    profiles = (Profile(CHEAP, prices=Prices(10.0, 40.0)), Profile(DEAR))
    policy = SimpleNamespace(spec=SimpleNamespace(expires=None, profiles=profiles))
    told = SimpleNamespace(
        shown=Certificate(**shown), challenger=SimpleNamespace(policy=policy), today=DAY,
        prices={("cheap", "low"): Prices(11.0, 40.0)},
    )  # fmt: skip
    found = _judge_fact(gate(metric=metric, min=0.0), cast(Any, told), "x", bound, sign)
    assert (found.verdict, found.rows, found.n) == (word, rows, 0)
    if metric == "certificate":
        assert (
            found.reason
            == f"the certificate says {shown.get('verdict', 'absent')}: {shown.get('reason', 'nothing')}"
        )
    elif metric == "price_drift":
        assert (
            found.reason == "the largest change of a price since the fit is 10.0 %"
            and found.low == found.value
        )
    else:
        assert found.reason == "never expires" and found.value == math.inf


def test_prices_that_a_table_carries() -> None:
    frame = pd.DataFrame()
    frame.attrs["candidates"] = [
        {"model": "m", "prices": {"input": 1.0, "output": 2.0}},
        {"model": "n", "effort": "low"},
    ]
    assert carried_prices(frame) == {("m", None): Prices(1.0, 2.0)} and carried_prices(pd.DataFrame()) == {}


def test_what_a_certificate_answers_for_in_words() -> None:
    shown = Certificate(verdict="pass", margin=0.0125, confidence=0.9, n=4000)
    asked = gate(against="reference", margin=0.02)
    many = verdict(Estimate(-0.015, 0.01, 100, 50), -0.02, 0.9)
    told = _certified_reason(asked, cast(Any, SimpleNamespace(shown=shown)), many)
    assert told.startswith(
        "certified to lose at most 1.25 points with confidence 0.90 on the certificate's 4,000 "
    )
    assert told.endswith("; 100 fresh rows (−1.5 points) do not contradict it")
    few = verdict(Estimate(-0.015, 0.01, 19, 19), -0.02, 0.9)
    said = _certified_reason(asked, cast(Any, SimpleNamespace(shown=shown)), few)
    assert said.endswith("; 19 fresh rows are too few to contradict it")
    assert [_exactly(value) for value in (3.0, 1.25, 0.1 + 0.2)] == ["3.0", "1.25", "0.3"]
    assert (_number(-0.0), _number(-1234.5678), _share(0.1234), _share(0.5, 2)) == (
        "0",
        "−1235",
        "12.3",
        "50.00",
    )


def test_digits_until_the_side_of_the_limit_is_seen() -> None:
    assert (
        _beside(0.94996, 0.95, _share, 1, 100) == "94.996"
        and _beside(0.95004, 0.95, _share, 1, 100) == "95.004"
    )
    assert _beside(0.95, 0.95, _share, 1, 100) == "95.0" and _beside(0.97, 0.95, _share, 1, 100) == "97.0"


@pytest.mark.parametrize(
    ("asked", "bound", "sign", "text"),
    [({"margin": 0.03, "against": "reference", "min": 0.1}, 0.1, 1, "quality against reference ≥ 0.1"),
     ({"max": 0.5}, 0.5, -1, "quality ≤ 0.5"),
     ({"metric": "cost_usd_per_1k", "against": "champion", "margin": 0.125}, -0.125, 1, "cost ≤ champion + 12.5 %")],
)  # fmt: skip
def test_thresholds_in_words(asked: dict[str, Any], bound: float, sign: int, text: str) -> None:
    assert describe(gate(**asked), bound, sign) == text


# Reports


def report(*words: str, **more: Any) -> GateReport:
    results = tuple(
        Result(f"q{i}", "a", w, 0.5, 0.4, 0.3, math.inf, 0.9, 40, 30, "so") for i, w in enumerate(words)
    )
    known: dict[str, Any] = {"n": 1234, "smallest_margin": 0.0449, "clusters": 20}
    return GateReport("p", "r1", None, results, **(known | more))


def test_a_report_counts_and_tells_its_margin() -> None:
    lines = report("pass", "fail", "inconclusive", "fail").to_text().splitlines()
    assert lines[-2] == (
        "p: fail (1 passed, 2 failed, 1 inconclusive) on 1,234 fresh rows, which the fit has not used"
    )
    assert lines[-1] == "Smallest margin that these 1,234 rows alone could certify: 4.5 points"
    ends = [report(**more)._summary()[-1].rsplit(": ", 1)[1] for more in
            ({"smallest_margin": 0.999}, {"smallest_margin": 1.0}, {"clusters": 19}, {"clusters": None})]  # fmt: skip
    assert ends == ["99.9 points", "none, they are too few", "none, they are too few", "4.5 points"]
    assert (
        len(report(smallest_margin=math.inf)._summary()) == 1 == len(report(smallest_margin=None)._summary())
    )


def test_a_report_says_what_to_deploy_and_what_the_certificate_says() -> None:
    shown = Certificate(verdict="fail", confidence=0.9, n=50)
    told = report("pass", certificate=shown, deploy="Route.")._summary()
    assert told[1].startswith("The certificate says fail with confidence 0.90: that is about its own 50 ")
    assert told[2] == "What to deploy, by the certificate: Route."
    assert len(report("fail", certificate=shown)._summary()) == 2
    data = report("pass", certificate=shown, date="2026-11-22").to_json()
    assert data["certificate"] == {
        "rows": "certificate",
        "verdict": "fail",
        "n": 50,
        "margin": None,
        "confidence": 0.9,
    }
    assert (data["exit_code"], data["n"], data["clusters"], data["date"]) == (0, 1234, 20, "2026-11-22")
    assert report("pass").to_json()["certificate"] is None and data["results"][0]["high"] is None


def test_the_dollars_are_those_of_the_one_that_needs_most() -> None:
    def needing(samples: int | None, dollars: float | None, word: str = "inconclusive") -> Result:
        return Result("q", None, word, 0.5, 0.4, 0.3, 0.6, 0.9, 40, 40, "so", samples, dollars)

    def last(*results: Result) -> str:
        return GateReport("p", None, None, results, 40, None)._summary()[-1]

    needs = "To settle what is inconclusive: about "
    assert last(needing(1000, None), needing(10, 5.0)) == f"{needs}1,000 more samples"
    assert last(needing(10, 5.0), needing(1000, 1234.5)) == f"{needs}1,000 more samples (about $1,234.50)"
    assert last(needing(10, 5.0), needing(99, 9.0, "fail")) == f"{needs}10 more samples (about $5.00)"
    assert "To settle" not in last(needing(None, None))


def test_a_failure_and_an_error_stop_a_server(tmp_path: Path) -> None:
    file = tmp_path / "gate.xml"
    file.write_bytes(report("pass", "fail", "inconclusive", "inconclusive").to_junit())
    (suite,) = JUnitXml.fromfile(str(file))
    assert (suite.tests, suite.failures, suite.errors) == (4, 1, 2)
    told = [[(type(one).__name__, one.type) for one in made.result] for made in suite]
    assert told == [[], [("Failure", "fail")], [("Error", "inconclusive")], [("Error", "inconclusive")]]
    assert json.loads(next(iter(list(suite)[1].result)).text)["verdict"] == "fail"
    assert "| ✗ fail | q1 | a | so |" in report("pass", "fail").to_markdown()


def test_the_least_margin_is_of_who_moves_something() -> None:
    found = run_gates(always(0), world(), [], today=DAY)
    assert (
        found.date == "2026-11-22" and found.n == found.clusters == 400 and found.smallest_margin is not None
    )
    assert found.revision is None and found.champion is None and found.verdict == "inconclusive"
    beside = run_gates(always(0), world(), [gate(min=0.5)], champion=always(1, "old"), today=DAY)
    assert beside.champion == "old unsaved" and beside.verdict == "pass"


# Who moves


def test_pieces_of_two_policies_are_laid_over_one_another() -> None:
    """Cheap below .3 and below .5 of the draw: .2 of the requests move, of the row that both were asked about."""
    before = hand([[0.3, 0.7]] * 2, ends=[0.3, 1.0], columns=[[0, 1]] * 2, keys=[("a", "x"), ("a", "y")])
    after = hand([[0.5, 0.5]] * 2, ends=[0.5, 1.0], columns=[[0, 1]] * 2, keys=[("a", "y"), ("b", "x")])
    found = moves(before, after)
    assert found.before.tolist() == [1] and found.after.tolist() == [0]
    assert found.moved == pytest.approx([0.2]) and found.share == pytest.approx(0.2)
    (one,) = found.pairs
    assert (one.was, one.now, one.share) == (DEAR, CHEAP, pytest.approx(0.2))
    assert moves(after, before).pairs[0].was == CHEAP
    assert moves(before, before).pairs == () and moves(before, hand([[1, 0]], keys=[("c", "z")])).share == 0.0


def test_a_move_to_another_column_of_the_same_candidate_is_none() -> None:
    before = hand([[1, 0]] * 2)
    after = hand([[0, 1]] * 2, candidates=(DEAR, CHEAP))
    assert moves(before, after).pairs == () and moves(before, after).share == 0.0


def test_the_greatest_move_is_told_first_and_what_is_rounding_is_not() -> None:
    before = hand([[0, 1]] * 3 + [[1, 0]], ends=[0.25, 1.0], columns=[[1, 1]] * 3 + [[0, 0]])
    after = hand([[1, 0]] * 3 + [[0, 1]], ends=[0.25 + 1e-15, 1.0], columns=[[0, 0]] * 3 + [[1, 1]])
    first, second = moves(before, after).pairs
    assert (first.was, second.was) == (DEAR, CHEAP)
    assert (first.share, second.share) == pytest.approx((0.75, 0.25))


def test_a_change_compares_row_by_row() -> None:
    before = hand([[1, 0], [0, 1]], quality=[[0.5, 1.0], [0.0, 1.0]], keys=[("a", "x"), ("a", "y")])
    after = hand([[0, 1], [0, 1]], quality=[[0.0, 1.0], [0.5, 1.0]], keys=[("a", "y"), ("a", "x")])
    found = change(before, after, moves(before, after))
    assert found.quality.tolist() == [1.0, 1.0] and found.reference_quality.tolist() == [1.0, 0.5]
    some = change(before, after, moves(before, after), np.array([False, True]))
    assert some.gain().value == 0.5 and some.moved.tolist() == [1.0]


# Labels


def test_labels_without_an_effort_are_of_who_has_none(tmp_path: Path) -> None:
    outcomes = pd.DataFrame([("a", "1", "dear", None, 0.5), ("a", "1", "cheap", "low", 0.5)],
                            columns=["suite", "sample_id", "model", "effort", "quality"])  # fmt: skip
    file = tmp_path / "labels.csv"
    file.write_text("suite,sample_id,model,quality\na,1,dear,1\na,1,cheap,1\n")
    with pytest.warns(RouterLabWarning, match="1 of 2 labels match no outcome"):
        found = read_audit(str(file), outcomes)
    assert found["model"].tolist() == ["dear"] and found["error"].tolist() == [0.5]
    file.write_text("suite,sample_id,model,quality\na,1,cheap,1\n")
    with pytest.raises(InputError, match="no row matches an outcome by suite, sample_id, model and effort"):
        read_audit(str(file), outcomes)


def test_labels_do_not_change_what_an_arm_serves() -> None:
    mine = hand([[0.5, 0.5]] * 4)
    audit = pd.DataFrame({"suite": mine.suite[:2], "model": ["cheap"] * 2, "effort": ["low"] * 2,
                          "error": [0.2, 0.2], "cluster": ["0", "1"]})  # fmt: skip
    rows, known = np.ones(len(mine), bool), Estimate(0.0, 0.0, 100, 50)
    found = [shifted_difference(known, mine, None, rows, audit) for _ in range(2)]
    assert [one.value for one in found] == pytest.approx(
        [0.0, 0.0]
    )  # .5 * .2 less .5 * .2: dear has none of its own
    assert (found[0].n, found[0].clusters) == (100, 2) and (mine.served == 0.5).all()


# Replay


def table(rows: list[tuple[str, Any, Any, Any, Any]], **more: Any) -> pd.DataFrame:
    made = [
        {"suite": "a", "sample_id": sample, "model": who.model, "effort": who.effort, "quality": q, "cost_usd": c,
         "prompt": f"prompt {sample}", "group": f"g{sample}", "status": "ok", **more}
        for sample, *known in rows for who, q, c in ((CHEAP, *known[:2]), (DEAR, *known[2:])) if q is not None
    ]  # fmt: skip
    return validate_outcomes(pd.DataFrame(made))


def test_a_replay_of_nothing_in_common() -> None:
    """No row that both have: nobody serves anything, and nothing is saved."""
    found = replay(always(0), table([("1", 1.0, 0.01, None, None), ("2", None, None, 1.0, 0.1)]))
    assert (found.n, found.skipped, set(found.shares.values())) == (0, 2, {0.0})
    assert math.isnan(found.savings) and math.isnan(found.quality)


def test_what_costs_nothing_saves_nothing() -> None:
    found = replay(always(0), table([("1", 1.0, 0.0, 1.0, 0.0), ("2", 0.0, 0.0, 1.0, 0.0)]))
    assert found.savings == 0.0 and found.oracle == {"quality": 1.0, "cost_usd": 0.0, "savings": 0.0}
    none = replay(always(0), table([("1", 1.0, math.nan, 1.0, 0.1)]))
    assert all(math.isnan(value) for value in none.oracle.values())
    assert replay(always(0), table([("1", 1.0, 0.01, 1.0, 0.1)])).oracle["savings"] == pytest.approx(0.9)


def test_rows_run_by_chance_count_in_what_is_served() -> None:
    """The row that goes to cheap stands for three of four."""
    frame = table([("1", 1.0, 0.01, 1.0, 0.1), ("2", 1.0, 0.01, 1.0, 0.1)])
    cheap = frame["model"] == "cheap"
    frame["inclusion"] = np.where(cheap & (frame["sample_id"] == "1"), 1 / 3, 1.0)
    found = replay(always(0), validate_outcomes(frame))
    assert found.shares == {CHEAP: 1.0, DEAR: 0.0} and found.n == 2
    policy = always(0)
    data = OutcomeMatrix.from_frame(validate_outcomes(frame), policy.candidates)
    half = score(policy, data, np.array([[1.0, 0.0], [0.0, 1.0]]), in_sample=False)
    assert half.shares == pytest.approx({CHEAP: 0.75, DEAR: 0.25})


def test_metrics_are_named() -> None:
    found = replay(always(0, certificate=mixed(0.4)), table([("1", 1.0, 0.01, 1.0, 0.1)] * 1))
    with pytest.raises(
        InputError, match="metric 'speed' is not one of cost_usd, quality, quality_difference"
    ):
        found.estimate("speed")
    assert found.estimate("reference_cost_usd").value == pytest.approx(0.1)
    assert found.random_mix["savings"] == pytest.approx(0.36)


def test_vectors_are_asked_for_and_missing_ones_told() -> None:
    policy: Any = SimpleNamespace(spec=SimpleNamespace(name="p"), vector_length=2)

    class Rows(SimpleNamespace):
        def __len__(self) -> int:
            return len(self.prompts)

    def rows(vectors: Any) -> Any:
        return Rows(prompts=["x", "y"], suites=("a",), suite=np.array([0, 0]), vectors=vectors)

    whole = np.ones((2, 2))
    assert requests_of(policy, rows(whole))[2] is whole
    with pytest.raises(InputError, match="has 3 numbers; policy 'p' was fitted on vectors of 2"):
        requests_of(policy, rows(np.ones((2, 3))))
    with pytest.warns(RouterLabWarning, match=r"^1 of 2 samples have no `vector`"):
        assert requests_of(policy, rows(np.array([[1.0, np.nan], [1.0, 1.0]])))[2] is not None
    with pytest.warns(RouterLabWarning, match=r"^2 of 2 samples have no `vector`.* \(2 numbers\)"):
        assert requests_of(policy, rows(None))[2] is None


def test_a_policy_beside_a_reference_that_is_the_mix() -> None:
    """A mix of nothing is the reference: what is saved over it is the saving."""
    found = replay(always(0), world())
    assert found.random_mix["probability"] == 0.0 and found.random_mix["model"] == "dear"
    assert found.estimate("savings_over_mix").value == pytest.approx(found.savings) == pytest.approx(0.9)
