"""What a Pareto picture shows: marks at (cost, quality), and the front through them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["candidate", "reference", "policy", "point", "mix", "oracle"]

KIND_NAMES: dict[Kind, str] = {
    "candidate": "candidate on the front",
    "reference": "reference",
    "policy": "policy",
    "point": "operating point",
    "mix": "random mix",
    "oracle": "oracle (hindsight, upper bound)",
}


@dataclass(frozen=True)
class Mark:
    """One thing in the picture.

    cost: dollars per 1,000 requests, ≥ 0.  quality: mean in [0, 1].  low, high: its interval, or
    None. on_front: nothing is both cheaper and better.  compared: False where it ran on too few of
    the samples to be set beside the others.  new: was not in the sweep compared with. detail:
    (name, value) lines of the hover box.
    """

    label: str
    cost: float
    quality: float
    low: float | None = None
    high: float | None = None
    kind: Kind = "candidate"
    on_front: bool = False
    compared: bool = True
    new: bool = False
    detail: tuple[tuple[str, str], ...] = ()

    @property
    def pale(self) -> bool:
        """A candidate that something else beats, or that cannot be compared."""
        return self.kind == "candidate" and not self.on_front


@dataclass(frozen=True)
class Step:
    """A corner of the front: from `cost` on, `quality` can be had, with its interval."""

    cost: float
    quality: float
    low: float
    high: float


def front_steps(marks: Iterable[Mark]) -> list[Step]:
    """The staircase through the marks that are on the front (candidates and the reference),
    cheapest first.

    The band's edges are made monotone: whoever may spend more may also keep what was cheaper.
    """
    chosen = sorted((m for m in marks if m.on_front), key=lambda m: (m.cost, -m.quality))
    steps: list[Step] = []
    low = high = float("-inf")
    for mark in chosen:
        low = max(low, mark.quality if mark.low is None else mark.low)
        high = max(high, mark.quality if mark.high is None else mark.high)
        steps.append(Step(mark.cost, mark.quality, low, high))
    return steps


def drawing_order(marks: Sequence[Mark]) -> list[Mark]:
    """Back to front: pale candidates, front, baselines, reference, points, policy."""
    order: dict[Kind, int] = {"candidate": 1, "mix": 2, "oracle": 2, "reference": 3, "point": 4, "policy": 5}
    return sorted(marks, key=lambda m: (0 if m.pale else order[m.kind], m.cost, m.label))
