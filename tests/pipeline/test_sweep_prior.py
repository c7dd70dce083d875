"""`sweep --race` from an earlier sweep's outcomes: what is written down of it, death on the way, and the dry run."""

import gc
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.outcomes import read_outcomes, write_outcomes
from router_lab.prices.table import digest
from tests import warm
from tests.servers.race_grid import RIGHT, decisions, race_servers

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:The 'initial' parameter:DeprecationWarning"),
]
LOCAL = "openai-api/local/"
RACE = {"margin": 0.05, "prior": "then/old.parquet", "was": {f"{LOCAL}good": "older/good"}}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("LOCAL_API_KEY", "x")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    yield
    gc.collect()


def outcomes_before(folder: Path, samples: int = 60, **columns: object) -> Path:
    """Of other samples of `echo`: the forerunner of `good`, and the others themselves; 10 tokens in and one out."""
    rows = [
        {
            "suite": "echo", "sample_id": f"then{i}", "prompt": f"then {i}", "effort": None,
            "model": "older/good" if name == "good" else LOCAL + name, "quality": float(i * 37 % 100 < 100 * right),
            "input_tokens": 10, "output_tokens": 1, **columns,
        }
        for i in range(samples) for name, right in RIGHT.items()
    ]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    return write_outcomes(pd.DataFrame(rows), folder / "old.parquet")


def test_what_it_started_from_is_written_down_and_a_killed_race_goes_on_from_that_alone(
    tmp_path: Path,
) -> None:
    for name in ("whole", "cut"):
        outcomes_before(tmp_path / name / "then")
    with race_servers(tmp_path / "whole", 20, race=RACE) as (file, _):
        done = CliRunner().invoke(
            cli, ["sweep", str(file), "--race", "--log-dir", str(tmp_path / "whole/logs")]
        )
        assert done.exit_code == 0 and "echo: prior rests on 60 clusters of it" in done.stderr
    sha = digest(tmp_path / "whole/then/old.parquet")
    assert decisions(tmp_path / "whole/logs")[0]["prior"] == {"sha256": sha, "was": RACE["was"]}
    said = json.loads((tmp_path / "whole/logs/sweep.json").read_text())["race"]["prior"]
    assert said == {"file": str(tmp_path / "whole/then/old.parquet"), "sha256": sha, "was": RACE["was"]}
    with race_servers(tmp_path / "cut", 20, 0.05, race=RACE) as (file, servers):
        command = ["sweep", str(file), "--race", "--log-dir", str(tmp_path / "cut/logs")]
        process = warm.Warm(command)
        while sum(len(server.requests) for server in servers) < 33 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        sent = sum(len(server.requests) for server in servers)
        other = outcomes_before(tmp_path / "cut/other", samples=30)
        refused = CliRunner().invoke(cli, [*command, "--prior", str(other)])
        assert refused.exit_code == 1 and sum(len(server.requests) for server in servers) == sent
        assert f"`race.prior` was a file of sha256 {sha[:16]} with was" in refused.stderr
        assert f"is a file of sha256 {digest(other)[:16]} with was" in refused.stderr
        assert CliRunner().invoke(cli, command).exit_code == 0
    assert decisions(tmp_path / "cut/logs") == decisions(tmp_path / "whole/logs")


def test_a_dry_run_says_who_starts_from_whom_and_what_the_race_would_probably_cost(tmp_path: Path) -> None:
    outcomes_before(tmp_path / "then")
    with race_servers(tmp_path, 100, race=RACE) as (file, servers):
        command = ["sweep", str(file), "--log-dir", str(tmp_path / "logs"), "--race", "--dry-run"]
        said = CliRunner().invoke(cli, command)
        assert said.exit_code == 0, said.output
        assert "then/old.parquet says whom to put forward first and has no part in any test" in said.output
        assert (
            "echo: 2 of 3 candidates start from their own outcomes; openai-api/local/good from its forerunner "
            "(older/good)" in said.output
        )
        assert "first put forward, in 20 replays: " in said.output and "a guess: 20 races" in said.output
        told = json.loads(CliRunner().invoke(cli, [*command, "--json"]).stdout)
        # 10 tokens in and one out at 9 + 18, 3 + 6 and 1 + 2 dollars a million, on 100 samples each.
        assert [cell["usd"] for cell in told["cells"]] == pytest.approx(
            [100 * n * 1e-6 for n in (108, 36, 12)]
        )
        guess = told["race"]["prior"]["suites"][0]["guess"]
        assert guess["usd_grid"] == pytest.approx(100 * 156e-6)
        assert 0 < guess["usd"][1] <= guess["usd"][0] <= guess["usd"][2] <= guess["usd_grid"]
        assert guess["settled"] > 0 and not any(server.requests for server in servers)


def test_dollars_that_are_cents_are_refused_and_so_is_a_prior_without_a_race(tmp_path: Path) -> None:
    # 36e-6 dollars are 3.6e-3 cents.
    cents = outcomes_before(tmp_path / "cents", cost_usd=36e-4)
    with race_servers(tmp_path, 40) as (file, _):
        command = [
            "sweep",
            str(file),
            "--log-dir",
            str(tmp_path / "logs"),
            "--dry-run",
            "--prior",
            str(cents),
        ]
        said = CliRunner().invoke(cli, [*command, "--race"])
        assert said.exit_code == 1
        assert (
            "cost_usd of openai-api/local/fair is 100 times what its tokens cost at the sweep's"
            in said.output
        )
        alone = CliRunner().invoke(cli, command)
        assert alone.exit_code == 2 and "--prior goes with --race" in alone.output


def test_without_tokens_a_newcomers_dollars_are_unknown_and_it_says_why(tmp_path: Path) -> None:
    outcomes_before(tmp_path / "then", input_tokens=None, output_tokens=None, cost_usd=0.001)
    with race_servers(tmp_path, 40, race=RACE) as (file, _):
        command = ["sweep", str(file), "--log-dir", str(tmp_path / "logs"), "--race", "--dry-run"]
        said = CliRunner().invoke(cli, command)
        assert said.exit_code == 0, said.output
        assert "has no tokens of who stands for openai-api/local/good, to price anew" in said.output
        told = json.loads(CliRunner().invoke(cli, [*command, "--json"]).stdout)
        unknown, *others = (cell["usd"] for cell in told["cells"])
        assert unknown is None and others == pytest.approx([0.04, 0.04])


def test_a_prior_of_other_models_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    file = outcomes_before(tmp_path / "then")
    write_outcomes(read_outcomes(file).assign(model=lambda rows: "other/" + rows["model"]), file)
    race = {"prior": "then/old.parquet"}
    with race_servers(tmp_path, 20, race=race) as (file, servers):
        said = CliRunner().invoke(cli, ["sweep", str(file), "--log-dir", str(tmp_path / "logs"), "--race"])
        assert said.exit_code == 1 and "has no outcome of any model of this sweep" in said.output
        assert not any(server.requests for server in servers) and os.environ["LOCAL_API_KEY"] == "x"
