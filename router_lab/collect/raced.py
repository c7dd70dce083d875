"""What a race, or the share of a reference, left out of a log, and at which known probability what it has was run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router_lab.collect.logs import LogSource


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


def left_after(source: LogSource, manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The manifest's entry for the log's candidate, if it left its suite's race."""
    who = (source.suite_name, source.model, source.effort)
    entries = manifest.get("race", {}).get("left", [])
    return next((e for e in entries if (e["suite"], e["model"], e["effort"]) == who), None)


def inclusion_of(source: LogSource, manifest: Mapping[str, Any]) -> dict[str, float]:
    """Probability with which each sample was run for the log's candidate: 1 but where it was due on a race's floor, or
    on a drawn part, alone."""
    drawn = drawn_of(source, manifest)
    if drawn is not None:
        return dict.fromkeys(drawn["order"][source.suite_name], float(drawn["share"]))
    race = manifest.get("race", {})
    order = race.get("order", {}).get(source.suite_name, [])
    result = dict.fromkeys(order, 1.0)
    for start, end in _skipped(source, manifest):
        result.update(dict.fromkeys(order[start:end], float(race["floor"])))
    return result


def not_due(source: LogSource, manifest: Mapping[str, Any]) -> set[str]:
    """Samples that the log's candidate was not due on, so that what is there of them was run by an earlier race, or for
    a larger share."""
    drawn = drawn_of(source, manifest)
    if drawn is not None:
        return set(drawn["order"][source.suite_name]) - set(drawn["samples"][source.suite_name])
    race = manifest.get("race", {})
    kept, order = race.get("on_floor", {}).get(source.suite_name), race.get("order", {}).get(source.suite_name, [])
    if kept is None:
        return set()
    return {name for start, end in _skipped(source, manifest) for name in order[start:end]} - set(kept)


def raced_reason(source: LogSource, manifest: Mapping[str, Any]) -> str:
    """Why a sample of the race was not run."""
    left = left_after(source, manifest)
    if left is not None:
        return f"raced: {left['reason']} after {left['after']} samples"
    if _skipped(source, manifest):
        return "raced: was not needed then"
    if not manifest.get("interrupted"):
        return "not run for lack of money"
    return (
        "not run: the sweep was interrupted; run it again: what was finished and not yet written to its log is "
        "recovered, the rest is asked for"
    )


def _skipped(source: LogSource, manifest: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Ranges of the race's order in which the log's candidate was due on the floor alone."""
    race = manifest.get("race", {})
    if "skipped" not in race:  # written by a version in which all that was left out came after leaving
        left = left_after(source, manifest)
        return [] if left is None else [(int(left["after"]), len(race["order"][source.suite_name]))]
    who = (source.suite_name, source.model, source.effort)
    return [
        (int(start), int(end))
        for entry in race["skipped"] if (entry["suite"], entry["model"], entry["effort"]) == who
        for start, end in entry["ranges"]
    ]  # fmt: skip
