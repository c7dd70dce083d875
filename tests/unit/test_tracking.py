"""The MLflow mirror: flat runs, a view that MLflow can decode, files as they are; no prompt or answer unasked for."""

from __future__ import annotations

import base64
import json
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from router_lab import tracking
from router_lab.outcomes import read_outcomes, validate_outcomes
from router_lab.report import candidate_table
from router_lab.runtime.errors import InputError
from router_lab.tracking.names import metric_name
from router_lab.tracking.store import open_client
from router_lab.tracking.uri import store_uri
from router_lab.tracking.view import note, pareto_cards, shared_state

# MLflow warns about its own libraries, which is not for us to mend.
pytestmark = pytest.mark.filterwarnings("ignore")
SECRET = "the customer's own words"


def outcomes() -> pd.DataFrame:
    rows = [
        {"suite": suite, "sample_id": str(i), "model": model, "effort": effort, "quality": float(i < good),
         "cost_usd": cost, "prompt": f"{SECRET} {i}", "answer": f"{SECRET}!", "status": "ok"}
        for suite in ("s one", "s: two!")
        for model, effort, good, cost in (
            ("m@v1:free", "high", 8, 0.01), ("m@v1:free", None, 5, 0.001), ("x", None, 4, 0.005)
        )
        for i in range(10)
    ]  # fmt: skip
    frame = validate_outcomes(pd.DataFrame(rows))
    content = {"messages": [{"role": "user", "content": SECRET}]}
    own = {
        "system": SECRET,
        "few_shot": [{"user": SECRET, "assistant": "a"}],
        "api": None,
        "content": content,
    }
    request = {
        **own,
        "arguments": {"tools": [{"name": "t", "description": SECRET}]},
        "suites": {"s one": own},
    }
    frame.attrs["candidates"] = [{"model": "x", "effort": None, "request": request}]
    return frame


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield str(shutil.copy(mlflow_database, tmp_path_factory.mktemp("ml") / "mlflow.db"))


@pytest.fixture(scope="module")
def sweep(store: str) -> tracking.Tracked:
    frame = outcomes()
    return tracking.log_sweep(candidate_table(frame), frame, sweep="it's new", uri=store, params={"seed": 0})


def runs(store: str, experiment_id: str) -> dict[str, Any]:
    return {r.info.run_name: r for r in open_client(store).search_runs([experiment_id])}


def test_flat_runs_one_for_each_candidate_and_one_for_the_sweep(store: str, sweep: tracking.Tracked) -> None:
    found = runs(store, sweep.experiment_id)
    assert {"m@v1:free @ high", "m@v1:free", "x", "it's new"} <= set(found)
    assert not any("mlflow.parentRunId" in r.data.tags for r in found.values())
    high = found["m@v1:free @ high"].data
    assert high.params == {"model": "m@v1:free", "effort": "high"}
    assert high.metrics["quality"] == pytest.approx(0.8) and high.metrics["cost_usd_per_1k"] == pytest.approx(
        10.0
    )
    assert high.metrics["log10_cost_usd_per_1k"] == pytest.approx(1.0)
    assert high.metrics[metric_name("suite", "s: two!", "quality")] == pytest.approx(0.8)
    assert high.metrics["quality_low"] < 0.8 < high.metrics["quality_high"]
    assert (high.tags["on_front"], high.metrics["on_front"]) == ("true", 1.0)
    assert (found["x"].data.tags["on_front"], found["x"].data.metrics["on_front"]) == ("false", 0.0)


def test_the_outcomes_are_there_without_a_prompt(store: str, sweep: tracking.Tracked, tmp_path: Path) -> None:
    path = open_client(store).download_artifacts(sweep.run_ids[-1], "outcomes.parquet", str(tmp_path))
    frame = read_outcomes(path)
    assert frame["prompt"].isna().all() and "answer" not in frame
    assert frame["quality"].sum() == outcomes()["quality"].sum()
    assert SECRET not in json.dumps(frame.attrs) and SECRET.encode() not in Path(path).read_bytes()


def test_the_view_is_what_mlflow_decodes(store: str, sweep: tracking.Tracked) -> None:
    tags = open_client(store).get_experiment(sweep.experiment_id).tags
    key = sweep.view.rsplit("=", 1)[1]
    envelope = json.loads(tags[f"mlflow.sharedViewState.{key}"])
    assert isinstance(envelope["name"], str) and isinstance(envelope["createdAt"], int)
    state = json.loads(zlib.decompress(base64.b64decode(envelope["state"].removeprefix("deflate;"))))
    axes = [(c["xaxis"]["key"], c["yaxis"]["key"]) for c in state["compareRunCharts"]]
    assert ("cost_usd_per_1k", "quality") in axes
    assert ("suite/s one/log10_cost_usd_per_1k", "suite/s one/quality") in axes
    assert sweep.view in tags["mlflow.note.content"]


def test_a_sweep_logged_again_supersedes_its_runs(store: str, sweep: tracking.Tracked) -> None:
    frame = outcomes()
    again = tracking.log_sweep(candidate_table(frame), frame, sweep="again", uri=store)
    tracking.log_sweep(candidate_table(frame), frame, sweep="again", uri=store)
    old = [open_client(store).get_run(i).data.tags for i in again.run_ids]
    assert {t["router_lab.superseded"] for t in old} == {"again"}
    assert {t["router_lab.sweep"] for t in old} == {"again (superseded)"}
    assert "router_lab.superseded" not in open_client(store).get_run(sweep.run_ids[0]).data.tags


def test_a_policy_is_a_point_of_its_sweep_with_plain_files(
    store: str, sweep: tracking.Tracked, tmp_path: Path
) -> None:
    (tmp_path / "rev").mkdir()
    (tmp_path / "rev" / "policy.json").write_text("{}")
    logged = tracking.log_policy(
        "p", {"quality": 0.7, "cost_usd_per_1k": 4.0}, sweep="it's new", directory=tmp_path / "rev", uri=store,
        suites={"s one": {"quality": 0.6, "cost_usd_per_1k": 3.0}}, tags={"verdict": "pass"},
    )  # fmt: skip
    run = open_client(store).get_run(logged.run_ids[0])
    assert run.data.tags["router_lab.kind"] == "policy" and run.data.metrics["suite/s one/quality"] == 0.6
    assert [f.path for f in open_client(store).list_artifacts(run.info.run_id, "policy")] == [
        "policy/policy.json"
    ]


def test_the_registry_holds_plain_files_behind_an_alias(store: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.json").write_text(name)
        tracking.register_version(
            tmp_path / name, "support", alias="champion", tags={"revision": name}, uri=store
        )
    with tracking.fetch_version("models:/support@champion", store) as files:
        assert (files / "policy.json").read_text() == "two"
    assert tracking.move_alias_to_revision("support", "champion", "one", store) == "1"
    with tracking.fetch_version("models:/support@champion", store) as files:
        assert [p.name for p in files.iterdir()] == ["policy.json"] and (
            files / "policy.json"
        ).read_text() == "one"


@pytest.mark.parametrize("reference", ["models:/nobody@champion", "models:/support", "support@champion"])
def test_a_champion_that_is_not_there_is_one_clear_line(store: str, reference: str) -> None:
    with pytest.raises(InputError, match="champion"), tracking.fetch_version(reference, store):
        pass


def test_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert store_uri("/tmp/x.db") == "sqlite:////tmp/x.db" and store_uri().endswith("/mlflow.db")
    assert store_uri("postgresql://h/d") == "postgresql://h/d"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert store_uri() == "http://127.0.0.1:5000" and tracking.server_command().startswith("open ")
    with pytest.raises(InputError, match="file stores"):
        store_uri("file:///tmp/mlruns")


def test_names_and_notes() -> None:
    assert metric_name("suite", "a/b@c(d)", "quality") == "suite/a_b_c_d_-x4e0fa6312c/quality"
    assert note([]) == "" and "[x](#/y)" in note([("x", "#/y")])
    assert len(pareto_cards(["only"])) == 1 and len(pareto_cards(["a", "b"])) == 2
    assert json.loads(shared_state("n", {}, "", 5))["createdAt"] == 5
