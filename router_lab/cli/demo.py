"""`router-lab demo`: the whole walk on recorded generations of real models, or a small one on a
live local model."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router_lab import load_policy
from router_lab.certificate import Certificate, Compared, Figure, Fixed, Oracle
from router_lab.cli.common import EXIT_OF_VERDICT, FOLDER, INTERRUPTED, echo, echo_block, print_path, step
from router_lab.cli.demo_teams import SWEEP, show_teams
from router_lab.runtime.artifact import save_revision
from router_lab.runtime.errors import InputError
from router_lab.runtime.files import atomic_write

if TYPE_CHECKING:
    import pandas as pd

    from router_lab.runtime.policy import Policy
    from router_lab.sweep.bare import Timed

RECORDED = Path("evals/sweeps/recorded.yaml")
LIVE = Path("evals/sweeps/live-smoke.yaml")
RECIPE = Path("policies/demo/recipe.yaml")
PRICES = Path("evals/prices.yaml")
LIVE_MODEL = "smollm2-135m"


@click.command()
@click.option(
    "--out",
    default=Path("demo-out"),
    show_default=True,
    type=FOLDER,
    help="Where everything is written; logs of an earlier demo there are used again.",
)
@click.option("--quick", is_flag=True, help="Only the first 60 samples of each suite, and no teams.")
@click.option("--fresh", is_flag=True, help="Empty --out first.")
@click.option(
    "--live", is_flag=True, help="Sweep a real local model server instead (downloads SmolLM2-135M once)."
)
def demo(out: Path, quick: bool, fresh: bool, live: bool) -> None:
    """Sweep, collect, fit, gate and decide, on what real language models answered. Needs no key
    and no server.

    Run it in a clone of the repository: suites, datasets and recordings are not in the wheel.

    \b
    Example: router-lab demo --quick --out /tmp/demo
    """
    if not RECORDED.exists():
        raise InputError(f"{RECORDED}: no such file; run the demo in a clone of the repository")
    if fresh:
        shutil.rmtree(out, ignore_errors=True)
    start = time.monotonic()
    try:
        if live:
            with local_server(), heading("1  sweep a live model server"):
                outcomes = measure(LIVE, out / "live", None)
            show_candidates(outcomes)
            print_path(out / "live" / "outcomes.parquet")
        else:
            show_recorded(out, limit=60 if quick else None)
    except KeyboardInterrupt:
        echo(
            f"interrupted: what was finished is kept in {out}; the same command goes on from there", err=True
        )
        sys.exit(INTERRUPTED)
    echo(f"{time.monotonic() - start:.0f} s", err=True)


@contextmanager
def local_server() -> Iterator[None]:
    """SmolLM2-135M served on loopback; the first time, server and weights are downloaded by
    hash."""
    sys.path.insert(0, str(Path.cwd()))  # evals/ belongs to the clone, not to the package
    from evals.local.server import running_server

    with (
        step(f"starting {LIVE_MODEL} (server and weights, 130 MB, are downloaded once)"),
        running_server([LIVE_MODEL]),
    ):
        yield


def show_recorded(out: Path, limit: int | None) -> None:
    """The whole walk; ends with the gate's verdict, which does not change the exit status of a
    demo."""
    with heading("1  sweep the recorded generations, through Inspect, and collect"):
        bare = None if (out / "logs").exists() else bare_inspect(limit)
        outcomes = measure(RECORDED, out, limit, bare)
    show_candidates(outcomes)
    with heading("2  fit: routing table, classifier, certificate"):
        policy, directory = fit(outcomes, out)
    with heading("3  decide"):
        route_three(directory, outcomes)
    with heading("4  gate"):
        verdict = gate(directory, outcomes)
    more = []
    if limit is None:
        with heading("5  teams: who plans, who reads, who checks"):
            more = show_teams(measure(SWEEP, out / "teams", None), out / "teams")
    with heading("6  look"):
        pages = write_pages(directory, outcomes, out)
        command = mirrored(policy, directory, outcomes, pages, out)
    show_paths(out, command, directory, more)
    echo(f"verdict: {verdict} (as a deploy gate: exit {EXIT_OF_VERDICT[verdict]})")
    print_path(directory)


@contextmanager
def heading(text: str) -> Iterator[None]:
    """A section of the demo's output."""
    from router_lab.columns import terminal_width

    echo("", f"── {text} " + "─" * (min(96, terminal_width()) - 4 - len(text)), bold=True)
    yield


def bare_inspect(limit: int | None) -> Timed:
    """Say what the demo will take, from what Inspect alone takes on this machine; the sweep is
    compared with that."""
    from router_lab.sweep import prepare
    from router_lab.sweep.bare import bare_times, expected_seconds

    with step("seeing how fast Inspect alone is on this machine"):
        plan = prepare(RECORDED, limit=limit)
        times = bare_times(plan, limit)
    seconds = expected_seconds(plan, times)
    echo(
        f"{plan.needed:,} samples at {1000 * seconds / plan.needed:.1f} ms: about {_duration(seconds)} to sweep them, "
        "one to play teams, and half a minute to collect, fit and draw; interrupted, a demo goes on where it was",
        err=True,
    )
    return times


def measure(sweep_file: Path, out: Path, limit: int | None, bare: Timed | None = None) -> pd.DataFrame:
    """Sweep, collect, and write both tables under `out`; compare the sweep's pace with that of
    Inspect alone."""
    from router_lab.collect import collect
    from router_lab.outcomes import write_calls, write_outcomes
    from router_lab.sweep import run_sweep
    from router_lab.sweep.bare import added, task_times

    with task_times() as times:
        result = run_sweep(sweep_file, out / "logs", limit=limit)
    echo(f"{result.needed} samples: {result.reused} kept, {result.answered} answered, {result.failed} failed")
    if bare is not None:
        share = added(times, bare)
        echo(f"CPU of the sweep: {share:+.0%} to Inspect alone on the same tasks", err=True)
    with step("collecting"):
        outcomes, calls = collect([result.log_dir], prices=PRICES)
        write_outcomes(outcomes, out / "outcomes.parquet")
        write_calls(calls, out / "calls.parquet")
    return outcomes


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} minutes"


def show_candidates(outcomes: pd.DataFrame) -> None:
    """Quality, tokens and dollars by candidate and suite, the front in characters, and what effort
    bought."""
    from router_lab.report import (
        candidate_table,
        effort_table,
        effort_text,
        format_table,
        marks_of,
        pareto_text,
        pooled,
    )

    table = candidate_table(outcomes)
    front = pareto_text(marks_of(pooled(table)))
    echo_block(f"\n{format_table(table)}\n\n{front}\n\n{effort_text(effort_table(outcomes))}")


def fit(outcomes: pd.DataFrame, out: Path) -> tuple[Policy, Path]:
    """Fit policies/demo/recipe.yaml and print the policy beside what it has to beat."""
    from router_lab.cli.fit import summary
    from router_lab.config import Recipe, load
    from router_lab.fit import fit_policy

    with step("fitting"):
        policy = fit_policy(load(Recipe, RECIPE), outcomes)
        directory = save_revision(policy, out / "policy")
    echo(*summary(policy), "", *comparison(Certificate.of(policy)))
    return policy, directory


def comparison(shown: Certificate) -> list[str]:
    """The policy beside each fixed candidate, the random mix and the oracle, on rows that chose
    nothing about them."""
    from router_lab.columns import aligned
    from router_lab.report.format import MISSING, cut_off, money, percent
    from router_lab.report.told import told

    mine = None if shown.reference is None else shown.reference.candidate
    base = shown.always.get(mine) if mine is not None else None
    quality, cost = (None, None) if base is None else (base.quality, base.cost_usd)

    def cells(name: str, row: Compared) -> tuple[str, ...]:
        gain, saved = (row.quality_difference or Figure()).value, (row.savings or Figure()).value
        spent = None if saved is None or cost is None else 1000 * cost * (1 - saved)
        reached = None if gain is None or quality is None else quality + gain
        ranges = (
            told(f, _signed, reach=" [{}, {}]", unknown=MISSING)
            for f in (row.quality_difference, row.savings)
        )
        return name, percent(reached), money(spent), *ranges

    def always(row: Fixed) -> str:
        cut = cut_off(row.cut_off, words=True)
        return f"always {row.candidate}{' (reference)' if row.candidate == mine else ''}{f', {cut}' if cut else ''}"

    mix, oracle = shown.random_mix, shown.oracle_upper_bound or Oracle()
    spent = None if oracle.cost_usd is None else 1000 * oracle.cost_usd
    lines = [
        ("out of fold, two-sided 95 %", "quality", "$/1k", "quality − reference", "saved"),
        cells("policy", shown),
        *([] if mix is None else [cells(f"random mix ({mix.moved:.2f})", mix)]),
        *(cells(always(row), row) for row in sorted(shown.fixed or (), key=lambda row: -(row.cost_usd or 0))),
        ("oracle (hindsight: an upper bound)", percent(oracle.quality), money(spent), "", ""),
    ]
    return aligned(lines)


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-0.0", "+0.0").replace("-", "−")


def route_three(directory: Path, outcomes: pd.DataFrame) -> None:
    """Load the artifact as production does and decide for one prompt of the test split per
    suite."""
    from router_lab.outcomes import split_column

    policy = load_policy(directory)
    held = (
        outcomes[split_column(outcomes) == "test"]
        .dropna(subset="prompt")
        .drop_duplicates(["suite", "sample_id"])
    )
    for suite, rows in list(held.groupby("suite", sort=True))[:3]:
        prompt = rows["prompt"].iloc[0]
        decision = policy.decide(prompt, suite=str(suite))
        shown = prompt.replace("\n", " ⏎ ")
        echo(
            f"{suite}: {shown[:96]}{'…' if len(shown) > 96 else ''}",
            f"  → {decision.candidate}, quality {decision.quality:.2f}, ${1000 * decision.cost_usd:.4f} per 1k",
            f"    {decision.reason}",
        )


def gate(directory: Path, outcomes: pd.DataFrame) -> str:
    """The recipe's gates on the test split, and the smallest margin that this much data can
    certify."""
    from router_lab.config import Recipe, load
    from router_lab.gates import run_gates
    from router_lab.report.told import least_told

    policy = load_policy(directory)
    result = run_gates(policy, outcomes, load(Recipe, RECIPE).gates)
    echo_block(result.to_text())
    shown = Certificate.of(policy)
    if shown.smallest_margin is not None:
        echo(
            f"Smallest margin that the {shown.samples} of the fit can certify: {least_told(shown, digits=2)}"
        )
    return result.verdict


def mirrored(
    policy: Policy, directory: Path, outcomes: pd.DataFrame, pages: list[Path], out: Path
) -> str | None:
    """Log candidates, sweep (with outcomes and pages) and policy to an MLflow database under
    `out`, and return the command that shows it; a mirror that cannot be written is a warning, and
    None."""
    from router_lab.cli.mirror import mirror
    from router_lab.tracking import server_command

    database = str((out / "mlflow.db").absolute())
    view = mirror(outcomes, "demo", database, pages, policy, directory)
    return None if view is None else server_command(database)


def write_pages(directory: Path, outcomes: pd.DataFrame, out: Path) -> list[Path]:
    """report.html and pareto.html, self-contained pages of the whole finding and of the front
    alone, and front.svg."""
    from router_lab.outcomes import read_calls
    from router_lab.report import front_svg, pareto_html, report_html

    policy, calls = load_policy(directory), read_calls(out / "calls.parquet")
    with step("writing report.html, pareto.html and front.svg"):
        return [
            atomic_write(out / "report.html", report_html(outcomes, policy=policy, calls=calls).encode()),
            atomic_write(out / "pareto.html", pareto_html(outcomes).encode()),
            atomic_write(out / "front.svg", front_svg(outcomes, policy=policy).encode()),
        ]


def show_paths(
    out: Path, command: str | None, directory: Path, more: Sequence[tuple[str, Path]] = ()
) -> None:
    """Where everything is, `more` of it too, and the command that opens the MLflow page."""
    paths = [
        ("report", out / "report.html"),
        ("outcomes", out / "outcomes.parquet"),
        ("policy", directory),
        *more,
    ]
    echo(*(f"{what:<9} {where}" for what, where in paths))
    if command is not None:
        echo(f"MLflow    {'.venv/bin/' if command.startswith('mlflow ') else ''}{command}")
