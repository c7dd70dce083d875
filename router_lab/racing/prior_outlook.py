"""What `--dry-run` says of a prior: who starts from whom, whom it would put forward first, and
what the race would probably cost with it and without."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from router_lab.columns import named
from router_lab.racing.earlier import SAME, Earlier, Expected
from router_lab.racing.rehearsal import REPLAYS, Guess
from router_lab.racing.suite import SuiteRace
from router_lab.runtime.model import Candidate


def prior_outlook(
    earlier: Earlier, suites: Sequence[SuiteRace], guesses: Iterable[Guess | None]
) -> dict[str, object]:
    """The same for programs; `guess` is null for a suite that cannot be rehearsed, or has begun."""
    found = {one.suite: one for one in guesses if one is not None}
    return {
        **earlier.named(), "replays": REPLAYS,
        "suites": [
            _suite(earlier, one, one.expected, found.get(one.suite)) for one in suites if one.expected is not None
        ],
    }  # fmt: skip


def _suite(earlier: Earlier, one: SuiteRace, expected: Expected, guess: Guess | None) -> dict[str, object]:
    known = earlier.matrix.candidates
    stands = [(who, earlier.stand_in(who)) for who in one.candidates]
    return {
        "suite": one.suite,
        "stand_ins": [
            {**who.named(), "by": None if near.one is None else list(known[near.one]), "how": near.how}
            for who, near in stands
        ],
        "own": expected.own, "clusters": expected.clusters, "left_out": expected.left_out,
        "guess": None if guess is None else _guessed(guess),
    }  # fmt: skip


def _guessed(guess: Guess) -> dict[str, object]:
    return {
        "forward": [
            {**who.named(), "replays": count}
            for who, count in sorted(guess.forward.items(), key=lambda item: -item[1])
        ],
        "settled": guess.settled,
        "usd": _range(guess.with_prior), "usd_without": _range(guess.without), "usd_grid": guess.grid,
        "unknown": [who.named() for who in guess.unknown],
    }  # fmt: skip


def _range(dollars: Sequence[float]) -> list[float]:
    """Mean, second lowest and second highest."""
    ordered = sorted(dollars)
    return [sum(ordered) / len(ordered), ordered[1], ordered[-2]]


def render_prior(outlook: Mapping[str, Any]) -> list[str]:
    """The same in words."""
    lines = [f"  prior: {outlook['file']} says whom to put forward first and has no part in any test"]
    for suite in outlook["suites"]:
        lines += [
            f"    {suite['suite']}: {_starts(suite['stand_ins'])}",
            f"      {rests(suite['clusters'], suite['own'], suite['left_out'])}",
        ]
        lines += [f"      {line}" for line in _expects(suite["guess"], outlook["replays"])]
    if any(suite["guess"] for suite in outlook["suites"]):
        lines.append(
            f"    a guess: {outlook['replays']} races replayed on the earlier outcomes at the sweep's prices, as if "
            "the candidates did now what those they start from did then"
        )
    return lines


def _starts(stands: Sequence[Mapping[str, Any]]) -> str:
    """Who starts from whom: those who are in both sweeps are counted, the others named."""
    same = sum(one["how"] == SAME for one in stands)
    others = [
        f"{named(Candidate.of(one))} from {one['how']}"
        + ("" if one["by"] is None else f" ({named(Candidate(*one['by']))})")
        for one in stands
        if one["how"] != SAME
    ]
    return "; ".join([f"{same} of {len(stands)} candidates start from their own outcomes", *others])


def rests(clusters: int, own: bool, left_out: int) -> str:
    """What a suite's prior rests on, as `Expected` has it."""
    left = f"; {left_out} of its samples are left out, for this race has them or copies" if left_out else ""
    if not clusters:
        return f"nothing is known of it that the race does not ask itself: no prior{left}"
    return f"rests on {clusters} clusters of {'it' if own else 'the other suites'}{left}"


def _expects(guess: Mapping[str, Any] | None, replays: int) -> list[str]:
    if guess is None:
        return ["what the race will cost is not guessed: it has begun, or too little is known of it"]
    forward = ", ".join(f"{named(Candidate.of(one))} ({one['replays']})" for one in guess["forward"])
    (usd, low, high), (other, least, most) = guess["usd"], guess["usd_without"]
    unknown = ", ".join(named(Candidate.of(one)) for one in guess["unknown"])
    return [
        f"first put forward, in {replays} replays: {forward or 'nobody'}; settled in {guess['settled']}",
        f"probably ${usd:.4f} ({low:.4f}–{high:.4f}), without a prior ${other:.4f} ({least:.4f}–{most:.4f}), the whole "
        f"grid ${guess['usd_grid']:.4f}"
        + (f"; without {unknown}, of whom nothing near is known" if unknown else ""),
    ]
