"""docs/extending.md: its files are written as named, its sweep runs against a server on loopback, its fitter fits."""

from __future__ import annotations

import gc
import re
import runpy
from pathlib import Path

import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.fit.fitters import FITTERS
from router_lab.outcomes import read_outcomes
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
