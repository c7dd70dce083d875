"""What every command shares: exit codes, JSON output, progress and the path printed last."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

OK, ERROR, USAGE, GATE_FAILED, INCONCLUSIVE = 0, 1, 2, 3, 4
EXIT_OF_VERDICT = {"pass": OK, "fail": GATE_FAILED, "inconclusive": INCONCLUSIVE}

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines instead of text.")


def print_json(value: Any) -> None:
    """`value` as JSON on standard output, keys sorted so that two runs can be compared."""
    click.echo(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=str))


def print_path(path: str | Path) -> None:
    """A result's path, alone on the last line, so that scripts can read it."""
    click.echo(str(path))


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say on standard error what is being done, and how long it took once it is over two seconds."""
    interactive = sys.stderr.isatty()
    start = time.perf_counter()
    click.echo(f"{text} …", err=True, nl=not interactive)
    yield
    seconds = time.perf_counter() - start
    if interactive:
        click.echo(f" {seconds:.1f} s" if seconds > 2 else "", err=True)
    elif seconds > 2:
        click.echo(f"{text}: {seconds:.1f} s", err=True)
