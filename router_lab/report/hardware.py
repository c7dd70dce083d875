"""Owned hardware beside a bill by the token: the monthly volume at which it breaks even."""

from __future__ import annotations

import math
from typing import NamedTuple

from markupsafe import Markup

from router_lab.report.format import count, tick_money
from router_lab.report.lines import Axis, Line, lines_svg

HOURS = 730.0
"""Of a month."""
MOST_MACHINES = 10_000


class Hardware(NamedTuple):
    """One machine: dollars per hour whether it works or not, output tokens per second while it
    works, and the share of its hours in which it does."""

    usd_hour: float
    tokens_per_second: float
    utilisation: float

    @property
    def month_usd(self) -> float:
        return self.usd_hour * HOURS

    def tasks(self, written: float) -> float:
        """Tasks a month of so many output tokens each."""
        return self.tokens_per_second * self.utilisation * 3600 * HOURS / written

    def bill(self, written: float, volume: float) -> float:
        """Dollars a month at that volume, in whole machines, of which there is at least one."""
        return max(1, math.ceil(volume / self.tasks(written) - 1e-9)) * self.month_usd


class BreakEven(NamedTuple):
    """Tasks a month: what one machine can do; from which volume on one machine is no dearer than
    the bill; and from which on as many as are needed always are. None: never."""

    tasks: float
    first: float | None
    always: float | None


def break_even(hardware: Hardware, mean_usd: float, written: float) -> BreakEven:
    """mean_usd: of a task on the bill; written: its output tokens.

    m machines are no dearer from m F / mean on, F dollars each, and do up to m times what one
    does. So if one pays before it is full, all do; and from the m on at which the next one pays
    before this many are full, the hardware is never dearer again.
    """
    tasks = hardware.tasks(written)
    pays = hardware.month_usd / mean_usd if mean_usd > 0 else math.inf
    if not pays <= tasks:
        return BreakEven(tasks, None, None)
    room = tasks - pays
    machines = math.ceil(pays / room - 1e-9) if room > 0 else math.inf
    always = max(1, machines) * pays
    return BreakEven(tasks, pays, always if math.isfinite(always) and machines <= MOST_MACHINES else None)


def hardware_svg(hardware: Hardware, mean_usd: float, written: float, volume: float, name: str) -> Markup:
    """Both bills over the monthly volume, the point where they meet marked."""
    found = break_even(hardware, mean_usd, written)
    reach = max(2 * volume, 2.2 * (found.first or 0.0), 1.0)
    points: list[tuple[float, float]] = [(0.0, hardware.month_usd)]
    step = max(found.tasks, reach / 60)  # where machines are many, their stairs are a slope
    edge = step
    while edge < reach:
        points += [(edge, hardware.bill(written, edge)), (edge, hardware.bill(written, edge + 1e-6 * step))]
        edge += step
    points.append((reach, hardware.bill(written, reach)))
    top = 1.05 * max(reach * mean_usd, points[-1][1])
    lines = [Line(name, [(0.0, 0.0), (reach, reach * mean_usd)]), Line("owned hardware", points, "other")]
    return lines_svg(
        lines, Axis("tasks a month", count, 0.0, reach), Axis("$ a month", tick_money, 0.0, top), title="Owned hardware",
        width=640, at=None if found.first is None else (found.first, found.first * mean_usd),
        said="" if found.first is None else f"{count(found.first)} a month",
    )  # fmt: skip
