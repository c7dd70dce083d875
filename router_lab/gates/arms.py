"""A policy on rows that no fit has used, so that two policies can be set side by side on the very
same ones: who serves a request under one and under the other, in expectation over the hash of
`key`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from router_lab.metrics.paired import Floats, Ints, Mask, Paired, Recorded, heaviest
from router_lab.outcomes.candidates import whose
from router_lab.outcomes.codes import coded
from router_lab.outcomes.copies import join_names, names_of, prompts_of, used_names
from router_lab.outcomes.vectors import vectors_of
from router_lab.played import Beside, answered, servers
from router_lab.replay import matrices, requests_of, score, served
from router_lab.runtime.model import Candidate
from router_lab.runtime.points import NEAR
from router_lab.runtime.policy import Policy
from router_lab.runtime.ready import Stretches


@dataclass(frozen=True)
class Arm:
    """A policy on n rows, in the order of `keys` ((suite, sample_id)).

    rows, mix: what the policy, and its certificate's random mix, give each. served [n,
    c + chains]: the shares of its requests, by who serves it (`played.servers`); answered [n, c]:
    by whose answer is kept; recorded: what each of those who serve gave it; chains: what chains
    did. stretches: which draw by `key` gives a row to whom. suite [n]: names. covered [n]: whether
    enough is known of the prompt for the policy's point to decide it. infra: share of the recorded
    runs of these candidates that the infrastructure lost.
    """

    policy: Policy
    keys: tuple[tuple[str, str], ...]
    suite: NDArray[np.object_]
    rows: Paired
    mix: Paired
    served: Floats
    recorded: Recorded
    stretches: Stretches
    covered: Mask
    infra: float
    chains: Beside | None = None

    @property
    def answered(self) -> Floats:
        """[n, c] by whose answer is kept."""
        return answered(self.served, self.chains)

    def __len__(self) -> int:
        return len(self.keys)


def unused_rows(outcomes: pd.DataFrame, *policies: Policy) -> pd.DataFrame:
    """The rows of groups that none of the policies was fitted on, nor on a copy of one of their
    prompts: the only ones that are evidence."""
    names, key_of = names_of(outcomes)
    rows = coded(key_of, outcomes["sample_id"]).first
    samples, key = outcomes.iloc[rows], key_of[rows]
    prompts = prompts_of(samples)
    vectors = vectors_of(samples, np.arange(len(samples)), len(samples))
    joined = join_names(names, key, prompts, vectors).component
    used = used_names(names, key, prompts, joined, *(policy.spec for policy in policies))
    stale = used[key_of]
    kept = outcomes[~stale] if stale.any() else outcomes.copy(deep=False)
    kept.attrs = dict(outcomes.attrs)
    return kept


def arm(policy: Policy, outcomes: pd.DataFrame) -> Arm:
    """`policy` on every row of `outcomes` (see `unused_rows`), by the arithmetic and with the
    warnings of `replay`."""
    plain, data = matrices(policy, outcomes)
    prompts, suites, vectors = requests_of(policy, data)
    stretches = policy.stretches(prompts, suites, vectors=vectors)
    shares, chains = served(policy, outcomes, data, (prompts, suites, vectors), stretches)
    replayed = score(
        policy, data, shares, in_sample=False, plain=plain, chains=chains, explored=stretches.even
    )
    known_to = Recorded.of(data, policy.spec.reference)
    own = outcomes.loc[whose(outcomes).places(policy.candidates) >= 0, "status"]
    return Arm(
        policy=policy,
        keys=tuple(zip(suites, data.sample_id, strict=True)),
        suite=np.array(suites, dtype=object),
        rows=replayed.rows,
        mix=replayed.mix,
        served=shares,
        recorded=known_to if chains is None else chains.widened(known_to),
        stretches=stretches,
        covered=policy.covered(prompts, suites, vectors),
        chains=chains,
        infra=float((own == "infra").mean()) if len(own) else 0.0,
    )


@dataclass(frozen=True)
class Move:
    """Requests that go from one candidate or chain to another, or (`was` = `now`) to a chain of the
    same stages that judges answers otherwise: their share of all, and the mean of what that changes
    on the rows where both outcomes are known (NaN where none is): quality, and dollars a request
    before and after."""

    was: Candidate
    now: Candidate
    share: float
    quality_difference: float
    cost_usd_before: float
    cost_usd_after: float


@dataclass(frozen=True)
class Moves:
    """rows: those that both policies were asked about, by their place in `before` and in `after`,
    [m] each.  moved [m]: the probability that a request of the row is served otherwise.
    pairs: the greatest share first."""

    before: Ints
    after: Ints
    moved: Floats
    pairs: tuple[Move, ...]

    @property
    def share(self) -> float:
        """Of all requests."""
        return float(self.moved.mean()) if len(self.moved) else 0.0


def change(before: Arm, after: Arm, found: Moves, rows: Mask | None = None) -> Paired:
    """What `after` gives the rows that both were asked about, `before` in the reference's place;
    rows [n]: of those of `after` to look at."""
    kept = slice(None) if rows is None else rows[found.after]
    was, now = before.rows.take(found.before[kept]), after.rows.take(found.after[kept])
    return now.against(was, found.moved[kept])


def moves(before: Arm, after: Arm) -> Moves:
    """What moves from `before` to `after`, as `decide` has it: one draw by `key` serves both
    policies.

    Each piece of a policy's point has its own stretch of the draw and its reference the rest, so
    two policies of mix .3 and .5 that pick the same candidate differ on .2 of the requests, not on
    half of them. What one of them alone explores counts as moved, and in no pair.
    """
    place = {key: i for i, key in enumerate(before.keys)}
    common = [(place[key], i) for i, key in enumerate(after.keys) if key in place]
    rows = np.array(common, np.int64).reshape(len(common), 2)
    found: dict[tuple[Candidate, Candidate], list[Part]] = {}
    moved = np.zeros(len(rows))
    was, now = servers(before.policy), servers(after.policy)
    for old, new, length in _segments(before, after, rows):
        pairs = np.unique(np.stack([old, new], axis=1), axis=0)
        for a, b in pairs.tolist():
            here = (old == a) & (new == b)
            if was[a] == now[b]:
                here &= _otherwise(before, after, rows, a, b)
            if here.any():
                part = np.where(here, length, 0.0)
                moved += part
                found.setdefault((was[a], now[b]), []).append((a, b, part))
    made = [_move(before, after, rows, pair, parts) for pair, parts in found.items()]
    # Both explore by one draw, so only the difference of their shares moves anything.
    moved += abs(after.stretches.explore - before.stretches.explore) * (1 - moved)
    return Moves(
        rows[:, 0], rows[:, 1], moved, tuple(sorted(made, key=lambda m: (-m.share, str(m.was), str(m.now))))
    )


Part = tuple[int, int, Floats]
"""Who serves before and after, by the place in `played.servers`, and on how much of each row
[m]."""


def _otherwise(before: Arm, after: Arm, rows: Ints, a: int, b: int) -> Mask:
    """[m] where two chains of the same stages gave a row something else, for they judge its answers
    otherwise. Of one candidate: nowhere."""
    alone, (i, j) = len(before.policy.candidates), rows.T
    was, now = before.chains, after.chains
    place, other = a - alone, b - len(after.policy.candidates)
    if was is None or now is None or place < 0 or other < 0:
        return np.zeros(len(rows), bool)
    pairs = [
        (was.quality[i, place], now.quality[j, other]),
        (was.cost_usd[i, place], now.cost_usd[j, other]),
        (was.kept[i, place].max(axis=1), now.kept[j, other].max(axis=1)),
    ]
    differs: Mask = np.zeros(len(rows), bool)
    for one, another in pairs:
        differs |= ~np.isclose(one, another, rtol=1e-12, atol=0.0, equal_nan=True)
    return differs


def _segments(before: Arm, after: Arm, rows: Ints) -> Iterator[tuple[Ints, Ints, float]]:
    """([m] columns before, [m] columns after, length) of each part of the draw in which neither
    changes its piece."""
    was, now = before.stretches, after.stretches
    ends = np.union1d(was.ends, now.ends)
    for end, length in zip(ends, np.diff(ends, prepend=0.0), strict=True):
        if length > NEAR:  # what is shorter is no piece's, but how two sums of shares were rounded
            old, new = (int(np.searchsorted(arm.ends, end)) for arm in (was, now))
            yield was.columns[rows[:, 0], old], now.columns[rows[:, 1], new], float(length)


def _move(
    before: Arm, after: Arm, rows: Ints, pair: tuple[Candidate, Candidate], parts: Sequence[Part]
) -> Move:
    """parts: of those who go by these two names."""
    i, j = rows.T
    heavy = heaviest(before.rows.take(i).weight, after.rows.take(j).weight)
    of = [(before.recorded, i, a, after.recorded, j, b) for a, b, _ in parts]
    gain = np.concatenate([new.quality[y, b] - old.quality[x, a] for old, x, a, new, y, b in of])
    was = np.concatenate([old.cost_usd[x, a] for old, x, a, _, _, _ in of])
    now = np.concatenate([new.cost_usd[y, b] for _, _, _, new, y, b in of])
    lengths = [length for _, _, length in parts]
    weight = np.concatenate([length if heavy is None else length * heavy for length in lengths])
    paid = np.where(np.isnan(was + now), 0.0, weight)
    return Move(
        *pair, float(np.sum(lengths, axis=0).mean()), _mean(gain, np.where(np.isnan(gain), 0.0, weight)),
        _mean(was, paid), _mean(now, paid),
    )  # fmt: skip


def _mean(values: Floats, weights: Floats) -> float:
    kept: Any = weights > 0
    return float(np.average(values[kept], weights=weights[kept])) if kept.any() else float("nan")
