"""`sweep --batch` over servers with batch endpoints: dollars at the batch tier, and what kill -9 pays for twice."""

import gc
import os
import signal
import time
from collections.abc import Iterator
from decimal import Decimal
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.collect import collect
from router_lab.racing.race import RaceRule
from router_lab.runtime.errors import InputError
from router_lab.sweep import RaceOptions, prepare, run_sweep
from tests import warm
from tests.servers.batches import BatchLoopback
from tests.servers.grid import price, write_project
from tests.servers.meter import Tariff

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
HALF = {"openai/gpt-5-mini": price(0.25, 2, tiers={"batch": 0.5}),
        "anthropic/claude-haiku-4-5": price(1, 5, tiers={"batch": 0.5})}  # fmt: skip
IN_FLIGHT = 5


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[BatchLoopback, BatchLoopback]]:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "x")
    openai = BatchLoopback({"gpt-5-mini": Tariff("0.125", "1")})
    anthropic = BatchLoopback({"claude-haiku-4-5": Tariff("0.5", "2.5")})
    with openai as one, anthropic as two:
        yield one, two
    gc.collect()


def project(
    folder: Path, one: BatchLoopback, two: BatchLoopback, samples: int, in_flight: int = IN_FLIGHT
) -> Path:
    models: list[Any] = [
        {"model": "openai/gpt-5-mini", "base_url": one.url},
        {"model": "anthropic/claude-haiku-4-5", "base_url": two.root},
    ]
    batch = {"in_flight": in_flight, "send_delay": 0.2, "tick": 0.05}
    suites = {"echo": {"task": "tasks.py@echo", "args": {"n": samples}}}
    return write_project(
        folder, {"models": models, "batch": batch, "config": {"max_tokens": 50}}, suites, prices=HALF
    )


def test_dollars_to_the_cent_at_the_batch_tier(
    servers: tuple[BatchLoopback, BatchLoopback], tmp_path: Path
) -> None:
    one, two = servers
    file = project(tmp_path, one, two, 12)
    result = run_sweep(file, tmp_path / "logs", batch=True, quiet=True)
    assert (result.generated, result.failed) == (24, 0)
    assert sum(one.sizes) == sum(two.sizes) == 12 and max(one.sizes + two.sizes) <= IN_FLIGHT
    outcomes, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    assert set(outcomes["tier"]) == {"batch"} and outcomes["latency_s"].isna().all()
    metered = one.bill + two.bill
    assert abs(Decimal(str(outcomes["paid_usd"].sum())) - metered) < Decimal("0.0000001")
    assert result.spent_usd == pytest.approx(float(metered), abs=1e-9)
    # What a request costs in production is another matter: the standard price, twice that.
    assert outcomes["cost_usd"].sum() == pytest.approx(2 * float(metered))
    again = run_sweep(file, tmp_path / "logs", batch=True, quiet=True)
    assert again.generated == 0 and again.spent_usd == pytest.approx(float(metered), abs=1e-9)


def test_kill_9_pays_again_for_what_is_in_flight_and_no_more(
    servers: tuple[BatchLoopback, BatchLoopback], tmp_path: Path
) -> None:
    one, two = servers
    one.batch_s = two.batch_s = 0.5
    file = project(tmp_path, one, two, 20)
    command = ["sweep", str(file), "--batch", "--log-dir", str(tmp_path / "logs"), "--quiet"]
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "data")}
    process = warm.Warm(command, env=environment)
    while len(one.requests) + len(two.requests) < 3 * IN_FLIGHT and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    one.batch_s = two.batch_s = 0.0
    done = warm.run(command, env=environment)
    assert done.returncode == 0, done.stderr
    twice = [sum(count - 1 for count in server.prompts().values()) for server in servers]
    print(f"paid again after kill -9: {sum(twice)} requests of 40, at most {IN_FLIGHT} in flight a model")
    assert max(twice) <= IN_FLIGHT and len(one.prompts()) == len(two.prompts()) == 20


def test_the_waves_of_a_race_are_batches(
    servers: tuple[BatchLoopback, BatchLoopback], tmp_path: Path
) -> None:
    one, two = servers
    file = project(tmp_path, one, two, 48, in_flight=100)
    race = RaceOptions(
        RaceRule(margin=0.6), lambda logs, prices: collect(list(logs), prices=prices, as_logged=True)[0]
    )
    result = run_sweep(file, tmp_path / "logs", race=race, batch=True, quiet=True)
    # Waves of 10, 20 and 32 samples; 20 are only looked at, and by 32 the cheap one is shown not to lose 60 points.
    # No batch is of two waves.
    assert all({10, 20, 32} <= set(accumulate(server.sizes)) for server in (one, two))
    assert result.raced[0].startswith("echo: settled on openai/gpt-5-mini after 32 of 48 samples")
    assert result.generated + result.spared == 96 and result.spared > 0
    assert result.spent_usd == pytest.approx(float(one.bill + two.bill), abs=1e-9)
    with pytest.raises(InputError, match=r"suite `echo` has other waves \(`wave`, `--batch`\)"):
        run_sweep(file, tmp_path / "logs", race=race, quiet=True)


def test_a_provider_without_batches_is_refused(tmp_path: Path) -> None:
    file = write_project(tmp_path, {"models": ["openai-api/local/a"]})
    with pytest.raises(
        InputError, match=r"'openai-api/local/a': Inspect has no batch API for provider 'openai-api'"
    ):
        prepare(file, batch=True)


def test_a_dry_run_refuses_what_a_batch_could_not_do(tmp_path: Path) -> None:
    models = [{"model": "openai-api/local/m", "base_url": "http://127.0.0.1:9"}]
    suites = {"echo": {"task": "tasks.py@echo", "args": {"n": 4}}}
    file = write_project(tmp_path, {"models": models}, suites, prices={"openai-api/local/m": price(1, 2)})
    command = ["sweep", str(file), "--log-dir", str(tmp_path / "logs"), "--batch"]
    for extra in (["--dry-run"], ["--dry-run", "--pilot", "1"], []):
        refused = CliRunner().invoke(cli, [*command, *extra])
        assert refused.exit_code == 1, refused.output
        assert "Inspect has no batch API for provider 'openai-api'" in str(refused.exception) + refused.output
    assert not (tmp_path / "logs").exists()
