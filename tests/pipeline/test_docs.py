"""docs/extending.md: its files are written as named, its sweep runs against a server on loopback, its fitter fits.
docs/operations.md: its drills are played as they stand, and leave in place what the page says.
docs/chains.md: its application asks a model on loopback, and whom `judge` names."""

from __future__ import annotations

import gc
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.config import Recipe
from router_lab.fit.fitters import FITTERS
from router_lab.outcomes import read_outcomes
from router_lab.publish import current_release, publish
from router_lab.runtime.artifact import save_revision
from router_lab.runtime.chains import Judge, Stage, Term
from router_lab.runtime.decisions import read_decisions
from router_lab.runtime.features import Featuriser
from router_lab.runtime.linear import Linear
from router_lab.runtime.model import Candidate, PolicySpec, Profile
from router_lab.runtime.points import Cascade
from router_lab.runtime.policy import Policy
from tests.bench.siege_common import policies
from tests.conftest import ROOT
from tests.servers.loopback import serving

# Inspect leaves streams to the garbage collector; our own code runs in the same process.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
TEXT = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- file: (.*?) -->\n```\w+\n(.*?)```", TEXT, flags=re.S))
VECTOR = re.findall(r"<!-- run: a vector -->\n```python\n(.*?)```", TEXT, flags=re.S)
FITTER = re.findall(r"<!-- run: a fitter -->\n```python\n(.*?)```", TEXT, flags=re.S)


def run(*words: str) -> str:
    done = CliRunner().invoke(cli, list(words))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_what_the_page_writes_is_swept_and_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCAL_API_KEY", "x")
    assert len(FILES) == 5 and len(FITTER) == len(VECTOR) == 1
    with serving() as server:
        for name, text in FILES.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            address = server.root.rsplit(":", 1)[1]
            (tmp_path / name).write_text(text.replace("127.0.0.1:PORT", f"127.0.0.1:{address}"))
        run("sweep", "evals/sweeps/refunds.yaml", "--quiet")
        assert len(server.requests) == 4 * 30
    gc.collect()
    run("collect", "logs/refunds", "--out", "outcomes.parquet")
    outcomes = read_outcomes(tmp_path / "outcomes.parquet")
    assert set(outcomes["effort"]) == {"brief", "shown"} and outcomes["quality"].mean() == 1.0
    assert outcomes["check"].all() and outcomes["group"].nunique() == 12
    monkeypatch.setitem(FITTERS, "for_quality_only", FITTERS["default"])  # so that the registration is undone
    (tmp_path / "mine.py").write_text(FITTER[0])
    runpy.run_path(str(tmp_path / "mine.py"))
    assert capsys.readouterr().out.split()[0] in ("pass", "inconclusive")  # twelve clusters conclude nothing
    (tmp_path / "vector.py").write_text(VECTOR[0])
    runpy.run_path(str(tmp_path / "vector.py"))
    assert capsys.readouterr().out.split()[0] == "2"


DRILLS = dict(re.findall(r"<!-- drill: (.*?) -->\n```bash\n(.*?)```",
                         (ROOT / "docs" / "operations.md").read_text(encoding="utf-8"), flags=re.S))  # fmt: skip
LEFT = {
    "roll back": (4, "NEW"),
    "keys": (1, "NEW"),
    "fast-forward": (2, "NEW"),
    "damaged": (2, "OLD"),
    "kill": (None, "NEW"),
    "source gone": (1, "NEW"),
}
"""The number (None: any) and the revision that are published after each drill."""


@pytest.mark.parametrize("name", LEFT)
def test_a_drill_ends_as_the_page_says(name: str, tmp_path: Path) -> None:
    assert DRILLS.keys() == LEFT.keys()
    folder = tmp_path / "policies" / "support"
    paths = [save_revision(policy, folder).relative_to(tmp_path) for policy in policies(2)]
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    env |= {"OLD": str(paths[0]), "NEW": str(paths[1]), "NO_COLOR": "1"}
    command = ["bash", "-euo", "pipefail", "-c", DRILLS[name]]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    release, (number, revision) = current_release(folder), LEFT[name]
    assert release is not None and release.number == (number or release.number)
    assert release.revision.startswith(Path(env[revision]).name)
    if name == "source gone":
        first, second = (line.split(maxsplit=2) for line in done.stdout.splitlines()[-2:])
        assert first == [release.revision[:12], "1", "None"]
        assert second[:2] == first[:2] and second[2] != "None"


def test_the_service_of_the_page_serves_what_was_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    [code] = re.findall(r"<!-- service -->\n```python\n(.*?)```", page, flags=re.S)
    revision = save_revision(policies(1)[0], tmp_path / "policies" / "support")
    publish(revision, force=True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "service.py").write_text(code)
    found = runpy.run_path("service.py")
    store = found["store"]
    assert store.check() or store.status.origin == "source"
    assert store.status.revision.startswith(revision.name) and store.status.release == 1
    assert (
        found["decision"].candidate == ("gpt-5", None) or found["decision"].revision == store.status.revision
    )
    assert (
        found["seen"].origin in ("source", "default")
        and (tmp_path / "state" / "support" / "state.json").exists()
    )


def asking(gain: float) -> Policy:
    """cheap, then dear where its log-probability is known and adds `gain`; $1 a million tokens."""
    suites, bias = ("triage",), np.array([[0.6, 0.9, 0.001, 0.01]] * 2)
    term = Term("signal:logprob", (-1.0, 0.0), np.full((2, 1, 2), gain))
    chain = (Stage(0, Judge((1,), ("logprob",), np.zeros((2, 1)), (term,))), Stage(1))
    requests = [
        {"api": "openai_chat", "arguments": {"model": name, "max_tokens": 64}} for name in ("cheap", "dear")
    ]
    profiles = tuple(
        Profile(Candidate(str(request["arguments"]["model"])), request=request) for request in requests
    )
    return Policy(PolicySpec(
        name="support", profiles=profiles, reference=1, suites=suites, featuriser=Featuriser(buckets=1 << 8),
        linear=Linear.constant(bias, np.array([[0.0, 0.0], [1.0, 1.0]])), coverage=0.0, routes={}, fallbacks=(1, 0),
        points={"default": (Cascade((None, 0), 1.0),)}, point="default", chains=(chain,),
        certificate={"verdict": "pass", "reason": "shown"},
    ))  # fmt: skip


@pytest.mark.parametrize(
    ("gain", "printed"),
    [(-0.5, ["cheap chained", "Press reset."]), (0.5, ["cheap chained", "dear escalated", "Press reset."])],
)
def test_the_application_of_the_page_asks_whom_judge_names(
    gain: float, printed: list[str], tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "chains.md").read_text(encoding="utf-8")
    [code] = re.findall(r"<!-- run: chain -->\n```python\n(.*?)```", page, flags=re.S)
    (tmp_path / "mine.py").write_text(code)
    publish(save_revision(asking(gain), tmp_path / "policies" / "support"), force=True)
    with serving(answer=lambda prompt: "Press reset.") as server:
        env = {**os.environ, "OPENAI_API_KEY": "x", "OPENAI_BASE_URL": server.url}
        command = [sys.executable, "mine.py"]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == printed
    assert [bool(request["body"].get("logprobs")) for request in server.requests] == [True, False][
        : len(printed) - 1
    ]
    [row] = read_decisions(tmp_path / "week.jsonl")
    assert [one.model for one in row.get("then", ())] == ["dear"] * (len(printed) - 2)


def test_the_recipe_of_the_page_is_one() -> None:
    page = (ROOT / "docs" / "chains.md").read_text(encoding="utf-8")
    [text] = re.findall(r"<!-- recipe -->\n```yaml\n(.*?)```", page, flags=re.S)
    recipe = Recipe.model_validate(yaml.safe_load(text))
    assert (recipe.signals, recipe.stages, recipe.caps) == (["logprob"], 2, True)
    assert recipe.latency_p95_s == 20
