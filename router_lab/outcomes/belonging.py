"""Whether outcomes are those of a policy: one check in one wording, for all that scores a policy
on a table."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import pandas as pd

from router_lab.outcomes.candidates import candidates_of
from router_lab.outcomes.schema import scored_figures, validate_outcomes
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.policy import Policy

MOST = 6
"""Names that a message lists before it counts the rest."""


def outcomes_for(policy: Policy, outcomes: pd.DataFrame, where: str) -> pd.DataFrame:
    """`outcomes`, raw or validated, as a validated table (`validate_outcomes`) on which `policy`
    can be scored.

    where: what is being done, as messages begin. Raises InputError where the outcomes hold no
    scored row of the policy's candidates, none of its reference, or no suite that it knows: what
    is the matter, and what to do. Warns (RouterLabWarning) of single candidates that do not occur
    and of suites that the policy does not know.
    """
    frame = validate_outcomes(outcomes, where=f"{where}: outcomes")
    name = f"policy {policy.spec.name!r}"
    scored = scored_figures(frame)
    held = candidates_of(scored)
    missing = [c for c in policy.candidates if c not in held]
    if len(missing) == len(policy.candidates):
        theirs = f"they hold {_some(held)}" if held else "none of their rows was scored"
        own = f"any candidate of {name} ({_some(policy.candidates)})"
        raise InputError(
            f"{where}: the outcomes hold no scored row of {own}; {theirs}. Give outcomes of a sweep over the policy's "
            "candidates, model and effort written alike, or fit a policy on these"
        )
    if policy.reference in missing:
        raise InputError(
            f"{where}: the outcomes hold no scored row of {policy.reference}, the reference of {name}, with which all "
            f"is compared; they hold {_some(held)}. Run the reference on these samples too, or fit a policy on these"
        )
    _check_suites(policy, scored, where, name)
    if missing:
        text = (
            f"the outcomes hold no row of {_some(missing)} of {name}; samples that it sends there are skipped"
        )
        warnings.warn(RouterLabWarning(f"{where}: {text}"), stacklevel=3)
    return frame


def _check_suites(policy: Policy, scored: pd.DataFrame, where: str, name: str) -> None:
    known, suites = set(policy.spec.suites), scored["suite"].drop_duplicates().tolist()
    strange = sorted(suite for suite in suites if suite not in known)
    if not known or not strange:
        return
    if len(strange) == len(suites):
        raise InputError(
            f"{where}: no suite of the outcomes ({_some(strange)}) is one of {name} ({_some(sorted(known))}), so "
            "predictions of all suites pooled would be judged. Give outcomes of its suites, rename them in column "
            "`suite`, or fit a policy on these"
        )
    rows = int(scored["suite"].isin(strange).sum())
    text = f"{rows:,} of {len(scored):,} rows are of suites that {name} does not know ({_some(strange)})"
    warnings.warn(
        RouterLabWarning(f"{where}: {text}; they are decided like requests without a suite"), stacklevel=4
    )


def _some(names: Iterable[object]) -> str:
    listed = [str(name) for name in names]
    more = f" and {len(listed) - MOST} more" if len(listed) > MOST else ""
    return ", ".join(listed[:MOST]) + more
