"""`report OUTCOMES`: the front in the terminal, as pages, and in MLflow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from router_lab.cli.common import (
    ERROR,
    echo,
    echo_block,
    open_policy,
    policy_folder,
    print_json,
    print_path,
    same_or_fail,
    step,
)
from router_lab.cli.mirror import mirror
from router_lab.outcomes import read_calls, read_outcomes
from router_lab.outcomes.steps import STEPS
from router_lab.replay import replay
from router_lab.report import (
    Asked,
    candidate_table,
    candidate_verdicts,
    format_table,
    front_svg,
    marks_of,
    moved,
    pareto_html,
    pareto_text,
    policy_marks,
    pooled,
    report_html,
    verdicts_data,
    verdicts_text,
)
from router_lab.report.review import Question, Review, plain, sentences
from router_lab.report.reviewed import bills_of, review_of
from router_lab.report.steps import StepsOf, Validator, steps_found
from router_lab.report.steps_page import steps_json, steps_lines
from router_lab.report.verdicts import asked_of
from router_lab.runtime.errors import InputError
from router_lab.runtime.files import atomic_write
from router_lab.runtime.model import Candidate
from router_lab.runtime.policy import Policy
from router_lab.runtime.reading import read_regular
from router_lab.tracking import opening, store_uri


@dataclass
class ReportOptions:
    """What the command line named, and what is read from it."""

    outcomes_path: Path
    policy_path: Path | None
    calls_path: Path | None
    before_path: Path | None
    volume: float
    growth: float
    validator: Validator
    question: Question
    reference: tuple[str, str] | None = None
    reference_effort: str | None = None
    reference_harness: str | None = None
    margin: float | None = None
    confidence: float | None = None
    by_suite: bool = False

    @cached_property
    def asked(self) -> Asked:
        """Against whom candidates are judged: as named, else as the policy's certificate has
        it."""
        named = (self.reference, self.reference_effort, self.reference_harness)
        if sum(one is not None for one in named) > 1:
            raise InputError(
                "report: --reference names one candidate for all, --reference-effort and --reference-harness one for "
                "each candidate; give one of them"
            )
        asked = asked_of(self.policy, self.outcomes)
        if any(one is not None for one in named):
            model, effort = self.reference or (None, None)
            who = None if model is None else Candidate(model, effort or None)
            asked = replace(
                asked, reference=who, effort=self.reference_effort, harness=self.reference_harness
            )
        return replace(
            asked, margin=self.margin or asked.margin, confidence=self.confidence or asked.confidence
        )

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        return read_outcomes(self.outcomes_path)

    @cached_property
    def policy(self) -> Policy | None:
        return None if self.policy_path is None else open_policy(self.policy_path)

    @cached_property
    def before(self) -> pd.DataFrame | None:
        return None if self.before_path is None else read_outcomes(self.before_path)

    @cached_property
    def calls(self) -> pd.DataFrame | None:
        """calls.parquet beside the outcomes is read without being named."""
        path = self.calls_path or self.outcomes_path.with_name("calls.parquet")
        return read_calls(path) if path.exists() else None

    @cached_property
    def steps(self) -> list[StepsOf]:
        """Of each candidate whose runs were scored step by step."""
        return steps_found(self.outcomes, self.calls, self.validator) if STEPS in self.outcomes else []

    @cached_property
    def review(self) -> Review | None:
        """The bill in people's words."""
        policy, known = self.policy, candidate_table(self.outcomes)
        replayed = None if policy is None else replay(policy, self.outcomes)
        bills = bills_of(self.outcomes, known, policy, replayed, self.volume, self.growth)
        return review_of(
            self.outcomes,
            known,
            bills,
            policy,
            replayed,
            self.calls,
            volume=self.volume,
            question=self.question,
        )

    def report(self) -> str:
        """The page for somebody who was not there."""
        with step("writing the report"):
            return report_html(
                self.outcomes, policy=self.policy, calls=self.calls, before=self.before, volume=self.volume,
                growth=self.growth, validator=self.validator, question=self.question, asked=self.asked,
            )  # fmt: skip

    def fronts(self, suffix: str) -> str:
        """The fronts alone: one picture for `.svg`, else a page."""
        if suffix == ".svg":
            return front_svg(self.outcomes, self.policy)
        policy, table = self.policy, self.outcomes
        marks = [] if policy is None else policy_marks(policy, replay(policy, table), candidate_table(table))
        reference = None if policy is None else policy.reference
        return pareto_html(table, extra=marks, reference=reference, before=self.before)


def show_outcomes(
    options: ReportOptions, html: Path | None, pareto: Path | None, mlflow: str | None, tracking_uri: str | None,
    check: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Answer `report OUTCOMES`; without a file to write and nothing to log, in the terminal."""
    if mlflow is not None:
        store_uri(tracking_uri)  # a word that names no store is said before anything is computed
    if check is not None:
        same_or_fail(check, page_differences(check, options.report()))
        return
    if as_json:
        found = verdicts_data(candidate_verdicts(options.outcomes, options.asked))
        steps = {"steps": steps_json(options.steps, options.validator)} if options.steps else {}
        bill = {} if options.review is None else {"bill": plain(options.review)}
        rows = candidate_table(options.outcomes).to_dict("records")
        print_json({"candidates": rows, "verdicts": found, **steps, **bill})
    elif html is None and pareto is None and mlflow is None:
        known = candidate_table(options.outcomes)
        judged = candidate_verdicts(options.outcomes, options.asked)
        echo_block(f"{format_table(known)}\n\n{pareto_text(marks_of(pooled(known)))}")
        if judged.all:
            echo_block(f"\n{verdicts_text(judged, by_suite=options.by_suite)}")
        if options.steps:
            echo("", *steps_lines(options.steps, options.validator))
        told = [] if options.review is None else sentences(options.review)
        if told:
            echo("", "The bill", *(f"  {one.text}" for one in told))
        if options.before is not None:
            echo("", *moved(candidate_table(options.before), known))
    pages = []
    if html is not None:
        pages.append(atomic_write(html, options.report().encode("utf-8", "replace")))
    if pareto is not None:
        pages.append(atomic_write(pareto, options.fronts(pareto.suffix).encode("utf-8", "replace")))
    mirrored = mlflow is None or log_to_mlflow(options, mlflow, tracking_uri, pages)
    for page in pages:
        print_path(page)
    if not mirrored:
        raise SystemExit(ERROR)


def log_to_mlflow(options: ReportOptions, name: str, uri: str | None, pages: list[Path]) -> bool:
    """Mirror candidates, policy and pages, and say how to look at them; whether that could be
    done."""
    directory = None if options.policy_path is None else policy_folder(options.policy_path)
    view = mirror(options.outcomes, name, uri, pages, options.policy, directory)
    if view is None:
        return False
    page = opening(uri)
    echo(f"MLflow: {page.command or page.address}", f"  the front: {page.to(view)}", err=True)
    return True


def page_differences(path: Path, text: str) -> list[str]:
    """The first line in which the page at `path` is not `text`."""
    was, now = read_regular(path), text.encode("utf-8", "replace")
    if was == now:
        return []
    pairs = enumerate(zip(was.splitlines(), now.splitlines(), strict=False), 1)
    first = next((f"line {i} of {len(was.splitlines())}" for i, (a, b) in pairs if a != b), "its length")
    return [f"first in {first}; its options must be those that it was made with"]
