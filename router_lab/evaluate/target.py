"""What a policy would do with the requests of a log, and what it predicts of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from router_lab.evaluate.logged import CHAINED, LogRows
from router_lab.metrics.steady import Floats, Ints, Mask
from router_lab.played import servers
from router_lab.prices import today
from router_lab.runtime.errors import InputError, shown
from router_lab.runtime.points import follows
from router_lab.runtime.policy import Policy
from router_lab.runtime.shares import many


@dataclass(frozen=True)
class Target:
    """shares [n, c + chains]: the probability with which the policy asks each; prior, by metric,
    [n, c + chains]: what it predicts of them; action [n]: the column of who was asked, -1 = nobody
    of these; suite [n]: codes; known [n]: requests of which the policy can be asked; labels: of
    the columns; candidates: how many are no chain."""

    shares: Floats
    prior: dict[str, Floats]
    action: Ints
    suite: Ints
    known: Mask
    labels: tuple[str, ...]
    candidates: int
    notes: tuple[str, ...]


def target_of(policy: Policy, log: LogRows, point: str | None = None) -> Target:
    """`policy` beside a log; of a chain what its first stage is predicted to give. Raises
    InputError where it decides by prompts and the log holds none."""
    name = policy.spec.point if point is None else point
    if name not in policy.spec.points:
        has = ", ".join(map(shown, sorted(policy.spec.points)))
        raise InputError(f"evaluate: policy {policy.spec.name!r} has no point {shown(name)}; it has {has}")
    reads = follows(policy.spec.points[name])
    there = np.array([prompt is not None for prompt in log.prompts], bool)
    known = there if reads else np.ones(len(log), bool)
    if not known.any():
        raise InputError(
            f"evaluate: policy {policy.spec.name!r} decides by prompts, and the log holds none of "
            f"{len(log):,} decisions; write them: DecisionLog(path, prompts=True) and write(…, prompt=…)"
        )
    prompts = [prompt or "" for prompt in log.prompts]
    found = policy.predictions(prompts, log.suites)
    shares, spec = _shares(policy, prompts, log, point), policy.spec
    first = [chain[0].column for chain in spec.chains]
    columns = {candidate: column for column, candidate in enumerate(policy.candidates)}
    action = np.array([-1 if one == CHAINED else columns.get(one, -1) for one in log.asked], np.int64)
    suite = np.unique([one or "" for one in log.suites], return_inverse=True)[1]
    prior = {"quality": found.quality, "cost_usd": found.cost_usd}
    return Target(
        shares, {name: np.hstack([values, values[:, first]]) for name, values in prior.items()},
        action, suite, known, tuple(map(str, servers(policy))), len(policy.candidates),
        _notes(policy, log, known),
    )  # fmt: skip


def _shares(policy: Policy, prompts: list[str], log: LogRows, point: str | None) -> Floats:
    stretches = policy.stretches(prompts, log.suites, point)
    return stretches.by_chain(len(policy.candidates), len(policy.spec.chains))


def _past(policy: Policy) -> list[str]:
    """What of the policy is over by now: what it would give is told without a look at the date."""
    day, spec = today().isoformat(), policy.spec
    gone = [
        f"{who} retired on {own}"
        for who, own in zip(policy.candidates, spec.retires or (), strict=False)
        if own is not None and own <= day
    ]
    gone += [f"it expired on {spec.expires}"] if spec.expires is not None and spec.expires <= day else []
    return [f"{spec.name} is told as it was before {' and '.join(gone)}"] if gone else []


def _notes(policy: Policy, log: LogRows, known: Mask) -> tuple[str, ...]:
    notes = []
    if not known.all():
        notes.append(
            f"left out: {many(int((~known).sum()), 'decision', 'decisions')} without a prompt, by which the policy decides"
        )
    notes += _past(policy)
    if policy.vector_length is not None:
        notes.append(
            "the policy was fitted on vectors, which no log holds: it is asked as for the mean vector"
        )
    if any(one == CHAINED for one in log.asked):
        n = sum(one == CHAINED for one in log.asked)
        who = many(n, "decision", "decisions")
        notes.append(f"{who} may have asked a second candidate, and so no candidate alone is told of there")
    return tuple(notes)
