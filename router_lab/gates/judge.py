"""`run_gates`: thresholds from YAML against a policy's fresh outcomes, each judged by the one
verdict rule."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from router_lab.certificate import Certificate, deploy, refused, retiring_soon
from router_lab.config import Gate
from router_lab.gates.arms import Arm, Moves, arm, change, moves, unused_rows
from router_lab.gates.audit import judge_errors, shifted_difference, shifted_quality
from router_lab.gates.measure import COMPARED, FACTS, MEASURED, Reading, expires_in_days, price_drift, priced
from router_lab.gates.result import GateReport, Result
from router_lab.metrics import Verdict, certifiable_margin, too_few, verdict
from router_lab.metrics.paired import Mask, Paired, column_means
from router_lab.metrics.verdict import MAX_INFRA, NO_EVIDENCE
from router_lab.outcomes import outcomes_for
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate, Prices
from router_lab.runtime.policy import Policy

DEPLOY = "deploy by the certificate"
"""The result that no gate asks for and that fails where the certificate says not to deploy."""
USED = "every row was used in the fit, so nothing here is evidence"
UNSCORED = "no row that the fit has not used was scored for a candidate of the policy"


@dataclass(frozen=True)
class Case:
    """Everything that gates may look at; `nothing`: why there is no row to judge, where there is
    none."""

    challenger: Arm
    champion: Arm | None
    prices: Mapping[Candidate, Prices]
    today: dt.date
    audit: pd.DataFrame | None
    dollars_per_sample: float | None
    nothing: str = USED

    @cached_property
    def shown(self) -> Certificate:
        """The challenger's own certificate."""
        return Certificate.of(self.challenger.policy)

    @cached_property
    def moves(self) -> Moves:
        """From the champion to the challenger."""
        assert self.champion is not None
        return moves(self.champion, self.challenger)

    def beside(self, against: str, rows: Mask) -> Paired:
        """The challenger on some of its rows, beside its reference or the champion."""
        if against == "reference" or self.champion is None:
            return self.challenger.rows.take(rows)
        return change(self.champion, self.challenger, self.moves, rows)

    def rows(self, suite: str | None) -> Mask:
        return np.ones(len(self.challenger), bool) if suite is None else self.challenger.suite == suite


def run_gates(
    policy: Policy,
    outcomes: pd.DataFrame,
    gates: Sequence[Gate],
    *,
    champion: Policy | None = None,
    prices: Mapping[Candidate, Prices] | None = None,
    audit: pd.DataFrame | None = None,
    today: dt.date | None = None,
) -> GateReport:
    """Judge every gate on the rows of `outcomes` (raw or validated) whose groups neither policy
    was fitted on. What its certificate says not to deploy fails, whatever the gates are.

    prices: what candidates cost now, for `price_drift`; by default those that the outcomes carry.
    audit: human labels of some outcomes (columns suite, sample_id, model, quality, optionally
    effort), where a judge scored. Counts no look, as the command does (outcomes/looks.py). Raises
    InputError for a metric or suite that does not exist, or outcomes that are not of both policies
    (`outcomes_for`).
    """
    outcomes = outcomes_for(policy, outcomes, "gate")
    if champion is not None:
        outcomes_for(champion, outcomes, "gate: champion")
    fresh = unused_rows(outcomes, policy, *([champion] if champion else []))
    challenger = arm(policy, fresh)
    costs = column_means(challenger.recorded.cost_usd)  # of one more sample of every candidate
    case = Case(
        challenger,
        None if champion is None else arm(champion, fresh),
        carried_prices(outcomes) if prices is None else prices,
        today or dt.datetime.now(dt.UTC).date(),
        audit,
        None if np.isnan(costs).all() else float(np.nansum(costs)),
        USED if fresh.empty else UNSCORED,
    )
    results = (*(result for gate in gates for result in judge_gate(gate, case)), *_refusal(case))
    return _told(case, results, max((g.confidence for g in gates), default=0.9))


def _told(case: Case, results: tuple[Result, ...], confidence: float) -> GateReport:
    """With the least margin that the rows can certify: of who moves nothing, nothing."""
    policy, other = case.challenger.policy, None if case.champion is None else case.champion.policy
    gain = case.challenger.rows.gain()
    margin = certifiable_margin(gain, confidence)
    moved = case.challenger.rows.moved.any()
    return GateReport(
        policy=policy.spec.name, revision=policy.revision, results=results, n=gain.n,
        champion=None if other is None else f"{other.spec.name} {(other.revision or 'unsaved')[:12]}",
        smallest_margin=margin if math.isfinite(margin) and moved else None, date=case.today.isoformat(),
        certificate=case.shown, clusters=gain.clusters, deploy=deploy(policy, case.today),
        retiring=retiring_soon(policy, case.today),
        judges=() if case.audit is None else judge_errors(case.audit),
    )  # fmt: skip


def _refusal(case: Case) -> Iterator[Result]:
    """A failure where the certificate says not to deploy the policy, whatever the gates ask."""
    reason = refused(case.challenger.policy, case.today)
    if reason is not None:
        yield Result(
            name=DEPLOY, suite=None, verdict="fail", value=0.0, bound=1.0, low=0.0, high=0.0, confidence=1.0, n=0,
            clusters=0, reason=reason, rows="certificate",
        )  # fmt: skip


def carried_prices(outcomes: pd.DataFrame) -> dict[Candidate, Prices]:
    """Prices by candidate that an outcomes table carries in its attributes."""
    rows = outcomes.attrs.get("candidates") or []
    every = [one for row in rows for one in (row, *(row.get("roles") or {}).values())]
    return {Candidate.of(one): Prices(**one["prices"]) for one in every if one.get("prices")}


def judge_gate(gate: Gate, case: Case) -> Iterator[Result]:
    """The results of one gate: one for each of its bounds and suites. Raises InputError (see
    `run_gates`)."""
    refuse_unknown(gate)
    suites = sorted(set(case.challenger.suite))
    if gate.suite == "each":
        chosen: list[str | None] = list(suites)
    elif gate.suite is None or gate.suite in suites:
        chosen = [gate.suite]
    else:
        raise InputError(
            f"gate: suite {gate.suite!r} has no fresh outcomes; there are: {', '.join(suites) or 'none'}"
        )
    for suite in chosen:
        for bound, sign in _bounds(gate):
            yield _judge(gate, case, suite, bound, sign, len(chosen))


def refuse_unknown(gate: Gate, where: str = "gate") -> None:
    """Raises InputError for a metric that does not exist, or cannot be compared as the gate asks;
    `where` begins it."""
    if gate.metric not in MEASURED and gate.metric not in FACTS:
        known = ", ".join([*MEASURED, *FACTS])
        raise InputError(f"{where}: metric {gate.metric!r} is not known; known: {known}")
    if gate.against is not None and gate.metric not in COMPARED:
        raise InputError(
            f"{where}: metric {gate.metric!r} cannot be compared; against works for {', '.join(COMPARED)}"
        )


def _bounds(gate: Gate) -> list[tuple[float, int]]:
    """(bound, +1 for a floor or −1 for a ceiling) of each threshold in a gate."""
    found = [(gate.min, 1), (gate.max, -1), (None if gate.margin is None else -gate.margin, 1)]
    return [(bound, sign) for bound, sign in found if bound is not None]


def _judge(gate: Gate, case: Case, suite: str | None, bound: float, sign: int, suites: int) -> Result:
    name = describe(gate, bound, sign)
    if gate.metric in FACTS:
        return _judge_fact(gate, case, name, bound, sign)
    if gate.against == "champion" and case.champion is None:
        return _unknown(name, suite, gate, bound, "no champion was given; name one with --champion")
    rows = case.rows(suite)
    if not rows.any():
        return _unknown(name, suite, gate, bound, case.nothing)
    found = _measure(gate, case, rows, bound, sign)
    judged = verdict(
        found.estimate, found.floor, gate.confidence, infra=case.challenger.infra,
        dollars_per_sample=case.dollars_per_sample,
    )  # fmt: skip
    word, reason, spoken = judged.verdict, _reason(judged, found, sign), "fresh"
    if gate.against is None and math.isnan(found.estimate.value):
        reason = f"there is nothing to judge: no row has the values that `{gate.metric}` is made of"
    if (
        word == "fail"
        and suites > 1
        and found.estimate.high(1 - (1 - gate.confidence) / suites) >= found.floor
    ):
        word, reason = "inconclusive", f"{reason}; but not after correcting for {suites} suites looked at"
    if word == "inconclusive" and _certified(gate, case, suite):
        word, reason, spoken = "pass", _certified_reason(gate, case, judged), "certificate"
    settled = word != "inconclusive"
    return Result(
        name=name, suite=suite, verdict=word, value=found.shown, bound=bound, low=judged.low,
        high=judged.high, confidence=gate.confidence, n=judged.n, clusters=judged.clusters, reason=reason,
        samples_needed=None if settled else judged.samples_needed,
        dollars_needed=None if settled else judged.dollars_needed, rows=spoken,
    )  # fmt: skip


def _measure(gate: Gate, case: Case, rows: Mask, bound: float, sign: int) -> Reading:
    mine = case.challenger
    if gate.against is None:
        reading = MEASURED[gate.metric](mine, rows, bound, sign)
        if gate.metric == "quality" and case.audit is not None:
            estimate = shifted_quality(reading.estimate, mine, rows, case.audit, sign)
            return replace(reading, estimate=estimate, shown=sign * estimate.value)
        return reading
    beside = case.beside(gate.against, rows)
    paired = beside.gain() if gate.metric == "quality" else beside.saving()
    if gate.metric == "quality" and case.audit is not None:
        paired = shifted_difference(
            paired, mine, case.champion if gate.against == "champion" else None, rows, case.audit
        )
    form: Literal["number", "difference"] = "difference" if gate.metric == "quality" else "number"
    return Reading(paired.scaled(sign), sign * bound, paired.value, form)


def _certified(gate: Gate, case: Case, suite: str | None) -> bool:
    """Whether the policy's own certificate has shown this, or more, on the rows that chose it.

    A second test on fresh rows would be failed by half of all sound policies
    (docs/certificate.md): fresh rows can only contradict a certificate, which they have not done
    where the verdict on them is `inconclusive`.
    """
    shown = case.shown
    return (
        suite is None
        and gate.metric == "quality"
        and gate.against == "reference"
        and gate.margin is not None
        and shown.verdict == "pass"
        and shown.margin is not None
        and shown.confidence is not None
        and shown.margin <= gate.margin + 1e-12
        and shown.confidence >= gate.confidence - 1e-12
        and case.challenger.infra <= MAX_INFRA
    )


def _certified_reason(gate: Gate, case: Case, judged: Verdict) -> str:
    shown = case.shown
    few = too_few(judged.n, judged.clusters, judged.low, judged.high)
    fresh = f"{judged.n:,} fresh rows ({_signed(judged.value)} points) do not contradict it"
    if few is not None:
        fresh = f"{judged.n:,} fresh rows are too few to contradict it"
    return (
        f"certified to lose at most {_exactly(100 * (shown.margin or 0.0))} points with confidence "
        f"{shown.confidence or 0.0:.2f} on the certificate's {shown.counted}; {fresh}"
    )


def _judge_fact(gate: Gate, case: Case, name: str, bound: float, sign: int) -> Result:
    policy = case.challenger.policy
    if gate.metric == "expires_in_days":
        value = expires_in_days(policy.spec.expires, case.today)
        text = (
            "never expires" if math.isinf(value) else f"expires on {policy.spec.expires}, in {value:.0f} days"
        )
    elif gate.metric == "price_drift":
        old = {who: prices for who, prices in priced(policy.spec.profiles) if prices is not None}
        value = price_drift(old, case.prices)
        text = f"the largest change of a price since the fit is {100 * value:.1f} %"
    else:
        word = case.shown.verdict or "absent"
        value = float(word == "pass")
        text = f"the certificate says {word}: {case.shown.reason or 'nothing'}"
        if word == "inconclusive":
            return replace(_unknown(name, None, gate, bound, text), rows="certificate")
    if math.isnan(value):
        return _unknown(name, None, gate, bound, "no price of these candidates is known now; give --prices")
    word = "pass" if sign * value >= sign * bound else "fail"
    spoken = "certificate" if gate.metric == "certificate" else None
    return Result(
        name=name, suite=None, verdict=word, value=value, bound=bound, low=value, high=value,
        confidence=gate.confidence, n=0, clusters=0, reason=text, rows=spoken,
    )  # fmt: skip


def _unknown(name: str, suite: str | None, gate: Gate, bound: float, reason: str) -> Result:
    nan = math.nan
    return Result(
        name=name, suite=suite, verdict="inconclusive", value=nan, bound=bound, low=nan, high=nan,
        confidence=gate.confidence, n=0, clusters=0, reason=reason,
    )  # fmt: skip


def _reason(judged: Verdict, found: Reading, sign: int) -> str:
    """The figure, its bounds the right way round, and on how much data."""
    untold = ("too few to say", "there is nothing")
    if judged.reason.startswith(untold) or NO_EVIDENCE in judged.reason:
        return judged.reason
    data = f"{judged.n:,} fresh rows in {judged.clusters:,} groups"
    if found.form == "percentile":
        ends = sorted((-sign * judged.low, -sign * judged.high))
        least = -sign * judged.floor
        near, far = (_beside(min(1.0, max(0.0, end)), least, _share, 1, 100) for end in ends)
        return f"P95 {_number(found.shown)}; {near} to {far} % of requests are within the bound, {data}"
    low, high = sorted((sign * judged.low, sign * judged.high))
    limit = sign * judged.floor
    sure = f"at {100 * judged.confidence:.4g} %, one-sided"
    if found.form == "difference":
        near, far = (_beside(end, limit, _signed, 1, 100) for end in (low, high))
        return f"{_signed(found.shown)} points ({sure}: from {near} to {far}), {data}"
    if found.form == "share":
        low, high = max(0.0, low), min(1.0, high)
    near, far = (_beside(end, limit, _number, 4, 1) for end in (low, high))
    return f"{_number(found.shown)} ({sure}: from {near} to {far}), {data}"


def _beside(value: float, limit: float, form: Callable[[float, int], str], digits: int, scale: float) -> str:
    """`value` with as many digits as it takes to see on which side of the gate's limit it lies."""
    asked = round(scale * limit, 9)
    for some in range(digits, 13):
        text = form(value, some)
        seen = float(text.replace("−", "-"))
        if (seen > asked) == (value > limit) and (seen < asked) == (value < limit):
            break
    return text


def describe(gate: Gate, bound: float, sign: int) -> str:
    """A gate in words: `quality ≥ reference − 3.0 points`, `cost_p95_usd ≤ 0.02`."""
    if gate.margin is not None and bound == -gate.margin and gate.against:
        if gate.metric == "quality":
            return f"quality ≥ {gate.against} − {_exactly(100 * gate.margin)} points"
        return f"cost ≤ {gate.against} + {_exactly(100 * gate.margin)} %"
    beside = f" against {gate.against}" if gate.against else ""
    return f"{gate.metric}{beside} {'≥' if sign > 0 else '≤'} {_number(bound)}"


def _exactly(value: float) -> str:
    """One decimal, or as many as there are."""
    return max(f"{value:.1f}", f"{round(value, 9):g}", key=len)


def _number(value: float, digits: int = 4) -> str:
    return f"{value + 0.0:.{digits}g}".replace("-", "−")


def _share(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}"


def _signed(value: float, digits: int = 1) -> str:
    text = f"{100 * value:+.{digits}f}".replace("-", "−")
    return text[1:] if float(text[1:]) == 0 else text
