"""Four ways to choose who serves a turn, compared on recorded sessions by what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from router_lab.caching.billing import FIVE_MINUTES, Choose, Lifetime, Now, Played, play
from router_lab.caching.sessions import Session
from router_lab.prices import PriceTable
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate
from router_lab.runtime.policy import Policy

WAYS = ("pinned", "free", "boundaries", "policy")
"""One candidate for the session, that of its first turn; each turn whom the policy chooses for it
alone; the same, but a switch only where no cache is warm; the policy told of who serves and of what
is cached."""
CLOSE = 0.02
"""By how much the policy's own rule may be dearer than the better of `pinned` and `free`."""


class Way(NamedTuple):
    """What a way to choose cost, in means a session; `quality` is what the policy predicts of each
    turn's server for the turn's text, on the mean of all turns."""

    usd: float
    switches: float
    read: float
    written: float
    fresh: float
    quality: float


class Compared(NamedTuple):
    """The ways by name, over `sessions` of `turns` turns in all. left_out: sessions in which fewer
    than two turns were recorded of all candidates in play. recorded: turns of theirs that lie
    behind the last one that all have, and were left out."""

    ways: dict[str, Way]
    sessions: int
    turns: int
    left_out: int
    beyond: int

    @property
    def excess(self) -> float:
        """By which part the policy's rule is dearer than the better of pinned and free."""
        better = min(self.ways["pinned"].usd, self.ways["free"].usd)
        return self.ways["policy"].usd / better - 1.0 if better else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        ways = {name: way._asdict() for name, way in self.ways.items()}
        return {**self._asdict(), "ways": ways, "excess": self.excess, "close": self.excess <= CLOSE}


def compare(
    policy: Policy, sessions: Sequence[Session], table: PriceTable, life: Lifetime = FIVE_MINUTES, *,
    point: str | None = None,
) -> Compared:  # fmt: skip
    """Each session played in each of the `WAYS`.

    In play are the policy's candidates that it would choose, at some draw, for some text of the
    session. A session has as many turns as the shortest of their recordings, so that all ways
    serve the same turns; chance is drawn by the session's name, as an application should.
    Raises InputError where no session is left, and for a missing price.
    """
    played: dict[str, list[Played]] = {name: [] for name in WAYS}
    quality: dict[str, list[float]] = {name: [] for name in WAYS}
    left_out, beyond, turns = 0, 0, 0
    for session in sessions:
        lanes = {who: session.lanes[who] for who in _in_play(policy, session, point)}
        length = min(map(len, lanes.values()), default=0)
        if length < 2:
            left_out += 1
            continue
        turns, beyond = turns + length, beyond + max(map(len, lanes.values())) - length
        kept, asked = session._replace(lanes=lanes), _Asked(policy, session, tuple(lanes), point)
        for name in WAYS:
            one = play(kept, length, asked.way(name), table, life)
            played[name].append(one)
            quality[name].append(sum(asked.quality[name]))
    count = len(sessions) - left_out
    if not count:
        raise InputError(
            f"none of {len(sessions)} sessions has two turns that were recorded of every candidate in play; "
            "switching is compared on samples of several turns"
        )
    ways = {name: _mean(played[name], sum(quality[name]) / turns) for name in WAYS}
    return Compared(ways, count, turns, left_out, beyond)


def _in_play(policy: Policy, session: Session, point: str | None) -> list[Candidate]:
    """The recorded candidates that the policy may choose for a text of the session."""
    texts = sorted({turn.text for lane in session.lanes.values() for turn in lane})
    shares = policy.shares(texts, [session.key[0]] * len(texts), point).max(axis=0) if texts else []
    return [
        one
        for one, share in zip(policy.candidates, shares, strict=False)
        if share > 0 and one in session.lanes
    ]


class _Asked:
    """A policy asked about one session."""

    def __init__(
        self, policy: Policy, session: Session, allowed: tuple[Candidate, ...], point: str | None
    ) -> None:
        self._policy = policy
        self._fixed: dict[str, Any] = {
            "suite": session.key[0], "allowed": allowed, "point": point, "key": session.name,
        }  # fmt: skip
        self.quality: dict[str, list[float]] = {}

    def way(self, name: str) -> Choose:
        """The way to choose of that name."""
        told = self.quality[name] = []
        choose = {"pinned": self._pinned, "free": self._alone, "boundaries": self._cold, "policy": self._rule}

        def chosen(now: Now) -> Candidate:
            candidate = choose[name](now)
            column = self._policy.candidates.index(candidate)
            told.append(float(self._policy.predict([now.text], [self._fixed["suite"]])[0][0, column]))
            return candidate

        return chosen

    def _alone(self, now: Now) -> Candidate:
        return self._policy.decide(now.text, **self._fixed).candidate

    def _pinned(self, now: Now) -> Candidate:
        return self._alone(now) if now.previous is None else now.previous

    def _cold(self, now: Now) -> Candidate:
        return self._alone(now) if now.previous is None or not now.cached else now.previous

    def _rule(self, now: Now) -> Candidate:
        decision = self._policy.decide(
            now.text, previous=now.previous, cached_tokens=now.cached, **self._fixed
        )
        return decision.candidate


def _mean(played: Sequence[Played], quality: float) -> Way:
    figures = [(one.usd, one.switches, one.read, one.written, one.fresh) for one in played]
    usd, switches, read, written, fresh = (sum(each) / len(played) for each in zip(*figures, strict=True))
    return Way(usd, switches, read, written, fresh, quality)
