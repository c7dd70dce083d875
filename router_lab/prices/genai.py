"""genai-prices as the default source of prices, read strictly: a model that it does not name is not priced."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any

from genai_prices import types
from genai_prices.data_snapshot import find_provider_by_id, get_snapshot

from router_lab.prices.rates import Rates

NAMES = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write_5m": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
}
CONTEXTS = {
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
}
VERSION = re.compile(r"[-@:](latest|v\d[\w.:-]*|20\d{2}-?\d{2}-?\d{2})([-@:].*)?")
"""What may follow a model's name and still be that model at that price."""


@cache
def genai_rates(model: str, day: dt.date) -> Rates | None:
    """Rates of an Inspect model name (`provider/model`), or None if genai-prices does not list exactly that model.

    genai-prices matches by prefix, so that an unknown new release would get its predecessor's price; here the name must
    be the listed one, up to a date or version suffix. A listed price of zero is no price.
    """
    provider_name, _, reference = model.partition("/")
    providers = get_snapshot().providers
    provider = find_provider_by_id(providers, provider_name) if reference else None
    info = provider.find_model(reference) if provider else None
    if provider is None or info is None or not _names(info, reference.lower()):
        return None
    moment = dt.datetime.combine(day, dt.time(12), tzinfo=dt.UTC)
    standard = info.get_prices(moment)
    base = {kind: _base(getattr(standard, name)) for kind, name in NAMES.items()}
    if not base["input"] or not base["output"]:
        return None
    url = (provider.pricing_urls or [""])[0]
    return Rates(
        model=model,
        input=base["input"],
        output=base["output"],
        cache_read=base["cache_read"],
        cache_write_5m=base["cache_write_5m"],
        cache_write_1h=base["cache_write_1h"],
        over=tuple(_over(standard)),
        tiers={tier: m for tier in CONTEXTS if (m := _multiplier(info, moment, base, tier)) is not None},
        starts=day,
        source=f"genai-prices {url}".strip(),
        context_window=info.context_window,
    )


def _names(info: types.ModelInfo, reference: str) -> bool:
    known = {info.id.lower(), *(word.lower() for word in _equals(info.match))}
    return any(
        reference == word or (reference.startswith(word) and VERSION.fullmatch(reference[len(word) :]))
        for word in known
    )


def _equals(clause: Any) -> Iterator[str]:
    if isinstance(clause, types.ClauseEquals):
        yield clause.equals
    for part in getattr(clause, "or_", None) or ():
        yield from _equals(part)


def _over(prices: Any) -> Iterator[tuple[int, dict[str, float | None]]]:
    tiered = {kind: v for kind, name in NAMES.items() if isinstance(v := getattr(prices, name), types.TieredPrices)}
    for start in sorted({tier.start for value in tiered.values() for tier in value.tiers}):
        yield start, {kind: _at(value, start) for kind, value in tiered.items()}


def _at(value: types.TieredPrices, start: int) -> float:
    price = value.base
    for tier in value.tiers:
        if tier.start <= start:
            price = tier.price
    return float(price)


def _base(value: Decimal | types.TieredPrices | None) -> float | None:
    if value is None:
        return None
    return float(value.base if isinstance(value, types.TieredPrices) else value)


def _multiplier(info: types.ModelInfo, moment: dt.datetime, base: dict[str, float | None], tier: str) -> float | None:
    """The factor by which `tier` changes input and output alike; None if it is not offered or is no one factor."""
    prices = info.get_prices(moment, CONTEXTS[tier])
    factors = {
        round(b / a, 9) for k in ("input", "output") if (a := base[k]) and (b := _base(getattr(prices, NAMES[k])))
    }
    return factors.pop() if len(factors) == 1 and factors != {1.0} else None
