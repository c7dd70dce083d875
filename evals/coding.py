"""Code: small Python functions from a signature and a docstring. Quality is 1 if every hidden test passes, else 0.

The check is what a runtime could do itself: the code parses and gives the results that its docstring shows. It may
disagree with quality, because the examples leave the edge cases out.
"""

from __future__ import annotations

import ast
import re
import textwrap
from typing import Any

from anyio import to_thread
from inspect_ai import Task, task
from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer, stderr
from inspect_ai.solver import TaskState
from sandbox import run_calls
from suite_lib import scored, suite_task

FENCE = re.compile(r"```[ \t]*\w*[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.S)


@task
def code() -> Task:
    return suite_task("code", tests())


@scorer(metrics=[accuracy(), stderr()])
def tests() -> Scorer:
    """1.0 when the hidden tests pass; the check is that the code parses and passes the examples of its docstring."""

    async def score(state: TaskState, target: Target) -> Score:
        # In a thread, so that other samples go on while the tests run.
        value, answer, check = await to_thread.run_sync(grade, state.output.completion, state.metadata)
        return scored(value, answer=answer, check=check)

    return score


def grade(completion: str, row: dict[str, Any]) -> tuple[float, str | None, bool]:
    """(quality, the code read, check). `row` has name, signature, examples and tests ([arguments, result] each)."""
    source = read_code(completion, row["name"], row["signature"])
    if source is None:
        return 0.0, None, False
    cases = [*row["examples"], *row["tests"]]
    ran = run_calls(source, row["name"], [arguments for arguments, _ in cases])
    passed = ran.passed([result for _, result in cases])
    shown = len(row["examples"])
    return float(all(passed)), source, all(passed[:shown])


def read_code(completion: str, name: str, signature: str) -> str | None:
    """The Python source in a reply that defines `name`: the last fenced block that does, else the text from its first
    code line on, else a bare body put under the signature; None if nothing of it parses."""
    blocks = [textwrap.dedent(block) for block in FENCE.findall(completion)]
    for text in [*reversed(blocks), completion]:
        source = _longest(text, name)
        if source is not None:
            return source
    body = blocks[-1] if blocks else completion
    if re.search(r"^\s*def ", body, re.M) or not re.search(r"^\s*return\b", body, re.M):
        return None
    return _parsed(f"{signature}\n{textwrap.indent(textwrap.dedent(body.strip(chr(10))), '    ')}\n", name)


def _longest(text: str, name: str) -> str | None:
    """The longest run of lines that parses and defines `name`, from the first line that looks like code."""
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if re.match(r"(?:def|import|from|@|class)\b", line)), None)
    if first is None:
        return None
    for end in range(len(lines), first, -1):
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
