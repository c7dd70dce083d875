"""`sweep --race` through Inspect: who leaves, what is not paid for, what `collect` says of it, and death on the way."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from router_lab.collect import collect
from router_lab.metrics.racing import RaceRule
from router_lab.runtime.errors import InputError
from router_lab.sweep import RaceOptions, run_sweep
from tests.servers.race_grid import decisions, race_servers

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:The 'initial' parameter:DeprecationWarning"),
]
ROUTER_LAB = str(Path(sys.executable).with_name("router-lab"))


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LOCAL_API_KEY", "x")
    yield
    gc.collect()


def options(**rule: float) -> RaceOptions:
    return RaceOptions(RaceRule(**rule), lambda logs, prices: collect(list(logs), prices=prices)[0])


def test_losers_leave_and_go_on_with_the_floor_alone(tmp_path: Path) -> None:
    with race_servers(tmp_path, 60) as (file, servers):
        result = run_sweep(file, tmp_path / "logs", race=options(margin=0.05), quiet=True)
        sent = [len(server.requests) for server in servers]
        assert sum(sent) == result.generated == 180 - result.spared and result.unrun == result.failed == 0
        left = json.loads((tmp_path / "logs/sweep.json").read_text())["race"]["left"]
        poor = next(one for one in left if one["model"] == "openai-api/local/poor")
        assert (poor["reason"], poor["effort"]) == ("worse", None) and poor["after"] < 30
        outcomes, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
        assert len(outcomes) == 180
        rows = outcomes[outcomes["model"] == "openai-api/local/poor"]
        ran = rows[rows["status"] == "ok"]
        assert len(ran) == sent[2] and (ran["inclusion"] == 1.0).sum() == poor["after"]
        assert set(ran[ran["inclusion"] < 1]["weight"]) <= {10.0}
        assert set(rows[rows["status"] == "budget"]["reason"]) == {f"raced: worse after {poor['after']} samples"}
        again = run_sweep(file, tmp_path / "logs", race=options(margin=0.05), quiet=True)
        assert again.generated == 0 and sum(len(server.requests) for server in servers) == sum(sent)
        with pytest.raises(InputError, match=r"race.jsonl: belongs to another race: rule, .* use a new log directory"):
            run_sweep(file, tmp_path / "logs", race=options(margin=0.1), quiet=True)


def test_kill_9_in_the_middle_changes_no_decision(tmp_path: Path) -> None:
    with race_servers(tmp_path / "whole", 40) as (file, _):
        run_sweep(file, tmp_path / "whole/logs", race=options(), quiet=True)
    with race_servers(tmp_path / "cut", 40, delay=0.05) as (file, servers):
        command = [ROUTER_LAB, "sweep", str(file), "--race", "--log-dir", str(tmp_path / "cut/logs")]
        environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "data")}
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while sum(len(server.requests) for server in servers) < 45 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with (tmp_path / "cut/logs/race.jsonl").open("a") as file_:
            file_.write('{"wave": 9, "lo')  # a line torn by a power cut
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "leaves" in done.stderr and "still in" in done.stderr
    assert decisions(tmp_path / "cut/logs") == decisions(tmp_path / "whole/logs")
