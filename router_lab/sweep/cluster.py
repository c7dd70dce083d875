"""Parts of a task: which cluster a sample is of, and the task with some of its samples alone."""

from __future__ import annotations

import copy
import json

from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample

from router_lab.providers.keys import sha256_of


def cluster_of(sample: Sample, group: str | None) -> str:
    """As `collect` will group it: the suite's metadata key, else equal inputs."""
    if group is not None:
        return str((sample.metadata or {}).get(group))
    content = (
        sample.input
        if isinstance(sample.input, str)
        else [m.model_dump(exclude={"id"}) for m in sample.input]
    )
    return sha256_of(json.loads(json.dumps(content, default=str)))


def narrowed(task: Task, samples: list[Sample]) -> Task:
    """The same task with these samples alone; its identity in logs is that of the whole."""
    part = copy.copy(task)
    part.dataset = MemoryDataset(samples, name=task.dataset.name, location=task.dataset.location)
    return part
