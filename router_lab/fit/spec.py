"""From what was learned and chosen to the data of a policy."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy

import router_lab
from router_lab.config import Recipe
from router_lab.fit.choose import CHAINS, SHARE_DIGITS, Choice, Option
from router_lab.fit.fitted import Fitted
from router_lab.fit.limits import limits_of
from router_lab.fit.model import Fitter
from router_lab.fit.pieces import piece_of
from router_lab.fit.problem import Problem, column_of
from router_lab.fit.sessions import sessions_of
from router_lab.metrics.paired import Mask, column_means
from router_lab.runtime.chains import Chain
from router_lab.runtime.model import (
    POOLED,
    Candidate,
    PolicySpec,
    Profile,
    Route,
    group_code,
    profile_from_dict,
)
from router_lab.runtime.points import Assign, Cascade, Follow, Piece, Point

IDLE: Point = (Follow(0.0, 1.0, 0.0),)
"""The point of a policy that does not route: the reference, whatever is predicted."""
LATER = ("signals", "stages", "latency_p95_s", "caps", "successor", "allowed", "explore", "suffix_guard")
"""Keys of a recipe that policies hold only where they say something, as those before them did not
have them."""


def spec_of(fitted: Fitted, seed: int | None = None) -> PolicySpec:
    problem, data = fitted.problem, fitted.problem.develop
    proven = fitted.choices["default"].acts
    routes = {
        data.suites[cell.suite]: Route(cell.column, cell.verdict if proven else "inconclusive")
        for cell in fitted.cells
    }
    chains = Registered(fitted)
    points = {name: _point(fitted, choice, chains) for name, choice in fitted.choices.items()}
    return PolicySpec(
        name=problem.recipe.name,
        profiles=_profiles(problem),
        reference=problem.reference,
        suites=data.suites,
        featuriser=fitted.task.design.featuriser,
        linear=fitted.linear,
        points=points,
        chains=chains.chains(),
        point="default",
        coverage=fitted.coverage,
        coverage_unknown=None if fitted.unknown_suites is None else fitted.unknown_suites.coverage,
        suffix_guard=problem.recipe.suffix_guard,
        heads=fitted.heads,
        routes=routes,
        fallbacks=fallbacks_of(problem),
        eligible=_eligible(problem),
        limits=limits_of(problem.frame, data.suites, data.candidates),
        sessions=sessions_of(problem),
        expires=None if problem.recipe.expires is None else problem.recipe.expires.isoformat(),
        **_life(fitted),
        groups=np.array(sorted({group_code(*name) for name in data.used_groups}), np.uint64),
        provenance=_provenance(problem, fitted.fitter, seed),
    )


def _eligible(problem: Problem) -> Mask:
    """[suites + 1, c] with who stands in the reference's place, where it may not serve."""
    found, rows = problem.eligible.copy(), np.flatnonzero(problem.away)
    found[rows, problem.reference] = False
    found[rows, problem.place[rows]] = True
    return found


def _life(fitted: Fitted) -> dict[str, Any]:
    """Who retires and who comes then, whom suites are kept to, and what is explored where that is
    shown. Raises InputError for a successor that is not there or of whom nobody retires."""
    problem, data = fitted.problem, fitted.problem.develop
    recipe = problem.recipe
    days = [recipe.retirements.get(candidate) for candidate in data.candidates]
    retires = tuple(None if day is None else day.isoformat() for day in days)
    then, what = recipe.successor, f"recipe {recipe.name!r}: successor"
    explore = {name: choice.explore for name, choice in fitted.choices.items() if choice.explore > 0}
    return {
        "retires": retires if any(retires) else (), "allowed": problem.allowed, "explore": explore,
        "successor": None if then is None else column_of(then.candidate, data.candidates, what),
    }  # fmt: skip


def fallbacks_of(problem: Problem) -> tuple[int, ...]:
    """All columns, best mean quality of the problem's rows first, the cheaper of equals."""
    data = problem.develop
    quality = np.nan_to_num(column_means(data.quality, data.weight), nan=-1.0)
    cost = np.nan_to_num(column_means(data.cost_usd, data.weight))
    return tuple(int(j) for j in np.lexsort((cost, -np.round(quality, 9))))


class Registered:
    """The chains of a policy, in the order in which points name them; equal ones once for each
    tradeoff."""

    def __init__(self, fitted: Fitted) -> None:
        self._fitted = fitted
        self._found: dict[tuple[int, float], tuple[int, set[int]]] = {}

    def chains(self) -> tuple[Chain, ...]:
        """What the pieces so far name by its index."""
        made = self._fitted.cascades
        if made is None:
            return ()
        return tuple(made.chain(column, sorted(rows)) for (column, _), (_, rows) in self._found.items())

    def piece(self, option: Option) -> Piece:
        """What the option of class CHAINS does, for all requests; suites that were left to the
        reference stay there."""
        fitted, made = self._fitted, self._fitted.cascades
        assert made is not None
        assert fitted.tables is not None
        table = (
            fitted.tables[option.tradeoff]
            if option.column is None
            else np.where(made.open[:, option.column - made.alone], option.column, fitted.problem.reference)
        )
        # One suite stands for requests that name none; several say nothing of another.
        also = {POOLED} if len(table) == 1 else set[int]()
        own = [
            None
            if suite in fitted.closed or column == fitted.problem.reference
            else self._of(int(column), option, {suite + 1} | also)
            for suite, column in enumerate(table)
        ]
        return Cascade((own[0] if also else None, *own), option.tradeoff)

    def _of(self, column: int, option: Option, rows: set[int]) -> int:
        place, known = self._found.setdefault((column, option.tradeoff), (len(self._found), set()))
        known |= rows
        return place


def _point(fitted: Fitted, choice: Choice, chains: Registered) -> Point:
    if not choice.acts and not (choice.by_suite and fitted.coverage > 0):
        return IDLE
    # Judged without the routing table, which IDLE would leave prompts to that another point reads.
    if not choice.acts:
        return (Assign((fitted.problem.reference,) * len(fitted.problem.eligible)),)
    problem, told = fitted.problem, bool(fitted.task.texts.any())
    shares: dict[Piece, float] = {}
    for share, option in choice.pieces:
        if option is not None:
            whole = (
                chains.piece(option)
                if option.predictor == CHAINS
                else piece_of(option, 1.0, fitted.rates, problem.eligible, problem.reference, told=told)
            )
            if isinstance(whole, Cascade) and not any(one is not None for one in whole.chains):
                continue  # all of it is the reference's
            shares[whole] = shares.get(whole, 0.0) + choice.mix * share
    found = tuple(piece._replace(share=round(share, SHARE_DIGITS)) for piece, share in shares.items())
    return found or (Assign((problem.reference,) * len(problem.eligible)),)


def _profiles(problem: Problem) -> tuple[Profile, ...]:
    known = {Candidate.of(row): row for row in problem.frame.attrs.get("candidates", ())}
    return tuple(profile_from_dict(known.get(c, c.named())) for c in problem.develop.candidates)


def _asked(recipe: Recipe) -> dict[str, Any]:
    """The recipe as it was asked; what later versions added only where it says something."""
    later = {name: Recipe.model_fields[name].get_default(call_default_factory=True) for name in LATER}
    told = recipe.model_dump(mode="json")
    for one in (told["reference"], *(told["candidates"] or ())):
        if isinstance(one, dict) and one["retires"] is None:
            del one["retires"]
    return {k: v for k, v in told.items() if k not in later or v != later[k]}


def _provenance(problem: Problem, fitter: Fitter, seed: int | None) -> dict[str, Any]:
    return {
        "router_lab": router_lab.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        **({} if seed is None else {"seed": seed}),
        "fitter": problem.recipe.fitter,
        "recipe": _asked(problem.recipe),
        **fitter.notes(),
    }
