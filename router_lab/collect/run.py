"""`collect`: every source to one outcomes table and one calls table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from router_lab.collect.calls import CACHING
from router_lab.collect.logs import LogSource, log_rows, open_log, unrun_rows
from router_lab.collect.notes import Notes
from router_lab.collect.pricing import Given, Pricing, manifest_of
from router_lab.collect.raced import inclusion_of, not_due, raced_reason
from router_lab.collect.tables import SUFFIXES, read_table, reprice
from router_lab.config import Suite, load_map
from router_lab.outcomes import CALL_COLUMNS, validate_calls, validate_outcomes
from router_lab.prices import PriceTable, utc
from router_lab.providers.evallog import find_logs
from router_lab.providers.keys import TRANSPORT, canonical_json
from router_lab.runtime.errors import InputError

Tables = Mapping[Path, PriceTable]
"""The prices of the logs in a directory, by directory."""

Manifests = Mapping[Path, Mapping[str, Any]]
"""What sweeps say of their log directories, by directory."""


def collect(
    sources: Sequence[str | Path],
    *,
    prices: Given = None,
    otherwise: str | Path | None = None,
    suites: str | Path | None = None,
    caching: str = "none",
    as_logged: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(outcomes, calls) of logs, log folders, sweeps and tables. Raises InputError.

    Args:
        sources: .eval or .json logs, folders of them, CSV/JSONL/Parquet tables of outcomes, logs of decisions whose
            outcomes are known (`DecisionLog`, .jsonl).
        prices: a prices.yaml or a table; by default the file that the sweep of a log folder was run with, which it
            remembers, else `otherwise`, else genai-prices alone. Tables are re-priced only if it is given.
        otherwise: a prices.yaml for logs of which no sweep says anything.
        suites: a suites.yaml; its `logs:` suites claim the logs in their folders, its other suites override what a log
            says about their scores.
        caching: assumption of `cost_usd`, `none` or `prefix` (see `collect.calls.request_cost`).
        as_logged: the rows of logs alone, without what a sweep or a race says of them: for a race on its way.

    `outcomes.attrs` carries `candidates`, `suites` and `provenance`; calls of tables that bring none are absent.
    """
    if caching not in CACHING:
        raise InputError(f"caching is {caching!r}; known: {', '.join(CACHING)}")
    paths = [Path(source) for source in sources]
    gone = next((path for path in paths if not path.exists()), None)
    if gone is not None:
        raise InputError(f"{gone}: no such file or folder")
    # Tables before prices: what is wrong is said in the order in which a user named it.
    tables = [(path, read_table(path)) for path in paths if path.suffix in SUFFIXES]
    pricing = Pricing(prices, otherwise)
    known, folders = _suites(suites)
    logs = [open_log(p, known, folders) for p in find_logs([p for p in paths if p.suffix not in SUFFIXES])]
    if not tables and not logs:
        raise InputError("nothing to collect: name logs, a log folder or a table of outcomes")
    manifests = {folder: manifest_of(folder) for folder in sorted({source.log.path.parent for source in logs})}
    prices_of = {folder: pricing.of(folder, manifest) for folder, manifest in manifests.items()}
    _check_prices(logs, prices_of)
    frames, calls = [], []
    if logs:
        notes = Notes()
        rows = [pair for log in logs for pair in log_rows(log, prices_of[log.log.path.parent], caching, notes)]
        if not as_logged:
            left_out = {source.log.path.name: not_due(source, manifests[source.log.path.parent]) for source in logs}
            rows = [pair for pair in rows if pair[0]["sample_id"] not in left_out[pair[0]["log"]]]
            notes.warn()
        made = [row for row, _ in rows]
        whole = made if as_logged else _with_inclusion(logs, manifests, made + _unrun(logs, manifests, made))
        outcomes = pd.DataFrame(whole)
        frames.append(_with_attrs(outcomes, logs, prices_of, caching))
        calls = [call for _, answered in rows for call in answered]
    for path, frame in tables:
        frames.append(reprice(frame, path, pricing.table, caching) if prices is not None else frame)
    joined = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    joined.attrs = _merge_attrs([frame.attrs for frame in frames])
    where = ", ".join(map(str, paths[:3])) + (" …" if len(paths) > 3 else "")
    return validate_outcomes(joined, where=where), _calls_frame(calls, where)


def _suites(path: str | Path | None) -> tuple[dict[str, Suite], dict[Path, str]]:
    """The suites of a file, and which of them own a folder of logs."""
    if path is None:
        return {}, {}
    known = load_map(Suite, path)
    base = Path(path).resolve().parent
    return known, {(base / suite.logs).resolve(): name for name, suite in known.items() if suite.logs}


def _check_prices(logs: Sequence[LogSource], tables: Tables) -> None:
    """Fail on a model without a price before reading a single sample."""
    for source in logs:
        tables[source.log.path.parent].rates(source.model, utc(source.log.spec["created"]).date())


def _unrun(logs: Sequence[LogSource], manifests: Manifests, made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows for what a budget left out; prompt and group as other candidates' rows have them."""
    seen: dict[str, set[tuple[str, int]]] = defaultdict(set)
    known: dict[tuple[str, str], dict[str, Any]] = {}
    for row in made:
        seen[row["log"]].add((row["sample_id"], row["epoch"]))
        known.setdefault((row["suite"], row["sample_id"]), {"prompt": row["prompt"], "group": row["group"]})
    rows: list[dict[str, Any]] = []
    for source in logs:
        manifest = manifests[source.log.path.parent]
        planned = manifest.get("planned", {}).get(source.log.path.name)
        race = manifest.get("race", {}).get("order", {}).get(source.suite_name)
        if planned is not None and (race is not None or manifest.get("budget_usd") is not None):
            order = race or manifest["order"][str(source.log.spec["task_version"])]
            reason = raced_reason(source, manifest)
            unrun = unrun_rows(source, order[:planned], seen[source.log.path.name])
            rows += [{**row, "reason": reason} for row in unrun]
    return [{**row, **known.get((row["suite"], row["sample_id"]), {})} for row in rows]


def _with_inclusion(
    logs: Sequence[LogSource], manifests: Manifests, rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The rows with `inclusion`, where a race has dealt with them."""
    chance = {
        source.log.path.name: inclusion_of(source, manifest)
        for source in logs
        if "race" in (manifest := manifests[source.log.path.parent])
    }
    if not chance:
        return rows
    return [{**row, "inclusion": chance.get(row["log"], {}).get(row["sample_id"], 1.0)} for row in rows]


def _calls_frame(calls: list[dict[str, Any]], where: str) -> pd.DataFrame:
    frame = pd.DataFrame(calls, columns=None if calls else list(CALL_COLUMNS))
    return validate_calls(frame, where=where)


def _with_attrs(frame: pd.DataFrame, logs: Sequence[LogSource], tables: Tables, caching: str) -> pd.DataFrame:
    requests = _measured_requests(logs)
    grouped: dict[tuple[str, str | None], list[LogSource]] = defaultdict(list)
    for source in logs:
        grouped[source.model, source.effort].append(source)
    frame.attrs = {
        "candidates": [
            _candidate(name, sources, requests.get(name, {}), tables)
            for name, sources in sorted(grouped.items(), key=lambda item: (item[0][0], item[0][1] or ""))
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


def _candidate(
    name: tuple[str, str | None], sources: list[LogSource], measured: dict[str, dict[str, Any]], tables: Tables
) -> dict[str, Any]:
    last = max(sources, key=lambda source: utc(source.log.spec["created"]))
    rates = tables[last.log.path.parent].rates(name[0], utc(last.log.spec["created"]).date())
    shas = sorted({source.settings_sha for source in sources})
    return {
        "model": name[0],
        "effort": name[1],
        "settings_sha": shas[0] if len(shas) == 1 else "+".join(shas),
        "request": _request(measured or {source.suite_name: _asked(source) for source in sources}),
        "prices": rates.as_dict(),
        "context_window": rates.context_window,
        "max_output_tokens": None,
    }


def _request(asked: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One request of a candidate from those of its suites; settings that differ between them stand under `suites`."""
    distinct = {canonical_json(request): request for request in asked.values()}
    if len(distinct) == 1:
        return next(iter(distinct.values()))
    shared = {k: v for k, v in next(iter(asked.values())).items() if all(r.get(k) == v for r in asked.values())}
    empty: dict[str, Any] = {"api": None, "arguments": {}, "system": None, "few_shot": []}
    return {**empty, **shared, "suites": asked}


def _asked(source: LogSource) -> dict[str, Any]:
    sent = source.log.spec.get("model_generate_config") or {}
    config = dict(source.arguments["config"] if source.arguments else _settings_of(sent))
    system = config.pop("system_message", None)
    few_shot = list(source.arguments.get("few_shot") or [])
    return {"api": None, "arguments": config, "system": system, "few_shot": few_shot}


def _settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in TRANSPORT}


def _measured_requests(logs: Sequence[LogSource]) -> dict[tuple[str, str | None], dict[str, dict[str, Any]]]:
    """Requests by candidate and suite as the sweep's recorder saw them, from the manifests beside the logs."""
    found: dict[tuple[str, str | None], dict[str, dict[str, Any]]] = defaultdict(dict)
    for folder in sorted({source.log.path.parent for source in logs}):
        for candidate in manifest_of(folder).get("candidates", []):
            if candidate.get("request"):
                found[candidate["model"], candidate["effort"]][candidate["suite"]] = candidate["request"]
    return found


def _merge_attrs(attrs: list[dict[Any, Any]]) -> dict[Any, Any]:
    """Candidates and suites of all sources, a later source winning for one name."""
    candidates = {(c["model"], c.get("effort")): c for a in attrs for c in a.get("candidates", [])}
    suites = {s["name"]: s for a in attrs for s in a.get("suites", [])}
    merged: dict[Any, Any] = {"candidates": list(candidates.values()), "suites": list(suites.values())}
    merged["provenance"] = {k: v for a in attrs for k, v in a.get("provenance", {}).items()}
    return {key: value for key, value in merged.items() if value}
