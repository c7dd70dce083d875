"""`fit_policy`: outcomes -> predictors -> a nested choice -> its test -> the policy with its
certificate."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy

import router_lab
from router_lab.certificate import Figure, NotReproducible, Refit, UnknownSuites
from router_lab.config import Recipe
from router_lab.config.recipe import Rule
from router_lab.fit.certificate import certify, with_test
from router_lab.fit.choose import CHOOSING, Actions, Choice, Option, act, constants, family
from router_lab.fit.coverage import check_unknown_suites, known_threshold
from router_lab.fit.design import Design
from router_lab.fit.drawn import completed
from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.fitters import FITTERS
from router_lab.fit.folds import deal_of, group_folds
from router_lab.fit.limits import limits_of
from router_lab.fit.model import Fitter, Predicted, crossfit
from router_lab.fit.pieces import piece_of
from router_lab.fit.problem import Problem, diagnose, prepare
from router_lab.fit.rivals import Rivals, lost_suites, rivals
from router_lab.fit.table import Cell, routing_table, table_actions, without_suites
from router_lab.fit.task import Task
from router_lab.metrics import Estimate
from router_lab.metrics.paired import Floats, Ints, Mask, Recorded, column_means
from router_lab.metrics.verdict import MAX_INFRA
from router_lab.replay import replay_known
from router_lab.runtime.clients import unreproducible
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.model import Linear, PolicySpec, Profile, Route, group_code, profile_from_dict
from router_lab.runtime.points import Assign, Follow, Piece, Point
from router_lab.runtime.policy import Policy

IDLE: Point = (Follow(0.0, 1.0, 0.0),)
"""The point of a policy that does not route: the reference, whatever is predicted."""
SHARE_DIGITS = 12
"""Decimals of a piece's share, so that parts that were cut and joined again add up."""


@dataclass(frozen=True)
class Fitted:
    """Everything that was learned and chosen, before it becomes a spec and a certificate.

    rates: quality and cost_usd [suites + 1, c] of the suites alone, fitted on all rows: what a
    table decides by. unknown_suites: what holding suites out showed; None where it could not be
    tried. predicted: out of fold. closed: suites left to the reference, since the choice was shown
    to lose too much there.
    """

    problem: Problem
    task: Task
    fitter: Fitter
    evidence: Evidence
    goals: Mapping[str, Goal]
    choices: Mapping[str, Choice]
    random_mix: Choice
    cells: list[Cell]
    linear: Linear
    rates: tuple[Floats, Floats]
    coverage: float
    unknown_suites: UnknownSuites | None
    predicted: Predicted
    closed: frozenset[int]


def fit_policy(recipe: Recipe, outcomes: pd.DataFrame, seed: int = 0, *, diagnostics: bool = False) -> Policy:
    """The policy that `recipe` asks for, fitted on `outcomes` (columns: docs/architecture.md),
    with its certificate.

    A `holdout` share of groups (by a hash that never moves) is only ever reported on.
    Deterministic in the rows, not in their order. `diagnostics` adds a label-shuffle control and a
    learning curve: three further fits, whose shuffle and parts are all that `seed` is for: folds
    are dealt by a digest of the groups (`folds.deal_of`). Counts no look: who fits the same rows
    often counts himself, or uses the command, which does (outcomes/looks.py). Raises InputError
    for outcomes or recipes that cannot be fitted, with the reason; warns as `prepare` does.
    """
    if recipe.fitter not in FITTERS:
        raise InputError(
            f"recipe {recipe.name!r}: fitter {recipe.fitter!r} is not one of {', '.join(sorted(FITTERS))}"
        )
    problem = prepare(recipe, outcomes)
    return fit_problem(problem, deal_of(problem.develop), seed if diagnostics else None)


def fit_problem(problem: Problem, deal: int, seed: int | None = None) -> Policy:
    """`fit_policy` with a deal of the folds that is given, which a bench varies to see what it
    moves. seed: of the diagnostics, None = without."""
    recipe = problem.recipe
    plain = learn(problem, deal)
    fitted, more = (
        _escalated(plain, deal) if recipe.escalate and plain.evidence.phases is None else (plain, None)
    )
    spec = spec_of(fitted, seed)
    if fitted is not plain:
        # A fallback is asked when the reference may not be there to ask again: what counts is each
        # one's own answer.
        spec = replace(spec, escalation=(problem.reference,), fallbacks=_fallbacks(problem))
    certificate = certify(
        fitted.problem,
        fitted.evidence,
        fitted.goals,
        fitted.choices,
        plain.random_mix,
        fitted.cells,
        plain.evidence,
        fitted.closed,
    )
    lacking = tuple(NotReproducible.from_json(row) for row in unreproducible(spec.profiles, spec.suites))
    certificate = replace(
        certificate,
        escalation_gain=None if more is None else Figure.of(more),
        unknown_suites=fitted.unknown_suites,
        requests_not_reproducible=lacking or None,
        diagnostics=None if seed is None else diagnose(problem, lambda p: _figures(learn(p, deal)), seed),
    )
    if problem.held is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RouterLabWarning)  # `prepare` has spoken of all rows
            held = replay_known(Policy(replace(spec, certificate=certificate.to_json())), problem.held)
        certificate = with_test(certificate, held, fitted.goals["default"])
    return Policy(replace(spec, certificate=certificate.to_json()))


def learn(problem: Problem, deal: int) -> Fitted:
    """Predict out of fold, choose every point, and fit the chosen predictor on all rows to choose
    on. deal: the seed of the folds, and of the rows that are drawn where not all are looked at."""
    data = problem.develop
    design = Design.of(data.prompts, data.vectors)
    task = Task.of(data, design)
    folds = group_folds(data.suite, data.group, deal)
    fitter = FITTERS[problem.recipe.fitter].tuned(task, folds, deal)
    goals = _goals(problem.recipe, problem.compared)
    main = goals["default"]
    level = main.level if main.kind == "margin" else 0.0
    cells = _table(problem, np.ones(len(data), bool), level, main.confidence)
    evidence, coverage = _evidence(problem, design, folds, level, main.confidence)
    evidence = replace(evidence, fold=group_folds(data.suite, data.group, deal, CHOOSING))
    evidence = completed(evidence, data.drawn(problem.reference), data.suite, strict=problem.recipe.strict)
    predicted = crossfit(task, folds, fitter)
    problem, cells, found, closed = _closing(problem, cells, predicted, evidence, goals)
    choices = {name: pair.deployed for name, pair in found.items()}
    mix = found["default"].random_mix
    if problem.infra > MAX_INFRA:  # nothing is concluded, so nothing is acted upon
        choices = {name: replace(c, walked=c.walked._replace(mix=-1.0)) for name, c in choices.items()}
        mix = replace(mix, walked=mix.walked._replace(mix=-1.0))
    model = fitter.fit(task, np.arange(len(data)))
    linear, rates = model.compile(task), model.table(task)
    if all(c.by_suite for c in choices.values()):
        coverage = 0.0
    unknown_suites = check_unknown_suites(problem, task, fitter, choices["default"], main, coverage, deal)
    evidence = choices["default"].evidence
    return Fitted(
        problem=problem, task=task, fitter=fitter, evidence=evidence, goals=goals, choices=choices,
        random_mix=mix, cells=cells, linear=linear, rates=rates, coverage=coverage,
        unknown_suites=unknown_suites, predicted=predicted, closed=closed,
    )  # fmt: skip


def _closing(
    problem: Problem, cells: list[Cell], predicted: Predicted, evidence: Evidence, goals: Mapping[str, Goal]
) -> tuple[Problem, list[Cell], dict[str, Rivals], frozenset[int]]:
    """What is deployed at each point once no suite is shown to lose too much by it: such suites
    are left to the reference, and all is chosen anew."""
    data = problem.develop
    found = _rivals(predicted, evidence, goals)
    closed: set[int] = set()
    while lost := lost_suites(data.suite, found.values()):
        closed |= lost
        problem = problem.without(lost)
        cells = without_suites(cells, lost)
        here = np.isin(data.suite, list(lost))
        # The routing table asks nobody's leave to be chosen.
        table = np.where(here, problem.reference, evidence.table)
        evidence = replace(evidence, eligible=problem.eligible[data.suite + 1], table=table)
        found = _rivals(predicted, evidence, goals)
    return problem, cells, found, frozenset(closed)


def _figures(fitted: Fitted) -> Refit:
    """Out-of-fold savings of a fit, and over the random mix."""
    mine, base = fitted.choices["default"].paired(), fitted.random_mix.paired()
    return Refit(
        n=len(mine.group), savings=Figure.of(mine.saving()), over_random_mix=Figure.of(mine.over(base))
    )


def _escalated(plain: Fitted, deal: int) -> tuple[Fitted, Estimate | None]:
    """The fit on outcomes with escalation and what it saves more, as a share of the reference's
    cost, if that is shown, paired and out of fold; else `plain` and None."""
    problem = plain.problem.escalating()
    if problem is None:
        return plain, None
    other = learn(problem, deal)
    if other.choices["default"].mix <= 0:
        return plain, None
    more = other.choices["default"].paired().over(plain.choices["default"].paired())
    return (other, more) if more.low(0.95) > 0 else (plain, None)


def _goals(recipe: Recipe, compared: int) -> dict[str, Goal]:
    """The rule and every further point, sharing one error probability equally."""
    rules = {"default": recipe.rule, **recipe.points}

    def goal(rule: Rule) -> Goal:
        level = rule.margin or rule.min_quality or (rule.budget_usd_per_1k or 0.0) / 1000
        confidence = 1 - (1 - rule.confidence) / len(rules)
        return Goal(rule.kind, level, confidence, strict=recipe.strict, mix=recipe.mix, compared=compared)

    return {name: goal(rule) for name, rule in rules.items()}


def _evidence(
    problem: Problem, design: Design, folds: Ints, margin: float, confidence: float
) -> tuple[Evidence, float]:
    """Outcomes with the coverage of each row and, for those below the threshold, what a table
    fitted without the row's fold says."""
    data = problem.develop
    coverage = design.coverage(folds)
    texts = np.array([p is not None for p in data.prompts], bool)
    threshold = known_threshold(coverage, texts)
    covered = coverage >= threshold
    table = np.full(len(data), problem.reference, np.int64)
    if not covered.all():
        for fold in range(int(folds.max()) + 1):
            cells = _table(problem, folds != fold, margin, confidence)
            here = folds == fold
            table[here] = table_actions(cells, data.suite[here], problem.reference)
    eligible = problem.eligible[data.suite + 1]
    found = Recorded.of(data, problem.reference, data.missing)
    return Evidence(**vars(found), eligible=eligible, covered=covered, table=table, fold=folds), threshold


def _table(problem: Problem, rows: Mask, margin: float, confidence: float) -> list[Cell]:
    if margin <= 0:
        return []
    known = Recorded.of(problem.develop, problem.reference, problem.develop.missing).take(rows)
    return routing_table(known, problem.eligible[1:], margin=margin, confidence=confidence)


def _rivals(predicted: Predicted, evidence: Evidence, goals: Mapping[str, Goal]) -> dict[str, Rivals]:
    """A choice and its random mix for each goal."""
    options, actions = family(predicted.found, evidence, learned=True)

    def acting(options: Sequence[Option], rows: Mask) -> Actions:
        return act(options, predicted.knowing(rows), evidence)

    return {
        point: rivals(options, actions, *constants(evidence, goal), evidence, goal, acting)
        for point, goal in goals.items()
    }


def spec_of(fitted: Fitted, seed: int | None = None) -> PolicySpec:
    problem, data = fitted.problem, fitted.problem.develop
    proven = fitted.choices["default"].acts
    routes = {
        data.suites[cell.suite]: Route(cell.column, cell.verdict if proven else "inconclusive")
        for cell in fitted.cells
    }
    return PolicySpec(
        name=problem.recipe.name,
        profiles=_profiles(problem),
        reference=problem.reference,
        suites=data.suites,
        featuriser=fitted.task.design.featuriser,
        linear=fitted.linear,
        points={name: _point(fitted, choice) for name, choice in fitted.choices.items()},
        point="default",
        coverage=fitted.coverage,
        coverage_unknown=None if fitted.unknown_suites is None else fitted.unknown_suites.coverage,
        routes=routes,
        fallbacks=_fallbacks(problem),
        eligible=problem.eligible,
        limits=limits_of(problem.frame, data.suites, data.candidates),
        expires=None if problem.recipe.expires is None else problem.recipe.expires.isoformat(),
        groups=np.array(sorted({group_code(*name) for name in data.used_groups}), np.uint64),
        provenance=_provenance(problem, fitted.fitter, seed),
    )


def _fallbacks(problem: Problem) -> tuple[int, ...]:
    """All columns, best mean quality of the problem's rows first, the cheaper of equals."""
    data = problem.develop
    quality = np.nan_to_num(column_means(data.quality, data.weight), nan=-1.0)
    cost = np.nan_to_num(column_means(data.cost_usd, data.weight))
    return tuple(int(j) for j in np.lexsort((cost, -np.round(quality, 9))))


def _point(fitted: Fitted, choice: Choice) -> Point:
    if not choice.acts and not (choice.by_suite and fitted.coverage > 0):
        return IDLE
    # Judged without the routing table, which IDLE would leave prompts to that another point reads.
    if not choice.acts:
        return (Assign((fitted.problem.reference,) * len(fitted.problem.eligible)),)
    problem, told = fitted.problem, bool(fitted.task.texts.any())
    shares: dict[Piece, float] = {}
    for share, option in choice.pieces:
        if option is not None:
            whole = piece_of(option, 1.0, fitted.rates, problem.eligible, problem.reference, told=told)
            shares[whole] = shares.get(whole, 0.0) + choice.mix * share
    return tuple(piece._replace(share=round(share, SHARE_DIGITS)) for piece, share in shares.items())


def _profiles(problem: Problem) -> tuple[Profile, ...]:
    known = {(row["model"], row.get("effort")): row for row in problem.frame.attrs.get("candidates", ())}
    return tuple(
        profile_from_dict(known.get((c.model, c.effort), {"model": c.model, "effort": c.effort}))
        for c in problem.develop.candidates
    )


def _provenance(problem: Problem, fitter: Fitter, seed: int | None) -> dict[str, Any]:
    return {
        "router_lab": router_lab.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        **({} if seed is None else {"seed": seed}),
        "fitter": problem.recipe.fitter,
        "recipe": problem.recipe.model_dump(mode="json"),
        **fitter.notes(),
    }
