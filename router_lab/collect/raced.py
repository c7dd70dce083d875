"""What a race, or the share of a reference, left out of a log, and at which known probability what it has was run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router_lab.collect.logs import LogSource
from router_lab.racing.record import RaceRecord


def planned_of(source: LogSource, manifest: Mapping[str, Any]) -> int | None:
    """How many samples the sweep was to run of the log's cell; None where it does not say. A log that was made after
    the manifest is known by its suite, candidate, settings and dataset."""
    by_name: int | None = manifest.get("planned", {}).get(source.log.path.name)
    if by_name is not None:
        return by_name
    who = (source.suite_name, source.model, source.effort, source.settings_sha, source.log.spec.get("task_version"))
    keys = ("suite", "model", "effort", "settings_sha", "task_version")
    cells = (one for one in manifest.get("candidates", []) if tuple(map(one.get, keys)) == who)
    return next((one.get("planned") for one in cells), None)


def drawn_of(source: LogSource, manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The manifest's entry for the log's candidate, if it ran on a drawn part of its suite alone."""
    entry: Mapping[str, Any] = manifest.get("drawn", {})
    mine = (entry.get("model"), entry.get("effort")) == (source.model, source.effort)
    return entry if mine and source.suite_name in entry["samples"] else None


def race_of(manifest: Mapping[str, Any]) -> RaceRecord | None:
    """What the manifest says of a race."""
    return RaceRecord.from_json(manifest["race"]) if "race" in manifest else None


def inclusion_of(source: LogSource, manifest: Mapping[str, Any]) -> dict[str, float]:
    """Probability with which each sample was run for the log's candidate: 1 but where it was due on a race's control
    share, or on a drawn part, alone."""
    drawn, race = drawn_of(source, manifest), race_of(manifest)
    if drawn is not None:
        return dict.fromkeys(drawn["order"][source.suite_name], float(drawn["share"]))
    return {} if race is None else race.inclusion(source.suite_name, source.candidate)


def not_due(source: LogSource, manifest: Mapping[str, Any]) -> set[str]:
    """Samples that the log's candidate was not due on, so that what is there of them was run by an earlier race, or for
    a larger share."""
    drawn, race = drawn_of(source, manifest), race_of(manifest)
    if drawn is not None:
        return set(drawn["order"][source.suite_name]) - set(drawn["samples"][source.suite_name])
    return set() if race is None else race.not_due(source.suite_name, source.candidate)


def raced_reason(source: LogSource, manifest: Mapping[str, Any]) -> str:
    """Why a sample of the race was not run."""
    race = race_of(manifest)
    told = None if race is None else race.told(source.suite_name, source.candidate)
    if told is not None:
        return told
    if not manifest.get("interrupted"):
        return "not run for lack of money"
    return (
        "not run: the sweep was interrupted; run it again: what was finished and not yet written to its log is "
        "recovered, the rest is asked for"
    )
