"""What seems to be so in a race: whom to put forward, and who need not run for now.

Nothing here can make a race wrong. It only says on which clusters candidates run and what is
tested; what is shown is for `router_lab.racing.race` and its bounds, which hold however this
chooses, as long as it looks at the past alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from router_lab.metrics.steady import Floats, Mask, normal_below
from router_lab.racing.sequential import Tally

LIKELY, SURE = 0.5, 0.8
"""How probable it must seem that a candidate is within the margin of the leader: to test it, and
to rely on it."""
SCOUTS = 0.05
"""Share of the bill that the scouts may cost together, if they run everything."""


@dataclass(frozen=True)
class Standing:
    """How a race seems to stand.

    racing [c]: who is still in; price [c]: mean dollars a cluster; cheaper [k, j]: k is shown to
    cost no more than j; leader: the reference, if it is `named`, or who looks best; anchor: who
    looks best of those that run; within [c]: how probable it seems that each is within the margin
    of the leader (normal; 0 for who is gone).
    """

    racing: Mask
    price: Floats
    cheaper: Mask
    leader: int
    anchor: int
    within: Floats
    named: bool

    def below(self, column: int) -> Mask:
        """[c] who seems to be cheaper than `column` and is not shown to be dearer."""
        other = np.arange(len(self.racing)) != column
        return np.asarray(~self.cheaper[column] & other & (self.price <= self.price[column]))

    def nominees(self) -> list[int]:
        """Whom to put forward: the cheapest of those relied on, and the likeliest of those cheaper
        still.

        Empty where nobody dearer is left to be spared; the named reference is compared with, never
        put forward.
        """
        sure = np.flatnonzero(self.within >= SURE)
        first = int(sure[self.price[sure].argmin()])
        found = [k for k in (first, self._likeliest(self.price < self.price[first])) if k is not None]
        found = [k for k in found if not (self.named and k == self.leader)]
        spared = bool(found) and bool((self.racing & (self.price > self.price[found[-1]])).any())
        return found if spared else []

    def further(self, members: Sequence[int]) -> int | None:
        """Whom to put forward after `members`, if the first of them still seems able to pass:
        somebody cheaper than the cheapest that is relied on."""
        if self.within[members[0]] < LIKELY:
            return None
        sure = [k for k in members if self.within[k] >= SURE] or [members[0]]
        cheaper = self.price < self.price[sure].min()
        cheaper[list(members)] = False
        return self._likeliest(cheaper)

    def target(self, nominees: Iterable[int]) -> int | None:
        """Whom the others run for: the cheapest nominee that is relied on, else the likeliest one;
        None if all seem unable to pass."""
        able = [k for k in nominees if self.within[k] >= LIKELY]
        sure = [k for k in able if self.within[k] >= SURE]
        if sure:
            return min(sure, key=lambda k: float(self.price[k]))
        return max(able, key=lambda k: float(self.within[k]), default=None)

    def after_scouts(self) -> Mask:
        """[c] who waits while the cheapest, whose whole grid costs next to nothing, are looked at:
        everybody else, as long as one of them seems able to pass."""
        known = np.where(np.isfinite(self.price), self.price, 0.0)
        order = np.argsort(known, kind="stable")
        scouts = np.zeros(len(known), bool)
        scouts[order] = np.cumsum(known[order]) <= SCOUTS * known.sum()
        if not (self.within[scouts] >= LIKELY).any():
            return np.zeros(len(known), bool)
        if self.named:
            scouts[self.leader] = True
        return self.racing & ~scouts

    def _likeliest(self, among: Mask) -> int | None:
        able = among & (self.within >= LIKELY)
        return int(np.where(able, self.within, -np.inf).argmax()) if able.any() else None


def standing(
    quality: Tally,
    price: Floats,
    cheaper: Mask,
    racing: Mask,
    running: Mask,
    reference: int | None,
    margin: float,
) -> Standing:
    """How a race stands after what `quality` has taken in."""
    careful = quality.total / (quality.count + 1)  # a miss added to each, for a few clusters prove little
    leader = int(np.where(racing, careful, -np.inf).argmax()) if reference is None else reference
    anchor = int(np.where(running, careful, -np.inf).argmax()) if running.any() else leader
    mean, error = gap(quality, leader, anchor)
    within = normal_below((mean + margin) / error)
    within[leader] = 1.0
    return Standing(
        racing, price, cheaper, leader, anchor, np.where(racing, within, 0.0), reference is not None
    )


def gap(quality: Tally, leader: int, anchor: int) -> tuple[Floats, Floats]:
    """Mean [c] of each one's difference to the leader, and its standard error, with two
    pseudo-observations.

    On the clusters that both have run, or where that is surer by way of the `anchor`, for a leader
    that waits is not compared with anybody any more.
    """
    mean, square = _to(quality, leader)
    way, further = _to(quality, anchor)
    chained = square[anchor] + further
    return np.where(chained < square, way + mean[anchor], mean), np.sqrt(np.minimum(square, chained))


def _to(quality: Tally, other: int) -> tuple[Floats, Floats]:
    """Mean and squared error [c] of each one's difference to `other`."""
    known = np.maximum(quality.both[other], 1)
    mean = quality.gaps[other] / known
    return mean, np.maximum(quality.gap_squares[other] / known - mean * mean, 0.0) / known + 2 / (
        known * known
    )
