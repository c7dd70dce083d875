"""Which prices hold for which logs: those that were named, else those that the sweep was run
with."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd

from router_lab.outcomes.candidates import by_candidate
from router_lab.prices import PriceTable
from router_lab.prices.table import digest
from router_lab.providers.keys import MANIFEST
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.model import Candidate
from router_lab.sweep_manifest import SweepManifest

Given = PriceTable | str | Path | None


class Pricing:
    """`of(folder)`: the table for the logs in `folder`."""

    def __init__(self, given: Given, otherwise: str | Path | None = None) -> None:
        """given: a table or a file for everything. otherwise: the file for logs whose sweep names
        none. Raises InputError."""
        self.given = given if isinstance(given, PriceTable) or given is None else PriceTable.load(given)
        self.otherwise = PriceTable.load(otherwise) if given is None else None
        self._by_file: dict[Path, PriceTable] = {}

    @property
    def table(self) -> PriceTable:
        """For what lies in no folder of a sweep."""
        table = self.given or self.otherwise
        assert table is not None
        return table

    def of(self, folder: Path, manifest: SweepManifest) -> PriceTable:
        """The named table, else that of the sweep whose manifest lies in `folder`, as its file is
        now. Raises InputError if that is gone."""
        if self.given is not None or manifest.prices is None:
            return self.table
        # By the shortest way, as a person would write it: errors suggest commands with it.
        file = _short((folder / manifest.prices.file).resolve())
        if file not in self._by_file:
            self._by_file[file] = self._load(file, folder, manifest.prices.sha256, manifest.interrupted)
        return self._by_file[file]

    def _load(self, file: Path, folder: Path, sha: str | None, begun: bool) -> PriceTable:
        if sha is not None and not file.is_file():
            raise InputError(
                f"{folder / MANIFEST}: the sweep was run with the prices in {file}, which is not there; say where they "
                "are: router-lab collect … --prices FILE"
            )
        table = PriceTable.load(file, missing=True)
        if sha is not None and digest(file) != sha:
            since = f"the sweep in {folder} {'began' if begun else 'ended'}"
            text = f"{file} has changed since {since}; its prices count as they are now"
            warnings.warn(RouterLabWarning(text), stacklevel=5)
        return table


def priced_candidates(
    frame: pd.DataFrame, known: Iterable[Mapping[str, Any]], table: PriceTable
) -> list[dict[str, Any]]:
    """What is known of each candidate of `frame`, with the table's prices of its last `price_date`;
    those of whom the table knows none keep what they had."""
    found = {Candidate.of(row): deepcopy(dict(row)) for row in known}
    for who, rows in by_candidate(frame):
        day = dt.date.fromisoformat(max(rows["price_date"]))
        row = found.setdefault(who, dict(who.named()))
        roles = row.get("roles") or {}
        for model, own in (
            ((role["model"], role) for role in roles.values()) if roles else ((who.model, row),)
        ):
            if table.knows(model, day):
                rates = table.rates(model, day)
                own["prices"] = rates.as_dict()
                own["context_window"] = rates.context_window or own.get("context_window")
    return [row for _, row in sorted(found.items(), key=lambda item: item[0])]


def _short(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
