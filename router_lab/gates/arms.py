"""A policy's expected outcomes row by row, so that two policies can be set side by side on the very same rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from router_lab.outcomes import OutcomeMatrix
from router_lab.outcomes.copies import join_names, names_of, prompts_of, used_names
from router_lab.outcomes.vectors import vectors_of
from router_lab.replay import escalated, score, vectors_for, warn_of_missing_vectors
from router_lab.runtime.chooser import Stretches
from router_lab.runtime.policy import Policy

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Arm:
    """Arrays over n rows in the order of `keys` ((suite, sample_id)), chance in expectation; NaN = not recorded.

    shares, qualities, costs, latencies: [n, c].  stretches: which draw by `key` gives a row to whom.  covered: whether
    enough is known of the prompt for the policy's point to decide it.
    mix_cost_usd: what the certificate's random mix costs, and `mix_weight` the weight of a row that needs its outcomes.
    infra: share of the recorded runs of these candidates that the infrastructure lost.
    weight: one over the known probability with which a row's outcomes were observed (a race's floor), else 1.
    """

    policy: Policy
    keys: tuple[tuple[str, str], ...]
    suite: NDArray[np.object_]
    group: NDArray[np.int64]
    quality: Floats
    cost_usd: Floats
    latency_s: Floats
    reference_quality: Floats
    reference_cost_usd: Floats
    stretches: Stretches
    shares: Floats
    qualities: Floats
    costs: Floats
    latencies: Floats
    covered: Mask
    infra: float
    weight: Floats
    mix_cost_usd: Floats
    mix_weight: Floats

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def moved(self) -> Floats:
        """[n] share of a row's requests that leave the reference."""
        left: Floats = 1 - self.shares[:, self.policy.spec.reference]
        return left


def unused_rows(outcomes: pd.DataFrame, *policies: Policy) -> pd.DataFrame:
    """The rows of groups that none of the policies was fitted on, nor on a copy of one of their prompts: the only ones
    that are evidence."""
    samples = outcomes.drop_duplicates(["suite", "sample_id", "group"])
    names, key = names_of(samples)
    prompts = prompts_of(samples)
    vectors = vectors_of(samples, np.arange(len(samples)), len(samples))
    joined = join_names(names, key, prompts, vectors).component
    used = used_names(names, key, prompts, joined, *(policy.spec for policy in policies))
    stale = {name for name, seen in zip(names, used, strict=True) if seen}
    keep = [name not in stale for name in zip(outcomes["suite"], outcomes["group"], strict=True)]
    kept = outcomes[np.array(keep, bool)]
    kept.attrs = dict(outcomes.attrs)
    return kept


def arm(policy: Policy, outcomes: pd.DataFrame) -> Arm:
    """`policy` on every row of `outcomes` (see `unused_rows`), by the arithmetic and with the warnings of `replay`."""
    plain = data = OutcomeMatrix.from_frame(outcomes, policy.candidates)
    if policy.spec.escalation:
        outcomes = escalated(outcomes, policy.reference)
        data = OutcomeMatrix.from_frame(outcomes, policy.candidates)
    prompts, suites = [p or "" for p in data.prompts], [data.suites[i] for i in data.suite]
    vectors = vectors_for(policy, data)
    warn_of_missing_vectors(policy, data)
    stretches = policy.stretches(prompts, suites, vectors=vectors)
    shares = stretches.shares(len(policy.candidates))
    replayed = score(policy, data, shares, in_sample=False, plain=plain)
    rows = replayed.rows
    weights, beside = rows.weights(), rows.weights(int(replayed.random_mix["column"]))
    timed = outcomes.assign(cost_usd=outcomes["latency_s"] if "latency_s" in outcomes.columns else np.nan)
    latencies = OutcomeMatrix.from_frame(timed, policy.candidates).cost_usd
    known = set(policy.candidates)
    own = outcomes[[pair in known for pair in _pairs(outcomes)]]
    return Arm(
        policy=policy,
        keys=tuple(zip(suites, data.sample_id, strict=True)),
        suite=np.array(suites, dtype=object),
        group=data.group,
        quality=rows.quality,
        cost_usd=rows.cost_usd,
        latency_s=_expected(shares, latencies),
        reference_quality=rows.reference_quality,
        reference_cost_usd=rows.reference_cost_usd,
        stretches=stretches,
        shares=shares,
        qualities=data.quality,
        costs=data.cost_usd,
        latencies=latencies,
        covered=policy.covered(prompts, suites, vectors),
        infra=float((own["status"] == "infra").mean()) if len(own) else 0.0,
        weight=np.ones(len(data)) if weights is None else weights,
        mix_cost_usd=replayed.mix_costs(),
        mix_weight=np.ones(len(data)) if beside is None else beside,
    )


def aligned(challenger: Arm, champion: Arm, name: str) -> Floats:
    """The champion's array `name` in the order of the challenger's rows; NaN where it has none."""
    place = {key: i for i, key in enumerate(champion.keys)}
    values: Floats = getattr(champion, name)
    return np.array([values[place[k]] if k in place else np.nan for k in challenger.keys], np.float64)


def _expected(shares: Floats, values: Floats) -> Floats:
    total: Floats = np.where(shares > 0, shares * values, 0.0).sum(axis=1)
    return total


def _pairs(outcomes: pd.DataFrame) -> list[tuple[str, str | None]]:
    efforts = [e if isinstance(e, str) else None for e in outcomes["effort"]]
    return list(zip(outcomes["model"], efforts, strict=True))
