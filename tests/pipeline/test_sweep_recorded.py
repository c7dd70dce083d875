"""A sweep of recorded models: little in flight, so that what is finished is on disk early, whatever kills it."""

import signal
import time
from pathlib import Path

import pytest
from inspect_ai import Task
from inspect_ai.hooks import Hooks, SampleEnd, SampleStart, hooks
from inspect_ai.log import list_eval_logs, read_eval_log, read_eval_log_sample_summaries
from inspect_ai.model import get_model

from router_lab.config import load
from router_lab.config.sweep import Sweep
from router_lab.runtime.errors import InputError
from router_lab.sweep import prepare, run_sweep
from router_lab.sweep.bare import Took, added, bare_times, expected_seconds, task_times
from router_lab.sweep.evalset import RECORDED_SAMPLES, at_once
from tests import warm
from tests.servers.grid import price, write_project

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:The 'initial' parameter:DeprecationWarning"),
]
SHARED = ("suites_file", "efforts_file", "prices_file", "recorded")


@pytest.fixture
def sweep_file(root: Path, tmp_path: Path) -> Path:
    """Three recorded candidates on two suites, 200 samples each."""
    lines = [
        "name: part",
        "models: [{model: recorded/smollm2-135m, efforts: [low, high, direct]}]",
        "suites: [arithmetic, triage]",
        "config: {temperature: 0}",
    ]
    whole = load(Sweep, root / "evals" / "sweeps" / "recorded.yaml")
    folder = root / "evals" / "sweeps"
    lines += [f"{key}: {(folder / getattr(whole, key)).resolve()}" for key in SHARED]
    file = tmp_path / "part.yaml"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_a_kill_loses_less_than_one_tasks_buffer(sweep_file: Path, tmp_path: Path, root: Path) -> None:
    logs = tmp_path / "logs"
    process = warm.Warm(["sweep", sweep_file, "--log-dir", logs, "--limit", "80", "--quiet"], cwd=root)
    deadline = time.monotonic() + 240
    while done(logs) < 1 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.poll() is None, "it was over before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    written = {
        (log.name, s.id) for log in list_eval_logs(str(logs)) for s in read_eval_log_sample_summaries(log)
    }
    assert len(written) >= 80
    again = run_sweep(sweep_file, logs, limit=80, quiet=True)
    assert (again.needed, again.failed) == (480, 0)
    assert again.reused == len(written)
    assert again.generated == 480 - len(written)


def done(logs: Path) -> int:
    """Finished logs; a log that is just being written cannot be read."""
    count = 0
    for log in list_eval_logs(str(logs)) if logs.is_dir() else []:
        try:
            count += read_eval_log(log, header_only=True).status == "success"
        except Exception:  # noqa: BLE001  # whatever reading half a zip file raises
            continue
    return count


def test_few_are_in_flight_at_once(sweep_file: Path, tmp_path: Path) -> None:
    Flying.now, Flying.most = 0, 0  # other tests of this process have run samples, too
    run_sweep(sweep_file, tmp_path / "logs", limit=50, quiet=True)
    assert Flying.now == 0
    assert 1 < Flying.most <= RECORDED_SAMPLES  # 300 if the whole grid were under way


@hooks(name="test_flying", description="Counts samples under way")
class Flying(Hooks):
    now = most = 0

    async def on_sample_start(self, data: SampleStart) -> None:
        Flying.now += 1
        Flying.most = max(Flying.most, Flying.now)

    async def on_sample_end(self, data: SampleEnd) -> None:
        Flying.now -= 1


def test_providers_are_all_waited_for_and_written_down_at_once(root: Path) -> None:
    plan = prepare(root / "evals" / "sweeps" / "recorded.yaml")
    recorded, other = plan.tasks[0][1], Task(model=get_model("mockllm/model"))
    assert at_once([recorded] * 3) == {"max_tasks": 1, "max_samples": RECORDED_SAMPLES, "log_realtime": False}
    assert at_once([other] * 3) == {"max_tasks": 3, "log_realtime": True}


def test_the_sweep_is_compared_with_inspect_on_the_same_tasks(sweep_file: Path, tmp_path: Path) -> None:
    plan = prepare(sweep_file, limit=20)
    bare = bare_times(plan, 20)
    with task_times() as swept:
        run_sweep(sweep_file, tmp_path / "logs", limit=20, quiet=True)
    first = [(suite, ("smollm2-135m", "low")) for suite in ("arithmetic", "triage")]
    assert sorted(bare) == first
    assert len(swept) == 6
    for took in (*bare.values(), *swept.values()):
        assert (took.samples, took.seconds > 0, took.cpu > 0) == (20, True, True)
    # Three candidates on each suite; 10 ms a sample on one, 30 on the other: 60 x .01 + 60 x .03.
    alone = {first[0]: Took(10, 0.1, 0.2), first[1]: Took(5, 0.15, 0.3)}
    assert expected_seconds(plan, alone) == pytest.approx(2.4)
    # 20 samples at 20 ms and 10 at 60 would be 1 s of CPU alone; 1.2 is a fifth more. Other candidates do not count.
    mine = {
        first[0]: Took(20, 9, 0.5),
        first[1]: Took(10, 9, 0.7),
        ("triage", "smollm2-135m", "high"): Took(10, 9, 9),
    }
    assert added(mine, alone) == pytest.approx(0.2)


def test_no_provider_is_paid_for_a_measurement(tmp_path: Path) -> None:
    prices = {"mockllm/model": price(1, 1)}
    plan = prepare(write_project(tmp_path, {"models": ["mockllm/model"]}, prices=prices), spending=False)
    with pytest.raises(InputError, match="mockllm/model: only recorded models are run"):
        bare_times(plan, 1)
