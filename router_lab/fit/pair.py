"""A cheap candidate that is asked first, and a dear one that is asked where that seems to pay: the
draws of the two, and what is told of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from router_lab.certificate import Figure
from router_lab.fit.accept import draw_weights
from router_lab.metrics import Estimate, clustered_mean
from router_lab.metrics.chain import Bound
from router_lab.metrics.paired import Floats, Ints, Mask
from router_lab.outcomes.trials import Trials
from router_lab.runtime.model import Candidate

RIGHT = 0.5
"""The least quality of an answer that counts as right."""
TEXT, CHECK, TOGETHER = "text", "check", "together"
CHEAP, DEAR, SURE = 0, 1, 2
"""Columns of a pair's draws; the third is right wherever it is asked, so that what it adds to the
cheap one is how wrong that is."""

Word = Literal["pays", "does not pay", "not shown"]


class Seconds(NamedTuple):
    """Of a request."""

    p50: float
    p95: float


@dataclass(frozen=True)
class Told:
    """A chain that goes by one `source`: `signal:NAME`, `text`, `check`, or all of them `together`.

    auc: how well it tells right from wrong answers of the cheap one, within a suite; None where it
    is no number (`check`). needed, needed_over_mix: the AUC below which nothing is saved, and no
    more than by the random mix of the two; None where even 1 is not enough. share: of requests
    that ask on. saving, quality: beside the dear one alone; over_mix: saved more than by the mix;
    all at 95 %, two-sided. ratio: of dollars, with those of signals; break_even: that from which
    this saves nothing. signals_usd: a request. seconds: None where nobody knows.
    """

    source: str
    auc: Figure | None
    needed: float | None
    needed_over_mix: float | None
    share: float
    saving: Figure
    quality: Figure
    over_mix: Figure
    break_even: float
    ratio: float
    signals_usd: float
    seconds: Seconds | None


@dataclass(frozen=True)
class Pair:
    """`cheap` asked first, then `dear` or nobody; of n samples where both are known.

    ratio: of their mean dollars. right: how often the cheap one is, alone: how often where the dear
    one is not; both of all requests. perfect: what no signal could beat. mix: what the random mix
    of the two saves by which no more than the margin is lost. cheap_usd, dear_usd: mean dollars of
    an answer.
    """

    cheap: Candidate
    dear: Candidate
    n: int
    ratio: float
    right: float
    alone: float
    cheap_usd: float
    dear_usd: float
    perfect: Bound
    mix: float
    told: tuple[Told, ...]
    seconds: Seconds | None
    word: Word
    reason: str

    @property
    def best(self) -> Told | None:
        """The source that saves most."""
        return max(self.told, key=lambda one: one.saving.value or 0.0, default=None)


@dataclass(frozen=True)
class Two:
    """Draws of a pair. group, fold, suite [n] by sample."""

    trials: Trials
    group: Ints
    fold: Ints
    suite: Ints
    margin: float

    @cached_property
    def weight(self) -> Floats:
        """[m] `draw_weights`."""
        return draw_weights(self.trials)

    def by_sample(self, values: Floats) -> Floats:
        return self.trials.mean(values, len(self.group))

    def bound(self, asked: Floats, rows: Mask, confidence: float, *, sure: bool) -> float:
        """The lower bound (`sure`), or the upper one, of the difference to the dear one, on some
        samples [n], where a share [m] of each draw asks on."""
        found = self.difference(asked, rows)
        if found.clusters < 2:
            return -np.inf if sure else np.inf
        return found.low(confidence) if sure else found.high(confidence)

    def difference(self, asked: Floats, rows: Mask) -> Estimate:
        more = self.trials.quality[:, CHEAP] - self.trials.quality[:, DEAR]
        span = float((1 - asked[rows[self.trials.row]]).max(initial=0.0))
        return clustered_mean(self.by_sample((1 - asked) * more)[rows], self.group[rows], span=span)
