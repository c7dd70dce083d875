"""The section "Levers" of a report: on a page, in a terminal, and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from router_lab.columns import aligned, named
from router_lab.report.format import count, percent
from router_lab.report.html import PARTS, Cell, table
from router_lab.report.levers import Levers, LeversOf, Pair
from router_lab.report.steps_page import figure_json
from router_lab.report.table import CONFIDENCE
from router_lab.report.told import ranged, ranged_percent

TITLE = "Levers: what each does, and together"
PAIRS = (
    "Two levers together: what both save beside what each saves alone (where the other has its dearer level). If neither "
    "minds the other, they save the product: 1 − (1 − first) × (1 − second)."
)


def levers_section(found: Levers | None) -> Markup:
    """Nothing without levers."""
    if found is None:
        return Markup()
    parts = [PARTS.bullets(_lacking(found))]
    if found.found:
        parts = [
            PARTS.paragraph(_how(found), "note"),
            table(_effects(found), _EFFECTS, text_columns=2),
            *parts,
        ]
    pairs = _pairs(found)
    if pairs:
        parts += [
            PARTS.paragraph(PAIRS),
            table(pairs, _PAIRS, text_columns=2),
            PARTS.paragraph(clash_told(found)),
        ]
    return PARTS.section(TITLE, *parts)


def levers_lines(found: Levers | None) -> list[str]:
    """For a terminal; nothing without levers."""
    if found is None:
        return []
    lines = [TITLE]
    if found.found:
        lines += [_how(found), *aligned(_rows(_EFFECTS, _effects(found)), texts=(0, 1), indent=2)]
    pairs = _pairs(found)
    if pairs:
        lines += ["", PAIRS, *aligned(_rows(_PAIRS, pairs), texts=(0, 1), indent=2), "", clash_told(found)]
    return [*lines, *_lacking(found)]


def levers_json(found: Levers) -> dict[str, Any]:
    """Every figure with its interval, null for what is not known."""
    return {
        "confidence": CONFIDENCE, "confidence_each": found.each, "intervals": found.intervals,
        "models": [_plain(one) for one in found.found],
        "lacking": [{"model": who, "there": there, "needed": needed} for who, there, needed in found.lacking],
    }  # fmt: skip


def _plain(one: LeversOf) -> dict[str, Any]:
    effects = [
        {
            "lever": e.lever, "base": e.base, "level": e.level, "quality_difference": figure_json(e.gain),
            "saving": figure_json(e.saving),
        }
        for e in one.effects
    ]  # fmt: skip
    pairs = [
        {
            "first": [p.first.lever, p.first.level], "second": [p.second.lever, p.second.level],
            "quality_interaction": figure_json(p.gain), "saved_alone": None if p.alone is None else list(p.alone),
            "saved_together": p.both, "product": p.product, "sum": p.sum,
            "beyond_product": None if p.beyond is None else figure_json(p.beyond), "clashes": p.clashes,
        }
        for p in one.pairs
    ]  # fmt: skip
    return {"model": one.label, "n": one.n, "samples": one.samples, "effects": effects, "pairs": pairs}


def clash_told(found: Levers) -> str:
    """Whose savings are shown to clash."""
    clashing = [f"{one.label}, {pair.label}" for one in found.found for pair in one.pairs if pair.clashes]
    if not clashing:
        return "No two levers are shown to save less together than the product of what each saves alone."
    return f"Savings clash (less together than the product): {' · '.join(map(named, clashing))}."


def _how(found: Levers) -> str:
    lost = sum(one.samples - one.n for one in found.found)
    left = f" {count(lost)} samples that lack a combination are left out." if lost else ""
    return (
        "Each lever moved from its dearer level, mean over all levels of the others, paired on the same samples. Each "
        f"interval is two-sided at {percent(found.each, 2)}, so that all {found.intervals} hold together at "
        f"{percent(CONFIDENCE, 0)}.{left}"
    )


def _lacking(found: Levers) -> list[str]:
    return [
        f"{named(who)} ran in {there} of {needed} combinations of levers: what they do cannot be told apart."
        for who, there, needed in found.lacking
    ]


def _effects(found: Levers) -> list[dict[str, Any]]:
    return [{"of": one, "e": effect} for one in found.found for effect in one.effects]


def _pairs(found: Levers) -> list[dict[str, Any]]:
    return [{"of": one, "p": pair} for one in found.found for pair in one.pairs]


def _alone(pair: Pair) -> str:
    return " and ".join(map(percent, pair.alone or (None,)))


_EFFECTS: list[tuple[str, Cell]] = [
    ("model", lambda r: r["of"].label),
    ("lever", lambda r: r["e"].label),
    ("quality, points", lambda r: ranged(r["e"].gain)),
    ("saved", lambda r: ranged_percent(r["e"].saving)),
    ("samples", lambda r: count(r["of"].n)),
]
_PAIRS: list[tuple[str, Cell]] = [
    ("model", lambda r: r["of"].label),
    ("levers", lambda r: r["p"].label),
    ("quality, points beyond the sum", lambda r: ranged(r["p"].gain)),
    ("saved alone", lambda r: _alone(r["p"])),
    ("both", lambda r: percent(r["p"].both)),
    ("product", lambda r: percent(r["p"].product)),
    ("sum", lambda r: percent(r["p"].sum)),
    ("beyond the product", lambda r: ranged_percent(r["p"].beyond)),
]


def _rows(columns: Sequence[tuple[str, Cell]], rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    return [[name for name, _ in columns], *([named(cell(row)) for _, cell in columns] for row in rows)]
