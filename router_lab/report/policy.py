"""A policy in words and marks: its certificate's figures placed beside the candidates that it chooses among."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from router_lab.metrics import MIN_CLUSTERS, clustered_mean, paired_saving, too_few
from router_lab.replay import Replay
from router_lab.report.format import MISSING, candidate_label, cut_off, percent, points
from router_lab.report.marks import Kind, Mark
from router_lab.report.table import pooled, records
from router_lab.runtime.model import Candidate
from router_lab.runtime.policy import Policy


def figures(policy: Policy, replayed: Replay) -> dict[str, Any]:
    """What is known of the policy: the certificate's figures (out of fold), or the replay's where there are none.

    Keys quality_difference and savings ({value, low, high, confidence}), n, source (for the reader).
    """
    shown = policy.spec.certificate
    if shown.get("quality_difference") and shown["quality_difference"].get("value") is not None:
        return {k: shown[k] for k in ("quality_difference", "savings", "n")} | {"source": certificate_rows(shown)}
    source = f"{replayed.n:,} {IN_SAMPLE if replayed.in_sample else FRESH}"
    return {
        **{name: _figure(replayed, name) for name in ("quality_difference", "savings")},
        "n": replayed.n,
        "source": source,
    }


FRESH = "fresh rows, which the fit has not used"
IN_SAMPLE = "rows that the fit itself has used: no evidence"


def certificate_rows(shown: Mapping[str, Any]) -> str:
    """The rows that a certificate speaks of, in words."""
    return f"the certificate's {shown['n']:,} rows, each left out of the fit that it was judged by"


def _figure(replayed: Replay, name: str) -> dict[str, Any]:
    low, high = replayed.interval(name)
    found = replayed.estimate(name)
    return _estimated(found.value, (low, high)) | {"n": found.n, "clusters": found.clusters}


def policy_marks(policy: Policy, replayed: Replay, table: pd.DataFrame) -> list[Mark]:
    """The policy, its random mix and the oracle as marks for the picture of all suites.

    Policy and mix were measured against the reference on rows that chose nothing about them, so they stand at the
    reference's place in `table` moved by that difference and that saving; the bar is the interval of the difference.
    """
    base = reference_row(policy, table)
    if base is None or not math.isfinite(base["cost_usd_per_1k"]):
        return []
    found = figures(policy, replayed)
    marks = [_moved(base, found["quality_difference"], found["savings"], policy.spec.name, "policy", found["source"])]
    mix = policy.spec.certificate.get("random_mix") or {}
    if mix.get("probability"):
        name = f"random mix ({percent(mix['probability'], 0)} {candidate_label(mix['model'], mix['effort'])})"
        marks.append(_moved(base, mix["quality_difference"], mix["savings"], name, "mix", found["source"]))
    oracle = policy.spec.certificate.get("oracle_upper_bound") or {}
    if oracle.get("quality") is not None and oracle.get("cost_usd") is not None:
        detail = (("hindsight", "knows every answer beforehand; no router can"),)
        marks.append(Mark("oracle", 1000 * oracle["cost_usd"], oracle["quality"], kind="oracle", detail=detail))
    return [m for m in marks if m is not None]


def reference_row(policy: Policy, table: pd.DataFrame) -> dict[str, Any] | None:
    """The reference's row over all suites; None where it was not measured."""
    rows = records(pooled(table))
    return next((r for r in rows if (r["model"], _text(r["effort"])) == tuple(policy.reference)), None)


def _moved(
    base: Mapping[str, Any], difference: Mapping[str, Any], saving: Mapping[str, Any], label: str, kind: Kind,
    source: str,
) -> Mark:  # fmt: skip
    quality = base["quality"]
    ends = [difference.get("low"), difference.get("high")]
    low, high = [None if e is None else min(1.0, max(0.0, quality + e)) for e in ends]
    return Mark(
        label=label,
        cost=base["cost_usd_per_1k"] * (1 - (saving["value"] or 0.0)),
        quality=min(1.0, max(0.0, quality + (difference["value"] or 0.0))),
        low=low,
        high=high,
        kind=kind,
        detail=(
            ("against the reference", f"{points(difference['value'])} points, {percent(saving['value'])} saved"),
            ("measured on", source),
        ),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def compare_rows(policy: Policy, replayed: Replay) -> list[dict[str, Any]]:
    """The policy, the random mix, each fixed candidate and the oracle: name, quality difference, saving, kind."""
    shown, found = policy.spec.certificate, figures(policy, replayed)
    rows = [{"name": policy.spec.name, "kind": "policy", **found}]
    mix = shown.get("random_mix") or {}
    if mix.get("quality_difference"):
        name = f"random mix, {percent(mix['probability'], 0)} {candidate_label(mix['model'], mix['effort'])}"
        rows.append({"name": name, "kind": "", **{k: mix[k] for k in ("quality_difference", "savings")}})
    for fixed in sorted(shown.get("fixed", []), key=lambda f: -(f["cost_usd"] or 0.0)):
        mark = " (reference)" if (fixed["model"], fixed["effort"]) == tuple(policy.reference) else ""
        cut = cut_off(fixed.get("cut_off"), words=True)
        name = f"always {candidate_label(fixed['model'], fixed['effort'])}{mark}{', ' if cut else ''}{cut}"
        rows.append({"name": name, "kind": "", **{k: fixed[k] for k in ("quality_difference", "savings")}})
    return rows


def served_rows(replayed: Replay) -> list[dict[str, Any]]:
    """Who gets what: by suite, the expected share of requests of each candidate, and what that does, paired.

    Keys suite, n, shares {label: share}, quality_difference and savings (with intervals).
    """
    rows, result = replayed.rows, []
    heavy = rows.weights()
    labels = [candidate_label(c.model, c.effort) for c in replayed.shares]
    for code, suite in enumerate(rows.suites):
        here = (rows.suite == code) & ~np.isnan(rows.quality)
        if not here.any():
            continue
        weights = None if heavy is None else heavy[here]
        lost = (rows.quality - rows.reference_quality)[here]
        gain = clustered_mean(lost, rows.group[here], weights=weights, pseudo=True)
        saving = paired_saving(rows.cost_usd[here], rows.reference_cost_usd[here], rows.group[here], weights=weights)
        means = rows.shares[here].mean(axis=0)
        counted = {"n": gain.n, "clusters": gain.clusters}
        result.append(
            {
                "suite": suite,
                "n": gain.n,
                "shares": {lab: float(s) for lab, s in zip(labels, means, strict=True) if s > 0},
                "quality_difference": _estimated(gain.value, gain.interval()) | counted,
                "savings": _estimated(saving.value, saving.interval()) | counted,
            }
        )
    return result


def _estimated(value: float, ends: tuple[float, float]) -> dict[str, Any]:
    return {"value": value, "low": ends[0], "high": ends[1], "confidence": 0.95}


def ranged(figure: Mapping[str, Any] | None, unit: str = "") -> str:
    """A difference with its interval in points: `−1.6 (−2.9 to −0.3)`, then `unit`; or that there are too few rows."""
    return _ranged(figure, points, unit)


def ranged_percent(figure: Mapping[str, Any] | None, unit: str = "") -> str:
    """A share with its interval: `31.0 % (26.1 to 35.9)`, then `unit`; or that there are too few rows."""
    return _ranged(figure, percent, unit)


def _ranged(figure: Mapping[str, Any] | None, form: Callable[[float], str], unit: str) -> str:
    if not figure or figure.get("value") is None or not math.isfinite(figure["value"]):
        return MISSING
    low, high = figure.get("low"), figure.get("high")
    few = too_few(figure.get("n"), figure.get("clusters"), low, high)
    if few is not None:
        return few
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return f"{form(figure['value'])}{unit}"
    return f"{form(figure['value'])} ({form(low).removesuffix(' %')} to {form(high).removesuffix(' %')}){unit}"


def worse_than_mix(certificate: Mapping[str, Any]) -> str:
    """A warning, empty unless the policy is shown to save less than the random mix under the same procedure."""
    over, mix = certificate.get("over_random_mix"), certificate.get("random_mix")
    if not over or not mix or over["high"] is None or over["high"] >= 0:
        return ""
    who = Candidate(mix["model"], mix["effort"])
    return f"; better without a router: send {mix['probability']:.0%} of the requests to {who}, at random"


def least_margin(margin: float | None, clusters: int | None, digits: int = 1) -> str:
    """The smallest loss of quality that so much data can rule out: `2.1 points`, or `none`."""
    nothing = margin is None or margin >= 1 or (clusters is not None and clusters < MIN_CLUSTERS)
    return "none" if nothing else f"{100 * float(margin or 0.0):.{digits}f} points"


def routing_rows(policy: Policy) -> list[dict[str, str]]:
    """The routing table for prompts that the classifier does not know: suite, who serves, the row's own verdict."""
    reference = candidate_label(*policy.reference)
    rows = []
    for suite in policy.spec.suites:
        route = policy.spec.routes.get(suite)
        if route is None:
            rows.append({"suite": suite, "serves": reference, "verdict": "no row: the reference"})
        else:
            meant = candidate_label(*policy.candidates[route.candidate])
            kept = meant if route.verdict == "pass" else f"{reference} (not {meant})"
            rows.append({"suite": suite, "serves": kept, "verdict": route.verdict})
    return rows


def pick_rows(policy: Policy, *, by_prompt: bool) -> list[dict[str, Any]]:
    """Who serves requests of each suite, and (suite None) of those that name none, at the policy's own point.

    Keys suite; by_prompt: the prompt decides, so nothing more can be said beforehand; shares {Candidate: share}: else
    what prompts get that are familiar enough; unfamiliar: the Candidate that serves the others; coverage_needed: how
    familiar that is (0: all are, above 1: none is). `by_prompt`: whether the policy's predictions read prompts at all.
    """
    spec, known = policy.spec, policy.candidates
    suites: list[str | None] = [*spec.suites, None]
    # The runtime's own rule, asked as if all prompts were familiar and as if none were.
    followed, left = (
        Policy(replace(spec, coverage=least, coverage_unknown=least)).shares([""] * len(suites), suites)
        for least in (0.0, 2.0)
    )
    moves = by_prompt and spec.points[spec.point].mix > 0
    return [
        {
            "suite": suite,
            "by_prompt": moves and needed <= 1,
            "shares": {} if moves else {c: float(share) for c, share in zip(known, shares, strict=True) if share > 0},
            "unfamiliar": known[int(other.argmax())],
            "coverage_needed": needed,
        }
        for suite, shares, other in zip(suites, followed, left, strict=True)
        for needed in [spec.coverage_needed(0 if suite is None else 1)]
    ]


def price_line(policy: Policy) -> str:
    """The dates of the prices that the policy was fitted with."""
    dates = sorted({p.prices.price_date for p in policy.spec.profiles if p.prices and p.prices.price_date})
    return f"Prices of {', '.join(dates)}." if dates else ""
