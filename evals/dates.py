"""Dates and small logic: one word, number or time. Quality is 1 for the right one, else 0."""

from __future__ import annotations

import re
from collections.abc import Sequence

from inspect_ai import Task, task
from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer, stderr
from inspect_ai.solver import TaskState
from suite_lib import final_label, final_number, scored, suite_task, to_number, was_cut

TIME = re.compile(r"(?<![\d:])(\d{1,2}):(\d\d)(?::00)?(?![\d:])(?:\s*([ap])\.?m\b\.?)?", re.I)
SETTLES = r"(?:^|[.!?\n]\s*)[^.!?\n]*\b(?:is|are|was|be|on|in|answer)\b\s*:?\s*(?:a |the )?({})\s*[.!]?\s*$"


@task
def dates() -> Task:
    return suite_task("dates", settled())


@scorer(metrics=[accuracy(), stderr()])
def settled() -> Scorer:
    """1.0 when the text settles on the target; the check is that it settles on any answer of the kind asked for."""

    async def score(state: TaskState, target: Target) -> Score:
        kind, options = state.metadata["kind"], state.metadata["options"]
        value, answer, check = grade(
            state.output.completion, target.text, cut=was_cut(state), kind=kind, options=options
        )
        return scored(value, answer=answer, check=check)

    return score


def grade(
    completion: str, target: str, *, cut: bool = False, kind: str = "word", options: Sequence[str] = ()
) -> tuple[float, str | None, bool]:
    """(quality, the answer read, check). `kind` and `options` as the dataset has them."""
    if kind == "number":
        number = final_number(completion, cut=cut)
        if number is None:
            return 0.0, None, False
        return float(number == to_number(target)), f"{number:g}", number > 0 and number == int(number)
    found = final_time(completion, cut=cut) if kind == "time" else final_word(completion, options, cut=cut)
    return float(found is not None and found == target.casefold()), found, found is not None


def final_word(text: str, options: Sequence[str], *, cut: bool = False) -> str | None:
    """The option a text settles on, in lower case: as `final_label` reads it, else what ends "… is Thursday."."""
    labels = tuple(option.casefold() for option in options)
    plain = text.replace("**", "").replace("`", "").casefold()
    last = next((line for line in reversed(plain.splitlines()) if line.strip()), "")
    # "It is not Monday" and "Monday or Tuesday" settle on nothing, whatever they end on.
    if "yes" not in labels and re.search(r"\bnot\b|n't\b|\bor\b", last):
        return None
    label = final_label(text, labels, cut=cut)
    if label is not None or cut:
        return label
    settled = re.search(SETTLES.format("|".join(map(re.escape, labels))), plain)
    return settled[1] if settled else None


def final_time(text: str, *, cut: bool = False) -> str | None:
    """The time of day a text settles on, as HH:MM: what ends it, or the only one of its last line; none if cut."""
    lines = [line for line in text.replace("**", "").strip().splitlines() if TIME.search(line)]
    if cut or not lines:
        return None
    times = list(TIME.finditer(lines[-1]))
    ends = re.fullmatch(r"[\s.!`\"')}]*", lines[-1][times[-1].end() :])
    hedged = len(times) > 1 and re.search(r"\bor\b|/", lines[-1])
    if hedged or not (ends or len({_clock(found) for found in times}) == 1):
        return None
    return _clock(times[-1])


def _clock(found: re.Match[str]) -> str | None:
    hour, minute = int(found[1]), int(found[2])
    if found[3]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (found[3].casefold() == "p")
    return f"{hour:02d}:{minute:02d}" if hour < 24 and minute < 60 else None
