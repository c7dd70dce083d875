"""What would hold a sweep: another sweep on its folder, and a server whose answer trickles for ever."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from router_lab.runtime.errors import InputError
from router_lab.runtime.locks import FolderLock
from router_lab.sweep import run_sweep
from tests.servers.grid import price, write_project

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
NAME, CLAUDE = "openai-api/local/slow", "anthropic/claude-haiku-4-5"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: 100000\r\n"


@pytest.fixture
def dripping(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port that sends the parametrized beginning at once, and then a byte each 50 ms."""
    listener, over = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def drip(peer: socket.socket) -> None:
        try:
            peer.sendall(request.param)
            while not over.is_set():
                peer.sendall(b" " if b"\r\n\r\n" in request.param else b"a")
                time.sleep(0.05)
        except OSError:
            pass
        finally:
            peer.close()

    def serve() -> None:
        while not over.is_set():
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=drip, args=(peer,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    over.set()
    listener.close()


@pytest.mark.parametrize(
    ("dripping", "model"),
    [
        (HEAD % b"application/json" + b"\r\n", NAME),
        (HEAD % b"application/json" + b"X-Slow: ", NAME),
        (HEAD % b"text/event-stream" + b"\r\n", CLAUDE),
    ],
    indirect=["dripping"],
)
def test_an_answer_that_trickles_is_given_up_and_counts_at_its_worst_case(
    dripping: int, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOCAL_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "x")
    url = f"http://127.0.0.1:{dripping}" + ("" if model == CLAUDE else "/v1")
    sweep = {
        "models": [{"model": model, "base_url": url}], "timeout": 1, "max_retries": 0, "config": {"max_tokens": 10},
        "limits": {"usd": 0.1}, "budget_usd": 1.0,
    }  # fmt: skip
    suites = {"echo": {"task": "tasks.py@echo", "args": {"n": 1}}}
    file = write_project(tmp_path, sweep, suites, prices={NAME: price(1, 2)})
    result = run_sweep(file, tmp_path / "logs", quiet=True)
    assert result.failed == 1 and 0 < result.spent_usd == result.reserved_usd <= 0.1


def test_one_sweep_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_API_KEY", "x")
    models = [{"model": NAME, "base_url": "http://127.0.0.1:9/v1"}]
    file = write_project(tmp_path, {"models": models}, prices={NAME: price(1, 2)})
    with FolderLock(tmp_path / "logs", "sweep t"), pytest.raises(InputError, match=r"sweep t \(process \d+ on .*holds"):
        run_sweep(file, tmp_path / "logs", quiet=True)
    assert [path.name for path in (tmp_path / "logs").iterdir()] == [".router-lab.lock"], "nothing was written"
