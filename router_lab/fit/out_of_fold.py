"""What a fit knows before it chooses: goals, folds, the routing table, and what is predicted of
each row without its fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from router_lab.config import Recipe
from router_lab.config.recipe import Rule
from router_lab.fit.choose import CHOOSING
from router_lab.fit.coverage import known_threshold
from router_lab.fit.design import Design
from router_lab.fit.drawn import completed
from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.fitters import FITTERS
from router_lab.fit.folds import group_folds
from router_lab.fit.model import Fitter, Predicted, crossfit
from router_lab.fit.problem import Problem, recorded
from router_lab.fit.table import Cell, routing_table, table_actions
from router_lab.fit.task import Task
from router_lab.metrics.paired import Ints, Mask
from router_lab.runtime.errors import InputError


class OutOfFold(NamedTuple):
    """What is known before anything is chosen: rows and cells of the table, what was predicted of
    each row without its fold, the folds, and the coverage that is needed."""

    problem: Problem
    task: Task
    fitter: Fitter
    goals: Mapping[str, Goal]
    cells: list[Cell]
    evidence: Evidence
    predicted: Predicted
    folds: Ints
    coverage: float


def out_of_fold(problem: Problem, deal: int) -> OutOfFold:
    """Predict out of fold. deal: the seed of the folds, and of the rows that are drawn where not
    all are looked at."""
    data = problem.develop
    guard = problem.recipe.suffix_guard
    if guard and data.vectors is not None:
        raise InputError(
            f"recipe {problem.recipe.name!r}: `suffix_guard: {guard}` needs predictions that read text alone, and the "
            "outcomes hold vectors of whole prompts; take one of the two out"
        )
    design = Design.of(data.prompts, data.vectors, guard)
    task = Task.of(problem.learned, design)
    folds = group_folds(data.suite, data.group, deal)
    fitter = FITTERS[problem.recipe.fitter].tuned(task, folds, deal)
    goals = _goals(problem.recipe, problem.compared)
    main = goals["default"]
    level = main.level if main.kind == "margin" else 0.0
    cells = _table(problem, np.ones(len(data), bool), level, main.confidence)
    evidence, coverage = _evidence(problem, design, folds, level, main.confidence)
    evidence = replace(evidence, fold=group_folds(data.suite, data.group, deal, CHOOSING))
    evidence = completed(evidence, data.drawn(problem.reference), data.suite, strict=problem.recipe.strict)
    predicted = crossfit(task, folds, fitter, problem.reference).slackened()
    if problem.elsewhere:
        predicted = replace(predicted, place=problem.place)
    return OutOfFold(
        problem=problem, task=task, fitter=fitter, goals=goals, cells=cells, evidence=evidence, predicted=predicted,
        folds=folds, coverage=coverage,
    )  # fmt: skip


def _goals(recipe: Recipe, compared: int) -> dict[str, Goal]:
    """The rule and every further point, sharing one error probability equally."""
    rules = {"default": recipe.rule, **recipe.points}

    def goal(rule: Rule) -> Goal:
        level = rule.margin or rule.min_quality or (rule.budget_usd_per_1k or 0.0) / 1000
        confidence = 1 - (1 - rule.confidence) / len(rules)
        return Goal(
            rule.kind, level, confidence, strict=recipe.strict, mix=recipe.mix, compared=compared,
            explore=recipe.explore,
        )  # fmt: skip

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
    return Evidence(
        **vars(recorded(problem)), eligible=eligible, covered=covered, table=table, fold=folds
    ), threshold


def _table(problem: Problem, rows: Mask, margin: float, confidence: float) -> list[Cell]:
    if margin <= 0:
        return []
    known = recorded(problem).take(rows)
    return routing_table(known, problem.eligible[1:], margin=margin, confidence=confidence)
