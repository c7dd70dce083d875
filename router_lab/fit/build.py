"""`fit_policy`: outcomes -> predictors -> a nested choice -> its test -> the policy with its
certificate."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from router_lab.certificate import ChainsLost, ChainsTooSlow, Figure, NotReproducible, Refit
from router_lab.config import Recipe
from router_lab.fit.caps import turn_caps
from router_lab.fit.certificate import certify, with_test
from router_lab.fit.chains import Cascades, Ground, cascades
from router_lab.fit.choose import Actions, Option, act, chained, constants, family
from router_lab.fit.coverage import check_unknown_suites
from router_lab.fit.evidence import Evidence
from router_lab.fit.fitted import Chosen, Fitted
from router_lab.fit.fitters import FITTERS
from router_lab.fit.folds import deal_of
from router_lab.fit.model import in_places
from router_lab.fit.out_of_fold import OutOfFold, out_of_fold
from router_lab.fit.problem import Problem, diagnose, prepare
from router_lab.fit.retiring import warn_of_retirement
from router_lab.fit.rivals import Rivals, lost_suites, rivals, without_gain
from router_lab.fit.shown import chains_lost, chains_shown, chains_too_slow
from router_lab.fit.slow import bounded
from router_lab.fit.spec import fallbacks_of, spec_of
from router_lab.fit.table import without_suites
from router_lab.metrics import Estimate
from router_lab.metrics.paired import Mask, Paired
from router_lab.metrics.verdict import MAX_INFRA
from router_lab.played import Asked
from router_lab.replay import replay_known
from router_lab.runtime.artifact import refuse_size
from router_lab.runtime.clients import unreproducible
from router_lab.runtime.errors import InputError, PolicyError, RouterLabWarning
from router_lab.runtime.heads import Begun
from router_lab.runtime.policy import Policy


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
    data = problem.develop
    try:
        refuse_size(data.suites, len(data.candidates), guarded=recipe.suffix_guard > 0)
    except PolicyError as error:
        what = f"a policy of {len(data.suites):,} suites and {len(data.candidates):,} candidates"
        raise InputError(f"recipe {recipe.name!r}: {what} could not be loaded: {error}") from error
    warn_of_retirement(problem)
    return fit_problem(problem, deal_of(problem.develop), seed if diagnostics else None)


def fit_problem(problem: Problem, deal: int, seed: int | None = None) -> Policy:
    """`fit_policy` with a deal of the folds that is given, which a bench varies to see what it
    moves. seed: of the diagnostics, None = without."""
    recipe = problem.recipe
    plain, without, lost, slow = _chains_that_gain(out_of_fold(problem, deal), deal)
    fitted, more = plain, None if without is None else plain.choices["default"].paired().over(without)
    if without is None and recipe.escalate and plain.evidence.phases is None:
        fitted, more = _escalated(plain, deal)
    spec = spec_of(fitted, seed)
    if fitted is not plain:
        # A fallback is asked when the reference may not be there to ask again: what counts is each
        # one's own answer.
        spec = replace(spec, escalation=(problem.reference,), fallbacks=fallbacks_of(problem))
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
        chains=chains_shown(fitted, without),
        chains_lost=lost,
        chains_too_slow=slow,
        turn_caps=None if problem.trials is None else turn_caps(recipe, problem.frame),
        unknown_suites=fitted.unknown_suites,
        requests_not_reproducible=lacking or None,
        diagnostics=None if seed is None else diagnose(problem, lambda p: _figures(fit_on(p, deal)), seed),
    )
    if problem.held is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RouterLabWarning)  # `prepare` has spoken of all rows
            held = replay_known(Policy(replace(spec, certificate=certificate.to_json())), problem.held)
        certificate = with_test(certificate, held, fitted.goals["default"])
    return Policy(replace(spec, certificate=certificate.to_json()))


class Chains(NamedTuple):
    """What chains came to: the fit with or without them; what the same fit gives without, where
    they are kept; what the best would have done, where none is; which were too slow."""

    fitted: Fitted
    without: Paired | None
    lost: ChainsLost | None
    slow: ChainsTooSlow | None


def _chains_that_gain(before: OutOfFold, deal: int) -> Chains:
    """The fit, without chains where they gain nothing."""
    plain = fit_choices(before, choices_of(before, _cascades(before)), deal)
    slow = chains_too_slow(before.problem, plain.cascades)
    if not (plain.chained and before.problem.recipe.escalate):
        return Chains(plain, None, chains_lost(plain), slow)
    other = choices_of(before, None)
    simple = without_gain(plain.choices, other.choices)
    if simple is None:
        return Chains(plain, other.choices["default"].paired(), None, slow)
    fitted = replace(fit_choices(before, other, deal), choices=simple)
    return Chains(fitted, None, chains_lost(plain, simple["default"].paired()), slow)


def choices_of(before: OutOfFold, chains: Cascades | None) -> Chosen:
    """Every point's choice, with these chains after the candidates or without. While a suite is
    shown to lose too much by what is deployed, it is left to the reference, and all is chosen
    anew."""
    problem, closed = before.problem, set[int]()
    evidence = before.evidence if chains is None else chains.beside(before.evidence)
    found = _rivals(before, evidence, chains)
    while lost := lost_suites(problem.develop.suite, found.values()):
        closed |= lost
        problem = before.problem.without(closed)
        found = _rivals(before, _closed(evidence, problem, closed), chains)
    choices = {name: pair.deployed for name, pair in found.items()}
    mix = found["default"].random_mix
    if problem.infra > MAX_INFRA:  # nothing is concluded, so nothing is acted upon
        choices = {name: replace(c, walked=c.walked._replace(mix=-1.0)) for name, c in choices.items()}
        mix = replace(mix, walked=mix.walked._replace(mix=-1.0))
    return Chosen(
        problem=problem, cells=without_suites(before.cells, closed), choices=choices, random_mix=mix,
        closed=frozenset(closed), cascades=chains,
    )  # fmt: skip


def _closed(evidence: Evidence, problem: Problem, suites: Collection[int]) -> Evidence:
    """The evidence where suites are left to the reference, as they are in `problem`."""
    suite = problem.develop.suite
    here = np.isin(suite, list(suites))
    # The routing table asks nobody's leave to be chosen.
    table = np.where(here, problem.reference, evidence.table)
    chains = evidence.eligible[:, evidence.alone :] & ~here[:, None]
    return replace(evidence, eligible=np.hstack([problem.eligible[suite + 1], chains]), table=table)


def fit_on(problem: Problem, deal: int) -> Fitted:
    """Predict, choose every point, and fit what is chosen; deal: as of `out_of_fold`."""
    before = out_of_fold(problem, deal)
    return fit_choices(before, choices_of(before, _cascades(before)), deal)


def fit_choices(before: OutOfFold, chosen: Chosen, deal: int) -> Fitted:
    """Fit the predictor that was chosen on all rows to choose on; deal: as of `out_of_fold`."""
    task, fitter, coverage = before.task, before.fitter, before.coverage
    problem, choices, chains = chosen.problem, chosen.choices, chosen.cascades
    every = np.ones(len(problem.develop), bool)
    tables = None if chains is None else chains.tables(chains.beside(before.evidence), every)
    model = fitter.fit(task, np.arange(len(problem.develop)))
    linear = model.compile(task)
    rates = in_places(model.table(task), problem.place, problem.reference)
    if all(c.by_suite for c in choices.values()):
        coverage = 0.0
    main = before.goals["default"]
    slack, bias = before.predicted.slack, model.begun_bias()
    unknown_suites = check_unknown_suites(
        problem, task, fitter, choices["default"], main, coverage, deal, slack
    )
    return Fitted(
        **vars(chosen), task=task, fitter=fitter, goals=before.goals, linear=linear, rates=rates, coverage=coverage,
        heads=None if bias is None else Begun(bias, slack), unknown_suites=unknown_suites,
        predicted=before.predicted, tables=tables,
    )  # fmt: skip


def _cascades(before: OutOfFold) -> Cascades | None:
    """The chains that the draws teach, each fold played by what the others know."""
    problem, recipe = before.problem, before.problem.recipe
    trials, data = problem.trials, problem.develop
    if trials is None:
        return None
    quality, cost = next(iter(before.predicted.found.values()))
    asked = Asked(data.suite[trials.row] + 1, quality[trials.row], cost[trials.row])
    # Stages are asked by their own names, so where another stands in the reference's place nobody
    # may be one.
    may = problem.eligible & ~problem.away[:, None]
    ground = Ground(
        trials=trials, asked=asked, eligible=may, reference=problem.reference, unit=before.evidence.unit,
        most=recipe.stages if recipe.escalate else 1, judging=recipe.escalate, caps=recipe.caps,
        fold=before.folds, most_s=bounded(recipe),
    )  # fmt: skip
    return cascades(ground)


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
    other = fit_on(problem, deal)
    if other.choices["default"].mix <= 0:
        return plain, None
    more = other.choices["default"].paired().over(plain.choices["default"].paired())
    return (other, more) if more.low(0.95) > 0 else (plain, None)


def _rivals(before: OutOfFold, evidence: Evidence, chains: Cascades | None) -> dict[str, Rivals]:
    """A choice and its random mix for each goal."""
    options, actions = family(before.predicted.found, evidence, learned=True)
    if chains is not None:
        tables = chains.tables(evidence, np.ones(len(evidence.group), bool))
        more, theirs = chained(evidence, tables, chains.plain)
        options, actions = [*options, *more], np.concatenate([actions, theirs])

    def acting(options: Sequence[Option], rows: Mask) -> Actions:
        tables = None if chains is None else chains.tables(evidence, rows)
        return act(options, before.predicted.knowing(rows), evidence, tables)

    return {
        point: rivals(options, actions, *constants(evidence, goal), evidence, goal, acting)
        for point, goal in before.goals.items()
    }
