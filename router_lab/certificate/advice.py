"""What to deploy, by a policy's certificate: one sentence, the same wherever a verdict is
headed."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from router_lab.certificate.baselines import RandomMix
from router_lab.certificate.types import Certificate
from router_lab.runtime.policy import Policy
from router_lab.runtime.shares import part
from router_lab.runtime.standing import in_place

EQUAL = 1e-9
"""A share of the reference's cost that is rounding, not money."""
ROUTE, MIX, KEEP = "route", "random mix", "do not route"


@dataclass(frozen=True)
class Advice:
    """action: `route`, `random mix` or `do not route`; text: the sentence that says what to
    deploy."""

    action: str
    text: str


def advice(shown: Certificate) -> Advice:
    """What a certificate says to deploy.

    Only what passed is deployed, and only where the random mix did not save more on the same rows:
    a router that loses to it has learned nothing. Under a budget it is quality that is bought, so
    savings do not compare.
    """
    keep = (
        "keep the reference"
        if shown.reference is None
        else f"keep the reference, {shown.reference.candidate}"
    )
    if shown.verdict == "fail":
        return Advice(KEEP, f"Do not deploy this policy: {_backfires(shown)}{keep}.")
    if shown.verdict != "pass":
        return Advice(KEEP, f"Do not route yet: {keep}.")
    if shown.mix == 0 or (shown.action == KEEP and not shown.mix):
        return Advice(KEEP, f"Do not route: {keep}.")
    lost, mix = lost_to_mix(shown), shown.random_mix
    default = (shown.points or {}).get("default")
    if lost is None and default is not None and default.predictor == "fixed":
        who = "one candidate" if default.tradeoff is not None else "a few candidates"
        told = f"it reads nothing, and sends a share of all requests, at random, to {who}"
        return Advice(ROUTE, f"Deploy this policy: {told}.")
    if lost is None and _is_the_mix(shown):
        return Advice(ROUTE, "Route. What it does is the random mix itself: nothing was learned beyond that.")
    if lost is None:
        return Advice(ROUTE, "Route.")
    if mix is not None and mix.probability:
        return Advice(MIX, f"Do not route: {_mixing(mix, shown)}. {lost}")
    return Advice(KEEP, f"Do not route: {keep}, which costs less. {lost}")


def deploy(policy: Policy, today: dt.date | None = None) -> str:
    """What to deploy on a day, by default the one in UTC: `advice`, unless the reference has
    retired by then. Nothing is shown beside who serves in its place."""
    day = dt.datetime.now(dt.UTC).date() if today is None else today
    against = refused(policy, day)
    if against is not None:
        return against
    text, gone = advice(Certificate.of(policy)).text, _gone(policy, day)
    names = ", ".join(str(policy.spec.candidates[i]) for i in sorted(gone))
    return f"{text} Shown with {names}, retired since: fit again without." if names else text


def refused(policy: Policy, day: dt.date) -> str | None:
    """Why a policy is not to be deployed on a day, whatever a gate asks: its reference has retired,
    or its certificate failed. None where neither holds."""
    spec, shown, gone = policy.spec, Certificate.of(policy), _gone(policy, day)
    if spec.reference in gone:
        now = spec.candidates[in_place(spec, None, gone)]
        return (
            f"Do not deploy: the reference, {policy.reference}, retired on {spec.retires[spec.reference]}, and nothing "
            f"is shown beside {now}, who serves in its place; fit again with another `reference`."
        )
    return advice(shown).text if shown.verdict == "fail" else None


def _gone(policy: Policy, day: dt.date) -> frozenset[int]:
    retires = policy.spec.retires
    return frozenset(i for i, own in enumerate(retires) if own is not None and own <= day.isoformat())


def _backfires(shown: Certificate) -> str:
    """That what a failed policy saves is paid for in quality, with the interval, where it is."""
    saved = None if shown.savings is None else shown.savings.value
    lost = shown.quality_difference
    if (
        saved is None
        or saved <= EQUAL
        or lost is None
        or lost.value is None
        or lost.high is None
        or lost.high >= 0
    ):
        return ""
    low = "" if lost.low is None else f" [{100 * lost.low:.1f}, {100 * lost.high:.1f}]"
    return f"it backfires, for it saves {100 * saved:.1f} % and changes quality by {100 * lost.value:.1f} points{low}; "


def _is_the_mix(shown: Certificate) -> bool:
    """Whether policy and random mix cost the same on every row: their difference is nothing, and
    so is its interval."""
    over = shown.over_mix
    return (
        shown.random_mix is not None
        and shown.random_mix.probability > 0
        and all(end is not None and abs(end) <= EQUAL for end in (over.value, over.low, over.high))
    )


def lost_to_mix(shown: Certificate) -> str | None:
    """How much more the random mix saves than the policy, in words; None where it does not, or a
    budget is the rule."""
    value = shown.over_mix.value
    if value is None or value > -EQUAL or (shown.rule is not None and shown.rule.kind == "budget"):
        return None
    sure = "is shown to save" if _below_zero(shown) else "saved"
    return f"That {sure} {100 * -value:.1f} % more of the reference's cost, on the same rows."


def shown_to_lose(shown: Certificate) -> bool:
    """Whether the random mix is shown to save more, at 95 %: what a gate warns of, whatever it
    asks."""
    return lost_to_mix(shown) is not None and _below_zero(shown)


def _below_zero(shown: Certificate) -> bool:
    return shown.over_mix.high is not None and shown.over_mix.high < 0


def _mixing(mix: RandomMix, shown: Certificate) -> str:
    """`send 32 % of the requests to m, at random, and the others to n`"""
    if mix.probability == 1:
        return f"send all requests to {mix.candidate}"
    others = "" if shown.reference is None else f", and the others to {shown.reference.candidate}"
    (first, share), *more = mix.parts.items()
    also = "".join(f" and {part(share, ' %')} to {who}" for who, share in more)
    return f"send {part(share, ' %')} of the requests to {first}{also}, at random{others}"


def who_mixes(mix: RandomMix) -> str:
    """`m at 0.32, n at 0.10`"""
    parts = mix.parts or {mix.candidate: mix.probability}
    return ", ".join(f"{who} at {share:.2f}" for who, share in parts.items())
