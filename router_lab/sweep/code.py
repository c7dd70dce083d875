"""Suites that run code of models: no candidate's code is run, and so none is paid for, without
what holds it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inspect_ai import Task

from router_lab.providers.boundary import CODE_KEY
from router_lab.providers.store import candidate_label, read_header, recordings
from router_lab.runtime.errors import InputError
from router_lab.sweep.settings import Cell

Tasks = Sequence[tuple[Cell, Task]]


def refuse_unheld(tasks: Tasks, recorded: Path) -> None:
    """Raise InputError for the first candidate whose code may not be run here
    (`router_lab.providers.boundary`): of recordings those that the task knows by their hash may,
    whatever they are called."""
    for cell, task in tasks:
        declared = _declared(task)
        why = declared.get("refuse")
        if why and not _trusted(cell, declared, recorded):
            also = f"; its recording in {recorded} is none of those that ship" if cell.recorded else ""
            raise InputError(f"suite `{cell.suite}`: candidate {cell.candidate}: {why}{also}")


def boundaries(tasks: Tasks, recorded: Path) -> list[str]:
    """What holds the code of models, a line for each suite that runs any and each way in which it
    is held."""
    lines: dict[str, None] = {}
    for cell, task in tasks:
        declared = _declared(task)
        if declared:
            shipped = declared.get("boundary") != "inspect" and _trusted(cell, declared, recorded)
            held = (
                "the built-in guard alone: these recordings ship, and are known by their sha256"
                if shipped
                else None
            )
            lines[f"{cell.suite}: code of models runs within {held or declared.get('said')}"] = None
    return list(lines)


def _declared(task: Task) -> Mapping[str, Any]:
    found = (task.metadata or {}).get(CODE_KEY)
    return found if isinstance(found, Mapping) else {}


def _trusted(cell: Cell, declared: Mapping[str, Any], recorded: Path) -> bool:
    """Whether all that is recorded of the cell has a hash that its task trusts."""
    if not cell.recorded:
        return False
    known = set(dict(declared.get("trusts") or {}).values())
    label = candidate_label(cell.model, cell.effort, cell.settings.sha)
    files = [path for path in recordings(recorded, label) if read_header(path).get("suite") == cell.suite]
    return bool(files) and all(hashlib.sha256(path.read_bytes()).hexdigest() in known for path in files)
