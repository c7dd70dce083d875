"""What a request forbids: which candidates may serve it, on which tier, at which price."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime.arguments import DecideArguments
from router_lab.runtime.errors import PolicyError, shown
from router_lab.runtime.model import Candidate, PolicySpec
from router_lab.runtime.standing import Keeps

PROMISED_SECONDS = {"batch": 86_400.0, "flex": 900.0}
"""Time within which providers say a tier answers, for candidates that recorded none; other tiers
count as 0."""
CHARACTERS_PER_TOKEN = 3
"""A cautious guess for `context_tokens=None`, looked at only for texts that might not fit the
smallest window."""


class Field(NamedTuple):
    """The candidates left by the constraints: `open` bool[c], `cost_usd` [c] on the chosen tier,
    `tier` names [c], and the constraints that nobody met (then those that come nearest are
    left). narrowed: whether the request leaves others than every request of its suite."""

    open: NDArray[np.bool_]
    cost_usd: NDArray[np.float64]
    tier: tuple[str, ...]
    unmet: tuple[str, ...]
    narrowed: bool = False


class Cache(NamedTuple):
    """Who served the conversation so far (a column), the dollars that its prompt cache saves on
    this turn, the tokens in it, and those of the whole context."""

    column: int
    worth_usd: float
    tokens: float = 0.0
    context: float = 0.0


class Tier(NamedTuple):
    """Of each candidate [c]: the tier's name, its price over that of standard (1 where it is not
    offered, which `lacking` says: 1 there, else 0; None where all offer it), and its seconds."""

    names: tuple[str, ...]
    price: NDArray[np.float64]
    lacking: NDArray[np.float64] | None
    seconds: NDArray[np.float64]


class Offers:
    """What each candidate offers, as arrays over the columns."""

    def __init__(self, spec: PolicySpec) -> None:
        self.columns: dict[Any, int] = {candidate: index for index, candidate in enumerate(spec.candidates)}
        self._tiers = {
            tier: (
                np.array([_multiplier(profile.prices, tier) for profile in spec.profiles]),
                np.array(
                    [
                        float(one.tier_seconds.get(tier, PROMISED_SECONDS.get(tier, 0.0)))
                        for one in spec.profiles
                    ]
                ),
            )
            for tier in {"standard"}.union(*(p.prices.tiers for p in spec.profiles if p.prices is not None))
        }
        self._alone = {
            tier: _tier((tier,) * len(self.columns), *offered) for tier, offered in self._tiers.items()
        }
        self._timeless = lru_cache(maxsize=64)(self._cheapest)
        self._prices = tuple(profile.prices for profile in spec.profiles)
        self._window = np.array([profile.context_window or math.inf for profile in spec.profiles])
        self._output = np.array([[one.max_tokens or 0 for one in row] for row in spec.limits], np.float64)
        self.short_text = int(min(2 * CHARACTERS_PER_TOKEN * self._window.min(), 1e15)) // 4
        """Texts up to this many characters fit every window, so that their length need not be
        looked at."""

    def apply(
        self,
        quality: NDArray[np.float64],
        cost_usd: NDArray[np.float64],
        row: int,
        arguments: DecideArguments,
        context_tokens: float | None,
        keeps: Keeps | None = None,
    ) -> Field:
        """Narrow the candidates by one constraint after another, the hardest first;
        `context_tokens` as asked, or as guessed from the text; `keeps`: what holds for every
        request of the suite. PolicyError where `allowed` names nobody of this policy.

        A constraint that none of those left can meet leaves the ones that come nearest and is
        named in `unmet`: a request is answered as well as it can be. Whom the suite is kept to is
        the exception: nobody else is ever left.
        """
        own, gone = (None, None) if keeps is None else keeps
        left, unmet = self._allowed(arguments.allowed, own)
        deadline_s = arguments.deadline_s
        tier = self._cheapest_tier(arguments.tiers, deadline_s)
        cost_usd = cost_usd * tier.price

        def narrow(name: str, shortfall: NDArray[np.float64]) -> None:
            nonlocal left
            least = shortfall[left].min()
            if least > 0:
                unmet.append(name)
            left = left & (shortfall <= max(least, 0.0))

        if gone is not None:
            narrow("retires", gone.astype(np.float64))
        if tier.lacking is not None:
            narrow("tiers", tier.lacking)
        if context_tokens is not None:
            output = self._output[row] if len(self._output) else 0.0
            narrow("context_tokens", context_tokens + output - self._window)
        if deadline_s is not None:
            narrow("deadline_s", tier.seconds - deadline_s)
        if arguments.max_cost_usd is not None:
            narrow("max_cost_usd", cost_usd - arguments.max_cost_usd)
        if arguments.min_quality is not None:
            narrow("min_quality", arguments.min_quality - quality)
        left.flags.writeable = cost_usd.flags.writeable = False  # what a Decision is made of never changes
        return Field(left, cost_usd, tier.names, tuple(unmet), _narrowed(left, own, gone))

    def cache(
        self, previous: Candidate, cached_tokens: float, context_tokens: float | None = None
    ) -> Cache | None:
        """What a conversation would lose by leaving `previous`; None if this policy does not know
        that candidate."""
        column = self.columns.get(previous)
        if column is None:
            return None
        prices = self._prices[column]
        if prices is None or prices.cache_read is None:
            return Cache(column, 0.0)
        worth = cached_tokens * max(prices.input - prices.cache_read, 0.0) / 1e6
        return Cache(column, worth, cached_tokens, max(cached_tokens, context_tokens or 0.0))

    def _allowed(
        self, allowed: tuple[Candidate, ...] | None, own: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.bool_], list[str]]:
        """Whom the caller allows, of those whom the suite is kept to; these, where he allows none
        of them, and that he is not heeded."""
        if allowed is None:
            return (np.ones(len(self.columns), np.bool_) if own is None else own.copy()), []
        left = np.zeros(len(self.columns), np.bool_)
        left[[self.columns[candidate] for candidate in allowed if candidate in self.columns]] = True
        if own is not None:
            both = left & own
            return (both, []) if both.any() else (own.copy(), ["allowed"])
        if not left.any():
            raise PolicyError(f"decide: allowed {shown(allowed, 300)} names no candidate of this policy")
        return left, []

    def _cheapest_tier(self, tiers: tuple[str, ...], deadline_s: float | None) -> Tier:
        """Of each candidate the cheapest tier that keeps the deadline, or where none does the
        fastest."""
        known = [tier for tier in tiers if tier in self._tiers]
        if len(known) == 1:  # there is nothing to choose
            return self._alone[known[0]]
        return (
            self._timeless(tuple(known)) if deadline_s is None else self._cheapest(tuple(known), deadline_s)
        )

    def _cheapest(self, known: tuple[str, ...], deadline_s: float | None = None) -> Tier:
        if not known:
            nothing = np.full(len(self.columns), math.inf)
            return _tier(("standard",) * len(nothing), nothing, nothing)
        price = np.array([self._tiers[tier][0] for tier in known])
        seconds = np.array([self._tiers[tier][1] for tier in known])
        late = np.isinf(price) if deadline_s is None else np.isinf(price) | (seconds > deadline_s)
        rank = np.where(late, np.inf, price)
        hurry = np.where(np.isinf(price), np.inf, seconds)
        best = np.where(late.all(axis=0), hurry.argmin(axis=0), rank.argmin(axis=0))
        columns = np.arange(len(best))
        return _tier(
            tuple(known[index] for index in best.tolist()), price[best, columns], seconds[best, columns]
        )


def _narrowed(left: NDArray[np.bool_], own: NDArray[np.bool_] | None, gone: NDArray[np.bool_] | None) -> bool:
    """Whether `left` is not just whom the suite is kept to (`own`), less who has retired
    (`gone`)."""
    if own is None and gone is None:
        return not left.all()
    always = np.ones(len(left), np.bool_) if own is None else own
    return not np.array_equal(left, always if gone is None else always & ~gone)


def _tier(names: tuple[str, ...], multiplier: NDArray[np.float64], seconds: NDArray[np.float64]) -> Tier:
    """`multiplier` is infinite where the candidate does not offer the tier."""
    offered = np.isfinite(multiplier)
    lacking = None if offered.all() else np.where(offered, 0.0, 1.0)
    return Tier(names, np.where(offered, multiplier, 1.0), lacking, seconds)


def _multiplier(prices: Any, tier: str) -> float:
    """Price of a tier over that of standard; infinity where the candidate does not offer it."""
    listed = {} if prices is None else prices.tiers
    return float(listed.get(tier, 1.0 if tier == "standard" else math.inf))
