"""An evaluation in words and as plain data."""

from __future__ import annotations

from math import inf, isfinite
from typing import Any

from router_lab.evaluate.figures import Figure
from router_lab.evaluate.judge import Evaluation
from router_lab.evaluate.settle import of_clusters
from router_lab.metrics.estimate import Estimate
from router_lab.metrics.verdict import MIN_CLUSTERS
from router_lab.runtime.shares import many, part
from router_lab.runtime.visible import visible


def to_text(found: Evaluation) -> str:
    """For a terminal; the verdict last."""
    overlap, first = found.overlap, next(iter(found.figures.values()))
    beside = first.difference
    lines = [
        f"{many(found.n, 'decision', 'decisions')}; {found.name} would have asked the same candidate on "
        f"{part(overlap.agree)} of them",
        f"  {of_clusters(beside.n, beside.clusters)} as {first.counts:,.0f} of {found.name}'s, which decides how wide the "
        f"interval is; {MIN_CLUSTERS} are needed",
        f"  the heaviest cluster has {part(overlap.heaviest)} of the weight",
    ]
    for figure in found.figures.values():
        lines += [f"  {line}" for line in _figure(figure, found)]
    if found.pairs is not None:
        pairs = found.pairs
        decide = "; these decide" if first.metric in pairs.verdicts else ""
        lines.append(
            f"  shadow: {many(pairs.n, 'request', 'requests')}, {pairs.asked:,} asked twice, {pairs.lost:,} without an "
            f"outcome{decide}"
        )
        for metric, estimate in pairs.differences.items():
            lines.append(
                f"    {metric} against the champion's: {_signed(estimate, metric, found.confidence)}"
            )
    lines += [f"  note: {note}" for note in found.notes]
    lines += [f"  to settle it: {line}" for line in found.settle]
    return "\n".join(map(visible, [*lines, f"{found.verdict.verdict}: {found.verdict.reason}"]))


def _figure(figure: Figure, found: Evaluation) -> list[str]:
    metric, low_high = figure.metric, found.confidence
    against = found.against or "the log's own policy"
    bias = figure.value.bias
    clipped = "for clipped weights and candidates that nobody asked"
    allowed = "" if bias == 0 else f"; of which ±{_amount(bias, metric)} {clipped}"
    return [
        f"{metric}: {_amount(figure.value.value, metric)}, {_range(figure.value, metric, low_high)}{allowed}",
        f"  {against}: {_amount(figure.beside.value, metric)}; difference {_signed(figure.difference, metric, low_high)}",
    ]


def _amount(value: float, metric: str) -> str:
    if not isfinite(value):
        return "not known"
    return f"{100 * value:.1f} %" if metric == "quality" else f"${1000 * value:.4g} per 1,000"


def _interval(estimate: Estimate, metric: str, confidence: float, *, apart: bool) -> tuple[float, float]:
    """Within what can be, of a metric or a difference (`apart`); infinite where there is none."""
    low, high = estimate.interval(confidence)
    if not isfinite(high - low):
        return -inf, inf
    most = 1.0 if metric == "quality" else inf
    return max(low, -most if apart else 0.0), min(high, most)


def _range(estimate: Estimate, metric: str, confidence: float, *, apart: bool = False) -> str:
    low, high = _interval(estimate, metric, confidence, apart=apart)
    if not isfinite(high - low):
        return "too few for an interval"
    scale = 100 if metric == "quality" else 1000
    digits = ".1f" if metric == "quality" else ".4g"
    told = f"{100 * confidence:g} % from {scale * low:{digits}} to {scale * high:{digits}}"
    return told.replace("-", "−")


def _signed(estimate: Estimate, metric: str, confidence: float) -> str:
    if not isfinite(estimate.value):
        return "not known"
    unit = "points" if metric == "quality" else "$ per 1,000"
    value = f"{100 * estimate.value:+.1f}" if metric == "quality" else f"{1000 * estimate.value:+.4g}"
    return f"{value.replace('-', '−')} {unit}, {_range(estimate, metric, confidence, apart=True)}"


def to_json(found: Evaluation) -> dict[str, Any]:
    """Plain data: every figure with its interval, null for what is not a number."""
    overlap, first = found.overlap, next(iter(found.figures.values()))
    return {
        "policy": found.name, "revision": found.revision, "against": found.against, "n": found.n,
        "confidence": found.confidence, "verdict": found.verdict.verdict, "reason": found.verdict.reason,
        "figures": {name: _plain(figure, found.confidence) for name, figure in found.figures.items()},
        "overlap": {
            "effective": overlap.effective, "counts": first.counts, "agree": overlap.agree, "heaviest": overlap.heaviest,
            "drawn": overlap.drawn, "thin": overlap.thin,
            "asked": [
                {"candidate": found.labels[one.column], "mass": one.mass, "rows": one.rows, "told": one.told,
                 "lacks": one.lacks} for one in overlap.asked
            ],
        },
        "shadow": None if found.pairs is None else {
            "n": found.pairs.n, "asked": found.pairs.asked, "lost": found.pairs.lost,
            "differences": {n: _numbers(e, n, found.confidence, apart=True) for n, e in found.pairs.differences.items()},
        },
        "notes": list(found.notes), "settle": list(found.settle),
    }  # fmt: skip


def _plain(figure: Figure, confidence: float) -> dict[str, Any]:
    told = {
        name: _numbers(getattr(figure, name), figure.metric, confidence, apart=name == "difference")
        for name in ("value", "beside", "difference")
    }
    return told | {
        "bias": _number(figure.value.bias), "floor": figure.floor, "verdict": figure.verdict.verdict,
        "reason": figure.verdict.reason, "samples_needed": figure.verdict.samples_needed,
    }  # fmt: skip


def _numbers(
    estimate: Estimate, metric: str, confidence: float, *, apart: bool
) -> dict[str, float | int | None]:
    low, high = _interval(estimate, metric, confidence, apart=apart)
    return {
        "value": _number(estimate.value), "low": _number(low), "high": _number(high), "n": estimate.n,
        "clusters": estimate.clusters,
    }  # fmt: skip


def _number(value: float) -> float | None:
    return float(value) if isfinite(value) else None
