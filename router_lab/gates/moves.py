"""Who serves a request under one policy and under another: what moves, in expectation over the hash of `key`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router_lab.gates.arms import Arm
from router_lab.runtime.model import Candidate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Move:
    """Requests that go from one candidate to another: their share of all, and the mean of what that changes on the rows
    where both outcomes are known (NaN where none is): quality, and dollars a request before and after."""

    was: Candidate
    now: Candidate
    share: float
    quality_difference: float
    cost_usd_before: float
    cost_usd_after: float


@dataclass(frozen=True)
class Moves:
    """rows: those that both policies were asked about, by their place in `before` and in `after`, [m] each.  moved [m]:
    the probability that a request of the row is served by another candidate.  pairs: the greatest share first."""

    before: Ints
    after: Ints
    moved: Floats
    pairs: tuple[Move, ...]

    @property
    def share(self) -> float:
        """Of all requests."""
        return float(self.moved.mean()) if len(self.moved) else 0.0


def moves(before: Arm, after: Arm) -> Moves:
    """What moves from `before` to `after`, as `decide` has it: one draw by `key` serves both policies.

    A policy replaces its reference where the draw is below its `mix`, so two policies of mix .3 and .5 that pick the
    same candidate differ on .2 of the requests, not on half of them.
    """
    place = {key: i for i, key in enumerate(before.keys)}
    common = [(place[key], i) for i, key in enumerate(after.keys) if key in place]
    rows = np.array(common, np.int64).reshape(len(common), 2)
    was, now = _picks(before, rows[:, 0]), _picks(after, rows[:, 1])
    both, most = np.minimum(was[1], now[1]), np.maximum(was[1], now[1])
    further = was[1] > now[1]
    segments = (  # of the draw, in [0, 1): columns before, columns after, length
        (was[0], now[0], both),
        (np.where(further, was[0], was[2]), np.where(further, now[2], now[0]), most - both),
        (was[2], now[2], 1 - most),
    )
    found: dict[tuple[int, int], list[Floats]] = {}
    moved = np.zeros(len(rows))
    for old, new, length in segments:
        for a in np.unique(old):
            for b in np.unique(new):
                if before.policy.candidates[a] == after.policy.candidates[b]:
                    continue
                part = np.where((old == a) & (new == b), length, 0.0)
                if part.any():
                    moved += part
                    found.setdefault((int(a), int(b)), []).append(part)
    pairs = [_move(before, after, rows, pair, np.sum(parts, axis=0)) for pair, parts in found.items()]
    return Moves(rows[:, 0], rows[:, 1], moved, tuple(sorted(pairs, key=lambda m: (-m.share, str(m.was), str(m.now)))))


def _picks(arm: Arm, rows: Ints) -> tuple[Ints, Floats, Ints]:
    """[m] the column that replaces the reference, the share of the draw on which it does, and the reference."""
    shares, reference = arm.shares[rows].copy(), arm.policy.spec.reference
    shares[:, reference] = 0.0
    pick = shares.argmax(axis=1) if len(shares) else np.zeros(0, np.int64)
    share = shares[np.arange(len(shares)), pick]
    fixed = np.full(len(shares), reference, np.int64)
    return np.where(share > 0, pick, reference), share, fixed


def _move(before: Arm, after: Arm, rows: Ints, pair: tuple[int, int], length: Floats) -> Move:
    (i, j), (a, b) = rows.T, pair
    gain = after.qualities[j, b] - before.qualities[i, a]
    was, now = before.costs[i, a], after.costs[j, b]
    weight = length * np.fmax(before.weight[i], after.weight[j])
    paid = np.where(np.isnan(was + now), 0.0, weight)
    return Move(
        before.policy.candidates[a], after.policy.candidates[b], float(length.mean()),
        _mean(gain, np.where(np.isnan(gain), 0.0, weight)), _mean(was, paid), _mean(now, paid),
    )  # fmt: skip


def _mean(values: Floats, weights: Floats) -> float:
    kept: Any = weights > 0
    return float(np.average(values[kept], weights=weights[kept])) if kept.any() else float("nan")
