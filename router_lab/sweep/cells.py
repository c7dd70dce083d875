"""One (suite, candidate) of a sweep's grid, and the settings that it is measured with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from router_lab.config import ModelSpec
from router_lab.masking import hidden
from router_lab.providers.keys import RECORDED, label_of
from router_lab.runtime.harness import PLAIN, Harness
from router_lab.runtime.model import Candidate

TASK_ARGS = "task_args"
"""Where the arguments of a task stand, in references for keys."""
Where = tuple[str, Candidate]
"""Suite and candidate: what names a cell of the grid."""


@dataclass(frozen=True)
class Settings:
    """What is asked for beside the task's own messages.

    config: Inspect GenerateConfig fields that shape an answer, none of them null; few_shot:
    exchanges put before the task's messages; task_args: arguments for the task; model_args: raw
    arguments of the provider.
    """

    config: Mapping[str, Any]
    few_shot: tuple[Mapping[str, str], ...] = ()
    task_args: Mapping[str, Any] = field(default_factory=dict)
    model_args: Mapping[str, Any] = field(default_factory=dict)
    harness: Mapping[str, Any] = field(default_factory=dict)
    """What the candidate's harness does to messages, as JSON."""
    roles: Mapping[str, Any] = field(default_factory=dict)
    """Of a team, by role: model, effort and the hash of its settings."""

    def without_keys(self, found: dict[str, str]) -> Settings:
        """The same with references for keys, whose values `found` then has."""
        config, arguments = hidden(self.config, "config", found), hidden(self.model_args, "args", found)
        task_args = hidden(self.task_args, TASK_ARGS, found)
        return replace(self, config=config, model_args=arguments, task_args=task_args)

    @cached_property
    def sha(self) -> str:
        """Label of everything above; two rows of one candidate and suite must agree in it."""
        plain = [dict(self.config), [dict(e) for e in self.few_shot], self.task_args, self.model_args]
        around = [dict(self.harness), dict(self.roles)] if self.harness or self.roles else []
        return label_of([*plain, *around])


@dataclass(frozen=True)
class Cell:
    """One (suite, candidate) of the grid, ready to be run."""

    suite: str
    model: str
    effort: str | None
    spec: ModelSpec
    settings: Settings
    transport: Mapping[str, Any]
    limit: int | None = None
    epochs: int = 1
    logprobs: bool = False
    """Whether log-probabilities are asked for: no part of the settings, as they change no
    answer."""
    self_check: str | None = None
    """In which words it is asked whether its own answer is right; null = it is not."""
    harness: Harness | None = None
    """What surrounds it; null = the suite's own."""
    levers: Mapping[str, str] = field(default_factory=dict)
    """Which level of each lever its harness has."""
    team: Mapping[str, Cell] = field(default_factory=dict)
    """Of a team, by role, who has it, as a cell of its own; the first is whom a solver asks that
    names no role."""
    keys: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Values of the keys that the sweep file holds: everything above has references for them."""

    @property
    def candidate(self) -> Candidate:
        """As outcomes name it."""
        return Candidate(self.model, self.effort, None if self.harness is None else self.harness.name)

    @property
    def parts(self) -> tuple[Cell, ...]:
        """Whose requests it makes: of a team each role's, else its own."""
        return tuple(self.team.values()) or (self,)

    @property
    def main(self) -> Cell:
        """Whom a solver asks that names no role."""
        return self.parts[0]

    @property
    def around(self) -> Harness:
        """Its harness, or one that changes nothing."""
        return self.harness or PLAIN

    @property
    def recorded(self) -> bool:
        """Whether it answers from recordings, for nothing."""
        return all(part.spec.model.startswith(RECORDED) for part in self.parts)

    @property
    def where(self) -> Where:
        """Suite and candidate."""
        return self.suite, self.candidate

    @property
    def label(self) -> str:
        """For people: suite and candidate."""
        return f"{self.suite} × {self.candidate}"
