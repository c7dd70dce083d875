"""`router-lab report`: the page for somebody who was not there, and the check of a decision log."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import click

from router_lab.cli.common import EXISTING_FILE, FILE, Finite, json_option
from router_lab.cli.places import Place
from router_lab.cli.report_options import WhatIf, what_if
from router_lab.runtime.decisionfiles import is_log_name
from router_lab.runtime.errors import InputError

EXAMPLES = """\b
Examples:
  router-lab report outcomes.parquet policies/support --html report.html --volume 200000
  router-lab report outcomes.parquet --reference gpt-5 high --margin 0.02
  router-lab report outcomes.parquet --reference-effort raw --by-suite
  router-lab report new.parquet --before old.parquet --pareto pareto.html
  router-lab report outcomes.parquet policies/support --html report.html --mlflow release-1
  router-lab report decisions.jsonl policies/support --audit audit.csv --html week.html
  router-lab report outcomes.parquet policies/support --price-per-task 0.05 --person-usd 4
  router-lab report outcomes.parquet --hardware-usd-hour 2.5 --tokens-per-second 900
  router-lab report outcomes.parquet policies/support --check report.html --volume 200000
"""


@dataclass
class Sources:
    """What the arguments were found to be."""

    outcomes: list[Path] = field(default_factory=list)
    policies: list[Path] = field(default_factory=list)
    decisions: list[Path] = field(default_factory=list)


@click.command(epilog=EXAMPLES)
@click.argument("sources", nargs=-1, required=True, type=Place(exists=True, beside=("calls.parquet",)))
@click.option("--html", type=FILE, help="Write the page there.")
@click.option(
    "--pareto",
    type=FILE,
    help="Write the fronts alone there; as FILE.svg, one picture.",
)
@click.option(
    "--calls",
    type=EXISTING_FILE,
    help="calls.parquet, for what is known by call; default: the one beside the outcomes, if any.",
)
@click.option(
    "--before",
    type=EXISTING_FILE,
    help="Outcomes of an earlier sweep (or, with decisions, an earlier log) to compare with.",
)
@click.option(
    "--mlflow", metavar="NAME", help="Log candidates, policy and pages to MLflow as the sweep NAME."
)
@click.option(
    "--tracking-uri", help="MLflow store or server; default: MLFLOW_TRACKING_URI, or mlflow.db here."
)
@click.option(
    "--volume",
    "--per-month",
    default=100_000.0,
    show_default=True,
    type=Finite(min=0),
    help="Requests a month (with steps and turns: whole tasks).",
)
@click.option(
    "--growth",
    default=0.0,
    show_default=True,
    type=Finite(min=-1),
    help="Share by which they grow every month.",
)
@click.option(
    "--reference",
    nargs=2,
    metavar="MODEL EFFORT",
    help="Judge all candidates against this one ('' = no effort set); default: the policy's, else the best one.",
)
@click.option(
    "--reference-effort", metavar="EFFORT", help="Judge each candidate against its own model at EFFORT."
)
@click.option(
    "--reference-harness",
    metavar="NAME",
    help="Judge each candidate against its own model and effort in harness NAME ('' = the suite's own).",
)
@click.option(
    "--margin",
    type=Finite(),
    help="Quality that a candidate may lose; default: the policy's, else 0.03 = 3 points.",
)
@click.option(
    "--confidence", type=Finite(), help="Of all verdicts together; default: the policy's, else 0.90."
)
@click.option("--by-suite", is_flag=True, help="Verdicts of each suite in the terminal as well.")
@click.option(
    "--audit",
    type=EXISTING_FILE,
    help="Audited requests: outcomes of the reference (and labels) by decision id.",
)
@click.option(
    "--check",
    type=EXISTING_FILE,
    help="Recompute the page there instead of writing one; exit status 3 unless every byte is the same.",
)
@what_if
@json_option
def report(
    sources: tuple[Path, ...], html: Path | None, pareto: Path | None, calls: Path | None, before: Path | None,
    mlflow: str | None, tracking_uri: str | None, volume: float, growth: float,
    reference: tuple[str, str] | None, reference_effort: str | None, reference_harness: str | None, margin: float | None,
    confidence: float | None, by_suite: bool, audit: Path | None, check: Path | None,
    what_if: WhatIf, as_json: bool,
) -> None:  # fmt: skip
    """Make a page of outcomes, with a policy's part if one is named; or say whether DECISIONS keep
    the promise.

    Every candidate gets a verdict: does it lose more than --margin against the reference, and what
    does it save? Who saves and is shown to lose more `backfires`.

    SOURCES: an outcomes table, a policy directory, a decision log (.jsonl), in any order.

    Where MLflow cannot be written, that is a warning and exit status 1; the pages are written all
    the same.
    """
    found = sort_sources(sources)
    if found.decisions:
        from router_lab.cli.production_check import production_check_command

        production_check_command(found.decisions, found.policies, audit, before, html, check, as_json)
        return
    from router_lab.cli.outcomes_page import ReportOptions, show_outcomes

    if len(found.outcomes) != 1 or len(found.policies) > 1:
        raise InputError("report: name one outcomes table, and at most one policy directory")
    options = ReportOptions(
        found.outcomes[0], next(iter(found.policies), None), calls, before, volume, growth,
        validator=what_if.validator(), question=what_if.question(), reference=reference,
        reference_effort=reference_effort, reference_harness=reference_harness, margin=margin,
        confidence=confidence, by_suite=by_suite,
    )  # fmt: skip
    show_outcomes(options, html, pareto, mlflow, tracking_uri, check, as_json)


def sort_sources(sources: tuple[Path, ...]) -> Sources:
    """Directories are policies, .jsonl files and rotated parts of them decision logs, all other
    files outcomes."""
    found = Sources()
    for path in sources:
        kind = found.policies if path.is_dir() else found.decisions if is_log_name(path) else found.outcomes
        kind.append(path)
    return found
