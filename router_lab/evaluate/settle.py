"""Why nothing is concluded from a log, and what would settle it: how much exploration, for how
long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, isfinite

from router_lab.evaluate.figures import Figure
from router_lab.evaluate.logged import LogRows
from router_lab.evaluate.target import Target
from router_lab.metrics.overlap import Overlap
from router_lab.metrics.verdict import MIN_CLUSTERS
from router_lab.runtime.shares import many, part

EXPLORE = (0.02, 0.1)
"""Shares of exploration of which it is said how long they would take."""
LEAST_SPAN = 1 / 24
"""Days of a log from which on it tells a rate: a test or an import is written in minutes."""
LEAST_TOLD = 0.05
"""Less would be printed as 0.0."""


def lacks(overlap: Overlap, labels: Sequence[str]) -> str:
    """Why the log cannot tell of the policy; nothing where it can."""
    if overlap.lacking:
        who = ", ".join(
            f"{labels[one.column]} ({part(one.mass)} of its requests, asked on {one.rows:,})"
            for one in overlap.lacking
        )
        never = "the policy asks whom the log never asked there, or too rarely for chance"
        told = f"{never}: {who}"
        if overlap.drawn:
            return told
        agree = f"only the {part(overlap.agree)} of the requests on which both agree can be told"
        return f"the log has no exploration, so {agree}; {told}"
    return ""


def too_few_told(requests: int, clusters: int, counts: float) -> str:
    """Why a log with some of everything cannot tell either, where it counts as too few."""
    return f"{of_clusters(requests, clusters)} as {counts:.0f} of the policy's, fewer than {MIN_CLUSTERS}"


def of_clusters(requests: int, clusters: int) -> str:
    """`1 request in 1 cluster counts`, or how many count."""
    verb = "counts" if requests == 1 else "count"
    return f"{many(requests, 'request', 'requests')} in {many(clusters, 'cluster', 'clusters')} {verb}"


def settling(
    figures: Mapping[str, Figure], overlap: Overlap, log: LogRows, target: Target
) -> tuple[str, ...]:
    """Lines on what would settle it."""
    first, lines = next(iter(figures.values())), []
    more, counts = first.verdict.samples_needed, first.counts
    few = counts < MIN_CLUSTERS
    if not overlap.lacking and few and counts > 0:
        more = ceil(first.difference.n * (MIN_CLUSTERS / counts - 1))
        lines.append(
            f"{_more(more)}{_days(more, log)}, until they count as {MIN_CLUSTERS} instead of {counts:.0f}"
        )
    elif not overlap.lacking and more:
        lines.append(
            f"{_more(more)}{_days(more, log)}: four times in five the interval is then short enough, if the difference stays"
        )
    if overlap.lacking or few or (more is None and overlap.agree < 1):
        lines += _exploring(overlap, log, target, 0.0 if overlap.lacking else counts)
        lines.append("or a shadow (docs/operations.md): both candidates are asked, on a budget")
    return tuple(lines)


def _more(requests: int) -> str:
    return f"about {many(requests, 'more request', 'more requests')} like these"


def _exploring(overlap: Overlap, log: LogRows, target: Target, counts: float) -> list[str]:
    """How long exploring would take. Who was never asked there has to be asked in a log of its own:
    requests that nobody could have answered so would stand beside the new ones for ever."""
    alone = "; evaluate these alone" if overlap.lacking else ""
    more = "" if overlap.lacking else "more "
    found = [(explore, overlap.rows_needed(explore, target.candidates, counts)) for explore in EXPLORE]
    return [
        f"`explore: {explore:g}` for some {needed:,} {more}requests{_days(needed, log)}, until "
        f"{MIN_CLUSTERS} were asked as the policy would{alone}"
        for explore, needed in found
        if needed is not None
    ]


def _days(requests: int, log: LogRows) -> str:
    """At the rate of the log; nothing from less than LEAST_SPAN of it."""
    if not (isfinite(log.days) and log.days >= LEAST_SPAN and len(log) > 1):
        return ""
    needed = requests * log.days / (len(log) - 1)
    if needed >= LEAST_TOLD:
        told = f"{needed:,.{1 if needed < 10 else 0}f} days"
    else:
        hours = needed * 24
        told = f"{hours:.1f} hours" if hours >= LEAST_TOLD else "some minutes"
    return f" ({told} at this log's rate)"
