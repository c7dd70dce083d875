"""The model calls of one sample: who made them, what they used, what they cost."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router_lab.prices import PriceTable, Tokens
from router_lab.providers.evallog import model_events
from router_lab.providers.keys import RECORDED

CACHING = ("none", "prefix")
"""Assumptions about prompt caching under which `cost_usd` is stated."""


@dataclass(frozen=True)
class Call:
    """One request that was answered. `role` is null for the candidate's own; `tokens` null if no usage was reported."""

    model: str
    role: str | None
    turn: int
    attempt: int
    tokens: Tokens | None
    reasoning: int
    seconds: float | None
    started: dt.datetime
    paid: bool
    stop: str | None = None
    """Why the answer ended, in Inspect's words: `stop`, `max_tokens`, …"""
    event: Mapping[str, Any] | None = None
    """The log's own record of it, where it comes from a log."""

    @property
    def own(self) -> bool:
        """Whether the candidate made it, rather than a judge or a helper."""
        return self.role is None


def sample_calls(sample: Mapping[str, Any], model: str, name: str) -> list[Call]:
    """Every answered call of a raw sample, all attempts; `model` is Inspect's name of the candidate, `name` ours."""
    earlier = [retry.get("events") or [] for retry in sample.get("error_retries") or []]
    attempts = [*({"events": events} for events in earlier), sample]
    calls: list[Call] = []
    for attempt, part in enumerate(attempts, start=1):
        turns: dict[str | None, int] = {}
        scoring = _scorer_spans(part.get("events") or [])
        for event in model_events(dict(part)):
            output = event.get("output") or {}
            if event.get("error") or not (output.get("choices") or output.get("usage")):
                continue
            role = "scorer" if event.get("span_id") in scoring and not event.get("role") else _role(event, model)
            turns[role] = turns.get(role, 0) + 1
            calls.append(_call(event, output, role, turns[role], attempt, name))
    return calls


def request_cost(calls: Sequence[Call], table: PriceTable, caching: str, last_attempt: int) -> float | None:
    """Dollars that the candidate's own calls of the last attempt cost, each priced alone on its day, standard tier.

    caching `none`: every prompt token at the input price. `prefix`: what the previous turn already held is read from
    the cache, the rest is written to it (5 minutes) where the model has prices for that and the sample has more turns.
    None if a call reported no usage.
    """
    own = [call for call in calls if call.own and call.attempt == last_attempt]
    if any(call.tokens is None for call in own):
        return None
    total, held = 0.0, 0
    for call in own:
        assert call.tokens is not None
        rates = table.rates(call.model, call.started.date())
        tokens = Tokens(input=call.tokens.prompt, output=call.tokens.output)
        if caching == "prefix" and len(own) > 1 and rates.cache_read is not None:
            read = min(held, call.tokens.prompt)
            rest = call.tokens.prompt - read
            written = 0 if rates.cache_write_5m is None else rest
            tokens = Tokens(rest - written, read, written, 0, call.tokens.output)
        held = call.tokens.prompt
        total += rates.cost(tokens)
    return total


def paid(calls: Sequence[Call], table: PriceTable, tier: str) -> tuple[float, float]:
    """(dollars really spent on all attempts and roles, the judges' share of it), with caching as it happened."""
    dollars = {True: 0.0, False: 0.0}
    for call in calls:
        if call.tokens is not None and call.paid:
            spent_tier = tier if call.own else "standard"
            dollars[call.own] += table.cost(call.model, call.tokens, call.started.date(), spent_tier)
    return dollars[True] + dollars[False], dollars[False]


def _scorer_spans(events: Sequence[Mapping[str, Any]]) -> set[str]:
    """Ids of the spans in which scorers run: there even the candidate's own model is a judge."""
    inside: set[str] = set()
    for event in events:
        if event.get("event") == "span_begin" and (event.get("type") == "scorers" or event.get("parent_id") in inside):
            inside.add(event["id"])
    return inside


def _role(event: Mapping[str, Any], model: str) -> str | None:
    """A judge may be the candidate's own model: then its role tells them apart."""
    if event.get("role"):
        return str(event["role"])
    return None if event["model"] == model else "other"


def _call(
    event: Mapping[str, Any], output: Mapping[str, Any], role: str | None, turn: int, attempt: int, name: str
) -> Call:
    usage = output.get("usage")
    return Call(
        model=name if role is None else str(event["model"]).removeprefix(RECORDED),
        role=role,
        turn=turn,
        attempt=attempt,
        tokens=None if usage is None else _tokens(usage),
        reasoning=int((usage or {}).get("reasoning_tokens") or 0),
        seconds=output.get("time"),
        started=dt.datetime.fromisoformat(event["timestamp"]).astimezone(dt.UTC),
        paid=event.get("cache") != "read",
        stop=(output.get("choices") or [{}])[0].get("stop_reason"),
        event=event,
    )


def _tokens(usage: Mapping[str, Any]) -> Tokens:
    """Inspect's usage: input excludes cached tokens, output includes reasoning; cache writes have no lifetime there."""
    return Tokens(
        input=int(usage.get("input_tokens") or 0),
        cache_read=int(usage.get("input_tokens_cache_read") or 0),
        cache_write_5m=int(usage.get("input_tokens_cache_write") or 0),
        output=int(usage.get("output_tokens") or 0),
    )
