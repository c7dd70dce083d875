"""What is deployed, the choice among all options or the random mix: whichever saves more, both
tested together.

A policy that saves less than the mix of one candidate and the reference has learned nothing about
prompts, and the mix is a policy like any other. Both come from the same procedure (`choose`), and
whoever takes the better of two tests on the same rows errs more often than either. So they share
the error probability: the choice among all takes FIRST of it and is compared with the mix tested
alike; where that saves more, the mix is deployed as far as it is shown at what error is left,
which is the more the more alike the two are (`metrics.together`). Where one is shown to its end it
needs no more, and the other is tested at the full level (Holm 1979).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from router_lab.fit.choose import Acting, Actions, Choice, Option, choose
from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.model import READS
from router_lab.metrics import MIN_CLUSTERS
from router_lab.metrics.bound import caution_at
from router_lab.metrics.estimate import by_cluster
from router_lab.metrics.paired import Ints
from router_lab.metrics.together import ALIKE, confidence_of_second

FIRST = 0.85
"""Share of the error for the choice among all: where it reads something that tells, the mix hardly
ever saves more."""

READING = 0.85
"""Share of the error that is tested at where prompts or answers are read. Which class the halves
settle on follows the luck of the rows that test it: at the full .10 a reader and a candidate for
everything that both lose a little more than is allowed passed in .118 of 1,000 draws, and so in
.106 (`make bench-guarantee`); thirty signals of noise did in .115 of 200
(tests/bench/chain_worlds.py). Suites alone need none of it (.077 to .102)."""


LEAST_AHEAD = 0.005
"""Of the reference's cost (under a budget: of quality) that a choice must save more than the mix:
for less, nobody would keep a router, and on fresh rows such a lead is as often none."""


class Rivals(NamedTuple):
    """What is deployed, and the random mix that it was compared with: the same where nothing saves
    more."""

    deployed: Choice
    random_mix: Choice


def rivals(
    options: list[Option], actions: Actions, fixed: list[Option], always: Actions, evidence: Evidence, goal: Goal,
    acting: Acting | None = None,
) -> Rivals:  # fmt: skip
    """The better of two: chosen from `options` (actions [options, n]) and `fixed`, or from `fixed`
    alone, each of which sends all rows to one candidate. Options are chosen by bounds of half the
    error each. `acting`: see `choose`."""
    careful = replace(goal, confidence=(1 + goal.sure) / 2, promised=goal.confidence)
    mix = choose(fixed, always, evidence.everywhere(), careful)
    found = choose([*options, *fixed], np.concatenate([actions, always]), evidence, careful, acting)
    reads = evidence.answers or any(option.predictor == READS for option in options)
    sure = 1 - READING * (1 - goal.sure) if reads else goal.sure
    if not (found.promising and mix.promising):
        found, mix = kept(found.tested(sure)), kept(mix.tested(sure))
        return Rivals(mix if mix.promising else found, mix)
    alike = 0.0 if goal.strict else correlation(found, mix)
    first = sure if alike >= ALIKE else 1 - FIRST * (1 - sure)
    found, beside = found.tested(first), mix.tested(first)
    mix = mix.tested(confidence_of_second(sure, first, alike))
    if found.mix >= 1:
        beside = mix = mix.tested(sure)
    elif mix.mix >= 1:
        found, beside = found.tested(sure), mix.tested(sure)
    found, beside, mix = kept(found), kept(beside), kept(mix)
    return Rivals(found, beside) if ahead(found, beside) > LEAST_AHEAD else Rivals(mix, mix)


def without_gain(chained: Mapping[str, Choice], plain: Mapping[str, Choice]) -> dict[str, Choice] | None:
    """By point, what was chosen without chains, where no point gains anything by them on left-out
    rows; None where one does.

    That, too, takes the better of two tests on the same rows, so the plain ones are tested again
    where it needs a higher confidence that with the promised one neither errs; None where none
    would do.
    """
    found = {}
    for name, mine in chained.items():
        other, goal = plain[name], mine.goal
        if ahead(mine, other) > 0:
            return None
        promised = goal.confidence if goal.promised is None else goal.promised
        alike = 0.0 if goal.strict else correlation(mine, other)
        if goal.confidence <= promised and alike < ALIKE:
            return None
        needed = confidence_of_second(promised, max(promised, goal.confidence), alike)
        if needed > other.goal.confidence:
            other = kept(other.tested(needed))
        if ahead(mine, other) > 0:
            return None
        found[name] = other
    return found


def kept(choice: Choice) -> Choice:
    """The choice, or nothing in its place where it gains nothing on the rows that it has not
    seen."""
    if not choice.acts:
        return choice
    mine = choice.plain()
    gained = mine.gain() if choice.goal.kind == "budget" else mine.saving()
    return choice if gained.value > 0 else replace(choice, pieces=())


def lost_suites(suite: Ints, found: Iterable[Rivals]) -> set[int]:
    """The suites [n] in which what is deployed is shown to lose more than its margin, after
    Bonferroni's correction."""
    codes, lost = np.unique(suite), set()
    for choice in (pair.deployed for pair in found):
        if choice.goal.kind != "margin" or not choice.acts:
            continue
        mine, sure = choice.paired(), 1 - (1 - choice.goal.confidence) / len(codes)
        for code in codes:
            gain = mine.take(suite == code).gain()
            if gain.independent >= MIN_CLUSTERS and gain.high(sure) < choice.goal.floor:
                lost.add(int(code))
    return lost


def correlation(one: Choice, other: Choice) -> float:
    """Of the two means that are tested, over clusters; what was not seen of losses counts as each
    one's own."""
    if one.action.shape == other.action.shape and (one.action == other.action).all():
        return 1.0
    first, second = (c.evidence.values(c.action, c.goal).mean(axis=1) for c in (one, other))
    both = ~np.isnan(first + second)
    columns = {"one": first[both], "other": second[both]}
    sums, sizes = by_cluster(columns, one.evidence.group[both])
    n = sizes.sum()
    gone = {name: total - total.sum() / n * sizes for name, total in sums.items()}
    unseen = 0.0
    if one.goal.kind != "budget":
        unseen = float(caution_at(one.goal.confidence) * (sizes * sizes * sizes).sum() / n)
    squares = [float((part * part).sum()) + unseen for part in gone.values()]
    if not min(squares) > 0:
        return 0.0
    return float((gone["one"] * gone["other"]).sum() / np.sqrt(squares[0] * squares[1]))


def ahead(one: Choice, other: Choice) -> float:
    """How much more `one` gains than `other` on left-out rows: of the reference's cost, under a
    budget of quality."""
    mine, base = one.paired(), other.paired()
    if one.goal.kind == "budget":
        return mine.against(base, mine.moved).gain().value
    return mine.over(base).value
