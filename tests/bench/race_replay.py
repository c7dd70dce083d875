"""A race replayed on outcomes that are all known: who left when, what was run, what it cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router_lab.racing.order import waves, whole_clusters
from router_lab.racing.race import Exit, Race, RaceRule
from router_lab.racing.suite import Entrant, SuiteRace
from router_lab.runtime.model import Candidate

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
    """One suite, rows [n] in a shuffled order; lots are drawn from `rng`; `batch`: in the few waves of batches."""
    n, c = quality.shape
    order, ends = whole_clusters(clusters)
    codes = np.searchsorted(ends, np.arange(n), side="right")
    sizes = waves(first, ends, batch=batch)
    race = Race(rule, c, reference, np.searchsorted(ends, sizes, side="right").tolist())
    lots = rng.random(len(ends))[codes]
    entrants = [Entrant(Candidate(f"{j:03}", None)) for j in range(c)]
    one = SuiteRace("suite", entrants, list(map(str, range(n))), ends.tolist(), sizes, race, lots.tolist())
    exits: list[Exit] = []
    left_at = np.full(c, n, np.int64)
    quality, cost_usd = quality[order], cost_usd[order]
    for size in sizes:
        due = inclusion_of(one, size) > lots[:size, None]
        rows = slice(one.shown, size)
        exits += one.take(
            size, np.where(due[rows], quality[rows], np.nan), np.where(due[rows], cost_usd[rows], np.nan)
        )
        left_at = np.where(race.racing, n, np.minimum(left_at, size))
        if not race.racing.any():
            break
    while one.catching_up is not None:
        due = inclusion_of(one, n) > lots[:, None]
        gone = one.finish(np.where(due, quality, np.nan), np.where(due, cost_usd, np.nan))
        left_at[[exit_.column for exit_ in gone]] = n - 1
        exits += gone
    inclusion = np.empty((n, c))
    inclusion[order] = inclusion_of(one, n)
    place = np.empty(n)
    place[order] = lots
    return Run(inclusion > place[:, None], inclusion, left_at, tuple(exits), race.winner)


def inclusion_of(one: SuiteRace, size: int) -> Floats:
    """[size, c] the probability with which each row is due once the race is `size` long."""
    inclusion = np.ones((size, len(one.entrants)))
    for column in range(len(one.entrants)):
        for start, end, share in one.ranges(column, size):
            inclusion[start:end, column] = share
    return inclusion
