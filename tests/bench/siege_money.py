"""Sweeps under a budget: killed, doubled, on a full disk, and against a server that lies.

The server keeps its own books; a sweep's ledger may say more than it billed, never less, and neither passes the budget.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.siege_common import Child, Row, Tell, acknowledged
from tests.bench.siege_disk import Disk
from tests.servers.liar import LIES, Liar

SAMPLE_USD = 0.05
"""Set aside for each sample; one call may cost $0.035 at worst and really costs $0.003."""
BOUND_S = 90.0
"""In which the sweep of eight samples ends that an honest server answers within two seconds."""


def project(folder: Path, url: str, names: tuple[str, ...], samples: int, budget: float, **more: Any) -> Path:
    """A sweep of `samples` of each model; the model's name says how the server lies about it."""
    from tests.servers.grid import price, write_project

    models = [{"model": f"openai-api/local/{name}", "base_url": url, "max_connections": 4} for name in names]
    suites = {"echo": {"task": "tasks.py@echo", "args": {"n": samples}}}
    sweep = {"models": models, "budget_usd": budget, "limits": {"usd": SAMPLE_USD}, "config": {"max_tokens": 50},
             "max_retries": 1, "timeout": 5} | more  # fmt: skip
    return write_project(folder, sweep, suites, prices={model["model"]: price(100, 200) for model in models})


def sweeping(file: Path, logs: Path, home: Path) -> Callable[[Tell], None]:
    """Work for a `Child`: run the sweep, telling each finished sample and in the end what it says it spent."""

    def work(tell: Tell) -> None:
        from inspect_ai.hooks import Hooks, SampleEnd, hooks

        from router_lab.sweep import run_sweep

        class Finished(Hooks):
            async def on_sample_end(self, data: SampleEnd) -> None:
                if data.sample.error is None and data.sample.model_usage:
                    model = next(iter(data.sample.model_usage)).rpartition("/")[2]
                    tell("finished", f"{model}/{data.sample.id}")

        os.environ["XDG_DATA_HOME"] = str(home)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        hooks(name="siege_finished", description="Tells what is finished")(Finished)
        result = run_sweep(file, logs, quiet=True)
        tell("end", result.spent_usd, result.unrun, result.not_begun)

    return work


def spent(file: Path, logs: Path) -> float:
    """Dollars that the sweep's ledger has, read as the next run would read it."""

    def read(tell: Tell) -> None:
        from router_lab.sweep.ledger import Ledger
        from router_lab.sweep.plan import prepare

        tell("spent", Ledger(logs, prepare(file).prices(), priced=False, reading=True).spent_usd)

    said = Child(read).ended()
    return float(said[0][1]) if said and said[0][0] == "spent" else math.nan


def settle(row: Row, what: str, ledger: float, billed: float, budget: float) -> None:
    """The three promises about money."""
    row.promise(
        math.isfinite(ledger) and ledger >= 0, f"{what}: the ledger cannot be read, or says less than nothing"
    )
    row.promise(not ledger > budget + 1e-9, f"{what}: by its own ledger the budget is passed")
    row.promise(billed <= budget + 1e-9, f"{what}: the server billed more than the budget")
    row.promise(not ledger < billed - 1e-9, f"{what}: the ledger has less than the server billed")


def kill_sweep(count: int, draw: np.random.Generator, base: Path) -> Row:
    """Two models of 30 samples; killed after a random number of requests, resumed to its end."""
    row, budget = Row("kill -9 in sweep"), 1.2
    for turn in range(count):
        folder = base / f"sweep-{turn}"
        with Liar(delay=0.03) as server:
            file = project(folder, server.url, ("honest-a", "honest-b"), 30, budget)
            work, at = sweeping(file, folder / "logs", folder / "home"), int(draw.integers(1, 58))
            child = Child(work)
            while (
                len(server.books()) < at
                and os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
            ):
                time.sleep(0.002)
            said = acknowledged(
                row, child.killed_after(float(draw.uniform(0, 0.03))), "a sweep that is killed"
            )
            finished = {line[1] for line in said if line[0] == "finished"}
            time.sleep(0.1)  # for what was on its way
            before = len(server.books())
            settle(row, "after the kill", spent(file, folder / "logs"), float(server.billed()), budget)
            again = Child(work)
            said = acknowledged(row, again.ended(BOUND_S), "resuming a killed sweep")
            row.promise(again.status is not None, "resuming a killed sweep hangs")
            ends = [line for line in said if line[0] == "end"]
            row.acknowledged -= len(ends)
            row.lose(len(finished & set(server.asked()[before:])), "finished samples were asked for again")
            row.promise(all(line[2:] == [0, 0] for line in ends), "a resumed sweep does not reach its end")
            settle(row, "after resuming", ends[-1][1] if ends else math.nan, float(server.billed()), budget)
        row.rounds += 1
    return row


def two_sweeps(count: int, draw: np.random.Generator, base: Path) -> Row:
    """Two processes on one log directory with one budget, which is reached after some 34 of 100 samples."""
    row, budget = Row("two sweeps in one folder"), 0.15
    for turn in range(count):
        folder = base / f"double-{turn}"
        with Liar(delay=0.02) as server:
            file = project(folder, server.url, ("honest",), 100, budget)
            both = []
            for name in ("one", "two"):
                both.append(Child(sweeping(file, folder / "logs", folder / name)))
                time.sleep(float(draw.uniform(0, 0.3)))
            ends = 0
            for child in both:
                said = child.ended(BOUND_S)
                row.promise(child.status is not None, "one of two sweeps hangs")
                refused = [line for line in said if line[0] == "error" and line[1] == "InputError"]
                row.refused += len(refused)
                said = [line for line in said if line not in refused]
                ends += sum(line[0] == "end" for line in acknowledged(row, said, "a sweep beside another"))
            row.acknowledged -= ends
            row.promise(ends, "neither of two sweeps ran")
            settle(row, "two sweeps", spent(file, folder / "logs"), float(server.billed()), budget)
        row.rounds += 1
    return row


def full_disk(count: int, draw: np.random.Generator, base: Path) -> Row:
    """The log directory on a disk that becomes full at some random page; then there is room, and it goes on."""
    row, budget = Row("full disk: sweep"), 0.40
    for turn in range(count):
        folder = base / f"full-{turn}"
        with Liar(delay=0.01) as server, Disk(folder / "small") as disk:
            file = project(folder, server.url, ("honest",), 40, budget)
            words = ("sweep", file, "--log-dir", disk.folder / "logs", "--quiet")
            disk.fill(int(draw.integers(0, 250)))
            disk.run(row, "sweep", *words)
            disk.grow()
            billed = float(server.billed())
            settle(
                row,
                "sweep on a full disk",
                spent(file, disk.folder / "logs") if billed else 0.0,
                billed,
                budget,
            )
            row.promise(disk.run(row, "sweep", *words), "once there is room again, the sweep does not go on")
            settle(row, "and after it", spent(file, disk.folder / "logs"), float(server.billed()), budget)
        row.rounds += 1
    return row


def lies(base: Path, names: tuple[str, ...] = LIES) -> Iterator[Row]:
    """A sweep of eight samples against each lie, beside an honest model; it ends, and within its budget."""
    row, budget = Row("a lying server"), 0.60
    for name in names:
        folder = base / f"lie-{name}"
        with Liar() as server:
            file = project(folder, server.url, (name, "honest"), 8, budget)
            start = time.monotonic()
            child = Child(sweeping(file, folder / "logs", folder / "home"))
            said = child.ended(BOUND_S)
            row.rounds += 1
            refused = [line for line in said if line[0] == "error" and line[1] == "InputError"]
            row.refused += len(refused)
            said = [line for line in said if line not in refused]
            found = acknowledged(row, said, f"{name}: a sweep")
            row.acknowledged -= sum(line[0] == "end" for line in found)
            row.promise(child.status is not None, f"{name}: the sweep does not end within {BOUND_S:g} s")
            ledger = spent(file, folder / "logs")
            # A figure that is too small, and could be true, deceives any ledger: then the sweep need only end.
            settle(row, name, ledger, 0.0 if name == "zero" else float(server.billed()), budget)
            took = time.monotonic() - start
            row.notes += [
                f"{name}: {took:.0f} s, billed ${server.billed()}, ledger ${ledger:.4f} of ${budget}"
            ]
    yield row
