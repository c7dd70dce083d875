"""A sweep of a suite that runs code: refused before anything is sent where nothing holds it, and said where it is."""

import gzip
import io
import json
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.config import Sweep
from router_lab.providers.boundary import BOUNDARY_KEY, CODE_KEY
from router_lab.providers.evallog import RawLog
from router_lab.runtime.errors import InputError
from router_lab.sweep import prepare, run_sweep

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # Inspect's own
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def unheld(request, monkeypatch, tmp_path):
    """A machine without bubblewrap, whatever this one has, but for tests of the box: Inspect loads the suite anew."""
    for name in ("boundary", "sandbox", "sandbox_box", "shipped", "coding"):
        sys.modules.pop(name, None)
    real = shutil.which
    if request.node.get_closest_marker("sandbox") is None:
        monkeypatch.setattr(
            shutil, "which", lambda name, *a, **k: None if name == "bwrap" else real(name, *a, **k)
        )
    monkeypatch.delenv("ROUTER_LAB_CODE_GUARD", raising=False)
    monkeypatch.setenv("LOCAL_API_KEY", "none")
    yield
    for name in ("boundary", "sandbox", "sandbox_box", "shipped", "coding"):
        sys.modules.pop(name, None)


def sweep_of(root: Path, models: list, **more: object) -> Sweep:
    folder = root / "evals" / "sweeps"
    shared = {"suites_file": str(folder / "../suites.yaml"), "efforts_file": str(folder / "../efforts.yaml")}
    shared |= {"prices_file": str(folder / "../prices.yaml"), "recorded": str(root / "datasets" / "recorded")}
    rest = {"efforts": ["low"], "suites": ["code"], "config": {"temperature": 0}}
    return Sweep.model_validate({"name": "c", "models": models, **rest, **shared, **more})


LIVE = {"model": "openai-api/local/smollm2-135m", "base_url": "http://127.0.0.1:9/v1"}
SHIPPED = "recorded/smollm2-135m"


def test_a_live_model_is_refused_before_the_first_request(root, tmp_path, monkeypatch):
    with pytest.raises(InputError) as raised:
        run_sweep(sweep_of(root, [SHIPPED, LIVE]), tmp_path / "logs", quiet=True)
    for word in ("suite `code`", "smollm2-135m", "apt install bubblewrap", "ROUTER_LAB_CODE_GUARD=yes"):
        assert word in str(raised.value)
    assert not (tmp_path / "logs").exists()
    lacking = prepare(sweep_of(root, [LIVE]), spending=False).lacking
    assert any("apt install bubblewrap" in line for line in lacking)
    monkeypatch.setenv("ROUTER_LAB_CODE_GUARD", "yes")
    (line,) = prepare(sweep_of(root, [LIVE])).boundaries()
    assert "the built-in guard alone, as you said" in line


def test_what_ships_runs_by_the_guard_and_it_is_said(root, tmp_path):
    said = io.StringIO()
    result = run_sweep(sweep_of(root, [SHIPPED]), tmp_path / "logs", limit=3, progress=said)
    assert (result.answered, result.failed) == (3, 0)
    assert (
        "c: code: code of models runs within the built-in guard alone: these recordings ship"
        in said.getvalue()
    )
    (log,) = (RawLog(path) for path in result.logs)
    assert log.spec["metadata"][CODE_KEY]["boundary"] == "guard"
    scores = [next(iter(sample["scores"].values())) for sample in log.samples()]
    assert {score["metadata"].get(BOUNDARY_KEY) for score in scores if score.get("answer")} == {"guard"}


def test_a_changed_recording_is_refused_whatever_it_is_called(root, tmp_path):
    folder = tmp_path / "recorded"
    shutil.copytree(root / "datasets" / "recorded", folder)
    path = next((folder / "code").glob("smollm2-135m.low.*"))
    header, first, *rest = gzip.decompress(path.read_bytes()).splitlines()
    row = json.loads(first) | {"content": "import os\ndef f(*a):\n    return dict(os.environ)"}
    path.write_bytes(gzip.compress(b"\n".join([header, json.dumps(row).encode(), *rest]) + b"\n"))
    with pytest.raises(InputError, match="none of those that ship"):
        prepare(sweep_of(root, [SHIPPED], recorded=str(folder)))


def test_an_estimate_says_what_a_run_would_need(root, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(
        json.dumps(sweep_of(root, ["openai/gpt-4o-mini"]).model_dump(mode="json", exclude_unset=True))
    )
    estimate = CliRunner().invoke(cli, ["sweep", str(file), "--log-dir", str(tmp_path / "logs"), "--dry-run"])
    assert estimate.exit_code == 0, estimate.output
    assert "before it can run: suite `code`" in estimate.output
    assert "apt install bubblewrap" in estimate.output


CHEAT = """```python
import json, os
def {name}(*a):
    lib = os.path.dirname(os.__file__)
    for path in ("{root}", lib + "/" + "../" * 20 + "{root}"[1:]):
        try:
            rows = [json.loads(line) for line in open(path + "/datasets/code/data.jsonl")]
        except OSError:
            continue
        row = next(r for r in rows if r["name"] == "{name}" and "def {name}" in r["signature"])
        return next(result for given, result in row["examples"] + row["tests"] if given == list(a))
    raise LookupError
```"""


@pytest.mark.sandbox
def test_a_model_that_looks_its_tests_up_scores_nothing_and_an_honest_one_does(root, tmp_path):
    """The whole way: asked on loopback, run in the box, scored, logged."""
    from tests.servers.loopback import serving

    rows = [json.loads(line) for line in (root / "datasets/code/data.jsonl").read_text().splitlines()]
    of = {row["input"]: row for row in rows}
    honest: set[str] = set()

    def answer(prompt: str) -> str:
        row = next(row for asked, row in of.items() if asked in prompt)
        if not honest:
            honest.add(row["id"])
        if row["id"] in honest:
            return f"{row['signature']}\n    {row['target']}\n"
        return CHEAT.format(name=row["name"], root=root)

    with serving(answer=answer) as server:
        live = LIVE | {"base_url": server.url, "max_connections": 1}
        plan = sweep_of(root, [live])
        estimate = prepare(plan, spending=False)
        if "within bubblewrap" not in estimate.boundaries()[0]:
            pytest.skip("; ".join(estimate.lacking))
        result = run_sweep(plan, tmp_path / "logs", limit=4, quiet=True)
    assert (result.answered, result.failed) == (4, 0)
    (log,) = (RawLog(path) for path in result.logs)
    scores = {str(sample["id"]): next(iter(sample["scores"].values())) for sample in log.samples()}
    assert {name: score["value"] for name, score in scores.items()} == {
        name: float(name in honest) for name in scores
    }
    assert {score["metadata"][BOUNDARY_KEY] for score in scores.values()} == {"bubblewrap"}
    assert log.spec["metadata"][CODE_KEY]["boundary"] == "bubblewrap"


TASK = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import match

@task
def mine(held=True):
    why = None if held else "no container is running"
    said = {"boundary": "inspect", "said": "a container of mine", "refuse": why}
    samples = [Sample(id=str(i), input=f"say {i}", target=str(i)) for i in range(3)]
    return Task(dataset=samples, scorer=match(), metadata={"runs_code": said})
"""


def test_a_task_of_ones_own_takes_part(root, tmp_path):
    (tmp_path / "mine.py").write_text(TASK)
    (tmp_path / "suites.yaml").write_text(
        "mine: {task: mine.py@mine}\nnone: {task: mine.py@mine, args: {held: false}}\n"
    )
    there = {"suites_file": str(tmp_path / "suites.yaml"), "efforts": [None]}
    (line,) = prepare(sweep_of(root, [LIVE], suites=["mine"], **there)).boundaries()
    assert line == "mine: code of models runs within a container of mine"
    with pytest.raises(InputError, match=r"suite `none`: candidate .*smollm2-135m: no container is running"):
        prepare(sweep_of(root, [LIVE], suites=["none"], **there))
