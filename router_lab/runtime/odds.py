"""What chance decides of a request: the draws by its key, and the probability of what they gave."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime.arguments import DecideArguments, shared_key

if TYPE_CHECKING:
    from router_lab.runtime.decision import Decision
    from router_lab.runtime.ready import Case, Ready


def encoded(key: str | bytes) -> bytes:
    """The UTF-8 of a key."""
    return key if isinstance(key, bytes) else key.encode("utf-8", "replace")


def explores(key: bytes, share: float) -> int | None:
    """64 bits by which one of those who may serve is picked; None where the key does not explore.
    A hash of its own, which tells nothing of the mix's."""
    digest = hashlib.sha256(b"explore:" + key).digest()
    return int.from_bytes(digest[8:16], "big") if unit(digest) < share else None


class Lot:
    """The draws of a request, made once they are asked for: most requests need none."""

    __slots__ = ("_arguments", "_cap", "_key", "_mix")

    def __init__(self, arguments: DecideArguments, cap: int) -> None:
        self._arguments, self._cap = arguments, cap
        self._key = self._mix = b""

    @property
    def key(self) -> bytes:
        if not self._key:
            self._key = encoded(shared_key(self._arguments, self._cap))
        return self._key

    @property
    def mix(self) -> bytes:
        """The digest that the mix is drawn by."""
        if not self._mix:
            self._mix = hashlib.sha256(b"mix:" + self.key).digest()
        return self._mix

    @property
    def at(self) -> float:
        """The draw of the mix, in [0, 1)."""
        return unit(self.mix)

    @property
    def drawn(self) -> bool:
        """Whether anything was drawn by the mix."""
        return bool(self._mix)


class At(NamedTuple):
    """A draw of the mix that is given."""

    at: float


def unit(digest: bytes) -> float:
    """A number in [0, 1): the first 53 bits of a digest."""
    return (int.from_bytes(digest[:8], "big") >> 11) * 2.0**-53


class Rule(Protocol):
    """Who knows the probability of every candidate."""

    def odds(self, point: Ready, case: Case) -> NDArray[np.float64]: ...

    def begun_odds(self, point: Ready, case: Case) -> NDArray[np.float64]: ...


class Chance(NamedTuple):
    """What a decision keeps where chance had a say, and works out only when it is asked: the rule,
    and what it was asked; `column`: whom it chose; `digest`: of the mix's draw."""

    rule: Rule
    point: Ready
    case: Case
    column: int
    digest: bytes

    @property
    def draw(self) -> str:
        """The same for the same key, and says nothing else of it."""
        return self.digest[16:24].hex()

    @property
    def propensity(self) -> float:
        return float(self.rule.odds(self.point, self.case)[self.column])

    def told(self) -> Told:
        """The same without the rule, for a pickle."""
        return Told(self.propensity, self.draw)


class Told(NamedTuple):
    """The probability with which a decision chose whom it did, and the mark of its draw; "" where
    nothing is drawn."""

    propensity: float = 1.0
    draw: str = ""

    def told(self) -> Told:
        return self


CERTAIN = Told()
"""Of a decision in which nothing is drawn."""


def begun_odds(decision: Decision) -> NDArray[np.float64]:
    """[1 + chains, c] the probability, over the key, with which `decide` was to ask each candidate
    first for the very request of a decision that it made: alone, and as the beginning of each
    chain."""
    chance, spec, place = decision._odds, decision._spec, decision._chain
    if isinstance(chance, Chance):
        return chance.rule.begun_odds(chance.point, chance.case)
    found = np.zeros((1 + len(spec.chains), len(spec.profiles)))
    found[0 if place is None else 1 + spec.chains.index(place.chain), decision._index] = 1.0
    return found
