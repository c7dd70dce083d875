"""What a request forbids: which candidates may serve it, on which tier, at which price."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import compress
from operator import itemgetter, mul, sub
from typing import Any, NamedTuple

from router_lab.runtime.arguments import STANDARD, DecideArguments, Named
from router_lab.runtime.chains import Stage
from router_lab.runtime.errors import PolicyError, shown
from router_lab.runtime.model import Candidate, PolicySpec, Profile
from router_lab.runtime.standing import Keeps, Open

PROMISED_SECONDS = {"batch": 86_400.0, "flex": 900.0}
"""Time within which providers say a tier answers, for candidates that recorded none; other tiers
count as 0."""
CHARACTERS_PER_TOKEN = 3
"""A cautious guess for `context_tokens=None`, looked at only for texts that might not fit the
smallest window."""


_MOST_KEPT = 64
"""Readings of `allowed` that are kept."""


class Field(NamedTuple):
    """The candidates left by the constraints: `open` [c], `cost_usd` [c] on the chosen tier, `tier`
    names [c], and the constraints that nobody met (then those that come nearest are left).
    narrowed: whether the request leaves others than every request of its suite; by_name: whether
    that is by the names of `allowed` alone."""

    open: Open
    cost_usd: tuple[float, ...]
    tier: tuple[str, ...]
    unmet: tuple[str, ...]
    narrowed: bool = False
    by_name: bool = False


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
    price: tuple[float, ...]
    lacking: tuple[float, ...] | None
    seconds: tuple[float, ...]


class Offers:
    """What each candidate offers, by column: plain numbers, of which there are few."""

    def __init__(self, spec: PolicySpec) -> None:
        self.columns: dict[Any, int] = {candidate: index for index, candidate in enumerate(spec.candidates)}
        tiers = {"standard"}.union(*(p.prices.tiers for p in spec.profiles if p.prices is not None))
        self._tiers = {tier: tuple(_offer(profile, tier) for profile in spec.profiles) for tier in tiers}
        self._timeless = lru_cache(maxsize=64)(self._cheapest)
        self._standard = self._cheapest(STANDARD)
        self._left: dict[tuple[int, int], tuple[tuple[Candidate, ...], Open | None, Open]] = {}
        self._prices = tuple(profile.prices for profile in spec.profiles)
        self._window = tuple(float(profile.context_window or math.inf) for profile in spec.profiles)
        self._output = [[float(one.max_tokens or 0) for one in row] for row in spec.limits]
        self._output = self._output or [[0.0] * len(spec.profiles)] * (len(spec.suites) + 1)
        self._roomy = [min(map(sub, self._window, row)) for row in self._output]
        """By row: the longest context that fits everybody's window, with an answer."""
        self.short_text = int(min(2 * CHARACTERS_PER_TOKEN * min(self._window), 1e15)) // 4
        """Texts up to this many characters fit every window, so that their length need not be
        looked at."""

    def apply(
        self,
        quality: tuple[float, ...],
        cost_usd: tuple[float, ...],
        row: int,
        arguments: DecideArguments,
        context_tokens: float | None,
        keeps: Keeps | None = None,
        begins: Sequence[Stage] = (),
    ) -> Field:
        """Narrow the candidates by one constraint after another, the hardest first;
        `context_tokens` as asked, or as guessed from the text; `keeps`: what holds for every
        request of the suite; `begins`: with which stages whoever they name would be asked, and not
        otherwise, so that bounds on predictions are of runs under their caps. PolicyError where
        `allowed` names nobody of this policy.

        A constraint that none of those left can meet leaves the ones that come nearest and is
        named in `unmet`: a request is answered as well as it can be. Whom the suite is kept to is
        the exception: nobody else is ever left.
        """
        own, gone = (None, None) if keeps is None else keeps
        left, unmet = self._allowed(arguments.allowed, own)
        tiers = arguments.tiers
        unbound = arguments.max_cost_usd is arguments.min_quality is arguments.deadline_s is None
        fits = context_tokens is None or context_tokens <= self._roomy[row]
        if unbound and fits and tiers is STANDARD and gone is None:  # only names bar anybody
            narrowed = False in left if keeps is None else _narrowed(left, own, gone)
            return Field(left, cost_usd, self._standard.names, tuple(unmet), narrowed, narrowed and not unmet)
        tier = self._standard if tiers is STANDARD else self._cheapest_tier(tiers, arguments.deadline_s)
        cost_usd = tuple(map(mul, cost_usd, tier.price))
        if gone is not None:
            left = _nearest(left, "retires", gone, unmet)
        named = left
        bounded = (quality, cost_usd) if not begins else _as_begun(begins, row, quality, cost_usd)
        for name, shortfall in self._lacks(arguments, tier, *bounded, row, context_tokens):
            left = _nearest(left, name, shortfall, unmet)
        narrowed = False in left if keeps is None else _narrowed(left, own, gone)
        by_name = narrowed and left == named and not unmet
        return Field(left, cost_usd, tier.names, tuple(unmet), narrowed, by_name)

    def _lacks(
        self,
        arguments: DecideArguments,
        tier: Tier,
        quality: tuple[float, ...],
        cost_usd: tuple[float, ...],
        row: int,
        context_tokens: float | None,
    ) -> Iterator[tuple[str, Sequence[float]]]:
        """By constraint of the request, the hardest first: [c] by how much each candidate misses
        it; 0 or less = it meets it."""
        if tier.lacking is not None:
            yield "tiers", tier.lacking
        if context_tokens is not None:
            sizes = zip(self._output[row], self._window, strict=True)
            yield "context_tokens", [context_tokens + answer - window for answer, window in sizes]
        if (deadline_s := arguments.deadline_s) is not None:
            yield "deadline_s", [seconds - deadline_s for seconds in tier.seconds]
        if (most := arguments.max_cost_usd) is not None:
            yield "max_cost_usd", [usd - most for usd in cost_usd]
        if (least := arguments.min_quality) is not None:
            yield "min_quality", [least - good for good in quality]

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

    def _allowed(self, allowed: tuple[Candidate, ...] | None, own: Open | None) -> tuple[Open, list[str]]:
        """Whom the caller allows, of those whom the suite is kept to; these, where he allows none
        of them, and that he is not heeded."""
        if allowed is None:
            return (True,) * len(self.columns) if own is None else own, []
        known = self._left.get((id(allowed), id(own)))
        if known is not None and known[0] is allowed and known[1] is own:
            return known[2], []
        named = {self.columns.get(candidate) for candidate in allowed}
        left = tuple(
            [column in named and (own is None or own[column]) for column in range(len(self.columns))]
        )
        if any(left):
            if type(allowed) is Named:  # whoever asks again by the same names keeps them
                if len(self._left) >= _MOST_KEPT:
                    self._left.clear()
                self._left[id(allowed), id(own)] = allowed, own, left
            return left, []
        if own is None:
            raise PolicyError(f"decide: allowed {shown(allowed, 300)} names no candidate of this policy")
        return own, ["allowed"]

    def _cheapest_tier(self, tiers: tuple[str, ...], deadline_s: float | None) -> Tier:
        """Of each candidate the cheapest tier that keeps the deadline, or where none does the
        fastest."""
        known = tuple([tier for tier in tiers if tier in self._tiers])
        if len(known) == 1 or deadline_s is None:  # of one there is nothing to choose
            return self._timeless(known)
        return self._cheapest(known, deadline_s)

    def _cheapest(self, known: tuple[str, ...], deadline_s: float | None = None) -> Tier:
        found = [
            _best([(tier, *self._tiers[tier][column]) for tier in known], deadline_s)
            for column in range(len(self.columns))
        ]
        lacking = tuple(float(price == math.inf) for _, price, _ in found)
        return Tier(
            tuple(tier for tier, _, _ in found),
            tuple(1.0 if price == math.inf else price for _, price, _ in found),
            lacking if any(lacking) else None,
            tuple(seconds for _, _, seconds in found),
        )


def _best(offers: Sequence[tuple[str, float, float]], deadline_s: float | None) -> tuple[str, float, float]:
    """The offer (tier, price, seconds) that a candidate is asked on: of equals the first, and one
    at an infinite price where it offers none of these tiers."""
    own = [one for one in offers if one[1] < math.inf]
    ready = [one for one in own if deadline_s is None or one[2] <= deadline_s]
    if ready:
        return min(ready, key=itemgetter(1))
    return min(own, key=itemgetter(2)) if own else next(iter(offers), ("standard", math.inf, math.inf))


def _nearest(left: Open, name: str, shortfall: Sequence[float], unmet: list[str]) -> Open:
    """Those of `left` whom a constraint leaves: all that meet it, or where none does the ones that
    come nearest, and its name goes into `unmet`."""
    nearest = min(compress(shortfall, left))
    if nearest > 0:
        unmet.append(name)
    bar = max(nearest, 0.0)
    return tuple([may and short <= bar for may, short in zip(left, shortfall, strict=True)])


def _as_begun(
    begins: Sequence[Stage], row: int, quality: tuple[float, ...], cost_usd: tuple[float, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The predictions, where those of the column that `begins` names are the least quality and the
    most dollars of its runs under these caps."""
    column = begins[0].column
    own = quality[column], cost_usd[column]
    found = [stage.predicted(row, *own) or own for stage in begins]
    good, dear = min(good for good, _ in found), max(dear for _, dear in found)
    return (*quality[:column], good, *quality[column + 1 :]), (
        *cost_usd[:column],
        dear,
        *cost_usd[column + 1 :],
    )


def _narrowed(left: Open, own: Open | None, gone: Open | None) -> bool:
    """Whether `left` is not just whom the suite is kept to (`own`), less who has retired
    (`gone`)."""
    always = (True,) * len(left) if own is None else own
    if gone is not None:
        always = tuple(may and not lost for may, lost in zip(always, gone, strict=True))
    return left != always


def _offer(profile: Profile, tier: str) -> tuple[float, float]:
    """The price of a tier over that of standard, and its seconds."""
    seconds = profile.tier_seconds.get(tier, PROMISED_SECONDS.get(tier, 0.0))
    return _multiplier(profile.prices, tier), float(seconds)


def _multiplier(prices: Any, tier: str) -> float:
    """Price of a tier over that of standard; infinity where the candidate does not offer it."""
    if tier == "standard":
        return 1.0
    listed = {} if prices is None else prices.tiers
    return float(listed.get(tier, math.inf)) / float(listed.get("standard", 1.0) or 1.0)
