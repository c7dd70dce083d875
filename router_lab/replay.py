"""A policy scored on recorded outcomes, beside what else could have been done with them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from router_lab.certificate import Certificate
from router_lab.metrics import Estimate, clustered_mean, clustered_ratio, paired_saving
from router_lab.outcomes import OutcomeMatrix, outcomes_for
from router_lab.outcomes.copies import used_names
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.model import Candidate
from router_lab.runtime.policy import Policy

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """What was scored, row by row: arrays [n] (shares, qualities, costs [n, c]); NaN where an outcome is missing.

    weight [n, c]: one over the known probability with which an outcome was observed; None = 1.
    """

    shares: Floats
    qualities: Floats
    costs: Floats
    quality: Floats
    cost_usd: Floats
    reference_quality: Floats
    reference_cost_usd: Floats
    suite: NDArray[np.int64]
    group: NDArray[np.int64]
    suites: tuple[str, ...]
    reference: int
    weight: Floats | None = None

    def weights(self, *columns: int) -> Floats | None:
        """[n] weight of a row for which the outcomes of its shares, the reference and `columns` are all needed: they
        are observed on nested sets of rows, so the least likely one decides."""
        if self.weight is None:
            return None
        needed = self.shares > 0
        needed[:, [self.reference, *columns]] = True
        heaviest: Floats = np.where(needed, self.weight, 1.0).max(axis=1)
        return heaviest

    def gain(self, here: NDArray[np.bool_] | None = None) -> Estimate:
        """Policy minus reference in quality, on rows `here` [n]; certain where none of them leaves the reference."""
        lost = self.quality - self.reference_quality
        rows = ~np.isnan(lost) if here is None else here & ~np.isnan(lost)
        weights = self.weights()
        moved = 1 - self.shares[rows, self.reference]
        return clustered_mean(
            lost[rows], self.group[rows], weights=None if weights is None else weights[rows],
            span=float(np.max(moved, initial=0.0)),
        )  # fmt: skip


@dataclass(frozen=True)
class Replay:
    """Means per sample of a policy on outcomes, chance in expectation, on rows where policy and reference both have
    outcomes; `skipped` rows have not. Costs are over the rows where both costs are known.

    `shares`: by candidate, the expected share of rows it serves. `in_sample`: the rows were used in the fit, so this
    is no evidence. `oracle` knows each row's outcomes beforehand: an upper bound, never a promise.
    """

    quality: float
    cost_usd: float
    reference_quality: float
    reference_cost_usd: float
    savings: float
    shares: dict[Candidate, float]
    n: int
    clusters: int
    in_sample: bool
    skipped: int
    random_mix: dict[str, Any]
    oracle: dict[str, float]
    fixed: tuple[dict[str, Any], ...]
    rows: Rows

    def estimate(self, metric: str) -> Estimate:
        """The clustered estimate of `quality`, `cost_usd`, `savings`, `quality_difference` (policy minus reference),
        `reference_quality`, `reference_cost_usd` or `savings_over_mix` (policy minus random mix)."""
        r = self.rows
        w, both = r.weights(), r.weights(int(self.random_mix["column"]))
        base, mixed = r.reference_cost_usd, self.mix_costs()
        paired = {
            "quality": lambda: clustered_mean(r.quality, r.group, weights=w),
            "reference_quality": lambda: clustered_mean(r.reference_quality, r.group, weights=w),
            "quality_difference": lambda: r.gain(),
            "cost_usd": lambda: clustered_mean(r.cost_usd, r.group, weights=w),
            "reference_cost_usd": lambda: clustered_mean(base, r.group, weights=w),
            "savings": lambda: paired_saving(r.cost_usd, base, r.group, weights=w),
            "savings_over_mix": lambda: paired_saving(r.cost_usd, mixed, r.group, reference=base, weights=both),
        }
        if metric not in paired:
            raise InputError(f"replay: metric {metric!r} is not one of {', '.join(sorted(paired))}")
        return paired[metric]()

    def interval(self, metric: str, confidence: float = 0.95) -> tuple[float, float]:
        """Two-sided interval of a metric, as `estimate` names them."""
        return self.estimate(metric).interval(confidence)

    def mix_costs(self) -> Floats:
        """[n] expected dollars of each row under the random mix; NaN where they are not known."""
        share, column = float(self.random_mix["probability"]), int(self.random_mix["column"])
        mixed: Floats = (1 - share) * self.rows.reference_cost_usd
        return mixed + share * self.rows.costs[:, column] if share else mixed

    def to_json(self) -> dict[str, Any]:
        """Plain data: every figure with its 95 % interval, null for what is not a number."""
        metrics = ("quality", "cost_usd", "savings", "quality_difference", "savings_over_mix")
        return {
            "quality": number(self.quality), "cost_usd": number(self.cost_usd), "savings": number(self.savings),
            "reference_quality": number(self.reference_quality),
            "reference_cost_usd": number(self.reference_cost_usd),
            "intervals": {m: [number(v) for v in self.interval(m)] for m in metrics},
            "savings_over_mix": number(self.estimate("savings_over_mix").value),
            "shares": [{"model": c.model, "effort": c.effort, "share": s} for c, s in self.shares.items()],
            "n": self.n, "clusters": self.clusters, "skipped": self.skipped, "in_sample": self.in_sample,
            "rows": "in-sample" if self.in_sample else "fresh",
            "random_mix": {k: number(v) for k, v in self.random_mix.items() if k != "column"},
            "oracle_upper_bound": {k: number(v) for k, v in self.oracle.items()},
            "fixed": [{k: number(v) for k, v in row.items()} for row in self.fixed],
        }  # fmt: skip


def number(value: Any) -> Any:
    """`value` as JSON holds it: a float that is not finite becomes null."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def replay(policy: Policy, outcomes: pd.DataFrame, point: str | None = None) -> Replay:
    """Score `policy` (at `point`, default its own) on outcomes as `fit_policy` takes them, raw or validated.

    Rows of groups that the fit used, and copies of their prompts (`outcomes.copies.used_names`), are left out; where
    nothing else is left they are scored and labelled in-sample.
    A null prompt is decided like an empty one; column `vector` is passed to a policy that was fitted on one, and a
    sample without counts as missing its vector, which is warned of (RouterLabWarning). Candidates of the outcomes that
    the policy does not know are ignored.
    Raises InputError for outcomes that are not the policy's (`outcomes_for`), or for vectors of another length.
    """
    return replay_known(policy, outcomes_for(policy, outcomes, "replay"), point)


def replay_known(policy: Policy, outcomes: pd.DataFrame, point: str | None = None) -> Replay:
    """`replay` on a validated table that is known to be of the policy's candidates."""
    data = OutcomeMatrix.from_frame(outcomes, policy.candidates)
    if not len(data):
        raise InputError("replay: the outcomes hold no scored row of this policy's candidates")
    plain = data
    if policy.spec.escalation:
        data = OutcomeMatrix.from_frame(escalated(outcomes, policy.reference), policy.candidates)
    seen = used_names(data.groups, data.name, data.prompts, data.joined, policy.spec)[data.name]
    in_sample = bool(seen.all())
    if not in_sample:
        data, plain = data.take(~seen), plain.take(~seen)
    warn_of_missing_vectors(policy, data)
    names = [data.suites[i] for i in data.suite]
    shares = policy.shares([p or "" for p in data.prompts], names, point, vectors_for(policy, data))
    return score(policy, data, shares, in_sample=in_sample, plain=plain)


def vectors_for(policy: Policy, data: OutcomeMatrix) -> Floats | None:
    """[n, d] vectors of the outcomes, where the policy takes any. Raises InputError where it takes others."""
    if policy.vector_length is None or data.vectors is None:
        return None
    if data.vectors.shape[1] != policy.vector_length:
        raise InputError(
            f"replay: column `vector` of the outcomes has {data.vectors.shape[1]} numbers; policy {policy.spec.name!r} "
            f"was fitted on vectors of {policy.vector_length}"
        )
    return data.vectors


def warn_of_missing_vectors(policy: Policy, data: OutcomeMatrix) -> None:
    """Say how many samples lack the vector that `policy` was fitted on; nothing where none does."""
    missing = 0
    if policy.vector_length is not None:
        missing = len(data) if data.vectors is None else int(np.isnan(data.vectors).any(axis=1).sum())
    if missing:
        text = (
            f"{missing:,} of {len(data):,} samples have no `vector`, which policy {policy.spec.name!r} was fitted on "
            f"({policy.vector_length} numbers); they are decided as for the mean vector"
        )
        warnings.warn(RouterLabWarning(text), stacklevel=3)


def escalated(outcomes: pd.DataFrame, reference: Candidate) -> pd.DataFrame:
    """The outcomes as they would be if every answer that fails its run-time `check` were asked again of `reference`.

    Such a row gets the reference's quality of the same sample and epoch, both costs and both latencies; where the
    reference has none, it becomes unknown (NaN). Rows whose check passed, or was not made, stay. Rows keep their order.
    """
    frame = outcomes.copy()
    if "check" not in frame.columns:
        return frame
    effort = [e if isinstance(e, str) else None for e in frame["effort"]]
    mine = [Candidate(m, e) == reference for m, e in zip(frame["model"], effort, strict=True)]
    failed = (frame["check"].astype("boolean").eq(False).fillna(False).to_numpy(bool)) & ~np.array(mine, bool)
    keys = ["suite", "sample_id", "epoch"]
    added = [c for c in ("cost_usd", "latency_s") if c in frame.columns]
    columns = ["quality", *added]
    answers = frame.loc[mine, keys + columns].drop_duplicates(keys).set_index(keys)
    asked = answers.reindex(pd.MultiIndex.from_frame(frame.loc[failed, keys]))
    frame.loc[failed, "quality"] = asked["quality"].to_numpy()
    for column in added:
        frame.loc[failed, column] = frame.loc[failed, column].to_numpy() + asked[column].to_numpy()
    return frame


def score(
    policy: Policy, data: OutcomeMatrix, shares: Floats, *, in_sample: bool, plain: OutcomeMatrix | None = None
) -> Replay:
    """The Replay of given `shares` [n, c]: the probability with which each row is served by each candidate.

    `plain`: the outcomes without escalation, which the baselines are scored on; default `data`.
    """
    single = data if plain is None else plain
    ref = policy.spec.reference
    quality, cost = _expected(shares, data.quality), _expected(shares, data.cost_usd)
    ref_quality, ref_cost = data.quality[:, ref], data.cost_usd[:, ref]
    scored = ~np.isnan(quality + ref_quality)
    priced = scored & ~np.isnan(cost + ref_cost)
    rows = Rows(
        shares, single.quality, np.where(priced[:, None], single.cost_usd, np.nan),
        np.where(scored, quality, np.nan), np.where(priced, cost, np.nan),
        np.where(scored, ref_quality, np.nan), np.where(priced, ref_cost, np.nan),
        data.suite, data.group, data.suites, ref, data.weighting,
    )  # fmt: skip
    weights = rows.weights()
    spent, base = _mean(rows.cost_usd, weights), _mean(rows.reference_cost_usd, weights)
    kept = None if weights is None else weights[scored]
    served = np.average(shares[scored], axis=0, weights=kept) if scored.any() else np.zeros(len(policy.candidates))
    return Replay(
        quality=_mean(rows.quality, weights), cost_usd=spent,
        reference_quality=_mean(rows.reference_quality, weights),
        reference_cost_usd=base, savings=1 - spent / base if base else 0.0,
        shares={c: float(s) for c, s in zip(policy.candidates, served, strict=True)},
        n=int(scored.sum()), clusters=len(np.unique(data.group[scored])), in_sample=in_sample,
        skipped=int((~scored).sum()), random_mix=_random_mix(policy, rows), oracle=_oracle(rows),
        fixed=tuple(_fixed(policy, rows, j) for j in range(len(policy.candidates))), rows=rows,
    )  # fmt: skip


def _expected(shares: Floats, values: Floats) -> Floats:
    """[n] expectation over shares; NaN only where a candidate that may serve has no value."""
    terms: Floats = np.where(shares > 0, shares * values, 0.0)
    total: Floats = terms.sum(axis=1)
    return total


def _mean(values: Floats, weights: Floats | None = None) -> float:
    known = ~np.isnan(values)
    if not known.any():
        return float("nan")
    return float(np.average(values[known], weights=None if weights is None else weights[known]))


def _fixed(policy: Policy, rows: Rows, column: int) -> dict[str, Any]:
    """One candidate for everything: its means over the rows it has, and paired with the reference's."""
    own = None if rows.weight is None else rows.weight[:, column]
    pair = rows.weights(column)
    gain = clustered_mean(
        rows.qualities[:, column] - rows.reference_quality,
        rows.group,
        weights=pair,
        span=float(column != rows.reference),
    )
    low, high = gain.interval()
    return {
        "model": policy.candidates[column].model,
        "effort": policy.candidates[column].effort,
        "quality": _mean(rows.qualities[:, column], own),
        "cost_usd": _mean(rows.costs[:, column], own),
        "savings": clustered_ratio(
            rows.reference_cost_usd - rows.costs[:, column], rows.reference_cost_usd, rows.group, weights=pair
        ).value,
        "quality_difference": gain.value,
        "low": low,
        "high": high,
        "n": gain.n,
    }


def _random_mix(policy: Policy, rows: Rows) -> dict[str, Any]:
    """The mix that the fit chose and certified by the same procedure, scored here; without one, the reference."""
    chosen = Certificate.of(policy).random_mix
    pair, share = (policy.reference, 0.0) if chosen is None else (chosen.candidate, float(chosen.probability))
    column = policy.candidates.index(pair)
    quality = (
        (1 - share) * rows.reference_quality + share * rows.qualities[:, column] if share else (rows.reference_quality)
    )
    cost = (1 - share) * rows.reference_cost_usd + share * rows.costs[:, column] if share else rows.reference_cost_usd
    weights = rows.weights(column)
    return {
        "model": pair.model, "effort": pair.effort, "probability": share, "column": column,
        "quality": _mean(quality, weights), "cost_usd": _mean(cost, weights),
        "savings": paired_saving(cost, rows.reference_cost_usd, rows.group, weights=weights).value,
    }  # fmt: skip


def _oracle(rows: Rows) -> dict[str, float]:
    """Hindsight: the best outcome of each row, the cheapest of equals, over candidates that have both figures."""
    known = ~np.isnan(rows.qualities + rows.costs) & ~np.isnan(rows.reference_cost_usd)[:, None]
    some = known.any(axis=1)
    if not some.any():
        return {"quality": float("nan"), "cost_usd": float("nan"), "savings": float("nan")}
    best = np.where(known, rows.qualities, -np.inf)[some].max(axis=1)
    cheapest = np.where(known[some] & (rows.qualities[some] >= best[:, None]), rows.costs[some], np.inf).min(axis=1)
    base = float(rows.reference_cost_usd[some].mean())
    cost = float(cheapest.mean())
    return {"quality": float(best.mean()), "cost_usd": cost, "savings": 1 - cost / base if base else 0.0}
