"""The section "Teams, by role" of a report: on a page, in a terminal, and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from router_lab.columns import aligned, named
from router_lab.replay import number
from router_lab.report.format import MISSING, count, interval, money, percent, seconds, tick_money
from router_lab.report.html import PARTS, Cell, table
from router_lab.report.stacked import Bar, stacked_svg
from router_lab.report.steps_page import figure_json
from router_lab.report.teams import RoleCost, TeamCost
from router_lab.report.told import ranged_percent

MOST_BARS = 24
TITLE = "Teams, by role"
NOTE = (
    "Each role's dollars are its calls' part of a request's, at list prices; seconds are the median of its model time in "
    "a request, turns its mean calls."
)


def teams_section(found: Sequence[TeamCost]) -> Markup:
    """Nothing without teams."""
    if not found:
        return Markup()
    picture = _picture(found)
    rows = [{"t": team} for team in found]
    roles = [{"t": team, "r": role, "first": at == 0} for team in found for at, role in enumerate(team.roles)]
    return PARTS.section(
        TITLE,
        table(rows, _TEAMS),
        *([PARTS.figure(picture, "Dollars per 1,000 requests, by role")] if picture else []),
        table(roles, _ROLES, text_columns=2),
        PARTS.paragraph(f"{NOTE} {_unknown(found)}".strip(), "note"),
    )


def teams_lines(found: Sequence[TeamCost]) -> list[str]:
    """For a terminal; nothing without teams."""
    if not found:
        return []
    teams = _rows(_TEAMS, [{"t": team} for team in found])
    roles = _rows(
        _ROLES,
        [{"t": team, "r": role, "first": at == 0} for team in found for at, role in enumerate(team.roles)],
    )
    unknown = _unknown(found)
    return [
        TITLE, *aligned(teams, indent=2), "", *aligned(roles, texts=(0, 1), indent=2), "", NOTE,
        *([unknown] if unknown else []),
    ]  # fmt: skip


def teams_json(found: Sequence[TeamCost]) -> list[dict[str, Any]]:
    """Every figure, unrounded; null for what is not known."""
    names = ("quality", "quality_low", "quality_high", "usd_per_1k", "p95_usd")
    return [
        {
            **team.candidate.named(), **{name: number(getattr(team, name)) for name in names},
            "n": team.n, "known": team.known, "steps": None if team.steps is None else figure_json(team.steps),
            "roles": {role.role: _plain(role) for role in team.roles},
        }
        for team in found
    ]  # fmt: skip


def _plain(role: RoleCost) -> dict[str, Any]:
    names = ("usd_per_1k", "share", "p95_usd", "seconds", "turns")
    return {
        "who": role.who, **{name: getattr(role, name) for name in names},
        "steps": None if role.steps is None else figure_json(role.steps),
    }  # fmt: skip


def _unknown(found: Sequence[TeamCost]) -> str:
    lacking = sum(team.n - team.known for team in found)
    if not lacking:
        return ""
    return f"Of {count(lacking)} requests no call is known: the roles' figures are of the others (calls.parquet)."


def _picture(found: Sequence[TeamCost]) -> Markup:
    bars = [
        Bar(team.label, [(role.role, role.usd_per_1k) for role in team.roles if role.usd_per_1k is not None])
        for team in found[:MOST_BARS]
    ]
    known = [bar for bar in bars if bar.total > 0]
    return stacked_svg(known, "$ per 1,000 requests", tick_money, title=TITLE) if known else Markup()


_TEAMS: list[tuple[str, Cell]] = [
    ("team", lambda r: r["t"].label),
    ("quality", lambda r: percent(r["t"].quality)),
    ("95 % interval", lambda r: interval(r["t"].quality_low, r["t"].quality_high)),
    ("$ / 1,000", lambda r: money(r["t"].usd_per_1k)),
    ("$ P95", lambda r: money(r["t"].p95_usd)),
    ("steps passed", lambda r: ranged_percent(r["t"].steps)),
    ("requests", lambda r: count(r["t"].n)),
]
_ROLES: list[tuple[str, Cell]] = [
    ("team", lambda r: r["t"].label),
    ("role", lambda r: f"{r['r'].role}: {r['r'].who}"),
    ("$ / 1,000", lambda r: money(r["r"].usd_per_1k)),
    ("of the dollars", lambda r: percent(r["r"].share, 0)),
    ("$ P95", lambda r: money(r["r"].p95_usd)),
    ("seconds", lambda r: seconds(r["r"].seconds)),
    ("turns", lambda r: MISSING if r["r"].turns is None else f"{r['r'].turns:.1f}"),
    ("steps passed", lambda r: ranged_percent(r["r"].steps)),
]


def _rows(columns: Sequence[tuple[str, Cell]], rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    filled = [(name, [cell(row) for row in rows]) for name, cell in columns]
    kept = [(name, cells) for name, cells in filled if any(cell not in ("", MISSING) for cell in cells)]
    return [
        [name for name, _ in kept],
        *([named(cell) for cell in line] for line in zip(*(c for _, c in kept), strict=True)),
    ]
