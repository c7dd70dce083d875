"""`router-lab prices`: what models cost, and adding what no table knows yet."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import click

from router_lab.cli.common import FILE, Finite, echo, json_option, print_json, print_path
from router_lab.columns import aligned, named
from router_lab.runtime.errors import InputError
from router_lab.runtime.kinds import PRICED

DEFAULT_FILE = Path("evals/prices.yaml")


@click.group()
def prices() -> None:
    """Show the price table, or add a dated price."""


@prices.command()
@click.argument("models", nargs=-1)
@click.option("--prices", "file", type=FILE, help=f"Default: {DEFAULT_FILE}.")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="Prices of that day; default: today.")
@json_option
def show(models: tuple[str, ...], file: Path | None, day: dt.datetime | None, as_json: bool) -> None:
    """Print $ per million tokens of MODELS, by default of every model in the prices file."""
    from router_lab.prices import PriceTable, today

    table = PriceTable.load(price_file(file))
    date = day.date() if day else today()
    names = models or tuple(table.entries)
    if not names:
        raise InputError("name a model, such as anthropic/claude-haiku-4-5, or give --prices FILE")
    rates = [table.rates(name, date) for name in names]
    if as_json:
        print_json([
            {"model": r.model, "source": r.source, **r.as_dict(), "tools": dict(r.tools), "other": dict(r.other)}
            for r in rates
        ])  # fmt: skip
        return
    listed = [kind for kind in PRICED if kind.listed]
    rows = [("$ per million tokens", *(kind.listed for kind in listed), "source")]
    for r in rates:
        values = [r.prices.get(kind.name) for kind in listed]
        cells = ["–" if value is None else format(value, ".4g") for value in values]
        more = "".join(f"  {tier} ×{factor:g}" for tier, factor in sorted(r.tiers.items()))
        more += "".join(
            f"  over {start:,} input tokens: {rate['input']:g}/{rate['output']:g}" for start, rate in r.over
        )
        further = [(kind.word, r.prices.get(kind.name)) for kind in PRICED if not kind.listed]
        more += "".join(f"  {word} {price:g}" for word, price in further if price is not None)
        more += "" if r.per_1k_requests is None else f"  ${r.per_1k_requests:g} per 1,000 requests"
        more += "".join(f"  ${fee:g} per 1,000 {name}" for name, fee in sorted(r.tools.items()))
        more += "".join(f"  {kind} {price:g}" for kind, price in sorted(r.other.items()))
        rows.append((named(r.model), *cells, f"{r.source}{more}"))
    echo(*aligned(rows, texts=(0, len(listed) + 1)))


def _prices_of_kinds(command: Any) -> Any:
    """Options for a price of each kind."""
    for kind in reversed(PRICED):
        command = click.option(f"--{kind.name.replace('_', '-')}", type=Finite(), help=kind.help)(command)
    return command


@prices.command()
@click.argument("model")
@_prices_of_kinds
@click.option("--per-1k-requests", type=Finite(), help="$ per 1,000 requests, beside their tokens.")
@click.option(
    "--tool", "tools", multiple=True, metavar="NAME=X", help="$ per 1,000 calls of a tool the provider runs."
)
@click.option("--other", multiple=True, metavar="KIND=X", help="$ per million of another kind of usage.")
@click.option(
    "--over",
    multiple=True,
    metavar="N:KIND=X,…",
    help="Prices of requests of more than N input tokens: 200000:input=6,…",
)
@click.option(
    "--batch", type=Finite(), help="Factor on every price of tokens in the batch tier, such as 0.5."
)
@click.option(
    "--starts", type=click.DateTime(["%Y-%m-%d"]), help="First day of this price, in UTC; default: today."
)
@click.option("--source", help="URL where the price can be read.")
@click.option("--context-window", type=click.IntRange(min=1), help="Tokens.")
@click.option(
    "--confirmed", is_flag=True, help="What looks like a slip (swapped columns, another unit) is none."
)
@click.option("--prices", "file", type=FILE, help=f"Default: {DEFAULT_FILE}.")
def add(
    model: str, tools: tuple[str, ...], other: tuple[str, ...], over: tuple[str, ...],
    batch: float | None, starts: dt.datetime | None, confirmed: bool, file: Path | None, **same: Any,
) -> None:  # fmt: skip
    """Add a dated price of MODEL (its name in the sweep file) and print the file.

    Without --input and --output: complete the entry that starts on --starts by a price that it
    lacks.
    """
    from router_lab.prices import add_price

    target = file or DEFAULT_FILE
    add_price(
        target,
        model,
        **same,
        tools=dict(_pair(text, "--tool") for text in tools),
        other=dict(_pair(text, "--other") for text in other),
        long_context=[_over(text) for text in over],
        tiers={"batch": batch} if batch else {},
        starts=starts.date() if starts else None,
        confirmed=confirmed or None,
    )
    print_path(target)


@prices.command()
@click.argument("name")
@click.option(
    "--per-thousand", "per_1k_calls", type=Finite(), required=True, help="$ per 1,000 calls; 0 if it is free."
)
@click.option(
    "--starts", type=click.DateTime(["%Y-%m-%d"]), help="First day of this price, in UTC; default: today."
)
@click.option("--source", required=True, help="URL where the price can be read.")
@click.option("--prices", "file", type=FILE, help=f"Default: {DEFAULT_FILE}.")
def tool(name: str, per_1k_calls: float, starts: dt.datetime | None, source: str, file: Path | None) -> None:
    """Add a dated price of a tool of your own, by the NAME under which models call it, and print
    the file.

    For search and other paid services that your harness calls itself. What a provider runs is
    priced with its model: prices add MODEL --tool web_search=10.
    """
    from router_lab.prices import add_tool

    target = file or DEFAULT_FILE
    add_tool(target, name, per_1k_calls=per_1k_calls, starts=starts.date() if starts else None, source=source)
    print_path(target)


def _pair(text: str, option: str) -> tuple[str, float]:
    name, equals, value = text.rpartition("=")
    try:
        return (name, float(value)) if equals and name else _refuse(text, option)
    except ValueError:
        return _refuse(text, option)


def _refuse(text: str, option: str) -> tuple[str, float]:
    raise click.UsageError(f"{option} is {text!r}; it must be NAME=DOLLARS, such as web_search=10")


def _over(text: str) -> dict[str, object]:
    start, _, rates = text.partition(":")
    if not start.isdecimal():
        raise click.UsageError(
            f"--over is {text!r}; it must be TOKENS:KIND=DOLLARS,…, such as 200000:input=6,output=22.5"
        )
    return {"over_input_tokens": int(start), **dict(_pair(part, "--over") for part in rates.split(","))}


def price_file(given: Path | None) -> Path | None:
    """The prices file to use: the one given, else evals/prices.yaml where there is one."""
    return given or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
