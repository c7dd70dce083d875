"""Habits that make a change go wrong unseen, found in the syntax tree of every module: each is refused here."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
MOST_POSITIONAL = 8


class Module(NamedTuple):
    path: str
    tree: ast.Module


def modules(*folders: str) -> list[Module]:
    return [
        Module(str(path.relative_to(ROOT)), ast.parse(path.read_text()))
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]


@pytest.fixture(scope="module")
def package() -> list[Module]:
    return modules("router_lab")


def nodes(found: list[Module]) -> Iterator[tuple[str, ast.AST]]:
    for module in found:
        for node in ast.walk(module.tree):
            yield module.path, node


def variadic(found: list[Module]) -> set[str]:
    """Names of functions and classes of ours that take any number of arguments, as `page(*parts)`."""
    names = set()
    for _, node in nodes(found):
        if isinstance(node, ast.FunctionDef) and node.args.vararg is not None:
            names.add(node.name)
    return names


def crowded_calls(found: list[Module]) -> list[str]:
    """Calls whose ninth argument stands there without its name, so that nobody sees which it is."""
    takes_any = variadic(found)
    return [
        f"{path}:{node.lineno} {ast.unparse(node.func)}"
        for path, node in nodes(found)
        if isinstance(node, ast.Call)
        and len(node.args) > MOST_POSITIONAL
        and ast.unparse(node.func).split(".")[-1] not in takes_any
    ]


def identities(found: list[Module]) -> list[str]:
    """`is` between texts: true or false by how they were made. A text is a literal, or a constant of this package
    that is one, under its name in the module."""
    texts = {module.path: dict(text_constants(module.tree)) for module in found}
    every = {name for named in texts.values() for name in named}
    return [
        f"{module.path}:{node.lineno} {ast.unparse(node)}"
        for module in found
        for known in [{*texts[module.path], *imported(module.tree, every)}]
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, ast.Is | ast.IsNot) for operator in node.ops)
        and any(is_text(side, known) for side in (node.left, *node.comparators))
    ]


def text_constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Constants of a module that are texts: `KEPT = "kept"`, and `KEPT, LEFT = "kept", "left"`."""
    for node in tree.body:
        if isinstance(node, ast.Assign):
            (target, value), several = (node.targets[0], node.value), isinstance(node.targets[0], ast.Tuple)
            pairs = zip(target.elts, value.elts, strict=True) if several else [(target, value)]  # type: ignore[attr-defined]
            for name, given in pairs:
                if (
                    isinstance(name, ast.Name)
                    and isinstance(given, ast.Constant)
                    and isinstance(given.value, str)
                ):
                    yield name.id, given.value


def imported(tree: ast.Module, every: set[str]) -> set[str]:
    """Names by which a module knows texts of the package's other modules."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("router_lab")
        for alias in node.names
        if alias.name in every
    }


def is_text(side: ast.expr, known: set[str]) -> bool:
    if isinstance(side, ast.Constant):
        return isinstance(side.value, str | int | float) and not isinstance(side.value, bool)
    return isinstance(side, ast.Name) and side.id in known


def mutations(found: list[Module]) -> list[str]:
    """`object.__setattr__` elsewhere than in a class whose own `__setattr__` refuses: what says frozen is not."""
    return [
        f"{module.path}:{node.lineno}"
        for module in found
        for node in outside_of_refusers(module.tree)
        if isinstance(node, ast.Attribute) and node.attr == "__setattr__"
    ]


def outside_of_refusers(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        refuses = isinstance(node, ast.ClassDef) and any(
            isinstance(one, ast.FunctionDef) and one.name == "__setattr__" for one in node.body
        )
        if not refuses:
            yield node
            yield from outside_of_refusers(node)


def copies(found: list[Module]) -> list[str]:
    """Constants of two modules with one name and one value: the next change is made to one of them."""
    seen: dict[tuple[str, str], list[str]] = defaultdict(list)
    for module in found:
        for node in module.tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and literal(node.value):
                name = node.targets[0].id.lstrip("_")
                if name.isupper():
                    seen[name, ast.unparse(node.value)].append(module.path)
    return [f"{name} in {', '.join(paths)}" for (name, _), paths in seen.items() if len(paths) > 1]


def literal(value: ast.expr) -> bool:
    """Whether it says itself what it is, such as 9, "a", (1, 2) or 1 << 16; other constants' names do not."""
    return not any(isinstance(node, ast.Name | ast.Call | ast.Attribute) for node in ast.walk(value))


def magic_columns(found: list[Module]) -> list[str]:
    """`sums[:, 6]`: which column that is, only another line knows."""
    return [
        f"{path}:{node.lineno} {ast.unparse(node)}"
        for path, node in nodes(found)
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple)
        if any(
            isinstance(end, ast.Constant) and isinstance(end.value, int) and end.value >= 2
            for part in node.slice.elts[1:]
            for end in ((part.lower, part.upper) if isinstance(part, ast.Slice) else (part,))
        )
    ]


@pytest.mark.parametrize("habit", [crowded_calls, identities, mutations, copies, magic_columns])
def test_no_module_has_the_habit(package: list[Module], habit: object) -> None:
    assert callable(habit)
    assert habit(package) == []


@pytest.mark.parametrize(
    ("habit", "text"),
    [
        (crowded_calls, "Result(1, 2, 3, 4, 5, 6, 7, 8, 9)"),
        (crowded_calls, "made = cls(a, b, c, d, e, f, g, h, i, last=j)"),
        (crowded_calls, "module.read(a, b, c, d, e, f, g, h, i)"),
        (identities, 'KEPT = "kept"\nif code is KEPT: pass'),
        (identities, 'KEPT, LEFT = "kept", "left"\nif LEFT is not code: pass'),
        (identities, 'if code is ("kept"): pass'),
        (identities, 'from router_lab.reasons import KEPT as STAYS\nKEPT = "kept"\nif code is STAYS: pass'),
        (mutations, "class A:\n def __post_init__(self):\n  object.__setattr__(self, 'a', 1)"),
        (mutations, "object.__setattr__(found, 'a', 1)"),
        (mutations, "put = object.__setattr__"),
        (magic_columns, "lost = sums[:, 6]"),
        (magic_columns, "lost = sums[..., 6:8]"),
        (magic_columns, "lost = sums[rows, :, 2]"),
    ],
)
def test_each_habit_is_found(habit: object, text: str) -> None:
    assert callable(habit)
    assert len(habit([Module("a.py", ast.parse(text))])) == 1


def test_what_is_no_habit_passes() -> None:
    """Parts of a page in any number, a class that refuses to change, a whole number's first column, None and types."""
    text = """
def page(title, *parts): ...
page(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
class Policy:
    def __init__(self): object.__setattr__(self, "a", 1)
    def __setattr__(self, name, value): raise AttributeError
first, second = rows[:, 0], rows[:, 1]
if found is None or type(found) is str or found is Fault.KEY: pass
"""
    found = [Module("a.py", ast.parse(text))]
    assert not crowded_calls(found) + identities(found) + mutations(found) + magic_columns(found)


def test_two_copies_of_a_constant_are_found() -> None:
    """By name and value, whether one is private or not; other values, and one made of another, are no copies."""
    texts = ["OVERFLOW = ('too long', 'context')\nWAIT_S = 5", "_OVERFLOW = ('too long', 'context')\nWAIT_S = 6",
             "from a import OVERFLOW\nBOTH = OVERFLOW", "BOTH = OVERFLOW"]  # fmt: skip
    found = [Module(f"{name}.py", ast.parse(text)) for name, text in zip("abcd", texts, strict=True)]
    assert copies(found) == ["OVERFLOW in a.py, b.py"]
