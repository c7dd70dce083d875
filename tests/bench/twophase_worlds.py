"""Worlds in which the reference ran on a drawn part of the samples alone: the bound by itself, and choices on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router_lab.fit.choose import constants, family
from router_lab.fit.drawn import completed
from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.folds import group_folds
from router_lab.fit.rivals import rivals
from router_lab.metrics import clustered_mean
from router_lab.metrics.paired import Recorded
from tests.bench.worlds import World, draw

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Phased:
    """n clusters of sizes g^-zipf (0 = one row each), `others` candidates on all, the reference on `share` of them.

    Each other candidate loses `margin` and hardly more. how: `alone` = the reference is always right; `blind` = right
    on 97 % whatever the others do; `hidden` = the others are wrong on half, and only there is the reference ever
    better; `gains` = differences both ways, for every candidate its own.
    """

    how: str
    n: int
    others: int
    margin: float
    share: float
    zipf: float = 0.0


PHASED = {
    f"{how}, n {n}, {others} others, margin {margin:g}, share {share:g}" + (f", Zipf {zipf:g}" if zipf else ""): Phased(
        how, n, others, margin, share, zipf
    )
    for how, n, others, margin, share, zipf in (
        ("alone", 300, 1, 0.05, 0.3, 0.0), ("alone", 1000, 4, 0.05, 0.1, 0.0), ("alone", 3000, 2, 0.02, 0.25, 0.0),
        ("blind", 300, 4, 0.05, 0.3, 0.0), ("blind", 1000, 1, 0.02, 0.25, 0.0), ("blind", 3000, 1, 0.02, 0.1, 0.0),
        ("hidden", 300, 1, 0.05, 0.3, 0.0), ("hidden", 1000, 4, 0.05, 0.25, 0.0), ("hidden", 3000, 2, 0.02, 0.1, 0.0),
        ("gains", 100, 3, 0.1, 0.3, 0.0), ("gains", 300, 24, 0.05, 0.25, 0.0), ("gains", 2000, 2, 0.02, 0.25, 0.0),
        ("gains", 2000, 2, 0.02, 0.7, 0.0), ("hidden", 400, 2, 0.05, 0.25, 0.7), ("gains", 1000, 3, 0.05, 0.25, 0.7),
        ("blind", 1000, 3, 0.05, 0.25, 1.0), ("alone", 400, 3, 0.05, 0.3, 1.0),
    )
}  # fmt: skip


def outcomes(world: Phased, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Quality of the others [n, c] and of the reference [n], by cluster."""
    n, lost = world.n, world.margin * (1 + 1e-6)
    luck = rng.random((n, world.others))
    if world.how in ("alone", "blind"):
        right = 1.0 if world.how == "alone" else 0.97
        base = (rng.random(n) < right).astype(np.float64)
        return base[:, None] * (luck >= lost / right), base
    if world.how == "hidden":
        hard, better = rng.random(n) < 0.5, rng.random(n) < 2 * lost
        return np.repeat(np.where(hard, 0.0, 1.0)[:, None], world.others, axis=1), np.where(
            hard, 1.0 * better, 1.0
        )
    base = (rng.random(n) < 0.8).astype(np.float64)
    return np.where(base[:, None] == 1, luck >= (lost + 0.06) / 0.8, luck < 0.06 / 0.2).astype(
        np.float64
    ), base


def phased_evidence(quality: Floats, cost: Floats, group: NDArray[np.int64], drawn: NDArray[np.bool_], share: float,
                    deal: int) -> Evidence:  # fmt: skip
    """What a fit sees of outcomes [n, c] whose last column is the reference, run on `drawn` [n] alone."""
    n, c = quality.shape
    seen, paid, weight = quality.copy(), cost.copy(), np.ones((n, c))
    seen[~drawn, -1] = paid[~drawn, -1] = np.nan
    weight[:, -1] = 1 / share
    folds = group_folds(np.zeros(n, np.int64), group, deal, 6)
    evidence = Evidence.bare(Recorded(seen, paid, c - 1, weight, group=group), fold=folds)
    return completed(evidence, drawn, np.zeros(n, np.int64))


def phased_draws(name: str, draws: int, seed: int, delta: float) -> list[tuple[bool, float, float]]:
    """For each draw: whether the bound of the first candidate says that no more than the margin is lost, though it is
    just more; how far it lies below the mean, and how far that of the drawn rows alone does, weighted."""
    world = PHASED[name]
    sizes = np.arange(1, world.n + 1) ** -world.zipf
    group = np.repeat(np.arange(world.n), np.maximum(1, np.round(sizes / sizes[-1])).astype(np.int64))
    result = []
    for i in range(draws):
        rng = np.random.default_rng([seed, i])
        others, base = outcomes(world, rng)
        quality = np.column_stack([others, base])[group]
        drawn = (rng.random(world.n) < world.share)[group]
        found = phased_evidence(quality, np.ones_like(quality), group, drawn, world.share, i)
        column, goal = np.zeros(len(group), np.int64), Goal("margin", world.margin, 1 - delta)
        bound = clustered_mean(
            found.values(column, goal), group, weights=found.weights(column), span=1.0, drawn=found.drawn
        )
        paired, heavy = (
            np.where(drawn, quality[:, 0] - quality[:, -1], np.nan),
            np.full(len(group), 1 / world.share),
        )
        plain = clustered_mean(paired, group, weights=heavy, span=1.0)
        low = bound.low(1 - delta)
        result.append((low >= -world.margin, bound.value - low, plain.value - plain.low(1 - delta)))
    return result


CHOSEN = {
    "2 candidates, n 1000, share 0.3": (World(2), 1000, 0.05, 0.3),
    "5 candidates, n 1000, share 0.3": (World(5), 1000, 0.03, 0.3),
    "5 candidates, n 2000, share 0.15": (World(5), 2000, 0.03, 0.15),
    "5 candidates, clusters of 4, n 1200, share 0.3": (World(5, cluster=4), 1200, 0.05, 0.3),
    "10 alike, n 1000, share 0.3": (World(10, spread=0.2), 1000, 0.04, 0.3),
    "mostly ties, n 600, share 0.3": (World(5, easy=3.5), 600, 0.03, 0.3),
}


def phased_choices(name: str, draws: int, seed: int) -> list[tuple[bool, float, float]]:
    """For each draw: violated, true saving, and the saving of a choice made and shown on all outcomes."""
    from tests.bench.guarantee import truth_of

    world, n, margin, share = CHOSEN[name]
    population = draw(world, 20_000, np.random.default_rng(10_000))
    result = []
    for i in range(draws):
        rng = np.random.default_rng([seed, i])
        rows = draw(world, n, rng)
        drawn = (rng.random(int(rows.group.max()) + 1) < share)[rows.group]
        part = phased_evidence(rows.quality, rows.costs, rows.group, drawn, share, i)
        whole = phased_evidence(rows.quality, rows.costs, rows.group, np.ones(n, bool), 1.0, i)
        told = []
        for evidence in (part, whole):
            options, actions = family({"blend": (rows.scores, rows.guesses)}, evidence)
            goal = Goal("margin", margin, 0.9)
            found = rivals(options, actions, *constants(evidence, goal), evidence, goal).deployed
            told.append(truth_of(found, population, evidence))
        result.append((told[0][0] > margin, told[0][1], told[1][1]))
    return result
