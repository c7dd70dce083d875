"""What a race would do, before it starts or goes on: its waves, rule and floor, and between which dollars it ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from inspect_ai.dataset import Sample

from router_lab.metrics.racing import least_clusters
from router_lab.runtime.model import Candidate
from router_lab.runtime.visible import visible
from router_lab.sweep.finished import cell_key
from router_lab.sweep.forecast import CellEstimate
from router_lab.sweep.lane import Lane, lanes_of
from router_lab.sweep.plan import Plan
from router_lab.sweep.race import RaceOptions
from router_lab.sweep.race_log import RaceLog
from router_lab.sweep.race_picture import standing_line

Done = Mapping[str, set[tuple[str, int]]]


def race_outlook(
    plan: Plan, estimates: Sequence[CellEstimate], options: RaceOptions, folder: Path, done: Done
) -> dict[str, Any]:
    """The rule, and per suite the waves, the floor, how it stands by `race.jsonl` in `folder`, and a range of dollars.

    `done`: finished (sample id, epoch) by cell. `least`: the next wave and then the floor alone, were a suite settled
    after it; `most`: everything, of those still in. Both are of what is still lacking, over the candidates whose cost
    is known; `unknown`: samples of others, at most. Raises InputError as the race itself would.
    """
    by_cell = {(e.suite, e.model, e.effort): e for e in estimates}
    lanes = lanes_of(plan, options.rule, options.reference)
    RaceLog(folder, options.rule, options.reference, lanes).replay()
    suites, least, most, unknown = [], 0.0, 0.0, 0
    for lane in lanes:
        for column, (cell, task) in enumerate(lane.cells):
            known, there = by_cell[lane.suite, cell.model, cell.effort], done.get(cell_key(cell), set())
            low, high = (
                sum((str(s.id), e) not in there for s in due for e in range(1, (task.epochs or 1) + 1))
                for due in (_at_least(lane, column), _at_most(lane, column))
            )
            if known.usd is None:
                unknown += high
            elif known.samples:
                least += known.usd * low / known.samples
                most += known.usd * high / known.samples
        first, clusters = lane.sizes[0], len(lane.ends)
        needed = least_clusters(options.rule)
        suites.append({
            "clusters": clusters, "short": needed if clusters < needed else None,
            "suite": lane.suite, "candidates": len(lane.cells), "waves": lane.sizes,
            "floor": sum(lane.floor[first:]), "standing": standing_line(lane) if lane.shown else None,
        })  # fmt: skip
    reference = None if options.reference is None else list(options.reference)
    return {"rule": asdict(options.rule), "reference": reference, "suites": suites, "least_usd": least,
            "most_usd": most, "unknown": unknown}  # fmt: skip


def _at_least(lane: Lane, column: int) -> Iterable[Sample]:
    """Due if everybody leaves after the next wave."""
    total = len(lane.samples)
    if not lane.race.racing[column]:
        return lane.samples_of(column, total)
    upto = next((size for size in lane.sizes if size > lane.shown), total)
    rest = [s for s, kept in zip(lane.samples[upto:], lane.floor[upto:], strict=True) if kept]
    return [*lane.samples_of(column, upto), *rest]


def _at_most(lane: Lane, column: int) -> Iterable[Sample]:
    """Due if nobody leaves."""
    total = len(lane.samples)
    open_ = lane.race.racing[column] and (lane.shown < total or lane.catching_up is not None)
    return lane.samples if open_ else lane.samples_of(column, total)


def render_race(outlook: dict[str, Any]) -> str:
    """The same in words."""
    rule, who = outlook["rule"], outlook["reference"]
    against = "the best candidate" if who is None else str(Candidate(*who))
    lines = [
        f"race: for the cheapest candidate within {100 * rule['margin']:g} points of {against}, "
        f"confidence {rule['confidence']:g} a suite; who leaves still runs {rule['floor']:.0%} of the clusters"
    ]
    for suite in outlook["suites"]:
        sizes = suite["waves"]
        shown = ", ".join(map(str, sizes[:4])) + (f", … {sizes[-1]}" if len(sizes) > 4 else "")
        who, in_ = _counted(suite["candidates"], "candidate"), _counted(len(sizes), "wave")
        lines.append(
            f"  {suite['suite']}: {who}, {in_} (samples {shown}), floor {suite['floor']} further samples of each"
        )
        if suite["short"]:
            lines.append(
                f"    {suite['clusters']} clusters are too few for anything to be settled at this margin, even between "
                f"equals (it takes about {suite['short']}): losers may leave, the others run to the end"
            )
        lines += [f"    so far {suite['standing']}"] if suite["standing"] else []
    lines.append("  " + _dollars(outlook))
    return "\n".join(map(visible, lines))


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _dollars(outlook: dict[str, Any]) -> str:
    least, most, unknown = outlook["least_usd"], outlook["most_usd"], outlook["unknown"]
    if most == 0 and unknown:
        return f"dollars unknown: no cost is known of the candidates that lack samples, {unknown} at most"
    if most == 0:
        return "nothing left to pay: the race is over"
    some = f", and at most {unknown} samples of candidates whose cost is unknown" if unknown else ""
    return (
        f"between ${least:.4f} (all settled after the next wave, then the floor) and ${most:.4f} (nobody leaves any "
        f"more){some}"
    )
