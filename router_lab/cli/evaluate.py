"""`router-lab evaluate`: another policy's quality and dollars from decision logs alone."""

from __future__ import annotations

from pathlib import Path

import click

from router_lab.cli.common import (
    EXISTING_FILE,
    EXISTING_FOLDER,
    EXIT_OF_VERDICT,
    FILE,
    Finite,
    echo_block,
    json_option,
    open_policy,
    print_json,
    print_path,
    step,
)
from router_lab.runtime.files import atomic_write

EXAMPLE = """\b
Example:
  router-lab evaluate policies/challenger week.jsonl
  router-lab evaluate policies/challenger week.jsonl --against policies/support --metric cost_usd
  router-lab evaluate policies/challenger week.jsonl --margin 0.02 --html week.html --json
"""


@click.command(epilog=EXAMPLE)
@click.argument("policy", type=EXISTING_FOLDER)
@click.argument("logs", metavar="LOG…", nargs=-1, required=True, type=EXISTING_FILE)
@click.option(
    "--against",
    type=EXISTING_FOLDER,
    help="Another policy to compare with on the same requests; default: what the log's own policy gave.",
)
@click.option("--metric", type=click.Choice(["quality", "cost_usd"]), help="One of the two alone.")
@click.option(
    "--margin",
    type=Finite(min=0, max=1, max_open=True),
    help="Quality that the policy may lose; default: its certificate's, else 0.03 = 3 points.",
)
@click.option(
    "--confidence",
    default=0.90,
    show_default=True,
    type=Finite(min=0.5, max=0.999),
    help="Of the two-sided intervals, by whose ends the verdict is.",
)
@click.option("--point", help="An operating point of the policy; by default its own.")
@click.option("--html", type=FILE, help="Write a page there.")
@json_option
def evaluate(
    policy: Path, logs: tuple[Path, ...], against: Path | None, metric: str | None, margin: float | None,
    confidence: float, point: str | None, html: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """What POLICY would have given on the requests of each LOG of another's decisions.

    A doubly robust estimate: the policy's predictions, set right by the requests that chance sent
    where it would have sent them (`explore:` in the recipe; the log holds each propensity). A
    shadow's outcomes are used where there are some.

    Exit status: 0 the policy loses at most --margin (with --metric cost_usd: costs no more), 3 it
    does not, 4 the log cannot tell, with what would settle it.
    """
    from router_lab.evaluate import evaluate as run
    from router_lab.evaluate import read_log
    from router_lab.evaluate.told import to_json, to_text

    loaded = open_policy(policy)
    rival = None if against is None else open_policy(against)
    with step(f"evaluating {loaded.spec.name} on {len(logs)} log{'s' * (len(logs) > 1)}"):
        found = run(
            loaded, read_log(list(logs)), against=rival, confidence=confidence, margin=margin, point=point,
            metrics=("quality", "cost_usd") if metric is None else (metric,),
        )  # fmt: skip
    if html is not None:
        from router_lab.report.evaluation_page import evaluation_html

        page = evaluation_html(to_json(found), to_text(found).splitlines()[-1])
        atomic_write(html, page.encode("utf-8", "replace"))
    if as_json:
        print_json(to_json(found))
    else:
        echo_block(to_text(found))
    if html is not None:
        print_path(html)
    raise SystemExit(EXIT_OF_VERDICT[found.verdict.verdict])
