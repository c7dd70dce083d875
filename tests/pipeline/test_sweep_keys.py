"""Keys: they reach the servers, and nothing that is written or printed holds them."""

from __future__ import annotations

import base64
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from inspect_ai.log import read_eval_log

from router_lab.cli import cli
from tests.servers.grid import price, write_project
from tests.servers.loopback import Loopback, serving

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ENV, HEADER, NAMED, BODY = "env-7Hq2vK9xLm", "hdr-3Tz8wQ1yNd", "ref-5Rb6nC4uXe", "bdy-9Jf1sG7aPo"
USER, ARG, SOURCE, BASIC = "usr-2Mk4dV8iZt", "arg-6Ye3hW5oBc", "src-8Lp7gT2rAj", "pwd-4Cn9kS6eUq"
PLAIN = "Zx81-no-key-by-name"
ODD, TASK = "odd-5Vb2jQ7wRs", "tsk-3Kp9zX6mLd"
ALL = (
    ODD,
    TASK,
    ENV,
    HEADER,
    NAMED,
    BODY,
    USER,
    ARG,
    SOURCE,
    PLAIN,
    BASIC,
    base64.b64encode(f"me:{BASIC}".encode()).decode(),
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("LOCAL_API_KEY", ENV)
    monkeypatch.setenv("MY_SECRET", NAMED)
    monkeypatch.setenv("SOMETHING", PLAIN)  # no name of a key, but referred to
    # A server that repeats its own key in an answer, as gateways do that print what they forwarded.
    with serving(answer=lambda prompt: f"{prompt.rsplit(maxsplit=1)[-1]} by {ENV}") as running:
        yield running


def models(server: Loopback) -> list[dict[str, Any]]:
    headers = {
        "Authorization": f"Bearer {HEADER}",
        "X-Team": "${MY_SECRET}",
        "X-Plain": "p ${SOMETHING}",
        "X-Gateway": ODD,
    }
    body = {"metadata": {"access_token": BODY, "who": "me"}, "user": "${MY_SECRET}"}
    with_user = server.url.replace("http://", f"http://me:{BASIC}@")
    return [
        {"model": "openai-api/local/headers", "base_url": server.url, "config": {"extra_headers": headers}},
        {"model": "openai-api/local/body", "base_url": server.url, "config": {"extra_body": body}},
        {"model": "openai-api/local/args", "base_url": server.url,
         "args": {"api_key": ARG, "default_headers": {"X-Api-Key": USER}}},
        {"model": "openai-api/local/user", "base_url": with_user},
        {"model": "anthropic/claude-haiku-4-5", "base_url": server.root,
         "args": {"api_key": ARG},
         "config": {"extra_headers": headers}},
    ]  # fmt: skip


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def written(folder: Path) -> dict[str, str]:
    """Every file's text, of archives that of what they hold, of databases that of every table."""
    found: dict[str, str] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        found[str(path)] = path.read_bytes().decode("utf-8", "replace")
        if path.suffix == ".eval":
            found[f"{path}:read"] = read_eval_log(str(path)).model_dump_json()
        if path.suffix in (".db", ".parquet"):
            found[f"{path}:read"] = _rows(path)
    return found


def _rows(path: Path) -> str:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        return f"{table.schema.metadata} {table.to_pylist()}"
    with sqlite3.connect(path) as database:
        return "\n".join(database.iterdump())


def leaks(texts: dict[str, str]) -> list[tuple[str, str]]:
    return [(key, name) for name, text in texts.items() for key in ALL if key in text]


def test_keys_reach_the_servers_and_nothing_that_is_written(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = f"https://me:{SOURCE}@prices.example/list?api_key={SOURCE}&day=1"
    prices = {spec["model"]: [{**price(1, 2)[0], "source": source}] for spec in models(server)}
    suites = {"echo": {"task": "tasks.py@echo", "args": {"n": 4, "marks": "1:leak", "api_key": TASK}}}
    file = write_project(tmp_path / "grid", {"models": models(server)}, suites, prices=prices)
    mine = {path.name for path in (tmp_path / "grid").iterdir()}
    done = run("sweep", file, "--log-dir", tmp_path / "out" / "logs", "--quiet")
    out = tmp_path / "out"
    priced = ("--prices", tmp_path / "grid" / "prices.yaml")
    collected = run("collect", out / "logs", "--out", out / "outcomes.parquet", *priced)
    assert collected.exit_code == 0, collected.output
    page = run("report", out / "outcomes.parquet", "--html", out / "r.html", "--mlflow", "s",
               "--tracking-uri", f"sqlite:///{out}/m.db")  # fmt: skip
    recipe = out / "recipe.yaml"
    recipe.write_text("name: p\nrule: {margin: 0.5}\ngates:\n  - {metric: quality, min: 0.0}\n")
    fitted = run("fit", recipe, "--outcomes", out / "outcomes.parquet", "--out", out / "policies")
    assert fitted.exit_code == 0, fitted.output
    policy = next(path.parent for path in (out / "policies").rglob("policy.json"))
    assert "${config.extra_body.metadata.access_token}" in (policy / "policy.json").read_text()
    gated = run("gate", policy, "--outcomes", out / "outcomes.parquet", "--write-json", out / "gate.json",
                "--junit", out / "junit.xml", "--markdown", out / "gate.md")  # fmt: skip
    assert (out / "gate.json").is_file(), gated.output
    after = {"fit": fitted, "gate": gated, "show": run("show", policy), "json": run("show", policy, "--json"),
             "route": run("route", policy, "say leak", "--explain", "--json"),
             "judged": run("report", out / "outcomes.parquet", policy, "--html", out / "judged.html", "--mlflow", "t",
                           "--tracking-uri", f"sqlite:///{out}/m.db")}  # fmt: skip
    assert (out / "judged.html").is_file()
    shown = run("prices", "show", "openai-api/local/body", "--prices", tmp_path / "grid/prices.yaml")
    assert page.exit_code == 0 and (out / "m.db").is_file(), page.output
    printed = {name: f"{r.output}{r.exception!r}" for name, r in
               {"sweep": done, "collect": collected, "report": page, "prices": shown, **after}.items()}  # fmt: skip
    texts = written(out) | printed
    assert len([name for name in texts if name.endswith(".eval:read")]) == 5
    assert leaks(texts) == []
    assert {path.name for path in (tmp_path / "grid").iterdir()} - mine <= {"__pycache__"}
    # What was asked for arrived all the same.
    sent = {request["body"]["model"]: request for request in server.requests}
    lower = {model: {k.lower(): v for k, v in request["headers"].items()} for model, request in sent.items()}
    for model in ("headers", "claude-haiku-4-5"):
        assert lower[model]["authorization"] == f"Bearer {HEADER}"  # over what the SDK sends of itself
        assert lower[model]["x-gateway"] == ODD  # a header of any name
        assert (lower[model]["x-team"], lower[model]["x-plain"]) == (NAMED, f"p {PLAIN}")
    assert sent["body"]["body"]["metadata"] == {"access_token": BODY, "who": "me"}
    assert sent["body"]["body"]["user"] == NAMED
    assert lower["body"]["authorization"] == f"Bearer {ENV}"
    assert (lower["args"]["authorization"], lower["args"]["x-api-key"]) == (f"Bearer {ARG}", USER)
    assert lower["user"]["authorization"].startswith("Basic ")
    manifest = json.loads((out / "logs" / "sweep.json").read_text())
    held = next(c for c in manifest["candidates"] if c["model"] == "openai-api/local/body")
    assert held["config"]["extra_body"]["metadata"] == {"access_token": "${config.extra_body.metadata.access_token}",
                                                        "who": "me"}  # fmt: skip


def test_another_key_is_the_same_candidate(tmp_path: Path) -> None:
    """A key that was changed must not make finished samples run again: it is no setting of the candidate."""
    from router_lab.sweep import load_grid

    spec = {"model": "openai-api/local/x", "config": {"extra_headers": {"x-api-key": "one-key-or-so"}}}
    first = load_grid(write_project(tmp_path / "a", {"models": [spec]})).cells[0]
    spec["config"] = {"extra_headers": {"x-api-key": "quite-another"}}
    second = load_grid(write_project(tmp_path / "b", {"models": [spec]})).cells[0]
    assert first.settings.sha == second.settings.sha and first.keys != second.keys
    assert "one-key-or-so" not in repr(first.settings) and "max_tokens" not in repr(first.keys)


def test_a_reference_that_is_not_set_is_named_before_anything_is_sent(
    tmp_path: Path, server: Loopback
) -> None:
    spec = {
        "model": "openai-api/local/x",
        "base_url": server.url,
        "config": {"extra_body": {"user": "${NOT_SET_HERE}"}},
    }
    file = write_project(tmp_path, {"models": [spec]}, prices={"openai-api/local/x": price(1, 2)})
    done = run("sweep", file, "--log-dir", tmp_path / "logs")
    assert done.exit_code == 1 and server.requests == []
    assert "model 'openai-api/local/x': ${NOT_SET_HERE} is not set in the environment" in done.stderr
    estimated = run("sweep", file, "--log-dir", tmp_path / "logs", "--dry-run")
    assert estimated.exit_code == 0, estimated.output
    assert "before it can run: model 'openai-api/local/x': ${NOT_SET_HERE} is not set" in estimated.output


def test_an_error_quotes_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_API_KEY", ENV)
    local = {"model": "openai-api/local/x", "base_url": "http://127.0.0.1:9/v1"}
    for spec in (
        {**local, "config": {"extra_headers": f"Bearer {HEADER}"}},
        {**local, "args": {"no_such": 1, "api_key": ARG}},
        {**local, "api_key": ARG},
        {**local, "efforts": {"token": USER}},
        {**local, "base_url": f"ftp://me:{BASIC}@[broken"},
    ):
        done = run("sweep", write_project(tmp_path, {"models": [spec]}), "--log-dir", tmp_path / "logs")
        assert done.exit_code == 1 and leaks({"printed": f"{done.output}{done.exception!r}"}) == [], (
            done.output
        )
