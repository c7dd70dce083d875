"""Chains played on recorded draws: whose answer is kept, and what every call and signal costs.

The very rules of `Decision.judge`, on arrays: what a fit chooses by, what replay scores, and what
production does cannot differ.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from router_lab.metrics.paired import Floats, Ints, Mask, Recorded
from router_lab.outcomes import OutcomeMatrix
from router_lab.outcomes.columns import ADDING
from router_lab.outcomes.trials import PREFIX, Trials, signals_of, trials_of
from router_lab.outcomes.turns import TURNS, without_calls
from router_lab.runtime.chains import AGREES, ANSWER, QUALITY, SIGNAL, Chain, Judge
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.judging import KEEP, gains_many, known_many, told_many
from router_lab.runtime.model import POOLED, Candidate
from router_lab.runtime.points import Cascade, chain_described
from router_lab.runtime.policy import Policy
from router_lab.runtime.predict import Predictions

Gains = tuple[Floats, Mask] | None
"""What each later stage adds [m, later], and whether all is known that the judge needs [m]; None
for a stage without a judge."""


class Asked(NamedTuple):
    """What a policy knows of m draws before it asks: the `row` of the suite in its tables [m],
    predicted `quality` and `cost_usd` [m, c]."""

    row: Ints
    quality: Floats
    cost_usd: Floats


class Played(NamedTuple):
    """What a chain gives m draws: the kept answer's quality, dollars of all calls and signals
    (NaN = not known), `lost` (the greatest share of missing epochs among those who were asked, 1
    where one has no outcome), `last`: the column whose answer is kept; `asked` [m, c]; `stopped`:
    nobody's answer is kept, for the last run was stopped at its cap; signals_usd; spent [m, c]:
    dollars of each candidate's calls; figures."""

    quality: Floats
    cost_usd: Floats
    lost: Floats
    last: Ints
    asked: Mask
    stopped: Mask
    signals_usd: Floats
    spent: Floats
    figures: Mapping[str, Floats]

    @property
    def kept(self) -> Mask:
        """[m, c] whose answer it is."""
        own = self.last[:, None] == np.arange(self.asked.shape[1])
        return np.asarray(own & ~self.stopped[:, None], bool)


def gains_of(chain: Chain, trials: Trials, asked: Asked) -> tuple[Gains, ...]:
    """Of each stage of a chain, on every draw."""
    before = (None, *(stage.column for stage in chain))
    return tuple(
        None if stage.judge is None else judged(stage.judge, trials, asked, stage.column, previous)
        for stage, previous in zip(chain, before, strict=False)
    )


def judged(
    judge: Judge, trials: Trials, asked: Asked, column: int, previous: int | None
) -> tuple[Floats, Mask]:
    """What `judge` says of the answers of `column`, asked after `previous`."""
    sources = dict.fromkeys(
        [*(SIGNAL + name for name in judge.signals), *(term.source for term in judge.terms)]
    )
    values = {source: told(source, trials, asked, column, previous) for source in sources}
    return gains_many(judge, asked.row, values), known_many(judge, values, len(trials))


def told(source: str, trials: Trials, asked: Asked, column: int, previous: int | None) -> Floats:
    """[m] a source of a term, as `runtime.chains` names them; NaN where it is not known."""
    if source.startswith(SIGNAL):
        unknown = np.full((len(trials), 1), np.nan)
        found = trials.signals.get(
            source.removeprefix(SIGNAL), np.broadcast_to(unknown, trials.quality.shape)
        )
        return np.asarray(found[:, column], np.float64)
    if source.startswith(QUALITY):
        return np.asarray(asked.quality[:, int(source.removeprefix(QUALITY))], np.float64)
    if source == AGREES:
        return trials.agreement(column, previous)
    return trials.shape(source.removeprefix(ANSWER))[:, column]


def play(
    chain: Chain, tradeoff: float, trials: Trials, asked: Asked, gains: Sequence[Gains] | None = None
) -> Played:
    """What `chain` gives every draw; gains: as `gains_of` has them, where they are known."""
    every, shape = np.arange(len(trials)), trials.quality.shape
    gains = gains_of(chain, trials, asked) if gains is None else gains
    at = np.zeros(len(trials), np.int64)
    cost, signals, lost = (np.zeros(len(trials)) for _ in range(3))
    seen, dollars, stopped = np.zeros(shape, bool), np.zeros(shape), np.zeros(len(trials), bool)
    latency = {name: np.zeros(len(trials)) for name in ADDING if name in trials.figures}
    columns = np.array([stage.column for stage in chain])
    for place, stage in enumerate(chain):
        here, column = at == place, stage.column
        seen[here, column] = True
        spent = trials.cost_usd[:, column]
        over = np.zeros(len(trials), bool)
        if stage.cap_turns is not None:
            over, spent = trials.stopped(column, stage.cap_turns)
        if stage.cap_usd is not None:
            over = over | (spent > stage.cap_usd)
            spent = np.minimum(spent, stage.cap_usd)
        cost, dollars[here, column] = np.where(here, cost + spent, cost), spent[here]
        gone = np.isnan(trials.quality[:, column])
        lost = np.where(here, np.maximum(lost, np.where(gone, 1.0, trials.lost[:, column])), lost)
        stopped = np.where(here, over, stopped)
        for name, values in latency.items():
            latency[name] = np.where(here, values + trials.figures[name][:, column], values)
        if place == len(chain) - 1:
            break
        forced, judge = over | (trials.check[:, column] == 0), stage.judge
        later = asked.cost_usd[:, [one.column for one in chain[place + 1 :]]]
        ahead = told_many(gains[place], later, tradeoff, forced)
        step = np.where(ahead == KEEP, place, place + 1 + ahead)
        looked = here & ~over if judge is not None and judge.signals else np.zeros(len(trials), bool)
        paid = np.where(looked, trials.signals_usd[:, column], 0.0)
        cost, signals = cost + paid, signals + np.nan_to_num(paid)
        at = np.where(here & ~gone, step, at)
    last = columns[at]
    quality = np.where(stopped, 0.0, trials.quality[every, last])
    figures = {name: values[every, last] for name, values in trials.figures.items()} | latency
    return Played(
        quality=quality, cost_usd=cost, lost=lost, last=last, asked=seen, stopped=stopped, signals_usd=signals,
        spent=dollars, figures=figures,
    )  # fmt: skip


@dataclass(frozen=True)
class Beside:
    """What each chain of a policy gives n samples, on the mean of their draws: quality, cost_usd,
    missing, weight, signals_usd, figures [n, chains]; asked, kept [n, chains, c]: the share of
    draws in which a candidate is asked, and in which its answer is kept."""

    quality: Floats
    cost_usd: Floats
    missing: Floats
    weight: Floats
    signals_usd: Floats
    figures: Mapping[str, Floats]
    asked: Floats
    kept: Floats

    def widened(self, known: Recorded) -> Recorded:
        """The outcomes of candidates with those of the chains after them."""
        none = np.zeros_like(known.quality) if known.missing is None else known.missing
        weight = known.weight
        return replace(
            known, quality=np.hstack([known.quality, self.quality]),
            cost_usd=np.hstack([known.cost_usd, self.cost_usd]), missing=np.hstack([none, self.missing]),
            weight=None if weight is None else np.hstack([weight, self.weight]),
            figures={name: np.hstack([part, self.figures[name]]) for name, part in known.figures.items()},
        )  # fmt: skip


def servers(policy: Policy) -> tuple[Candidate, ...]:
    """Who can serve a request: the candidates, then each chain under its stages' names, which it
    shares with others of the same stages; who is asked alone, without a cap, under his own."""
    return (*policy.candidates, *(_server(policy, chain) for chain in policy.spec.chains))


def _server(policy: Policy, chain: Chain) -> Candidate:
    if len(chain) == 1 and not chain[0].capped:
        return policy.candidates[chain[0].column]
    return Candidate(chain_described(chain, policy.candidates), None)


def by_server(who: Sequence[Candidate], shares: Floats) -> dict[Candidate, float]:
    """The shares [c + chains] of those who serve; what goes by one name is added up."""
    found: dict[Candidate, float] = {}
    for one, share in zip(who, shares, strict=True):
        found[one] = found.get(one, 0.0) + float(share)
    return found


def _warn_of_signals(policy: Policy, outcomes: pd.DataFrame) -> None:
    """Say what the policy reads of answers and the outcomes have no value of."""
    judges = [stage.judge for chain in policy.spec.chains for stage in chain if stage.judge is not None]
    unknown = sorted({name for judge in judges for name in judge.signals} - set(signals_of(outcomes)))
    lacks = [f"no value of {', '.join(f'`{PREFIX}{name}`' for name in unknown)}"] if unknown else []
    reads = any(term.source.startswith((ANSWER, AGREES)) for judge in judges for term in judge.terms)
    told = "answer" in outcomes.columns and bool(outcomes["answer"].notna().any())
    lacks += ["no `answer`"] if reads and not told else []
    if lacks:
        text = (
            f"policy {policy.spec.name!r} judges answers, and the outcomes have {' and '.join(lacks)}: every answer "
            "that it would judge by that counts as asked again"
        )
        warnings.warn(RouterLabWarning(text), stacklevel=4)


def _require_calls(policy: Policy, outcomes: pd.DataFrame, columns: Collection[int]) -> None:
    """InputError where the policy stops runs of a candidate after some calls, and the outcomes do
    not say what those cost."""
    lacking = without_calls(outcomes) if columns else {}
    for who in (policy.candidates[column] for column in sorted(columns)):
        if who in lacking:
            count, every = lacking[who]
            raise InputError(
                f"policy {policy.spec.name!r} stops runs of {who} after some model calls, and {count:,} of its {every:,} "
                f"runs have no `{TURNS}`: what they had cost by then is not known. Collect the outcomes from their logs, "
                "or fit on outcomes without that column"
            )


def answered(served: Floats, chains: Beside | None) -> Floats:
    """[n, c] the share of requests whose kept answer is each candidate's, from who serves them [n,
    c + chains]."""
    if chains is None:
        return served
    alone = chains.kept.shape[2]
    by_chain = served[:, alone:, None] * np.nan_to_num(chains.kept)
    return np.asarray(served[:, :alone] + by_chain.sum(axis=1))


def tradeoffs_of(policy: Policy) -> dict[int, float]:
    """The tradeoff at which each chain is followed, by its index. InputError for a chain that a
    policy written by hand follows at two: what it gives would be two things."""
    pieces = (piece for point in policy.spec.points.values() for piece in point if isinstance(piece, Cascade))
    found: dict[int, float] = {}
    for piece in pieces:
        for index in piece.chains:
            if index is not None and found.setdefault(index, piece.tradeoff) != piece.tradeoff:
                raise InputError(
                    f"policy {policy.spec.name!r}: chain {index} is named at the tradeoffs {found[index]:g} and "
                    f"{piece.tradeoff:g}; store it once for each, and it can be replayed"
                )
    return found


def beside(policy: Policy, outcomes: pd.DataFrame, data: OutcomeMatrix, found: Predictions) -> Beside | None:
    """The chains of `policy` played on the draws behind `data`; found: what it predicts of each of
    its samples. None for a policy without chains."""
    chains = policy.spec.chains
    if not chains:
        return None
    _warn_of_signals(policy, outcomes)
    turned = {stage.column for chain in chains for stage in chain if stage.cap_turns is not None}
    _require_calls(policy, outcomes, turned)
    trials, codes = (
        trials_of(outcomes, data, calls=bool(turned)).read(),
        {suite: i + 1 for i, suite in enumerate(policy.spec.suites)},
    )
    row = np.array([codes.get(suite, POOLED) for suite in data.suites], np.int64)[data.suite]
    asked = Asked(row[trials.row], found.quality[trials.row], found.cost_usd[trials.row])
    tradeoffs = tradeoffs_of(policy)
    made = [play(chain, tradeoffs.get(index, 0.0), trials, asked) for index, chain in enumerate(chains)]

    def means(parts: Sequence[Floats], *, whole: bool = False) -> Floats:
        return np.stack([trials.mean(part, len(data), whole=whole) for part in parts], axis=1)

    def by_candidate(parts: Sequence[Mask]) -> Floats:
        every = range(len(data.candidates))
        return np.stack([means([part[:, j].astype(np.float64) for part in parts]) for j in every], axis=2)

    columns = [[stage.column for stage in chain] for chain in chains]
    return Beside(
        quality=means([one.quality for one in made]), cost_usd=means([one.cost_usd for one in made], whole=True),
        missing=means([one.lost for one in made]), signals_usd=means([one.signals_usd for one in made]),
        weight=np.stack([data.weight[:, own].max(axis=1) for own in columns], axis=1),
        figures={
            name: means([one.figures[name] for one in made], whole=name in ADDING) for name in trials.figures
        },
        asked=by_candidate([one.asked for one in made]), kept=by_candidate([one.kept for one in made]),
    )  # fmt: skip
