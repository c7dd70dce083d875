"""What can be got wrong on the command line: one line (file, key, value, rule), exit 1 or 2, nothing half-written."""

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from router_lab.cli import cli

SUITES = "questions: {task: questions.py@questions}\n"
TASK = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import match

@task
def questions():
    return Task(dataset=[Sample(id="a", input="1+1?", target="2")], scorer=match())
"""
ROWS = {"suite": ["s"] * 2, "sample_id": ["1", "2"], "model": ["m"] * 2, "quality": [1.0, 0.0]}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a valid suite, efforts and prices, to be spoiled one file at a time."""
    (tmp_path / "questions.py").write_text(TASK)
    (tmp_path / "suites.yaml").write_text(SUITES)
    (tmp_path / "efforts.yaml").write_text("brief: {max_tokens: 8}\n")
    (tmp_path / "prices.yaml").write_text("models: {}\n")
    return tmp_path


def sweep_file(home: Path, text: str) -> str:
    path = home / "sweep.yaml"
    files = "suites_file: suites.yaml\nefforts_file: efforts.yaml\nprices_file: prices.yaml\n"
    path.write_text(text + files)
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def assert_one_line(result: Result, *parts: str) -> None:
    """One line that holds every part; exit 1 or 2; no traceback."""
    lines = [line for line in result.stderr.splitlines() if line and not line.endswith("…")]
    assert result.exit_code in (1, 2), result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    assert len([line for line in lines if line.startswith("Error: ")]) == 1, result.output
    for part in parts:
        assert part in lines[-1], f"{part!r} is not in {lines[-1]!r}"


def test_unknown_key(home: Path) -> None:
    file = sweep_file(home, "name: s\nmodels: [mockllm/model]\nsuits: [questions]\n")
    assert_one_line(
        run("sweep", file, "--log-dir", str(home / "logs")), "sweep.yaml", "unknown key `suits`", "known:"
    )
    assert not (home / "logs").exists()


def test_unknown_suite(home: Path) -> None:
    file = sweep_file(home, "name: s\nmodels: [mockllm/model]\nsuites: [quizzes]\n")
    assert_one_line(run("sweep", file, "--log-dir", str(home / "logs")), "sweep.yaml", "quizzes", "questions")
    assert not (home / "logs").exists()


def test_unknown_effort(home: Path) -> None:
    file = sweep_file(home, "name: s\nmodels: [mockllm/model]\nefforts: [breif]\nsuites: [questions]\n")
    assert_one_line(run("sweep", file, "--log-dir", str(home / "logs")), "breif", "brief")
    assert not (home / "logs").exists()


def test_empty_log_directory(home: Path) -> None:
    (home / "logs").mkdir()
    out = home / "outcomes.parquet"
    assert_one_line(run("collect", str(home / "logs"), "--out", str(out)), str(home / "logs"))
    assert not out.exists()


def test_quality_outside_the_unit_interval(home: Path) -> None:
    table, out = home / "table.csv", home / "outcomes.parquet"
    pd.DataFrame({**ROWS, "quality": [1.7, 0.0]}).to_csv(table, index=False)
    result = run("collect", str(table), "--out", str(out))
    assert_one_line(result, "table.csv", "`quality` is 1.7", "[0, 1]")
    assert not out.exists()


def test_two_settings_under_one_name(home: Path) -> None:
    table, out = home / "table.csv", home / "outcomes.parquet"
    pd.DataFrame({**ROWS, "settings_sha": ["a" * 64, "b" * 64]}).to_csv(table, index=False)
    assert_one_line(
        run("collect", str(table), "--out", str(out)),
        "table.csv",
        "candidate m stands",
        "two settings",
        "effort name",
    )
    assert not out.exists()


def test_missing_price(home: Path) -> None:
    table, out = home / "table.csv", home / "outcomes.parquet"
    columns = {"input_tokens": [10, 10], "output_tokens": [5, 5], "started_at": ["2026-11-01T00:00:00"] * 2}
    pd.DataFrame({**ROWS, **columns}).to_csv(table, index=False)
    result = run("collect", str(table), "--out", str(out), "--prices", str(home / "prices.yaml"))
    assert_one_line(result, "'m'", "router-lab prices add")
    assert not out.exists()


def test_damaged_artifact(home: Path) -> None:
    (home / "policy").mkdir()
    (home / "policy" / "MANIFEST.json").write_text("{}")
    assert_one_line(run("route", str(home / "policy"), "hello"), "MANIFEST.json")


def test_recipe_that_names_nobody(home: Path) -> None:
    table, out = home / "table.csv", home / "outcomes.parquet"
    pd.DataFrame(ROWS).to_csv(table, index=False)
    assert run("collect", str(table), "--out", str(out)).exit_code == 0
    recipe = home / "recipe.yaml"
    recipe.write_text("name: r\nreference: {model: gpt-9, effort: high}\n")
    result = run("fit", str(recipe), "--outcomes", str(out), "--out", str(home / "policies"))
    assert_one_line(result, "'r'", "gpt-9", "they hold m")
    assert not (home / "policies").exists()


def test_a_csv_file_where_outcomes_are_wanted(home: Path) -> None:
    """One line with the command that makes outcomes of it, and with the columns that this command will miss."""
    (home / "recipe.yaml").write_text("name: r\n")
    whole, part = home / "whole.csv", home / "part.csv"
    pd.DataFrame(ROWS).to_csv(whole, index=False)
    pd.DataFrame(ROWS).drop(columns="quality").to_csv(part, index=False)
    fit = ("fit", str(home / "recipe.yaml"), "--out", str(home / "policies"), "--outcomes")
    for command in (fit, ("report",), ("plan", "--margin", "0.03")):
        said = run(*command, str(whole))
        assert_one_line(said, f"router-lab collect {whole} --out {home / 'whole.parquet'}")
        assert "is missing" not in said.output
    assert_one_line(run(*fit, str(part)), "part.csv: column quality is missing, and it is CSV")
    assert not (home / "policies").exists()


def test_what_is_not_there_is_said_first(home: Path) -> None:
    """A source that does not exist, then a column, then the prices: in the order in which a user names them."""
    out, prices = ("--out", str(home / "o.parquet")), ("--prices", str(home / "no-prices.yaml"))
    whole, part = home / "whole.csv", home / "part.csv"
    pd.DataFrame(ROWS).to_csv(whole, index=False)
    pd.DataFrame(ROWS).drop(columns="quality").to_csv(part, index=False)
    assert_one_line(
        run("collect", str(part), str(home / "no.csv"), *out, *prices), "no.csv: no such file or folder"
    )
    assert_one_line(run("collect", str(part), *out, *prices), "part.csv: column quality is missing")
    assert_one_line(run("collect", str(whole), *out, *prices), "no-prices.yaml: no such file")


def test_a_whole_file_is_not_quoted(home: Path) -> None:
    table = home / "table.csv"
    pd.DataFrame({**ROWS, "prompt": ["long " * 500] * 2}).to_csv(table, index=False)
    result = run("collect", str(table), "--out", str(home / "o.parquet"), "--prices", str(table))
    assert_one_line(result, "table.csv: must be a mapping with such keys as models, got str")


@pytest.mark.parametrize(
    ("text", "said"),
    [("fitter: defualt\n", "`fitter` is 'defualt'; known: default"),
     ("gates: [{metric: beauty, min: 1}]\n", "`gates.0`: metric 'beauty' is not known; known: quality")],
)  # fmt: skip
def test_a_recipe_is_judged_before_the_outcomes_are_read(home: Path, text: str, said: str) -> None:
    recipe, table = home / "recipe.yaml", home / "table.csv"
    recipe.write_text("name: r\n" + text)
    table.write_text("not a table")
    result = run("fit", str(recipe), "--outcomes", str(table), "--out", str(home / "policies"))
    assert_one_line(result, "recipe.yaml: ", said)


@pytest.mark.parametrize("inside", ["", "deeper"])
def test_a_policy_is_not_written_into_a_file(home: Path, inside: str) -> None:
    """Said before the outcomes are read: a fit may take minutes."""
    recipe, table, out = home / "recipe.yaml", home / "table.csv", home / "policy"
    recipe.write_text("name: r\n")
    table.write_text("not a table")
    out.write_text("mine")
    result = run("fit", str(recipe), "--outcomes", str(table), "--out", str(out / inside))
    assert_one_line(result, f"{out}: is a file; policies are written into a folder")
    assert out.read_text() == "mine"
