"""Which chain of candidates, for which suite: learned on some rows and played on others.

At each tradeoff a suite gets the chain whose mean quality, less the tradeoff times its dollars, was
greatest on the rows that it was learned from. Left-out rows are played by what the others know,
draw by draw, and become columns beside the candidates' own: one for each tradeoff. So the choice,
the test and the random mix treat a chain as they treat a candidate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from router_lab.fit.accept import READING, Scope, learn_judge
from router_lab.fit.caps import caps_of
from router_lab.fit.evidence import Evidence
from router_lab.metrics.paired import Floats, Ints, Mask
from router_lab.outcomes.trials import Trials
from router_lab.played import Asked, Gains, gains_of, judged, play
from router_lab.runtime.chains import MOST_STAGES, Chain, Judge, Stage

SCALES = (0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.12, 0.14, 0.18, 0.24, 0.3, 0.4, 0.7, 2.5)
"""Tradeoffs tried, in quality per mean cost of the reference."""
MOST_COLUMNS = 6
"""Candidates that chains are made of: those that are nearest to the best at some tradeoff."""
PRIOR = 20.0
"""Draws that a suite's gain is shrunk by towards that of all suites."""
ERRORS = 1.0
"""Standard errors by which looking at more must gain, or the simpler model stays."""

Table = tuple[Chain | None, ...]
"""By suite, row POOLED first: None is the reference."""


@dataclass(frozen=True)
class Ground:
    """What chains are learned from. asked: predictions out of fold, by draw; weight [m]: one over
    the draws of a sample; eligible [suites + 1, c]; unit: dollars of the reference; most: stages
    of a chain; judging: whether answers are looked at; caps: whether runs are stopped."""

    trials: Trials
    asked: Asked
    weight: Floats
    eligible: Mask
    reference: int
    unit: float
    most: int
    judging: bool
    caps: bool

    @property
    def suites(self) -> int:
        return len(self.eligible) - 1

    @property
    def half(self) -> Mask:
        """[m] every other sample's draws."""
        return np.asarray(self.trials.row % 2 == 0, bool)

    @property
    def tradeoffs(self) -> tuple[float, ...]:
        """In quality per dollar."""
        return tuple(scale / self.unit for scale in SCALES)

    def take(self, samples: Mask) -> Ground:
        kept = samples[self.trials.row]
        asked = Asked(self.asked.row[kept], self.asked.quality[kept], self.asked.cost_usd[kept])
        return replace(self, trials=self.trials.take(samples), asked=asked, weight=self.weight[kept])


@dataclass(frozen=True)
class Cascades:
    """quality, cost_usd, missing, figures [n, k] of left-out rows, one column for each of the k
    tables that all rows teach (`final`), of tradeoffs [k]; more [n, k] by the names of `_told`;
    reading: what the models look at."""

    quality: Floats
    cost_usd: Floats
    missing: Floats
    figures: Mapping[str, Floats]
    more: Mapping[str, Floats]
    final: tuple[Table, ...]
    tradeoffs: tuple[float, ...]
    reading: tuple[str, ...]

    def beside(self, evidence: Evidence) -> Evidence:
        """The evidence with these columns after the candidates' own."""
        n, k = self.quality.shape
        none = np.zeros_like(evidence.quality) if evidence.missing is None else evidence.missing
        missing = np.hstack([none, self.missing])
        return replace(
            evidence, quality=np.hstack([evidence.quality, self.quality]),
            cost_usd=np.hstack([evidence.cost_usd, self.cost_usd]), missing=missing if missing.any() else None,
            figures={name: np.hstack([part, self.figures[name]]) for name, part in evidence.figures.items()},
            eligible=np.hstack([evidence.eligible, np.ones((n, k), bool)]), chains=self.tradeoffs,
        )  # fmt: skip


def cascades(ground: Ground, folds: Ints) -> Cascades | None:
    """The chains that these rows teach, and what each fold gets from those that the others teach;
    None where no chain is worth its dollars anywhere. folds [n] of the samples."""
    ground = replace(ground, trials=ground.trials.read()) if ground.judging else ground
    readings: Sequence[tuple[str, ...]] = READING if ground.judging else READING[:1]
    best, kept = _crossed(ground, folds, readings[0]), readings[0]
    for reading in readings[1:]:
        if ground.trials.answers is None and reading is READING[1]:
            continue
        other = _crossed(ground, folds, reading)
        if _better(other, best, ground):
            best, kept = other, reading
    final = learn_tables(ground, np.ones(len(folds), bool), kept)
    if not any(chain is not None for table in final for chain in table):
        return None
    return replace(best, final=final, reading=kept)


def _crossed(ground: Ground, folds: Ints, reading: Sequence[str]) -> Cascades:
    """Each fold played by the tables that the others teach; no final ones."""
    n, k = len(folds), len(ground.tradeoffs)
    found: dict[str, Floats] = defaultdict(lambda: np.full((n, k), np.nan))
    for fold in np.unique(folds):
        out = folds == fold
        tables, there = learn_tables(ground, ~out, reading), ground.take(out)
        for place, (table, tradeoff) in enumerate(zip(tables, ground.tradeoffs, strict=True)):
            for name, values in played_by(table, tradeoff, there, int(out.sum())).items():
                found[name][out, place] = values
    quality, cost, missing = (found.pop(name) for name in ("quality", "cost_usd", "missing"))
    figures = {name: found.pop(name) for name in ground.trials.figures}
    return Cascades(quality, cost, missing, figures, dict(found), (), ground.tradeoffs, tuple(reading))


def played_by(table: Table, tradeoff: float, ground: Ground, samples: int) -> dict[str, Floats]:
    """[samples] means over the draws of what a table gives, by the names of `_told`."""
    alone: Chain = (Stage(ground.reference),)
    row = ground.asked.row
    chains = [table[code] or alone for code in range(len(table))]
    found: dict[str, Floats] = defaultdict(lambda: np.full(samples, np.nan))
    for chain in {id(chain): chain for chain in (chains[code] for code in np.unique(row))}.values():
        codes = [code for code, one in enumerate(chains) if one is chain]
        here = np.zeros(samples, bool)
        here[ground.trials.row[np.isin(row, codes)]] = True
        some = ground.take(here)
        for name, part in _told(chain, tradeoff, some).items():
            found[name][here] = some.trials.mean(part, int(here.sum()))
    return found


def _told(chain: Chain, tradeoff: float, ground: Ground) -> dict[str, Floats]:
    """[m] what a chain gives each draw: quality, dollars, the share that is missing and the
    figures; whether it is more than a candidate asked alone (`led`), whether it went on
    (`escalated`) or ended at a cap (`stopped`), what signals cost, what each candidate did in it
    (`asked 0`, `kept 0`, `spent 0`), and quality and dollars if no signal were known (`blind`)."""
    led = len(chain) > 1 or chain[0].cap_usd is not None
    gains = gains_of(chain, ground.trials, ground.asked)
    got = play(chain, tradeoff, ground.trials, ground.asked, gains)
    unknown = [None if told is None else (told[0], np.zeros_like(told[1])) for told in gains]
    blind = play(chain, tradeoff, ground.trials, ground.asked, unknown)
    found = {
        "quality": got.quality, "cost_usd": got.cost_usd, "missing": got.lost, **got.figures,
        "led": np.full(len(got.quality), float(led)), "escalated": (got.asked.sum(axis=1) > 1).astype(float),
        "stopped": got.stopped.astype(float), "signals_usd": got.signals_usd, "blind": blind.quality,
        "blind_usd": blind.cost_usd,
    }  # fmt: skip
    for column in range(got.asked.shape[1]):
        found[f"asked {column}"] = got.asked[:, column] * float(led)
        found[f"kept {column}"] = got.kept[:, column] * float(led)
        found[f"spent {column}"] = got.spent[:, column] * float(led)
    return found


def learn_tables(ground: Ground, samples: Mask, reading: Sequence[str]) -> tuple[Table, ...]:
    """For each tradeoff the table that the samples of a mask [n] teach."""
    there = ground.take(samples)
    columns = _shortlist(there)
    models = _models(there, columns, reading) if ground.judging else {}
    return tuple(_table(there, columns, models, tradeoff) for tradeoff in ground.tradeoffs)


Models = Mapping[tuple[int, int | None], tuple[Judge, tuple[Floats, Mask]]]
"""By column and the one before it: the acceptance model for all dearer columns, and what it says of
the draws."""


def _shortlist(ground: Ground) -> list[int]:
    """The columns that chains are made of, the cheapest first: run throughout, eligible somewhere,
    and nearest to the best of all at some tradeoff."""
    trials, weight = ground.trials, ground.weight[:, None]
    quality, cost = (_means(values, weight) for values in (trials.quality, trials.cost_usd))
    open_ = ground.eligible[1:].any(axis=0) & ~np.isnan(quality + cost)
    open_[ground.reference] = True
    utility = np.where(open_, quality - np.array(ground.tradeoffs)[:, None] * cost, -np.inf)
    regret = (utility.max(axis=1, keepdims=True) - utility).min(axis=0)
    regret[ground.reference] = -1.0
    ranked = [int(j) for j in np.argsort(regret, kind="stable") if open_[j]][:MOST_COLUMNS]
    return sorted(ranked, key=lambda j: (cost[j], j))


def _means(values: Floats, weight: Floats) -> Floats:
    known = ~np.isnan(values)
    total = (np.where(known, values, 0.0) * weight).sum(axis=0)
    count = (known * weight).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1e-12), np.nan)


def _models(ground: Ground, columns: Sequence[int], reading: Sequence[str]) -> Models:
    found = {}
    for place, column in enumerate(columns[:-1]):
        for previous in [None, *columns[:place]] if len(reading) > 1 else [None]:
            made = _model(ground, column, previous, tuple(columns[place + 1 :]), reading)
            if made is not None:
                found[column, previous] = made
    return found


def _model(
    ground: Ground, column: int, previous: int | None, later: tuple[int, ...], reading: Sequence[str]
) -> tuple[Judge, tuple[Floats, Mask]] | None:
    """The model that all draws teach, and of each draw what one says that was learned from the
    other half: of its own a model says too much, and the more it looks at, the more."""
    half, learned = ground.half, []
    for rows in (np.ones_like(half), half, ~half):
        scope = Scope(rows, ground.weight, ground.suites)
        judge = learn_judge(ground.trials, ground.asked, scope, column, previous, later, reading)
        if judge is None:
            return None
        learned.append(judge)
    mine, theirs = (judged(one, ground.trials, ground.asked, column, previous) for one in learned[1:])
    return learned[0], (np.where(half[:, None], theirs[0], mine[0]), mine[1])


def _table(ground: Ground, columns: Sequence[int], models: Models, tradeoff: float) -> Table:
    """The best chain of each suite at one tradeoff, seen from the draws of `ground`."""
    found: list[tuple[Chain, Sequence[Gains]]] = []
    for size in range(1, min(ground.most, MOST_STAGES, len(columns)) + 1):
        for members in combinations(columns, size):
            if members == (ground.reference,):
                continue
            made = _chain(members, models)
            if made is not None:
                found.append(made)
    found += (
        [(chain, (None,) * len(chain)) for chain in caps_of(ground, columns, tradeoff)] if ground.caps else []
    )
    if not found:
        return (None,) * (ground.suites + 1)
    base = ground.trials.quality[:, ground.reference] - tradeoff * ground.trials.cost_usd[:, ground.reference]
    more = np.array([_gained(ground, chain, gains, tradeoff, base) for chain, gains in found])
    best = more.argmax(axis=0)
    rows = [found[j][0] if more[j, s] > 0 else None for s, j in enumerate(best)]
    # One suite stands for what names none; several say nothing of another.
    return (rows[0] if ground.suites == 1 else None, *rows)


def _chain(members: Sequence[int], models: Models) -> tuple[Chain, Sequence[Gains]] | None:
    """The chain of these columns, where each but the last can be judged, and what its models
    say."""
    stages, gains = [], []
    for place, column in enumerate(members[:-1]):
        previous = members[place - 1] if place else None
        known = models.get((column, previous)) or models.get((column, None))
        if known is None:
            return None
        judge, (added, all_known) = known
        later = [judge.later.index(j) for j in members[place + 1 :]]
        stages.append(Stage(column, _only(judge, later)))
        gains.append((added[:, later], all_known))
    return (*stages, Stage(members[-1])), (*gains, None)


def _only(judge: Judge, later: Sequence[int]) -> Judge:
    """The same model for some of the later stages."""
    terms = tuple(term._replace(heights=_kept(term.heights[:, later])) for term in judge.terms)
    return Judge(tuple(judge.later[j] for j in later), judge.signals, _kept(judge.bias[:, later]), terms)


def _kept(values: Floats) -> Floats:
    values = np.ascontiguousarray(values)
    values.flags.writeable = False
    return values


def _gained(ground: Ground, chain: Chain, gains: Sequence[Gains], tradeoff: float, base: Floats) -> Floats:
    """[suites] utility more than the reference's, shrunk towards that of all suites; -inf where a
    stage may not be chosen."""
    got = play(chain, tradeoff, ground.trials, ground.asked, gains)
    more = got.quality - tradeoff * got.cost_usd - base
    weight = np.where(np.isnan(more), 0.0, ground.weight)
    row, size = ground.asked.row, ground.suites + 1
    count = np.bincount(row, weight, minlength=size)[1:]
    total = np.bincount(row, np.nan_to_num(more) * weight, minlength=size)[1:]
    pooled = float(total.sum()) / max(float(count.sum()), 1e-12)
    shrunk: Floats = (total + PRIOR * pooled) / (count + PRIOR)
    others = [stage.column for stage in chain if stage.column != ground.reference]
    shrunk[~ground.eligible[1:, others].all(axis=1)] = -np.inf
    return shrunk


def _better(one: Cascades, other: Cascades, ground: Ground) -> bool:
    """Whether what left-out rows got, over all tradeoffs, is better by ERRORS standard errors."""
    tradeoffs, scales = np.array(ground.tradeoffs), np.array(SCALES)

    def utility(made: Cascades) -> Floats:
        return np.asarray((made.quality - tradeoffs * made.cost_usd) / (1 + scales), np.float64)

    more = utility(one) - utility(other)
    mean = more.mean(axis=1)
    mean = mean[~np.isnan(mean)]
    if len(mean) < 2:
        return False
    return bool(mean.mean() > ERRORS * mean.std() / np.sqrt(len(mean)))
