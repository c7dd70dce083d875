"""`router-lab show` and `diff`: policies read by a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from router_lab.certificate import Certificate, deploy, who_mixes
from router_lab.cli.common import EXISTING_FILE, EXISTING_FOLDER, echo, json_option, open_policy, print_json
from router_lab.cli.describe_around import around_json, around_lines
from router_lab.cli.describe_chains import chain_rows, piece_lines, stages_table
from router_lab.cli.describe_policy import (
    CHAIN_WORDS,
    PIECE_WORDS,
    POINT_WORDS,
    coverage,
    escalates,
    fitted_by,
    read_by,
    reads,
    requests_lacking,
    sessions_told,
    unasked,
    unasked_told,
    weight_of_vectors,
    who_serves,
)
from router_lab.cli.describe_release import release_json, release_of, release_told
from router_lab.columns import aligned, named
from router_lab.runtime.points import (
    FEW,
    Assign,
    Cascade,
    Follow,
    Piece,
    Point,
    described,
    follows,
    mix_of,
    pieces_described,
    summed,
)
from router_lab.runtime.shares import part

if TYPE_CHECKING:
    import pandas as pd

    from router_lab.runtime.chains import Stage
    from router_lab.runtime.policy import Policy


@click.command(epilog="\b\nExample:\n  router-lab show policies/support --outcomes outcomes.parquet\n")
@click.argument("policy", type=EXISTING_FOLDER)
@click.option("--outcomes", type=EXISTING_FILE, help="Also say who gets what on these outcomes, by suite.")
@json_option
def show(policy: Path, outcomes: Path | None, as_json: bool) -> None:
    """Print POLICY for a person: who gets what, why, and how sure that is.

    The verdict is the certificate's: of rows that the fit chose on, each left out of the fit that
    it was judged by. `router-lab gate` gives the verdict of fresh rows, which no fit has used.

    \b
    An operating point is three numbers:
      tradeoff  (lambda) what a dollar is worth in quality:
                utility = predicted quality - tradeoff x predicted dollars
      guard     by how much utility a candidate must beat the reference
                to replace it
      mix       the share of requests on which such a candidate does
                replace it; the others stay on the reference
    Or it is several pieces, each with its share of the requests: such a rule, or
    one candidate for every prompt of a suite, whatever is predicted, or a chain
    of candidates, asked in turn until an answer is kept.
    """
    loaded = open_policy(policy)
    published = release_of(policy, loaded.revision)
    if as_json:
        print_json({**_as_json(loaded), "release": None if published is None else release_json(*published)})
        return
    head = _head(loaded, None if published is None else release_told(*published))
    parts = (
        head, _candidates(loaded), _points(loaded), who_serves(loaded), stages_table(loaded), _routes(loaded)
    )  # fmt: skip
    echo(*[line for part in parts if part for line in [*part, ""]][:-1])
    if outcomes is not None:
        from router_lab.outcomes import read_outcomes

        echo("", *_served(loaded, read_outcomes(outcomes)))


def _as_json(policy: Policy) -> dict[str, object]:
    from router_lab.report.policy import pick_rows

    spec = policy.spec
    return {
        "name": spec.name, "revision": policy.revision, "expires": spec.expires, "suites": list(spec.suites),
        "reference": policy.reference.named(), **life_json(policy),
        "candidates": [{**p.candidate.named(), **around_json(p)} for p in spec.profiles],
        "sessions": sessions_told(policy),
        "points": {name: _point(policy, point) for name, point in spec.points.items()}, "point": spec.point,
        "coverage": spec.coverage, "coverage_unknown": spec.coverage_needed(0),
        "api_unknown": [candidate.named() for candidate in unasked(policy)],
        "reads": reads(policy), "vector_length": policy.vector_length, "suffix_guard": spec.suffix_guard,
        "who_serves": [
            {
                **row, "unfamiliar": row["unfamiliar"].named(),
                **{
                    key: [{**candidate.named(), "share": share} for candidate, share in row[key].items()]
                    for key in ("shares", "assigned", "unfamiliar_shares")
                },
            }
            for row in pick_rows(policy, by_prompt=any(read_by(policy)))
        ],
        "rows": "certificate", "certificate": dict(spec.certificate),
        "routes": {
            suite: {**policy.candidates[route.candidate].named(), "verdict": route.verdict}
            for suite, route in spec.routes.items()
        },
    }  # fmt: skip


def life_json(policy: Policy) -> dict[str, object]:
    """Who retires and comes then, whom suites are kept to, what is explored; nothing of what is
    not."""
    spec, named = policy.spec, policy.candidates
    found: dict[str, object] = {}
    if spec.retires:
        days = zip(named, spec.retires, strict=True)
        found["retires"] = [{**who.named(), "on": day} for who, day in days if day is not None]
    if spec.successor is not None:
        found["successor"] = named[spec.successor].named()
    if spec.allowed:
        found["allowed"] = {
            suite: [named[column].named() for column in own] for suite, own in spec.allowed.items()
        }
    return found | ({"explore": dict(spec.explore)} if spec.explore else {})


def _point(policy: Policy, point: Point) -> dict[str, object]:
    """A point of one piece that follows predictions is its three numbers, any other its pieces."""
    if len(point) == 1 and isinstance(point[0], Follow):
        return {"tradeoff": point[0].tradeoff, "guard": point[0].guard, "mix": point[0].share}
    return {"mix": mix_of(point), "pieces": [piece._asdict() | _by_suite(policy, piece) for piece in point]}


def _by_suite(policy: Policy, piece: Piece) -> dict[str, object]:
    """Candidates in place of their columns, and the stages of a chain in place of its index."""
    named = policy.candidates
    if isinstance(piece, Follow):
        return {}
    if isinstance(piece, Assign):
        return {"table": [named[column].named() for column in piece.table]}
    chains = [() if index is None else policy.spec.chains[index] for index in piece.chains]
    stages = [
        [{**named[stage.column].named(), "cap_usd": stage.cap_usd, **_turns(stage)} for stage in chain]
        for chain in chains
    ]
    return {"chains": [found or None for found in stages]}


def _turns(stage: Stage) -> dict[str, object]:
    return {} if stage.cap_turns is None else {"cap_turns": stage.cap_turns}


def _head(policy: Policy, release: str | None = None) -> list[str]:
    from router_lab.report.life import life_rows
    from router_lab.report.told import (
        certificate_rows,
        least_told,
        lost_told,
        quality_told,
        ranged_percent,
        two_phases_told,
    )

    shown = Certificate.of(policy)
    rows = [
        *([] if release is None else [("release", release)]),
        ("verdict", f"{shown.verdict or 'none'}: {shown.reason or 'no certificate'}"),
        ("deploy", deploy(policy)),
        *([("judged on", f"{certificate_rows(shown)}; `gate` judges fresh rows")] if shown.n else []),
        ("reference", f"{policy.reference}: serves whenever nothing is shown"),
        ("expires", policy.spec.expires or "never"),
    ]
    rows += life_rows(policy)
    rows += [("escalates", escalates(policy))] if policy.spec.escalation else []
    if shown.quality_difference is not None:
        told = f"{quality_told(shown, digits=2)}; {shown.counted} in {shown.clusters:,} groups"
        saved = ranged_percent(shown.savings, " of its cost")
        rows += [("quality", told), ("saved", saved), *_mix(shown)]
    rows += [("counted", line) for line in lost_told(shown)]
    rows += [("reads", f"{reads(policy)}{fitted_by(policy)}"), ("coverage", coverage(policy))]
    vectors = weight_of_vectors(policy)
    rows += [] if vectors is None else [("vectors", vectors)]
    rows += chain_rows(policy)
    sessions = sessions_told(policy)
    rows += [] if sessions is None else [("sessions", sessions)]
    rows += [("requests", line) for line in requests_lacking(policy)]
    unknown = unasked_told(policy)
    rows += [] if unknown is None else [("drop-ins", unknown)]
    if shown.smallest_margin is not None:
        least = least_told(shown, digits=2)
        rows.append(("margin", f"the least that {shown.samples} can certify: {least}"))
    rows += [("two phases", two_phases_told(shown.two_phase))] if shown.two_phase else []
    head = f"{policy.spec.name}  revision {(policy.revision or 'unsaved')[:16]}"
    return [head, *aligned(rows, texts=(0, 1), indent=2)]


def _mix(shown: Certificate) -> list[tuple[str, str]]:
    """What needs no router, beside the policy; and a warning where it does better."""
    from router_lab.report.told import ranged_percent

    over, mix = shown.over_random_mix, shown.random_mix
    if over is None or mix is None:
        return []
    alone = f"{ranged_percent(mix.savings, ' of its cost')}, without any router: {who_mixes(mix)}"
    beyond = f"{ranged_percent(over)} saved beyond the random mix, paired; two-sided 95 %, as all ranges here"
    return [("random mix", alone), ("beyond mix", beyond)]


def _candidates(policy: Policy) -> list[str]:
    from router_lab.report.format import cut_off

    fixed = Certificate.of(policy).always
    lines = ["candidates (fallback order)"]
    for column in policy.spec.fallbacks:
        profile = policy.spec.profiles[column]
        prices = profile.prices
        price = (
            "no price"
            if prices is None
            else f"${prices.input:g} in, ${prices.output:g} out per million tokens"
        )
        window = "" if profile.context_window is None else f"window {profile.context_window:,}"
        mark = " (reference)" if column == policy.spec.reference else ""
        own = fixed.get(profile.candidate)
        cut = cut_off(None if own is None else own.cut_off, words=True)
        api = profile.request.get("api")
        figures = ", ".join(filter(None, (api, "" if profile.roles else price, window, cut)))
        lines.append(f"  {profile.candidate}{mark}{': ' * bool(figures)}{figures}")
        lines += [f"    {line}" for line in around_lines(profile)]
    return lines


def _points(policy: Policy) -> list[str]:
    several = any(len(point) > 1 or not follows(point) for point in policy.spec.points.values())
    words = POINT_WORDS + PIECE_WORDS * several + CHAIN_WORDS * bool(policy.spec.chains)
    lines = ["operating points", *(f"  {line}" for line in words)]
    for name, point in policy.spec.points.items():
        mark = " (default)" if name == policy.spec.point else ""
        chained = any(isinstance(piece, Cascade) for piece in point)
        told = summed(point) if chained else described(point, policy.candidates)
        lines.append(f"  {name}{mark}: {told}")
        if chained or len(point) > FEW:
            lines += [f"    {line}" for piece in point for line in _piece(policy, piece)]
    return lines


def _piece(policy: Policy, piece: Piece) -> list[str]:
    if isinstance(piece, Cascade):
        return piece_lines(policy, piece, 3)
    return pieces_described((piece,), policy.candidates, 3)


def _routes(policy: Policy) -> list[str]:
    from router_lab.report.policy import routing_rows

    rows = routing_rows(policy)
    spec = policy.spec
    unknown = spec.coverage_needed(0)
    reads = follows(spec.points[spec.point])
    strange = (
        "the reference serves"
        if unknown > 1
        else "predictions are followed"
        if reads
        else "the pieces decide"
    )
    if 0 < unknown <= 1:
        strange += f" where {part(unknown)} of the prompt was seen, else the reference serves"
    known = (
        "with one, the suite decides; the routing table, asked only where a prompt is too strange, is"
        if spec.coverage <= 0
        else f"with one, prompts of which less than {part(spec.coverage)} was seen in fitting go by the routing table:"
    )
    needed = f"without a known suite, {strange}; {known}"
    routes = [(named(r["suite"]), f"{r['serves']} ({r['verdict']})") for r in rows]
    return [needed, *aligned(routes, texts=(0, 1), indent=2)]


def _served(policy: Policy, outcomes: pd.DataFrame) -> list[str]:
    from router_lab.replay import replay
    from router_lab.report.policy import FRESH, IN_SAMPLE, served_rows
    from router_lab.report.told import ranged, ranged_percent

    replayed = replay(policy, outcomes)
    rows = IN_SAMPLE if replayed.in_sample else FRESH
    lines = [f"who gets what, on {replayed.n:,} {rows}"]
    for row in served_rows(replayed):
        shares = ", ".join(f"{part(s)} {name}" for name, s in row["shares"].items())
        lines.append(f"  {row['suite']} ({row['n']:,}): {shares}")
        quality, saved = ranged(row["quality_difference"], " points"), ranged_percent(row["savings"])
        lines.append(f"    {quality}" if quality == saved else f"    quality {quality}, saved {saved}")
    return lines
