"""The parts of the report that are about money: the bill, the tail, and where the tokens go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from router_lab.report.economics import (
    Bill,
    batch_saving,
    context_growth,
    tail,
    tail_summary,
    token_rows,
)
from router_lab.report.format import count, money, percent
from router_lab.report.html import PARTS, table
from router_lab.report.review import Review, sentences
from router_lab.runtime.kinds import COUNTED
from router_lab.runtime.model import Candidate

MOST_TAIL = 20


def bill_section(
    bills: Sequence[Bill], volume: float, growth: float, basis: str = "", review: Review | None = None
) -> Markup:
    """P50, P95 and P99 of a request, dollars per success, and the month; then in words. basis: on
    which rows, for the note."""
    grows = f", growing {percent(growth, 0)} a month" if growth else ""
    year = [("after a year", lambda b: money(b["bill"].monthly[-1]))] if growth else []
    rows = [{"bill": b} for b in bills]
    body = table(
        rows,
        [
            ("", lambda b: b["bill"].name),
            ("mean", lambda b: money(b["bill"].mean)),
            ("P50", lambda b: money(b["bill"].p50)),
            ("P95", lambda b: money(b["bill"].p95)),
            ("P99", lambda b: money(b["bill"].p99)),
            ("per success", lambda b: money(b["bill"].per_success)),
            ("a month", lambda b: money(b["bill"].month)),
            *year,
        ],
    )
    note = "Dollars per request, all of its calls priced; a success is a unit of quality, so failures are paid for."
    title = f"The bill, at {count(volume)} requests a month{grows}"
    told = [] if review is None else [one.text for one in sentences(review)]
    picture = Markup() if review is None else review.picture()
    figure = PARTS.figure(picture, "Owned hardware beside the bill") if picture else Markup()
    after = PARTS.paragraph(f"{note} {basis}".strip(), "note")
    return PARTS.section(title, body, after, PARTS.bullets(told), figure)


def tail_section(outcomes: pd.DataFrame) -> Markup:
    """Samples that finished but cost over five times their candidate's median."""
    summary = tail_summary(outcomes)
    if not summary:
        return Markup()
    by_candidate = table(
        summary,
        [
            ("", lambda r: r["label"]),
            ("samples", lambda r: count(r["n"])),
            ("of its samples", lambda r: percent(r["share"])),
            ("of its dollars", lambda r: percent(r["share_of_cost"])),
            ("mean turns", lambda r: "–" if r["turns"] != r["turns"] else f"{r['turns']:.1f}"),
            ("mean retries", lambda r: "–" if r["retries"] != r["retries"] else f"{r['retries']:.1f}"),
            ("dearest, × median", lambda r: f"{r['worst']:.0f}"),
        ],
    )
    found = tail(outcomes).head(MOST_TAIL)
    rows = [{str(k): v for k, v in r.items()} for r in found.to_dict("records")]
    dearest = table(
        rows,
        [
            ("suite", lambda r: r["suite"]),
            ("sample", lambda r: str(r["sample_id"])),
            ("candidate", lambda r: r["label"]),
            ("cost", lambda r: money(r["cost_usd"])),
            ("× median", lambda r: f"{r['times']:.1f}"),
            ("turns", lambda r: _whole(r, "turns")),
            ("retries", lambda r: _whole(r, "retries")),
            ("output tokens", lambda r: _whole(r, "output_tokens")),
            ("quality", lambda r: f"{r['quality']:.2f}"),
        ],
        text_columns=3,
    )
    return PARTS.section(
        "The tail: finished in time, but dear",
        PARTS.paragraph(
            "Samples that ended normally and cost more than five times their candidate's median in the suite."
        ),
        by_candidate,
        PARTS.details(f"The {len(rows)} dearest", dearest),
    )


def _whole(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return count(float(value)) if value is not None and value == value else "–"


def tokens_section(outcomes: pd.DataFrame, calls: pd.DataFrame | None) -> Markup:
    """Mean tokens by kind, the context by turn, and what a batch tier would take off."""
    rows = token_rows(outcomes)
    written = [
        r["output_tokens"] + _or_0(r["reasoning_tokens"])
        for r in rows
        if r["output_tokens"] == r["output_tokens"]
    ]
    if not written:
        return Markup()
    most = max(written) or 1.0
    numbers = [(kind.word, lambda r, column=kind.column: count(r[column])) for kind in COUNTED]
    spoken = ("reasoning_tokens", "output_tokens")
    picture = ("reasoning, then answer", lambda r: PARTS.bars(*(_or_0(r[part]) / most for part in spoken)))
    parts = [
        table(rows, [("", lambda r: r["label"]), *numbers, picture]),
        PARTS.bullets(_batch_lines(outcomes)),
    ]
    growth = [] if calls is None else context_growth(calls)
    if growth:
        parts.append(PARTS.paragraph("Input by turn of a conversation, cached tokens included:"))
        columns = [("turn", lambda r: str(r["turn"])), ("mean input tokens", lambda r: count(r["input"])),
                   ("calls", lambda r: count(r["n"]))]  # fmt: skip
        parts.append(table(growth, columns))
        factor = growth[-1]["input"] / growth[0]["input"] if growth[0]["input"] else 0.0
        parts.append(
            PARTS.paragraph(
                f"The last turn sends {factor:.1f} times the first one's input: what a prompt cache, or a shorter "
                "context, would save is in the difference.",
                "note",
            )
        )
    return PARTS.section("Where the tokens go, mean per request", *parts)


def _or_0(value: float) -> float:
    return value if value == value else 0.0


def _batch_lines(outcomes: pd.DataFrame) -> list[str]:
    shares = ((c, batch_saving(c.get("prices"))) for c in outcomes.attrs.get("candidates") or ())
    named = ((str(Candidate.of(c)), share) for c, share in shares if share)
    return [
        f"{name}: the batch tier takes {percent(share, 0)} off where an answer may wait."
        for name, share in named
    ]
