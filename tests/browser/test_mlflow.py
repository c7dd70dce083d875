"""The saved view in a real MLflow server: the undocumented format of `tracking.view` is only as good as this test."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from router_lab import tracking
from router_lab.outcomes import validate_outcomes
from router_lab.report import candidate_table, pareto_html

# MLflow warns about its own libraries, which is not for us to mend.
# A server and a browser on a busy machine take minutes.
pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(1500)]
MODELS = [("tiny", None, 0.1, 0.4), ("middle", "low", 1.0, 0.7), ("middle", "high", 4.0, 0.8), ("big", None, 9.0, 0.7)]
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def outcomes() -> pd.DataFrame:
    rows = [
        {"suite": suite, "sample_id": str(i), "model": model, "effort": effort,
         "quality": float(i < round(40 * quality)), "cost_usd": cost / 1000, "status": "ok"}
        for suite in ("maths", "triage") for model, effort, cost, quality in MODELS for i in range(40)
    ]  # fmt: skip
    return validate_outcomes(pd.DataFrame(rows))


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> tracking.Tracked:
    folder = tmp_path_factory.mktemp("store")
    frame = outcomes()
    (folder / "pareto.html").write_text(pareto_html(frame), encoding="utf-8")
    store = str(folder / "mlflow.db")
    (folder / "policy").mkdir()
    (folder / "policy" / "policy.json").write_text("{}")
    files = [folder / "pareto.html"]
    logged = tracking.log_sweep(candidate_table(frame), frame, sweep="release", uri=store, files=files)
    tracking.log_policy(
        "routed", {"quality": 0.79, "cost_usd_per_1k": 2.0}, sweep="release", uri=store, directory=folder / "policy"
    )
    return logged


@pytest.fixture(scope="module")
def server(tracked: tracking.Tracked) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(tracked.uri.removeprefix("sqlite:///")).parent
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracked.uri, "--host", "127.0.0.1",
               "--port", str(port), "--workers", "1"]  # fmt: skip
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={**os.environ, **QUIET}, start_new_session=True
        )
        try:
            wait_for(lambda: answers(f"http://127.0.0.1:{port}/health"), "the server", 300)
            yield f"http://127.0.0.1:{port}/"
        finally:
            os.killpg(process.pid, 15)
            process.wait(30)


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


def test_the_saved_view_shows_every_candidate_and_the_policy(browser: Any, server: str, tracked: Any) -> None:
    browser.set_window_size(1800, 1400)
    browser.get(server + tracked.view)
    wait_for(lambda: browser.execute_script(POINTS)[:2] == [5, 5], "five points in each scatter")
    text = browser.find_element("css selector", "body").text
    assert "Pareto front of release" in text and "Pareto: all suites" in text and "share key" not in text
    for name in ("tiny", "middle @ low", "middle @ high", "big", "routed"):
        assert name in text
    if "ROUTER_LAB_SCREENSHOTS" in os.environ:
        browser.save_screenshot(str(Path(os.environ["ROUTER_LAB_SCREENSHOTS"]) / "mlflow-view.png"))


def test_the_note_links_to_the_view(browser: Any, server: str, tracked: Any) -> None:
    browser.get(f"{server}#/experiments/{tracked.experiment_id}/runs?workflowType=machine_learning")
    wait_for(lambda: browser.find_elements("link text", "release"), "the note's link")
    link = browser.find_element("link text", "release").get_attribute("href")
    assert link.endswith(tracked.view)


def test_the_picture_is_shown_in_the_artifact_pane(browser: Any, server: str, tracked: Any) -> None:
    browser.get(f"{server}#/experiments/{tracked.experiment_id}/runs/{tracked.run_ids[-1]}/artifacts/pareto.html")
    wait_for(lambda: browser.find_elements("css selector", "iframe"), "the preview")
    browser.switch_to.frame(browser.find_element("css selector", "iframe"))
    wait_for(lambda: len(browser.find_elements("css selector", "svg.pareto")) == 3, "three pictures")
    assert len(browser.find_elements("css selector", "svg.pareto g.mark[data-label]")) == 12
    browser.switch_to.default_content()
    if "ROUTER_LAB_SCREENSHOTS" in os.environ:
        browser.save_screenshot(str(Path(os.environ["ROUTER_LAB_SCREENSHOTS"]) / "mlflow-artifact.png"))
