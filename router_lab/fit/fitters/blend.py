"""Suite rates, and by how much a hashed ridge on the prompt departs from them; penalty and blend
are tuned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from router_lab.fit.design import Design
from router_lab.fit.fitters.tuning import tuned
from router_lab.fit.model import Model
from router_lab.fit.rows import Ridge, Rows, ridge
from router_lab.fit.task import Floats, Ints, Task, dollars, suite_rates
from router_lab.metrics.steady import log2


@dataclass(frozen=True)
class Blend:
    """Settings, each for the quality and for the cost columns. blend: the share of the ridge's
    departures from its suite's mean that is added to the rates, 0 = rates alone; `most` is the
    greatest that may be chosen. rare: whether rare words may weigh more (`Design.rarity`). vector:
    length of the users' vectors beside the text's words; 0 leaves them out."""

    penalty: tuple[float, float] = (6.0, 6.0)
    blend: tuple[float, float] = (0.5, 0.5)
    rare: tuple[bool, bool] = (False, False)
    vector: tuple[float, float] = (1.0, 1.0)

    most: ClassVar[float] = 1.0

    @classmethod
    def tuned(cls, task: Task, folds: Ints, seed: int) -> Self:
        """Settings chosen by leaving out each of `folds` [n]; `seed` draws the rows that are
        looked at, of many."""
        return tuned(cls(), task, folds, seed)

    def fit(self, task: Task, rows: Ints) -> Model:
        """Fit rates and ridge on `rows` of the task."""
        targets, weights, suite = task.targets[rows], task.weights[rows], task.suite[rows]
        half = task.half
        rates = suite_rates(targets, weights, suite, task.suites)
        blend = by_column(self.blend, half)
        # What is not followed is not fitted: the costs of many prompts that tell nothing of cost
        # took most of the steps of ten million outcomes.
        told = weights * (task.texts[rows][:, None] & (blend > 0))
        matrix = task.design.matrix[rows]
        text = self._text(matrix, self.aims(task, rows, rates), told, task.design)
        factor = np.zeros(2 * half)
        read = text.predict(matrix)
        centre, heads = suite_rates(read, told, suite, task.suites), task.design.heads
        begun = None
        if heads is not None:
            begun = suite_rates(text.predict(heads.matrix[rows]), told, suite, task.suites)
        blended = rates[suite] + blend * (read - centre[suite])
        factor[half:] = _smear(blended[:, half:], task.cost_usd[rows], weights[:, half:])
        return Model(rates, text, centre, factor, blend, begun)

    def aims(self, task: Task, rows: Ints, rates: Floats) -> Floats:
        """[rows, 2c] what the ridge is fitted to: what each row got."""
        return task.targets[rows]

    def learn(self, matrix: Rows, targets: Floats, weights: Floats, penalty: Floats) -> Ridge:
        """The regression on the prompt: targets and weights [rows, 2c], penalty [2c]."""
        return ridge(matrix, targets, weights, penalty)

    def notes(self) -> dict[str, Any]:
        """What of the settings a policy's provenance names; of some only where they are not the
        default's."""
        found: dict[str, Any] = {"penalty": list(self.penalty), "blend": list(self.blend)}
        return found if self.vector == (1.0, 1.0) else {**found, "vector": list(self.vector)}

    def _text(self, matrix: Rows, targets: Floats, told: Floats, design: Design) -> Ridge:
        """The ridge on plain or rescaled columns, its coefficients in units of the plain ones."""
        half = targets.shape[1] // 2
        found = {}
        ways = tuple(zip(self.rare, self.vector, strict=True))
        for rare, length in sorted(set(ways)):
            scale = design.scale(rare=rare, vector=length)
            raw = self.learn(matrix.scaled(scale), targets, told, by_column(self.penalty, half))
            found[rare, length] = Ridge(raw.coefficients * scale[:, None], raw.intercept)
        quality, cost = (found[way] for way in ways)
        if quality is cost:
            return quality
        return Ridge(
            np.hstack([quality.coefficients[:, :half], cost.coefficients[:, half:]]),
            np.concatenate([quality.intercept[:half], cost.intercept[half:]]),
        )


@dataclass(frozen=True)
class SuiteRates(Blend):
    """Shrunken suite rates alone: the prompt is not looked at."""

    blend: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def tuned(cls, task: Task, folds: Ints, seed: int) -> Self:
        return cls()


def by_column(pair: tuple[float, float], half: int) -> Floats:
    """[2c] of a setting for quality and for cost."""
    return np.repeat(np.array(pair, np.float64), half)


def _smear(predicted: Floats, cost: Floats, weights: Floats) -> Floats:
    """[c] shift on the log2-like scale that makes the mean prediction equal to the mean cost."""
    expected = (weights * dollars(predicted)).sum(axis=0)
    actual = np.nansum(weights * cost, axis=0)
    known = (expected > 0) & (actual > 0)
    return np.where(known, log2(np.where(known, actual, 1.0) / np.where(known, expected, 1.0)), 0.0)
