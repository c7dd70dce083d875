"""What a call costs, on its day: dated prices of one's own over those of others, and never a
silent zero."""

from router_lab.prices.caching import as_cached, cacheable, written_as
from router_lab.prices.edit import add_price, add_tool
from router_lab.prices.moments import midday, today, utc
from router_lab.prices.rates import Rates, Tokens
from router_lab.prices.table import PriceTable
from router_lab.prices.usage import (
    Counted,
    provider_tools,
    read_usage,
    served_by,
    told_apart,
    written_for_an_hour,
)

__all__ = [
    "Counted", "PriceTable", "Rates", "Tokens", "add_price", "add_tool", "as_cached", "cacheable", "midday",
    "provider_tools", "read_usage", "served_by", "today", "told_apart", "utc", "written_as", "written_for_an_hour",
]  # fmt: skip
