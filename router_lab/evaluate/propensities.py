"""Propensities that a log lacks, from the policy that decided, where it is at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from router_lab.evaluate.logged import LogRows
from router_lab.evaluate.target import Target
from router_lab.runtime.policy import Policy
from router_lab.runtime.shares import many


def with_propensities(log: LogRows, known: Sequence[tuple[Policy, Target]]) -> tuple[LogRows, list[str]]:
    """`log` with a propensity for every decision, and what a reader must know of it.

    One that was not logged, or is none, is what a policy of `known` of the same revision gives;
    else the decision counts as made without chance.
    """
    chance, revision = log.propensity.copy(), np.array(log.revision, object)
    for policy, target in known:
        if policy.revision is None:
            continue
        own = target.shares[np.arange(len(log)), np.maximum(target.action, 0)]
        decided = (revision == policy.revision) & (target.action >= 0) & target.known & (own > 0)
        chance = np.where(np.isnan(chance) & decided, own, chance)
    notes = [f"left out: {many(n, 'decision', 'decisions')} {why}" for why, n in log.left.items()]
    missing = int(np.isnan(chance).sum())
    if missing:
        what = many(
            missing, "decision holds no propensity and counts", "decisions hold no propensity and count"
        )
        notes.append(f"{what} as made without chance")
    revisions = len(set(log.revision))
    if revisions > 1:
        notes.append(f"the log is of {revisions} revisions, each with its own propensities")
    return replace(log, propensity=np.where(np.isnan(chance), 1.0, chance)), notes
