"""A candidate asked, once its answer is there and scored, whether that is right: `collect` makes
`signal_self_check` of how sure it is."""

from __future__ import annotations

import re

from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.scorer import Score, Scorer, Target, scorer
from inspect_ai.solver import TaskState

from router_lab.providers.keys import CHECK

ASKED = GenerateConfig(max_tokens=16, logprobs=True, top_logprobs=5)
"""One word is wanted; some providers refuse fewer than 16 tokens."""


@scorer(metrics=[], name="self_check")
def self_check(prompt: str) -> Scorer:
    """A scorer that makes the call and gives no score. It comes after the task's own: a scorer's
    calls are no turn of the candidate's, and no limit but the dollars' counts them.

    prompt: with `{question}` and `{answer}` in it.
    """

    async def score(state: TaskState, target: Target) -> Score | None:
        if not state.output.completion.strip():
            return None
        try:
            model = get_model(role=CHECK, default=get_model())
            await model.generate(filled(prompt, state.input_text, state.output.completion), config=ASKED)
        except Exception:  # noqa: BLE001  # the sample has its answer and its score: a signal less is no failure of it
            pass
        return None

    return score


def filled(prompt: str, question: str, answer: str) -> str:
    """`prompt` with what its places stand for; braces in question and answer stay as they are."""
    texts = {"{question}": question, "{answer}": answer}
    return re.sub(r"\{question\}|\{answer\}", lambda place: texts[place[0]], prompt)
