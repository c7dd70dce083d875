"""The demo's section on teams: three roles of three small models, and who may do what."""

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


def show_teams(outcomes: pd.DataFrame, out: Path) -> None:
    """Teams by role and the team that a fit takes; the page and the policy are written under
    `out`, where outcomes and calls are."""
    from router_lab.cli.fit import summary
    from router_lab.config import Recipe, load
    from router_lab.fit import fit_policy
    from router_lab.outcomes import read_calls
    from router_lab.report import report_html
    from router_lab.report.steps import Validator, steps_found
    from router_lab.report.teams import teams_found
    from router_lab.report.teams_page import teams_lines

    calls = read_calls(out / "calls.parquet")
    steps = steps_found(outcomes, calls, Validator())
    echo_block("\n" + "\n".join(teams_lines(teams_found(outcomes, calls, steps))))
    with step("fitting"):
        policy = fit_policy(load(Recipe, RECIPE), outcomes)
        directory = save_revision(policy, out / "policy")
    echo("", *summary(policy))
    with step("writing the teams' report.html"):
        page = report_html(outcomes, policy=policy, calls=calls)
        atomic_write(out / "report.html", page.encode())
    echo(f"report    {out / 'report.html'}", f"policy    {directory}")
