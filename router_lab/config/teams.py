"""harnesses.yaml, and the teams of a sweep: what stands around models, and who works together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from router_lab.config.base import JsonObject, Name, Strict
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.harness import Harness

_RUNTIME = ("context", "observations", "result_chars", "tools", "turns", "retries", "task_args")
"""What an application serves, too; the rest is in the request."""


class Example(Strict):
    """One few-shot exchange, put before the task's own messages."""

    user: str
    assistant: str


class HarnessSpec(Strict):
    """What surrounds the models of a candidate: named in harnesses.yaml, an axis beside models and
    efforts. What it does not say is as the suite has it."""

    context: dict[str, int] | None = None
    """`{last: k}`, `{mask: k}`, `{fresh: k}` or `{summarise: k}` rounds; null keeps everything."""
    observations: str = "tool"
    """Whose messages are results: `tool`, or `user` where agents speak a text protocol."""
    result_chars: int | None = None
    """Characters of one result that are kept: filtered before the model sees it."""
    tools: list[str] | None = None
    """Names of the tools that are shown; null = all of the task's."""
    turns: int | None = None
    """Model calls after which a sample ends with status `limit`."""
    retries: int | None = None
    """Passed to tasks that declare it, as `task_args` are."""
    system_message: str | None = None
    """Instead of the effort's or the sweep's: a compressed one, say."""
    few_shot: list[Example] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    task_args: JsonObject = Field(default_factory=dict)
    """Passed to tasks that declare them: which agent, server-side filters, checks."""
    suites: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Overrides of the fields above for single suites."""

    @model_validator(mode="after")
    def _is_a_harness(self) -> Self:
        try:
            self.runtime("as written")
        except PolicyError as error:
            raise ValueError(str(error)) from None
        return self

    def runtime(self, name: str) -> Harness:
        """The part that is applied to messages, in a sweep and in an application alike."""
        return Harness(
            name=name,
            context=self.context or None,
            observations=self.observations,
            result_chars=self.result_chars,
            tools=None if self.tools is None else tuple(self.tools),
            turns=self.turns,
            retries=self.retries,
            task_args=self.task_args or None,
        )

    def request(self) -> dict[str, Any]:
        """GenerateConfig fields that it sets."""
        return {
            key: value
            for key, value in (("system_message", self.system_message), ("max_tokens", self.max_tokens))
            if value is not None
        }


def _as_role(value: object) -> object:
    return {"model": value} if isinstance(value, str) else value


def _as_roles(value: object) -> object:
    return list(map(_as_role, value)) if isinstance(value, list) else _as_role(value)


class RoleSpec(Strict):
    """Who has a role: a model of the sweep, by its `name` or by `model`, and an effort."""

    model: str = Field(min_length=1)
    effort: str | None = None


JUDGE = "grader"
"""Inspect's role of a scorer's model: a team with it would judge itself."""


class TeamSpec(Strict):
    """One team, or a grid of teams where a role has a list. The first role is also who answers
    where a solver names no role."""

    name: str | None = None
    """The candidate's model in outcomes; a grid's teams are named by what differs between them."""
    roles: dict[Name, Annotated[RoleSpec | list[RoleSpec], BeforeValidator(_as_roles)]] = Field(min_length=1)
    harnesses: list[str | None] | None = None
    """Those of the sweep's that it is measured in; default: all."""

    @model_validator(mode="after")
    def _grid_has_no_name(self) -> Self:
        if JUDGE in self.roles:
            raise ValueError(
                f"roles.{JUDGE} is who judges, for Inspect's scorers; call the team's role otherwise"
            )
        lists = [role for role, who in self.roles.items() if isinstance(who, list)]
        if lists and self.name is not None:
            raise ValueError(
                f"name {self.name!r} would be of every team of the grid over {', '.join(lists)}; leave it out"
            )
        empty = [role for role in lists if not self.roles[role]]
        if empty:
            raise ValueError(f"roles.{empty[0]} is an empty list; name at least one model")
        if self.harnesses == []:
            raise ValueError("harnesses is an empty list; name at least one, or leave it out")
        return self


Levers = dict[Name, dict[Name, dict[str, Any]]]
"""Lever → level → the fields of a harness that it sets; each combination of levels is one."""


def combined(
    levers: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> dict[str, tuple[dict[str, str], dict[str, Any]]]:
    """Every combination of levels, in file order: name → (lever → level, the harness's fields). Two
    levers that set one field raise ValueError, for their effects could not be told apart."""
    owner: dict[str, str] = {}
    for lever, levels in levers.items():
        for key in dict.fromkeys(key for fields in levels.values() for key in fields):
            if owner.setdefault(key, lever) != lever:
                raise ValueError(
                    f"levers: {owner[key]} and {lever} both set `{key}`; give one lever all levels of it"
                )
    found: dict[str, tuple[dict[str, str], dict[str, Any]]] = {"": ({}, {})}
    for lever, levels in levers.items():
        found = {
            f"{name}, {lever} {level}" if name else f"{lever} {level}": (
                {**chosen, lever: level},
                {**fields, **more},
            )
            for name, (chosen, fields) in found.items()
            for level, more in levels.items()
        }
    return found
