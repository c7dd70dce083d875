"""What a call costs, on its day: dated prices of one's own over genai-prices, and never a silent zero."""

from router_lab.prices.edit import add_price
from router_lab.prices.rates import Rates, Tokens
from router_lab.prices.table import PriceTable

__all__ = ["PriceTable", "Rates", "Tokens", "add_price"]
