"""`router-lab diff`: what moves from one policy to another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from router_lab.certificate import Figure
from router_lab.cli.common import EXISTING_FILE, EXISTING_FOLDER, echo, json_option, open_policy, print_json
from router_lab.cli.describe_around import profile_changes
from router_lab.cli.describe_policy import guard
from router_lab.runtime.chains import Judge
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate
from router_lab.runtime.points import Cascade, Point, chain_described, chains_described, described
from router_lab.runtime.shares import part

if TYPE_CHECKING:
    import pandas as pd

    from router_lab.metrics import Estimate
    from router_lab.runtime.policy import Policy

MOST = 8
"""Movements that are printed; JSON has all."""


@click.command(
    epilog="\b\nExample:\n  router-lab diff policies/support/3f2a… policies/support/81cc… --outcomes F\n"
)
@click.argument("a", type=EXISTING_FOLDER)
@click.argument("b", type=EXISTING_FOLDER)
@click.option(
    "--outcomes",
    type=EXISTING_FILE,
    help="Recorded outcomes to say what the change does to quality and cost.",
)
@json_option
def diff(a: Path, b: Path, outcomes: Path | None, as_json: bool) -> None:
    """Say what moves from policy A to policy B; with outcomes, what that does, on rows that
    neither was fitted on."""
    old, new = open_policy(a), open_policy(b)
    result: dict[str, Any] = {"settings": _changes(old, new)}
    if outcomes is not None:
        from router_lab.outcomes import read_outcomes

        result |= effect(old, new, read_outcomes(outcomes))
    if as_json:
        print_json(result)
        return
    head = f"{old.spec.name} {(old.revision or '')[:12]} → {new.spec.name} {(new.revision or '')[:12]}"
    echo(head, *(f"  {line}" for line in result["settings"] or ["no setting differs"]))
    if outcomes is not None:
        _print_effect(result)


def _changes(old: Policy, new: Policy) -> list[str]:
    lines = [f"new candidate: {c}" for c in new.candidates if c not in old.candidates]
    lines += [f"candidate gone: {c}" for c in old.candidates if c not in new.candidates]
    profiles = {profile.candidate: profile for profile in old.spec.profiles}
    for profile in new.spec.profiles:
        if profile.candidate in profiles:
            lines += profile_changes(profiles[profile.candidate], profile)
    if old.reference != new.reference:
        lines.append(f"reference: {old.reference} → {new.reference}")
    if old.spec.expires != new.spec.expires:
        lines.append(f"expires: {old.spec.expires or 'never'} → {new.spec.expires or 'never'}")
    guards = [guard(policy) or "text at a prompt's end moves it as any other" for policy in (old, new)]
    if guards[0] != guards[1]:
        lines.append(f"{guards[0]} → {guards[1]}")
    lines += _lives(old, new)
    for name in sorted({*old.spec.points, *new.spec.points}):
        before, after = old.spec.points.get(name), new.spec.points.get(name)
        if _pieces(old, before) != _pieces(new, after):
            was, now = (
                "none" if point is None else described(point, policy.candidates, 4, policy.spec.chains)
                for point, policy in ((before, old), (after, new))
            )
            lines.append(f"point {name}: {was} → {now}")
    lines += [f"acceptance models of {chain}: changed" for chain in rejudged(old, new)]
    for suite in sorted({*old.spec.suites, *new.spec.suites}):
        before_row, after_row = _row(old, suite), _row(new, suite)
        if before_row != after_row:
            lines.append(f"unfamiliar prompts of {suite}: {before_row} → {after_row}")
    return lines


def _lives(old: Policy, new: Policy) -> Iterator[str]:
    """Who retires, whom suites are kept to, what is explored."""
    was, now = ({who: day for who, day in zip(one.candidates, one.spec.retires or (), strict=False) if day}
                for one in (old, new))  # fmt: skip
    for who in sorted({*was, *now}):
        if was.get(who) != now.get(who):
            yield f"{who} retires: {was.get(who, 'never')} → {now.get(who, 'never')}"
    then = [None if p.spec.successor is None else p.candidates[p.spec.successor] for p in (old, new)]
    if then[0] != then[1]:
        yield f"successor of the reference: {' → '.join(str(one or 'the next fallback') for one in then)}"
    for suite in sorted({*old.spec.allowed, *new.spec.allowed}):
        kept = [_kept(policy, suite) for policy in (old, new)]
        if kept[0] != kept[1]:
            yield f"{suite} is served by: {' → '.join(kept)}"
    for point in sorted({*old.spec.explore, *new.spec.explore}):
        shares = [policy.spec.explore.get(point, 0.0) for policy in (old, new)]
        if shares[0] != shares[1]:
            yield f"point {point} explores: {' → '.join(part(share, ' %') for share in shares)}"


def _kept(policy: Policy, suite: str) -> str:
    own = policy.spec.allowed.get(suite)
    return "anybody" if own is None else ", ".join(str(policy.candidates[column]) for column in own)


def _pieces(policy: Policy, point: Point | None) -> list[object]:
    """The pieces of a point, each chain by its stages and not by its place among the chains."""
    chains = policy.spec.chains
    return [
        (piece.share, piece.tradeoff, *chains_described(piece, policy.candidates, chains))
        if isinstance(piece, Cascade)
        else piece
        for piece in point or ()
    ]


def rejudged(old: Policy, new: Policy) -> list[str]:
    """The stages that both policies have as a chain, and after which one of them judges answers by
    other models than the other."""
    was, now = (_models(policy) for policy in (old, new))
    return [chain for chain in was if chain in now and was[chain] != now[chain]]


def _models(policy: Policy) -> dict[str, set[tuple[bytes, ...]]]:
    """What the acceptance models of each chain are made of, by its stages in words."""
    found: dict[str, set[tuple[bytes, ...]]] = {}
    for chain in policy.spec.chains:
        judges = [stage.judge for stage in chain if stage.judge is not None]
        if judges:
            told = chain_described(chain, policy.candidates)
            found.setdefault(told, set()).add(tuple(part for judge in judges for part in _parts(judge)))
    return found


def _parts(judge: Judge) -> Iterator[bytes]:
    yield repr(judge.signals).encode()
    yield judge.bias.tobytes()
    yield b"" if judge.rows is None else judge.rows.tobytes()
    for term in judge.terms:
        yield repr((term.source, term.knots)).encode()
        yield term.heights.tobytes()


def _row(policy: Policy, suite: str) -> str:
    from router_lab.report.policy import routing_rows

    return next(
        (f"{r['serves']}" for r in routing_rows(policy) if r["suite"] == suite), str(policy.reference)
    )


def effect(old: Policy, new: Policy, outcomes: pd.DataFrame) -> dict[str, object]:
    """What the change does on common fresh rows: what moves, and paired differences with
    intervals.

    Keys rows, moved (the share of requests that another candidate serves, over the hash of `key`),
    moves (by pair), pairs (the same with what each does), quality_difference and savings (policy
    `new` minus `old`).
    """
    from router_lab.gates.arms import arm, change, moves, unused_rows
    from router_lab.outcomes import outcomes_for
    from router_lab.replay import number

    outcomes = outcomes_for(old, outcomes, "diff")
    outcomes_for(new, outcomes, "diff")
    fresh = unused_rows(outcomes, old, new)
    if fresh.empty:
        raise InputError(
            "diff: every row of these outcomes was used in one of the fits; nothing is left to compare on"
        )
    before, after = arm(old, fresh), arm(new, fresh)
    found = moves(before, after)
    beside = change(before, after, found)
    return {
        "rows": len(found.moved), "rows_are": "fresh", "moved": found.share,
        "moves": {moved_told(m.was, m.now): m.share for m in found.pairs},
        "pairs": [
            {k: number(v) for k, v in asdict(m).items()} | {"was": m.was.named(), "now": m.now.named()}
            for m in found.pairs
        ],
        "quality_difference": _figure(beside.gain()), "savings": _figure(beside.saving()),
    }  # fmt: skip


def moved_told(was: Candidate, now: Candidate) -> str:
    """`cheap → dear`; a chain in brackets, and one of the same stages as judging otherwise."""
    old, new = (f"[{who}]" if " → " in str(who) else str(who) for who in (was, now))
    return f"{old}, judged otherwise" if was == now else f"{old} → {new}"


def _figure(estimate: Estimate) -> dict[str, object]:
    low, high = estimate.interval()
    return {"value": estimate.value, "low": low, "high": high, "n": estimate.n, "clusters": estimate.clusters}


def _print_effect(result: dict[str, Any]) -> None:
    from router_lab.report.format import MISSING, money, percent, points
    from router_lab.report.told import ranged, ranged_percent

    moved = percent(result["moved"])
    echo(
        f"on {result['rows']:,} rows that neither was fitted on, {moved} of requests move, one draw for both"
    )
    for move in result["pairs"][:MOST]:
        was, now = (Candidate.of(move[side]) for side in ("was", "now"))
        gain, before, after = move["quality_difference"], move["cost_usd_before"], move["cost_usd_after"]
        told = MISSING if gain is None else f"{points(gain)} points"
        dollars = MISSING if before is None else f"{money(1000 * before)} → {money(1000 * after)} per 1,000"
        echo(f"  {percent(move['share']):>7}  {moved_told(was, now)}: quality {told}, {dollars}")
    if len(result["pairs"]) > MOST:
        rest = sum(move["share"] for move in result["pairs"][MOST:])
        echo(f"  {percent(rest):>7}  {len(result['pairs']) - MOST} other movements (--json)")
    gain, saving = (Figure(**result[name]) for name in ("quality_difference", "savings"))
    quality, saved = ranged(gain, " points"), ranged_percent(saving)
    echo(f"quality {quality}, cost saved {saved}, of all these rows; two-sided 95 %")
