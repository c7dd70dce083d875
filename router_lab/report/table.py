"""The candidates' table: what was measured, one row per suite and candidate, and one per candidate
over all suites."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from router_lab.metrics import clustered_ratio, pareto_front
from router_lab.metrics.estimate import bounded_interval
from router_lab.outcomes import SCORED, cut_off_share
from router_lab.outcomes.candidates import by_candidate
from router_lab.outcomes.columns import SUMMARISED, Column
from router_lab.outcomes.copies import clusters_of
from router_lab.outcomes.matrix import SEEN_ENOUGH
from router_lab.report.format import FIGURES, count, cut_off, interval, money, percent
from router_lab.report.marks import Mark
from router_lab.runtime.kinds import COUNTED
from router_lab.runtime.model import Candidate

CONFIDENCE = 0.95
POOLED = "all"
SAMPLE = ["suite", "sample_id"]
COLUMNS: tuple[tuple[str, str, Callable[[Mapping[str, Any]], str]], ...] = (
    ("quality", "quality", lambda r: percent(r["quality"])),
    ("95 % interval", "95 % interval", lambda r: interval(r["quality_low"], r["quality_high"])),
    ("cut off", "cut off", lambda r: cut_off(r["cut_off"])),
    ("$ / 1,000", "$/1k", lambda r: money(r["cost_usd_per_1k"])),
    ("$ P95", "$ P95", lambda r: money(r["cost_p95_usd"])),
    ("$ / success", "$/success", lambda r: money(r["usd_per_success"])),
    *((k.heading, k.brief or k.heading, lambda r, c=k.column: count(r[c])) for k in COUNTED if k.heading),
    *((c.heading, c.heading, lambda r, c=c: FIGURES[c.unit](r[c.name])) for c in SUMMARISED if c.heading),
    ("samples", "n", lambda r: count(r["n"])),
)
"""What is shown of a row of `candidate_table`: the heading on a page and in a terminal, and the
cell. One that would be empty for every row is left out. Tokens are means per request."""


def candidate_table(outcomes: pd.DataFrame, confidence: float = CONFIDENCE) -> pd.DataFrame:
    """What each candidate achieved and cost, from a validated outcomes table.

    One row per suite and candidate, and one with suite `"all"` over all samples; within a suite
    the dearest first. A suite may be called `all` itself: `pooled` tells. Epochs are averaged per
    sample first; rows with status `infra` or `budget` are left out and counted.

    - pooled: over all suites
    - n, clusters: samples and groups of them; seen: share of the suite's samples that this
      candidate was run on
    - quality, quality_low, quality_high: mean and its two-sided interval at `confidence`, by
      cluster (Wilson's)
    - cost_usd_per_1k: mean per thousand requests; cost_p50_usd, cost_p95_usd, cost_p99_usd: per
      request
    - usd_per_success: dollars spent per unit of quality, failures paid for (with 0/1 scores: per
      correct answer)
    - input_tokens …: mean per request, by kind;  turns, latency_s (median), errors (share of rows
      that are the candidate's fault), lost (share lost to the infrastructure)
    - cut_off: share of rows with an answer that ended at max_tokens; NaN where that is not known
    - compared: seen on 95 % of the suite's samples or more (if nobody was: on as many as anybody)
    - on_front: compared, and no other such candidate is cheaper and at least as good, or as cheap
      and better
    """
    parts = [_suite_rows(outcomes, POOLED, confidence).assign(pooled=True)]
    suites = sorted(outcomes["suite"].unique())
    if len(suites) > 1:
        each = [_suite_rows(outcomes[outcomes["suite"] == suite], suite, confidence) for suite in suites]
        parts += [part.assign(pooled=False) for part in each]
    else:
        parts += [parts[0].assign(suite=suites[0], pooled=False)]
    return pd.concat(parts, ignore_index=True)


def pooled(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `candidate_table` over all suites."""
    return table[table["pooled"]].reset_index(drop=True)


def suites_of(table: pd.DataFrame) -> list[str]:
    """The single suites of a `candidate_table`, sorted."""
    return list(single(table)["suite"].unique())


def single(table: pd.DataFrame, suite: str | None = None) -> pd.DataFrame:
    """The rows of `candidate_table` of single suites, or of one."""
    rows = table[~table["pooled"]]
    return rows if suite is None else rows[rows["suite"] == suite]


def _suite_rows(frame: pd.DataFrame, suite: str, confidence: float) -> pd.DataFrame:
    scored = frame[frame["status"].isin(SCORED)]
    everything = max(1, len(scored[SAMPLE].drop_duplicates()))
    rows = [
        {"suite": suite, **_row(who, part, scored_part, everything, confidence)}
        for who, part, scored_part in _by_candidate(frame, scored)
    ]
    table = pd.DataFrame(rows)
    comparable = table["seen"] >= SEEN_ENOUGH
    if not comparable.any():
        comparable = table["seen"] >= table["seen"].max()
    table["compared"] = comparable
    table["on_front"] = False
    priced = comparable & table["cost_usd_per_1k"].notna()
    chosen = table[priced]
    table.loc[priced, "on_front"] = pareto_front(chosen["cost_usd_per_1k"], chosen["quality"])
    order = ["cost_usd_per_1k", "quality", "label"]
    return table.sort_values(order, ascending=[False, False, True], na_position="last", ignore_index=True)


def _by_candidate(
    frame: pd.DataFrame, scored: pd.DataFrame
) -> list[tuple[Candidate, pd.DataFrame, pd.DataFrame]]:
    """All rows and the scored rows of each candidate; those never scored have no row of their
    own."""
    everything = dict(by_candidate(frame))
    return [(who, everything[who], part) for who, part in by_candidate(scored)]


def _row(
    who: Candidate, part: pd.DataFrame, scored: pd.DataFrame, everything: int, confidence: float
) -> dict[str, Any]:
    means = {c: "mean" for c in ("quality", "cost_usd", "weight") if c in scored.columns}
    texts = {c: "first" for c in ("group", "prompt") if c in scored.columns}
    samples = scored.groupby(SAMPLE, sort=True).agg(means | texts)
    clusters = clusters_of(samples.reset_index())
    weight = samples["weight"] if "weight" in samples else pd.Series(1.0, index=samples.index)
    quality = clustered_ratio(samples["quality"] * weight, weight, clusters)
    low, high = bounded_interval(quality, confidence)
    cost = samples["cost_usd"] if "cost_usd" in samples else pd.Series(np.nan, index=samples.index)
    per_row = scored["cost_usd"] if "cost_usd" in scored else pd.Series(np.nan, index=scored.index)
    tails = {f"cost_p{p}_usd": float(per_row.quantile(p / 100)) for p in (50, 95, 99)}
    return {
        **who.named(),
        "label": str(who),
        "n": len(samples),
        "clusters": len(np.unique(clusters)),
        "seen": len(samples) / everything,
        "quality": quality.value,
        "quality_low": low,
        "quality_high": high,
        "cost_usd_per_1k": 1000 * clustered_ratio(cost * weight, weight.where(cost.notna()), clusters).value,
        **tails,
        "usd_per_success": clustered_ratio(cost * weight, samples["quality"] * weight, clusters).value,
        **{column.name: _summary(scored, column) for column in SUMMARISED},
        "errors": float((scored["status"] == "error").mean()),
        "lost": float((part["status"] == "infra").mean()),
        "cut_off": cut_off_share(scored),
    }


def _summary(scored: pd.DataFrame, column: Column) -> float:
    if column.name not in scored.columns:
        return math.nan
    values = scored[column.name]
    return float(values.mean() if column.summary == "mean" else values.median())


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as plain dicts."""
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def marks_of(
    table: pd.DataFrame, reference: Candidate | None = None, known: set[str] | None = None
) -> list[Mark]:
    """The rows of one suite of `candidate_table` as marks; rows without a cost cannot be shown and
    are left out.

    reference: drawn as such.  known: labels of an earlier sweep; whoever is not
    among them is new.
    """
    marks = []
    for row in records(table):
        if not math.isfinite(row["cost_usd_per_1k"]):
            continue
        finite = math.isfinite(row["quality_low"])
        marks.append(
            Mark(
                label=row["label"],
                cost=row["cost_usd_per_1k"],
                quality=row["quality"],
                low=row["quality_low"] if finite else None,
                high=row["quality_high"] if finite else None,
                kind="reference" if reference == Candidate.of(row) else "candidate",
                on_front=bool(row["on_front"]),
                compared=bool(row["compared"]),
                new=known is not None and row["label"] not in known,
                detail=_detail(row),
            )
        )
    return marks


def _detail(row: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    lines = [
        ("per success", money(row["usd_per_success"])),
        ("P95 of one request", money(row["cost_p95_usd"])),
        ("tokens in / out", f"{count(row['input_tokens'])} / {count(row['output_tokens'])}"),
        ("samples", f"{count(row['n'])} in {count(row['clusters'])} groups"),
    ]
    if cut_off(row["cut_off"]):
        lines.append(("cut off at max_tokens", cut_off(row["cut_off"])))
    if not row["compared"]:
        lines.append(("seen on", f"{percent(row['seen'], 0)} of the samples, so not compared"))
    return tuple(lines)
