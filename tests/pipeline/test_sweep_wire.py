"""What candidates send, found out before a cent is spent; estimates; and the first sweep that `init` writes."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.providers.recorder import Request
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate
from router_lab.sweep import load_grid, prepare, run_sweep
from router_lab.sweep.recorder import fingerprint
from tests.servers.grid import price, write_project
from tests.servers.loopback import serving
from tests.servers.proxy import HOST, proxying

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def requests_of(
    folder: Path, models: list[Any], efforts: list[Any], **presets: Any
) -> dict[Any, Request | None]:
    file = write_project(folder, {"models": models, "efforts": efforts}, efforts=presets)
    return {tuple(who): r for ((_, who), _), r in fingerprint(load_grid(file).cells).items()}


def test_the_request_is_what_the_provider_would_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    local = {"model": "openai-api/local/x", "base_url": "http://192.0.2.1/v1"}
    models = ["openai/gpt-5-mini", "anthropic/claude-haiku-4-5", local, "mockllm/model"]
    found = requests_of(
        tmp_path, models, [None, "low", "brief"], brief={"max_tokens": 32, "system_message": "Brief."}
    )
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


@pytest.mark.parametrize("model", ["openai-api/local/x", "openai/gpt-5-mini", "anthropic/claude-haiku-4-5"])
def test_a_users_row_reaches_the_wire_raw(tmp_path: Path, model: str) -> None:
    provider, _, family = model.partition("/")
    raw = {"extra_body": {"switches": {"thinking": "$effort"}}}
    wire = [{"provider": provider, "family": f"{family[:3]}*", "effort": "high", "config": raw}]
    spec = {"model": model, "base_url": "http://192.0.2.1/v1"}
    file = write_project(tmp_path, {"models": [spec], "efforts": ["low", "high"], "wire": wire})
    found = {who.effort: r for ((_, who), _), r in fingerprint(load_grid(file).cells).items()}
    high, low = found["high"], found["low"]
    assert high is not None and low is not None and high.fingerprint != low.fingerprint
    # In the artifact it stands where the SDKs take it, and not among the arguments that they know.
    assert (
        high.arguments["extra_body"] == {"switches": {"thinking": "high"}}
        and "switches" not in high.arguments
    )
    assert not {"reasoning", "reasoning_effort", "thinking"} & high.arguments.keys()
    assert {
        "reasoning",
        "reasoning_effort",
        "thinking",
    } & low.arguments.keys() and "extra_body" not in low.arguments


def test_raw_settings_that_do_not_arrive_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router_lab.providers.asking._send_raw", lambda *_: None)
    models = ["anthropic/claude-haiku-4-5"]
    file = write_project(tmp_path, {"models": models, "config": {"extra_body": {"zz": 1}}})
    with pytest.raises(InputError, match=r"claude-haiku-4-5: `extra_body\.zz` does not reach this provider"):
        fingerprint(load_grid(file).cells)


@pytest.mark.parametrize(
    ("model", "efforts"), [("anthropic/claude-haiku-4-5", ["xhigh", "max"]), ("openai/gpt-4o", [None, "low"])]
)
def test_twins_on_the_wire_are_refused_by_name(tmp_path: Path, model: str, efforts: list[str | None]) -> None:
    with pytest.raises(
        InputError,
        match=f"candidates {Candidate(model, efforts[0])} and {model} @ {efforts[1]} send byte-identical",
    ):
        prepare(write_project(tmp_path, {"models": [model], "efforts": efforts}), spending=False)


def test_an_estimate_sends_nothing_and_says_what_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_API_KEY", "x")
    with serving() as server:
        models = [{"model": f"openai-api/local/{name}", "base_url": server.url} for name in "ab"]
        prices = {
            "openai-api/local/a": price(1, 2),
            "openai-api/local/b": price(10, 20, tiers={"batch": 0.5}),
        }
        bounds = {"limits": {"usd": 0.01}, "config": {"max_tokens": 100}}
        file = write_project(tmp_path, {"models": models[1:], **bounds}, prices=prices)
        command = ["sweep", str(file), "--log-dir", str(tmp_path / "logs"), "--quiet"]
        assert CliRunner().invoke(cli, [*command, "--limit", "4"]).exit_code == 0
        sent = len(server.requests)
        write_project(tmp_path, {"models": models, "budget_usd": 1.0, **bounds}, prices=prices)
        result = CliRunner().invoke(cli, [*command, "--dry-run", "--json"])
        assert result.exit_code == 0, result.output
        assert len(server.requests) == sent
    answer = json.loads(result.stdout)
    first, second = answer["cells"]
    assert (first["model"], first["samples"], first["usd"], first["seen"]) == (
        "openai-api/local/a",
        12,
        None,
        0,
    )
    # "say 3" is 2 tokens in, "3" 1 out: $ (2 × 10 + 1 × 20) / 1e6 a sample; "say 10" is 2 and 1 as well.
    assert (second["samples"], second["seen"]) == (8, 4)
    assert second["usd"] == pytest.approx(8 * 40e-6) and second["batch_usd"] == pytest.approx(4 * 40e-6)
    assert answer["total"]["unknown"] == 12 and answer["total"]["at_most_usd"] == pytest.approx(20 * 0.01)
    said = CliRunner().invoke(cli, [*command, "--dry-run"]).stdout
    assert "at most $0.2000, by `limits: {usd: 0.01}` for each sample" in said and "known cells" in said


def test_a_dry_run_needs_no_keys_names_them_and_can_pay_for_a_pilot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "LOCAL_API_KEY", "LOCAL_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    prices = {"openai-api/local/a": price(1, 2, tiers={"batch": 0.5}), "openai/gpt-5-mini": price(1, 2)}
    with serving() as server:
        local = {"model": "openai-api/local/a", "base_url": server.url}
        file = write_project(tmp_path, {"models": ["openai/gpt-5-mini", local]}, prices=prices)
        command = ["sweep", str(file), "--log-dir", str(tmp_path / "logs"), "--quiet", "--dry-run"]
        result = CliRunner().invoke(cli, command)
        assert result.exit_code == 0, result.output
        assert "model 'openai/gpt-5-mini' cannot be made: Unable to initialise OpenAI client" in result.stdout
        assert "OPENAI_API_KEY" in result.stdout and "No LOCAL_API_KEY defined" in result.stdout
        assert result.stdout.count("before it can run") == 2 and "--dry-run --pilot 5" in result.stdout
        assert "0.0000" not in result.stdout, "what is unknown is not free"
        assert server.requests == [] and not (tmp_path / "logs").exists()

        monkeypatch.setenv("LOCAL_API_KEY", "x")
        write_project(tmp_path, {"models": [local]}, prices=prices)
        result = CliRunner().invoke(cli, [*command, "--pilot", "3", "--json"])
        assert result.exit_code == 0, result.output
        answer = json.loads(result.stdout)
        assert len(server.requests) == 3 and answer["lacking"] == []
        [cell] = answer["cells"]
        # 3 of 12 are there; "say 3" is 2 tokens in, "3" 1 out: $ (2 × 1 + 1 × 2) / 1e6 a sample.
        assert (cell["samples"], cell["seen"], cell["usd"]) == (9, 3, pytest.approx(9 * 4e-6))
        assert answer["total"]["batch_saves_usd"] == pytest.approx(9 * 2e-6)
    refused = CliRunner().invoke(cli, [*command[:-1], "--pilot", "3"])
    assert refused.exit_code == 2 and "--pilot goes with --dry-run" in refused.output


def test_a_sweep_says_that_inspect_mlflow_would_log_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "router_lab.tracking.store.warning_about_inspect_mlflow", lambda: "inspect-mlflow is installed"
    )
    file = write_project(tmp_path, {"models": ["nobody/nothing"]})
    command = ["sweep", str(file), "--log-dir", str(tmp_path / "logs")]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///x.db")
    assert "warning: inspect-mlflow is installed" in CliRunner().invoke(cli, command).stderr
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert "warning" not in CliRunner().invoke(cli, command).stderr


def test_init_writes_a_sweep_that_can_be_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "x")
    result = CliRunner().invoke(cli, ["init", str(tmp_path / "mine")])
    assert result.exit_code == 0, result.output
    plan = prepare(Path(result.stdout.splitlines()[-1]))
    assert plan.needed == 12 and plan.budget_usd == 1.0
    again = CliRunner().invoke(cli, ["init", str(tmp_path / "mine")])
    assert again.exit_code == 1 and "is there already; choose another directory" in again.output


def test_behind_a_proxy_the_same_is_recorded_and_only_the_outside_goes_through_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOCAL_API_KEY", "x")
    with serving() as server, proxying(server.root) as (proxy, asked):
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy)
        models = [
            {"model": "openai-api/local/far", "base_url": f"{HOST}/v1/"},
            {"model": "openai-api/local/near", "base_url": server.url},
        ]
        prices = {spec["model"]: price(1, 2) for spec in models}
        file = write_project(tmp_path, {"models": models, "config": {"max_tokens": 9}}, prices=prices)
        result = run_sweep(file, tmp_path / "logs", limit=2, quiet=True)
        assert (result.generated, result.failed) == (4, 0)
    written = json.loads((tmp_path / "logs" / "sweep.json").read_text())["candidates"]
    assert [c["request"]["arguments"] for c in written] == [
        {"max_tokens": 9, "model": name} for name in ("far", "near")
    ]
    assert [c["request"]["api"] for c in written] == ["openai_chat"] * 2
    assert asked == [f"{HOST}/v1/chat/completions"] * 2, (
        "the recorder and the near server are not asked through it"
    )
    assert len(server.requests) == 4
