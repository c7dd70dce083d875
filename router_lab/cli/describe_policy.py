"""What several commands say of a policy in the same words: what it reads, who serves, how it
escalates, and caveats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from router_lab.certificate import Certificate
from router_lab.cli.describe_chains import answers_read, deployed
from router_lab.columns import aligned, named
from router_lab.runtime.clients import unreproducible
from router_lab.runtime.decision import Decision
from router_lab.runtime.model import Candidate, Profile
from router_lab.runtime.points import Cascade, follows
from router_lab.runtime.policy import Policy
from router_lab.runtime.shares import below, part

NAMED_UNASKED = 3
"""Candidates that a line names."""
POINT_WORDS = (
    "tradeoff  (lambda) what a dollar is worth in quality: utility = predicted quality − tradeoff × predicted dollars",
    "guard     by how much utility a candidate must beat the reference to replace it",
    "mix       the share of requests on which such a candidate does replace it; the others stay on the reference",
)
"""What the three numbers of an operating point mean, a line each."""
PIECE_WORDS = (
    "pieces    each with its share of the requests, drawn by `key`: such a rule, or one candidate for all of a suite",
)
"""What a point that has others than one such rule is made of."""
CHAIN_WORDS = (
    "chains    candidates that are asked in turn until an answer is kept; tradeoff is what a dollar must add to one",
)
"""And what a point with chains is made of besides."""

READS = {
    "blend": "{text} and its suite",
    "rates": "the suite alone: reading {text} as well did not do better on left-out rows",
    "pooled": "nothing: one ranking of the candidates for every prompt",
    "fixed": "nothing: a share of all prompts goes to one candidate or a few, as in a random mix",
    "several": "{text} and its suite in some of its pieces, the suite alone or nothing in the others",
    "chains": "the suite alone: one chain for every prompt",
    None: "nothing: the reference serves",
}
"""By the predictor that the fit chose (certificate.json, points): what a decision depends on."""


def reads(policy: Policy) -> str:
    """What decides, and where that is less than there was to read, why; then what of an answer."""
    return "; ".join(filter(None, (_asked_first(policy), guard(policy), answers_read(policy))))


def guard(policy: Policy) -> str | None:
    """How far text at a prompt's end may move it; None where nothing bounds that."""
    words, heads = policy.spec.suffix_guard, policy.spec.heads
    most = 0.0 if heads is None else heads.slack
    if not words:
        return None
    return f"a prompt's last {words} words add {100 * most:.1f} points at most to what speaks against the reference"


def _asked_first(policy: Policy) -> str:
    found = (Certificate.of(policy).points or {}).get("default")
    predictor = found.predictor if found is not None and found.predictor in READS else None
    if predictor == "rates" and not max(policy.spec.provenance.get("blend") or (1.0,)):
        if policy.spec.provenance.get("fitter") == "rates":
            return "the suite alone: fitter `rates` reads nothing else"
        return "the suite alone: there were no prompts, or they told nothing"
    words, vector = read_by(policy)
    if predictor == "several" and not follows(policy.spec.points[policy.spec.point]):
        chained = any(isinstance(piece, Cascade) for piece in policy.spec.points[policy.spec.point])
        either = "one candidate, or one chain," if chained else "one candidate"
        return f"the suite alone in some of its pieces, nothing in the others: {either} for every prompt"
    text = "the prompt" if policy.vector_length is None else "the prompt, its vector"
    if predictor == "rates" and policy.vector_length is not None:
        text = "the prompt and its vector"
    elif predictor == "blend" and words != vector:
        text = "the prompt" if words else "the vector"
    return READS[predictor].format(text=text)


def requests_lacking(policy: Policy) -> list[str]:
    """For each suite whose request no decision hands out: which, why, and for how many candidates
    if not for all."""
    total = len(policy.candidates)
    return [
        f"none to hand out for suite {row['suite']}"
        + (f" ({len(row['candidates'])} of {total} candidates)" if len(row["candidates"]) < total else "")
        + f": {row['reason']}"
        for row in unreproducible(policy.spec.profiles, policy.spec.suites)
    ]


def unasked(policy: Policy) -> list[Candidate]:
    """The candidates that no drop-in can ask, for nobody knows the API that they were measured
    through."""
    return [profile.candidate for profile in policy.spec.profiles if _api_unknown(profile)]


def unasked_told(policy: Policy) -> str | None:
    """Who that is, and what would say it; None where it is known of all."""
    lacking, total = unasked(policy), len(policy.candidates)
    if not lacking:
        return None
    names = ", ".join(map(str, lacking[:NAMED_UNASKED])) + ", …" * (len(lacking) > NAMED_UNASKED)
    who = f"all {total} candidates" if len(lacking) == total else f"{len(lacking)} of {total} ({names})"
    return (
        f"cannot ask {who}: through which API they were measured is not known; a column `request` of the outcomes says "
        "it, then fit again (docs/tables.md); `decide` and `route` do without"
    )


def _api_unknown(profile: Profile) -> bool:
    """On some suite. Teams and harnesses are asked by their roles and their code; of requests that
    cannot be handed out `requests_lacking` tells."""
    if profile.roles or profile.harness is not None:
        return False
    requests = (profile.request.get("suites") or {"": profile.request}).values()
    return any(one.get("api") is None and one.get("reproducible") is not False for one in requests)


def fitted_by(policy: Policy) -> str:
    """` (fitter default)`; empty for a policy that names none."""
    fitter = policy.spec.provenance.get("fitter")
    return f" (fitter {fitter})" if fitter else ""


def read_by(policy: Policy) -> tuple[bool, bool]:
    """Whether what decides at the policy's own point depends on the words of a prompt, and on its
    vector."""
    linear = policy.spec.linear
    if not follows(policy.spec.points[policy.spec.point]):
        return False, False
    vector = linear.vector is not None and bool(linear.vector.weights.any())
    return bool(linear.weights.any() or linear.dense.any()), vector


def weight_of_vectors(policy: Policy) -> str | None:
    """How much the fit let vectors weigh beside the words; None for a policy without."""
    if policy.vector_length is None:
        return None
    quality, cost = policy.spec.provenance.get("vector") or (1.0, 1.0)
    said = (
        f"{policy.vector_length:,} numbers; by cross-validation they weigh {quality:g} for quality and {cost:g} for "
        "cost, the words of a prompt 1"
    )
    return said if read_by(policy)[1] else f"{said}; what decides does not read them"


def notes(policy: Policy, decision: Decision, suite: str | None) -> list[str]:
    """What to know before a decision's predicted figures are believed: one sentence each, empty
    where nothing is."""
    found, evidence = [], decision.evidence
    if policy.spec.suites and suite not in policy.spec.suites:
        named = "no suite was named" if suite is None else f"suite {suite[:80]!r} is not one of this policy's"
        found.append(f"{named}, so predictions are of all suites pooled; known: {_some(policy.spec.suites)}")
    if evidence["coverage"] < evidence["coverage_needed"]:
        if evidence["coverage_needed"] > 1:
            found.append("predictions for such a request were not shown to hold, so they are not followed")
        else:
            seen, least = below(evidence["coverage"], evidence["coverage_needed"])
            found.append(
                f"only {seen} of the prompt was seen in fitting ({least} needed): the predictions know little of it, "
                "and are not followed"
            )
    if decision.vector_missing:
        found.append(
            f"the policy was fitted on vectors of {policy.vector_length:,} numbers and got none that is finite: "
            "predictions are as for the mean vector"
        )
    return found


def _some(names: Sequence[str], most: int = 12) -> str:
    """At most `most` of the names, and how many more there are."""
    more = f" and {len(names) - most:,} more (`router-lab show`)" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def escalates(policy: Policy) -> str:
    """What a policy that was fitted with escalation does, what its figures thus count, and what
    that gains."""
    order = ", then ".join(str(policy.candidates[column]) for column in policy.spec.escalation)
    said = (
        f'an answer that fails its check is asked again of {order} (`Decision.next("check")`); predicted and measured '
        "quality and cost of the policy count both calls, those of the baselines beside it one"
    )
    from router_lab.report.told import ranged_percent

    more = Certificate.of(policy).escalation_gain
    if more is None:
        return said
    saved = ranged_percent(more, " of the reference's cost")
    return f"{said}; that saves {saved} more than without, paired"


def with_escalation(policy: Policy, column: int) -> bool:
    """Whether predictions for this column count the call that follows where its answer fails the
    check."""
    order = policy.spec.escalation
    return bool(order) and order[-1] != column


def sessions_told(policy: Policy) -> str | None:
    """How far a running session is looked at, and what that rests on; None where no session of
    several turns was recorded."""
    if policy.spec.sessions is None:
        return None
    _, *suites = policy.spec.sessions.rows
    long = [
        named(name)
        for name, row in zip(policy.spec.suites, suites, strict=True)
        if any(one is not None and one.turns > 1 for one in row)
    ]
    return (
        f"a switch must pay to the session's end in {_some(long)}; elsewhere by the next turn"
        if long
        else None
    )


def coverage(policy: Policy) -> str:
    """How much of a prompt must have been seen in fitting for predictions to be followed, with and
    without a suite."""
    known, unknown = policy.spec.coverage, policy.spec.coverage_needed(0)
    if max(known, unknown) <= 0:
        unread = ": no prompt is read to decide" + " who is asked first" * bool(deployed(policy))
        return f"none needed, suite named or not{'' if any(read_by(policy)) else unread}"
    return f"in a known suite, {_needed(known)}; without one, {_needed(unknown)}"


def _needed(least: float) -> str:
    """What a threshold of coverage asks for."""
    if least > 1:
        return "predictions are not followed, whatever was seen"
    return f"{part(least)} of the prompt seen in fitting" if least > 0 else "none needed"


BY = {
    (False, False): "",
    (True, False): "by the prompt",
    (True, True): "by prompt and vector",
    (False, True): "by the vector",
}
"""By what predictions depend on (`read_by`): how it is decided who serves."""


def who_serves(policy: Policy) -> list[str]:
    """A heading, and a line for each suite and for requests that name none: the pick at the
    policy's own point.

    Exact where only the suite decides. Where the prompt does, what that came to on the
    certificate's rows.
    """
    from router_lab.report.policy import pick_rows
    from router_lab.report.told import ranged, ranged_percent

    rows = pick_rows(policy, by_prompt=any(read_by(policy)))
    decides = BY[read_by(policy)]
    suites = Certificate.of(policy).suites or {}
    names = ["(no suite)" if row["suite"] is None else named(row["suite"]) for row in rows]
    lines = []
    for name, row in zip(names, rows, strict=True):
        parts = []
        if row["coverage_needed"] <= 1:
            found = suites.get(row["suite"]) if row["by_prompt"] else None
            parts.append(decides if row["by_prompt"] else _shares(row["shares"]))
            if row["by_prompt"] and row["assigned"]:
                fixed = ", ".join(f"{part(share, ' %')} {who}" for who, share in row["assigned"].items())
                parts[0] += f" (but {fixed} whatever it says)"
            if found:
                saved, lost = ranged_percent(found.savings), ranged(found.quality_difference, " points")
                parts[0] += f": on average {saved} saved, {lost}" if saved != lost else f": {saved}"
        unfamiliar = _shares(row["unfamiliar_shares"])
        if row["coverage_needed"] > 0 and parts != [unfamiliar]:
            seen = f"where less than {part(row['coverage_needed'])} of the prompt was seen in fitting, "
            parts.append(f"{seen if parts else ''}{unfamiliar}")
        lines.append((name, "; ".join(parts)))
    heading = f"who serves, at point {policy.spec.point}"
    if any(row["by_prompt"] for row in rows):
        heading += (
            " (averages are of the certificate's rows, against the reference; --outcomes shows who gets what)"
        )
    if policy.decide("").code == "expired":
        heading += f"; until it expired on {policy.spec.expires}: now the reference serves everything"
    return [heading, *aligned(lines, texts=(0, 1), indent=2)]


def _shares(shares: Mapping[Candidate, float]) -> str:
    """`m`, or `80 % m, 20 % n`."""
    if len(shares) == 1:
        return str(next(iter(shares)))
    return ", ".join(
        f"{part(share, ' %')} {one}" for one, share in sorted(shares.items(), key=lambda i: -i[1])
    )
