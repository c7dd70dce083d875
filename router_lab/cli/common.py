"""What every command shares: exit codes, JSON output, progress and the path printed last."""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from router_lab.runtime.policy import Policy

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
def plain_warnings() -> Iterator[None]:
    """Print each RouterLabWarning once, as a line on standard error without the place in the code it comes from."""
    from router_lab.runtime.errors import RouterLabWarning

    said: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", RouterLabWarning)
        otherwise = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if not issubclass(category, RouterLabWarning):
                otherwise(message, category, *place, **more)
            elif str(message) not in said:
                said.add(str(message))
                # On a terminal, `step` may have left its line open.
                click.echo(f"{chr(10) if sys.stderr.isatty() else ''}warning: {message}", err=True)

        warnings.showwarning = show
        yield


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


def open_policy(path: str | Path) -> Policy:
    """The policy in the revision `path`, the one that is published in the folder `path`, or the only one in there.

    Raises PolicyError for a folder of several revisions of which none is published (they are named), or of none.
    """
    from router_lab.runtime.artifact import load_policy

    return load_policy(path)


def policy_folder(path: str | Path) -> Path:
    """The directory of the revision that `open_policy` loads."""
    from router_lab.runtime.artifact import revision_in
    from router_lab.runtime.release import RELEASE, resolve

    folder = revision_in(path)
    return resolve(folder, None, signed=False)[0] if (folder / RELEASE).is_file() else folder


def same_or_fail(path: Path, differences: list[str]) -> None:
    """Say that the file `path` was recomputed to the last digit; else name what differs and exit with status 3."""
    if not differences:
        click.echo(f"{path}: recomputed, the same to the last digit")
        return
    click.echo(f"{path}: differs when recomputed", err=True)
    for line in differences:
        click.echo(f"  {line}", err=True)
    raise SystemExit(GATE_FAILED)
