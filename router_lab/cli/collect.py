"""`router-lab collect`: logs or tables, and prices, to outcomes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from router_lab.cli.common import FILE, echo, print_path, step
from router_lab.cli.places import Place
from router_lab.cli.prices import price_file


@click.command()
@click.argument("sources", metavar="SOURCE…", nargs=-1, required=True, type=Place(beside=("calls.parquet",)))
@click.option("--out", required=True, type=FILE, help="outcomes.parquet to write.")
@click.option(
    "--prices",
    type=FILE,
    help="prices.yaml; default: what the sweep was run with, else evals/prices.yaml. Rows of tables "
    "are priced by it where they have no dollars, or have them by earlier prices.",
)
@click.option(
    "--reprice", is_flag=True,
    help="With --prices: tables' rows by tokens and prices, even where cost_usd is the table's own.",
)  # fmt: skip
@click.option("--suites", type=FILE, help="suites.yaml, for logs from elsewhere.")
@click.option("--caching", default="none", help="Prompt caching assumed in cost_usd: none or prefix.")
@click.option("--no-answers", is_flag=True, help="Leave the answers out; signals of them stay.")
@click.option(
    "--agreement", is_flag=True, help="Share of a sample's other epochs that say the same, as a signal."
)
@click.option("--map", "names", multiple=True, metavar="OURS=YOURS", help="Columns of a table by our names.")
@click.option("--suite", metavar="NAME", help="The suite of every row, for tables without a column of it.")
@click.option(
    "--wide",
    multiple=True,
    metavar="COLUMNS",
    help="Columns that hold the quality of the model that they name: names, globs or {model}_score.",
)
@click.option(
    "--wide-column",
    "wide_columns",
    multiple=True,
    metavar="OURS={model}…",
    help="What else stands in a column for each model.",
)
@click.option(
    "--candidate",
    "candidates",
    multiple=True,
    nargs=3,
    metavar="NAME MODEL EFFORT",
    help="What a table calls a model, and its model and effort ('' = the default).",
)
@click.option("--delimiter", help="Between columns: one character, or tab; by default found out.")
@click.option("--decimal", help="Decimal sign of a text table: , or . (by default found out).")
@click.option(
    "--encoding", help="Of text tables, such as cp1252; by default UTF-8, or what its first bytes say."
)
def collect(
    sources: tuple[Path, ...], out: Path, prices: Path | None, reprice: bool, suites: Path | None, caching: str,
    no_answers: bool, agreement: bool,
    names: tuple[str, ...], suite: str | None, wide: tuple[str, ...], wide_columns: tuple[str, ...],
    candidates: tuple[tuple[str, str, str], ...],
    delimiter: str | None, decimal: str | None, encoding: str | None,
) -> None:  # fmt: skip
    """Turn SOURCES into OUT, with calls.parquet beside it.

    A source is a folder of .eval logs or one of them, a CSV, TSV, JSONL or Parquet table of
    outcomes, or the JSONL file of a DecisionLog: the decisions of production whose outcome was
    logged. With --prices the candidates of a table have prices, and its rows without dollars get
    them; a cost_usd of its own stays, unless --reprice is given. OUT holds the candidates' answers,
    unless --no-answers.
    """
    from router_lab.collect import collect as run
    from router_lab.outcomes import write_calls, write_outcomes
    from router_lab.outcomes.tablefile import table_kind

    only_tables = all(table_kind(source) is not None for source in sources)
    file = None if only_tables or prices else price_file(None)
    with step(f"collecting {len(sources)} source{'s' * (len(sources) > 1)}"):
        outcomes, calls = run(
            sources, prices=prices, otherwise=file, suites=suites, caching=caching, answers=not no_answers,
            agreement=agreement, reprice=reprice, map=pairs(names, "--map"), suite=suite, wide=wide,
            wide_columns=pairs(wide_columns, "--wide-column"),
            candidates={name: (model, effort or None) for name, model, effort in candidates},
            delimiter={"tab": "\t", r"\t": "\t"}.get(delimiter or "", delimiter), decimal=decimal, encoding=encoding,
        )  # fmt: skip
        if len(calls):
            write_calls(calls, out.with_name("calls.parquet"))
        write_outcomes(outcomes, out)
    told = outcomes.attrs
    for note in [*(f"read as: {one}" for one in told.get("notes", ())), *told.get("dollars", ())]:
        echo(note, err=True)
    counts = outcomes["status"].value_counts()
    echo(f"{len(outcomes)} outcomes: " + ", ".join(f"{n} {status}" for status, n in counts.items()), err=True)
    for line in _not_counted(outcomes.attrs.get("provenance", {})):
        echo(line, err=True)
    print_path(out)


def _not_counted(provenance: Mapping[str, Any]) -> list[str]:
    """What is no evidence about a candidate, by kind; and logs that gave none. Nothing where all
    counts."""
    from router_lab.collect.evidence import told

    lines = told(provenance.get("left_out", []))
    head = ["no evidence, so neither right nor wrong:"] if lines else []
    logs = [f"  {one['log']}: {one['reason']}" for one in provenance.get("logs_left_out", [])]
    return [*head, *(f"  {line}" for line in lines), *(["logs left out:"] if logs else []), *logs]


def pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """`OURS=YOURS` texts, several in one behind commas, as a mapping. A comma in a name of yours
    is no end of it unless another OURS= follows. Raises click.UsageError."""
    found: dict[str, str] = {}
    for pair in (part for text in texts for part in re.split(r",(?=\w+=)", text)):
        ours, sign, name = pair.partition("=")
        if not (ours and sign and name):
            raise click.UsageError(f"{option} {pair}: must be OURS=YOURS, such as quality=score")
        if found.setdefault(ours.strip(), name) != name:
            raise click.UsageError(f"{option}: {ours} cannot be both {found[ours.strip()]!r} and {name!r}")
    return found
