"""The day a provider releases a model that no price list knows: the README's commands, played through."""

import gc
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from router_lab.cli import cli
from tests.servers.grid import price, write_project
from tests.servers.loopback import Loopback, serving

# Inspect leaves streams to the garbage collector; our own code runs in the same process.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

OLD, WEAK, NEW = (f"openai-api/local/{name}" for name in ("old", "weak", "brand-new"))
N = 150
RECIPE = {"name": "support", "reference": {"model": OLD}, "rule": {"margin": 0.05, "confidence": 0.9}}


def run(*words: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, list(map(str, words)))
    assert result.exit_code == code, result.output
    return result


def last_line(*words: str | Path) -> str:
    return run(*words).stdout.splitlines()[-1]


def sweep_file(folder: Path, good: Loopback, bad: Loopback, *models: str) -> Path:
    """The project as the user has it in version control; `models` are those written in the sweep file."""
    servers = {OLD: good, WEAK: bad, NEW: good}
    specs = [{"model": model, "base_url": servers[model].url} for model in models]
    return write_project(
        folder / "evals",
        {"name": "support", "models": specs, "config": {"max_tokens": 100}},
        {"support": {"task": "tasks.py@echo", "args": {"n": N}}},
        prices={OLD: price(10, 30), WEAK: price(1, 3)},
    )


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("LOCAL_API_KEY", "x")
    monkeypatch.chdir(tmp_path)
    with serving() as good, serving(answer=lambda prompt: "no idea") as bad:
        yield good, bad
    gc.collect()


def test_release_day(servers: tuple[Loopback, Loopback], tmp_path: Path) -> None:
    good, bad = servers
    file = sweep_file(tmp_path, good, bad, OLD, WEAK)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    assert last_line("sweep", file, "--quiet") == "logs/support"
    run("collect", "logs/support", "--out", "outcomes.parquet", "--prices", "evals/prices.yaml")
    champion = last_line("fit", "recipe.yaml", "--outcomes", "outcomes.parquet", "--out", "policies/support")
    assert len(good.requests) == len(bad.requests) == N

    # The release: written into the sweep file, and in nobody's price list.
    sweep_file(tmp_path, good, bad, OLD, WEAK, NEW)
    unknown = run("sweep", file, "--dry-run", code=1)
    assert f"price of model '{NEW}'; add it: router-lab prices add '{NEW}' --input" in unknown.stderr
    source = "https://example.com/pricing"
    run(*f"prices add {NEW} --input 1 --output 3 --source {source} --prices evals/prices.yaml".split())
    dry = json.loads(run("sweep", file, "--dry-run", "--json").stdout)
    assert [(cell["model"], cell["samples"]) for cell in dry["cells"]] == [(OLD, 0), (WEAK, 0), (NEW, N)]

    swept = run("sweep", file, "--quiet")
    assert f"{3 * N} samples: {2 * N} kept, {N} answered, 0 failed" in swept.stderr
    assert len(good.requests) == 2 * N and len(bad.requests) == N, "only the new model was asked"
    run("collect", "logs/support", "--out", "outcomes.parquet", "--prices", "evals/prices.yaml")
    challenger = last_line(
        "fit", "recipe.yaml", "--outcomes", "outcomes.parquet", "--out", "policies/support"
    )
    assert challenger != champion

    moved = json.loads(run("diff", champion, challenger, "--outcomes", "outcomes.parquet", "--json").stdout)
    assert NEW in json.dumps(moved)
    said = run("diff", champion, challenger, "--outcomes", "outcomes.parquet").stdout
    assert NEW in said
    gated = run("gate", challenger, "--outcomes", "outcomes.parquet", "--champion", champion)
    assert "pass" in gated.stdout
    answer = json.loads(run("route", challenger, "say 7", "--suite", "support", "--json").stdout)
    assert answer["model"] == NEW
