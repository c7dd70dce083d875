"""A sweep's samples on a Ray cluster: portions as tasks, the ledger as one actor beside the driver.

Ray starts a task again when its machine dies, and ends tasks and actor when the driver does; what
holds then is on disk. Nothing is scheduled here, and no sample, key or answer travels: machines
read the sweep's files, and write its logs, in folders that all of them see.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
import threading
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import ray
from inspect_ai import Task
from inspect_ai.log import EvalLog
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from router_lab.config.sweep import RaySpec
from router_lab.inspect_compat import one_line
from router_lab.prices import PriceTable, Tokens
from router_lab.runtime.errors import InputError
from router_lab.sweep.budget import Spending
from router_lab.sweep.engines import RAY, Place
from router_lab.sweep.engines.bank import Bank, RemoteLedger, Said, State
from router_lab.sweep.engines.portions import Portions, cpus_of, refuse_halves, refuse_one_process
from router_lab.sweep.engines.slices import Slice, claim
from router_lab.sweep.engines.worker import Ended, Job, run_slice
from router_lab.sweep.finished import finished_samples
from router_lab.sweep.progress import Counts, Progress, default_stream
from router_lab.sweep.settings import Where
from router_lab.sweep.stop import Stops

RETRIES = 3
"""Times that a portion is run again because its machine or process died."""
LOOK_S = 0.5
"""Seconds between two looks at how far the machines are."""
GRACE_S = 120.0
"""Seconds that portions have to write down what they hold when somebody stops the sweep."""


class RayTeller:
    """The bank's actor, from any process of the cluster. What it refuses is raised as it raised
    it; without it, InputError."""

    def __init__(self, actor: Any, table: PriceTable) -> None:
        self.actor, self.table = actor, table

    def take(self) -> None:
        """As `Bank` has it, like all that follow."""
        self._ask("take")

    def begin(self, by: str, where: Where) -> str | None:
        """Of a portion."""
        found: str | None = self._ask("begin", by, where)
        return found

    def finish(self, by: str) -> None:
        """Of a portion; waits until all that this process told before has come."""
        self._ask("finish", by)

    def open(self, by: str, worst_usd: float, most_usd: float | None) -> Said:
        """Before a call."""
        return self._said("open", by, worst_usd, most_usd)

    def close(
        self, by: str, name: str | None, model: str, tokens: Tokens, tools: Mapping[str, int] | None,
        seconds: float | None, tier: str | None,
    ) -> Said:  # fmt: skip
        """After one."""
        return self._said("close", by, name, model, tokens, tools, seconds, tier)

    def end(self, by: str, name: str, *, charged: bool) -> Said:
        """Of one without an answer."""
        return self._said("end", by, name, charged=charged)

    def tool(self, name: str, at: dt.datetime) -> Said:
        """Of a paid tool."""
        return self._said("tool", name, at)

    def unknown(self, model: str) -> Said:
        """Of an answer that no figures tell the price of."""
        return self._said("unknown", model)

    def heard(self, counts: Counts) -> None:
        """Nobody waits for it."""
        self.actor.heard.remote(counts)

    def stop(self, where: Where, reason: str, told: str) -> None:
        """Nobody waits for it."""
        self.actor.stop.remote(where, reason, told)

    def state(self, seen: int = 0) -> State:
        """For the driver."""
        found: State = self._ask("state", seen)
        return found

    def _said(self, method: str, *given: object, **named: object) -> Said:
        found: Said = self._ask(method, *given, **named)
        return found

    def _ask(self, method: str, *given: object, **named: object) -> Any:
        try:
            # Not by ray.get: Ray takes a task that waits in it to need no CPU, and starts another.
            return getattr(self.actor, method).remote(*given, **named).future().result()
        except RayTaskError as error:
            raise _cause(error) from None
        except RayError as error:
            raise InputError(
                f"the process that keeps the ledger is gone, and without it no call may be made: {one_line(error)}; "
                "run the same command again"
            ) from error


def _cause(error: RayTaskError) -> Exception:
    """What a process of the cluster raised."""
    cause = error.cause
    if isinstance(cause, ImportError):
        return InputError(f"a machine of the cluster has not all that this one has installed: {cause}")
    return cause if isinstance(cause, Exception) else error


class RayEngine:
    """The samples of one plan, run by whoever the cluster has."""

    name = RAY

    def __init__(self, place: Place, bank: RayTeller) -> None:
        plan, folder = place.plan, place.folder
        self.plan, self.spec, self.bank = plan, plan.grid.sweep.ray, bank
        self.ledger, self.portions = RemoteLedger(bank, "driver"), Portions(plan, folder)
        source = place.source if not isinstance(place.source, str | Path) else Path(place.source).resolve()
        self.job = Job(uuid.uuid4().hex, source, place.base, folder, Path.cwd(), plan.budget_usd)
        self._answered = {where for where, done in finished_samples(folder, plan).items() if done}
        self._remote = ray.remote(max_retries=RETRIES, scheduling_strategy="SPREAD")(_run_slice)
        self._told = 0

    @contextmanager
    def watched(self, spending: Spending, counter: Progress, stops: Stops) -> Iterator[None]:
        """As `Engine` has it: here nothing is called; others tell the bank."""
        self._counter, self._stops = counter, stops
        alive = sum(node["Alive"] for node in ray.nodes())
        counter.note(f"Ray: {alive} machines, {places(RaySpec())} CPUs")
        yield

    def make(self, tasks: Sequence[Task], limit: int) -> list[EvalLog]:
        """As `Engine` has it."""
        due = self.portions.due(tasks, limit, places(self.spec))
        self._tell_of_waits({where for _, where in due})
        self._to_their_end(due)
        return self.portions.logs(tasks)

    def _tell_of_waits(self, cells: Collection[Where]) -> None:
        """Ray waits for a machine that is large enough, which may be about to come."""
        largest = max(
            (node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]), default=0.0
        )
        for suite in sorted({suite for suite, _ in cells}):
            cpus = max(cpus_of(self.portions.tasks[where], self.spec) for where in cells if where[0] == suite)
            if cpus > largest:
                self._counter.note(
                    f"{suite}: waits for a machine with {cpus:g} CPUs, the largest now has {largest:g} (`ray: {{cpus: …, "
                    "sandbox_cpus: …}` in the sweep file)"
                )

    def _to_their_end(self, portions: Sequence[tuple[Slice, Where]]) -> None:
        """Run portions, and tell of them as they go."""
        running = {
            self._begun(one, where): where for one, where in portions if where not in self._stops.reasons
        }
        refused: dict[Where, str] = {}
        try:
            while running:
                ended, _ = ray.wait(list(running), timeout=LOOK_S)
                for ref in ended:
                    where, end = running.pop(ref), self._ended(ref)
                    if end.refused is None:
                        self._answered.add(where)
                    else:
                        refused[where] = end.refused
                self._look()
        except BaseException:
            _cancel(list(running))
            with suppress(InputError):
                self._look()
            raise
        for where in refused.keys() - self._answered:
            self._stops.reasons.setdefault(where, refused[where])

    def _begun(self, one: Slice, where: Where) -> object:
        cpus = cpus_of(self.portions.tasks[where], self.spec)
        given = self.job, one, where, self.bank.actor, self.bank.table, where in self._answered
        return self._remote.options(num_cpus=cpus).remote(*given)

    def _ended(self, ref: object) -> Ended:
        """Raises InputError where a portion ends the sweep, KeyboardInterrupt where somebody
        stopped it."""
        try:
            end: Ended = ray.get(ref)
        except RayTaskError as error:
            raise _cause(error) from None
        except RayError as error:
            raise InputError(
                f"a portion of the sweep died {RETRIES + 1} times: {one_line(error)}; what is finished is kept: run the "
                "same command again"
            ) from error
        if end.fault:
            raise InputError(f"sweep {self.plan.grid.sweep.name}: {end.fault}")
        if end.cancelled:
            raise KeyboardInterrupt
        return end

    def _look(self) -> None:
        state = self.bank.state(self._told)
        self._told += len(state.notes)
        for line in state.notes:
            self._counter.note(line)
        for where, reason in state.stopped.items():
            self._stops.reasons.setdefault(where, reason)
        self._counter.heard(state.counts)


@contextmanager
def ray_engine(place: Place) -> Iterator[RayEngine]:
    """For the samples of a plan in its log directory, which all machines see. Raises InputError
    for what one process alone can do."""
    refuse_one_process(place.plan)
    with _connected():
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        bank = ray.remote(num_cpus=0, max_restarts=0, scheduling_strategy=here)(Bank)
        table, priced = place.plan.prices(), place.plan.grid.sweep.limits.usd is not None
        teller = RayTeller(bank.remote(place.folder, table, priced=priced, tier=place.plan.tier), table)
        teller.take()
        claim(place.folder)
        refuse_halves(place.plan, place.folder)
        yield RayEngine(place, teller)


def places(spec: RaySpec) -> int:
    """How many portions run at once."""
    return max(1, int(ray.cluster_resources().get("CPU", 1.0) / spec.cpus))


def _run_slice(job: Job, one: Slice, where: Where, actor: object, table: PriceTable, answered: bool) -> Ended:
    return run_slice(job, one, where, RayTeller(actor, table), answered)


def _cancel(running: Sequence[object]) -> None:
    """Have portions write down what they have, as an interrupt has Inspect do."""
    for ref in running:
        ray.cancel(ref)
    if running:
        ray.wait(list(running), num_returns=len(running), timeout=GRACE_S)


@contextmanager
def _connected() -> Iterator[None]:
    """Connected to the cluster that RAY_ADDRESS names, or `ray start` began here, else to one of
    this machine alone that ends with the sweep."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = os.environ.get("RAY_ADDRESS", "")
    if address.startswith("ray://"):
        raise InputError(
            f"RAY_ADDRESS is {address}: a sweep is begun on a machine of the cluster, which sees its files; there HOST:PORT "
            "without ray:// is the address"
        )
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            namespace=f"router-lab-{uuid.uuid4().hex}", include_dashboard=False, log_to_driver=False,
            logging_level="WARNING",
        )  # fmt: skip
    except (ConnectionError, ValueError) as error:
        raise InputError(
            f"no Ray cluster can be reached (RAY_ADDRESS is {address!r}): {one_line(error)}"
        ) from error
    if main:  # Ray's own ends the process without a word
        signal.signal(signal.SIGTERM, before)
    try:
        # Ray tells of dead machines on standard output, which --json is for.
        with redirect_stdout(default_stream()):
            yield
    finally:
        ray.shutdown()
