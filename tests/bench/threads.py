"""`make bench-threads`, or `runtime.py --threads`: `decide` of a store by 8 threads, with and without hot swaps.

    python tests/bench/threads.py [CALLS] [SWAPS]

Open loop: each thread has 250 arrivals a second on a fixed timetable, and latency counts from the time on it, so that a
stall counts for every request that it delays; the service time of the call alone stands beside it. The machine may be
shared: the best of RUNS short runs is judged, and all are printed. Then CALLS (10^6) calls as fast as they go while
SWAPS (500) swaps change points, suites, candidates and vectors: every exception, and every answer that `allowed` does
not allow, is counted.
"""

from __future__ import annotations

import importlib.util
import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from router_lab.runtime.artifact import save_policy
from router_lab.runtime.model import Candidate, Linear
from router_lab.runtime.policy import Policy
from router_lab.runtime.store import Challenger, PolicyStore
from router_lab.runtime.vectors import VectorScale

THREADS, RATE, SECONDS, RUNS = 8, 2_000, 4.0, 5
DEFAULT, STRANGER = Candidate("default"), Candidate("stranger", "high")
TEXTS = [("What is " + " and ".join(f"{n} times {n + k}" for n in range(k % 40)) + "?") for k in range(97)]
ALLOWED: list[Any] = [None, None, [("m00", None)], [("m07", None), STRANGER], [STRANGER], [DEFAULT, STRANGER]]
POINTS = [None, "cheap", "half", "thrifty", "nobody's"]
SUITES = [None, "a", "b", "suite-3", "nobody's"]


def policies(folder: Path) -> list[Path]:
    """Artifacts that differ in points, suites, candidates and in whether they take vectors."""
    conftest = Path(__file__).parent.parent / "runtime" / "conftest.py"
    found = importlib.util.spec_from_file_location("runtime_conftest", conftest)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    make = module.random_spec
    many = tuple(f"suite-{n}" for n in range(50))
    points = {"thrifty": make().points["cheap"]}
    taking = Linear.constant(np.zeros((4, 6)), np.zeros((2, 3)), VectorScale(np.zeros(3), np.ones(3)))
    specs = [
        make(),
        make(seed=1, columns=24, suites=tuple(sorted(many)), routes={}),
        make(seed=2, columns=8, points=points, point="thrifty"),
        make(seed=3, columns=3, suites=("b", "c", "d"), routes={}, linear=taking),
    ]
    return [save_policy(Policy(spec), folder / str(number)) for number, spec in enumerate(specs)]


def open_loop(decide: Callable[[str], Any], swap: Callable[[], Any] | None) -> tuple[np.ndarray, np.ndarray, int]:
    """(latencies, service times) in ms of every call in SECONDS, and swaps made beside them."""
    gap, rounds = THREADS / RATE, int(SECONDS * RATE / THREADS)
    start = time.perf_counter() + 0.05
    rows = np.zeros((THREADS, rounds, 2))

    def serve(index: int) -> None:
        for number in range(rounds):
            due = start + (number + index / THREADS) * gap
            wait = due - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            begun = time.perf_counter()
            decide(TEXTS[(number + index) % len(TEXTS)])
            done = time.perf_counter()
            rows[index, number] = done - due, done - begun

    threads = [threading.Thread(target=serve, args=(index,)) for index in range(THREADS)]
    for thread in threads:
        thread.start()
    swaps = 0
    while swap is not None and threads[0].is_alive():
        swap()
        swaps += 1
        time.sleep(0.1)
    for thread in threads:
        thread.join()
    return rows[..., 0].ravel() * 1000, rows[..., 1].ravel() * 1000, swaps


def show(name: str, store: PolicyStore, swap: Callable[[], Any] | None) -> float:
    """The least 99th percentile of latency, in ms, of RUNS runs; a line for each."""
    least = np.inf
    for _ in range(RUNS):
        latency, service, swaps = open_loop(store.decide, swap)
        late, own = np.percentile(latency, [50, 99]), np.percentile(service, [50, 99])
        least = min(least, late[1])
        print(
            f"  {name:14s} {late[0]:8.3f} {late[1]:8.3f} {latency.max():8.2f}   {own[0]:8.3f} {own[1]:8.3f} "
            f"{service.max():8.2f} {swaps:6d}",
            flush=True,
        )
    return float(least)


def siege(store: PolicyStore, swap: Callable[[], Any], calls: int, swaps: int) -> dict[str, Any]:
    """At least `calls` calls by THREADS threads, until `swaps` swaps were made among them."""
    enough = threading.Event()
    made, wrong, unwanted = [0] * THREADS, [0] * THREADS, [0] * THREADS

    def ask(index: int) -> None:
        for number in itertools.count():
            if number >= calls // THREADS and enough.is_set():
                return
            own = ALLOWED[(number + index) % len(ALLOWED)]
            try:
                decision = store.decide(
                    TEXTS[number % len(TEXTS)], point=POINTS[number % 5], suite=SUITES[number // 5 % 5], allowed=own,
                    previous=STRANGER, key=str(number), vector=[1.0] * (number % 5) or None,
                )  # fmt: skip
                unwanted[index] += own is not None and decision.candidate not in own
            except Exception as error:  # noqa: BLE001
                wrong[index] += 1
                print(f"  {error!r}", file=sys.stderr)
            made[index] += 1

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(THREADS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    done = 0
    while done < swaps:
        if sum(made) * swaps >= done * calls:
            done += bool(swap())
        else:
            time.sleep(0.005)
    enough.set()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    return {
        "calls": sum(made), "a second": round(sum(made) / seconds), "swaps": done, "exceptions": sum(wrong),
        "not allowed": sum(unwanted), "refused": store.status.refused,
    }  # fmt: skip


def main(calls: int = 1_000_000, swaps: int = 500) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = policies(Path(folder))
        at = [0]
        rival = PolicyStore(lambda: paths[at[0] % 4], default=DEFAULT)
        champion = PolicyStore(lambda: paths[at[0] % 4], default=DEFAULT)
        store = PolicyStore(lambda: paths[at[0] % 4], default=DEFAULT, challenger=Challenger(rival, canary=0.2))

        def swap_of(one: PolicyStore) -> Callable[[], bool]:
            def swap() -> bool:
                at[0] += 1
                return one.check()

            return swap

        champion.check()
        print(f"\n{THREADS} threads, {RATE:,} arrivals a second for {SECONDS:g} s, ms\n")
        print("                       latency from the timetable     service time")
        print(f"  {'':14s} {'p50':>8s} {'p99':>8s} {'max':>8s}   {'p50':>8s} {'p99':>8s} {'max':>8s} {'swaps':>6s}")
        least = show("no swaps", champion, None)
        show("10 swaps/s", champion, swap_of(champion))
        print(f"\n  best p99 without swaps {least:.3f} ms (required: 1), of {RUNS} runs")
        at[0] = 0
        rival.check()
        found = siege(store, swap_of(store), calls, swaps)
        print("  " + ", ".join(f"{value:,} {name}" for name, value in found.items()) + " (required: 0 exceptions)")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
