"""The bill in people's words, and owned hardware beside it, with numbers worked out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from router_lab.cli import cli
from router_lab.outcomes import validate_outcomes, write_calls, write_outcomes
from router_lab.report.economics import Bill
from router_lab.report.hardware import Hardware, break_even, hardware_svg
from router_lab.report.review import Question, Review, plain, sentences
from router_lab.report.served import Served, failed_share
from router_lab.report.sources import SOURCES, mixed, sources_of
from tests.unit.test_report_cli import save

KNOWN = dict.fromkeys(SOURCES, 0.0)


def way(name: str, mean: float, quality: float, **more: Any) -> Served:
    """100 tasks a month; P95 is three times the mean."""
    bill = Bill(name, mean, mean / 2, 3 * mean, 4 * mean, mean / quality, (100 * mean,))
    return Served(
        bill, **{"quality": quality, "failed": 0.2, "written": 500.0, "attempts": 1.0, "sources": {}, **more}
    )


def told(review: Review) -> dict[str, Any]:
    return {one.name: one for one in sentences(review)}


def review(question: Question | None = None, **more: Any) -> Review:
    """The reference costs $.10 a task and gets .8 right, the policy $.06 and .75."""
    alone, routed = way("big", 0.10, 0.8, **more), way("the policy", 0.06, 0.75, failed=0.3, **more)
    return Review(alone, routed, "−5.0 points", 100.0, question or Question())


def test_sentences_by_hand() -> None:
    said = told(review())
    assert list(said) == ["p95", "routed", "success", "failed", "sources"]
    assert said["p95"].figures == pytest.approx({
        "alone_p95_usd": 0.3, "alone_mean_usd": 0.1, "alone_month_usd": 10.0, "routed_p95_usd": 0.18,
        "routed_mean_usd": 0.06, "routed_month_usd": 6.0,
    })  # fmt: skip
    assert said["p95"].text == (
        "One task in twenty costs more than $0.300 with big alone, $0.180 routed; a month of 100 tasks costs $10.00 "
        "alone, $6.00 routed."
    )
    assert said["routed"].figures == pytest.approx({"saved_usd": 4.0, "saved": 0.4})
    assert said["routed"].text == (
        "Routing takes $4.00 a month off big alone, 40.0 % of it, with quality −5.0 points."
    )
    assert said["success"].figures["alone_success_usd"] == pytest.approx(0.125)
    assert said["success"].figures["routed_success_usd"] == pytest.approx(0.08)
    assert said["success"].text.endswith("what failed included; no attempt was made again.")
    assert said["failed"].figures == {"alone_failed": 0.2, "routed_failed": 0.3}
    assert "20.0 % alone, 30.0 % routed" in said["failed"].text
    assert said["sources"].figures["frame_usd"] is None and "is not known" in said["sources"].text


def test_attempts_that_were_made_again_are_paid_for() -> None:
    """$.125 a success, with 25 attempts again in a hundred tasks: $.15625."""
    said = told(review(attempts=1.25))["success"]
    assert (
        said.figures["alone_success_usd"] == pytest.approx(0.15625) and "25 attempts made again" in said.text
    )
    assert "is not known" in told(review(attempts=math.nan))["success"].text


def test_margin_and_person_by_hand() -> None:
    """$.15 a task: $.05 and $.09 are left, of the dearest in twenty −$.15 and −$.03. A person at $2 does a fifth or a
    quarter: $.10 + $.40, $.06 + $.50."""
    said = told(review(Question(price_per_task=0.15, person_usd=2.0)))
    assert said["margin"].figures == pytest.approx(
        {"alone_margin_usd": 0.05, "routed_margin_usd": 0.09, "alone_margin_p95_usd": -0.15, "routed_margin_p95_usd": -0.03}
    )  # fmt: skip
    assert "$0.0500 (33.3 %) alone, $0.0900 (60.0 %) routed" in said["margin"].text
    assert said["person"].figures == pytest.approx({
        "alone_with_person_usd": 0.5, "routed_with_person_usd": 0.56, "alone_margin_with_person_usd": -0.35,
        "routed_margin_with_person_usd": -0.41,
    })  # fmt: skip


def test_checks_that_the_savings_buy_by_hand() -> None:
    """A quarter of $4 a month at $.002 a check: 500, five a task."""
    said = told(review(Question(check_usd=0.002, check_share=0.25)))["checks"]
    assert said.figures == pytest.approx({"spent_usd": 1.0, "checks": 500.0, "checks_a_task": 5.0})
    assert said.text == "25 % of what routing saves, $1.00 a month, buys 500 checks of $0.00200: 5 a task."


def test_a_policy_that_costs_more_is_said_to() -> None:
    dear = Review(
        way("big", 0.1, 0.8), way("the policy", 0.12, 0.9), "+10.0 points", 100.0, Question(check_usd=1.0)
    )
    assert "Routing costs $2.00 a month more than big alone" in told(dear)["routed"].text
    assert told(dear)["checks"].figures["checks"] == 0.0


def test_without_a_policy_nothing_is_said_of_one() -> None:
    alone = Review(way("big", 0.1, 0.8), None, "", 100.0, Question(1.0, 2.0, 0.1))
    said = told(alone)
    assert list(said) == ["p95", "routed", "success", "failed", "sources", "margin", "person"]
    assert said["routed"].figures == {"saved_usd": None, "saved": None}
    assert not any("alone," in one.text or "routed," in one.text for one in said.values())
    nothing = Review(way("big", math.nan, 0.8), None, "", 100.0, Question())
    assert sentences(nothing) == [] and plain(nothing)["sentences"] == []


def test_what_is_not_known_is_said_to_be() -> None:
    """Nothing succeeded, and no dollars were spent on what is known."""
    said = told(Review(way("big", 0.1, 0.8, failed=math.nan), None, "", 1.0, Question()))
    assert said["failed"].figures == {"alone_failed": None} and "is not known" in said["failed"].text
    bill = Bill("big", 0.1, 0.1, 0.1, 0.1, math.nan, (10.0,))
    none = Review(Served(bill, 0.0, 1.0, 5.0, 1.0, {}), None, "", 100.0, Question())
    assert told(none)["success"].text == "What a success costs is not known: somebody had none."
    assert told(none)["success"].figures["alone_success_usd"] is None


MACHINE = Hardware(2.0, 100.0, 0.5)
"""$1,460 a month, for 100 × .5 × 3,600 × 730 = 131,400,000 tokens: 262,800 tasks of 500."""


def test_the_volume_at_which_hardware_breaks_even_by_hand() -> None:
    """At $.01 a task $1,460 are 146,000 tasks. Two machines pay from 292,000 on; the second is needed above 262,800, so
    until then the hardware is dearer once more, and never again: three pay at 438,000, before two are full."""
    assert MACHINE.month_usd == 1460.0 and MACHINE.tasks(500) == 262_800
    assert break_even(MACHINE, 0.01, 500) == (262_800, 146_000, 292_000)
    assert [MACHINE.bill(500, volume) for volume in (1, 262_800, 262_801)] == [1460, 1460, 2920]
    # 292,000 tasks at $.005 are more than it can do; at $.002 × 100 more tokens a task too.
    assert break_even(MACHINE, 0.005, 500) == (262_800, None, None)
    assert break_even(MACHINE, 0.0, 500).first is None
    # Where one machine pays before it is half full, it always does.
    assert break_even(MACHINE, 0.02, 500) == (262_800, 73_000, 73_000)


@given(
    st.floats(0.1, 50),
    st.floats(1, 5000),
    st.floats(0.05, 1),
    st.floats(1e-5, 1),
    st.floats(1, 5000),
    st.floats(0, 20),
)
def test_rules_of_breaking_even(
    usd: float, speed: float, share: float, mean: float, written: float, factor: float
) -> None:
    machine = Hardware(usd, speed, share)
    found = break_even(machine, mean, written)
    volume = factor * machine.tasks(written)
    owned, billed = machine.bill(written, volume), volume * mean
    if found.always is not None and volume >= found.always:
        assert owned <= billed * (1 + 1e-6)
    if volume > 1e-6 and (found.first is None or volume < found.first * (1 - 1e-9)):
        assert owned >= billed * (1 - 1e-6)
    assert found.first is None or found.always is None or found.first <= found.always


def test_hardware_is_told_and_drawn() -> None:
    asked = review(Question(hardware=MACHINE))
    said = told(asked)["hardware"]
    assert (
        said.figures["break_even_tasks"] == pytest.approx(1460 / 0.06) and said.figures["owned_usd"] == 1460.0
    )
    assert said.text == (
        "Owned hardware breaks even at 24,333 tasks a month; at 100 it costs $1,460 beside $6.00."
    )
    assert asked.picture().count("<circle") == 1 and "24,333 a month" in asked.picture()
    never = told(Review(way("big", 0.005, 0.8), None, "", 100.0, Question(hardware=MACHINE)))["hardware"]
    assert (
        "never breaks even: a machine of $1,460 a month does 262,800 tasks, which cost $1,314" in never.text
    )
    assert never.figures["break_even_tasks"] is None
    unknown = review(Question(hardware=MACHINE), written=math.nan)
    assert "is not known" in told(unknown)["hardware"].text and unknown.picture() == ""
    assert "<circle" not in hardware_svg(MACHINE, 0.005, 500, 100.0, "x")


# --- from outcomes ------------------------------------------------------------------------------


def test_dollars_that_bought_nothing_by_hand() -> None:
    """$1 of quality 1, $3 of quality .5, $9 of which nothing is known: 1.5 of 4."""
    costs, quality = np.array([1.0, 3.0, 9.0]), np.array([1.0, 0.5, math.nan])
    assert failed_share(costs, quality, np.ones(3)) == 0.375
    assert failed_share(costs, quality, np.array([1.0, 0.0, 1.0])) == 0.0


def runs(*cost: float | None, **more: Any) -> pd.DataFrame:
    table = pd.DataFrame([
        {"suite": "s", "sample_id": str(i), "model": "m", "quality": 1.0, "cost_usd": usd, **more}
        for i, usd in enumerate(cost)
    ])  # fmt: skip
    table.attrs["candidates"] = [{"model": "m", "effort": None, "prices": {"input": 1.0, "output": 2.0}}]
    return validate_outcomes(table)


def calls(*tokens: tuple[str, int, int, int, int]) -> pd.DataFrame:
    names = ("sample_id", "turn", "input_tokens", "output_tokens", "reasoning_tokens")
    return pd.DataFrame([dict(zip(names, one, strict=True)) for one in tokens]).assign(suite="s", model="m")


def test_sources_by_hand() -> None:
    """A call reads 100 and writes 20, 5 of them reasoning; the next reads 150: 100 again, 15 of the answer, 35 new; and
    writes 10. At 1 and 2 a token that is 310 for $.31."""
    found = sources_of(runs(0.31), calls(("0", 1, 100, 20, 5), ("0", 2, 150, 10, 0)))["m"]
    assert found == pytest.approx(
        {**KNOWN, "frame": 0.2, "history": 0.015, "results": 0.035, "answers": 0.06}
    )
    # A third turn reads all of that again: 150 − 100 + 10 of history, 40 new.
    third = sources_of(runs(0.53), calls(("0", 1, 100, 20, 5), ("0", 2, 150, 10, 0), ("0", 3, 200, 10, 0)))[
        "m"
    ]
    assert third == pytest.approx(
        {**KNOWN, "frame": 0.3, "history": 0.015 + 0.06, "results": 0.035 + 0.04, "answers": 0.08}
    )


def test_a_context_that_was_cut_is_first_prompt_as_far_as_it_reaches() -> None:
    found = sources_of(runs(0.16), calls(("0", 1, 100, 0, 0), ("0", 2, 60, 0, 0)))["m"]
    assert found == pytest.approx({**KNOWN, "frame": 0.16})


def test_what_calls_do_not_tell_is_unknown() -> None:
    """Of two runs of $.10 one has calls; what signals of it cost nobody pays who serves alone."""
    table = runs(0.1, 0.1, signals_usd=0.02)
    found = sources_of(table, calls(("0", 1, 100, 0, 0)))["m"]
    assert found == pytest.approx({**KNOWN, "frame": 0.05, "unknown": 0.05})
    assert sources_of(table, None)["m"] == pytest.approx({**KNOWN, "unknown": 0.1})


@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=6)
)
def test_sources_add_up_to_the_dollars_of_a_run(tokens: list[tuple[int, int, int]]) -> None:
    rows = [
        ("0", turn, read, wrote, min(wrote, thought)) for turn, (read, wrote, thought) in enumerate(tokens, 1)
    ]
    found = sources_of(runs(0.7), calls(*rows))["m"]
    assert math.fsum(found.values()) == pytest.approx(0.7) and min(found.values()) >= 0


def test_sources_of_a_policy_are_mixed_by_shares() -> None:
    """A quarter of $4 frame, three quarters of $.8 answers: 1 and .6, brought to $.8 a task."""
    parts = {"a": {**KNOWN, "frame": 4.0}, "b": {**KNOWN, "answers": 0.8}}
    found = mixed(parts, {"a": 0.25, "b": 0.75, "c": 0.0}, 0.8)
    assert found == pytest.approx({**KNOWN, "frame": 0.5, "answers": 0.3})
    assert mixed(parts, {"a": 0.5, "c": 0.5}, 0.8) == {}


@pytest.fixture
def world(tmp_path: Path) -> list[str]:
    """cheap and dear get four of five right, at $.001 and $.01; the policy sends everything to cheap."""
    rows = [
        {"suite": "s", "sample_id": str(i), "model": model, "quality": float(i % 5 > 0), "cost_usd": cost,
         "prompt": f"question {i}", "output_tokens": 500, "retries": 0}
        for i in range(60) for model, cost in (("cheap", 0.001), ("dear", 0.01))
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    table.attrs["candidates"] = [
        {"model": m, "effort": None, "prices": {"input": 1.0, "output": 1.0}} for m in ("cheap", "dear")
    ]
    write_calls(table[["suite", "sample_id", "model", "output_tokens"]].assign(turn=1, input_tokens=1500),
                tmp_path / "calls.parquet")  # fmt: skip
    return [str(write_outcomes(table, tmp_path / "o.parquet")), str(save(tmp_path / "p", 0))]


def asked(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["report", *arguments])


def test_the_command_answers_for_a_policy(world: list[str], tmp_path: Path) -> None:
    options = ["--per-month", "1000", "--price-per-task", ".02", "--person-usd", "4", "--check-usd", ".0009",
               "--hardware-usd-hour", ".001", "--tokens-per-second", "10"]  # fmt: skip
    found = json.loads(asked(*world, *options, "--json").output)["bill"]
    said = {one["name"]: one for one in found["sentences"]}
    assert (found["alone"], found["routed"], found["tasks_a_month"]) == ("dear", True, 1000.0)
    assert said["p95"]["figures"]["routed_p95_usd"] == 0.001
    assert said["p95"]["figures"]["alone_month_usd"] == pytest.approx(10.0)
    assert said["routed"]["figures"] == pytest.approx({"saved_usd": 9.0, "saved": 0.9})
    assert said["success"]["figures"]["routed_success_usd"] == pytest.approx(0.001 / 0.8)
    assert said["failed"]["figures"] == pytest.approx({"alone_failed": 0.2, "routed_failed": 0.2})
    assert said["sources"]["figures"] == pytest.approx({f"{name}_usd": 0.0 for name in SOURCES} | {
        "frame_usd": 0.00075, "answers_usd": 0.00025,
    })  # fmt: skip
    assert said["person"]["figures"]["routed_with_person_usd"] == pytest.approx(0.801)
    assert said["checks"]["figures"]["checks_a_task"] == pytest.approx(1.0)
    assert said["hardware"]["figures"]["break_even_tasks"] == pytest.approx(730.0)  # $.73 a month at $.001
    assert all(one["how"] and one["text"].endswith((".", "points.")) for one in said.values())
    lines = asked(*world, *options).output.splitlines()
    assert [line.strip() for line in lines[lines.index("The bill") + 1 :]] == [
        one["text"] for one in said.values()
    ]
    page = tmp_path / "r.html"
    assert asked(*world, *options, "--html", str(page)).exit_code == 0
    text = page.read_text()
    assert '<svg class="lines"' in text and "730 a month" in text and "One task in twenty" in text
    assert asked(*world, *options, "--check", str(page)).exit_code == 0
    assert asked(*world, "--check", str(page)).exit_code == 3


def test_the_command_answers_for_a_sweep_and_refuses_half_a_machine(world: list[str]) -> None:
    told = asked(world[0]).output
    assert (
        "One task in twenty costs more than $0.00100 with cheap; a month of 100,000 tasks costs $100." in told
    )
    half = asked(world[0], "--hardware-usd-hour", "2")
    assert half.exit_code == 2 and "--tokens-per-second together" in half.output
    bad = asked(world[0], "--utilisation", "0")
    assert bad.exit_code == 2
