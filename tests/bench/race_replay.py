"""A race replayed on outcomes that are all known: who left when, what was run, what it cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router_lab.racing.order import waves, whole_clusters
from router_lab.racing.race import Exit, Race, RaceRule

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Run:
    """ran, inclusion [n, c] in the order of the rows given; left_at [c]: position at which each left, n if never."""

    ran: NDArray[np.bool_]
    inclusion: Floats
    left_at: Ints
    exits: tuple[Exit, ...]
    winner: int | None


def replay_race(
    quality: Floats, cost_usd: Floats, clusters: Ints, rule: RaceRule, rng: np.random.Generator,
    *, first: int = 10, reference: int | None = None, batch: bool = False,
) -> Run:  # fmt: skip
    """One suite, rows [n] in a shuffled order; the control share is drawn from `rng`; `batch`: in the few waves of
    batches."""
    n, c = quality.shape
    order, ends = whole_clusters(clusters)
    codes = np.searchsorted(ends, np.arange(n), side="right")
    sizes = waves(first, ends, batch=batch)
    left_at = np.full(c, n, np.int64)
    whole = np.zeros((n, c), bool)
    exits: list[Exit] = []
    race, shown = Race(rule, c, reference, np.searchsorted(ends, sizes, side="right").tolist()), 0
    for size in sizes:
        rows = order[shown:size]
        whole[rows[:, None], np.flatnonzero(race.running)] = True
        exits += race.look(quality[rows], cost_usd[rows], codes[shown:size])
        shown = size
        left_at = np.where(race.racing, n, np.minimum(left_at, size))
        if not race.racing.any():
            break
    if race.racing.any():
        run = race.running
        whole[:, run] = True
        gone = race.release(np.where(whole, quality, np.nan)[order], codes)
        left_at[[one.column for one in gone]] = n - 1
        exits += gone
    whole[:, race.racing] = True  # who waited in vain runs what it has missed
    control = np.empty(n, bool)
    control[order] = (rng.random(len(ends)) < rule.control_share)[codes]
    inclusion = np.where(whole, 1.0, rule.control_share)
    return Run(whole | control[:, None], inclusion, left_at, tuple(exits), race.winner)
