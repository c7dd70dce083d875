"""A log folder that is full, closed, or holds a damaged log: one line, and nothing is asked that could not be kept."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from router_lab.cli import cli
from tests.servers.grid import price, write_project
from tests.servers.loopback import Loopback, serving

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("LOCAL_API_KEY", "local-9Jf1sG7aPo")
    with serving(answer=lambda prompt: prompt.rsplit(maxsplit=1)[-1]) as running:
        yield running


def project(folder: Path, server: Loopback) -> Path:
    spec = {"model": "openai-api/local/x", "base_url": server.url}
    suites = {"echo": {"task": "tasks.py@echo", "args": {"n": 4}}}
    return write_project(folder, {"models": [spec]}, suites, prices={spec["model"]: price(1, 2)})


def sweep(file: Path, logs: Path) -> Result:
    return CliRunner().invoke(cli, ["sweep", str(file), "--log-dir", str(logs), "--quiet"])


def one_line(done: Result, *parts: str) -> None:
    assert done.exit_code in (1, 2) and isinstance(done.exception, SystemExit), (done.output, done.exception)
    [line] = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert all(part in line for part in parts), line


def test_a_file_in_the_place_of_the_folder(tmp_path: Path, server: Loopback) -> None:
    (tmp_path / "logs").write_text("mine")
    one_line(sweep(project(tmp_path, server), tmp_path / "logs"), str(tmp_path / "logs"))
    assert server.requests == [] and (tmp_path / "logs").read_text() == "mine"


@pytest.mark.parametrize(
    "content", [b"", b"PK no zip", b"PK\x05\x06" + b"\0" * 18], ids=["empty", "cut", "no member"]
)
def test_a_damaged_log_among_the_others_is_named_before_anything_is_sent(
    tmp_path: Path, server: Loopback, content: bytes
) -> None:
    file, logs = project(tmp_path, server), tmp_path / "logs"
    logs.mkdir()
    (logs / "2026-01-01T00-00-00_echo_x.eval").write_bytes(content)
    one_line(sweep(file, logs), "2026-01-01T00-00-00_echo_x.eval", "damaged", "move it out of")
    assert server.requests == []


@pytest.mark.parametrize("room", [0, 3000, 9000])
def test_a_full_log_disk_is_one_line_and_the_same_command_goes_on(
    tmp_path: Path, server: Loopback, room: int, monkeypatch: pytest.MonkeyPatch, room_for: Any
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # CPython leaves a torn .pyc of the task file there
    file, logs = project(tmp_path, server), tmp_path / "logs"
    with room_for(room):
        full = sweep(file, logs)
    one_line(full)
    assert len(server.requests) <= 4  # nothing twice
    done = sweep(file, logs)
    assert done.exit_code == 0, done.output
