"""Levers of a sweep's harnesses: what each does on its own, and whether their savings clash.

Each model (and effort) whose harnesses are every combination of the levers' levels is a factorial
experiment on the same samples. All k intervals of a report hold together at CONFIDENCE: each is at
1 − (1 − CONFIDENCE) / k (Bonferroni). Of a lever with several levels the dearest is what the others
are compared with; since that is read from the data, every pair of levels counts in k.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations, product
from math import comb, prod
from typing import Any

import numpy as np
import pandas as pd

from router_lab.certificate import Figure
from router_lab.metrics.levers import Change, Factorial
from router_lab.metrics.paired import heaviest
from router_lab.metrics.steady import Floats
from router_lab.outcomes import OutcomeMatrix
from router_lab.report.table import CONFIDENCE
from router_lab.runtime.model import Candidate

Levels = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Effect:
    """One lever moved from the level `base` to another, mean over all others' levels. gain: of
    quality; saving: share of dollars."""

    lever: str
    base: str
    level: str
    gain: Figure
    saving: Figure

    @property
    def label(self) -> str:
        return f"{self.lever}: {self.base} → {self.level}"


@dataclass(frozen=True)
class Pair:
    """Two levers moved. gain: how much more quality the first adds where the second was moved than
    where it was not. Shares of dollars: saved by each alone and by both, the product and the sum of
    the two alone, and `beyond`, both less the product. None = dollars are not known.
    """

    first: Effect
    second: Effect
    gain: Figure
    alone: tuple[float, float] | None
    both: float | None
    product: float | None
    sum: float | None
    beyond: Figure | None

    @property
    def clashes(self) -> bool:
        """Shown to save less together than the product of what each saves alone."""
        return self.beyond is not None and self.beyond.high is not None and self.beyond.high < 0

    @property
    def label(self) -> str:
        return f"{self.first.label}; {self.second.label}"


@dataclass(frozen=True)
class LeversOf:
    """The levers of one model and effort. n: samples known in all combinations, of `samples`."""

    label: str
    n: int
    samples: int
    effects: tuple[Effect, ...]
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Levers:
    """each: at which confidence every one of the `intervals` was computed, so that all hold at
    CONFIDENCE. lacking: models of which some combinations are not there, with how many of how
    many are."""

    found: tuple[LeversOf, ...]
    each: float
    intervals: int
    lacking: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class _Design:
    label: str
    levels: Levels
    data: Factorial

    @property
    def intervals(self) -> int:
        """Of quality and of dollars, of every pair of levels and every two of those."""
        pairs = [comb(len(levels), 2) for levels in self.levels.values()]
        return 2 * (sum(pairs) + sum(a * b for a, b in combinations(pairs, 2)))


def levers_found(outcomes: pd.DataFrame) -> Levers | None:
    """Of each model and effort whose harnesses are all combinations of levers; None where no
    candidate of a validated outcomes table has levers."""
    groups = _experiments(outcomes.attrs.get("candidates") or ())
    if not groups:
        return None
    data = OutcomeMatrix.from_frame(outcomes)
    designs, lacking = [], []
    for label, harnesses in groups.items():
        levels = _levels(harnesses)
        there = {
            tuple(chosen[lever] for lever in levels): data.candidates.index(one)
            for one, chosen in harnesses.items()
            if one in data.candidates
        }
        whole = prod(len(names) for names in levels.values())
        if len(there) < whole:
            lacking.append((label, len(there), whole))
        elif whole > 1:
            designs.append(_design(label, data, there, levels))
    intervals = sum(one.intervals for one in designs)
    each = 1 - (1 - CONFIDENCE) / max(1, intervals)
    return Levers(tuple(_told(one, each) for one in designs), each, intervals, tuple(lacking))


def _experiments(
    candidates: Iterable[Mapping[str, Any]],
) -> dict[str, dict[Candidate, dict[str, str]]]:
    """Label → the harnesses of one model and effort, and their levels. Sweeps that moved other
    levers are other experiments, whose labels name them."""
    found: dict[Candidate, dict[tuple[str, ...], dict[Candidate, dict[str, str]]]] = {}
    for one in candidates:
        if one.get("levers"):
            who, chosen = Candidate.of(one), dict(one["levers"])
            own = found.setdefault(Candidate(who.model, who.effort), {})
            own.setdefault(tuple(sorted(chosen)), {})[who] = chosen
    return {
        str(who) if len(own) == 1 else f"{who} ({', '.join(levers)})": harnesses
        for who, own in found.items()
        for levers, harnesses in own.items()
    }


def _levels(harnesses: Mapping[Candidate, Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    """Those levers that have two levels or more."""
    found: dict[str, dict[str, None]] = {}
    for chosen in harnesses.values():
        for lever, level in chosen.items():
            found.setdefault(lever, {})[level] = None
    return {lever: tuple(names) for lever, names in found.items() if len(names) > 1}


def _design(
    label: str, data: OutcomeMatrix, column: Mapping[tuple[str, ...], int], levels: Levels
) -> _Design:
    """column: of each combination of levels."""
    usd = {who: float(np.nanmean(_or_zero(data.cost_usd[:, at]))) for who, at in column.items()}
    ordered = {
        lever: tuple(sorted(names, key=lambda name: (-_mean_at(usd, axis, name), name)))
        for axis, (lever, names) in enumerate(levels.items())
    }
    places = [column[combination] for combination in product(*ordered.values())]
    shape = (len(data), *(len(names) for names in ordered.values()))
    weighting = data.weighting
    weight = None if weighting is None else heaviest(*weighting[:, places].T)
    quality, cost = (values[:, places].reshape(shape) for values in (data.quality, data.cost_usd))
    return _Design(label, ordered, Factorial(quality, cost, data.group, weight))


def _or_zero(values: Floats) -> Floats:
    return values if not np.isnan(values).all() else np.zeros(1)


def _mean_at(usd: Mapping[tuple[str, ...], float], axis: int, level: str) -> float:
    return float(np.mean([mean for who, mean in usd.items() if who[axis] == level]))


def _told(one: _Design, each: float) -> LeversOf:
    changes = {
        Change(axis, at): _effect(one, Change(axis, at), each)
        for axis, names in enumerate(one.levels.values())
        for at in range(1, len(names))
    }
    pairs = tuple(
        _pair(one, first, second, changes, each)
        for first, second in combinations(changes, 2)
        if first.lever != second.lever
    )
    quality = one.data.quality
    known = ~np.isnan(quality.reshape(len(quality), -1))
    return LeversOf(
        one.label, int(known.all(axis=1).sum()), int(known.any(axis=1).sum()), tuple(changes.values()), pairs
    )


def _effect(one: _Design, change: Change, each: float) -> Effect:
    lever, names = list(one.levels.items())[change.lever]
    return Effect(
        lever, names[0], names[change.level], Figure.of(one.data.gain(change), each),
        Figure.of(one.data.saving(change), each),
    )  # fmt: skip


def _pair(one: _Design, first: Change, second: Change, effects: Mapping[Change, Effect], each: float) -> Pair:
    gain = Figure.of(one.data.interaction(first, second), each)
    told = one.data.together(first, second)
    alone = None if told is None else (told.first, told.second)
    both, whole, added = (None,) * 3 if told is None else (told.both, told.product, told.sum)
    beyond = None if told is None else Figure.of(told.beyond, each)
    return Pair(effects[first], effects[second], gain, alone, both, whole, added, beyond)
