"""What a candidate really sends: one request to a recorder on loopback, before a cent is spent.

Providers drop, rename and clamp settings (two efforts of one model can be byte-identical on the
wire), so candidates are told apart by their requests and not by what was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inspect_ai import Task

from router_lab.providers.asking import OFFLINE, Ask, record
from router_lab.providers.keys import canonical_json
from router_lab.providers.loopback import all_direct, proxy_variables
from router_lab.providers.recorder import Recorder, Request
from router_lab.runtime.errors import InputError
from router_lab.runtime.frame import SLOT
from router_lab.sweep.first import first_ask
from router_lab.sweep.models import generate_config
from router_lab.sweep.settings import Cell, Where
from router_lab.sweep.tasks import declared_args

Requests = dict[tuple[Where, str], Request | None]
"""The request of each cell, and of each role of a team (\"\" for a single model); None where the
provider sends nothing that could be recorded."""


def fingerprint(cells: Sequence[Cell], tasks: Mapping[int, Task] | None = None) -> Requests:
    """What each cell sends. With `tasks`, by position of the cell, the task's own settings and,
    where its solver can be run up to its first question without a model, the frame that it puts
    around that. Of a team's roles the settings are known, not what they will be asked.

    Raises InputError for a candidate of which nothing was recorded, and for raw fields that do not
    arrive.
    """
    found: Requests = {}
    done: dict[str, Request | None] = {}
    with Recorder() as recorder, all_direct():
        for position, cell in enumerate(cells):
            task = (tasks or {}).get(position)
            for role, part in cell.team.items() or (("", cell),):
                known = None if task is None or role else first_ask(cell, task)
                ask = known or _probe(part, task)
                same = canonical_json(
                    [*part.candidate, part.settings.sha, ask.messages, ask.tools, str(ask.config)]
                )
                if same not in done:
                    done[same] = _record(part, ask, recorder)
                found[cell.where, role] = done[same]
    return found


def request_dict(request: Request | None, cell: Cell) -> dict[str, Any]:
    """As it travels with outcomes into the artifact: api, arguments, system, few_shot."""
    asked = dict(cell.settings.config)
    system = asked.pop("system_message", None)
    few_shot = [dict(example) for example in cell.settings.few_shot]
    api, arguments = (request.api, request.arguments) if request is not None else (None, asked)
    return {"api": api, "arguments": arguments, "system": system, "few_shot": few_shot}


def _probe(cell: Cell, task: Task | None = None) -> Ask:
    """A bare question with the cell's settings, and with those that the task lays over them."""
    config = generate_config(cell)
    if task is not None:
        config = config.merge(task.config)
    system = [{"role": "system", "content": config.system_message}] if config.system_message else []
    return Ask([*system, {"role": "user", "content": SLOT}], config=config.model_dump(exclude_none=True))


def _record(cell: Cell, ask: Ask, recorder: Recorder) -> Request | None:
    if cell.spec.model.partition("/")[0] in OFFLINE or not cell.spec.record:
        return None
    sent = record(
        cell.spec.model, ask, recorder, arguments=cell.settings.model_args, few_shot=cell.settings.few_shot
    )
    if sent is None:
        raise InputError(
            f"suite `{cell.suite}`: {cell.candidate}: the recorder on loopback saw no request of {cell.spec.model!r} "
            f"(base_url {cell.spec.base_url or 'not set'}; proxy variables set: "
            f"{', '.join(proxy_variables()) or 'none'}), so what it sends, and whether two candidates send the same, "
            "is not known; let this machine reach 127.0.0.1 directly (NO_PROXY=127.0.0.1,localhost), or, where the "
            "provider cannot be pointed at another server, write `record: false` beside the model: it is then "
            "measured, and no decision hands out its request"
        )
    raw = cell.settings.config.get("extra_body") or {}
    dropped = sorted(raw.keys() - sent[2].keys())
    if dropped:
        raise InputError(
            f"suite `{cell.suite}`: {cell.candidate}: `extra_body.{dropped[0]}` does not reach this provider: it would "
            "be measured without it; take it out, or ask for it by `args` or another setting"
        )
    return Request.of(sent, raw)


def refuse_twins(tasks: Sequence[tuple[Cell, Task]], found: Requests) -> None:
    """Raise InputError if two candidates of a suite would send the same bytes to the same place,
    in the same task.

    Arguments that an effort or a harness gives to the task (turns, results kept) make two
    candidates of one request, but only where the task declares them; so does what a harness does
    to messages.
    """
    owners: dict[tuple[Any, ...], Cell] = {}
    for cell, task in tasks:
        sent = tuple(
            (
                role,
                part.spec.model,
                (part.spec.base_url or "").rstrip("/"),
                _sent(part, found[cell.where, role]),
            )
            for role, part in cell.team.items() or (("", cell),)
        )
        around = {k: v for k, v in cell.settings.harness.items() if k not in ("task_args", "retries")}
        task_args = declared_args(task, cell.settings.task_args)
        key = (cell.suite, sent, canonical_json([around, task_args]))
        if key in owners and owners[key].candidate != cell.candidate:
            raise InputError(
                f"suite `{cell.suite}`: candidates {owners[key].candidate} and {cell.candidate} send byte-identical "
                "requests: measuring both pays twice for one; drop one, or give it settings that reach the provider"
            )
        owners.setdefault(key, cell)


def _sent(part: Cell, request: Request | None) -> str:
    return part.settings.sha if request is None else request.fingerprint
