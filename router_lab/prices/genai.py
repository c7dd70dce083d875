"""genai-prices as the default source of prices, read strictly: a model that it does not name is
not priced."""

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
from router_lab.runtime.kinds import KINDS, PRICED, Kind

TOOLS = {
    "web_searches_kcount": "web_search",
    "social_searches_kcount": "x_search",
    "storage_searches_kcount": "file_search",
    "code_executions_kcount": "code_execution",
}
REQUESTS = "requests_kcount"
KNOWN = frozenset({*(key for kind in KINDS for key in kind.genai), *TOOLS, REQUESTS})
MODALITIES = ("audio", "image", "video", "document")
"""Kinds that can be seen in a call's messages; text has the plain price."""
CONTEXTS = {
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
}
VERSION = re.compile(r"[-@:](latest|v\d[\w.:-]*|20\d{2}-?\d{2}-?\d{2})([-@:].*)?")
"""What may follow a model's name and still be that model at that price."""


@cache
def genai_rates(model: str, moment: dt.datetime) -> Rates | None:
    """Rates of an Inspect model name (`provider/model`) at a moment (UTC), or None where
    genai-prices does not list exactly that model.

    genai-prices matches by prefix, so that an unknown new release would get its predecessor's
    price; here the name must be the listed one, up to a date or version suffix. A listed price of
    zero is no price. Kinds of price that are not known here stand in `unknown`.
    """
    provider, info = _listed(model)
    if provider is None or info is None:
        return None
    standard = info.get_prices(moment)
    base = {kind.name: _base(_listed_price(standard, kind)) for kind in KINDS}
    if not all(base[kind.name] for kind in KINDS if kind.needed):
        return None
    url = (provider.pricing_urls or [""])[0]
    kinds = {k: value for k, value in vars(standard).items() if value is not None and not k.startswith("_")}
    media = {key: medium for key in kinds.keys() - KNOWN if (medium := _medium(key)) is not None}
    return Rates(
        model=model,
        prices=base,
        per_1k_requests=_base(kinds.get(REQUESTS)),
        tools={name: float(_base(kinds[key]) or 0.0) for key, name in TOOLS.items() if key in kinds},
        media=frozenset(media.values()),
        over=tuple(_over(standard)),
        tiers={tier: m for tier in CONTEXTS if (m := _multiplier(info, moment, base, tier)) is not None},
        starts=moment.date(),
        source=f"genai-prices {url}".strip(),
        context_window=info.context_window,
        unknown=tuple(f"`{key}` ({kinds[key]})" for key in sorted(kinds.keys() - KNOWN - media.keys())),
    )


class GenaiPrices:
    """`HourlySource` of genai-prices."""

    rates = staticmethod(genai_rates)

    def by_hour(self, model: str) -> bool:
        info = _listed(model)[1]
        rows = info.prices if info is not None and isinstance(info.prices, list) else []
        return any(isinstance(row.constraint, types.TimeOfDateConstraint) for row in rows)


@cache
def _listed(model: str) -> tuple[types.Provider | None, types.ModelInfo | None]:
    provider_name, _, reference = model.partition("/")
    providers = get_snapshot().providers
    provider = find_provider_by_id(providers, provider_name) if reference else None
    info = provider.find_model(reference) if provider else None
    return (provider, info) if info is not None and _names(info, reference.lower()) else (None, None)


def _medium(key: str) -> str | None:
    """The kind of media that a price key is for, as `input_audio`; None for another price. Cached
    media are input."""
    words = key.split("_")
    modality = next((m for m in MODALITIES if m in words), None)
    return None if modality is None else f"{'output' if 'output' in words else 'input'}_{modality}"


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
    listed = ((kind.name, _listed_price(prices, kind)) for kind in PRICED)
    tiered = {name: value for name, value in listed if isinstance(value, types.TieredPrices)}
    for start in sorted({tier.start for value in tiered.values() for tier in value.tiers}):
        yield start, {kind: _at(value, start) for kind, value in tiered.items()}


def _at(value: types.TieredPrices, start: int) -> float:
    price = value.base
    for tier in value.tiers:
        if tier.start <= start:
            price = tier.price
    return float(price)


def _listed_price(prices: Any, kind: Kind) -> Decimal | types.TieredPrices | None:
    return next((value for key in kind.genai if (value := getattr(prices, key)) is not None), None)


def _base(value: Decimal | types.TieredPrices | None) -> float | None:
    return None if value is None else float(value.base if isinstance(value, types.TieredPrices) else value)


def _multiplier(
    info: types.ModelInfo, moment: dt.datetime, base: dict[str, float | None], tier: str
) -> float | None:
    """The factor by which `tier` changes input and output alike; None if it is not offered or is
    no one factor."""
    prices = info.get_prices(moment, CONTEXTS[tier])
    factors = {
        round(b / a, 9)
        for k in KINDS
        if k.needed and (a := base[k.name]) and (b := _base(_listed_price(prices, k)))
    }
    return factors.pop() if len(factors) == 1 and factors != {1.0} else None
