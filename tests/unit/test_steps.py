"""Runs that are scored step by step: the column, the statistics and what checks would buy, by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from router_lab.cli import cli
from router_lab.collect import collect
from router_lab.metrics.steps import (
    Check,
    Runs,
    all_passed,
    checked,
    clustering,
    curves,
    first_failures,
    independent,
)
from router_lab.outcomes import read_outcomes, validate_outcomes, write_calls, write_outcomes
from router_lab.outcomes.steps import Step, steps_of, steps_text
from router_lab.report import report_html
from router_lab.report.call_dollars import call_dollars
from router_lab.report.steps import Validator, steps_found
from router_lab.report.steps_page import steps_json, steps_lines
from router_lab.runtime.errors import InputError
from tests.unit.test_collect import prices as prices
from tests.unit.test_collect import sample, write_log


def runs(passed: Any, cost: Any = None, **more: Any) -> Runs:
    """One rate for each place; every run its own cluster."""
    table = np.array(passed, np.float64)
    usd = np.ones(len(table)) if cost is None else np.array(cost, np.float64)
    cell = np.broadcast_to(np.arange(table.shape[1]), table.shape)
    return Runs(**{"passed": table, "cell": cell, "cost_usd": usd, "group": np.arange(len(table)), **more})


def mean(of: Runs, value: Any) -> float:
    return of.mean(of.moved(value)).value


# --- statistics ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "product"), [(100, 0.99**50), (20, 0.95**50)])
def test_fifty_steps_that_nearly_always_pass_seldom_all_pass(n: int, product: float) -> None:
    """One failure in n at each of 50 places: .99^50 = .605, .95^50 = .077."""
    together, apart = np.ones((n, 50)), np.ones((n, 50))
    together[0] = 0.0
    apart[np.arange(50) % n, np.arange(50)] = 0.0
    assert mean(runs(together), independent(runs(together))) == pytest.approx(product)
    assert mean(runs(apart), independent(runs(apart))) == pytest.approx(product)
    assert round(0.99**50, 2) == 0.61 and 0.95**50 < 0.08
    # All in one run: 1 in n fails. Apart, 50 runs of 100 fail, and all of 20.
    assert all_passed(runs(together)).mean() == 1 - 1 / n
    assert all_passed(runs(apart)).mean() == (0.5 if n == 100 else 0.0)
    assert clustering(runs(together)).value == pytest.approx(1 - 1 / n - product)


def test_failures_that_come_together_are_told_from_those_that_do_not() -> None:
    """Ten steps, four runs in ten that fail in all of them: .6 against .6^10; independent ones differ by nothing."""
    same = np.ones((200, 10))
    same[:80] = 0.0
    low, _ = clustering(runs(same)).interval()
    assert clustering(runs(same)).value == pytest.approx(0.6 - 0.6**10) and low > 0.4
    chance = np.random.default_rng(0).random((400, 10)) < 0.9
    low, high = clustering(runs(chance)).interval()
    assert low < 0 < high


def test_where_every_run_does_the_same_little_is_shown() -> None:
    """Thirty runs of one step that all fail differ by nothing, and one more may."""
    low, high = clustering(runs(np.zeros((30, 1)))).interval()
    assert low < -0.05 and high > 0.05


def test_a_run_of_one_step_is_a_mean_with_its_own_error() -> None:
    one = runs([[1.0], [1.0], [0.0], [1.0]])
    moved, plain = one.mean(one.moved(independent(one))), one.mean(one.passed[:, 0])
    assert moved.value == pytest.approx(0.75) and moved.se == pytest.approx(plain.se)


def test_the_error_of_a_product_is_that_of_the_delta_method() -> None:
    """Two places with rates .8 and .5, failures apart: d(pq) = q dp + p dq, here in ten runs of known steps."""
    table = np.array([[i >= 2, i % 2] for i in range(10)], np.float64)
    one = runs(table)
    influence = 0.5 * (table[:, 0] - 0.8) + 0.8 * (table[:, 1] - 0.5)
    found = one.mean(one.moved(independent(one)))
    assert found.value == pytest.approx(0.4)
    assert found.se == pytest.approx(math.sqrt((influence**2).sum() * 10 / 9) / 10, rel=1e-6)


def test_weights_count_a_run_so_often() -> None:
    """Weights 3 and 1 are four runs of which three pass."""
    heavy = runs([[1.0], [0.0]], weight=np.array([3.0, 1.0]))
    assert heavy.rates()[0] == 0.75 and mean(heavy, independent(heavy)) == pytest.approx(0.75)


def test_curves_and_first_failures_by_hand() -> None:
    """Four runs of three steps; the last has one step only. Rates: 3/4, 2/3, 2/3."""
    four = runs([[1, 1, 1], [1, 0, 1], [0, 1, 0], [1, np.nan, np.nan]])
    four = runs(four.passed, cell=np.where(np.isnan(four.passed), -1, four.cell))
    seen, alone = curves(four)
    assert seen.tolist() == [0.75, 0.5, 0.5]
    assert alone == pytest.approx([0.75, (3 * 0.75 * 2 / 3 + 0.75) / 4, (3 * 0.75 * 4 / 9 + 0.75) / 4])
    assert first_failures(four).tolist() == [-1, 1, 0, -1]


def test_checks_by_hand() -> None:
    """Nine of ten pass; a check catches .8 at $.10, a step costs $1. One check: .9 + .1 × .8 × .9 = .972 for
    1.1 + .08 × 1; a second one, on what was made again: .9 + .08 × .972 for 1.1 + .08 × (1.1 + .08)."""
    ten = runs([[float(i > 0)] for i in range(10)])
    for most, success, usd in ((0, 0.9, 1.0), (1, 0.972, 1.18), (2, 0.97776, 1.1944)):
        right, spent = checked(ten, Check(0.8, 0.1, most=most))
        assert mean(ten, right) == pytest.approx(success) and mean(ten, spent) == pytest.approx(usd)


def test_false_alarms_by_hand() -> None:
    """A tenth of good steps is rejected: .9 × .9 + (.09 + .08) × .9 = .963, for 1.1 + .17."""
    ten = runs([[float(i > 0)] for i in range(10)])
    right, spent = checked(ten, Check(0.8, 0.1, alarm=0.1, most=1))
    assert mean(ten, right) == pytest.approx(0.963) and mean(ten, spent) == pytest.approx(1.27)


def test_a_step_that_was_not_reached_is_made_where_the_check_lets_the_run_go_on() -> None:
    """Rates .5 and 1. The second run stopped at its first step, which is always caught and then passes by half: it
    spends 1 + .1 + 1, and by half the second step's 1 + .1."""
    two = runs([[1, 1], [0, np.nan]], cost=[2.0, 1.0])
    right, spent = checked(two, Check(1.0, 0.1, most=1))
    assert right(two.rates()).tolist() == [1.0, 0.5]
    assert spent(two.rates()) == pytest.approx([2.2, 2.65])
    assert checked(two, Check(1.0, 0.1, most=0))[1](two.rates()).tolist() == [2.0, 1.0]


TABLES = st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=3, max_size=3), min_size=2, max_size=12)
SHARES = st.floats(0, 1)


@given(TABLES, SHARES, SHARES, st.integers(1, 4))
def test_rules_of_checks(table: list[list[float]], catch: float, less: float, most: int) -> None:
    """Checks without false alarms never hurt; better ones never help less; none caught changes only what checks
    cost; what is moved keeps its mean."""
    some = runs(table)
    plain, better = all_passed(some), checked(some, Check(catch, 0.0, most=most))
    worse = checked(some, Check(catch * less, 0.0, most=most))[0](some.rates())
    assert (better[0](some.rates()) >= plain - 1e-12).all()
    assert (better[0](some.rates()) >= worse - 1e-12).all()
    right, spent = (value(some.rates()) for value in checked(some, Check(0.0, 0.5, most=most)))
    assert right == pytest.approx(plain) and spent == pytest.approx(1.0 + 3 * 0.5)
    for value in (*better, independent(some)):
        assert some.moved(value).mean() == pytest.approx(value(some.rates()).mean())


# --- the column ---------------------------------------------------------------------------------

PLAN, DO = {"name": "plan", "passed": True, "role": "lead", "turn": 1}, {"name": "do", "passed": False}


def row(**more: Any) -> dict[str, Any]:
    return {"suite": "s", "sample_id": "1", "model": "m", "quality": 1.0, **more}


@pytest.mark.parametrize("cell", [[PLAN, DO], (PLAN, DO), np.array([PLAN, DO]), json.dumps([PLAN, DO])])
def test_steps_are_kept_however_they_are_written(cell: Any, tmp_path: Path) -> None:
    table = validate_outcomes(
        pd.DataFrame({**{k: [v] for k, v in row().items()}, "steps": pd.Series([cell])})
    )
    said = '[{"name":"plan","passed":true,"role":"lead","turn":1},{"name":"do","passed":false}]'
    assert table["steps"].tolist() == [said]
    assert read_outcomes(write_outcomes(table, tmp_path / "o.parquet"))["steps"].tolist() == [said]
    assert steps_of(said) == (Step("plan", True, "lead", 1), Step("do", False))


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        ("[{\"passed\": true}]", "step 1: `name` is missing; it must be a text"),
        ('[{"name": "a", "passed": 1}]', "step 1: `passed` is 1; it must be true or false"),
        (
            '[{"name": "a", "passed": true}, {"name": "b", "passed": true, "turn": -1}]',
            "step 2: `turn` is -1; it must be a whole number from 0 on, or null",
        ),
        ('[{"name": "a", "passed": true, "role": 5}]', "`role` is 5; it must be a text, or null"),
        ("[7]", "step 1 is 7; it must be a JSON list of steps"),
        ('{"name": "a"}', "it must be a JSON list of steps"),
        ("done", "it must be a JSON list of steps in the order of the run"),
        ("12", "collect --map turns=steps"),
        ("[" * 100_000, "it must be a JSON list of steps"),
    ],
)  # fmt: skip
def test_what_is_no_list_of_steps_is_refused_with_row_key_and_rule(cell: str, rule: str) -> None:
    table = pd.DataFrame([row(steps=None), row(sample_id="2", steps=cell)])
    with pytest.raises(InputError) as caught:
        validate_outcomes(table, where="mine.csv")
    assert str(caught.value).startswith("mine.csv: row 1: `steps` is ") and rule in str(caught.value)


def test_no_steps_and_further_keys_are_nothing() -> None:
    assert steps_of(None) == steps_of("null") == steps_of([]) == () and steps_text(()) is None
    assert steps_of([{**DO, "detail": "long", "turn": 2.0}]) == (Step("do", False, None, 2),)


STEPS = st.builds(
    Step, st.text(min_size=1), st.booleans(), st.none() | st.text(min_size=1), st.none() | st.integers(0, 99)
)


@given(st.lists(STEPS, min_size=1, max_size=5))
def test_what_is_written_is_read_again(steps: list[Step]) -> None:
    text = steps_text(tuple(steps))
    assert text is not None and steps_text(steps_of(text)) == text
    text.encode("utf-8")


def test_a_scorer_tells_of_steps(tmp_path: Path, prices: Path) -> None:
    made, silent = sample(1), sample(2)
    made["scores"]["acc"]["metadata"]["steps"] = [PLAN, DO]
    write_log(tmp_path / "logs", made, silent)
    table = collect([tmp_path / "logs"], prices=prices)[0].set_index("sample_id")["steps"]
    assert steps_of(table["1"]) == (Step("plan", True, "lead", 1), Step("do", False)) and pd.isna(table["2"])
    made["scores"]["acc"]["metadata"]["steps"] = [{"name": "plan"}]
    write_log(tmp_path / "logs", made)
    with pytest.raises(
        InputError, match=r"json: sample 1: .*`steps`: step 1: `passed` is missing; it must be true"
    ):
        collect([tmp_path / "logs"], prices=prices)


# --- the report ---------------------------------------------------------------------------------


def agent(model: str, sample_id: int, cost: float, *passed: bool, turn: int | None = 1) -> dict[str, Any]:
    """A run whose k-th step was made in call `turn` + k."""
    steps = [
        {
            "name": f"s{k}",
            "passed": p,
            "role": "plan" if k == 0 else "do",
            "turn": None if turn is None else turn + k,
        }
        for k, p in enumerate(passed)
    ]
    return {"suite": "s", "sample_id": str(sample_id), "model": model, "quality": float(all(passed)),
            "cost_usd": cost, "steps": json.dumps(steps)}  # fmt: skip


def call(model: str, sample_id: int, turn: int, read: int, written: int, **more: Any) -> dict[str, Any]:
    return {"suite": "s", "sample_id": str(sample_id), "model": model, "turn": turn, "input_tokens": read,
            "output_tokens": written, **more}  # fmt: skip


@pytest.fixture
def table() -> pd.DataFrame:
    """dear passes all but its last run; cheap fails in its first step, in its second, and never, twice."""
    rows = [agent("dear", i, 1.0, True, i < 3) for i in range(4)]
    rows += [agent("cheap", 0, 0.1, False, True), agent("cheap", 1, 0.3, True, False)]
    rows += [agent("cheap", i, 0.1, True, True) for i in (2, 3)]
    frame = pd.DataFrame(rows)
    frame.attrs["candidates"] = [
        {"model": m, "effort": None, "prices": {"input": 1.0, "output": 4.0}} for m in ("dear", "cheap")
    ]
    return validate_outcomes(frame)


@pytest.fixture
def calls() -> pd.DataFrame:
    """Two calls a run: 100 tokens read and 25 written, then 200 and 50: a third and two thirds of the dollars."""
    return pd.DataFrame([
        call(model, i, turn, 100 * turn, 25 * turn) for model in ("dear", "cheap") for i in range(4) for turn in (1, 2)
    ])  # fmt: skip


def test_dollars_of_calls_by_hand(table: pd.DataFrame, calls: pd.DataFrame) -> None:
    """100 × 1 + 25 × 4 = 200, then 400: of $.30, .10 and .20, half of each for reading."""
    found = call_dollars(table, calls)
    mine = found[found["run"] == table.index[(table["model"] == "cheap") & (table["sample_id"] == "1")][0]]
    assert mine["usd"].tolist() == pytest.approx([0.1, 0.2])
    assert mine["read_usd"].tolist() == pytest.approx([0.05, 0.1]) and mine["place"].tolist() == [0, 1]
    assert call_dollars(table, None).empty
    again = pd.concat(
        [calls.assign(attempt=2), calls.assign(attempt=1), calls.assign(attempt=2, role="grader")]
    )
    assert call_dollars(table, again)["usd"].tolist() == pytest.approx(found["usd"].tolist())
    table.attrs["candidates"] = []
    assert call_dollars(table, calls)["usd"].isna().all()
    own = call_dollars(table, calls.assign(cost_usd=np.tile([1.0, 3.0], 8)))
    assert own["usd"].tolist()[:2] == pytest.approx([0.025, 0.075])


def test_steps_by_hand(table: pd.DataFrame, calls: pd.DataFrame) -> None:
    dear, cheap = steps_found(table, calls)
    assert (dear.label, cheap.label, cheap.n, cheap.steps, cheap.quality) == ("dear", "cheap", 4, 2.0, 0.5)
    assert (cheap.rate.value, cheap.end_to_end.value) == (0.75, 0.5)
    assert cheap.independent.value == pytest.approx(0.75 * 0.75)
    assert cheap.clustering.value == pytest.approx(0.5 - 0.5625)
    assert [(name, f.value) for name, f in cheap.by_step] == [("1 s0", 0.75), ("2 s1", 0.75)]
    assert [(name, f.value) for name, f in cheap.by_role] == [("do", 0.75), ("plan", 0.75)]
    assert (cheap.first, cheap.seen, cheap.alone) == ([(1, 0.25), (2, 0.25)], [0.75, 0.5], [0.75, 0.5625])
    # $.4 of $.6 in runs that failed; after the failure in call 1 of the first, two thirds of its $.1.
    assert cheap.failed_usd == pytest.approx(0.4 / 0.6) and (cheap.failed, cheap.tail_known) == (2, 2)
    assert cheap.tail_usd == pytest.approx(0.1 * 2 / 3 / 0.6)
    # P95 of the call's dollars, the dearest of four: a third and two thirds of $.3.
    assert [(turn, n) for turn, _, n in cheap.p95] == [(1, 4), (2, 4)]
    assert [usd for _, usd, _ in cheap.p95] == pytest.approx([0.1, 0.2])
    assert dear.first == [(2, 0.25)] and dear.tail_usd == 0.0 and dear.failed_usd == 0.25


def test_what_is_spent_after_a_failure_is_unknown_without_calls_prices_or_turns(
    table: pd.DataFrame, calls: pd.DataFrame
) -> None:
    bare = table.copy()
    bare.attrs["candidates"] = []
    untold = validate_outcomes(pd.DataFrame([agent("m", i, 1.0, i > 0, turn=None) for i in range(4)]))
    untold.attrs["candidates"] = [{"model": "m", "prices": {"input": 1, "output": 1}}]
    mine = pd.DataFrame([call("m", i, 1, 10, 5) for i in range(4)])
    for found in (steps_found(table), steps_found(bare, calls), steps_found(untold, mine)):
        assert {(one.tail_usd, one.tail_known) for one in found} == {(None, 0)}
        assert "What was spent after the first failed step is not known of" in "\n".join(
            steps_lines(found, Validator())
        )
        assert steps_json(found, Validator())["candidates"][0]["tail_usd"] is None


def test_calls_of_a_role_come_in_the_order_in_which_they_began() -> None:
    """The plan's first call, then two of whoever does it; the plan fails: what follows is 3 of 4 dollars."""
    steps = [
        {"name": "plan", "passed": False, "role": "plan", "turn": 1},
        {"name": "do", "passed": True, "turn": 2},
    ]
    table = validate_outcomes(pd.DataFrame([row(cost_usd=4.0, steps=json.dumps(steps))]))
    table.attrs["candidates"] = [{"model": "m", "prices": {"input": 1.0, "output": 1.0}}]
    mine = pd.DataFrame([
        {"suite": "s", "sample_id": "1", "model": "m", "turn": turn, "role": role, "input_tokens": tokens,
         "output_tokens": 0, "started_at": f"2026-01-01T00:00:0{at}+00:00"}
        for at, (turn, role, tokens) in enumerate([(1, "plan", 10), (1, None, 10), (2, None, 20), (1, "judge", 99)])
    ])  # fmt: skip
    (found,) = steps_found(table, mine)
    assert found.tail_usd == pytest.approx(0.75) and found.tail_known == 1


def test_a_cheap_executor_with_checks_beside_a_dear_one(table: pd.DataFrame) -> None:
    """cheap, rates 3/4: always caught, a step made again passes by .75: two runs of 4 become .75, (1 + 1 + .75 +
    .75) / 4 = .875. Dollars: each step twice checked at $.01, in two runs one step again: (.6 + .08 + .05 + .15) / 4."""
    dear, cheap = steps_found(table, None, Validator(1.0, 0.01, 0.0, 1))
    none, one = cheap.checks
    assert (none.checks, one.checks) == (0, 1)
    assert none.success.value == pytest.approx(0.5) and one.success.value == pytest.approx(0.875)
    assert one.usd.value == pytest.approx((0.6 + 0.08 + 0.05 + 0.15) / 4)
    assert one.usd_per_success.value == pytest.approx(0.22 / 0.875)
    assert dear.checks[0].better is None and one.better is not None and one.saving is not None
    assert one.better.value == pytest.approx(0.875 - 0.75) and one.saving.value == pytest.approx(1 - 0.22)
    assert one.success.low is not None and one.success.low < 0.875 < (one.success.high or 0.0)


def test_a_run_that_stopped_at_a_failure_is_as_long_as_others_of_its_suite() -> None:
    """Three runs of two steps pass; one stopped at its first. Independent: 3/4 × 1 for all of them, as recorded."""
    rows = [agent("m", i, 1.0, True, True) for i in range(3)] + [agent("m", 3, 1.0, False)]
    (found,) = steps_found(validate_outcomes(pd.DataFrame(rows)))
    assert found.independent.value == pytest.approx(0.75) and found.end_to_end.value == 0.75
    assert found.clustering.value == pytest.approx(0.0) and found.steps == 7 / 4


def test_the_command_shows_steps_and_nothing_where_there_are_none(
    table: pd.DataFrame, calls: pd.DataFrame, tmp_path: Path
) -> None:
    path, page = write_outcomes(table, tmp_path / "outcomes.parquet"), tmp_path / "r.html"
    write_calls(calls, tmp_path / "calls.parquet")
    told = CliRunner().invoke(
        cli, ["report", str(path), "--catch", ".5", "--check-usd", ".02", "--checks", "1"]
    )
    assert told.exit_code == 0 and "\nSteps\n" in told.output
    assert "catches 50 % of failed steps, rejects no good one and costs $0.0200" in told.output
    plain = json.loads(CliRunner().invoke(cli, ["report", str(path), "--json"]).output)["steps"]
    assert plain["assumed"]["check"] == {"catch": 0.8, "usd": 0.0, "alarm": 0.0, "most": 2}
    assert plain["candidates"][1]["first_failures"] == [
        {"step": 1, "share": 0.25},
        {"step": 2, "share": 0.25},
    ]
    assert CliRunner().invoke(cli, ["report", str(path), "--html", str(page)]).exit_code == 0
    assert "<h2>Steps</h2>" in page.read_text() and page.read_text().count('<svg class="lines"') == 2
    bare = write_outcomes(table.drop(columns="steps"), tmp_path / "bare.parquet")
    assert "Steps" not in CliRunner().invoke(cli, ["report", str(bare)]).output
    assert "steps" not in json.loads(CliRunner().invoke(cli, ["report", str(bare), "--json"]).output)
    assert "<h2>Steps</h2>" not in report_html(table.drop(columns="steps"))


def test_names_of_steps_and_roles_run_nothing(table: pd.DataFrame) -> None:
    nasty = "<script>x</script>\u202e\x1b[31m\n"
    steps = json.dumps([{"name": nasty, "passed": False, "role": nasty}])
    page = report_html(table.assign(steps=steps))
    assert "<script>x" not in page and "\u202e" not in page and "\x1b" not in page
