"""A sweep file resolved: which request settings each (suite, candidate) is measured with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from router_lab.config import Effort, HarnessSpec, ModelSpec, Suite, SuiteUse, Sweep, load, load_map, parse
from router_lab.providers.keys import RECORDED, TRANSPORT
from router_lab.runtime.errors import InputError
from router_lab.sweep.cells import TASK_ARGS as TASK_ARGS
from router_lab.sweep.cells import Cell as Cell
from router_lab.sweep.cells import Settings as Settings
from router_lab.sweep.cells import Where as Where
from router_lab.sweep.teams import RoleOf, Surrounding, expanded, load_presets, load_surroundings
from router_lab.sweep.wire import LEVELS, Wire, load_wire


@dataclass(frozen=True)
class Grid:
    """A sweep file with everything that it points to."""

    sweep: Sweep
    suites: Mapping[str, Suite]
    cells: tuple[Cell, ...]
    base: Path
    """Folder of the sweep file: relative paths start here."""
    suites_base: Path
    """Folder of the suites file: relative task files start here."""


def load_grid(source: str | Path | Sweep, base: Path | None = None) -> Grid:
    """Read a sweep file (or take a Sweep whose paths start at `base`) and resolve it. Raises
    InputError."""
    if isinstance(source, Sweep):
        sweep, folder, where = source, base or Path.cwd(), f"sweep {source.name}"
    else:
        sweep, folder, where = load(Sweep, source), Path(source).resolve().parent, str(source)
    suites_path = folder / sweep.suites_file
    suites = load_map(Suite, suites_path)
    resolver = Resolver(
        sweep, load_presets(Effort, folder, sweep, "efforts_file"), load_wire(sweep, folder), where
    )
    surroundings = tuple(load_surroundings(sweep, folder, where))
    cells = []
    for use in sweep.suites:
        _check_suite(use.suite, suites, where, suites_path)
        for around in surroundings:
            cells += [
                *(
                    resolver.cell(use, spec, effort, around)
                    for spec in sweep.models
                    if spec.alone
                    for effort in resolver.efforts_of(spec)
                ),
                *(resolver.team(use, *team, around) for team in expanded(sweep, around.name, where)),
            ]
    _refuse_doubles(cells, where)
    return Grid(sweep, suites, tuple(cells), folder, suites_path.resolve().parent)


@dataclass(frozen=True)
class Resolver:
    """What a sweep file says, made into cells. Raises InputError for names that nothing stands
    behind."""

    sweep: Sweep
    efforts: Mapping[str, Effort]
    wire: Wire
    where: str

    def efforts_of(self, spec: ModelSpec) -> list[str | None]:
        """The efforts that a model is asked at by itself."""
        return self.sweep.efforts if spec.efforts is None else spec.efforts

    def cell(self, use: SuiteUse, spec: ModelSpec, effort: str | None, around: Surrounding) -> Cell:
        """A model at an effort in a harness, on a suite."""
        harness = around.for_suite(use.suite, self.where)
        settings, transport = resolve(
            self.sweep, spec, use.suite, effort, self.efforts, self.wire, self.where, harness
        )
        keys: dict[str, Any] = {}
        return Cell(
            suite=use.suite,
            model=spec.name or spec.model.removeprefix(RECORDED),
            effort=effort,
            spec=spec,
            settings=settings.without_keys(keys),
            transport=transport,
            limit=use.limit,
            epochs=use.epochs,
            logprobs=self.sweep.logprobs if spec.logprobs is None else spec.logprobs,
            self_check=_self_check_of(self.sweep, spec),
            harness=around.harness(harness),
            levers=around.levers,
            keys=keys,
        )

    def team(self, use: SuiteUse, name: str, roles: Mapping[str, RoleOf], around: Surrounding) -> Cell:
        """A team in a harness, on a suite: a cell of each role's, and what they are together."""
        cells = {role: self.cell(use, who.spec, who.effort, around) for role, who in roles.items()}
        first = next(iter(cells.values()))
        # A role's request is the same in every harness that leaves it the same messages.
        parts = {
            role: replace(one, settings=replace(one.settings, harness={}, task_args={}), harness=None)
            for role, one in cells.items()
        }
        together = {
            role: {"model": part.model, "effort": part.effort, "settings_sha": part.settings.sha}
            for role, part in parts.items()
        }
        settings = replace(first.settings, config={}, few_shot=(), model_args={}, roles=together)
        return replace(first, model=name, effort=None, settings=settings, team=parts, self_check=None)


def resolve(
    sweep: Sweep,
    spec: ModelSpec,
    suite: str,
    effort: str | None,
    efforts: Mapping[str, Effort],
    wire: Wire,
    where: str,
    harness: HarnessSpec | None = None,
) -> tuple[Settings, dict[str, Any]]:
    """Settings and transport of one cell: sweep config, then the model's, then the effort's,
    then the harness's, the last one winning.

    A preset of efforts.yaml comes before a provider's level of that name; a level becomes what
    `wire` says.
    """
    asked = {**sweep.config, **spec.config}
    few_shot: tuple[Mapping[str, str], ...] = ()
    task_args: dict[str, Any] = {}
    raw: dict[str, Any] = {}
    if effort is not None and effort in efforts:
        preset = _for_suite(efforts[effort], suite, effort, where)
        asked |= _config_of(preset)
        examples = preset.few_shot.get(suite, []) if isinstance(preset.few_shot, dict) else preset.few_shot
        few_shot = tuple(example.model_dump() for example in examples)
        task_args = dict(preset.task_args)
    elif effort is not None:
        row = wire.row(spec.model.removeprefix(RECORDED), effort)
        if row is None:
            raise InputError(
                f"{where}: effort `{effort}` is neither a provider's level ({', '.join(LEVELS)}) nor a preset in "
                f"{sweep.efforts_file} ({', '.join(sorted(efforts)) or 'which has none'}) nor a row of `wire:`"
            )
        config, raw = row
        asked |= config
    asked |= {} if harness is None else harness.request()
    config = {k: v for k, v in asked.items() if k not in TRANSPORT and v is not None}
    settings = Settings(config, few_shot, task_args, {**raw, **spec.args})
    return _surrounded(settings, suite, harness), _transport(sweep, spec, asked)


def _transport(sweep: Sweep, spec: ModelSpec, asked: Mapping[str, Any]) -> dict[str, Any]:
    """How requests travel, whatever they ask."""
    found: dict[str, Any] = {"cache_prompt": sweep.cache_prompt, "max_retries": sweep.max_retries}
    found["attempt_timeout"] = sweep.timeout
    found["max_connections"] = spec.max_connections or sweep.max_connections
    found |= {key: asked[key] for key in asked.keys() & TRANSPORT}
    return {k: v for k, v in found.items() if v is not None}


def _surrounded(settings: Settings, suite: str, harness: HarnessSpec | None) -> Settings:
    """With what a harness says beside the request's own settings."""
    if harness is None:
        return settings
    around = harness.runtime(suite).to_json()
    retries = {} if harness.retries is None else {"retries": harness.retries}
    shots = settings.few_shot
    if harness.few_shot is not None:
        shots = tuple(example.model_dump() for example in harness.few_shot)
    task_args = {**settings.task_args, **retries, **around.get("task_args", {})}
    return replace(settings, few_shot=shots, task_args=task_args, harness=around)


def _self_check_of(sweep: Sweep, spec: ModelSpec) -> str | None:
    """The words of the self-check. Without log-probabilities it tells nothing."""
    if sweep.self_check is None or spec.logprobs is False:
        return None
    return sweep.self_check.prompt


def _for_suite(preset: Effort, suite: str, name: str, where: str) -> Effort:
    override = preset.suites.get(suite)
    if not override:
        return preset
    return parse(
        Effort, {**preset.model_dump(exclude_unset=True), **override}, where=f"{where}: {name}.suites.{suite}"
    )


def _config_of(preset: Effort) -> dict[str, Any]:
    fields = preset.model_dump(
        exclude={"few_shot", "suites", "task_args", "stop", "extra_body"}, exclude_none=True
    )
    if preset.stop:
        fields["stop_seqs"] = preset.stop
    if preset.extra_body:
        fields["extra_body"] = preset.extra_body
    return fields


def _check_suite(name: str, suites: Mapping[str, Suite], where: str, path: Path) -> None:
    if name not in suites:
        raise InputError(
            f"{where}: suite `{name}` is not in {path}; known: {', '.join(sorted(suites)) or 'none'}"
        )
    if suites[name].logs is not None:
        raise InputError(
            f"{where}: suite `{name}` is a folder of finished logs; nothing to run: name it to `collect`"
        )


def _refuse_doubles(cells: list[Cell], where: str) -> None:
    for (suite, candidate), count in Counter((c.suite, c.candidate) for c in cells).items():
        if count > 1:
            raise InputError(
                f"{where}: candidate {candidate} is written {count} times for suite `{suite}`; "
                "give one of them another `name`, or drop it"
            )
