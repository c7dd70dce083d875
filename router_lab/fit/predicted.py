"""Predictions out of fold: what may steer a policy, of rows that the fit has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from router_lab.fit.model import RATES, READS, Fitter, Pair
from router_lab.fit.task import Task, suite_rates, to_units
from router_lab.metrics.paired import Floats, Ints, Mask


@dataclass(frozen=True)
class Predicted:
    """What may steer a policy, each row predicted from a fit without its fold: `rates` and `text`
    [n, 2c], the ridge's departures from its suite's mean, on the fitted scales; `factor` [2c]
    their mean smearing, `blend` [2c] as in `Model`."""

    task: Task
    rates: Floats
    text: Floats
    factor: Floats
    blend: Floats

    @property
    def found(self) -> dict[str, Pair]:
        """Best guess first: quality and cost_usd [n, c] by prompt and suite (READS), where a
        prompt tells anything, and by suite alone."""
        return self._by(self.rates)

    def knowing(self, rows: Mask) -> dict[str, Pair]:
        """The same of every row, with the suite rates of `rows` [n] alone, as whoever saw no other
        has them: in each of many suites another of many candidates may have been lucky, and who
        chooses by all rows but one fold chooses the luckiest nearly as one does who chooses by
        all."""
        task = self.task
        rates = (
            suite_rates(task.targets[rows], task.weights[rows], task.suite[rows], task.suites) + self.factor
        )
        return self._by(rates[task.suite])

    def _by(self, rates: Floats) -> dict[str, Pair]:
        by_suite = {RATES: to_units(self.task, rates)}
        if self.blend.max() > 0 and self.task.texts.any():
            return {READS: to_units(self.task, rates + self.blend * self.text), **by_suite}
        return by_suite


def crossfit(task: Task, folds: Ints, fitter: Fitter) -> Predicted:
    """Predictions of each fold from a fit on the others."""
    shape, factors = task.targets.shape, []
    rates, text = np.zeros(shape), np.zeros(shape)
    for fold in range(int(folds.max()) + 1):
        out = np.flatnonzero(folds == fold)
        model = fitter.fit(task, np.flatnonzero(folds != fold))
        rates[out], text[out] = model.parts(task, out)
        factors.append(model.factor)
    return Predicted(task, rates, text, np.mean(factors, axis=0), model.blend)
