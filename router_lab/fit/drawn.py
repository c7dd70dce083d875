"""The reference ran on a drawn part of the samples alone: its outcomes completed from those of the
others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from router_lab.fit.evidence import Evidence, Phases
from router_lab.fit.task import LINK
from router_lab.metrics.paired import Floats, Ints, Mask
from router_lab.metrics.twophase import best_regression, features, paired_spread, run_throughout, suites_of
from router_lab.runtime.linear import cost_to_link


def completed(evidence: Evidence, drawn: Mask | None, suite: Ints, *, strict: bool = False) -> Evidence:
    """The evidence with the reference's quality and cost as if on every row, where that is worth
    it.

    drawn [n]: the rows on which it was to run (`OutcomeMatrix.drawn`), None = all; suite [n]:
    codes. Without a drawn part the evidence itself, and with `strict` its values, for what bets
    are made on has bounds.
    """
    weight = evidence.weight
    if drawn is None or weight is None:
        return evidence
    ref, quality, fold = evidence.reference, evidence.quality, evidence.fold
    alone = suites_of(suite)
    inside = np.hstack([features(quality[:, _others(quality, evidence)]), alone])
    known = drawn & ~np.isnan(quality[:, ref])
    own = weight[:, ref]
    inclusion = np.where(own > 1, 1 / own, (1 / own[known]).min())
    lost = np.where(drawn & np.isnan(quality[:, ref]), 1.0, evidence.lost[:, ref])
    evidence = replace(evidence, missing=_with(evidence.lost, ref, lost))
    found = best_regression(evidence.least[:, ref], drawn, inclusion, [inside, alone], fold)
    least = _least_spread(evidence, known)
    explained = max(0.0, 1 - found.left / least) if least > 0 else 0.0
    phases = Phases(drawn, float(inclusion[known].min()), explained, explained > 0 and not strict)
    if not phases.completed:
        return replace(
            evidence, phases=phases, weight=_with(weight, ref, np.where(drawn, 1 / inclusion, own))
        )
    linked = np.where(
        np.isnan(evidence.cost_usd), np.nan, cost_to_link(np.nan_to_num(evidence.cost_usd), LINK)
    )
    dear = np.hstack([features(linked[:, _others(linked, evidence)]), inside])
    cost = best_regression(evidence.cost_usd[:, ref], drawn, inclusion, [dear, alone], fold)
    weight = _with(weight, ref, np.ones(len(suite)))
    return replace(
        evidence,
        quality=_with(quality, ref, found.values),
        cost_usd=_with(evidence.cost_usd, ref, cost.values),
        weight=weight if (weight != 1).any() else None,
        phases=phases,
        missing=_with(evidence.lost, ref, np.zeros(len(suite))),
        drawn=drawn,
    )


def _least_spread(evidence: Evidence, known: Mask) -> float:
    """Of the reference's difference to the candidate most like it, on its known rows; 0 where
    there is none."""
    quality, mine = evidence.quality, evidence.quality[:, evidence.reference]
    spreads = (
        paired_spread(mine, quality[:, j], known & ~np.isnan(quality[:, j]), evidence.fold)
        for j in _others(quality, evidence)
    )
    return min(spreads, default=0.0)


def _with(values: Floats, column: int, put: Floats) -> Floats:
    full = np.array(values)
    full[:, column] = put
    return full


def _others(values: Floats, evidence: Evidence) -> list[int]:
    return [j for j in run_throughout(values, evidence.weight) if j != evidence.reference]
