"""Why: a sentence for every code of a decision, and the sentences about what it could not do as
asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from router_lab.runtime.errors import shown
from router_lab.runtime.points import Assign, Cascade, chain_described, follows, mix_of
from router_lab.runtime.shares import below, part
from router_lab.runtime.standing import in_place

if TYPE_CHECKING:
    from router_lab.runtime.decision import Decision

NO_POLICY = "default"
"""The revision of what serves before a policy is loaded."""
OUTSIDE = "outside"
BARE = ("default", OUTSIDE)
"""Codes of a `PolicyStore`'s decisions for a candidate of which no policy knows anything: no
figure, no request that was measured, and no bound on predictions that could be shown to be met."""


def reason(decision: Decision) -> str:
    """The sentence of the code, before it what of the request this policy does not know, after it
    what is unmet."""
    sentence = SENTENCES[decision.code](decision)
    if decision.unknown_suite is not None:
        sentence = f"suite {decision.unknown_suite[:80]!r} is not in this policy: {sentence}"
    if decision.unknown_point is not None:
        sentence = f"point {shown(decision.unknown_point)} is not in this policy, so its default point decides: {sentence}"
    return sentence + "".join(_unmet(decision)) if decision.unmet else sentence


def _unmet(decision: Decision) -> Iterator[str]:
    for name in decision.unmet:
        if name == "allowed":
            yield "; the policy keeps this suite to others than `allowed` names, and one of these serves"
        elif name == "retires":
            yield "; everybody who is allowed has retired"
        elif decision.code in BARE and name in ("max_cost_usd", "min_quality"):
            yield f"; nothing is predicted of it, so {name} cannot be shown to be met"
        else:
            yield f"; no candidate met {name}, this one comes nearest"


def _against(decision: Decision) -> str:
    quality, cost, place = decision._quality, decision._cost, decision._reference
    return (
        f"predicted quality {decision.quality:.3f} for ${decision.cost_usd:.6f}, "
        f"the reference {quality[place]:.3f} for ${cost[place]:.6f}"
    )


def _uncovered(decision: Decision) -> str:
    needed = decision._spec.coverage_needed(decision._limits_row)
    if needed > 1:
        return "no suite that was measured is named, and others were not shown to be served well"
    where = "" if decision._limits_row else " where no measured suite is named"
    seen, least = below(decision._coverage, needed)
    return f"only {seen} of the prompt was seen in fitting ({least} needed{where})"


def _kept(decision: Decision) -> str:
    piece = None if decision._piece is None else decision._point[decision._piece]
    if isinstance(piece, Cascade):
        return f"is first in the chain of {_group(decision)}"
    return f"has {_group(decision)} assigned" if isinstance(piece, Assign) else "beats the reference"


def _chain(decision: Decision) -> tuple[str, int, int]:
    """The chain in words, the number of this stage from 1, and how many it has."""
    place = decision._chain
    if place is None:
        raise ValueError(f"{decision.code} is a code of chains, and this decision is in none")
    return chain_described(place.chain, decision._spec.candidates), place.at + 1, len(place.chain)


def _assigned(decision: Decision) -> str:
    group = _group(decision)
    return f"{_assigning(decision)} it every prompt of {group}, whatever is predicted: {_against(decision)}"


def _chained(decision: Decision) -> str:
    chain, number, stages = _chain(decision)
    if stages == 1 and decision._chain is not None and not decision._chain.stage.capped:
        return _assigned(decision)
    where = "the only stage" if stages == 1 else f"stage {number} of up to {stages}"
    left = ", the first that the constraints leave" if number > 1 else ""
    onward = "; the next is asked where an answer is not kept" if number < stages else ""
    return (
        f"{_assigning(decision)} every prompt of {_group(decision)} a chain, {chain}: {where}{left}{onward}: "
        f"{_against(decision)}"
    )


def _escalated(decision: Decision) -> str:
    if decision._chain is None:
        return f"the answer of {_last(decision)} failed its check: next in the escalation order"
    chain, number, stages = _chain(decision)
    return (
        f"what {_last(decision)} answered is not kept: stage {number} of up to {stages} of the chain {chain}"
    )


def _place(decision: Decision) -> str:
    """Who the reference is called: who stands in its place is not it."""
    spec, place = decision._spec, decision._reference
    if place == spec.reference:
        return "the reference"
    if place != in_place(spec, _suite(decision)):
        return f"in the place of the reference, {_gone(decision, _home(decision))}"
    return "the reference of this suite"


def _suite(decision: Decision) -> str | None:
    row = decision._limits_row
    return decision._spec.suites[row - 1] if row else None


def _home(decision: Decision) -> int:
    """Who stood in the reference's place before anybody retired."""
    return in_place(decision._spec, _suite(decision))


def _gone(decision: Decision, column: int) -> str:
    spec = decision._spec
    return f"{spec.profiles[column].candidate}, which retired on {spec.retires[column]}"


def _retired(decision: Decision) -> str:
    spec, place = decision._spec, decision._reference
    home = _home(decision)
    if place != home:
        named = "the one named" if place == spec.successor else "the next"
        return f"in the place of the reference, {_gone(decision, home)}: {named} for that"
    piece = None if decision._piece is None else decision._point[decision._piece]
    suite = _suite(decision)
    route = None if suite is None else spec.routes.get(suite)
    given = None if route is None else route.candidate
    if isinstance(piece, Assign):
        given = piece.table[decision._limits_row]
    elif isinstance(piece, Cascade) and (chain := piece.chains[decision._limits_row]) is not None:
        given = spec.chains[chain][0].column if spec.chains else None
    lost = "whom the policy gives this to has retired" if given is None else _gone(decision, given)
    return f"{_place(decision)}: instead of {lost}" if given is not None else f"{_place(decision)}: {lost}"


def _explored(decision: Decision) -> str:
    return (
        f"this key is among those that explore, and drew it of all who may serve; it was to be asked with probability "
        f"{decision.propensity:.4g}: {_against(decision)}"
    )


def _barred(decision: Decision) -> str:
    chained = any(isinstance(piece, Cascade) for piece in decision._point)
    what = "everybody" if chained else "the candidate"
    return f"{_place(decision)}: the constraints exclude {what} that the policy assigns {_group(decision)} to"


def _assigning(decision: Decision) -> str:
    piece = None if decision._piece is None else decision._point[decision._piece]
    if piece is None or piece.share == 1.0:
        return "the policy assigns"
    return f"this key draws a piece, of {part(piece.share)} of the requests, that assigns"


def _another(decision: Decision) -> str:
    if follows(decision._point):
        return "another beats it"
    chained = any(isinstance(piece, Cascade) for piece in decision._point)
    return f"{_group(decision)} is assigned to {'a chain' if chained else 'another'}"


def _group(decision: Decision) -> str:
    return "this suite" if decision._limits_row else "no known suite"


def _serving(decision: Decision) -> str:
    return (
        "the default, which serves until a policy is loaded"
        if decision.revision == NO_POLICY
        else "this policy"
    )


def _last(decision: Decision) -> str:
    return str(decision._spec.profiles[decision._tried[-1]].candidate)


SENTENCES: dict[str, Callable[[Decision], str]] = {
    "predicted": lambda d: (
        f"its quality less cost beats the reference's by more than the guard: {_against(d)}"
    ),
    "kept": lambda d: f"it served the conversation so far and still {_kept(d)}: {_against(d)}",
    "reference": lambda d: f"{_place(d)}: nobody is predicted to beat it by more than the guard",
    "mixed": lambda d: (
        f"{_place(d)}: {_another(d)}, but this key is not among the {part(mix_of(d._point))} that move"
    ),
    "assigned": _assigned,
    "chained": _chained,
    "barred": _barred,
    "table": lambda d: f"the suite's routing table names it with verdict pass; {_uncovered(d)}",
    "uncovered": lambda d: f"{_place(d)}: {_uncovered(d)} and no proven routing row helps",
    "sticky": lambda _: (
        "it served the conversation so far, and a switch saves less than the prompt cache it throws away"
    ),
    "expired": lambda d: f"{_place(d)}: the policy expired on {d._spec.expires}",
    "only": lambda _: "the constraints exclude the reference, and of those left it is the best",
    "retired": _retired,
    "explored": _explored,
    "escalated": _escalated,
    "unmeasured": lambda d: (
        f"the answer of {_last(d)} failed its check: the next fallback, a step never measured"
    ),
    "fallback": lambda d: f"{_last(d)} could not serve: the next fallback",
    "default": lambda _: "no policy is loaded: the default named in code",
    OUTSIDE: lambda d: (
        f"nobody who is allowed is in {_serving(d)}: the default named in code where it is allowed, else the first "
        "who is; nothing was measured of it"
    ),
}
"""A sentence for every code of a decision."""
