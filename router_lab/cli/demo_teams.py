"""The demo's section on teams: three roles, three small models, and which teams serve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from router_lab.cli.common import echo, echo_block, step
from router_lab.runtime.artifact import save_revision
from router_lab.runtime.files import atomic_write

if TYPE_CHECKING:
    import pandas as pd

SWEEP = Path("evals/sweeps/workflow.yaml")
RECIPE = Path("policies/teams/recipe.yaml")


def show_teams(outcomes: pd.DataFrame, out: Path) -> list[tuple[str, Path]]:
    """Print teams and what a fit makes of them; returns (what, where) of what is written under
    `out`, where outcomes and calls are."""
    from router_lab.cli.fit import summary
    from router_lab.config import Recipe, load
    from router_lab.fit import fit_policy
    from router_lab.outcomes import read_calls
    from router_lab.report import report_html
    from router_lab.report.steps import steps_found
    from router_lab.report.teams import teams_found
    from router_lab.report.teams_page import teams_lines

    calls = read_calls(out / "calls.parquet")
    lines = teams_lines(teams_found(outcomes, calls, steps_found(outcomes, calls)))
    echo_block("\n" + "\n".join(lines[: lines.index("")]))  # by role they stand in the report
    with step("fitting teams"):
        policy = fit_policy(load(Recipe, RECIPE), outcomes)
        directory = save_revision(policy, out / "policy")
    echo("", *summary(policy))
    with step("writing the teams' report.html"):
        page = report_html(outcomes, policy=policy, calls=calls)
    return [("by role", atomic_write(out / "report.html", page.encode())), ("teams", directory)]
