"""The servers' own idea of what they sold: exact decimals, prices typed in by hand, no code of router_lab."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Usage:
    """What one answer used. `fresh` prompt tokens are neither read from nor written to a cache."""

    fresh: int
    read: int = 0
    written: int = 0
    output: int = 0
    reasoning: int = 0
    """Included in `output`."""
    apart: bool = False
    """Whether the server reports it beside the completion tokens, as xAI does, and the total alone has all."""

    @property
    def prompt(self) -> int:
        return self.fresh + self.read + self.written


@dataclass(frozen=True)
class Tariff:
    """Dollars per million tokens, as strings: exact. `long` is (over, fresh, read, written, output)."""

    fresh: str
    output: str
    read: str = "0"
    written: str = "0"
    long: tuple[int, str, str, str, str] | None = None
    request: str = "0"
    """Dollars a request, beside its tokens."""

    def bill(self, usage: Usage) -> Decimal:
        fresh, read, written, output = self.fresh, self.read, self.written, self.output
        if self.long is not None and usage.prompt > self.long[0]:
            _, fresh, read, written, output = self.long
        parts = ((usage.fresh, fresh), (usage.read, read), (usage.written, written), (usage.output, output))
        tokens = sum((Decimal(n) * Decimal(price) for n, price in parts), Decimal(0)) / 1_000_000
        return tokens + Decimal(self.request)
