"""A sweep whose model counts: what it was asked, and what it answered, stands in one file that all machines see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ray.cluster_utils import Cluster

from router_lab.sweep.engines.slices import claim
from router_lab.sweep.finished import finished_samples
from router_lab.sweep.ledger import Ledger
from router_lab.sweep.plan import Plan
from tests.servers.grid import price, write_project

ROOT = Path(__file__).parents[2]
TASK = """
import asyncio
import json
import os
import time
from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelAPI, ModelOutput, ModelUsage, modelapi
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

FILE = os.open(Path(__file__).parent / "asked.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def note(kind, model, text):
    os.write(FILE, (json.dumps([kind, model, text, time.time()]) + "\\n").encode())


@modelapi(name="counted")
def counted():
    class Counted(ModelAPI):
        async def generate(self, input, tools, tool_choice, config):
            text = input[-1].text
            note("asked", self.model_name, text)
            await asyncio.sleep(float(os.environ.get("COUNTED_SECONDS", "0")))
            note("answered", self.model_name, text)
            output = ModelOutput.from_content(self.model_name, "no" if self.model_name == "poor" else text.split()[-1])
            output.usage = ModelUsage(input_tokens=100, output_tokens=10, total_tokens=110)
            return output

        def max_connections(self):
            return 10

    return Counted


@task
def numbers(n: int = 10):
    samples = [Sample(id=f"s{i}", input=f"say {i}", target=str(i), metadata={"topic": i % 50}) for i in range(n)]
    return Task(dataset=samples, solver=generate(), scorer=includes())
"""
KINDS = ("asked", "answered")
MODELS = ("counted/a", "counted/b")
USD = {"counted/a": 100 * 1e-6 + 10 * 2e-6, "counted/b": 100 * 10e-6 + 10 * 20e-6}
"""Of one call: 100 tokens in and 10 out, at the prices below."""


MACHINE = {"num_cpus": 1, "object_store_memory": 80_000_000}


class Asked(NamedTuple):
    """How often each (model, prompt) was asked and answered, and when (seconds) it was answered last."""

    asked: Counter[tuple[str, str]]
    answered: Counter[tuple[str, str]]
    last: float


def counted_sweep(folder: Path, samples: int, names: Sequence[str] = MODELS, **sweep: Any) -> Path:
    """Two candidates that count over `samples` samples; returns the sweep file."""
    models = [{"model": name, "record": False} for name in names]
    suites = {"numbers": {"task": "counting.py@numbers", "args": {"n": samples}, "group": "topic"}}
    config = {"config": {"max_tokens": 10}, **sweep}
    file = write_project(
        folder, {"models": models, **config}, suites,
        prices={"counted/a": price(1, 2), "counted/b": price(10, 20), "counted/poor": price(10, 20)},
    )  # fmt: skip
    (folder / "counting.py").write_text(textwrap.dedent(TASK))
    return file


def asked_of(folder: Path) -> Asked:
    """What the sweep's model was asked so far, by all processes of all runs."""
    file = folder / "asked.jsonl"
    told = file.read_text() if file.exists() else ""
    # Whoever writes may be seen in the middle of it: what has no end of line yet comes next time.
    lines = [json.loads(line) for line in told[: told.rfind("\n") + 1].splitlines()]
    asked, answered = (
        Counter((f"counted/{model}", text) for what, model, text, _ in lines if what == kind)
        for kind in KINDS
    )
    return Asked(asked, answered, max((at for *_, at in lines), default=0.0))


def kept_in(places: Path) -> Path:
    """The folder that is kept in step with the one address of a sweep, where `places` is $ROUTER_LAB_PLACES."""
    (found,) = places.glob("*/at/*")
    return found


def finished_in(logs: Path, plan: Plan) -> set[tuple[str, str]]:
    """(model, prompt) of what is finished in the log folder of a sweep whose driver was killed."""
    claim(logs)
    done = finished_samples(logs, plan).items()
    return {(where[1].model, f"say {name[1:]}") for where, names in done for name, _ in names}


class Dollars(NamedTuple):
    """What a sweep's ledger says was answered, and set aside for calls that never were; and what the model's own count
    comes to."""

    answered: float
    reserved: float
    bill: float


def dollars_of(logs: Path, plan: Plan, asked: Asked) -> Dollars:
    """Of all runs in a log folder."""
    ledger = Ledger(logs, plan.prices(), priced=True, reading=True)
    bill = sum(count * USD[model] for (model, _), count in asked.answered.items())
    return Dollars(ledger.spent_usd - ledger.reserved_usd, ledger.reserved_usd, bill)


def begin(file: Path, logs: Path | str, *options: str, **environment: str) -> subprocess.Popen[str]:
    """`router-lab sweep` in a process of its own, which a signal can end."""
    command = [
        sys.executable,
        "-c",
        "from router_lab.cli import main; main()",
        "sweep",
        str(file),
        "--log-dir",
        str(logs),
        "--json",
        *options,
    ]
    told = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.Popen(
        command,
        env=told,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def quiet_ray(put: Callable[[str, str], object]) -> None:
    """Settings of a cluster for tests: nothing of it leaves this machine, nothing stays in the home folder."""
    put("PYTHONPATH", str(ROOT))
    put("RAY_USAGE_STATS_ENABLED", "0")
    put("RAY_AUTH_MODE", "disabled")
    put("RAY_worker_niceness", "0")  # beside a process that is not niced


def swapped(cluster: Cluster) -> None:
    """One machine dies, and another takes its place."""
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    patiently(lambda: cluster.add_node(**MACHINE))


def wait_for(true: Callable[[], bool], process: subprocess.Popen[str], every_s: float = 0.05) -> None:
    """While the process lives."""
    while not true():
        assert process.poll() is None, process.communicate()
        time.sleep(every_s)


def quiet(folder: Path) -> None:
    """Wait until nobody asks any more."""
    before = -1
    while before != (before := sum(asked_of(folder).asked.values())):
        time.sleep(2)


Begun = TypeVar("Begun")


def patiently(begun: Callable[[], Begun]) -> Begun:
    """Ray gives up where a machine, which may be busy, takes more than 30 seconds to begin; what it began then ends with
    this process."""
    for _ in range(4):
        with suppress(Exception):
            return begun()
    return begun()


@contextmanager
def two_machines() -> Iterator[Cluster]:
    """A cluster of two machines with one CPU each; the driver is on the first."""
    cluster = patiently(
        lambda: Cluster(initialize_head=True, head_node_args={**MACHINE, "include_dashboard": False})
    )
    try:
        patiently(lambda: cluster.add_node(**MACHINE))
        yield cluster
    finally:
        cluster.shutdown()
