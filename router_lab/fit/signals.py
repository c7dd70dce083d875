"""Which draws chains may be fitted on: signals that exist at run time, and tell no more than they
could."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from router_lab.config import Recipe
from router_lab.metrics.paired import Floats
from router_lab.outcomes import OutcomeMatrix
from router_lab.outcomes.trials import PREFIX, Trials, signals_of, trials_of
from router_lab.outcomes.turns import without_calls
from router_lab.runtime.chainrules import SIGNAL_NAME
from router_lab.runtime.chains import MOST_SIGNALS
from router_lab.runtime.errors import InputError
from router_lab.runtime.typed import GREATEST

TELLS_ALL = 0.95
"""Correlation with the score from which a signal is taken for the score itself."""
LEAST_ROWS = 30
"""Draws that this can be told from."""


def trials_for(recipe: Recipe, frame: pd.DataFrame, data: OutcomeMatrix) -> Trials | None:
    """The draws behind `data`, with the signals that the recipe allows; None where it asks for no
    chains, the table has nothing to judge an answer by, or rows were left out at random.

    Raises InputError for a signal of the recipe that the table does not have, and for one that
    nearly equals the score.
    """
    if not (recipe.escalate or recipe.caps) or data.weighting is not None:
        return None
    answered = "answer" in frame.columns and bool(frame["answer"].notna().any())
    if not (recipe.caps or recipe.signals or answered or signals_of(frame)):
        return None
    trials = trials_of(frame, data, calls=recipe.caps)
    if trials.calls is not None:  # who has them on some rows alone is stopped by dollars alone
        lacking = without_calls(frame)
        trials.calls[:, [who in lacking for who in data.candidates]] = None
    if recipe.signals is not None:
        unknown = sorted(set(recipe.signals) - set(trials.signals))
        if unknown:
            held = ", ".join(trials.signals) or "no signal at all"
            raise InputError(
                f"recipe {recipe.name!r}: signals: {unknown[0]!r}: the outcomes have no column "
                f"`{PREFIX}{unknown[0]}` with a value; they hold {held}"
            )
        trials = replace(trials, signals={name: trials.signals[name] for name in sorted(recipe.signals)})
    if not recipe.escalate:
        trials = replace(trials, signals={}, answers=None)
    if not (recipe.caps or trials.signals or trials.answers is not None):
        return None
    if len(trials.signals) > MOST_SIGNALS:
        raise InputError(
            f"recipe {recipe.name!r}: the outcomes hold {len(trials.signals)} signals, and a policy judges by at most "
            f"{MOST_SIGNALS}; name those that exist at run time in `signals`"
        )
    suite = data.suite[trials.row]
    for name, values in trials.signals.items():
        _refuse_odd(recipe, name, values)
        for here in (np.ones(len(suite), bool), *(suite == code for code in np.unique(suite))):
            _refuse_score(recipe, data, name, values[here], trials.quality[here])
    return trials


def _refuse_odd(recipe: Recipe, name: str, values: Floats) -> None:
    """InputError for a signal that no artifact could hold."""
    if not SIGNAL_NAME.match(name):
        raise InputError(
            f"recipe {recipe.name!r}: column `{PREFIX}{name}`: the name of a signal is 1 to 64 letters, digits, '.', "
            "'_' or '-'; rename it, or name the signals to use in `signals`"
        )
    known = values[np.isfinite(values)]
    if (np.abs(known) > GREATEST).any():
        raise InputError(
            f"recipe {recipe.name!r}: column `{PREFIX}{name}` holds {known[np.abs(known).argmax()]:g}; a signal is within "
            f"±{GREATEST:g}. Take its logarithm, or name the signals to use in `signals`"
        )


def _refuse_score(recipe: Recipe, data: OutcomeMatrix, name: str, values: Floats, quality: Floats) -> None:
    """InputError where a candidate's signal is its score in other words."""
    for column, candidate in enumerate(data.candidates):
        scored = ~np.isnan(quality[:, column])
        known = scored & np.isfinite(values[:, column])
        signal, score = values[known, column], quality[known, column]
        there = np.isfinite(values[scored, column]).astype(np.float64)
        # Also by ranks, which a few numbers far away do not hide, and by where it is missing.
        told = max(
            _correlation(signal, score), _correlation(_ranks(signal), _ranks(score)),
            _correlation(there, quality[scored, column]),
        )  # fmt: skip
        if told > TELLS_ALL:
            raise InputError(
                f"recipe {recipe.name!r}: signal {name!r} of {candidate} is the score in other words (correlation "
                f"{told:.3f} on {len(score):,} answers, at most {TELLS_ALL} is believed): at run time nobody knows the "
                "score. Leave it out of the outcomes, or name the signals that exist at run time in `signals`"
            )


def _correlation(one: Floats, other: Floats) -> float:
    """Without its sign; 0 where there are too few rows to tell, or nothing varies."""
    if len(one) < LEAST_ROWS:
        return 0.0
    apart, beside = one - one.mean(), other - other.mean()
    spread = float(np.sqrt((apart * apart).sum() * (beside * beside).sum()))
    return abs(float((apart * beside).sum())) / spread if spread > 0 else 0.0


def _ranks(values: Floats) -> Floats:
    """[n] mean ranks, equals alike."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place], np.float64)
