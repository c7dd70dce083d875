"""A sweep through Inspect against a loopback provider: what is sent, what is kept, what it costs, what resumes."""

import gc
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.collect import collect
from router_lab.providers.export import export_generations
from router_lab.providers.store import file_name, read_recording, write_recording
from router_lab.runtime.errors import InputError
from router_lab.sweep import prepare, run_sweep
from tests import warm
from tests.servers.grid import price, write_project
from tests.servers.loopback import Loopback, serving
from tests.servers.wires import Reply

# Inspect leaves streams to the garbage collector; our own code runs in the same process.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:The 'initial' parameter:DeprecationWarning"),
]

EFFORTS = {
    "shots": {
        "system_message": "Be brief.",
        "max_tokens": 9,
        "few_shot": [{"user": "say 1", "assistant": "1"}],
    }
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    monkeypatch.setenv("LOCAL_API_KEY", "x")
    with serving() as running:
        monkeypatch.setenv("LOCAL_BASE_URL", running.url)
        yield running
    gc.collect()  # while the filters above still hold


def project(folder: Path, **sweep: Any) -> Path:
    models = ["openai-api/local/a", {"model": "openai-api/local/b", "name": "bee"}]
    return write_project(
        folder,
        {"models": models, "efforts": [None, "shots"], "recorded": "recorded", **sweep},
        efforts=EFFORTS,
        prices={"openai-api/local/a": price(1, 2), "bee": price(10, 20)},
    )


def test_every_candidate_sends_its_own_settings_and_resuming_sends_nothing(
    server: Loopback, tmp_path: Path
) -> None:
    file = project(tmp_path)
    first = run_sweep(file, tmp_path / "logs", limit=5, quiet=True)
    assert (first.needed, first.reused, first.generated, first.failed) == (20, 0, 20, 0)
    shots = [r["body"] for r in server.requests if r["body"].get("max_tokens") == 9]
    assert len(shots) == 10
    assert [m["role"] for m in shots[0]["messages"]] == ["system", "user", "assistant", "user"]
    assert [m["content"] for m in shots[0]["messages"][:3]] == ["Be brief.", "say 1", "1"]
    plain = [r["body"] for r in server.requests if "max_tokens" not in r["body"]]
    assert {len(body["messages"]) for body in plain} == {1}

    again = run_sweep(file, tmp_path / "logs", limit=5, quiet=True)
    assert (again.reused, again.generated) == (20, 0)
    more = run_sweep(file, tmp_path / "logs", quiet=True)
    assert (more.needed, more.reused, more.generated) == (48, 20, 28)
    fewer = run_sweep(file, tmp_path / "logs", limit=5, quiet=True)
    assert (fewer.needed, fewer.reused, fewer.generated) == (20, 20, 0)  # not 48 kept of 20
    told = CliRunner().invoke(
        cli, ["sweep", str(file), "--log-dir", str(tmp_path / "logs"), "--dry-run", "--json"]
    )
    assert json.loads(told.stdout)["total"]["samples"] == 0
    assert set(server.prompts().values()) == {1}

    outcomes, calls = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    assert len(outcomes) == len(calls) == 48
    assert set(outcomes["model"]) == {"openai-api/local/a", "bee"}
    # "say 3": 5 characters, so 2 input tokens; the answer "3" is 1 output token.
    row = outcomes[(outcomes.model == "bee") & outcomes.effort.isna() & (outcomes.sample_id == "s3")].iloc[0]
    assert (row.prompt, row.quality, row.input_tokens, row.output_tokens) == ("say 3", 1.0, 2, 1)
    assert row.cost_usd == pytest.approx((2 * 10 + 1 * 20) / 1e6)
    assert row.group == "3"


@pytest.mark.parametrize("share", [None, 0.9])
def test_what_is_finished_beyond_a_lowered_limit_or_share_is_not_paid_again(
    server: Loopback, tmp_path: Path, share: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the lower bound one sample is lacking, so its log is written anew; then the bound rises again."""
    drawn: dict[str, Any] = {} if share is None else {"reference": {"model": "bee"}, "reference_share": share}
    file = project(tmp_path, efforts=[None], max_retries=0, **drawn)
    first = {cell.model: task.dataset[0].input for cell, task in prepare(file).tasks}
    respond, down = server.respond, True

    def broken(path: str, body: dict[str, Any], headers: Any = None) -> Reply:
        fails = down and body["messages"][-1]["content"] in first.values()
        return Reply(b"{}", 500) if fails else respond(path, body, headers)

    monkeypatch.setattr(server, "respond", broken)
    whole = run_sweep(file, tmp_path / "logs", quiet=True)
    assert whole.failed >= 2
    down = False
    if share is not None:
        project(tmp_path, efforts=[None], max_retries=0, **drawn | {"reference_share": 0.4})
    few = run_sweep(file, tmp_path / "logs", limit=5, quiet=True)
    assert 1 <= few.generated <= 2 and few.failed == 0
    project(tmp_path, efforts=[None], max_retries=0, **drawn)
    again = run_sweep(file, tmp_path / "logs", quiet=True)
    assert again.generated == whole.failed - few.generated and again.reused == again.needed - again.generated
    assert set(server.prompts().values()) == {1}


def test_a_changed_preset_or_dataset_is_never_silently_reused(server: Loopback, tmp_path: Path) -> None:
    file = project(tmp_path)
    run_sweep(file, tmp_path / "logs", limit=3, quiet=True)
    (tmp_path / "efforts.yaml").write_text(
        (tmp_path / "efforts.yaml").read_text().replace("assistant: '1'", "assistant: one")
    )
    changed = run_sweep(file, tmp_path / "logs", limit=3, quiet=True)
    assert (changed.reused, changed.generated) == (6, 6)
    (tmp_path / "tasks.py").write_text(
        (tmp_path / "tasks.py").read_text().replace('word: str = "say"', 'word: str = "tell"')
    )
    # A task file is loaded once in a process.
    moved = warm.run(["sweep", file, "--log-dir", tmp_path / "logs", "--limit", "3"])
    assert "0 kept, 12 answered" in moved.stderr, moved.stderr
    outcomes, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    assert len(outcomes) == 12 and set(outcomes["prompt"].str[:4]) == {"tell"}


def test_recorded_generations_give_the_same_table(server: Loopback, tmp_path: Path) -> None:
    live = project(tmp_path / "live")
    run_sweep(live, tmp_path / "live/logs", quiet=True)
    written = export_generations([tmp_path / "live/logs"], tmp_path / "again/recorded")
    bytes_first = [path.read_bytes() for path in written]
    sent = len(server.requests)
    assert len(written) == 4
    assert [
        p.read_bytes() for p in export_generations([tmp_path / "live/logs"], tmp_path / "x")
    ] == bytes_first
    header, rows = read_recording(written[0])
    del header["format"], header["records"]
    older = {**rows[0], "key": "0" * 64, "content": "recorded in an earlier sweep"}
    kept = {**rows[0], "content": "as it was recorded first"}
    write_recording(tmp_path / "x", header, [kept, rows[1], older])
    export_generations([tmp_path / "live/logs"], tmp_path / "x")
    joined = sorted([older, kept, *rows[1:]], key=lambda row: row["key"])
    # Nothing is lost, nothing replaced.
    assert read_recording(tmp_path / "x" / file_name(header))[1] == joined
    write_recording(tmp_path / "x", {**header, "dataset_sha": "another"}, [older])
    with pytest.raises(InputError, match="dataset_sha is 'another'"):
        export_generations([tmp_path / "live/logs"], tmp_path / "x")

    models = ["recorded/openai-api/local/a", {"model": "recorded/bee"}]
    file = project(tmp_path / "again", models=models)
    result = run_sweep(file, tmp_path / "again/logs", quiet=True)
    assert (result.generated, result.failed, len(server.requests)) == (48, 0, sent)
    mine, theirs = (
        collect([tmp_path / d / "logs"], prices=tmp_path / "live/prices.yaml")[0] for d in ("live", "again")
    )
    same = [
        "suite",
        "sample_id",
        "model",
        "effort",
        "quality",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "latency_s",
    ]
    assert mine[same].equals(theirs[same])
    assert mine["settings_sha"].equals(theirs["settings_sha"])

    (tmp_path / "again/tasks.py").write_text(
        (tmp_path / "again/tasks.py").read_text().replace('"say"', '"never said"')
    )
    unknown = warm.run(["sweep", file, "--log-dir", tmp_path / "new", "--limit", "2"])
    assert "8 failed" in unknown.stderr, unknown.stderr
    outcomes, _ = collect([tmp_path / "new"], prices=tmp_path / "live/prices.yaml")
    assert set(outcomes["status"]) == {"infra"}
    assert outcomes["reason"].str.contains("nothing recorded in").all()


def test_a_model_or_preset_never_recorded_is_one_clear_error(tmp_path: Path) -> None:
    file = project(tmp_path, models=["recorded/nobody"], efforts=[None])
    with pytest.raises(
        InputError, match=r"recorded/nobody with settings .* was never recorded in .*; there is: nothing"
    ):
        prepare(file)


BUDGET = {"budget_usd": 1.0, "limits": {"usd": 0.01}, "config": {"max_tokens": 9}}


@pytest.mark.parametrize(
    ("keep_buffer", "always", "later"),
    [(True, {}, {}), (False, {}, {}), (True, {}, {"wave": 3}), (True, BUDGET, {"wave": 3})],
    ids=["kept", "lost", "waves begin at the front again", "waves of a budget"],
)
def test_kill_9_then_again_finishes_and_asks_for_no_finished_sample_twice(
    server: Loopback, tmp_path: Path, keep_buffer: bool, always: dict[str, Any], later: dict[str, Any]
) -> None:
    server.delay = 0.1
    file = project(tmp_path, max_connections=2, wave=12, **always)
    command = ["sweep", str(file), "--log-dir", str(tmp_path / "logs")]
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "data")}
    process = warm.Warm(command, env=environment)
    while len(server.requests) < 24 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.3)
    project(tmp_path, **{"max_connections": 2, "wave": 12, **always, **later})
    if not keep_buffer:
        environment["XDG_DATA_HOME"] = str(tmp_path / "fresh")
    lacking = json.loads(CliRunner().invoke(cli, [*command, "--dry-run", "--json"]).stdout)["total"][
        "samples"
    ]
    told = warm.run(command, env=environment).stderr
    # What --dry-run counts as lacking is what the sweep then generates; finished samples are in the buffers, too.
    assert f"48 samples: {48 - lacking} kept, {lacking} answered, 0 failed" in told
    assert 48 - lacking >= 24 - 8 and len(server.prompts()) == 48
    twice = sum(count - 1 for count in server.prompts().values())
    # In flight at the kill: two connections for each of two models, and what was answered but not yet written down.
    assert twice <= 8
    assert len(server.prompts()) == 48
    outcomes, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    assert len(outcomes) == 48 and set(outcomes["status"]) == {"ok"}
    assert json.loads((tmp_path / "logs/sweep.json").read_text())["needed"] == 48
