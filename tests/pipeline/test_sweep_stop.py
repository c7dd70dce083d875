"""What only the operator can mend stops a candidate at once, is no evidence against it, is asked again."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.collect import collect
from tests.servers.grid import price, write_project
from tests.servers.loopback import Loopback, serving
from tests.servers.wires import Reply

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
N = 6


def openai(status: int, message: str, code: str) -> Reply:
    body = {"error": {"message": message, "type": "invalid_request_error", "code": code, "param": None}}
    return Reply(json.dumps(body).encode(), status)


def anthropic(status: int, message: str, kind: str) -> Reply:
    return Reply(json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode(), status)


REFUSALS = {
    "openai-api/local/key": openai(401, "Incorrect API key provided: very-secret-key", "invalid_api_key"),
    "openai-api/local/page": Reply(b"<html><body>Not here</body></html>", 404, {"Content-Type": "text/html"}),
    "openai-api/local/quota": openai(429, "You exceeded your current quota", "insufficient_quota"),
    "anthropic/claude-haiku-4-5": anthropic(404, "model: claude-haiku-4-5", "not_found_error"),
}
NOBODY, FINE = "openai-api/local/nobody", "openai-api/local/fine"
SAID = {
    "openai-api/local/key": "Error code: 401 - Incorrect API key provided: …",
    "openai-api/local/page": "Error code: 404 - a web page, not an API: is base_url right?",
    "openai-api/local/quota": "Error code: 429 - You exceeded your current quota",
    "anthropic/claude-haiku-4-5": "Error code: 404 - model: claude-haiku-4-5",
    NOBODY: "http://127.0.0.1:9/v1: Connection error.",
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    for name in ("LOCAL_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "very-secret-key")
    with serving() as running:
        yield running


def project(folder: Path, server: Loopback) -> Path:
    def model(name: str) -> dict[str, object]:
        url = server.root if name.startswith("anthropic") else server.url
        return {"model": name, "base_url": "http://127.0.0.1:9/v1" if name == NOBODY else url, "max_connections": 1}

    names = [*REFUSALS, NOBODY, FINE]
    suites = {"echo": {"task": "tasks.py@echo", "args": {"n": N}}}
    sweep = {"models": list(map(model, names)), "max_retries": 5, "config": {"max_tokens": 99}}
    return write_project(folder, sweep, suites, prices={FINE: price(1, 2), **{name: price(1, 5) for name in names}})


def asked(server: Loopback) -> Counter[str]:
    return Counter(request["body"]["model"] for request in server.requests)


def test_each_is_stopped_with_its_servers_reason_the_others_go_on_and_resuming_asks_again(
    server: Loopback, tmp_path: Path
) -> None:
    server.refusing = {name.rpartition("/")[2]: reply for name, reply in REFUSALS.items()}
    command = ["sweep", str(project(tmp_path, server)), "--log-dir", str(tmp_path / "logs")]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 1, result.output
    lines = dict(line.removeprefix("Error: ").split(" was stopped on echo: ") for line in result.stderr.splitlines()
                 if line.startswith("Error: "))  # fmt: skip
    assert lines == SAID
    assert "Traceback" not in result.output and "very-secret-key" not in result.output
    sent = asked(server)
    # Three refusals are enough, one after the other; nothing is tried again.
    assert all(sent[name] == 3 for name in server.refusing) and sent["fine"] == N, sent
    rows, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    bad, fine = rows[rows["model"] != FINE], rows[rows["model"] == FINE]
    assert set(bad["status"]) == {"infra", "budget"} and bad["quality"].isna().all()
    assert set(bad.groupby("model").size()) == {N}, "none is silently absent"
    assert bad[bad["status"] == "budget"]["reason"].str.startswith("not run: the log ended early").all()
    assert len(fine) == N and set(fine["status"]) == {"ok"}
    kinds = Counter(one["kind"] for one in rows.attrs["provenance"]["left_out"])
    assert kinds == {"lost": len(SAID), "not run": len(SAID)}

    server.refusing = {}
    again = CliRunner().invoke(cli, [*command, "--json"])
    assert again.exit_code == 1, again.output
    assert [one["model"] for one in json.loads(again.stdout)["stopped"]] == [NOBODY]
    now = asked(server)
    assert now["fine"] == N and all(now[name] - sent[name] == N for name in now.keys() - {"fine"}), "none is paid twice"
    rows, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    done = rows[rows["model"] != NOBODY]
    assert len(done) == (len(REFUSALS) + 1) * N and set(done["status"]) == {"ok"}
