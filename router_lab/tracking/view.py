"""A saved chart view: what MLflow's own "share" button writes, so that an experiment opens on its
Pareto front.

The format is not documented. It was read in MLflow 3.17 (experiment tag
`mlflow.sharedViewState.<key>`, JSON with name, times and a `state` that is "deflate;" + base64 of
zlib-compressed JSON) and is checked in tests/browser; hence the narrow pin.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router_lab.tracking.names import folded, key_part, suite_names

TAG = "mlflow.sharedViewState."
NOTE_TAG = "mlflow.note.content"
NOTED = "router_lab.view."
"""Tag of the experiment, with a view's key behind it: the name of its sweep."""
MOST_SUITES = 24
MOST_TEXT = 20_000  # characters that MLflow takes in a tag of an experiment
ROWS = {
    "certificate": "the certificate's rows",
    "fresh": "fresh rows",
    "in_sample": "the fit's own rows, no evidence",
}


@dataclass(frozen=True)
class Scatter:
    """One scatter card: two metric names and its title."""

    title: str
    x: str
    y: str


def view_key(sweep: str, tags: Mapping[str, str] | None = None) -> str:
    """The key of a sweep's saved view; stable, so that logging a sweep again replaces its view.

    tags: the experiment's. A name that differs from another sweep's only in what a database may
    not tell apart (case) gets a digest; a plain name's key is the name.
    """
    noted = {k.removeprefix(NOTED): v for k, v in (tags or {}).items() if k.startswith(NOTED)}
    plain, apart = (f"router-lab-{key_part(sweep, apart=own)}" for own in (False, True))
    if noted.get(apart) == sweep:
        return apart
    return apart if any(folded(k) == folded(plain) and v != sweep for k, v in noted.items()) else plain


def view_path(experiment_id: str, key: str) -> str:
    """The fragment of the tracking server's address that opens the saved view."""
    return f"#/experiments/{experiment_id}/runs?compareRunsMode=CHART&viewStateShareKey={key}"


def pareto_cards(suites: Sequence[str], beside: Sequence[str] = ()) -> dict[str, list[Scatter]]:
    """Section name → cards: policies and candidates on the same rows, all suites together, then
    suite by suite.

    beside: names of the sets of rows that policies and candidates were both measured on
    (`certificate`, `fresh`).
    """
    same = {
        f"Pareto: policy and candidates, on {ROWS.get(rows, rows)}": [
            Scatter(f"On {ROWS.get(rows, rows)}: quality over cost per 1,000 ({unit})", f"{rows}/{cost}",
                    f"{rows}/quality")
            for cost, unit in (("log10_cost_usd_per_1k", "log10 $"), ("cost_usd_per_1k", "$"))
        ]
        for rows in beside[:1]
    }  # fmt: skip
    together = [
        Scatter("Quality over cost per 1,000 requests (log10 $)", "log10_cost_usd_per_1k", "quality"),
        Scatter("Quality over cost per 1,000 requests ($)", "cost_usd_per_1k", "quality"),
        Scatter("Quality over the P95 cost of one request ($)", "cost_p95_usd", "quality"),
        Scatter("Quality over dollars per success", "usd_per_success", "quality"),
    ]
    names = suite_names(suites)
    single = [
        Scatter(f"{suite}: quality over log10 $ per 1,000", f"suite/{names[suite]}/log10_cost_usd_per_1k",
                f"suite/{names[suite]}/quality")
        for suite in suites[:MOST_SUITES]
    ]  # fmt: skip
    return {
        **same,
        "Pareto: all suites": together,
        **({"Pareto: by suite": single} if len(suites) > 1 else {}),
    }


def chart_view(sweep: str, key: str, suites: Sequence[str], beside: Sequence[str], created_ms: int) -> str:
    """The saved view of a sweep: `shared_state` of its runs, with as many suites as a tag can
    hold."""
    kinds = "".join(f" and tags.`router_lab.kind` != '{kind}'" for kind in ("sweep", "release"))
    search = f"tags.`router_lab.view` = '{key}'{kinds}"
    for most in range(min(len(suites), MOST_SUITES), -1, -1):
        sections = pareto_cards(suites, beside)
        if "Pareto: by suite" in sections:
            sections["Pareto: by suite"] = sections["Pareto: by suite"][:most]
        view = shared_state(f"Pareto front of {sweep[:250]}", sections, search, created_ms)
        if len(view) <= MOST_TEXT:
            break
    return view


def shared_state(name: str, sections: dict[str, list[Scatter]], search: str, created_ms: int) -> str:
    """The tag's value: every run that `search` (MLflow's filter syntax) finds, in these scatter
    cards.

    `name` stands in the page's menu of views; without it or a time in ms the page silently ignores
    the view.
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


def _card(card: Scatter, section: str, uuid: str) -> dict[str, object]:
    return {
        "type": "SCATTER", "uuid": uuid, "displayName": card.title, "metricSectionId": section, "deleted": False,
        "isGenerated": False, "runsCountToCompare": 100,
        "xaxis": {"key": card.x, "type": "METRIC"}, "yaxis": {"key": card.y, "type": "METRIC"},
    }  # fmt: skip


def note(views: Sequence[tuple[str, str]], most: int = MOST_TEXT) -> str:
    """The experiment's description: (sweep name, path of its saved view), the newest first; as
    many as `most` characters hold."""
    if not views:
        return ""
    rest = "\n".join(
        ["", "",
         "Quality against cost, one run per candidate and policy; the tag `on_front` marks whom nobody beats on both.",
         "Names without a prefix are over every row; `certificate/` and `fresh/` say which rows policy and candidates",
         "share. Each sweep's run holds `pareto.html` and `report.html` among its artifacts, with intervals and a log",
         "axis."]
    )  # fmt: skip
    text = "Pareto fronts: "
    for number, (name, path) in enumerate(views):
        link = f"{' · ' if number else ''}**[{_markdown(name)}]({path})**"
        if len(text) + len(link) + len(rest) > most:
            break
        text += link
    return text + rest


def _markdown(name: str) -> str:
    """A name as Markdown shows it: nothing in it is a link, a tag or emphasis."""
    line = " ".join(name.split())[:200]
    return re.sub(r"([\\`*_{}\[\]()#+!|~<>&])", r"\\\1", line)
