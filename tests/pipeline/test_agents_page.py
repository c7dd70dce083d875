"""docs/agents.md: its files are written as named, its commands run against a server on loopback, and its application
asks that server what the sweep asked it."""

from __future__ import annotations

import gc
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.config import Sweep
from router_lab.outcomes import read_outcomes
from tests.conftest import ROOT
from tests.servers.loopback import serving

# Inspect leaves streams to the garbage collector; our own code runs in the same process.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
TEXT = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- file: (.*?) -->\n```\w+\n(.*?)```", TEXT, flags=re.S))
[COMMANDS] = re.findall(r"<!-- commands -->\n```bash\n(.*?)```", TEXT, flags=re.S)
[PRODUCTION] = re.findall(r"<!-- run: production -->\n```python\n(.*?)```", TEXT, flags=re.S)
[LEVERS] = re.findall(r"<!-- levers -->\n```yaml\n(.*?)```", TEXT, flags=re.S)
TEAMS = ["planner big, executor big", "planner big, executor small"]


def test_from_an_agent_to_a_team_in_production(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCAL_API_KEY", "x")
    with serving() as server:
        address = server.root.rsplit(":", 1)[1]
        for name, text in FILES.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text.replace("127.0.0.1:PORT", f"127.0.0.1:{address}"))
        said = {}
        for line in COMMANDS.splitlines():
            words = shlex.split(line)
            done = CliRunner().invoke(cli, words[1:])
            assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"
            said[line] = done.output
        swept = len(server.requests)
        env = {**os.environ, "OPENAI_API_KEY": "x", "OPENAI_BASE_URL": server.url}
        (tmp_path / "mine.py").write_text(PRODUCTION)
        command = [sys.executable, "mine.py"]
        mine = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert mine.returncode == 0, mine.stderr
        bodies = [request["body"]["messages"] for request in server.requests]
    gc.collect()
    outcomes = read_outcomes(tmp_path / "outcomes.parquet")
    assert sorted(set(outcomes["model"])) == TEAMS and set(outcomes["harness"].dropna()) == {"short"}
    assert len(outcomes) == 4 * 40 and outcomes["quality"].mean() == 1.0
    # The planner's call is the same of both executors and harnesses; an executor's first two are of both harnesses.
    assert swept == 40 * (1 + 2 * (2 + 1 + 1))
    [verdicts, harness, shown] = (
        said[line] for line in COMMANDS.splitlines() if " report " in line or " show " in line
    )
    assert "Teams, by role" in verdicts and "executor: small" in verdicts and "backfire" not in verdicts
    assert harness and "report.html" in harness and "Teams, by role" in (tmp_path / "report.html").read_text()
    assert (
        "planner: " in shown and "harness short: context: last round; results: the user's messages" in shown
    )
    team, _, answered = mine.stdout.strip().partition(" + ")
    assert team in TEAMS and answered.endswith("says 7")
    # What production sent had been sent before, to the last message.
    assert len(bodies) == swept + 4 and all(body in bodies[:swept] for body in bodies[swept:])


def test_the_levers_of_the_page_are_some() -> None:
    whole = yaml.safe_load(FILES["evals/sweeps/desk.yaml"])
    del whole["harnesses"]
    sweep = Sweep.model_validate({**whole, **yaml.safe_load(LEVERS)})
    assert set(sweep.levers) == {"context", "turns"}


def test_the_page_says_what_is_not_done() -> None:
    assert "applied to every model of a team alike" in TEXT and "checks and stops only" in TEXT
