"""What would make a sweep spend more than it may, or hold it: failures, twins, a full disk, answers that trickle."""

import errno
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from router_lab.runtime.errors import InputError
from router_lab.runtime.files import append_line
from router_lab.runtime.locks import FolderLock
from router_lab.sweep import ledger, run_sweep
from tests import warm
from tests.servers.grid import price, write_project
from tests.servers.loopback import serving

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
    with (
        FolderLock(tmp_path / "logs", "sweep t"),
        pytest.raises(InputError, match=r"sweep t \(process \d+ on .*holds"),
    ):
        run_sweep(file, tmp_path / "logs", quiet=True)
    assert [path.name for path in (tmp_path / "logs").iterdir()] == [".router-lab.lock"], (
        "nothing was written"
    )


def _project(tmp_path: Path, url: str, **sweep: object) -> Path:
    models = [{"model": NAME, "base_url": url, "max_connections": 4}]
    settings = {
        "models": models,
        "max_retries": 0,
        "config": {"max_tokens": 1000},
        "limits": {"usd": 0.02},
        **sweep,
    }
    suites = {"echo": {"task": "tasks.py@echo", "args": {"n": 48}}}
    return write_project(tmp_path, settings, suites, prices={NAME: price(1, 15)})


def _with_helper(folder: Path, url: str) -> None:
    (folder / "tasks.py").write_text((folder / "tasks.py").read_text() + HELPED)
    suites = {"echo": {"task": "tasks.py@helped", "args": {"n": 48, "url": url}}}
    (folder / "suites.yaml").write_text(yaml.safe_dump(suites))
    prices = {"models": {NAME: price(1, 15), "openai-api/local/helper": price(1, 15)}}
    (folder / "prices.yaml").write_text(yaml.safe_dump(prices))


def test_samples_that_fail_and_are_paid_are_admitted_again_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call may cost $0.0152, a sample $0.02, so $0.31 hold 15 samples at the least; two in three are cut off after
    the provider has done its work, and cost the whole of it, in every wave and every run."""
    monkeypatch.setenv("LOCAL_API_KEY", "x")

    def answer(prompt: str) -> str:
        number = int(prompt.rsplit(maxsplit=1)[-1])
        if number % 3:
            raise ConnectionError
        return str(number)

    with serving(answer=answer) as server:
        file = _project(tmp_path, server.url, budget_usd=0.31)
        for _ in range(3):
            result = run_sweep(file, tmp_path / "logs", quiet=True)
            assert 0.2 < result.spent_usd <= 0.31
        assert result.failed + result.answered + result.reused < 48
        (tmp_path / "logs" / ledger.LEDGER).unlink()  # and what was spent would be forgotten
        with pytest.raises(
            InputError, match=r"ledger.jsonl: is gone, and \d+ samples beside it .*put the file back"
        ):
            run_sweep(file, tmp_path / "logs", quiet=True)


def test_a_sweep_without_one_answer_ends_with_the_reason_and_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_API_KEY", "x")

    def answer(prompt: str) -> str:
        raise ConnectionError

    with serving(answer=answer) as server:
        file = _project(tmp_path, server.url, budget_usd=0.31)
        command = [str(Path(sys.executable).with_name("router-lab")), "sweep", str(file), "--log-dir"]
        command += [str(tmp_path / "logs"), "--quiet", "--limit", "4"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "Error: no sample was answered, 4 failed, the first with: " in done.stderr
    assert "onnection" in done.stderr.splitlines()[-1]


def test_two_sweeps_at_once_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_API_KEY", "x")
    with serving(delay=0.2) as server:
        file = _project(tmp_path, server.url)
        command = ["sweep", file, "--log-dir", tmp_path / "logs", "--quiet", "--limit", "12"]
        twins = [warm.Warm(command) for _ in range(2)]
        said = [twin.communicate()[1] for twin in twins]
        assert sorted(twin.returncode for twin in twins) == [0, 1], said
        loser = said[0] if twins[0].returncode else said[1]
        assert "sweep t (process" in loser and "holds this folder" in loser, loser
        assert sum(server.answered.values()) == 12


HELPED = '''

@solver
def hinted(url):
    """A model that is no candidate is asked for a hint first."""
    async def solve(state, generate):
        helper = get_model("openai-api/local/helper", base_url=url, api_key="x")
        await helper.generate(f"hint {state.sample_id[1:]}", config={"max_tokens": 1000})
        return await generate(state)
    return solve


@task
def helped(n: int, url: str):
    found = echo(n)
    found.solver = hinted(url)
    return found
'''


@pytest.mark.parametrize("helped", [False, True])
def test_a_full_disk_under_the_ledger_stops_the_sweep_and_its_samples_are_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, helped: bool
) -> None:
    monkeypatch.setenv("LOCAL_API_KEY", "x")
    lines: list[bytes] = []

    def full(path: Path, line: bytes, **more: bool) -> None:
        if len(lines) >= 11:
            raise OSError(errno.ENOSPC, "No space left on device")
        append_line(path, line, **more)
        lines.append(line)

    with serving(delay=0.02) as server:
        file = _project(tmp_path, server.url, budget_usd=4.0, limits={"usd": 0.04})
        if helped:
            _with_helper(tmp_path, server.url)
        monkeypatch.setattr(ledger, "append_line", full)
        with pytest.raises(
            InputError, match=r"ledger.jsonl: the ledger cannot be written: No space left on device"
        ):
            run_sweep(file, tmp_path / "logs", quiet=True)
        opened = sum("open" in json.loads(line) for line in lines)
        assert len(server.requests) <= opened, "no call without its line"
        monkeypatch.setattr(ledger, "append_line", append_line)
        result = run_sweep(file, tmp_path / "logs", quiet=True)
        assert (result.reused + result.answered, result.failed, result.unrun) == (48, 0, 0)
        assert result.spent_usd <= 4.0
        assert set(server.prompts().values()) <= {1, 2}
