"""Whether a log can tell anything of another policy: who of its candidates was asked, how often by
chance, and what would settle it."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from router_lab.metrics.estimate import by_cluster, clustered_mean
from router_lab.metrics.offpolicy import Logged, weights_of
from router_lab.metrics.steady import Floats, Mask
from router_lab.metrics.verdict import MIN_CLUSTERS

UNASKED = 0.02
"""The share of its requests that a target may send to a candidate whom nobody asked where it would;
what that could change widens the interval."""
SURE = 0.99
"""Confidence at which a candidate is said to have been asked too rarely for chance."""


@dataclass(frozen=True)
class Asked:
    """One of the target's candidates. mass: the share of requests that the target sends there;
    rows: requests that asked it; told: the weight of these, as a share of all requests: `mass` but
    for luck, where every request of the mass could have been asked. lacks: it could not."""

    column: int
    mass: float
    rows: int
    told: float
    lacks: bool


@dataclass(frozen=True)
class Overlap:
    """n: requests. effective: as how many requests of the target they count (Kish: squared sum of
    the clusters' weights over the sum of squares). agree: the target's probability of who was
    asked, on average. heaviest: the greatest share of all weight in one cluster. asked: the
    target's candidates of any mass, the largest first. drawn: requests with a propensity below 1.
    """

    n: int
    effective: float
    agree: float
    heaviest: float
    asked: tuple[Asked, ...]
    drawn: int

    @property
    def lacking(self) -> tuple[Asked, ...]:
        """Candidates of whom too little was asked to say anything."""
        return tuple(one for one in self.asked if one.lacks)

    @property
    def thin(self) -> bool:
        """Whether nothing can be concluded."""
        return bool(self.lacking) or self.effective < MIN_CLUSTERS

    def rows_needed(self, explore: float, candidates: int, counts: float = 0.0) -> int | None:
        """Requests until some MIN_CLUSTERS of those that the target serves otherwise were asked as
        it would, where a share `explore` is drawn evenly among `candidates` and as many as `counts`
        of them are there; None where it serves none otherwise."""
        chance = (1 - self.agree) * explore / max(1, candidates)
        return ceil(max(0.0, MIN_CLUSTERS - counts) / chance) if chance > 1e-9 else None


def overlap_of(logged: Logged, target: Floats, own: Mask | None = None) -> Overlap:
    """How a log lies beside a target's probabilities [n, c]. own [n]: the target itself decided,
    and so agrees, whatever the probability; None = nowhere."""
    weights, n = weights_of(logged, target), len(target)
    sums = by_cluster({"weight": weights}, logged.group)[0]["weight"]
    total, squares = float(sums.sum()), float((sums * sums).sum())
    mass = target.sum(axis=0) / max(1, n)
    agree = weights * logged.propensity if own is None else np.where(own, 1.0, weights * logged.propensity)
    found = [_asked(logged, target, weights, int(column)) for column in np.argsort(-mass, kind="stable")]
    return Overlap(
        n=n, effective=total * total / squares if squares > 0 else 0.0,
        agree=float(agree.mean()) if n else 0.0,
        heaviest=float(sums.max(initial=0.0)) / total if total > 0 else 0.0,
        asked=tuple(one for one in found if one.mass > 0), drawn=int((logged.propensity < 1).sum()),
    )  # fmt: skip


def _asked(logged: Logged, target: Floats, weights: Floats, column: int) -> Asked:
    mine, n = logged.action == column, max(1, len(target))
    mass, rows = float(target[:, column].sum()) / n, int(mine.sum())
    there = np.where(mine, weights, 0.0)
    short = clustered_mean(there - target[:, column], logged.group)
    lacks = mass > UNASKED and (rows == 0 or short.high(SURE) < -UNASKED)
    return Asked(column, mass, rows, float(there.sum()) / n, lacks)
