"""`sweep.json`, what a sweep says of its log directory: written here alone, and read here in any version."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from router_lab.providers.keys import MANIFEST
from router_lab.racing.elimination import candidate_of
from router_lab.racing.record import RaceRecord
from router_lab.runtime.errors import InputError
from router_lab.runtime.files import atomic_write
from router_lab.runtime.jsonio import decode
from router_lab.runtime.model import Candidate
from router_lab.runtime.reading import read_regular
from router_lab.runtime.typed import MANY, ONE, as_list, as_name, as_names, as_number, as_whole, refuse_shape

LARGEST = 512 << 20
"""Bytes of a manifest."""
_SHAPE = {"logs": (list,), "planned": ONE, "order": ONE, "candidates": MANY, "race": ONE, "drawn": ONE, "sweep": (str,),
          "prices": ONE}  # fmt: skip
INTERRUPTED = (
    "not run: the sweep was interrupted; run it again: what was finished and not yet written to its log is recovered, "
    "the rest is asked for"
)
Names = Mapping[str, Sequence[str]]
T = TypeVar("T")


class PricesFile(NamedTuple):
    """Where the sweep's prices are, from its log directory, and their hash; None = no such file: genai-prices."""

    file: str
    sha256: str | None


@dataclass(frozen=True)
class SweptCell:
    """One candidate in one suite, as its logs say of themselves: a log's name changes when a run goes on from it.

    planned: samples; request: what was recorded of its requests; settings: config, few_shot and task_args.
    """

    suite: str
    candidate: Candidate
    settings_sha: str | None = None
    task_version: str | int | None = None
    planned: int | None = None
    request: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SweptCell:
        """Of any version: the first had one object a candidate, and no suite."""
        rest = dict(data)
        suite, who = as_name(rest.pop("suite", "")), candidate_of(rest.pop("model"), rest.pop("effort", None))
        sha, version, planned, request = (
            rest.pop(key, None) for key in ("settings_sha", "task_version", "planned", "request")
        )
        return cls(suite, who, sha, version, None if planned is None else as_whole(planned), request, rest)

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        return {
            "suite": self.suite, "model": self.candidate.model, "effort": self.candidate.effort,
            "settings_sha": self.settings_sha, **self.settings, "request": self.request,
            "task_version": self.task_version, "planned": self.planned,
        }  # fmt: skip


@dataclass(frozen=True)
class DrawnPart:
    """`candidate` ran on a random part alone, drawn with probability `share`: `samples` of `order`, ids by suite."""

    candidate: Candidate
    share: float
    samples: Names
    order: Names

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DrawnPart:
        """Raises LookupError or TypeError for what is none."""
        who = candidate_of(data["model"], data.get("effort"))
        return cls(who, as_number(data["share"]), as_names(data["samples"]), as_names(data["order"]))

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        model, effort = self.candidate
        return {
            "model": model, "effort": effort, "share": self.share, "samples": self.samples, "order": self.order
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SweepManifest:
    """logs: names of those that count; planned: by name, samples that a log was to run; order: by task version, ids of
    the samples as they were to run; needed, unrun: samples × epochs of the whole sweep, and those without money;
    interrupted: the run has not come to its end. What a file does not say is empty or None."""

    sweep: str = ""
    logs: Sequence[str] = ()
    planned: Mapping[str, int] = field(default_factory=dict)
    order: Names = field(default_factory=dict)
    needed: int | None = None
    budget_usd: float | None = None
    spent_usd: float | None = None
    reserved_usd: float | None = None
    prices: PricesFile | None = None
    unrun: int | None = None
    cells: Sequence[SweptCell] = ()
    interrupted: bool = False
    race: RaceRecord | None = None
    drawn: DrawnPart | None = None

    @classmethod
    def of(cls, folder: Path) -> SweepManifest:
        """What the manifest in a folder says; nothing where there is none. Raises InputError."""
        path = folder / MANIFEST
        if not path.is_file():
            return cls()
        try:
            return cls.from_json(decode(read_regular(path, LARGEST)))
        except ValueError as error:
            raise InputError(f"{path}: not a sweep's manifest: {str(error).splitlines()[0][:200]}") from None

    @classmethod
    def from_json(cls, data: Any) -> SweepManifest:
        """Of any version; keys that are not known are left alone. Raises ValueError, which names the key."""
        if not isinstance(data, dict):
            raise ValueError("it must be an object")
        refuse_shape(data, _SHAPE)
        return cls(
            sweep=data.get("sweep") or "",
            logs=_read(data, "logs", lambda names: [as_name(one) for one in names], []),
            planned=_read(data, "planned", lambda of: {name: as_whole(count) for name, count in of.items()}, {}),
            order=_read(data, "order", as_names, {}),
            needed=_read(data, "needed", as_whole, None),
            budget_usd=_read(data, "budget_usd", as_number, None),
            spent_usd=_read(data, "spent_usd", as_number, None),
            reserved_usd=_read(data, "reserved_usd", as_number, None),
            prices=_read(data, "prices", lambda one: PricesFile(as_name(one["file"]), one.get("sha256")), None),
            unrun=_read(data, "unrun", as_whole, None),
            cells=_read(data, "candidates", lambda cells: [SweptCell.from_json(one) for one in as_list(cells)], []),
            interrupted=bool(data.get("interrupted")),
            race=_read(data, "race", RaceRecord.from_json, None),
            drawn=_read(data, "drawn", DrawnPart.from_json, None),
        )

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        return {
            "sweep": self.sweep,
            "logs": list(self.logs),
            "planned": dict(self.planned),
            "order": dict(self.order),
            "needed": self.needed,
            "budget_usd": self.budget_usd,
            "spent_usd": self.spent_usd,
            "reserved_usd": self.reserved_usd,
            "prices": self.prices and self.prices._asdict(),
            "unrun": self.unrun,
            "candidates": [cell.to_json() for cell in self.cells],
            **({"interrupted": True} if self.interrupted else {}),
            **({} if self.race is None else {"race": self.race.to_json()}),
            **({} if self.drawn is None else {"drawn": self.drawn.to_json()}),
        }

    def write(self, folder: Path) -> Path:
        """Into a log directory, whole or not at all."""
        return atomic_write(folder / MANIFEST, (json.dumps(self.to_json(), indent=1) + "\n").encode())

    @property
    def partial(self) -> bool:
        """Whether candidates ran samples at a known probability: in a race, or on a drawn part."""
        return self.race is not None or self.drawn is not None

    def planned_of(
        self, log: str, suite: str, candidate: Candidate, settings_sha: str | None, task_version: Any
    ) -> int | None:  # fmt: skip
        """How many samples the sweep was to run of a log's cell; None where it does not say. A log that was made after
        the manifest is known by its suite, candidate, settings and dataset."""
        if log in self.planned:
            return self.planned[log]
        who = (suite, candidate, settings_sha, task_version)
        mine = (one for one in self.cells if (one.suite, one.candidate, one.settings_sha, one.task_version) == who)
        return next((one.planned for one in mine), None)

    def drawn_for(self, suite: str, candidate: Candidate) -> DrawnPart | None:
        """The drawn part, if the candidate ran on that alone in the suite."""
        mine = self.drawn is not None and self.drawn.candidate == candidate and suite in self.drawn.samples
        return self.drawn if mine else None

    def inclusion(self, suite: str, candidate: Candidate) -> dict[str, float]:
        """Probability with which each sample was run: 1 but where a candidate was due on a race's control share, or on
        a drawn part, alone."""
        drawn = self.drawn_for(suite, candidate)
        if drawn is not None:
            return dict.fromkeys(drawn.order.get(suite, ()), drawn.share)
        return {} if self.race is None else self.race.inclusion(suite, candidate)

    def not_due(self, suite: str, candidate: Candidate) -> set[str]:
        """Samples that a candidate was not due on, so that what is there of them was run by an earlier race, or for a
        larger share."""
        drawn = self.drawn_for(suite, candidate)
        if drawn is not None:
            return set(drawn.order.get(suite, ())) - set(drawn.samples[suite])
        return set() if self.race is None else self.race.not_due(suite, candidate)

    def due(self, suite: str, candidate: Candidate, task_version: Any) -> Sequence[str]:
        """Ids of the samples that a candidate was to run, in their order, if it is told of each why it was not run:
        nothing where no race, budget or interrupt has left any out."""
        drawn = self.drawn_for(suite, candidate)
        raced = None if self.race is None else self.race.order.get(suite)
        if raced is None and self.budget_usd is None and not self.interrupted:
            return ()
        if drawn is not None:
            return drawn.samples[suite]
        return self.order.get(str(task_version), ()) if raced is None else raced

    def why_unrun(self, suite: str, candidate: Candidate) -> str:
        """Why a sample that was due was not run."""
        raced = None if self.race is None else self.race.why_unrun(suite, candidate)
        return raced or (INTERRUPTED if self.interrupted else "not run for lack of money")


def _read(data: Mapping[str, Any], key: str, read: Callable[[Any], T], otherwise: T) -> T:
    """`data[key]` as `read` has it, or `otherwise` where it is not there or null."""
    value = data.get(key)
    if value is None:
        return otherwise
    try:
        return read(value)
    except KeyError as error:
        raise ValueError(f"`{key}` lacks {error}") from None
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"`{key}` is not what a sweep writes there: {error}") from None
