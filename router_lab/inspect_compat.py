"""All that router_lab uses of Inspect beyond its public calls, in one place.

Nobody else here imports a private module of Inspect, touches an attribute of it that begins with
an underscore, or puts something in the place of one of its methods. `PARTS` says of each such
thing what it is for and where the public call would stand that replaces it; `ASSUMED` what is
relied on without being named in code. `tests/unit/test_inspect_compat.py` holds both, and fails
when such a public call has come.

Private parts change without notice, so `TESTED` pins the versions that the tests have passed with
(`pyproject.toml` repeats it): widen it with that test, tests/pipeline and tests/bench/resume.py
green.
"""

from __future__ import annotations

import asyncio
import os
import re
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from inspect_ai import Task
from inspect_ai._control.eval_state import latest_eval_for_task
from inspect_ai._eval.loader import load_tasks
from inspect_ai._eval.task.constants import TASK_ALL_PARAMS_ATTR, TASK_FILE_ATTR
from inspect_ai._eval.task.generate import task_generate
from inspect_ai._eval.task.run import resolve_plan
from inspect_ai._eval.task.util import sample_messages
from inspect_ai._util.error import PrerequisiteError
from inspect_ai._util.registry import (
    is_registry_object,
    registry_lookup,
    registry_params,
    set_registry_params,
)
from inspect_ai.log import EvalSampleSummary, Transcript
from inspect_ai.log._recorders.buffer import database
from inspect_ai.log._recover import _buffer as recovery
from inspect_ai.log._samples import sample_active
from inspect_ai.log._transcript import init_transcript
from inspect_ai.model import GenerateConfig, Model, ModelAPI, ModelName
from inspect_ai.model._model import init_active_model
from inspect_ai.model._providers.util.batch import Batcher
from inspect_ai.scorer import Target
from inspect_ai.solver import TaskState
from inspect_ai.solver._task_state import set_sample_state
from inspect_ai.util import registry_info
from inspect_ai.util._limit import turn_limit_tree
from inspect_ai.util._store import init_subtask_store

__all__ = ["PrerequisiteError", "load_tasks"]  # as they are; the rest is defined here

TESTED = ">=0.3.285,<0.3.286"
"""Versions of inspect-ai whose private parts are those below."""


class Part(NamedTuple):
    """`why` it is used. `instead`: globs of public names that would replace it, `module:NAME|NAME`
    or, for an argument, `module.function(NAME|NAME)`; none of them is there in a version of
    TESTED."""

    why: str
    instead: str


PARTS = {
    "inspect_ai._util.error.PrerequisiteError": Part(
        "What Inspect raises for a missing key, client or log folder, to be told as one sentence.",
        "inspect_ai:*PrerequisiteError",
    ),
    "inspect_ai._eval.loader.load_tasks": Part(
        "A task by its name, `file.py@task` or package's, as an object: its samples are put into a fixed order.",
        "inspect_ai:load_task*|resolve_task*",
    ),
    "inspect_ai._eval.task.constants.TASK_FILE_ATTR": Part(
        "A log's identity holds the task file's path; without it a sweep resumes from any directory.",
        "inspect_ai.task_with(*file*)",
    ),
    "inspect_ai._eval.task.constants.TASK_ALL_PARAMS_ATTR": Part(
        "What the eval set's manifest says of a task's arguments: references in the place of keys.",
        "inspect_ai.task_with(*args*|*params*)",
    ),
    "inspect_ai._util.registry.is_registry_object": Part(
        "Whether a task was made by a registered function, so that its arguments are known.",
        "inspect_ai.util:is_registry*",
    ),
    "inspect_ai._util.registry.registry_lookup": Part(
        "Which arguments a task's function declares: an effort's reach only those.",
        "inspect_ai.util:registry_lookup*|registry_find*",
    ),
    "inspect_ai._util.registry.registry_params": Part(
        "The arguments with which a task was made, as its log will say them.",
        "inspect_ai.util:registry_params*",
    ),
    "inspect_ai._util.registry.set_registry_params": Part(
        "Puts references in the place of keys there.", "inspect_ai.util:*registry_params*"
    ),
    "inspect_ai._control.eval_state.latest_eval_for_task": Part(
        "Finds a running task, to stop what is not begun of it (`drain`) when its candidate can only fail.",
        "inspect_ai:cancel_task*|drain*|stop_task*",
    ),
    "inspect_ai.log._samples.sample_active": Part(
        "Which sample makes the call that is paid, its epoch, and a way to end it so that it runs again; "
        "`BeforeModelGenerate.sample_id` names it to that one hook alone.",
        "inspect_ai.util:*active_sample*|sample_active*|current_sample*|*cancel_sample*",
    ),
    "inspect_ai.util._limit.turn_limit_tree": Part(
        "Turns used and allowed, before a call is paid, and whether a scorer runs: `sample_limits()` knows the "
        "sample's own limit alone, not an agent's within it.",
        "inspect_ai.util:current_limits*|turn_usage*|is_scoring*",
    ),
    "inspect_ai.log._recorders.buffer.database": Part(
        "Where finished samples wait to be written to a log: beside the logs, for a container loses its home.",
        "inspect_ai.eval_set(*buffer_dir*|*db_dir*|*data_dir*)",
    ),
    "inspect_ai.log._recover._buffer": Part(
        "What a killed run had finished and not written: it is not paid for again; `recoverable_eval_logs` "
        "counts these samples and does not name them.",
        "inspect_ai.log:*buffer*|*unwritten*|*unflushed*|recoverable_samples*",
    ),
    "inspect_ai.model.Model._explicit_base_url": Part(
        "What the log says of a model's server, without the key in it.", "inspect_ai.model.get_model(*log*|*display*)"
    ),
    "inspect_ai.model.Model._generate": Part(
        "Hears a task's first question in the place of a model: nothing is sent.",
        "inspect_ai:dry_run*|preview*|first_*",
    ),
    "inspect_ai.model.Model._connection_concurrency": Part(
        "Its pools belong to an eval's event loop, which is not there then.", "inspect_ai:dry_run*|preview*|first_*"
    ),
    "inspect_ai._eval.task.generate.task_generate": Part(
        "The `generate` that a solver is handed.", "inspect_ai.solver:task_generate*|run_solver*"
    ),
    "inspect_ai._eval.task.run.resolve_plan": Part(
        "A task's setup and solver as steps.", "inspect_ai.solver:resolve_plan*|run_solver*"
    ),
    "inspect_ai._eval.task.util.sample_messages": Part(
        "A sample's messages as an eval begins with them.", "inspect_ai.dataset:sample_messages*"
    ),
    "inspect_ai.model._model.init_active_model": Part(
        "The model that a solver finds without naming one.", "inspect_ai.model:init_active_model*|active_model*"
    ),
    "inspect_ai.model._providers.util.batch.Batcher": Part(
        "Who holds the requests of a model's batches.", "inspect_ai.model:Batcher*"
    ),
    "inspect_ai.model._providers.util.batch.Batcher._batch_worker": Part(
        "What sends batches and asks after them, which has to be begun anew for each eval.",
        "inspect_ai.model:*batch_worker*",
    ),
    "inspect_ai.solver._task_state.set_sample_state": Part(
        "The state that a solver finds without being handed it.", "inspect_ai.solver:*sample_state*|run_solver*"
    ),
    "inspect_ai.log._transcript.init_transcript": Part(
        "Where a solver's events go.", "inspect_ai.log:init_transcript*"
    ),
    "inspect_ai.util._store.init_subtask_store": Part(
        "The store that a solver finds.", "inspect_ai.util:init_*store*"
    ),
}  # fmt: skip

ASSUMED = {
    "A log is a zip of header.json, _journal/start.json and samples/*.json, or one JSON file; Inspect lists it by "
    "its name's time whatever INSPECT_EVAL_LOG_FILE_PATTERN says (`providers/evallog.py`).":
        "tests/unit/test_evidence.py",
    "Events, spans and steps of a sample, of logs old and new, are named as in `providers/scenes.py`.":
        "tests/unit/test_collect.py",
    "After an interrupt eval_set returns fewer logs, or cancelled ones, and raises nothing (`sweep/evalset.py`).":
        "tests/pipeline/test_sweep.py",
    "Any error of a hook but LimitExceededError is logged and the call is made (`sweep/budget.py`).":
        "tests/pipeline/test_sweep_money.py",
    "What is recovered of a killed run's log is written to a log of the same name and `-recovered`, its header last.":
        "tests/unit/test_inspect_compat.py",
    "A buffer's file name ends in `.<process id>.db`, and that of a living process is not recovered.":
        "tests/unit/test_inspect_compat.py",
    "An OpenAI model asks once, unmetered, whether reasoning summaries are allowed, unless their setting is given "
    "(`providers/asking.py`).":
        "tests/pipeline/test_sweep_wire.py",
    "A model's API keeps its SDK client in `client`, and the client asks through `request` and retries "
    "`max_retries` times.":
        "tests/pipeline/test_sweep_wire.py",
}  # fmt: skip
"""What Inspect does and does not document, and the test that would break with it."""

FOLDER = ".recovery"
"""Of a log directory: what was finished there and is not yet in its logs."""
RECOVERED = "-recovered.eval"
"""How the name ends of what Inspect makes of a log that a killed run left."""
NOBODY = 2**22 + 1
"""A process id that no Linux process has."""
MARKUP = re.compile(r"\[/?[a-z ]+\]")
"""Colours in Inspect's messages."""


def one_line(error: BaseException) -> str:
    """Inspect's message without its markup: which client, and which variable is not set."""
    words = MARKUP.sub("", str(error)).removeprefix("ERROR: ").split()
    return " ".join(words)[:300] or type(error).__name__


class Running(NamedTuple):
    """The sample whose task makes the call: Inspect's unique id of it; empty outside of one."""

    uuid: str = ""
    epoch: int = 1


def running_sample() -> Running:
    """Of the task that asks."""
    active = sample_active()
    return Running() if active is None else Running(str(active.sample_uuid), active.epoch)


def cancel_sample() -> bool:
    """End the sample that is being solved as one that runs again on resume, where a limit would
    end it with a score; False in a scorer, which this does not end."""
    active = None if turn_limit_tree.is_suspended() else sample_active()
    if active is not None:
        active.interrupt("cancel")
    return active is not None


def turns_are_used() -> int | None:
    """The limit of turns, where one more call would pass it: of the innermost agent that has one.
    None in a scorer, which runs outside of it."""
    node = None if turn_limit_tree.is_suspended() else turn_limit_tree.get()
    return None if node is None or node.limit is None or node.usage < node.limit else node.limit


def drain(task_id: str) -> None:
    """Begin no further sample of a running task; those that run end by themselves."""
    state = latest_eval_for_task(task_id)
    if state is not None and state.task_cancel is not None:
        state.task_cancel.cancel_task("drain")


def parameters_of(task: Task) -> list[str]:
    """The arguments that the function declares which made `task`."""
    declared = registry_lookup("task", registry_info(task).name) if is_registry_object(task) else None
    return list(registry_info(declared).metadata.get("params", [])) if declared else []


def say_arguments(task: Task, shown: Mapping[str, Any]) -> None:
    """What the logs of `task` say of its arguments; of the file that it is from they say
    nothing."""
    if is_registry_object(task):
        set_registry_params(task, {**registry_params(task), **shown})
        setattr(task, TASK_ALL_PARAMS_ATTR, {**getattr(task, TASK_ALL_PARAMS_ATTR, {}), **shown})
    setattr(task, TASK_FILE_ATTR, None)


def say_base_url(model: Model, url: str) -> None:
    """What the logs of `model` say of its server."""
    model._explicit_base_url = url


def client_of(api: ModelAPI) -> Any:
    """The SDK's client behind a model, None where it has none."""
    return getattr(api, "client", None)


def around_generate(api: ModelAPI, around: Callable[..., Awaitable[Any]]) -> None:
    """Every answer of `api` comes from `around(ask, *arguments)`, `ask` being what answered
    before."""
    api.generate = partial(around, api.generate)  # type: ignore[method-assign,assignment]


class _Surrounded(Model):
    """A model that is asked with what `prepare` makes of messages and tools; a copy that Inspect
    makes for a role is surrounded, too."""

    prepare: Prepare

    async def generate(self, input: Any, tools: Any = (), *args: Any, **kwargs: Any) -> Any:
        messages, shown = await self.prepare(self, input, tools)
        return await super().generate(messages, shown, *args, **kwargs)


Prepare = Callable[[Model, Any, Any], Awaitable[tuple[Any, Any]]]
"""(model, messages or a text, tools) → those that are sent."""


def surround(model: Model, prepare: Prepare) -> Model:
    """`model`, changed so that whatever it is asked goes through `prepare` first, and is logged as
    it was sent."""
    model.__class__ = _Surrounded
    model.prepare = prepare  # type: ignore[attr-defined]
    return model


def around_requests(api: ModelAPI, change: Callable[[Any], None]) -> None:
    """Lets `change` at the options of every request that the client of `api` sends, also of a
    client that Inspect makes anew."""
    begin = api.initialize

    async def request(ask: Any, cast_to: Any, options: Any, **kwargs: Any) -> Any:
        change(options)
        return await ask(cast_to, options, **kwargs)

    def initialize() -> None:
        begin()
        client_of(api).request = partial(request, client_of(api).request)

    client_of(api).request = partial(request, client_of(api).request)
    api.initialize = initialize  # type: ignore[method-assign]


def disown_buffers(log_dir: Path, *, anyones: bool = False) -> None:
    """Call before the first sample: buffers that bear this process's id are another's, which died.

    Inspect does not recover the buffer of a living process, and in containers a run and the next
    have the same id. anyones: so are all, whatever id they bear, for the caller holds the folder;
    where several machines write to it, ids say nothing.
    """
    whose = r"\d+" if anyones else str(os.getpid())
    for file in sorted((log_dir / FOLDER).rglob("*.db*")):
        name = re.sub(rf"\.{whose}\.db", f".{NOBODY}.db", file.name)
        if name != file.name:
            file.rename(file.with_name(name))


def drop_half_recovered(log_dir: Path) -> None:
    """Call before the first sample, where nobody else writes to the folder: a recovery that was
    killed on its way has left a copy of a part of a log, which Inspect would go on from, as the
    newer one, and ask again what only the whole log has."""
    for copy in sorted(log_dir.glob(f"*{RECOVERED}")):
        if not copy.with_name(copy.name.removesuffix(RECOVERED) + ".eval").is_file():
            continue
        whole = zipfile.is_zipfile(copy)
        if whole:
            with zipfile.ZipFile(copy) as archive:
                whole = "header.json" in archive.namelist()  # written last
        if not whole:
            copy.unlink()


def unwritten(log_dir: Path, log: str) -> list[EvalSampleSummary]:
    """What a run that died had finished of the log at `log` (a path or URI) without writing it
    there: the next run recovers it, so it is there. Empty while that run lives, and where it left
    no buffer."""
    found = recovery.read_buffer_recovery_data(log, log_dir / FOLDER)
    return [] if found is None else [sample for sample in found.completed if sample.error is None]


@contextmanager
def recovery_beside(log_dir: Path) -> Iterator[None]:
    """Inspect's sample buffers are in `log_dir` for as long as this lasts; both who writes and who
    reads them look.

    By default they are in the user's data directory, which a container loses with its home: up to
    ten finished samples a log would be paid for again. Writing every sample to its log at once
    (`log_buffer=1`) copies the whole log each time.
    """
    folder = log_dir / FOLDER
    folder.mkdir(exist_ok=True)

    def resolve(db_dir: Path | None = None) -> Path:
        return db_dir or folder

    try:
        with (
            patch.object(database, "resolve_db_dir", resolve),
            patch.object(recovery, "resolve_db_dir", resolve),
        ):
            yield
    finally:
        with suppress(OSError):  # not empty: another run needs it
            folder.rmdir()


@contextmanager
def batches_go_on() -> Iterator[None]:
    """What sends a model's batches and asks after them is begun anew for each eval of a process.

    It dies asleep with the eval that began it, for answers come before it wakes, and Inspect's
    `Batcher` takes it for alive: requests of the next eval would wait for ever. What it leaves in
    flight is of samples that were stopped, and whoever hands them their answers fails.
    """
    own = Batcher._batch_worker

    async def worker(self: Batcher[Any, Any]) -> None:
        try:
            await own(self)
        finally:
            self._is_batch_worker_running = False
            for left in (self._intake_queue, self._next_batches, self._inflight_batches):
                left.clear()

    with patch.object(Batcher, "_batch_worker", worker):
        yield


class _Asked(Exception):
    """Thrown where a model would be asked."""


async def first_question(task: Task, model: Model, seconds: float) -> tuple[Any, GenerateConfig] | None:
    """(messages and tools, settings) of the first call that the solver of `task` would make for
    its first sample, by running it up to there: nothing is sent. None where it is another model
    that is asked, or none within `seconds`, or where a solver fails without what an eval gives it.

    Sets what is the running task's own: call it in a context that is thrown away.
    """
    heard: list[tuple[Model, Any, GenerateConfig]] = []
    sample = deepcopy(task.dataset[0])
    state = TaskState(
        model=ModelName(model), sample_id=sample.id or 0, epoch=1, input=sample.input, messages=sample_messages(sample),
        target=Target(sample.target), choices=sample.choices, metadata=sample.metadata or {},
    )  # fmt: skip

    async def generate(state: TaskState, tool_calls: Any = "loop", **fields: Any) -> TaskState:
        cached = fields.pop("cache", False)
        return await task_generate(model, state, tool_calls, cached, task.config.merge(fields))  # type: ignore[arg-type]

    async def instead(self: Model, *, prepared: Any, config: GenerateConfig, **_: Any) -> Any:
        heard.append((self, prepared, config))
        raise _Asked

    @asynccontextmanager
    async def slot(self: Model, config: GenerateConfig) -> AsyncIterator[None]:
        yield None

    mute = patch.multiple(Model, _generate=instead, _connection_concurrency=slot)
    with mute, suppress(Exception):  # a stranger's solver without what an eval gives it
        init_active_model(model, task.config)
        set_sample_state(state)
        init_transcript(Transcript())
        init_subtask_store(state.store)
        async with asyncio.timeout(seconds):
            for step in resolve_plan(task, None).steps:
                state = await step(state, generate)
    return heard[0][1:] if heard and heard[0][0] is model else None
