"""Which chain of candidates, for which suite.

Every chain that may be is played on every draw, at each tradeoff, by acceptance models that were
learned without the draw's fold; what it gives becomes a column beside the candidates' own. At a
tradeoff a suite gets the column of the greatest mean quality less the tradeoff times its dollars.
So the choice, the test and the random mix treat a chain as they treat a candidate, and a half
chooses for each suite by its own rows alone, as it does among candidates (`fit.choose`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from router_lab.fit.accept import READING, draw_weights, frozen, learn_judge
from router_lab.fit.caps import PRIOR, capped, with_under_cap
from router_lab.fit.evidence import Evidence
from router_lab.fit.slow import tails
from router_lab.metrics.paired import Floats, Ints, Mask, column_means
from router_lab.outcomes.columns import ADDING, LATENCY
from router_lab.outcomes.trials import Trials
from router_lab.played import Asked, Gains, Played, judged, play
from router_lab.runtime.chains import Chain, Judge, Stage

SCALES = (0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.12, 0.14, 0.18, 0.24, 0.3, 0.4, 0.7, 2.5)
"""Tradeoffs tried, in quality per mean cost of the reference."""
CAP_SCALES = (
    0.02, 0.025, 0.03, 0.035, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.17, 0.18,
    0.19, 0.2, 0.22, 0.24, 0.26, 0.28, 0.3, 0.33, 0.36, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 1.0, 1.5, 2.5,
)  # fmt: skip
"""The same where no answer is judged: then one more costs no column."""
MOST_COLUMNS = 5
"""Candidates that chains are made of: those that are nearest to the best at some tradeoff."""
MOST_CELLS = 30_000_000
"""Of samples times chains times tradeoffs: beyond, every second tradeoff is tried, or fewer."""
ERRORS = 1.0
"""Standard errors by which looking at more must gain, or the simpler model stays."""

Plan = tuple[Stage, ...]
"""The stages of a chain, before anybody judges."""


@dataclass(frozen=True)
class Ground:
    """What chains are learned from. asked: predictions out of fold, by draw; eligible [suites + 1,
    c]; unit: dollars of the reference; most: stages of a chain; judging: whether answers are
    looked at; caps: whether runs are stopped; fold [n] of the samples; most_s: seconds (P95) that
    a request of several stages may take."""

    trials: Trials
    asked: Asked
    eligible: Mask
    reference: int
    unit: float
    most: int
    judging: bool
    caps: bool
    fold: Ints
    most_s: float | None = None

    @property
    def suites(self) -> int:
        return len(self.eligible) - 1

    def take(self, samples: Mask) -> Ground:
        kept = samples[self.trials.row]
        asked = Asked(self.asked.row[kept], self.asked.quality[kept], self.asked.cost_usd[kept])
        trials = self.trials.take(samples)
        return replace(self, trials=trials, asked=asked, fold=self.fold[samples])


class Entry(NamedTuple):
    """A column: what is played, at which tradeoff of those tried; None where nothing is judged, so
    that it is the same at all."""

    plan: Plan
    at: int | None


Models = Mapping[tuple[int, int | None], tuple[Judge, Gains]]
"""By column and the one before it: the acceptance model for all dearer columns, and what it says of
the draws."""


@dataclass(frozen=True)
class Cascades:
    """quality, cost_usd, missing, figures [n, entries] of left-out rows. models: by fold, those
    learned without it, with what they say of its draws; final: those that all rows teach; reading:
    what they look at."""

    ground: Ground
    entries: tuple[Entry, ...]
    tradeoffs: tuple[float, ...]
    quality: Floats
    cost_usd: Floats
    missing: Floats
    figures: Mapping[str, Floats]
    models: Mapping[int, Models]
    final: Models
    reading: tuple[str, ...]

    def beside(self, evidence: Evidence) -> Evidence:
        """The evidence with these columns after the candidates' own."""
        assert evidence.suite is not None
        missing = np.hstack([evidence.lost, self.missing])
        return replace(
            evidence, quality=np.hstack([evidence.quality, self.quality]),
            cost_usd=np.hstack([evidence.cost_usd, self.cost_usd]), missing=missing if missing.any() else None,
            figures={name: np.hstack([part, self.figures[name]]) for name, part in evidence.figures.items()},
            eligible=np.hstack([evidence.eligible, self.open[evidence.suite]]),
            chains=len(self.entries), answers=any(entry.at is not None for entry in self.entries),
        )  # fmt: skip

    def tables(self, evidence: Evidence, rows: Mask) -> dict[float, Ints]:
        """By tradeoff, [suites] the column of `evidence` for each suite (codes), as the rows of a
        mask [n] have it: a candidate's own, or an entry's."""
        suite, ref = evidence.suite, evidence.reference
        assert suite is not None
        base_quality, base_cost = (part[rows, ref, None] for part in (evidence.quality, evidence.cost_usd))
        more = np.nan_to_num(
            np.where(np.isnan(evidence.quality[rows]), 0.0, evidence.quality[rows]) - base_quality
        )
        dearer = np.nan_to_num(evidence.cost_usd[rows] - base_cost)
        size = self.ground.suites
        count = np.bincount(suite[rows], minlength=size)[:, None]
        gain, spent = (_by_suite(part, suite[rows], size) for part in (more, dearer))
        open_ = np.hstack([self.ground.eligible[1:], self.open])
        found = {}
        for place, tradeoff in enumerate(self.tradeoffs):
            total = gain - tradeoff * spent
            shrunk = (total + PRIOR * total.sum(axis=0) / max(1, int(count.sum()))) / (count + PRIOR)
            here = np.array([entry.at in (None, place) for entry in self.entries], bool)
            shrunk[~open_ | ~np.concatenate([np.ones(evidence.alone, bool), here])] = -np.inf
            shrunk[:, ref] = 0.0
            best = shrunk.argmax(axis=1)
            found[tradeoff] = np.where(shrunk[np.arange(size), best] > 0, best, ref)
        return found

    @property
    def alone(self) -> int:
        """Columns of single candidates, which stand before those of entries."""
        return int(self.ground.eligible.shape[1])

    @property
    def plain(self) -> list[int]:
        """The columns of entries in which nothing is judged."""
        return [self.alone + place for place, entry in enumerate(self.entries) if entry.at is None]

    def entry(self, column: int) -> Entry:
        return self.entries[column - self.alone]

    @cached_property
    def open(self) -> Mask:
        """[suites, entries] whether every stage of an entry may be chosen, and none is asked for
        too long."""
        alone = self.ground.eligible[1:]
        of = [alone[:, [stage.column for stage in entry.plan]].all(axis=1) for entry in self.entries]
        return np.array(of, bool).T & ~self.slow

    @property
    def slow(self) -> Mask:
        """[suites, entries] whether an entry of several stages takes longer than it may."""
        several = np.array([len(entry.plan) > 1 for entry in self.entries], bool)
        if self.ground.most_s is None:
            return np.zeros((self.ground.suites, len(several)), bool)
        return np.asarray(several & (self.tails > self.ground.most_s), bool)

    @property
    def quick(self) -> list[int]:
        """The places of entries that are not too slow everywhere."""
        return [int(place) for place in np.flatnonzero(~self.slow.all(axis=0))]

    @cached_property
    def tails(self) -> Floats:
        """[suites, entries] the 95th percentile of a request's seconds."""
        suite = np.zeros(len(self.quality), np.int64)
        suite[self.ground.trials.row] = self.ground.asked.row - 1
        return tails(self.figures[LATENCY], suite, self.ground.suites)

    def chain(self, column: int, rows: Sequence[int] = ()) -> Chain:
        """What serves where a table has this column; rows: those of a policy's tables, ascending,
        for which it says what its caps leave."""
        if column < self.alone:
            return (Stage(column),)
        found, ground = _judged(self.entry(column), self.final)[0], self.ground
        if not rows:
            return found
        return with_under_cap(found, ground.trials, ground.asked.row - 1, draw_weights(ground.trials), rows)

    def played(self, column: int, *, blind: bool = False) -> Played:
        """The entry of a column on every draw, by what was learned without it; `blind`: as if no
        signal were known of any answer."""
        entry, trials = self.entry(column), self.ground.trials
        return _joined(self.ground, [
            (fold, _play(entry, self.tradeoffs, self.ground.take(self.ground.fold == fold), models, blind=blind))
            for fold, models in self.models.items()
        ], len(trials))  # fmt: skip


def _by_suite(values: Floats, suite: Ints, size: int) -> Floats:
    """[size, columns] sums."""
    order = np.argsort(suite, kind="stable")
    starts = np.searchsorted(suite[order], np.arange(size))
    sums = np.zeros((size, values.shape[1]))
    some = np.flatnonzero(np.bincount(suite, minlength=size) > 0)
    if len(some):
        sums[some] = np.add.reduceat(values[order], starts[some], axis=0)
    return sums


def cascades(ground: Ground) -> Cascades | None:
    """The chains that may be, on left-out rows; None where there are none."""
    ground = replace(ground, trials=ground.trials.read()) if ground.judging else ground
    columns = shortlist(ground)
    readings: Sequence[tuple[str, ...]] = READING if ground.judging else READING[:1]
    best = _crossed(ground, columns, readings[0])
    for reading in readings[1:]:
        if ground.trials.answers is None and reading is READING[1]:
            continue
        other = _crossed(ground, columns, reading)
        if other is not None and (best is None or _better(other, best)):
            best = other
    return None if best is None else replace(best, final=_models(ground, ground, columns, best.reading))


def shortlist(ground: Ground) -> list[int]:
    """The columns that chains are made of, the cheapest first: eligible somewhere, and nearest to
    the best of all at some tradeoff."""
    trials = ground.trials
    weight = np.repeat(draw_weights(trials)[:, None], trials.quality.shape[1], axis=1)
    quality, cost = (column_means(values, weight) for values in (trials.quality, trials.cost_usd))
    open_ = ground.eligible[1:].any(axis=0) & ~np.isnan(quality + cost)
    open_[ground.reference] = True
    utility = np.where(open_, quality - np.array(SCALES)[:, None] / ground.unit * cost, -np.inf)
    regret = (utility.max(axis=1, keepdims=True) - utility).min(axis=0)
    regret[ground.reference] = -1.0
    ranked = [int(j) for j in np.argsort(regret, kind="stable") if open_[j]][:MOST_COLUMNS]
    return sorted(ranked, key=lambda j: (cost[j], j))


def _crossed(ground: Ground, columns: Sequence[int], reading: tuple[str, ...]) -> Cascades | None:
    """Every entry on left-out rows; no final models."""
    n = len(ground.fold)
    models = {}
    for fold in np.unique(ground.fold):
        out = ground.fold == fold
        models[int(fold)] = (
            _models(ground.take(~out), ground.take(out), columns, reading) if ground.judging else {}
        )
    plans = _judgeable(ground, columns, models.values())
    plain = capped(ground.trials, columns, ground.most) if ground.caps else []
    step = 1 + n * len(plans) * len(SCALES) // MOST_CELLS
    scales = SCALES[::step] if plans else CAP_SCALES
    entries = [Entry(plan, at) for plan in plans for at in range(len(scales))] + [
        Entry(p, None) for p in plain
    ]
    if not entries:
        return None
    tradeoffs = tuple(scale / ground.unit for scale in scales)
    found = {
        name: np.empty((len(entries), n))  # an entry's rows side by side, for they are written so
        for name in ("quality", "cost_usd", "missing", *ground.trials.figures)
    }
    for fold, known in models.items():
        out = ground.fold == fold
        there = ground.take(out)
        for place, entry in enumerate(entries):
            got = _play(entry, tradeoffs, there, known)
            values = {"quality": got.quality, "cost_usd": got.cost_usd, "missing": got.lost, **got.figures}
            for name, part in values.items():
                whole = name in ADDING
                found[name][place, out] = there.trials.mean(part, int(out.sum()), whole=whole)
    found = {name: np.ascontiguousarray(part.T) for name, part in found.items()}
    quality, cost, missing = (found.pop(name) for name in ("quality", "cost_usd", "missing"))
    return Cascades(
        ground=ground, entries=tuple(entries), tradeoffs=tradeoffs, quality=quality, cost_usd=cost, missing=missing,
        figures=found, models=models, final={}, reading=reading,
    )  # fmt: skip


def _judgeable(ground: Ground, columns: Sequence[int], models: Iterable[Models]) -> list[Plan]:
    """The plans of two and more stages whose every answer but the last can be judged."""
    known = [set(each) for each in models]
    plans: list[Plan] = []
    for size in range(2, min(ground.most, len(columns)) + 1):
        for members in combinations(columns, size):
            pairs = [(j, members[place - 1] if place else None) for place, j in enumerate(members[:-1])]
            if ground.judging and all(
                (j, b) in each or (j, None) in each for each in known for j, b in pairs
            ):
                plans.append(tuple(map(Stage, members)))
    return plans


def _models(learn: Ground, tell: Ground, columns: Sequence[int], reading: Sequence[str]) -> Models:
    """Acceptance models that the draws of one ground teach, and what they say of another's."""
    found = {}
    for place, column in enumerate(columns[:-1]):
        for previous in [None, *columns[:place]] if len(reading) > 1 else [None]:
            later = tuple(columns[place + 1 :])
            judge = learn_judge(learn.trials, learn.asked, learn.suites, column, previous, later, reading)
            if judge is not None:
                found[column, previous] = judge, judged(judge, tell.trials, tell.asked, column, previous)
    return found


def _judged(entry: Entry, models: Models) -> tuple[Chain, tuple[Gains, ...]]:
    """The chain of an entry with its acceptance models, and what these say of the draws."""
    if entry.at is None:
        return entry.plan, (None,) * len(entry.plan)
    stages: list[Stage] = []
    gains: list[Gains] = []
    for place, stage in enumerate(entry.plan[:-1]):
        previous = entry.plan[place - 1].column if place else None
        judge, told = models.get((stage.column, previous)) or models[stage.column, None]
        later = [judge.later.index(one.column) for one in entry.plan[place + 1 :]]
        stages.append(stage._replace(judge=_only(judge, later)))
        gains.append(None if told is None else (told[0][:, later], told[1]))
    return (*stages, entry.plan[-1]), (*gains, None)


def _only(judge: Judge, later: Sequence[int]) -> Judge:
    """The same model for some of the later stages."""
    terms = tuple(term._replace(heights=frozen(term.heights[:, later])) for term in judge.terms)
    named = tuple(judge.later[j] for j in later)
    return Judge(named, judge.signals, frozen(judge.bias[:, later]), terms, judge.rows)


def _play(
    entry: Entry, tradeoffs: Sequence[float], ground: Ground, models: Models, *, blind: bool = False
) -> Played:
    chain, gains = _judged(entry, models)
    if blind:
        gains = tuple(None if told is None else (told[0], np.zeros_like(told[1])) for told in gains)
    return play(chain, 0.0 if entry.at is None else tradeoffs[entry.at], ground.trials, ground.asked, gains)


def _joined(ground: Ground, parts: Sequence[tuple[int, Played]], draws: int) -> Played:
    """What folds of the draws were given, in the order of all; without figures."""
    of = ground.fold[ground.trials.row]

    def whole(name: str) -> Any:
        values = [getattr(got, name) for _, got in parts]
        found = np.empty((draws, *values[0].shape[1:]), values[0].dtype)
        for (fold, _), part in zip(parts, values, strict=True):
            found[of == fold] = part
        return found

    return Played(**{name: whole(name) for name in Played._fields if name != "figures"}, figures={})


def _better(one: Cascades, other: Cascades) -> bool:
    """Whether left-out rows, given what is best for all of them, gain ERRORS standard errors more,
    over all tradeoffs; of what is not too slow everywhere."""
    tradeoffs = one.tradeoffs

    def utility(made: Cascades) -> Floats:
        """[n, tradeoffs]"""
        of = [
            [j for j in made.quick if made.entries[j].at in (None, place)] for place in range(len(tradeoffs))
        ]
        best = []
        for own, tradeoff in zip(of, tradeoffs, strict=True):
            if not own:
                best.append(np.zeros(len(made.quality)))
                continue
            value = np.nan_to_num(made.quality[:, own] - tradeoff * made.cost_usd[:, own])
            best.append(value[:, value.mean(axis=0).argmax()] / (1 + tradeoff * made.ground.unit))
        return np.stack(best, axis=1)

    more = (utility(one) - utility(other)).mean(axis=1)
    return bool(more.mean() > ERRORS * more.std() / np.sqrt(max(1, len(more))))
