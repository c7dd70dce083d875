"""Run small untrusted Python functions in a process of their own: little time and memory, no network, no files.

The program inside (`sandbox_inside.py`) is sent the calls, not the expected values; the parent compares by itself, so
code cannot pass by printing, nor by writing answers of its own: it would have to know them. What holds the process is
named by the caller: a box of the kernel's (`sandbox_box.py`), or the guard alone, limits and an audit hook inside it.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sandbox_syscalls
from sandbox_box import Box, real_python

CPU_SECONDS = 2
WALL_SECONDS = 30.0
"""Only for code that waits without computing: a busy machine must not turn a right answer into a wrong one."""
START_SECONDS = 120.0
"""For the machine to come to the code; later than that it is not run, and nothing is scored."""
MEMORY_MB = 256
OUTPUT_BYTES = 1 << 20
"""Of all results together; more ends the process."""

INSIDE = (Path(__file__).parent / "sandbox_inside.py").read_text(encoding="utf-8")
BEGAN = b"began\n"


class NotRunError(RuntimeError):
    """The code was never begun: the machine's fault, not the code's. Nothing may be scored for it."""


@dataclass(frozen=True)
class Ran:
    """What came of some calls: per call the value as JSON holds it, or the name of the error that it raised."""

    results: tuple[dict[str, Any], ...]

    def passed(self, expected: Sequence[Any]) -> list[bool]:
        """Call by call: did it return the expected value? True is not 1 and 1 is not "1"; 2.0 is 2."""
        return [
            "value" in got and same(got["value"], want)
            for got, want in zip(self.results, expected, strict=True)
        ]


def run_calls(
    code: str,
    name: str,
    calls: Sequence[Sequence[Any]],
    *,
    box: Box | None = None,
    guard: bool = True,
    cpu_seconds: int = CPU_SECONDS,
    wall_seconds: float = WALL_SECONDS,
    memory_mb: int = MEMORY_MB,
) -> Ran:
    """Execute `code`, then call its function `name` with each list of arguments (JSON values).

    A process that was killed, by a limit or by its own doing, gives `{"error": …}` for every call: `cpu`, `wall`,
    `output` or `crash`. Blocking; safe to call from several threads.

    Args:
        box: the kernel boundary; None runs it in a process that only guards itself.
        guard: False leaves the audit hook out, to try what the box holds by itself.

    Raises NotRunError if the process never came to the code.
    """
    job = make_job(
        code, name, calls, guard=guard, cpu_seconds=cpu_seconds, memory_mb=memory_mb, boxed=box is not None
    )
    with _started(box) as process:
        written, ended = _converse(process, job, wall_seconds)
        said = _said(process)
    return read_answer(written, calls, ended or _way_out(process.returncode, boxed=box is not None), said)


def make_job(
    code: str, name: str, calls: Sequence[Sequence[Any]], *, boxed: bool, guard: bool = True,
    cpu_seconds: int = CPU_SECONDS, memory_mb: int = MEMORY_MB,
) -> bytes:  # fmt: skip
    """What the program inside reads. A box has its filter of system calls already; without one it sets its own."""
    job = {"code": code, "name": name, "calls": [list(c) for c in calls], "guard": guard}
    job |= {
        "cpu": cpu_seconds,
        "memory": memory_mb << 20,
        "filter": "" if boxed else sandbox_syscalls.program().hex(),
    }
    return json.dumps(job).encode()


def read_answer(written: bytes, calls: Sequence[Any], ended: str | None, said: str = "") -> Ran:
    """The results out of what the process wrote; `ended` is why it was ended, if so. Whatever is no list of one result
    a call is `crash`. Raises NotRunError if it never began."""
    if not written.startswith(BEGAN):
        raise NotRunError(
            f"a process for a model's code could not be started: {said or ended or 'it wrote nothing'}"
        )
    if ended is not None:
        return _failed(ended, calls)
    try:
        results = json.loads(written[len(BEGAN) :])
    except (ValueError, RecursionError):
        return _failed("crash", calls)
    if (
        not isinstance(results, list)
        or len(results) != len(calls)
        or not all(isinstance(r, dict) for r in results)
    ):
        return _failed("crash", calls)
    return Ran(tuple(results))


def same(got: Any, want: Any) -> bool:
    """Equal as JSON values, types told apart but for 2 and 2.0; floats to nine digits."""
    if isinstance(got, bool) or isinstance(want, bool) or got is None or want is None:
        return got is want
    if isinstance(got, int) and isinstance(want, int):
        return got == want
    if isinstance(got, (int, float)) and isinstance(want, (int, float)):
        try:
            return abs(got - want) <= 1e-9 * max(1.0, abs(want))
        except OverflowError:  # an integer that no float can hold
            return False
    if isinstance(got, list) and isinstance(want, list):
        return len(got) == len(want) and all(map(same, got, want))
    if isinstance(got, dict) and isinstance(want, dict):
        return got.keys() == want.keys() and all(same(got[key], want[key]) for key in want)
    return type(got) is type(want) and bool(got == want)


@contextlib.contextmanager
def _started(box: Box | None) -> Iterator[subprocess.Popen[bytes]]:
    """The process, with nothing of this one but three pipes; at the end it and all of its session are gone."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        command, passed = stack.enter_context(box.opened()) if box else ([real_python()], [])
        process = subprocess.Popen(
            [*command, "-I", "-S", "-c", INSIDE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={},
            pass_fds=passed,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


def _converse(process: subprocess.Popen[bytes], job: bytes, wall_seconds: float) -> tuple[bytes, str | None]:
    """Send the job, read what is written: (that, and `wall` or `output` if it took too long or wrote too much). The
    code's time starts when the code does."""
    assert process.stdin is not None and process.stdout is not None
    written = bytearray()
    began, deadline = False, time.monotonic() + START_SECONDS
    with selectors.DefaultSelector() as ready:
        os.set_blocking(process.stdin.fileno(), False)
        ready.register(process.stdin, selectors.EVENT_WRITE)
        ready.register(process.stdout, selectors.EVENT_READ)
        while ready.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                return bytes(written), "wall"
            for key, _ in ready.select(left):
                if key.fileobj is process.stdin:
                    job = _send(process.stdin.fileno(), job)
                    if not job:
                        ready.unregister(process.stdin)
                        process.stdin.close()
                    continue
                chunk = os.read(key.fd, 1 << 16)
                written += chunk
                if not chunk:
                    return bytes(written), _waited(process, deadline)
                if len(written) > OUTPUT_BYTES + len(BEGAN):
                    return bytes(written), "output"
                if not began and written.startswith(BEGAN):
                    began, deadline = True, time.monotonic() + wall_seconds
    return bytes(written), None


def _send(pipe: int, job: bytes) -> bytes:
    """What is left of the job; nothing if nobody reads it."""
    try:
        return job[os.write(pipe, job) :]
    except BlockingIOError:
        return job
    except BrokenPipeError:
        return b""


def _waited(process: subprocess.Popen[bytes], deadline: float) -> str | None:
    """Its output is closed: wait for its end, which code may put off."""
    try:
        process.wait(max(0.01, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return "wall"
    return None


def _way_out(status: int, *, boxed: bool) -> str | None:
    """`cpu` for a process that ended by the limit on its processor time; bubblewrap reports signals as shells do."""
    by_signal = status - 128 if boxed and status > 128 else -status
    return "cpu" if by_signal in (signal.SIGXCPU, signal.SIGKILL) else None


def _said(process: subprocess.Popen[bytes]) -> str:
    """The beginning of what it wrote to standard error so far. The code itself has another one."""
    assert process.stderr is not None
    os.set_blocking(process.stderr.fileno(), False)
    text = (process.stderr.read(2000) or b"").decode(errors="replace")
    return " ".join(text.split())[:300]


def _failed(why: str, calls: Sequence[Any]) -> Ran:
    return Ran(tuple({"error": why} for _ in calls))
