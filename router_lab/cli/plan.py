"""`router-lab plan`: samples, dollars and hours that a verdict needs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router_lab.cli.chains import pair_json, worth_of
from router_lab.cli.common import EXISTING_FILE, Finite, echo, json_option, print_json

if TYPE_CHECKING:
    import pandas as pd

    from router_lab.fit.pair import Pair
    from router_lab.metrics.twophase import Share
    from router_lab.plan import Need, Plan
    from router_lab.runtime.model import Candidate


@click.command()
@click.argument("outcomes", type=EXISTING_FILE)
@click.option("--margin", required=True, type=Finite(), help="Quality that may be lost: 0.02 = 2 points.")
@click.option(
    "--confidence",
    default=0.95,
    show_default=True,
    type=Finite(),
    help="Of the verdict; a recipe's is 0.90 by default.",
)
@click.option("--by-suite", is_flag=True, help="Each suite apart as well.")
@click.option(
    "--in-flight",
    default=10,
    show_default=True,
    type=click.IntRange(min=1),
    help="Samples under way at a time on one machine. Inspect asks a model 10 to 100 at once, as it is let.",
)
@click.option(
    "--machines",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="That run as many at a time each.",
)
@json_option
def plan(
    outcomes: Path,
    margin: float,
    confidence: float,
    by_suite: bool,
    in_flight: int,
    machines: int,
    as_json: bool,
) -> None:
    """Samples, dollars and hours until each candidate of OUTCOMES is shown to lose at most MARGIN
    against the best one.

    \b
    n          samples that both have        points   the difference in quality
    least      the smallest margin that n can show; `none` where n shows none
    verdict    or why it left the race (sweep --race): no further samples are due
    samples    further ones if that difference is the truth
    if equal   further ones if the candidate is as good as the best one
    dollars    what `samples` cost, of the candidate and the best one together
    hours      seconds of model time of `samples`, over how many are in flight; ? where `latency_s`
               is not known. Rate limits, tools and retries make it longer

    Where OUTCOMES hold answers, the last lines say whether signals of them are worth recording.
    """
    from router_lab.outcomes import read_outcomes
    from router_lab.plan import plan as run

    found = run(
        table := read_outcomes(outcomes),
        margin,
        confidence,
        by_suite=by_suite,
        in_flight=in_flight * machines,
    )
    pair = _chain(table, margin, found.reference)
    if as_json:
        print_json(asdict(found) | {"chain": None if pair is None else pair_json(pair)})
        return
    _print(found)
    echo(*([] if pair is None else [*worth_of(pair), "`router-lab chains` has every pair"]))


def _print(found: Plan) -> None:
    """What was planned for, and a line for each need."""
    from router_lab.columns import aligned

    margin, confidence = 100 * found.margin, found.confidence
    echo(
        f"planned for a margin of {margin:g} points at confidence {confidence:g}, against {found.reference}",
        "--margin and --confidence change that; a recipe's rule says its own, by default 3 points at 0.9",
        f"hours with {found.in_flight:,} samples under way at a time (--in-flight × --machines)",
        "samples are those judged; a fit holds a fifth back (holdout), so for its certificate run 1/4 more",
    )
    words = [f"left: {need.raced}" if need.raced else need.verdict for need in found.needs]
    rows = [("candidate", "n", "points", "least", "verdict", "samples", "if equal", "dollars", "hours")]
    for need, word in zip(found.needs, words, strict=True):
        where = "" if need.suite is None else f" on {need.suite}"
        least = "none" if need.smallest_margin >= 1 else f"{100 * need.smallest_margin:.2f}"
        further = ("–", "–", "–", "–") if need.raced else _further(need)
        points, who = f"{100 * need.difference:+.2f}", f"{need.candidate}{where}"
        rows.append((who, str(need.n), points, least, word, *further))
    echo(*aligned(rows, texts=(0, 4)))
    for need in found.needs:
        if need.two_phases is not None and not need.raced:
            echo(_two_phases(need.two_phases, need.candidate, found.reference))
    if any(need.raced for need in found.needs):
        echo(
            "what left a race was run on a random part alone, and each of those rows stands for many: hence wide bounds"
        )


def _chain(table: pd.DataFrame, margin: float, reference: Candidate) -> Pair | None:
    """Of whom a perfect signal would save most; None where outcomes hold neither answers nor
    signals of them."""
    from router_lab.fit.pairs import best_pair
    from router_lab.outcomes.trials import signals_of

    held = any(name in table.columns and table[name].notna().any() for name in ("answer", "check"))
    return best_pair(table, margin, reference) if held or signals_of(table) else None


def _two_phases(part: Share, candidate: Candidate, reference: Candidate) -> str:
    """What a drawn part of the reference spares, and how to ask for it."""
    return (
        f"two phases for {candidate}: `reference_share: {part.share:g}`, {part.samples:,} more samples of the others, "
        f"{part.of_reference:,} of {reference}: ${part.dollars:,.2f} instead of ${part.whole:,.2f} for all on all; the "
        f"others' outcomes explain {part.explained:.0%} of the difference (docs/two-phases.md)"
    )


def _further(need: Need) -> tuple[str, str, str, str]:
    count = "never" if need.samples is None else f"{need.samples:,}"
    equal = "never" if need.if_equal is None else f"{need.if_equal:,}"
    return count, equal, _figure(need.dollars), _figure(need.hours)


def _figure(value: float | None) -> str:
    """Dollars or hours, with as many digits as tell them from nothing."""
    return "?" if value is None else f"{value:,.{2 if value >= 1 or value == 0 else 4}f}"
