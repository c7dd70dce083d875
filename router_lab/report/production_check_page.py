"""The page of `report DECISIONS`: the answer, the checks, and promised beside real by suite."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from router_lab.report.format import count, money, percent
from router_lab.report.html import PARTS, page, table
from router_lab.report.production_check import ProductionCheck
from router_lab.report.production_check_findings import BROKEN, HOLDS

_KIND = {HOLDS: "pass", BROKEN: "fail"}


def production_check_html(result: ProductionCheck, name: str) -> str:
    """A self-contained page for a `ProductionCheck`. name: of the policy or the log."""
    kind = _KIND.get(result.verdict, "inconclusive")
    broken = [f.name for f in result.findings if f.verdict == BROKEN]
    said = f"{result.verdict}: {', '.join(broken)}" if broken else result.to_text().splitlines()[-1]
    checks = table(
        [{"f": f} for f in result.findings],
        [
            ("check", lambda r: r["f"].name),
            ("answer", lambda r: r["f"].verdict),
            ("measured", lambda r: r["f"].text),
            ("more needed", lambda r: count(r["f"].more) if r["f"].more else "–"),
            ("would name", lambda r: f"{r['f'].drift} in {count(r['f'].within)}" if r["f"].within else "–"),
        ],
        text_columns=3,
    )
    by_suite = table(
        result.bill,
        [
            ("suite", lambda r: r["suite"]),
            ("decisions", lambda r: count(r["n"])),
            ("promised, $ / 1,000", lambda r: money(r["promised_cost"])),
            ("real, $ / 1,000", lambda r: money(r["real_cost"])),
            ("promised quality", lambda r: percent(r["promised_quality"])),
            ("labelled quality", lambda r: percent(r["real_quality"])),
            ("95 % interval", lambda r: r["interval"]),
            ("labelled", lambda r: r["labelled"]),
        ],
    )
    return page(
        f"{name}: production check",
        PARTS.lead(f"{count(result.n)} logged decisions"),
        PARTS.verdict_box(kind, said),
        PARTS.section("What was checked", checks),
        PARTS.section("Promised and real, by suite", by_suite),
        PARTS.section("Who served", _counts(result.served, "candidate", result.n)),
        PARTS.section("Why", _counts(result.codes, "reason", result.n)),
    )


def _counts(found: Mapping[str, int], heading: str, n: int) -> Markup:
    rows = [{"name": k, "n": v} for k, v in found.items()]
    columns = [(heading, lambda r: r["name"]), ("decisions", lambda r: count(r["n"])),
               ("share", lambda r: percent(r["n"] / n))]  # fmt: skip
    return table(rows, columns)
