"""What of a production check is about shares of requests: the suites they come from, what is
covered, and how many ask a second candidate."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import chi2, chisquare, ncx2

from router_lab.metrics import MIN_CLUSTERS, Estimate, clustered_mean
from router_lab.report.format import percent
from router_lab.report.production_check_findings import (
    ALPHA,
    BROKEN,
    HOLDS,
    OTHER_CHECKS,
    UNSURE,
    Z_OTHER,
    Z_POWER,
    Finding,
)

SHIFT_TOLERANCE = 0.10
NOTICEABLE_SHIFT = 0.20
ESCALATION_TOLERANCE = 0.05
NOTICEABLE_ESCALATION = 0.10


def power_of_shift(suites: int) -> int:
    """Requests in which NOTICEABLE_SHIFT of them moved between suites is named.

    The chi-squared statistic's noncentrality is n Σ d²/p ≥ n (Σ|d|)² = 4 n shift², whichever
    suites they moved between.
    """
    degrees = max(1, suites - 1)
    limit = float(chi2.isf(ALPHA / OTHER_CHECKS, degrees))
    noncentrality = brentq(lambda x: ncx2.sf(limit, degrees, x) - 0.8, 1e-6, 1000.0)
    return math.ceil(noncentrality / (4 * NOTICEABLE_SHIFT**2))


def power_of_coverage(was: Estimate) -> int | None:
    """Requests in which half of what was covered becoming unknown is named; None where the earlier
    log is too short."""
    return power_of_share(was.value, was.error, was.value + (1 - was.value) / 2)


def power_of_share(was: float, error: float, now: float) -> int | None:
    """Requests in which a share that is `now`, and `was` with that error, is named; None where too
    little is known of what it was."""
    room = ((now - was) / (Z_OTHER + Z_POWER)) ** 2 - error**2
    if room <= 0:
        return None
    spread = now * (1 - now)  # the error's square is spread / n, and 1 / n² for the pseudo-observation
    return math.ceil((spread + math.sqrt(spread**2 + 4 * room)) / (2 * room))


def counted(values: Iterable[str]) -> dict[str, int]:
    """How often each stands there, the most frequent first."""
    return dict(Counter(values).most_common())


def shares_of(rows: pd.DataFrame) -> dict[str, float]:
    return {name: n / len(rows) for name, n in counted(rows["suite"]).items()}


def judge_suites(rows: pd.DataFrame, expected: Mapping[str, float] | None) -> list[Finding]:
    """Whether requests still come from the suites in the shares expected: chi-squared, and a shift
    that matters."""
    if not expected or rows.empty:
        return []
    found = counted(rows["suite"])
    names = sorted({*expected, *found})
    seen = np.array([found.get(name, 0) for name in names], float)
    # Half a request of prior keeps a suite that was never expected from being an infinite
    # surprise.
    share = np.array([expected.get(n, 0.0) * 1000 + 0.5 for n in names])
    share /= share.sum()
    p = float(chisquare(seen, len(rows) * share).pvalue)  # NaN of a sole suite, which cannot shift
    moved = 0.5 * float(np.abs(seen / len(rows) - share).sum())
    most = names[int(np.argmax(np.abs(seen / len(rows) - share)))]
    text = f"{percent(moved, 0)} of requests have moved between suites, most of all {most}"
    shifted = p <= ALPHA / OTHER_CHECKS and moved > SHIFT_TOLERANCE
    power = (f"{percent(NOTICEABLE_SHIFT, 0)} moved", power_of_shift(len(names)))
    return [_enough("suite shares", shifted, text, len(rows), power)]


def judge_coverage(rows: pd.DataFrame, earlier: pd.DataFrame) -> list[Finding]:
    """Requests too unlike the fitted ones for the classifier, against an earlier log."""
    if rows.empty or earlier.empty:
        return []
    unknown, old = (
        part["code"].isin(["uncovered", "table"]).to_numpy(np.float64) for part in (rows, earlier)
    )
    now, was = clustered_mean(unknown, span=1.0), clustered_mean(old, span=1.0)
    z = (now.value - was.value) / math.hypot(now.error, was.error)
    alarmed = z > Z_OTHER and now.value > was.value + 0.05
    text = f"{percent(now.value)} of requests are unlike what was fitted, {percent(was.value)} before"
    power = ("coverage halved", power_of_coverage(was))
    return [_enough("coverage", alarmed, text, len(rows), power)]


def judge_escalation(
    rows: pd.DataFrame, earlier: pd.DataFrame, expected: tuple[float, int] | None
) -> list[Finding]:
    """The share of requests that went on to another candidate, against what was expected: requests
    or signals that have shifted show here first, and after a shift no promise holds."""
    if rows.empty or (expected is None and not earlier["escalated"].any()):
        return []
    now = clustered_mean(rows["escalated"].to_numpy(np.float64), span=1.0)
    if len(earlier):
        before = clustered_mean(earlier["escalated"].to_numpy(np.float64), span=1.0)
        was, error, source = before.value, before.error, "before"
    else:
        was, clusters = expected or (0.0, 1)
        error, source = math.sqrt(max(was * (1 - was), 1 / clusters) / clusters), "by the certificate"
    moved = now.value - was
    alarmed = abs(moved) / math.hypot(now.error, error) > Z_OTHER and abs(moved) > ESCALATION_TOLERANCE
    text = f"{percent(now.value)} of requests asked a second candidate, {percent(was)} {source}"
    if alarmed:
        text += "; requests or signals have shifted, so no promise holds"
        text += ", or later stages were not logged (`write(decision, after=id)`)" * (not now.value)
    drift = f"{100 * NOTICEABLE_ESCALATION:.0f} points more"
    power = (drift, power_of_share(was, error, min(1.0, was + NOTICEABLE_ESCALATION)))
    return [_enough("escalation", alarmed, text, len(rows), power)]


def _enough(name: str, alarmed: bool, text: str, n: int, power: tuple[str, int | None]) -> Finding:
    """Of a handful of requests no share is known to hold; an alarm has its own test."""
    if n < MIN_CLUSTERS and not alarmed:
        return Finding(name, UNSURE, text, MIN_CLUSTERS - n, *power)
    return Finding(name, BROKEN if alarmed else HOLDS, text, None, *power)
