"""`router-lab prices`: what models cost, and adding what no table knows yet."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from router_lab.cli.common import echo, json_option, print_json, print_path
from router_lab.columns import left, named

DEFAULT_FILE = Path("evals/prices.yaml")


@click.group()
def prices() -> None:
    """Show the price table, or add a dated price."""


@prices.command()
@click.argument("models", nargs=-1)
@click.option("--prices", "file", type=click.Path(dir_okay=False, path_type=Path), help=f"Default: {DEFAULT_FILE}.")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="Prices of that day; default: today.")
@json_option
def show(models: tuple[str, ...], file: Path | None, day: dt.datetime | None, as_json: bool) -> None:
    """Print $ per million tokens of MODELS, by default of every model in the prices file."""
    from router_lab.prices import PriceTable
    from router_lab.runtime.errors import InputError

    table = PriceTable.load(price_file(file))
    date = day.date() if day else dt.date.today()
    names = models or tuple(table.entries)
    if not names:
        raise InputError("name a model, such as anthropic/claude-haiku-4-5, or give --prices FILE")
    rates = [table.rates(name, date) for name in names]
    if as_json:
        print_json([{"model": r.model, "source": r.source, **r.as_dict()} for r in rates])
        return
    echo(f"{'$ per million tokens':40} {'input':>9} {'output':>9} {'read':>9} {'write 5m':>9} {'write 1h':>9}  source")
    for r in rates:
        values = (r.input, r.output, r.cache_read, r.cache_write_5m, r.cache_write_1h)
        cells = " ".join(f"{'–' if value is None else format(value, '.4g'):>9}" for value in values)
        more = "".join(f"  {tier} ×{factor:g}" for tier, factor in sorted(r.tiers.items()))
        more += "".join(
            f"  over {start:,} input tokens: {rate['input']:g}/{rate['output']:g}" for start, rate in r.over
        )
        echo(f"{left(named(r.model), 40)} {cells}  {r.source}{more}")


@prices.command()
@click.argument("model")
@click.option("--input", "input_", type=float, help="$ per million input tokens.")
@click.option("--output", type=float, help="$ per million output tokens.")
@click.option("--cache-read", type=float)
@click.option("--cache-write-5m", type=float)
@click.option("--cache-write-1h", type=float)
@click.option("--batch", type=float, help="Factor on every price in the batch tier, such as 0.5.")
@click.option("--starts", type=click.DateTime(["%Y-%m-%d"]), help="First day of this price; default: today.")
@click.option("--source", required=True, help="URL where the price can be read.")
@click.option("--context-window", type=click.IntRange(min=1), help="Tokens.")
@click.option("--confirmed", is_flag=True, help="An output price below the input price is no slip.")
@click.option("--prices", "file", type=click.Path(dir_okay=False, path_type=Path), help=f"Default: {DEFAULT_FILE}.")
def add(
    model: str,
    input_: float | None,
    output: float | None,
    cache_read: float | None,
    cache_write_5m: float | None,
    cache_write_1h: float | None,
    batch: float | None,
    starts: dt.datetime | None,
    source: str,
    context_window: int | None,
    confirmed: bool,
    file: Path | None,
) -> None:
    """Add a dated price of MODEL (its name in the sweep file) and print the file."""
    from router_lab.prices import add_price

    target = file or DEFAULT_FILE
    add_price(
        target,
        model,
        input=input_,
        output=output,
        cache_read=cache_read,
        cache_write_5m=cache_write_5m,
        cache_write_1h=cache_write_1h,
        tiers={"batch": batch} if batch else {},
        starts=starts.date() if starts else None,
        source=source,
        context_window=context_window,
        confirmed=confirmed or None,
    )
    print_path(target)


def price_file(given: Path | None) -> Path | None:
    """The prices file to use: the one given, else evals/prices.yaml where there is one."""
    return given or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
