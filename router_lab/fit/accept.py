"""Acceptance models: what a later stage would add to an answer, learned from draws where both are
known.

A generalised additive model (Hastie & Tibshirani 1986): the sum of one piecewise linear function of
each thing that is known of the answer. Its slopes are ridge regressions of the difference in
quality, first on all suites, then on what is left in each: signals of one name hardly mean the same
in two suites.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from router_lab.fit.rows import BITS, Rows, product, ridge
from router_lab.metrics.paired import Floats, Ints
from router_lab.outcomes.trials import Trials
from router_lab.played import Asked, told
from router_lab.runtime.answers import FEATURES
from router_lab.runtime.chains import AGREES, ANSWER, QUALITY, SIGNAL, Judge, Term

PENALTY, OWN = 10.0, 100.0
"""Of slopes on all draws, and of a suite's own: between 3 and 100 the saving hardly changes."""
LEAST_ROWS = 50
"""Draws that a suite needs for slopes of its own."""
QUANTILES = np.linspace(0.02, 0.98, 8)
UNIT = 512
"""Parts of a ramp: whole numbers, so that sums are exact (`fit.rows`)."""
SIGNALS, ANSWERS, PROMPTS = "signals", "answers", "prompts"
READING = ((SIGNALS,), (SIGNALS, ANSWERS), (SIGNALS, ANSWERS, PROMPTS))
"""What a model may look at, the simplest first."""


def draw_weights(trials: Trials) -> Floats:
    """[m] one over the draws of a sample, so that each counts once."""
    return np.asarray(1 / np.bincount(trials.row)[trials.row], np.float64)


def sources(
    trials: Trials, column: int, previous: int | None, later: Sequence[int], reading: Sequence[str]
) -> tuple[str, ...]:
    """What is known of the answers of `column`, as `reading` allows; signals that it has none of
    are none of its own."""
    found = [
        f"{SIGNAL}{name}" for name, part in trials.signals.items() if not np.isnan(part[:, column]).all()
    ]
    if ANSWERS in reading and trials.answers is not None:
        found += [f"{ANSWER}{feature}" for feature in FEATURES] + ([AGREES] if previous is not None else [])
    if PROMPTS in reading:
        found += [f"{QUALITY}{j}" for j in (column, *later)]
    return tuple(found)


def learn_judge(
    trials: Trials,
    asked: Asked,
    suites: int,
    column: int,
    previous: int | None,
    later: tuple[int, ...],
    reading: Sequence[str],
) -> Judge | None:
    """The acceptance model of `column`, asked after `previous`, with `later` stages left; None
    where nothing is known of its answers. suites: how many there are, of draws or not."""
    named = sources(trials, column, previous, later, reading)
    values = {source: told(source, trials, asked, column, previous) for source in named}
    scored = ~np.isnan(trials.quality[:, column])
    knots = {source: _knots(part[scored & np.isfinite(part)]) for source, part in values.items()}
    knots = {source: at for source, at in knots.items() if len(at) >= 2}
    usable = scored.copy()
    for source in knots:
        usable &= np.isfinite(values[source])
    if not any(source != AGREES for source in knots):
        return None
    gain = trials.quality[:, list(later)] - trials.quality[:, [column]]
    rows = np.flatnonzero(usable)
    ramps = np.hstack([_ramps(values[source][rows], at) for source, at in knots.items()])
    bias, slopes, of = _mixed(ramps, gain[rows], draw_weights(trials)[rows], asked.row[rows], suites)
    terms, start = [], 0
    for source, at in knots.items():
        own = slopes[:, start : start + len(at) - 1]
        start += len(at) - 1
        heights = np.concatenate([np.zeros((len(own), 1, len(later))), np.cumsum(own, axis=1)], axis=1)
        terms.append(Term(source, tuple(at.tolist()), frozen(np.moveaxis(heights, 2, 1))))
    signals = tuple(sorted(source.removeprefix(SIGNAL) for source in knots if source.startswith(SIGNAL)))
    return Judge(later, signals, frozen(bias), tuple(terms), of)


def _knots(values: Floats) -> Floats:
    return np.unique(np.quantile(values, QUANTILES, method="lower")) if len(values) else np.zeros(0)


def _ramps(values: Floats, knots: Floats) -> Floats:
    """[m, knots - 1] how far each value is through each stretch between knots, in whole parts."""
    through = (values[:, None] - knots[:-1]) / np.diff(knots)
    return np.rint(np.clip(through, 0.0, 1.0) * UNIT)


def _mixed(
    ramps: Floats, gain: Floats, weight: Floats, suite: Ints, suites: int
) -> tuple[Floats, Floats, Ints | None]:
    """bias [r, later] and slopes [r, ramps, later]: those of all draws, then of each suite that has
    LEAST_ROWS with what its own add to them; and which of them each suite has [suites + 1], None =
    each its own."""
    bias, slopes = _ridge(ramps, gain, weight, PENALTY)
    biases, every, of = [bias], [slopes], np.zeros(suites + 1, np.int64)
    left = gain - (product(ramps, BITS, slopes) / UNIT + bias) if suites > 1 else gain
    for code in np.unique(suite) if suites > 1 else ():
        here = suite == code
        if here.sum() >= LEAST_ROWS:
            more_bias, more = _ridge(ramps[here], left[here], weight[here], OWN)
            of[code] = len(biases)
            biases.append(bias + more_bias)
            every.append(slopes + more)
    of.flags.writeable = False
    return np.stack(biases), np.stack(every), None if len(biases) == len(of) else of


def _ridge(ramps: Floats, gain: Floats, weight: Floats, penalty: float) -> tuple[Floats, Floats]:
    words: Any = sp.csr_array((len(ramps), 0), dtype=np.float32)
    units = np.full(ramps.shape[1], 1 / UNIT, np.float32)
    matrix = Rows(words, np.ones(len(ramps), np.float32), ramps, units)
    heavy = np.where(np.isnan(gain), 0.0, weight[:, None])
    found = ridge(matrix, np.nan_to_num(gain), heavy, np.full(gain.shape[1], penalty))
    return found.intercept.astype(np.float64), found.coefficients.astype(np.float64)


def frozen(values: Floats) -> Floats:
    """Contiguous, and from now on read-only."""
    kept = np.ascontiguousarray(values, np.float64)
    kept.flags.writeable = False
    return kept
