"""A pair played on left-out rows, by one source after the other: who asks on, what that saves and
loses, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from router_lab.certificate import Figure
from router_lab.fit.accept import ANSWERS, SIGNALS, Scope, learn_judge
from router_lab.fit.pair import CHEAP, CHECK, DEAR, RIGHT, SURE, TEXT, TOGETHER, Seconds, Told, Two, Word
from router_lab.metrics import Estimate, paired_saving, weighted_quantile
from router_lab.metrics.chain import auc, needed_auc
from router_lab.metrics.paired import Floats, Mask
from router_lab.outcomes.trials import Trials
from router_lab.played import Asked, judged
from router_lab.runtime.chains import SIGNAL

STEPS = 64
"""Shares of the requests among which a threshold is chosen."""


class Mix(NamedTuple):
    """The random mix of the two: its dollars a draw [m], the share of the dear one's that it
    saves, and whether it is the cheap one alone."""

    usd: Floats
    saving: float
    alone: bool


class Score(NamedTuple):
    """Of each draw's cheap answer, by models that were learned without its fold: what the dear one
    is expected to add, how wrong it is expected to be, and whether all that is needed is known."""

    gain: Floats
    wrong: Floats
    known: Mask


class Shown(NamedTuple):
    """What a source is told to give, with the estimates that its verdict rests on."""

    told: Told
    saving: Estimate
    quality: Estimate
    over_mix: Estimate


def sources(trials: Trials) -> Iterator[tuple[str, Trials]]:
    """Each source by its name, with draws of which nothing else is known."""
    for name, values in trials.signals.items():
        yield SIGNAL + name, replace(trials, signals={name: values}, answers=None)
    free = np.zeros_like(trials.signals_usd)
    if trials.answers is not None:
        trials = trials.read()
        yield TEXT, replace(trials, signals={}, signals_usd=free).read()
    if len(trials.signals) + (trials.answers is not None) > 1:
        yield TOGETHER, trials
    if (trials.check[:, CHEAP] == 0).any():
        yield CHECK, replace(trials, signals={}, answers=None, signals_usd=free)


def mixed(two: Two, confidence: float) -> Mix:
    """The most requests of a fold to the cheap one, whatever they ask, by which the others are
    shown to lose no more than the margin."""
    cost, nobody = two.trials.cost_usd, np.zeros(len(two.trials))
    kept = np.zeros(len(two.trials))
    for fold in np.unique(two.fold):
        others = two.fold != fold
        low = two.low(nobody, others, confidence)  # of a part of the requests it is that part of it
        kept[~others[two.trials.row]] = 1.0 if low >= -two.margin else -two.margin / low
    usd = kept * cost[:, CHEAP] + (1 - kept) * cost[:, DEAR]
    dear = float((two.weight * cost[:, DEAR]).sum())
    return Mix(usd, 1 - float((two.weight * usd).sum()) / dear, bool((kept == 1).all()))


def told(two: Two, source: str, trials: Trials, mix: Mix, confidence: float) -> Shown:
    """A source's chain on left-out rows; trials: the pair's draws, of which only it is known."""
    score = _scores(two, trials)
    asked = _asked_on(two, trials, score, confidence)
    dear = trials.cost_usd[:, DEAR]
    signals = np.nan_to_num(trials.signals_usd[:, CHEAP])
    spent, base = (
        two.by_sample(values) for values in (trials.cost_usd[:, CHEAP] + signals + asked * dear, dear)
    )
    saving = paired_saving(spent, base, two.group)
    quality = two.difference(asked, np.ones(len(two.group), bool))
    over = paired_saving(spent, two.by_sample(mix.usd), two.group, reference=base)
    told_apart = None if source.startswith(CHECK) else _auc(two, trials, score)

    def total(values: Floats) -> float:
        return float((two.weight * values).sum())

    ratio = total(trials.cost_usd[:, CHEAP] + signals) / total(dear)
    return Shown(
        Told(
            source=source, auc=None if told_apart is None else Figure.of(told_apart),
            needed=_needed(two, ratio, 0.0), needed_over_mix=_needed(two, ratio, mix.saving),
            share=total(asked) / float(two.weight.sum()), saving=Figure.of(saving), quality=Figure.of(quality),
            over_mix=Figure.of(over), break_even=1 - total(asked * dear) / total(dear), ratio=ratio,
            signals_usd=total(signals) / float(two.weight.sum()), seconds=seconds(two, np.ones(len(asked)), asked),
        ),
        saving, quality, over,
    )  # fmt: skip


def judgement(
    played: Sequence[Shown], margin: float, confidence: float, alone: bool, may: bool
) -> tuple[Word, str]:
    """The verdict on a pair, and why. alone: whether the cheap one alone is shown to lose no more
    than the margin; may: whether a perfect signal would save more than the random mix."""
    if alone:
        return "does not pay", "the cheap one alone is shown to lose no more than the margin"
    if not may:
        return "does not pay", "even a perfect signal saves no more than the random mix"
    if not played:
        return "not shown", "the outcomes hold neither answers nor signals of the cheap one"
    best = max(played, key=lambda one: one.saving.value)
    if all(one.saving.high(confidence) < 0 for one in played):
        return "does not pay", "the cheap answers cost more than keeping some of them saves"
    if all(one.over_mix.high(confidence) < 0 for one in played):
        return "does not pay", "the random mix saves more"
    if best.quality.low(confidence) < -margin:
        return "not shown", "on left-out rows more than the margin may be lost"
    if min(best.saving.low(confidence), best.over_mix.low(confidence)) > 0:
        return "pays", f"{best.told.source} saves more than the random mix"
    return "not shown", "what it saves more than the random mix may be nothing"


def seconds(two: Two, first: Floats, then: Floats) -> Seconds | None:
    """Of a request that asks the cheap one for a share `first` [m] of its draws, the dear one for
    `then`."""
    known = two.trials.figures.get("latency_s")
    if known is None:
        return None
    taken = first * known[:, CHEAP] + then * known[:, DEAR]
    taken = np.where(then > 0, taken, first * known[:, CHEAP])
    if np.isnan(taken).all():
        return None
    return Seconds(*(weighted_quantile(taken, two.weight, part) for part in (0.5, 0.95)))


def _scores(two: Two, trials: Trials) -> Score:
    suites, m = int(two.suite.max()) + 1, len(trials)
    found = Score(np.zeros(m), np.zeros(m), np.ones(m, bool))

    def part(samples: Mask) -> tuple[Trials, Asked]:
        of = trials.take(samples)
        nobody = np.zeros((len(of), 3))
        return of, Asked(two.suite[samples][of.row] + 1, nobody, nobody)

    for fold in np.unique(two.fold):
        out = two.fold == fold
        rows = out[trials.row]
        learn, tell = part(~out), part(out)
        scope = Scope(np.ones(int((~rows).sum()), bool), two.weight[~rows], suites)
        judge = learn_judge(*learn, scope, CHEAP, None, (DEAR, SURE), (SIGNALS, ANSWERS))
        if judge is not None:
            gains, known = judged(judge, *tell, CHEAP, None)
            found.gain[rows], found.wrong[rows], found.known[rows] = gains[:, 0], gains[:, 1], known
    return found


def _asked_on(two: Two, trials: Trials, score: Score, confidence: float) -> Floats:
    """[m] 1 where the dear one is asked: what failed its check, what is not known, and of each fold
    what is expected to gain more than a threshold that the others chose."""
    forced = (trials.check[:, CHEAP] == 0) | ~score.known
    asked = np.ones(len(trials))
    for fold in np.unique(two.fold):
        others = two.fold != fold
        rows = ~others[trials.row]
        asked[rows] = (forced | (score.gain > _threshold(two, score.gain, forced, others, confidence)))[rows]
    return asked


def _threshold(two: Two, gain: Floats, forced: Mask, samples: Mask, confidence: float) -> float:
    """The highest by which some samples are shown to lose no more than the margin; below all of
    them, where everything is asked on and nothing is lost, if there is none."""
    free = gain[samples[two.trials.row] & ~forced]
    steps = [-np.inf, *np.unique(np.quantile(free, np.linspace(0, 1, STEPS), method="lower")).tolist()] \
        if len(free) else [-np.inf]  # fmt: skip
    low, high = 0, len(steps)
    while high - low > 1:
        middle = (low + high) // 2
        asked = np.asarray(forced | (gain > steps[middle]), np.float64)
        holds = two.low(asked, samples, confidence) >= -two.margin
        low, high = (middle, high) if holds else (low, middle)
    return float(steps[low])


def _auc(two: Two, trials: Trials, score: Score) -> Estimate | None:
    """Within a suite and a fold: answers of two folds were scored by two models."""
    rows = trials.row[score.known]
    stratum = two.suite[rows] * (int(two.fold.max()) + 1) + two.fold[rows]
    right = trials.quality[score.known, CHEAP] >= RIGHT
    return auc(-score.wrong[score.known], right, stratum, two.group[rows])


def _needed(two: Two, ratio: float, saved: float) -> float | None:
    quality, weight = two.trials.quality, two.weight
    right = quality[:, CHEAP] >= RIGHT
    gain = quality[:, DEAR] - quality[:, CHEAP]
    wrong_gain, right_gain = (
        float((weight * gain)[rows].sum() / max(float(weight[rows].sum()), 1e-300))
        for rows in (~right, right)
    )
    return needed_auc(
        float(weight[right].sum() / weight.sum()), (wrong_gain, right_gain), ratio, two.margin, saved
    )
