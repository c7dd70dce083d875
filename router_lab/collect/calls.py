"""The model calls of one sample: who made them, what they used, what they cost."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from router_lab.prices import (
    PriceTable,
    Tokens,
    as_cached,
    cacheable,
    provider_tools,
    read_usage,
    served_by,
    told_apart,
    utc,
    written_for_an_hour,
)
from router_lab.providers.keys import APART_NOTE, CACHE_TTL_NOTE, CHECK, RECORDED, SHARED_NOTE
from router_lab.providers.scenes import Scene, media_of, scenes, tells_scoring
from router_lab.runtime.errors import InputError

EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Call:
    """One request that was answered. `role` is null for the candidate's own; `tokens` null if no
    usage was reported.

    `tools`: calls of tools that the provider ran for it, by name. `doubt`: what cannot be told of
    its usage.
    """

    model: str
    role: str | None
    turn: int
    attempt: int
    tokens: Tokens | None
    seconds: float | None
    started: dt.datetime
    paid: bool
    stop: str | None = None
    """Why the answer ended, in Inspect's words: `stop`, `max_tokens`, …"""
    event: Mapping[str, Any] | None = None
    """The log's own record of it, where it comes from a log."""
    tools: Mapping[str, int] = field(default_factory=dict)
    doubt: str | None = None
    solving: bool = False
    """Whether it is known to have been made before the sample was scored."""
    checks: bool = False
    """Whether the candidate was asked in it, by a sweep, if its own answer is right."""
    teamed: bool = False
    """Whether the role is one of the candidate's own team."""

    @property
    def own(self) -> bool:
        """Whether the candidate made it, rather than a judge or a helper."""
        return self.role is None or self.teamed


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool that the harness ran; `turn`: how many calls of the candidate's own were
    before it."""

    name: str
    attempt: int
    started: dt.datetime
    own: bool
    turn: int = 0


def sample_calls(
    sample: Mapping[str, Any],
    model: str,
    name: str,
    cache_ttl: str | None = None,
    begun: str | None = None,
    team: Mapping[str, str] = EMPTY,
) -> tuple[list[Call], list[ToolCall]]:
    """Every answered call of a raw sample and every call of a tool, all attempts.

    model: Inspect's name of the candidate, `name` ours; of a team those of whoever has the first
    role, and `team` has our name of each role's model. cache_ttl: how long its prompts were
    asked to be cached. begun: when the sample began, for logs from before events: there the answer
    of a single turn is the only call known.
    """
    earlier = [retry.get("events") or [] for retry in sample.get("error_retries") or []]
    calls: list[Call] = []
    tools: list[ToolCall] = []
    for attempt, events in enumerate([*earlier, sample.get("events") or []], start=1):
        last = attempt == len(earlier) + 1
        turns: dict[str | None, int] = {}
        told = tells_scoring(events)
        for scene in scenes(events, sample if last else None):
            event = scene.event
            if event["event"] == "tool":
                if not event.get("error") and not event.get("pending"):
                    began, before = utc(event["timestamp"]), turns.get(None, 0)
                    tools.append(ToolCall(str(event["function"]), attempt, began, not scene.scoring, before))
                continue
            output = event.get("output") or {}
            if event.get("error") or not (output.get("choices") or output.get("usage")):
                continue
            asker = _asker(scene, model, name, team)
            # A team's calls are the turns of one candidate.
            line = None if asker.teamed else asker.role
            turns[line] = turns.get(line, 0) + 1
            call = _call(sample, event, asker.called, asker.role, turns[line], attempt, cache_ttl)
            solving = told and not scene.scoring
            calls.append(replace(call, solving=solving, checks=asker.checks, teamed=asker.teamed))
    if begun is not None and not sample.get("events") and _single_turn(sample):
        event = {"model": model, "output": sample["output"], "timestamp": begun}
        calls.append(_call(sample, event, name, None, 1, len(earlier) + 1, cache_ttl))
    return calls, tools


def _single_turn(sample: Mapping[str, Any]) -> bool:
    answers = [
        m for m in sample.get("messages") or () if m.get("role") == "assistant" and m.get("source") != "input"
    ]
    return len(answers) == 1 and bool((sample.get("output") or {}).get("usage"))


def request_cost(
    calls: Sequence[Call], table: PriceTable, caching: str, last_attempt: int, tools: Sequence[ToolCall] = ()
) -> float | None:
    """Dollars that the candidate's own calls of the last attempt cost, each priced alone at its
    moment, standard tier; those of tools, the provider's and the harness's, with them.

    caching `none`: every prompt token at the input price. `prefix`: what the previous turn already
    held is read from the cache, the rest is written to it (5 minutes) where the model has prices
    for that and the sample has more turns; in a team each role has turns of its own. None if a call
    reported no usage.
    """
    own = [call for call in calls if call.own and call.attempt == last_attempt]
    if any(call.tokens is None for call in own):
        return None
    total = 0.0
    for usd in _priced(own, table, caching):
        total += usd
    used = [tool for tool in tools if tool.own and tool.attempt == last_attempt]
    return total + sum(table.own_tools({tool.name: 1}, tool.started) for tool in used)


def turn_costs(
    calls: Sequence[Call], table: PriceTable, caching: str, last_attempt: int, tools: Sequence[ToolCall] = ()
) -> list[float] | None:
    """What `request_cost` adds up, by call: each with the tools that were called after it and
    before the next, which a run that is stopped there has paid. None where that is None."""
    own = [call for call in calls if call.own and call.attempt == last_attempt]
    if any(call.tokens is None for call in own):
        return None
    found = list(_priced(own, table, caching))
    for tool in (tool for tool in tools if tool.own and tool.attempt == last_attempt):
        if found:
            found[max(tool.turn, 1) - 1] += table.own_tools({tool.name: 1}, tool.started)
    return found


def _priced(own: Sequence[Call], table: PriceTable, caching: str) -> Iterator[float]:
    """Dollars of each call of the candidate's own, with the provider's tools."""
    # What one role's model has cached is none of another's prompt.
    turns, held = Counter(call.role for call in own), dict[str | None, int]()
    for call in own:
        assert call.tokens is not None
        rates = table.rates(call.model, call.started)
        tokens = call.tokens.uncached()
        if caching == "prefix" and turns[call.role] > 1:
            tokens = as_cached(tokens, rates, held.get(call.role, 0))
            held[call.role] = cacheable(tokens, rates)
        yield rates.cost(tokens) + table.provider_tools(call.model, call.tools, call.started)


def paid(
    calls: Sequence[Call],
    table: PriceTable,
    tier: str,
    tools: Sequence[ToolCall] = (),
    unpriced: Callable[[str], None] | None = None,
) -> tuple[float | None, float | None]:
    """(dollars really spent on all attempts and roles, the judges' share of it), with caching as
    it happened. What a candidate's check of itself took is spent, and no judge's.

    Raises InputError for a call without a price; a judge's is told to `unpriced`, if given, and
    then both are None.
    """
    dollars, checked = {True: 0.0, False: 0.0}, 0.0
    unknown = False
    for call in calls:
        if call.tokens is None or not call.paid:
            continue
        # A scorer that asks the candidate's own model asks it as it is set up, at its tier.
        spent_tier = tier if call.own or call.role == "scorer" or call.checks else "standard"
        try:
            usd = table.cost(call.model, call.tokens, call.started, spent_tier)
            usd += table.provider_tools(call.model, call.tools, call.started)
        except InputError as error:
            if call.own or unpriced is None:
                raise
            unpriced(str(error))
            unknown = True
            continue
        if call.checks:
            checked += usd
        else:
            dollars[call.own] += usd
    for tool in tools:
        dollars[tool.own] += table.own_tools({tool.name: 1}, tool.started)
    return (None, None) if unknown else (dollars[True] + dollars[False] + checked, dollars[False])


class _Asker(NamedTuple):
    role: str | None
    called: str
    checks: bool
    teamed: bool


def _asker(scene: Scene, model: str, name: str, team: Mapping[str, str]) -> _Asker:
    """Who makes a call, and what we call the model that is asked."""
    role, asked = _role(scene, model), str(scene.event["model"])
    checks = role == CHECK and scene.scoring and asked == model
    if role is not None and role in team and not scene.scoring:
        return _Asker(role, team[role], checks, True)
    return _Asker(role, name if role is None or checks else asked.removeprefix(RECORDED), checks, False)


def _role(scene: Scene, model: str) -> str | None:
    """A judge may be the candidate's own model: then its role, or that a scorer called it, tells
    them apart."""
    if scene.event.get("role"):
        return str(scene.event["role"])
    if scene.scoring:
        return "scorer"
    return None if scene.event["model"] == model else "other"


def _call(
    sample: Mapping[str, Any], event: Mapping[str, Any], called: str, role: str | None, turn: int, attempt: int,
    cache_ttl: str | None,
) -> Call:  # fmt: skip
    output = event.get("output") or {}
    usage = output.get("usage")
    noted = output.get("metadata") or {}
    hour = written_for_an_hour(
        usage, event, noted.get(CACHE_TTL_NOTE) or (cache_ttl if role is None else None)
    )
    response = (event.get("call") or {}).get("response")
    apart = noted.get(APART_NOTE)
    answered = apart if isinstance(apart, Mapping) else told_apart(response)
    tokens, doubt = read_usage(usage, written_1h=hour, answered=answered)
    if tokens is not None:
        tokens = tokens._replace(media=media_of(sample, event))
    served = served_by(str(event["model"]).removeprefix(RECORDED), output)
    if served is not None:
        doubt = f"an answer in the place of {called!r}, whose provider fell back on it; its prices count"
    return Call(
        model=served or called,
        role=role,
        turn=turn,
        attempt=attempt,
        tokens=tokens,
        seconds=output.get("time"),
        started=utc(event["timestamp"]),
        paid=event.get("cache") != "read" and not noted.get(SHARED_NOTE),
        stop=(output.get("choices") or [{}])[0].get("stop_reason"),
        event=event,
        tools=provider_tools(output, response),
        doubt=doubt,
    )
