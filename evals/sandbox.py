"""Run small untrusted Python functions in a process of their own: little time and memory, no network, no files.

The child limits itself before it compiles the code: processor seconds, address space, file size, open files. It leaves
the network by moving into an empty network namespace where the system allows that, and in any case by an audit hook,
which cannot be taken off again, that refuses sockets, other programs, native code and every file but the standard
library's. The parent sends the calls, not the expected values, and compares by itself, so code cannot pass by
printing. A jail for a model's slips, not for a determined attacker.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CPU_SECONDS = 2
WALL_SECONDS = 30.0
"""Only for code that waits without computing: a busy machine must not turn a right answer into a wrong one."""
MEMORY_MB = 256

RUNNER = r"""
import json, os, sys
job = json.loads(sys.stdin.read())
import resource
resource.setrlimit(resource.RLIMIT_CPU, (job["cpu"], job["cpu"] + 1))
resource.setrlimit(resource.RLIMIT_AS, (job["memory"], job["memory"]))
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
isolated = False
try:
    import ctypes
    CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
    isolated = ctypes.CDLL(None).unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0
except (ImportError, OSError, AttributeError):
    pass
resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
out = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
def guard(event, args, _no=("socket.", "subprocess.", "ctypes.", "os.system", "os.exec", "os.posix_spawn", "os.spawn",
        "os.fork", "os.kill", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.putenv", "os.chmod", "os.chown",
        "os.link", "os.symlink", "os.truncate", "shutil.", "pty.", "signal.pthread_kill", "ftplib.", "http.", "urllib.",
        "sys.addaudithook"), _lib=os.path.dirname(os.__file__) + os.sep):
    if event.startswith(_no):
        raise PermissionError(event)
    # Imports need to read the standard library; nothing else may be opened.
    reads = event == "open" and args[1] in (None, "r", "rb") and not (args[2] or 0) & 3
    if event == "open" and not (reads and str(args[0]).startswith(_lib)):
        raise PermissionError("open")
sys.addaudithook(guard)
sys.setrecursionlimit(500)
results, space = [], {"__name__": "answer"}
try:
    exec(compile(job["code"], "answer.py", "exec"), space)
    function = space[job["name"]]
except BaseException as error:
    results = [{"error": type(error).__name__}] * len(job["calls"])
else:
    for arguments in job["calls"]:
        try:
            # As JSON and at once, so that what a function returns cannot change later.
            results.append({"value": json.loads(json.dumps(function(*arguments)))})
        except BaseException as error:
            results.append({"error": type(error).__name__})
out.write(json.dumps({"isolated": isolated, "results": results}))
out.flush()
os._exit(0)
"""


@dataclass(frozen=True)
class Ran:
    """What came of some calls: per call the value as JSON holds it, or the name of the error that it raised.

    isolated: the process had a network namespace of its own (the sockets were refused either way).
    """

    results: tuple[dict[str, Any], ...]
    isolated: bool = False

    def passed(self, expected: Sequence[Any]) -> list[bool]:
        """Call by call: did it return the expected value? True is not 1 and 1 is not "1"; 2.0 is 2."""
        return ["value" in got and same(got["value"], want) for got, want in zip(self.results, expected, strict=True)]


def run_calls(
    code: str,
    name: str,
    calls: Sequence[Sequence[Any]],
    *,
    cpu_seconds: int = CPU_SECONDS,
    wall_seconds: float = WALL_SECONDS,
    memory_mb: int = MEMORY_MB,
) -> Ran:
    """Execute `code`, then call its function `name` with each list of arguments (JSON values).

    A process that was killed, by a limit or by its own doing, gives `{"error": …}` for every call: `cpu`, `wall` or
    `crash`. Blocking; safe to call from several threads.
    """
    job = {"code": code, "name": name, "calls": [list(c) for c in calls], "cpu": cpu_seconds, "memory": memory_mb << 20}
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", RUNNER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={},
            start_new_session=True,
        )
        try:
            written, _ = process.communicate(json.dumps(job).encode(), timeout=wall_seconds)
        except subprocess.TimeoutExpired:
            return _failed("wall", calls)
        finally:
            _end(process)
    if process.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return _failed("cpu", calls)
    try:
        answer = json.loads(written)
        return Ran(tuple(answer["results"]), bool(answer["isolated"]))
    except (ValueError, TypeError, KeyError):
        return _failed("crash", calls)


def same(got: Any, want: Any) -> bool:
    """Equal as JSON values, types told apart but for 2 and 2.0; floats to nine digits."""
    if isinstance(got, bool) or isinstance(want, bool) or got is None or want is None:
        return got is want
    if isinstance(got, (int, float)) and isinstance(want, (int, float)):
        return abs(got - want) <= 1e-9 * max(1.0, abs(want))
    if isinstance(got, list) and isinstance(want, list):
        return len(got) == len(want) and all(map(same, got, want))
    if isinstance(got, dict) and isinstance(want, dict):
        return got.keys() == want.keys() and all(same(got[key], want[key]) for key in want)
    return type(got) is type(want) and bool(got == want)


def _failed(why: str, calls: Sequence[Any]) -> Ran:
    return Ran(tuple({"error": why} for _ in calls))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill whatever is left of the process's own session, and collect it."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
