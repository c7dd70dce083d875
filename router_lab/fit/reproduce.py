"""Does a certificate follow from its outcomes? Fit again from the artifact's own recipe and
compare."""

from __future__ import annotations

from collections.abc import Iterator
from math import isclose
from typing import Any

import pandas as pd

from router_lab.certificate import Certificate
from router_lab.config import Recipe
from router_lab.fit.build import fit_policy
from router_lab.outcomes import outcomes_for
from router_lab.runtime.artifact import encode_policy, revision_of
from router_lab.runtime.errors import InputError
from router_lab.runtime.policy import Policy

TOLERANCE = 1e-6


def reproduce(policy: Policy, outcomes: pd.DataFrame) -> dict[str, Any]:
    """Fit `outcomes` with the recipe and seed in the policy's provenance.

    `differences` names every figure of the certificate that is not reproduced to six digits;
    `same_revision` says whether the bytes are the same too, which also needs the same library
    versions. Raises InputError when the artifact does not hold its recipe, or for outcomes that
    are not the policy's (`outcomes_for`).
    """
    outcomes = outcomes_for(policy, outcomes, "verify")
    provenance = policy.spec.provenance
    if "recipe" not in provenance:
        raise InputError(
            f"policy {policy.spec.name!r}: provenance holds no recipe, so its fit cannot be repeated"
        )
    was = Certificate.of(policy)
    again = fit_policy(
        Recipe.model_validate(dict(provenance["recipe"])),
        outcomes,
        int(provenance.get("seed", 0)),
        diagnostics=was.diagnostics is not None,
    )
    now = Certificate.of(again)
    return {
        "same_revision": revision_of(encode_policy(again)) == policy.revision,
        "verdict": now.verdict,
        "was": was.verdict,
        "differences": list(_differences(was.to_json(), now.to_json(), "")),
    }


def _differences(was: Any, now: Any, path: str) -> Iterator[str]:
    if isinstance(was, dict) and isinstance(now, dict):
        for key in sorted(was.keys() | now.keys()):
            yield from _differences(was.get(key), now.get(key), f"{path}.{key}" if path else key)
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for i, (first, second) in enumerate(zip(was, now, strict=True)):
            yield from _differences(first, second, f"{path}[{i}]")
    elif isinstance(was, float) and isinstance(now, float | int):
        if not isclose(was, now, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield f"{path}: {was:g}, now {now:g}"
    elif was != now:
        yield f"{path}: {was!r}, now {now!r}"
