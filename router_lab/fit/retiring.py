"""Who of a fit's candidates retires, told before anything is fitted."""

from __future__ import annotations

import datetime as dt
import warnings

from router_lab.fit.problem import Problem
from router_lab.runtime.errors import RouterLabWarning


def warn_of_retirement(problem: Problem) -> None:
    """Say who has retired, or does while the policy still serves: nothing is shown of it without
    them."""
    recipe, today = problem.recipe, dt.datetime.now(dt.UTC).date()
    until, reference = recipe.expires, problem.develop.candidates[problem.reference]
    end = "which never expires" if until is None else f"which expires on {until}"
    for candidate, day in sorted(recipe.retirements.items(), key=lambda one: (one[1], one[0])):
        if candidate not in problem.develop.candidates:
            continue
        if day <= today:
            mend = "take another `reference`" if candidate == reference else "leave it out (`candidates`)"
            what = (
                f"{candidate} retired on {day} and is asked no more, but counts in all that is shown: {mend}"
            )
        elif until is None or day < until:
            what = (
                f"{candidate} retires on {day}, before the policy does, {end}: nothing is shown of the policy "
                f"without it; set `expires: {day}` or earlier, and fit again by then"
            )
        else:
            continue
        warnings.warn(RouterLabWarning(f"recipe {recipe.name!r}: {what}"), stacklevel=3)
