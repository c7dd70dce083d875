"""What every attack of the siege needs: processes to kill, small policies, and the row of figures that it ends with."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import inspect
import io
import json
import os
import re
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = ("fallback", None)
"""The candidate that stores serve until they have a policy."""

Tell = Callable[..., None]


@dataclass
class Row:
    """One line of the table. `refused` counts what was refused with an error that says why; `broken` what may not be,
    by its text."""

    attack: str
    rounds: int = 0
    acknowledged: int = 0
    lost: int = 0
    refused: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def promise(self, kept: object, said: str) -> bool:
        """Count a broken promise unless `kept`; whether it was kept."""
        if not kept:
            self.broken[said] += 1
        return bool(kept)

    def lose(self, missing: int, said: str) -> None:
        """Count what was acknowledged and is not there."""
        if missing:
            self.lost += missing
            self.broken[said] += 1

    @contextlib.contextmanager
    def readable(self, what: str) -> Any:
        """Whatever a check raises is a promise broken: nothing that was written may be unreadable."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # a siege goes on
            self.promise(False, f"{what}: {one_line(error)}")


HEAD = f"{'attack':<34}{'rounds':>7}{'acknowledged':>14}{'lost':>6}{'refused':>9}{'broken':>8}"


def shown(row: Row) -> str:
    """The row, and below it each broken promise once, the most frequent first."""
    said = [f"    {count:>4} × {text}" for text, count in row.broken.most_common(30)]
    said += [f"           {note}" for note in row.notes]
    figures = (
        f"{row.rounds:>7,}{row.acknowledged:>14,}{row.lost:>6,}{row.refused:>9,}{row.broken.total():>8,}"
    )
    return "\n".join([f"{row.attack:<34}{figures}", *said])


def one_line(error: BaseException) -> str:
    """An error as a line, without what differs from run to run, so that the same ones are counted together."""
    words = f"{type(error).__name__}: {error}".split()
    text = " ".join(
        "…" + word[word.rindex("/") :] if word.startswith(("/", "'/")) else word for word in words
    )
    return re.sub(r"\b[0-9a-f]{12,64}\b|\d+", "N", text)[:200]


class Child:
    """A process of its own that does `work(tell)`; each `tell(…)` is an acknowledgement that outlives it.

    It is forked, not started: what is imported here is there, and so nothing that forks may have threads.
    """

    def __init__(self, work: Callable[[Tell], None]) -> None:
        reading, writing = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(reading)
            _run(work, writing)
        os.close(writing)
        self._reading = reading
        self._read = b""
        self.status: int | None = None

    def begun(self) -> None:
        """Wait for the first acknowledgement, or for the end."""
        while b"\n" not in self._read:
            data = os.read(self._reading, 1 << 16)
            if not data:
                return
            self._read += data

    def killed_after(self, seconds: float) -> list[list[Any]]:
        """kill -9 that long after the first acknowledgement; all of them."""
        self.begun()
        time.sleep(seconds)
        os.kill(self.pid, signal.SIGKILL)
        return self.ended()

    def ended(self, within: float = 120.0) -> list[list[Any]]:
        """All acknowledgements, once it has ended; `status` is None if it was killed for having hung."""
        until = time.monotonic() + within
        while (done := os.waitpid(self.pid, os.WNOHANG)) == (0, 0):
            self._drain()
            if time.monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                break
            time.sleep(0.002)
        else:
            self.status = os.waitstatus_to_exitcode(done[1])
        self._drain()
        os.close(self._reading)
        return [json.loads(line) for line in self._read.splitlines()]

    def _drain(self) -> None:
        os.set_blocking(self._reading, False)
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._reading, 1 << 16):
                self._read += data


def _run(work: Callable[[Tell], None], writing: int) -> None:
    """The child's whole life. An error that work ends with is told as ["error", its kind, its text]."""

    def tell(*said: Any) -> None:
        os.write(writing, json.dumps(said).encode() + b"\n")

    status = 1
    try:
        work(tell)
        status = 0
    except BaseException as error:  # noqa: BLE001  # a forked process must not run on in its parent's loop
        if os.environ.get("SIEGE_TRACE"):
            traceback.print_exc()
        tell("error", type(error).__name__, one_line(error))
    finally:
        os._exit(status)


def acknowledged(row: Row, said: list[list[Any]], what: str) -> list[list[Any]]:
    """The acknowledgements of a killed process without its words about itself; an error is a promise broken."""
    for line in said:
        if line[0] == "error":
            row.promise(False, f"{what}: {line[2]}")
    found = [line for line in said if line[0] not in ("ready", "error")]
    row.acknowledged += len(found)
    return found


def command(*words: str | os.PathLike[str]) -> Callable[[Tell], None]:
    """Work for a `Child`: the command line, in a process that has imported it; tells its exit status and its words."""

    def work(tell: Tell) -> None:
        from router_lab.cli import cli

        printed = io.BytesIO()  # in memory: a file could not grow either
        sys.stdout = sys.stderr = io.TextIOWrapper(printed, encoding="utf-8", write_through=True)
        status: Any = 0
        try:
            cli([str(word) for word in words], prog_name="router-lab")
        except SystemExit as end:
            status = end.code or 0
        except BaseException:  # noqa: BLE001  # what Python does with it
            traceback.print_exc()
            status = 1
        tell("status", status, printed.getvalue().decode())

    return work


@functools.cache
def _random_spec() -> Callable[..., Any]:
    found = importlib.util.spec_from_file_location(
        "runtime_conftest", ROOT / "tests" / "runtime" / "conftest.py"
    )
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    spec: Callable[..., Any] = module.random_spec
    return spec


def policies(count: int, name: str = "support", first: int = 0) -> list[Any]:
    """Policies of one name that differ in every weight."""
    from router_lab.runtime.policy import Policy

    return [Policy(_random_spec()(seed=first + n, columns=3, name=name)) for n in range(count)]


def store_of(source: Any, **settings: Any) -> Any:
    """A store of policy `support`, alias `champion`, as far as this version lets a store be bound to them."""
    from router_lab.runtime.store import PolicyStore

    bound = {"name": "support", "alias": "champion"}
    known = inspect.signature(PolicyStore.__init__).parameters
    settings = {name: value for name, value in bound.items() if name in known} | settings
    return PolicyStore(source, default=DEFAULT, **settings)


def flushed(log: Any) -> None:
    """A log that writes behind the caller's back acknowledges at `flush`; one that does not, in `write`."""
    flush = getattr(log, "flush", None)
    if flush is not None:
        flush()


def serves_default(store: Any) -> bool:
    """Whether the store has no policy yet."""
    return bool(store.policy.revision == "default")


def generator(seed: int, *purpose: str) -> np.random.Generator:
    """Random numbers of this seed and purpose: an attack is the same, whichever others ran before it."""
    return np.random.default_rng([seed, *(byte for word in purpose for byte in word.encode())])
