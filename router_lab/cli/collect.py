"""`router-lab collect`: logs or tables, and prices, to outcomes."""

from __future__ import annotations

from pathlib import Path

import click

from router_lab.cli.common import print_path, step
from router_lab.cli.prices import price_file


@click.command()
@click.argument("sources", metavar="SOURCE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="outcomes.parquet to write."
)
@click.option(
    "--prices",
    type=click.Path(dir_okay=False, path_type=Path),
    help="prices.yaml; default: what the sweep was run with, else evals/prices.yaml. Tables are re-priced by it.",
)
@click.option("--suites", type=click.Path(dir_okay=False, path_type=Path), help="suites.yaml, for logs from elsewhere.")
@click.option("--caching", default="none", help="Prompt caching assumed in cost_usd: none or prefix.")
def collect(sources: tuple[Path, ...], out: Path, prices: Path | None, suites: Path | None, caching: str) -> None:
    """Turn SOURCES into OUT, with calls.parquet beside it.

    A source is a folder of .eval logs or one of them, a CSV, JSONL or Parquet table of outcomes (re-priced if --prices
    is given), or the JSONL file of a DecisionLog: the decisions of production whose outcome was logged.
    """
    from router_lab.collect import collect as run
    from router_lab.collect.tables import SUFFIXES
    from router_lab.outcomes import write_calls, write_outcomes

    only_tables = all(source.suffix in SUFFIXES for source in sources)
    file = None if only_tables or prices else price_file(None)
    with step(f"collecting {len(sources)} source{'s' * (len(sources) > 1)}"):
        outcomes, calls = run(sources, prices=prices, otherwise=file, suites=suites, caching=caching)
        if len(calls):
            write_calls(calls, out.with_name("calls.parquet"))
        write_outcomes(outcomes, out)
    counts = outcomes["status"].value_counts()
    click.echo(f"{len(outcomes)} outcomes: " + ", ".join(f"{n} {status}" for status, n in counts.items()), err=True)
    print_path(out)
