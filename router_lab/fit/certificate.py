"""certificate.json: what was shown, how, on which data, beside everything that it has to be compared with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from router_lab.fit.choose import Choice
from router_lab.fit.evidence import Evidence, Goal, column_means
from router_lab.fit.problem import Problem
from router_lab.fit.table import Cell
from router_lab.metrics import (
    Estimate,
    Verdict,
    certifiable_margin,
    clustered_mean,
    paired_saving,
    verdict,
)
from router_lab.outcomes import SCORED, OutcomeMatrix, cut_off_share
from router_lab.replay import Replay, number
from router_lab.runtime.model import Candidate

Floats = NDArray[np.float64]

PROCEDURE = {
    "margin": "Learn-then-Test along the mix of the nested choice; one-sided t on cluster sums, G - 1 degrees of "
    "freedom, two pseudo-clusters",
    "strict": "Learn-then-Test along the mix of the nested choice; betting (Waudby-Smith & Ramdas) on cluster sums",
}
ASSUMPTIONS = (
    "clusters are independent and future prompts come from the same mixture of suites",
    "outcomes missing for a candidate are missing independently of their quality, given the suite, or at a recorded "
    "probability that they are weighted by",
    "costs are those of the recorded calls at the recorded prices",
)


def certify(
    problem: Problem,
    evidence: Evidence,
    goals: Mapping[str, Goal],
    choices: Mapping[str, Choice],
    random_mix: Choice,
    cells: Sequence[Cell],
    plain: Evidence,
) -> dict[str, Any]:
    """The certificate as plain JSON data. Figures are of left-out rows, at the mix that is deployed.

    `rows` names what a verdict speaks of, here and wherever one is written: `certificate` (the rows that the fit chose
    on, each predicted and judged left out), `fresh` (rows that no fit has used) or `in-sample`.
    `plain`: the outcomes without escalation, which the baselines are measured on; else `evidence` itself.
    """
    goal, choice = goals["default"], choices["default"]
    outcome = _verdict(problem, evidence, goal, choice)
    acts = choice.option is not None and choice.mix > 0
    mine, base = Expected.of(evidence, choice), Expected.of(plain, random_mix)
    ref = problem.develop.candidates[problem.reference]
    return {
        "certificate_version": 1,
        "verdict": outcome.verdict,
        "rows": "certificate",
        "action": "route" if acts or any(c.verdict == "pass" for c in cells) else "do not route",
        "reason": outcome.reason,
        "rule": {"kind": goal.kind, "level": goal.level},
        "margin": goal.level if goal.kind == "margin" else None,
        "confidence": goal.confidence,
        "procedure": PROCEDURE["strict" if goal.strict else "margin"],
        "steps_tested": choice.tested,
        "n": outcome.n,
        "clusters": outcome.clusters,
        "unpaired": int(np.isnan(mine.gain).sum()),
        "infra_share": problem.infra,
        "reference": {"model": ref.model, "effort": ref.effort},
        "quality_difference": figure(clustered_mean(mine.gain, evidence.group, weights=mine.weight, pseudo=True)),
        "savings": figure(paired_saving(mine.cost, mine.base, evidence.group, weights=mine.weight)),
        "mix": max(0.0, choice.mix),
        "mix_forbidden": not goal.mix,
        "points": {name: _point(goals[name], chosen) for name, chosen in choices.items()},
        "suites": _suites(problem.develop, evidence, mine, cells),
        "fixed": [
            {**_fixed(problem.develop, plain, j), **_cut_off(problem.frame, candidate)}
            for j, candidate in enumerate(problem.develop.candidates)
        ],
        "random_mix": _mix(problem, plain, random_mix, base),
        "over_random_mix": figure(over_mix(mine, base, evidence.group)),
        "escalation": evidence is not plain,
        "oracle_upper_bound": _oracle(problem.develop),
        "smallest_margin": number(smallest_margin(problem, evidence, goal, choice)),
        "samples_needed": outcome.samples_needed,
        "dollars_needed": outcome.dollars_needed,
        "test": None,
        "digests": {"develop": digest(problem.develop)},
        "assumptions": list(ASSUMPTIONS),
    }


@dataclass(frozen=True)
class Expected:
    """Expected gain in quality, cost and reference cost of each row [n] at the mix of a choice, NaN = missing; `weight`
    [n]: one over the known probability with which all of it was observed, None = 1."""

    gain: Floats
    cost: Floats
    base: Floats
    weight: Floats | None

    @classmethod
    def of(cls, evidence: Evidence, choice: Choice) -> Expected:
        """Uncovered rows follow the table (once it is shown), covered ones the choice with probability `mix`."""
        rows = np.arange(len(evidence.group))
        idle = np.where(evidence.covered | (choice.mix < 0), evidence.reference, evidence.table)
        share = max(0.0, choice.mix)
        base = evidence.cost_usd[:, evidence.reference]
        reference = evidence.quality[:, evidence.reference]

        def mixed(values: Floats) -> Floats:
            still: Floats = values[rows, idle]
            if share == 0:
                return still
            moved = choice.trial.measure(lambda action: np.asarray(values[rows, action]))
            return (1 - share) * still + share * moved

        cost = mixed(evidence.cost_usd)
        known = ~np.isnan(cost + base)
        gain = mixed(evidence.quality) - reference
        weight = evidence.weights(idle, *(choice.trial.actions if share else ()))
        return cls(gain, np.where(known, cost, np.nan), np.where(known, base, np.nan), weight)


def over_mix(mine: Expected, mix: Expected, group: NDArray[np.int64]) -> Estimate:
    """What is saved more than by the random mix, as a share of the reference's cost, row by row."""
    weights = mine.weight if mix.weight is None or mine.weight is None else np.maximum(mine.weight, mix.weight)
    return paired_saving(mine.cost, mix.cost, group, reference=mine.base, weights=weights)


def figure(estimate: Estimate, confidence: float = 0.95) -> dict[str, Any]:
    """An estimate with its two-sided interval, and the rows and clusters that it stands on."""
    low, high = estimate.interval(confidence)
    return {
        "value": number(estimate.value), "low": number(low), "high": number(high), "confidence": confidence,
        "n": estimate.n, "clusters": estimate.clusters,
    }  # fmt: skip


def with_test(certificate: Mapping[str, Any], held: Replay, goal: Goal) -> dict[str, Any]:
    """The certificate with the test split's figures, which chose nothing and can only turn the verdict to `fail`."""
    result = {**certificate, "test": _test(held)}
    if held.n and goal.kind == "margin":
        loss = held.estimate("quality_difference")
        if loss.high(goal.confidence) < goal.floor:
            reason = f"the test split shows a loss beyond the margin: {loss.value:+.4f} on {held.n} rows"
            result |= {"verdict": "fail", "reason": reason}
    return result


def _verdict(problem: Problem, evidence: Evidence, goal: Goal, choice: Choice) -> Verdict:
    """The verdict of the choice; judged at full mix when nothing was shown, to say what is missing."""
    mix = choice.mix if choice.mix > 0 else 1.0
    idle = evidence.idle
    values = (1 - mix) * evidence.values(idle, goal) + mix * choice.trial.measure(lambda a: evidence.values(a, goal))
    weight = evidence.weights(idle, *choice.trial.actions)
    estimate = clustered_mean(values, evidence.group, weights=weight, pseudo=goal.kind != "budget")
    unrest = choice.trial.unrest(lambda a: evidence.values(a, goal), weight)
    estimate = replace(estimate, pseudo=(estimate.pseudo + unrest) * mix**2)  # as in the walk
    price = float(np.nansum(column_means(evidence.cost_usd, evidence.weight))) if _priced(evidence) else None
    judged = verdict(estimate, goal.floor, goal.confidence, infra=problem.infra, dollars_per_sample=price)
    word, reason = judged.verdict, judged.reason
    if word != "inconclusive" or problem.infra <= 0.01:
        word, reason = _word(problem, evidence, choice, judged)
    changes: dict[str, Any] = {"verdict": word, "reason": reason}
    if word != "inconclusive":
        changes |= {"samples_needed": None, "dollars_needed": None}
    return Verdict(**{**judged.__dict__, **changes})


def _word(problem: Problem, evidence: Evidence, choice: Choice, judged: Verdict) -> tuple[Any, str]:
    ref = problem.develop.candidates[problem.reference]
    if choice.mix > 0 and choice.option is not None:
        return "pass", f"shown up to a mix of {choice.mix:.2f}; {judged.reason}"
    if not _priced(evidence):
        return "inconclusive", f"do not route: no costs are known, so nothing can be saved; {ref} serves"
    if choice.mix < 0:
        return "inconclusive", f"do not route: not even {ref} alone is shown to meet the rule; {judged.reason}"
    if not _cheaper(problem):
        return "pass", f"do not route: no eligible candidate costs less than {ref}, the best single one"
    if choice.option is None:
        return "inconclusive", f"do not route: no choice promised a saving within the rule; {ref} serves"
    return "inconclusive", f"do not route yet: {judged.reason}"


def _priced(evidence: Evidence) -> bool:
    return bool((~np.isnan(evidence.cost_usd[:, evidence.reference])).any())


def _cheaper(problem: Problem) -> bool:
    """Whether some eligible candidate is cheaper than the reference on the rows where both have a cost."""
    cost = problem.develop.cost_usd
    spared = [np.nansum(cost[:, problem.reference] - cost[:, j]) for j in np.flatnonzero(problem.eligible[0])]
    return bool(max(spared, default=0.0) > 0)


def smallest_margin(problem: Problem, evidence: Evidence, goal: Goal, choice: Choice) -> float:
    """The margin that this many samples can just certify for a candidate that differs from the reference as often as
    the choice did, or, where it never did, as the cheapest candidate does."""
    action = choice.trial.final
    if (action == problem.reference).all():
        cost = np.nan_to_num(column_means(problem.develop.cost_usd, problem.develop.weight))
        action = np.full(len(action), int(np.argmin(np.where(problem.eligible[0], cost, np.inf))))
    gain = evidence.values(action, Goal("margin", 0.0, goal.confidence))
    weights = evidence.weights(action)
    return certifiable_margin(clustered_mean(gain, evidence.group, weights=weights, pseudo=True), goal.confidence)


def _point(goal: Goal, choice: Choice) -> dict[str, Any]:
    option = choice.option
    return {
        "kind": goal.kind,
        "level": goal.level,
        "confidence": goal.confidence,
        "predictor": None if option is None else option.predictor,
        "tradeoff": None if option is None else option.tradeoff,
        "guard": None if option is None else option.guard,
        "mix": max(0.0, choice.mix),
        "shown": choice.mix > 0,
    }


def _suites(
    data: OutcomeMatrix, evidence: Evidence, mine: Expected, cells: Sequence[Cell]
) -> dict[str, dict[str, Any]]:
    """By suite: the policy's difference and saving on left-out rows, and the routing table's row."""
    table = {cell.suite: cell for cell in cells}
    result: dict[str, dict[str, Any]] = {}
    for code in np.unique(data.suite):
        here = data.suite == code
        weights = None if mine.weight is None else mine.weight[here]
        gain = clustered_mean(mine.gain[here], evidence.group[here], weights=weights, pseudo=True)
        saving = paired_saving(mine.cost[here], mine.base[here], evidence.group[here], weights=weights)
        row: dict[str, Any] = {
            "n": gain.n, "clusters": gain.clusters, "quality_difference": figure(gain), "savings": figure(saving)
        }  # fmt: skip
        cell = table.get(int(code))
        if cell is not None:
            pair = data.candidates[cell.column]
            row["table"] = {
                "model": pair.model, "effort": pair.effort, "verdict": cell.verdict, "p_holm": cell.p,
                "quality_difference": figure(cell.gain),
            }  # fmt: skip
        result[data.suites[code]] = row
    return result


def _cut_off(frame: pd.DataFrame, candidate: Candidate) -> dict[str, float]:
    """Share of a candidate's answers that ended at max_tokens; nothing where none did, or nobody knows."""
    of = (frame["model"] == candidate.model) & (frame["effort"].fillna("") == (candidate.effort or ""))
    share = cut_off_share(frame[of & frame["status"].isin(SCORED)])
    return {"cut_off": share} if share > 0 else {}


def _fixed(data: OutcomeMatrix, evidence: Evidence, column: int) -> dict[str, Any]:
    """One candidate for everything, paired with the reference."""
    constant = np.full(len(data), column, np.int64)
    gain = evidence.values(constant, Goal("margin", 0.0, 0.9))
    cost = evidence.cost_usd[:, column]
    own = None if evidence.weight is None else evidence.weight[:, column]
    weights = evidence.weights(constant)
    other = column != evidence.reference  # nothing is lost against oneself, for certain
    pair = data.candidates[column]
    return {
        "model": pair.model,
        "effort": pair.effort,
        "quality": number(clustered_mean(data.quality[:, column], data.group, weights=own).value),
        "cost_usd": number(clustered_mean(cost, data.group, weights=own).value),
        "quality_difference": figure(clustered_mean(gain, evidence.group, weights=weights, pseudo=other)),
        "savings": figure(
            paired_saving(cost, evidence.cost_usd[:, evidence.reference], evidence.group, weights=weights)
        ),
    }


def _mix(problem: Problem, evidence: Evidence, choice: Choice, base: Expected) -> dict[str, Any]:
    """The baseline: candidate and probability that the same procedure finds without looking at prompt or suite."""
    acts = choice.option is not None and choice.mix > 0
    column = choice.option.column if choice.option is not None and acts else None
    column = problem.reference if column is None else column
    pair = problem.develop.candidates[column]
    return {
        "model": pair.model,
        "effort": pair.effort,
        "probability": choice.mix if acts else 0.0,
        "quality_difference": figure(clustered_mean(base.gain, evidence.group, weights=base.weight, pseudo=True)),
        "savings": figure(paired_saving(base.cost, base.base, evidence.group, weights=base.weight)),
    }


def _oracle(data: OutcomeMatrix) -> dict[str, Any]:
    """Hindsight: each row's best outcome among those with a cost, the cheapest of equals."""
    known = ~np.isnan(data.quality + data.cost_usd)
    some = known.any(axis=1)
    if not some.any():
        return {"quality": None, "cost_usd": None, "n": 0}
    quality = np.where(known, data.quality, -np.inf)[some]
    best = quality.max(axis=1, keepdims=True)
    cost = np.where(known[some] & (quality >= best), data.cost_usd[some], np.inf).min(axis=1)
    return {"quality": float(best.mean()), "cost_usd": float(cost.mean()), "n": int(some.sum())}


def _test(held: Replay) -> dict[str, Any]:
    """The test split: reported, never chosen on."""
    return {
        "rows": "fresh",
        "n": held.n,
        "clusters": held.clusters,
        "skipped": held.skipped,
        "quality_difference": figure(held.estimate("quality_difference")),
        "savings": figure(held.estimate("savings")),
        "over_random_mix": figure(held.estimate("savings_over_mix")),
    }


def digest(data: OutcomeMatrix) -> str:
    """sha256 of what was fitted on: samples, candidates, qualities and costs, in the order of the matrix."""
    state = hashlib.sha256(repr((data.candidates, data.suites)).encode())
    for suite, sample in zip(data.suite, data.sample_id, strict=True):
        state.update(f"{suite}\0{sample}\0".encode("utf-8", "replace"))
    for values in (data.quality, data.cost_usd):
        state.update(np.ascontiguousarray(values, "<f8").tobytes())
    return state.hexdigest()
