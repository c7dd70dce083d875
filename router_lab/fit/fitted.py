"""What a fit has learned and chosen, before it becomes a policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from router_lab.certificate import UnknownSuites
from router_lab.fit.chains import Cascades
from router_lab.fit.choose import CHAINS, Choice
from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.model import Fitter, Predicted
from router_lab.fit.problem import Problem
from router_lab.fit.table import Cell
from router_lab.fit.task import Task
from router_lab.metrics.paired import Floats, Ints
from router_lab.runtime.heads import Begun
from router_lab.runtime.linear import Linear


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What each point deploys, and the random mix. closed: suites left to the reference, since the
    choice was shown to lose too much there. cascades: the chains that could be chosen; None
    without."""

    problem: Problem
    choices: Mapping[str, Choice]
    random_mix: Choice
    cells: list[Cell]
    closed: frozenset[int]
    cascades: Cascades | None = None


@dataclass(frozen=True, kw_only=True)
class Fitted(Chosen):
    """Everything that was learned and chosen, before it becomes a spec and a certificate.

    rates: quality and cost_usd [suites + 1, c] of the suites alone, fitted on all rows: what a
    table decides by. unknown_suites: what holding suites out showed; None where it could not be
    tried. predicted: out of fold. tables: what all rows give of the chains, by tradeoff; None
    without. heads: how prompts are predicted without their last words, where these are guarded.
    """

    task: Task
    fitter: Fitter
    goals: Mapping[str, Goal]
    linear: Linear
    rates: tuple[Floats, Floats]
    coverage: float
    unknown_suites: UnknownSuites | None
    predicted: Predicted
    tables: Mapping[float, Ints] | None = None
    heads: Begun | None = None

    @property
    def evidence(self) -> Evidence:
        """As the default point was judged by it."""
        return self.choices["default"].evidence

    @property
    def chained(self) -> bool:
        """Whether a chain is deployed at the default point."""
        choice = self.choices["default"]
        return choice.acts and any(option.predictor == CHAINS for option in choice.options)
