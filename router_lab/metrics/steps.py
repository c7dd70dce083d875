"""Runs that are scored step by step: how often steps succeed, whether their failures come together,
and what a check after each step would buy.

Step rates are themselves estimates. What is computed from them keeps their error: each run's value
is moved by what its own steps move the rates (the linearised influence), so that a clustered mean
of those values has the error of the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from router_lab.metrics.estimate import Estimate, clustered_mean, clustered_ratio
from router_lab.metrics.steady import Floats, Ints

NUDGE = 1e-4
"""By how much a rate is moved to see what follows; values are polynomials of low degree in it."""


@dataclass(frozen=True)
class Runs:
    """n runs of at most k steps.

    passed [n, k]: 1 or 0; NaN where a run made no such step. cell [n, k]: which rate a step has,
    from 0; −1 where the run has no such step. A cell without an outcome is a step that the run did
    not reach. cost_usd [n]: NaN = not known. group [n]: clusters. weight [n]: one over the known
    probability of a run, None = 1.
    """

    passed: Floats
    cell: Ints
    cost_usd: Floats
    group: Ints
    weight: Floats | None = None

    @property
    def made(self) -> Floats:
        """[n] steps of each run."""
        return np.asarray((~np.isnan(self.passed)).sum(axis=1), np.float64)

    def heavy(self) -> Floats:
        return np.ones(len(self.passed)) if self.weight is None else np.asarray(self.weight, np.float64)

    def rates(self) -> Floats:
        """[cells] the share of steps that passed; NaN where none was made."""
        made, right = self._sums()
        return np.where(made > 0, right / np.maximum(made, 1e-300), np.nan)

    def _sums(self) -> tuple[Floats, Floats]:
        """[cells] the weight of steps that were made, and of those that passed."""
        there = ~np.isnan(self.passed)
        cells = int(self.cell.max(initial=-1)) + 1
        weight = np.broadcast_to(self.heavy()[:, None], self.passed.shape)[there]
        places, right = self.cell[there], weight * self.passed[there]
        made, passed = (np.bincount(places, values, cells) for values in (weight, right))
        return made.astype(np.float64), passed.astype(np.float64)

    def mean(self, values: Floats) -> Estimate:
        """Clustered mean of a value [n] of each run."""
        return clustered_mean(values, self.group, weights=self.weight)

    def ratio(self, values: Floats, of: Floats) -> Estimate:
        return clustered_ratio(values, of, self.group, weights=self.weight)

    def moved(self, value: Callable[[Floats], Floats]) -> Floats:
        """[n] `value(rates)` of each run with its influence on the rates: the same mean, and the
        error of both."""
        made, _ = self._sums()
        rates, heavy = self.rates(), self.heavy()
        found, known = value(rates), ~np.isnan(self.passed)
        usable, away = ~np.isnan(found), np.zeros(self.passed.shape)
        total = float(heavy[usable].sum())
        for one in np.flatnonzero(made > 0):
            up, down = rates.copy(), rates.copy()
            up[one], down[one] = rates[one] + NUDGE, rates[one] - NUDGE
            slopes = (value(up) - value(down))[usable] / (2 * NUDGE)
            slope = float((slopes * heavy[usable]).sum()) / max(total, 1e-300)
            mine = known & (self.cell == one)
            away[mine] = slope * (self.passed[mine] - rates[one]) * total / made[one]
        return np.asarray(found + away.sum(axis=1), np.float64)


def all_passed(runs: Runs) -> Floats:
    """[n] 1 where no step of a run failed."""
    return np.asarray((runs.passed != 0).all(axis=1), np.float64)


def independent(runs: Runs) -> Callable[[Floats], Floats]:
    """Of rates [cells], [n] how likely a run's steps all pass if none tells of another: their
    product."""
    return lambda rates: np.asarray(np.where(runs.cell >= 0, rates[runs.cell], 1.0).prod(axis=1), np.float64)


def clustering(runs: Runs) -> Estimate:
    """By how much more runs pass all their steps than independent steps would: above 0 failures
    come together, in few runs."""
    apart = all_passed(runs) - runs.moved(independent(runs))
    return clustered_mean(apart, runs.group, weights=runs.weight, span=1.0)


def curves(runs: Runs) -> tuple[Floats, Floats]:
    """[k] shares of runs without a failure up to each place: seen, and of independent steps. A run
    with fewer steps stays as it ended."""
    heavy, rates = runs.heavy(), runs.rates()
    seen = np.cumprod(runs.passed != 0, axis=1)
    alone = np.cumprod(np.where(runs.cell >= 0, rates[runs.cell], 1.0), axis=1)
    return np.average(seen, axis=0, weights=heavy), np.average(alone, axis=0, weights=heavy)


def first_failures(runs: Runs) -> Ints:
    """[n] the place of each run's first failed step, from 0; −1 where none failed."""
    failed = runs.passed == 0
    return np.where(failed.any(axis=1), failed.argmax(axis=1), -1)


class Check(NamedTuple):
    """A check after a step: which share of failed steps it catches (`catch`), which share of good
    ones it rejects by mistake (`alarm`), dollars of each check, and how often one step is checked
    at most: who is caught is made again, and checked again while checks are left."""

    catch: float
    usd: float
    alarm: float = 0.0
    most: int = 1

    def caught(self, passed: Floats) -> Floats:
        return passed * self.alarm + (1 - passed) * self.catch

    def again(self, rate: Floats, usd: Floats, checks: int) -> tuple[Floats, Floats]:
        """(how likely a new attempt ends well, its dollars) with so many checks left."""
        right, spent = rate, usd
        for _ in range(checks):
            caught = self.caught(rate)
            right, spent = rate * (1 - self.alarm) + caught * right, usd + self.usd + caught * spent
        return right, spent


def checked(runs: Runs, check: Check) -> tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]:
    """Of rates [cells], [n] how likely each run ends well, and its dollars, had every step been
    checked.

    What the run's first attempts did is what was recorded; a step that is made again passes as
    often as that step does, and costs the run's dollars per step. A step that the run did not reach
    is made as often as all before it end well.
    """

    def of(rates: Floats) -> tuple[Floats, Floats]:
        there, reached = runs.cell >= 0, ~np.isnan(runs.passed)
        rate = np.where(there, rates[runs.cell], 1.0)
        usd = np.broadcast_to((runs.cost_usd / np.maximum(runs.made, 1.0))[:, None], rate.shape)
        right, spent = check.again(rate, usd, check.most)
        if check.most:
            caught = check.caught(runs.passed)
            later, dear = check.again(rate, usd, check.most - 1)
            first = runs.passed * (1 - check.alarm) + caught * later, usd + check.usd + caught * dear
        else:
            first = runs.passed, usd
        right, spent = (np.where(reached, mine, new) for mine, new in zip(first, (right, spent), strict=True))
        right = np.where(there, right, 1.0)
        before = np.cumprod(np.column_stack([np.ones(len(right)), right[:, :-1]]), axis=1)
        spent = np.where(there, spent * np.where(reached, 1.0, before), 0.0)
        return right.prod(axis=1), spent.sum(axis=1)

    return lambda rates: of(rates)[0], lambda rates: of(rates)[1]
