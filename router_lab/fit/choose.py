"""Which tradeoff and guard, and how far to go: what is deployed is the mixture of the halves' own
choices.

The rows are cut into two halves in every way that six folds allow. Of each half, the operating
point is chosen on its rows and acts on the rows of the other: pooled, these left-out outcomes are
evidence of the twenty choices that none of them has seen, and the twenty choices, in equal shares,
are what is deployed; most are the same few. A single choice on all rows would have to be corrected
for what being left out cost, by terms as noisy as what they correct, and where five folds of a
fifth each choose on nearly the same rows, all five agree on whom luck favoured: with many
candidates at the edge of the margin that breaks it. Halves have no row in common, and over all
cuts an agreement by luck is made up for by the cuts in which the lucky rows were judged (`make
bench-guarantee`, the crowds). What was learned on these rows a half knows from its own alone, or
many suites bring the agreement back. On what cross-validated estimates estimate: Bayle, Bayle,
Janson & Mackey 2020.

A half takes the option that would gain most after the mix that its own bound allows, with bounds
as all rows would allow them; what luck there is in that shows on the other half. Options that send
every prompt to one candidate are among them: their mixes are the random mixes. Learn-then-Test
(Angelopoulos et al. 2021, arXiv 2110.01052) then walks a path of ever bolder versions, from the
reference alone to the choice itself, each step a test at the full level, and stops at the first
failure: the fixed sequence needs no further correction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.model import READS
from router_lab.fit.sums import Sums, pooled, statistics
from router_lab.fit.walk import Walked, walk
from router_lab.metrics import effective_number
from router_lab.metrics.bound import Spread, reach
from router_lab.metrics.paired import Columns, Floats, Ints, Mask, Paired, column_means

SCALES = (0.0, 0.01, 0.03, 0.06, 0.1, 0.16, 0.25, 0.4, 0.7, 1.2, 2.5, 8.0, 100.0)
"""Tradeoffs tried, in quality per mean cost of the reference."""
GUARDS = (0.0, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3)
FIXED, CHAINS = "fixed", "chains"
"""The class that reads nothing, and the one that reads answers."""
LEAST_CHEAPER = 1e-3
"""Share of the reference's mean cost that a candidate for everything must at least spare."""
SHARE_DIGITS = 12
"""Decimals of a share of the requests, and of a mean beside it, as they are written: parts that
were cut and joined again add up."""
CELLS = 1 << 17
"""Rows times candidates whose actions are worked out at a time."""


@dataclass(frozen=True)
class Option:
    """One member of the family that is searched: an operating point on one predictor's
    predictions. column: of class FIXED, the candidate that every prompt goes to; of class CHAINS,
    the chain."""

    predictor: str
    tradeoff: float
    guard: float
    column: int | None = None


class Piece(NamedTuple):
    """What some halves chose, and the share of requests for it; option None: the reference."""

    share: float
    option: Option | None


@dataclass(frozen=True)
class Choice:
    """What was chosen, what it does to rows that it has not seen, and how far the walk went.

    action [n, splits]: columns, each row under the choice of the half without it, by split.
    evidence: as the pieces meet it: where all go by the suite, no row is left to the table;
    without chance (`Goal.mix`) only the rows of the half that did not choose have outcomes. goal:
    as it was tested. judged [n]: rows that judge it: all, or without chance those that did not
    choose.
    """

    pieces: tuple[Piece, ...]
    action: Ints
    evidence: Evidence
    goal: Goal
    walked: Walked
    judged: Mask

    def tested(self, confidence: float) -> Choice:
        """The same choice, walked at another confidence."""
        goal = replace(self.goal, confidence=confidence)
        return replace(self, goal=goal, walked=walk(self.action, self.evidence, goal))

    @property
    def mix(self) -> float:
        """0 = the reference wherever predictions would have decided; -1 = not even the routing
        table was shown."""
        return self.walked.mix if self.promising else min(self.walked.mix, 0.0)

    @property
    def options(self) -> tuple[Option, ...]:
        """Every option that some half chose."""
        return tuple(piece.option for piece in self.pieces if piece.option is not None)

    @property
    def reads(self) -> bool:
        """Whether any of them follows predictions that read the prompt."""
        return any(option.predictor == READS for option in self.options)

    @property
    def by_suite(self) -> bool:
        """Whether something was chosen, and nothing of it reads a prompt."""
        return self.promising and not self.reads

    @property
    def promising(self) -> bool:
        """Whether any half found something worth testing."""
        return bool(self.options)

    @property
    def explore(self) -> float:
        """The share of requests that is explored; 0 where not even that is shown."""
        return self.goal.explore if self.mix >= 0 else 0.0

    def paired(self) -> Paired:
        """What is deployed gives the rows that it has not seen, exploration included."""
        if not self.explore:
            return self.plain()
        return self.evidence.follow_and_explore(self.action, self.mix, self.explore)

    def plain(self) -> Paired:
        """The same without what is explored."""
        return self.evidence.follow(self.action, self.mix)

    @property
    def acts(self) -> bool:
        """Whether a prediction ever moves a request."""
        return self.promising and self.mix > 0


Predictions = Mapping[str, tuple[Floats, Floats]]
"""Quality and cost_usd [n, c] by predictor."""
Tables = Mapping[float, Ints]
"""By tradeoff, the column of each suite [suites]."""
Actions = Columns
"""[options, n] columns chosen, in as few bytes as hold them."""
Acting = Callable[[Sequence[Option], Mask], Actions]
"""What options do to every row, by what was learned from the rows of a mask [n] alone."""


def act(
    options: Sequence[Option], found: Predictions, evidence: Evidence, tables: Tables | None = None
) -> Actions:
    """The runtime's rule, `by_prediction_many`, on predictions; or the one candidate of
    everything, or the column of the suite in `tables`, where eligible."""
    actions: Actions = np.empty(
        (len(options), len(evidence.group)), np.min_scalar_type(-evidence.quality.shape[1])
    )
    # So many rows at a time that what is worked out for one option is still at hand for the next.
    length = max(1, CELLS // evidence.quality.shape[1])
    for start in range(0, len(evidence.group), length):
        rows = slice(start, start + length)
        here = {name: (quality[rows], cost[rows]) for name, (quality, cost) in found.items()}
        _act(options, here, evidence.take(rows), tables, actions[:, rows])
    return actions


def _act(
    options: Sequence[Option], found: Predictions, evidence: Evidence, tables: Tables | None, actions: Actions
) -> None:
    """`act` on some rows, into `actions`."""
    leaders: dict[tuple[str, float], tuple[Columns, Floats]] = {}
    seen_by = {name: met(evidence, name) for name in dict.fromkeys(option.predictor for option in options)}
    for row, option in zip(actions, options, strict=True):
        seen = seen_by[option.predictor]
        if option.column is not None:
            row[:] = np.where(seen.eligible[:, option.column], option.column, seen.reference)
            continue
        if option.predictor == CHAINS:
            assert tables is not None and seen.suite is not None
            column = tables[option.tradeoff][seen.suite]
            row[:] = np.where(seen.eligible[np.arange(len(column)), column], column, seen.reference)
            continue
        name = option.predictor, option.tradeoff
        if name not in leaders:
            best, ahead = _leaders(*found[option.predictor], option.tradeoff, seen)
            leaders[name] = best.astype(actions.dtype), ahead
        best, ahead = leaders[name]
        row[:] = seen.table
        np.copyto(
            row, np.where(ahead > option.guard, best, row.dtype.type(seen.reference)), where=seen.covered
        )


def _leaders(quality: Floats, cost: Floats, tradeoff: float, evidence: Evidence) -> tuple[Columns, Floats]:
    """[n] the column of greatest utility, and how far it is ahead of the reference."""
    utility = np.where(evidence.eligible[:, : evidence.alone], quality - tradeoff * cost, -np.inf)
    best = utility.argmax(axis=1)
    return best, utility[np.arange(len(best)), best] - utility[:, evidence.reference]


def family(found: Predictions, evidence: Evidence, *, learned: bool = False) -> tuple[list[Option], Actions]:
    """All options of the predictors that act somewhere, and their actions; without repeats of the
    same actions in a class, unless predictions were `learned` on these rows: by what half of them
    knows, the same may be different."""
    unit = evidence.unit
    grid = [Option(name, scale / unit, guard) for name in found for scale in SCALES for guard in GUARDS]
    actions = act(grid, found, evidence)
    known: set[tuple[str, bytes]] = set()
    kept = []
    for place, (option, action) in enumerate(zip(grid, actions, strict=True)):
        seen, key = met(evidence, option.predictor), (option.predictor, _digest(action))
        if (learned or key not in known) and (action != seen.table)[seen.covered].any():
            known.add(key)
            kept.append(place)
    return [grid[place] for place in kept], actions[kept]


def constants(evidence: Evidence, goal: Goal) -> tuple[list[Option], Actions]:
    """The class FIXED: each candidate that is cheaper than the reference on the mean (under a
    budget: better), for every row on which it may be chosen. The tradeoff makes the runtime's rule
    pick it among the two."""
    quality = column_means(evidence.quality, evidence.weight)
    cost = column_means(evidence.cost_usd, evidence.weight)
    ref = evidence.reference
    with np.errstate(invalid="ignore"):
        better = quality > quality[ref] if goal.kind == "budget" else cost < (1 - LEAST_CHEAPER) * cost[ref]
    open_ = (better & evidence.eligible.any(axis=0))[: evidence.alone]
    columns = [int(j) for j in np.flatnonzero(open_)]
    tradeoff = 0.0 if goal.kind == "budget" else 10 / LEAST_CHEAPER / evidence.unit
    options = [Option(FIXED, tradeoff, 0.0, j) for j in columns]
    return options, act(options, {}, evidence)


def chained(
    evidence: Evidence, tables: Tables, everywhere: Sequence[int] = ()
) -> tuple[list[Option], Actions]:
    """The class CHAINS: a table for each tradeoff at which some suite has a chain, and each chain
    that is the same at all for everything."""
    options = [
        Option(CHAINS, tradeoff, 0.0) for tradeoff, table in tables.items() if (table >= evidence.alone).any()
    ]
    options += [Option(CHAINS, 0.0, 0.0, column) for column in everywhere]
    return options, act(options, {}, evidence, tables)


def met(evidence: Evidence, predictor: str) -> Evidence:
    return evidence if predictor == READS else evidence.everywhere()


def choose(
    options: Sequence[Option], actions: Actions, evidence: Evidence, goal: Goal, acting: Acting | None = None
) -> Choice:
    """The halves' choices and their walk (module docstring). Ties go to the earlier class, and in
    it to the middle of those that are tied: with room on both sides, it does the same elsewhere.
    `acting`: of options that follow what was learned from these rows, of which each half then
    knows its own alone."""
    parts = []
    for name in dict.fromkeys(option.predictor for option in options):
        mine = np.flatnonzero([option.predictor == name for option in options])
        start = statistics(met(evidence, name).baseline_action[None], evidence, goal)[0]
        parts.append(Class(mine, start, len(start) if goal.mix else len(start) // 2))
    seen_by = _seen_by(options, actions, evidence, goal, acting)
    split, judged = splits(evidence.fold), np.ones(len(evidence.group), bool)
    if not goal.mix:  # one choice for all requests: one half makes it, the other alone judges it
        split = split[:1]
        judged = ~np.isin(evidence.fold, split[0][0])
        evidence = evidence.only(judged)
    choosing = 2 if goal.mix else 1
    found = [
        [_select(parts, seen_by(half), half, goal) if len(half) else None for half in halves[:choosing]]
        for halves in split
    ]
    if not goal.mix:
        found[0] *= 2
    chosen = [options[place] for pair in found for place in pair if place is not None]
    reads = not chosen or any(option.predictor == READS for option in chosen)
    seen = evidence if reads else evidence.everywhere()
    action = np.repeat(seen.baseline_action[:, None], len(split), axis=1)
    served: dict[Option | None, int] = {}
    for column, (halves, pair) in enumerate(zip(split, found, strict=True)):
        for half, place in zip(halves, pair, strict=True):
            known = np.isin(evidence.fold, half)
            option = None if place is None else options[place]
            served[option] = served.get(option, 0) + int((~known).sum())
            if place is not None and option is not None:
                does = actions[place] if acting is None else acting([option], known)[0]
                action[~known, column] = does[~known]
    pieces = tuple(Piece(rows / action.size, option) for option, rows in served.items() if rows)
    return Choice(pieces, action, seen, goal, walk(action, seen, goal), judged)


def splits(fold: Ints) -> list[tuple[Ints, Ints]]:
    """Every way to deal the folds into two halves: each half's folds, as even as may be."""
    folds = np.unique(fold)
    first = [(folds[0], *rest) for rest in combinations(folds[1:], max(0, (len(folds) + 1) // 2 - 1))]
    return [(np.array(half), folds[~np.isin(folds, half)]) for half in first]


CHOOSING = 6
"""Folds that halves are made of."""


@dataclass(frozen=True)
class Class:
    """Options of one predictor: their places [k] among all, the statistics [folds, sums] of the
    start of their path (`statistics`), and how many folds will judge what is chosen."""

    places: Ints
    start: Floats
    judging: int


def _seen_by(
    options: Sequence[Option], actions: Actions, evidence: Evidence, goal: Goal, acting: Acting | None
) -> Callable[[Ints], Floats]:
    """The statistics [options, its folds, sums] that a half chooses by. What was learned from these
    rows acts on each of its folds as the half's others know it."""
    everything = cache(lambda: statistics(actions, evidence, goal))

    @cache
    def known_to(folds: tuple[int, ...]) -> Floats:
        assert acting is not None
        does = acting(options, np.isin(evidence.fold, folds))
        first: dict[bytes, int] = {}
        same = np.array([first.setdefault(_digest(action), place) for place, action in enumerate(does)])
        distinct = np.fromiter(first.values(), np.int64)
        others = np.setdiff1d(evidence.fold, folds)
        return statistics(does, evidence, goal, distinct, others)[np.searchsorted(distinct, same)]

    def seen_by(half: Ints) -> Floats:
        if acting is None or len(half) < 2 or not options:
            return everything()[:, half]
        return np.stack([known_to(tuple(half[half != fold].tolist()))[:, fold] for fold in half], axis=1)

    return seen_by


def _select(parts: Sequence[Class], sums: Floats, folds: Ints, goal: Goal) -> int | None:
    """Place of the option that gains most, seen from `folds` [options, folds, sums]; None where
    none gains anything."""
    found, most = None, 0.0
    for part in parts:
        grown = part.judging / len(folds)
        score = _scores(pooled(sums[part.places]), pooled(part.start[folds]), goal, grown)
        tied = np.flatnonzero(score == score.max(initial=0.0))
        best = int(tied[len(tied) // 2]) if len(tied) else 0
        if len(tied) and score[best] > most:
            found, most = int(part.places[best]), float(score[best])
    return found


def _digest(action: NDArray[Any]) -> bytes:
    return hashlib.blake2b(action.tobytes(), digest_size=16).digest()


def _scores(sums: Sums, start: Sums, goal: Goal, grown: float) -> Floats:
    """[options] share gained at the mix that the lower bound allows; sums [options] each, start
    the same of the path's start."""
    low, base = _low(sums, goal, grown), max(goal.floor, float(_low(start, goal, grown, span=0.0)))
    with np.errstate(invalid="ignore", divide="ignore"):
        mix = np.where(low >= goal.floor, 1.0, (base - goal.floor) / (base - low))
        worth = np.where(sums.base > 0, sums.gained / sums.base, 0.0)
    if not goal.mix:
        mix = np.floor(mix)
    return np.nan_to_num(np.where(_alike(sums) >= 2, mix * worth, 0.0))


def _alike(sums: Sums) -> Floats:
    """Effective clusters, as an `Estimate` counts them."""
    with np.errstate(invalid="ignore", divide="ignore"):
        kish = np.nan_to_num(sums.m * sums.m / sums.mm)
    heavy = effective_number(sums.share, sums.heaviest)
    return np.asarray(np.floor(np.minimum(np.round(kish, 6), heavy)))


def _low(sums: Sums, goal: Goal, grown: float, span: float = 1.0) -> Floats:
    """Lower bounds, as an `Estimate` has them, of sums that were added up before."""
    n, _, s, ss, sm, mm, sss, ssm, smm, mmm, *_ = sums
    clusters = _alike(sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = s / n
        square = np.maximum(ss - 2 * mean * sm + mean * mean * mm, 0) * clusters / (clusters - 1) / (n * n)
        lost = -(sss - 3 * mean * ssm + 3 * mean * mean * smm - mean * mean * mean * mmm) / (n * n * n)
        heavy = effective_number(sums.share, sums.heaviest)
        size = (0.0 if goal.kind == "budget" else span) * np.maximum(np.sqrt(mmm / (n * n * n)), 1 / heavy)
        spread = Spread(square, lost, size).grown(grown)
        return np.asarray(mean - reach(spread, np.maximum(grown * clusters - 1, 1), goal.confidence))
