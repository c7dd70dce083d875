"""What to deploy, by a policy's certificate: one sentence, the same wherever a verdict is headed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router_lab.runtime.model import Candidate
from router_lab.runtime.shares import part

EQUAL = 1e-9
"""A share of the reference's cost that is rounding, not money."""
ROUTE, MIX, KEEP = "route", "random mix", "do not route"


@dataclass(frozen=True)
class Advice:
    """action: `route`, `random mix` or `do not route`; text: the sentence that says what to deploy."""

    action: str
    text: str


def advice(certificate: Mapping[str, Any]) -> Advice:
    """What the certificate (certificate.json) says to deploy.

    Only what passed is deployed, and only where the random mix did not save more on the same rows: a router that loses
    to it has learned nothing. Under a budget it is quality that is bought, so savings do not compare.
    """
    word, keep = certificate.get("verdict"), _keep(certificate)
    if word == "fail":
        return Advice(KEEP, f"Do not deploy this policy: {keep}.")
    if word != "pass":
        return Advice(KEEP, f"Do not route yet: {keep}.")
    if certificate.get("mix") == 0 or (certificate.get("action") == KEEP and not certificate.get("mix")):
        return Advice(KEEP, f"Do not route: {keep}.")
    lost = lost_to_mix(certificate)
    if lost is None and (certificate.get("points") or {}).get("default", {}).get("predictor") == "fixed":
        told = "it reads nothing, and sends a share of all requests, at random, to one candidate"
        return Advice(ROUTE, f"Deploy this policy: {told}.")
    if lost is None and _is_the_mix(certificate):
        return Advice(ROUTE, "Route. What it does is the random mix itself: nothing was learned beyond that.")
    if lost is None:
        return Advice(ROUTE, "Route.")
    mix = certificate.get("random_mix") or {}
    instead = mixing(mix, certificate) if mix.get("probability") else f"{keep}, which costs less"
    return Advice(MIX if mix.get("probability") else KEEP, f"Do not route: {instead}. {lost}")


def _is_the_mix(certificate: Mapping[str, Any]) -> bool:
    """Whether policy and random mix cost the same on every row: their difference is nothing, and so is its interval."""
    over = certificate.get("over_random_mix") or {}
    ends = [over.get(name) for name in ("value", "low", "high")]
    mixes = bool((certificate.get("random_mix") or {}).get("probability"))
    return mixes and all(end is not None and abs(end) <= EQUAL for end in ends)


def lost_to_mix(certificate: Mapping[str, Any]) -> str | None:
    """How much more the random mix saves than the policy, in words; None where it does not, or a budget is the rule."""
    over = certificate.get("over_random_mix") or {}
    value, high = over.get("value"), over.get("high")
    if value is None or value > -EQUAL or (certificate.get("rule") or {}).get("kind") == "budget":
        return None
    sure = "is shown to save" if high is not None and high < 0 else "saved"
    return f"That {sure} {100 * -value:.1f} % more of the reference's cost, on the same rows."


def shown_to_lose(certificate: Mapping[str, Any]) -> bool:
    """Whether the random mix is shown to save more, at 95 %: what a gate warns of, whatever it asks."""
    high = (certificate.get("over_random_mix") or {}).get("high")
    return lost_to_mix(certificate) is not None and high is not None and high < 0


def mixing(mix: Mapping[str, Any], certificate: Mapping[str, Any]) -> str:
    """`send 32 % of the requests to m, at random, and the others to n`"""
    rest = certificate.get("reference")
    others = "" if not rest else f", and the others to {Candidate(rest['model'], rest.get('effort'))}"
    who = Candidate(mix["model"], mix.get("effort"))
    if mix["probability"] == 1:
        return f"send all requests to {who}"
    return f"send {part(mix['probability'], ' %')} of the requests to {who}, at random{others}"


def _keep(certificate: Mapping[str, Any]) -> str:
    ref = certificate.get("reference")
    return "keep the reference" if not ref else f"keep the reference, {Candidate(ref['model'], ref.get('effort'))}"
