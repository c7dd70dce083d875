"""pareto.html: the front of all suites and of each, as pictures and as a table; or two sweeps side
by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from markupsafe import Markup

from router_lab.replay import replay
from router_lab.report.format import percent, points
from router_lab.report.html import PARTS, page, table
from router_lab.report.marks import Mark
from router_lab.report.policy import policy_marks
from router_lab.report.svg import pareto_svg
from router_lab.report.table import COLUMNS, candidate_table, marks_of, pooled, records, single, suites_of
from router_lab.runtime.model import Candidate
from router_lab.runtime.policy import Policy

MOST_PANELS = 24


def candidates_html(rows: pd.DataFrame) -> Markup:
    """One suite of a `candidate_table` as an HTML table; who is on the front is bold, the
    dominated are grey."""
    columns = [("candidate", lambda r: r["label"]), *((heading, cell) for heading, _, cell in COLUMNS)]
    return table(records(rows), columns, row_class=lambda r: "front" if r["on_front"] else "dominated")


def fronts_html(
    table_: pd.DataFrame,
    extra: Sequence[Mark] = (),
    reference: Candidate | None = None,
    before: pd.DataFrame | None = None,
) -> list[Markup]:
    """The picture of all suites with `extra` marks (policies …), and a small one for each
    suite."""
    known = None if before is None else set(before["label"])
    earlier = [] if before is None else marks_of(pooled(before))
    whole = [*marks_of(pooled(table_), reference, known), *extra]
    parts = [PARTS.figure(pareto_svg(whole, title="All suites", before=earlier))]
    suites = suites_of(table_)
    if len(suites) > 1:
        small = [
            PARTS.figure(
                pareto_svg(
                    marks_of(single(table_, s), reference, known), title=s, width=500, height=330,
                    legend=False, before=[] if before is None else marks_of(single(before, s)),
                ),
                s,
            )
            for s in suites[:MOST_PANELS]
        ]  # fmt: skip
        parts.append(PARTS.panels(small))
        if len(suites) > MOST_PANELS:
            parts.append(
                PARTS.paragraph(f"{len(suites) - MOST_PANELS} further suites are in the table.", "note")
            )
    unpriced = [r["label"] for r in records(pooled(table_)) if math.isnan(r["cost_usd_per_1k"])]
    if unpriced:
        parts.append(
            PARTS.paragraph(f"Not in the picture, for want of a price: {', '.join(unpriced)}.", "note")
        )
    return parts


def tables_html(table_: pd.DataFrame) -> list[Markup]:
    """The pooled table, and those of the suites folded beneath it."""
    each = [PARTS.titled(s, candidates_html(single(table_, s))) for s in suites_of(table_)]
    return [candidates_html(pooled(table_)), PARTS.details("By suite", *each)]


def pareto_html(
    outcomes: pd.DataFrame,
    *,
    extra: Sequence[Mark] = (),
    reference: Candidate | None = None,
    before: pd.DataFrame | None = None,
    title: str = "Quality over cost",
) -> str:
    """A self-contained page with the fronts of a validated outcomes table.

    extra: further marks for the picture of all suites (`policy_marks`).  before: the outcomes of
    an earlier sweep: its front is drawn dashed, candidates that it did not have are ringed, and
    what moved is said in words.
    """
    now = candidate_table(outcomes)
    then = None if before is None else candidate_table(before)
    n, groups = int(pooled(now)["n"].max()), int(pooled(now)["clusters"].max())
    made_of = (
        f"{len(pooled(now))} candidates, {len(suites_of(now))} suites, {n:,} samples in {groups:,} groups"
    )
    return page(
        title,
        PARTS.lead(made_of),
        *fronts_html(now, extra, reference, then),
        PARTS.section("What the new sweep moved", PARTS.bullets([] if then is None else moved(then, now))),
        PARTS.section("The front, and who is behind it", *tables_html(now)),
    )


def front_svg(outcomes: pd.DataFrame, policy: Policy | None = None) -> str:
    """The picture of all suites as a file of its own, with its style inside: for a README or a
    slide."""
    known = candidate_table(outcomes)
    extra = [] if policy is None else policy_marks(policy, replay(policy, outcomes), known)
    reference = None if policy is None else policy.reference
    return f"{pareto_svg([*marks_of(pooled(known), reference), *extra], title='All suites', alone=True)}\n"


def moved(before: pd.DataFrame, now: pd.DataFrame) -> list[str]:
    """What changed between two candidate tables, one sentence each: new candidates, and the front
    of every suite."""
    old, new = set(before["label"]), set(now["label"])
    lines = [f"New: {', '.join(sorted(new - old))}."] if new - old else ["No new candidate."]
    if old - new:
        lines.append(f"No longer measured: {', '.join(sorted(old - new))}.")
    lines += _front_change(pooled(before), pooled(now), "All suites")
    for suite in suites_of(now):
        lines += _front_change(single(before, suite), single(now, suite), suite)
    return lines


def _front_change(before: pd.DataFrame, now: pd.DataFrame, where: str) -> list[str]:
    was, is_ = set(before[before["on_front"]]["label"]), set(now[now["on_front"]]["label"])
    if before.empty or was == is_:
        return []
    parts = [f"{', '.join(sorted(is_ - was))} joined the front"] if is_ - was else []
    parts += [f"{', '.join(sorted(was - is_))} fell behind it"] if was - is_ else []
    best_then, best_now = (t[t["compared"]]["quality"].max() for t in (before, now))
    parts.append(f"best quality {percent(best_now)} ({points(best_now - best_then)} points)")
    return [f"{where}: {'; '.join(parts)}."]
