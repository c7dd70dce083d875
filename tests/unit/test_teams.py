"""What teams cost by role, by hand: from calls, in a report, in MLflow and where a policy is shown."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from router_lab import load_policy, tracking
from router_lab.cli import cli
from router_lab.cli.describe_around import around_lines, harness_told
from router_lab.cli.mirror import by_role
from router_lab.outcomes import validate_outcomes, write_calls, write_outcomes
from router_lab.report import candidate_table, report_html
from router_lab.report.call_dollars import call_dollars
from router_lab.report.sources import sources_of
from router_lab.report.stacked import COLOURS, Bar, stacked_svg
from router_lab.report.steps import steps_found
from router_lab.report.teams import teams_found
from router_lab.report.teams_page import teams_json, teams_lines
from router_lab.runtime.harness import Harness
from router_lab.tracking.names import metric_name
from router_lab.tracking.store import open_client
from tests.conftest import ROOT

PRICES = {"big": {"input": 10.0, "output": 40.0}, "low": {"input": 1.0, "output": 4.0}}
BIG, SMALL = "planner big, executor low", "both low"
ROLES = {
    BIG: {"planner": ("big", "high"), "executor": ("low", None)},
    SMALL: {"planner": ("low", None), "executor": ("low", None)},
}


def candidates() -> list[dict[str, Any]]:
    teams = [
        {
            "model": team, "effort": None,
            "roles": {
                role: {"model": model, "effort": effort, "prices": PRICES[model], "share": None}
                for role, (model, effort) in roles.items()
            },
        }
        for team, roles in ROLES.items()
    ]  # fmt: skip
    return [*teams, {"model": "alone", "effort": None, "prices": PRICES["low"]}]


@pytest.fixture
def outcomes() -> pd.DataFrame:
    """Twenty samples; what the planner of BIG costs is three dollars of four."""
    usd = {BIG: 4.0, SMALL: 1.0, "alone": 0.5}
    steps = json.dumps([
        {"name": "plan", "passed": True, "role": "planner"}, {"name": "do", "passed": False, "role": "executor"},
        {"name": "do", "passed": True, "role": "executor"},
    ])  # fmt: skip
    frame = pd.DataFrame([
        {"suite": "s", "sample_id": f"{i}", "model": model, "status": "ok", "quality": float(i % 2 or model == BIG),
         "cost_usd": cost, "steps": None if model == "alone" else steps}
        for model, cost in usd.items() for i in range(20)
    ])  # fmt: skip
    frame.attrs["candidates"] = candidates()
    return validate_outcomes(frame)


@pytest.fixture
def calls() -> pd.DataFrame:
    """In each run one call that plans and two that execute; of SMALL only one, and nobody knows how long it took. A
    grader asked as well, which is nobody's role."""

    def call(model: str, at: int, turn: int, role: str | None, who: str, usd: float, seconds: Any) -> Any:
        return {
            "suite": "s", "sample_id": f"{at}", "model": model, "effort": None, "turn": turn, "attempt": 1, "role": role,
            "call_model": who, "input_tokens": 10.0, "output_tokens": 5.0, "cost_usd": usd, "seconds": seconds,
        }  # fmt: skip

    rows = []
    for at in range(20):
        rows += [
            call(BIG, at, 1, "planner", "big", 3.0, 2.0 + at),
            call(BIG, at, 2, "executor", "low", 0.4, 1.0),
        ]
        rows += [call(BIG, at, 3, "executor", "low", 0.6, 3.0), call(BIG, at, 1, "grader", "big", 9.0, 1.0)]
        rows += [
            call(SMALL, at, 1, "planner", "low", 0.5, 1.0),
            call(SMALL, at, 2, "executor", "low", 0.5, None),
        ]
        rows += [call("alone", at, 1, None, "alone", 0.5, 1.0)]
    return pd.DataFrame(rows)


def test_roles_by_hand(outcomes: pd.DataFrame, calls: pd.DataFrame) -> None:
    dear, cheap = teams_found(outcomes, calls, steps_found(outcomes, calls))
    assert (dear.label, cheap.label) == (BIG, SMALL)
    assert (dear.quality, dear.usd_per_1k, dear.p95_usd, dear.n, dear.known) == (1.0, 4000.0, 4.0, 20, 20)
    executor, planner = dear.roles
    assert (executor.role, executor.who, planner.role, planner.who) == (
        "executor", "low", "planner", "big @ high",
    )  # fmt: skip
    assert (planner.usd_per_1k, executor.usd_per_1k) == pytest.approx((3000.0, 1000.0))
    assert (planner.share, executor.share) == pytest.approx((0.75, 0.25))
    # Seconds 2 … 21, in the middle 11.5; two executor calls of 1 and 3 seconds in each run.
    assert (planner.seconds, executor.seconds) == (11.5, 4.0) and (planner.turns, executor.turns) == (1, 2)
    assert (planner.p95_usd, executor.p95_usd) == pytest.approx((3.0, 1.0))
    assert planner.steps is not None and executor.steps is not None and dear.steps is not None
    assert (planner.steps.value, executor.steps.value) == (1.0, 0.5)
    assert dear.steps.value == pytest.approx(2 / 3)
    assert cheap.roles[0].seconds is None and cheap.roles[1].seconds == 1.0


def test_a_run_without_a_call_of_a_role_spent_nothing_on_it(
    outcomes: pd.DataFrame, calls: pd.DataFrame
) -> None:
    """Ten of twenty runs ask no executor: all of their four dollars are the planner's."""
    late = (calls["role"] == "executor") & (calls["sample_id"].astype(int) >= 10)
    dear = teams_found(outcomes, calls[~late])[0]
    executor, planner = dear.roles
    assert (planner.usd_per_1k, executor.usd_per_1k) == pytest.approx((3500.0, 500.0))
    assert executor.turns == 1.0 and executor.seconds == 2.0 and executor.steps is None


def test_weights_and_epochs_count_as_in_the_table_of_candidates(
    outcomes: pd.DataFrame, calls: pd.DataFrame
) -> None:
    weighted = outcomes.assign(
        weight=np.where(outcomes["sample_id"] == "0", 5.0, 1.0),
        inclusion=np.where(outcomes["sample_id"] == "0", 0.2, 1.0),
        cost_usd=outcomes["cost_usd"] * np.where(outcomes["sample_id"] == "0", 2.0, 1.0),
    )
    weighted.attrs = outcomes.attrs
    dear = teams_found(weighted, calls)[0]
    assert sum(role.usd_per_1k or 0.0 for role in dear.roles) == pytest.approx(dear.usd_per_1k)
    assert dear.usd_per_1k == pytest.approx(1000 * (5 * 8 + 19 * 4) / 24)


def test_without_calls_the_team_is_told_and_its_roles_are_not(outcomes: pd.DataFrame) -> None:
    [dear, cheap] = teams_found(outcomes)
    assert dear.known == 0 and dear.roles[0].usd_per_1k is None and dear.usd_per_1k == 4000.0
    text = "\n".join(teams_lines([dear, cheap]))
    assert "Of 40 requests no call is known" in text and BIG in text
    plain = teams_json([dear])[0]
    assert plain["roles"]["planner"]["share"] is None and plain["usd_per_1k"] == 4000.0
    assert "Teams, by role" in report_html(outcomes)


def test_no_team_no_section(outcomes: pd.DataFrame, calls: pd.DataFrame) -> None:
    outcomes.attrs["candidates"] = candidates()[-1:]
    assert teams_found(outcomes, calls) == [] == teams_lines([])
    assert "Teams, by role" not in report_html(outcomes, calls=calls)


def test_a_team_s_calls_divide_its_dollars_whatever_roles_steps_name(
    outcomes: pd.DataFrame, calls: pd.DataFrame
) -> None:
    """Of a grader nothing, of both roles all; and what of it was read again is nobody's to say."""
    priced = call_dollars(outcomes, calls)
    mine = priced[outcomes.loc[priced["run"], "model"].to_numpy() == BIG]
    assert set(mine["role"]) == {"planner", "executor"} and len(mine) == 60
    assert mine.groupby("run")["usd"].sum().tolist() == pytest.approx([4.0] * 20)
    found = sources_of(outcomes, calls)
    assert found[BIG]["unknown"] == pytest.approx(4.0) and found["alone"]["unknown"] == 0.0


def test_the_section_stands_in_terminal_page_and_json(
    outcomes: pd.DataFrame, calls: pd.DataFrame, tmp_path: Path
) -> None:
    path = write_outcomes(outcomes, tmp_path / "outcomes.parquet")
    write_calls(calls, tmp_path / "calls.parquet")
    printed = CliRunner().invoke(cli, ["report", str(path)])
    assert printed.exit_code == 0, printed.output
    for said in ("Teams, by role", "planner: big @ high", "$3,000", "75 %", "12 s", "66.7 %"):
        assert said in printed.output
    plain = json.loads(CliRunner().invoke(cli, ["report", str(path), "--json"]).output)["teams"]
    assert plain[0]["roles"]["planner"]["usd_per_1k"] == pytest.approx(3000.0)
    page = report_html(outcomes, calls=calls)
    assert 'class="lines stacked"' in page and "<title>planner: $3,000</title>" in page
    assert page == report_html(outcomes, calls=calls)


BARS = st.lists(
    st.builds(Bar, st.text(max_size=8), st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0, 1e6)), max_size=5)),
    max_size=6,
)  # fmt: skip


@given(BARS)
@example([Bar("", [("a", 5e-324)])])
@example([Bar("", [("a", 1e-310)]), Bar("", [])])
def test_bars_stay_in_the_picture_and_carry_every_part(bars: list[Bar]) -> None:
    svg = str(stacked_svg(bars, "dollars", lambda v: f"{v:.3g}", title="t"))
    parts = {part for bar in bars for part, _ in bar.parts}
    assert svg.count("<rect") == len(parts) + sum(len(bar.parts) for bar in bars)
    assert all(f'class="p{at}"' in svg for at in range(min(len(parts), COLOURS)))
    places = [float(number) for number in re.findall(r' (?:x|y|width|height)="([^"]+)"', svg)]
    assert all(0 <= place <= 2000 for place in places)


def test_names_of_roles_run_nothing(outcomes: pd.DataFrame, calls: pd.DataFrame) -> None:
    for one in outcomes.attrs["candidates"]:
        if "roles" in one:
            one["roles"] = {f"<script>{role}\x1b": who for role, who in one["roles"].items()}
    page = report_html(outcomes, calls=calls.assign(role=[r and f"<script>{r}\x1b" for r in calls["role"]]))
    assert "&lt;script&gt;planner" in page and "<script>planner" not in page and "\x1b" not in page
    assert "\x1b" not in "\n".join(teams_lines(teams_found(outcomes, calls)))


# --- where a policy is shown, and in MLflow -------------------------------------------------------

GOLDEN = ROOT / "tests" / "golden" / "v5"


@pytest.mark.parametrize(("harness", "told"), [
    (None, "known to the application alone"),
    (Harness("h"), "changes no message; it names a request of its own"),
    (Harness("h", {"last": 2}), "context: last 2 rounds"),
    (Harness("h", {"last": 1}, turns=9), "context: last round; turns: 9"),
    (Harness("h", {"fresh": 1}), "context: begins anew every round"),
    (Harness("h", {"summarise": 1}), "context: what is older than 1 round summarised"),
    (Harness("h", {"mask": 3}, "user", 2000, ("read",), retries=0, task_args={"checks": 2}),
     "context: results older than 3 rounds masked; results: the user's messages; results: at most 2,000 characters; "
     'tools: read; retries: 0; task_args: {"checks": 2}'),
    (Harness("h", tools=()), "tools: none"),
])  # fmt: skip
def test_what_a_harness_does_in_words(harness: Harness | None, told: str) -> None:
    assert harness_told(harness) == told


def test_show_and_route_name_roles_and_what_a_harness_does() -> None:
    """The golden team: three quarters of its dollars are the planner's."""
    team = GOLDEN / "team"
    shown = CliRunner().invoke(cli, ["show", str(team)]).output
    for line in (
        "  planner m1, executor m0 + short (reference)\n", "    executor: m0, 25 % of the dollars\n",
        "    planner: m1 @ low, 75 % of the dollars\n", "    rôle 🙂: org/m2:free@x\n", "    harness short: turns: 9\n",
    ):  # fmt: skip
        assert line in shown
    shown = CliRunner().invoke(cli, ["show", str(GOLDEN / "harnesses")]).output
    assert (
        "harness last: context: last 2 rounds" in shown and "harness own: known to the application" in shown
    )
    plain = json.loads(CliRunner().invoke(cli, ["show", str(team), "--json"]).output)["candidates"][-1]
    assert plain["harness_settings"] == {"turns": 9} and plain["roles"]["planner"]["share"] == 0.75
    policy = load_policy(team)
    keys = (f"key-{n}" for n in range(2000))
    key = next(k for k in keys if policy.decide("hi", suite="a", point="half", key=k).candidate.harness)
    asked = ["route", str(team), "hi", "--suite", "a", "--point", "half", "--key", key]
    said = CliRunner().invoke(cli, asked).output
    assert "  role      planner: m1 @ low, 75 % of the dollars\n" in said and "  harness   turns: 9\n" in said
    told = json.loads(CliRunner().invoke(cli, [*asked, "--json"]).output)
    assert told["roles"]["executor"] == {
        "model": "m0", "effort": None, "limits": {"max_tokens": 256, "turns": 12, "usd": 0.01}, "share": 0.25,
    }  # fmt: skip
    assert around_lines(policy.spec.profiles[0]) == []


@pytest.mark.filterwarnings("ignore")  # MLflow warns about its own libraries
def test_a_team_s_run_has_its_roles_and_what_they_cost(
    outcomes: pd.DataFrame, calls: pd.DataFrame, mlflow_database: Path, tmp_path: Path
) -> None:
    secret = {"system": "the customer's own words", "arguments": {}}
    for one in outcomes.attrs["candidates"][:1]:
        one["roles"] = {("a/b" if role == "executor" else role): who for role, who in one["roles"].items()}
        one["roles"]["planner"]["request"] = secret
    store = str(shutil.copy(mlflow_database, tmp_path / "mlflow.db"))
    usd = by_role(outcomes, calls.replace({"role": {"executor": "a/b"}}))
    logged = tracking.log_sweep(candidate_table(outcomes), outcomes, sweep="t", uri=store, usd_by_role=usd)
    client = open_client(store)
    found = {run.info.run_name: run.data for run in client.search_runs([logged.experiment_id])}
    part = metric_name("a/b")
    assert found[BIG].params == {"model": BIG, "role.planner": "big @ high", metric_name("role.a/b"): "low"}
    assert found[BIG].metrics["usd_by_role/planner"] == pytest.approx(3.0)
    assert found[BIG].metrics[f"usd_by_role/{part}"] == pytest.approx(1.0)
    assert not [name for name in found["alone"].metrics if name.startswith("usd_by_role")]
    path = client.download_artifacts(logged.run_ids[-1], "outcomes.parquet", str(tmp_path))
    assert b"the customer's own words" not in Path(path).read_bytes()
