"""Quality and cost of every candidate: shrunken suite rates, and by how much a hashed ridge on the prompt departs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router_lab.fit.design import Design
from router_lab.fit.neighbours import Neighbourhood, Reach
from router_lab.fit.ridge import Ridge, ridge
from router_lab.fit.rows import Rows
from router_lab.metrics.steady import log2
from router_lab.outcomes import OutcomeMatrix
from router_lab.runtime.model import POOLED, Linear, cost_from_link, cost_to_link

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LINK = "log2ish"
READS, RATES = "blend", "rates"
"""The predictions that read the prompt, and those by suite alone."""
SHARED, OWN = 5.0, 20.0
"""Prior strengths, in rows: of a suite's difficulty that all candidates share, and of a candidate's own departure."""
PENALTIES = (1.5, 4.0, 10.0, 30.0, 100.0)
PENALTY_ROWS, PENALTY_OUTCOMES = 5_000, 50_000
"""Rows that settings are chosen on: so many, or as many more as keep within so many outcomes. What two candidates
differ by within a suite is little, and half of MMLU's rows do not tell it from noise."""
LOADING = 20.0
"""Rows of prior weight for a candidate's slope of 1 on the shared difficulty."""


@dataclass(frozen=True)
class Task:
    """What is learned: `targets` and `weights` [n, 2c] (quality, then cost on the link's scale; weight 0 = missing),
    `suite` [n] as rows of the runtime's tables (1 ... suites), `group` [n], `bounds` [2, c] least and greatest cost in
    dollars, `texts` [n] whether anything is known of the request: its prompt or its vector."""

    design: Design
    targets: Floats
    weights: Floats
    suite: Ints
    group: Ints
    suites: int
    bounds: Floats
    texts: NDArray[np.bool_]
    cost_usd: Floats

    @classmethod
    def of(cls, data: OutcomeMatrix, design: Design) -> Task:
        """Missing cells get weight 0; a candidate without any cost is taken to cost nothing."""
        cost = data.cost_usd
        values = np.hstack([data.quality, cost_to_link(np.nan_to_num(cost), LINK)])
        present = ~np.isnan(np.hstack([data.quality, cost]))
        inclusion = np.hstack([data.weight, data.weight])
        priced = ~np.isnan(cost)
        least = np.where(priced.any(axis=0), np.nanmin(np.where(priced, cost, np.inf), axis=0), 0.0)
        most = np.where(priced.any(axis=0), np.nanmax(np.where(priced, cost, -np.inf), axis=0), 0.0)
        texts = np.array([p is not None for p in data.prompts], bool) | design.told
        weights = np.where(present, inclusion, 0.0)
        bounds = np.vstack([least, most])
        suite = data.suite + 1
        return cls(design, np.nan_to_num(values), weights, suite, data.group, len(data.suites), bounds, texts, cost)

    @cached_property
    def neighbourhood(self) -> Neighbourhood:
        return Neighbourhood(self.design, self.group)

    @property
    def half(self) -> int:
        return int(self.targets.shape[1]) // 2


@dataclass(frozen=True)
class Settings:
    """Penalties and blends of the quality and of the cost columns; blend is the share of the ridge's departures from
    its suite's mean that is added to the rates, 0 = rates alone."""

    penalty: tuple[float, float] = (6.0, 6.0)
    blend: tuple[float, float] = (0.5, 0.5)
    rare: tuple[bool, bool] = (False, False)
    """Whether rare words may weigh more, for quality and for cost (`Design.rarity`)."""
    one_factor: bool = False
    """Quality from one difficulty of the prompt, shared by all candidates: see `_one_factor`."""
    vector: tuple[float, float] = (1.0, 1.0)
    """Length of the users' vectors beside the text's words, for quality and for cost; 0 leaves them out."""
    reaches: tuple[Reach, Reach] | None = None
    """Fit the ridge to what each row's neighbours got, not to what it got itself: see `neighbours`."""

    def notes(self) -> dict[str, Any]:
        """What else of the settings a policy's provenance names, where they are not the default's."""
        found: dict[str, Any] = {}
        if self.vector != (1.0, 1.0):
            found["vector"] = list(self.vector)
        if self.reaches is not None:
            found["reaches"] = [list(reach) for reach in self.reaches]
        return found

    def columns(self, pair: tuple[float, float], half: int) -> Floats:
        """[2c]"""
        return np.repeat(np.array(pair, np.float64), half)


def suite_rates(targets: Floats, weights: Floats, suite: Ints, suites: int) -> Floats:
    """[suites + 1, k] shrunken weighted means by suite, the pooled mean in row POOLED.

    Two steps of shrinkage: a suite's difficulty, common to all columns of a kind, towards the pooled mean by SHARED
    rows; then each column's own departure by OWN rows. Sparse suites thus move all candidates together, which changes
    no decision.
    """
    count, total = np.zeros((suites + 1, targets.shape[1])), np.zeros((suites + 1, targets.shape[1]))
    np.add.at(count, suite, weights)
    np.add.at(total, suite, weights * targets)
    pooled = total.sum(axis=0) / np.maximum(count.sum(axis=0), 1e-12)
    residual = total - count * pooled
    half = targets.shape[1] // 2
    prior = np.empty_like(count)
    for block in (slice(0, half), slice(half, None)):
        rows = count[:, block].sum(axis=1) / np.maximum((count[:, block] > 0).sum(axis=1), 1)
        mean = residual[:, block].sum(axis=1) / np.maximum(count[:, block].sum(axis=1), 1e-12)
        prior[:, block] = (mean * rows / (rows + SHARED))[:, None]
    rates: Floats = pooled + (residual + OWN * prior) / (count + OWN)
    rates[POOLED] = pooled
    return rates


@dataclass(frozen=True)
class Model:
    """A fitted predictor, before it is compiled: `rates` [suites + 1, 2c] and the ridge on the prompt."""

    rates: Floats
    text: Ridge
    centre: Floats
    """[suites + 1, 2c] shrunken means of the ridge by suite: the rates know a suite's level better than its words do
    (the first three folds of MMLU at penalty 2: APGR .702, and .697 for the mean of the rates and the whole ridge)."""
    factor: Floats
    """[2c] added to predictions: 0 for quality; makes mean costs right on the link's scale (Duan 1983, smearing)."""

    def parts(self, task: Task, rows: Ints) -> tuple[Floats, Floats]:
        """Rates, and departures of the ridge from its suite's mean, [rows, 2c] apart, so that blends can be compared
        without refitting."""
        told = self.text.predict(task.design.matrix[rows]).astype(np.float64)
        suite = task.suite[rows]
        return self.rates[suite] + self.factor, told - self.centre[suite]


def fit_model(task: Task, rows: Ints, settings: Settings) -> Model:
    """Fit rates and ridge on `rows` of the task."""
    targets, weights, suite = task.targets[rows], task.weights[rows], task.suite[rows]
    half = task.half
    rates = suite_rates(targets, weights, suite, task.suites)
    told = weights * task.texts[rows][:, None]
    matrix = task.design.matrix[rows]
    aims = targets if settings.reaches is None else _heard(task, rows, rates, settings.reaches)
    text = _text(matrix, aims, told, task.design, settings)
    factor = np.zeros(2 * half)
    read = text.predict(matrix).astype(np.float64)
    centre = suite_rates(read, told, suite, task.suites)
    blended = _blend(rates[suite], read - centre[suite], settings, half)
    factor[half:] = _smear(blended[:, half:], task.cost_usd[rows], weights[:, half:])
    return Model(rates, text, centre, factor)


def _heard(task: Task, rows: Ints, rates: Floats, reaches: tuple[Reach, Reach]) -> Floats:
    """[rows, 2c] targets: the suite's rates, and by how much the neighbours of each row, other groups of `rows`, depart
    from theirs. What a row got itself says nothing here, so one lucky answer teaches nothing."""
    residual = np.zeros_like(task.targets)
    residual[rows] = task.targets[rows] - rates[task.suite[rows]]
    found = task.neighbourhood.among(rows, residual, task.weights, reaches)
    return np.asarray(rates[task.suite[rows]] + found, np.float64)


def _text(matrix: Rows, targets: Floats, told: Floats, design: Design, settings: Settings) -> Ridge:
    """The ridge on plain or rescaled columns, its coefficients in units of the plain ones."""
    half = targets.shape[1] // 2
    penalty = settings.columns(settings.penalty, half)
    fit = _one_factor if settings.one_factor else ridge
    found = {}
    ways = tuple(zip(settings.rare, settings.vector, strict=True))
    for rare, length in sorted(set(ways)):
        scale = design.scale(rare=rare, vector=length)
        raw = fit(matrix.scaled(scale), targets, told, penalty)
        found[rare, length] = Ridge(raw.coefficients * scale[:, None], raw.intercept)
    quality, cost = (found[way] for way in ways)
    if quality is cost:
        return quality
    return Ridge(
        np.hstack([quality.coefficients[:, :half], cost.coefficients[:, half:]]),
        np.concatenate([quality.intercept[:half], cost.intercept[half:]]),
    )


def _one_factor(matrix: Rows, targets: Floats, weights: Floats, penalty: Floats) -> Ridge:
    """A ridge whose quality columns share one direction: the linear form of item response theory with one trait.

    The ridge is fitted to each row's mean departure from the candidates' means; candidate j follows it with the slope
    of its own departures on those of the others, shrunk towards 1 by LOADING rows. With many candidates and few rows
    one direction is all that can be learned. Cost columns are fitted as ever.
    """
    half = targets.shape[1] // 2
    quality, weight = targets[:, :half], weights[:, :half]
    mean = (weight * quality).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-12)
    gone = weight * (quality - mean)
    count = weight.sum(axis=1, keepdims=True)
    common = gone.sum(axis=1, keepdims=True) / np.maximum(count, 1e-12)
    others = (gone.sum(axis=1, keepdims=True) - gone) / np.maximum(count - weight, 1e-12)
    prior = LOADING * float((common * common).mean()) + 1e-12
    slope = ((gone * others).sum(axis=0) + prior) / ((weight * others * others).sum(axis=0) + prior)
    known = (count > 0).astype(np.float64)
    stacked = ridge(
        matrix, np.hstack([common, targets[:, half:]]), np.hstack([known, weights[:, half:]]),
        np.concatenate([penalty[:1], penalty[half:]]),
    )  # fmt: skip
    shared = np.outer(stacked.coefficients[:, 0], slope)
    level = mean + slope * float(stacked.intercept[0])
    return Ridge(
        np.hstack([shared, stacked.coefficients[:, 1:]]).astype(np.float32),
        np.concatenate([level, stacked.intercept[1:]]).astype(np.float32),
    )


def _smear(predicted: Floats, cost: Floats, weights: Floats) -> Floats:
    """[c] shift on the log2-like scale that makes the mean prediction equal to the mean cost."""
    expected = (weights * _dollars(predicted)).sum(axis=0)
    actual = np.nansum(weights * cost, axis=0)
    known = (expected > 0) & (actual > 0)
    return np.where(known, log2(np.where(known, actual, 1.0) / np.where(known, expected, 1.0)), 0.0)


def _blend(rates: Floats, text: Floats, settings: Settings, half: int) -> Floats:
    return rates + settings.columns(settings.blend, half) * text


def _dollars(values: Floats) -> Floats:
    return cost_from_link(np.clip(values, 0.0, 60.0), LINK)


def to_units(task: Task, values: Floats) -> tuple[Floats, Floats]:
    """Values [n, 2c] on the fitted scales -> quality in [0, 1] and cost in dollars within its bounds, each [n, c]."""
    half = task.half
    cost = np.clip(_dollars(values[:, half:]), task.bounds[0], task.bounds[1])
    return np.clip(values[:, :half], 0.0, 1.0), cost


@dataclass(frozen=True)
class Predicted:
    """What may steer a policy, each row predicted from a fit without its fold: `rates` and `text` [n, 2c], the ridge's
    departures from its suite's mean, on the fitted scales; `factor` [2c] their mean smearing."""

    task: Task
    settings: Settings
    rates: Floats
    text: Floats
    factor: Floats

    @property
    def found(self) -> dict[str, tuple[Floats, Floats]]:
        """Best guess first: quality and cost_usd [n, c] by prompt and suite (READS), where a prompt tells anything, and
        by suite alone."""
        return self._by(self.rates)

    def knowing(self, rows: NDArray[np.bool_]) -> dict[str, tuple[Floats, Floats]]:
        """The same of every row, with the suite rates of `rows` [n] alone, as whoever saw no other has them: in each of
        many suites another of many candidates may have been lucky, and who chooses by all rows but one fold chooses the
        luckiest nearly as one does who chooses by all."""
        task = self.task
        rates = suite_rates(task.targets[rows], task.weights[rows], task.suite[rows], task.suites) + self.factor
        return self._by(rates[task.suite])

    def _by(self, rates: Floats) -> dict[str, tuple[Floats, Floats]]:
        by_suite = {RATES: to_units(self.task, rates)}
        if max(self.settings.blend) > 0 and self.task.texts.any():
            return {READS: to_units(self.task, _blend(rates, self.text, self.settings, self.task.half)), **by_suite}
        return by_suite


def crossfit(task: Task, folds: Ints, settings: Settings) -> Predicted:
    """Predictions of each fold from a fit on the others."""
    shape, factors = task.targets.shape, []
    rates, text = np.zeros(shape), np.zeros(shape)
    for fold in range(int(folds.max()) + 1):
        out = np.flatnonzero(folds == fold)
        model = fit_model(task, np.flatnonzero(folds != fold), settings)
        rates[out], text[out] = model.parts(task, out)
        factors.append(model.factor)
    return Predicted(task, settings, rates, text, np.mean(factors, axis=0))


def suite_table(task: Task, model: Model) -> tuple[Floats, Floats]:
    """Quality and cost_usd [suites + 1, c] of the rates alone, in the runtime's row order."""
    return to_units(task, model.rates + model.factor)


def compile_model(task: Task, model: Model, settings: Settings) -> Linear:
    """The runtime's form of a model: blend and smearing move into the biases, the ridge's weights become int8."""
    half = task.half
    share = settings.columns(settings.blend, half)
    weights, dense, vector = task.design.split(model.text.coefficients)
    bias = model.rates + share * (model.text.intercept - model.centre) + model.factor
    return Linear.quantised(
        seen=task.design.kept,
        weights=weights * share,
        bias=bias,
        dense=dense * share,
        cost_bounds=task.bounds,
        cost_link=LINK,
        standard=task.design.standard,
        vector=None if vector is None else vector * share,
    )
