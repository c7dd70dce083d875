"""What a session costs when each turn is served by whom somebody chooses, prompt caches and
all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from router_lab.caching.sessions import Session
from router_lab.prices import PriceTable, as_cached, cacheable
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate


class Lifetime(NamedTuple):
    """How long a cache keeps what it held at its last use: seconds (0: there is no cache), and
    whether writing is paid at the price of an hour."""

    seconds: float
    hour: bool = False


FIVE_MINUTES, HOUR = Lifetime(300.0), Lifetime(3600.0, hour=True)


class Now(NamedTuple):
    """What is known when a turn's server is chosen. turn: from 0. previous: who served the one
    before; None at the first. cached: tokens of the prompt that the cache of `previous` still
    holds; 0 when its time has run out. text: what a runtime would be asked with."""

    turn: int
    previous: Candidate | None
    cached: int
    text: str


Choose = Callable[[Now], Candidate]


class Played(NamedTuple):
    """A session as it was chosen: dollars, who served each turn, and tokens read from caches,
    written to them, and read as plain input."""

    usd: float
    served: tuple[Candidate, ...]
    read: int
    written: int
    fresh: int

    @property
    def switches(self) -> int:
        """How many turns were served by another than the turn before."""
        return sum(a != b for a, b in zip(self.served, self.served[1:], strict=False))


class _Held(NamedTuple):
    tokens: int
    at: float


def play(session: Session, turns: int, choose: Choose, table: PriceTable, life: Lifetime) -> Played:
    """The first `turns` turns of the session, each served by whom `choose` names, at the prices of
    each recorded call's moment.

    A turn has the tokens, the text and the time until the next turn that its server's own recorded
    session has there: none is invented. A candidate's cache belongs to it alone (another effort is
    another prompt), holds the prompt that it saw last, and is kept for `life` after each use; a
    prompt begins with the one that the same candidate saw before.

    Raises InputError where `choose` names a candidate without that turn, and for a missing price.
    """
    held: dict[Candidate, _Held] = {}
    served: list[Candidate] = []
    usd, now, read, written, fresh = 0.0, 0.0, 0, 0, 0
    for number in range(turns):
        previous = served[-1] if served else None
        lane = session.lanes[previous] if previous is not None else next(iter(session.lanes.values()))
        cached = 0 if previous is None else _warm(held, previous, now, life)
        chosen = choose(Now(number, previous, cached, lane[number].text))
        turn = session.lanes.get(chosen, ())[number : number + 1]
        if not turn:
            raise InputError(
                f"session {session.name}: {chosen} was recorded on {len(session.lanes.get(chosen, ()))} turns, and was "
                f"chosen for turn {number + 1}; only recorded turns have tokens, so leave it out of the candidates"
            )
        rates = table.rates(turn[0].model, turn[0].started)
        tokens = turn[0].tokens.uncached()
        if life.seconds > 0:
            tokens = as_cached(tokens, rates, _warm(held, chosen, now, life), hour=life.hour)
            held[chosen] = _Held(cacheable(tokens, rates), now)
        usd += rates.cost(tokens)
        read, fresh = read + tokens.cache_read, fresh + tokens.input
        written += tokens.cache_write_5m + tokens.cache_write_1h
        served.append(chosen)
        now += turn[0].wait or 0.0
    return Played(usd, tuple(served), read, written, fresh)


def _warm(held: Mapping[Candidate, _Held], candidate: Candidate, now: float, life: Lifetime) -> int:
    """Tokens that its cache still holds."""
    known = held.get(candidate, _Held(0, -math.inf))
    return known.tokens if now - known.at <= life.seconds else 0
