"""What a race left out of a log, and at which known probability what it has was run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router_lab.collect.logs import LogSource


def left_after(source: LogSource, manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The manifest's entry for the log's candidate, if it left its suite's race."""
    who = (source.suite_name, source.model, source.effort)
    entries = manifest.get("race", {}).get("left", [])
    return next((e for e in entries if (e["suite"], e["model"], e["effort"]) == who), None)


def inclusion_of(source: LogSource, manifest: Mapping[str, Any]) -> dict[str, float]:
    """Probability with which each sample of the race was run for the log's candidate: 1 until it left."""
    left, race = left_after(source, manifest), manifest.get("race", {})
    order = race.get("order", {}).get(source.suite_name, [])
    after = len(order) if left is None else int(left["after"])
    return {name: 1.0 if place < after else float(race["floor"]) for place, name in enumerate(order)}


def raced_reason(source: LogSource, manifest: Mapping[str, Any]) -> str:
    """Why a sample of the race was not run."""
    left = left_after(source, manifest)
    if left is None:
        return "not run for lack of money"
    return f"raced: {left['reason']} after {left['after']} samples"
