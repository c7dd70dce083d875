"""What candidates send, found out before a cent is spent; estimates; and the first sweep that `init` writes."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.runtime.errors import InputError
from router_lab.sweep import load_grid, prepare
from router_lab.sweep.recorder import Request, fingerprint
from tests.servers.grid import price, write_project
from tests.servers.loopback import serving

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def requests_of(folder: Path, models: list[Any], efforts: list[Any], **presets: Any) -> dict[Any, Request | None]:
    file = write_project(folder, {"models": models, "efforts": efforts}, efforts=presets)
    return {(model, effort): r for (model, effort, _), r in fingerprint(load_grid(file).cells).items()}


def test_the_request_is_what_the_provider_would_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    local = {"model": "openai-api/local/x", "base_url": "http://192.0.2.1/v1"}
    models = ["openai/gpt-5-mini", "anthropic/claude-haiku-4-5", local, "mockllm/model"]
    found = requests_of(tmp_path, models, [None, "low", "brief"], brief={"max_tokens": 32, "system_message": "Brief."})
    apis = {
        model: found[model, None].api
        for model in ("openai/gpt-5-mini", "anthropic/claude-haiku-4-5", "openai-api/local/x")
    }  # type: ignore[union-attr]
    assert list(apis.values()) == ["openai_responses", "anthropic", "openai_chat"]
    assert found["mockllm/model", None] is None
    low = found["anthropic/claude-haiku-4-5", "low"]
    assert low is not None and low.arguments["thinking"]["type"] == "enabled"
    brief = found["openai-api/local/x", "brief"]
    assert brief is not None and brief.arguments == {"model": "x", "max_tokens": 32}


@pytest.mark.parametrize(
    ("model", "efforts"), [("anthropic/claude-haiku-4-5", ["xhigh", "max"]), ("openai/gpt-4o", [None, "low"])]
)
def test_twins_on_the_wire_are_refused_by_name(tmp_path: Path, model: str, efforts: list[str | None]) -> None:
    with pytest.raises(
        InputError, match=f"candidates '{model}' .* and '{model}' at effort '{efforts[1]}' send byte-identical"
    ):
        requests_of(tmp_path, [model], efforts)


def test_an_estimate_sends_nothing_and_says_what_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_API_KEY", "x")
    with serving() as server:
        models = [{"model": f"openai-api/local/{name}", "base_url": server.url} for name in "ab"]
        prices = {"openai-api/local/a": price(1, 2), "openai-api/local/b": price(10, 20, tiers={"batch": 0.5})}
        file = write_project(tmp_path, {"models": models[1:]}, prices=prices)
        command = ["sweep", str(file), "--log-dir", str(tmp_path / "logs"), "--quiet"]
        assert CliRunner().invoke(cli, [*command, "--limit", "4"]).exit_code == 0
        sent = len(server.requests)
        write_project(tmp_path, {"models": models, "budget_usd": 1.0}, prices=prices)
        result = CliRunner().invoke(cli, [*command, "--dry-run", "--json"])
        assert result.exit_code == 0, result.output
        assert len(server.requests) == sent
    answer = json.loads(result.stdout)
    first, second = answer["cells"]
    assert (first["model"], first["samples"], first["usd"], first["seen"]) == ("openai-api/local/a", 12, None, 0)
    # "say 3" is 2 tokens in, "3" 1 out: $ (2 × 10 + 1 × 20) / 1e6 a sample; "say 10" is 2 and 1 as well.
    assert (second["samples"], second["seen"]) == (8, 4)
    assert second["usd"] == pytest.approx(8 * 40e-6) and second["batch_usd"] == pytest.approx(4 * 40e-6)
    assert answer["total"]["unknown"] == 12


def test_init_writes_a_sweep_that_can_be_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "x")
    result = CliRunner().invoke(cli, ["init", str(tmp_path / "mine")])
    assert result.exit_code == 0, result.output
    plan = prepare(Path(result.stdout.splitlines()[-1]))
    assert plan.needed == 12 and plan.budget_usd == 1.0
    again = CliRunner().invoke(cli, ["init", str(tmp_path / "mine")])
    assert again.exit_code == 1 and "is there already; choose another directory" in again.output
