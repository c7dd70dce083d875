"""The saved view in a real MLflow server: the undocumented format of `tracking.view` is only as good as this test."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from router_lab import tracking
from router_lab.outcomes import validate_outcomes
from router_lab.report import candidate_table, pareto_html, report_html
from router_lab.tracking.names import suite_names
from router_lab.tracking.store import open_client
from tests.browser.conftest import open_at, requests, shot
from tests.servers.postgres import binaries, free_port, postgres

# MLflow warns about its own libraries, which is not for us to mend.
# A server and a browser on a busy machine take minutes.
pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(1500)]
MODELS = [
    ("tiny", None, 0.1, 0.4),
    ("middle", "low", 1.0, 0.7),
    ("middle", "high", 4.0, 0.8),
    ("big", None, 9.0, 0.7),
]
NAMES = ["tiny", "middle @ low", "middle @ high", "big"]
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


@dataclass(frozen=True)
class Mirror:
    """A sweep and a policy, logged; where its server answers, and which database keeps it."""

    address: str
    tracked: tracking.Tracked
    database: str

    def page(self, path: str) -> str:
        return self.address + path

    def runs(self, more: str = "") -> str:
        return self.page(f"#/experiments/{self.tracked.experiment_id}/runs{more}")


def outcomes() -> pd.DataFrame:
    rows = [
        {"suite": suite, "sample_id": str(i), "model": model, "effort": effort,
         "quality": float(i < round(40 * quality)), "cost_usd": cost / 1000, "status": "ok"}
        for suite in ("maths", "triage") for model, effort, cost, quality in MODELS for i in range(40)
    ]  # fmt: skip
    return validate_outcomes(pd.DataFrame(rows))


@contextmanager
def mlflow_server(folder: Path, store: str, port: int) -> Iterator[None]:
    """`mlflow server`, as the README starts it, on a backend store, with its artifacts in `folder`."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--artifacts-destination",
               str(folder / "served"), "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]  # fmt: skip
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={**os.environ, **QUIET}, start_new_session=True
        )
        try:
            wait_for(lambda: answers(f"http://127.0.0.1:{port}/health"), "the server", 300)
            yield
        finally:
            os.killpg(process.pid, 15)
            process.wait(30)


def log_everything(folder: Path, uri: str) -> tracking.Tracked:
    """A sweep with its two pages, and a policy."""
    frame = outcomes()
    files = [folder / "pareto.html", folder / "report.html"]
    files[0].write_text(pareto_html(frame), encoding="utf-8")
    files[1].write_text(report_html(frame), encoding="utf-8")
    policy = folder / "policy"
    policy.mkdir()
    (policy / "policy.json").write_text("{}")
    same = {(m, e): {"certificate": {"quality": q - 0.05, "cost_usd_per_1k": c}} for m, e, c, q in MODELS}
    logged = tracking.log_sweep(
        candidate_table(frame), frame, sweep="release", uri=uri, files=files, beside=same
    )
    tracking.log_policy(
        "routed", {"quality": 0.78, "cost_usd_per_1k": 2.0}, sweep="release", uri=uri, directory=policy,
        beside={"certificate": {"quality": 0.73, "cost_usd_per_1k": 2.0}},
    )  # fmt: skip
    return logged


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def mirror(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    """sqlite is written to directly, as `demo` does; Postgres through its server, as a team does."""
    folder, port = tmp_path_factory.mktemp(request.param), free_port()
    if request.param == "postgres" and binaries() is None:
        pytest.skip("no PostgreSQL server is installed (Debian: postgresql)")
    address = f"http://127.0.0.1:{port}/"
    database = folder / "mlflow.db"
    logged = None if request.param == "postgres" else log_everything(folder, str(database))
    backend = postgres() if logged is None else nullcontext(f"sqlite:///{database}")
    with backend as store, mlflow_server(folder, store, port):
        yield Mirror(address, logged or log_everything(folder, address.rstrip("/")), request.param)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def wait_for(condition: Any, what: str, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not come within {seconds:.0f} s"
        time.sleep(0.5)


POINTS = """
return [...document.querySelectorAll('.js-plotly-plot')].map(
  plot => plot.data.reduce((n, trace) => n + (trace.x ? trace.x.length : 0), 0));
"""


VALUES = """
return [...document.querySelectorAll('.js-plotly-plot')].slice(0, 2).map(
  plot => plot.data.flatMap(trace => [...trace.y]));
"""


def told(browser: Any) -> set[str]:
    """The lines of text that the page shows."""
    return {line.strip() for line in browser.find_element("css selector", "body").text.splitlines()}


def test_the_saved_view_shows_every_candidate_and_the_policy(browser: Any, mirror: Mirror) -> None:
    open_at(browser, mirror.page(mirror.tracked.view), 1800)
    wait_for(lambda: browser.execute_script(POINTS)[:2] == [5, 5], "five points in each scatter")
    titles = {"Pareto front of release", "Pareto: policy and candidates, on the certificate's rows"}
    wait_for(lambda: titles <= told(browser), "titles of view and scatters")
    text = browser.find_element("css selector", "body").text
    assert "share key" not in text
    for name in [*NAMES, "routed"]:
        assert name in text
    # The first charts are those of the rows that policy and candidates share: it loses two points to the best there.
    for heights in browser.execute_script(VALUES):
        assert sorted(heights) == pytest.approx([0.35, 0.65, 0.65, 0.73, 0.75])
    for width in (1400, 800):
        shot(browser, f"mlflow-view-{mirror.database}", width)
    asked_only_this_machine(browser)


def test_names_stay_apart_on_a_server(mirror: Mirror) -> None:
    """No browser needed, but the server and the database behind it."""
    suites = {
        "a/b": 1.0,
        "a_b": 0.0,
        "日本語": 1.0,
        "中国語": 0.0,
        "all": 1.0,
        "..": 0.0,
        "x" * 300: 1.0,
        "Maths": 0.0,
        "maths": 1.0,
    }
    rows = [
        {"suite": s, "sample_id": "1", "model": "m", "quality": q, "cost_usd": 0.01}
        for s, q in suites.items()
    ]
    frame = validate_outcomes(pd.DataFrame(rows))
    uri = mirror.address.rstrip("/")
    first, other = (
        tracking.log_sweep(candidate_table(frame), frame, sweep=sweep, uri=uri)
        for sweep in ("v1.0 it's", "v1-0 its")
    )
    metrics = open_client(uri).get_run(first.run_ids[0]).data
    names = suite_names(suites)
    assert {s: metrics.metrics[f"suite/{names[s]}/quality"] for s in suites} == suites
    assert "router_lab.superseded" not in metrics.tags and first.view != other.view
    found = open_client(uri).search_runs(
        [first.experiment_id], f"tags.`router_lab.view` = '{first.view.split('=')[-1]}'"
    )
    assert {r.info.run_id for r in found} == set(first.run_ids)


def test_several_at_once_may_be_the_first_on_a_server(mirror: Mirror) -> None:
    run, uri = tracking.Run("m", "candidate", {"quality": 1.0}), mirror.address.rstrip("/")

    def log(sweep: str) -> str:
        return tracking.log_runs([run], sweep=sweep, suites=[], uri=uri, experiment="first use").experiment_id

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(log, "abcd"))) == 1


def test_the_note_links_to_the_view(browser: Any, mirror: Mirror) -> None:
    open_at(browser, mirror.runs("?workflowType=machine_learning"), 1400)
    wait_for(lambda: browser.find_elements("link text", "release"), "the note's link")
    link = browser.find_element("link text", "release").get_attribute("href")
    assert link.endswith(mirror.tracked.view)
    for width in (1400, 800):
        shot(browser, f"mlflow-note-{mirror.database}", width)
    asked_only_this_machine(browser)


@pytest.mark.parametrize(("name", "pictures", "marks"), [("pareto", 3, 12), ("report", 3, 12)])
def test_the_pages_are_shown_in_the_artifact_pane(
    browser: Any, mirror: Mirror, name: str, pictures: int, marks: int
) -> None:
    open_at(browser, mirror.runs(f"/{mirror.tracked.run_ids[-1]}/artifacts/{name}.html"), 1400)
    wait_for(lambda: browser.find_elements("css selector", "iframe"), "the preview")
    browser.switch_to.frame(browser.find_element("css selector", "iframe"))
    wait_for(lambda: len(browser.find_elements("css selector", "svg.pareto")) == pictures, "the pictures")
    assert len(browser.find_elements("css selector", "svg.pareto g.mark[data-label]")) == marks
    labels = {t.text for t in browser.find_elements("css selector", "svg.pareto text.label")}
    assert labels == set(NAMES)
    browser.switch_to.default_content()
    for width in (1400, 800):
        shot(browser, f"mlflow-{name}-{mirror.database}", width)
    asked_only_this_machine(browser)


def asked_only_this_machine(browser: Any) -> None:
    local = ("http://127.0.0.1:", "data:", "blob:", "about:")
    assert [url for url in requests(browser) if not url.startswith(local)] == []
