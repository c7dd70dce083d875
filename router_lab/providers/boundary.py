"""What a task that runs code of models says of itself, and to whom: shared words, standard library
alone.

Such a task has `metadata[CODE_KEY]`, a mapping: `boundary` (what holds the code: `inspect`,
`bubblewrap` or `guard`), `said` (the same for people), `refuse` (null, or why no candidate's code
may be run here and what to do about it) and `trusts` (recordings whose answers may be run all the
same: their paths and sha256).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

CODE_KEY = "runs_code"
"""Metadata key of such a task, and so of its logs."""

BOUNDARY_KEY = "boundary"
"""Metadata key of a score: what held the code of that very answer."""

GUARD_VARIABLE = "ROUTER_LAB_CODE_GUARD"
"""Environment variable by which a user says (`yes`) that the guard alone is enough for code of
models."""

_checked: ContextVar[bool] = ContextVar("candidates_are_checked", default=False)


@contextmanager
def checking_candidates() -> Iterator[None]:
    """While tasks are made by somebody who asks each of them about each candidate, before anything
    is paid."""
    token = _checked.set(True)
    try:
        yield
    finally:
        _checked.reset(token)


def candidates_are_checked() -> bool:
    """Whether the task that is being made may leave the refusal to its caller."""
    return _checked.get()
