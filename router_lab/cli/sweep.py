"""`router-lab sweep`: generate what is missing of a grid."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router_lab.cli.common import Finite, echo, echo_block, json_option, print_json, print_path
from router_lab.cli.dry_run import print_estimate
from router_lab.cli.places import Destination, Here, Place
from router_lab.cli.races import race_options
from router_lab.runtime.addresses import is_address, local_path

SIGNALLED = 128
"""Exit status after Ctrl-C or SIGTERM, as shells have it: this and the number of the signal."""

if TYPE_CHECKING:
    from types import FrameType

    from router_lab.config import Sweep
    from router_lab.sweep import Plan, RaceOptions, SweepResult
    from router_lab.sweep.engines import EngineName


@click.command()
@click.argument("sweep_file", metavar="SWEEP.yaml", type=Here(dir_okay=False))
@click.option(
    "--log-dir", type=Destination(), help="Folder or address; default: what SWEEP.yaml says, else logs/NAME."
)
@click.option("--limit", type=click.IntRange(min=1), help="At most this many samples per suite, for a pilot.")
@click.option(
    "--dry-run", is_flag=True, help="Only say what it would cost; needs no keys and names those not set."
)
@click.option(
    "--pilot",
    type=click.IntRange(min=1),
    help="With --dry-run: first run (and pay for) N samples of each cell.",
)
@click.option(
    "--history",
    type=Place(),
    help="Earlier outcomes for --dry-run; default: the log directory.",
)
@click.option(
    "--budget-usd",
    type=Finite(min=0, min_open=True),
    help="Never spend more, all runs together. Needs `limits: {usd: …}` in SWEEP.yaml, set aside for each sample.",
)
@click.option(
    "--race",
    is_flag=True,
    help="Stop paying for candidates once they are shown not to win; `race:` in SWEEP.yaml.",
)
@click.option(
    "--prior",
    type=Place(exists=True, dir_okay=False),
    help="With --race: earlier outcomes to start from, instead of `race: {prior: …}`.",
)
@click.option(
    "--batch", is_flag=True, help="Through the providers' batch APIs and at their price: slow and cheap."
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    help="Who runs the samples: this process, or the Ray cluster that RAY_ADDRESS names.",
)
@click.option("--quiet", is_flag=True, help="No progress.")
@json_option
def sweep(
    sweep_file: Path, log_dir: Path | str | None, limit: int | None, dry_run: bool, pilot: int | None,
    history: Path | None, budget_usd: float | None, race: bool, prior: Path | None, batch: bool,
    engine: EngineName, quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Run suites across candidates, and print the log directory.

    Run it again after any interruption: finished samples are kept, and only what is missing or
    failed is asked for.

    What an effort becomes in a request is data: presets in efforts.yaml (thinking budget,
    max_tokens, system message, few-shot, `extra_body` passed on raw), and for a provider's own
    levels rows of `wire:` in the sweep file, such as {provider: openai-api, family: "local/qwen*",
    effort: high, config: {extra_body: {…}}}.
    """
    from router_lab.config import Sweep, load

    folder = log_dir or default_log_dir(load(Sweep, sweep_file), sweep_file.parent)
    if pilot and not dry_run:
        raise click.UsageError("--pilot goes with --dry-run; to run a few samples use --limit")
    if prior and not race:
        raise click.UsageError("--prior goes with --race; for the dollars of a dry run alone use --history")
    racing = race_options(sweep_file, prior) if race else None
    options = SweepOptions(sweep_file, folder, limit, budget_usd, racing, batch, engine)
    if dry_run and not pilot:
        print_estimate(options, history, as_json)
        return
    _warn_of_inspect_mlflow()
    if pilot:
        tried = replace(options, limit=min(pilot, limit or pilot), race=None).run(quiet)
        print_estimate(options, history, as_json)
        _end_if_stopped(tried)
        return
    result = options.run(quiet)
    _tell(result, options)
    if as_json:
        print_json(_as_json(result, folder, race=race))
    else:
        print_path(folder)
    _end_if_stopped(result)
    _end_if_none_answered(result)


def _warn_of_inspect_mlflow() -> None:
    """Where it starts by itself."""
    if os.environ.get("MLFLOW_TRACKING_URI"):
        from router_lab.tracking.store import warning_about_inspect_mlflow

        warning = warning_about_inspect_mlflow()
        if warning:
            echo(f"warning: {warning}", err=True)


def default_log_dir(sweep: Sweep, base: Path) -> Path | str:
    """Where the logs of a sweep go whose file lies in `base`, unless the command line says."""
    if sweep.log_dir is None:
        return Path("logs") / sweep.name
    return sweep.log_dir if is_address(sweep.log_dir) else base / local_path(sweep.log_dir)


@dataclass(frozen=True)
class SweepOptions:
    """What the command line asks to be run."""

    sweep_file: Path
    folder: Path | str
    limit: int | None
    budget_usd: float | None
    race: RaceOptions | None
    batch: bool
    engine: EngineName

    def __post_init__(self) -> None:
        """Raises click.UsageError for options that exclude each other."""
        if self.batch and self.engine != "local":
            raise click.UsageError(
                f"--engine {self.engine} runs no --batch, of which one process bounds what is in flight; leave one of "
                "them out"
            )

    def run(self, quiet: bool) -> SweepResult:
        """Run what is missing of it."""
        from router_lab.sweep import run_sweep

        with _ended_by_signals(self.folder):
            return run_sweep(
                self.sweep_file, self.folder, limit=self.limit, budget_usd=self.budget_usd, race=self.race,
                batch=self.batch, engine=self.engine, quiet=quiet,
            )  # fmt: skip

    def prepared(self) -> Plan:
        """The sweep as it would run, without keys."""
        from router_lab.sweep import prepare

        return prepare(
            self.sweep_file, limit=self.limit, budget_usd=self.budget_usd, batch=self.batch, spending=False
        )


def _as_json(result: SweepResult, folder: Path | str, *, race: bool) -> dict[str, object]:
    numbers = (
        "needed", "reused", "generated", "answered", "failed", "not_begun", "spent_usd", "reserved_usd", "unrun", "spared",
    )  # fmt: skip
    found: dict[str, object] = {"log_dir": str(folder), **{name: getattr(result, name) for name in numbers}}
    if race:
        found["race"] = list(result.verdicts)
    if result.stopped:
        found["stopped"] = [
            {"suite": suite, **who.named(), "reason": reason} for (suite, who), reason in result.stopped
        ]
    return found


def _end_if_stopped(result: SweepResult) -> None:
    """Exit status 1, with the servers' reasons, where a candidate was stopped: the others have
    run."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for (suite, who), reason in result.stopped:
        reasons.setdefault((str(who), reason), []).append(suite)
    for (candidate, reason), suites in reasons.items():
        echo(f"Error: {candidate} was stopped on {', '.join(suites)}: {reason}", err=True)
    if reasons:
        echo(
            "mend it (key, model name, base_url, account, settings) and run the same command again: it asks these anew",
            err=True,
        )
        sys.exit(1)


def _end_if_none_answered(result: SweepResult) -> None:
    """Exit status 1, with the first error, where all that was asked for failed."""
    if not result.failed or result.answered or result.reused:
        return
    from router_lab.sweep.finished import first_error

    said = first_error(result.logs) or "no reason was logged"
    echo(f"Error: no sample was answered, {result.failed:,} failed, the first with: {said}", err=True)
    sys.exit(1)


@contextmanager
def _ended_by_signals(folder: Path | str) -> Iterator[None]:
    """Say what is kept where Ctrl-C or SIGTERM ends a sweep, and exit as shells expect."""
    with _terminated_as_interrupted() as signals:
        try:
            yield
        except KeyboardInterrupt:
            said = f"interrupted: what was finished is kept in {folder}; the same command goes on from there"
            echo(said, err=True)
            sys.exit(SIGNALLED + (signals[0] if signals else signal.SIGINT))


@contextmanager
def _terminated_as_interrupted() -> Iterator[list[int]]:
    """SIGTERM, as from `kill` or a scheduler, ends a sweep as Ctrl-C does: finished samples are
    written down first.

    Also where a shell started it in the background, and SIGINT, which Ctrl-C sends, is ignored:
    there it goes on being ignored, but what answers it (asyncio's, and Python's own) is needed.
    """
    came: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        came.append(number)
        answers = signal.getsignal(signal.SIGINT)
        if callable(answers):
            answers(signal.SIGINT, frame)

    if threading.current_thread() is not threading.main_thread():  # where Python takes no handlers
        yield came
        return
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    if ignored:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before)
        if ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def _tell(result: SweepResult, options: SweepOptions) -> None:
    """Say what was run, what was not and why, and how a race ended."""
    counted = (
        f"{result.needed} samples: {result.reused} kept, {result.answered} answered, {result.failed} failed"
    )
    counted += f", {result.not_begun} not begun" if result.not_begun else ""
    counted += f", {result.spared} left out by the race" if result.spared else ""
    echo(counted, err=True)
    if result.paid:
        told = f"${result.spent_usd:.4f} spent so far, all runs in {result.log_dir.name} together"
        if result.reserved_usd:
            told += (
                f"; ${result.reserved_usd:.4f} of it is set aside for calls that were never answered (in flight at a "
                "kill, or broken off), which the provider may not have charged"
            )
        echo(told, err=True)
    if result.unrun:
        from router_lab.sweep.shortfall import lacking, shortfall

        if result.generated:
            told = lacking(options.prepared(), result)
        else:
            why = shortfall(options.prepared(), result, race=options.race is not None)
            told = f"{why}; {result.unrun} samples wait for a larger budget"
        echo(told, err=True)
    if options.race is not None:
        for line in result.raced:
            echo_block(line, err=True)
        echo(
            f"█ ran all, ░ the control share alone, · not run yet; the race left out {result.spared} samples; who left "
            f"and why is in {result.log_dir / 'sweep.json'}",
            err=True,
        )
