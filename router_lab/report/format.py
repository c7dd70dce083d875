"""Numbers as people read them: money to three digits, quality in per cent, differences in
points."""

from __future__ import annotations

import math

from router_lab.runtime.model import Candidate
from router_lab.runtime.shares import part

MISSING = "–"
EMPTY = frozenset({"", MISSING, "0"})
"""Cells of a column that may be left out where it has no others."""


def money(usd: float | None) -> str:
    """Dollars to cents, below one to three digits, from a hundred to whole ones: `$0.00124`,
    `$3.05`, `$12,417`."""
    if usd is None or not math.isfinite(usd):
        return MISSING
    if usd == 0:
        return "$0"
    sign, size = ("−" if usd < 0 else ""), abs(usd)
    if size >= 99.995:
        return f"{sign}${size:,.0f}"
    decimals = 2 if size >= 0.9995 else 2 - math.floor(math.log10(size) + 1e-9)
    return f"{sign}${size:.{decimals}f}"


def tick_money(usd: float) -> str:
    """Dollars at a tick of an axis, without needless zeros: `$10`, `$0.5`, `$2,000`."""
    text = money(usd)
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(share: float | None, digits: int = 1) -> str:
    """A share as per cent: 0.784 → `78.4 %`."""
    if share is None or not math.isfinite(share):
        return MISSING
    text = f"{100 * share:.{digits}f}"
    if float(text) in (0.0, 100.0) and round(share, 9) not in (0.0, 1.0):
        return part(share, " %").replace("-", "−")  # .9997 is not all of it
    return f"{float(text) + 0.0:.{digits}f} %".replace("-", "−")


def cut_off(share: float | None, *, words: bool = False) -> str:
    """A share of answers cut off at `max_tokens`: `12 %`, with `words` `12 % cut off`; nothing
    where none was."""
    if share is None or not math.isfinite(share) or share <= 0:
        return ""
    text = "<1 %" if share < 0.01 else percent(share, 0)
    return f"{text} cut off" if words else text


def interval(low: float, high: float) -> str:
    """An interval of shares in per cent: `72.1–74.7`."""
    return (
        MISSING if not (math.isfinite(low) and math.isfinite(high)) else f"{100 * low:.1f}–{100 * high:.1f}"
    )


def points(difference: float | None, digits: int = 1) -> str:
    """A difference of qualities, signed, in points of a hundred: −0.031 → `−3.1`."""
    if difference is None or not math.isfinite(difference):
        return MISSING
    text = f"{100 * difference:+.{digits}f}".replace("-", "−")
    return f"{0:.{digits}f}" if float(f"{100 * difference:.{digits}f}") == 0 else text


def count(number: float | None) -> str:
    """A whole number with thousands separators."""
    return MISSING if number is None or not math.isfinite(number) else f"{round(number):,}"


def seconds(value: float | None) -> str:
    """A duration in seconds: `0.42 s`, `18 s`."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:.2f} s" if value < 10 else f"{value:,.0f} s"


def figure(value: float | None) -> str:
    """A number of any size: `0.213`, `12.5`, `1,204`."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:.3g}".replace("-", "−") if abs(value) < 100 else f"{value:,.0f}".replace("-", "−")


FIGURES = {"s": seconds, "usd": money, "": figure}
"""How a figure is written, by the unit of its column."""


def candidate_label(model: str, effort: str | None, harness: str | None = None) -> str:
    """A candidate for display only, never parsed again."""
    return str(Candidate(model, effort, harness))
