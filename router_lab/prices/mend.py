"""The commands that errors suggest: run as printed, X, Y and URL filled in, each mends what it was
printed for."""

from __future__ import annotations

import datetime as dt
import shlex
from typing import TYPE_CHECKING

from router_lab.runtime.kinds import PRICED

if TYPE_CHECKING:
    from router_lab.prices.rates import Rates

KEYS = (*(kind.name for kind in PRICED), "per_1k_requests")


def add_command(model: str, options: str, *, day: dt.date | None = None, file: str | None = None) -> str:
    """`router-lab prices add` for `model`; a price of an earlier call must start on its day, and
    in the file in use."""
    starts = f" --starts {day}" if day else ""
    place = f" --prices {shlex.quote(file)}" if file else ""
    return f"router-lab prices add {_quoted(model)} {options}{starts}{place}"


def new_command(model: str, day: dt.date, file: str | None) -> str:
    """For a model of which nothing is known."""
    return add_command(model, "--input X --output Y --source URL", day=day, file=file)


def entry_command(rates: Rates, more: str = "", confirmed: bool = False) -> str:
    """An entry of one's own with the figures of `rates`, which come from elsewhere, and `more`."""
    known = " ".join(
        f"--{key.replace('_', '-')} {value:.12g}"
        for key in KEYS
        if (value := getattr(rates, key)) is not None
    )
    known += "".join(
        f" --tool {name}={value:.12g}"
        for name, value in sorted(rates.tools.items())
        if f"{name}=" not in more
    )
    for start, higher in rates.over:
        pairs = ",".join(f"{kind}={value:.12g}" for kind, value in higher.items() if value is not None)
        known += f" --over {start}:{pairs}"
    if "--batch" not in more and "batch" in rates.tiers:
        known += f" --batch {rates.tiers['batch']:.12g}"
    options = f"{known}{more}{' --confirmed' if confirmed else ''} --source URL"
    return add_command(rates.model, options, day=rates.starts, file=rates.file)


def complete_command(rates: Rates, kind: str, value: str) -> str:
    """What adds the price of `kind` that `rates` lacks: to the entry itself where it is one's own,
    since nothing was priced by what it lacks, else as an entry of one's own."""
    other = f"--other {shlex.quote(kind)}={value}"
    return _more(rates, f"--{kind.replace('_', '-')} {value}" if kind in (*KEYS, "batch") else other)


def tool_command(rates: Rates, tool: str) -> str:
    """What adds the price of a tool that the provider runs."""
    return _more(rates, f"--tool {shlex.quote(tool)}=X")


def _more(rates: Rates, more: str) -> str:
    if rates.own:
        return add_command(rates.model, more, day=rates.starts, file=rates.file)
    return entry_command(rates, f" {more}")


def _quoted(model: str) -> str:
    quoted = shlex.quote(model)
    return quoted if quoted.startswith("'") else f"'{quoted}'"
