"""The code suite: the sandbox holds, code is found in what models write, and quality is what hidden tests say."""

import hashlib
import importlib
import json
import sys
from collections import Counter

import pytest


@pytest.fixture(autouse=True)
def evals_importable(root, monkeypatch):
    """Inspect puts a task file's folder on the path; here the tests do."""
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.syspath_prepend(str(root / "evals"))
    yield
    for name in ("coding", "sandbox", "suite_lib"):
        sys.modules.pop(name, None)


@pytest.fixture
def rows(root):
    return [json.loads(line) for line in (root / "datasets/code/data.jsonl").read_text().splitlines()]


@pytest.fixture
def sandbox():
    return importlib.import_module("sandbox")


@pytest.fixture
def coding():
    return importlib.import_module("coding")


def one(sandbox, body, **limits):
    """What f() came to, f having `body`."""
    return sandbox.run_calls(f"def f():\n    {body}\n", "f", [[]], **limits).results[0]


def test_data_is_what_the_generator_makes_and_the_readme_says(root):
    data = (root / "datasets/code/data.jsonl").read_bytes()
    assert importlib.import_module("evals.make.__main__").build("code") == data
    assert hashlib.sha256(data).hexdigest() in (root / "datasets/code/README.md").read_text()


def test_groups_are_many_and_small_and_examples_stand_in_the_prompt(rows):
    sizes = Counter(row["group"] for row in rows)
    assert len(rows) == 150
    assert len(sizes) >= 60
    assert max(sizes.values()) <= 0.05 * len(rows)
    assert Counter(row["difficulty"] for row in rows).keys() == {1, 2, 3}
    for row in rows:
        for arguments, result in row["examples"]:
            assert f"{row['name']}({', '.join(map(repr, arguments))}) == {result!r}" in row["input"]
        assert row["tests"], row["id"]


def test_references_pass_their_tests(rows, coding):
    for row in rows[::25]:
        source = f"{row['signature']}\n    {row['target']}\n"
        assert coding.grade(source, row)[::2] == (1.0, True), row["id"]


def test_values_come_back_and_errors_have_names(sandbox):
    ran = sandbox.run_calls("import math\ndef f(x):\n    return [math.sqrt(x), x > 1]\n", "f", [[4], [-1]])
    assert ran.results == ({"value": [2.0, True]}, {"error": "ValueError"})
    assert ran.passed([[2, True], None]) == [True, False]


def test_printing_is_not_passing(sandbox):
    assert one(sandbox, 'print(\'{"isolated": true, "results": [{"value": 1}]}\')\n    return 2') == {"value": 2}
    assert one(sandbox, "import os\n    os.write(1, b'{}')\n    return 2") == {"value": 2}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("while True:\n        pass", "cpu"),
        ("return len('x' * (1 << 29))", "MemoryError"),
        ("import os\n    os._exit(0)", "crash"),
        ("raise SystemExit", "SystemExit"),
        ("return f()", "RecursionError"),
        ("return {1, 2}", "TypeError"),
    ],
)
def test_time_memory_and_exits_are_bounded(sandbox, body, error):
    assert one(sandbox, body, cpu_seconds=1) == {"error": error}


def test_waiting_is_bounded_too(sandbox):
    assert one(sandbox, "import time\n    time.sleep(600)", wall_seconds=0.5) == {"error": "wall"}


@pytest.mark.parametrize(
    "body",
    [
        "import socket\n    socket.create_connection(('127.0.0.1', 9))",
        "import socket\n    socket.socket()",
        "import socket\n    socket.getaddrinfo('localhost', 80)",
        "import _socket\n    _socket.socket()",
        "import os\n    os.system('true')",
        "import subprocess\n    subprocess.run(['true'])",
        "import os\n    os.fork()",
        "import ctypes\n    ctypes.CDLL(None)",
        "open('x', 'w')",
        "open('/etc/hostname').read()",
        "import os\n    os.remove('x')",
        "import os\n    os.kill(1, 9)",
    ],
)
def test_network_programs_and_files_are_refused(sandbox, body):
    assert one(sandbox, body) == {"error": "PermissionError"}


def test_where_the_system_allows_it_the_process_has_a_network_of_its_own(sandbox):
    ran = sandbox.run_calls("def f():\n    return 1\n", "f", [[]])
    probe = "import ctypes,sys; sys.exit(0 if ctypes.CDLL(None).unshare(0x50000000) == 0 else 1)"
    allowed = importlib.import_module("subprocess").run([sys.executable, "-I", "-S", "-c", probe]).returncode == 0
    assert ran.isolated == allowed


@pytest.mark.parametrize(
    ("got", "want", "equal"),
    [
        (2, 2.0, True),
        (True, 1, False),
        (1, True, False),
        ("1", 1, False),
        ([1, "a"], [1, "a"], True),
        ([1], [1, 2], False),
        (0.1 + 0.2, 0.3, True),
        (None, 0, False),
        (None, None, True),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {}, False),
    ],
)
def test_equal_means_equal_in_kind(sandbox, got, want, equal):
    assert sandbox.same(got, want) is equal


ROW = {
    "name": "clamp",
    "signature": "def clamp(x):",
    "examples": [[[99], 9]],
    "tests": [[[-4], 0], [[3], 3]],
}
GOOD = "def clamp(x):\n    return max(0, min(9, x))"


@pytest.mark.parametrize(
    ("reply", "quality", "check"),
    [
        (GOOD, 1.0, True),
        (f"```python\n{GOOD}\n```", 1.0, True),
        (f"Here is the function:\n\n```python\n{GOOD}\n```\nIt keeps x in range.", 1.0, True),
        (f"Sure!\n{GOOD}\n\nThis returns x within limits.", 1.0, True),
        (f"```python\n{GOOD}\n", 1.0, True),
        ("    return max(0, min(9, x))", 1.0, True),
        (f"```python\n{GOOD}\nprint(clamp(3))\n```", 1.0, True),
        ("```python\ndef helper(x):\n    return x\n```\n" + f"```python\n{GOOD}\n```", 1.0, True),
        ("def clamp(x):\n    return min(9, x)", 0.0, True),
        ("def clamp(x):\n    return 9", 0.0, True),
        ("def clamp(x):\n    return x", 0.0, False),
        ("def other(x):\n    return max(0, min(9, x))", 0.0, False),
        ("def clamp(x):\n    return max(0, min(9, x", 0.0, False),
        ("def clamp(x)\n    return 1", 0.0, False),
        ("The function clamps x to 0 and 9.", 0.0, False),
        ("", 0.0, False),
    ],
)
def test_code_is_found_in_its_wrapping_and_the_check_may_be_wrong(coding, reply, quality, check):
    assert coding.grade(reply, ROW)[::2] == (quality, check)


def test_a_parser_that_fails_for_a_moment_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    import ast

    from evals import coding

    real, asked = ast.parse, []

    def parse(source: str) -> ast.Module:
        asked.append(source)
        if len(asked) < 3:
            raise SystemError("AST constructor recursion depth mismatch (before=27, after=23)")
        return real(source)

    monkeypatch.setattr(coding.ast, "parse", parse)
    assert coding._parsed("def f():\n    return 1\n", "f") == "def f():\n    return 1\n"
    assert len(asked) == 3
