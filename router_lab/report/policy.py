"""A policy in words and marks: its certificate's figures placed beside the candidates that it
chooses among."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from router_lab.certificate import Certificate, Compared, Figure, RandomMix
from router_lab.played import by_server, servers
from router_lab.replay import Replay
from router_lab.report.format import candidate_label, cut_off, percent, points
from router_lab.report.marks import Kind, Mark
from router_lab.report.table import pooled, records
from router_lab.report.told import certificate_rows
from router_lab.runtime.model import POOLED, Candidate
from router_lab.runtime.points import Assign, Cascade, Follow, follows, mix_of
from router_lab.runtime.policy import Policy
from router_lab.runtime.standing import in_place


@dataclass(frozen=True)
class Known:
    """What is known of a policy against its reference, on `n` rows; `source`: which those are, for
    the reader."""

    quality_difference: Figure
    savings: Figure
    n: int
    source: str


def figures(policy: Policy, replayed: Replay) -> Known:
    """The certificate's figures (out of fold), or the replay's where there are none."""
    shown = Certificate.of(policy)
    gain = shown.quality_difference
    if gain is not None and gain.value is not None:
        return Known(gain, shown.savings or Figure(), shown.n or 0, certificate_rows(shown))
    source = f"{replayed.n:,} {IN_SAMPLE if replayed.in_sample else FRESH}"
    difference, saving = (Figure.of(replayed.estimate(name)) for name in ("quality_difference", "savings"))
    return Known(difference, saving, replayed.n, source)


FRESH = "fresh rows, which the fit has not used"
IN_SAMPLE = "rows that the fit itself has used: no evidence"


def policy_marks(policy: Policy, replayed: Replay, table: pd.DataFrame) -> list[Mark]:
    """The policy, its random mix and the oracle as marks for the picture of all suites.

    Policy and mix were measured against the reference on rows that chose nothing about them, so
    they stand at the reference's place in `table` moved by that difference and that saving; the
    bar is the interval of the difference.
    """
    base = reference_row(policy, table)
    if base is None or not math.isfinite(base["cost_usd_per_1k"]):
        return []
    found = figures(policy, replayed)
    marks = [_moved(base, found, policy.spec.name, "policy", found.source)]
    shown = Certificate.of(policy)
    if shown.chains is not None and shown.chains.without is not None:
        marks.append(_moved(base, shown.chains.without, "the same fit without chains", "point", found.source))
    mix = shown.random_mix
    if mix is not None and mix.probability:
        name = f"random mix ({_mixed(mix)})"
        marks.append(_moved(base, mix, name, "mix", found.source))
    return [*marks, *_oracle(policy, base)]


def _oracle(policy: Policy, base: Mapping[str, Any]) -> list[Mark]:
    """The oracle at the reference's place moved by what it is better and cheaper on its own rows,
    the certificate's."""
    shown = Certificate.of(policy)
    oracle, own = shown.oracle_upper_bound, shown.always.get(policy.reference)
    if (
        own is None or own.quality is None or not own.cost_usd
        or oracle is None or oracle.quality is None or oracle.cost_usd is None
    ):  # fmt: skip
        return []
    better, cheaper = (
        Figure(value=oracle.quality - own.quality),
        Figure(value=1 - oracle.cost_usd / own.cost_usd),
    )
    moved = _moved(base, Known(better, cheaper, oracle.n or 0, ""), "oracle", "oracle", "")
    return [replace(moved, detail=(("hindsight", "knows every answer beforehand; no router can"),))]


def reference_row(policy: Policy, table: pd.DataFrame) -> dict[str, Any] | None:
    """The reference's row over all suites; None where it was not measured."""
    rows = records(pooled(table))
    return next((r for r in rows if Candidate.of(r) == policy.reference), None)


def _moved(base: Mapping[str, Any], row: Compared, label: str, kind: Kind, source: str) -> Mark:
    quality, difference, saved = (
        base["quality"],
        row.quality_difference or Figure(),
        (row.savings or Figure()).value,
    )
    ends = [difference.low, difference.high]
    low, high = [None if e is None else min(1.0, max(0.0, quality + e)) for e in ends]
    return Mark(
        label=label,
        cost=base["cost_usd_per_1k"] * (1 - (saved or 0.0)),
        quality=min(1.0, max(0.0, quality + (difference.value or 0.0))),
        low=low,
        high=high,
        kind=kind,
        detail=(
            ("against the reference", f"{points(difference.value)} points, {percent(saved)} saved"),
            ("measured on", source),
        ),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _mixed(mix: RandomMix) -> str:
    """`32% m, 10% n`"""
    parts = mix.parts or {mix.candidate: mix.probability}
    return ", ".join(f"{percent(share, 0)} {candidate_label(*who)}" for who, share in parts.items())


def compare_rows(policy: Policy, replayed: Replay) -> list[dict[str, Any]]:
    """The policy, the random mix, each fixed candidate and the oracle: name, quality difference,
    saving, kind."""
    shown = Certificate.of(policy)
    rows: list[tuple[str, str, Compared]] = [(policy.spec.name, "policy", figures(policy, replayed))]
    mix = shown.random_mix
    if mix is not None and mix.quality_difference is not None:
        rows.append((f"random mix, {_mixed(mix)}", "", mix))
    for fixed in sorted(shown.fixed or (), key=lambda f: -(f.cost_usd or 0.0)):
        mark = " (reference)" if fixed.candidate == policy.reference else ""
        cut = cut_off(fixed.cut_off, words=True)
        rows.append(
            (f"always {candidate_label(*fixed.candidate)}{mark}{', ' if cut else ''}{cut}", "", fixed)
        )
    return [
        {"name": name, "kind": kind, "quality_difference": row.quality_difference, "savings": row.savings}
        for name, kind, row in rows
    ]


def served_rows(replayed: Replay) -> list[dict[str, Any]]:
    """Who gets what: by suite, the expected share of requests of each candidate, and what that
    does, paired.

    Keys suite, n, shares {label: share} (the greatest first), quality_difference and savings
    (Figures).
    """
    result = []
    scored = replayed.rows.scored
    rows, served = replayed.rows.take(scored), replayed.served[scored]
    for code, here in rows.by_suite().items():
        gain, saving = here.gain(), here.saving()
        # As the shares of a replay are.
        means = np.average(served[rows.suite == code], axis=0, weights=here.weight)
        shares = by_server(replayed.servers, means)
        result.append(
            {
                "suite": replayed.suites[code],
                "n": gain.n,
                "shares": {
                    candidate_label(*who): share
                    for who, share in sorted(shares.items(), key=lambda one: -one[1])
                    if share > 0
                },
                "quality_difference": Figure.of(gain),
                "savings": replace(Figure.of(saving), n=gain.n, clusters=gain.clusters),
            }
        )
    return result


def routing_rows(policy: Policy) -> list[dict[str, str]]:
    """The routing table for prompts that the classifier does not know: suite, who serves, the
    row's own verdict."""
    rows = []
    for suite in policy.spec.suites:
        route, place = policy.spec.routes.get(suite), in_place(policy.spec, suite)
        reference = candidate_label(*policy.candidates[place])
        if route is None:
            rows.append({"suite": suite, "serves": reference, "verdict": "no row: the reference"})
        else:
            meant = candidate_label(*policy.candidates[route.candidate])
            kept = meant if route.verdict == "pass" else f"{reference} (not {meant})"
            rows.append({"suite": suite, "serves": kept, "verdict": route.verdict})
    return rows


def pick_rows(policy: Policy, *, by_prompt: bool) -> list[dict[str, Any]]:
    """Who serves requests of each suite, and (suite None) of those that name none, at the policy's
    own point.

    Keys suite; by_prompt: the prompt decides, so nothing more can be said beforehand; shares
    {Candidate: share}: else what prompts get that are familiar enough; assigned {Candidate:
    share}: what they get whatever they say; unfamiliar_shares, and unfamiliar, the Candidate of
    the greatest: what the others get; coverage_needed: how familiar that is (0: all are, above 1:
    none is). `by_prompt`: whether what decides reads prompts at all.
    """
    spec, known, every = policy.spec, policy.candidates, servers(policy)
    suites: list[str | None] = [*spec.suites, None]
    # The runtime's own rule, asked as if all prompts were familiar and as if none were.
    followed, left = (
        Policy(replace(spec, coverage=least, coverage_unknown=least))
        .stretches([""] * len(suites), suites)
        .by_chain(len(known), len(spec.chains))
        for least in (0.0, 2.0)
    )
    point = spec.points[spec.point]
    moves = by_prompt and mix_of(point) > 0

    def named(shares: NDArray[np.float64]) -> dict[Candidate, float]:
        return {who: share for who, share in by_server(every, shares).items() if share > 0}

    return [
        {
            "suite": suite,
            "by_prompt": moves and needed <= 1 and not closed,
            "shares": named(shares) if closed or not moves else {},
            "assigned": {} if closed else _assigned(policy, suite),
            "unfamiliar": max(named(other).items(), key=lambda one: one[1])[0],
            "unfamiliar_shares": named(other),
            "coverage_needed": needed,
        }
        for suite, shares, other in zip(suites, followed, left, strict=True)
        for closed in [suite is not None and _closed(policy, suite)]
        for needed in [
            0.0
            if closed or (suite is not None and not follows(point))
            else spec.coverage_needed(suite is not None)
        ]
    ]


def _closed(policy: Policy, suite: str) -> bool:
    """Whether the reference alone may serve a suite."""
    may = policy.spec.eligible
    return may is not None and int(may[policy.spec.suites.index(suite) + 1].sum()) == 1


def _assigned(policy: Policy, suite: str | None) -> dict[Candidate, float]:
    row = POOLED if suite is None else policy.spec.suites.index(suite) + 1
    found: dict[Candidate, float] = {}
    for piece in policy.spec.points[policy.spec.point]:
        if isinstance(piece, Follow):
            continue
        who = servers(policy)[_place(policy, piece, row)]
        found[who] = found.get(who, 0.0) + piece.share
    return found


def _place(policy: Policy, piece: Assign | Cascade, row: int) -> int:
    """Whom a piece gives a suite to, by the place in `servers`."""
    place = in_place(policy.spec, policy.spec.suites[row - 1] if row else None)
    if isinstance(piece, Assign):
        return place if piece.table[row] == policy.spec.reference else piece.table[row]
    chain = piece.chains[row]
    return place if chain is None else len(policy.candidates) + chain


def price_line(policy: Policy) -> str:
    """The dates of the prices that the policy was fitted with."""
    every = [part for p in policy.spec.profiles for part in (p, *(role.profile for role in p.roles.values()))]
    dates = sorted({p.prices.price_date for p in every if p.prices and p.prices.price_date})
    return f"Prices of {', '.join(dates)}." if dates else ""
