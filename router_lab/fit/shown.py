"""What chains did on left-out rows, or would have done, and which took too long, for the
certificate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from router_lab.certificate import (
    ChainsLost,
    ChainsShown,
    ChainsTooSlow,
    Figure,
    StageShown,
    TooSlow,
    Without,
)
from router_lab.fit.certificate import named
from router_lab.fit.chains import Cascades
from router_lab.fit.choose import SHARE_DIGITS
from router_lab.fit.fitted import Fitted
from router_lab.fit.problem import Problem
from router_lab.fit.slow import bounded, tails_of
from router_lab.metrics.paired import Floats, Paired


def chains_lost(fitted: Fitted, deployed: Paired | None = None) -> ChainsLost | None:
    """None where no chain was looked at, all were too slow, or one is deployed at the default
    point. deployed: what is in its place, where chains were chosen and gained nothing."""
    made, choice = fitted.cascades, fitted.choices["default"]
    if made is None or fitted.tables is None or (fitted.chained and deployed is None):
        return None
    evidence, goal = choice.evidence, fitted.goals["default"]
    assert evidence.suite is not None
    floor = -goal.level if goal.kind == "margin" else 0.0
    found = []
    for table in fitted.tables.values():
        action = table[evidence.suite]
        if (action >= made.alone).any():
            given = evidence.mixture((1.0, action))
            if given.gain().value >= floor:
                found.append(given)
    considered = len({made.entries[place].plan for place in made.quick})
    if not considered:
        return None
    best = max(found, key=lambda one: one.saving().value, default=None)
    if best is None:
        return ChainsLost(considered=considered)
    return ChainsLost(
        considered=considered, savings=Figure.of(best.saving()), quality_difference=Figure.of(best.gain()),
        over=Figure.of(best.over(choice.paired() if deployed is None else deployed)),
    )  # fmt: skip


def chains_shown(fitted: Fitted, without: Paired | None) -> ChainsShown | None:
    """None where no chain is deployed at the default point. Costs that nobody knows are left out of
    means. without: what the same fit gives without chains, where there was one."""
    made, choice = fitted.cascades, fitted.choices["default"]
    if made is None or not fitted.chained:
        return None
    evidence, candidates, n = choice.evidence, fitted.problem.develop.candidates, len(choice.evidence.group)
    found = np.zeros(4)
    by_candidate, blind = np.zeros((3, len(candidates))), np.zeros(2)
    columns = np.unique(choice.action[choice.action >= made.alone]).tolist()
    if not columns:
        return None
    for column in columns:
        share = choice.mix * (choice.action == column).mean(axis=1)
        rows = share > 0
        got, unknown = made.played(column), made.played(column, blind=True)
        mean = made.ground.trials.mean
        parts = (np.ones(len(got.quality)), got.asked.sum(axis=1) > 1, got.stopped, got.signals_usd)
        found += [_sum(share, mean(np.asarray(part, np.float64), n)) for part in parts]
        for place, part in enumerate((got.asked, got.kept, got.spent)):
            by_candidate[place] += [_sum(share, mean(np.asarray(one, np.float64), n)) for one in part.T]
        lost = (unknown.quality - got.quality, unknown.cost_usd - got.cost_usd)
        blind += [_sum(share[rows], mean(part, n)[rows]) for part in lost]
    share, escalated, stopped, signals_usd = np.round(found / n, SHARE_DIGITS).tolist()
    plain, base = choice.paired(), float(np.nanmean(evidence.cost_usd[:, evidence.reference]))
    asked, kept, spent = np.round(by_candidate / n, SHARE_DIGITS).tolist()
    worse, dearer = (blind / n).tolist()
    reads = any(made.entry(column).at is not None for column in columns)
    chains = [made.chain(column) for column in columns]
    names = {name for chain in chains for stage in chain if stage.judge for name in stage.judge.signals}
    return ChainsShown(
        share=share, escalated=escalated, stopped=stopped, signals_usd=signals_usd,
        looks_at=made.reading if reads else (),
        signals=tuple(sorted(names)),
        stages=tuple(
            StageShown(**named(who), asked=asked[j], kept=kept[j], cost_usd=spent[j])
            for j, who in enumerate(candidates)
            if asked[j] > 0
        ),
        savings_without_signals=plain.saving().value - (dearer / base if base > 0 else 0.0),
        quality_difference_without_signals=plain.gain().value + worse,
        without=None if without is None else Without(
            quality_difference=Figure.of(without.gain()), savings=Figure.of(without.saving())
        ),
    )  # fmt: skip


def _sum(share: Floats, values: Floats) -> float:
    return float(np.nansum(share * values))


def chains_too_slow(problem: Problem, cascades: Cascades | None) -> ChainsTooSlow | None:
    """What the recipe's bound left out; None where it has none, or no chain was looked at."""
    if (bound := bounded(problem.recipe)) is None:
        return None
    if cascades is not None:
        tried = _of_chains(cascades)
    elif (other := problem.escalating()) is not None:
        tried = _of_checks(other)
    else:
        return None
    left_out = tuple(
        _row(problem, columns, seconds, bound)
        for columns, seconds in tried.items()
        if (seconds > bound).any()
    )
    return ChainsTooSlow(latency_p95_s=bound, considered=len(tried), left_out=left_out)


def _of_chains(cascades: Cascades) -> dict[tuple[int, ...], Floats]:
    """By the columns of chains of two and more stages, [suites, versions] their seconds."""
    places: dict[tuple[int, ...], list[int]] = {}
    for place, entry in enumerate(cascades.entries):
        if len(entry.plan) > 1:
            places.setdefault(tuple(stage.column for stage in entry.plan), []).append(place)
    return {columns: cascades.tails[:, own] for columns, own in places.items()}


def _of_checks(other: Problem) -> dict[tuple[int, ...], Floats]:
    """The same of candidates that a failed check sends on to the reference."""
    found, last = tails_of(other.develop), other.reference
    return {(j, last): found[:, [j]] for j in range(found.shape[1]) if j != last}


def _row(problem: Problem, columns: Sequence[int], seconds: Floats, bound: float) -> TooSlow:
    """Where seconds [suites, versions] of one chain are over the bound, as some are."""
    over = seconds > bound
    candidates, suites = problem.develop.candidates, problem.develop.suites
    every, some = over.all(axis=1), over.any(axis=1)
    return TooSlow(
        stages=tuple(tuple(candidates[column]) for column in columns),
        least_s=float(seconds[over].min()), most_s=float(seconds[over].max()),
        suites=tuple(suites[code] for code in np.flatnonzero(every)),
        some_versions=tuple(suites[code] for code in np.flatnonzero(some & ~every)),
    )  # fmt: skip
