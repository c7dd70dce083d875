"""Code: small Python functions from a signature and a docstring. Quality is 1 if every hidden test passes, else 0.

The check is what a runtime could do itself: the code parses and gives the results that its docstring shows. It may
disagree with quality, because the examples leave the edge cases out.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Mapping
from typing import Any

from anyio import to_thread
from boundary import check_task, choose, run_answer
from inspect_ai import Task, task
from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer, stderr
from inspect_ai.solver import TaskState
from sandbox import Ran
from suite_lib import scored, suite_task

from router_lab.providers.boundary import BOUNDARY_KEY, CODE_KEY

FENCE = re.compile(r"```[ \t]*(?:\w+[ \t]*)?\n(.*?)(?:\n[ \t]*```|\Z)", re.S)
MOST_CHARACTERS, MOST_LINES = 1 << 18, 400
"""Of an answer that is read, and of its code: each line of code may cost a parse of all before it."""


@task
def code(guard: bool = False, sandbox: str | list[str] | None = None) -> Task:
    """Args: whether the built-in guard is enough where no kernel boundary is to be had; an Inspect sandbox to run the
    code in, such as `docker` or `[docker, compose.yaml]`. Raises PrerequisiteError if nothing may run the answers."""
    given: list[Any] = [sandbox] if isinstance(sandbox, str) else sandbox or [None]
    provider, *config = given
    boundary = choose(provider, guard=guard)
    check_task(boundary)
    made = suite_task("code", tests(guard), sandbox=(provider, *config) if config else provider)
    made.metadata = {**(made.metadata or {}), CODE_KEY: boundary.declared("code")}
    return made


@scorer(metrics=[accuracy(), stderr()])
def tests(guard: bool = False) -> Scorer:
    """1.0 when the hidden tests pass; the check is that the code parses and passes the examples of its docstring. The
    score's metadata says within what the code was run."""

    async def score(state: TaskState, target: Target) -> Score:
        text, row = state.output.completion, state.metadata
        source = await to_thread.run_sync(read_code, text, row["name"], row["signature"])
        if source is None:
            return scored(0.0, answer=None, check=False)
        calls = [arguments for arguments, _ in cases(row)]
        ran, held_by = await run_answer(text, source, row["name"], calls, suite="code", guard=guard)
        value, check = judge(ran, row)
        return scored(value, answer=source, check=check, **{BOUNDARY_KEY: held_by})

    return score


def cases(row: Mapping[str, Any]) -> list[tuple[list[Any], Any]]:
    """[arguments, result] each, those of the docstring first. Only the arguments ever reach the code."""
    return [*row["examples"], *row["tests"]]


def judge(ran: Ran, row: Mapping[str, Any]) -> tuple[float, bool]:
    """(quality, check) of what came of the calls of `row`."""
    passed = ran.passed([result for _, result in cases(row)])
    return float(all(passed)), all(passed[: len(row["examples"])])


def read_code(completion: str, name: str, signature: str) -> str | None:
    """The Python source in a reply that defines `name`: the last fenced block that does, else the text from its first
    code line on, else a bare body put under the signature; None if nothing of it parses."""
    if len(completion) > MOST_CHARACTERS:
        return None
    blocks = [textwrap.dedent(block) for block in FENCE.findall(completion)]
    for text in [*reversed(blocks), completion]:
        source = _longest(text, name)
        if source is not None:
            return source
    body = blocks[-1] if blocks else completion
    if re.search(r"^[ \t]*def ", body, re.M) or not re.search(r"^[ \t]*return\b", body, re.M):
        return None
    return _parsed(f"{signature}\n{textwrap.indent(textwrap.dedent(body.strip(chr(10))), '    ')}\n", name)


def _longest(text: str, name: str) -> str | None:
    """The longest run of lines that parses and defines `name`, from the first line that looks like code."""
    lines = text.splitlines()
    first = next(
        (i for i, line in enumerate(lines) if re.match(r"(?:def|import|from|@|class)\b", line)), None
    )
    if first is None:
        return None
    for end in range(min(len(lines), first + MOST_LINES), first, -1):
        source = _parsed("\n".join(lines[first:end]) + "\n", name)
        if source is not None:
            return source
    return None


def _tree(source: str, tries: int = 5) -> ast.Module:
    """CPython now and then fails to parse a valid text (`SystemError: AST constructor recursion depth mismatch`, its
    issue 106905: another parse in between, in the same interpreter); the same text is parsed the next time."""
    for _ in range(tries - 1):
        try:
            return ast.parse(source)
        except SystemError:
            continue
    return ast.parse(source)


def _parsed(source: str, name: str) -> str | None:
    try:
        tree = _tree(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    defined = any(isinstance(node, ast.FunctionDef) and node.name == name for node in tree.body)
    return source if defined else None
