"""Chains: up to three candidates that are asked one after the other, and the acceptance models that
judge after each answer whether to go on. The data alone: `judging` evaluates it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_STAGES = 3
MOST_CHAINS = 4096
MOST_TERMS = 128
MOST_KNOTS = 32
MOST_SIGNALS = 32
MOST_TURNS = 1_000_000

SIGNAL, ANSWER, AGREES, QUALITY = "signal:", "answer:", "agrees", "quality:"


class Term(NamedTuple):
    """One piecewise linear term of an acceptance model, of what `source` tells of the answer:
    `signal:NAME`, `answer:FEATURE` (of `answers.FEATURES`), `agrees`, or `quality:COLUMN`, the
    quality that is predicted of that column for the prompt.

    `knots`: at least 2 values of the source, strictly ascending. `heights` [r, later, knots],
    read-only: what the term adds at each, in units of quality; constant beyond both ends.
    """

    source: str
    knots: tuple[float, ...]
    heights: NDArray[np.float64]


class Judge(NamedTuple):
    """An acceptance model: how much quality each later stage is expected to add over keeping this
    answer, the sum of `bias` and of the terms in their order.

    `later`: columns of the stages after this one, in the chain's order. `signals`: names, without
    the prefix, of what must be known, sorted; a missing one goes on. `bias` [r, later], read-only.
    `rows` [suites + 1], read-only: which of the r rows a suite has, for suites may share one; None
    = each its own, and r is suites + 1.
    """

    later: tuple[int, ...]
    signals: tuple[str, ...]
    bias: NDArray[np.float64]
    terms: tuple[Term, ...]
    rows: NDArray[np.int64] | None = None


class UnderCap(NamedTuple):
    """What a cap leaves of a stage's runs: in each of `rows` (of suites, ascending) the part of its
    dollars, and of its quality, in [0, 1], that recorded runs have where they are stopped there."""

    rows: tuple[int, ...]
    cost_usd: tuple[float, ...]
    quality: tuple[float, ...]


class Stage(NamedTuple):
    """A candidate in a chain, by its column. Without a judge nothing is judged: only a failed check
    goes on, or a run that was stopped. `cap_usd`: dollars after which a run of it is stopped;
    `cap_turns`: model calls; `under_cap`: what that leaves, None = not known."""

    column: int
    judge: Judge | None = None
    cap_usd: float | None = None
    cap_turns: int | None = None
    under_cap: UnderCap | None = None

    @property
    def capped(self) -> bool:
        """Whether a run of it may be stopped."""
        return self.cap_usd is not None or self.cap_turns is not None

    def predicted(self, row: int, quality: float, cost_usd: float) -> tuple[float, float] | None:
        """What a run of it is predicted to have for a prompt of the suite in `row`, of the
        predictions for a run that nothing stops; None where the cap's part is not known."""
        left = self.under_cap
        if left is None or row not in left.rows:
            return None
        at = left.rows.index(row)
        return quality * left.quality[at], cost_usd * left.cost_usd[at]


Chain = tuple[Stage, ...]
"""1 to MOST_STAGES stages of distinct columns. The last has no judge; the `later` of every other
judge are the columns of the stages after it."""
