"""What a policy would do with the requests of a log, and what it predicts of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from router_lab.evaluate.logged import ALONE, LogRows
from router_lab.metrics.steady import Floats, Ints, Mask
from router_lab.prices import today
from router_lab.runtime.errors import InputError, shown
from router_lab.runtime.odds import begun_odds
from router_lab.runtime.points import chain_described, follows
from router_lab.runtime.policy import Policy
from router_lab.runtime.shares import many


@dataclass(frozen=True)
class Target:
    """A policy's actions, of which k = c candidates and what else it begins. shares [n, k]: the
    probability of each; prior, by metric, [n, k]: what it predicts of them; action [n]: the column
    of what was done, -1 = none of these; own [n]: the policy itself decided so, by the very
    probabilities that it has now; suite [n]: codes; known [n]: requests of which the policy can be
    asked; labels [k]; candidates: c."""

    shares: Floats
    prior: dict[str, Floats]
    action: Ints
    own: Mask
    suite: Ints
    known: Mask
    labels: tuple[str, ...]
    candidates: int
    notes: tuple[str, ...]


class _Actions(NamedTuple):
    """What a policy may begin, as far as a log tells it apart. column [c + chains]: the action of
    each candidate and each chain; first [k]: the candidate whom it asks first; label [k]; of: the
    action of chains by that candidate and the number of stages; later: of a chain and a later
    stage of it, the action of what begins there, where names have barred who comes before."""

    column: Ints
    first: Ints
    label: tuple[str, ...]
    of: dict[tuple[int, int], int]
    later: dict[tuple[int, int], int]


def target_of(policy: Policy, log: LogRows, point: str | None = None) -> Target:
    """`policy` beside a log; of a chain what its first stage is predicted to give. Raises
    InputError where it decides by prompts and the log holds none."""
    known = _known(policy, log, point)
    prompts, actions = [prompt or "" for prompt in log.prompts], _actions(policy)
    found = policy.predictions(prompts, log.suites)
    stretches = policy.stretches(prompts, log.suites, point)
    shares = _shares(stretches.by_chain(len(policy.candidates), len(policy.spec.chains)), actions)
    may = _kept_to(policy, log, point, actions, shares)
    if not may.any():
        names = ", ".join(map(str, sorted({one for allowed in log.allowed for one in allowed or ()})))
        raise InputError(
            f"evaluate: policy {policy.spec.name!r} has none of the candidates to whom the log's requests are kept: {names}"
        )
    usual = point is None or point == policy.spec.point
    action, own = _done(policy, log, actions, shares, usual=usual)
    prior = {"quality": found.quality[:, actions.first], "cost_usd": found.cost_usd[:, actions.first]}
    suite = np.unique([one or "" for one in log.suites], return_inverse=True)[1]
    return Target(
        shares=shares, prior=prior, action=action, own=own & known & may, suite=suite, known=known & may,
        labels=actions.label, candidates=len(policy.candidates),
        notes=_notes(policy, known, may, int((action[log.stages != ALONE] < 0).sum())),
    )  # fmt: skip


def _known(policy: Policy, log: LogRows, point: str | None) -> Mask:
    """[n] decisions with what the policy decides by."""
    name = policy.spec.point if point is None else point
    if name not in policy.spec.points:
        has = ", ".join(map(shown, sorted(policy.spec.points)))
        raise InputError(f"evaluate: policy {policy.spec.name!r} has no point {shown(name)}; it has {has}")
    there = np.array([prompt is not None for prompt in log.prompts], bool)
    known = there if follows(policy.spec.points[name]) else np.ones(len(log), bool)
    if not known.any():
        raise InputError(
            f"evaluate: policy {policy.spec.name!r} decides by prompts, and the log holds none of "
            f"{len(log):,} decisions; write them: DecisionLog(path, prompts=True) and write(…, prompt=…)"
        )
    return known


def _actions(policy: Policy) -> _Actions:
    """One stage without a cap is the candidate alone. Chains of one policy that begin alike and
    are as long are one action: a log does not tell them apart, and need not where the policy
    itself decided."""
    column, first = [*range(len(policy.candidates))], [*range(len(policy.candidates))]
    labels, of = [[str(one)] for one in policy.candidates], dict[tuple[int, int], int]()
    later = dict[tuple[int, int], int]()
    for number, chain in enumerate(policy.spec.chains):
        for begin in range(len(chain)):
            left = chain[begin:]
            at = left[0].column
            if len(left) > 1 or left[0].capped:
                at = of.setdefault((left[0].column, len(left)), len(first))
                if at == len(first):
                    first.append(left[0].column)
                    labels.append([])
                labels[at].append(chain_described(left, policy.candidates))
            later[number, left[0].column] = at
        column.append(later[number, chain[0].column])
    told = tuple(" or ".join(dict.fromkeys(names)) for names in labels)
    return _Actions(np.array(column), np.array(first), told, of, later)


def _kept_to(policy: Policy, log: LogRows, point: str | None, actions: _Actions, shares: Floats) -> Mask:
    """[n] whether the policy may ask anybody; where names kept a request to some, its probabilities
    among these are put into `shares` [n, k]. On the dates that it had, as everywhere here."""
    asked, may = policy.renewed(revision=policy.revision, clock=lambda: -math.inf), np.ones(len(log), bool)
    for place, allowed in enumerate(log.allowed):
        if allowed is None:
            continue
        shares[place] = 0.0
        if not any(map(policy.knows, allowed)):
            may[place] = False
            continue
        decision = asked.decide(
            log.prompts[place] or "", suite=log.suites[place], point=point, allowed=allowed
        )
        odds = begun_odds(decision)
        for row, column in zip(*np.nonzero(odds), strict=True):
            at = column if row == 0 else actions.later[int(row) - 1, int(column)]
            shares[place, at] += odds[row, column]
    return may


def _shares(apart: Floats, actions: _Actions) -> Floats:
    """[n, k] of probabilities [n, c + chains] what goes by one action, added up."""
    found = np.zeros((len(apart), len(actions.first)))
    for column, share in zip(actions.column, apart.T, strict=True):
        found[:, column] += share
    return found


def _done(
    policy: Policy, log: LogRows, actions: _Actions, shares: Floats, *, usual: bool
) -> tuple[Ints, Mask]:
    """[n] the action of each decision, and whether it is the policy's own: of its revision, and
    with the probability of who is asked first that the policy gives; where that was not logged, at
    the `usual` point. Another's chain is another action, for nobody knows how it judged."""
    columns = {candidate: column for column, candidate in enumerate(policy.candidates)}
    first = np.array([columns.get(one, -1) for one in log.asked], np.int64)
    begun = zip(first.tolist(), log.stages.tolist(), strict=True)
    action = np.array([at if n == ALONE else actions.of.get((at, n), -1) for at, n in begun], np.int64)
    every = np.arange(len(log))
    odds = np.where(actions.first[None, :] == first[:, None], shares, 0.0).sum(axis=1)
    same = (np.isnan(log.propensity) & usual) | np.isclose(log.propensity, odds, rtol=0.0, atol=1e-9)
    mine = np.array([one == policy.revision for one in log.revision], bool)
    own = mine & same & (action >= 0) & (shares[every, np.maximum(action, 0)] > 0)
    return np.where(own | (log.stages == ALONE), action, -1), own


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


def _notes(policy: Policy, known: Mask, may: Mask, chained: int) -> tuple[str, ...]:
    """known: decisions with what the policy decides by; may: those in which it may ask somebody;
    chained: how many began a chain which is no action of the policy's."""
    notes = []
    if not may.all():
        notes.append(
            f"left out: {many(int((~may).sum()), 'decision', 'decisions')} kept by name to candidates that the policy "
            "does not have"
        )
    if not known.all():
        notes.append(
            f"left out: {many(int((~known).sum()), 'decision', 'decisions')} without a prompt, by which the policy decides"
        )
    notes += _past(policy)
    if policy.vector_length is not None:
        notes.append(
            "the policy was fitted on vectors, which no log holds: it is asked as for the mean vector"
        )
    if chained:
        who = many(chained, "decision", "decisions")
        notes.append(f"{who} may have asked a second candidate, and so no candidate alone is told of there")
    return tuple(notes)
