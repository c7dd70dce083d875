"""Whether to go on after an answer: what an acceptance model expects of each later stage, and what
is done about it. Each rule once for one answer and once for many, equal to the last bit: single
IEEE operations in one order, no dot products.

`values` has by source (`chains.Term`) what is known of the answer. A signal or a text that is not
known is left out, or is not finite: then the next stage is asked, whatever is expected of it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime.chains import AGREES, ANSWER, SIGNAL, Judge, Term

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
KEEP = -1
"""In the batch form: nobody else is asked."""


def needed(judge: Judge) -> tuple[str, ...]:
    """The sources that must be known of an answer for the model to be followed."""
    told = (term.source for term in judge.terms if term.source.startswith((ANSWER, AGREES)))
    return tuple(dict.fromkeys([*(SIGNAL + name for name in judge.signals), *told]))


def gains_of(judge: Judge, row: int, values: Mapping[str, float]) -> list[float]:
    """[later] what each later stage is expected to add to the quality of this answer, for a prompt
    of the suite in `row` of the tables. KeyError for a source of a term that `values` has not."""
    row = row if judge.rows is None else judge.rows.item(row)
    gains: list[float] = judge.bias[row].tolist()
    for term in judge.terms:
        value = values[term.source]
        for stage in range(len(gains)):
            gains[stage] += _height(term, row, stage, value)
    return gains


def gains_many(judge: Judge, rows: Ints, values: Mapping[str, Floats]) -> Floats:
    """`gains_of` for n answers, [n, later]; `rows` [n], each of `values` [n]. Where a source is not
    finite, the number means nothing."""
    rows = rows if judge.rows is None else judge.rows[rows]
    gains = judge.bias[rows]
    for term in judge.terms:
        gains += _heights(term, rows, values[term.source])
    return gains


def _height(term: Term, row: int, stage: int, value: float) -> float:
    knots, heights = term.knots, term.heights
    if not value > knots[0]:
        return heights.item(row, stage, 0)
    if value >= knots[-1]:
        return heights.item(row, stage, len(knots) - 1)
    at = bisect_right(knots, value) - 1
    low, high = heights.item(row, stage, at), heights.item(row, stage, at + 1)
    return low + (high - low) * ((value - knots[at]) / (knots[at + 1] - knots[at]))


def _heights(term: Term, rows: Ints, value: Floats) -> Floats:
    """[n, later]"""
    knots, heights = np.array(term.knots), term.heights
    above, within = value > knots[0], value < knots[-1]
    inside = np.where(above & within, value, knots[0])
    at = np.searchsorted(knots, inside, side="right") - 1
    share = (inside - knots[at]) / (knots[at + 1] - knots[at])
    low, high = heights[rows, :, at], heights[rows, :, at + 1]
    between = low + (high - low) * share[:, None]
    ends = np.where(above[:, None], heights[rows, :, -1], heights[rows, :, 0])
    return np.where((above & within)[:, None], between, ends)


def goes_on(
    gains: Sequence[float], costs: Sequence[float], tradeoff: float, free: Sequence[bool]
) -> int | None:
    """Which of the later stages is asked by what is expected: the first of the greatest utility,
    `gain - tradeoff * cost`, if that is above 0; None = the answer is kept. `costs`: predicted
    dollars; `free`: whether a stage may be asked; all [later]."""
    utilities = [
        gain - tradeoff * cost if may else -math.inf
        for gain, cost, may in zip(gains, costs, free, strict=True)
    ]
    greatest = max(utilities, default=-math.inf)
    return utilities.index(greatest) if greatest > 0 else None


def goes_on_many(gains: Floats, costs: Floats, tradeoff: float, free: Mask | None = None) -> Ints:
    """`goes_on` for n answers: [n], KEEP where the answer is kept; arguments [n, later]."""
    utilities = gains - tradeoff * costs
    if free is not None:
        utilities = np.where(free, utilities, -math.inf)
    best = utilities.argmax(axis=1)
    return np.where(utilities[np.arange(len(best)), best] > 0, best, KEEP)


def onward(
    judge: Judge | None,
    row: int,
    values: Mapping[str, float],
    costs: Sequence[float],
    tradeoff: float,
    free: Sequence[bool],
    forced: bool = False,
) -> int | None:
    """Which of the later stages is asked after an answer; None = it is kept, or nobody is left.

    The next that may be, if the answer is `forced` on (it failed its check, or its run was
    stopped) or something that the judge needs is not known; by what is expected otherwise; and
    none without a judge.
    """
    if forced or (judge is not None and not known(judge, values)):
        return next((stage for stage, may in enumerate(free) if may), None)
    return None if judge is None else goes_on(gains_of(judge, row, values), costs, tradeoff, free)


def onward_many(
    judge: Judge | None,
    rows: Ints,
    values: Mapping[str, Floats],
    costs: Floats,
    tradeoff: float,
    forced: Mask,
    free: Mask | None = None,
) -> Ints:
    """`onward` for n answers: [n], KEEP = kept or nobody left; `costs`, `free` [n, later], None =
    all may be asked."""
    if judge is None:
        return told_many(None, costs, tradeoff, forced, free)
    held = {term.source: values.get(term.source, np.full(len(rows), np.nan)) for term in judge.terms}
    told = gains_many(judge, rows, held), known_many(judge, values, len(rows))
    return told_many(told, costs, tradeoff, forced, free)


def told_many(
    told: tuple[Floats, Mask] | None, costs: Floats, tradeoff: float, forced: Mask, free: Mask | None = None
) -> Ints:
    """`onward_many`, of what a judge says: gains [n, later], and of which answers all is known [n];
    None for a stage without a judge."""
    if not costs.shape[1]:
        return np.full(len(forced), KEEP)
    may = np.ones(costs.shape, np.bool_) if free is None else free
    following = np.where(may.any(axis=1), may.argmax(axis=1), KEEP)
    if told is None:
        return np.where(forced, following, KEEP)
    gains, all_known = told
    return np.where(forced | ~all_known, following, goes_on_many(gains, costs, tradeoff, may))


def known(judge: Judge, values: Mapping[str, float]) -> bool:
    """Whether all that the model needs is known of an answer."""
    return all(math.isfinite(values.get(source, math.nan)) for source in needed(judge))


def known_many(judge: Judge, values: Mapping[str, Floats], count: int) -> Mask:
    """[n] the same of n answers."""
    found = np.ones(count, np.bool_)
    for source in needed(judge):
        found &= np.isfinite(values[source]) if source in values else False
    return found
