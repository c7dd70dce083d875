"""Hostile solutions against the box: real processes in real namespaces, without the guard, so the kernel alone holds.

Each body is a function that returns what it got hold of; what it may get is said beside it.
"""

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

MODULES = ("boundary", "coding", "sandbox", "sandbox_box", "sandbox_syscalls", "shipped", "suite_lib")


@pytest.fixture(autouse=True)
def evals_importable(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.syspath_prepend(str(root / "evals"))
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def box(root):
    """The box of this machine; where it cannot be made, the tests that try it say why not."""
    sys.path[:0] = [str(root), str(root / "evals")]
    try:
        found = importlib.import_module("boundary").usable_box()
    finally:
        del sys.path[:2]
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture
def run(box):
    """run(body, *arguments): what `def f(*a)` with that body came to in the box."""
    sandbox = importlib.import_module("sandbox")

    def attack(body, *arguments, guard=False, filtered=True, **limits):
        held = box if filtered else type(box)(box.python, box.arguments, b"")
        code = f"{HELP}\ndef f(*a):\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
        return sandbox.run_calls(code, "f", [list(arguments)], box=held, guard=guard, **limits).results[0]

    return attack


HELP = """
import os, sys
def syscall(*numbers):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    return [libc.syscall(*number), ctypes.get_errno()] if (number := numbers) else None
def fds():
    found = []
    for fd in range(256):
        try:
            found.append([fd, oct(os.fstat(fd).st_mode & 0o170000)])
        except OSError:
            pass
    return found
LIB = os.path.dirname(os.__file__)
"""

MISSING = {"error": "FileNotFoundError"}
FORBIDDEN = {"error": "PermissionError"}


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("body", "came_to"),
    [
        pytest.param("return open(a[0]).read()", MISSING, id="dataset"),
        pytest.param("return open(LIB + '/' + '../' * 20 + a[0][1:]).read()", MISSING, id="dataset-by-library"),
        pytest.param("return open('/proc/1/root' + a[0]).read()", MISSING, id="dataset-through-process-1"),
        pytest.param("return open('/proc/self/environ').read()", MISSING, id="environment-by-file"),
        pytest.param("return sorted(set(os.environ) - {'PWD', 'LC_CTYPE', 'LD_LIBRARY_PATH'})", {"value": []},
                     id="keys"),
        pytest.param("return os.listdir(os.path.expanduser('~'))", MISSING, id="home"),
        pytest.param(
            "return sorted(set(os.listdir('/')) & {'tmp', 'var', 'home', 'proc', 'sys', 'bin', 'run', 'mnt', 'opt'})",
            {"value": []},
            id="root",
        ),
        pytest.param("return os.listdir('/dev')", {"value": ["null"]}, id="devices"),
        pytest.param("""
            import site
            beside = [site.__file__.replace('site.py', 'site-packages'), *site.getsitepackages()]  # Debian has others
            return [name for folder in beside if os.path.isdir(folder) for name in os.listdir(folder)]
            """, {"value": []}, id="packages"),
        pytest.param("sys.path.append(a[0].split('/datasets/')[0]); import evals.coding",
                     {"error": "ModuleNotFoundError"}, id="this-repository"),
        pytest.param("return sorted({kind for fd, kind in fds()})", {"value": ["0o10000", "0o20000"]},
                     id="descriptors"),
        pytest.param("return len(fds())", {"value": 4}, id="number-of-descriptors"),
        pytest.param("return sys.stdin.read()", {"value": ""}, id="standard-input-again"),
        pytest.param("import socket; socket.socket()", FORBIDDEN, id="socket"),
        pytest.param("import socket; socket.socketpair()", FORBIDDEN, id="socket-pair"),
        pytest.param("import subprocess; subprocess.run(['/bin/sh', '-c', 'true'])", FORBIDDEN, id="program"),
        pytest.param("import _posixsubprocess, subprocess; subprocess.run([sys.executable, '-c', ''])", FORBIDDEN,
                     id="python-again"),
        pytest.param("return os.system('true') == 0", {"value": False}, id="shell"),
        pytest.param("os.posix_spawn(sys.executable, ['p', '-c', ''], {})", FORBIDDEN, id="spawn"),
        pytest.param("os.fork()", FORBIDDEN, id="fork"),
        pytest.param("import multiprocessing as m; m.get_context('fork').Process(target=print).start()", FORBIDDEN,
                     id="multiprocessing"),
        pytest.param("os.setsid()", FORBIDDEN, id="session"),
        pytest.param("os.kill(-1, 9)", FORBIDDEN, id="kill-all"),
        pytest.param("os.kill(a[1], 9)", FORBIDDEN, id="kill-the-parent"),
        pytest.param("os.killpg(os.getpgid(0), 9)", FORBIDDEN, id="kill-the-group"),
        pytest.param("import signal; signal.pidfd_send_signal(os.pidfd_open(1), 9)", FORBIDDEN,
                     id="kill-by-descriptor"),
        pytest.param("return syscall(101, 16, 1, 0, 0)", {"value": [-1, 1]}, id="ptrace"),
        pytest.param("return syscall(310, 1, 0, 0, 0, 0, 0)", {"value": [-1, 1]}, id="another-process's-memory"),
        pytest.param("return syscall(250, 0, -3, 0, 0, 0)", {"value": [-1, 1]}, id="keyring"),
        pytest.param("return syscall(272, 0x10000000)", {"value": [-1, 1]}, id="namespace-of-its-own"),
        pytest.param("return syscall(165, 0, b'/', 0, 0, 0)", {"value": [-1, 1]}, id="mount"),
        pytest.param("return syscall(425, 8, 0)", {"value": [-1, 1]}, id="io-uring"),
        pytest.param("return syscall(435, 0, 0)", {"value": [-1, 38]}, id="clone3"),
        pytest.param("return syscall(29, 0, 1 << 24, 0o1600)", {"value": [-1, 1]}, id="memory-that-outlives-it"),
        pytest.param("os.memfd_create('x')", FORBIDDEN, id="memory-file"),
        pytest.param("open(os.__file__, 'a')", {"error": "OSError"}, id="write-to-python"),
        pytest.param("os.remove(os.__file__)", {"error": "OSError"}, id="remove-of-python"),
        pytest.param("os.chmod(LIB, 0o777)", {"error": "OSError"}, id="mode-of-python"),
        pytest.param("os.mkdir('/x')", {"error": "OSError"}, id="write-to-root"),
        pytest.param("import tempfile; tempfile.mkstemp()", MISSING, id="temporary-file"),
        pytest.param("os.mknod('/dev/x', 0o20666, os.makedev(1, 1))", {"error": "OSError"}, id="device"),
        pytest.param("os.chroot('/'); ", FORBIDDEN, id="chroot"),
        pytest.param("os.setuid(0)", {"error": "OSError"}, id="root-again"),
        pytest.param("import resource as r; r.setrlimit(r.RLIMIT_CPU, (-1, -1))", {"error": "ValueError"}, id="limits"),
        pytest.param("import ctypes; ctypes.string_at(8)", {"error": "crash"}, id="segfault"),
        pytest.param("return f()", {"error": "RecursionError"}, id="recursion"),
        pytest.param("sys.exit(0)", {"error": "SystemExit"}, id="exit"),
        pytest.param("os.abort()", {"error": "crash"}, id="abort"),
        pytest.param("while True: [os.write(fd, b'x' * 65536) for fd in range(3, 16) if [fd, '0o10000'] in fds()]",
                     {"error": "output"}, id="flood"),
        pytest.param("return 'x' * (9 << 20)", {"error": "output"}, id="large-answer"),
        pytest.param("return len(bytearray(1 << 29))", {"error": "MemoryError"}, id="memory"),
        pytest.param("""
            import signal
            signal.signal(signal.SIGXCPU, signal.SIG_IGN)
            os.execv(sys.executable, ['p', '-I', '-S', '-c', 'while True: pass'])
            """, {"error": "cpu"}, id="exec-keeps-the-limits"),
        pytest.param("import signal; signal.setitimer(signal.ITIMER_REAL, 0.05); signal.pause()", {"error": "crash"},
                     id="alarm"),
        pytest.param("import threading; threading.Thread(target=print).start()", {"error": "RuntimeError"},
                     id="thread"),
    ],
)  # fmt: skip
def test_the_kernel_holds_what_the_guard_does_not(run, root, monkeypatch, body, came_to, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-do-not-tell")
    dataset = root / "datasets" / "code" / "data.jsonl"
    assert dataset.is_file()
    if "syscall(" in body and os.uname().machine != "x86_64":
        pytest.skip("the numbers are x86_64's")
    with (tmp_path / "open").open("w") as file:  # whatever is open here is not open there
        os.set_inheritable(file.fileno(), True)
        got = run(body, str(dataset), os.getpid(), cpu_seconds=1)
    assert got == came_to


@pytest.mark.sandbox
def test_without_the_filter_the_namespaces_hold(run):
    """A machine whose system call numbers are not known has the namespaces alone."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(f"\0router-lab-{os.getpid()}")
        abstract.listen()
        port, name = server.getsockname()[1], abstract.getsockname().decode()
        connect = "import socket; s = socket.socket({}); s.settimeout(5); s.connect({})"
        inside = {
            "loopback": connect.format("", "('127.0.0.1', a[0])"),
            "abstract": connect.format("socket.AF_UNIX", "a[1]"),
        }
        for what, body in inside.items():
            got = run(body, port, name, filtered=False)
            assert got in ({"error": "ConnectionRefusedError"}, {"error": "OSError"}), what
    assert run("os.kill(a[0], 9)", os.getpid(), filtered=False) == {"error": "ProcessLookupError"}
    assert run("return os.getppid()", filtered=False) == {"value": 1}
    everywhere = "import socket; return sorted(name for _, name in socket.if_nameindex())"
    assert run(everywhere, filtered=False) == {"value": ["lo"]}
    names = "import ctypes; return [ctypes.CDLL(None).shmget(a[0], 1, 0), os.uname().nodename]"
    assert run(names, 0x52434C, filtered=False) == {"value": [-1, "box"]}


DAEMON = """
import ctypes, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(15, b"{name}", 0, 0, 0)
        [os.close(fd) for fd in range(3, 16) if [fd, '0o10000'] in fds()]
        time.sleep(300)
    os._exit(0)
os.wait()
return 1
"""


def _alive(name):
    def named(folder):
        try:
            return (folder / "comm").read_text().strip() == name
        except OSError:
            return False

    return [folder.name for folder in Path("/proc").iterdir() if folder.name.isdigit() and named(folder)]


@pytest.mark.sandbox
def test_a_daemon_ends_with_the_box(run):
    name = f"stray{os.getpid()}"[:15]
    got = run(DAEMON.format(name=name), filtered=False)
    assert got == {"value": 1} or (got == {"error": "BlockingIOError"} and os.getuid() != 0)
    assert _until(lambda: not _alive(name))


@pytest.mark.sandbox
def test_what_only_waits_is_ended_by_the_clock(run):
    name = f"sleep{os.getpid()}"[:15]
    body = f"import ctypes, time; ctypes.CDLL(None).prctl(15, b'{name}', 0, 0, 0); time.sleep(300)"
    assert run(body, wall_seconds=0.3) == {"error": "wall"}
    assert _until(lambda: not _alive(name))


@pytest.mark.sandbox
def test_the_box_ends_with_a_parent_that_is_killed(root, box):
    name = f"orphan{os.getpid()}"[:15]
    body = f"import ctypes, time; ctypes.CDLL(None).prctl(15, b'{name}', 0, 0, 0); time.sleep(300)"
    program = (
        f"import sys; sys.path.insert(0, {str(root / 'evals')!r}); import sandbox, sandbox_box; "
        f"sandbox.run_calls('def f():\\n    ' + {body!r}, 'f', [[]], box=sandbox_box.find_box(), guard=False)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL) as parent:
        assert _until(lambda: _alive(name))
        os.kill(parent.pid, signal.SIGKILL)
    assert _until(lambda: not _alive(name))


def _until(true, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.02)
    return False


FORGED = """
import json
def f(x):
    for fd in range(3, 16):
        try:
            os.write(fd, {text})
        except OSError:
            pass
    os._exit(0)
"""


@pytest.mark.sandbox
@pytest.mark.parametrize(
    "text",
    [
        """b'[{"value": 1}]'""",
        """b'[{"value": true}]'""",
        """b'[{"value": NaN}]'""",
        """b'[{"value": 1e999}]'""",
        """b'[{"passed": true}]'""",
        """b'{"isolated": true, "results": [{"value": 42}]}'""",
        """b'[]'""",
        """b'[1]'""",
        """b'[' * 100000""",
        """b'[{"value": ' + b'9' * 6000 + b'}]'""",
        """b'\\xff'""",
        """b'began\\n[{"value": 42}]'""",
    ],
)
def test_forged_answers_gain_nothing(box, text):
    """Whoever does not know that 42 is expected can write what he likes; nor does it trouble the parent."""
    sandbox = importlib.import_module("sandbox")
    code = "import os\n" + FORGED.replace("{text}", text)
    assert sandbox.run_calls(code, "f", [[41]], box=box, guard=False).passed([42]) == [False]


LIARS = """
class Number(int):
    def __eq__(self, other): return True
    def __hash__(self): return 0
    def __repr__(self): return "42"
class Text(str):
    def __eq__(self, other): return True
    __hash__ = str.__hash__
class All(dict):
    def __eq__(self, other): return True
    def items(self): return [("answer", 42)]
def number(): return Number(2)
def text(): return Text("no")
def listed(): return [Number(2)]
def changed():
    got = [1]
    class Later:
        def __del__(self): got.append(2)
    later = Later()
    return got
"""


def test_values_that_lie_about_their_equality_are_compared_by_the_parent():
    sandbox = importlib.import_module("sandbox")
    for name, want in (("number", 42), ("text", "yes"), ("listed", [42]), ("changed", [1])):
        assert sandbox.run_calls(LIARS, name, [[]]).passed([want]) == [False], name
    assert not sandbox.same(10**400, 0.5)
    assert not sandbox.same(10**12, 10**12 + 1)


@pytest.mark.sandbox
def test_expected_values_are_nowhere_in_the_process(box, root):
    """Frames, all objects, the memory of the program's own job: the arguments are there, the results are not."""
    sandbox, coding = importlib.import_module("sandbox"), importlib.import_module("coding")
    row = {"examples": [[["ask-1"], "told-1"]], "tests": [[["ask-2"], "told-2"]]}
    code = """
import gc, sys
def f(x):
    seen, frame = [], sys._getframe()
    while frame:
        seen.append(repr(frame.f_locals) + repr(frame.f_globals))
        frame = frame.f_back
    seen += [repr(o) for o in gc.get_objects() if type(o) in (dict, list, tuple, str)]
    told, ask = "tol" + "d-", "as" + "k-2"
    return [any(ask in s for s in seen), any(told + "1" in s or told + "2" in s for s in seen)]
"""
    ran = sandbox.run_calls(
        code, "f", [a for a, _ in coding.cases(row)], box=box, guard=False, cpu_seconds=10
    )
    assert [got["value"] for got in ran.results] == [[True, False], [True, False]]


@pytest.mark.sandbox
def test_a_solution_that_reads_its_tests_scores_nothing(box, root):
    """The issue's case, whole: 1.0 on the main branch, through the one prefix that the guard let pass."""
    sandbox, coding = importlib.import_module("sandbox"), importlib.import_module("coding")
    row = json.loads((root / "datasets/code/data.jsonl").read_text().splitlines()[0])
    code = cheat(row, root)
    calls = [a for a, _ in coding.cases(row)]
    for held in ({"box": box, "guard": False}, {"box": box}, {}):
        assert coding.judge(sandbox.run_calls(code, row["name"], calls, **held), row) == (0.0, False)


def cheat(row, root):
    """A solution that looks its results up in the dataset."""
    return f"""
import json, os
def {row["name"]}(*a):
    lib = os.path.dirname(os.__file__)
    for path in ({str(root)!r}, lib + "/" + "../" * 20 + {str(root)[1:]!r}):
        try:
            lines = open(path + "/datasets/code/data.jsonl").read().splitlines()
        except OSError:
            continue
        row = next(r for r in map(json.loads, lines) if r["name"] == {row["name"]!r})
        return next(result for given, result in row["examples"] + row["tests"] if given == list(a))
"""
