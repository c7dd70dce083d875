"""Decisions are made one after the other, and nothing that happens to a process makes one wait for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from router_lab.runtime import decision_lock
from router_lab.runtime.policy import Policy

TEXT = "the quick brown fox"


def in_another_thread(call: Any) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(call()), daemon=True)
    thread.start()
    thread.join(20)
    return found[0] if found else "waits"


def test_a_decision_waits_for_the_one_before(random_policy: Policy) -> None:
    begun, done = threading.Event(), threading.Event()

    def ask() -> None:
        begun.set()
        random_policy.decide(TEXT)
        done.set()

    with decision_lock.LOCK:
        assert random_policy.decide(TEXT).candidate  # one's own turn may be taken again
        threading.Thread(target=ask, daemon=True).start()
        assert begun.wait(20) and not done.wait(0.2)
    assert done.wait(20)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_forked_during_a_decision_decides(random_policy: Policy) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with decision_lock.LOCK:
            entered.set()
            leave.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert entered.wait(20)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        random_policy.decide(TEXT)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    leave.set()
    holder.join()
    assert status == 0


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs signals")
def test_a_signals_handler_may_decide_during_a_decision(random_policy: Policy) -> None:
    found: list[Any] = []

    def handler(number: int, frame: FrameType | None) -> None:
        found.append(random_policy.decide(TEXT))

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with decision_lock.LOCK:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert random_policy.decide(TEXT).candidate
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert found == [random_policy.decide(TEXT)]


def test_what_a_caller_brings_runs_outside_of_the_turn(make_random: Any) -> None:
    """A clock, a text or a vector of the caller's own may ask another thread for a decision, and wait for it."""
    plain = Policy(make_random(1))

    def elsewhere() -> Any:
        return in_another_thread(lambda: plain.decide(TEXT).code)

    class Text(str):
        __slots__ = ()

        def __str__(self) -> str:
            said.append(elsewhere())
            return TEXT

    class Numbers:
        def __array__(self, *arguments: Any, **more: Any) -> Any:
            said.append(elsewhere())
            raise TypeError("none")

    def clock() -> float:
        said.append(elsewhere())
        return 0.0

    said: list[Any] = []
    asked = Policy(make_random(1), clock=clock)
    asked.decide(Text(TEXT), suite=Text("a"), key=Text("k"), tiers=[Text("standard")])
    with pytest.raises(Exception, match="vector"):
        asked.decide(TEXT, vector=Numbers())  # type: ignore[arg-type]
    assert said and set(said) == {plain.decide(TEXT).code}


STOPPED = """
import ctypes, sys, threading, time
sys.path[:0] = [%r]
from router_lab.runtime import decision_lock
from router_lab.runtime.artifact import load_policy
policy = load_policy(sys.argv[1])
threading.excepthook = lambda _: None
stop, error = ctypes.pythonapi.PyThreadState_SetAsyncExc, ctypes.py_object(KeyboardInterrupt)

def ask(begun):
    begun.set()
    while True:
        policy.decide("x")

for number in range(100):
    begun = threading.Event()
    thread = threading.Thread(target=ask, args=(begun,), daemon=True)
    with decision_lock.LOCK if number & 1 else threading.Lock():  # every second one is stopped while it waits for its turn
        thread.start()
        begun.wait()
        time.sleep(0.002)
        stop(ctypes.c_ulong(thread.ident), error)
    thread.join()
print(decision_lock.LOCK.acquire(blocking=False))
"""


def test_an_exception_at_any_moment_leaves_the_turn_to_others(root: Path) -> None:
    """As a Ctrl-C that a service catches; in a process of its own, whose threads may die of it anywhere."""
    program, policy = (
        STOPPED % str(Path(decision_lock.__file__).parents[2]),
        root / "tests" / "golden" / "v1" / "identity",
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(policy)], capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


ENDING = """
import builtins, sys, threading, time
sys.path[:0] = [%r, %r]
from router_lab.runtime.artifact import load_policy
policy, begun = load_policy(sys.argv[1]), threading.Event()

def ask():
    while True:
        policy.decide("the quick brown fox " * 400)
        begun.set()

class Last:
    def __del__(self):
        print(policy.decide("x").candidate.model, flush=True)

for _ in range(8):
    threading.Thread(target=ask, daemon=True).start()
begun.wait()
builtins.last = Last()
"""


def test_an_interpreter_that_ends_among_deciding_threads_ends(root: Path) -> None:
    """Its daemon threads are left where they are, perhaps in the middle of a decision."""
    policy = root / "tests" / "golden" / "v1" / "identity"
    program = ENDING % (str(root), str(Path(decision_lock.__file__).parents[2]))
    done = subprocess.run(
        [sys.executable, "-c", program, str(policy)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0 and done.stdout.strip(), done.stderr
