"""What chance decides of a request: the draws by its key, and the probability of what they gave."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime.arguments import DecideArguments, shared_key

if TYPE_CHECKING:
    from router_lab.runtime.ready import Case, Ready


class Draws(NamedTuple):
    """The draws of one key: `at` in [0, 1) chooses the piece, `explores` in [0, 1) whether it
    explores, `pick` (64 bits) whom; `mark` is the same for the same key and says nothing else of
    it. Each stream is a hash of its own, so none tells of another."""

    at: float
    explores: float
    pick: int
    mark: str

    @classmethod
    def of(cls, key: str | bytes) -> Draws:
        """By the UTF-8 of a text."""
        data = key if isinstance(key, bytes) else key.encode("utf-8", "replace")
        mix, explore = (hashlib.sha256(stream + data).digest() for stream in (b"mix:", b"explore:"))
        return cls(unit(mix), unit(explore), int.from_bytes(explore[8:16], "big"), explore[16:24].hex())


class Lot:
    """The draws of a request, made once they are asked for: most requests need none."""

    __slots__ = ("_arguments", "_cap", "drawn")

    def __init__(self, arguments: DecideArguments, cap: int) -> None:
        self._arguments, self._cap = arguments, cap
        self.drawn: Draws | None = None

    @property
    def draws(self) -> Draws:
        if self.drawn is None:
            self.drawn = Draws.of(shared_key(self._arguments, self._cap))
        return self.drawn

    @property
    def at(self) -> float:
        return self.draws.at


class At(NamedTuple):
    """A draw of the mix that is given."""

    at: float


def unit(digest: bytes) -> float:
    """A number in [0, 1): the first 53 bits of a digest."""
    return (int.from_bytes(digest[:8], "big") >> 11) * 2.0**-53


class Rule(Protocol):
    """Who knows the probability of every candidate."""

    def odds(self, point: Ready, case: Case) -> NDArray[np.float64]: ...


class Chance(NamedTuple):
    """What a decision keeps where chance had a say, and works out only when it is asked: the rule,
    and what it was asked; `column`: whom it chose."""

    rule: Rule
    point: Ready
    case: Case
    column: int
    draw: str

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
