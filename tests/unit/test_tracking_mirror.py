"""Policy and candidates on the same rows, MLflow as the last and least step, and no key in it."""

from __future__ import annotations

import base64
import json
import math
import shutil
import zlib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from router_lab import load_policy, tracking
from router_lab.cli.demo import mirrored, show_paths
from router_lab.cli.mirror import mirror
from router_lab.cli.publish import publish, rollback
from router_lab.cli.report import report
from router_lab.masking import masked, without_keys
from router_lab.outcomes import read_outcomes, validate_outcomes, write_outcomes
from router_lab.report import candidate_table, front_svg
from router_lab.tracking.log import outcomes_digest
from router_lab.tracking.store import open_client
from tests.unit.test_report_cli import save

pytestmark = pytest.mark.filterwarnings("ignore")
KEY = "sk-proj-4f9a8b7c6d5e4f3a2b1c"
AWAY = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def no_store_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(tmp_path: Path, mlflow_database: Path) -> str:
    return str(shutil.copy(mlflow_database, tmp_path / "mlflow.db"))


def outcomes(n: int = 50) -> pd.DataFrame:
    """`cheap` is right on 60 %, `dear` on 80 %; $1 and $10 per 1,000."""
    rows = [
        {"suite": "s", "sample_id": str(i), "model": model, "quality": float(i % 10 < right), "cost_usd": cost,
         "prompt": f"question {i}", "status": "ok"}
        for i in range(n) for model, cost, right in (("cheap", 0.001, 6), ("dear", 0.01, 8))
    ]  # fmt: skip
    return validate_outcomes(pd.DataFrame(rows))


def figure(value: float, low: float, high: float) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "confidence": 0.95, "n": 40, "clusters": 40}


def certificate() -> dict[str, Any]:
    """On its own 40 rows the reference is right on 70 %, not on 80 %; the policy loses 2 points and saves 30 %."""
    return {
        "verdict": "pass", "reason": "shown", "action": "route", "n": 40, "clusters": 40,
        "reference": {"model": "dear", "effort": None},
        "quality_difference": figure(-0.02, -0.05, 0.01), "savings": figure(0.3, 0.2, 0.4),
        "fixed": [
            {"model": "cheap", "effort": None, "quality": 0.55, "cost_usd": 0.0011,
             "quality_difference": figure(-0.15, -0.2, -0.1), "savings": figure(0.9, 0.8, 0.95)},
            {"model": "dear", "effort": None, "quality": 0.7, "cost_usd": 0.011,
             "quality_difference": figure(0.0, 0.0, 0.0), "savings": figure(0.0, 0.0, 0.0)},
        ],
        "random_mix": None, "oracle_upper_bound": {"quality": 0.75, "cost_usd": 0.0055, "n": 40},
    }  # fmt: skip


def shown_runs(store: str) -> dict[str, Any]:
    """Run name → run, of what is not superseded."""
    client = open_client(store)
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    found = client.search_runs([experiment.experiment_id])
    return {r.info.run_name: r for r in found if "router_lab.superseded" not in r.data.tags}


def test_policy_and_candidates_are_measured_on_the_same_rows(tmp_path: Path, store: str) -> None:
    directory = save(tmp_path / "p", 0, certificate=certificate())
    policy = load_policy(directory)
    view = mirror(outcomes(), "r", store, [], policy, directory)
    runs = shown_runs(store)
    mine, dear, cheap = (runs[n].data for n in (f"policy {str(policy.revision)[:12]}", "dear", "cheap"))
    # On every row, as the report's picture has it: the reference's place moved by the paired difference and saving.
    assert (dear.metrics["quality"], dear.metrics["cost_usd_per_1k"]) == (
        pytest.approx(0.8),
        pytest.approx(10.0),
    )
    assert (mine.metrics["quality"], mine.metrics["cost_usd_per_1k"]) == (
        pytest.approx(0.78),
        pytest.approx(7.0),
    )
    assert (mine.metrics["quality_low"], mine.metrics["quality_high"]) == (
        pytest.approx(0.75),
        pytest.approx(0.81),
    )
    # On the certificate's rows.
    on = {name: run.metrics for name, run in (("mine", mine), ("dear", dear), ("cheap", cheap))}
    assert {k: m["certificate/quality"] for k, m in on.items()} == pytest.approx(
        {"mine": 0.68, "dear": 0.7, "cheap": 0.55}
    )
    assert {k: m["certificate/cost_usd_per_1k"] for k, m in on.items()} == pytest.approx(
        {"mine": 7.7, "dear": 11.0, "cheap": 1.1}
    )
    assert mine.metrics["certificate/log10_cost_usd_per_1k"] == pytest.approx(math.log10(7.7))
    assert mine.metrics["certificate/quality_difference_low"] == -0.05
    # On fresh rows, which are all 50 here: the policy sends everything to `cheap`.
    assert {k: m["fresh/quality"] for k, m in on.items()} == pytest.approx(
        {"mine": 0.6, "dear": 0.8, "cheap": 0.6}
    )
    assert {k: m["fresh/cost_usd_per_1k"] for k, m in on.items()} == pytest.approx(
        {"mine": 1.0, "dear": 10.0, "cheap": 1.0}
    )
    assert {m["certificate/n"] for m in on.values()} == {40.0} and {m["fresh/n"] for m in on.values()} == {
        50.0
    }
    assert dear.tags["router_lab.rows"] == "every scored row of the sweep"
    assert mine.tags["router_lab.rows"].startswith(
        "the reference's place on every row, moved by what was measured on the"
    )
    # Every chart that shows the policy shows it as far from the reference as the rows of its axes say.
    charts = charts_of(store, str(view))
    assert charts[0] == ("certificate/log10_cost_usd_per_1k", "certificate/quality")
    both = [(x, y) for x, y in charts if x in mine.metrics and y in mine.metrics]
    assert len(both) == 4 and all(mine.metrics[y] - dear.metrics[y] == pytest.approx(-0.02) for _, y in both)


def charts_of(store: str, view: str) -> list[tuple[str, str]]:
    tags = open_client(store).get_experiment_by_name(tracking.EXPERIMENT).tags
    envelope = json.loads(tags[f"mlflow.sharedViewState.{view.rsplit('=', 1)[1]}"])
    state = json.loads(zlib.decompress(base64.b64decode(envelope["state"].removeprefix("deflate;"))))
    return [(c["xaxis"]["key"], c["yaxis"]["key"]) for c in state["compareRunCharts"]]


def test_without_a_certificates_figures_the_fresh_rows_are_shared(tmp_path: Path, store: str) -> None:
    directory = save(tmp_path / "p", 0)
    view = mirror(outcomes(), "r", store, [], load_policy(directory), directory)
    assert charts_of(store, str(view))[0] == ("fresh/log10_cost_usd_per_1k", "fresh/quality")
    mine = next(r for name, r in shown_runs(store).items() if name.startswith("policy "))
    # The picture's: paired with the reference.
    assert mine.data.metrics["quality"] == pytest.approx(0.8 - 0.2)
    assert "certificate/quality" not in mine.data.metrics


def test_a_policy_that_was_measured_on_other_outcomes_leaves_the_chart(tmp_path: Path, store: str) -> None:
    one, two = (save(tmp_path / n, b, certificate=certificate()) for n, b in (("a", 0), ("b", 1)))
    for directory in (one, two):
        mirror(outcomes(), "r", store, [], load_policy(directory), directory)
    assert sum(name.startswith("policy ") for name in shown_runs(store)) == 2  # both on the same outcomes
    mirror(outcomes(40), "r", store, [], load_policy(two), two)
    assert [n for n in shown_runs(store) if n.startswith("policy ")] == [
        f"policy {str(load_policy(two).revision)[:12]}"
    ]
    assert outcomes_digest(outcomes()) != outcomes_digest(outcomes(40))
    assert outcomes_digest(outcomes()) == outcomes_digest(outcomes().sample(frac=1, random_state=1))


def test_the_oracle_stands_at_the_references_place_too(tmp_path: Path) -> None:
    picture = front_svg(outcomes(), load_policy(save(tmp_path / "p", 0, certificate=certificate())))
    mark = next(part for part in picture.split("<g ") if 'data-label="oracle"' in part)
    # 5 points better and half as dear as the reference on the certificate's rows, so 85 % and $5 on all.
    assert "85.0 %" in mark and "$5.00" in mark, mark


def run(command: object, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])  # type: ignore[arg-type]


def test_losing_mlflow_loses_no_page(tmp_path: Path) -> None:
    table = write_outcomes(outcomes(), tmp_path / "outcomes.parquet")
    asked = (table, "--html", tmp_path / "r.html", "--mlflow", "r")
    done = run(report, *asked, "--tracking-uri", AWAY)
    assert done.exit_code == 1 and done.stdout.strip() == str(tmp_path / "r.html")
    warning = [line for line in done.stderr.splitlines() if line.startswith("warning")]
    assert warning == [
        f"warning: not in MLflow: MLflow at {AWAY}: nothing listens there: start the server or mend the address"
    ]
    assert "<svg" in (tmp_path / "r.html").read_text(encoding="utf-8")
    (tmp_path / "r.html").unlink()
    # Can be known before anything is computed.
    wrong = run(report, *asked, "--tracking-uri", "localhost:5000")
    assert wrong.exit_code == 1 and "write http://localhost:5000" in str(wrong.exception)
    assert not (tmp_path / "r.html").exists()


def test_the_link_is_that_of_the_store(tmp_path: Path, store: str) -> None:
    table = write_outcomes(outcomes(), tmp_path / "outcomes.parquet")
    done = run(report, table, "--mlflow", "r", "--tracking-uri", store)
    assert done.exit_code == 0, done.stderr
    assert (
        f"MLflow: mlflow server --backend-store-uri sqlite:///{store} --host 127.0.0.1 --port 5000"
        in done.stderr
    )
    assert "the front: http://127.0.0.1:5000/#/experiments/1/runs?" in done.stderr


def test_losing_the_registry_loses_no_release(tmp_path: Path) -> None:
    old, new = (save(tmp_path / "support", best) for best in (1, 0))
    assert run(publish, old, "--force").exit_code == 0
    done = run(publish, new, "--force", "--registry", "--tracking-uri", AWAY)
    assert (
        done.exit_code == 1
        and "warning: release 2 is in place, but MLflow's registry does not know it" in done.stderr
    )
    assert (
        done.stdout.strip().endswith(str(tmp_path / "support")) and load_policy(tmp_path / "support").revision
    )
    assert load_policy(tmp_path / "support").revision == load_policy(new).revision
    back = run(rollback, tmp_path / "support", "--registry", "--tracking-uri", AWAY)
    assert back.exit_code == 1 and "release 3 is in place" in back.stderr
    assert load_policy(tmp_path / "support").revision == load_policy(old).revision
    with (
        pytest.raises(tracking.MirrorError, match="nothing listens"),
        tracking.fetch_version("models:/a@b", AWAY),
    ):
        pass
    refused = run(publish, new, "--force", "--registry", "--alias", "v1")
    assert "alias 'v1'" in str(refused.exception)  # before anything is published
    assert load_policy(tmp_path / "support").revision == load_policy(old).revision


def test_the_demo_goes_on_without_mlflow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = save(tmp_path / "p", 0)
    (tmp_path / "mlflow.db").write_text("no database " * 100)
    command = mirrored(load_policy(directory), directory, outcomes(), [], tmp_path)
    show_paths(tmp_path, command, directory)
    told = capsys.readouterr()
    assert command is None and "warning: not in MLflow" in told.err and "MLflow" not in told.out


def test_no_key_reaches_mlflow(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("TEAM_PASSWORD", "correct-horse-9")
    frame = outcomes(5).assign(answer=f"my key is {KEY}", note="Bearer abcdefgh12345678")
    request = {
        "api": None, "base_url": "https://bob:correct-horse-9@h/v1",
        "model_args": {"api_key": "plain-but-named-so", "timeout": 3}, "extra_headers": {"Authorization": "Basic Ym9i"},
    }  # fmt: skip
    frame.attrs["candidates"] = [{"model": "dear", "effort": None, "request": request}]
    (tmp_path / "policy.json").write_text("{}")
    logged = tracking.log_sweep(
        candidate_table(frame), frame, sweep=f"with {KEY}", uri=store, prompts=True,
        params={"api_key": "another-hidden-1", "args": {"token": "third-hidden-22"}, "command": f"--key {KEY}"},
    )  # fmt: skip
    tracking.log_policy(
        "p",
        {"quality": 0.5},
        sweep="r",
        directory=tmp_path / "policy.json",
        uri=store,
        tags={"env": f"OPENAI_API_KEY={KEY}"},
    )
    hidden = [
        KEY,
        "correct-horse-9",
        "abcdefgh12345678",
        "plain-but-named-so",
        "Ym9i",
        "another-hidden-1",
        "third-hidden-22",
    ]
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert any(p.name == "outcomes.parquet" for p in files)
    path = open_client(store).download_artifacts(logged.run_ids[-1], "outcomes.parquet", str(tmp_path))
    table = read_outcomes(path)
    everything = (
        b"\0".join(p.read_bytes() for p in files) + table.to_csv().encode() + json.dumps(table.attrs).encode()
    )
    assert [secret for secret in hidden if secret.encode() in everything] == []
    assert table["answer"].iloc[0] == "my key is ***" and frame["answer"].iloc[0] == f"my key is {KEY}"
    assert table.attrs["candidates"][0]["request"]["model_args"] == {"api_key": "***", "timeout": 3}


def test_a_page_that_holds_a_key_is_not_logged(
    tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    (tmp_path / "r.html").write_text(f"<p>{KEY}</p>")
    with pytest.raises(tracking.MirrorError, match=r"r\.html holds a key") as caught:
        tracking.log_sweep(
            candidate_table(outcomes(5)), outcomes(5), sweep="r", uri=store, files=[tmp_path / "r.html"]
        )
    assert KEY not in str(caught.value)
    assert open_client(store).get_experiment_by_name(tracking.EXPERIMENT) is None


def test_what_is_no_key_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "postgres")  # a word that any page may hold
    assert masked("postgres over https://h/x, 9 tokens") == "postgres over https://h/x, 9 tokens"
    kept = {"max_tokens": 5, "output_tokens": 7, "cluster_key": "g", "stop_token": None, "tokens": "many"}
    assert without_keys(kept) == kept
    assert without_keys({"x-api-key": "a", "list": [{"secret": "b"}]}) == {
        "x-api-key": "***",
        "list": [{"secret": "***"}],
    }
