"""The verdict on a policy that did not serve, from the log of one that did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from router_lab.certificate import Certificate
from router_lab.evaluate.figures import Figure
from router_lab.evaluate.logged import FIGURES, LogRows
from router_lab.evaluate.paired import PairFound, paired_of
from router_lab.evaluate.propensities import with_propensities
from router_lab.evaluate.settle import lacks, settling, too_few_told
from router_lab.evaluate.target import Target, target_of
from router_lab.metrics.offpolicy import Logged, Told, cross_fitted, estimate_of, told_of, told_of_log
from router_lab.metrics.overlap import Overlap, overlap_of
from router_lab.metrics.steady import Mask
from router_lab.metrics.verdict import MIN_CLUSTERS, Verdict, verdict
from router_lab.runtime.errors import InputError
from router_lab.runtime.policy import Policy

CONFIDENCE = 0.90
MARGIN = 0.03


@dataclass(frozen=True)
class Evaluation:
    """name, revision: of the policy; against: the other policy, None = what the log's gave; n:
    decisions; figures by metric; overlap; pairs: what a shadow's outcomes say, None without; notes:
    what a reader must know; settle: what would settle it, where nothing is concluded; labels: of
    `Overlap.asked`'s columns."""

    name: str
    revision: str
    against: str | None
    n: int
    confidence: float
    figures: Mapping[str, Figure]
    overlap: Overlap
    pairs: PairFound | None
    notes: tuple[str, ...]
    settle: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """Of quality, or of dollars where nothing else was asked for; a shadow's, where it has
        enough pairs: it was asked the same requests."""
        metric = next(iter(self.figures))
        shown = None if self.pairs is None else self.pairs.verdicts.get(metric)
        return self.figures[metric].verdict if shown is None else shown


def evaluate(
    policy: Policy, log: LogRows, *, against: Policy | None = None, metrics: Sequence[str] = FIGURES,
    margin: float | None = None, confidence: float = CONFIDENCE, point: str | None = None,
) -> Evaluation:  # fmt: skip
    """What `policy` would have given on the requests of `log`, and how far that is from what was
    given, or from `against`.

    margin: quality that it may lose, in units of quality; None = what its certificate was made for.
    confidence: of two-sided intervals; the verdict is by their ends. Raises InputError where the
    log lacks what the policy decides by, or holds no value of a metric.
    """
    target = target_of(policy, log, point)
    rival = None if against is None else target_of(against, log)
    log, notes = with_propensities(log, [target] if rival is None else [target, rival])
    side, floor = 0.5 + confidence / 2, _floor(policy, margin)
    figures, overlaps = {}, list[Overlap]()
    for metric in metrics:
        figures[metric], overlap = _figure(metric, target, rival, log, floor, side)
        overlaps.append(overlap)
    beside = against is None or against.revision in log.revision  # a shadow stands beside who served
    result = Evaluation(
        name=policy.spec.name, revision=policy.revision or "unsaved",
        against=None if against is None else against.spec.name, n=len(log), confidence=confidence,
        figures=figures, overlap=overlaps[0],
        pairs=paired_of(policy, log, metrics, floor, side) if beside else None,
        notes=(*target.notes, *notes), settle=(), labels=target.labels,
    )  # fmt: skip
    if result.verdict.verdict != "inconclusive":
        return result
    return replace(result, settle=settling(figures, overlaps[0], log, target))


def _figure(
    metric: str, target: Target, rival: Target | None, log: LogRows, floor: float, side: float
) -> tuple[Figure, Overlap]:
    """One metric, judged; how the log lies beside the policy."""
    reward = np.asarray(getattr(log, metric), np.float64)
    rows = target.known & ~np.isnan(reward) & (True if rival is None else rival.known)
    if not rows.any():
        raise InputError(
            f"evaluate: no decision of the log has both `{metric}` and what the policy decides by"
        )
    logged = Logged(target.action, log.propensity, reward, log.group).take(rows)
    money = metric == "cost_usd"
    mine = _told(target, logged, rows, metric)
    overlap = overlap_of(logged, target.shares[rows], target.own[rows])
    thin, least = lacks(overlap, target.labels), overlap.effective
    if rival is None:
        other = told_of_log(logged)
    else:
        theirs = logged._replace(action=rival.action[rows])
        other = _told(rival, theirs, rows, metric)
        beyond = overlap_of(theirs, rival.shares[rows], rival.own[rows])
        thin = thin or lacks(beyond, rival.labels)
        least = min(least, beyond.effective)
    value, beside, apart = (
        estimate_of(*which, long_tail=money)
        for which in ((mine, logged.group), (other, logged.group), (mine, logged.group, other))
    )
    asked = 0.0 if money else floor
    found = verdict(apart.scaled(-1.0) if money else apart, asked, side, infra=log.infra)
    counts = min(least, apart.independent)
    if thin or counts < MIN_CLUSTERS:
        few = too_few_told(apart.n, apart.clusters, counts)
        found = replace(found, verdict="inconclusive", reason=thin or few)
    return Figure(metric, value, beside, apart, asked, found, counts), overlap


def _told(target: Target, logged: Logged, rows: Mask, metric: str) -> Told:
    money, shares = metric == "cost_usd", target.shares[rows]
    model = cross_fitted(logged, target.prior[metric][rows], target.suite[rows], ratio=money)
    told = told_of(logged, shares, model, span=None if money else 1.0)
    # Weights carry an estimate beyond what can be; the nearest value that can is nearer the truth.
    return told._replace(value=float(np.clip(told.value, 0.0, None if money else 1.0)))


def _floor(policy: Policy, margin: float | None) -> float:
    known = Certificate.of(policy).margin if margin is None else margin
    return -(MARGIN if known is None else known)
