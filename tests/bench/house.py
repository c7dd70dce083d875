"""`make bench-house`: the size of `router_lab`: statements, how long lines are, functions and modules that are too long.

python tests/bench/house.py
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).resolve().parents[2] / "router_lab"
FUNCTION, MODULE, P90 = 45, 350, 100
"""Lines of a function and of a module at most, and characters of nine lines in ten."""


class House(NamedTuple):
    """Of all modules: statements of the syntax tree; non-empty lines, the 90th percentile of their length; and what
    is over the limits, as (lines, place)."""

    statements: int
    lines: int
    p90: int
    functions: list[tuple[int, str]]
    modules: list[tuple[int, str]]


def measured(package: Path = PACKAGE) -> House:
    """The house as it stands."""
    statements, lengths = 0, list[int]()
    functions, modules = list[tuple[int, str]](), list[tuple[int, str]]()
    for path in sorted(package.rglob("*.py")):
        text, name = path.read_text("utf-8"), str(path.relative_to(package))
        tree = ast.parse(text)
        statements += sum(isinstance(node, ast.stmt) for node in ast.walk(tree))
        lengths += [len(line) for line in text.splitlines() if line.strip()]
        functions += [(size, f"{name} {own}") for size, own in _functions(tree) if size > FUNCTION]
        if (size := len(text.splitlines())) > MODULE:
            modules.append((size, name))
    p90 = sorted(lengths)[int(0.9 * len(lengths))]
    return House(
        statements, len(lengths), p90, sorted(functions, reverse=True), sorted(modules, reverse=True)
    )


def _functions(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1, node.name


def main() -> None:
    house = measured()
    print(f"statements          {house.statements:,}")
    print(f"lines               {house.lines:,}")
    print(f"p90 of their length {house.p90} characters (at most {P90})")
    for what, limit, found in (("functions", FUNCTION, house.functions), ("modules", MODULE, house.modules)):
        print(f"{what} above {limit} lines: {len(found) or 'none'}")
        for size, place in found:
            print(f"  {size:4} {place}")


if __name__ == "__main__":
    main()
