"""`router-lab show` and `diff`: policies read by a person."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from router_lab.cli.common import json_option, open_policy, print_json
from router_lab.cli.words import (
    POINT_WORDS,
    coverage,
    escalates,
    fitted_by,
    read_by,
    reads,
    requests_lacking,
    weight_of_vectors,
    who_serves,
)

if TYPE_CHECKING:
    import pandas as pd

    from router_lab.metrics import Estimate
    from router_lab.runtime.policy import Policy

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
TABLE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(epilog="\b\nExample:\n  router-lab show policies/support --outcomes outcomes.parquet\n")
@click.argument("policy", type=FOLDER)
@click.option("--outcomes", type=TABLE, help="Also say who gets what on these outcomes, by suite.")
@json_option
def show(policy: Path, outcomes: Path | None, as_json: bool) -> None:
    """Print POLICY for a person: who gets what, why, and how sure that is.

    The verdict is the certificate's: of rows that the fit chose on, each left out of the fit that it was judged by.
    `router-lab gate` gives the verdict of fresh rows, which no fit has used.

    \b
    An operating point is three numbers:
      tradeoff  (lambda) what a dollar is worth in quality:
                utility = predicted quality - tradeoff x predicted dollars
      guard     by how much utility a candidate must beat the reference
                to replace it
      mix       the share of requests on which such a candidate does
                replace it; the others stay on the reference
    """
    loaded = open_policy(policy)
    if as_json:
        print_json(_as_json(loaded))
        return
    parts = (_head(loaded), _candidates(loaded), _points(loaded), who_serves(loaded), _routes(loaded))
    click.echo("\n\n".join("\n".join(part) for part in parts))
    if outcomes is not None:
        from router_lab.outcomes import read_outcomes

        click.echo("")
        for line in _served(loaded, read_outcomes(outcomes)):
            click.echo(line)


def _as_json(policy: Policy) -> dict[str, Any]:
    from router_lab.report.policy import pick_rows

    spec = policy.spec
    return {
        "name": spec.name, "revision": policy.revision, "expires": spec.expires, "suites": list(spec.suites),
        "reference": policy.reference._asdict(), "candidates": [c._asdict() for c in policy.candidates],
        "points": {name: point._asdict() for name, point in spec.points.items()}, "point": spec.point,
        "coverage": spec.coverage, "coverage_unknown": spec.coverage_needed(0),
        "reads": reads(policy), "vector_length": policy.vector_length,
        "who_serves": [
            {
                **row, "unfamiliar": row["unfamiliar"]._asdict(),
                "shares": [{**candidate._asdict(), "share": share} for candidate, share in row["shares"].items()],
            }
            for row in pick_rows(policy, by_prompt=any(read_by(policy)))
        ],
        "rows": "certificate", "certificate": dict(spec.certificate),
        "routes": {
            suite: {**policy.candidates[route.candidate]._asdict(), "verdict": route.verdict}
            for suite, route in spec.routes.items()
        },
    }  # fmt: skip


def _head(policy: Policy) -> list[str]:
    from router_lab.report.policy import certificate_rows, least_margin, ranged, ranged_percent

    shown = policy.spec.certificate
    lines = [
        f"{policy.spec.name}  revision {(policy.revision or 'unsaved')[:16]}",
        f"  verdict    {shown.get('verdict', 'none')}: {shown.get('reason', 'no certificate')}",
        *([f"  judged on  {certificate_rows(shown)}; `gate` judges fresh rows"] if shown.get("n") else []),
        f"  reference  {policy.reference}: serves whenever nothing is shown",
        f"  expires    {policy.spec.expires or 'never'}",
    ]
    if policy.spec.escalation:
        lines.append(f"  escalates  {escalates(policy)}")
    if shown.get("quality_difference"):
        lines += [
            f"  quality    {ranged(shown['quality_difference'], ' points')} against the reference, "
            f"{shown['n']:,} rows in {shown['clusters']:,} groups",
            f"  saved      {ranged_percent(shown['savings'], ' of its cost')}",
        ]
        lines += _mix(shown)
    lines.append(f"  reads      {reads(policy)}{fitted_by(policy)}")
    lines.append(f"  coverage   {coverage(policy)}")
    vectors = weight_of_vectors(policy)
    if vectors is not None:
        lines.append(f"  vectors    {vectors}")
    lines += [f"  requests   {line}" for line in requests_lacking(policy)]
    if shown.get("smallest_margin") is not None:
        least = least_margin(shown["smallest_margin"], shown.get("clusters"))
        lines.append(f"  margin     {least} is the least that can be certified")
    return lines


def _mix(shown: Mapping[str, Any]) -> list[str]:
    """What needs no router, beside the policy; and a warning where it does better."""
    from router_lab.report.policy import ranged_percent, worse_than_mix

    over, mix = shown.get("over_random_mix"), shown.get("random_mix")
    if not over or not mix:
        return []
    lines = [f"  random mix {ranged_percent(mix['savings'], ' of its cost')}, without any router"]
    lines.append(f"  over it    {ranged_percent(over)}, paired{worse_than_mix(shown)}")
    return lines


def _candidates(policy: Policy) -> list[str]:
    lines = ["candidates (fallback order)"]
    for column in policy.spec.fallbacks:
        profile = policy.spec.profiles[column]
        prices = profile.prices
        price = "no price" if prices is None else f"${prices.input:g} in, ${prices.output:g} out per million tokens"
        window = "" if profile.context_window is None else f", window {profile.context_window:,}"
        mark = " (reference)" if column == policy.spec.reference else ""
        lines.append(f"  {profile.candidate}{mark}: {price}{window}")
    return lines


def _points(policy: Policy) -> list[str]:
    lines = ["operating points", *(f"  {line}" for line in POINT_WORDS)]
    for name, point in policy.spec.points.items():
        mark = " (default)" if name == policy.spec.point else ""
        lines.append(f"  {name}{mark}: tradeoff {point.tradeoff:g}, guard {point.guard:g}, mix {point.mix:g}")
    return lines


def _routes(policy: Policy) -> list[str]:
    from router_lab.report.policy import routing_rows

    rows = routing_rows(policy)
    width = max((len(r["suite"]) for r in rows), default=0)
    spec = policy.spec
    unknown = spec.coverage_needed(0)
    strange = "the reference serves" if unknown > 1 else "predictions are followed"
    if 0 < unknown <= 1:
        strange += f" where {unknown:.0%} of the prompt was seen, else the reference serves"
    if spec.coverage <= 0:
        known = "with one, the suite decides; the routing table, asked only where a prompt is too strange, is"
    else:
        known = f"with one, prompts of which less than {spec.coverage:.0%} was seen in fitting go by the routing table:"
    needed = f"without a known suite, {strange}; {known}"
    return [needed, *(f"  {r['suite'].ljust(width)}  {r['serves']} ({r['verdict']})" for r in rows)]


def _served(policy: Policy, outcomes: pd.DataFrame) -> list[str]:
    from router_lab.replay import replay
    from router_lab.report.policy import FRESH, IN_SAMPLE, ranged, ranged_percent, served_rows

    replayed = replay(policy, outcomes)
    rows = IN_SAMPLE if replayed.in_sample else FRESH
    lines = [f"who gets what, on {replayed.n:,} {rows}"]
    for row in served_rows(replayed):
        shares = ", ".join(f"{s:.0%} {name}" for name, s in sorted(row["shares"].items(), key=lambda i: -i[1]))
        lines.append(f"  {row['suite']} ({row['n']:,}): {shares}")
        quality, saved = ranged(row["quality_difference"], " points"), ranged_percent(row["savings"])
        lines.append(f"    {quality}" if quality == saved else f"    quality {quality}, saved {saved}")
    return lines


@click.command(epilog="\b\nExample:\n  router-lab diff policies/support/3f2a… policies/support/81cc… --outcomes F\n")
@click.argument("a", type=FOLDER)
@click.argument("b", type=FOLDER)
@click.option("--outcomes", type=TABLE, help="Recorded outcomes to say what the change does to quality and cost.")
@json_option
def diff(a: Path, b: Path, outcomes: Path | None, as_json: bool) -> None:
    """Say what moves from policy A to policy B; with outcomes, what that does, on rows that neither was fitted on."""
    old, new = open_policy(a), open_policy(b)
    result: dict[str, Any] = {"settings": _changes(old, new)}
    if outcomes is not None:
        from router_lab.outcomes import read_outcomes

        result |= _effect(old, new, read_outcomes(outcomes))
    if as_json:
        print_json(result)
        return
    click.echo(f"{old.spec.name} {(old.revision or '')[:12]} → {new.spec.name} {(new.revision or '')[:12]}")
    for line in result["settings"] or ["no setting differs"]:
        click.echo(f"  {line}")
    if outcomes is not None:
        _print_effect(result)


def _changes(old: Policy, new: Policy) -> list[str]:
    lines = [f"new candidate: {c}" for c in new.candidates if c not in old.candidates]
    lines += [f"candidate gone: {c}" for c in old.candidates if c not in new.candidates]
    if old.reference != new.reference:
        lines.append(f"reference: {old.reference} → {new.reference}")
    if old.spec.expires != new.spec.expires:
        lines.append(f"expires: {old.spec.expires or 'never'} → {new.spec.expires or 'never'}")
    for name in sorted({*old.spec.points, *new.spec.points}):
        before, after = old.spec.points.get(name), new.spec.points.get(name)
        if before != after:
            lines.append(f"point {name}: {_point(before)} → {_point(after)}")
    for suite in sorted({*old.spec.suites, *new.spec.suites}):
        before_row, after_row = _row(old, suite), _row(new, suite)
        if before_row != after_row:
            lines.append(f"unfamiliar prompts of {suite}: {before_row} → {after_row}")
    return lines


def _point(point: Any) -> str:
    return "none" if point is None else f"tradeoff {point.tradeoff:.4g}, guard {point.guard:.4g}, mix {point.mix:.4g}"


def _row(policy: Policy, suite: str) -> str:
    from router_lab.report.policy import routing_rows

    return next((f"{r['serves']}" for r in routing_rows(policy) if r["suite"] == suite), str(policy.reference))


def _effect(old: Policy, new: Policy, outcomes: pd.DataFrame) -> dict[str, Any]:
    """What the change does on common fresh rows: what moves, and paired differences with intervals."""
    import numpy as np

    from router_lab.gates.arms import aligned, arm, unused_rows
    from router_lab.metrics import clustered_mean, paired_saving
    from router_lab.runtime.errors import InputError

    fresh = unused_rows(outcomes, old, new)
    if fresh.empty:
        raise InputError("diff: every row of these outcomes was used in one of the fits; nothing is left to compare on")
    before, after = arm(old, fresh), arm(new, fresh)
    place = {key: i for i, key in enumerate(before.keys)}
    pairs = [(place[key], i) for i, key in enumerate(after.keys) if key in place]
    moves: dict[str, float] = {}
    for i, j in pairs:
        was, is_ = old.candidates[int(np.argmax(before.shares[i]))], new.candidates[int(np.argmax(after.shares[j]))]
        if was != is_:
            name = f"{was} → {is_}"
            moves[name] = moves.get(name, 0.0) + 1 / len(pairs)
    base = {name: aligned(after, before, name) for name in ("quality", "cost_usd", "weight")}
    weights = np.fmax(after.weight, base["weight"])
    gain = clustered_mean(after.quality - base["quality"], after.group, weights=weights, pseudo=True)
    saving = paired_saving(after.cost_usd, base["cost_usd"], after.group, weights=weights)
    return {
        "rows": len(pairs), "rows_are": "fresh", "moved": sum(moves.values()), "moves": moves,
        "quality_difference": _figure(gain), "savings": _figure(saving),
    }  # fmt: skip


def _figure(estimate: Estimate) -> dict[str, Any]:
    low, high = estimate.interval()
    return {"value": estimate.value, "low": low, "high": high, "n": estimate.n, "clusters": estimate.clusters}


def _print_effect(result: dict[str, Any]) -> None:
    from router_lab.report.policy import ranged, ranged_percent

    click.echo(f"on {result['rows']:,} rows that neither was fitted on, {result['moved']:.0%} of requests move")
    for name, share in sorted(result["moves"].items(), key=lambda item: -item[1])[:8]:
        click.echo(f"  {share:6.1%}  {name}")
    quality, saved = ranged(result["quality_difference"], " points"), ranged_percent(result["savings"])
    click.echo(f"quality {quality}, cost saved {saved}")
