"""report.html: one self-contained page for somebody who was not there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from router_lab.certificate import Certificate, Figure, deploy
from router_lab.outcomes import validate_outcomes
from router_lab.replay import Replay, replay
from router_lab.report.bill_page import bill_section, tail_section, tokens_section
from router_lab.report.economics import Bill
from router_lab.report.escalation_page import escalation_section
from router_lab.report.format import MISSING, count, money, percent, points
from router_lab.report.html import PARTS, page, render, table
from router_lab.report.levers import levers_found
from router_lab.report.levers_page import levers_section
from router_lab.report.life import life_rows
from router_lab.report.pareto_page import fronts_html, moved, tables_html
from router_lab.report.policy import (
    FRESH,
    IN_SAMPLE,
    compare_rows,
    figures,
    policy_marks,
    price_line,
    routing_rows,
    served_rows,
)
from router_lab.report.review import Question, Review, sentences
from router_lab.report.reviewed import best_row, bills_of, review_of
from router_lab.report.steps import Validator, steps_found
from router_lab.report.steps_page import steps_section
from router_lab.report.table import candidate_table, pooled, records, suites_of
from router_lab.report.teams import teams_found
from router_lab.report.teams_page import teams_section
from router_lab.report.told import (
    bounds_note,
    certificate_rows,
    few_of,
    least_margin,
    lost_told,
    ranged,
    ranged_percent,
)
from router_lab.report.verdicts import Asked, asked_of, candidate_verdicts
from router_lab.report.verdicts_page import verdicts_html
from router_lab.runtime.policy import Policy

VOLUME = 100_000.0


@dataclass(frozen=True)
class ReportData:
    """Everything the page speaks of, computed once."""

    table: pd.DataFrame
    outcomes: pd.DataFrame
    policy: Policy | None
    replayed: Replay | None
    bills: Sequence[Bill]
    volume: float
    review: Review | None


def report_html(
    outcomes: pd.DataFrame,
    *,
    policy: Policy | None = None,
    calls: pd.DataFrame | None = None,
    before: pd.DataFrame | None = None,
    volume: float = VOLUME,
    growth: float = 0.0,
    validator: Validator | None = None,
    question: Question | None = None,
    title: str | None = None,
    asked: Asked | None = None,
) -> str:
    """The report of a sweep, and of a policy made from it. Same inputs, same bytes: no clock is
    looked at.

    outcomes: raw or validated.  calls: for what is known by call.  before: the outcomes of an
    earlier sweep. volume: requests a month; growth: by which share they grow every month.
    validator: what a check of each step is supposed to do, where outcomes hold steps. question:
    what is asked of the bill. asked: against whom candidates are judged (default: `asked_of` the
    policy).
    """
    outcomes = validate_outcomes(outcomes, where="report: outcomes")
    known = candidate_table(outcomes)
    replayed = None if policy is None else replay(policy, outcomes)
    bills = bills_of(outcomes, known, policy, replayed, volume, growth)
    review = review_of(outcomes, known, bills, policy, replayed, calls, volume=volume, question=question)
    data = ReportData(known, outcomes, policy, replayed, bills, volume, review)
    return page(
        title or ("Model sweep" if policy is None else f"Routing policy {policy.spec.name}"),
        _what_was_tried(data),
        *_answer(data),
        *_found(data, before),
        _verdicts(outcomes, asked or asked_of(policy, outcomes)),
        _who_gets_what(data),
        _escalation(data),
        *_runs(outcomes, calls, validator),
        bill_section(bills, volume, growth, _basis(data), review),
        tail_section(outcomes),
        tokens_section(outcomes, calls),
        _how_sure(data),
    )


def _found(data: ReportData, before: pd.DataFrame | None) -> Iterator[Markup]:
    """The fronts, and what moved since an earlier sweep."""
    known, policy, then = data.table, data.policy, None if before is None else candidate_table(before)
    marks = [] if policy is None or data.replayed is None else policy_marks(policy, data.replayed, known)
    reference = None if policy is None else policy.reference
    fronts = fronts_html(known, marks, reference, then)
    yield PARTS.section("What was found", *fronts, *tables_html(known))
    yield PARTS.section("What the new sweep moved", PARTS.bullets([] if then is None else moved(then, known)))


def _verdicts(outcomes: pd.DataFrame, asked: Asked) -> Markup:
    return PARTS.section(
        "Does a candidate lose too much?", *verdicts_html(candidate_verdicts(outcomes, asked))
    )


def _runs(
    outcomes: pd.DataFrame, calls: pd.DataFrame | None, given: Validator | None
) -> tuple[Markup, Markup, Markup]:
    """Who worked in a run, what surrounded it, and its steps."""
    validator = Validator() if given is None else given
    steps = steps_found(outcomes, calls, validator)
    return (
        teams_section(teams_found(outcomes, calls, steps)),
        levers_section(levers_found(outcomes)),
        steps_section(steps, validator),
    )


def _basis(data: ReportData) -> str:
    """On which rows the bill stands."""
    if data.replayed is None:
        return ""
    rows = "that the fit has used" if data.replayed.in_sample else "that the fit has not used"
    return (
        f"Percentiles are of {data.replayed.n:,} rows {rows}, the same for both; means, months and dollars per "
        "success take the reference's over everything measured, with the saving and the quality shown above."
    )


def _what_was_tried(data: ReportData) -> Markup:
    rows = pooled(data.table)
    days = (
        data.outcomes["started_at"].dropna().astype(str).str[:10]
        if "started_at" in data.outcomes
        else pd.Series()
    )
    when = [] if days.empty else sorted({days.min(), days.max()})
    text = (
        f"{len(rows)} candidates on {count(rows['n'].max())} samples in {count(rows['clusters'].max())} groups of "
        f"{len(suites_of(data.table))} suites ({', '.join(suites_of(data.table)[:8])})"
    )
    return PARTS.lead(text, when)


def _answer(data: ReportData) -> list[Markup]:
    if data.policy is None or data.replayed is None:
        return [_answer_of_sweep(data)]
    shown, found = Certificate.of(data.policy), figures(data.policy, data.replayed)
    word = shown.verdict or "inconclusive"
    base, routed = data.bills
    saved = base.month - routed.month
    boxes = [
        (_big(found.quality_difference), f"quality against {base.name}"),
        (percent(found.savings.value, 0), "of the reference's cost saved"),
        (money(saved), f"saved a month at {count(data.volume)} requests"),
        (
            least_margin(shown.smallest_margin, shown.clusters),
            "smallest loss this much data can rule out, if all requests moved",
        ),
    ]
    verdict = PARTS.verdict_box(word, f"{deploy(data.policy)} {_plain(shown)}", of="certificate")
    return [verdict, PARTS.cards(boxes), PARTS.quote(_sentence(data)), _which_rows(shown)]


def _big(figure: Figure) -> str:
    return few_of(figure) or f"{points(figure.value)} points"


def _which_rows(shown: Certificate) -> Markup:
    if shown.n is None:
        return Markup()
    return PARTS.paragraph(
        f"Verdict and figures are those of {certificate_rows(shown)}. The command router-lab gate judges fresh "
        "rows, which no fit has used, and may be inconclusive on them where the certificate passes: they are fewer.",
        "note",
    )


def _plain(shown: Certificate) -> str:
    """The certificate's claim in words; its own reason where it claims nothing."""
    if shown.verdict == "pass" and shown.margin is not None and shown.mix != 0:
        return (
            f"Shown with confidence {shown.confidence or 0.0:.4g}: the policy loses at most "
            f"{100 * shown.margin:.4g} points of quality against the reference"
            f"{f'; {shown.reason}' if shown.judged else ''}."
        )
    reason = shown.reason or "this policy carries no certificate"
    return re.sub("^do not route( yet)?: ", "", reason)


def _answer_of_sweep(data: ReportData) -> Markup:
    best = best_row(data.table)
    if best is None:
        return Markup()
    dear = best["cost_usd_per_1k"]
    rows = [r for r in records(pooled(data.table)) if r["compared"]]
    near = [r for r in rows if r["quality_high"] >= best["quality_low"] and r["cost_usd_per_1k"] < dear]
    text = f"{best['label']} is best: {percent(best['quality'])} at {money(dear)} per 1,000 requests."
    if near:
        cheap = min(near, key=lambda r: r["cost_usd_per_1k"])
        text += (
            f" {cheap['label']} costs {money(cheap['cost_usd_per_1k'])} and its interval overlaps the best one's "
            f"({percent(cheap['quality'])}); whether it is as good takes a paired test: fit a policy."
        )
    else:
        text += " Nothing cheaper comes within its interval on all suites together; a policy may find where it does."
    return PARTS.verdict_box("", text)


def _sentence(data: ReportData) -> str:
    """The sentences for somebody who reads no others."""
    told = [] if data.review is None else sentences(data.review)
    return " ".join(one.text for one in told if one.name in ("p95", "routed"))


def _who_gets_what(data: ReportData) -> Markup:
    if data.policy is None or data.replayed is None:
        return Markup()
    policy, replayed = data.policy, data.replayed
    versus = table(
        compare_rows(policy, replayed),
        [
            ("", lambda r: r["name"]),
            ("quality against the reference, points", lambda r: ranged(r["quality_difference"])),
            ("cost saved", lambda r: ranged_percent(r["savings"])),
        ],
        row_class=lambda r: r["kind"],
    )
    served = table(
        served_rows(replayed),
        [
            ("suite", lambda r: r["suite"]),
            (
                "served by",
                lambda r: ", ".join(f"{percent(s, 0)} {who}" for who, s in [*r["shares"].items()][:4]),
            ),
            ("quality against the reference, points", lambda r: ranged(r["quality_difference"])),
            ("cost saved", _saved),
            ("rows", lambda r: count(r["n"])),
        ],
        text_columns=2,
    )
    rows = IN_SAMPLE if replayed.in_sample else FRESH
    routes = table(
        routing_rows(policy),
        [("suite", lambda r: r["suite"]), ("prompts unlike any seen go to", lambda r: r["serves"]),
         ("shown", lambda r: r["verdict"])],
        text_columns=3,
    )  # fmt: skip
    return PARTS.section(
        "What to do",
        versus,
        PARTS.paragraph(
            f"Measured on {figures(policy, replayed).source}, errors by cluster. {bounds_note(Certificate.of(policy))}",
            "note",
        ),
        PARTS.paragraph(f"Who gets what, by suite, on {replayed.n:,} {rows}:"),
        served,
        PARTS.details("Prompts that the classifier does not know", routes),
    )


def _escalation(data: ReportData) -> Markup:
    if data.policy is None or data.replayed is None:
        return Markup()
    return escalation_section(data.policy, data.replayed)


def _saved(row: Mapping[str, Any]) -> str:
    """The saving of a suite; a dash where the column before it says that there are too few
    rows."""
    saved = ranged_percent(row["savings"])
    return MISSING if saved == ranged(row["quality_difference"]) else saved


def _how_sure(data: ReportData) -> Markup:
    if data.policy is None:
        return Markup()
    shown = Certificate.of(data.policy)
    lives = [f"{key}: {text}" for key, text in life_rows(data.policy)]
    return render(
        "how_sure.html", shown=shown, test=shown.test, lost=[*lost_told(shown), *lives], prices=price_line(data.policy),
        revision=data.policy.revision, count=count, money=money, percent=percent, ranged=ranged,
        ranged_percent=ranged_percent,
    )  # fmt: skip
