"""Sessions of several turns: what leaving the candidate that serves one saves or costs to its end.

A switch pays once for what the other candidate's cache does not hold yet, and then has other prices
in every turn that is left. A rule that looks at one turn alone is too shy where many are left, and
too bold where the other's cache is dear to write.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from router_lab.runtime.model import PolicySpec, Prices, Session, Sessions
from router_lab.runtime.typed import as_list, as_number, only_keys


class Lane(NamedTuple):
    """One candidate in sessions of one suite. turns: how many a session has. step: tokens that
    each adds to the prompt. last: tokens of the last turn's prompt. read, write: dollars of a token
    that its cache holds, and of one that is new to it. correction: dollars of a session that its
    cache adds to what is predicted, but for tokens read from it (below 0: it saves them)."""

    turns: float
    step: float
    last: float
    read: float
    write: float
    correction: float

    def ahead(self, turns: float, context: float, cost_usd: float) -> float:
        """Dollars of `turns` more turns upon a `context` of tokens that the cache holds; `cost_usd`
        is predicted of a whole session."""
        own = max(cost_usd + self.correction, 0.0) / self.turns
        return turns * (own + self.read * (context + self.step * (turns - 1.0) / 2.0))


class Remainders:
    """For each suite's row and candidate its lane; None where nothing is known of its sessions, or
    of its prices."""

    def __init__(self, spec: PolicySpec) -> None:
        self._lanes: tuple[tuple[Lane | None, ...], ...] = ()
        if spec.sessions is not None:
            prices = [profile.prices for profile in spec.profiles]
            self._lanes = tuple(
                tuple(
                    _lane(one, price, spec.sessions.caching) for one, price in zip(row, prices, strict=True)
                )
                for row in spec.sessions.rows
            )

    def worth_usd(
        self, row: int, previous: int, index: int, costs: tuple[float, float], cached: float, context: float
    ) -> float | None:
        """The dollars of predicted cost by which `index` must be ahead of `previous` for a switch
        to pay, the rest of the session being what counts. None: nothing is known of it.

        costs: predicted of a session with `previous` and with `index`. cached: tokens that the
        cache of `previous` holds. context: tokens of the whole context, at least `cached`. Below 0
        where the switch pays although `index` is predicted to be dearer.
        """
        if not self._lanes:
            return None
        stay, move = self._lanes[row][previous], self._lanes[row][index]
        if stay is None or move is None:
            return None
        # By how far the context has grown; whoever has gone on for longer has one more turn.
        left = max(1.0 - context / stay.last if stay.last else 0.0, 1.0 / stay.turns)
        staying = stay.ahead(max(left * stay.turns, 1.0), cached, costs[0])
        moving = move.ahead(max(left * move.turns, 1.0), cached, costs[1])
        moving += cached * (move.write - move.read)
        return (moving - staying) / left - (costs[1] - costs[0])


def _lane(known: Session | None, prices: Prices | None, caching: str) -> Lane | None:
    """A cache that has no price is none: what it would hold is input."""
    if known is None or prices is None:
        return None
    fresh, read = prices.input / 1e6, prices.cache_read
    if read is None:
        read = write = fresh
    else:
        read = read / 1e6
        write = fresh if prices.cache_write_5m is None else prices.cache_write_5m / 1e6
    # What predicted dollars count the tokens as that every turn sends again.
    if caching == "prefix":
        correction = -known.again * read
    else:
        correction = known.last * (write - fresh) - known.again * fresh
    return Lane(known.turns, known.last / known.turns, known.last, read, write, correction)


def sessions_out(sessions: Sessions) -> dict[str, object]:
    """As `sessions` in policy.json."""
    rows = [[None if one is None else [float(n) for n in one] for one in row] for row in sessions.rows]
    return {"caching": sessions.caching, "rows": rows}


def sessions_in(value: dict[str, Any]) -> Sessions:
    """The inverse; PolicyError for an unknown key, ValueError and TypeError for another shape."""
    only_keys(value, frozenset(["caching", "rows"]), "policy.json: sessions")
    rows = (
        tuple(None if one is None else Session(*map(as_number, as_list(one))) for one in as_list(row))
        for row in as_list(value["rows"])
    )
    return Sessions(value["caching"], tuple(rows))
