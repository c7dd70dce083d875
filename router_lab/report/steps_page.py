"""The section "Steps" of a report: on a page, in a terminal, and as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from router_lab.certificate import Figure
from router_lab.columns import aligned, named
from router_lab.report.format import MISSING, count, money, percent
from router_lab.report.html import PARTS, Cell, table
from router_lab.report.lines import Axis, Line, lines_svg
from router_lab.report.steps import CheckRow, StepsOf, Validator
from router_lab.report.told import ranged, ranged_percent, told

MOST_PANELS, MOST_ROWS = 8, 20
ASSUMED = (
    "Not measured, but computed from what was recorded: a step that is caught is made again at the run's dollars per "
    "step, and passes as often as that step does in all runs. Where failures come together it will pass less often. "
    "The last attempt is not checked."
)
UNKNOWN = "unknown"


def steps_section(found: Sequence[StepsOf], validator: Validator) -> Markup:
    """Nothing without steps."""
    if not found:
        return Markup()
    rows = [{"s": one} for one in found]
    told = [
        table(rows, _SUMMARY),
        PARTS.paragraph(together(found)),
        PARTS.panels([_picture(one) for one in found[:MOST_PANELS]]),
        table(rows, _DOLLARS),
        *([PARTS.paragraph(_tail_told(found), "note")] if _tail_told(found) else []),
    ]
    bought = [
        PARTS.paragraph(checks_told(validator)),
        table(_checks(found), _CHECKS),
        PARTS.paragraph(ASSUMED, "note"),
    ]
    return PARTS.section("Steps", *told, *bought, PARTS.details("By step", *(_by_step(one) for one in found)))


def steps_lines(found: Sequence[StepsOf], validator: Validator) -> list[str]:
    """For a terminal; nothing without steps."""
    if not found:
        return []
    summary, dollars = (_rows(columns, [{"s": one} for one in found]) for columns in (_SUMMARY, _DOLLARS))
    checks = _rows(_CHECKS, _checks(found))
    firsts = [f"first failures of {named(one.label)}: {_firsts(one)}" for one in found if one.failed]
    return [
        "Steps", *aligned(summary, indent=2), "", together(found), *firsts, "", *aligned(dollars, indent=2),
        *([_tail_told(found)] if _tail_told(found) else []), "", checks_told(validator),
        *aligned(checks, indent=2), "", ASSUMED,
    ]  # fmt: skip


def steps_json(found: Sequence[StepsOf], validator: Validator) -> dict[str, Any]:
    """Every figure with its interval, null for what is not known, and what was assumed."""
    return {
        "assumed": {"check": validator._asdict(), "how": ASSUMED},
        "candidates": [_plain(one) for one in found],
    }


def _plain(one: StepsOf) -> dict[str, Any]:
    figures = ("rate", "end_to_end", "independent", "clustering")
    plain = ("label", "n", "clusters", "steps", "quality", "failed", "failed_usd", "tail_usd", "tail_known")
    return {
        **{name: getattr(one, name) for name in plain},
        **{name: figure_json(getattr(one, name)) for name in figures},
        "by_step": [{"step": name, **figure_json(figure)} for name, figure in one.by_step],
        "by_role": [{"role": name, **figure_json(figure)} for name, figure in one.by_role],
        "curve": [{"step": at, "seen": a, "independent": b} for at, (a, b) in enumerate(_curve(one), 1)],
        "first_failures": [{"step": step, "share": share} for step, share in one.first],
        "call_p95_usd": [{"turn": turn, "usd": usd, "calls": n} for turn, usd, n in one.p95],
        "checks": [_check_plain(row) for row in one.checks],
    }


def _check_plain(row: CheckRow) -> dict[str, Any]:
    names = ("success", "usd", "usd_per_success", "better", "saving")
    known = {name: getattr(row, name) for name in names}
    return {"checks": row.checks, **{k: None if v is None else figure_json(v) for k, v in known.items()}}


def figure_json(figure: Figure) -> dict[str, Any]:
    """A figure as plain data."""
    names = ("value", "low", "high", "confidence", "n", "clusters")
    return {name: getattr(figure, name) for name in names}


def together(found: Sequence[StepsOf]) -> str:
    """Whether failures come together, where that is shown, and of whom."""
    few = [s.label for s in found if s.clustering.low is not None and s.clustering.low > 0]
    many = [s.label for s in found if s.clustering.high is not None and s.clustering.high < 0]
    said = []
    if few:
        said.append(
            f"Failures of steps come together ({', '.join(few)}): more runs go without one than independent steps "
            "would leave."
        )
    if many:
        said.append(f"Failures of steps are spread over more runs than independent ones ({', '.join(many)}).")
    return (
        " ".join(said) or "Nothing shows that failures of steps come together, or that they avoid each other."
    )


def checks_told(validator: Validator) -> str:
    alarm = (
        f", rejects {percent(validator.alarm, 0)} of the good ones"
        if validator.alarm
        else ", rejects no good one"
    )
    return (
        f"What a check after each step would buy, if it catches {percent(validator.catch, 0)} of failed steps{alarm} and "
        f"costs {money(validator.usd)} (--catch, --false-alarms, --check-usd, --checks):"
    )


def _tail_told(found: Sequence[StepsOf]) -> str:
    """Why nothing is known of what is spent after failures; empty where it is known."""
    partly = [one for one in found if one.tail_known < one.failed]
    if not partly:
        return ""
    runs = sum(one.failed - one.tail_known for one in partly)
    return (
        f"What was spent after the first failed step is not known of {count(runs)} of the runs with one: that takes "
        "calls.parquet, prices, and the `turn` of each step."
    )


_SUMMARY: list[tuple[str, Cell]] = [
    ("candidate", lambda r: r["s"].label),
    ("runs", lambda r: count(r["s"].n)),
    ("steps", lambda r: f"{r['s'].steps:.1f}"),
    ("a step passes", lambda r: ranged_percent(r["s"].rate)),
    ("all pass", lambda r: ranged_percent(r["s"].end_to_end)),
    ("if independent", lambda r: ranged_percent(r["s"].independent)),
    ("difference, points", lambda r: ranged(r["s"].clustering)),
]
_DOLLARS: list[tuple[str, Cell]] = [
    ("candidate", lambda r: r["s"].label),
    ("quality", lambda r: percent(r["s"].quality)),
    ("dollars in runs with a failed step", lambda r: percent(r["s"].failed_usd)),
    (
        "dollars after the first one",
        lambda r: UNKNOWN if r["s"].tail_usd is None else percent(r["s"].tail_usd),
    ),
]
_CHECKS: list[tuple[str, Cell]] = [
    ("candidate", lambda r: r["label"]),
    ("checks a step", lambda r: str(r["row"].checks) if r["row"].checks else "none"),
    ("all pass", lambda r: ranged_percent(r["row"].success)),
    ("$ a run", lambda r: money(r["row"].usd.value)),
    ("$ / success", lambda r: told(r["row"].usd_per_success, money)),
    ("against the dearest, points", lambda r: ranged(r["row"].better)),
    ("saved", lambda r: ranged_percent(r["row"].saving)),
]


def _checks(found: Sequence[StepsOf]) -> list[dict[str, Any]]:
    return [{"label": one.label, "row": row} for one in found for row in one.checks]


def _rows(columns: Sequence[tuple[str, Cell]], rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [[name for name, _ in columns], *([named(cell(row)) for _, cell in columns] for row in rows)]


def _firsts(one: StepsOf) -> str:
    shown = [f"step {step} {percent(share, 0)}" for step, share in one.first[:MOST_ROWS]]
    return ", ".join([*shown, "…"] if len(one.first) > MOST_ROWS else shown) + " of runs"


def _curve(one: StepsOf) -> list[tuple[float, float]]:
    return list(zip(one.seen, one.alone, strict=True))


def _picture(one: StepsOf) -> Markup:
    """Runs without a failure up to each step, and what independent steps would leave."""
    curve = [(1.0, 1.0), *_curve(one)]
    lines = [
        Line("recorded", [(at, seen) for at, (seen, _) in enumerate(curve)]),
        Line("if steps were independent", [(at, alone) for at, (_, alone) in enumerate(curve)], "other"),
    ]
    across = Axis("steps", lambda v: f"{v:.0f}", 0.0, float(len(curve) - 1))
    up = Axis("runs without a failure, %", lambda v: f"{100 * v:.0f}", 0.0, 1.0)
    return PARTS.figure(lines_svg(lines, across, up, title=one.label, whole=True), one.label)


def _by_step(one: StepsOf) -> Markup:
    first, p95 = dict(one.first), {turn: usd for turn, usd, _ in one.p95}
    rows = [
        {"name": name, "figure": figure, "first": first.get(at, 0.0)}
        for at, (name, figure) in enumerate(one.by_step, 1)
    ]
    steps = table(rows, [
        ("step", lambda r: r["name"]), ("runs", lambda r: count(r["figure"].n)),
        ("passes", lambda r: ranged_percent(r["figure"])), ("first failure of", lambda r: percent(r["first"])),
        ("", lambda r: PARTS.bars(r["first"])),
    ])  # fmt: skip
    roles = table(
        [{"name": name, "figure": figure} for name, figure in one.by_role],
        [("role", lambda r: r["name"]), ("passes", lambda r: ranged_percent(r["figure"]))],
    )
    turns = table(
        [{"turn": turn, "usd": usd} for turn, usd in p95.items()],
        [("turn", lambda r: str(r["turn"])), ("P95 of the call", lambda r: money(r["usd"]) or MISSING)],
    )
    parts = [steps, *([roles] if one.by_role else []), *([turns] if p95 else [])]
    return PARTS.titled(one.label, Markup().join(parts))
