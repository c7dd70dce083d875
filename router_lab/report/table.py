"""The candidates' table: what was measured, one row per suite and candidate, and one per candidate
over all suites."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from router_lab.metrics import clustered_ratio, pareto_front
from router_lab.metrics.estimate import bounded_interval
from router_lab.outcomes import SCORED, cut_off_share
from router_lab.outcomes.candidates import by_candidate, whose
from router_lab.outcomes.codes import Ints
from router_lab.outcomes.columns import SUMMARISED, Column
from router_lab.outcomes.copies import clusters_of
from router_lab.outcomes.matrix import SEEN_ENOUGH
from router_lab.outcomes.schema import LONG
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
    rows, texts = _coded(outcomes)
    parts = [_suite_rows(rows, texts, POOLED, confidence).assign(pooled=True)]
    suites = sorted(outcomes["suite"].unique())
    if len(suites) > 1:
        each = [_suite_rows(rows[rows["suite"] == suite], texts, suite, confidence) for suite in suites]
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


class _Texts(NamedTuple):
    """The texts that columns of codes stand for: the names of suites, sorted, of groups, and
    prompts. A sample is its suite's place times `per_suite`, and its own among all sample ids."""

    suite: pd.Index[str]
    group: pd.Index[str]
    prompt: pd.Index[str]
    per_suite: int

    def clusters(self, samples: pd.DataFrame) -> Ints:
        """The cluster of each sample, indexed by its code, by codes of `group` and `prompt`."""
        codes = {
            "suite": samples.index.to_numpy(np.int64) // self.per_suite,
            "group": samples["group"].to_numpy(np.int64),
            "prompt": samples["prompt"].fillna(-1).to_numpy(np.int64),
        }
        told = {
            name: getattr(self, name).take(code, allow_fill=True, fill_value=np.nan)
            for name, code in codes.items()
        }
        return clusters_of(pd.DataFrame(told))


def _coded(outcomes: pd.DataFrame) -> tuple[pd.DataFrame, _Texts]:
    """The table with whole numbers in the place of long texts: `sample`, in the order of (suite,
    sample_id), `group` and `prompt`, NaN of a null one."""
    suite, suites = pd.factorize(outcomes["suite"], sort=True)
    own, names = pd.factorize(outcomes["sample_id"], sort=True)
    group, groups = pd.factorize(outcomes["group"])
    prompt, prompts = pd.factorize(outcomes["prompt"])
    rows = outcomes.drop(columns=[name for name in (*LONG, "sample_id") if name in outcomes.columns])
    rows = rows.assign(
        sample=suite * len(names) + own, group=group, prompt=np.where(prompt < 0, np.nan, prompt)
    )
    return rows, _Texts(pd.Index(suites), pd.Index(groups), pd.Index(prompts), len(names))


def _suite_rows(rows: pd.DataFrame, texts: _Texts, suite: str, confidence: float) -> pd.DataFrame:
    counts = rows["status"].isin(SCORED)
    scored = rows if counts.all() else rows[counts]
    everything = max(1, scored["sample"].nunique())
    known: dict[bytes, Ints] = {}

    def clusters(samples: pd.DataFrame) -> Ints:
        """Candidates that ran on the same samples have the same clusters."""
        told = np.concatenate([samples.index, *(samples[name] for name in ("group", "prompt"))])
        key = hashlib.sha256(told.astype(np.float64).tobytes()).digest()
        if key not in known:
            known[key] = texts.clusters(samples)
        return known[key]

    table = pd.DataFrame([
        {"suite": suite, **_row(who, part, rows_of, clusters, everything, confidence)}
        for who, part, rows_of in _by_candidate(rows, scored)
    ])  # fmt: skip
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
    rows: pd.DataFrame, scored: pd.DataFrame
) -> Iterator[tuple[Candidate, pd.Series[str], pd.DataFrame]]:
    """The status of all rows, and the scored rows, of each candidate; those never scored have no
    row of their own."""
    whole = whose(rows)
    for who, part in by_candidate(scored):
        yield who, rows.loc[whole.places([who]) == 0, "status"], part


def _row(
    who: Candidate, status: pd.Series[str], scored: pd.DataFrame, clusters_of: Callable[[pd.DataFrame], Ints],
    everything: int, confidence: float,
) -> dict[str, Any]:  # fmt: skip
    means = {c: "mean" for c in ("quality", "cost_usd", "weight") if c in scored.columns}
    texts = dict.fromkeys(("group", "prompt"), "first")
    samples = scored.groupby("sample", sort=True).agg(means | texts)
    clusters = clusters_of(samples)
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
        "clusters": int((np.bincount(clusters) > 0).sum()),
        "seen": len(samples) / everything,
        "quality": quality.value,
        "quality_low": low,
        "quality_high": high,
        "cost_usd_per_1k": 1000 * clustered_ratio(cost * weight, weight.where(cost.notna()), clusters).value,
        **tails,
        "usd_per_success": clustered_ratio(cost * weight, samples["quality"] * weight, clusters).value,
        **{column.name: _summary(scored, column) for column in SUMMARISED},
        "errors": float((scored["status"] == "error").mean()),
        "lost": float((status == "infra").mean()),
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
