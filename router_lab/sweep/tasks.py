"""Any Inspect task as part of a sweep: loaded, put into its fixed order, and told apart by
content."""

from __future__ import annotations

import copy
import hashlib
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inspect_ai import Task, task_with
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import Model

from router_lab.config import Suite
from router_lab.inspect_compat import load_tasks, parameters_of, say_arguments
from router_lab.masking import hidden, revealed
from router_lab.providers.boundary import checking_candidates
from router_lab.providers.keys import SHA_LENGTH, SUITE_KEY, canonical_json, sha256_of
from router_lab.runtime.errors import InputError
from router_lab.runtime.visible import visible
from router_lab.sweep.self_check import self_check
from router_lab.sweep.settings import TASK_ARGS


def load_task(
    name: str, suite: Suite, base: Path, seed: int, task_args: Mapping[str, Any], sample_usd: float | None = None,
    keys: Mapping[str, Any] | None = None,
) -> Task:  # fmt: skip
    """The suite's task, its samples in the sweep's fixed shuffled order, its version a hash of
    their content.

    The order sorts by sha256 of (seed, suite, sample id): it does not move when samples are added,
    so a prefix of it is an unbiased draw. `task_args` of an effort reach only a task that declares
    them. A sample's dollar limit shapes its outcome, so it is part of the version too. Keys among
    the arguments, of the suite or (with their values in `keys`) of the effort, reach the task, and
    its logs say references. Raises InputError.
    """
    assert suite.task is not None
    spec = _resolve_spec(suite.task, base)
    where = f"suite `{name}`: task {suite.task!r}"
    own: dict[str, Any] = dict(keys or {})
    found: dict[str, Any] = {}
    args = revealed(hidden(suite.args, TASK_ARGS, found), found, where, TASK_ARGS)
    task = _load(spec, args, where)
    declared = declared_args(task, task_args)
    if declared:
        task = _load(spec, args | revealed(declared, own, where, TASK_ARGS), where)
    say_arguments(task, {**hidden(suite.args, TASK_ARGS, {}), **declared})
    samples = list(task.dataset)
    if not samples:
        raise InputError(f"suite `{name}`: task {suite.task!r} has no samples")
    for position, sample in enumerate(samples, start=1):
        if sample.id is None:
            sample.id = position
    _refuse_double_ids(name, samples)
    content = dataset_sha(samples)
    samples.sort(key=lambda s: sha256_of([seed, name, str(s.id)]))
    task.dataset = MemoryDataset(samples, name=task.dataset.name, location=task.dataset.location)
    task.version = f"{task.version}+{content}" if task.version else content
    if sample_usd is not None:
        task.version += f"+${sample_usd:g}"
    task.metadata = {**(task.metadata or {}), SUITE_KEY: suite_metadata(name, suite, content)}
    return task


def with_model(
    task: Task, model: Model, epochs: int, check: str | None = None, *,
    roles: Mapping[str, Model] | None = None, turns: Sequence[int | None] = (),
) -> Task:  # fmt: skip
    """A copy of `task` bound to `model`; the samples are shared. check: in which words the model
    is asked, behind the task's own scorers, whether its answer is right. roles: who has which, in
    place of the task's own. turns: limits of the sample, of which the smallest counts."""
    bound = copy.copy(task)
    bound.model = model
    if roles:  # which Inspect tells each of its model's answers by
        bound = task_with(bound, model_roles={**(task.model_roles or {}), **roles})
    limits = [turn for turn in (task.turn_limit, *turns) if turn is not None]
    bound.turn_limit = min(limits, default=None)
    if epochs > 1:
        bound.epochs = epochs
    if check is not None:
        bound.scorer = [*(task.scorer or []), self_check(check)]
    return bound


def suite_metadata(name: str, suite: Suite, content: str) -> dict[str, Any]:
    """What `collect` needs to turn this log's scores into outcomes."""
    keys = ("scorer", "quality", "value", "group", "check")
    return {"suite": name, "dataset_sha": content, **{key: getattr(suite, key) for key in keys}}


def dataset_sha(samples: list[Sample]) -> str:
    """Hash of everything a sample says, independent of the samples' order."""
    dumped = sorted(canonical_json(_dump(sample)) for sample in samples)
    return hashlib.sha256("\n".join(dumped).encode()).hexdigest()[:SHA_LENGTH]


def _dump(sample: Sample) -> dict[str, Any]:
    data: dict[str, Any] = sample.model_dump(mode="json", exclude_none=True, fallback=str)
    if isinstance(sample.input, list):
        data["input"] = [{k: v for k, v in m.items() if k != "id"} for m in data["input"]]
    return data


def _resolve_spec(spec: str, base: Path) -> str:
    """`file.py@task` with the file looked for beside suites.yaml, then in the working
    directory."""
    file, _, name = spec.partition("@")
    if not file.endswith(".py"):
        return spec
    for folder in (base, base.parent, Path.cwd()):
        if (folder / file).is_file():
            return f"{(folder / file).resolve()}@{name}" if name else str((folder / file).resolve())
    raise InputError(f"task file {file!r} is neither in {base} nor in {Path.cwd()}")


def _load(spec: str, args: dict[str, Any], where: str) -> Task:
    try:
        with checking_candidates():  # see router_lab.sweep.code
            tasks = load_tasks([spec], args)
    except InputError:
        raise
    except Exception as error:  # whatever a task file of the user's raises: it is theirs to mend
        said = visible(f"{type(error).__name__}: {error}")[:500]
        raise InputError(f"{where}: {said}{_place_in(error, spec)}") from error
    if len(tasks) != 1:
        raise InputError(f"{where}: {spec!r} names {len(tasks)} tasks; write `file.py@task`")
    if tasks[0].sample_source is not None:
        raise InputError(f"{where}: {spec!r} makes its samples while it runs; a sweep needs a fixed dataset")
    return tasks[0]


def _place_in(error: Exception, spec: str) -> str:
    """Where in the user's own file an error arose."""
    file = spec.partition("@")[0]
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" (line {lines[-1]})" if lines else ""


def declared_args(task: Task, task_args: Mapping[str, Any]) -> dict[str, Any]:
    """Those of an effort's `task_args` that the task declares: the only ones that reach it."""
    return {key: value for key, value in task_args.items() if key in parameters_of(task)}


def _refuse_double_ids(name: str, samples: list[Sample]) -> None:
    seen: set[str] = set()
    for sample in samples:
        if str(sample.id) in seen:
            raise InputError(f"suite `{name}`: sample id {sample.id!r} occurs twice; ids must be distinct")
        seen.add(str(sample.id))
