"""`sweep.json`, what a sweep says of its log directory: written here alone, and read here in any
version."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field

from router_lab.config.base import ForwardCompatible, parse
from router_lab.providers.keys import MANIFEST
from router_lab.racing.elimination import Names, OfCandidate, RaceRecord
from router_lab.runtime.errors import InputError
from router_lab.runtime.files import atomic_write
from router_lab.runtime.jsonio import decode
from router_lab.runtime.model import Candidate
from router_lab.runtime.reading import read_regular

LARGEST = 512 << 20
"""Bytes of a manifest."""
INTERRUPTED = (
    "not run: the sweep was interrupted; run it again: what was finished and not yet written to its log is recovered, "
    "the rest is asked for"
)


class PricesFile(ForwardCompatible):
    """Where the sweep's prices are, from its log directory, and their hash; None = no such file:
    genai-prices."""

    file: str
    sha256: str | None = None


class SweptCell(OfCandidate):
    """One candidate in one suite, as its logs say of themselves: a log's name changes when a run
    goes on from it.

    planned: samples; request: what was recorded of its requests; beside these config, few_shot and
    task_args. The first version had one object a candidate, and no suite.
    """

    model_config = ConfigDict(extra="allow")
    suite: str = ""
    settings_sha: str | None = None
    request: dict[str, Any] | None = None
    task_version: str | int | None = None
    planned: int | None = None


class DrawnPart(OfCandidate):
    """A candidate ran on a random part alone, drawn with probability `share`: `samples` of
    `order`, ids by suite."""

    share: float = Field(gt=0, le=1)
    samples: Names
    order: Names


class SweepManifest(ForwardCompatible):
    """logs: names of those that count; planned: by name, samples that a log was to run; order: by
    task version, ids of the samples as they were to run; needed, unrun: samples × epochs of the
    whole sweep, and those without money; interrupted: the run has not come to its end; engine: who
    ran it, if not one process. What a file does not say is empty or None."""

    sweep: str = ""
    logs: tuple[str, ...] = ()
    planned: dict[str, int] = Field(default_factory=dict)
    order: Names = Field(default_factory=dict)
    needed: int | None = None
    budget_usd: float | None = None
    spent_usd: float | None = None
    reserved_usd: float | None = None
    prices: PricesFile | None = None
    unrun: int | None = None
    candidates: tuple[SweptCell, ...] = ()
    interrupted: bool = False
    race: RaceRecord | None = None
    drawn: DrawnPart | None = None
    engine: str | None = None

    @classmethod
    def of(cls, folder: Path) -> SweepManifest:
        """What the manifest in a folder says; nothing where there is none. Raises InputError."""
        path = folder / MANIFEST
        if not path.is_file():
            return cls()
        where = f"{path}: not a sweep's manifest"
        try:
            return parse(cls, decode(read_regular(path, LARGEST)), where=where)
        except ValueError as error:
            raise InputError(f"{where}: {str(error).splitlines()[0][:200]}") from None

    def to_json(self) -> dict[str, Any]:
        """As `of` reads it."""
        absent = {key for key in ("interrupted", "race", "drawn", "engine") if not getattr(self, key)}
        return self.model_dump(mode="json", exclude=absent)

    def write(self, folder: Path) -> Path:
        """Into a log directory, whole or not at all."""
        return atomic_write(folder / MANIFEST, (json.dumps(self.to_json(), indent=1) + "\n").encode())

    def planned_of(
        self, log: str, suite: str, candidate: Candidate, settings_sha: str | None, task_version: Any
    ) -> int | None:  # fmt: skip
        """How many samples the sweep was to run of a log's cell; None where it does not say. A log
        that was made after the manifest is known by its suite, candidate, settings and dataset."""
        who = (suite, candidate, settings_sha, task_version)
        mine = (
            one.planned
            for one in self.candidates
            if (one.suite, one.candidate, one.settings_sha, one.task_version) == who
        )
        return self.planned[log] if log in self.planned else next(mine, None)

    def drawn_for(self, suite: str, candidate: Candidate) -> DrawnPart | None:
        """The drawn part, if the candidate ran on that alone in the suite."""
        part = self.drawn
        return part if part and part.candidate == candidate and suite in part.samples else None

    def inclusion(self, suite: str, candidate: Candidate) -> Mapping[str, float]:
        """Probability with which each sample was run: 1 but where a candidate was due on a race's
        control share, or on a drawn part, alone."""
        drawn = self.drawn_for(suite, candidate)
        if drawn is not None:
            return dict.fromkeys(drawn.order.get(suite, []), drawn.share)
        return {} if self.race is None else self.race.inclusion(suite, candidate)

    def not_due(self, suite: str, candidate: Candidate) -> set[str]:
        """Samples that a candidate was not due on, so that what is there of them was run by an
        earlier race, or for a larger share."""
        drawn = self.drawn_for(suite, candidate)
        if drawn is not None:
            return set(drawn.order.get(suite, [])) - set(drawn.samples[suite])
        return set() if self.race is None else self.race.not_due(suite, candidate)

    def due(self, suite: str, candidate: Candidate, task_version: Any) -> Sequence[str]:
        """Ids of the samples that a candidate was to run, in their order, if it is told of each
        why it was not run: nothing where no race, budget or interrupt has left any out."""
        drawn, raced = (
            self.drawn_for(suite, candidate),
            None if self.race is None else self.race.order.get(suite),
        )
        if raced is None and self.budget_usd is None and not self.interrupted:
            return ()
        if drawn is not None:
            return drawn.samples[suite]
        return self.order.get(str(task_version), ()) if raced is None else raced

    def why_unrun(self, suite: str, candidate: Candidate) -> str:
        """Why a sample that was due was not run."""
        raced = None if self.race is None else self.race.why_unrun(suite, candidate)
        return raced or (INTERRUPTED if self.interrupted else "not run for lack of money")
