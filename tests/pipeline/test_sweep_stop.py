"""What only the operator can mend stops a candidate at once, is no evidence against it, is asked again."""

import asyncio
import json
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from inspect_ai._util.error import EvalError
from inspect_ai.log import EvalSample, ProvenanceData, invalidate_samples, read_eval_log, write_eval_log
from inspect_ai.model import GenerateConfig, ModelAPI, ModelOutput

from router_lab.cli import cli
from router_lab.collect import collect
from router_lab.masking import know
from router_lab.runtime.model import Candidate
from router_lab.sweep.guard import Breaker, RefusedError, guard
from router_lab.sweep.stop import Stops, Where
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
ODD = "openai-api/local/odd"
REFUSALS[ODD] = openai(400, "temperature: 9 is above the maximum of 2", "decimal_above_max_value")
"""Of settings that no request can have; samples that are on their way are asked."""
NOBODY, FINE = "openai-api/local/nobody", "openai-api/local/fine"
SAID = {
    "openai-api/local/key": "Error code: 401 - Incorrect API key provided: ***",
    "openai-api/local/page": "Error code: 404 - a web page, not an API: is base_url right?",
    "openai-api/local/quota": "Error code: 429 - You exceeded your current quota",
    "anthropic/claude-haiku-4-5": "Error code: 404 - model: claude-haiku-4-5",
    ODD: "Error code: 400 - temperature: 9 is above the maximum of 2",
    NOBODY: "http://127.0.0.1:9/v1: Connection error.",
}


def plain_traceback(kind: type[Any], error: BaseException, trace: TracebackType | None) -> tuple[str, str]:
    """Inspect colours each one, which takes a third of a second."""
    return "".join(traceback.format_exception(kind, error, trace)), ""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    for name in ("LOCAL_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "very-secret-key")
    for module in ("inspect_ai.log._log", "inspect_ai.model._model"):
        monkeypatch.setattr(f"{module}.format_traceback", plain_traceback)
    with serving() as running:
        yield running


def project(folder: Path, server: Loopback) -> Path:
    def model(name: str) -> dict[str, object]:
        url = server.root if name.startswith("anthropic") else server.url
        return {
            "model": name,
            "base_url": "http://127.0.0.1:9/v1" if name == NOBODY else url,
            "max_connections": 1,
        }

    names = [*REFUSALS, NOBODY, FINE]
    suites = {"echo": {"task": "tasks.py@echo", "args": {"n": N}}}
    sweep = {"models": list(map(model, names)), "max_retries": 5, "config": {"max_tokens": 99}}
    return write_project(
        folder, sweep, suites, prices={FINE: price(1, 2), **{name: price(1, 5) for name in names}}
    )


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
    assert all(sent[name] == 3 for name in server.refusing if name != "odd") and sent["fine"] == N, sent
    assert 3 <= sent["odd"] <= N
    rows, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    bad, fine = rows[rows["model"] != FINE], rows[rows["model"] == FINE]
    assert set(bad["status"]) == {"infra", "budget"} and bad["quality"].isna().all()
    assert set(bad.groupby("model").size()) == {N}, "none is silently absent"
    assert bad[bad["status"] == "budget"]["reason"].str.startswith("not run: the log ended early").all()
    assert len(fine) == N and set(fine["status"]) == {"ok"}
    kinds = Counter(one["kind"] for one in rows.attrs["provenance"]["left_out"])
    assert kinds == {"lost": len(SAID), "not run": len(SAID) - (sent["odd"] == N)}

    server.refusing = {}
    again = CliRunner().invoke(cli, [*command, "--json"])
    assert again.exit_code == 1, again.output
    assert [one["model"] for one in json.loads(again.stdout)["stopped"]] == [NOBODY]
    now = asked(server)
    assert now["fine"] == N and all(now[name] - sent[name] == N for name in now.keys() - {"fine"}), (
        "none is paid twice"
    )
    rows, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    done = rows[rows["model"] != NOBODY]
    assert len(done) == (len(REFUSALS) + 1) * N and set(done["status"]) == {"ok"}


def test_sigterm_ends_a_sweep_as_ctrl_c_does_and_resuming_pays_nothing_twice(
    server: Loopback, tmp_path: Path
) -> None:
    """What was in flight is no evidence, what was not begun is named, though an earlier run has left its manifest.

    As a script's `router-lab sweep … &` has it: with SIGINT ignored."""
    server.delay = 0.3
    model = {"model": FINE, "base_url": server.url, "max_connections": 2}
    file = write_project(tmp_path, {"models": [model]}, prices={FINE: price(1, 2)})
    command = [
        str(Path(sys.executable).with_name("router-lab")),
        "sweep",
        str(file),
        "--log-dir",
        str(tmp_path / "logs"),
    ]
    first = CliRunner().invoke(cli, [*command[1:], "--limit", "2", "--quiet"])
    assert first.exit_code == 0, first.output
    process = subprocess.Popen(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    while sum(server.answered.values()) < 5 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 143 and "interrupted: what was finished is kept" in said, said
    rows, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    assert len(rows) == 12 and {"ok", "budget"} <= set(rows["status"]) <= {"ok", "infra", "budget"}
    finished = rows[rows["status"] == "ok"]
    assert len(finished) >= 4 and finished["quality"].eq(1).all() and rows["quality"].count() == len(finished)
    unrun = set(rows["reason"].dropna()) - {"cancelled"}
    assert len(unrun) == 1 and unrun.pop().startswith("not run: the sweep was interrupted; run it again")
    sent = len(server.requests)
    again = CliRunner().invoke(cli, [*command[1:], "--json"])
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["reused"] == len(finished)
    assert len(server.requests) - sent == 12 - len(finished)
    rows, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    assert len(rows) == 12 and set(rows["status"]) == {"ok"} and "left_out" not in rows.attrs["provenance"]

    # A person sets one of them aside: the next run asks for that one alone.
    [name] = json.loads((tmp_path / "logs/sweep.json").read_text())["logs"]
    log = read_eval_log(str(tmp_path / "logs" / name))
    assert log.samples is not None and log.samples[0].uuid is not None
    aside = invalidate_samples(
        log, [log.samples[0].uuid], ProvenanceData(author="ana", reason="wrong target")
    )
    write_eval_log(aside, log.location)
    rows, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    assert rows["reason"].dropna().tolist() == ["invalidated by ana: wrong target"]
    sent = len(server.requests)
    last = CliRunner().invoke(cli, [*command[1:], "--json"])
    assert json.loads(last.stdout)["reused"] == 11 and len(server.requests) - sent == 1
    assert set(collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")[0]["status"]) == {"ok"}


def sample_of(error: str | None) -> EvalSample:
    ended = None if error is None else EvalError(message=error, traceback="", traceback_ansi="")
    return EvalSample(id=1, epoch=1, input="q", target="a", error=ended)


def test_a_judge_that_is_refused_stops_the_candidate_on_that_suite_too() -> None:
    """The candidate answers, and is paid for; what ends its samples is the judge's key."""
    told: list[str] = []
    know("very-secret")
    stops = Stops(told.append)
    stops.begun("e", ("s", Candidate("m", "low")), "task")
    refused = sample_of("Error code: 401 - bad key very-secret")
    for _ in range(2):
        stops.ended("e", refused)
    assert not stops.reasons
    stops.ended("e", sample_of("Error code: 503 - overloaded"))
    stops.ended("e", refused)
    assert stops.reasons == {("s", Candidate("m", "low")): "Error code: 401 - bad key ***"}
    assert told == ["m @ low is stopped on s: Error code: 401 - bad key ***"]
    # Once there were answers, a few refusals in between stop nothing, and many in a row do.
    stops = Stops(told.append)
    stops.begun("e", ("s", Candidate("m")), "task")
    for error in [None, *["Error code: 403 - no"] * 7, None, *["Error code: 403 - no"] * 7]:
        stops.ended("e", sample_of(error))
    assert not stops.reasons
    stops.ended("e", refused)
    assert list(stops.reasons) == [("s", Candidate("m"))]
    # A request that cannot be counts until another was answered, be it in an earlier run.
    for before, stopped in ((set[Where](), 1), ({("s", Candidate("m"))}, 0)):
        stops = Stops(told.append, answered=before)
        stops.begun("e", ("s", Candidate("m")), "task")
        for _ in range(20):
            stops.ended("e", sample_of("Error code: 400 - temperature: 9 is above the maximum of 2"))
        assert len(stops.reasons) == stopped
    # A cell of two samples, both refused.
    stops = Stops(told.append)
    stops.begun("e", ("s", Candidate("m")), "task")
    stops.ended("e", refused)
    stops.close()
    assert list(stops.reasons) == [("s", Candidate("m"))]


def test_a_call_that_is_not_made_costs_nothing_and_an_outage_after_an_answer_stops_nobody() -> None:
    free: list[bool] = []
    answers: list[Any] = []

    class Api(ModelAPI):
        async def generate(self, *args: Any, **kwargs: Any) -> ModelOutput:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return ModelOutput.from_content("m", answer)

    api, breaker = Api("m", base_url="http://h/v1"), Breaker("m")
    guard(api, breaker, free.append)

    def ask(answer: Any) -> str:
        answers[:] = [answer]
        try:
            return asyncio.run(api.generate([], [], "none", GenerateConfig())).completion
        except (httpx.ConnectError, RefusedError) as error:
            return f"{type(error).__name__}: {error}"

    nobody = httpx.ConnectError("[Errno 111] Connection refused")
    assert ask("yes") == "yes"
    assert [ask(nobody) for _ in range(8)] == [f"ConnectError: {nobody}"] * 8 and breaker.stopped is None
    now = [100.0]
    breaker = Breaker("m", clock=lambda: now[0])
    guard(api, breaker, free.append)
    free.clear()
    # A server that is about to start, or whose queue is full, is tried again by Inspect at first.
    assert [ask(nobody) for _ in range(3)] == [f"ConnectError: {nobody}"] * 3 and breaker.stopped is None
    now[0] = 102.0
    said = [ask(nobody) for _ in range(4)]
    assert said[0].startswith("RefusedError: http://h/v1: [Errno 111]") and said[2].startswith(
        "StoppedError: http://h"
    )
    assert said[3] == f"StoppedError: not asked again: http://h/v1: {nobody}" and answers == [nobody]
    assert free[-1] is True and all(free)
