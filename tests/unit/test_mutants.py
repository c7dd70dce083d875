"""`make mutants`: what is drawn and what is not, and that a mutant runs from memory, in a process of its own."""

import ast
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.bench import mutants as run
from tests.bench.mutations import mutants, mutated


def told(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "text.py"
    path.write_text(text)
    return [f"{mutant.line} {mutant.told}" for mutant in mutants(path)]


def test_a_line_is_changed_in_every_way_that_a_number_could_show(tmp_path: Path) -> None:
    assert told(tmp_path, "def f(a, b=0.5):\n    return a + 1 if a < b and not a else min(a, key=b)\n") == [
        "1 0.5  →  1.0",
        "2 a + 1 if a < b and (not a) else min(a, key=b)  →  a + 1 if not (a < b and (not a)) else min(a, key=b)",
        "2 a < b and (not a)  →  a < b or not a",
        "2 a < b  →  a <= b",
        "2 a < b  →  a >= b",
        "2 not a  →  a",
        "2 a + 1  →  a - 1",
        "2 1  →  2",
        "2 min(a, key=b)  →  max(a, key=b)",
        "2 min(a, key=b)  →  min(a)",
    ]


@pytest.mark.parametrize(
    "text",
    [
        '"""A docstring."""\nname = "text"\nother = f"{1 + 1} and {2 < 3}"\n',
        "def f(a: int | None = None) -> list[int] | None:\n    assert a != 3\n",
        "@cache(1)\nclass A(B[0]):\n    def __repr__(self):\n        return 1 + 1\n",
        'import a.b\nwarn("x" + str(1 + 1))\n',
        "for a, b in zip(c, d, strict=True):\n    x = cast(int | None, a)\n",
        "if TYPE_CHECKING:\n    x = 1\ny = 1e-9\nz = -0.25e12\n".replace("-", "", 2),
        'a = [b] + [c]\nd = "%s" % e\n',
    ],
)
def test_what_only_readers_and_tools_see_is_not_drawn(tmp_path: Path, text: str) -> None:
    assert [line for line in told(tmp_path, text) if "warn" not in line] == []


def test_that_something_is_raised_is_drawn_and_what_is_said_is_not(tmp_path: Path) -> None:
    assert told(tmp_path, 'def f():\n    raise E("a" + str(1))\n') == ["2 raise E('a' + str(1))  →  pass"]


def test_a_mutant_is_its_file_with_one_change_and_the_lines_that_show_it(tmp_path: Path) -> None:
    path = tmp_path / "text.py"
    path.write_text("N = 3\n\ndef f(a,\n      b=2):\n    if a > N:\n        b = 1\n    return b\n")
    found = {mutant.told: mutant for mutant in mutants(path)}
    assert ast.unparse(mutated(found["a > N  →  a >= N"])) == ast.unparse(
        ast.parse(path.read_text().replace(">", ">="))
    )
    assert {mutant.line: mutant.lines for mutant in found.values()} == {1: (), 4: (5, 6, 7), 5: (5,), 6: (6,)}


def test_the_fastest_tests_that_ran_a_line_come_first_and_then_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "ROOT", tmp_path)
    path = tmp_path / "text.py"
    path.write_text("def f(a):\n    return a * 2\n")
    seen = {
        "seconds": {"x::slow": 3.0, "x::fast": 1.0, "y::far": 0.1, "x::fixture": 0.5, "x::endless": 99.0},
        "lines": {"text.py": {2: ["x::slow", "x::fast", "x::endless"]}},
    }
    assert run.chosen(mutants(path)[0], seen) == (["x::fast", "x::slow", "x::fixture"], 4.5)
    seen["lines"] = {"text.py": {1: ["y::far"]}}
    assert run.chosen(mutants(path)[0], seen) == ([], 0.0)


def test_a_mutant_is_loaded_from_memory_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "KEPT", tmp_path)
    path = tmp_path / "changed_in_memory.py"
    path.write_text("def f(a):\n    return a * 2\n")

    def four() -> int:
        sys.meta_path.insert(0, run.Changed(mutants(path)[0]))
        import changed_in_memory

        return int(changed_in_memory.f(8))

    assert run.forked(four, 60) == 4  # 8 / 2, where the file says 8 * 2
    assert run.forked(partial(divmod, 1, 0), 60) == 2
    assert run.forked(lambda: time.sleep(600) or 0, 0.2) is None
    assert path.read_text() == "def f(a):\n    return a * 2\n" and "changed_in_memory" not in sys.modules
