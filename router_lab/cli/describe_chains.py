"""What several commands say of a policy's chains: who is asked in turn, what of an answer is read,
and what an application must do."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from router_lab.certificate import Certificate, ChainsLost, ChainsShown, ChainsTooSlow, TurnCaps
from router_lab.columns import aligned, named
from router_lab.runtime.chains import AGREES, ANSWER, QUALITY, Chain, Stage
from router_lab.runtime.decision import Decision
from router_lab.runtime.points import Cascade, cap_described, chain_rule, chains_described
from router_lab.runtime.policy import Policy
from router_lab.runtime.shares import part

MUST = "call `decision.judge(answer, signals=…)` after each answer, and ask whom it names (docs/chains.md)"
"""What an application must do."""
STOP = 'stop a run at its cap, and call `decision.judge(stopped="limit")` then (docs/chains.md)'
"""The same where no answer is judged."""
FEW_SUITES = 4
"""That are named in a row of a piece."""


def deployed(policy: Policy) -> tuple[Chain, ...]:
    """The chains that the policy's own point names, each once, but for those of one uncapped stage,
    which are told as the candidate that they are."""
    point = policy.spec.points[policy.spec.point]
    places = {place for piece in point if isinstance(piece, Cascade) for place in piece.chains}
    chains = [policy.spec.chains[place] for place in sorted(place for place in places if place is not None)]
    return tuple(chain for chain in chains if len(chain) > 1 or chain[0].capped)


def judged(policy: Policy) -> bool:
    """Whether any answer is."""
    return any(stage.judge is not None for chain in deployed(policy) for stage in chain)


def answers_read(policy: Policy) -> str | None:
    """What of an answer decides whether another is asked; None where nothing does."""
    judges = [stage.judge for chain in deployed(policy) for stage in chain if stage.judge is not None]
    if not judges:
        return None
    sources = {term.source for judge in judges for term in judge.terms}
    signals = sorted({name for judge in judges for name in judge.signals})
    told = [f"the signal{'s' * (len(signals) > 1)} {', '.join(signals)}"] if signals else []
    told += ["its text"] if any(source.startswith(ANSWER) for source in sources) else []
    told += ["whether it agrees with the one before"] if AGREES in sources else []
    told += ["the predicted quality"] if any(source.startswith(QUALITY) for source in sources) else []
    return f"of each answer in a chain, {', '.join([*told, 'and the predicted dollars of asking on'])}"


def chain_rows(policy: Policy) -> list[tuple[str, str]]:
    """Rows of a heading and a text: what chains do, what they gained, who is stopped at a cap, what
    to do, and which were too slow; of a policy without, that they were looked at."""
    chains, certificate = deployed(policy), Certificate.of(policy)
    slow = [("too slow", line) for line in too_slow_told(certificate.chains_too_slow)]
    slow += [("turn caps", line) for line in calls_lacking(certificate.turn_caps)]
    if not chains:
        lost = certificate.chains_lost
        return [*([] if lost is None else [("chains", beaten(lost))]), *slow]
    shown = certificate.chains
    rows = [] if shown is None else [("chains", went(shown)), ("signals", signals_told(policy, shown))]
    gain = gained(certificate)
    rows += [] if gain is None else [("gained", gain)]
    rows += [("caps", caps)] if (caps := caps_told(policy)) else []
    return [*rows, ("to do", MUST if judged(policy) else STOP), *slow]


def too_slow_told(shown: ChainsTooSlow | None) -> Iterator[str]:
    """By name, the chains that the recipe's bound on seconds left out, and where."""
    from router_lab.report.format import seconds

    if shown is None:
        return
    allowed = f"{seconds(shown.latency_p95_s)} allowed"
    if not shown.left_out:
        yield f"none of {shown.considered:,} chains: each request within the {allowed} (P95)"
    for one in shown.left_out:
        least, most = seconds(one.least_s), seconds(one.most_s)
        took = least if least == most else f"{least} to {most}"
        where = [f"left out in {_suites([named(suite) for suite in one.suites])}"] if one.suites else []
        some = [named(suite) for suite in one.some_versions]
        where += [f"some tradeoffs or caps of it in {_suites(some)}"] if some else []
        yield f"{one.chain}: P95 {took}, {allowed}; {', '.join(where)}"


def beaten(shown: ChainsLost) -> str:
    """That chains were looked at, and what the best of them would have done."""
    from router_lab.report.format import percent, points

    told = f"{shown.considered:,} considered, none chosen"
    if shown.savings is None or shown.quality_difference is None or shown.over is None:
        return f"{told}: none that asks on loses so little"
    more, lost = shown.over.value or 0.0, points(shown.quality_difference.value)
    return (
        f"{told}: the best, picked afterwards, would have saved {percent(shown.savings.value)} at {lost} points, "
        f"{percent(abs(more))} {'more' if more >= 0 else 'less'} than what is deployed; told by the very rows that picked "
        "it, so partly luck, and without a bound on what it may lose"
    )


def went(shown: ChainsShown) -> str:
    """Of all requests, how many go through a chain, and how they end there."""
    told = f"{part(shown.share, ' %')} of requests go through one, {part(shown.escalated, ' %')} ask a second candidate"
    return f"{told}, {part(shown.stopped, ' %')} end at a cap without an answer" if shown.stopped else told


def signals_told(policy: Policy, shown: ChainsShown) -> str:
    """What signals cost, and what is lost if none of them comes."""
    from router_lab.report.format import money, percent, points

    if not judged(policy):
        return "none: no answer is judged"
    told = f"{money(shown.signals_usd)} a request" if shown.signals_usd else "free"
    if not shown.signals:
        return f"none: {told}"
    saved, quality = shown.savings_without_signals, shown.quality_difference_without_signals
    if saved is None:
        return f"{', '.join(shown.signals)}: {told}"
    lost = f"if every one went missing, {percent(saved)} saved, {points(quality)} points"
    margin = Certificate.of(policy).margin
    if quality is not None and margin is not None and quality < -margin:
        lost += ", which is more than the margin"
    return f"{', '.join(shown.signals)}: {told}; {lost}"


def gained(certificate: Certificate) -> str | None:
    """What chains save more than the same fit without them."""
    from router_lab.report.told import ranged_percent

    more = certificate.escalation_gain
    if certificate.chains is None or more is None:
        return None
    return f"{ranged_percent(more)} of the reference's cost more than the same fit without chains, paired"


def caps_told(policy: Policy) -> str:
    """`coder to $0.4, $0.6 or 12 turns`, by who is stopped; empty where nobody is."""
    caps: dict[int, set[Stage]] = {}
    for stage in (stage for chain in deployed(policy) for stage in chain if stage.capped):
        caps.setdefault(stage.column, set()).add(Stage(stage.column, None, stage.cap_usd, stage.cap_turns))
    told = (
        f"{policy.candidates[column]} to {' or '.join(map(cap_described, sorted(found, key=_by_cap)))}"
        for column, found in sorted(caps.items())
    )
    return ", ".join(told)


def _by_cap(stage: Stage) -> tuple[float, int]:
    """Dollars first, the least before."""
    return math.inf if stage.cap_usd is None else stage.cap_usd, stage.cap_turns or 0


def calls_lacking(shown: TurnCaps | None) -> Iterator[str]:
    """By name, who was stopped by dollars alone, for what each call cost is not known."""
    for one in () if shown is None else shown.left_out:
        yield (
            f"not considered of {one.who}: {one.runs:,} of its {one.of:,} runs have no `turns_usd` "
            "(docs/chains.md#caps)"
        )


def stages_table(policy: Policy) -> list[str]:
    """A heading, and a row for each candidate that chains ask, on the certificate's rows."""
    from router_lab.report.format import money, percent

    shown = Certificate.of(policy).chains
    if shown is None or not deployed(policy):
        return []
    head = ("candidate", "asked", "answer kept", "$ / 1,000")
    rows = [
        (named(stage.candidate), percent(stage.asked), percent(stage.kept), money(1000 * stage.cost_usd))
        for stage in sorted(shown.stages, key=lambda stage: -stage.asked)
    ]
    return [
        "who chains ask, of all requests of the certificate's rows",
        *aligned([head, *rows], texts=(0,), indent=2),
    ]


def piece_lines(policy: Policy, piece: Cascade, digits: int) -> list[str]:
    """A piece of chains: its share, then a row for each chain with the suites that are given to
    it."""
    told = chains_described(piece, policy.candidates, policy.spec.chains)
    suites: dict[str, list[str]] = {}
    for name, chain in zip(["no known suite", *policy.spec.suites], told, strict=True):
        suites.setdefault(chain, []).append(named(name))
    rule = chain_rule(piece, digits, policy.spec.chains)
    rows = [(_suites(names), chain) for chain, names in suites.items()]
    return [f"{piece.share:.{digits}g} by suite{rule}:", *aligned(rows, texts=(0, 1), indent=2)]


def _suites(names: Sequence[str]) -> str:
    shown = [*names[1:], names[0]] if names[0] == "no known suite" else names
    if len(shown) <= FEW_SUITES:
        return ", ".join(shown)
    return f"{', '.join(shown[: FEW_SUITES - 1])} and {len(shown) - FEW_SUITES + 1} more"


def decision_rows(decision: Decision) -> Iterator[tuple[str, str]]:
    """Of a decision in a chain: its stages, the signals that `judge` wants, and its cap."""
    stages = decision.chain
    stage = Stage(0, None, decision.cap_usd, decision.cap_turns)
    if not stages or (len(stages) == 1 and not stage.capped):
        return
    at = decision.evidence["stage"]
    yield "stage", f"{at + 1} of {' → '.join(map(str, stages))}"
    if at + 1 < len(stages):
        looks = (
            f"signals wanted: {', '.join(decision.signals)}" if decision.signals else "no signal is wanted"
        )
        yield "judged", f"{looks}; {MUST}"
    if stage.capped:
        yield "cap", f"{cap_described(stage)}: `Budget.of(decision)` stops the run there"
