"""A race replayed on outcomes that are all known, to guess beforehand what one will cost: who left
when, what was run, what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from router_lab.metrics.steady import Floats, Ints, Mask
from router_lab.outcomes import OutcomeMatrix
from router_lab.racing.earlier import ENOUGH
from router_lab.racing.order import waves, whole_clusters
from router_lab.racing.prior import Prior
from router_lab.racing.race import Exit, Race, RaceRule
from router_lab.racing.sequential import Tally, cluster_means
from router_lab.racing.suite import SuiteRace
from router_lab.runtime.model import Candidate

REPLAYS = 20
"""Of each race, with a prior and without: enough for the second lowest and the second highest to
be a range."""


@dataclass(frozen=True)
class Run:
    """ran, inclusion [n, c] in the order of the rows given; left_at [c]: position at which each
    left, n if never; nominated: who was put forward, in order."""

    ran: Mask
    inclusion: Floats
    left_at: Ints
    exits: tuple[Exit, ...]
    winner: int | None
    nominated: tuple[int, ...]


def replay_race(
    quality: Floats, cost_usd: Floats, clusters: Ints, rule: RaceRule, rng: np.random.Generator,
    *, first: int = 10, reference: int | None = None, batch: bool = False, prior: Prior | None = None,
) -> Run:  # fmt: skip
    """One suite, rows [n] in a shuffled order; the control share is drawn from `rng`; `batch`: in
    the few waves of batches."""
    n, c = quality.shape
    order, ends = whole_clusters(clusters)
    codes = np.searchsorted(ends, np.arange(n), side="right")
    sizes = waves(first, ends, batch=batch)
    left_at, whole = np.full(c, n, np.int64), np.zeros((n, c), bool)
    exits: list[Exit] = []
    looks = np.searchsorted(ends, sizes, side="right").tolist()
    race, shown = Race(rule, c, reference, looks, prior), 0
    for size in sizes:
        rows = order[shown:size]
        whole[rows[:, None], np.flatnonzero(race.running)] = True
        exits += race.look(quality[rows], cost_usd[rows], codes[shown:size])
        shown = size
        left_at = np.where(race.racing, n, np.minimum(left_at, size))
        if not race.racing.any():
            break
    if race.racing.any():
        whole[:, race.running] = True
        gone = race.release(np.where(whole, quality, np.nan)[order], codes)
        left_at[[one.column for one in gone]] = n - 1
        exits += gone
    whole[:, race.racing] = True  # who waited in vain runs what it has missed
    control = np.empty(n, bool)
    control[order] = (rng.random(len(ends)) < rule.control_share)[codes]
    inclusion = np.where(whole, 1.0, rule.control_share)
    return Run(whole | control[:, None], inclusion, left_at, tuple(exits), race.winner, tuple(race.nominated))


@dataclass(frozen=True)
class Guess:
    """Of a suite's race, over REPLAYS replays: dollars with the prior and without, and of the whole
    grid; in how many anything was settled; in how many each candidate was the first put forward.
    unknown: candidates of whom no earlier outcome or no dollars are known, and who were left
    out."""

    suite: str
    with_prior: tuple[float, ...]
    without: tuple[float, ...]
    grid: float
    settled: int
    forward: Mapping[Candidate, int]
    unknown: tuple[Candidate, ...]


def rehearse(
    one: SuiteRace, known: OutcomeMatrix, rule: RaceRule, rng: np.random.Generator, batch: bool = False
) -> Guess | None:  # fmt: skip
    """What the race of a suite would probably cost, were its clusters like those of `known`, the
    earlier outcomes under the names of its candidates.

    Each replay draws its clusters from a random half of the earlier ones, and a prior of the suite
    itself is of the other half. None where less than two candidates are known there, the named
    reference is not, or fewer than ENOUGH clusters for each half.
    """
    there = _known(one, known)
    if there is None:
        return None
    columns, quality, cost = there
    reference = one.race.reference
    named = None if reference is None else columns.index(reference)
    clusters = len(one.ends)
    first = max(1, int(np.searchsorted(one.ends, one.sizes[0], side="right")))
    with_prior, without = list[float](), list[float]()
    grid, settled, forward = 0.0, 0, Counter[Candidate]()
    for _ in range(REPLAYS):
        half = np.array_split(rng.permutation(len(quality)), 2)
        expects = _prior(one, columns, quality[half[0]])
        rows = rng.choice(half[1], clusters)
        q, c = _filled(quality[rows], rng), _filled(cost[rows], rng)
        seed = int(rng.integers(2**32))
        run, plain = (
            replay_race(
                q, c, np.arange(clusters), rule, np.random.default_rng(seed), first=first, reference=named,
                batch=batch, prior=prior,
            )
            for prior in (expects, None)
        )  # fmt: skip
        with_prior.append(float((c * run.ran).sum()))
        without.append(float((c * plain.ran).sum()))
        settled += run.winner is not None
        forward.update(one.candidates[columns[k]] for k in run.nominated[:1])
        grid += float(c.sum()) / REPLAYS
    unknown = tuple(who for k, who in enumerate(one.candidates) if k not in columns)
    return Guess(one.suite, tuple(with_prior), tuple(without), grid, settled, dict(forward), unknown)


def _prior(one: SuiteRace, columns: list[int], earlier: Floats) -> Prior | None:
    """What the race would expect of these columns, had the earlier sweep shown these cluster
    means [G, c]; of other suites, what it does expect."""
    real = one.race.prior
    if real is None or one.expected is None:
        return None
    if not one.expected.own:
        return Prior(real.earlier.take(columns), real.drift[columns])
    tally = Tally(len(columns))
    tally.add(earlier)
    return Prior(tally, real.drift[columns])


def _known(one: SuiteRace, known: OutcomeMatrix) -> tuple[list[int], Floats, Floats] | None:
    """Columns of the race that are known, and their quality and dollars by cluster, of all samples
    and epochs of one of the race's."""
    if one.suite not in known.suites:
        return None
    rows = np.flatnonzero(known.suite == known.suites.index(one.suite))
    quality, cost = (
        cluster_means(values[rows], known.group[rows]) for values in (known.quality, known.cost_usd)
    )
    told = np.asarray((~np.isnan(quality)).any(axis=0) & (~np.isnan(cost)).any(axis=0))
    columns = [
        k
        for k, who in enumerate(one.candidates)
        if who in known.candidates and told[known.candidates.index(who)]
    ]
    at = [known.candidates.index(one.candidates[k]) for k in columns]
    if len(columns) < 2 or len(quality) < 2 * ENOUGH or one.race.reference not in (None, *columns):
        return None
    each = np.array([one.entrants[k].epochs for k in columns]) * len(one.samples) / len(one.ends)
    return columns, quality[:, at], cost[:, at] * each


def _filled(values: Floats, rng: np.random.Generator) -> Floats:
    """[n, c] with what is missing drawn from what is known of the same column."""
    out = values.copy()
    for column in out.T:
        gone = np.isnan(column)
        if gone.any():
            there = column[~gone]
            column[gone] = rng.choice(there, int(gone.sum())) if len(there) else 0.0
    return out
