"""Teams and harnesses through a whole sweep against a metered server: who is asked what, what is paid once, which role
cost what, and what an application gets of it."""

import os
import shutil
import signal
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from router_lab import load_policy
from router_lab.cli import cli
from router_lab.collect import collect
from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.outcomes import read_calls, read_outcomes
from router_lab.providers.export import export_generations
from router_lab.providers.store import read_recording
from router_lab.runtime.artifact import save_policy
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate
from router_lab.sweep import load_grid, run_sweep
from tests import warm
from tests.servers.grid import price, write_project
from tests.servers.loopback import Loopback, serving
from tests.servers.meter import Tariff

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

TASK = '''
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageAssistant, ChatMessageTool, ChatMessageUser, get_model
from inspect_ai.scorer import Score, accuracy, scorer
from inspect_ai.solver import solver


@solver
def planned():
    """The planner names two steps; the executor does each, and sees no more than the step."""
    async def solve(state, generate):
        planner, executor = get_model(role="planner"), get_model(role="executor")
        plan = await planner.generate(f"plan {state.sample_id[1:]}")
        for step in (1, 2):
            state.output = await executor.generate(f"do step {step} of {state.sample_id[1:]}")
        state.metadata["plan"] = plan.completion
        return state
    return solve


@solver
def loop(rounds: int = 4):
    """A chat with results that pile up, in a text protocol."""
    async def solve(state, generate):
        for turn in range(rounds):
            state = await generate(state)
            state.messages.append(ChatMessageUser(content=f"result {turn} " + "x" * 40))
        return state
    return solve


@scorer(metrics=[accuracy()])
def right():
    async def score(state, target):
        return Score(value="C" if target.text in state.output.completion else "I")
    return score


@task
def team(n: int = 6):
    samples = [Sample(id=f"s{i}", input=f"task {i}", target=str(i), metadata={"topic": i}) for i in range(n)]
    return Task(dataset=samples, solver=planned(), scorer=right())


@task
def agent(n: int = 3, rounds: int = 4):
    samples = [Sample(id=f"s{i}", input=f"work {i}", target=str(i), metadata={"topic": i}) for i in range(n)]
    return Task(dataset=samples, solver=loop(rounds), scorer=right())
'''
PRICES = {
    f"openai-api/local/{name}": price(*usd)
    for name, usd in (("big", (10, 40)), ("mid", (2, 8)), ("low", (0.5, 1)))
}
TARIFFS = {"big": Tariff("10", "40"), "mid": Tariff("2", "8"), "low": Tariff("0.5", "1")}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    monkeypatch.setenv("LOCAL_API_KEY", "x")
    with serving(tariffs=TARIFFS) as one:
        yield one


def models(server: Loopback, **more: Any) -> list[dict[str, Any]]:
    return [
        {"model": f"openai-api/local/{name}", "name": name, "base_url": server.url, **more}
        for name in TARIFFS
    ]


def project(folder: Path, server: Loopback, sweep: dict[str, Any], suite: str = "team", **files: Any) -> Path:
    suites = {suite: {"task": f"tasks.py@{suite}", "group": "topic"}}
    whole = {"models": models(server, alone=False), "config": {"max_tokens": 20, "temperature": 0}, **sweep}
    prices = {name.removeprefix("openai-api/local/"): rows for name, rows in PRICES.items()}
    file = write_project(folder, whole, suites, prices=prices)
    (folder / "tasks.py").write_text(textwrap.dedent(TASK))
    if "harnesses" in files:
        (folder / "harnesses.yaml").write_text(yaml.safe_dump(files["harnesses"]))
    return file


GRID = {"teams": [{"roles": {"planner": ["big", "mid"], "executor": ["mid", "low"]}}]}


def asked(server: Loopback) -> Counter[tuple[str, str]]:
    return Counter((r["body"]["model"], r["body"]["messages"][-1]["content"]) for r in server.requests)


def test_a_grid_of_teams_pays_each_call_once_and_each_role_to_the_cent(
    server: Loopback, tmp_path: Path
) -> None:
    """Four teams × 6 samples × 3 calls = 72 calls; sent: 2 planners × 6 + 2 executors × 12 = 36."""
    file = project(tmp_path, server, GRID)
    result = run_sweep(file, tmp_path / "logs", quiet=True)
    assert (result.needed, result.generated, result.failed) == (24, 24, 0)
    assert len(server.requests) == 36 and set(asked(server).values()) == {1}
    assert result.spent_usd == pytest.approx(float(server.bill), abs=1e-12)
    outcomes, calls = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    assert sorted(set(outcomes["model"])) == [
        "planner big, executor low", "planner big, executor mid", "planner mid, executor low", "planner mid, executor mid",
    ]  # fmt: skip
    assert (
        outcomes["effort"].isna().all()
        and set(outcomes["turns"]) == {3}
        and (outcomes["judge_usd"] == 0).all()
    )
    assert abs(Decimal(str(outcomes["paid_usd"].sum())) - server.bill) < Decimal("1e-9")
    # A request costs what it would cost alone, whoever had paid for it: by role, of one team, from the server's tariffs.
    assert set(calls["role"]) == {"planner", "executor"} and sorted(set(calls["turn"])) == [1, 2, 3]
    mine = calls[calls["model"] == "planner big, executor low"]
    plan = sum(TARIFFS["big"].bill(server.usage(f"plan {i}", str(i))) for i in range(6))
    work = sum(
        TARIFFS["low"].bill(server.usage(f"do step {s} of {i}", str(i))) for i in range(6) for s in (1, 2)
    )
    by_role = mine.groupby("role")["cost_usd"].sum()
    assert by_role["planner"] == pytest.approx(float(plan)) and by_role["executor"] == pytest.approx(
        float(work)
    )
    own = outcomes[outcomes["model"] == "planner big, executor low"]["cost_usd"].sum()
    assert own == pytest.approx(float(plan + work), abs=1e-12)
    # Going on asks for nothing.
    again = run_sweep(file, tmp_path / "logs", quiet=True)
    assert (again.generated, len(server.requests)) == (0, 36)


def test_calls_are_shared_at_temperature_0_alone_unless_asked_for(server: Loopback, tmp_path: Path) -> None:
    for name, config, share, sent in (
        ("warm", {"max_tokens": 20, "temperature": 1}, {}, 72),
        ("unsaid", {"max_tokens": 20}, {}, 72),
        ("asked", {"max_tokens": 20, "temperature": 1}, {"share_calls": True}, 36),
        ("off", {"max_tokens": 20, "temperature": 0}, {"share_calls": False}, 72),
    ):
        before = len(server.requests)
        file = project(tmp_path / name, server, {**GRID, "config": config, **share})
        run_sweep(file, tmp_path / name / "logs", quiet=True)
        assert len(server.requests) - before == sent, name


def test_a_killed_team_sweep_pays_nothing_twice(server: Loopback, tmp_path: Path) -> None:
    server.delay = 0.15
    file = project(tmp_path, server, {**GRID, "max_connections": 2})
    run = warm.Warm(["sweep", file, "--log-dir", tmp_path / "logs"])
    deadline = time.monotonic() + 120
    while len(server.requests) < 12 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    time.sleep(0.5)
    server.delay, before = 0.0, len(server.requests)
    assert 12 <= before < 36
    result = run_sweep(file, tmp_path / "logs", quiet=True)
    assert result.unrun == 0 and result.failed == 0
    # What was in flight at the kill is asked again; nothing that was answered and written is.
    assert len(asked(server)) == 36 and sum(asked(server).values()) <= 36 + 6
    outcomes, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    assert len(outcomes) == 24 and (outcomes["status"] == "ok").all()


def test_a_budget_holds_for_teams_and_a_shared_call_takes_none_of_it(
    server: Loopback, tmp_path: Path
) -> None:
    whole = project(tmp_path / "whole", server, GRID)
    run_sweep(whole, tmp_path / "whole" / "logs", quiet=True)
    bill = float(server.bill)
    # A call costs at most some 100 bytes × 10 + 20 × 40 a million: .002; a sample three of them.
    limited = {**GRID, "limits": {"usd": 0.02}, "budget_usd": bill + 0.08}
    file = project(tmp_path / "limited", server, limited)
    result = run_sweep(file, tmp_path / "limited" / "logs", quiet=True)
    assert float(server.bill) - bill <= bill + 0.08
    assert result.spent_usd == pytest.approx(float(server.bill) - bill, abs=1e-9)


def test_a_harness_is_what_the_server_sees_and_what_an_application_gets(
    server: Loopback, tmp_path: Path
) -> None:
    harnesses = {
        "last": {"context": {"last": 1}, "observations": "user"},
        "masked": {"context": {"mask": 1}, "observations": "user", "result_chars": 20},
        "short": {"turns": 2},
    }
    sweep = {
        "models": models(server)[:1],
        "harnesses": [None, *harnesses],
        "harnesses_file": "harnesses.yaml",
    }
    server.answer = lambda prompt: "fine"
    file = project(tmp_path, server, sweep, "agent", harnesses=harnesses)
    run_sweep(file, tmp_path / "logs", quiet=True)
    outcomes, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    assert list(outcomes.columns[:5]) == ["suite", "sample_id", "epoch", "model", "effort"]
    assert set(outcomes["harness"].dropna()) == set(harnesses) and set(outcomes["model"]) == {"big"}
    turns = outcomes.groupby(outcomes["harness"].fillna("-"))["turns"].unique().map(list).to_dict()
    assert turns == {"-": [4], "last": [4], "masked": [4], "short": [2]}
    limited = outcomes[outcomes["harness"] == "short"]
    assert set(limited["status"]) == {"limit"}
    bodies = [
        r["body"]["messages"]
        for r in server.requests
        if r["body"]["messages"][0]["content"].endswith("work 0")
    ]
    longest = max((body for body in bodies if "left out" not in str(body)), key=len)
    assert len(longest) == 7  # the task and three rounds of an answer and a result
    policy = fit_policy(Recipe(name="t", reference={"model": "big"}, holdout=0), outcomes)
    reloaded = load_policy(save_policy(policy, tmp_path / "policy"))
    assert reloaded.candidates == (
        Candidate("big"), Candidate("big", None, "last"), Candidate("big", None, "masked"), Candidate("big", None, "short"),
    )  # fmt: skip
    decided = reloaded.decide("work 0", suite="agent", allowed=[("big", None, "last")])
    assert decided.candidate == Candidate("big", None, "last") and decided.harness.context == {"last": 1}
    served = [dict(m) for m in decided.harness.apply(longest)]
    assert served in bodies and len(served) == 3  # the very request that was measured
    masked = reloaded.decide("work 0", suite="agent", allowed=[("big", None, "masked")]).harness.apply(
        longest
    )
    assert [dict(m) for m in masked] in bodies
    assert "earlier result of 49 characters" in masked[2]["content"] and masked[6]["content"].endswith(
        "\n[… 29 more characters were left out]"
    )


def test_a_team_goes_to_production_with_its_roles(server: Loopback, tmp_path: Path) -> None:
    server.answer = lambda prompt: prompt.rsplit(maxsplit=1)[-1]
    run_sweep(project(tmp_path, server, GRID), tmp_path / "logs", quiet=True)
    outcomes, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    dear = "planner big, executor mid"
    policy = load_policy(
        save_policy(
            fit_policy(Recipe(name="t", reference={"model": dear}, holdout=0), outcomes), tmp_path / "p"
        )
    )
    decision = policy.decide("task 1", suite="team")
    assert decision.model == dear and list(decision.roles) == ["executor", "planner"]
    planner, executor = decision.roles["planner"], decision.roles["executor"]
    assert (planner.model, executor.model) == ("big", "mid")
    arguments = executor.openai_chat("do step 1 of 1")
    sent = next(
        r["body"]
        for r in server.requests
        if r["body"]["model"] == "mid" and "do step 1 of 1" in str(r["body"])
    )
    assert arguments == {k: v for k, v in sent.items() if k in arguments}
    assert arguments["messages"] == sent["messages"] and arguments["temperature"] == 0
    # Twice the 99th percentile of two calls a request; shares of the dollars add up.
    assert executor.limits.turns == 4 and planner.limits.turns == 2
    assert planner.share is not None and executor.share is not None
    assert planner.share + executor.share == pytest.approx(1.0)
    assert executor.judge("fine") is None and planner.judge(check=True) is None
    onward = executor.judge(check=False)
    assert onward is not None and onward.role == "executor" and onward.team.model != dear


def test_what_is_no_team_is_refused_by_name(server: Loopback, tmp_path: Path) -> None:
    for sweep, said in (
        (
            {"teams": [{"roles": {"planner": "bog", "executor": "low"}}]},
            "model 'bog' is not one of the sweep's: big, mid, low",
        ),
        (
            {"teams": [{"name": "a", "roles": {"planner": ["big", "low"]}}]},
            "would be of every team of the grid",
        ),
        ({"teams": []}, "none is a candidate"),
        (
            {"teams": [{"name": "a", "roles": {"p": "big"}}, {"name": "b", "roles": {"p": "big"}}]},
            "candidates a and b send byte-identical requests",
        ),
        ({**GRID, "harnesses": ["none"], "harnesses_file": "harnesses.yaml"}, "harness `none` is not in"),
        ({**GRID, "levers": {"a": {"x": {"turns": 1}}, "b": {"y": {"turns": 2}}}}, "both set `turns`"),
    ):
        file = project(tmp_path, server, sweep, harnesses={"last": {"turns": 3}})
        with pytest.raises(InputError, match=said.replace("(", "\\(")):
            run_sweep(file, tmp_path / "logs", quiet=True)
    assert not server.requests


def test_levers_are_every_combination_and_stay_data(server: Loopback, tmp_path: Path) -> None:
    levers = {
        "context": {"all": {}, "last": {"context": {"last": 1}, "observations": "user"}},
        "turns": {"four": {}, "two": {"turns": 2}},
    }
    file = project(tmp_path, server, {"models": models(server)[:1], "levers": levers}, "agent")
    run_sweep(file, tmp_path / "logs", quiet=True)
    outcomes, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    assert sorted(set(outcomes["harness"])) == [
        "context all, turns four", "context all, turns two", "context last, turns four", "context last, turns two",
    ]  # fmt: skip
    told = {c["harness"]: c["levers"] for c in outcomes.attrs["candidates"]}
    assert told["context last, turns two"] == {"context": "last", "turns": "two"}


def test_teams_are_estimated_raced_and_priced_anew(server: Loopback, tmp_path: Path) -> None:
    file = project(tmp_path, server, GRID)
    before = CliRunner().invoke(cli, ["sweep", str(file), "--log-dir", str(tmp_path / "logs"), "--dry-run"])
    assert before.exit_code == 0 and "planner big, executor low" in before.output and not server.requests
    raced = CliRunner().invoke(cli, ["sweep", str(file), "--log-dir", str(tmp_path / "logs"), "--race"])
    assert raced.exit_code == 0, raced.output
    out = tmp_path / "o.parquet"
    prices = ["--prices", str(tmp_path / "prices.yaml")]
    made = CliRunner().invoke(cli, ["collect", str(tmp_path / "logs"), "--out", str(out), *prices])
    assert made.exit_code == 0, made.output
    was = read_outcomes(out)
    dearer = yaml.safe_load((tmp_path / "prices.yaml").read_text())
    for entry in dearer["models"]["big"]:
        entry["input"], entry["output"] = 10 * entry["input"], 10 * entry["output"]
    (tmp_path / "dearer.yaml").write_text(yaml.safe_dump(dearer))
    again = tmp_path / "again.parquet"
    anew = CliRunner().invoke(
        cli, ["collect", str(out), "--out", str(again), "--prices", str(tmp_path / "dearer.yaml")]
    )
    assert anew.exit_code == 0, anew.output
    now, calls = read_outcomes(again), read_calls(tmp_path / "calls.parquet")
    key = ["model", "sample_id"]
    plans = (
        calls[(calls["role"] == "planner") & (calls["call_model"] == "big")].groupby(key)["cost_usd"].sum()
    )
    more = now.set_index(key)["cost_usd"] - was.set_index(key)["cost_usd"]
    mine = more[[model.startswith("planner big") for model, _ in more.index]]
    assert len(mine) and (mine - 9 * plans.reindex(mine.index)).abs().max() < 1e-12
    assert more.drop(mine.index).abs().max() < 1e-12
    (tmp_path / "alone").mkdir()
    shutil.copy(out, tmp_path / "alone" / "o.parquet")
    refused = CliRunner().invoke(
        cli, ["collect", str(tmp_path / "alone" / "o.parquet"), "--out", str(again), *prices]
    )
    assert (
        refused.exit_code == 1
        and "asks several models" in refused.output
        and "calls.parquet" in refused.output
    )


def test_recorded_teams_answer_as_they_did(server: Loopback, tmp_path: Path) -> None:
    """Big plans, mid plans and executes, low executes: a recording each, whatever team a call was made for."""
    run_sweep(project(tmp_path / "live", server, GRID), tmp_path / "live/logs", quiet=True)
    sent = len(server.requests)
    written = [
        read_recording(path)
        for path in export_generations(
            [tmp_path / "live/logs"], tmp_path / "again/recorded", {"low": "f" * 64}
        )
    ]
    assert {header["model"]: len(rows) for header, rows in written} == {"big": 6, "mid": 6 + 12, "low": 12}
    low = next(header for header, _ in written if header["model"] == "low")
    assert (low["suite"], low["effort"], low["model_sha"]) == ("team", None, "f" * 64)
    assert low["request"]["arguments"]["model"] == "low" and low["settings"]["config"]["max_tokens"] == 20
    again = project(
        tmp_path / "again",
        server,
        {
            **GRID,
            "models": [{"model": f"recorded/{name}", "alone": False} for name in TARIFFS],
            "recorded": "recorded",
        },
    )
    result = run_sweep(again, tmp_path / "again/logs", quiet=True)
    assert (result.generated, result.failed, len(server.requests)) == (24, 0, sent)
    live, played = (
        collect([tmp_path / d / "logs"], prices=tmp_path / "live/prices.yaml") for d in ("live", "again")
    )
    keys = ["model", "sample_id"]
    same = ["quality", "cost_usd", "input_tokens", "output_tokens", "turns", "prompt"]
    for mine, theirs, key, columns in (
        (live[0], played[0], keys, same),
        (live[1], played[1], [*keys, "turn"], ["role", "input_tokens", "output_tokens", "cost_usd"]),
    ):
        ours, others = (
            table.sort_values(key, ignore_index=True)[[*key, *columns]] for table in (mine, theirs)
        )
        pd.testing.assert_frame_equal(ours, others, check_dtype=False)


def test_a_team_may_be_measured_in_some_of_the_harnesses(server: Loopback, tmp_path: Path) -> None:
    roles = {"planner": ["big", "mid"], "executor": ["low"]}
    teams = [
        {"roles": roles, "harnesses": ["a"]},
        {"roles": {**roles, "planner": ["mid"]}, "harnesses": ["b"]},
    ]
    harnesses = {name: {"result_chars": size} for name, size in (("a", 10), ("b", 20))}
    sweep = {"teams": teams, "harnesses": ["a", "b"], "harnesses_file": "harnesses.yaml"}
    grid = load_grid(project(tmp_path, server, sweep, harnesses=harnesses))
    assert [str(cell.candidate) for cell in grid.cells] == [
        "planner big, executor low + a", "planner mid, executor low + a", "planner mid, executor low + b",
    ]  # fmt: skip
    wrong = {**sweep, "harnesses": ["a"]}
    with pytest.raises(InputError, match="a team's harness `b` is none of the sweep's: a; list it"):
        load_grid(project(tmp_path / "wrong", server, wrong, harnesses=harnesses))


def test_a_grids_teams_are_named_by_what_differs_between_them(server: Loopback, tmp_path: Path) -> None:
    roles = {"planner": [{"model": "big", "effort": "low"}], "executor": ["low"], "checker": "mid"}
    grid = load_grid(project(tmp_path, server, {"teams": [{"roles": roles}, {"roles": {"planner": "big"}}]}))
    assert [cell.model for cell in grid.cells] == ["planner big, executor low", "planner big"]
