"""How many more samples, dollars and hours until a verdict: from the outcomes that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from router_lab.metrics import certifiable_margin, samples_needed, verdict
from router_lab.metrics.paired import Floats, Mask, Recorded
from router_lab.metrics.reference import usual_reference
from router_lab.metrics.twophase import (
    Share,
    best_regression,
    best_share,
    features,
    paired_spread,
    run_throughout,
    suites_of,
)
from router_lab.outcomes import OutcomeMatrix, validate_outcomes
from router_lab.outcomes.columns import LATENCY
from router_lab.outcomes.matrix import FOLDS
from router_lab.racing.elimination import eliminations_of
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate


@dataclass(frozen=True)
class Need:
    """What one candidate, or one suite of it, needs for a verdict against the reference.

    `suite` None = all together. `samples`, `dollars`, `hours`: further ones, for both candidates of
    the pair, at power .8 if the present difference is the truth; `if_equal` the samples if it is as
    good as the reference. None = no number would do, or costs or latencies are not known. `raced`:
    why it left the race of the suite (of all suites, where `suite` is None), which no further
    samples change. `two_phases`: a share of the samples on which running the reference is enough,
    where that costs less (`reference_share`).
    """

    candidate: Candidate
    suite: str | None
    n: int
    difference: float
    low: float
    high: float
    verdict: str
    smallest_margin: float
    samples: int | None
    if_equal: int | None
    dollars: float | None
    hours: float | None = None
    raced: str | None = None
    two_phases: Share | None = None


@dataclass(frozen=True)
class Plan:
    """Needs of every candidate against `reference`, at `margin` and `confidence`; hours with
    `in_flight` samples under way at a time."""

    reference: Candidate
    margin: float
    confidence: float
    needs: tuple[Need, ...]
    in_flight: int


def plan(
    outcomes: pd.DataFrame,
    margin: float,
    confidence: float = 0.95,
    *,
    reference: Candidate | None = None,
    by_suite: bool = False,
    in_flight: int = 1,
) -> Plan:
    """Samples, dollars and hours that would show each candidate non-inferior to `reference`
    (default: who ran on a drawn part alone, as a sweep's `reference_share` has it, else the best
    mean quality).

    `outcomes` raw or validated. Paired and clustered as the verdicts are. in_flight: samples under
    way at a time, on all machines together; hours are sums of `latency_s` over that number. Raises
    InputError for a margin outside (0, 1), a confidence outside (.5, 1), fewer than two candidates,
    a reference that the outcomes do not hold, or nothing in flight.
    """
    if in_flight < 1:
        raise InputError(
            f"plan: in_flight {in_flight} must be at least 1; give how many samples run at a time"
        )
    _check(margin, confidence, in_flight)
    outcomes = validate_outcomes(outcomes, where="plan: outcomes")
    data = OutcomeMatrix.from_frame(outcomes)
    if len(data.candidates) < 2:
        raise InputError("plan: the outcomes hold fewer than two candidates; there is nothing to compare")
    if reference is not None and reference not in data.candidates:
        raise InputError(f"plan: reference {reference} is not in the outcomes")
    best = usual_reference(data) if reference is None else data.candidates.index(reference)
    left = {
        (one.candidate, one.suite): one.reason.words for one in eliminations_of(outcomes) if one.reason.final
    }
    needs = [
        replace(
            _need(data, rows, column, best, suite, margin, confidence, in_flight),
            raced=_raced(left, data.candidates[column], [suite] if suite is not None else data.suites),
            two_phases=_two_phases(data, column, best, margin, confidence) if suite is None else None,
        )
        for column in range(len(data.candidates))
        if column != best
        for suite, rows in _parts(data, by_suite)
    ]
    return Plan(data.candidates[best], margin, confidence, tuple(needs), in_flight)


def _check(margin: float, confidence: float, in_flight: int) -> None:
    if not 0 < margin < 1 or not 0.5 < confidence < 1:
        raise InputError(f"plan: margin {margin} must lie in (0, 1) and confidence {confidence} in (0.5, 1)")
    if in_flight < 1:
        raise InputError(
            f"plan: in_flight {in_flight} must be at least 1; give how many samples run at a time"
        )


def _parts(data: OutcomeMatrix, by_suite: bool) -> list[tuple[str | None, Mask]]:
    """All samples together, then those of each suite if asked for."""
    apart = enumerate(data.suites) if by_suite else ()
    return [(None, np.ones(len(data), bool)), *((name, data.suite == code) for code, name in apart)]


def _raced(left: dict[tuple[Candidate, str], str], candidate: Candidate, suites: Sequence[str]) -> str | None:
    reasons = [left.get((candidate, suite)) for suite in suites]
    return None if None in reasons else ", ".join(dict.fromkeys(str(reason) for reason in reasons))


def _need(
    data: OutcomeMatrix,
    rows: Mask,
    column: int,
    reference: int,
    suite: str | None,
    margin: float,
    confidence: float,
    in_flight: int,
) -> Need:
    estimate = Recorded.of(data, reference).take(rows).always(column).gain()
    judged = verdict(estimate, -margin, confidence)
    samples = judged.samples_needed if judged.verdict == "inconclusive" else 0
    price, seconds = (
        _of_both(values[rows][:, [column, reference]]) for values in (data.cost_usd, data.figures[LATENCY])
    )
    return Need(
        candidate=data.candidates[column], suite=suite, n=estimate.n, difference=estimate.value,
        low=estimate.low(confidence), high=estimate.high(confidence), verdict=judged.verdict,
        smallest_margin=certifiable_margin(estimate, confidence),
        samples=samples, if_equal=samples_needed(estimate, margin, confidence),
        dollars=None if price is None or samples is None else price * samples,
        hours=None if seconds is None or samples is None else seconds * samples / 3600 / in_flight,
    )  # fmt: skip


def _of_both(pair: Floats) -> float | None:
    """What a sample takes of two candidates, [n, 2]; None where nothing is known of one of them."""
    return float(np.nansum(np.nanmean(pair, axis=0))) if (~np.isnan(pair)).any(axis=0).all() else None


def _two_phases(
    data: OutcomeMatrix, column: int, reference: int, margin: float, confidence: float
) -> Share | None:
    """What a drawn part of the reference would spare, by what the outcomes of the others explain
    of its own."""
    quality = data.quality
    fold = np.random.default_rng(0).permutation(int(data.group.max()) + 1)[data.group] % FOLDS
    others = [j for j in run_throughout(quality, data.weighting) if j != reference]
    known = ~np.isnan(quality[:, column] + quality[:, reference])
    priced = ~np.isnan(data.cost_usd)
    if column not in others or not known.any() or not priced[:, [*others, reference]].any(axis=0).all():
        return None
    estimate = Recorded.of(data, reference).always(column).gain()
    if verdict(estimate, -margin, confidence).verdict != "inconclusive":
        return None
    alone = suites_of(data.suite)
    inside = np.hstack([features(quality[:, others]), alone])
    left = best_regression(
        quality[:, reference], known, 1 / data.weight[:, reference], [inside, alone], fold
    ).left
    spread = paired_spread(quality[:, reference], quality[:, column], known, fold)
    usd = np.where(priced, data.cost_usd, 0.0).sum(axis=0) / np.maximum(priced.sum(axis=0), 1)
    return best_share(
        estimate, estimate.value + margin, confidence, 1 - left / spread if spread > 0 else 0.0,
        float(usd[others].sum()), float(usd[reference]),
    )  # fmt: skip
