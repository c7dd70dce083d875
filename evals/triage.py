"""Triage: a support ticket into one of six labels. Quality is 1 for the right label, else 0."""

from __future__ import annotations

from inspect_ai import Task, task
from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer, stderr
from inspect_ai.solver import TaskState
from suite_lib import final_label, scored, suite_task, was_cut

LABELS = ("billing", "login", "bug", "shipping", "feature", "cancel")


@task
def triage() -> Task:
    return suite_task("triage", label())


@scorer(metrics=[accuracy(), stderr()])
def label() -> Scorer:
    """1.0 when the text settles on the target label; the check is that it settles on any label of the set."""

    async def score(state: TaskState, target: Target) -> Score:
        value, answer, check = grade(state.output.completion, target.text, cut=was_cut(state))
        return scored(value, answer=answer, check=check)

    return score


def grade(completion: str, target: str, *, cut: bool = False) -> tuple[float, str | None, bool]:
    """(quality, the answer read, check)."""
    found = final_label(completion, LABELS, cut=cut)
    return float(found == target), found, found is not None
