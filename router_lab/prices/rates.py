"""The price of one model on one day, and the arithmetic of one call. Dollars per million tokens throughout."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from router_lab.config import Price
from router_lab.runtime.errors import InputError

KINDS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
PER = 1e6


class Tokens(NamedTuple):
    """One call's tokens. `input` excludes cached ones; `output` includes reasoning (Inspect's convention)."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0

    @property
    def prompt(self) -> int:
        """Everything that the model read: what long-context thresholds are compared with."""
        return self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h


@dataclass(frozen=True)
class Rates:
    """Prices of `model` from `starts` on; null = the source names no price for that kind.

    `over` holds (threshold, rates) pairs, ascending: a call whose prompt exceeds the threshold pays those rates for all
    of its tokens. `tiers` multiply everything.
    """

    model: str
    input: float
    output: float
    cache_read: float | None = None
    cache_write_5m: float | None = None
    cache_write_1h: float | None = None
    over: tuple[tuple[int, Mapping[str, float | None]], ...] = ()
    tiers: Mapping[str, float] = field(default_factory=dict)
    starts: dt.date | None = None
    source: str = ""
    context_window: int | None = None

    @property
    def flat(self) -> bool:
        """Whether a call's price is linear in its tokens, so that sums of calls can be priced."""
        return not self.over

    def cost(self, tokens: Tokens, tier: str = "standard") -> float:
        """Dollars of one call. Raises InputError for a kind or tier of which no price is known."""
        rates: Mapping[str, float | None] = {kind: getattr(self, kind) for kind in KINDS}
        for threshold, higher in self.over:
            if tokens.prompt > threshold:
                rates = {**rates, **{k: v for k, v in higher.items() if v is not None}}
        total = 0.0
        for kind, count in zip(KINDS, (tokens.input, *tokens[1:4], tokens.output), strict=True):
            if not count:
                continue
            rate = rates[kind]
            if rate is None:
                raise InputError(
                    f"model {self.model!r} used {count} {kind} tokens, of which {self.source} names no price; add one: "
                    f"router-lab prices add {self.model!r} --input … --output … --{kind.replace('_', '-')} …"
                )
            total += rate * count
        return total / PER * self.multiplier(tier)

    def multiplier(self, tier: str) -> float:
        """Factor of `tier` on every price. Raises InputError for a tier that the source does not list."""
        if tier == "standard":
            return self.tiers.get(tier, 1.0)
        if tier not in self.tiers:
            raise InputError(
                f"model {self.model!r} has no price for tier `{tier}` ({self.source}); "
                f"known: {', '.join(['standard', *sorted(self.tiers)])}"
            )
        return self.tiers[tier]

    def as_dict(self) -> dict[str, Any]:
        """As it travels with a candidate into the artifact."""
        return {
            **{kind: getattr(self, kind) for kind in ("input", "output", "cache_read")},
            **{kind: getattr(self, kind) for kind in ("cache_write_5m", "cache_write_1h")},
            "tiers": dict(sorted(self.tiers.items())),
            "price_date": self.starts.isoformat() if self.starts else None,
        }


def from_entry(model: str, entry: Price, source: str) -> Rates:
    """A prices.yaml entry as rates; self-hosted dollars an hour become dollars a token.

    On one's own machine a cached or freshly cached prompt token is priced like any other: the hour is paid anyway.
    """
    common: dict[str, Any] = {"model": model, "starts": entry.starts, "source": source, "tiers": dict(entry.tiers)}
    common["context_window"] = entry.context_window
    if entry.self_hosted is not None:
        per_second = entry.self_hosted.usd_per_hour / 3600
        read = per_second / entry.self_hosted.input_tokens_per_s * PER
        write = per_second / entry.self_hosted.output_tokens_per_s * PER
        return Rates(input=read, output=write, cache_read=read, cache_write_5m=read, cache_write_1h=read, **common)
    assert entry.input is not None and entry.output is not None
    over = tuple(
        (tier.over_input_tokens, tier.model_dump(include=set(KINDS)))
        for tier in sorted(entry.long_context, key=lambda t: t.over_input_tokens)
    )
    cached = {kind: getattr(entry, kind) for kind in ("cache_read", "cache_write_5m", "cache_write_1h")}
    return Rates(input=entry.input, output=entry.output, over=over, **cached, **common)
