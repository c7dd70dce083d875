"""What a race would do, before it starts or goes on: its waves, rule and control share, and
between which dollars it ends; and a picture of how it stands: what each candidate ran whole, where
the control share alone, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np

from router_lab.columns import aligned, named
from router_lab.racing.prior_outlook import render_prior
from router_lab.racing.race import RaceRule, least_clusters
from router_lab.racing.suite import SuiteRace
from router_lab.runtime.model import Candidate
from router_lab.runtime.visible import visible

Where = tuple[str, Candidate]
Done = Mapping[Where, set[tuple[str, int]]]
"""Finished (sample id, epoch) by suite and candidate."""
Costs = Mapping[Where, tuple[float | None, int]]
"""Dollars of the samples × epochs that a candidate lacks of a suite, and how many these are; None
= unknown."""
WIDTH = 40
WHOLE, CONTROL, AHEAD = "█", "░", "·"


def race_outlook(
    rule: RaceRule, reference: Candidate | None, suites: Sequence[SuiteRace], costs: Costs, done: Done
) -> dict[str, object]:
    """The rule, and per suite the waves, the control share, how it stands, and a range of dollars.

    `least_usd`: the next wave and then the control share alone, were a suite settled after it;
    `most_usd`: everything, of those still in. Both are of what is still lacking, over the
    candidates whose cost is known; `unknown`: samples of others, at most.
    """
    told, least, most, unknown = [], 0.0, 0.0, 0
    for one in suites:
        for column, entrant in enumerate(one.entrants):
            usd, samples = costs[one.suite, entrant.candidate]
            there = done.get((one.suite, entrant.candidate), set())
            low, high = (
                sum((name, epoch) not in there for name in due for epoch in range(1, entrant.epochs + 1))
                for due in (_at_least(one, column), _at_most(one, column))
            )
            if usd is None:
                unknown += high
            elif samples:
                least += usd * low / samples
                most += usd * high / samples
        clusters, needed = len(one.ends), least_clusters(rule)
        further = sum(one.control[one.sizes[0] :])
        told.append({
            "clusters": clusters, "short": needed if clusters < needed else None,
            "suite": one.suite, "candidates": len(one.entrants), "waves": one.sizes,
            "control": further, "floor": further, "standing": standing_line(one) if one.shown else None,
        })  # fmt: skip
    # `floor`: as it was called once, for programs that read --json.
    return {
        "rule": {**asdict(rule), "floor": rule.control_share}, "reference": reference and list(reference),
        "suites": told, "least_usd": least, "most_usd": most, "unknown": unknown,
    }  # fmt: skip


def _at_least(one: SuiteRace, column: int) -> Iterable[str]:
    """Due if everybody leaves after the next wave."""
    total = len(one.samples)
    if not one.race.racing[column]:
        return one.samples_of(column, total)
    upto = next((size for size in one.sizes if size > one.shown), total)
    rest = [name for name, kept in zip(one.samples[upto:], one.control[upto:], strict=True) if kept]
    return [*one.samples_of(column, upto), *rest]


def _at_most(one: SuiteRace, column: int) -> Iterable[str]:
    """Due if nobody leaves."""
    total = len(one.samples)
    open_ = one.race.racing[column] and (one.shown < total or one.catching_up is not None)
    return one.samples if open_ else one.samples_of(column, total)


def render_race(outlook: dict[str, Any]) -> str:
    """The same in words."""
    rule, who = outlook["rule"], outlook["reference"]
    against = "the best candidate" if who is None else str(Candidate(*who))
    lines = [
        f"race: for the cheapest candidate within {100 * rule['margin']:g} points of {against}, "
        f"confidence {rule['confidence']:g} a suite; who leaves still runs {rule['control_share']:.0%} of the clusters"
    ]
    for suite in outlook["suites"]:
        sizes = suite["waves"]
        shown = ", ".join(map(str, sizes[:4])) + (f", … {sizes[-1]}" if len(sizes) > 4 else "")
        who, in_ = _counted(suite["candidates"], "candidate"), _counted(len(sizes), "wave")
        lines.append(
            f"  {suite['suite']}: {who}, {in_} (samples {shown}), control share {suite['control']} further samples of "
            "each"
        )
        if suite["short"]:
            lines.append(
                f"    {suite['clusters']} clusters are too few for anything to be settled at this margin, even between "
                f"equals (it takes about {suite['short']}): losers may leave, the others run to the end"
            )
        lines += [f"    so far {suite['standing']}"] if suite["standing"] else []
    lines.append("  " + _dollars(outlook))
    lines += render_prior(outlook["prior"]) if "prior" in outlook else []
    return "\n".join(map(visible, lines))


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _dollars(outlook: Mapping[str, object]) -> str:
    least, most, unknown = outlook["least_usd"], outlook["most_usd"], outlook["unknown"]
    if most == 0 and unknown:
        return f"dollars unknown: no cost is known of the candidates that lack samples, {unknown} at most"
    if most == 0:
        return "nothing left to pay: the race is over"
    some = f", and at most {unknown} samples of candidates whose cost is unknown" if unknown else ""
    return (
        f"between ${least:.4f} (all settled after the next wave, then the control share) and ${most:.4f} (nobody "
        f"leaves any more){some}"
    )


def race_picture(one: SuiteRace) -> str:
    """A line on the outcome, then a bar for each candidate, in file order: the suite's samples in
    the race's order, and what lies ahead of a race that has not come to its end."""
    total = len(one.samples)
    reasons = {gone.candidate: f"{gone.reason.words} after {gone.after}" for gone in one.eliminations}
    if one.winner is not None:
        reasons[one.winner] = f"settled on after {one.shown}"
    still = "ran to the end" if one.shown == total else "still in"
    rows = [
        (named(who), _bar(one, column, total), reasons.get(who, still))
        for column, who in enumerate(one.candidates)
    ]
    return "\n".join([visible(standing_line(one)), *aligned(rows, texts=(0, 2), indent=2)])


def standing_line(one: SuiteRace) -> str:
    """What a suite was settled on, or who is still in, and what is saved: samples, and about what
    share of dollars."""
    total = len(one.samples)
    spared = [total - len(one.samples_of(j, total)) for j in range(len(one.entrants))]
    left = f"{sum(spared)} of {total * len(one.entrants)} samples saved"
    price = one.race.price
    if sum(spared) and np.isfinite(price).all() and price.sum() > 0:
        left += f", about {(price * spared).sum() / (price * total).sum():.0%} of the dollars"
    if one.winner is not None:
        return f"{one.suite}: settled on {one.winner} after {one.shown} of {total} samples; {left}"
    names = [
        str(who) + (" (waits)" if one.race.waiting[j] and one.shown < total else "")
        for j, who in enumerate(one.candidates)
        if one.race.racing[j]
    ]
    return f"{one.suite}: {'not settled' if one.shown == total else 'still in'}: {', '.join(names)}; {left}"


def _bar(one: SuiteRace, column: int, total: int) -> str:
    marks = [WHOLE] * total
    for start, end in one.ranges(column, total):
        marks[start:end] = [CONTROL] * (end - start)
    if one.race.racing[column]:
        marks[one.shown :] = [AHEAD] * (total - one.shown)
    edges = [round(i * total / WIDTH) for i in range(WIDTH + 1)]
    cells = [marks[start : max(end, start + 1)] for start, end in pairwise(edges)]
    return "".join(max((WHOLE, CONTROL, AHEAD), key=cell.count) for cell in cells)
