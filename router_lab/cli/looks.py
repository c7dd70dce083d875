"""What `fit` and `gate` ask of rows, for the count of looks beside the outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router_lab.certificate import Certificate
from router_lab.runtime.artifact import encode_policy, revision_of

if TYPE_CHECKING:
    import pandas as pd

    from router_lab.config import Gate, Recipe
    from router_lab.gates import GateReport
    from router_lab.outcomes.looks import Looks
    from router_lab.runtime.policy import Policy

DIGITS = 6
"""Significant digits of a figure that make two answers different: another machine's last bits do
not."""
NOT_ASKED = {"name", "gates", "expires"}
"""Keys of a recipe that change nothing of what its fit finds."""


def look_of_fit(path: Path, table: pd.DataFrame, recipe: Recipe, policy: Policy) -> Looks:
    """Count this fit among the looks at all rows of `table`, whichever of them the recipe leaves
    out: another `holdout`, or fewer candidates, ask the same rows again."""
    from router_lab.outcomes.looks import Look, Rows, count_look

    shown = Certificate.of(policy)
    rules = (recipe.rule, *recipe.points.values())  # which share one error probability
    figures = [None if f is None else _digits(f.value) for f in (shown.quality_difference, shown.savings)]
    answer = [shown.verdict, shown.reason, shown.n, shown.clusters, *figures]
    look = Look(
        "fit", Rows.of(table), recipe.model_dump(mode="json", exclude=NOT_ASKED), answer, str(shown.verdict),
        sum(1 - rule.confidence for rule in rules) / len(rules),
        {"recipe": recipe.name, "revision": revision_of(encode_policy(policy)),
         "rule": recipe.rule.model_dump(mode="json", exclude_none=True)},
    )  # fmt: skip
    return count_look(path, look)


def look_of_gate(
    path: Path,
    table: pd.DataFrame,
    policy: Policy,
    champion: Policy | None,
    gates: Sequence[Gate],
    report: GateReport,
) -> Looks | None:
    """Count this gate among the looks at the fresh rows that it judged; None where it judged none.

    To pass, a policy must pass every gate, so that the whole is wrong no more often than its least
    certain gate.
    """
    from router_lab.gates.arms import unused_rows
    from router_lab.outcomes.looks import Look, Rows, count_look

    judged = [r for r in report.results if r.rows == "fresh"]
    rows = Rows.of(unused_rows(table, policy, *([] if champion is None else [champion])))
    if not judged or not rows.n:
        return None
    asked = {"policy": policy.spec.name, "revision": policy.revision}
    rival = None if champion is None else champion.revision
    look = Look(
        "gate", rows,
        [policy.revision, rival, sorted(gate.model_dump_json() for gate in gates)],
        sorted([r.name, r.suite or "", r.verdict, _digits(r.value)] for r in judged),
        report.verdict, 1 - min(r.confidence for r in judged),
        asked | ({} if rival is None else {"champion": rival}),
    )  # fmt: skip
    return count_look(path, look)


def looks_json(looks: Looks | None) -> dict[str, Any]:
    """`looks`, and `looks_error_at_most`: the most with which one of that many answers may be
    wrong."""
    return {
        "looks": 0 if looks is None else looks.number,
        "looks_error_at_most": None if looks is None else looks.error,
    }


def _digits(value: Any) -> str:
    return "none" if value is None else f"{float(value) + 0.0:.{DIGITS}g}"
