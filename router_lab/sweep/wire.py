"""The table (provider, model family, effort) → request arguments: data, of which a sweep's own
rows come first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import router_lab.config
from router_lab.config import Sweep, WireRow, load_list

LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Efforts that a provider knows by name; any other must be a preset in efforts.yaml or have a row
of the user's."""

BUILT_IN = Path(router_lab.config.__file__).with_name("wire.yaml")


@dataclass(frozen=True)
class Wire:
    """Rows in the order in which they are tried; `own` is how many of them are the user's."""

    rows: Sequence[WireRow]
    own: int = 0

    def row(self, model: str, effort: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """(GenerateConfig fields, raw provider arguments) by which Inspect's `model` is asked at
        `effort`.

        None for an effort that is no provider's level and has no row of the user's.
        """
        provider, _, family = model.partition("/")
        for number, row in enumerate(self.rows):
            if effort not in LEVELS and (number >= self.own or row.effort == "*"):
                continue
            patterns = ((provider, row.provider), (family, row.family), (effort, row.effort))
            if all(fnmatchcase(name, pattern) for name, pattern in patterns):
                return _filled(row.config, effort), _filled(row.args, effort)
        return None


def load_wire(sweep: Sweep, folder: Path) -> Wire:
    """The sweep's rows (its own, or of the file it names, relative to `folder`), then the built-in
    ones.

    Raises InputError.
    """
    own = load_list(WireRow, folder / sweep.wire) if isinstance(sweep.wire, str) else list(sweep.wire)
    return Wire([*own, *load_list(WireRow, BUILT_IN)], len(own))


def _filled(value: Any, effort: str) -> Any:
    """`value` with `$effort` replaced by the level, at any depth."""
    if isinstance(value, dict):
        return {key: _filled(item, effort) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, effort) for item in value]
    return effort if value == "$effort" else value
