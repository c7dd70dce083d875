"""`router-lab report`: the page for somebody who was not there, and the day after."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router_lab.cli.common import json_option, open_policy, print_json, print_path, same_or_fail, step

if TYPE_CHECKING:
    import pandas as pd

    from router_lab.runtime.policy import Policy

EXAMPLES = """\b
Examples:
  router-lab report outcomes.parquet policies/support --html report.html --volume 200000
  router-lab report new.parquet --before old.parquet --pareto pareto.html
  router-lab report decisions.jsonl policies/support --audit audit.csv --html week.html
  router-lab report outcomes.parquet policies/support --check report.html --volume 200000
"""


@dataclass
class Sources:
    """What the arguments were found to be."""

    outcomes: list[Path] = field(default_factory=list)
    policies: list[Path] = field(default_factory=list)
    decisions: list[Path] = field(default_factory=list)


@click.command(epilog=EXAMPLES)
@click.argument("sources", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the page there.")
@click.option("--pareto", type=click.Path(dir_okay=False, path_type=Path), help="Write the fronts alone there.")
@click.option(
    "--calls",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="calls.parquet, for the growth of context; default: the one beside the outcomes, if any.",
)
@click.option(
    "--before",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Outcomes of an earlier sweep (or, with decisions, an earlier log) to compare with.",
)
@click.option("--volume", default=100_000.0, show_default=True, help="Requests a month.")
@click.option("--growth", default=0.0, show_default=True, help="Share by which they grow every month.")
@click.option(
    "--audit",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Audited requests: outcomes of the reference (and labels) by decision id.",
)
@click.option(
    "--check",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Recompute the page there instead of writing one; exit status 3 unless every byte is the same.",
)
@json_option
def report(
    sources: tuple[Path, ...],
    html: Path | None,
    pareto: Path | None,
    calls: Path | None,
    before: Path | None,
    volume: float,
    growth: float,
    audit: Path | None,
    check: Path | None,
    as_json: bool,
) -> None:
    """Make a page of outcomes, with a policy's part if one is named; or say whether DECISIONS keep the promise.

    SOURCES: an outcomes table, a policy directory, a decision log (.jsonl), in any order.
    """
    found = sort_sources(sources)
    if found.decisions:
        from router_lab.cli.dayafter import day_after_command

        day_after_command(found.decisions, found.policies, audit, before, html, check, as_json)
        return
    _outcomes_page(found, html, pareto, calls, before, volume, growth, check, as_json)


def _outcomes_page(
    found: Sources,
    html: Path | None,
    pareto: Path | None,
    calls: Path | None,
    before: Path | None,
    volume: float,
    growth: float,
    check: Path | None,
    as_json: bool,
) -> None:
    from router_lab.outcomes import read_calls, read_outcomes
    from router_lab.report import (
        candidate_table,
        format_table,
        marks_of,
        pareto_html,
        pareto_text,
        policy_marks,
        pooled,
        report_html,
    )
    from router_lab.runtime.errors import InputError
    from router_lab.runtime.files import atomic_write

    if len(found.outcomes) != 1 or len(found.policies) > 1:
        raise InputError("report: name one outcomes table, and at most one policy directory")
    table = read_outcomes(found.outcomes[0])
    policy = _policy(found.policies)
    earlier = None if before is None else read_outcomes(before)
    beside = calls or found.outcomes[0].with_name("calls.parquet")
    turns = read_calls(beside) if beside.exists() else None
    if check is not None:
        text = report_html(table, policy=policy, calls=turns, before=earlier, volume=volume, growth=growth)
        same_or_fail(check, page_differences(check, text))
        return
    if as_json:
        print_json({"candidates": candidate_table(table).to_dict("records")})
    elif html is None and pareto is None:
        known = candidate_table(table)
        click.echo(f"{format_table(known)}\n\n{pareto_text(marks_of(pooled(known)))}")
    if html is not None:
        with step("writing the report"):
            text = report_html(table, policy=policy, calls=turns, before=earlier, volume=volume, growth=growth)
            atomic_write(html, text.encode("utf-8", "replace"))
        print_path(html)
    if pareto is not None:
        marks = [] if policy is None else policy_marks(policy, _replayed(policy, table), candidate_table(table))
        reference = None if policy is None else (policy.reference.model, policy.reference.effort)
        page = pareto_html(table, extra=marks, reference=reference, before=earlier)
        print_path(atomic_write(pareto, page.encode("utf-8", "replace")))


def page_differences(path: Path, text: str) -> list[str]:
    """The first line in which the page at `path` is not `text`."""
    was, now = path.read_bytes(), text.encode("utf-8", "replace")
    if was == now:
        return []
    pairs = enumerate(zip(was.splitlines(), now.splitlines(), strict=False), 1)
    first = next((f"line {i} of {len(was.splitlines())}" for i, (a, b) in pairs if a != b), "its length")
    return [f"first in {first}; --volume, --growth, --before and --calls must be those that it was made with"]


def sort_sources(sources: tuple[Path, ...]) -> Sources:
    """Directories are policies, .jsonl files decision logs, all other files outcomes."""
    found = Sources()
    for path in sources:
        kind = found.policies if path.is_dir() else found.decisions if path.suffix == ".jsonl" else found.outcomes
        kind.append(path)
    return found


def _policy(paths: list[Path]) -> Policy | None:
    return open_policy(paths[0]) if paths else None


def _replayed(policy: Policy, table: pd.DataFrame):  # type: ignore[no-untyped-def]
    from router_lab.replay import replay

    return replay(policy, table)
