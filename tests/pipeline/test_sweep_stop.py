"""What only the operator can mend stops a candidate at once, is no evidence against it, and is asked again on resume."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from router_lab.cli import cli
from router_lab.collect import collect
from tests.servers.grid import price, write_project
from tests.servers.loopback import Loopback, serving
from tests.servers.wires import Reply

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
N = 60
OPENAI, ANTHROPIC = "openai-api/local/tiny", "anthropic/claude-haiku-4-5"
PRICES = {OPENAI: price(1, 2), ANTHROPIC: price(1, 5), "openai-api/other/fine": price(1, 2)}


def openai(status: int, message: str, code: str) -> Reply:
    body = {"error": {"message": message, "type": "invalid_request_error", "code": code, "param": None}}
    return Reply(json.dumps(body).encode(), status)


def anthropic(status: int, message: str, kind: str) -> Reply:
    return Reply(json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode(), status)


PAGE = Reply(b"<html><body>Not here</body></html>", 404, {"Content-Type": "text/html"})
FRONT_PAGE = Reply(b"<!DOCTYPE html><html>welcome</html>", 200, {"Content-Type": "text/html"})
REFUSALS = {
    "key": (OPENAI, openai(401, "Incorrect API key provided", "invalid_api_key"), "Incorrect API key provided"),
    "region": (OPENAI, openai(403, "Country not supported", "unsupported_country"), "Country not supported"),
    "model": (OPENAI, openai(404, "The model `tiny` does not exist", "model_not_found"), "`tiny` does not exist"),
    "page": (OPENAI, PAGE, "404"),
    "front": (OPENAI, FRONT_PAGE, "non-ChatCompletion response"),
    "quota": (OPENAI, openai(429, "You exceeded your current quota", "insufficient_quota"), "exceeded your current"),
    "setting": (OPENAI, openai(400, "Unsupported parameter: 'top_k'", "unsupported_parameter"), "Unsupported param"),
    "x-api-key": (ANTHROPIC, anthropic(401, "invalid x-api-key", "authentication_error"), "invalid x-api-key"),
    "claude": (ANTHROPIC, anthropic(404, "model: claude-haiku-4-5", "not_found_error"), "not_found_error"),
    "credit": (ANTHROPIC, anthropic(400, "Your credit balance is too low", "invalid_request_error"), "credit balance"),
    "nobody": (OPENAI, None, "Connection error"),
}  # fmt: skip


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Loopback, Loopback]]:
    for name in ("LOCAL_API_KEY", "OTHER_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "very-secret-key")
    with serving() as bad, serving() as good:
        yield bad, good


def sweep(file: Path, logs: Path) -> Result:
    return CliRunner().invoke(cli, ["sweep", str(file), "--log-dir", str(logs)])


def project(folder: Path, model: str, url: str, good: Loopback, **more: Any) -> Path:
    suites = {"echo": {"task": "tasks.py@echo", "args": {"n": N}}}
    models = [
        {"model": model, "base_url": url, "max_connections": 2},
        {"model": "openai-api/other/fine", "base_url": good.url},
    ]
    return write_project(folder, {"models": models, "max_retries": 5, **more}, suites, prices=PRICES)


@pytest.mark.parametrize("kind", REFUSALS)
def test_the_candidate_is_stopped_with_its_servers_reason_and_the_others_go_on(
    servers: tuple[Loopback, Loopback], tmp_path: Path, kind: str
) -> None:
    bad, good = servers
    model, bad.refusing, said = REFUSALS[kind]
    url = "http://127.0.0.1:9/v1" if kind == "nobody" else bad.url if model == OPENAI else bad.root
    file = project(tmp_path, model, url, good)
    result = sweep(file, tmp_path / "logs")
    assert result.exit_code == 1, result.output
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert line.startswith(f"Error: {model} was stopped on echo: ") and said in line
    assert "Traceback" not in result.output and "very-secret-key" not in result.output
    # Three refusals are enough; two connections have one more in flight each, and nothing is tried again.
    assert len(bad.requests) <= 5
    outcomes, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    mine = outcomes[outcomes["model"] == model]
    assert len(mine) == N and mine["quality"].isna().all() and set(mine["status"]) == {"infra", "budget"}
    assert mine[mine["status"] == "budget"]["reason"].str.startswith("not run").all()
    fine = outcomes[outcomes["model"] != model]
    assert len(fine) == N and set(fine["status"]) == {"ok"}

    if kind in ("model", "x-api-key"):
        bad.refusing = None
        sent, others = len(bad.requests), len(good.requests)
        again = sweep(file, tmp_path / "logs")
        assert again.exit_code == 0, again.output
        assert len(bad.requests) - sent == N and len(good.requests) == others
        outcomes, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
        assert len(outcomes) == 2 * N and set(outcomes["status"]) == {"ok"}
