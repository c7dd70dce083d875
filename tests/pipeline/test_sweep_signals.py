"""A sweep that asks for log-probabilities and for a check of each answer: what is sent, paid, finished and told."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.collect import collect
from router_lab.outcomes import read_outcomes
from router_lab.providers.export import export_generations
from router_lab.providers.store import read_recording, recordings, write_recording
from router_lab.sweep import run_sweep
from tests.servers.grid import price, write_project
from tests.servers.loopback import Loopback, serving
from tests.servers.meter import Tariff

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
M = "openai-api/local/"


def answer(prompt: str) -> str:
    return "True" if "True or False" in prompt else prompt.rsplit(maxsplit=1)[-1]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    monkeypatch.setenv("LOCAL_API_KEY", "x")
    with serving(tariffs={"a": Tariff("1", "2"), "b": Tariff("1", "2")}, answer=answer) as one:
        yield one


def project(folder: Path, server: Loopback, **sweep: Any) -> Path:
    models = [
        {"model": M + "a", "base_url": server.url},
        {"model": M + "b", "base_url": server.url, "logprobs": False},
    ]
    suites = {"echo": {"task": "tasks.py@echo", "args": {"n": 3, "turns": 2}}}
    prices = {M + "a": price(1, 2), M + "b": price(1, 2)}
    asked = {"models": models, "config": {"max_tokens": 50}, "limits": {"turns": 2}, **sweep}
    return write_project(folder, asked, suites, prices=prices)


def test_signals_are_paid_for_beside_the_answer_and_counted_apart(server: Loopback, tmp_path: Path) -> None:
    """Two turns a sample and two are allowed: the check is no third. b's provider knows no log-probabilities, so
    nothing asks for them there. The servers' bill is what was paid, check included."""
    run_sweep(project(tmp_path, server, logprobs=True, self_check=True), tmp_path / "logs", quiet=True)
    bodies = [request["body"] for request in server.requests]
    checks = [body for body in bodies if "True or False" in str(body)]
    assert (
        len(bodies) == 3 * (3 + 2)
        and [(c["model"], c["top_logprobs"], c["max_tokens"]) for c in checks] == [("a", 5, 16)] * 3
    )
    assert all(body.get("logprobs", False) is (body["model"] == "a") for body in bodies)
    outcomes, calls = collect([tmp_path / "logs"])
    assert (outcomes["status"] == "ok").all() and (outcomes["quality"] == 1).all()
    assert (outcomes["turns"] == 2).all() and (outcomes["judge_usd"] == 0).all()
    assert outcomes["answer"].tolist() == ["0", "0", "1", "1", "2", "2"]
    a, b = (outcomes[outcomes["model"] == M + name] for name in "ab")
    assert (a["signal_self_check"] == -0.25).all() and (a["signal_logprob"] == -0.25).all()
    assert b[["signal_self_check", "signal_logprob", "signals_usd"]].isna().all(axis=None)
    assert a["cost_usd"].tolist() == pytest.approx(b["cost_usd"].tolist())
    assert (a["paid_usd"] - a["cost_usd"]).tolist() == pytest.approx(a["signals_usd"].tolist())
    assert Decimal(str(round(outcomes["paid_usd"].sum(), 9))) == server.bill
    assert sorted(calls["role"].fillna("")) == [""] * 12 + ["check"] * 3
    requests = [one["request"]["arguments"] for one in outcomes.attrs["candidates"]]
    assert all("logprobs" not in arguments for arguments in requests)


def test_what_was_finished_without_them_stays_finished(server: Loopback, tmp_path: Path) -> None:
    first = run_sweep(project(tmp_path, server), tmp_path / "logs", quiet=True, limit=2)
    asked = len(server.requests)
    again = run_sweep(
        project(tmp_path, server, logprobs=True, self_check=True), tmp_path / "logs", quiet=True
    )
    assert (first.generated, again.reused, again.generated) == (4, 4, 2)
    # A third sample of each: two turns, and a's check.
    assert len(server.requests) == asked + 5
    outcomes = collect([tmp_path / "logs"])[0]
    assert len(outcomes) == 6 and outcomes["signal_self_check"].notna().sum() == 1


def test_a_budget_holds_the_checks_as_well(server: Loopback, tmp_path: Path) -> None:
    """A check of 900 bytes may cost more than what a sample may: it is not asked, and the answer stands."""
    for folder, words, told in ((tmp_path / "a", 1, 3), (tmp_path / "b", 900, 0)):
        prompt = {"prompt": "." * words + "{answer}: True or False?"}
        sweep = {"self_check": prompt, "budget_usd": 1.0, "limits": {"usd": 0.0005}}
        result = run_sweep(project(folder, server, **sweep), folder / "logs", quiet=True)
        outcomes = collect([folder / "logs"])[0]
        assert (outcomes["status"] == "ok").all() and (outcomes["quality"] == 1).all()
        assert outcomes.get("signal_self_check", outcomes["check"]).notna().sum() == told
        assert result.unrun == 0 and result.spent_usd == pytest.approx(outcomes["paid_usd"].sum())


def test_the_command_leaves_answers_out(server: Loopback, tmp_path: Path) -> None:
    logs, out = tmp_path / "logs", tmp_path / "outcomes.parquet"
    file = project(tmp_path, server, logprobs=True, suites=[{"suite": "echo", "epochs": 2}])
    run_sweep(file, logs, quiet=True)
    done = CliRunner().invoke(cli, ["collect", str(logs), "--out", str(out), "--agreement", "--no-answers"])
    assert done.exit_code == 0, done.output
    outcomes = read_outcomes(out)
    assert "answer" not in outcomes and (outcomes["signal_agreement"] == 1).all()
    assert outcomes["signals_usd"].tolist() == pytest.approx(outcomes["cost_usd"].tolist())


def test_a_recording_gains_log_probabilities_and_plays_them_where_they_are_asked_for(
    server: Loopback, tmp_path: Path
) -> None:
    """Recorded without them at first, again with them: what came out the same gains them, and nothing else changes.
    What did not come out the same stays as it was recorded first."""
    recorded = tmp_path / "again/recorded"
    bare = project(tmp_path / "bare", server)
    run_sweep(bare, tmp_path / "bare/logs", quiet=True)
    export_generations([tmp_path / "bare/logs"], recorded)
    before = {path: read_recording(path) for path in recordings(recorded)}
    a = next(path for path, (header, _) in before.items() if header["model"] == M + "a")
    header, rows = before[a]
    del header["format"], header["records"]
    rows[0]["content"] = "another, as it was recorded first"
    write_recording(recorded, header, rows)

    run_sweep(project(tmp_path / "live", server, logprobs=True), tmp_path / "live/logs", quiet=True)
    export_generations([tmp_path / "live/logs"], recorded)
    gained = {row["key"]: row for row in read_recording(a)[1]}
    assert gained[rows[0]["key"]] == rows[0]
    assert all(gained[row["key"]] == {**row, "logprobs": [-0.25]} for row in rows[1:])
    for path, (_, kept) in before.items():
        assert path == a or read_recording(path)[1] == kept

    asked = len(server.requests)
    for name, wanted in (("with", True), ("without", False)):
        models = [{"model": "recorded/" + M + one} for one in "ab"]
        file = project(tmp_path / "again", server, models=models, logprobs=wanted, recorded="recorded")
        result = run_sweep(file, tmp_path / "again" / name, quiet=True)
        assert (result.generated, len(server.requests)) == (6, asked)
        outcomes, _ = collect([tmp_path / "again" / name], prices=tmp_path / "live/prices.yaml")
        told = (outcomes["model"] == M + "a") & (outcomes["answer"] != rows[0]["content"])
        assert told.sum() >= 2 and ("signal_logprob" in outcomes) == wanted
        assert not wanted or outcomes["signal_logprob"].notna().equals(told)


def test_a_recording_plays_the_checks_that_it_was_made_with(server: Loopback, tmp_path: Path) -> None:
    """a was asked about its answers, b was not: played, a's outcomes are the same to the last signal and dollar, and
    nobody asks b. In other words than those that were recorded there is no check, and the answers stand."""
    live, played = tmp_path / "live", tmp_path / "played"
    run_sweep(project(live, server, logprobs=True, self_check=True), live / "logs", quiet=True)
    export_generations([live / "logs"], played / "recorded")
    held = [read_recording(path) for path in recordings(played / "recorded")]
    roles = {header["model"]: sorted(row.get("role", "") for row in rows) for header, rows in held}
    assert roles == {M + "a": [""] * 6 + ["check"] * 3, M + "b": [""] * 6}
    asked = len(server.requests)
    models = [{"model": "recorded/" + M + one} for one in "ab"]
    known = ["signal_self_check", "signal_logprob", "signals_usd", "cost_usd", "paid_usd", "quality", "turns"]
    before = collect([live / "logs"])[0]
    for name, words in (("same", True), ("other", {"prompt": "{answer}, True or False?"})):
        file = project(played, server, models=models, logprobs=True, self_check=words, recorded="recorded")
        result = run_sweep(file, played / name, quiet=True)
        after = collect([played / name], prices=live / "prices.yaml")[0]
        assert (result.generated, result.failed, len(server.requests)) == (6, 0, asked)
        if name == "same":
            assert after[known].round(9).equals(before[known].round(9))
        else:
            assert "signal_self_check" not in after and (after["quality"] == 1).all()
