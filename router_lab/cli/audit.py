"""`router-lab audit`: the answers that people are to judge, where a model judged."""

from __future__ import annotations

import csv
from pathlib import Path

import click

from router_lab.cli.common import EXISTING_FILE, FILE, echo, print_path
from router_lab.runtime.errors import InputError
from router_lab.runtime.files import atomic_write

EXAMPLES = """\b
Examples:
  router-lab audit outcomes.parquet --samples bill/support/audit.csv --out labels.csv
  router-lab audit outcomes.parquet --suite support --count 80 --out labels.csv
  router-lab gate policies/support --outcomes outcomes.parquet --audit labels.csv
"""


@click.command(epilog=EXAMPLES)
@click.argument("outcomes", type=EXISTING_FILE)
@click.option("--out", required=True, type=FILE, help="CSV to fill in; it must not be there yet.")
@click.option("--suite", help="Default: the only one.")
@click.option(
    "--samples", type=EXISTING_FILE, help="Table whose column sample_id names them; default: drawn."
)
@click.option("--count", type=click.IntRange(1), default=50, show_default=True, help="Samples drawn.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the draw.")
def audit(outcomes: Path, out: Path, suite: str | None, samples: Path | None, count: int, seed: int) -> None:
    """Write every candidate's answers to some samples of OUTCOMES into a table for people to judge.

    Fill in its column `quality` (0 to 1) without looking up the candidate, and give the table to
    `gate --audit`: qualities are then corrected by the judge's error, and their intervals widened.
    """
    from router_lab.gates.to_judge import to_judge
    from router_lab.outcomes import read_outcomes

    if out.exists():
        raise InputError(f"{out}: is there already, perhaps with labels; name another file")
    ids = None if samples is None else _ids(samples)
    table = to_judge(read_outcomes(outcomes), suite, ids, count=count, seed=seed)
    # A lone \r in an answer, which ends a row for whoever reads it, is quoted by no other way.
    written = table.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    atomic_write(out, written.encode("utf-8", "replace"))
    echo(
        f"{len(table):,} answers to {table['sample_id'].nunique():,} samples; fill in `quality` of each, 0 to 1"
    )
    print_path(out)


def _ids(samples: Path) -> list[str]:
    from router_lab.outcomes.tablefile import read_table_file

    table, _, _ = read_table_file(samples)
    if "sample_id" not in table.columns:
        raise InputError(f"{samples}: column sample_id is missing; name the audit.csv of a suite")
    return [str(one) for one in table["sample_id"]]
