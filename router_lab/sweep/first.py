"""The first question that a task would ask of a candidate, found by running its solver up to
there: nothing is sent.

So that what a task puts around its samples, and what it sets itself (`Task(config=…)`,
`generate(max_tokens=…)`), is seen before a cent is spent. A solver that needs a sandbox, or
another model's answer first, cannot be run that far.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from inspect_ai import Task

from router_lab.inspect_compat import first_question
from router_lab.providers.asking import OFFLINE, Ask
from router_lab.sweep.settings import Cell

TIMEOUT_S = 10.0


def first_ask(cell: Cell, task: Task) -> Ask | None:
    """What `task` would ask of the cell's model for its first sample, or None where that cannot be
    known beforehand."""
    if cell.spec.model.partition("/")[0] in OFFLINE or task.model is None:
        return None
    with ThreadPoolExecutor(1) as threads:  # a thread's own context: nothing of it stays behind
        heard = threads.submit(asyncio.run, first_question(task, task.model, TIMEOUT_S)).result()
    if heard is None:
        return None
    prepared, config = heard
    choice = prepared.tool_choice
    return Ask(
        [message.model_dump(exclude_none=True) for message in prepared.input],
        [tool.model_dump(exclude_none=True) for tool in prepared.tools],
        choice if isinstance(choice, str) else {"name": choice.name},
        config.model_dump(exclude_none=True),
    )
