"""docs/tables.md: its files are collected by its commands, which print what the page says."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.outcomes import read_outcomes
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- file: (.*?) -->\n```\w+\n(.*?)```", TEXT, flags=re.S))
RUNS = re.findall(r"<!-- run: (--\S+) -->\n```console\n(.*?)```", TEXT, flags=re.S)
PYTHON = re.findall(r"<!-- run: python -->\n```python\n(.*?)```\n\n```text\n(.*?)```", TEXT, flags=re.S)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("option", "block"), RUNS, ids=[option for option, _ in RUNS])
def test_a_command_of_the_page_prints_what_stands_there(page: Path, option: str, block: str) -> None:
    for call in block.split("$ ")[1:]:
        command, _, printed = call.partition("\n")
        words = shlex.split(command)
        assert words[0] == "router-lab"
        shown = CliRunner().invoke(cli, words[1:]).output
        # How long it took is no part of the page.
        assert [
            line for line in shown.splitlines() if not line.startswith("collecting ")
        ] == printed.splitlines()
    assert option in block


def test_what_the_page_collects(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (len(FILES), len(RUNS), len(PYTHON)) == (5, 3, 1)
    for _, block in RUNS:
        CliRunner().invoke(cli, shlex.split(block.split("$ ")[-1].splitlines()[0])[1:])
    ours = read_outcomes(page / "ours.parquet")
    assert ours[
        ["suite", "sample_id", "model", "prompt", "quality", "cost_usd", "region"]
    ].to_numpy().tolist() == [
        ["support", "007", "gpt-5", "What is NA?", 1.0, 0.012, "NA"],
        ["support", "007", "haiku", "What is NA?", 0.0, 0.001, "NA"],
        ["support", "008", "gpt-5", "And null?", 1.0, 0.011, "EU"],
        ["support", "008", "haiku", "And null?", 1.0, 0.001, "EU"],
    ]
    # The bill's, and (2,400 × 1.25 + 300 × 10) / 1,000,000.
    assert read_outcomes(page / "paid.parquet")["cost_usd"].tolist() == pytest.approx([0.012, 0.006])
    CliRunner().invoke(cli, ["collect", "asked.csv", "--out", "asked.parquet"])
    asked = {
        one["model"]: one["request"] for one in read_outcomes(page / "asked.parquet").attrs["candidates"]
    }
    assert asked == {
        "openai/gpt-5": {"api": "openai_responses", "arguments": {"model": "gpt-5"}},
        "haiku": {"api": "anthropic", "arguments": {"model": "claude-haiku-4-5", "max_tokens": 2048}},
    }
    wide = read_outcomes(page / "wide.parquet")
    assert list(zip(wide["model"], wide["effort"].fillna("default"), strict=True))[:2] == [
        ("gpt-5", "default"), ("haiku", "high"),
    ]  # fmt: skip
    code, printed = PYTHON[0]
    (page / "ours.py").write_text(code, encoding="utf-8")
    with pytest.warns(match="make no row"):
        runpy.run_path("ours.py")
    assert capsys.readouterr().out == printed
