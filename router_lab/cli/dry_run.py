"""`router-lab sweep --dry-run`: what a sweep will cost, before it starts."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from router_lab.cli.common import echo, echo_block, print_json, step
from router_lab.cli.races import at_new_prices
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate

if TYPE_CHECKING:
    import pandas as pd

    from router_lab.cli.sweep import SweepOptions
    from router_lab.sweep import CellEstimate, Plan


def _as_row(estimate: CellEstimate) -> dict[str, object]:
    """With the candidate's own fields after the suite."""
    row = asdict(estimate)
    rest = {key: value for key, value in row.items() if key not in ("suite", "candidate")}
    return {"suite": estimate.suite, **estimate.candidate.named(), **rest}


def print_estimate(options: SweepOptions, history: Path | None, as_json: bool) -> None:
    """Print what is lacking will cost, by cell; of a race also how it will go. Raises
    InputError."""
    from router_lab.places import copy

    with copy(options.folder) as folder:
        _estimate_in(folder, options, history, as_json)


def _estimate_in(folder: Path, options: SweepOptions, history: Path | None, as_json: bool) -> None:
    """Print dollars per candidate and suite, for what the log directory does not hold yet."""
    from router_lab.racing.outlook import render_race
    from router_lab.sweep import estimate
    from router_lab.sweep.drawn import spared_usd, told
    from router_lab.sweep.finished import disown_buffers, finished_samples, missing_samples
    from router_lab.sweep.forecast import render, total
    from router_lab.sweep.ledger import budget_left
    from router_lab.sweep.race import outlook_of

    plan, race = options.prepared(), options.race
    disown_buffers(folder)  # as the sweep will, which then finds what is in them
    rows, causes = _history(plan, folder, history)
    then = None
    if race is not None and race.earlier is not None:
        then, why = at_new_prices(race.earlier, plan)
        rows, causes = (then, why) if rows is None else (_with_others(rows, then), why | causes)
    estimates = estimate(plan, rows, missing_samples(plan, folder), causes)
    each, left = plan.grid.sweep.limits.usd, budget_left(plan, folder)
    racing = None
    if race is not None:
        there = finished_samples(folder, plan)
        with nullcontext() if then is None else step("replaying races on the earlier outcomes"):
            racing = outlook_of(plan, estimates, race, folder, there, then)
    if as_json:
        cells = [_as_row(one) for one in estimates]
        extra: dict[str, object] = {} if racing is None else {"race": racing}
        if plan.drawn is not None:
            extra["reference_share"] = {
                "share": plan.drawn.share,
                "spared_usd": spared_usd(plan.drawn, estimates),
            }
        print_json(
            {"cells": cells, "total": total(estimates, each, left), "lacking": list(plan.lacking), **extra}
        )
        return
    grid = [] if racing is None else ["of the whole grid, were it not a race, there is lacking:"]
    lines = [*grid, render(estimates, each, left)] + ([] if racing is None else [render_race(racing)])
    lines += [] if plan.drawn is None else [told(plan.drawn, estimates)]
    echo_block("\n".join(lines))
    for line in plan.boundaries():
        echo(line, err=True)
    if plan.lacking:
        echo(*(f"before it can run: {cause}" for cause in plan.lacking))


def _with_others(rows: pd.DataFrame, then: pd.DataFrame) -> pd.DataFrame:
    """Rows of this sweep, and earlier ones of those cells that it has none of."""
    import pandas as pd

    from router_lab.outcomes import by_row

    there = set(zip(rows["suite"], by_row(rows), strict=True))
    cells = zip(then["suite"], by_row(then), strict=True)
    return pd.concat([rows, then[[cell not in there for cell in cells]]], ignore_index=True)


def _history(
    plan: Plan, folder: Path, given: Path | None
) -> tuple[pd.DataFrame | None, dict[tuple[str, Candidate], str]]:
    """(outcomes of earlier samples: a table or log folder that the user names, else what the log
    directory holds; by suite, model and effort why what is there could not be read or priced)."""
    import pandas as pd

    from router_lab.collect import collect
    from router_lab.providers.evallog import all_logs, log_cell

    if given is None and not (folder.is_dir() and any(folder.rglob("*.eval"))):
        return None, {}
    table = plan.prices()
    try:
        return collect([given or folder], prices=table, answers=False)[0], {}
    except InputError:
        if given is not None:
            raise
    # One candidate's fault hides no other's figures: each log by itself.
    frames, causes = [], {}
    for path in all_logs([folder])[0]:
        try:
            frames.append(collect([path], prices=table, as_logged=True)[0])
        except InputError as error:
            cell = log_cell(path)
            if cell is not None:
                causes[cell] = str(error)
    return (pd.concat(frames, ignore_index=True) if frames else None), causes
