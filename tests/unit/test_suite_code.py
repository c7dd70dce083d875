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
    for name in ("boundary", "coding", "sandbox", "sandbox_box", "sandbox_syscalls", "shipped", "suite_lib"):
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


def graded(coding, reply, row):
    """(quality, check) of a reply, its code run by the guard alone: these are our own texts."""
    source = coding.read_code(reply, row["name"], row["signature"])
    if source is None:
        return 0.0, False
    sandbox = importlib.import_module("sandbox")
    return coding.judge(
        sandbox.run_calls(source, row["name"], [given for given, _ in coding.cases(row)]), row
    )


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
        assert graded(coding, source, row) == (1.0, True), row["id"]


def test_values_come_back_and_errors_have_names(sandbox):
    ran = sandbox.run_calls("import math\ndef f(x):\n    return [math.sqrt(x), x > 1]\n", "f", [[4], [-1]])
    assert ran.results == ({"value": [2.0, True]}, {"error": "ValueError"})
    assert ran.passed([[2, True], None]) == [True, False]


def test_printing_is_not_passing(sandbox):
    assert one(sandbox, 'print(\'{"isolated": true, "results": [{"value": 1}]}\')\n    return 2') == {
        "value": 2
    }
    assert one(sandbox, "import os\n    os.write(1, b'{}')\n    return 2") == {"value": 2}
    assert one(sandbox, "return 'x' * (2 << 20)") == {"error": "output"}


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


@pytest.mark.parametrize(
    "body",
    [
        "open(LIB + '/../../../../../../../../etc/hostname').read()",
        "open(LIB + '/..').read()",
        "os.listdir(LIB + '/../..')",
        "os.listdir('/')",
        "os.scandir('.')",
        "open(os.__file__, 'a')",
        "os.open(os.__file__, os.O_RDWR)",
        "os.open(LIB + '/x', os.O_CREAT)",
        "os.open(LIB, os.O_TMPFILE | os.O_RDONLY)",
        "open(type('S', (str,), {'startswith': lambda *a: True})('/etc/hostname')).read()",
        "open(type('P', (), {'__fspath__': lambda s: '/etc/hostname'})()).read()",
        "open(b'/etc/hostname').read()",
        "open(0).read()",
        "import posixpath; posixpath.realpath = os.path.realpath = lambda p: LIB; open('/etc/hostname').read()",
        "os.readlink = os.lstat = None; open('/etc/hostname').read()",
        "import builtins as b; kept = str, type; b.str = b.type = lambda *a: LIB\n"
        "    try: open('/etc/hostname').read()\n    finally: b.str, b.type = kept",
        "import gc; [o.__defaults__ for o in gc.get_objects() if getattr(o, '__name__', '') == 'guard']",
        "import gc; gc.get_referrers(PermissionError)",
        "import _posixsubprocess; _posixsubprocess.fork_exec()",
        "import _ctypes",
        "import sqlite3; sqlite3.connect('/tmp/x')",
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9))",
        "os.chdir('/')",
        "os.kill(os.getppid(), 0)",
        "os.killpg(0, 0)",
        "os.posix_spawn('/bin/true', ['true'], {})",
    ],
)
def test_the_guard_knows_the_ways_around_it_that_were_found(sandbox, body):
    code = f"import os\nLIB = os.path.dirname(os.__file__)\ndef f():\n    {body}\n"
    (got,) = sandbox.run_calls(code, "f", [[]]).results
    assert got == {"error": "PermissionError"}


@pytest.mark.skipif(sys.platform != "linux", reason="the filter of system calls is Linux's")
def test_without_any_package_linux_still_refuses_programs_sockets_and_signals(sandbox):
    """The guard's own filter of system calls: where the audit hook is gone, these do not come with it."""
    if not importlib.import_module("sandbox_syscalls").program():
        pytest.skip("no table of system calls for this machine")
    bodies = ("os.fork()", "os.kill(os.getppid(), 0)", "import socket; socket.socket()", "threads()")
    code = "import os\n" + "".join(f"def f{i}():\n    {body}\n" for i, body in enumerate(bodies))
    code += "def f(i):\n    return [f0, f1, f2, f3][i]()\n"
    code += "def threads():\n    import _thread\n    _thread.start_new_thread(print, ())\n"
    ran = sandbox.run_calls(code, "f", [[i] for i in range(4)], guard=False)
    assert ran.results == (*[{"error": "PermissionError"}] * 3, {"error": "RuntimeError"})


def test_what_is_never_begun_is_not_scored(sandbox, monkeypatch, tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no room >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sandbox, "real_python", lambda: str(broken))
    with pytest.raises(sandbox.NotRunError, match="could not be started: no room"):
        one(sandbox, "return 1")


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
    assert graded(coding, reply, ROW) == (quality, check)


@pytest.mark.parametrize(
    "reply",
    [
        "```" + " " * 200_000,
        "\n" * 200_000,
        "x = 1\n" * 30_000 + "def clamp(x):\n    return (\n",
        "def clamp(x):\n" + "    (\n" * 30_000,
        "def clamp(x):\n    return " + "-" * 200_000 + "1",
        "def clamp(x):\n    return " + "(" * 100_000,
        "```\n" * 60_000,
        "x" * 10_000_000,
        "def clamp(x):\n    return '\0'\ud800",
    ],
)
def test_an_answer_cannot_hold_up_those_who_read_it(coding, reply):
    """Quadratic expressions would take minutes to hours here, and the whole sweep waits."""
    assert coding.read_code(reply, "clamp", "def clamp(x):") is None


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
