"""`candidate_verdicts` as people read them: in a terminal, on a page, and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from router_lab.columns import aligned, named
from router_lab.replay import number
from router_lab.report.format import count, percent
from router_lab.report.html import PARTS, table
from router_lab.report.verdicts import Asked, CandidateVerdict, Verdicts

MOST_NAMED = 3
"""Of those that backfire, in the line that counts them; the table has all."""

CLASSES = {"pass": "front", "fail": "dominated", "inconclusive": ""}
"""Of a row on a page: who passes is bold, who fails is grey."""


def verdicts_text(found: Verdicts, *, by_suite: bool = False) -> str:
    """Aligned text, a row per candidate; with `by_suite` those of each suite below. Empty without
    anybody to compare."""
    families = [found.all, *([found.by_suite] if by_suite and found.by_suite else [])]
    blocks = [
        "\n".join([family_line(found.asked, family), *aligned(*_parts(family), texts=(0, 1, 2))])
        for family in families
        if family
    ]
    return "\n\n".join([*blocks, *backfire_lines(families[-1])] if blocks else [])


def _parts(family: Sequence[CandidateVerdict]) -> list[list[list[str]]]:
    lost = any(one.missing for one in family)
    suites = dict.fromkeys(one.suite for one in family)
    return [
        [
            ["candidate" if suite is None else named(suite), "verdict", "against its reference", "n",
             *(["missing"] if lost else [])],
            *(
                [named(one.label), word(one), f"{one.bill}, {one.change}", count(one.verdict.n),
                 *([count(one.missing)] if lost else [])]
                for one in family if one.suite == suite
            ),
        ]
        for suite in suites
    ]  # fmt: skip


def word(one: CandidateVerdict) -> str:
    return f"{one.verdict.verdict}, backfires" if one.backfires else one.verdict.verdict


def family_line(asked: Asked, family: Sequence[CandidateVerdict]) -> str:
    """Against whom, at which margin, and at which confidence each was judged so that all of it
    holds."""
    against = named(family[0].reference)
    if asked.effort is not None:
        against = f"{named(asked.effort)} of its own model"
    elif asked.harness is not None:
        against = f"{named(asked.harness) if asked.harness else 'no harness'} around its own model"
    picked = asked.reference is None and asked.effort is None and asked.harness is None
    best = ", the best on these rows, so luck makes others look worse: name yours with --reference"
    each = 1 - (1 - asked.confidence) / len(family)
    together = (
        f"at {percent(asked.confidence, 0)} confidence"
        if len(family) == 1
        else f"each bound one-sided at {percent(each, 2)}, so that all {len(family)} verdicts hold together at "
        f"{percent(asked.confidence, 0)}"
    )
    return f"verdicts against {against}{best if picked else ''}: at most {100 * asked.margin:g} points lost; {together}"


def backfire_lines(family: Sequence[CandidateVerdict]) -> list[str]:
    """Who saves and is shown to lose more than the margin, by name; nothing of none."""
    found = sorted((one for one in family if one.backfires), key=lambda one: -one.saving.value)
    if not found:
        return []
    few = "; ".join(
        f"{named(one.label)}{'' if one.suite is None else f' on {named(one.suite)}'} {one.told}"
        for one in found[:MOST_NAMED]
    )
    more = f"; and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return [f"backfire ({len(found)}, what is saved is paid for in quality): {few}{more}"]


def verdicts_html(found: Verdicts) -> list[Markup]:
    """The parts of a page's section; none without anybody to compare."""
    if not found.all:
        return []
    parts = [
        PARTS.paragraph(f"{_sentence(family_line(found.asked, found.all))}", "note"),
        _table(found.all),
        PARTS.bullets([_sentence(line) for line in backfire_lines(found.all)]),
    ]
    suites = dict.fromkeys(one.suite for one in found.by_suite)
    each = [
        PARTS.titled(suite, _table([one for one in found.by_suite if one.suite == suite])) for suite in suites
    ]
    if each:
        note = PARTS.paragraph(_sentence(family_line(found.asked, found.by_suite)), "note")
        parts.append(PARTS.details("Verdicts by suite", note, *each))
    return parts


def _sentence(line: str) -> str:
    return f"{line[0].upper()}{line[1:]}."


def _table(rows: Sequence[CandidateVerdict]) -> Markup:
    return table(
        [{"one": one} for one in rows],
        [
            ("candidate", lambda r: r["one"].label),
            ("verdict", lambda r: word(r["one"])),
            ("against its reference", lambda r: f"{r['one'].bill}, {r['one'].change}"),
            ("why", lambda r: r["one"].verdict.reason if r["one"].verdict.verdict == "inconclusive" else ""),
            ("samples", lambda r: count(r["one"].verdict.n)),
            ("missing", lambda r: count(r["one"].missing)),
        ],
        row_class=lambda r: CLASSES[r["one"].verdict.verdict],
        text_columns=4,
    )


def verdicts_data(found: Verdicts) -> dict[str, Any]:
    """Plain values for `--json`: shares and qualities in [0, 1], nothing rounded, null for what is
    not a number."""
    return {
        "margin": found.asked.margin, "confidence": found.asked.confidence,
        "all": [_data(one) for one in found.all], "by_suite": [_data(one) for one in found.by_suite],
    }  # fmt: skip


def _data(one: CandidateVerdict) -> dict[str, Any]:
    judged, (low, high) = one.verdict, one.saving.interval()
    figures = {
        "quality_difference": judged.value, "low": judged.low, "high": judged.high,
        "saving": one.saving.value, "saving_low": low, "saving_high": high,
    }  # fmt: skip
    return {
        **{name: number(value) for name, value in figures.items()},
        **one.candidate.named(), "suite": one.suite,
        "reference": one.reference.named(),
        "verdict": judged.verdict, "backfires": one.backfires, "told": one.told, "reason": judged.reason,
        "confidence_each": judged.confidence, "n": judged.n, "clusters": judged.clusters, "missing": one.missing,
        "samples_needed": judged.samples_needed, "saving_of": one.unit,
    }  # fmt: skip
