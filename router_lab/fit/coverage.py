"""How much of a prompt must have been seen in fitting for its predictions to be followed.

Two thresholds. In a suite that was measured, outcomes of that very suite stand behind the
certificate, and only prompts unlike nearly all others are left to the routing table. A prompt of
an unknown suite (or of none named) has nothing behind it, so whole suites are held out, as if they
had come later: from the strictest threshold, at which no prompt of them is followed, to ever lower
ones, each is tested at the full level until the first fails (a fixed sequence, as in `walk`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from router_lab.certificate import Figure, UnknownSuites
from router_lab.fit.choose import CHAINS, FIXED, Choice, Option, act
from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.model import RATES, READS, Fitter, Pair
from router_lab.fit.problem import Problem, recorded
from router_lab.fit.task import Task, to_units
from router_lab.metrics import MIN_CLUSTERS, clustered_mean
from router_lab.metrics.paired import Floats, Ints, Mask
from router_lab.runtime.features import Batch
from router_lab.runtime.heads import guarded_many
from router_lab.runtime.model import POOLED

LEAST_COVERED = 0.02
"""Share of the prompts of measured suites that the threshold leaves to the routing table."""
NEVER = 2.0
ROWS = 5_000
"""Rows that are looked at, at most: a threshold needs no more, and each set of suites costs a
fit."""
SUITE_FOLDS = 5
QUANTILES = np.linspace(1.0, 0.0, 21)


def known_threshold(coverage: Floats, texts: Mask) -> float:
    """The coverage that all but LEAST_COVERED of the prompts reach when their fold is left out; 0
    without prompts."""
    if not texts.any():
        return 0.0
    return float(np.floor(np.quantile(coverage[texts], LEAST_COVERED) * 100) / 100)


def check_unknown_suites(
    problem: Problem,
    task: Task,
    fitter: Fitter,
    choice: Choice,
    goal: Goal,
    least: float,
    seed: int,
    slack: float = 0.0,
) -> UnknownSuites | None:
    """What holding suites out showed: the least coverage at which a prompt of an unknown suite
    follows predictions, at least `least`, the share of held-out rows that then do, and the paired
    gain in what the rule is about, over all held-out rows. None where fewer than two suites were
    measured or nothing follows predictions anyway. slack: of heads, as in `Predicted`.

    The unit is the suite where there are enough of them, else the cluster: with few suites this
    speaks of those suites.
    """
    data = problem.develop
    codes = np.unique(data.suite)
    if len(codes) < 2 or not choice.acts:
        return None
    rows = np.arange(len(data))
    if len(rows) > ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, ROWS, replace=False))
    seen, action = np.zeros(len(rows)), np.full((len(rows), len(choice.options)), problem.reference, np.int64)
    for inside, out in _held_out(data.suite[rows], data.group[rows]):
        if not len(inside):
            continue
        action[out] = _actions(problem, task, fitter, choice, slack, rows[inside], rows[out])
        if choice.reads:
            seen[out] = _coverage(task, rows[inside], rows[out])
    # Just above every held-out prompt nothing of them is followed, yet a prompt made of known
    # words is. What reads no prompt acts on all of them or on none.
    top = NEVER
    if choice.reads:
        top = min(NEVER, max(least, float(np.floor(seen.max() * 100 + 1) / 100)))
    shares = choice.mix * np.array([piece.share for piece in choice.pieces if piece.option is not None])
    return _walk(_evidence(problem, rows), seen, action, shares, goal, (least, top), data.suite[rows])


def _held_out(suite: Ints, group: Ints) -> Iterator[tuple[Ints, Ints]]:
    """(rows of the other suites, rows of the suites held out): suites dealt out largest first, to
    the emptiest fold.

    Copies of what is held out are on neither side: had the suite come later, its prompts would not
    have been known.
    """
    _, code, sizes = np.unique(suite, return_inverse=True, return_counts=True)
    load = np.zeros(min(SUITE_FOLDS, len(sizes)))
    fold_of = np.empty(len(sizes), np.int64)
    for at in np.argsort(-sizes, kind="stable"):
        fold_of[at] = load.argmin()
        load[load.argmin()] += sizes[at]
    for fold in range(len(load)):
        out = fold_of[code] == fold
        yield np.flatnonzero(~out & ~np.isin(group, group[out])), np.flatnonzero(out)


def _actions(
    problem: Problem, task: Task, fitter: Fitter, choice: Choice, slack: float, inside: Ints, out: Ints
) -> Ints:
    """[out, options] what each chosen option does to rows of unknown suites when only `inside` was
    measured."""
    found: dict[str, Pair] = {}
    # No chain is for a suite that nobody measured: there it is the reference.
    options = [
        Option(FIXED, 0.0, 0.0, problem.reference) if option.predictor == CHAINS else option
        for option in choice.options
    ]
    if any(option.column is None for option in options):
        model, asked = fitter.fit(task, inside), replace(task, suite=np.full_like(task.suite, POOLED))
        rates, departed = model.parts(asked, out)
        found[RATES] = to_units(task, rates)
        if choice.reads:
            found[READS] = to_units(task, rates + model.blend * departed)
            if task.design.heads is not None:
                begun = to_units(task, rates + model.blend * model.begun(asked, out))
                found[READS] = guarded_many(found[READS], begun, problem.reference, slack)
    return act(options, found, _evidence(problem, out)).T.astype(np.int64)


def _coverage(task: Task, inside: Ints, out: Ints) -> Floats:
    """[out] share of each row's buckets, or of its head's if that is less, that occur in rows
    `inside`."""
    design = task.design
    width = design.featuriser.buckets
    spans = [_buckets(design.found, row) for row in inside]
    known = np.bincount(np.concatenate(spans), minlength=width) > 0 if spans else np.zeros(width, bool)

    def share(batch: Batch) -> Floats:
        own = [_buckets(batch, row) for row in out]
        return np.array([known[one].mean() if len(one) else 0.0 for one in own])

    whole = share(design.found)
    return whole if design.heads is None else np.minimum(whole, share(design.heads.found))


def _buckets(batch: Batch, row: int) -> NDArray[np.uint32]:
    return batch.buckets[batch.indptr[row] : batch.indptr[row + 1]]


def _evidence(problem: Problem, rows: Ints) -> Evidence:
    """Outcomes of rows whose suite is unknown: who may be chosen is what row POOLED says."""
    found = recorded(problem).take(rows)
    return Evidence.bare(found, eligible=np.repeat(problem.eligible[POOLED][None], len(rows), axis=0))


def _walk(
    evidence: Evidence,
    seen: Floats,
    action: Ints,
    shares: Floats,
    goal: Goal,
    ends: tuple[float, float],
    suite: Ints,
) -> UnknownSuites:
    """Lower the threshold from the greater of its `ends` to the least, quantile by quantile of the
    held-out rows' coverage, as long as the goal is shown."""
    least, top = ends
    suites = len(np.unique(suite))
    cluster = suite if suites >= MIN_CLUSTERS else evidence.group
    idle = evidence.values(evidence.table, goal)
    mix = float(shares.sum())
    moved = (1 - mix) * idle + (evidence.values(action, goal) * shares).sum(axis=1)
    lower = [max(least, float(np.floor(step * 100) / 100)) for step in np.quantile(seen, QUANTILES)]
    reached, followed, gain = NEVER, 0.0, clustered_mean(idle, cluster)
    for threshold in dict.fromkeys([top, *(step for step in lower if step < top), least]):
        follows = seen >= threshold
        values = np.where(follows, moved, idle)
        heavy = evidence.weights(*np.where(follows, action.T, evidence.reference))
        span = mix if follows.any() and goal.kind != "budget" else 0.0
        estimate = clustered_mean(values, cluster, weights=heavy, span=span)
        shown = not follows.any() and goal.kind == "margin"  # the reference loses nothing against itself
        if not shown and (
            estimate.independent < MIN_CLUSTERS or estimate.p_below(goal.floor) > 1 - goal.confidence
        ):
            break
        reached, followed, gain = threshold, float(follows.mean()), estimate
    return UnknownSuites(coverage=reached, followed=followed, suites_held_out=suites, gain=Figure.of(gain))
