"""`router-lab import`: traces of an application to a bill, and to a suite."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router_lab.cli.common import EXISTING_FILE, FOLDER, echo, json_option, print_json, print_path, step
from router_lab.cli.places import Place
from router_lab.cli.prices import DEFAULT_FILE, price_file
from router_lab.runtime.errors import InputError
from router_lab.runtime.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from router_lab.traces import Priced, Traces
    from router_lab.traces.draw import By

EXAMPLES = """\b
Examples:
  router-lab import spans.jsonl --out bill
  router-lab import exports/ --out bill --price-as our-gpt openai/gpt-5-mini
  router-lab import spend.csv --format litellm --route metadata.user_api_key_team_alias --out bill
  router-lab import traces.jsonl --out bill --suite support --samples 300 --grader openai/gpt-5-mini
"""
FORMATS = ("otlp", "litellm", "phoenix", "langfuse", "chat")
SHOWN = 5
"""Problems and reasons that are told one by one."""


@dataclass(frozen=True)
class Wanted:
    """The suite that is asked for. name None: none. prices: the file that its sweep goes on
    with."""

    name: str | None
    samples: int
    seed: int
    by: By
    audit: int
    grader: str | None
    prices: Path | None


@click.command("import", epilog=EXAMPLES)
@click.argument("sources", nargs=-1, required=True, type=Place(exists=True))
@click.option("--out", required=True, type=FOLDER, help="Folder for the bill, the calls and the suite.")
@click.option(
    "--format", "format_", type=click.Choice(FORMATS), help="Default: told by what each file holds."
)
@click.option(
    "--prices", type=EXISTING_FILE,
    help=f"A prices.yaml, over genai-prices; default: {DEFAULT_FILE}, where there is one.",
)  # fmt: skip
@click.option(
    "--price-as", nargs=2, multiple=True, metavar="NAME MODEL",
    help="The traces' NAME of a model is MODEL (provider/model) in prices; repeatable.",
)  # fmt: skip
@click.option("--route", help="Dotted name of the metadata that tells the route, such as metadata.feature.")
@click.option(
    "--task", type=click.Choice(("session", "trace")), default="session", show_default=True,
    help="Which calls are one task; the other is taken where this one is not told.",
)  # fmt: skip
@click.option(
    "--texts", is_flag=True, help="Keep prompts and answers in traces.parquet, masked; default: digests."
)
@click.option("--suite", help="Also write a suite of this name, which a sweep can run.")
@click.option(
    "--samples", type=click.IntRange(1), default=200, show_default=True, help="Of the suite, at most."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the draw.")
@click.option(
    "--by", type=click.Choice(("dollars", "counts")), default="dollars", show_default=True,
    help="What a sample is drawn in proportion to.",
)  # fmt: skip
@click.option(
    "--audit", type=click.IntRange(0), default=50, show_default=True, help="Samples that people are to judge."
)
@click.option("--grader", help="The judge's model in the suite, as Inspect names it.")
@json_option
def import_traces(
    sources: tuple[Path, ...], out: Path, format_: str | None, prices: Path | None,
    price_as: tuple[tuple[str, str], ...], route: str | None, task: str, texts: bool, suite: str | None, samples: int,
    seed: int, by: By, audit: int, grader: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Read traces of model calls from SOURCES, files or folders, and say what they cost.

    Reads OpenTelemetry spans (OTLP JSON), LiteLLM spend logs, Phoenix and Langfuse exports, and
    requests and responses of chat completions, one a line. What cannot be read is counted and
    named. Writes bill.html, bill.json, traces.parquet and problems.jsonl into --out.
    """
    from router_lab.prices import PriceTable
    from router_lab.report.traces import trace_bill
    from router_lab.report.traces_page import bill_lines, bill_page
    from router_lab.traces import price_calls, read_traces, undivided
    from router_lab.traces.files import write_traces

    if suite is not None:
        refuse_name(suite)
    with step(f"reading {len(sources)} source{'s' * (len(sources) > 1)}"):
        traces = read_traces(sources, format=format_, route=route)
        known = price_file(prices)
        if prices is None and known is not None:
            echo(f"prices: {known}, over genai-prices", err=True)
        table = PriceTable.load(known or DEFAULT_FILE, missing=known is None)
        priced, lacking = price_calls(traces.calls, table, dict(price_as))
        bill = trace_bill(priced, task)
    write_traces(out, priced, traces.problems, texts=texts)
    unknown = undivided(priced)
    told = bill.to_json() | {"left": dict(traces.left), "problems": len(traces.problems), "no_price": lacking}
    told |= {"undivided": unknown}
    atomic_write(out / "bill.json", json.dumps(told, indent=2, ensure_ascii=True).encode())
    atomic_write(out / "bill.html", bill_page(bill, traces, lacking, unknown).encode("utf-8", "replace"))
    wanted = Wanted(suite, samples, seed, by, audit, grader, known)
    sweep = None if suite is None else _write_suite(out, priced, wanted, dict(price_as))
    if as_json:
        print_json(told | {"sweep": None if sweep is None else str(sweep)})
        return
    echo(*bill_lines(bill), "")
    _tell_left(traces, lacking, unknown)
    print_path(out / "bill.html" if sweep is None else sweep)


def refuse_name(name: str) -> None:
    """Raise InputError for a name that a suite cannot have, or that is no folder's."""
    from pydantic import TypeAdapter, ValidationError

    from router_lab.config.base import Name

    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        rule = "must be letters, digits, `.`, `_` and `-`, beginning with a letter or digit"
        raise InputError(f"--suite {name!r}: {rule}") from None


def _write_suite(out: Path, priced: Sequence[Priced], wanted: Wanted, names: dict[str, str]) -> Path:
    from router_lab.traces.draw import draw_samples
    from router_lab.traces.suitefiles import incumbents, write_suite

    assert wanted.name is not None
    draw = draw_samples(priced, wanted.samples, seed=wanted.seed, by=wanted.by)
    echo(f"suite {wanted.name}: {draw.told(len(priced))}", err=True)
    return write_suite(
        out / wanted.name, wanted.name, draw, calls=len(priced), seed=wanted.seed, by=wanted.by, audit=wanted.audit,
        grader=wanted.grader, incumbents=incumbents(draw, priced, names),
        prices=None if wanted.prices is None else wanted.prices.read_bytes(),
    )  # fmt: skip


def _tell_left(traces: Traces, lacking: dict[str, str], unknown: dict[str, str]) -> None:
    """On standard error: what is in no figure, or in one without its parts, and why."""
    from router_lab.report.traces_page import UNDIVIDED

    lines = [f"{file}: read as {name}" for file, name in list(traces.formats.items())[:SHOWN]]
    lines += [f"not counted: {n:,} × {reason}" for reason, n in traces.left.most_common(SHOWN)]
    lines += [f"warning: no dollars known of {model}: {why}" for model, why in list(lacking.items())[:SHOWN]]
    lines += [f"warning: {model}: {UNDIVIDED}: {why}" for model, why in list(unknown.items())[:SHOWN]]
    lines += [f"warning: {p.file}: {p.place}: {p.rule}" for p in traces.problems[:SHOWN]]
    more = len(traces.problems) - SHOWN
    lines += [f"warning: {more:,} more problems, all in problems.jsonl"] if more > 0 else []
    echo(*lines, err=True)
