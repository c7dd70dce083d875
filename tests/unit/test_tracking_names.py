"""Names in MLflow: no two suites, sweeps, runs or files become one, and MLflow takes every one of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from router_lab import tracking
from router_lab.outcomes import validate_outcomes
from router_lab.report import candidate_table, format_table, pareto_html, pooled, suites_of
from router_lab.runtime.errors import InputError
from router_lab.tracking.names import (
    file_name,
    folded,
    key_part,
    label,
    metric_name,
    metric_part,
    suite_names,
)
from router_lab.tracking.store import open_client
from router_lab.tracking.view import MOST_TEXT, NOTED, TAG, chart_view, note, view_key

pytestmark = pytest.mark.filterwarnings("ignore")
PLAIN = ["maths", "Maths-2", "s one", "a_b", "v1.0", "gsm8k: hard", ".hidden", "x-x12", "日本語", "中国語"]
HARD = [
    "a/b", "a_b", "a b", "a?b", "a(b", "日本語", "中国語", "все", "..", ".", " ", "a/../b", "../b", "it's", "its",
    'it"s', "all", "All", "ALL", "all ", "café", "cafe", "cafe\u0301", "x" * 300, "x" * 299, "x" * 299 + "y",
    "😀", "😁", "a\nb", "a\tb",
    "a#b", "a%b", "a%2Fb", "quality", "suite", "a\\b", "\ud800", "$1", "-", "--",
]  # fmt: skip


def test_plain_names_stay_as_they_are() -> None:
    assert [metric_part(name) for name in PLAIN] == PLAIN
    assert suite_names(["maths", "code"]) == {"maths": "maths", "code": "code"}
    assert metric_name("suite", "maths", "quality") == "suite/maths/quality"
    assert view_key("release-1") == "router-lab-release-1" and file_name("report.html") == "report.html"


def test_no_two_names_become_one_and_mlflow_takes_them_all() -> None:
    from mlflow.utils.validation import _validate_metric_name

    hard = [*HARD, metric_part("a/b"), metric_part("a/b").upper(), metric_part(metric_part("a/b"))]
    found = suite_names(hard)
    # Not even where case does not count.
    assert len({folded(part) for part in found.values()}) == len(set(hard))
    for part in found.values():
        name = f"certificate/suite/{part}/log10_cost_usd_per_1k"
        _validate_metric_name(name)
        assert len(name) <= 250
    for made in (key_part, file_name, label):
        assert len({made(name) for name in hard}) == len(set(hard)), made
    assert all(set(key_part(name)) <= set("-_" + "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
               for name in hard)  # fmt: skip
    assert metric_part("a/b") == "a_b-xc14cddc033"  # sha256 of `a/b`; written down, since charts refer to it


def test_files_keep_their_ending() -> None:
    assert file_name("front#1.html") == f"front_1-x{file_name('front#1.html')[9:19]}.html"
    assert file_name("100%.svg").endswith(".svg") and "%" not in file_name("100%.svg")
    assert file_name("Makefile") == "Makefile" and len(file_name("x" * 400 + ".html")) <= 200


def world(qualities: dict[str, float], model: str = "m") -> pd.DataFrame:
    """Suite → share of right answers of one model, of four samples each."""
    rows = [
        {"suite": suite, "sample_id": str(i), "model": model, "quality": float(i < round(4 * quality)),
         "cost_usd": 0.01, "status": "ok", "prompt": f"{suite} {i}"}
        for suite, quality in qualities.items() for i in range(4)
    ]  # fmt: skip
    return validate_outcomes(pd.DataFrame(rows))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield str(shutil.copy(mlflow_database, tmp_path_factory.mktemp("ml") / "mlflow.db"))


def log(store: str, frame: pd.DataFrame, sweep: str, **more: object) -> tracking.Tracked:
    return tracking.log_sweep(candidate_table(frame), frame, sweep=sweep, uri=store, **more)  # type: ignore[arg-type]


def test_every_suite_keeps_its_own_figures(store: str) -> None:
    suites = [s for s in HARD if s.isprintable() and s.strip()]
    qualities = {suite: (i % 5) / 4 for i, suite in enumerate(suites)}
    logged = log(store, world(qualities), "many")
    metrics = open_client(store).get_run(logged.run_ids[0]).data.metrics
    names = suite_names(suites)
    assert {s: metrics[f"suite/{names[s]}/quality"] for s in suites} == qualities
    # Though a suite is called `all`.
    assert metrics["quality"] == pytest.approx(sum(qualities.values()) / len(suites))
    assert sum(name.endswith("/quality") for name in metrics) == len(suites)


def test_a_suite_called_all_is_a_suite() -> None:
    table = candidate_table(world({"all": 1.0, "b": 0.0}))
    assert suites_of(table) == ["all", "b"] and pooled(table)["quality"].tolist() == [0.5]
    text = format_table(table)
    assert text.count("all suites") == 1 and "\nall " in text and "100.0 %" in text and "50.0 %" in text
    assert pareto_html(world({"all": 1.0, "b": 0.0})).count('<svg class="pareto') == 3
    alone = candidate_table(world({"all": 0.25}))
    assert suites_of(alone) == ["all"] and pooled(alone)["n"].tolist() == [4]


def point(store: str, sweep: str) -> tracking.Tracked:
    """A sweep of one candidate."""
    run = tracking.Run("m", "candidate", {"quality": 0.5, "cost_usd_per_1k": 1.0})
    return tracking.log_runs([run], sweep=sweep, suites=[], uri=store)


def current(store: str, logged: tracking.Tracked) -> bool:
    tags = [open_client(store).get_run(i).data.tags for i in logged.run_ids]
    return not any("router_lab.superseded" in t for t in tags)


@pytest.mark.parametrize(
    ("one", "other"),
    [("v1.0", "v1-0"), ("it's new", "its new"), ("r", "r (superseded)"), ("q/1", "q_1"), ("速い", "遅い")],
)
def test_two_sweeps_are_two_views(store: str, one: str, other: str) -> None:
    first, second, again = (point(store, sweep) for sweep in (one, other, one))
    assert (current(store, first), current(store, second), current(store, again)) == (False, True, True)
    assert first.view == again.view != second.view
    tags = open_client(store).get_experiment(first.experiment_id).tags
    assert {one, other} <= {v for k, v in tags.items() if k.startswith(NOTED)}
    assert first.view in tags["mlflow.note.content"] and second.view in tags["mlflow.note.content"]
    point(store, f"{one} (superseded)")
    assert current(store, again)


def test_a_view_of_an_older_version_stays_and_is_taken_over() -> None:
    key = "router-lab-v1-0"  # what an older version made of `v1.0`
    assert view_key("v1-0", {NOTED + key: "v1.0"}) != key
    assert view_key("v1-0", {NOTED + key: "v1-0"}) == view_key("v1-0") == key
    apart = view_key("RELEASE", {NOTED + "router-lab-release": "release"})
    assert (
        apart.startswith("router-lab-RELEASE-x") and view_key("RELEASE", {NOTED + apart: "RELEASE"}) == apart
    )


def test_runs_of_an_older_version_leave_the_view(store: str) -> None:
    client = open_client(store)
    experiment = point(store, "other").experiment_id
    old = client.create_run(
        experiment, run_name="m", tags={"router_lab.sweep": "older", "router_lab.kind": "candidate"}
    )
    client.set_experiment_tag(experiment, NOTED + "router-lab-older-1", "older")
    point(store, "older")
    assert client.get_run(old.info.run_id).data.tags["router_lab.superseded"] == "older"
    tags = client.get_experiment(experiment).tags
    assert [k for k, v in tags.items() if v == "older" and k.startswith(NOTED)] == [
        NOTED + "router-lab-older"
    ]


def test_a_policy_never_takes_a_candidates_place(store: str, tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text("{}")
    swept = log(store, world({"s": 0.5}, model="policy"), "named alike")
    point = {"quality": 0.5, "cost_usd_per_1k": 1.0}
    first = tracking.log_policy("policy", point, sweep="named alike", directory=tmp_path, uri=store)
    second = tracking.log_policy("policy", point, sweep="named alike", directory=tmp_path, uri=store)
    assert (current(store, swept), current(store, first), current(store, second)) == (True, False, True)


def test_two_pages_of_one_name_are_two_files(store: str, tmp_path: Path) -> None:
    pages = [tmp_path / "a" / "index.html", tmp_path / "b" / "Index.html", tmp_path / "c" / "outcomes.parquet",
             tmp_path / "d" / "front #1 100%.svg"]  # fmt: skip
    for page in pages:
        page.parent.mkdir()
        page.write_text(str(page))
    logged = log(store, world({"s": 0.5}), "pages", files=pages)
    found = [f.path for f in open_client(store).list_artifacts(logged.run_ids[-1])]
    assert {"index.html", "Index-2.html", "outcomes.parquet", "outcomes-2.parquet"} <= set(found) and len(
        found
    ) == 5
    picture = next(f for f in found if f.endswith(".svg"))
    path = open_client(store).download_artifacts(logged.run_ids[-1], picture, str(tmp_path))
    assert Path(path).read_text() == str(pages[3])


def test_a_long_name_and_many_settings_fit(store: str) -> None:
    name, params = "r" * 400, {f"setting {i}?": i for i in range(150)}
    logged = log(store, world({"s": 0.5}), name, params=params)
    run = open_client(store).get_run(logged.run_ids[-1])
    assert run.data.tags["router_lab.sweep"] == name and len(run.info.run_name) == 250
    assert len(run.data.params) == 150 and run.data.params[metric_name("setting 3?")] == "3"


def test_the_view_and_the_note_fit_into_their_tags() -> None:
    suites = [f"{i} {'語' * 150}{i * 7919}" for i in range(24)]
    view = chart_view("s" * 400, "k", suites, ["certificate"], 1)
    assert len(view) <= MOST_TEXT and "deflate;" in json.loads(view)["state"]
    told = note([(f"sweep {i}", f"#/{i}" * 40) for i in range(400)])
    assert (
        len(told) <= MOST_TEXT and "[sweep 0]" in told and "log\naxis." in told and "[sweep 399]" not in told
    )
    assert "[a\\]\\(b\\)\\<i\\> c]" in note([("a](b)<i>\nc", "#/")])
    assert TAG == "mlflow.sharedViewState."


@pytest.mark.parametrize(
    ("name", "alias"), [("a/b", None), ("a:b", None), ("..", None), ("", None), ("x" * 251, None), ("ok", "v1"),
                        ("ok", "latest"), ("ok", "a b"), ("a'b", None)]
)  # fmt: skip
def test_a_name_that_no_registry_holds_is_refused(name: str, alias: str | None) -> None:
    with pytest.raises(InputError, match="MLflow"):
        tracking.refuse_name(name, alias)


def test_names_of_other_scripts_are_registered(store: str, tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text("{}")
    made = tracking.register_version(tmp_path, "サポート (jp)", alias="champion", uri=store)
    with tracking.fetch_version("models:/サポート (jp)@champion", store) as files:
        assert made.version == "1" and (files / "policy.json").read_text() == "{}"
