"""Worlds at the edge of a margin: many candidates that all lose a little more than is allowed, and bounds alone on
clusters of even and uneven sizes. The truth is known, and any pass at a full mix is a violation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router_lab.fit.choose import CHOOSING, choose, constants
from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.folds import group_folds
from router_lab.metrics import estimate_of_sums
from router_lab.metrics.paired import Recorded

Floats = NDArray[np.float64]
BEYOND = 1.02
"""A candidate loses so many margins."""


@dataclass(frozen=True)
class Crowd:
    """candidates that each lose BEYOND margins on n rows: `alone` = the reference is always right, so losses are never
    made up for; else both are right on some seven in ten rows, independently."""

    candidates: int
    n: int
    margin: float
    alone: bool


CROWDS = {
    "24 candidates, losses alone, n 60": Crowd(24, 60, 0.05, True),
    "24 candidates, losses alone, n 100": Crowd(24, 100, 0.05, True),
    "5 candidates, losses alone, n 300": Crowd(5, 300, 0.03, True),
    "24 candidates, n 300": Crowd(24, 300, 0.05, False),
    "5 candidates, n 1000": Crowd(5, 1000, 0.03, False),
}


def crowd_draws(name: str, draws: int, seed: int, delta: float) -> list[tuple[bool, float, float]]:
    """For each draw: violated, the share of requests moved, and the share that may be."""
    world = CROWDS[name]
    n, c = world.n, world.candidates
    loss = BEYOND * world.margin
    cost = np.tile([*(0.1 + 0.001 * np.arange(c)), 1.0], (n, 1))
    goal = Goal("margin", world.margin, 1 - delta)
    result = []
    for i in range(draws):
        rng = np.random.default_rng([seed, i])
        base = np.ones(n) if world.alone else (rng.random(n) < 0.7).astype(np.float64)
        kept = rng.random((n, c))
        quality = (kept >= loss) if world.alone else kept < 0.7 - loss
        folds = group_folds(np.zeros(n, np.int64), np.arange(n), i, CHOOSING)
        outcomes = Recorded(np.column_stack([quality.astype(np.float64), base]), cost, c, group=np.arange(n))
        evidence = Evidence.bare(outcomes, fold=folds)
        found = choose(*constants(evidence, goal), evidence, goal)
        moved = (
            found.mix * sum(piece.share for piece in found.pieces if piece.option is not None)
            if found.acts
            else 0
        )
        result.append((moved * loss > world.margin, float(moved), 1 / BEYOND))
    return result


@dataclass(frozen=True)
class Sizes:
    """G clusters of sizes g^-zipf (0 = all alike) of whole rows; a cluster loses as a whole, with a probability that is
    `margin` above that of a gain, `gains`."""

    clusters: int
    zipf: float
    margin: float
    gains: float


UNEVEN = ((60, 0.0), (110, 0.0), (300, 0.0), (100, 0.7), (400, 0.7), (1000, 0.7), (400, 1.0), (1000, 1.0))
BOUNDS = {
    f"{clusters} clusters, Zipf {zipf:g}, margin {margin:g}, gains {gains:g}": Sizes(
        clusters, zipf, margin, gains
    )
    for clusters, zipf in UNEVEN
    for margin in (0.02, 0.05)
    for gains in (0.0, 0.05)
}


def bound_draws(name: str, draws: int, seed: int, delta: float) -> list[tuple[bool, float, float]]:
    """For each draw: whether the bound says that no more than the margin is lost, though it is just more; how far the
    bound lies below the mean; nothing is the best possible."""
    world = BOUNDS[name]
    sizes = np.arange(1, world.clusters + 1) ** -world.zipf
    sizes = np.maximum(1.0, np.round(sizes / sizes[-1]))
    result = []
    for i in range(draws):
        luck = np.random.default_rng([seed, i]).random(world.clusters)
        lost = world.gains + world.margin * (1 + 1e-6)
        gain = np.where(luck < lost, -1.0, np.where(luck < lost + world.gains, 1.0, 0.0))
        found = estimate_of_sums(gain * sizes, sizes, span=1.0)
        low = found.low(1 - delta)
        result.append((low >= -world.margin, found.value - low, 0.0))
    return result
