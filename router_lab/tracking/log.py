"""Flat runs in MLflow: one per candidate, policy and sweep. A mirror: nothing is ever read back
for a fit.

What is logged under which name, and on which rows: docs/mlflow.md.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from router_lab.masking import masked_tree, masker, without_keys
from router_lab.outcomes import write_outcomes
from router_lab.outcomes.columns import SUMMARISED, WHO
from router_lab.runtime.model import Candidate
from router_lab.tracking.names import metric_name, suite_names
from router_lab.tracking.runs import Run, Tracked, log_runs

Metrics = Mapping[str, float]
METRICS = (
    "quality", "quality_low", "quality_high", "cost_usd_per_1k", "cost_p50_usd", "cost_p95_usd", "cost_p99_usd",
    "usd_per_success", *(c.name for c in SUMMARISED), "errors", "n", "clusters",
)  # fmt: skip
SUITE_METRICS = (
    "quality", "quality_low", "quality_high", "cost_usd_per_1k", "cost_p95_usd", "usd_per_success", "output_tokens",
    "n",
)  # fmt: skip
EVERY_ROW = "every scored row of the sweep"


def log_sweep(
    table: pd.DataFrame,
    outcomes: pd.DataFrame,
    *,
    sweep: str,
    uri: str | None = None,
    experiment: str | None = None,
    params: Mapping[str, Any] | None = None,
    files: Sequence[str | Path] = (),
    prompts: bool = False,
    beside: Mapping[Candidate, Mapping[str, Metrics]] | None = None,
    usd_by_role: Mapping[Candidate, Metrics] | None = None,
) -> Tracked:
    """Log a finished sweep: a run per candidate (flat, so that the charts show them), one for the
    sweep, and the view.

    table: `report.candidate_table(outcomes)`.  files: put beside outcomes.parquet in the sweep's
    run (pareto.html …). prompts: whether the logged outcomes keep the text of prompts and answers;
    without, there is none. beside: candidate → name of a set of rows → metrics on those rows,
    logged as `NAME/metric`; what the policies of this sweep were measured on, so that the view's
    first charts set like beside like (quality, cost_usd_per_1k). usd_by_role: team → role → mean
    dollars of a request; who has which role is read from the outcomes. Logging one sweep name again
    takes the older runs out of its view, tagged `router_lab.superseded`, and so the policies that
    were measured on other outcomes. Keys (API keys, tokens) are taken out of all that is logged.
    Raises MirrorError for a store that cannot be written.
    """
    rows = _records(table)
    suites = sorted({r["suite"] for r in rows if not r["pooled"]})
    digest, more = outcomes_digest(outcomes), beside or {}
    names = suite_names(suites)
    runs = [
        _candidate_run(row, rows, names, more.get(Candidate.of(row), {})) for row in rows if row["pooled"]
    ]
    runs = _with_roles(runs, outcomes, usd_by_role or {})
    with TemporaryDirectory() as scratch:
        kept = _without_keys(outcomes if prompts else _without_prompts(outcomes))
        parquet = write_outcomes(kept, Path(scratch) / "outcomes.parquet")
        totals = {"candidates": len(runs), "suites": len(suites), "outcomes": len(outcomes)}
        spent = {c: float(outcomes[c].sum()) for c in ("paid_usd", "judge_usd") if c in outcomes.columns}
        artifacts = {"": [parquet, *(Path(f) for f in files)]}
        runs.append(Run(sweep, "sweep", {**totals, **spent}, params or {}, {}, artifacts))
        found = sorted({name for sets in more.values() for name in sets})
        return log_runs(
            runs, sweep=sweep, suites=suites, uri=uri, experiment=experiment, outcomes=digest, beside=found
        )


def log_policy(
    name: str,
    metrics: Metrics,
    *,
    sweep: str,
    directory: str | Path,
    uri: str | None = None,
    experiment: str | None = None,
    suites: Mapping[str, Metrics] | None = None,
    tags: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    files: Sequence[str | Path] = (),
    beside: Mapping[str, Metrics] | None = None,
) -> Tracked:
    """Log a policy as one more point of its sweep's chart, its artifact as plain files under
    `policy/`.

    metrics: at least quality and cost_usd_per_1k, as for candidates, placed so that they can be
    compared with the candidates' on every row of the sweep.  suites: the same by suite, for all
    suites of the sweep. beside: name of a set of rows → metrics on those rows, as `log_sweep`
    takes them.
    """
    flat = _with_log_cost(metrics, ())
    for suite, part in suite_names(suites or {}).items():
        flat |= _with_log_cost((suites or {})[suite], ("suite", part))
    for rows, values in (beside or {}).items():
        flat |= _with_log_cost(values, (rows,))
    artifacts = {"policy": [Path(directory)], "": [Path(f) for f in files]}
    run = Run(name, "policy", flat, params or {}, tags or {}, artifacts)
    return log_runs([run], sweep=sweep, suites=sorted(suites or {}), uri=uri, experiment=experiment)


def outcomes_digest(outcomes: pd.DataFrame) -> str:
    """What tells whether two runs were measured on the same outcomes: 16 hex digits over who
    scored what where."""
    columns = [c for c in ("suite", "sample_id", "epoch", *WHO, "quality", "cost_usd", "status")
               if c in outcomes.columns]  # fmt: skip
    hashes = pd.util.hash_pandas_object(outcomes[columns].astype("string"), index=False).sort_values()
    return hashlib.sha256(hashes.to_numpy().tobytes()).hexdigest()[:16]


def _candidate_run(
    row: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    names: Mapping[str, str],
    beside: Mapping[str, Metrics],
) -> Run:
    metrics = _with_log_cost({m: row[m] for m in METRICS if m in row}, ())
    metrics["on_front"] = float(row["on_front"])
    fronts = []
    for other in rows:
        if not other["pooled"] and Candidate.of(other) == Candidate.of(row):
            place = ("suite", names[other["suite"]])
            metrics |= _with_log_cost({m: other[m] for m in SUITE_METRICS if m in other}, place)
            metrics["/".join((*place, "on_front"))] = float(other["on_front"])
            fronts += [other["suite"]] if other["on_front"] else []
    for name, values in beside.items():
        metrics |= _with_log_cost(values, (name,))
    leads = json.dumps(fronts, ensure_ascii=False)
    tags = {
        "on_front": str(bool(row["on_front"])).lower(),
        "on_front_of_suites": leads,
        "router_lab.rows": EVERY_ROW,
    }
    return Run(row["label"], "candidate", metrics, Candidate.of(row).named(), tags)


def _with_roles(
    runs: Sequence[Run], outcomes: pd.DataFrame, usd_by_role: Mapping[Candidate, Metrics]
) -> list[Run]:
    """Candidates' runs, those of teams with who has which role, and what each costs."""
    listed = outcomes.attrs.get("candidates") or ()
    roles = {str(Candidate.of(one)): one["roles"] for one in listed if one.get("roles")}
    usd = {str(team): values for team, values in usd_by_role.items()}
    return [
        _team_run(run, roles[run.name], usd.get(run.name, {})) if run.name in roles else run for run in runs
    ]


def _team_run(run: Run, roles: Mapping[str, Mapping[str, Any]], usd: Metrics) -> Run:
    names = suite_names({*roles, *usd})
    params = {f"role.{role}": str(Candidate.of(who)) for role, who in roles.items()}
    spent = {f"usd_by_role/{names[role]}": value for role, value in usd.items() if math.isfinite(value)}
    return replace(run, params={**run.params, **params}, metrics={**run.metrics, **spent})


def _with_log_cost(metrics: Mapping[str, float | None], prefix: tuple[str, ...]) -> dict[str, float]:
    """Finite metrics under `prefix` (a name that MLflow can hold), and the logarithm of the cost:
    MLflow's scatter has no log axis."""
    known = {k: float(v) for k, v in metrics.items() if v is not None and math.isfinite(v)}
    if known.get("cost_usd_per_1k", 0.0) > 0:
        known["log10_cost_usd_per_1k"] = math.log10(known["cost_usd_per_1k"])
    return {"/".join((*prefix, metric_name(k))): v for k, v in known.items()}


def _without_prompts(outcomes: pd.DataFrame) -> pd.DataFrame:
    bare = outcomes.drop(columns="answer", errors="ignore").assign(prompt=None)
    listed = outcomes.attrs.get("candidates", [])
    bare.attrs = {**outcomes.attrs, "candidates": [_bare(c) for c in listed]}
    return bare


def _bare(candidate: Mapping[str, Any]) -> dict[str, Any]:
    """A candidate, and each role of a team, without texts of prompts."""
    found = dict(candidate)
    if "request" in found:
        found["request"] = _textless(found["request"] or {})
    if found.get("roles"):
        found["roles"] = {role: _bare(who) for role, who in found["roles"].items()}
    return found


def _textless(request: Mapping[str, Any]) -> dict[str, Any]:
    """A request without its prompt texts: system message, few-shot examples, tools, what was
    around the question."""
    bare = {k: v for k, v in request.items() if k not in ("system", "few_shot", "content")}
    bare["arguments"] = {k: v for k, v in (request.get("arguments") or {}).items() if k != "tools"}
    if request.get("suites"):
        bare["suites"] = {suite: _textless(own) for suite, own in request["suites"].items()}
    return bare


def _without_keys(outcomes: pd.DataFrame) -> pd.DataFrame:
    """The same without keys: in the texts of the table, and in the settings of its candidates."""
    mask = masker()
    texts = outcomes.select_dtypes(include=["object", "string"]).columns
    changed = {c: outcomes[c].map(lambda v: masked_tree(v, mask), na_action="ignore") for c in texts}
    clean = outcomes.assign(**{c: v for c, v in changed.items() if not v.equals(outcomes[c])})
    clean.attrs = without_keys(outcomes.attrs)
    return clean


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain dicts, with `pooled` telling those over all suites from those of a suite."""
    rows = [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
    return [row | Candidate.of(row).named() for row in rows]
