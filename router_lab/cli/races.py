"""How `sweep --race` races: the terms in the sweep file, and what an earlier sweep lets expect."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from router_lab.cli.places import addresses_in
from router_lab.runtime.addresses import is_address, local_path
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate

if TYPE_CHECKING:
    import pandas as pd

    from router_lab.config.sweep import RaceSpec
    from router_lab.racing.earlier import Earlier
    from router_lab.sweep import Plan, RaceOptions

OFF = 30
"""So many times what its tokens cost, or one such part of it, a cost is in another unit."""
TOKENS = ("input_tokens", "output_tokens")


def race_options(sweep_file: Path, prior: Path | None) -> RaceOptions:
    """The sweep file's `race:`, with `collect` to measure what came back: stages meet in the
    command alone. `prior`: earlier outcomes instead of the file's own. Raises InputError."""
    from router_lab.collect import collect
    from router_lab.config import Sweep, load
    from router_lab.racing.race import RaceRule
    from router_lab.sweep import RaceOptions

    spec = load(Sweep, sweep_file).race
    reference = None if spec.reference == "best" else spec.reference.candidate
    rule = RaceRule(spec.margin, spec.confidence, spec.control_share)
    return RaceOptions(
        rule, lambda logs, prices: collect(list(logs), prices=prices, as_logged=True)[0], reference,
        _earlier(spec, sweep_file.parent, prior),
    )  # fmt: skip


def _earlier(spec: RaceSpec, base: Path, given: Path | None) -> Earlier | None:
    from router_lab.racing.earlier import Earlier

    if given is not None:
        found = Earlier.read(given, spec.was)
        found.file = addresses_in(found.file)
        return found
    if spec.prior is None:
        return None
    return Earlier.read(spec.prior if is_address(spec.prior) else base / local_path(spec.prior), spec.was)


def at_new_prices(earlier: Earlier, plan: Plan) -> tuple[pd.DataFrame, dict[tuple[str, Candidate], str]]:
    """Earlier outcomes under the names of the plan's candidates, `cost_usd` from their tokens at
    the plan's prices; and, by suite and candidate, why there are no dollars.

    Without tokens only a candidate that is in both sweeps has what it cost. Raises InputError for
    dollars that are none.
    """
    import pandas as pd

    from router_lab.collect.anew import reprice
    from router_lab.racing.earlier import SAME

    parts, causes, table = [], dict[tuple[str, Candidate], str](), plan.prices()
    for who in dict.fromkeys(cell.candidate for cell, _ in plan.tasks):
        part = earlier.as_if([who])
        if part.empty:
            continue
        told = all(name in part and part[name].notna().any() for name in TOKENS)
        try:
            if told:
                was, part = part, reprice(part, Path(earlier.file), table, "none", every=True)
                _refuse_other_units(was, part, who, earlier)
            elif earlier.stand_in(who).how != SAME:
                raise InputError(f"{earlier.file}: has no tokens of who stands for {who}, to price anew")
        except UnknownDollars:
            raise
        except InputError as error:
            causes |= {(cell.suite, who): str(error) for cell, _ in plan.tasks if cell.candidate == who}
            part = part.assign(cost_usd=float("nan"))
        parts.append(part)
    return (pd.concat(parts, ignore_index=True) if parts else earlier.frame.iloc[:0]), causes


class UnknownDollars(InputError):
    """A cost that is not in dollars."""


def _refuse_other_units(was: pd.DataFrame, now: pd.DataFrame, who: Candidate, earlier: Earlier) -> None:
    from router_lab.racing.earlier import SAME

    if earlier.stand_in(who).how != SAME or "cost_usd" not in was:
        return
    both = was["cost_usd"].reset_index(drop=True), now["cost_usd"].reset_index(drop=True)
    ratio = (both[0] / both[1])[(both[0] > 0) & (both[1] > 0)].median()
    if ratio > OFF or ratio < 1 / OFF:
        raise UnknownDollars(
            f"{earlier.file}: cost_usd of {who} is {ratio:.3g} times what its tokens cost at the sweep's prices; the "
            "column is in dollars: give the file in dollars, or price it anew, router-lab collect FILE --prices F "
            "--reprice"
        )
