"""A sweep file resolved: which request settings each (suite, candidate) is measured with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from router_lab.config import Effort, ModelSpec, Suite, Sweep, load, load_map, parse
from router_lab.masking import hidden
from router_lab.providers.keys import RECORDED, TRANSPORT, label_of
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate
from router_lab.sweep.wire import LEVELS, Wire, load_wire

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

    def without_keys(self, found: dict[str, str]) -> Settings:
        """The same with references for keys, whose values `found` then has."""
        config, arguments = hidden(self.config, "config", found), hidden(self.model_args, "args", found)
        task_args = hidden(self.task_args, TASK_ARGS, found)
        return replace(self, config=config, model_args=arguments, task_args=task_args)

    @cached_property
    def sha(self) -> str:
        """Label of everything above; two rows of one candidate and suite must agree in it."""
        return label_of(
            [dict(self.config), [dict(e) for e in self.few_shot], self.task_args, self.model_args]
        )


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
    keys: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Values of the keys that the sweep file holds: everything above has references for them."""

    @property
    def candidate(self) -> Candidate:
        """(model, effort) as outcomes name it."""
        return Candidate(self.model, self.effort)

    @property
    def recorded(self) -> bool:
        """Whether it answers from recordings, for nothing."""
        return self.spec.model.startswith(RECORDED)

    @property
    def where(self) -> Where:
        """Suite and candidate."""
        return self.suite, self.candidate

    @property
    def label(self) -> str:
        """For people: suite and candidate."""
        return f"{self.suite} × {self.candidate}"


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
    efforts = _load_efforts(folder / sweep.efforts_file, sweep)
    wire = load_wire(sweep, folder)
    cells = []
    for use in sweep.suites:
        _check_suite(use.suite, suites, where, suites_path)
        for spec in sweep.models:
            model = spec.name or spec.model.removeprefix(RECORDED)
            for effort in spec.efforts if spec.efforts is not None else sweep.efforts:
                settings, transport = resolve(sweep, spec, use.suite, effort, efforts, wire, where)
                keys: dict[str, Any] = {}
                settings = settings.without_keys(keys)
                cells.append(
                    Cell(
                        suite=use.suite,
                        model=model,
                        effort=effort,
                        spec=spec,
                        settings=settings,
                        transport=transport,
                        limit=use.limit,
                        epochs=use.epochs,
                        logprobs=sweep.logprobs if spec.logprobs is None else spec.logprobs,
                        self_check=_self_check_of(sweep, spec),
                        keys=keys,
                    )
                )
    _refuse_doubles(cells, where)
    return Grid(sweep, suites, tuple(cells), folder, suites_path.resolve().parent)


def resolve(
    sweep: Sweep,
    spec: ModelSpec,
    suite: str,
    effort: str | None,
    efforts: Mapping[str, Effort],
    wire: Wire,
    where: str,
) -> tuple[Settings, dict[str, Any]]:
    """Settings and transport of one cell: sweep config, then the model's, then the effort's, the
    last one winning.

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
    transport: dict[str, Any] = {"cache_prompt": sweep.cache_prompt, "max_retries": sweep.max_retries}
    transport["attempt_timeout"] = sweep.timeout
    transport["max_connections"] = spec.max_connections or sweep.max_connections
    transport |= {key: asked[key] for key in asked.keys() & TRANSPORT}
    config = {k: v for k, v in asked.items() if k not in TRANSPORT and v is not None}
    settings = Settings(config, few_shot, task_args, {**raw, **spec.args})
    return settings, {k: v for k, v in transport.items() if v is not None}


def _self_check_of(sweep: Sweep, spec: ModelSpec) -> str | None:
    """The words of the self-check. A recording has none, and without log-probabilities it tells
    nothing."""
    if sweep.self_check is None or spec.logprobs is False or spec.model.startswith(RECORDED):
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


def _load_efforts(path: Path, sweep: Sweep) -> dict[str, Effort]:
    """Presets, or none where the default file is absent: provider levels need no file."""
    if not path.exists() and "efforts_file" not in sweep.model_fields_set:
        return {}
    return load_map(Effort, path)


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
