"""A saved chart view: what MLflow's own "share" button writes, so that an experiment opens on its Pareto front.

The format is not documented. It was read in MLflow 3.17 (experiment tag `mlflow.sharedViewState.<key>`, JSON with
name, times and a `state` that is "deflate;" + base64 of zlib-compressed JSON) and is checked in tests/browser; hence
the narrow pin.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TAG = "mlflow.sharedViewState."
NOTE_TAG = "mlflow.note.content"
MOST_SUITES = 24


@dataclass(frozen=True)
class Scatter:
    """One scatter card: two metric names and its title."""

    title: str
    x: str
    y: str


def metric_name(*parts: str) -> str:
    """A metric name of `parts` joined by slashes, with the characters that MLflow refuses replaced by `_`."""
    return "/".join(re.sub(r"[^A-Za-z0-9_. :-]", "_", part) for part in parts)


def view_key(sweep: str) -> str:
    """The key of a sweep's saved view; stable, so that logging a sweep again replaces its view."""
    return "router-lab-" + re.sub(r"[^A-Za-z0-9-]", "-", sweep)


def view_path(experiment_id: str, key: str) -> str:
    """The fragment of the tracking server's address that opens the saved view."""
    return f"#/experiments/{experiment_id}/runs?compareRunsMode=CHART&viewStateShareKey={key}"


def pareto_cards(suites: Sequence[str]) -> dict[str, list[Scatter]]:
    """Section name → cards: all suites together, then cost against quality for each suite."""
    together = [
        Scatter("Quality over cost per 1,000 requests (log10 $)", "log10_cost_usd_per_1k", "quality"),
        Scatter("Quality over cost per 1,000 requests ($)", "cost_usd_per_1k", "quality"),
        Scatter("Quality over the P95 cost of one request ($)", "cost_p95_usd", "quality"),
        Scatter("Quality over dollars per success", "usd_per_success", "quality"),
    ]
    single = [
        Scatter(f"{suite}: quality over log10 $ per 1,000", metric_name("suite", suite, "log10_cost_usd_per_1k"),
                metric_name("suite", suite, "quality"))
        for suite in suites[:MOST_SUITES]
    ]  # fmt: skip
    return {"Pareto: all suites": together, **({"Pareto: by suite": single} if len(suites) > 1 else {})}


def shared_state(name: str, sections: dict[str, list[Scatter]], search: str, created_ms: int) -> str:
    """The tag's value: every run that `search` (MLflow's filter syntax) finds, in these scatter cards.

    `name` stands in the page's menu of views; without it or a time in ms the page silently ignores the view.
    """
    names = {name: f"router-lab-section-{i}" for i, name in enumerate(sections)}
    charts = [
        _card(card, names[name], f"router-lab-card-{names[name]}-{i}")
        for name, cards in sections.items()
        for i, card in enumerate(cards)
    ]
    state = {
        "searchFilter": search, "orderByKey": "metrics.`cost_usd_per_1k`", "orderByAsc": False,
        "lifecycleFilter": "Active", "modelVersionFilter": "All Runs", "startTime": "ALL", "datasetsFilter": [],
        "selectedColumns": [*(f"metrics.`{m}`" for m in ("quality", "cost_usd_per_1k", "usd_per_success", "on_front"))],
        "runsHiddenMode": "SHOW_ALL", "hideEmptyCharts": True, "isAccordionReordered": True, "viewMaximized": False,
        "runListHidden": False, "useGroupedValuesInCharts": True, "groupBy": None, "autoRefreshEnabled": False,
        # Two charts in a row: three, the page's default, are too narrow beside its side panels.
        "compareRunSections": [
            {"uuid": uuid, "name": name, "display": True, "isReordered": True, "deleted": False, "isGenerated": False,
             "columns": 2, "cardHeight": 400}
            for name, uuid in names.items()
        ],
        "compareRunCharts": charts,
    }  # fmt: skip
    packed = zlib.compress(json.dumps(state, separators=(",", ":")).encode())
    packed_text = "deflate;" + base64.b64encode(packed).decode()
    return json.dumps({"name": name, "createdAt": created_ms, "updatedAt": created_ms, "state": packed_text})


def _card(card: Scatter, section: str, uuid: str) -> dict[str, Any]:
    return {
        "type": "SCATTER", "uuid": uuid, "displayName": card.title, "metricSectionId": section, "deleted": False,
        "isGenerated": False, "runsCountToCompare": 100,
        "xaxis": {"key": card.x, "type": "METRIC"}, "yaxis": {"key": card.y, "type": "METRIC"},
    }  # fmt: skip


def note(views: Sequence[tuple[str, str]]) -> str:
    """The experiment's description: (sweep name, path of its saved view), the newest first."""
    if not views:
        return ""
    links = " · ".join(f"**[{name}]({path})**" for name, path in views)
    return "\n".join(
        [f"Pareto fronts: {links}", "",
         "Quality against cost, one run per candidate and policy; the tag `on_front` marks whom nobody beats on both.",
         "Each sweep's run holds `pareto.html` and `report.html` among its artifacts, with intervals and a log axis."]
    )  # fmt: skip
