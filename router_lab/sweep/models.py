"""A candidate as an Inspect model whose every request carries the candidate's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inspect_ai.model import GenerateConfig, Model
from pydantic import ValidationError

from router_lab.providers.asking import make_model
from router_lab.providers.keys import CANDIDATE_KEY
from router_lab.runtime.errors import InputError
from router_lab.sweep.settings import Cell


def build_model(cell: Cell, recorded: Path, api_key: str | None = None, *, sending: bool = True) -> Model:
    """The model of `cell`. What identifies it (settings, few-shot text and all) is in the log's
    model arguments.

    System messages travel in GenerateConfig, few-shot exchanges are put into every request at the
    provider. `recorded`: folder for the `recorded` provider; `api_key`: instead of the
    environment's. Keys in settings are references in all that is logged; with sending=False they
    are so in the request too. Raises InputError.
    """
    arguments = dict(cell.settings.model_args)
    if cell.recorded:
        arguments = {CANDIDATE_KEY: candidate_arguments(cell), "folder": str(recorded), **arguments}
    model = make_model(
        cell.spec.model,
        generate_config(cell),
        base_url=cell.spec.base_url,
        api_key=api_key,
        arguments=arguments,
        few_shot=() if cell.recorded else cell.settings.few_shot,
        keys=cell.keys if sending else None,
        logprobs=cell.logprobs,
    )
    # A provider would refuse an argument that it does not know; Model.model_args is only what the
    # log records.
    model.model_args = {**cell.settings.model_args, CANDIDATE_KEY: candidate_arguments(cell)}
    return model


def team_model(cell: Cell, recorded: Path, api_key: str | None = None, *, sending: bool = True) -> Model:
    """The model that a team's solver asks where it names no role: the first role's; its log says
    who the team is."""
    model = build_model(cell.main, recorded, api_key, sending=sending)
    if cell.team:
        model.model_args = {**cell.main.settings.model_args, CANDIDATE_KEY: candidate_arguments(cell)}
    return model


def candidate_arguments(cell: Cell) -> dict[str, Any]:
    """JSON that identifies the candidate in a log, complete enough to send the same request
    again."""
    more: dict[str, Any] = {}
    if cell.harness is not None:
        more = {"harness": cell.harness.name, "harness_settings": cell.harness.to_json()}
    if cell.levers:
        more["levers"] = dict(cell.levers)
    if cell.team:
        more["roles"] = {
            role: {**candidate_arguments(part), "asked": part.spec.model} for role, part in cell.team.items()
        }
    return {
        "model": cell.model,
        "effort": cell.effort,
        **more,
        "settings_sha": cell.settings.sha,
        "config": dict(cell.settings.config),
        "few_shot": [dict(example) for example in cell.settings.few_shot],
        "task_args": dict(cell.settings.task_args),
    }


def generate_config(cell: Cell) -> GenerateConfig:
    """The GenerateConfig of all requests of `cell`. Raises InputError for a field or a value that
    Inspect refuses."""
    fields = {**cell.settings.config, **cell.transport}
    unknown = fields.keys() - GenerateConfig.model_fields.keys()
    if unknown:
        raise InputError(
            f"candidate {cell.candidate}: `{min(unknown)}` is no field of Inspect's GenerateConfig"
        )
    try:
        return GenerateConfig(**fields)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"]))
        raise InputError(
            f"candidate {cell.candidate}: `{key}` is {fault['input']!r}: {fault['msg']}"
        ) from None
