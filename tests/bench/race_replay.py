"""A race replayed on outcomes that are all known: who left when, what was run, what it cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router_lab.metrics.race_order import waves, whole_clusters
from router_lab.metrics.racing import Leave, Race, RaceRule

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Run:
    """ran, inclusion [n, c] in the order of the rows given; left_at [c]: position at which each left, n if never."""

    ran: NDArray[np.bool_]
    inclusion: Floats
    left_at: Ints
    leaves: tuple[Leave, ...]
    winner: int | None


def replay_race(
    quality: Floats, cost_usd: Floats, clusters: Ints, rule: RaceRule, rng: np.random.Generator,
    *, first: int = 10, reference: int | None = None,
) -> Run:  # fmt: skip
    """One suite, rows [n] in a shuffled order; the floor is drawn from `rng`."""
    n, c = quality.shape
    order, ends = whole_clusters(clusters)
    codes = np.searchsorted(ends, np.arange(n), side="right")
    sizes = waves(first, ends)
    left_at = np.full(c, n, np.int64)
    leaves: list[Leave] = []
    race, shown = Race(rule, c, reference, np.searchsorted(ends, sizes, side="right")), 0
    for size in sizes:
        rows = order[shown:size]
        leaves += race.look(quality[rows], cost_usd[rows], codes[shown:size])
        shown = size
        left_at = np.where(race.running, n, np.minimum(left_at, size))
        if not race.racing.any():
            break
    left_at[race.racing] = n  # who still waits at the end runs what it has missed
    before = np.empty((n, c), bool)
    before[order] = np.arange(n)[:, None] < left_at[None, :]
    floor = np.empty(n, bool)
    floor[order] = (rng.random(len(ends)) < rule.floor)[codes]
    inclusion = np.where(before, 1.0, rule.floor)
    return Run(before | floor[:, None], inclusion, left_at, tuple(leaves), race.winner)
