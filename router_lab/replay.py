"""A policy scored on recorded outcomes, beside what else could have been done with them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from router_lab.certificate import Certificate
from router_lab.metrics import Estimate
from router_lab.metrics.paired import Floats, Paired, Recorded, column_means
from router_lab.outcomes import OutcomeMatrix, outcomes_for
from router_lab.outcomes.candidates import whose
from router_lab.outcomes.columns import ADDING
from router_lab.outcomes.copies import used_names
from router_lab.outcomes.kept import Allowed, at_home, closed, kept_to, places
from router_lab.played import Beside, answered, beside, by_server, servers
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.model import Candidate
from router_lab.runtime.policy import Policy
from router_lab.runtime.ready import Stretches

MEANS = ("quality", "cost_usd", "reference_quality", "reference_cost_usd")


@dataclass(frozen=True)
class Replay:
    """Means per sample of a policy on outcomes, chance in expectation, on rows where policy and
    reference both have outcomes; `skipped` rows have not. Costs are over the rows where both costs
    are known.

    `shares`: by who serves (`played.servers`), the expected share of rows. `in_sample`: the rows
    were used in the fit, so this is no evidence. `oracle` knows each row's outcomes beforehand: an
    upper bound, never a promise. rows, mix: what the policy and the random mix give each row.
    served [n, c + chains]: the shares of its requests, by who serves it (`servers`). recorded: what
    each of them gave it, candidates without escalation, costs where the policy's is known. suites:
    names of the codes. chains: what each chain did; None without.
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
    rows: Paired
    mix: Paired
    served: Floats
    servers: tuple[Candidate, ...]
    recorded: Recorded
    suites: tuple[str, ...]
    chains: Beside | None = None

    @property
    def answered(self) -> Floats:
        """[n, c] the share of a row's requests whose kept answer is each candidate's."""
        return answered(self.served, self.chains)

    def estimate(self, metric: str) -> Estimate:
        """The clustered estimate of `quality`, `cost_usd`, `savings`, `quality_difference` (policy
        minus reference), `reference_quality`, `reference_cost_usd` or `savings_over_mix` (policy
        minus random mix)."""
        paired: dict[str, Callable[[], Estimate]] = {
            "quality_difference": self.rows.take(self.rows.scored).gain,
            "savings": self.rows.saving,
            "savings_over_mix": lambda: self.rows.over(self.mix),
            **{name: partial(self.rows.mean, name) for name in MEANS},
        }
        if metric not in paired:
            raise InputError(f"replay: metric {metric!r} is not one of {', '.join(sorted(paired))}")
        return paired[metric]()

    def interval(self, metric: str, confidence: float = 0.95) -> tuple[float, float]:
        """Two-sided interval of a metric, as `estimate` names them."""
        return self.estimate(metric).interval(confidence)

    def to_json(self) -> dict[str, Any]:
        """Plain data: every figure with its 95 % interval, null for what is not a number."""
        metrics = ("quality", "cost_usd", "savings", "quality_difference", "savings_over_mix")
        return {
            "quality": number(self.quality), "cost_usd": number(self.cost_usd), "savings": number(self.savings),
            "reference_quality": number(self.reference_quality),
            "reference_cost_usd": number(self.reference_cost_usd),
            "intervals": {m: [number(v) for v in self.interval(m)] for m in metrics},
            "savings_over_mix": number(self.estimate("savings_over_mix").value),
            "shares": [{**c.named(), "share": s} for c, s in self.shares.items()],
            "n": self.n, "clusters": self.clusters, "skipped": self.skipped, "in_sample": self.in_sample,
            "rows": "in-sample" if self.in_sample else "fresh",
            "random_mix": {k: number(v) for k, v in self.random_mix.items()},
            "oracle_upper_bound": {k: number(v) for k, v in self.oracle.items()},
            "fixed": [{k: number(v) for k, v in row.items()} for row in self.fixed],
        }  # fmt: skip


def number(value: Any) -> Any:
    """`value` as JSON holds it: a float that is not finite becomes null."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def replay(policy: Policy, outcomes: pd.DataFrame, point: str | None = None) -> Replay:
    """Score `policy` (at `point`, default its own) on outcomes as `fit_policy` takes them, raw or
    validated.

    Rows of groups that the fit used, and copies of their prompts (`outcomes.copies.used_names`),
    are left out; where nothing else is left they are scored and labelled in-sample. A null prompt
    is decided like an empty one; column `vector` is passed to a policy that was fitted on one, and
    a sample without counts as missing its vector, which is warned of (RouterLabWarning).
    Candidates of the outcomes that the policy does not know are ignored. Raises InputError for
    outcomes that are not the policy's (`outcomes_for`), or for vectors of another length.
    """
    return replay_known(policy, outcomes_for(policy, outcomes, "replay"), point)


def replay_known(policy: Policy, outcomes: pd.DataFrame, point: str | None = None) -> Replay:
    """`replay` on a validated table that is known to be of the policy's candidates."""
    plain, data = matrices(policy, outcomes)
    if not len(data):
        raise InputError("replay: the outcomes hold no scored row of this policy's candidates")
    seen = used_names(data.groups, data.name, data.prompts, data.joined, policy.spec)[data.name]
    in_sample = bool(seen.all())
    if not in_sample:
        data, plain = data.take(~seen), plain.take(~seen)
    prompts, names, vectors = requests_of(policy, data)
    stretches = policy.stretches(prompts, names, point, vectors)
    shares, chains = served(policy, outcomes, data, (prompts, names, vectors), stretches)
    return score(
        policy, data, shares, in_sample=in_sample, plain=plain, chains=chains, explored=stretches.even
    )


def matrices(policy: Policy, outcomes: pd.DataFrame) -> tuple[OutcomeMatrix, OutcomeMatrix]:
    """The outcomes of the policy's candidates as they are, and with its escalation; of suites that
    it keeps to some candidates, those of nobody else."""
    spec = policy.spec
    plain = kept_to(OutcomeMatrix.from_frame(outcomes, policy.candidates), spec.reference, spec.allowed)
    if not spec.escalation:
        return plain, plain
    elsewhere = [suite for suite, own in spec.allowed.items() if spec.reference not in own]
    frame = escalated(outcomes, policy.reference, elsewhere)
    return plain, kept_to(OutcomeMatrix.from_frame(frame, policy.candidates), spec.reference, spec.allowed)


Requests = tuple[list[str], list[str], Floats | None]
"""Prompts, suites and vectors."""


def served(
    policy: Policy, outcomes: pd.DataFrame, data: OutcomeMatrix, requests: Requests, stretches: Stretches
) -> tuple[Floats, Beside | None]:
    """[n, c + chains] the share of each sample's requests by who serves it (`played.servers`), and
    what chains give it. stretches: what the policy does with the requests."""
    prompts, names, vectors = requests
    if not policy.spec.chains:
        return stretches.shares(len(policy.candidates)), None
    found = policy.predictions(prompts, names, vectors)
    shares = stretches.by_chain(len(policy.candidates), len(policy.spec.chains))
    return shares, beside(policy, outcomes, data, found)


def requests_of(policy: Policy, data: OutcomeMatrix) -> Requests:
    """Prompts, suites and vectors [n, d] of the outcomes, as `policy` is asked; None where it
    takes no vectors.

    Raises InputError for vectors of another length; warns of samples without the vector that it
    was fitted on.
    """
    prompts, suites = [p or "" for p in data.prompts], [data.suites[i] for i in data.suite]
    name, length, vectors = policy.spec.name, policy.vector_length, data.vectors
    if length is None:
        return prompts, suites, None
    if vectors is not None and vectors.shape[1] != length:
        raise InputError(
            f"replay: column `vector` of the outcomes has {vectors.shape[1]} numbers; policy {name!r} was fitted on "
            f"vectors of {length}"
        )
    missing = len(data) if vectors is None else int(np.isnan(vectors).any(axis=1).sum())
    if missing:
        text = (
            f"{missing:,} of {len(data):,} samples have no `vector`, which policy {name!r} was fitted on "
            f"({length} numbers); they are decided as for the mean vector"
        )
        warnings.warn(RouterLabWarning(text), stacklevel=3)
    return prompts, suites, vectors


def escalated(outcomes: pd.DataFrame, reference: Candidate, elsewhere: Collection[str] = ()) -> pd.DataFrame:
    """The outcomes as they would be if every answer that fails its run-time `check` were asked
    again of `reference`.

    Such a row gets the reference's quality of the same sample and epoch, both costs and both
    latencies (`ADDING`); where the reference has none, it becomes unknown (NaN). Rows whose check
    passed, or was not made, stay, and so do those of suites that the reference may not serve
    (`elsewhere`). Rows keep their order.
    """
    frame = outcomes.copy(deep=False)
    if "check" not in frame.columns:
        return frame
    mine = whose(frame).places([reference]) == 0
    failed = (frame["check"].astype("boolean").eq(False).fillna(False).to_numpy(bool)) & ~mine
    failed &= ~frame["suite"].isin(list(elsewhere)).to_numpy(bool)
    keys = ["suite", "sample_id", "epoch"]
    added = [c for c in ADDING if c in frame.columns]
    columns = ["quality", *added]
    answers = frame.loc[mine, keys + columns].drop_duplicates(keys).set_index(keys)
    asked = answers.reindex(pd.MultiIndex.from_frame(frame.loc[failed, keys]))
    frame.loc[failed, "quality"] = asked["quality"].to_numpy()
    for column in added:
        frame.loc[failed, column] = frame.loc[failed, column].to_numpy() + asked[column].to_numpy()
    return frame


def score(
    policy: Policy,
    data: OutcomeMatrix,
    shares: Floats,
    *,
    in_sample: bool,
    plain: OutcomeMatrix | None = None,
    chains: Beside | None = None,
    explored: Floats | None = None,
) -> Replay:
    """The Replay of given `shares` [n, c + chains]: the probability with which each row is served
    by each candidate, and by each chain.

    `plain`: the outcomes without escalation, which the baselines are scored on; default `data`.
    `chains`: what they give each row, for a policy that has some. `explored` [n, c]: what of the
    shares is explored, as the random mix beside it then is too.
    """
    ref, allowed = policy.spec.reference, policy.spec.allowed
    known, recorded = Recorded.of(data, ref), Recorded.of(data if plain is None else plain, ref)
    if chains is not None:
        known, recorded = chains.widened(known), chains.widened(recorded)
    rows = known.served(at_home(shares, places(data, ref, allowed), ref) if allowed else shares)
    recorded = replace(
        recorded, cost_usd=np.where(np.isnan(rows.cost_usd)[:, None], np.nan, recorded.cost_usd)
    )
    mix = _random_mix(policy, data, recorded, explored).within(rows)
    gain, means = rows.gain(), {name: rows.mean(name).value for name in MEANS}
    spent, base = means["cost_usd"], means["reference_cost_usd"]
    kept = None if rows.weight is None else rows.weight[rows.scored]
    mean_shares = (
        np.average(shares[rows.scored], axis=0, weights=kept) if gain.n else np.zeros(shares.shape[1])
    )
    return Replay(
        **means, savings=1 - spent / base if base else 0.0,
        shares=by_server(servers(policy), mean_shares), servers=servers(policy),
        n=gain.n, clusters=gain.clusters, in_sample=in_sample, skipped=len(data) - gain.n,
        random_mix=_mix(policy, mix),
        oracle=_oracle(recorded, rows), fixed=_fixed(policy, recorded, rows), chains=chains,
        rows=rows, mix=mix, served=shares, recorded=recorded, suites=data.suites,
    )  # fmt: skip


def _random_mix(policy: Policy, data: OutcomeMatrix, recorded: Recorded, explored: Floats | None) -> Paired:
    """What the mix gives that the fit chose and certified; without one, the reference."""
    chosen = Certificate.of(policy).random_mix
    chances = {} if chosen is None else {policy.candidates.index(c): p for c, p in chosen.parts.items()}
    ref, allowed = policy.spec.reference, policy.spec.allowed
    if not allowed and explored is None:
        return recorded.chance(chances)
    return recorded.served(_mixed(data, chances, ref, allowed, explored, recorded.quality.shape[1]))


def _mixed(
    data: OutcomeMatrix, chances: Mapping[int, float], reference: int, allowed: Allowed, explored: Floats | None,
    width: int,
) -> Floats:  # fmt: skip
    """[n, width] the shares of the random mix: who may not serve a suite leaves his to the
    reference, and it explores as the policy does."""
    shares = np.zeros((len(data), width))
    lost = closed(data, allowed)
    for column, chance in chances.items():
        shares[:, column] = np.where(lost[:, column], 0.0, chance)
    shares[:, reference] += 1 - shares.sum(axis=1)
    if explored is None:
        return shares
    even = np.zeros_like(shares)
    even[:, : explored.shape[1]] = explored
    if allowed:
        even = at_home(even, places(data, reference, allowed), reference)
    return np.asarray((1 - even.sum(axis=1, keepdims=True)) * shares + even)


def _mix(policy: Policy, mix: Paired) -> dict[str, Any]:
    """The certificate's random mix, and what it gives."""
    chosen = Certificate.of(policy).random_mix
    pair, share = (policy.reference, 0.0) if chosen is None else (chosen.candidate, float(chosen.probability))
    return {
        **pair.named(), "probability": share,
        **({} if chosen is None or not chosen.others else {"others": [row.to_json() for row in chosen.others]}),
        "quality": mix.mean("quality").value, "cost_usd": mix.mean("cost_usd").value,
        "savings": mix.saving().value,
    }  # fmt: skip


def _fixed(policy: Policy, recorded: Recorded, rows: Paired) -> tuple[dict[str, Any], ...]:
    """Each candidate for everything: its means over the rows it has, and paired with the
    reference's."""
    quality, cost = (
        column_means(values, recorded.weight) for values in (recorded.quality, recorded.cost_usd)
    )
    found = []
    for column, pair in enumerate(policy.candidates):
        always = recorded.always(column).within(rows)
        gain = always.gain()
        low, high = gain.interval()
        found.append({
            **pair.named(), "quality": float(quality[column]),
            "cost_usd": float(cost[column]), "savings": always.saving().value, "quality_difference": gain.value,
            "low": low, "high": high, "n": gain.n,
        })  # fmt: skip
    return tuple(found)


def _oracle(recorded: Recorded, rows: Paired) -> dict[str, float]:
    """Hindsight, beside the reference."""
    best, cheapest = recorded.oracle()
    some = ~np.isnan(best)
    if not some.any():
        return {"quality": float("nan"), "cost_usd": float("nan"), "savings": float("nan")}
    base, cost = float(rows.reference_cost_usd[some].mean()), float(cheapest[some].mean())
    return {
        "quality": float(best[some].mean()),
        "cost_usd": cost,
        "savings": 1 - cost / base if base else 0.0,
    }
