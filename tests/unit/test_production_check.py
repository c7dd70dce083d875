"""The production check: drifts are named, quiet weeks stay quiet. All logs are simulated with fixed seeds."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from router_lab import load_policy
from router_lab.cli.report import report
from router_lab.metrics import clustered_mean
from router_lab.report.production_check import (
    ProductionCheck,
    judge_difference,
    needed,
    production_check,
)
from router_lab.report.production_check_findings import BROKEN, HOLDS, UNSURE
from router_lab.report.production_check_page import production_check_html
from router_lab.runtime.decisions import DecisionLog, read_decisions
from router_lab.runtime.decisionstages import Asked

REFERENCE = ("dear", None)
SHARES = {"a": 0.6, "b": 0.4}


def log(
    seed: int, n: int = 400, *, worse: float = 0.0, price: float = 1.0, a: float = 0.6, unknown: float = 0.1
) -> list[dict[str, Any]]:
    """n decisions: 70 % cheap ($.001 predicted), 30 % dear ($.01); quality .8 predicted, and .8 − `worse` for cheap."""
    random = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        cheap = random.random() < 0.7
        predicted = 0.001 if cheap else 0.01
        quality = float(random.random() < 0.8 - (worse if cheap else 0.0))
        cost = predicted * price * random.lognormal(-0.02, 0.2)
        rows.append(
            {"id": f"{seed}-{i}", "model": "cheap" if cheap else "dear", "effort": None, "quality": 0.8,
             "cost_usd": predicted, "suite": "a" if random.random() < a else "b",
             "code": "uncovered" if random.random() < unknown else "predicted",
             "outcome": {"quality": quality, "cost_usd": cost}}
        )  # fmt: skip
    return rows


def found(result: ProductionCheck) -> dict[str, str]:
    return {f.name: f.verdict for f in result.findings}


def judged(rows: list[dict[str, Any]]) -> ProductionCheck:
    return production_check(rows, expected_suites=SHARES, before=log(999, 2000))


def test_a_quiet_week_raises_no_alarm_beyond_the_stated_rate() -> None:
    """200 weeks, audited and labelled. Stated: .05 that the audit ever accuses, .05 that a label does, and .05 for the
    other checks together, so at the very worst 30 alarms would be expected; a change must also matter."""
    earlier = log(999, 2000)
    weeks = [log(s, 200) for s in range(200)]
    judged = [
        production_check(w, before=earlier, reference=REFERENCE, margin=0.03, audit=audit_of(w, i, 0.0))
        for i, w in enumerate(weeks)
    ]
    assert sum(week.verdict == BROKEN for week in judged) <= 20


@pytest.mark.parametrize(
    ("change", "culprit"),
    [({"worse": 0.15}, "quality of cheap"), ({"price": 1.5}, "cost"), ({"a": 0.2}, "suite shares"),
     ({"unknown": 0.55}, "coverage")],
)  # fmt: skip
def test_every_drift_is_named(change: dict[str, float], culprit: str) -> None:
    named = [found(judged(log(seed, 1000, **change))) for seed in range(10)]
    assert sum(f[culprit] == BROKEN for f in named) >= 9
    assert sum(v == BROKEN for f in named for k, v in f.items() if k != culprit) <= 1


DRIFTS = [
    ("quality of cheap", {"worse": 0.05}, 0.7), ("cost", {"price": 1.25}, 1.0), ("suite shares", {"a": 0.4}, 1.0),
    ("coverage", {"unknown": 0.55}, 1.0),
]  # fmt: skip


@pytest.mark.parametrize(("check", "change", "share"), DRIFTS, ids=[row[0] for row in DRIFTS])
def test_a_drift_is_named_within_the_number_that_a_quiet_report_promised(
    check: str, change: dict[str, float], share: float
) -> None:
    """The promise is four times in five; `share` of the requests are of the kind that the check counts."""
    earlier = log(999, 2000)
    quiet = next(
        f
        for f in production_check(log(7, 400), expected_suites=SHARES, before=earlier).findings
        if f.name == check
    )
    assert quiet.within is not None and 10 < quiet.within < 5000
    n = round(quiet.within / share)
    named = [
        found(production_check(log(seed, n, **change), expected_suites=SHARES, before=earlier))[check]
        == BROKEN
        for seed in range(20)
    ]
    assert sum(named) >= 14, sum(named)  # 16 expected; fewer than 14 would come in 9 % of such draws


def audit_of(rows: list[dict[str, Any]], seed: int, difference: float) -> dict[str, float]:
    """The reference's quality on every request: equal to what was served but for a share `difference` that it wins."""
    random = np.random.default_rng(seed)
    wins = random.random(len(rows))
    return {
        r["id"]: max(r["outcome"]["quality"], float(r["model"] == "cheap" and w < difference))
        for r, w in zip(rows, wins, strict=True)
    }


def test_the_audit_says_holds_does_not_or_cannot_tell_yet() -> None:
    rows = log(3, 2000)

    def verdict(difference: float, n: int) -> tuple[str, int | None]:
        part = rows[:n]
        result = production_check(part, reference=REFERENCE, margin=0.05, audit=audit_of(part, 4, difference))
        first = result.findings[0]
        return first.verdict, first.more

    assert verdict(0.0, 2000)[0] == HOLDS
    assert verdict(0.9, 2000)[0] == BROKEN
    word, more = verdict(0.0, 40)
    assert word == UNSURE and more is not None and 0 < more < 1000
    assert production_check(rows, reference=REFERENCE, margin=0.05).findings[0].verdict == UNSURE


def test_a_model_worse_by_five_points_is_named_within_the_promised_number() -> None:
    """`needed` promises a number of requests (power .8): with them at least 16 of 20 logs are settled."""
    settled = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        differences = random.choice([-1.0, 0.0, 1.0], p=[0.12, 0.81, 0.07], size=20_000)  # mean −5 points
        first = clustered_mean(differences[:300], span=1.0)
        promised = (needed(replace(first, value=-0.05), -0.01, 0.9) or 0) + first.n
        assert 1000 < promised < 3000
        settled += judge_difference("x", differences[:promised], -0.01, 0.9).verdict == BROKEN
    assert settled >= 16


def test_looking_every_day_does_not_raise_the_rate() -> None:
    """A policy exactly at its margin, judged after every 50 requests: wrong words come no oftener than stated."""
    holds = broken = 0
    for seed in range(100):
        differences = np.random.default_rng(seed).choice([-1.0, 0.0, 1.0], p=[0.08, 0.87, 0.05], size=1000)
        words = {judge_difference("x", differences[:n], -0.03, 0.9).verdict for n in range(50, 1001, 50)}
        holds, broken = holds + (HOLDS in words), broken + (BROKEN in words)
    assert holds <= 10 + 9 and broken <= 5 + 7  # 10 % and 5 %, and three standard errors


def test_the_command_answers_with_its_exit_status(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    rows = log(1, 300, price=2.0)
    lines = []
    for r in rows:
        kept = {k: v for k, v in r.items() if k != "outcome"}
        lines += [{"kind": "decision", "time": 0.0, "tier": "standard", "reason": "", "revision": "r", **kept},
                  {"kind": "outcome", "id": r["id"], "time": 1.0, **r["outcome"]}]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = CliRunner().invoke(report, [str(path), "--html", str(tmp_path / "w.html")])
    assert result.exit_code == 3, result.output
    assert "cost: does not hold" in result.output and "does not hold" in (tmp_path / "w.html").read_text()


def test_the_page_is_whole() -> None:
    text = production_check_html(judged(log(5, 60)), "support <b>")
    assert "support &lt;b&gt;" in text and "Promised and real" in text and "://" not in text


def test_decisions_of_another_revision_are_pointed_out(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    row = {
        "kind": "decision",
        "time": 0.0,
        "tier": "standard",
        "reason": "",
        "revision": "another",
        **log(1, 1)[0],
    }
    path.write_text(json.dumps({k: v for k, v in row.items() if k != "outcome"}) + "\n")
    golden = Path(__file__).parent.parent / "golden" / "v1" / "identity"
    result = CliRunner().invoke(report, [str(path), str(golden)])
    assert "1 of 1 decisions were made by another revision" in result.stderr


def test_decisions_without_their_vector_are_counted(tmp_path: Path) -> None:
    folder = Path(__file__).parent.parent / "golden" / "v2" / "vector"
    policy, decided = load_policy(folder), DecisionLog(tmp_path / "decisions.jsonl")
    given = [0.0] * (policy.vector_length or 0)
    for vector in (given, None, [math.nan, *given[1:]]):
        decided.write(policy.decide("hi", vector=vector))
    assert [row.get("vector_missing") for row in read_decisions(decided.path)] == [None, True, True]
    result = CliRunner().invoke(report, [str(decided.path), str(folder)])
    assert "warning: 2 of 3 decisions had no vector, which their policy was fitted on" in result.stderr
    decided.path.write_text(decided.path.read_text().splitlines()[0] + "\n")
    assert "had no vector" not in CliRunner().invoke(report, [str(decided.path), str(folder)]).stderr


@pytest.mark.parametrize("wrong", [7, 85.0, -0.1, float("nan"), "0.9"])
def test_a_quality_that_is_none_enters_no_figure_and_no_verdict_holds_beside_it(wrong: Any) -> None:
    rows = log(1, 2000)
    sound = production_check(rows[50:])
    for row in rows[:50]:  # 2.5 % of them
        row["outcome"]["quality"] = wrong
    result = production_check(rows)
    named = {f.name: f for f in result.findings}
    assert result.verdict == UNSURE and "50 decisions hold values" in named["values"].text
    texts = {f.name: f.text for f in sound.findings}
    assert named["quality of cheap"].text == texts["quality of cheap"]


def test_seven_is_not_a_hundred_points_and_still_holds() -> None:
    result = production_check([row | {"outcome": {"quality": 7}} for row in log(1, 100)])
    assert result.verdict == UNSURE and "+100" not in result.to_text()
    assert "quality: cannot tell yet; known of none of 100 decisions" in result.to_text()


def test_predictions_that_are_none_and_negative_dollars_enter_no_figure() -> None:
    rows = log(1, 400)
    rows[0] |= {"quality": float("nan"), "cost_usd": float("inf")}
    rows[1]["outcome"] = {"quality": 1.0, "cost_usd": -1e9}
    result = production_check(rows)
    assert "nan" not in result.to_text().replace("nan; it", "").split("predicted `quality` is ")[0]
    assert all(math.isfinite(row["real_cost"]) and row["real_cost"] > 0 for row in result.bill)
    assert all(math.isfinite(row["promised_quality"]) for row in result.bill)


def test_an_audit_finds_masked_ids_and_says_which_requests_it_does_not_find(tmp_path: Path) -> None:
    folder = Path(__file__).parent.parent / "golden" / "v1" / "identity"
    policy = load_policy(folder)
    log_file = DecisionLog(tmp_path / "week.jsonl", mask=("id",))
    for n in range(40):
        log_file.outcome(log_file.write(policy.decide(f"q{n}"), id=f"user-{n}"), quality=1.0)
    (tmp_path / "audit.csv").write_text(
        "sample_id,quality\n" + "".join(f"user-{n},1.0\n" for n in range(0, 80, 2))
    )
    answer = CliRunner().invoke(
        report, [str(log_file.path), str(folder), "--audit", str(tmp_path / "audit.csv")]
    )
    assert "20 of 40 audited requests are no decision" in answer.stderr.replace("\n", " "), answer.output
    assert "the first 'user-40'" in answer.stderr and "user-" not in (tmp_path / "week.jsonl").read_text()
    assert "points on 20 requests" in answer.output


def test_a_suite_or_a_code_of_another_type_is_a_name(tmp_path: Path) -> None:
    """Whoever writes the log by hand: a list, an object, a number."""
    more = {"kind": "decision", "time": 1.0, "revision": "r", "tier": "standard"}
    lines = [row | more for row in log(1, 5)]
    for line, odd in zip(lines, ([1], {"a": 1}, 5, 0.5, True), strict=True):
        line |= {"suite": odd, "code": odd}
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    answer = CliRunner().invoke(report, [str(path)])
    assert "5 decisions" in answer.output and answer.exit_code in (0, 3, 4), answer.output
    assert [row["suite"] for row in read_decisions(path)] == ["[1]", "{'a': 1}", "5", "0.5", "true"]


def test_report_reads_rotated_parts_and_says_which(tmp_path: Path) -> None:
    lines = [
        {"kind": "decision", "time": 0, "tier": "standard", "revision": "r", "reason": ""} | r
        for r in log(1, 60)
    ]
    outcomes = [{"kind": "outcome", "id": r["id"], **r.pop("outcome")} for r in lines]
    (tmp_path / "x.jsonl.1").write_text("".join(json.dumps(r) + "\n" for r in lines))
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(r) + "\n" for r in outcomes))
    answer = CliRunner().invoke(report, [str(tmp_path / "x.jsonl")])
    assert "60 decisions" in answer.output and "x.jsonl.1, x.jsonl" in answer.output
    alone = CliRunner().invoke(report, [str(tmp_path / "x.jsonl.1")])
    assert "known of none of 60 decisions" in alone.output


def test_a_handful_of_requests_holds_no_share() -> None:
    rows = [row | {"outcome": None, "suite": "a", "code": "predicted"} for row in log(1, 3)]
    result = production_check(rows, expected_suites={"a": 1.0}, before=rows)
    assert set(found(result).values()) == {UNSURE}


def chained(n: int, share: float) -> list[dict[str, Any]]:
    """n requests in chains of cheap ($.001) and dear ($.01), of which a share goes on to dear; billed as predicted."""
    then = (Asked("dear", None, "escalated", 0.8, 0.01),)
    on = round(n * share)
    return [
        {"id": str(i), "model": "cheap", "effort": None, "quality": 0.8, "cost_usd": 0.001, "suite": "a",
         "code": "chained", "stage": 0, "stages": 2, "outcome": {"quality": 0.9, "cost_usd": 0.011 if i < on else 0.001}}
        | ({"then": then} if i < on else {})
        for i in range(n)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("share", "verdict"), [(0.2, HOLDS), (0.24, HOLDS), (0.3, BROKEN), (0.1, BROKEN), (0.0, BROKEN)]
)
def test_a_shift_in_the_share_that_escalates_is_named(share: float, verdict: str) -> None:
    result = production_check(chained(1000, share), expected_escalated=(0.2, 4000))
    [finding] = [f for f in result.findings if f.name == "escalation"]
    assert finding.verdict == verdict
    assert (
        f"{100 * share:.1f} % of requests asked a second candidate, 20.0 % by the certificate" in finding.text
    )
    assert ("no promise holds" in finding.text) == (verdict == BROKEN)
    assert ("later stages were not logged" in finding.text) == (share == 0)
    assert found(result)["cost"] == HOLDS and not [
        name for name in found(result) if name.startswith("quality")
    ]
    assert result.served == (
        {"cheap": 1000} if not share else {"cheap": 1000 - 1000 * share, "dear": 1000 * share}
    )


def test_an_earlier_log_says_how_many_escalate() -> None:
    before = chained(2000, 0.3)
    result = production_check(chained(1000, 0.3), before=before, expected_escalated=(0.1, 4000))
    assert found(result)["escalation"] == HOLDS and "30.0 % before" in result.to_text()
    assert "escalation" not in found(production_check(log(1), before=log(999, 2000)))


def test_an_escalation_is_named_within_the_number_that_is_promised() -> None:
    """Ten points more, in 60 logs of as many requests: 48 should say so, and at least 43 do."""
    quiet = production_check(chained(1000, 0.2), expected_escalated=(0.2, 4000))
    [within] = [f.within for f in quiet.findings if f.name == "escalation"]
    assert within is not None
    random = np.random.default_rng(5)
    logs = [chained(within, random.binomial(within, 0.3) / within) for _ in range(60)]
    told = [found(production_check(rows, expected_escalated=(0.2, 4000)))["escalation"] for rows in logs]
    assert told.count(BROKEN) >= 43
