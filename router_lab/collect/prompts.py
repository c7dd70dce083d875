"""The prompts of a log's model calls, part by part, as a provider's cache compares them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from router_lab.caching.prefix import Asked, Part
from router_lab.caching.sessions import Key, Texts
from router_lab.collect.calls import Call, sample_calls
from router_lab.collect.evidence import standing_logs
from router_lab.collect.logs import open_log
from router_lab.collect.pricing import Pricing
from router_lab.prices import PriceTable
from router_lab.providers.evallog import all_logs, event_input
from router_lab.runtime.messages import last_user_text
from router_lab.runtime.model import Candidate
from router_lab.sweep_manifest import SweepManifest

BESIDE = ("role", "content", "tool_calls", "tool_call_id")
"""Of a message what a provider is sent; ids and metadata are Inspect's own."""


def prompts_of(sources: Sequence[str | Path]) -> tuple[list[Asked], Texts]:
    """Every own call of each sample's last attempt in logs and folders of them, oldest first; and
    of each its last user turn, which is what a runtime would be asked with. Raises InputError."""
    asked: list[Asked] = []
    texts: dict[tuple[Key, Candidate, int], str] = {}
    for source in standing_logs([open_log(path, {}, {}) for path in all_logs(list(sources))[0]])[0]:
        for sample in source.log.samples():
            calls, _ = sample_calls(sample, str(source.log.spec["model"]), source.first)
            key = source.suite_name, str(sample["id"]), int(sample["epoch"])
            last = max((call.attempt for call in calls), default=0)
            own = [call for call in calls if call.own and call.attempt == last and call.event is not None]
            sent = [event_input(sample, dict(call.event or {})) for call in own]
            texts |= {(key, source.candidate, turn): last_user_text(one) for turn, one in enumerate(sent)}
            asked += [
                _asked(key, source.candidate, turn, call, messages)
                for turn, (call, messages) in enumerate(zip(own, sent, strict=True))
            ]
    return asked, texts


def _asked(
    key: Key, candidate: Candidate, turn: int, call: Call, messages: Sequence[Mapping[str, Any]]
) -> Asked:
    event: Mapping[str, Any] = call.event or {}
    started: dt.datetime = call.started
    parts = [_part(message) for message in messages]
    tools = event.get("tools")
    if tools:  # providers put them before everything else
        parts.insert(0, Part("tools", json.dumps(tools, sort_keys=True)))
    tokens = None if call.tokens is None else call.tokens
    return Asked(key, candidate, call.model, turn, tuple(parts), tokens, started)


def _part(message: Mapping[str, Any]) -> Part:
    content = message.get("content")
    rest = {name: message[name] for name in BESIDE[2:] if message.get(name)}
    text = content if isinstance(content, str) else json.dumps(content, sort_keys=True)
    return Part(str(message.get("role")), text + (json.dumps(rest, sort_keys=True) if rest else ""))


def table_of(sources: Sequence[str | Path], prices: str | Path | None, otherwise: Path | None) -> PriceTable:
    """The prices that hold for logs, as `collect` takes them: those named, else those that the
    sweep of the first log was run with, else `otherwise`. Raises InputError."""
    logs = all_logs(list(sources))[0]
    pricing = Pricing(prices, otherwise)
    return pricing.of(logs[0].parent, SweepManifest.of(logs[0].parent)) if logs else pricing.table
