"""What a table of outcomes says of its candidates and suites, in its `attrs`: requests as sent,
prices, roles, provenance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from router_lab.collect.evidence import was_used
from router_lab.collect.logs import LogSource
from router_lab.collect.requests import Requests
from router_lab.collect.team import TEAM_REQUEST, usage_by_role
from router_lab.outcomes import SCORED
from router_lab.outcomes.requests import joined, merged, one_request
from router_lab.prices import PriceTable, utc
from router_lab.runtime.model import Candidate
from router_lab.sweep_manifest import SweepManifest

Tables = Mapping[Path, PriceTable]
"""The prices of the logs in a directory, by directory."""


def with_attrs(
    frame: pd.DataFrame,
    logs: Sequence[LogSource],
    tables: Tables,
    caching: str,
    as_logged: bool,
    calls: Sequence[Mapping[str, Any]],
) -> pd.DataFrame:
    """`frame` with what its logs and the sweep that wrote them say, and what the calls used."""
    # While a race is on its way nobody asks for a request, and finding them out takes its time.
    requests = defaultdict(dict) if as_logged else _measured_requests(_evident(logs, frame))
    usage = usage_by_role(calls, logs)
    grouped: dict[Candidate, list[LogSource]] = defaultdict(list)
    for source in filter(was_used, logs):
        grouped[source.candidate].append(source)
    frame.attrs = {
        "candidates": [
            _candidate(name, sources, requests.get(name, {}), tables, usage.get(name, {}))
            for name, sources in sorted(grouped.items(), key=lambda item: item[0])
        ],
        "suites": [
            {"name": name, "check": any(s.suite.check is not None for s in logs if s.suite_name == name)}
            for name in sorted({source.suite_name for source in logs})
        ],
        "provenance": {
            "caching": caching,
            "prices": ", ".join(sorted({table.label for table in tables.values()})),
            "logs": len(logs),
        },
    }
    return frame


def _evident(logs: Sequence[LogSource], frame: pd.DataFrame) -> list[LogSource]:
    """The logs that hold evidence; of a candidate and suite without any, all."""
    scored = frame[frame["status"].isin(SCORED)]
    there = set(zip(scored["log"], scored["eval_id"], strict=True))
    has = [(source.log.path.name, source.eval_id) in there for source in logs]
    cells = [(source.candidate, source.suite_name) for source in logs]
    shown = {cell for cell, holds in zip(cells, has, strict=True) if holds}
    return [one for one, cell, holds in zip(logs, cells, has, strict=True) if holds or cell not in shown]


def _candidate(
    name: Candidate,
    sources: list[LogSource],
    measured: dict[str, dict[str, Any]],
    tables: Tables,
    usage: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    last = max(sources, key=lambda source: utc(source.log.spec["created"]))
    shas = sorted({source.settings_sha for source in sources})
    around = {key: last.arguments[key] for key in ("harness_settings", "levers") if key in last.arguments}
    asked = last.arguments.get("roles") or {}
    requests = _of_roles(last) if asked else {}
    roles = {
        role: {
            **Candidate.of(part).named(), "settings_sha": part.get("settings_sha"),
            "request": requests.get(role, {}), **_priced(part["model"], last, tables), **usage.get(role, {}),
        }
        for role, part in asked.items()
    }  # fmt: skip
    windows = [role["context_window"] for role in roles.values() if role["context_window"]]
    own = {
        "prices": None,
        "context_window": min(windows, default=None),
        "max_output_tokens": None,
        "roles": roles,
    }
    return {
        **name.named(),
        **around,
        "settings_sha": shas[0] if len(shas) == 1 else "+".join(shas),
        "request": TEAM_REQUEST if roles else one_request(measured) if measured else {},
        **(own if roles else _priced(name.model, last, tables)),
    }


def _priced(model: str, log: LogSource, tables: Tables) -> dict[str, Any]:
    rates = tables[log.log.path.parent].rates(model, utc(log.log.spec["created"]).date())
    return {"prices": rates.as_dict(), "context_window": rates.context_window, "max_output_tokens": None}


def _of_roles(log: LogSource) -> dict[str, dict[str, Any]]:
    """What the sweep's recorder saw of each role of a team."""
    for cell in SweepManifest.of(log.log.path.parent).candidates:
        if (cell.candidate, cell.suite) == (log.candidate, log.suite_name):
            parts = (cell.model_extra or {}).get("roles") or {}
            return {role: part.get("request") or {} for role, part in parts.items()}
    return {}


def _measured_requests(logs: Sequence[LogSource]) -> dict[Candidate, dict[str, dict[str, Any]]]:
    """Requests by candidate and suite, as the logs have them, beside what manifests say of what
    was sent.

    `logs`: those whose rows count. One that was stopped early, or set aside, says nothing of what
    was measured.
    """
    from router_lab.providers.loopback import all_direct
    from router_lab.providers.recorder import Recorder

    noted: dict[tuple[Candidate, str], dict[str, Any]] = {}
    for folder in sorted({source.log.path.parent for source in logs}):
        for cell in SweepManifest.of(folder).candidates:
            if cell.request:
                noted[cell.candidate, cell.suite] = cell.request
    found: dict[Candidate, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    with Recorder() as recorder, all_direct():
        requests = Requests(recorder)
        for source in logs:
            if source.team:
                continue
            known = noted.get((source.candidate, source.suite_name))
            found[source.candidate][source.suite_name].append(requests.of(source, known))
    return {
        name: {suite: joined(suites[suite]) for suite in sorted(suites)} for name, suites in found.items()
    }


def merged_attrs(frames: Sequence[pd.DataFrame]) -> dict[Any, Any]:
    """Candidates and suites of all sources, a later source winning for what both say of one name;
    requests by suite."""
    attrs = [frame.attrs for frame in frames]
    candidates: dict[Candidate, dict[str, Any]] = {}
    for candidate in (c for a in attrs for c in a.get("candidates", [])):
        candidates.setdefault(Candidate.of(candidate), {}).update(candidate)
    if len(frames) > 1:
        for name, request in merged(frames).items():
            candidates[name]["request"] = request
    suites = {s["name"]: s for a in attrs for s in a.get("suites", [])}
    result: dict[Any, Any] = {"candidates": list(candidates.values()), "suites": list(suites.values())}
    result["provenance"] = {k: v for a in attrs for k, v in a.get("provenance", {}).items()}
    result["eliminations"] = [one for a in attrs for one in a.get("eliminations", [])]
    return {key: value for key, value in result.items() if value}
