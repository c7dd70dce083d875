"""Which answers people are to judge: every candidate's to the same samples, in random order, without a score."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.gates.audit import read_audit
from router_lab.gates.to_judge import to_judge
from router_lab.outcomes import read_outcomes, validate_outcomes, write_outcomes
from router_lab.runtime.errors import InputError


def outcomes(samples: int = 9, suites: tuple[str, ...] = ("a",)) -> pd.DataFrame:
    """Two candidates, two epochs, one sample that failed for no fault of theirs."""
    rows = [
        {"suite": suite, "sample_id": f"s{at}", "epoch": epoch, "model": model, "prompt": f"question {at}",
         "quality": 1.0, "answer": f"{model} {at} {epoch}", "status": "ok"}
        for suite in suites for at in range(samples) for model in ("cheap", "dear") for epoch in (1, 2)
    ]  # fmt: skip
    rows[0] |= {"status": "infra", "quality": None}
    return validate_outcomes(pd.DataFrame(rows))


def test_each_candidate_answers_the_same_drawn_samples_once() -> None:
    found = to_judge(outcomes(), count=4, seed=1)
    assert len(found) == 8 and found["sample_id"].nunique() == 4
    assert (found.groupby("sample_id")["model"].nunique() == 2).all()
    assert set(found["quality"]) == {""} and {"prompt", "answer", "epoch"} <= {*found.columns}
    pd.testing.assert_frame_equal(found, to_judge(outcomes(), count=4, seed=1))
    assert set(found["sample_id"]) != set(to_judge(outcomes(), count=4, seed=2)["sample_id"])
    assert found["model"].tolist() != sorted(found["model"])


def test_an_answer_is_the_first_epoch_that_ran() -> None:
    found = to_judge(outcomes(), samples=["s0", "s1", "gone"]).set_index(["sample_id", "model"])["epoch"]
    assert found.to_dict() == {("s0", "cheap"): 2, ("s0", "dear"): 1, ("s1", "cheap"): 1, ("s1", "dear"): 1}


def test_an_answer_is_no_formula_and_ends_no_row_where_people_read_it(tmp_path: Path) -> None:
    table = outcomes().assign(answer="=HYPERLINK(1)\rso", prompt="- one\n- two")
    path = write_outcomes(table, tmp_path / "o.parquet")
    done = CliRunner().invoke(cli, ["audit", str(path), "--out", str(tmp_path / "l.csv"), "--count", "2"])
    assert done.exit_code == 0
    found = list(csv.DictReader(io.StringIO((tmp_path / "l.csv").read_bytes().decode(), newline="")))
    assert len(found) == 4 and {(row["prompt"], row["answer"]) for row in found} == {
        ("'- one\n- two", "'=HYPERLINK(1)\rso")
    }
    (tmp_path / "l.csv").write_bytes((tmp_path / "l.csv").read_bytes().replace(b',""\n', b",1\n"))
    labels = read_audit(str(tmp_path / "l.csv"), read_outcomes(path))
    assert len(labels) == 4 and set(labels["error"]) == {0.0}


def test_what_cannot_be_judged_says_why() -> None:
    with pytest.raises(InputError, match="hold no answers"):
        to_judge(outcomes().drop(columns="answer"))
    with pytest.raises(InputError, match=r"hold 2 suites \(a, b\)"):
        to_judge(outcomes(suites=("a", "b")))
    with pytest.raises(InputError, match="none of the 1 samples named"):
        to_judge(outcomes(), samples=["gone"])
    with pytest.raises(InputError, match="no sample of suite 'c'"):
        to_judge(outcomes(), "c")


def test_the_command_refuses_a_table_without_samples(tmp_path: Path) -> None:
    path = write_outcomes(outcomes(), tmp_path / "o.parquet")
    (tmp_path / "odd.csv").write_text("suite,question\na,b\n")
    call = ["audit", str(path), "--out", str(tmp_path / "l.csv")]
    done = CliRunner().invoke(cli, [*call, "--samples", str(tmp_path / "odd.csv")])
    assert done.exit_code == 1 and "column sample_id is missing" in done.output
    done = CliRunner().invoke(cli, [*call, "--count", "2"])
    assert done.exit_code == 0 and "4 answers to 2 samples" in done.output
