"""What a sweep that was killed, or that its money ended, says of what is there and what is left."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.collect import collect
from router_lab.prices import PriceTable
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate
from router_lab.sweep import run_sweep
from router_lab.sweep.forecast import CellEstimate, render, total
from router_lab.sweep.ledger import Ledger
from tests import warm
from tests.servers.grid import price, write_project
from tests.servers.loopback import Loopback, serving
from tests.servers.meter import Usage

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
M = "openai-api/local/"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    monkeypatch.setenv("LOCAL_API_KEY", "x")
    with serving() as one:
        yield one


def project(folder: Path, server: Loopback, names: str = "a", **sweep: Any) -> Path:
    prices = {M + "a": price(1, 2, cache_read=0.1), M + "b": price(1, 2), M + "c": price(10, 20)}
    models = [{"model": M + name, "base_url": server.url} for name in names]
    return write_project(folder, {"models": models, "config": {"max_tokens": 50}, **sweep}, prices=prices)


def invoke(*words: object) -> Any:
    return CliRunner().invoke(cli, [str(word) for word in words])


def test_a_dry_run_names_what_it_cannot_price_and_prices_the_others(server: Loopback, tmp_path: Path) -> None:
    server.usage = lambda prompt, text: Usage(100, 200, output=20)
    file, logs = project(tmp_path, server, "ab"), tmp_path / "logs"
    command = ["sweep", file, "--log-dir", logs, "--quiet", "--dry-run"]
    said = invoke(*command, "--pilot", 3)
    assert said.exit_code == 0, said.output
    why = "9 samples are of candidates that ran here and could not be priced: "
    assert (
        why in said.stdout and "200 cache_read tokens" in said.stdout and "never ran here" not in said.stdout
    )
    answer = json.loads(invoke(*command, "--json").stdout)
    first, second = answer["cells"]
    # 300 tokens in at $1 and 20 out at $2 a million, 9 of 12 lacking; 200 of the 300 were read from a cache.
    assert (first["seen"], first["input_tokens"], first["usd"]) == (3, 300, pytest.approx(9 * 340e-6))
    assert (second["usd"], second["samples"]) == (None, 9) and "cache_read" in second["cause"]
    assert answer["total"]["unknown"] == 9


def test_after_kill_9_in_a_folder_with_an_older_manifest_all_that_is_there_is_read(
    server: Loopback, tmp_path: Path
) -> None:
    file, logs = project(tmp_path, server, max_connections=1), tmp_path / "logs"
    command = ["sweep", str(file), "--log-dir", str(logs), "--quiet"]
    assert invoke(*command, "--limit", 2).exit_code == 0
    server.delay = 0.15
    process = warm.Warm(command)
    while len(server.requests) < 9 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    said = json.loads((logs / "sweep.json").read_text())
    assert said["interrupted"] and said["needed"] == 12 and said["prices"]["file"] == "../prices.yaml"
    told = json.loads(invoke(*command, "--dry-run", "--json").stdout)
    # 9 were asked for: of these at most two in flight or not yet noted.
    assert 12 - 9 <= told["total"]["samples"] <= 12 - 7 and told["total"]["unknown"] == 0
    assert told["cells"][0]["seen"] >= 2
    outcomes, _ = collect([logs])
    ok = outcomes[outcomes["status"] == "ok"]
    assert len(outcomes) == 12 and len(ok) >= 2 and ok["cost_usd"].iloc[0] == pytest.approx(4e-6)
    assert outcomes["reason"].dropna().str.contains("the sweep was interrupted; run it again").any()
    done = invoke(*command)
    lacking = told["total"]["samples"]
    assert f"12 samples: {12 - lacking} kept, {lacking} answered, 0 failed\n" in done.stderr
    assert "interrupted" not in json.loads((logs / "sweep.json").read_text())


def test_the_first_run_writes_its_manifest_before_its_first_sample(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr("router_lab.sweep.engines.local.run_tasks", killed)
    with pytest.raises(RuntimeError, match="killed"):
        run_sweep(project(tmp_path, server), tmp_path / "logs", quiet=True)
    said = json.loads((tmp_path / "logs/sweep.json").read_text())
    assert (said["logs"], said["interrupted"], said["needed"]) == ([], True, 12)
    assert [one["planned"] for one in said["candidates"]] == [12] and len(
        next(iter(said["order"].values()))
    ) == 12
    assert server.requests == []


def test_a_named_log_that_is_gone_is_made_up_by_one_of_the_same_cell_alone(
    server: Loopback, tmp_path: Path
) -> None:
    file, logs = project(tmp_path, server), tmp_path / "logs"
    run_sweep(file, logs, limit=3, quiet=True)
    [log] = logs.glob("*.eval")
    other = log.rename(log.with_name("2030-01-01T00-00-00_echo_x.eval"))
    assert len(collect([logs])[0]) == 3
    manifest = json.loads((logs / "sweep.json").read_text())
    manifest["candidates"][0]["settings_sha"] = "another"
    (logs / "sweep.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="which is not there; run the sweep again"):
        collect([logs])
    assert other.is_file()


def test_a_budget_says_what_remains_and_counts_only_what_is_missing(server: Loopback, tmp_path: Path) -> None:
    server.usage = lambda prompt, text: Usage(50, output=50)
    file = project(tmp_path, server, "c", limits={"usd": 0.005}, budget_usd=0.0121)
    command = ["sweep", file, "--log-dir", tmp_path / "logs", "--quiet"]
    # A sample costs 50 × 10 + 50 × 20 millionths = $0.0015; 2 × 0.005 fit, then one each into 0.0091, 0.0076, 0.0061.
    first = invoke(*command).stderr
    done = len(server.requests)
    assert done == 5 and "12 samples: 0 kept, 5 answered, 0 failed, 7 not begun" in first
    assert "$0.0075 spent so far, all runs in logs together\n" in first
    assert "$0.0046 of $0.0121 remains, which does not cover what the next samples set aside" in first
    # 7 × 0.005 - 0.0046
    assert "7 samples not run; a larger budget continues them, and $0.0304 more covers them all" in first
    assert "at most $0.0046, by what is left of the budget" in invoke(*command, "--dry-run").stdout
    none = json.loads(invoke(*command, "--budget-usd", 0.001, "--json").stdout)
    assert (none["reused"], none["unrun"], none["not_begun"], none["answered"]) == (5, 7, 7, 0)
    assert len(server.requests) == done


def test_at_most_is_the_smaller_of_limits_and_what_is_left_of_the_budget() -> None:
    cell = CellEstimate("s", Candidate("m"), 1200, 5, 5, 1.0, 0.9, 1.1, None, 20)
    assert total([cell], 0.02)["at_most_usd"] == pytest.approx(24.0)
    assert total([cell], 0.02, 2.0)["at_most_usd"] == 2.0
    assert total([cell], 0.02, 30.0)["at_most_usd"] == pytest.approx(24.0)
    assert "at most $2.0000, by what is left of the budget" in render([cell], 0.02, 2.0)
    assert "at most $24.0000, by `limits: {usd: 0.02}`" in render([cell], 0.02, 30.0)


def test_what_was_in_flight_at_a_kill_is_said_apart(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, PriceTable.load(None), priced=False)
    ledger.open(0.125)
    ledger.lose(ledger.open(0.25))
    torn = (tmp_path / "ledger.jsonl").read_bytes() + b'{"open":"9'
    (tmp_path / "ledger.jsonl").write_bytes(torn)
    again = Ledger(tmp_path, PriceTable.load(None), priced=False, reading=True)
    assert (again.spent_usd, again.reserved_usd) == (0.375, 0.375)
    assert (tmp_path / "ledger.jsonl").read_bytes() == torn
