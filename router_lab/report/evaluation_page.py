"""The page of `evaluate`: the answer, both policies' figures, and whom the log had asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from router_lab.report.format import count, money, percent, points
from router_lab.report.html import PARTS, page, table
from router_lab.runtime.shares import many


def evaluation_html(found: Mapping[str, Any], said: str) -> str:
    """A self-contained page. found: what `evaluate.told.to_json` gives; said: its verdict in a
    line."""
    figures = [{"name": name, **figure} for name, figure in found["figures"].items()]
    told = table(
        figures,
        [
            ("metric", lambda r: r["name"]),
            ("policy", lambda r: _amount(r["value"]["value"], r["name"])),
            ("from", lambda r: _amount(r["value"]["low"], r["name"])),
            ("to", lambda r: _amount(r["value"]["high"], r["name"])),
            (found["against"] or "the log's own policy", lambda r: _amount(r["beside"]["value"], r["name"])),
            ("difference", lambda r: _apart(r["difference"]["value"], r["name"])),
            ("from ", lambda r: _apart(r["difference"]["low"], r["name"])),
            ("to ", lambda r: _apart(r["difference"]["high"], r["name"])),
            ("answer", lambda r: r["verdict"]),
        ],
    )
    overlap = found["overlap"]
    asked = table(
        overlap["asked"],
        [
            ("candidate", lambda r: r["candidate"]),
            ("share of the policy's requests", lambda r: percent(r["mass"])),
            ("asked in the log", lambda r: count(r["rows"])),
            ("told by weight", lambda r: percent(r["told"])),
            ("too few", lambda r: "yes" if r["lacks"] else ""),
        ],
    )
    lead = (
        f"{many(found['n'], 'logged decision counts', 'logged decisions count')} as {count(overlap['counts'])} of the "
        f"policy's; both would have asked the same candidate on {percent(overlap['agree'])} of them"
    )
    lines = [{"text": text} for text in (*found["notes"], *(f"to settle it: {s}" for s in found["settle"]))]
    return page(
        f"{found['policy']}: evaluated on a log",
        PARTS.lead(lead),
        PARTS.verdict_box(found["verdict"], said),
        PARTS.section(f"Figures, with {percent(found['confidence'], 0)} intervals", told),
        PARTS.section("Whom the policy would have asked", asked),
        *([PARTS.section("Notes", table(lines, [("", lambda r: r["text"])]))] if lines else []),
    )


def _amount(value: float | None, metric: str) -> str:
    if value is None:
        return percent(math.nan)
    return percent(value) if metric == "quality" else f"{money(1000 * value)} / 1,000"


def _apart(value: float | None, metric: str) -> str:
    if value is None:
        return percent(math.nan)
    return points(value) if metric == "quality" else f"{money(1000 * value)} / 1,000"
