"""From dollars and quality to pixels: a log cost axis with a lane of its own for what costs
nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from router_lab.metrics.steady import exp, log
from router_lab.report.format import tick_money
from router_lab.report.layout import Box, linear_ticks, log_ticks
from router_lab.report.marks import Mark


@dataclass(frozen=True)
class Scale:
    """Maps into `plot` (px). Costs lie in [low_cost, high_cost], all > 0; `free` px at the left
    are for $0."""

    plot: Box
    low_cost: float
    high_cost: float
    low_quality: float
    high_quality: float
    free: float

    @classmethod
    def fit(cls, marks: Sequence[Mark], plot: Box, free_lane: float = 64.0) -> Scale:
        """Room for every mark and its interval, with a little air. free_lane: px for the lane of
        $0, if needed."""
        costs = [m.cost for m in marks if m.cost > 0] or [1.0]
        air = max(1.12, float(exp(0.06 * log(max(costs) / min(costs)))))
        lows = [m.quality if m.low is None else m.low for m in marks] or [0.0]
        highs = [m.quality if m.high is None else m.high for m in marks] or [1.0]
        low, high = min(lows), max(highs)
        pad = max(0.07 * (high - low), 0.01)
        return cls(
            plot,
            min(costs) / air,
            max(costs) * air,
            max(0.0, low - pad),
            high + pad,
            free_lane if any(m.cost <= 0 for m in marks) else 0.0,
        )

    @property
    def left(self) -> float:
        """Where the log axis starts."""
        return self.plot.left + self.free

    def x(self, cost: float) -> float:
        if cost <= 0:
            return self.plot.left + self.free / 2
        share = float(log(cost / self.low_cost) / log(self.high_cost / self.low_cost))
        return self.left + share * (self.plot.right - self.left)

    def y(self, quality: float) -> float:
        share = (quality - self.low_quality) / (self.high_quality - self.low_quality)
        return self.plot.bottom - share * (self.plot.bottom - self.plot.top)

    def cost_ticks(
        self, most: int, span: Callable[[float, str], tuple[float, float]], gap: float
    ) -> list[tuple[float, str]]:
        """(x, text) of the cost axis's ticks from the left, `$0` first if something is free: the
        densest set, of about `most` at most, whose texts differ and keep `gap` apart. span(x,
        text): where a text at `x` begins and ends.
        """
        free = [(self.x(0), "$0")] if self.free else []
        labels: list[tuple[float, str]] = []
        for count in range(max(3, most), 1, -1):
            ticks = log_ticks(self.low_cost, self.high_cost, count)
            labels = [*free, *((self.x(cost), tick_money(cost)) for cost in ticks)]
            if len(_apart(labels, span, gap)) == len(labels):
                return labels
        return _apart(labels, span, gap)

    def quality_ticks(self, about: int) -> list[float]:
        """About `about` qualities, none above 1."""
        about = max(3, about)
        return [q for q in linear_ticks(self.low_quality, self.high_quality, about) if q <= 1 + 1e-9]


def _apart(
    labels: Sequence[tuple[float, str]], span: Callable[[float, str], tuple[float, float]], gap: float
) -> list[tuple[float, str]]:
    """The labels without those that say what the one before says, or begin less than `gap` after
    it ends."""
    kept: list[tuple[float, str]] = []
    for x, text in labels:
        if not kept or (text != kept[-1][1] and span(x, text)[0] - span(*kept[-1])[1] >= gap):
            kept.append((x, text))
    return kept
