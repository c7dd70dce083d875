"""Where prices come from when a prices file says nothing: asked in turn, the first that knows a
model is believed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from router_lab.prices.rates import Rates


class PriceSource(Protocol):
    """Prices of others. What it does not know for certain it does not know: a guessed price is
    worse than none."""

    def rates(self, model: str, moment: dt.datetime) -> Rates | None:
        """Of an Inspect model name (`provider/model`) at a moment (UTC); None where it does not
        list that model."""


@runtime_checkable
class HourlySource(PriceSource, Protocol):
    """One that knows prices of some hours alone. Any other is taken to have one price a day."""

    def by_hour(self, model: str) -> bool:
        """Whether the model is cheaper at some hours of the day."""


def _genai() -> PriceSource:
    from router_lab.prices.genai import GenaiPrices

    return GenaiPrices()


SOURCES: dict[str, Callable[[], PriceSource]] = {"genai-prices": _genai}
"""By the name that messages use; made when they are asked, since a list of prices takes its time
to load."""


def known_to_others(model: str, moment: dt.datetime) -> Rates | None:
    found = (make().rates(model, moment) for make in SOURCES.values())
    return next((rates for rates in found if rates is not None), None)


def depends_on_hour(model: str) -> bool:
    sources = (make() for make in SOURCES.values())
    return any(source.by_hour(model) for source in sources if isinstance(source, HourlySource))
