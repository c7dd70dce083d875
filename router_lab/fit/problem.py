"""What a fit starts from: rows to choose on, rows kept for the test, who may be chosen where, and
the reference."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from router_lab.certificate import Diagnostics, Refit
from router_lab.config import Recipe
from router_lab.fit.signals import trials_for
from router_lab.fit.slow import bounded, closed_to, require_seconds
from router_lab.metrics.paired import Ints, Mask, Recorded, column_means
from router_lab.outcomes import OutcomeMatrix, candidates_of, split_of, validate_outcomes
from router_lab.outcomes.candidates import whose
from router_lab.outcomes.kept import kept_to
from router_lab.outcomes.trials import Trials
from router_lab.replay import escalated
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.model import Candidate

NEAR = 0.05
"""Share of the clusters, or of the test split, that copies may take away unsaid."""
SHARES = (0.25, 0.5)
"""Parts of the groups that a learning curve is made of."""


@dataclass(frozen=True)
class Problem:
    """`develop` chooses and is fitted on, `held` (a frame) is the test split, None with holdout 0.
    `eligible` bool [suites + 1, c] in the runtime's row order; `infra`: share of runs lost to the
    infrastructure; `compared`: candidates of which the reference is the best on these rows, 1
    where the recipe names it; `kept`: rows of the whole matrix that `develop` has; `copied`:
    samples of the test split that are no fresh evidence: they, or others of their group, are
    copies of prompts to choose on. They are neither chosen on nor tested on; `trials`: the draws
    behind `develop`, where chains are to be fitted on them; `allowed`: by suite, the columns that
    alone may serve it: `develop` has no outcome of anybody else there, and where the reference may
    not serve, its column has those of who stands in its place. `learned`: the same rows with every
    outcome, which predictors are fitted on."""

    recipe: Recipe
    frame: pd.DataFrame
    develop: OutcomeMatrix
    held: pd.DataFrame | None
    reference: int
    eligible: Mask
    infra: float
    compared: int
    kept: Mask
    copied: int
    learned: OutcomeMatrix
    allowed: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    trials: Trials | None = None

    @property
    def place(self) -> Ints:
        """[suites + 1] the column that stands in the reference's place, in the runtime's row
        order."""
        found = np.full(len(self.develop.suites) + 1, self.reference, np.int64)
        for row, suite in enumerate(self.develop.suites, 1):
            own = self.allowed.get(suite, (self.reference,))
            found[row] = self.reference if self.reference in own else own[0]
        return found

    @property
    def away(self) -> Mask:
        """[suites + 1] where another stands in the reference's place."""
        return np.asarray(self.place != self.reference, bool)

    @property
    def elsewhere(self) -> frozenset[str]:
        """The suites that the reference may not serve."""
        return frozenset(suite for suite, own in self.allowed.items() if self.reference not in own)

    def without(self, suites: Collection[int]) -> Problem:
        """The same problem where the reference alone may be chosen in `suites`."""
        eligible = self.eligible.copy()
        eligible[[suite + 1 for suite in suites]] = np.arange(eligible.shape[1]) == self.reference
        return replace(self, eligible=eligible)

    def escalating(self) -> Problem | None:
        """The same problem where a failed run-time check sends the question on to the reference,
        with both costs; None where no check of another candidate ever failed."""
        if "check" not in self.frame.columns or not self.frame["check"].eq(False).any():
            return None
        frame = escalated(self.frame, self.develop.candidates[self.reference], self.elsewhere)
        learned = OutcomeMatrix.from_frame(frame, self.develop.candidates).take(self.kept)
        develop = kept_to(learned, self.reference, self.allowed)
        if np.array_equal(develop.quality, self.develop.quality, equal_nan=True):
            return None
        eligible, bound = self.eligible, bounded(self.recipe)
        if bound is not None:
            eligible = eligible & ~closed_to(develop, self.reference, bound)
        return replace(self, develop=develop, learned=learned, trials=None, eligible=eligible)


def recorded(problem: Problem) -> Recorded:
    """The rows to choose on, beside the reference."""
    return Recorded.of(problem.develop, problem.reference, problem.develop.missing)


def prepare(recipe: Recipe, outcomes: pd.DataFrame) -> Problem:
    """Validate, keep the recipe's candidates, split, and settle the reference.

    Raises InputError for a reference or candidate that the outcomes do not hold, and when nothing
    is left to fit on. Warns (RouterLabWarning) where only some samples have a vector.
    """
    frame = _restrict(validate_outcomes(outcomes), recipe)
    require_seconds(recipe, frame)
    whole = OutcomeMatrix.from_frame(frame)
    if not len(whole):
        raise InputError(f"recipe {recipe.name!r}: no row of the outcomes was scored; nothing can be fitted")
    _warn_of_missing_vectors(whole)
    held_name = np.array([split_of(s, g, recipe.holdout) == "test" for s, g in whole.groups], bool)
    held = held_name[whole.name] if recipe.holdout > 0 else np.zeros(len(whole), bool)
    if held.all():
        raise InputError(
            f"recipe {recipe.name!r}: holdout {recipe.holdout} leaves no group to fit on; set holdout: 0"
        )
    develop = whole.take(~held)
    reference, compared = _reference(develop, recipe)
    allowed, learned = allowed_of(recipe, whole), develop
    develop = kept_to(learned, reference, allowed)
    eligible = _eligible(develop, recipe.min_seen)
    eligible[:, reference] = True
    not_drawn = _hardly_drawn(develop, reference)
    run = frame["status"].isin(("ok", "error", "limit", "infra"))
    infra = float((frame["status"] == "infra").sum() / max(1, int(run.sum())))
    fresh = held & ~np.isin(whole.joined[whole.name], develop.joined[develop.name])
    test_rows = frame[whole.rows_in(frame, fresh)] if fresh.any() else None
    copied = int((held & ~fresh).sum())
    if copied > NEAR * held.sum():
        text = (
            f"{copied:,} of {int(held.sum()):,} samples of the test split are copies of prompts to choose on, under "
            "another suite or group; they are left out of the test, for they are no fresh evidence"
        )
        warnings.warn(RouterLabWarning(text), stacklevel=3)
    _warn_of_near_copies(whole)
    found = Problem(
        recipe=recipe, frame=frame, develop=develop, held=test_rows, reference=reference, eligible=eligible,
        infra=infra, compared=compared, kept=~held, copied=copied, learned=learned, allowed=allowed,
        trials=trials_for(recipe, frame, learned),
    )  # fmt: skip
    return _once(found.without(not_drawn))


def _once(problem: Problem) -> Problem:
    """The same where who stands in the reference's place is no second option beside it."""
    eligible, rows = problem.eligible.copy(), np.flatnonzero(problem.away)
    eligible[rows, problem.place[rows]] = False
    return replace(problem, eligible=eligible)


def column_of(candidate: Candidate, candidates: Sequence[Candidate], what: str) -> int:
    """The place of a candidate that somebody named; InputError, after `what` it is, where the
    outcomes do not hold it."""
    if candidate not in candidates:
        held = ", ".join(map(str, candidates))
        raise InputError(f"{what} {candidate} is not in the outcomes; they hold {held}")
    return candidates.index(candidate)


def allowed_of(recipe: Recipe, data: OutcomeMatrix) -> dict[str, tuple[int, ...]]:
    """The recipe's `allowed` by columns. Raises InputError for a suite or a candidate that the
    outcomes do not hold: a misspelt suite would be kept to nobody."""
    found = {}
    for suite, own in recipe.allowed.items():
        where = f"recipe {recipe.name!r}: allowed"
        if suite not in data.suites:
            known = ", ".join(map(repr, data.suites))
            raise InputError(
                f"{where}: suite {suite!r} is not in the outcomes, which hold {known}; correct its name"
            )
        columns = [column_of(one.candidate, data.candidates, f"{where}: {suite}:") for one in own]
        found[suite] = tuple(dict.fromkeys(columns))
    return found


def _warn_of_missing_vectors(data: OutcomeMatrix) -> None:
    missing = 0 if data.vectors is None else int(np.isnan(data.vectors).any(axis=1).sum())
    if missing:
        lacking = f"{missing:,} of {len(data):,} samples have no `vector`"
        text = f"{lacking}; they are fitted as having the mean of the others"
        warnings.warn(RouterLabWarning(text), stacklevel=4)


def _warn_of_near_copies(data: OutcomeMatrix) -> None:
    """Say what near copies do to the evidence, where it is more than NEAR of the clusters."""
    alone, all_ = data.joined[data.name], len(np.unique(data.group))
    before = len(np.unique(alone))
    if before - all_ <= NEAR * before:
        return
    _, first, inverse, sizes = np.unique(
        data.group, return_index=True, return_inverse=True, return_counts=True
    )
    near = alone != alone[first[inverse]]
    mixed = np.isin(inverse, inverse[near])
    largest = np.flatnonzero(mixed & (sizes[inverse] == sizes[inverse[mixed]].max()))
    other = largest[near[largest]][0]
    one = first[inverse[other]]
    named = " and ".join(
        f"{data.sample_id[i]!r} of suite {data.suites[data.suite[i]]!r}" for i in (one, other)
    )
    text = (
        f"{int(mixed.sum()):,} of {len(data):,} samples without a `group` are near copies, as if of one template "
        f"({named}): they count as {len(np.unique(inverse[mixed])):,} clusters, all samples as {all_:,} instead of "
        f"{before:,}. Give a column `group` that says which samples belong together, and it is taken as given"
    )
    warnings.warn(RouterLabWarning(text), stacklevel=4)


def _restrict(frame: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    if recipe.candidates is None:
        return frame
    present, wanted = candidates_of(frame), sorted({c.candidate for c in recipe.candidates})
    for one in wanted:
        column_of(one, present, f"recipe {recipe.name!r}: candidates:")
    kept = frame[whose(frame).places(wanted) >= 0]
    kept.attrs = frame.attrs
    return kept


def _eligible(data: OutcomeMatrix, min_seen: float) -> Mask:
    """[suites + 1, c]: seen on at least `min_seen` of the suite's rows (of all rows, in the first)
    and with a cost.

    A row that was run at a known probability stands for as many as its weight says, give or take
    two standard errors of that count: a race's floor is a fair sample, so who left a race may be
    chosen on it.
    """
    seen = np.where(np.isnan(data.quality), 0.0, data.weight)
    priced = ~np.isnan(data.cost_usd)
    result = np.zeros((len(data.suites) + 1, len(data.candidates)), bool)
    for row in range(len(result)):
        here = data.suite == row - 1 if row else np.ones(len(data), bool)
        if here.any():
            error = np.sqrt((seen[here] * np.maximum(seen[here] - 1, 0)).sum(axis=0)) / here.sum()
            result[row] = (seen[here].mean(axis=0) + 2 * error >= min_seen) & priced[here].any(axis=0)
    return result


def _hardly_drawn(data: OutcomeMatrix, reference: int) -> list[int]:
    """Suites in which a reference that ran on a drawn part ran on far fewer samples than its rows'
    probability says: three standard errors. It was not drawn there, so nobody knows what it would
    have done. Warns of them."""
    drawn = data.drawn(reference)
    if drawn is None:
        return []
    weight, found = data.weight[:, reference], []
    for suite in np.unique(data.suite):
        here = data.suite == suite
        own = weight[drawn & here]
        if own.sum() + 3 * np.sqrt((own * (own - 1)).sum()) < here.sum():
            found.append(int(suite))
            who, share, rows = data.candidates[reference], (1 / weight[drawn]).min(), int(here.sum())
            text = (
                f"suite {data.suites[suite]!r}: {who} ran on {len(own):,} of {rows:,} samples, and its rows say that "
                f"it is drawn with probability {share:.4g}; so it was not drawn there, nothing can be shown, and it "
                "serves all of the suite"
            )
            warnings.warn(RouterLabWarning(text), stacklevel=4)
    return found


def _reference(data: OutcomeMatrix, recipe: Recipe) -> tuple[int, int]:
    """Column of the recipe's reference, and how many it was picked from. `best` = the highest mean
    quality on rows to choose on, the cheaper of equals. Raises InputError for `best` where a
    candidate ran on a drawn part alone.

    Only candidates seen nearly everywhere are compared (all of them where none is); under a
    budget, only those whose mean cost is within it, or the cheapest.
    """
    if recipe.reference != "best":
        what = f"recipe {recipe.name!r}: reference"
        return column_of(recipe.reference.candidate, data.candidates, what), 1
    part = [str(one) for j, one in enumerate(data.candidates) if data.drawn(j) is not None]
    if part:
        raise InputError(
            f"recipe {recipe.name!r}: `reference: best` cannot be told: {', '.join(part)} ran on a drawn part of the "
            "samples alone (its rows say `inclusion`), and means of other rows do not compare; name the reference: "
            "`reference: {model: …, effort: …}`"
        )
    seen = ~np.isnan(data.quality)
    share = seen.mean(axis=0)
    open_ = share >= min(recipe.min_seen, float(share.max()))
    compared = int(open_.sum())
    quality, cost = (column_means(values, data.weight) for values in (data.quality, data.cost_usd))
    if recipe.rule.kind == "budget" and not np.isnan(cost[open_]).all():
        within = open_ & (np.nan_to_num(cost, nan=np.inf) <= (recipe.rule.budget_usd_per_1k or 0.0) / 1000)
        open_ = within if within.any() else open_ & (cost == np.nanmin(cost[open_]))
    ranked = sorted(
        np.flatnonzero(open_), key=lambda j: (-round(float(quality[j]), 9), float(np.nan_to_num(cost[j])))
    )
    return int(ranked[0]), compared


def diagnose(problem: Problem, figures: Callable[[Problem], Refit], seed: int) -> Diagnostics:
    """Would it have saved as much by luck, and would more samples help? Costly, so asked for.

    `label_shuffle`: the figures when outcomes are dealt to other prompts, so that there is
    nothing to learn; `learning_curve`: the figures on a quarter and on half of the groups.
    `figures` fits a problem and returns its figures."""
    data = problem.develop
    rng = np.random.default_rng([seed, 17])
    dealt = rng.permutation(len(data))
    shuffled, learned = (_dealt(one, dealt) for one in (data, problem.learned))
    groups = rng.permutation(np.unique(data.group))
    curve = []
    for share in SHARES:
        some = np.isin(data.group, groups[: max(1, round(share * len(groups)))])
        part = None if problem.trials is None else problem.trials.take(some)
        both = data.take(some), problem.learned.take(some)
        curve.append(figures(replace(problem, develop=both[0], learned=both[1], trials=part)))
    trials = None if problem.trials is None else problem.trials.dealt(dealt)
    other = figures(replace(problem, develop=shuffled, learned=learned, trials=trials))
    return Diagnostics(label_shuffle=other, learning_curve=tuple(curve))


def _dealt(data: OutcomeMatrix, order: Ints) -> OutcomeMatrix:
    """The outcomes of other rows."""
    names = ("quality", "cost_usd", "check", "weight", "missing")
    return replace(data, **{name: getattr(data, name)[order] for name in names})
