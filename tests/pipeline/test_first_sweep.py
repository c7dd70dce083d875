"""The README's first sweep of one's own, typed as it stands, with keys of a test server."""

from __future__ import annotations

import gc
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.outcomes import read_outcomes
from tests.conftest import ROOT
from tests.servers.loopback import serving

# Inspect leaves streams to the garbage collector; our own code runs in the same process.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTION = README[README.index("## Your own first sweep") : README.index("## What it will not do")]
COMMANDS = re.findall(r"^    \.venv/bin/router-lab ([^#\n]*)", SECTION, flags=re.M)
ANSWERS = {"France": "Paris", "17 + 25": "42", "9 * 13": "117"}


def test_from_init_to_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [c.split()[0] for c in COMMANDS] == ["init", "sweep", "sweep", "collect", "plan", "fit"]
    with serving(answer=lambda prompt: next((a for q, a in ANSWERS.items() if q in prompt), "?")) as server:
        for name, address in (("OPENAI", server.url), ("ANTHROPIC", server.root)):
            monkeypatch.setenv(f"{name}_API_KEY", "x")
            monkeypatch.setenv(f"{name}_BASE_URL", address)
        for command in COMMANDS:
            done = CliRunner().invoke(cli, command.split())
            assert done.exit_code == 0, f"{command}\n{done.output}\n{done.exception!r}"
            if "--dry-run" in command:
                assert not server.requests and "$" in done.output
    gc.collect()
    outcomes = read_outcomes(tmp_path / "mine" / "outcomes.parquet")
    assert len(outcomes) == 12 and (outcomes["quality"] == 1.0).all() and outcomes["cost_usd"].gt(0).all()
    policy = json.loads((Path(done.stdout.splitlines()[-1]) / "policy.json").read_text())
    assert policy["name"] == "mine"
    assert "do not route" in done.stdout  # three questions show nothing that would be worth a router
