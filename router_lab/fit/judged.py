"""The verdict of a choice: the one bound that decides it, in words and as data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np

from router_lab.certificate import Judged
from router_lab.fit.choose import Choice
from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.problem import Problem
from router_lab.metrics import Estimate, Verdict, apart, bounds_told, verdict
from router_lab.metrics.verdict import MAX_INFRA
from router_lab.replay import number
from router_lab.runtime.shares import below

UNTOLD = ("too few", "there is nothing")
"""How a reason begins that names no bound."""


@dataclass(frozen=True)
class Outcome:
    """A verdict with its reason, what would settle it, and `judged`: what it was judged by; None
    where no bound was."""

    verdict: Any
    reason: str
    n: int
    clusters: int
    samples_needed: int | None = None
    dollars_needed: float | None = None
    judged: Judged | None = None


def outcome(problem: Problem, evidence: Evidence, choice: Choice) -> Outcome:
    """The verdict of the step that the walk reached; of the one that it could not take, where it
    reached none."""
    goal, found = choice.goal, choice.walked.estimate
    ref = problem.develop.candidates[problem.reference]
    price = evidence.sample_usd if _priced(evidence) else None
    rule = verdict(found, goal.floor, goal.confidence, infra=problem.infra, dollars_per_sample=price)
    plain = Outcome("inconclusive", "", found.n, found.clusters, *_to_run(rule, problem.recipe.holdout))
    if problem.infra > MAX_INFRA:
        return replace(plain, reason=rule.reason)
    if not _priced(evidence):
        return replace(
            plain, reason=f"do not route: no costs are known, so nothing can be saved; {ref} serves"
        )
    told = _told(rule, choice)
    untold = told.startswith(UNTOLD)
    judged = None if untold else judged_by(found, goal, at=choice.walked.at, rows="certificate")
    if choice.mix >= 0 and not choice.acts:
        if goal.kind == "budget" and not choice.promising and rule.verdict == "pass":
            reason = f"do not route: nothing within the budget promised to be better than {ref}; {told}"
            return Outcome("pass", reason, found.n, found.clusters, judged=judged)
        if goal.kind != "budget" and not _cheaper(problem):
            best = ", the best single one" if problem.recipe.reference == "best" else ""
            reason = f"do not route: no eligible candidate costs less than {ref}{best}"
            return Outcome("pass", reason + _unseen(problem), found.n, found.clusters)
        if not choice.promising:
            return replace(
                plain, reason=f"do not route: no choice promised a saving within the rule; {ref} serves"
            )
    if choice.acts:
        reason = f"with {100 * choice.mix:.0f} % of eligible traffic routed; {told}"
        return Outcome("pass", reason, found.n, found.clusters, judged=judged)
    if choice.mix < 0:
        alone = f"{100 * goal.explore:g} % explored beside {ref}" if goal.explore else f"{ref} alone"
        reason = f"do not route: not even {alone} is shown to meet the rule; {told}"
        return replace(plain, reason=reason, judged=judged)
    at = "" if untold else f"with {100 * choice.walked.at:.0f} % of eligible traffic routed, "
    return replace(plain, reason=f"do not route yet: {at}{told}", judged=judged)


def _to_run(rule: Verdict, holdout: float) -> tuple[int | None, float | None]:
    """Samples and dollars that settle a verdict: the fit chooses on what its holdout leaves, so
    more must be run."""
    samples, dollars = rule.samples_needed, rule.dollars_needed
    return (
        None if samples is None else ceil(samples / (1 - holdout)),
        None if dollars is None else dollars / (1 - holdout),
    )


def judged_by(found: Estimate, goal: Goal, *, at: float, rows: str) -> Judged:
    """What a verdict was judged by: value and one-sided bounds, each at `confidence`, against
    `floor` (a budget: against `ceiling`), in `unit`; at which mix, on which `rows`."""
    value, low, high = found.value, found.low(goal.confidence), found.high(goal.confidence)
    floor: float | None = None
    ceiling: float | None = None
    if goal.kind == "budget":  # the share of the budget that is left
        value, low, high = (1000 * goal.level * (1 - v) for v in (value, high, low))
        unit, ceiling = "usd_per_1k", 1000 * goal.level
    else:
        shift = goal.level if goal.kind == "quality" else 0.0
        value, low, high = (v + shift for v in (value, low, high))
        unit, floor = "quality" if goal.kind == "quality" else "quality_difference", goal.floor + shift
    return Judged(
        unit=unit, floor=floor, ceiling=ceiling, value=number(value), low=number(low), high=number(high),
        confidence=goal.confidence, sides=1, mix=at, rows=rows, n=found.n, clusters=found.clusters,
    )  # fmt: skip


def _told(rule: Verdict, choice: Choice) -> str:
    """The bound in the unit of the rule, and what betting says where that decided."""
    if rule.reason.startswith(UNTOLD):
        return rule.reason
    betting, said = choice.walked.betting, told_bounds(rule, choice.goal)
    if betting is None:
        return said
    if not choice.acts and rule.verdict == "pass":
        return (
            f"betting does not show it: p = {betting:.4f}, at most {1 - choice.goal.confidence:.4f} is needed"
        )
    return f"{said}; by betting p = {betting:.4f}"


def told_bounds(rule: Verdict, goal: Goal) -> str:
    """`lower bound −2.97 reaches −3.00 points (one-sided, 90 %)`, or what a budget or a least
    quality has of it."""
    sure = f"(one-sided, {100 * goal.confidence:.4g} %{_why(goal)})"
    if goal.kind == "margin":
        return (
            f"{bounds_told(rule.verdict, rule.low, rule.high, rule.floor, digits=2, scale=100)} points {sure}"
        )
    if goal.kind == "quality":
        low, high = rule.low + goal.level, rule.high + goal.level
        return f"{bounds_told(rule.verdict, low, high, goal.level).replace('+', '')} {sure}"
    level = 1000 * goal.level
    most, limit = _within(level * (1 - rule.low), level)
    least, _ = _within(level * (1 - rule.high), level)
    if rule.verdict == "pass":
        return f"upper bound ${most} per 1,000 requests is within ${limit} {sure}"
    if rule.verdict == "fail":
        return f"lower bound ${least} per 1,000 requests is beyond ${limit} {sure}"
    return f"${limit} lies between the bounds ${least} and ${most} per 1,000 requests {sure}"


def _why(goal: Goal) -> str:
    """Why a test is made at more than the rule's confidence."""
    if goal.promised is None or goal.confidence - goal.promised < 1e-9:
        return ""
    return f", so that all of it holds at {100 * goal.promised:.4g} %"


def _within(dollars: float, limit: float) -> tuple[str, str]:
    """`apart` for a limit from above."""
    near, bound = apart(-dollars, -limit, 4, sign="-")
    return near.removeprefix("−"), bound.removeprefix("−")


def _priced(evidence: Evidence) -> bool:
    return bool((~np.isnan(evidence.cost_usd[:, evidence.reference])).any())


def _unseen(problem: Problem) -> str:
    """`; m costs less, and ran on 94.7 % of the samples, where 95 % are needed`, of the one that
    spares most."""
    cost, ref = problem.develop.cost_usd, problem.reference
    spared = [
        0.0 if problem.eligible[0, j] else float(np.nansum(cost[:, ref] - cost[:, j]))
        for j in range(cost.shape[1])
    ]
    most = int(np.argmax(spared))
    if spared[most] <= 0:
        return ""
    seen, need = below(float((~np.isnan(problem.develop.quality[:, most])).mean()), problem.recipe.min_seen)
    who = problem.develop.candidates[most]
    return f"; {who} costs less, and ran on {seen} of the samples, where {need} are needed (`min_seen`)"


def _cheaper(problem: Problem) -> bool:
    """Whether some eligible candidate is cheaper than the reference on the rows where both have a
    cost."""
    cost = problem.develop.cost_usd
    spared = (np.nansum(cost[:, problem.reference] - cost[:, j]) for j in np.flatnonzero(problem.eligible[0]))
    return any(dollars > 0 for dollars in spared)
