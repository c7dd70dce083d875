"""Whether asking a cheap candidate first, and a dear one where that seems to pay, would save
anything: each pair apart, by each thing that is known of the cheap one's answers.

Nothing here is deployed (`fit.chains` looks at all chains together): it says what signals are
worth. A model of each source is learned without the fold that it speaks of, and how much is asked
on in a fold is chosen on the others (`fit.pairplay`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from router_lab.fit.folds import deal_of, group_folds
from router_lab.fit.pair import CHEAP, DEAR, RIGHT, Pair, Two
from router_lab.fit.pairplay import judgement, mixed, seconds, sources, told
from router_lab.fit.problem import column_of
from router_lab.metrics.chain import Bound, perfect
from router_lab.metrics.paired import Floats, Mask, column_means
from router_lab.metrics.reference import usual_reference
from router_lab.outcomes import OutcomeMatrix, validate_outcomes
from router_lab.outcomes.trials import Trials, trials_of
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate

ERROR = 0.05
"""Of a pair's verdict, shared by the sources that it is the best of."""


def pairs(outcomes: pd.DataFrame, margin: float, *, reference: Candidate | None = None) -> tuple[Pair, ...]:
    """Every candidate that is cheaper than `reference` (default: as in `plan`) beside it, the one
    of which a perfect signal would save most first.

    `outcomes` raw or validated. Raises InputError for a margin outside (0, 1), a reference that
    they do not hold or whom nobody undercuts, and rows that were left out at random.
    """
    if not 0 < margin < 1:
        raise InputError(f"chains: margin {margin} must lie in (0, 1): 0.02 is 2 points of quality")
    outcomes = validate_outcomes(outcomes, where="chains: outcomes")
    data = OutcomeMatrix.from_frame(outcomes)
    named = None if reference is None else column_of(reference, data.candidates, "chains: reference")
    if data.weighting is not None:
        raise InputError(
            "chains: some rows were left out at random (a race, or a reference on a drawn part), so no draw of a pair "
            "can be played; run the sweep of the two in whole"
        )
    dear = usual_reference(data) if named is None else named
    found = _ranked(outcomes, data, dear, margin)
    if not found:
        raise InputError(
            f"chains: nobody is cheaper than {data.candidates[dear]} on the same samples; name a dearer one "
            "with --reference"
        )
    return tuple(_pair(two, data.candidates[column], data.candidates[dear]) for column, two in found)


def best_pair(outcomes: pd.DataFrame, margin: float, reference: Candidate) -> Pair | None:
    """The first of `pairs`; None where no pair can be played."""
    outcomes = validate_outcomes(outcomes, where="chains: outcomes")
    data = OutcomeMatrix.from_frame(outcomes)
    if data.weighting is not None or reference not in data.candidates:
        return None
    found = _ranked(outcomes, data, data.candidates.index(reference), margin)
    return _pair(found[0][1], data.candidates[found[0][0]], reference) if found else None


def _ranked(outcomes: pd.DataFrame, data: OutcomeMatrix, dear: int, margin: float) -> list[tuple[int, Two]]:
    """The column and the draws of everybody who is cheaper, as `pairs` orders them."""
    trials, found = trials_of(outcomes, data), []
    for cheap in range(len(data.candidates)):
        two = _two(trials, data, cheap, dear, margin) if cheap != dear else None
        if two is None:
            continue
        usd = two.trials.cost_usd * two.weight[:, None]
        if usd[:, CHEAP].sum() < usd[:, DEAR].sum():
            found.append((-_perfect(two).usd, cheap, two))
    return [(cheap, two) for _, cheap, two in sorted(found, key=lambda one: one[:2])]


def _two(every: Trials, data: OutcomeMatrix, cheap: int, dear: int, margin: float) -> Two | None:
    """None where the two have no sample together."""
    trials = _columns(every, cheap, dear)
    parts = (trials.quality, trials.cost_usd)
    drawn = ~np.isnan(np.hstack([part[:, [CHEAP, DEAR]] for part in parts])).any(axis=1)
    known = np.bincount(trials.row[~drawn], minlength=len(data)) == 0
    if not known.any():
        return None
    data = data.take(known)
    trials = trials.take(known)
    fold = group_folds(data.suite, data.group, deal_of(data))
    return Two(trials, data.group, fold, data.suite, margin)


def _columns(trials: Trials, cheap: int, dear: int) -> Trials:
    """The draws of the two, and of one that is always right."""

    def part(values: Floats, sure: float = np.nan) -> Floats:
        return np.column_stack([values[:, [cheap, dear]], np.full(len(values), sure)])

    answers = None
    if trials.answers is not None and any(text is not None for text in trials.answers[:, cheap]):
        answers = np.full((len(trials), 3), None, object)
        answers[:, CHEAP] = trials.answers[:, cheap]
    signals = {name: part(one) for name, one in trials.signals.items() if np.isfinite(one[:, cheap]).any()}
    return replace(
        trials, quality=part(trials.quality, 1.0), cost_usd=part(trials.cost_usd), lost=part(trials.lost),
        signals_usd=part(trials.signals_usd), check=part(trials.check), signals=signals,
        figures={name: part(one) for name, one in trials.figures.items()}, answers=answers,
    )  # fmt: skip


def _perfect(two: Two) -> Bound:
    quality, cost = two.trials.quality, two.trials.cost_usd
    gain = quality[:, DEAR] - quality[:, CHEAP]
    return perfect(gain, cost[:, CHEAP], cost[:, DEAR], two.weight, two.margin)


def _pair(two: Two, cheap: Candidate, dear: Candidate) -> Pair:
    trials, weight = two.trials, two.weight
    usd = column_means(trials.cost_usd[:, [CHEAP, DEAR]], np.column_stack([weight, weight]))
    right = trials.quality[:, [CHEAP, DEAR]] >= RIGHT

    def often(rows: Mask) -> float:
        return float(weight[rows].sum() / weight.sum())

    named = list(sources(trials))
    confidence = 1 - ERROR / max(1, len(named))
    mix, bold = (mixed(two, confidence, sure=sure) for sure in (True, False))
    played = [told(two, source, part, (mix, bold), confidence) for source, part in named]
    bound = _perfect(two)
    word, reason = judgement(
        played, two.margin, confidence, clusters=len(np.unique(two.group)), alone=mix.alone,
        may=bound.saving > mix.saving,
    )  # fmt: skip
    return Pair(
        cheap=cheap, dear=dear, n=len(two.group), ratio=float(usd[CHEAP] / usd[DEAR]),
        right=often(right[:, CHEAP]), alone=often(right[:, CHEAP] & ~right[:, DEAR]), cheap_usd=float(usd[CHEAP]),
        dear_usd=float(usd[DEAR]), perfect=bound, mix=mix.saving, told=tuple(one.told for one in played),
        seconds=seconds(two, np.zeros(len(trials)), np.ones(len(trials))), word=word, reason=reason,
    )  # fmt: skip
