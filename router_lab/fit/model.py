"""What was learned: quality and cost of every candidate by suite, and by how much a prompt's words
depart from that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np

from router_lab.fit.rows import Ridge, Rows
from router_lab.fit.task import LINK, Floats, Ints, Mask, Task, suite_rates, to_units
from router_lab.runtime.heads import guarded_many
from router_lab.runtime.linear import Linear

READS, RATES = "blend", "rates"
"""The predictions that read the prompt, and those by suite alone."""
SLACK, SLACK_DIGITS = 0.6, 4
"""What of the ordinary difference between prompts and heads is forgiven a head, in standard
deviations. Less costs saving, more lets endings move more; chosen with a look at GSM8K and MMLU
(docs/safety.md)."""
Pair = tuple[Floats, Floats]
"""Quality in [0, 1] and cost in dollars, each [n, c]."""


@dataclass(frozen=True)
class Model:
    """A fitted predictor, before it is compiled: `rates` [suites + 1, 2c] and the ridge on the
    prompt.

    centre [suites + 1, 2c]: shrunken means of the ridge by suite: the rates know a suite's level
    better than its words do (the first three folds of MMLU at penalty 2: APGR .702, and .697 for
    the mean of the rates and the whole ridge). factor [2c]: added to predictions: 0 for quality;
    makes mean costs right on the link's scale (Duan 1983, smearing). blend [2c]: share of the
    ridge's departures that is followed. begun_centre [suites + 1, 2c]: of prompts' heads, where
    the last words are guarded.
    """

    rates: Floats
    text: Ridge
    centre: Floats
    factor: Floats
    blend: Floats
    begun_centre: Floats | None = None

    def parts(self, task: Task, rows: Ints) -> tuple[Floats, Floats]:
        """Rates, and departures of the ridge from its suite's mean, [rows, 2c] apart, so that
        blends can be compared without refitting."""
        rates = self.rates[task.suite[rows]] + self.factor
        return rates, self._departed(task, rows, task.design.matrix, self.centre)

    def begun(self, task: Task, rows: Ints) -> Floats:
        """Departures, as in `parts`, of prompts without the words that a `suffix_guard` leaves
        out."""
        assert task.design.heads is not None and self.begun_centre is not None
        return self._departed(task, rows, task.design.heads.matrix, self.begun_centre)

    def _departed(self, task: Task, rows: Ints, matrix: Rows, centre: Floats) -> Floats:
        return np.asarray(self.text.predict(matrix[rows]) - centre[task.suite[rows]])

    def table(self, task: Task) -> Pair:
        """Quality and cost_usd [suites + 1, c] of the rates alone, in the runtime's row order."""
        return to_units(task, self.rates + self.factor)

    def compile(self, task: Task) -> Linear:
        """The runtime's form: blend and smearing move into the biases, the ridge's weights become
        int8."""
        weights, dense, vector = task.design.split(self.text.coefficients)
        return Linear.quantised(
            seen=task.design.kept,
            weights=weights * self.blend,
            bias=self._bias(self.centre),
            dense=dense * self.blend,
            cost_bounds=task.bounds,
            cost_link=LINK,
            standard=None if task.design.vectors is None else task.design.vectors.standard,
            vector=None if vector is None else vector * self.blend,
        )

    def begun_bias(self) -> Floats | None:
        """[suites + 1, 2c] the runtime's biases of heads; None where no last words are guarded."""
        return None if self.begun_centre is None else self._bias(self.begun_centre)

    def _bias(self, centre: Floats) -> Floats:
        return self.rates + self.blend * (self.text.intercept - centre) + self.factor


class Fitter(Protocol):
    """Settings that were chosen for a task, and how a model is fitted with them. No call may
    depend on the clock, on the processor or on the order of calls: the same rows give the same
    bytes."""

    @classmethod
    def tuned(cls, task: Task, folds: Ints, seed: int) -> Self:
        """Settings for `task` by cross-validation on its `folds` [n] (one fold: nothing can be
        left out). `seed` follows from the names of the groups, like the folds."""

    def fit(self, task: Task, rows: Ints) -> Model:
        """Learned from `rows` (indices) of the task and from nothing else of it."""

    def notes(self) -> dict[str, Any]:
        """The settings as a policy's provenance names them, as JSON."""


@dataclass(frozen=True)
class Predicted:
    """What may steer a policy, each row predicted from a fit without its fold: `rates` and `text`
    [n, 2c], the ridge's departures from its suite's mean, on the fitted scales; `factor` [2c]
    their mean smearing, `blend` [2c] as in `Model`. reference: the column that others are guarded
    beside; begun [n, 2c]: `text` of the prompts' heads, where the last words are guarded, and slack
    as in the runtime's `Begun`. place
    [suites + 1]: the column whose predictions count as those of `reference` in a suite; None = its
    own everywhere."""

    task: Task
    rates: Floats
    text: Floats
    factor: Floats
    blend: Floats
    reference: int
    begun: Floats | None = None
    slack: float = 0.0
    place: Ints | None = None

    @property
    def found(self) -> dict[str, Pair]:
        """Best guess first: quality and cost_usd [n, c] by prompt and suite (READS), where a
        prompt tells anything, and by suite alone."""
        return self._by(self.rates, to_units(self.task, self.rates))

    def knowing(self, rows: Mask) -> dict[str, Pair]:
        """The same of every row, with the suite rates of `rows` [n] alone, as whoever saw no other
        has them: in each of many suites another of many candidates may have been lucky, and who
        chooses by all rows but one fold chooses the luckiest nearly as one does who chooses by
        all."""
        task = self.task
        rates = (
            suite_rates(task.targets[rows], task.weights[rows], task.suite[rows], task.suites) + self.factor
        )
        quality, cost = to_units(task, rates)
        return self._by(rates[task.suite], (quality[task.suite], cost[task.suite]))

    def _by(self, rates: Floats, alone: Pair) -> dict[str, Pair]:
        """From rates [n, 2c], and what they come to by themselves."""
        found = {RATES: alone}
        if self.blend.max() > 0 and self.task.texts.any():
            found = {READS: self._read(rates), **found}
        if self.place is None:
            return found
        own = self.place[self.task.suite]
        return {name: in_places(pair, own, self.reference) for name, pair in found.items()}

    def _read(self, rates: Floats) -> Pair:
        whole, begun = self._apart(rates)
        return whole if begun is None else guarded_many(whole, begun, self.reference, self.slack)

    def _apart(self, rates: Floats) -> tuple[Pair, Pair | None]:
        """Of prompts, and of their heads."""
        whole = to_units(self.task, rates + self.blend * self.text)
        return whole, None if self.begun is None else to_units(self.task, rates + self.blend * self.begun)

    def slackened(self) -> Predicted:
        """With the slack of heads: SLACK standard deviations of how much more the prompts say for
        candidates beside the reference, in quality, than their heads do."""
        (quality, _), begun = self._apart(self.rates)
        if begun is None or not self.task.texts.any():
            return self
        more = np.delete(quality - begun[0], self.reference, axis=1)
        more -= (quality - begun[0])[:, [self.reference]]
        # Of so few digits that no processor's way of adding shows.
        slack = round(SLACK * float(more[self.task.texts].std()), SLACK_DIGITS) if more.size else 0.0
        return replace(self, slack=slack)


def in_places(pair: Pair, place: Ints, reference: int) -> Pair:
    """Quality and cost [n, c] where the reference's column has what is predicted of who stands in
    its place, [n] columns."""
    rows = np.arange(len(place))
    quality, cost = (part.copy() for part in pair)
    for part in (quality, cost):
        part[:, reference] = part[rows, place]
    return quality, cost


def crossfit(task: Task, folds: Ints, fitter: Fitter, reference: int) -> Predicted:
    """Predictions of each fold from a fit on the others."""
    shape, factors = task.targets.shape, []
    rates, text = np.zeros(shape), np.zeros(shape)
    begun = None if task.design.heads is None else np.zeros(shape)
    for fold in range(int(folds.max()) + 1):
        out = np.flatnonzero(folds == fold)
        model = fitter.fit(task, np.flatnonzero(folds != fold))
        rates[out], text[out] = model.parts(task, out)
        if begun is not None:
            begun[out] = model.begun(task, out)
        factors.append(model.factor)
    return Predicted(task, rates, text, np.mean(factors, axis=0), model.blend, reference, begun)
