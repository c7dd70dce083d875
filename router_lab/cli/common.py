"""What every command shares: exit codes, JSON output, progress and the path printed last."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import click

from router_lab.certificate import Certificate
from router_lab.cli.places import Place, addresses_in, put_back
from router_lab.masking import masked, masked_tree
from router_lab.runtime.addresses import is_address
from router_lab.runtime.artifact import load_policy, revision_in
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.policy import Policy
from router_lab.runtime.release import RELEASE, locate
from router_lab.runtime.visible import visible, visible_json

OK, ERROR, USAGE, GATE_FAILED, INCONCLUSIVE = 0, 1, 2, 3, 4
INTERRUPTED = 130
"""128 + SIGINT, as a shell has it."""
EXIT_OF_VERDICT = {"pass": OK, "fail": GATE_FAILED, "inconclusive": INCONCLUSIVE}


class Finite(click.FloatRange):
    """A number of an option, within bounds if given; not `nan` or `inf`, which are in no range and
    in every."""

    name = "float"

    def _describe_range(self) -> str:
        return "" if self.min is None and self.max is None else super()._describe_range()

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


EXISTING_FILE = Place(exists=True, dir_okay=False)
EXISTING_FOLDER = Place(exists=True, file_okay=False)
FILE = Place(dir_okay=False)
"""A file that may be missing, such as one to write."""
FOLDER = Place(file_okay=False)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines instead of text.")


def echo(*lines: object, err: bool = False, nl: bool = True, **style: Any) -> None:
    """Print `lines`, on standard error if `err`: the one way from a command to a terminal.

    Whatever is in a line that could steer the terminal, hide, or begin a line of its own is
    escaped (`visible`), and keys are stars (`masked`); a line that is longer than the terminal is
    broken at a word. style: of `click.style`.
    """
    shown = [visible(masked(addresses_in(str(line)))) for line in lines]
    stream = sys.stderr if err else sys.stdout
    if nl and stream.isatty():
        from router_lab.columns import terminal_width, wrapped

        shown = [part for line in shown for part in wrapped(line, terminal_width(stream))]
    text = "\n".join(shown)
    _write(click.style(text, **style) if style else text, err=err, nl=nl)


def echo_block(text: str, *, err: bool = False) -> None:
    """Print a text of several lines that was made for a terminal: in it the outside's newlines are
    escaped already."""
    echo(*text.split("\n"), err=err)


def print_json(value: object) -> None:
    """`value` as JSON on standard output, keys sorted so that two runs can be compared; what could
    not be seen in a terminal is escaped as JSON escapes it."""
    text = json.dumps(masked_tree(value), indent=2, sort_keys=True, ensure_ascii=False, default=str)
    put_back()
    _write(visible_json(addresses_in(text)))


def print_path(path: str | Path) -> None:
    """A result's path, alone on the last line, so that scripts can read it: as it is, unless it
    steers a terminal."""
    put_back()
    text = addresses_in(str(path))
    steers = sys.stdout.isatty() or re.search(r"[\x00-\x1f\x7f-\x9f]", text)
    _write(visible(text) if steers else os.fsencode(text))


def _write(text: str | bytes, *, err: bool = False, nl: bool = True) -> None:
    """Where nobody reads any more (`| head`), or standard error has no room, what is printed is
    dropped and the command goes on to its end: its exit status is that of what it did, and a sweep
    that is paid for is not lost. Raises InputError where the result has no room."""
    try:
        click.echo(text, err=err, nl=nl)
    except OSError as error:
        _drop(sys.stderr if err else sys.stdout)
        if not err and not isinstance(error, BrokenPipeError):
            raise InputError(f"standard output: cannot be written: {error.strerror or error}") from error


def flush_output() -> None:
    """What standard output still holds is written, or goes nowhere: at its end some versions of
    Python (3.11.2) would try once more, and tell of the error in words and with a status of their
    own."""
    try:
        sys.stdout.flush()
    except OSError:
        _drop(sys.stdout)


def _drop(stream: TextIO) -> None:
    with suppress(OSError, ValueError):  # ValueError: a stream without a descriptor
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class _Logged(logging.Handler):
    """What is logged where nobody set up a log: a line like every other, whatever a library quotes
    in it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            echo(f"{record.levelname.lower()}: {record.getMessage()}", err=True)
        except Exception:  # noqa: BLE001  # as every handler: a broken message must not end the command
            self.handleError(record)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Print each RouterLabWarning once, as a line on standard error without the place in the code
    it comes from.

    Warnings and log messages of the libraries beneath, which quote what they were given, are a
    line too."""
    said: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", RouterLabWarning)

        def show(
            message: Warning | str, category: type[Warning], filename: str, lineno: int,
            file: TextIO | None = None, line: str | None = None,
        ) -> None:  # fmt: skip
            if not issubclass(category, RouterLabWarning):
                echo(f"{filename}:{lineno}: {category.__name__}: {message}", err=True)
            elif str(message) not in said:
                said.add(str(message))
                # On a terminal, `step` may have left its line open.
                echo(*([""] if sys.stderr.isatty() else []), f"warning: {message}", err=True)

        warnings.showwarning = show
        before, logging.lastResort = logging.lastResort, _Logged(logging.WARNING)
        try:
            yield
        finally:
            logging.lastResort = before


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say on standard error what is being done, and how long it took once it is over two
    seconds."""
    interactive = sys.stderr.isatty()
    start = time.perf_counter()
    echo(f"{text} …", err=True, nl=not interactive)
    yield
    seconds = time.perf_counter() - start
    if interactive:
        echo(f" {seconds:.1f} s" if seconds > 2 else "", err=True)
    elif seconds > 2:
        echo(f"{text}: {seconds:.1f} s", err=True)


def open_policy(path: str | Path) -> Policy:
    """The policy in the revision `path`, the one that is published in the folder `path`, or the
    only one in there; `path` may be an address.

    Raises PolicyError for a folder of several revisions of which none is published (they are
    named), or of none, and for a certificate that could not be read out.
    """
    if is_address(path):
        from router_lab.places import fetched

        path = fetched(path)
    policy = load_policy(path)
    Certificate.of(policy)  # raises here, before anything is printed
    return policy


def policy_folder(path: str | Path) -> Path:
    """The directory of the revision that `open_policy` loads."""
    folder = revision_in(path)
    return locate(folder, None, signed=False).directory if (folder / RELEASE).is_file() else folder


def same_or_fail(path: Path, differences: list[str]) -> None:
    """Say that the file `path` was recomputed to the last digit; else name what differs and exit
    with status 3."""
    if not differences:
        echo(f"{path}: recomputed, the same to the last digit")
        return
    echo(f"{path}: differs when recomputed", *(f"  {line}" for line in differences), err=True)
    raise SystemExit(GATE_FAILED)
