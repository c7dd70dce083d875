"""A certificate's figures in words: values with their intervals, the bound of the verdict, what was
lost."""

from __future__ import annotations

import math
from collections.abc import Callable

from router_lab.certificate import Certificate, Figure, SuiteRow, TwoPhase
from router_lab.metrics import MIN_CLUSTERS, apart, too_few, uneven_told
from router_lab.report.format import MISSING, percent, points
from router_lab.runtime.shares import part


def certificate_rows(shown: Certificate) -> str:
    """The rows that a certificate speaks of, in words."""
    return f"the certificate's {shown.counted}, each left out of the fit that it was judged by"


def lost_told(shown: Certificate) -> list[str]:
    """What counts as lost although nobody saw it, and the suites that are left to the reference;
    empty for neither."""
    lines = []
    if shown.missing:
        what = "outcome that is missing counts" if shown.missing == 1 else "outcomes that are missing count"
        lines.append(
            f"{shown.missing:,} {what} as lost: no budget, race or recorded probability left them out; run them again, "
            "or record why (docs/certificate.md, What is missing)"
        )
    closed = [name for name, row in (shown.suites or {}).items() if row.closed]
    if closed:
        lines.append(f"the reference serves all of {', '.join(closed)}, where more than the margin was lost")
    paid = [text for name, row in (shown.suites or {}).items() if (text := _loses(name, row, shown.margin))]
    if paid:
        lines.append(
            f"{', '.join(paid)}: by itself more than the margin, which all suites keep together; others make up for it"
        )
    return lines


def _loses(name: str, row: SuiteRow, margin: float | None) -> str:
    """A suite that by itself loses more than the margin, with its loss; nothing for others."""
    lost = row.quality_difference
    if margin is None or lost is None or lost.value is None or lost.value >= -margin or few_of(lost):
        return ""
    return f"{name} {told(lost, points, reach=' [{}, {}]', unit=' points')}"


def ranged(figure: Figure | None, unit: str = "") -> str:
    """A difference with its interval in points: `−1.6 (−2.9 to −0.3)`, then `unit`; or that there
    are too few rows."""
    return told(figure, points, unit=unit)


def ranged_percent(figure: Figure | None, unit: str = "") -> str:
    """A share with its interval: `31.0 % (26.1 to 35.9)`, then `unit`; or that there are too few
    rows."""
    return told(figure, percent, unit=unit)


def told(
    figure: Figure | None, form: Callable[[float], str], *, reach: str = " ({} to {})", unit: str = "",
    unknown: str = MISSING,
) -> str:  # fmt: skip
    """A figure as `form` writes it, its interval as `reach` has it, then `unit`; or that there are
    too few rows; or `unknown`."""
    if figure is None or figure.value is None or not math.isfinite(figure.value):
        return unknown
    few = few_of(figure)
    if few is not None:
        return few
    ends = (figure.low, figure.high)
    known = [form(end).removesuffix(" %") for end in ends if end is not None and math.isfinite(end)]
    return f"{form(figure.value)}{reach.format(*known) if len(known) == 2 else ''}{unit}{uneven_told(figure.alike)}"


def few_of(figure: Figure) -> str | None:
    """`too_few` of a figure."""
    return too_few(figure.n, figure.clusters, figure.low, figure.high)


def quality_told(shown: Certificate, digits: int = 1) -> str:
    """What a certificate says of quality against the reference, with the very bound that its
    verdict was made of.

    `−1.8 points against the reference, at least −2.97 (one-sided, 90 %: the bound of the
    verdict)`. Where the verdict rests on something else (other rows, a budget, a least quality),
    the two-sided interval, labelled as such.
    """
    figure = shown.quality_difference or Figure()
    value, low, high = figure.value, figure.low, figure.high
    if value is None or not math.isfinite(value):
        return "unknown"
    few = few_of(figure)
    if few is not None:
        return few
    if low == high == 0:
        return "0 points against the reference, for certain: it serves everything"
    bound = _bound(shown, max(digits, 2))
    if bound is not None:
        least, _, kind = bound
        return f"{points(value, digits)} points against the reference, at least {least} ({kind}: the bound of the verdict)"
    reach = (
        ""
        if low is None or high is None
        else f" ({points(low, digits)} to {points(high, digits)}, two-sided 95 %)"
    )
    return f"{points(value, digits)} points against the reference{reach}"


def _bound(shown: Certificate, digits: int) -> tuple[str, str, str] | None:
    """The bound that the verdict was made of, its floor, both in points, and of which kind it is;
    None unless it is one of the very quality difference that the certificate reports."""
    judged = shown.judged
    if (
        judged is None or judged.unit != "quality_difference" or judged.rows != "certificate" or not shown.mix
        or judged.low is None or judged.floor is None
    ):  # fmt: skip
        return None
    return *apart(judged.low, judged.floor, digits, 100), f"one-sided, {100 * judged.confidence:.4g} %"


def bounds_note(shown: Certificate) -> str:
    """What the intervals of a table are beside the verdict's own bound; empty where that is none
    of quality."""
    two = "Intervals are two-sided, 95 %"
    bound = _bound(shown, 2)
    if bound is None:
        return f"{two}."
    least, limit, kind = bound
    return (
        f"{two}; their ends lie further out than the bound that the verdict was made of, which is "
        f"{kind}: at least {least} points, and {limit} were allowed."
    )


def least_margin(margin: float | None, clusters: int | None, digits: int = 1) -> str:
    """The smallest loss of quality that so much data can rule out: `2.1 points`, or `none`."""
    nothing = margin is None or margin >= 1 or (clusters is not None and clusters < MIN_CLUSTERS)
    return "none" if nothing else f"{100 * float(margin or 0.0):.{digits}f} points"


def least_told(shown: Certificate, digits: int = 1) -> str:
    """The smallest margin of a certificate, with what it comes to at the policy's own mix: who
    moves few requests risks little, and may pass at a margin at which nobody could be shown to
    serve all of them."""
    least, mix = shown.smallest_margin, shown.mix or 0.0
    whole = least_margin(least, shown.clusters, digits)
    if least is None or whole == "none" or not 0 < mix < 1:
        return whole
    own = least_margin(mix * least, shown.clusters, digits)
    return f"{whole} if all requests moved, {own} for the {part(mix, ' %')} that do"


def two_phases_told(phases: TwoPhase) -> str:
    """Of a reference that ran on a drawn part: on how many rows, and what the other candidates'
    outcomes did for it."""
    ran = f"the reference ran on {phases.drawn:,} rows in {phases.clusters:,} groups, drawn with probability "
    if phases.estimator == "weighting":
        return f"{ran}{phases.share:g}; these were weighted, for the others' outcomes explain no more of it"
    told = (
        ""
        if phases.explained is None
        else f", which explain {phases.explained:.0%} of what pairing leaves open"
    )
    return f"{ran}{phases.share:g}; elsewhere it is predicted from the others' outcomes{told}"
