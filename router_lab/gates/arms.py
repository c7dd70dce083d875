"""A policy on rows that no fit has used, so that two policies can be set side by side on the very
same ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from router_lab.metrics.paired import Floats, Mask, Paired, Recorded
from router_lab.outcomes import OutcomeMatrix, by_row
from router_lab.outcomes.copies import join_names, names_of, prompts_of, used_names
from router_lab.outcomes.vectors import vectors_of
from router_lab.replay import escalated, requests_of, score
from router_lab.runtime.chooser import Stretches
from router_lab.runtime.policy import Policy


@dataclass(frozen=True)
class Arm:
    """A policy on n rows, in the order of `keys` ((suite, sample_id)).

    rows, mix: what the policy, and its certificate's random mix, give each. served [n, c]: the
    shares of its requests; recorded: what each candidate gave it. stretches: which draw by `key`
    gives a row to whom. suite [n]: names. covered [n]: whether enough is known of the prompt for
    the policy's point to decide it. infra: share of the recorded runs of these candidates that the
    infrastructure lost.
    """

    policy: Policy
    keys: tuple[tuple[str, str], ...]
    suite: NDArray[np.object_]
    rows: Paired
    mix: Paired
    served: Floats
    recorded: Recorded
    stretches: Stretches
    covered: Mask
    infra: float

    def __len__(self) -> int:
        return len(self.keys)


def unused_rows(outcomes: pd.DataFrame, *policies: Policy) -> pd.DataFrame:
    """The rows of groups that none of the policies was fitted on, nor on a copy of one of their
    prompts: the only ones that are evidence."""
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
    """`policy` on every row of `outcomes` (see `unused_rows`), by the arithmetic and with the
    warnings of `replay`."""
    plain = data = OutcomeMatrix.from_frame(outcomes, policy.candidates)
    if policy.spec.escalation:
        outcomes = escalated(outcomes, policy.reference)
        data = OutcomeMatrix.from_frame(outcomes, policy.candidates)
    prompts, suites, vectors = requests_of(policy, data)
    stretches = policy.stretches(prompts, suites, vectors=vectors)
    shares = stretches.shares(len(policy.candidates))
    replayed = score(policy, data, shares, in_sample=False, plain=plain)
    known = set(policy.candidates)
    own = outcomes[[candidate in known for candidate in by_row(outcomes)]]
    return Arm(
        policy=policy,
        keys=tuple(zip(suites, data.sample_id, strict=True)),
        suite=np.array(suites, dtype=object),
        rows=replayed.rows,
        mix=replayed.mix,
        served=shares,
        recorded=Recorded.of(data, policy.spec.reference),
        stretches=stretches,
        covered=policy.covered(prompts, suites, vectors),
        infra=float((own["status"] == "infra").mean()) if len(own) else 0.0,
    )
