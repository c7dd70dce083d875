"""Flat runs in MLflow: one per candidate, policy and sweep. A mirror: nothing is ever read back for a fit."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from router_lab.outcomes import write_outcomes
from router_lab.tracking.store import artifact_location, open_client, store_uri
from router_lab.tracking.view import NOTE_TAG, TAG, metric_name, note, pareto_cards, shared_state, view_key, view_path

if TYPE_CHECKING:
    import pandas as pd

POOLED = "all"
EXPERIMENT = "router-lab"
METRICS = (
    "quality", "quality_low", "quality_high", "cost_usd_per_1k", "cost_p50_usd", "cost_p95_usd", "cost_p99_usd",
    "usd_per_success", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens",
    "turns", "latency_s", "errors", "n", "clusters",
)  # fmt: skip
SUITE_METRICS = (
    "quality", "quality_low", "quality_high", "cost_usd_per_1k", "cost_p95_usd", "usd_per_success", "output_tokens",
    "n",
)  # fmt: skip
_BATCH = 900  # MLflow takes 1,000 at once, tags and params included


@dataclass(frozen=True)
class Run:
    """What one flat run holds. artifacts: path in the run ("" = its root) → files or directories to copy there."""

    name: str
    kind: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    artifacts: Mapping[str, Sequence[Path]] = field(default_factory=dict)


@dataclass(frozen=True)
class Tracked:
    """Where runs went: the store, the experiment, run ids in the order given, and the saved view's path."""

    uri: str
    experiment_id: str
    run_ids: tuple[str, ...]
    view: str


def log_sweep(
    table: pd.DataFrame,
    outcomes: pd.DataFrame,
    *,
    sweep: str,
    uri: str | None = None,
    experiment: str = EXPERIMENT,
    params: Mapping[str, Any] | None = None,
    files: Sequence[str | Path] = (),
    prompts: bool = False,
) -> Tracked:
    """Log a finished sweep: a run per candidate (flat, so that the charts show them), one for the sweep, and the view.

    table: `report.candidate_table(outcomes)`.  files: put beside outcomes.parquet in the sweep's run (pareto.html …).
    prompts: whether the logged outcomes keep the prompts' text; without, the column is emptied.
    Logging one sweep name again takes the older runs out of its view, tagged `router_lab.superseded`.
    """
    rows = _records(table)
    suites = sorted({r["suite"] for r in rows} - {POOLED})
    runs = [_candidate_run(row, rows) for row in rows if row["suite"] == POOLED]
    with TemporaryDirectory() as scratch:
        kept = outcomes if prompts else _without_prompts(outcomes)
        parquet = write_outcomes(kept, Path(scratch) / "outcomes.parquet")
        totals = {"candidates": len(runs), "suites": len(suites), "outcomes": len(outcomes)}
        spent = {c: float(outcomes[c].sum()) for c in ("paid_usd", "judge_usd") if c in outcomes.columns}
        artifacts = {"": [parquet, *(Path(f) for f in files)]}
        runs.append(Run(sweep, "sweep", {**totals, **spent}, params or {}, {}, artifacts))
        return log_runs(runs, sweep=sweep, suites=suites, uri=uri, experiment=experiment)


def log_policy(
    name: str,
    metrics: Mapping[str, float],
    *,
    sweep: str,
    directory: str | Path,
    uri: str | None = None,
    experiment: str = EXPERIMENT,
    suites: Mapping[str, Mapping[str, float]] | None = None,
    tags: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    files: Sequence[str | Path] = (),
) -> Tracked:
    """Log a policy as one more point of its sweep's chart, its artifact as plain files under `policy/`.

    metrics: at least quality and cost_usd_per_1k, as for candidates.  suites: the same by suite.
    """
    flat = _with_log_cost(metrics, ())
    for suite, values in (suites or {}).items():
        flat |= _with_log_cost(values, ("suite", suite))
    artifacts = {"policy": [Path(directory)], "": [Path(f) for f in files]}
    run = Run(name, "policy", flat, params or {}, tags or {}, artifacts)
    return log_runs([run], sweep=sweep, suites=sorted(suites or {}), uri=uri, experiment=experiment)


def log_runs(
    runs: Sequence[Run], *, sweep: str, suites: Sequence[str], uri: str | None = None, experiment: str = EXPERIMENT
) -> Tracked:
    """Write `runs` to the experiment, one `log_batch` each, and bring the sweep's saved view and note up to date."""
    sweep = _quoted(sweep)
    client, chosen = open_client(uri), store_uri(uri)
    experiment_id = _experiment(client, experiment, chosen)
    old = _current(client, experiment_id, sweep, runs)
    ids = tuple(_write(client, experiment_id, run, sweep) for run in runs)
    for run_id in old:
        client.set_tag(run_id, "router_lab.superseded", sweep)
        client.set_tag(run_id, "router_lab.sweep", f"{sweep} (superseded)")  # so that the view no longer finds it
    key = view_key(sweep)
    if any(r.kind == "candidate" for r in runs):
        search = f"tags.`router_lab.sweep` = '{_quoted(sweep)}' and tags.`router_lab.kind` != 'sweep'"
        cards, now = pareto_cards(suites), int(time.time() * 1000)
        view = shared_state(f"Pareto front of {sweep}", cards, search, now)
        client.set_experiment_tag(experiment_id, TAG + key, view)
        client.set_experiment_tag(experiment_id, f"router_lab.view.{key}", sweep)
    _write_note(client, experiment_id)
    return Tracked(chosen, experiment_id, ids, view_path(experiment_id, key))


def _experiment(client: Any, name: str, uri: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    created = client.create_experiment(name, artifact_location=artifact_location(uri))
    client.set_experiment_tag(created, "mlflow.experimentKind", "custom_model_development")
    return str(created)


def _current(client: Any, experiment_id: str, sweep: str, runs: Sequence[Run]) -> list[str]:
    """Ids of what `runs` replace: this sweep's candidates and sweep run by kind, its policies by name."""
    kinds = {r.kind for r in runs} - {"policy"}
    policies = {r.name for r in runs if r.kind == "policy"}
    found = client.search_runs([experiment_id], f"tags.`router_lab.sweep` = '{_quoted(sweep)}'", max_results=1000)
    return [r.info.run_id for r in found if r.data.tags.get("router_lab.kind") in kinds or r.info.run_name in policies]


def _write(client: Any, experiment_id: str, run: Run, sweep: str) -> str:
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    tags = {"router_lab.kind": run.kind, "router_lab.sweep": sweep, "mlflow.source.name": "router-lab", **run.tags}
    run_id = str(client.create_run(experiment_id, run_name=run.name, start_time=now).info.run_id)
    metrics = [Metric(k, float(v), now, 0) for k, v in run.metrics.items() if v is not None and math.isfinite(v)]
    texts = [RunTag(k, str(v)) for k, v in tags.items()]
    settings = [Param(k, str(v)[:6000]) for k, v in run.params.items() if v is not None]
    client.log_batch(run_id, metrics[: _BATCH - len(texts) - len(settings)], settings, texts)
    for start in range(_BATCH - len(texts) - len(settings), len(metrics), _BATCH):  # more than MLflow takes at once
        client.log_batch(run_id, metrics[start : start + _BATCH])
    for place, paths in run.artifacts.items():
        for path in paths:
            (client.log_artifacts if path.is_dir() else client.log_artifact)(run_id, str(path), place or None)
    client.set_terminated(run_id)
    return run_id


def _write_note(client: Any, experiment_id: str) -> None:
    tags = client.get_experiment(experiment_id).tags
    sweeps = [(v, view_path(experiment_id, view_key(v))) for k, v in tags.items() if k.startswith("router_lab.view.")]
    client.set_experiment_tag(experiment_id, NOTE_TAG, note(sorted(sweeps, reverse=True)))


def _candidate_run(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Run:
    metrics = _with_log_cost({m: row[m] for m in METRICS if m in row}, ())
    metrics["on_front"] = float(row["on_front"])
    fronts = []
    for other in rows:
        if other["suite"] != POOLED and other["label"] == row["label"]:
            metrics |= _with_log_cost({m: other[m] for m in SUITE_METRICS if m in other}, ("suite", other["suite"]))
            metrics[metric_name("suite", other["suite"], "on_front")] = float(other["on_front"])
            fronts += [other["suite"]] if other["on_front"] else []
    tags = {"on_front": str(bool(row["on_front"])).lower(), "on_front_of_suites": json.dumps(fronts)}
    return Run(row["label"], "candidate", metrics, {"model": row["model"], "effort": row["effort"]}, tags)


def _with_log_cost(metrics: Mapping[str, float], prefix: tuple[str, ...]) -> dict[str, float]:
    """Finite metrics under `prefix`, and the logarithm of the cost: MLflow's scatter has no log axis."""
    found = {metric_name(*prefix, k): float(v) for k, v in metrics.items() if v is not None and math.isfinite(v)}
    cost = metrics.get("cost_usd_per_1k", math.nan)
    if cost > 0:
        found[metric_name(*prefix, "log10_cost_usd_per_1k")] = math.log10(cost)
    return found


def _without_prompts(outcomes: pd.DataFrame) -> pd.DataFrame:
    bare = outcomes.assign(prompt=None)
    bare.attrs = {**outcomes.attrs, "candidates": [_bare(c) for c in outcomes.attrs.get("candidates", [])]}
    return bare


def _bare(candidate: Mapping[str, Any]) -> dict[str, Any]:
    """A candidate without its prompt texts: system message, few-shot examples, tools, what was around the question."""
    return {**candidate, **({"request": _textless(candidate["request"] or {})} if "request" in candidate else {})}


def _textless(request: Mapping[str, Any]) -> dict[str, Any]:
    bare = {k: v for k, v in request.items() if k not in ("system", "few_shot", "content")}
    bare["arguments"] = {k: v for k, v in (request.get("arguments") or {}).items() if k != "tools"}
    if request.get("suites"):
        bare["suites"] = {suite: _textless(own) for suite, own in request["suites"].items()}
    return bare


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows = [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
    return [{**r, "effort": r["effort"] if isinstance(r["effort"], str) else None} for r in rows]


def _quoted(text: str) -> str:
    """Without the quote, which MLflow's filters cannot hold."""
    return text.replace("'", "")
