"""The part of a policy's report that is about chains: who is asked in turn, who answers, and what
that costs and takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from router_lab.certificate import Certificate, ChainsShown
from router_lab.metrics import weighted_quantile
from router_lab.metrics.paired import Floats
from router_lab.outcomes.columns import LATENCY
from router_lab.replay import Replay
from router_lab.report.format import candidate_label, money, percent, points, seconds
from router_lab.report.html import PARTS, table
from router_lab.report.policy import FRESH, IN_SAMPLE
from router_lab.report.told import certificate_rows, ranged_percent
from router_lab.runtime.points import cap_described
from router_lab.runtime.policy import Policy


def escalation_section(policy: Policy, replayed: Replay) -> Markup:
    """Nothing for a policy without chains."""
    certificate = Certificate.of(policy)
    shown = certificate.chains
    if shown is None:
        return Markup()
    boxes = [
        (percent(shown.share, 0), "of requests go through a chain"),
        (percent(shown.escalated), "of requests ask a second candidate"),
        (f"{money(1000 * shown.signals_usd)}", "of signals in 1,000 requests"),
    ]
    if shown.stopped:
        boxes.append((percent(shown.stopped), "of requests end at a cap without an answer"))
    return PARTS.section(
        "Escalation",
        PARTS.cards(boxes),
        _stages(shown),
        PARTS.paragraph(f"Of {certificate_rows(certificate)}; shares are of all requests.", "note"),
        PARTS.bullets(_sentences(policy, certificate, shown)),
        _latency(policy, replayed),
    )


def _stages(shown: ChainsShown) -> Markup:
    most = max((stage.cost_usd for stage in shown.stages), default=0.0) or 1.0
    rows = [{"stage": stage} for stage in sorted(shown.stages, key=lambda stage: -stage.asked)]
    return table(
        rows,
        [
            ("candidate", lambda r: candidate_label(*r["stage"].candidate)),
            ("asked", lambda r: percent(r["stage"].asked)),
            ("answer kept", lambda r: percent(r["stage"].kept)),
            ("$ / 1,000 requests", lambda r: money(1000 * r["stage"].cost_usd)),
            ("dollars", lambda r: PARTS.bars(r["stage"].cost_usd / most)),
        ],
    )


def _sentences(policy: Policy, certificate: Certificate, shown: ChainsShown) -> list[str]:
    found = []
    if certificate.escalation_gain is not None:
        gain = ranged_percent(certificate.escalation_gain)
        found.append(
            f"Chains save {gain} of the reference's cost more than the same fit without them, paired."
        )
    if shown.signals:
        saved, quality = shown.savings_without_signals, shown.quality_difference_without_signals
        found.append(
            f"Answers are judged by {', '.join(shown.signals)}. If every signal went missing, each judged answer would "
            f"be asked again: {percent(saved)} saved, {points(quality)} points of quality."
        )
    caps = sorted({
        (candidate_label(*policy.candidates[stage.column]), stage.cap_usd or 0.0, stage.cap_turns or 0,
         cap_described(stage))
        for chain in policy.spec.chains for stage in chain if stage.capped
    })  # fmt: skip
    if caps:
        told = ", ".join(f"{who} at {cap}" for who, *_, cap in caps)
        found.append(f"Runs are stopped: {told}.")
    found.append(
        "An application calls decision.judge(answer, signals=…) after each answer, and asks whom it names."
    )
    return found


def _latency(policy: Policy, replayed: Replay) -> Markup:
    """Seconds of a request, all stages that it asks; nothing where no latency was recorded."""
    values = replayed.recorded.figures.get(LATENCY)
    scored = replayed.rows.scored
    if values is None or np.isnan(values[scored]).all():
        return Markup()
    alone = np.zeros(replayed.served.shape)
    alone[:, policy.spec.reference] = 1.0
    rows = [
        {"name": name, **_quantiles(replayed, values, shares)}
        for name, shares in ((policy.spec.name, replayed.served), (f"always {policy.reference}", alone))
    ]
    columns = [
        ("", lambda r: r["name"]),
        ("P50", lambda r: seconds(r["p50"])),
        ("P95", lambda r: seconds(r["p95"])),
    ]
    source = IN_SAMPLE if replayed.in_sample else FRESH
    said = f"Seconds of model time of a request, one stage after the other, on {replayed.n:,} {source}:"
    return Markup().join([PARTS.paragraph(said), table(rows, columns)])


def _quantiles(replayed: Replay, values: Floats, shares: Floats) -> Mapping[str, Any]:
    scored, weight = replayed.rows.scored, replayed.rows.weight
    heavy = shares if weight is None else shares * weight[:, None]
    return {
        name: weighted_quantile(values[scored], heavy[scored], q) for name, q in (("p50", 0.5), ("p95", 0.95))
    }
