"""Dollars to the cent against the servers' own meter, and a budget that is never passed."""

import gc
import random
import shlex
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.collect import collect
from router_lab.outcomes import read_outcomes
from router_lab.runtime.errors import InputError
from router_lab.runtime.frame import SLOT
from router_lab.sweep import prepare, run_sweep
from tests.servers.grid import price, write_project
from tests.servers.loopback import Loopback, serving
from tests.servers.meter import Tariff, Usage

# Providers' SDKs warn of their own plans, and Inspect leaves streams to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Loopback, Loopback]]:
    """An OpenAI-like and an Anthropic-like provider with prices typed in by hand."""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "LOCAL_API_KEY"):
        monkeypatch.setenv(name, "x")
    openai = {
        "gpt-5-mini": Tariff("0.25", "2", "0.025", "0.25"),
        "chatty": Tariff("1", "3", "0.5", "1", long=(200_000, "2", "1", "2", "6")),
        "tiny": Tariff("0.1", "0.4", "0.05", "0.1"),
    }
    anthropic = {
        "claude-haiku-4-5": Tariff("1", "5", "0.1", "1.25"),
        "claude-sonnet-4-5": Tariff("3", "15", "0.3", "3.75", long=(200_000, "6", "0.6", "7.5", "22.5")),
    }
    with serving(tariffs=openai) as one, serving(tariffs=anthropic) as two:
        yield one, two
    gc.collect()


def fourteen(one: Loopback, two: Loopback) -> list[dict[str, Any]]:
    """Two Claudes at four efforts each, three OpenAI-like models at two: 14 candidates."""
    claude = [{"model": f"anthropic/claude-{name}-4-5", "base_url": two.root} for name in ("haiku", "sonnet")]
    levels = [{**spec, "efforts": ["low", "medium", "high", "brief"]} for spec in claude]
    mini = {"model": "openai/gpt-5-mini", "base_url": one.url, "efforts": ["low", "high"]}
    local = [
        {"model": f"openai-api/local/{name}", "base_url": one.url, "efforts": [None, "low"]}
        for name in ("chatty", "tiny")
    ]
    return [*levels, mini, *local]


PRICES = {
    "openai/gpt-5-mini": price(0.25, 2, cache_read=0.025, cache_write_5m=0.25),
    "openai-api/local/chatty": price(
        1, 3, cache_read=0.5, cache_write_5m=1,
        long_context=[{"over_input_tokens": 200_000, "input": 2, "output": 6, "cache_read": 1, "cache_write_5m": 2}],
    ),
    "openai-api/local/tiny": price(0.1, 0.4, cache_read=0.05, cache_write_5m=0.1),
}  # fmt: skip


def test_fourteen_candidates_on_three_suites_to_the_cent(
    servers: tuple[Loopback, Loopback], tmp_path: Path
) -> None:
    one, two = servers
    marks = "0:cached,1:think,2:long,3:429,4:500"
    suites = {
        "plain": {"task": "tasks.py@echo", "args": {"n": 6, "marks": marks}, "group": "topic"},
        "judged": {
            "task": "tasks.py@echo",
            "args": {"n": 3, "word": "grade", "judge": True, "marks": "0:cached"},
        },
        "agent": {"task": "tasks.py@echo", "args": {"n": 3, "word": "work", "turns": 3}},
    }
    sweep = {"models": fourteen(one, two), "max_retries": 2, "config": {"max_tokens": 5000}}
    efforts = {"brief": {"system_message": "Be brief.", "max_tokens": 99}}
    file = write_project(tmp_path, sweep, suites, efforts=efforts, prices=PRICES)
    result = run_sweep(file, tmp_path / "logs", quiet=True)
    outcomes, calls = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")

    assert len(outcomes[["model", "effort"]].drop_duplicates()) == 14
    why = outcomes.loc[outcomes["status"] != "ok", ["model", "suite", "status", "reason"]].value_counts()
    assert (result.needed, result.failed, len(outcomes)) == (14 * 12, 0, 14 * 12), why.to_string()
    metered = one.bill + two.bill
    assert abs(Decimal(str(outcomes["paid_usd"].sum())) - metered) < Decimal("0.000001")
    assert result.spent_usd == pytest.approx(float(metered), abs=1e-9)
    # Needed: 6 + 3×2 + 3×3 calls a candidate; sent: two more each, for the samples that fail once.
    assert len(calls) == 14 * 21
    assert len(one.requests) + len(two.requests) == 14 * 23
    assert any(request["body"].get("stream") for request in two.requests)
    judged = outcomes[outcomes.suite == "judged"]
    assert (judged["judge_usd"] > 0).all() and (judged["turns"] == 1).all()
    assert (outcomes[outcomes.suite != "judged"]["judge_usd"] == 0).all()
    assert set(outcomes[outcomes.suite == "agent"]["turns"]) == {3}
    assert outcomes["reasoning_tokens"].sum() > 0 and outcomes["cache_read_tokens"].sum() > 0
    requests = {(c["model"], c["effort"]): c["request"] for c in outcomes.attrs["candidates"]}
    assert requests["openai/gpt-5-mini", "high"]["arguments"]["reasoning"] == {"effort": "high"}
    assert requests["openai/gpt-5-mini", "high"]["api"] == "openai_responses"
    brief = requests["anthropic/claude-haiku-4-5", "brief"]["suites"]
    assert brief["plain"] == brief["judged"] == {
        "api": "anthropic", "arguments": {"max_tokens": 99, "model": "claude-haiku-4-5", "tools": []},
        "system": "Be brief.", "few_shot": [],
        "content": {"system": [{"type": "text", "text": "Be brief."}], "messages": [{"role": "user", "content": SLOT}]},
    }  # fmt: skip
    assert (
        brief["agent"]["reproducible"] is False
        and "goes on after the first answer" in brief["agent"]["reason"]
    )


def odd(server: Loopback) -> list[dict[str, Any]]:
    """A provider that counts reasoning beside the output and charges each request."""
    server.tariffs["odd"] = Tariff("1", "10", "0.1", "1", request="0.014")
    # 200 of the prompt from the cache, 20 tokens said and 300 thought.
    server.usage = lambda prompt, text: Usage(100, 200, output=320, reasoning=300, apart=True)
    return [{"model": "openai-api/local/odd", "base_url": server.url}]


ODD = {"openai-api/local/odd": price(1, 10, cache_read=0.1, per_1k_requests=14)}


def test_a_budget_counts_the_dollars_that_collect_counts_whatever_the_convention(
    servers: tuple[Loopback, Loopback], tmp_path: Path
) -> None:
    server = servers[0]
    # A request: 300 × 1 + 320 × 10 = 3,500 a million and .014; billed with 200 cached: 100 + 20 + 3,200 = 3,320.
    sweep = {"models": odd(server), "config": {"max_tokens": 400}, "limits": {"usd": 0.03}, "budget_usd": 0.1}
    suites = {"judged": {"task": "tasks.py@echo", "args": {"n": 12, "word": "grade"}}}
    file = write_project(tmp_path, sweep, suites, prices=ODD)
    result = run_sweep(file, tmp_path / "logs", quiet=True)
    assert result.unrun > 0 and server.bill == Decimal("0.01732") * len(server.requests) <= Decimal("0.1")
    assert result.spent_usd == pytest.approx(float(server.bill), abs=1e-12)
    outcomes, _ = collect([tmp_path / "logs"])
    done = outcomes[outcomes["status"] == "ok"]
    assert done["paid_usd"].sum() == pytest.approx(float(server.bill), abs=1e-12)
    assert set(done["cost_usd"].round(9)) == {0.0175} and set(done["output_tokens"]) == {320}
    again = run_sweep(file, tmp_path / "logs", budget_usd=1.0, quiet=True)
    assert again.unrun == 0 and again.spent_usd == pytest.approx(float(server.bill), abs=1e-12)


def test_a_sweep_remembers_its_prices_and_moves_with_them(
    servers: tuple[Loopback, Loopback], tmp_path: Path
) -> None:
    server = servers[0]
    suites = {"echo": {"task": "tasks.py@echo", "args": {"n": 2}}}
    file = write_project(tmp_path / "mine", {"models": odd(server), "prices_file": "money/ours.yaml"}, suites)
    (tmp_path / "mine/money").mkdir()
    logs, out = tmp_path / "mine/logs", tmp_path / "o.parquet"
    command = ["sweep", str(file), "--log-dir", str(logs), "--quiet", "--dry-run"]
    first = CliRunner().invoke(cli, command)
    assert first.exit_code == 1 and "money/ours.yaml: no such file" in first.output
    (tmp_path / "mine/money/ours.yaml").write_text("# ours\nmodels: {}\n")
    unknown = CliRunner().invoke(cli, command)
    assert unknown.exit_code == 1
    suggested = unknown.output[unknown.output.index("router-lab prices add") :].split(" (0 if")[0]
    words = shlex.split(suggested.replace(" X ", " 1 ").replace(" Y ", " 10 ").replace("URL", "u"))[1:]
    assert CliRunner().invoke(cli, [*words, "--per-1k-requests", "14", "--cache-read", "0.1"]).exit_code == 0
    assert CliRunner().invoke(cli, command).exit_code == 0
    assert CliRunner().invoke(cli, command[:-1]).exit_code == 0
    assert CliRunner().invoke(cli, ["collect", str(logs), "--out", str(out)]).exit_code == 0
    assert set(read_outcomes(out)["cost_usd"].round(9)) == {0.0175}
    moved = tmp_path / "elsewhere"
    (tmp_path / "mine").rename(moved)
    told = CliRunner().invoke(cli, ["collect", str(moved / "logs"), "--out", str(out)])
    assert told.exit_code == 0 and "has changed since" not in told.output
    assert set(read_outcomes(out)["cost_usd"].round(9)) == {0.0175}
    ours = moved / "money/ours.yaml"
    ours.write_text(ours.read_text().replace("14", "24"))
    told = CliRunner().invoke(cli, ["collect", str(moved / "logs"), "--out", str(out)])
    assert f"{ours} has changed since the sweep in {moved / 'logs'} ended" in told.stderr
    assert set(read_outcomes(out)["cost_usd"].round(9)) == {0.0275}
    other = write_project(tmp_path / "other", {"models": []}, prices=ODD).with_name("prices.yaml")
    assert (
        CliRunner()
        .invoke(cli, ["collect", str(moved / "logs"), "--out", str(out), "--prices", str(other)])
        .exit_code
        == 0
    )
    assert set(read_outcomes(out)["cost_usd"].round(9)) == {0.0175}
    ours.unlink()
    gone = CliRunner().invoke(cli, ["collect", str(moved / "logs"), "--out", str(out)])
    assert (
        gone.exit_code == 1
        and f"sweep.json: the sweep was run with the prices in {ours}, which is not there" in gone.output
    )


N = 12
"""Samples of each of two suites."""


def budgeted(folder: Path, server: Loopback, usd: float) -> Path:
    models = [{"model": "openai-api/local/chatty", "base_url": server.url}]
    suites = {
        "one": {"task": "tasks.py@echo", "args": {"n": N}},
        "many": {"task": "tasks.py@echo", "args": {"n": N, "word": "work", "turns": 3}},
    }
    sweep = {"models": models, "config": {"max_tokens": 100}, "limits": {"usd": 0.002}, "budget_usd": usd}
    return write_project(folder, sweep, suites, prices=PRICES)


def test_a_budget_too_small_for_one_sample_of_each_cell_says_what_it_lacks(
    servers: tuple[Loopback, Loopback], tmp_path: Path
) -> None:
    """Two cells at $0.002 a sample: the first wave sets aside $0.004 at least."""
    server = servers[0]
    file, logs = budgeted(tmp_path, server, 0.003), tmp_path / "logs"
    command = ["sweep", str(file), "--log-dir", str(logs), "--quiet"]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0 and server.requests == [], result.output
    assert result.stderr.splitlines()[-1] == (
        "nothing was run: the first wave needs up to $0.0040 set aside (`limits: {usd: 0.002}` × 2 samples, one of "
        "each suite for each candidate), and the budget has $0.0030 left; 24 samples wait for a larger budget"
    )
    enough = CliRunner().invoke(cli, [*command, "--budget-usd", "0.004"]).stderr
    assert len(server.requests) == 1 + 3 and "does not cover what the next samples set aside" in enough
    again = CliRunner().invoke(cli, [*command, "--budget-usd", "0.004"]).stderr.splitlines()[-1]
    assert (
        "left, too little for the next wave, which sets aside `limits: {usd: 0.002}` for each of its" in again
    )
    assert len(server.requests) == 1 + 3
    raced = CliRunner().invoke(cli, [*command[:3], str(tmp_path / "raced"), "--quiet", "--race"]).stderr
    assert "nothing was run: the budget has $0.0030 left, too little for the first wave" in raced


def test_a_dry_run_says_what_its_budget_needs(servers: tuple[Loopback, Loopback], tmp_path: Path) -> None:
    models = [{"model": "openai-api/local/chatty", "base_url": servers[0].url}]
    file = write_project(tmp_path, {"models": models, "config": {"max_tokens": 100}}, prices=PRICES)
    command = ["sweep", str(file), "--log-dir", str(tmp_path / "logs"), "--quiet", "--budget-usd", "2"]
    needs = "sweep t: a budget of $2 needs `limits: {usd: …}`"
    dry = CliRunner().invoke(cli, [*command, "--dry-run"])
    assert dry.exit_code == 0 and f"before it can run: {needs}" in dry.stdout
    assert needs in str(CliRunner().invoke(cli, command).output)
    assert "before it can run" not in CliRunner().invoke(cli, [*command[:-2], "--dry-run"]).stdout


def test_ten_budgets_are_never_passed_and_more_money_continues(
    servers: tuple[Loopback, Loopback], tmp_path: Path
) -> None:
    server = servers[0]
    # Every answer is as long as it may be: the bill comes near to what was set aside.
    server.usage = lambda prompt, text: Usage(len(prompt) + 60, output=100)
    draw = random.Random(6)
    plan = prepare(budgeted(tmp_path / "order", server, 1.0))
    order = {cell.suite: [str(sample.id) for sample in task.dataset] for cell, task in plan.tasks}
    reached = []
    for i, usd in enumerate(sorted(draw.uniform(0.005, 0.02) for _ in range(10))):
        before = server.bill
        folder = tmp_path / str(i)
        result = run_sweep(budgeted(folder, server, usd), folder / "logs", quiet=True)
        assert server.bill - before <= Decimal(usd)
        # More only if a connection broke on a busy machine: then the ledger counts what might have been charged.
        assert float(server.bill - before) <= result.spent_usd + 1e-9 <= usd + 1e-9
        outcomes, _ = collect([folder / "logs"], prices=folder / "prices.yaml")
        done = outcomes[outcomes["status"] == "ok"]
        reached.append(len(done) // 2)
        assert result.unrun == 2 * N - len(done) == int((outcomes["status"] == "budget").sum())
        # What ran is the head of an order that was shuffled beforehand, equally far in both suites.
        for suite, ids in order.items():
            assert set(done[done["suite"] == suite]["sample_id"]) == set(ids[: reached[-1]])
    assert 0 < reached[0] < reached[-1] and len(set(reached)) >= 4

    i = next(i for i, count in enumerate(reached) if 0 < count < N)
    sent, folder = len(server.requests), tmp_path / str(i)
    more = run_sweep(budgeted(folder, server, 5.0), folder / "logs", quiet=True)
    assert (more.unrun, more.reused, more.generated) == (0, 2 * reached[i], 2 * (N - reached[i]))
    # One call in the one suite and three in the other.
    assert len(server.requests) - sent == (N - reached[i]) * (1 + 3)


def test_a_budget_that_cannot_be_kept_is_refused_before_a_request(
    servers: tuple[Loopback, Loopback], tmp_path: Path
) -> None:
    server = servers[0]
    models = [{"model": "openai-api/local/tiny", "base_url": server.url}]
    for extra, message in [
        ({"budget_usd": 1.0}, r"a budget of \$1 needs `limits: \{usd: …\}`"),
        ({"budget_usd": 1.0, "limits": {"usd": 0.01}}, r"candidate openai-api/local/tiny has no max_tokens"),
    ]:
        file = write_project(tmp_path, {"models": models, **extra}, prices=PRICES)
        with pytest.raises(InputError, match=message):
            prepare(file)
    file = write_project(
        tmp_path,
        {"models": models, "budget_usd": 1.0, "limits": {"usd": 0.00001}, "config": {"max_tokens": 100}},
        prices=PRICES,
    )
    with pytest.raises(
        InputError, match=r"limits\.usd is 1e-05, but one call of 'openai-api/local/tiny' may cost"
    ):
        run_sweep(file, tmp_path / "logs", quiet=True)
    assert server.requests == []


def test_hostile_answers_are_sorted_by_whose_fault_they_are(
    servers: tuple[Loopback, Loopback], tmp_path: Path
) -> None:
    one, two = servers
    kinds = ["ok", "refuse", "overflow", "badkey", "nousage", "empty", "malformed", "garbage", "cut", "529"]
    n = 100
    marks = ",".join(f"{i}:{kinds[i % len(kinds)]}" for i in range(n))
    suites = {"hostile": {"task": "tasks.py@echo", "args": {"n": n, "marks": marks}}}
    models = [
        {"model": "openai-api/local/tiny", "base_url": one.url},
        {"model": "anthropic/claude-haiku-4-5", "base_url": two.root, "config": {"max_tokens": 99}},
    ]
    sweep = {"models": models, "max_retries": 2}
    file = write_project(tmp_path, sweep, suites, prices=PRICES)
    result = run_sweep(file, tmp_path / "logs", quiet=True)
    outcomes, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    assert (result.needed, len(outcomes)) == (200, 200)
    outcomes["kind"] = [kinds[int(i[1:]) % len(kinds)] for i in outcomes["sample_id"]]
    seen = {kind: set(rows["status"]) for kind, rows in outcomes.groupby("kind")}
    assert seen["ok"] == seen["empty"] == seen["nousage"] == {"ok"}
    assert seen["refuse"] == seen["overflow"] == {"error"}
    assert seen["badkey"] == seen["garbage"] == {"infra"}
    assert seen["529"] == seen["cut"] == {"ok"}, "answered on the second try"
    assert outcomes[outcomes.kind == "refuse"]["quality"].eq(0).all()
    assert outcomes[outcomes.status != "ok"]["reason"].notna().all()
    assert (
        outcomes[(outcomes.kind == "nousage") & (outcomes.model == "openai-api/local/tiny")]["cost_usd"]
        .isna()
        .all()
    )


def test_a_dead_provider_is_left_alone_and_stops_nobody_else(
    servers: tuple[Loopback, Loopback], tmp_path: Path
) -> None:
    one, two = servers
    n = 60
    marks = ",".join(f"{i}:down" for i in range(n))
    suites = {
        "down": {"task": "tasks.py@echo", "args": {"n": n, "marks": marks}},
    }
    models = [
        {"model": "openai-api/local/tiny", "base_url": one.url, "max_connections": 20},
        {"model": "anthropic/claude-haiku-4-5", "base_url": two.root, "config": {"max_tokens": 99}},
    ]
    two.answer = one.answer
    two.ignore_marks = True
    file = write_project(tmp_path, {"models": models, "max_retries": 3}, suites, prices=PRICES)
    result = run_sweep(file, tmp_path / "logs", quiet=True)
    assert result.failed == n
    assert len(one.requests) <= 24, "not 4 × 60"
    outcomes, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    assert set(outcomes[outcomes.model == "openai-api/local/tiny"]["status"]) == {"infra"}
    assert set(outcomes[outcomes.model != "openai-api/local/tiny"]["status"]) == {"ok"}
    assert outcomes["reason"].dropna().str.contains("circuit breaker|retries used up").all()


def test_a_server_that_never_answers_is_infrastructure_with_its_reason(
    servers: tuple[Loopback, Loopback], tmp_path: Path
) -> None:
    one, two = servers
    n = 40
    one.hang = 20.0
    suites = {
        "silent": {
            "task": "tasks.py@echo",
            "args": {"n": n, "marks": ",".join(f"{i}:silent" for i in range(n))},
        }
    }
    models = [
        {
            "model": "openai-api/local/tiny",
            "base_url": one.url,
            "max_connections": 10,
            "config": {"attempt_timeout": 1},
        },
        {"model": "anthropic/claude-haiku-4-5", "base_url": two.root, "config": {"max_tokens": 99}},
    ]  # fmt: skip
    two.ignore_marks = True
    file = write_project(tmp_path, {"models": models, "max_retries": 1}, suites, prices=PRICES)
    result = run_sweep(file, tmp_path / "logs", quiet=True)
    assert result.failed == n
    # Ten at a time: the breaker opens at 16 silences in a row, so the third ten are the last ones asked.
    assert len(one.requests) <= 30, "not 2 × 40"
    outcomes, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    silent = outcomes[outcomes.model == "openai-api/local/tiny"]
    assert set(silent["status"]) == {"infra"} and silent["quality"].isna().all()
    assert silent["reason"].str.contains("circuit breaker|retries used up: AttemptTimeoutError").all()
    assert silent["reason"].str.contains("no answer in time").any()
    assert set(outcomes[outcomes.model != "openai-api/local/tiny"]["status"]) == {"ok"}


@pytest.mark.parametrize(
    ("limits", "turns", "reason"),
    [
        ({"turns": 2}, {2}, "turn limit"),
        ({"tokens": 250}, {2}, "token limit"),
        ({"usd": 0.0009}, {1, 2}, "cost limit"),
    ],
)
def test_a_sample_of_an_agent_ends_at_its_own_limit(
    servers: tuple[Loopback, Loopback], tmp_path: Path, limits: dict[str, Any], turns: set[int], reason: str
) -> None:
    """Five turns of some 165 tokens ($0.00036) each; a limit ends the sample and not the sweep, scored as it stands."""
    server = servers[0]
    server.usage = lambda prompt, text: Usage(len(prompt) + 58, output=100)
    suites = {"agent": {"task": "tasks.py@echo", "args": {"n": 3, "word": "work", "turns": 5}}}
    models = [{"model": "openai-api/local/chatty", "base_url": server.url}]
    sweep = {"models": models, "config": {"max_tokens": 100}, "limits": limits}
    file = write_project(tmp_path, sweep, suites, prices=PRICES)
    result = run_sweep(file, tmp_path / "logs", quiet=True)
    outcomes, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    assert result.failed == 0 and set(outcomes["status"]) == {"limit"} and set(outcomes["reason"]) == {reason}
    assert set(outcomes["turns"]) <= turns and outcomes["quality"].notna().all()
    assert (outcomes["paid_usd"] <= limits.get("usd", 1.0)).all()
    again = run_sweep(file, tmp_path / "logs", quiet=True)
    assert again.generated == 0, "a sample at its limit is finished"
