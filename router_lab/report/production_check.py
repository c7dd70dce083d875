"""The production check: what a policy promised beside what its decision log says happened.

Every check may be looked at every day: quality is judged by betting tests (Ville's inequality
bounds the chance of ever being wrong), the other checks share one error probability among them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from router_lab.metrics import (
    MIN_CLUSTERS,
    Estimate,
    betting_p,
    clustered_mean,
    clustered_ratio,
    samples_needed,
)
from router_lab.report.format import count, interval, money, percent, points
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
from router_lab.report.production_check_rows import usable
from router_lab.report.production_check_shares import (
    counted,
    judge_coverage,
    judge_escalation,
    judge_suites,
    shares_of,
)
from router_lab.runtime.model import Candidate
from router_lab.runtime.shares import part
from router_lab.runtime.visible import visible

Floats = NDArray[np.float64]
COST_TOLERANCE = 0.10
CALIBRATION_TOLERANCE = 0.02
NOTICEABLE = 0.05
NOTICEABLE_COST = 0.25
BETTING_FACTOR = 2.25
"""A betting test needs about this many times the samples of a t test for power .8
(tests/unit/test_production_check.py)."""


@dataclass(frozen=True)
class ProductionCheck:
    """All checks of a log, and what it served: n decisions, shares by suite, by candidate and by
    reason code."""

    n: int
    findings: tuple[Finding, ...]
    suites: Mapping[str, int]
    served: Mapping[str, int]
    codes: Mapping[str, int]
    bill: Sequence[Mapping[str, Any]]

    @property
    def verdict(self) -> str:
        """`does not hold` if any check says so; else what the checks of quality say."""
        words = [f.verdict for f in self.findings]
        return BROKEN if BROKEN in words else UNSURE if UNSURE in words or not words else HOLDS

    @property
    def powers(self) -> list[str]:
        """Each check's drift and the requests in which it would be named."""
        return [f"{f.name} {f.drift} in {f.within:,}" for f in self.findings if f.within]

    def to_text(self) -> str:
        """For a terminal; the verdict last."""
        lines = [
            f"{self.n:,} decisions: " + ", ".join(f"{part(v / self.n)} {k}" for k, v in self.served.items())
        ]
        lines += [f"  {f.name}: {f.verdict}; {f.text}" for f in self.findings]
        lines += [f"  named four times in five: {', '.join(self.powers)}"] if self.powers else []
        more = max((f.more or 0 for f in self.findings if f.verdict == UNSURE), default=0)
        last = self.verdict + (f", about {more:,} more" if self.verdict == UNSURE and more else "")
        return "\n".join(map(visible, [*lines, last]))


def production_check(
    decisions: Iterable[Mapping[str, Any]],
    *,
    reference: Candidate | None = None,
    margin: float | None = None,
    confidence: float = 0.9,
    audit: Mapping[str, float] | None = None,
    expected_suites: Mapping[str, float] | None = None,
    expected_escalated: tuple[float, int] | None = None,
    before: Iterable[Mapping[str, Any]] = (),
) -> ProductionCheck:
    """Judge a decision log (`runtime.decisions.read_decisions`) against the policy's promises.

    reference, margin, confidence: of the policy's certificate.  audit: decision id → quality of
    the reference on that same request, for a random share of requests (those served by the
    reference included: their difference is 0). expected_suites: suite → share of requests
    expected; expected_escalated: the share that another candidate is asked, and the clusters that
    it is known from; before: an earlier log, which is then what is expected.
    """
    rows, refused = usable(decisions, audit, reference)
    earlier, refused_before = usable(before)
    findings = [
        *_evidence(rows, refused + refused_before),
        *_audited(rows, margin, confidence),
        *_calibration(rows),
        *_cost(rows),
        *judge_suites(rows, shares_of(earlier) if len(earlier) else expected_suites),
        *judge_coverage(rows, earlier),
        *judge_escalation(rows, earlier, expected_escalated),
    ]
    suites, labels, codes = (counted(rows[column]) for column in ("suite", "label", "code"))
    return ProductionCheck(len(rows), tuple(findings), suites, labels, codes, _bill(rows))


def _evidence(rows: pd.DataFrame, refused: Sequence[str]) -> list[Finding]:
    """What no other check says: values that count nowhere, and whether any quality is known at
    all.

    Over 1 % of values that are none (as of infrastructure errors in a verdict) leave nothing to be
    sure of: which rows a fault chose is not known.
    """
    findings = []
    labelled = int(rows["quality"].notna().sum())
    if refused:
        text = f"{len(refused):,} decisions hold values that are none and count in no figure, the first: {refused[0]}"
        few = len(refused) <= 0.01 * (labelled + len(refused))
        findings.append(Finding("values", HOLDS if few else UNSURE, text))
    if not labelled:
        findings.append(Finding("quality", UNSURE, f"known of none of {len(rows):,} decisions"))
    return findings


def _known(rows: pd.DataFrame, *columns: str) -> list[Floats]:
    """These columns [n] of the rows in which all of them are known."""
    there = rows[list(columns)].dropna()
    return [there[column].to_numpy(np.float64) for column in columns]


def _audited(rows: pd.DataFrame, margin: float | None, confidence: float) -> list[Finding]:
    """Served minus reference quality on the audited requests, against the certified margin, at any
    number of looks."""
    if margin is None:
        return []
    [differences] = _known(rows, "audited")
    if not len(differences):
        text = (
            "no audited request: answer a random share by the reference too, and name the file with --audit"
        )
        return [Finding("quality against the reference", UNSURE, text)]
    return [judge_difference("quality against the reference", differences, -margin, confidence)]


def judge_difference(name: str, differences: Floats, floor: float, confidence: float) -> Finding:
    """Whether the mean of paired differences in [−1, 1] is at least `floor`, valid at any number
    of looks."""
    sizes = np.ones(len(differences))
    estimate = clustered_mean(differences, span=1.0)
    text = f"{points(estimate.value)} points on {len(differences):,} requests, {_interval(estimate)}"
    if betting_p(-differences, sizes, -floor) <= ALPHA:
        return Finding(name, BROKEN, f"{text}; below {points(floor)}")
    if betting_p(differences, sizes, floor) <= 1 - confidence:
        return Finding(name, HOLDS, f"{text}; shown above {points(floor)}")
    return Finding(name, UNSURE, text, needed(estimate, floor, confidence))


def needed(estimate: Estimate, floor: float, confidence: float) -> int | None:
    """Further requests until a betting test would tell, were the estimate the truth; None if it is
    at the floor."""
    level = confidence if estimate.value > floor else 1 - ALPHA  # to accuse takes more than to clear
    further = samples_needed(estimate, estimate.value - floor, level)
    return None if further is None else math.ceil(BETTING_FACTOR * (further + estimate.n)) - estimate.n


def power_of_quality(estimate: Estimate, level: float) -> int | None:
    """Labelled requests of a candidate in which one NOTICEABLE worse than predicted is named, four
    times in five."""
    if not math.isfinite(estimate.se):
        return None
    reach = (float(norm.isf(level)) + Z_POWER) / (NOTICEABLE - CALIBRATION_TOLERANCE)
    return math.ceil(BETTING_FACTOR * estimate.se**2 * estimate.n * reach**2)


def power_of_cost(ratio: Estimate) -> int:
    """Billed requests in which a bill NOTICEABLE_COST over the prediction is named: z test on a
    ratio."""
    spread = ratio.se * math.sqrt(ratio.n) * (1 + NOTICEABLE_COST) / ratio.value
    return max(
        MIN_CLUSTERS, math.ceil(((Z_OTHER + Z_POWER) * spread / (NOTICEABLE_COST - COST_TOLERANCE)) ** 2)
    )


def _interval(estimate: Estimate) -> str:
    low, high = estimate.interval()
    return f"95 % from {points(low)} to {points(high)}" if math.isfinite(low) else "too few for an interval"


def _calibration(rows: pd.DataFrame) -> list[Finding]:
    """Labelled quality of what was served against what was predicted of it, by candidate: a
    culprit has a name."""
    labelled = rows[["label", "quality", "promised_quality"]].dropna()
    findings = []
    names = sorted(set(labelled["label"]))
    for name in names:
        level, own = ALPHA / len(names), labelled[labelled["label"] == name]
        gaps = (own["quality"] - own["promised_quality"]).to_numpy(np.float64)
        gaps = np.clip(gaps, -1.0, 1.0)
        text = (
            f"labelled {points(float(gaps.mean()))} points against its prediction on {len(gaps):,} "
            f"request{'s' * (len(gaps) != 1)}"
        )
        sizes, estimate = np.ones(len(gaps)), clustered_mean(gaps, span=1.0)
        power = (f"{points(NOTICEABLE)[1:]} points worse", power_of_quality(estimate, level))
        if betting_p(-gaps, sizes, CALIBRATION_TOLERANCE) <= level:
            findings.append(Finding(f"quality of {name}", BROKEN, text, None, *power))
        elif betting_p(gaps, sizes, -NOTICEABLE) <= 0.1:
            said = f"{text}; not {points(NOTICEABLE)[1:]} points worse"
            findings.append(Finding(f"quality of {name}", HOLDS, said, None, *power))
        else:
            more = needed(estimate, -NOTICEABLE, 0.9)
            findings.append(Finding(f"quality of {name}", UNSURE, text, more, *power))
    return findings


def _cost(rows: pd.DataFrame) -> list[Finding]:
    """Dollars spent over dollars promised on the same requests."""
    real, promised = _known(rows, "cost", "promised_cost")
    if not promised.any():  # a share of nothing is no figure
        return []
    ratio = clustered_ratio(real, promised)
    text = f"{money(float(real.mean()))} a request, {percent(ratio.value, 0)} of what was predicted (n = {len(real):,})"
    if len(real) < MIN_CLUSTERS:
        return [Finding("cost", UNSURE, text, MIN_CLUSTERS - len(real))]
    power = (f"{percent(NOTICEABLE_COST, 0)} dearer", power_of_cost(ratio))
    if ratio.low(1 - ALPHA / OTHER_CHECKS) > 1 + COST_TOLERANCE:
        return [Finding("cost", BROKEN, f"{text}; prices, context or retries have grown", None, *power)]
    return [Finding("cost", HOLDS, text, None, *power)]


def _bill(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """By suite: decisions, promised and real dollars per 1,000, promised and labelled quality with
    its interval."""
    result = []
    for suite in sorted(set(rows["suite"])):
        own = rows[rows["suite"] == suite]
        [quality] = _known(own, "quality")
        mean = clustered_mean(quality) if len(quality) else None
        low, high = mean.interval() if mean is not None and mean.clusters > 1 else (math.nan, math.nan)
        result.append(
            {
                "suite": suite, "n": len(own),
                "promised_cost": 1000 * float(own["promised_cost"].mean()),
                "real_cost": 1000 * float(own["cost"].mean()),
                "promised_quality": float(own["promised_quality"].mean()),
                "real_quality": math.nan if mean is None else mean.value,
                "interval": interval(max(0.0, low), min(1.0, high)) if math.isfinite(low) else "–",
                "labelled": count(len(quality)),
            }
        )  # fmt: skip
    return result
