"""The first question that a task would ask of a candidate, found by running its solver up to
there: nothing is sent.

So that what a task puts around its samples, and what it sets itself (`Task(config=…)`,
`generate(max_tokens=…)`), is seen before a cent is spent. A solver that needs a sandbox, or
another model's answer first, cannot be run that far.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from copy import deepcopy
from typing import Any

from inspect_ai import Task
from inspect_ai._eval.task.generate import task_generate
from inspect_ai._eval.task.run import resolve_plan
from inspect_ai._eval.task.util import sample_messages
from inspect_ai.log._transcript import Transcript, init_transcript
from inspect_ai.model import GenerateConfig, Model, ModelName
from inspect_ai.model._model import init_active_model
from inspect_ai.scorer import Target
from inspect_ai.solver import TaskState
from inspect_ai.solver._task_state import set_sample_state
from inspect_ai.util._store import init_subtask_store

from router_lab.providers.asking import OFFLINE, Ask
from router_lab.sweep.settings import Cell

TIMEOUT_S = 10.0


class _Asked(Exception):
    """Thrown where a model would be asked."""


def first_ask(cell: Cell, task: Task) -> Ask | None:
    """What `task` would ask of the cell's model for its first sample, or None where that cannot be
    known beforehand."""
    if cell.spec.model.partition("/")[0] in OFFLINE or task.model is None:
        return None
    heard: list[tuple[Model, Any, GenerateConfig]] = []
    with (
        _listening(heard),
        ThreadPoolExecutor(1) as threads,
    ):  # a thread's own context: nothing of it stays behind
        threads.submit(asyncio.run, _run(task, task.model)).result()
    if not heard or heard[0][0] is not task.model:
        return None
    _, prepared, config = heard[0]
    choice = prepared.tool_choice
    return Ask(
        [message.model_dump(exclude_none=True) for message in prepared.input],
        [tool.model_dump(exclude_none=True) for tool in prepared.tools],
        choice if isinstance(choice, str) else {"name": choice.name},
        config.model_dump(exclude_none=True),
    )


async def _run(task: Task, model: Model) -> None:
    sample = deepcopy(task.dataset[0])
    state = TaskState(
        model=ModelName(model),
        sample_id=sample.id or 0,
        epoch=1,
        input=sample.input,
        messages=sample_messages(sample),
        target=Target(sample.target),
        choices=sample.choices,
        metadata=sample.metadata or {},
    )

    async def generate(state: TaskState, tool_calls: Any = "loop", **fields: Any) -> TaskState:
        cached = fields.pop("cache", False)
        return await task_generate(model, state, tool_calls, cached, task.config.merge(fields))  # type: ignore[arg-type]

    try:
        init_active_model(model, task.config)
        set_sample_state(state)
        init_transcript(Transcript())
        init_subtask_store(state.store)
        async with asyncio.timeout(TIMEOUT_S):
            for step in resolve_plan(task, None).steps:
                state = await step(state, generate)
    except Exception:  # noqa: BLE001  # a stranger's solver without what an eval gives it: then it is not known
        pass


@contextmanager
def _listening(heard: list[tuple[Model, Any, GenerateConfig]]) -> Iterator[None]:
    """Whatever model is asked meanwhile is not: the first question is kept, and who was to answer
    it."""

    async def instead(self: Model, *, prepared: Any, config: GenerateConfig, **_: Any) -> Any:
        heard.append((self, prepared, config))
        raise _Asked

    @asynccontextmanager
    async def slot(self: Model, config: GenerateConfig) -> AsyncIterator[None]:
        yield None

    kept = Model._generate, Model._connection_concurrency
    Model._generate, Model._connection_concurrency = instead, slot  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        Model._generate, Model._connection_concurrency = kept  # type: ignore[method-assign]
