"""Dollars of traced calls: as the source says, else by list prices of the day; and which of them
were paid for reading."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from router_lab.prices import PriceTable, Rates, today
from router_lab.runtime.errors import InputError
from router_lab.traces.call import TracedCall

PROVIDERS = {
    "azure.ai.openai": "azure", "az.ai.openai": "azure", "azure_ai": "azure", "azure.ai.inference": "azure",
    "aws.bedrock": "bedrock", "aws_bedrock": "bedrock", "amazon_bedrock": "bedrock", "gcp.vertex_ai": "google",
    "gcp.gemini": "google", "gcp.gen_ai": "google", "google_genai": "google", "google_vertexai": "google",
    "vertex_ai": "google", "vertexai": "google", "gemini": "google", "mistral_ai": "mistral",
    "x_ai": "x-ai", "xai": "x-ai",
}  # fmt: skip
"""Names of tracers and gateways for the providers of price lists."""
MAKERS = (("gpt-", "openai"), ("chatgpt-", "openai"), ("o1", "openai"), ("o3", "openai"), ("o4", "openai"),
          ("text-embedding-", "openai"), ("claude-", "anthropic"), ("gemini-", "google"), ("grok-", "x-ai"),
          ("deepseek-", "deepseek"), ("mistral-", "mistral"))  # fmt: skip
"""Whose model a name is, where a source names no provider: its maker's list price is taken."""


class Priced(NamedTuple):
    """usd: dollars of the call, None = unknown. read: the part of them that was paid for the
    prompt, None = unknown. by: `source`, or the name under which prices know the model. why: what
    is lacking where one of the two is unknown."""

    call: TracedCall
    usd: float | None
    read: float | None
    by: str | None
    why: str = ""


def price_calls(
    calls: Sequence[TracedCall], table: PriceTable, names: Mapping[str, str] | None = None
) -> tuple[list[Priced], dict[str, str]]:
    """Every call with its dollars, and for each model of which dollars are not known the reason.

    names: by a model's name in the source, its name in prices (`provider/model`). A call that
    failed before it had tokens costs what the source says, else nothing.
    """
    found = [_priced(call, table, names or {}) for call in calls]
    return found, _reasons(one for one in found if one.usd is None)


def undivided(priced: Sequence[Priced]) -> dict[str, str]:
    """For each model of which the source tells dollars, and nobody what they were paid for, the
    reason."""
    return _reasons(one for one in priced if one.usd is not None)


def _reasons(lacking: Iterable[Priced]) -> dict[str, str]:
    """Reasons by model: of its earliest call, so that a price that mends it holds for all."""
    earliest = dict[str, tuple[dt.datetime, str]]()
    for call, why in ((one.call, one.why) for one in lacking if one.why):
        if call.model not in earliest or _day(call) < earliest[call.model][0]:
            earliest[call.model] = (_day(call), why)
    return {model: why for model, (_, why) in earliest.items()}


def _day(call: TracedCall) -> dt.datetime:
    return call.started or dt.datetime.combine(today(), dt.time(12), dt.UTC)


def _priced(call: TracedCall, table: PriceTable, names: Mapping[str, str]) -> Priced:
    known, why = _known(call, table, names, _day(call))
    if call.tokens is None:
        why = "the source counts no tokens of it"
    if known is None or call.tokens is None:
        if call.usd is None and call.tokens is None and call.error is not None:
            return Priced(call, 0.0, 0.0, None)
        free, by = call.usd == 0, None if call.usd is None else "source"
        return Priced(call, call.usd, 0.0 if free else None, by, "" if free else why)
    name, rates = known
    try:
        whole = rates.cost(call.tokens, call.tier)
        read = rates.cost(call.tokens._replace(output=0, reasoning=0), call.tier)
    except InputError as error:
        return Priced(call, call.usd, None, None if call.usd is None else "source", str(error))
    usd = whole if call.usd is None else call.usd
    part = usd * read / whole if whole > 0 else 0.0
    return Priced(call, usd, part, name if call.usd is None else "source")


def _known(
    call: TracedCall, table: PriceTable, names: Mapping[str, str], day: dt.datetime
) -> tuple[tuple[str, Rates] | None, str]:
    """(name and prices, None) of the first name of the model that prices know, else why none is
    known."""
    why = ""
    for name in price_names(call.model, call.provider, names):
        try:
            return (name, table.rates(name, day)), ""
        except InputError as error:
            if not why or name == full_name(call.model, call.provider):
                why = str(error)
    return None, why


def price_names(model: str, provider: str | None, names: Mapping[str, str]) -> list[str]:
    """The names under which prices may know a model, in the order in which they are tried."""
    if model in names:
        return [names[model]]
    full = full_name(model, provider)
    # `openai/gpt-5` that OpenRouter served is OpenRouter's first.
    served = "/" in model and full.endswith(f"/{model}")
    return list(dict.fromkeys([full, model] if served else [model, full]))


def full_name(model: str, provider: str | None) -> str:
    """`provider/model`, as a sweep names it, as far as a source tells it. A name that begins with
    its provider is not given it again."""
    told = (provider or "").lower()
    who = PROVIDERS.get(told, told.partition(".")[0])
    head, slash, tail = model.partition("/")
    own = PROVIDERS.get(head.lower(), head)
    if slash and (not who or own.lower() in (who, told)):
        return f"{own}/{tail}"
    who = who or next((maker for begin, maker in MAKERS if model.lower().startswith(begin)), "")
    return f"{who}/{model}" if who else model
