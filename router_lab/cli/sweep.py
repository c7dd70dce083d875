"""`router-lab sweep`: generate what is missing of a grid."""

from __future__ import annotations

from pathlib import Path

import click

from router_lab.cli.common import print_path


@click.command()
@click.argument("sweep_file", metavar="SWEEP.yaml", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--log-dir", type=click.Path(file_okay=False, path_type=Path), help="Default: logs/NAME of the sweep.")
@click.option("--limit", type=click.IntRange(min=1), help="At most this many samples per suite, for a trial.")
@click.option("--budget-usd", type=click.FloatRange(min=0, min_open=True), help="Never spend more, all runs together.")
@click.option("--quiet", is_flag=True, help="No progress.")
def sweep(sweep_file: Path, log_dir: Path | None, limit: int | None, budget_usd: float | None, quiet: bool) -> None:
    """Run suites across candidates, and print the log directory.

    Run it again after any interruption: finished samples are kept, and only what is missing or failed is asked for.
    """
    from router_lab.config import Sweep, load
    from router_lab.sweep import run_sweep

    folder = log_dir or Path("logs") / load(Sweep, sweep_file).name
    result = run_sweep(sweep_file, folder, limit=limit, budget_usd=budget_usd, quiet=quiet)
    click.echo(
        f"{result.needed} samples: {result.reused} kept, {result.generated} generated, {result.failed} failed", err=True
    )
    if result.unrun:
        spent = f"budget reached: ${result.spent_usd:.4f} spent"
        click.echo(f"{spent}, {result.unrun} samples not run; a larger budget continues them", err=True)
    print_path(folder)
