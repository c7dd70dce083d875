"""Arithmetic: word problems of one to five steps. Quality is 1 for the right number, else 0."""

from __future__ import annotations

from inspect_ai import Task, task
from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer, stderr
from inspect_ai.solver import TaskState
from suite_lib import final_number, scored, suite_task, to_number, was_cut


@task
def arithmetic() -> Task:
    return suite_task("arithmetic", number())


@scorer(metrics=[accuracy(), stderr()])
def number() -> Scorer:
    """1.0 when the text settles on the target; the check is that it settles on any whole number of 0 or more."""

    async def score(state: TaskState, target: Target) -> Score:
        value, answer, check = grade(state.output.completion, target.text, cut=was_cut(state))
        return scored(value, answer=answer, check=check)

    return score


def grade(completion: str, target: str, *, cut: bool = False) -> tuple[float, str | None, bool]:
    """(quality, the answer read, check)."""
    found = final_number(completion, cut=cut)
    if found is None:
        return 0.0, None, False
    return float(found == to_number(target)), f"{found:g}", found >= 0 and found == int(found)
