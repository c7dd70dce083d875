"""docs/results.md says what tests/bench/public.json does, that is what the data give, and a reader can make the data."""

from __future__ import annotations

import json
import re
import runpy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from router_lab.cli.collect import collect
from router_lab.fit import fit_policy
from router_lab.outcomes import read_outcomes, validate_outcomes
from router_lab.replay import replay
from router_lab.report import Mark, pareto_svg
from router_lab.runtime.errors import RouterLabWarning
from router_lab.runtime.model import Candidate
from tests.bench import public, public_page
from tests.conftest import ROOT

KEPT: dict[str, Any] = json.loads(public.KEPT.read_text("utf-8"))
CONVERTER = ROOT / "docs" / "examples" / "openhands_index.py"
PAGE = public_page.PAGE.read_text("utf-8")


@pytest.mark.parametrize("path", [public_page.PAGE, public_page.README], ids=lambda path: path.name)
def test_the_blocks_are_those_of_the_kept_figures(path: Path) -> None:
    text = path.read_text("utf-8")
    assert {name for _, name, _, _ in public_page.BLOCK.findall(text)} <= set(public_page.blocks(KEPT))
    assert public_page.filled(text, public_page.blocks(KEPT)) == text


def test_the_page_has_every_block_and_the_readme_the_first() -> None:
    names = [name for _, name, _, _ in public_page.BLOCK.findall(PAGE)]
    assert sorted([*names, "first"]) == sorted(public_page.blocks(KEPT))
    readme = public_page.README.read_text("utf-8")
    assert [name for _, name, _, _ in public_page.BLOCK.findall(readme)] == ["first"]


def test_figures_in_the_prose_stand_in_the_tables() -> None:
    tables = "".join(text for _, _, text, _ in public_page.BLOCK.findall(PAGE))
    prose = re.sub(r"```.*?```", "", public_page.BLOCK.sub("", PAGE), flags=re.S)
    found = re.findall(r"\d+\.\d\b(?! GB| s\b)", prose)
    assert len(found) > 4
    assert [number for number in found if number not in tables] == []


def test_a_cheap_table_is_recomputed() -> None:
    """Every context policy against `raw` of its model, with its interval."""
    if not (public.DATA / "agent_context.parquet").exists():
        pytest.skip(f"{public.DATA} is not there (ROUTER_LAB_BENCH_DATA)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RouterLabWarning)
        found = public.contexts()
    assert len(found) == len(KEPT["contexts"])
    for now, kept in zip(found, KEPT["contexts"], strict=True):
        figures = {key for key, value in kept.items() if isinstance(value, float)}
        assert {key: now[key] for key in figures} == pytest.approx({key: kept[key] for key in figures})
        assert {k: v for k, v in now.items() if k not in figures} == {
            k: v for k, v in kept.items() if k not in figures
        }


def test_masking_backfires_in_the_second_scaffold_and_a_wider_window_does_not() -> None:
    words = {(one["suite"], one["model"], one["effort"]): one for one in KEPT["contexts"]}
    mask = words["openhands", "gemini-2.5-flash", "mask"]
    assert (
        mask["verdict"] == "fail"
        and mask["backfires"]
        and mask["quality_difference"] == pytest.approx(-0.112)
    )
    assert words["openhands", "gemini-2.5-flash", "mask72"]["verdict"] != "fail"
    assert words["sweagent", "gemini-2.5-flash", "mask"]["verdict"] == "pass"


def test_what_names_no_licence_is_left_out() -> None:
    assert all(one["licence"] in ("MIT", "Apache-2.0") for one in KEPT["sources"].values())
    assert {"openhands_index", "agent_context"} <= set(KEPT["sources"])


def test_the_published_files_become_a_table(tmp_path: Path) -> None:
    """Two agents of two scaffolds, a cost that is null, and a task of two benchmarks."""
    checkout = tmp_path / "index"
    runs = {
        "results/big/instance_results/swe-bench.json": {"a__b-1": {"cost": 1.5, "resolved": True}},
        "results/big/instance_results/swt-bench.json": {"a__b-1": {"cost": 0.5, "resolved": False}},
        "alternative_agents/acp/big/instance_results/swe-bench.json": {
            "a__b-1": {"cost": None, "resolved": True}
        },
        "results/big/metadata.json": {"agent_name": "big"},
    }
    for name, content in runs.items():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(json.dumps(content))
    table = tmp_path / "index.csv"
    runpy.run_path(str(CONVERTER))["main"](str(checkout), str(table))
    done = CliRunner().invoke(collect, [str(table), "--out", str(tmp_path / "o.parquet")])
    assert done.exit_code == 0, done.output
    read = read_outcomes(tmp_path / "o.parquet")
    columns = ["suite", "model", "quality", "cost_usd"]
    assert read[columns].astype(object).where(read[columns].notna(), None).to_numpy().tolist() == [
        ["swe-bench", "acp/big", 1.0, None],
        ["swe-bench", "openhands/big", 1.0, 1.5],
        ["swt-bench", "openhands/big", 0.0, 0.5],
    ]


def test_a_task_is_in_one_fold_and_one_cluster() -> None:
    rows = [
        {"suite": suite, "sample_id": f"{i:02}", "model": model, "quality": 1.0, "cost_usd": usd, "fold": i % 2}
        for suite in ("fix", "test") for i in range(60) for model, usd in (("a", 2.0), ("b", 1.0))
    ]  # fmt: skip
    found = public.by_task(validate_outcomes(pd.DataFrame(rows)))
    assert found.groupby("sample_id")["fold"].nunique().eq(1).all() and found["fold"].nunique() == 5
    left = found[found["fold"] == 0]
    played = replay(fit_policy(public.recipe(Candidate("a"), 0.2), found[found["fold"] != 0]), left)
    counts = np.unique(public.tasks(left, played), return_counts=True)[1]
    assert set(counts) == {2} and len(np.unique(played.rows.group)) == 2 * len(counts)


def test_the_picture_names_whoever_is_not_dominated() -> None:
    marks = [
        Mark("front", 1.0, 0.5, on_front=True), Mark("grey", 2.0, 0.4), Mark("dear", 3.0, 0.9, kind="reference"),
    ]  # fmt: skip
    shown = str(pareto_svg(marks, title="t", per="task", dominated=False))
    assert [text for text in ("front", "grey", "dear") if f">{text}</text>" in shown] == ["front", "dear"]
    assert (
        'data-label="grey"' in shown
        and "per task: $2.00" in shown
        and "cost, $ per task (log scale)" in shown
    )
    assert ">grey</text>" in str(pareto_svg(marks, title="t"))


def test_every_label_of_the_results_picture_found_room() -> None:
    picture = public_page.PICTURE.read_text("utf-8")
    assert "unlabelled for want of room" not in picture and "prefers-color-scheme: dark" in picture
    priced = KEPT["openhands_index"]["candidates"] - 2
    assert len(re.findall('class="mark (?:candidate|reference)', picture)) >= priced
    for label in ("openhands/claude-opus-4-8", "openhands/claude-fable-5", "openhands/MiniMax-M3", "policy"):
        assert f">{label}</text>" in picture
