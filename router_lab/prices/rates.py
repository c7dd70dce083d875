"""The price of one model on one day, and the arithmetic of one call. Dollars per million tokens
throughout."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from router_lab.config import Price
from router_lab.prices.mend import complete_command, entry_command
from router_lab.runtime.errors import InputError
from router_lab.runtime.kinds import KINDS, PROMPT, TOKENS, record
from router_lab.runtime.model import Prices

NAMES = {kind.name for kind in KINDS}
PER = 1e6
PER_FEE = 1e3
_FIRST, _LATER = [kind.name for kind in KINDS[:6]], [kind.name for kind in KINDS[6:]]
_Fields: Any = record(
    "_Fields",
    (*_FIRST, "requests", "other", "media", *_LATER),  # the order in which ledgers have them
    (*(0 for _ in _FIRST), 1, (), (), *(0 for _ in _LATER)),
)


class Tokens(_Fields):  # type: ignore[misc]
    """One call's tokens, by kind (`kinds.KINDS`): `input` excludes cached ones, `output` includes
    `reasoning`, which is within it and counted again; each is 0 unless given.

    requests: how many calls they are the sum of. other: (kind, count) of usage that has no place
    here. media: kinds such as `input_audio` of which the call had some, their tokens being counted
    among the others.
    """

    __slots__ = ()
    requests: int
    other: tuple[tuple[str, int], ...]
    media: tuple[str, ...]

    @property
    def prompt(self) -> int:
        """Everything that the model read: what long-context thresholds are compared with."""
        return sum(int(getattr(self, kind.name)) for kind in PROMPT)

    def uncached(self) -> Tokens:
        """The same without a cache: what was read from one, or written to it, is fresh input."""
        fields = self._asdict()
        for kind in reversed(KINDS):
            back = kind.split or ("input" if kind.cached and kind.within is None else None)
            if back is not None:
                fields[back] += fields.pop(kind.name)
        return Tokens(**fields)

    def columns(self) -> dict[str, int]:
        """By column of outcomes and calls."""
        return {column: sum(getattr(self, k.name) for k in KINDS if k.column == column) for column in TOKENS}


@dataclass(frozen=True)
class Rates:
    """Prices of `model` from `starts` on, by kind (`kinds.KINDS`), each an attribute, too:
    `rates.input`; null = the source names none.

    `over` holds (threshold, rates) pairs, ascending: a call whose prompt exceeds the threshold
    pays those rates for all of its tokens. `tiers` multiply everything that is counted in tokens.
    `tools`: $ per 1,000 calls of tools that the provider runs; `other`: $ per million of further
    kinds of usage; `media`: kinds, such as `input_audio`, that the source prices apart, so that a
    call with any has no known price.
    """

    model: str
    prices: Mapping[str, float | None]
    per_1k_requests: float | None = None
    tools: Mapping[str, float] = field(default_factory=dict)
    other: Mapping[str, float] = field(default_factory=dict)
    media: frozenset[str] = frozenset()
    unknown: tuple[str, ...] = ()
    """Kinds of price that the source lists and nobody here knows: then no call has a known
    price."""
    over: tuple[tuple[int, Mapping[str, float | None]], ...] = ()
    tiers: Mapping[str, float] = field(default_factory=dict)
    starts: dt.date | None = None
    source: str = ""
    context_window: int | None = None
    cache_least_tokens: int = 0
    """A prompt shorter than this is not cached."""
    file: str | None = None
    """The prices file that commands in errors name; null = the default one."""
    own: bool = False
    """Whether this is an entry of that file, which `prices add` completes, or somebody else's
    figures."""

    @property
    def flat(self) -> bool:
        """Whether a call's price is linear in its tokens, so that sums of calls can be priced."""
        return not self.over

    def cost(self, tokens: Tokens, tier: str = "standard") -> float:
        """Dollars of one call (of `tokens.requests` calls). Raises InputError for a kind or tier
        without a price."""
        apart = self._untold(tokens) if tokens.media else []
        if apart:
            rule = "and the usage of a call does not say how many of its tokens they are; name one price for all:"
            one = entry_command(replace(self, prices={**self.prices, **dict.fromkeys(apart)}))
            mend = "its entry without that price" if self.own else one
            raise InputError(
                f"model {self.model!r} was called with {apart[0].replace('_', ' ')}, for which {self.source} names a "
                f"price of its own, {rule} {mend}"
            )
        rates = self.prices
        for threshold, higher in self.over:
            if tokens.prompt > threshold:
                rates = {**rates, **{k: v for k, v in higher.items() if v is not None}}
        counts: dict[str, int] = {}
        for kind in KINDS:
            count = getattr(tokens, kind.name)
            if kind.within is not None:
                count = 0 if rates.get(kind.name) is None else min(count, counts[kind.within])
                counts[kind.within] -= count
            counts[kind.name] = count
        total = sum((self._rate(kind, rates.get(kind), n) * n for kind, n in counts.items() if n), 0.0)
        total += sum((self._rate(kind, self.other.get(kind), n) * n for kind, n in tokens.other if n), 0.0)
        return total / PER * self.multiplier(tier) + (self.per_1k_requests or 0.0) * tokens.requests / PER_FEE

    def _untold(self, tokens: Tokens) -> list[str]:
        """Media of a call that have a price of their own and no count."""
        found = tokens.columns()
        priced = {k.name for k in KINDS if self.prices.get(k.name) is not None and not found[k.column]}
        return sorted({*self.media, *priced}.intersection(tokens.media))

    def multiplier(self, tier: str) -> float:
        """Factor of `tier` on the prices of tokens. Raises InputError for a tier that the source
        does not list."""
        if tier == "standard":
            return self.tiers.get(tier, 1.0)
        if tier not in self.tiers:
            known = ", ".join(["standard", *sorted(self.tiers)])
            mend = f"; add it: {complete_command(self, tier, 'X')}" if tier == "batch" else ""
            raise InputError(
                f"model {self.model!r} has no price for tier `{tier}` ({self.source}); known: {known}{mend}"
            )
        return self.tiers[tier]

    def as_dict(self) -> dict[str, Any]:
        """As it travels with a candidate into the artifact; kinds that few models have only where
        this one has them."""
        date = self.starts.isoformat() if self.starts else None
        tiers = dict(sorted(self.tiers.items()))
        return Prices(
            **self.prices, tiers=tiers, price_date=date, per_1k_requests=self.per_1k_requests
        ).as_dict()

    def __getattr__(self, name: str) -> Any:
        if name not in NAMES:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self.prices.get(name)

    def _rate(self, kind: str, rate: float | None, count: int) -> float:
        if rate is None:
            raise InputError(
                f"model {self.model!r} used {count} {kind} tokens, of which {self.source} names no price; add one: "
                f"{complete_command(self, kind, 'X')}"
            )
        return rate


def from_entry(model: str, entry: Price, source: str, file: str | None = None) -> Rates:
    """A prices.yaml entry as rates; self-hosted dollars an hour become dollars a token.

    On one's own machine a cached or freshly cached prompt token is priced like any other: the hour
    is paid anyway.
    """
    common: dict[str, Any] = {
        "model": model, "starts": entry.starts, "source": source, "tiers": dict(entry.tiers), "file": file, "own": True,
        "context_window": entry.context_window, "per_1k_requests": entry.per_1k_requests, "tools": dict(entry.tools),
        "other": dict(entry.other), "cache_least_tokens": entry.cache_least_tokens or 0,
    }  # fmt: skip
    own = {kind.name: getattr(entry, kind.name) for kind in KINDS}
    if entry.self_hosted is not None:
        per_second = entry.self_hosted.usd_per_hour / 3600
        read = per_second / entry.self_hosted.input_tokens_per_s * PER
        write = per_second / entry.self_hosted.output_tokens_per_s * PER
        hourly = {kind.name: read if kind.side == "input" else write for kind in KINDS if kind.within is None}
        return Rates(prices={**own, **hourly}, **common)
    over = tuple(
        (tier.over_input_tokens, tier.model_dump(include=NAMES))
        for tier in sorted(entry.long_context, key=lambda t: t.over_input_tokens)
    )
    return Rates(prices=own, over=over, **common)
