"""A pair played on left-out rows, by one source after the other: who asks on, what that saves and
loses, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from router_lab.certificate import Figure
from router_lab.fit.accept import ANSWERS, SIGNALS, learn_judge
from router_lab.fit.pair import CHEAP, CHECK, DEAR, RIGHT, SURE, TEXT, TOGETHER, Seconds, Told, Two, Word
from router_lab.metrics import MIN_CLUSTERS, Estimate, paired_saving, weighted_quantile
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


class Given(NamedTuple):
    """What a chain gives: who is asked on, 1 or 0 [m], and beside the dear one and the mix."""

    asked: Floats
    saving: Estimate
    over_mix: Estimate


class Shown(NamedTuple):
    """What a source is told to give, with what its verdict rests on: the chain that is shown to
    lose no more than the margin (`sure`), and the one that is not shown to lose more (`bold`)."""

    told: Told
    sure: Given
    bold: Given
    quality: Estimate


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


def mixed(two: Two, confidence: float, *, sure: bool) -> Mix:
    """The most requests of a fold to the cheap one, whatever they ask, by which the others are
    shown to lose no more than the margin; without `sure`, are not shown to lose more."""
    cost, nobody = two.trials.cost_usd, np.zeros(len(two.trials))
    kept = np.zeros(len(two.trials))
    for fold in np.unique(two.fold):
        others = two.fold != fold
        bound = two.bound(nobody, others, confidence, sure=sure)  # of a part of them, that part of it
        kept[~others[two.trials.row]] = 1.0 if bound >= -two.margin else -two.margin / bound
    usd = kept * cost[:, CHEAP] + (1 - kept) * cost[:, DEAR]
    dear = float((two.weight * cost[:, DEAR]).sum())
    return Mix(usd, 1 - float((two.weight * usd).sum()) / dear, bool((kept == 1).all()))


def told(two: Two, source: str, trials: Trials, mixes: tuple[Mix, Mix], confidence: float) -> Shown:
    """A source's chain on left-out rows; trials: the pair's draws, of which only it is known;
    mixes: the sure one, then the bold one."""
    score, dear = _scores(two, trials), trials.cost_usd[:, DEAR]
    first = trials.cost_usd[:, CHEAP] + (signals := np.nan_to_num(trials.signals_usd[:, CHEAP]))

    def given(mix: Mix, sure: bool) -> Given:
        asked = _asked_on(two, trials, score, confidence, sure=sure)
        spent, base = two.by_sample(first + asked * dear), two.by_sample(dear)
        over = paired_saving(spent, two.by_sample(mix.usd), two.group, reference=base)
        return Given(asked, paired_saving(spent, base, two.group), over)

    def total(values: Floats) -> float:
        return float((two.weight * values).sum())

    sure, bold = given(mixes[0], True), given(mixes[1], False)
    quality = two.difference(sure.asked, np.ones(len(two.group), bool))
    apart = None if source.startswith(CHECK) else _auc(two, trials, score)
    ratio, draws = total(first) / total(dear), float(two.weight.sum())
    return Shown(
        Told(
            source=source, auc=None if apart is None else Figure.of(apart), needed=_needed(two, ratio, 0.0),
            needed_over_mix=_needed(two, ratio, mixes[0].saving), share=total(sure.asked) / draws,
            saving=Figure.of(sure.saving), quality=Figure.of(quality), over_mix=Figure.of(sure.over_mix),
            break_even=1 - total(sure.asked * dear) / total(dear), ratio=ratio, signals_usd=total(signals) / draws,
            seconds=seconds(two, np.ones(len(trials)), sure.asked),
        ),
        sure, bold, quality,
    )  # fmt: skip


def judgement(
    played: Sequence[Shown], margin: float, confidence: float, *, clusters: int, alone: bool, may: bool
) -> tuple[Word, str]:
    """The verdict on a pair, and why: what pays is shown of the sure chain, what does not of the
    bold one. alone: whether the cheap one alone is shown to lose no more than the margin; may:
    whether a perfect signal would save more than the random mix."""
    if clusters < MIN_CLUSTERS:
        return "not shown", f"{clusters} groups of samples are too few to say"
    if alone:
        return "does not pay", "the cheap one alone is shown to lose no more than the margin"
    if not may:
        return "does not pay", "even a perfect signal saves no more than the random mix"
    if not played:
        return "not shown", "the outcomes hold neither answers nor signals of the cheap one"
    if all(one.bold.saving.high(confidence) < 0 for one in played):
        return "does not pay", "the cheap answers cost more than keeping some of them saves"
    if all(one.bold.over_mix.high(confidence) < 0 for one in played):
        return "does not pay", "the random mix saves more"
    best = max(played, key=lambda one: one.sure.saving.value)
    if best.quality.low(confidence) < -margin:
        return "not shown", "on left-out rows more than the margin may be lost"
    if min(best.sure.saving.low(confidence), best.sure.over_mix.low(confidence)) > 0:
        return "pays", f"{best.told.source} saves more than the random mix"
    return "not shown", "more samples may show that it pays, or that it does not"


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
        judge = learn_judge(*learn, suites, CHEAP, None, (DEAR, SURE), (SIGNALS, ANSWERS))
        if judge is not None:
            gains, known = judged(judge, *tell, CHEAP, None)
            found.gain[rows], found.wrong[rows], found.known[rows] = gains[:, 0], gains[:, 1], known
    return found


def _asked_on(two: Two, trials: Trials, score: Score, confidence: float, *, sure: bool) -> Floats:
    """[m] 1 where the dear one is asked: what failed its check, what is not known, and of each fold
    what is expected to gain more than a threshold that the others chose."""
    forced = (trials.check[:, CHEAP] == 0) | ~score.known
    asked = np.ones(len(trials))
    for fold in np.unique(two.fold):
        others = two.fold != fold
        rows = ~others[trials.row]
        level = _threshold(two, score.gain, forced, others, confidence, sure=sure)
        asked[rows] = (forced | (score.gain > level))[rows]
    return asked


def _threshold(
    two: Two, gain: Floats, forced: Mask, samples: Mask, confidence: float, *, sure: bool
) -> float:
    """The highest by which some samples are shown to lose no more than the margin, or without
    `sure` are not shown to lose more; below all of them, where everything is asked on and nothing
    is lost, if there is none."""
    free = gain[samples[two.trials.row] & ~forced]
    steps = [-np.inf, *np.unique(np.quantile(free, np.linspace(0, 1, STEPS), method="lower")).tolist()] \
        if len(free) else [-np.inf]  # fmt: skip
    low, high = 0, len(steps)
    while high - low > 1:
        middle = (low + high) // 2
        asked = np.asarray(forced | (gain > steps[middle]), np.float64)
        holds = two.bound(asked, samples, confidence, sure=sure) >= -two.margin
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
