"""The axes of a sweep beside models and efforts: harnesses, and teams of its models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import NamedTuple, TypeVar

from router_lab.config import (
    HarnessSpec,
    ModelSpec,
    RoleSpec,
    Strict,
    Sweep,
    TeamSpec,
    combined,
    load_map,
    parse,
)
from router_lab.providers.keys import RECORDED
from router_lab.runtime.errors import InputError
from router_lab.runtime.harness import Harness

Preset = TypeVar("Preset", bound=Strict)


class RoleOf(NamedTuple):
    """Who has a role: a model of the sweep, and its effort."""

    spec: ModelSpec
    effort: str | None


@dataclass(frozen=True)
class Surrounding:
    """A harness of the axis; without a name, the suite's own. levers: lever → level."""

    name: str | None = None
    spec: HarnessSpec | None = None
    levers: Mapping[str, str] = field(default_factory=dict)

    def for_suite(self, suite: str, where: str) -> HarnessSpec | None:
        """As it is on a suite. Raises InputError for an override that is none."""
        override = {} if self.spec is None else self.spec.suites.get(suite, {})
        if self.spec is None or not override:
            return self.spec
        value = {**self.spec.model_dump(exclude_unset=True), **override}
        return parse(HarnessSpec, value, where=f"{where}: {self.name}.suites.{suite}")

    def harness(self, spec: HarnessSpec | None) -> Harness | None:
        """What is applied to messages, under the axis's name."""
        return None if spec is None or self.name is None else spec.runtime(self.name)


def load_presets(model: type[Preset], folder: Path, sweep: Sweep, key: str) -> dict[str, Preset]:
    """Presets of the file that `key` of the sweep names, or none where the default file is
    absent."""
    path = folder / getattr(sweep, key)
    if not path.exists() and key not in sweep.model_fields_set:
        return {}
    return load_map(model, path)


def load_surroundings(sweep: Sweep, folder: Path, where: str) -> Iterator[Surrounding]:
    """The harnesses of a sweep, in file order. Raises InputError for one that is not there."""
    if sweep.levers:
        for name, (levels, fields) in combined(sweep.levers).items():
            yield Surrounding(name, parse(HarnessSpec, fields, where=f"{where}: levers: {name}"), levels)
        return
    if sweep.harnesses is None:
        yield Surrounding()
        return
    known = load_presets(HarnessSpec, folder, sweep, "harnesses_file")
    for wanted in sweep.harnesses:
        if wanted is not None and wanted not in known:
            raise InputError(
                f"{where}: harness `{wanted}` is not in {folder / sweep.harnesses_file}; it has: "
                f"{', '.join(sorted(known)) or 'none, or the file is not there'}"
            )
        yield Surrounding() if wanted is None else Surrounding(wanted, known[wanted])


def expanded(sweep: Sweep, harness: str | None, where: str) -> list[tuple[str, dict[str, RoleOf]]]:
    """(name, who has which role) of every team that is measured in a harness, grids written out.
    Raises InputError for a role of a model, or a harness, that the sweep has not."""
    found = []
    for team in sweep.teams:
        if team.harnesses is not None and harness not in _harnesses_of(team, sweep, where):
            continue
        axes = [(role, who if isinstance(who, list) else [who]) for role, who in team.roles.items()]
        for choice in product(*(who for _, who in axes)):
            roles = {role: who for (role, _), who in zip(axes, choice, strict=True)}
            name = team.name or _named(team, roles, sweep)
            found.append(
                (
                    name,
                    {role: _of(sweep, who, f"{where}: team {name!r}, {role}") for role, who in roles.items()},
                )
            )
    return found


def _harnesses_of(team: TeamSpec, sweep: Sweep, where: str) -> list[str | None]:
    known = list(combined(sweep.levers)) if sweep.levers else sweep.harnesses or [None]
    wanted = team.harnesses or []
    for name in wanted:
        if name not in known:
            raise InputError(
                f"{where}: a team's harness `{name}` is none of the sweep's: {', '.join(map(str, known))}; list it "
                "under `harnesses:` too"
            )
    return wanted


def _named(team: TeamSpec, roles: Mapping[str, RoleSpec], sweep: Sweep) -> str:
    """`planner big, executor small`: of a grid the roles with lists, with efforts where a list has
    a model at several; of one team all roles and their efforts."""
    grid = any(isinstance(listed, list) for listed in team.roles.values())
    words = []
    for role, who in roles.items():
        listed = team.roles[role]
        if grid and not isinstance(listed, list):
            continue
        short = next(
            (one.name for one in sweep.models if who.model in (one.name, one.model) and one.name), who.model
        )
        alike = [one for one in listed if one.model == who.model] if isinstance(listed, list) else []
        effort = f" {who.effort}" if who.effort is not None and len(alike) != 1 else ""
        words.append(f"{role} {short.removeprefix(RECORDED)}{effort}")
    return ", ".join(words)


def _of(sweep: Sweep, who: RoleSpec, where: str) -> RoleOf:
    found = [
        spec
        for spec in sweep.models
        if who.model in (spec.name, spec.model, spec.model.removeprefix(RECORDED))
    ]
    if len(found) != 1:
        names = ", ".join(spec.name or spec.model for spec in sweep.models)
        said = (
            "is not one of the sweep's"
            if not found
            else f"is {len(found)} of the sweep's models; give them names"
        )
        raise InputError(
            f"{where}: model {who.model!r} {said}: {names}; list it under `models:` (`alone: false` where it only "
            "serves in teams)"
        )
    return RoleOf(found[0], who.effort)
