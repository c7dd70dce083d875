"""certificate.json: what was shown, how, on which data, beside everything that it has to be
compared with."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import TypedDict

import numpy as np
import pandas as pd

from router_lab.certificate import (
    Certificate,
    Explored,
    Figure,
    Fixed,
    Mixed,
    Oracle,
    PointShown,
    RandomMix,
    Reference,
    Rule,
    SuiteRow,
    TableRow,
    TestSplit,
    TwoPhase,
    advice,
)
from router_lab.fit.choose import SHARE_DIGITS, Choice
from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.judged import judged_by, outcome, told_bounds
from router_lab.fit.problem import Problem, recorded
from router_lab.fit.table import Cell
from router_lab.metrics import (
    Estimate,
    certifiable_margin,
    clustered_mean,
    verdict,
)
from router_lab.metrics.paired import Paired, Recorded, column_means
from router_lab.outcomes import SCORED, OutcomeMatrix, cut_off_share
from router_lab.outcomes.candidates import whose
from router_lab.replay import Replay, number
from router_lab.runtime.model import Candidate

SEVERAL = "several"
"""Predictor of a point whose pieces have different ones."""
_WALKED = (
    "Learn-then-Test along the mix of the choices of halves, each judged on the other, and along the random mix, "
    "which share the error probability; "
)
PROCEDURE = {
    "margin": f"{_WALKED}one-sided bound on cluster sums for rare losses, skew and uneven clusters (metrics.bound)",
    "strict": f"{_WALKED}betting (Waudby-Smith & Ramdas) on cluster sums",
}
ASSUMPTIONS = (
    "clusters are independent and future prompts come from the same mixture of suites",
    "what a budget, a race or a draw at a recorded probability left out was left out whatever its quality; any other "
    "outcome that is missing counts as lost",
    "costs are those of the recorded calls at the recorded prices",
)


class Named(TypedDict):
    """A candidate as the parts of a certificate name it."""

    model: str
    effort: str | None
    harness: str | None


def named(who: Candidate) -> Named:
    return {"model": who.model, "effort": who.effort, "harness": who.harness}


def certify(
    problem: Problem,
    evidence: Evidence,
    goals: Mapping[str, Goal],
    choices: Mapping[str, Choice],
    random_mix: Choice,
    cells: Sequence[Cell],
    plain: Evidence,
    closed: Collection[int] = (),
) -> Certificate:
    """What the fit has shown. Figures are of left-out rows, at the mix that is deployed.

    `rows` names what a verdict speaks of, here and wherever one is written: `certificate` (the
    rows that the fit chose on, each predicted and judged left out), `fresh` (rows that no fit has
    used) or `in-sample`. `closed`: suites that were left to the reference. `plain`: the outcomes
    without escalation, which the baselines are measured on; else `evidence` itself.
    """
    mine = choices["default"].paired()
    shown = _judged(problem, evidence, goals["default"], choices["default"], mine)
    shown = replace(
        _beside_baselines(shown, problem, plain, mine, random_mix),
        points={name: _point(goals[name], chosen) for name, chosen in choices.items()},
        suites=_suites(problem, mine, cells, closed),
        exploration=_exploration(choices["default"], mine),
        escalation=evidence is not plain,
    )
    return replace(shown, action=advice(shown).action)


def _judged(problem: Problem, evidence: Evidence, goal: Goal, choice: Choice, mine: Paired) -> Certificate:
    """The verdict on what is deployed, how it came about, and the figures that it speaks of."""
    found = outcome(problem, evidence, choice)
    return Certificate(
        certificate_version=1,
        **vars(found),
        rows="certificate",
        rule=Rule(kind=goal.kind, level=goal.level),
        margin=goal.level if goal.kind == "margin" else None,
        confidence=goal.confidence,
        procedure=PROCEDURE["strict" if goal.strict else "margin"],
        steps_tested=choice.walked.tested,
        unpaired=int((~mine.scored[choice.judged]).sum()),
        quality_difference=Figure.of(difference(mine, choice)),
        savings=Figure.of(mine.saving()),
        mix=max(0.0, choice.mix),
        mix_forbidden=not goal.mix,
        smallest_margin=number(smallest_margin(problem, evidence, choice)),
        two_phase=_two_phase(evidence),
    )


def _beside_baselines(
    shown: Certificate, problem: Problem, plain: Evidence, mine: Paired, random_mix: Choice
) -> Certificate:
    """With the data that it speaks of, and all that needs no router."""
    base, ref = random_mix.paired(), problem.develop.candidates[problem.reference]
    return replace(
        shown,
        reference=Reference(**named(ref)),
        missing=_missing(problem) or None,
        infra_share=problem.infra,
        digests={"develop": digest(problem.develop)},
        assumptions=ASSUMPTIONS,
        fixed=tuple(_fixed(problem, plain, j) for j in range(len(problem.develop.candidates))),
        random_mix=_mix(problem, random_mix, base),
        over_random_mix=Figure.of(mine.over(base)),
        oracle_upper_bound=_oracle(recorded(problem)),
    )


def difference(mine: Paired, choice: Choice) -> Estimate:
    """The difference in quality of what is deployed: under a margin the very estimate that the
    verdict judged."""
    return choice.walked.estimate if choice.goal.kind == "margin" and choice.acts else mine.gain()


def with_test(certificate: Certificate, held: Replay, goal: Goal) -> Certificate:
    """The certificate with the test split's figures, which chose nothing and can only turn the
    verdict to `fail`."""
    loss = held.estimate("quality_difference")
    test = TestSplit(
        rows="fresh", n=held.n, clusters=held.clusters, skipped=held.skipped, quality_difference=Figure.of(loss),
        savings=Figure.of(held.estimate("savings")), over_random_mix=Figure.of(held.estimate("savings_over_mix")),
    )  # fmt: skip
    result = replace(certificate, test=test)
    if held.n and goal.kind == "margin":
        judged = verdict(loss, goal.floor, goal.confidence)
        if judged.verdict == "fail":
            points = f"{100 * loss.value:+.2f} points".replace("-", "−")
            where = f"on the {held.n:,} fresh rows of the test split, {points}"
            result = replace(
                result, verdict="fail", reason=f"{where}: {told_bounds(judged, goal)}",
                judged=judged_by(loss, goal, at=certificate.mix or 0.0, rows="fresh"),
                samples_needed=None, dollars_needed=None,
            )  # fmt: skip
    return replace(result, action=advice(result).action)


def smallest_margin(problem: Problem, evidence: Evidence, choice: Choice) -> float:
    """The margin that this many samples can just certify for a candidate that differs from the
    reference as often as the choice did, or, where it never did, as the cheapest other candidate
    does; infinite where there is no other."""
    action = choice.action
    if (action == problem.reference).all():
        others = problem.eligible[0] & (np.arange(len(problem.develop.candidates)) != problem.reference)
        if not others.any():
            return inf
        cost = np.nan_to_num(column_means(problem.develop.cost_usd, problem.develop.weight))
        action = np.full((len(action), 1), int(np.argmin(np.where(others, cost, np.inf))))
    return certifiable_margin(evidence.mixture((1.0, action)).gain(), choice.goal.confidence)


def _two_phase(evidence: Evidence) -> TwoPhase | None:
    phases = evidence.phases
    if phases is None:
        return None
    return TwoPhase(
        share=phases.share,
        drawn=int(phases.drawn.sum()),
        clusters=len(np.unique(evidence.group[phases.drawn])),
        estimator="regression" if phases.completed else "weighting",
        explained=phases.explained,
    )


def _exploration(choice: Choice, mine: Paired) -> Explored | None:
    """What exploration does to what is deployed; None where nothing is explored."""
    if not choice.explore:
        return None
    beside = mine.against(choice.plain(), np.full(len(mine.group), choice.explore))
    return Explored(
        share=choice.explore,
        quality_difference=Figure.of(beside.gain()),
        savings=Figure.of(mine.over(choice.plain())),
    )


def _point(goal: Goal, choice: Choice) -> PointShown:
    predictors = {option.predictor for option in choice.options}
    alone = choice.options[0] if len(choice.options) == 1 else None
    return PointShown(
        kind=goal.kind,
        level=goal.level,
        confidence=goal.confidence,
        predictor=predictors.pop() if len(predictors) == 1 else SEVERAL if predictors else None,
        tradeoff=None if alone is None else alone.tradeoff,
        guard=None if alone is None else alone.guard,
        mix=max(0.0, choice.mix),
        shown=choice.mix > 0,
    )


def _suites(
    problem: Problem, mine: Paired, cells: Sequence[Cell], closed: Collection[int]
) -> dict[str, SuiteRow]:
    """By suite: the policy's difference and saving on left-out rows, who alone may serve it, and
    the routing table's row."""
    data = problem.develop
    table = {
        cell.suite: TableRow(
            **named(data.candidates[cell.column]), verdict=cell.verdict, p_holm=cell.p,
            quality_difference=Figure.of(cell.gain),
        )
        for cell in cells
    }  # fmt: skip
    result: dict[str, SuiteRow] = {}
    for code, here in mine.by_suite().items():
        gain, own = here.gain(), problem.allowed.get(data.suites[code])
        result[data.suites[code]] = SuiteRow(
            n=gain.n, clusters=gain.clusters, quality_difference=Figure.of(gain), savings=Figure.of(here.saving()),
            closed=True if code in closed else None, table=table.get(code),
            allowed=None if own is None else tuple(tuple(data.candidates[column]) for column in own),
        )  # fmt: skip
    return result


def _cut_off(frame: pd.DataFrame, candidate: Candidate) -> float | None:
    """Share of a candidate's answers that ended at max_tokens; None where none did, or nobody
    knows."""
    if "cut_off" not in frame.columns:
        return None
    of = whose(frame).places([candidate]) == 0
    share = cut_off_share(frame.loc[of & frame["status"].isin(SCORED), ["cut_off"]])
    return share if share > 0 else None


def _fixed(problem: Problem, evidence: Evidence, column: int) -> Fixed:
    """One candidate for everything, paired with the reference."""
    data, paired = problem.develop, evidence.always(column)
    own = None if evidence.weight is None else evidence.weight[:, column]
    pair = data.candidates[column]
    quality, cost = (
        clustered_mean(values[:, column], data.group, weights=own)
        for values in (data.quality, evidence.cost_usd)
    )
    return Fixed(
        **named(pair),
        quality=number(quality.value),
        cost_usd=number(cost.value),
        quality_difference=Figure.of(paired.gain()),
        savings=Figure.of(paired.saving()),
        cut_off=_cut_off(problem.frame, pair),
    )


def _mix(problem: Problem, choice: Choice, base: Paired) -> RandomMix:
    """The baseline: who serves with which probability, as the same procedure finds it without
    looking at prompts."""
    chances: dict[int, float] = {}
    for share, option in choice.pieces if choice.acts else ():
        if option is not None and option.column is not None:
            chances[option.column] = chances.get(option.column, 0.0) + choice.mix * share
    ranked = sorted(chances.items(), key=lambda part: -part[1]) or [(problem.reference, 0.0)]
    (who, most), *others = (
        (named(problem.develop.candidates[j]), round(chance, SHARE_DIGITS)) for j, chance in ranked
    )
    return RandomMix(
        **who,
        probability=most,
        others=tuple(Mixed(**one, probability=chance) for one, chance in others) or None,
        quality_difference=Figure.of(difference(base, choice)),
        savings=Figure.of(base.saving()),
    )


def _missing(problem: Problem) -> int:
    """Outcomes that no plan left out, each epoch one, of who may be chosen there."""
    data = problem.develop
    share = np.where(problem.eligible[data.suite + 1], data.missing, 0.0)
    return int(np.where(share < 1, np.rint(share * data.epochs / np.maximum(1 - share, 1e-9)), 1).sum())


def _oracle(recorded: Recorded) -> Oracle:
    """Hindsight, on every row with an outcome and a cost."""
    quality, cost = recorded.oracle()
    some = ~np.isnan(quality)
    if not some.any():
        return Oracle(n=0)
    return Oracle(quality=float(quality[some].mean()), cost_usd=float(cost[some].mean()), n=int(some.sum()))


def digest(data: OutcomeMatrix) -> str:
    """sha256 of what was fitted on: samples, candidates, qualities and costs, in the order of the
    matrix."""
    state = hashlib.sha256(repr((data.candidates, data.suites)).encode())
    for suite, sample in zip(data.suite, data.sample_id, strict=True):
        state.update(f"{suite}\0{sample}\0".encode("utf-8", "replace"))
    for values in (data.quality, data.cost_usd):
        state.update(np.ascontiguousarray(values, "<f8").tobytes())
    return state.hexdigest()
