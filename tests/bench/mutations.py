"""What a mutant is: one small change of a syntax tree; and what is not drawn since no test could or should see it.

Not drawn, by rule:

- what only a reader sees: docstrings, annotations, f-strings, what is raised or warned (the message; that it is raised is
  drawn), `__repr__` and `__str__`, strings as such (a comparison with one is drawn);
- what only tools see: decorators, `assert` (it narrows types), `TYPE_CHECKING`, `zip(strict=)`, `stacklevel=`, `repr=`;
- guards against rounding and overflow: numbers below 1e-6 and above 1e6, which are as good when doubled;
- what is no program at all: another operator between texts, lists or types.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

Put = Callable[[ast.AST], None]
Change = Callable[[Any], ast.AST | None]
"""Turns a copy of a node into what stands there instead; None leaves it where it is (it was changed in place)."""

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
TWINS = {
    a: b
    for pair in (
        "min max",
        "minimum maximum",
        "any all",
        "floor ceil",
        "argmin argmax",
        "cdf sf",
        "sum mean",
        "zeros ones",
    )
    for a, b in (pair.split(), pair.split()[::-1])
}
"""Functions that take the same arguments and say the opposite."""

UNSEEN_KEYWORDS = {"strict", "stacklevel", "repr"}
UNSEEN_FUNCTIONS = {"__repr__", "__str__"}
SMALL, LARGE = 1e-6, 1e6


@dataclass(frozen=True)
class Mutant:
    """The `turn`-th change of the `node`-th node (in the order of `drawable`) of a file."""

    path: Path
    node: int
    turn: int
    line: int
    lines: tuple[int, ...]
    """Lines that run if it does: its own, or those of the function whose default it is; none of a module's constant."""
    told: str
    """What was there and what stands there instead."""


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def mutants(path: Path) -> list[Mutant]:
    """Every mutant of a file, in the order of its text."""
    made = []
    for number, (node, _, lines) in enumerate(drawable(parsed(path))):
        for turn, change in enumerate(changes(node)):
            told = _told(ast.unparse(node), ast.unparse(_changed(node, change)))
            made.append(Mutant(path, number, turn, getattr(node, "lineno", 0), lines, told))
    return made


def mutated(mutant: Mutant) -> ast.Module:
    """The syntax tree of the mutant's file with its one change."""
    tree = parsed(mutant.path)
    node, put, _ = list(drawable(tree))[mutant.node]
    put(_changed(node, list(changes(node))[mutant.turn]))
    return ast.fix_missing_locations(tree)


def drawable(
    tree: Any, lines: tuple[int, ...] = (), inside: bool = False
) -> Iterator[tuple[ast.AST, Put, tuple[int, ...]]]:
    """Nodes that may be changed, each with what puts another into its place, and the lines that run if it does."""
    function = isinstance(tree, ast.FunctionDef)
    for name, value in ast.iter_fields(tree):
        if _unseen(tree, name):
            continue
        for at, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or _hidden(child):
                continue
            own = lines
            if isinstance(child, ast.stmt) and (inside or function):
                own = _header(child)
            elif function:  # a default: seen where the function runs
                own = _span(tree.body[0], tree.body[-1])
            yield child, partial(_put, tree, name, at), own
            yield from drawable(child, own, inside or function)


def changes(node: Any) -> Iterator[Change]:
    """What may be done to a node."""
    yield from _of_statement(node)
    match node:
        case ast.Compare(ops=ops):
            for at, op in enumerate(ops):
                for other in COMPARISONS[type(op)]:
                    yield partial(_compare, at=at, other=other)
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in ARITHMETIC and not _joins(node):
            yield lambda n: setattr(n, "op", ARITHMETIC[type(n.op)]())
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert()):
            yield lambda n: n.operand
        case ast.BoolOp(op=op):
            yield lambda n: setattr(n, "op", ast.Or() if isinstance(n.op, ast.And) else ast.And())
        case ast.Constant(value=bool()):
            yield lambda n: setattr(n, "value", not n.value)
        case ast.Constant(value=int() | float() as value) if value == 0 or SMALL <= abs(value) <= LARGE:
            yield lambda n: setattr(n, "value", _other_number(n.value))
        case ast.Call(func=func, keywords=keywords):
            if _name(func) in TWINS:
                yield _twin
            for at, keyword in enumerate(keywords):
                if keyword.arg is not None and keyword.arg not in UNSEEN_KEYWORDS:
                    yield partial(_without_keyword, at=at)


def _of_statement(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        yield lambda n: setattr(n, "test", ast.UnaryOp(ast.Not(), n.test))
    if isinstance(node, ast.Raise | ast.AugAssign) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ):
        yield lambda n: ast.copy_location(ast.Pass(), n)
    if isinstance(node, ast.Continue):
        yield lambda n: ast.copy_location(ast.Break(), n)
    if isinstance(node, ast.Break):
        yield lambda n: ast.copy_location(ast.Continue(), n)


def _unseen(tree: ast.AST, field: str) -> bool:
    """Whether nothing of this field is drawn."""
    if field in ("annotation", "returns", "decorator_list", "type_params", "bases"):
        return True
    if isinstance(tree, ast.Raise) or (isinstance(tree, ast.keyword) and tree.arg in UNSEEN_KEYWORDS):
        return True
    return (
        isinstance(tree, ast.Call) and field in ("args", "keywords") and _name(tree.func) in ("warn", "cast")
    )


def _hidden(node: ast.AST) -> bool:
    """Whether a node and all in it are not drawn."""
    if isinstance(node, ast.JoinedStr | ast.Assert | ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.FunctionDef) and node.name in UNSEEN_FUNCTIONS:
        return True
    return isinstance(node, ast.If) and _name(node.test) == "TYPE_CHECKING"


def _joins(node: ast.AST) -> bool:
    """`+` of texts or lists, `%` of a text, `|` of types: with another operator it is no program."""
    sides = [getattr(node, side, None) for side in ("left", "right", "value")]
    return any(
        isinstance(side, ast.JoinedStr | ast.List | ast.Tuple | ast.ListComp)
        or (isinstance(side, ast.Constant) and not isinstance(side.value, int | float))
        for side in sides
    )


def _changed(node: ast.AST, change: Change) -> ast.AST:
    """A copy of a node with a change made."""
    new = copy.deepcopy(node)
    return change(new) or new


def _compare(node: ast.Compare, at: int, other: type[ast.cmpop]) -> None:
    node.ops[at] = other()


def _without_keyword(node: ast.Call, at: int) -> None:
    del node.keywords[at]


def _twin(node: Any) -> None:
    func = node.func
    if isinstance(func, ast.Name):
        func.id = TWINS[func.id]
    else:
        func.attr = TWINS[func.attr]


def _other_number(value: float) -> float:
    if isinstance(value, int):
        return value + 1
    return 1.0 if value == 0 else value * 2


def _name(node: ast.AST) -> str:
    return getattr(node, "id", "") or getattr(node, "attr", "")


def _put(tree: ast.AST, field: str, at: int | None, new: ast.AST) -> None:
    if at is None:
        setattr(tree, field, new)
    else:
        getattr(tree, field)[at] = new


def _header(statement: ast.stmt) -> tuple[int, ...]:
    """The lines of a statement without what stands indented below it."""
    below = getattr(statement, "body", None)
    return tuple(range(statement.lineno, below[0].lineno)) if below else _span(statement, statement)


def _span(first: ast.stmt, last: ast.stmt) -> tuple[int, ...]:
    return tuple(range(first.lineno, (last.end_lineno or last.lineno) + 1))


def _told(before: str, after: str) -> str:
    """Both texts, from shortly before they differ."""
    differ = next((at for at, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
    start = max(0, differ - 40)
    return "  →  ".join(
        ("…" if start else "")
        + text[start : start + 80].replace("\n", " ")
        + ("…" if len(text) > start + 80 else "")
        for text in (before, after)
    )
