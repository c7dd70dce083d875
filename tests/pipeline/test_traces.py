"""From traces to a gate: import, the suite that it draws swept and judged, collected, audited by people, and the
judge's error carried into the gate."""

from __future__ import annotations

import csv
import gc
import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner, Result

from router_lab.cli import cli
from router_lab.gates import read_audit
from router_lab.gates.audit import judge_errors
from router_lab.outcomes import read_outcomes
from tests.servers.loopback import serving
from tests.trace_exports import START

# Inspect leaves streams to the garbage collector; our own code runs in the same process.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
COUNT = 12


def exported(folder: Path) -> Path:
    """Questions of two routes; one line is broken, and one asks twice."""
    rows = []
    for at in range(COUNT):
        asked = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": f"What is {at} and {at}?"},
        ]
        said = [{"message": {"role": "assistant", "content": f"It is {2 * at}."}, "finish_reason": "stop"}]
        usage = {"prompt_tokens": 1000, "completion_tokens": 100}
        rows.append({
            "id": str(at), "timestamp": START, "route": "sums" if at % 2 else "twice", "session_id": f"s{at}",
            "request": {"model": "gpt-5-mini", "messages": asked},
            "response": {"model": "gpt-5-mini", "choices": said, "usage": usage},
        })  # fmt: skip
    rows.append({**rows[0], "id": "again", "session_id": "s-again"})
    path = folder / "calls.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    return path


def answered(prompt: str) -> str:
    """As the judge it passes everything but what is of 3; as a candidate it answers with the question."""
    if "Judge this new answer" in prompt:
        return "GRADE: I" if "3 and 3" in prompt else "GRADE: C"
    return f"You asked: {prompt[-40:]}"


def run(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(cli, [*map(str, arguments)])
    assert done.exit_code == 0, f"{arguments}\n{done.output}\n{done.exception!r}"
    return done


def test_from_traces_to_an_audited_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = exported(tmp_path)
    done = run(
        "import", source, "--out", "bill", "--suite", "asked", "--samples", 20, "--grader", "openai/gpt-5-nano", "--audit", 5
    )  # fmt: skip
    sweep = Path(done.stdout.splitlines()[-1])
    assert sweep == Path("bill/asked/sweep.yaml") and "1 repeat" in done.output and "line 14" in done.output
    assert yaml.safe_load(sweep.read_text())["models"] == ["openai/gpt-5-mini"]
    with serving(answer=answered) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "x")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        run("sweep", sweep, "--log-dir", "logs", "--quiet")
    gc.collect()
    run("collect", "logs", "--out", "outcomes.parquet")
    outcomes = read_outcomes("outcomes.parquet")
    assert len(outcomes) == COUNT and outcomes["quality"].sum() == COUNT - 1
    assert outcomes["judge_usd"].gt(0).all() and set(outcomes["model"]) == {"openai/gpt-5-mini"}
    made = run("audit", "outcomes.parquet", "--samples", "bill/asked/audit.csv", "--out", "labels.csv")
    assert made.output.startswith("5 answers to 5 samples")
    table = pd.read_csv("labels.csv", dtype={"sample_id": str})
    assert table["quality"].isna().all() and "prompt" in table and "answer" in table
    # People fail the first of those that the judge passed.
    right = outcomes.set_index("sample_id")["quality"].reindex(table["sample_id"]).to_numpy(copy=True)
    right[right.argmax()] = 0.0
    table.assign(quality=right).to_csv("labels.csv", index=False, quoting=csv.QUOTE_MINIMAL)
    audit = read_audit("labels.csv", outcomes)
    assert audit["error"].sum() == -1.0
    (found,) = judge_errors(audit)
    failed = int((right == 0).sum())
    assert (found.suite, found.false_pass.value, found.false_pass.n) == ("asked", 1 / failed, failed)
    assert found.false_fail.value == 0.0
    again = CliRunner().invoke(cli, ["audit", "outcomes.parquet", "--out", "labels.csv"])
    assert again.exit_code == 1 and "is there already" in again.output
