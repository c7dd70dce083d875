"""Propensities that a log lacks, from the policy that decided, where it is at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from router_lab.evaluate.logged import LogRows
from router_lab.evaluate.target import Target
from router_lab.runtime.shares import many


def with_propensities(log: LogRows, known: Sequence[Target]) -> tuple[LogRows, list[str]]:
    """`log` with a propensity for every decision, and what a reader must know of it.

    Where a policy of `known` decided, it is what that gives the action: a log has the probability
    of who was asked first, alone or with others after. One that was not logged, or is none, counts
    as made without chance elsewhere.
    """
    chance = log.propensity.copy()
    for target in known:
        given = target.shares[np.arange(len(log)), np.maximum(target.action, 0)]
        chance = np.where(target.own, given, chance)
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
