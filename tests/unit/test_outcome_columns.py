"""The registry of columns, and the docs' further row of it, followed from a table to a gate and a page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from router_lab.outcomes.columns import COLUMNS, Column

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process saw whose registry has style_distance, too."""
    code, folder = ROOT / "tests" / "columns_with_style.py", tmp_path_factory.mktemp("style")
    command = [sys.executable, "-W", "error", str(code), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_further_column_is_known_by_its_other_name_and_read(seen: dict[str, Any]) -> None:
    assert "style_distance=distance" in seen["asked"]
    assert seen["means"] == {"cheap": 0.21, "dear": 0.1}  # (57 × .2 + 3 × .4) / 60


def test_a_further_column_is_gated_by_its_mean_and_its_tail(seen: dict[str, Any]) -> None:
    """Everything goes to cheap: .21 is within .3 and beyond .1, and every request within .45."""
    assert seen["gates"] == [["pass", 0.21], ["fail", 0.21], ["pass", 0.2]]


def test_a_further_column_is_reported(seen: dict[str, Any]) -> None:
    rows = [line.split() for line in seen["terminal"].splitlines() if "style" in line or "cheap" in line]
    assert rows[0][-2:] == ["style", "n"] and rows[1][-2:] == ["0.21", "60"]
    assert "<td>0.21</td>" in seen["page"] and seen["tracked"]


def test_rows_are_told_apart_and_tails_are_named_by_their_unit() -> None:
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
    tails = [
        Column(name, "", unit=unit).tail
        for name, unit in (("latency_s", "s"), ("fee_usd", "usd"), ("steps", ""))
    ]
    assert tails == ["latency_p95_s", "fee_p95_usd", "steps_p95"]
