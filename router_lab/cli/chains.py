"""`router-lab chains`: whether asking a cheap candidate first would pay, pair by pair."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from router_lab.cli.common import EXISTING_FILE, Finite, echo, json_option, print_json, step
from router_lab.runtime.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from router_lab.certificate import Figure
    from router_lab.fit.pair import Pair, Seconds

DRAWS = 3
"""Of a sample, by which an agreement's price is told."""


@click.command()
@click.argument("outcomes", type=EXISTING_FILE)
@click.option(
    "--reference",
    nargs=2,
    metavar="MODEL EFFORT",
    help="Who is asked second ('' = no effort set); default: the best candidate.",
)
@click.option(
    "--margin",
    default=0.02,
    show_default=True,
    type=Finite(),
    help="Quality that may be lost against the reference: 0.02 = 2 points.",
)
@click.option("--suite", help="Of this suite alone; by default of all together.")
@json_option
def chains(
    outcomes: Path, reference: tuple[str, str] | None, margin: float, suite: str | None, as_json: bool
) -> None:
    """Would it pay to ask a cheaper candidate of OUTCOMES first, and the reference where its answer
    seems wrong?

    \b
    ratio      dollars of the cheaper one over the reference's, mean of a request
    right      how often it is; `alone`: where the reference is not
    mix        saved without signals: requests go to one of the two at random
    perfect    at most saved: a signal that always knows; `$ / 1,000` requests
    told by    what says whether an answer is right; `together` is all of it
    AUC        how well: 1 always, 0.5 not at all; with its 95 % interval
    from, beats mix  the AUC from which anything is saved, and more than by the mix
    asked on   requests that ask the reference too, so that no more than MARGIN is shown to be lost
    ratio <    the price ratio (with signals) below which this saves anything

    A model of each signal is learned on some rows and judged on others, as in a fit; `fit` looks at
    chains of three as well, and says what of it is deployed.
    """
    from router_lab.columns import aligned
    from router_lab.fit.pairs import pairs
    from router_lab.outcomes import read_outcomes
    from router_lab.runtime.model import Candidate

    who = None if reference is None else Candidate(reference[0], reference[1] or None)
    table = _of(read_outcomes(outcomes), suite)
    with step("playing pairs"):
        found = pairs(table, margin, reference=who)
    if as_json:
        print_json({"margin": margin, "pairs": [pair_json(pair) for pair in found]})
        return
    echo(f"asked first, then {found[0].dear} where that pays, at a margin of {100 * margin:g} points")
    echo(*_bounds(found), "")
    if any(pair.told for pair in found):
        echo(*_signals(found), "")
    echo(*aligned([(str(pair.cheap), verdict_of(pair)) for pair in found], texts=(0, 1)))
    echo(*worth_of(found[0]))


def _of(table: pd.DataFrame, suite: str | None) -> pd.DataFrame:
    """The rows of a suite. InputError where there are none."""
    if suite is None:
        return table
    names = sorted(set(table["suite"]))
    if suite not in names:
        raise InputError(f"chains: --suite {suite!r}: the outcomes hold {', '.join(map(repr, names))}")
    return table[table["suite"] == suite].reset_index(drop=True)


def pair_json(pair: Pair) -> dict[str, Any]:
    """A pair as JSON: candidates by their names, figures as in a certificate."""
    return {one.name: _plain(getattr(pair, one.name)) for one in fields(pair)}


def _plain(value: object) -> Any:
    from router_lab.certificate import Figure
    from router_lab.fit.pair import Told
    from router_lab.runtime.model import Candidate

    if isinstance(value, Candidate):
        return value.named()
    if isinstance(value, Figure):
        return value.to_json()
    if isinstance(value, Told):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, tuple):
        named = getattr(value, "_asdict", None)
        return [_plain(one) for one in value] if named is None else named()
    return value


def _bounds(found: tuple[Pair, ...]) -> list[str]:
    from router_lab.columns import aligned
    from router_lab.report.format import money, percent

    head = ("asked first", "n", "ratio", "right", "alone", "mix", "perfect", "$ / 1,000")
    rows = [
        (str(pair.cheap), f"{pair.n:,}", f"{pair.ratio:.3f}", percent(pair.right), percent(pair.alone),
         percent(pair.mix), percent(pair.perfect.saving), money(1000 * pair.perfect.usd))
        for pair in found
    ]  # fmt: skip
    return aligned([head, *rows], texts=(0,))


def _signals(found: tuple[Pair, ...]) -> list[str]:
    from router_lab.columns import aligned
    from router_lab.report.format import percent, points

    head = ("asked first", "told by", "AUC", "from", "beats mix", "asked on", "saved", "points", "ratio", "ratio <",
            "P50 s", "P95 s")  # fmt: skip
    rows = [
        (str(pair.cheap), one.source, _auc(one.auc), _needed(one.needed), _needed(one.needed_over_mix),
         percent(one.share), _percent(one.saving), points(one.quality.value), f"{one.ratio:.3f}",
         f"{one.break_even:.3f}", *_seconds(one.seconds))
        for pair in found for one in pair.told
    ]  # fmt: skip
    alone = ("the reference alone", *["–"] * 9, *_seconds(found[0].seconds))
    return aligned([head, *rows, alone], texts=(0, 1))


def verdict_of(pair: Pair) -> str:
    """`pays: …`, `does not pay: …` or `not shown: …`, with what the best source saves."""
    best = pair.best
    if best is None or pair.word == "does not pay":
        return f"{pair.word}: {pair.reason}"
    beside = f"{_percent(best.over_mix)} of the reference's cost"
    if pair.word == "pays":
        return f"{pair.word}: {pair.reason}, by {beside}"
    return f"{pair.word}: {pair.reason}; so far {best.source} saves {beside} beside the random mix"


def worth_of(pair: Pair) -> list[str]:
    """What a signal would be worth, per 1,000 requests, beside what it costs to know it."""
    from router_lab.report.format import money

    most, mix, call = (1000 * usd for usd in (pair.perfect.usd, pair.mix * pair.dear_usd, pair.cheap_usd))
    known = pair.best
    here = (
        ""
        if known is None
        else f", {known.source} {money(1000 * (known.saving.value or 0.0) * pair.dear_usd)}"
    )
    kinds = (("log-probabilities", 0.0), ("self_check", call), (f"agreement of {DRAWS}", (DRAWS - 1) * call))
    told = ", ".join(f"{name} {money(usd) if usd else 'nothing'}" for name, usd in kinds)
    worth = [name for name, usd in kinds if most - usd > max(mix, 0.0)]
    said = f"worth recording at most: {', '.join(worth)}" if worth else "no signal is worth recording"
    return [
        f"signals of {pair.cheap}, then {pair.dear}, in 1,000 requests: a perfect one would save {money(most)}, the "
        f"random mix saves {money(mix)}{here}",
        f"to know costs about: {told}; {said} (docs/signals.md)",
    ]


def _auc(figure: Figure | None) -> str:
    if figure is None or figure.value is None:
        return "–"
    ends = (figure.low, figure.high)
    reach = "" if None in ends else f" [{_within(figure.low):.2f}, {_within(figure.high):.2f}]"
    return f"{figure.value:.3f}{reach}"


def _within(value: float | None) -> float:
    return min(1.0, max(0.0, value or 0.0))


def _needed(value: float | None) -> str:
    return "never" if value is None else f"{value:.3f}"


def _percent(figure: Figure) -> str:
    from router_lab.report.format import percent

    ends = (figure.low, figure.high)
    reach = "" if None in ends else f" [{100 * (ends[0] or 0):.1f}, {100 * (ends[1] or 0):.1f}]"
    return percent(figure.value) + reach.replace("-", "−")


def _seconds(taken: Seconds | None) -> tuple[str, str]:
    return ("–", "–") if taken is None else (f"{taken.p50:.2f}", f"{taken.p95:.2f}")
