"""Each candidate's own verdict against a reference: by hand, through the one rule, and as it is printed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from router_lab.cli.report import report
from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.metrics import clustered_mean, verdict
from router_lab.outcomes import validate_outcomes, write_outcomes
from router_lab.report import Asked, candidate_verdicts, report_html, verdicts_text
from router_lab.report.verdicts import CandidateVerdict, asked_of
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate

N = 400
RAW, MASK, WIDE = Candidate("m", "raw"), Candidate("m", "mask"), Candidate("m", "wide")


def rows(
    candidate: Candidate, wrong: range, usd: float | None, *, n: int = N, **more: object
) -> list[dict[str, object]]:
    """n samples of one candidate, which is wrong on those in `wrong`."""
    return [
        {"suite": "s", "sample_id": f"{i:03}", "model": candidate.model, "effort": candidate.effort,
         "quality": float(i not in wrong), "cost_usd": usd, **more}
        for i in range(n)
    ]  # fmt: skip


def table(*parts: list[dict[str, object]]) -> pd.DataFrame:
    return validate_outcomes(pd.DataFrame([row for part in parts for row in part]))


def one(outcomes: pd.DataFrame, candidate: Candidate, asked: Asked | None = None) -> CandidateVerdict:
    found = candidate_verdicts(outcomes, asked or Asked(RAW))
    return next(row for row in found.all if row.candidate == candidate)


def backfire() -> pd.DataFrame:
    """`mask` saves 40 % and is wrong on 60 samples more than `raw`: 15 points; `wide` is `raw` for half of it."""
    return table(
        rows(RAW, range(40), 2.0), rows(MASK, range(100), 1.2), rows(WIDE, range(40), 1.0),
    )  # fmt: skip


def test_who_saves_and_loses_more_than_the_margin_backfires() -> None:
    found = one(backfire(), MASK)
    gain = np.where((np.arange(N) >= 40) & (np.arange(N) < 100), -1.0, 0.0)
    by_hand = verdict(clustered_mean(gain, span=1.0), -0.03, 0.95)
    assert found.verdict == by_hand and by_hand.verdict == "fail" and by_hand.value == -0.15
    assert found.saving.value == pytest.approx(0.4) and found.backfires
    low, high = (f"−{-100 * bound:.1f}" for bound in (by_hand.low, by_hand.high))
    assert found.told == f"saves 40.0 %, loses 15.0 points [{low}, {high}]: fails"


def test_who_is_the_same_for_half_passes() -> None:
    found = one(backfire(), WIDE)
    assert found.verdict.verdict == "pass" and not found.backfires
    assert found.verdict.value == 0.0 and found.saving.value == pytest.approx(0.5)
    assert found.told.startswith("saves 50.0 %, gains 0.0 points [")


def test_who_loses_and_costs_more_fails_and_does_not_backfire() -> None:
    found = one(table(rows(RAW, range(0), 1.0), rows(MASK, range(60), 1.5)), MASK)
    assert found.verdict.verdict == "fail" and not found.backfires
    assert found.told.startswith("costs 50.0 % more, loses 15.0 points [")


@pytest.mark.parametrize("others", [1, 2, 4])
def test_each_is_judged_at_its_share_of_the_error(others: int) -> None:
    """At 90 %: one alone at .9, each of two at .95, each of four at .975, whichever passes or fails."""
    parts = [rows(Candidate(f"c{k}"), range(10 * k), 1.0) for k in range(others)]
    found = candidate_verdicts(table(rows(RAW, range(5), 2.0), *parts), Asked(RAW))
    assert [row.verdict.confidence for row in found.all] == pytest.approx([1 - 0.1 / others] * others)
    assert len(found.all) == others


@pytest.mark.parametrize(("wrong", "word"), [(0, "pass"), (80, "fail")])
def test_what_is_missing_counts_against_the_verdict(wrong: int, word: str) -> None:
    """Without 30 of 400 nothing would change: lost they are 7.5 points, and won they still are not enough for 20."""
    raw, mask = rows(RAW, range(0), 2.0), rows(MASK, range(wrong), 1.0)
    whole, part = one(table(raw, mask), MASK), one(table(raw, mask[: N - 30]), MASK)
    assert whole.verdict.verdict == word and whole.missing == 0
    assert part.missing == 30 and part.verdict.n == N - 30
    assert part.verdict.verdict == ("inconclusive" if word == "pass" else "fail")
    if word == "pass":
        assert (
            part.verdict.reason == "30 samples are missing, and what they would have been could undo a pass"
        )


def test_a_fail_that_the_missing_could_undo_is_none() -> None:
    """24 of 300 lost, eight points; were the 100 that are missing won, it would be three by 400 less the reference's."""
    raw, mask = rows(RAW, range(300, 400), 2.0), rows(MASK, range(24), 1.0)[:300]
    found = one(table(raw, mask), MASK)
    assert found.verdict.value == -0.08 and found.missing == 100
    assert found.verdict.verdict == "inconclusive" and found.verdict.reason.endswith("could undo a fail")


def test_lost_to_the_infrastructure_concludes_nothing() -> None:
    mask = rows(MASK, range(200), 1.0)
    for row in mask[-5:]:
        row.update(status="infra", quality=None)
    found = one(table(rows(RAW, range(0), 2.0), mask), MASK)
    assert found.verdict.verdict == "inconclusive" and found.verdict.reason.startswith(
        "1.2% of runs gave no evidence"
    )


def test_tokens_stand_for_dollars_that_nobody_knows() -> None:
    """Read and written are counted, reasoning within what was written is not counted again."""
    raw = rows(RAW, range(0), None, input_tokens=900, output_tokens=100, reasoning_tokens=90)
    mask = rows(MASK, range(60), None, input_tokens=200, output_tokens=50, reasoning_tokens=0)
    found = one(table(raw, mask), MASK)
    assert found.unit == "tokens" and found.saving.value == pytest.approx(0.75) and found.backfires
    assert found.told.startswith("saves 75.0 % of tokens, loses 15.0 points")
    unknown = one(table(rows(RAW, range(0), None), rows(MASK, range(60), None)), MASK)
    assert unknown.unit is None and unknown.bill == "saving unknown" and not unknown.backfires


def test_each_model_is_judged_against_its_own() -> None:
    """Two models: `mask` fails beside its own `raw`, though it is as good as the other's."""
    other = [Candidate("weak", "raw"), Candidate("weak", "mask"), Candidate("lone", "mask")]
    frame = table(
        rows(RAW, range(0), 2.0), rows(MASK, range(100), 1.0),
        rows(other[0], range(100), 1.0), rows(other[1], range(100), 0.5), rows(other[2], range(0), 1.0),
    )  # fmt: skip
    found = candidate_verdicts(frame, Asked(effort="raw"))
    assert {(row.candidate, row.reference, row.verdict.verdict) for row in found.all} == {
        (MASK, RAW, "fail"), (other[1], other[0], "pass"),
    }  # fmt: skip
    assert "against raw of its own model" in verdicts_text(found)


def test_suites_are_a_family_of_their_own() -> None:
    """`mask` is as good in one suite and loses 30 points in the other: pooled it fails by 15."""
    there = [
        [{**row, "suite": "t"} for row in rows(c, wrong, usd)]
        for c, wrong, usd in ((RAW, range(0), 2.0), (MASK, range(120), 1.0))
    ]
    found = candidate_verdicts(table(rows(RAW, range(0), 2.0), rows(MASK, range(0), 1.0), *there), Asked(RAW))
    assert [(row.suite, row.verdict.verdict) for row in found.by_suite] == [("s", "pass"), ("t", "fail")]
    assert found.all[0].verdict.verdict == "fail" and found.all[0].verdict.value == pytest.approx(-0.15)
    assert [row.verdict.confidence for row in found.by_suite] == pytest.approx([0.95, 0.95])
    assert "mask on t saves 50.0 %" in verdicts_text(found, by_suite=True)
    assert "on t" not in verdicts_text(found)


@settings(max_examples=40, deadline=None)
@given(
    wrong=st.lists(st.integers(0, 120), min_size=1, max_size=4),
    margin=st.floats(0.005, 0.4),
    confidence=st.floats(0.6, 0.99),
)
def test_a_verdict_can_be_read_off_its_bounds(wrong: list[int], margin: float, confidence: float) -> None:
    parts = [rows(Candidate(f"c{k}"), range(w), 1.0, n=150) for k, w in enumerate(wrong)]
    frame = table(rows(RAW, range(15), 2.0, n=150), *parts)
    for row in candidate_verdicts(frame, Asked(RAW, None, margin, confidence)).all:
        judged = row.verdict
        word = "pass" if judged.low >= -margin else "fail" if judged.high < -margin else "inconclusive"
        assert judged.verdict == word and row.backfires == (word == "fail")


def test_without_a_name_the_best_is_the_reference_and_it_is_said() -> None:
    found = candidate_verdicts(table(rows(MASK, range(0), 1.0), rows(RAW, range(40), 2.0)))
    assert [row.reference for row in found.all] == [MASK]
    assert "verdicts against m @ mask, the best on these rows, so luck" in verdicts_text(found)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            Asked(Candidate("nobody")),
            "--reference nobody is not in the outcomes; they hold m @ mask, m @ raw",
        ),
        (Asked(effort="high"), "--reference-effort high: no candidate of the outcomes has that effort"),
        (Asked(margin=3.0), "--margin 3 must lie in (0, 1)"),
        (Asked(confidence=0.5), "--confidence 0.5 in (0.5, 1)"),
    ],
)
def test_what_cannot_be_asked_is_refused(asked: Asked, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        candidate_verdicts(backfire(), asked)


def test_a_policy_asks_what_its_certificate_does() -> None:
    frame = backfire()
    recipe = Recipe.model_validate(
        {
            "name": "x",
            "reference": {"model": "m", "effort": "raw"},
            "rule": {"margin": 0.07, "confidence": 0.8},
        }
    )
    policy = fit_policy(recipe, frame)
    assert asked_of(policy, frame) == Asked(RAW, None, 0.07, 0.8)
    assert asked_of(policy, table(rows(MASK, range(0), 1.0))) == asked_of(None, frame) == Asked()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(report, [str(one) for one in arguments])


def test_the_command_prints_marks_and_keeps_them(tmp_path: Path) -> None:
    path, page = tmp_path / "o.parquet", tmp_path / "r.html"
    write_outcomes(backfire(), path)
    asked = ("--reference", "m", "raw", "--margin", "0.05", "--confidence", "0.9")
    done = run(path, *asked).output
    assert "verdicts against m @ raw: at most 5 points lost; each bound one-sided at 95.00 %" in done
    assert re.search(r"m @ mask +fail, backfires +saves 40.0 %, loses 15.0 points \[−.*400\n", done), done
    assert "backfire (1, what is saved is paid for in quality): m @ mask saves 40.0 %" in done
    data = json.loads(run(path, *asked, "--json").output)["verdicts"]
    assert [(row["effort"], row["verdict"], row["backfires"]) for row in data["all"]] == [
        ("mask", "fail", True), ("wide", "pass", False),
    ]  # fmt: skip
    assert run(path, *asked, "--html", page).exit_code == 0
    assert "fail, backfires" in page.read_text("utf-8") and "at most 5 points lost" in page.read_text("utf-8")
    assert run(path, *asked, "--check", page).exit_code == 0
    assert run(path, "--reference", "m", "raw", "--check", page).exit_code == 3
    both = run(path, "--reference", "m", "raw", "--reference-effort", "raw")
    assert isinstance(both.exception, InputError) and "give one of the two" in str(both.exception)


def test_an_effort_that_is_not_set_is_named_by_nothing(tmp_path: Path) -> None:
    path = tmp_path / "o.parquet"
    write_outcomes(table(rows(Candidate("a"), range(0), 2.0), rows(Candidate("b"), range(60), 1.0)), path)
    assert "verdicts against a: " in run(path, "--reference", "a", "").output


def test_a_candidate_alone_has_no_verdict() -> None:
    frame = table(rows(RAW, range(0), 1.0))
    found = candidate_verdicts(frame)
    assert found.all == found.by_suite == () and verdicts_text(found) == ""
    assert "lose too much" not in report_html(frame)
