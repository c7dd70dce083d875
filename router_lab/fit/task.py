"""What is learned, on which scales: suites, targets and weights of all candidates, and their
shrunken suite rates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, cast

import numpy as np

from router_lab.fit.design import Design
from router_lab.metrics.steady import Floats as Floats
from router_lab.metrics.steady import Ints as Ints
from router_lab.metrics.steady import Mask as Mask
from router_lab.outcomes import OutcomeMatrix
from router_lab.runtime.linear import cost_from_link, cost_to_link
from router_lab.runtime.model import POOLED

Made = TypeVar("Made")

LINK = "log2ish"
SHARED, OWN = 5.0, 20.0
"""Prior strengths, in rows: of a suite's difficulty that all candidates share, and of a
candidate's own departure."""


@dataclass(frozen=True)
class Task:
    """What is learned: `targets` and `weights` [n, 2c] (quality, then cost on the link's scale;
    weight 0 = missing), `suite` [n] as rows of the runtime's tables (1 ... suites), `group` [n],
    `bounds` [2, c] least and greatest cost in dollars, `texts` [n] whether anything is known of
    the request: its prompt or its vector."""

    design: Design
    targets: Floats
    weights: Floats
    suite: Ints
    group: Ints
    suites: int
    bounds: Floats
    texts: Mask
    cost_usd: Floats
    _made: dict[str, object] = field(default_factory=dict, repr=False)

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
        given = False if design.vectors is None else design.vectors.present
        texts = np.array([p is not None for p in data.prompts], bool) | given
        weights = np.where(present, inclusion, 0.0)
        bounds = np.vstack([least, most])
        suite = data.suite + 1
        return cls(
            design=design, targets=np.nan_to_num(values), weights=weights, suite=suite, group=data.group,
            suites=len(data.suites), bounds=bounds, texts=texts, cost_usd=cost,
        )  # fmt: skip

    def once(self, name: str, make: Callable[[], Made]) -> Made:
        """What a fitter works out of this task for all of its settings, under a name of its
        own."""
        if name not in self._made:
            self._made[name] = make()
        return cast(Made, self._made[name])

    @property
    def half(self) -> int:
        return int(self.targets.shape[1]) // 2


def suite_rates(targets: Floats, weights: Floats, suite: Ints, suites: int) -> Floats:
    """[suites + 1, k] shrunken weighted means by suite, the pooled mean in row POOLED.

    Two steps of shrinkage: a suite's difficulty, common to all columns of a kind, towards the
    pooled mean by SHARED rows; then each column's own departure by OWN rows. Sparse suites thus
    move all candidates together, which changes no decision.
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


def dollars(values: Floats) -> Floats:
    return cost_from_link(np.clip(values, 0.0, 60.0), LINK)


def to_units(task: Task, values: Floats) -> tuple[Floats, Floats]:
    """Values [n, 2c] on the fitted scales -> quality in [0, 1] and cost in dollars within its
    bounds, each [n, c]."""
    half = task.half
    cost = np.clip(dollars(values[:, half:]), task.bounds[0], task.bounds[1])
    return np.clip(values[:, :half], 0.0, 1.0), cost
