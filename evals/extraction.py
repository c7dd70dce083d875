"""Extraction: fields of a messy document as JSON. Quality is the share of the fields that are right."""

from __future__ import annotations

import json

from inspect_ai import Task, task
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import TaskState
from suite_lib import last_object, same_value, scored, suite_task


@task
def extraction() -> Task:
    return suite_task("extraction", fields())


@scorer(metrics=[mean(), stderr()])
def fields() -> Scorer:
    """The share of right fields; the check: the last JSON object has just the keys asked for, each with a value."""

    async def score(state: TaskState, target: Target) -> Score:
        value, answer, check = grade(state.output.completion, target.text)
        return scored(value, answer=answer, check=check)

    return score


def grade(completion: str, target: str, *, cut: bool = False) -> tuple[float, str | None, bool]:
    """(quality, the answer read, check). `cut` changes nothing: an object is complete or it is none."""
    want: dict[str, str] = json.loads(target)
    got = last_object(completion)
    if got is None:
        return 0.0, None, False
    right = sum(same_value(got.get(key), value) for key, value in want.items())
    check = got.keys() == want.keys() and all(
        isinstance(v, (str, int, float)) and str(v).strip() for v in got.values()
    )
    return right / len(want), json.dumps(got, ensure_ascii=False), check
