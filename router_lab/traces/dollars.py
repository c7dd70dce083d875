"""Dollars of traced calls: as the source says, else by list prices of the day; and which of them
were paid for reading."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from router_lab.prices import PriceTable, Rates, today
from router_lab.runtime.errors import InputError
from router_lab.traces.call import TracedCall

PROVIDERS = {
    "azure.ai.openai": "azure", "az.ai.openai": "azure", "azure_ai": "azure", "azure.ai.inference": "azure",
    "aws.bedrock": "aws", "bedrock": "aws", "aws_bedrock": "aws", "gcp.vertex_ai": "google", "gcp.gemini": "google",
    "gcp.gen_ai": "google", "vertex_ai": "google", "vertexai": "google", "gemini": "google", "mistral_ai": "mistral",
    "x_ai": "x-ai", "xai": "x-ai",
}  # fmt: skip
"""Names of tracers and gateways for the providers of price lists."""
MAKERS = (("gpt-", "openai"), ("chatgpt-", "openai"), ("o1", "openai"), ("o3", "openai"), ("o4", "openai"),
          ("text-embedding-", "openai"), ("claude-", "anthropic"), ("gemini-", "google"), ("grok-", "x-ai"),
          ("deepseek-", "deepseek"), ("mistral-", "mistral"))  # fmt: skip
"""Whose model a name is, where a source names no provider: its maker's list price is taken."""


class Priced(NamedTuple):
    """usd: dollars of the call, None = unknown. read: the part of them that was paid for the
    prompt, None = unknown. by: `source`, or the name under which prices know the model."""

    call: TracedCall
    usd: float | None
    read: float | None
    by: str | None


def price_calls(
    calls: Sequence[TracedCall], table: PriceTable, names: Mapping[str, str] | None = None
) -> tuple[list[Priced], dict[str, str]]:
    """Every call with its dollars, and for each model without a price the reason.

    names: by a model's name in the source, its name in prices (`provider/model`). A call that
    failed before it had tokens costs what the source says, else nothing. The reason is that of the
    model's earliest call, so that a price that mends it holds for all of them.
    """
    found, lacking = list[Priced](), dict[str, tuple[dt.datetime, str]]()
    for call in calls:
        day = call.started or dt.datetime.combine(today(), dt.time(12), dt.UTC)
        priced, why = _priced(call, table, names or {}, day)
        found.append(priced)
        if why and (call.model not in lacking or day < lacking[call.model][0]):
            lacking[call.model] = (day, why)
    return found, {model: why for model, (_, why) in lacking.items()}


def _priced(
    call: TracedCall, table: PriceTable, names: Mapping[str, str], day: dt.datetime
) -> tuple[Priced, str]:
    """A call with its dollars, and why they are not known, "" where they are."""
    known, why = _known(call, table, names, day)
    if known is None or call.tokens is None:
        if call.usd is not None:
            return Priced(call, call.usd, 0.0 if call.usd == 0 else None, "source"), ""
        if call.tokens is None and call.error is not None:
            return Priced(call, 0.0, 0.0, None), ""
        none = Priced(call, None, None, None)
        return none, why if call.tokens is not None else "the source counts no tokens of it"
    name, rates = known
    try:
        whole = rates.cost(call.tokens, call.tier)
        read = rates.cost(call.tokens._replace(output=0, reasoning=0), call.tier)
    except InputError as error:
        if call.usd is None:
            return Priced(call, None, None, None), str(error)
        return Priced(call, call.usd, None, "source"), ""
    usd = whole if call.usd is None else call.usd
    part = usd * read / whole if whole > 0 else 0.0
    return Priced(call, usd, part, name if call.usd is None else "source"), ""


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
            why = str(error)
    return None, why


def price_names(model: str, provider: str | None, names: Mapping[str, str]) -> list[str]:
    """The names under which prices may know a model, in the order in which they are tried."""
    if model in names:
        return [names[model]]
    who = (provider or "").lower()
    who = PROVIDERS.get(who, who.partition(".")[0])
    made = next((maker for begin, maker in MAKERS if model.lower().startswith(begin)), None)
    head, slash, tail = model.partition("/")
    own = [model, f"{PROVIDERS[head]}/{tail}" if slash and head in PROVIDERS else ""]
    return list(
        dict.fromkeys(
            filter(
                None, [*own, f"{who}/{model}" if who else "", f"{made}/{model}" if made and not who else ""]
            )
        )
    )
