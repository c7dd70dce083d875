"""A process in which one more column is a row of the registry: run with a folder to work in, it follows it from
somebody's table to a gate and a page and prints what it saw as JSON. The code is told the row that the docs show."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.pasted import paste, shown


def register() -> None:
    """The docs' row at the registry's end, before all else is read."""
    paste("router_lab.outcomes.columns", "COLUMNS", shown("column"))


def table(path: Path) -> None:
    """60 samples of two candidates: cheap's distance is .2, of every twentieth .4; dear's is .1."""
    rows = ["suite,sample_id,model,effort,quality,cost_usd,distance,prompt"]
    for i in range(60):
        far = 0.4 if i % 20 == 0 else 0.2
        rows.append(f"a,{i},cheap,low,{i % 2},0.001,{far},question {i}")
        rows.append(f"a,{i},dear,,{i % 2},0.01,0.1,question {i}")
    path.write_text("\n".join(rows) + "\n")


def follow(folder: Path) -> dict[str, Any]:
    from click.testing import CliRunner

    from router_lab.cli import cli
    from router_lab.config import Gate
    from router_lab.gates import run_gates
    from router_lab.outcomes import read_outcomes
    from router_lab.report.table import candidate_table
    from router_lab.report.terminal import format_table
    from router_lab.tracking.log import METRICS
    from tests.unit.test_gates import always

    def run(*words: str) -> str:
        done = CliRunner().invoke(cli, list(words))
        assert done.exit_code == 0, done.output
        return done.output

    seen: dict[str, Any] = {}
    out = folder / "outcomes.parquet"
    table(folder / "table.csv")
    seen["asked"] = run("collect", str(folder / "table.csv"), "--out", str(out))
    run("collect", str(folder / "table.csv"), "--map", "style_distance=distance", "--out", str(out))
    frame = read_outcomes(out)
    seen["means"] = frame.groupby("model")["style_distance"].mean().round(6).to_dict()
    seen["terminal"] = format_table(candidate_table(frame))
    run("report", str(out), "--html", str(folder / "page.html"))
    seen["page"] = (folder / "page.html").read_text()
    seen["tracked"] = "style_distance" in METRICS
    gates = [
        Gate(metric="style_distance", max=0.3), Gate(metric="style_distance", max=0.1),
        Gate(metric="style_distance_p95", max=0.45),
    ]  # fmt: skip
    judged = run_gates(always(0), frame, gates).results
    seen["gates"] = [[r.verdict, round(r.value, 6)] for r in judged]
    return seen


if __name__ == "__main__":
    register()
    print(json.dumps(follow(Path(sys.argv[1]))))
