"""What people see: numbers by hand, labels that never overlap, pages that are whole and ask nothing of the network."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_lab.metrics import Estimate, clustered_mean
from router_lab.metrics.estimate import bounded_interval, effective_size
from router_lab.outcomes import validate_outcomes
from router_lab.report import (
    Mark,
    candidate_table,
    effort_table,
    effort_text,
    format_table,
    front_steps,
    marks_of,
    moved,
    pareto_html,
    pareto_svg,
    pareto_text,
    pooled,
    report_html,
)
from router_lab.report.economics import bill, context_growth, tail_summary
from router_lab.report.format import cut_off, interval, money, percent, points, tick_money
from router_lab.report.layout import Box, linear_ticks, log_ticks, place_labels, text_width


def outcomes(**columns: Any) -> pd.DataFrame:
    """4 samples × 2 candidates. a: right, right, wrong, right at $.01, .01, .01, .07; b: right, wrong ×3 at $.001."""
    rows = [
        {"suite": "s", "sample_id": str(i), "model": model, "effort": effort, "quality": q, "cost_usd": c,
         "input_tokens": 10, "output_tokens": 20 + i, "status": "ok", "group": str(i)}
        for model, effort, values in (
            ("a", "high", [(1, 0.01), (1, 0.01), (0, 0.01), (1, 0.07)]), ("b", None, [(1, 0.001)] + [(0, 0.001)] * 3)
        )
        for i, (q, c) in enumerate(values)
    ]  # fmt: skip
    return validate_outcomes(pd.DataFrame(rows).assign(**columns))


def test_the_candidates_table_by_hand() -> None:
    table = pooled(candidate_table(outcomes()))
    a, b = table.to_dict("records")
    assert (a["label"], a["n"], a["quality"], a["seen"]) == ("a @ high", 4, 0.75, 1.0)
    assert a["cost_usd_per_1k"] == pytest.approx(25.0)  # (.01 + .01 + .01 + .07) / 4 × 1000
    assert a["usd_per_success"] == pytest.approx(0.10 / 3)
    assert a["cost_p50_usd"] == pytest.approx(0.01) and a["cost_p95_usd"] == pytest.approx(0.061)
    assert (b["label"], b["quality"], b["usd_per_success"]) == ("b", 0.25, pytest.approx(0.004))
    assert a["output_tokens"] == 21.5 and a["on_front"] and b["on_front"]


def test_a_dominated_candidate_is_not_on_the_front() -> None:
    worse = outcomes().query("model == 'b'").assign(model="c", cost_usd=0.002, quality=0.0)
    table = pooled(candidate_table(validate_outcomes(pd.concat([outcomes(), worse]))))
    assert dict(zip(table["label"], table["on_front"], strict=True)) == {
        "a @ high": True,
        "b": True,
        "c": False,
    }


def test_lost_runs_are_left_out_and_errors_are_not() -> None:
    frame = outcomes(status=["infra", "error", "ok", "ok"] * 2, quality=[None, 0, 0, 1] * 2)
    first = pooled(candidate_table(frame)).iloc[0]
    assert (first["n"], first["quality"], first["lost"]) == (3, pytest.approx(1 / 3), 0.25)
    assert first["errors"] == pytest.approx(1 / 3)


def test_epochs_are_averaged_before_samples_are() -> None:
    twice = outcomes().query("model == 'b' and sample_id == '0'").assign(epoch=2, quality=0.0)
    table = pooled(candidate_table(validate_outcomes(pd.concat([outcomes(), twice]))))
    assert table.set_index("label").loc["b", "quality"] == pytest.approx(0.125)


def test_who_ran_on_few_samples_is_not_compared() -> None:
    few = outcomes().query("sample_id != '0' or model != 'a'")
    table = pooled(candidate_table(few)).set_index("label")
    assert not table.loc["a @ high", "compared"] and not table.loc["a @ high", "on_front"]
    assert marks_of(table.reset_index())[0].pale


def test_candidates_without_a_price_are_named_beneath_the_picture() -> None:
    frame = outcomes(cost_usd=[0.01] * 4 + [None] * 4)
    assert [m.label for m in marks_of(pooled(candidate_table(frame)))] == ["a @ high"]
    assert "for want of a price: b" in pareto_html(frame)
    assert "quality" in format_table(candidate_table(frame))


def test_wilson_by_hand() -> None:
    """60 of 60 right: the effective size is 60, and the lower end 60 / (60 + t²) with t(59) = 2.00100."""
    mean = clustered_mean(np.ones(60))
    assert effective_size(mean) == 60
    low, high = bounded_interval(mean)
    assert low == pytest.approx(60 / (60 + 2.0009954**2), abs=1e-6) and high == 1.0
    assert effective_size(Estimate(0.5, 0.05, 100, 100)) == pytest.approx(100)


@given(st.lists(st.booleans(), min_size=2, max_size=60))
def test_an_interval_stays_in_bounds_and_holds_the_mean(answers: list[bool]) -> None:
    mean = clustered_mean(np.array(answers, float))
    low, high = bounded_interval(mean)
    assert 0 <= low <= mean.value <= high <= 1 and low < high


@pytest.mark.parametrize(
    ("usd", "text"),
    [(0, "$0"), (0.00124, "$0.00124"), (3.05, "$3.05"), (12416.7, "$12,417"), (0.9999, "$1.00"), (99.996, "$100"),
     (-2.5, "−$2.50"), (None, "–"), (float("nan"), "–"), (0.05, "$0.0500")],
)  # fmt: skip
def test_money(usd: float | None, text: str) -> None:
    assert money(usd) == text


def test_other_numbers() -> None:
    assert (percent(0.784), points(-0.031), points(0.0004)) == ("78.4 %", "−3.1", "0.0")
    assert (interval(0.1, 0.25), interval(float("nan"), 1.0)) == ("10.0–25.0", "–")
    assert (tick_money(10), tick_money(0.5), tick_money(2000)) == ("$10", "$0.5", "$2,000")


def test_ticks_by_hand() -> None:
    assert log_ticks(1.8, 110) == [2, 5, 10, 20, 50, 100]
    assert log_ticks(0.0009, 1200) == pytest.approx([0.001, 0.01, 0.1, 1, 10, 100, 1000])
    assert linear_ticks(0.18, 0.91, 5) == pytest.approx([0.2, 0.4, 0.6, 0.8])


@given(st.floats(1e-6, 1e6), st.floats(1.0, 1e6))
def test_ticks_lie_inside(low: float, factor: float) -> None:
    ticks = log_ticks(low, low * factor)
    assert ticks and len(ticks) <= 8 and ticks == sorted(ticks)
    assert all(low * (1 - 1e-6) <= t <= low * factor * (1 + 1e-6) for t in ticks)


TICK = re.compile(r'<text class="tick" x="([-.0-9]+)" y="[.0-9]+" text-anchor="middle">([^<]+)</text>')


@pytest.mark.parametrize(
    ("costs", "expected"),
    [((0.0027, 0.023), ["$0.003", "$0.005", "$0.007", "$0.01", "$0.02"]),  # .008, .009 and .01 stood in one another
     ((0.0, 0.00224, 0.00326), ["$0", "$0.0025", "$0.003", "$0.0035"]),  # as $0 and $0.002 did
     ((0.2, 0.2), ["$0.18", "$0.2", "$0.22"])],
)  # fmt: skip
def test_ticks_of_a_narrow_front_by_hand(costs: tuple[float, ...], expected: list[str]) -> None:
    marks = [Mark(str(i), cost, 0.5) for i, cost in enumerate(costs)]
    assert [text for _, text in TICK.findall(pareto_svg(marks, title="t"))] == expected


@given(st.floats(1e-5, 1e3), st.floats(1.0, 1e4), st.booleans(), st.sampled_from([360, 420, 860]))
def test_ticks_never_overlap(low: float, factor: float, free: bool, width: int) -> None:
    marks = [Mark("a", low, 0.5), Mark("b", low * factor, 0.6), *([Mark("z", 0.0, 0.4)] if free else [])]
    found = [(float(x), text) for x, text in TICK.findall(pareto_svg(marks, title="t", width=width))]
    assert len(found) >= 2 and len({text for _, text in found}) == len(found)
    for (x, text), (after, later) in pairwise(found):
        assert x + text_width(text, 12) / 2 + 5.8 < after - text_width(later, 12) / 2
    axis = pareto_text(marks, width=80).split("└")[1].splitlines()[1]
    assert [word for word in axis.split() if not re.fullmatch(r"\$[.,0-9]+", word)] == []


spots = st.lists(st.tuples(st.floats(0, 900), st.floats(0, 500), st.integers(1, 30)), min_size=1, max_size=25)


@settings(max_examples=25)
@given(spots)
def test_labels_never_overlap_nor_leave_the_picture(found: list[tuple[float, float, int]]) -> None:
    area = Box(-20, -20, 920, 520)
    anchors = [(x, y) for x, y, _ in found]
    marks = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in anchors]
    placed = place_labels(anchors, [(7.0 * n, 15.0) for _, _, n in found], marks, area)
    boxes = [p.box for p in placed if p]
    assert all(b.inside(area) for b in boxes)
    assert not any(b.overlap(o) for i, b in enumerate(boxes) for o in [*boxes[:i], *marks])


def test_the_front_is_a_staircase_with_a_monotone_band() -> None:
    x, y = Mark("x", 1, 0.5, 0.4, 0.7, on_front=True), Mark("y", 2, 0.6, 0.55, 0.65, on_front=True)
    marks = [x, y, Mark("z", 3, 0.1)]
    assert [(s.cost, s.quality, s.low, s.high) for s in front_steps(marks)] == [
        (1, 0.5, 0.4, 0.7),
        (2, 0.6, 0.55, 0.7),
    ]


NASTY = "a<b>\"&'</text><script>alert(1)</script>"


@pytest.mark.parametrize("label", ["plain", NASTY, "模型 · 高", "x" * 200])
def test_the_svg_is_well_formed_whatever_a_model_is_called(label: str) -> None:
    marks = [Mark(label, 1.0, 0.5, 0.4, 0.6, on_front=True), Mark("free", 0.0, 0.4, detail=(("k", NASTY),))]
    root = ElementTree.fromstring(
        pareto_svg(marks, title=NASTY, before=[Mark("old", 2.0, 0.5, on_front=True)])
    )
    drawn = [
        e.get("data-label") for e in root.iter() if "mark" in (e.get("class") or "") and e.get("data-label")
    ]
    assert sorted(drawn, key=str) == sorted([label, "free"], key=str)
    assert not [e for e in root.iter() if e.tag.endswith("script")]


def test_degenerate_pictures_are_drawn_too() -> None:
    assert "nothing to show" in pareto_svg([], title="t") and pareto_text([]) == "nothing to show"
    for marks in ([Mark("one", 1.0, 1.0, on_front=True)], [Mark("a", 0.0, 0.0), Mark("b", 0.0, 0.0)]):
        ElementTree.fromstring(pareto_svg(marks, title="t"))
        assert "one" in pareto_text(marks) or "a" in pareto_text(marks)


def test_the_terminal_picture_shows_marks_and_fits() -> None:
    marks = [
        *marks_of(pooled(candidate_table(outcomes())), ("a", "high")),
        Mark("P", 5.0, 0.7, kind="policy"),
    ]
    text = pareto_text(marks, width=90)
    assert "■" in text and "●" in text and "◆" in text and "a @ high" in text and "$ per 1,000" in text
    assert max(len(line) for line in text.splitlines()) <= 98


def test_pages_are_whole_deterministic_and_ask_nothing_of_the_network() -> None:
    frame = outcomes(model=[NASTY] * 4 + ["b"] * 4)
    text = report_html(frame)
    assert text == report_html(frame)
    assert not re.findall(r"""(?:src|href)\s*=|url\(|@import|https?://(?!www\.w3\.org/2000/svg)""", text)
    assert "<script>alert" not in text and text.endswith("</html>\n")
    for heading in ("What was found", "The bill", "Where the tokens go"):
        assert heading in text


def test_what_a_new_sweep_moved() -> None:
    before = candidate_table(outcomes().query("model == 'b'"))
    lines = moved(before, candidate_table(outcomes()))
    assert (
        lines[0] == "New: a @ high."
        and "a @ high joined the front; best quality 75.0 % (+50.0 points)" in lines[1]
    )


def test_a_bill_by_hand() -> None:
    """Costs 1, 2, 9 with weights .5, .4, .1: mean 2.2, P50 1, P95 9; at 10 a month growing 10 %, $22 then $24.2."""
    found = bill("x", np.array([1.0, 2.0, 9.0]), np.array([0.5, 0.4, 0.1]), 0.5, 10.0, 0.1)
    assert (found.mean, found.p50, found.p95, found.per_success) == pytest.approx((2.2, 1.0, 9.0, 4.4))
    assert found.monthly[:2] == pytest.approx((22.0, 24.2)) and len(found.monthly) == 12


def test_the_tail_by_hand() -> None:
    """a's median is $.01, so the $.07 sample is in its tail: 1 of 4 samples, 70 % of its dollars."""
    (row,) = tail_summary(outcomes())
    assert (row["label"], row["n"], row["share"]) == ("a @ high", 1, 0.25)
    assert row["share_of_cost"] == pytest.approx(0.7) and row["worst"] == pytest.approx(7.0)


def test_context_growth_by_turn() -> None:
    calls = pd.DataFrame(
        {"turn": [1, 1, 2, 2], "input_tokens": [10, 20, 30, 50], "cache_read_tokens": [0, 0, 5, None]}
    )
    assert context_growth(calls) == [{"turn": 1, "input": 15.0, "n": 2}, {"turn": 2, "input": 42.5, "n": 2}]


def test_answers_cut_off_stand_beside_quality_wherever_it_is_shown() -> None:
    """Low: 1 of 10 answers cut off; high: 4 of the 8 whose end is known. Nothing is printed of a table without them."""
    rows = [
        {"suite": "s", "sample_id": f"{i}", "model": "m", "effort": effort, "quality": 1.0, "cost_usd": cost,
         "status": "ok", "prompt": f"q{i}", "cut_off": cut}
        for effort, cost, ends in (
            ("low", 1.0, [True] + 9 * [False]), ("high", 2.0, 4 * [True] + 4 * [False] + 2 * [None])
        )
        for i, cut in enumerate(ends)
    ]  # fmt: skip
    lost = {**rows[0], "sample_id": "lost", "quality": None, "status": "infra", "cut_off": True}
    frame = validate_outcomes(pd.DataFrame([*rows, lost]))
    table = pooled(candidate_table(frame)).set_index("effort")
    assert table["cut_off"].to_dict() == {"high": 0.5, "low": 0.1}
    said = format_table(candidate_table(frame))
    assert "cut off" in said and "50 %" in said and "10 %" in said
    assert "cut off</th>" in report_html(frame) and ">50 %</td>" in report_html(frame)
    effort = effort_text(effort_table(frame)).splitlines()
    [line] = [line for line in effort if "cut off" in line]
    assert line.startswith("  cut off at max_tokens, it and its base") and line.endswith("50 % / 10 %")
    silent = validate_outcomes(pd.DataFrame(rows).drop(columns="cut_off"))
    assert "cut off" not in format_table(candidate_table(silent)) + report_html(silent)
    assert "cut off" not in effort_text(effort_table(silent))
    none = frame.assign(cut_off=False)
    assert "cut off" not in format_table(candidate_table(none)) + report_html(none) + effort_text(
        effort_table(none)
    )


@pytest.mark.parametrize(
    ("share", "text"), [(0.124, "12 %"), (0.001, "<1 %"), (1.0, "100 %"), (0.0, ""), (None, "")]
)
def test_a_share_cut_off_is_said_in_whole_per_cents(share: float | None, text: str) -> None:
    assert cut_off(share) == text and cut_off(share, words=True) == (f"{text} cut off" if text else "")
