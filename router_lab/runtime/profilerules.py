"""The semantic rules of candidates: requests, prices, times, and who has which role in a team."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from router_lab.runtime.errors import shown
from router_lab.runtime.harness import Harness
from router_lab.runtime.kinds import KINDS
from router_lab.runtime.model import Candidate, PolicySpec, Prices, Profile, Role
from router_lab.runtime.typed import GREATEST, real

MAX_TIERS = 64
"""Each takes an array over the candidates; providers have four."""
MAX_ROLES = 16
_REQUEST = (
    ("arguments", Mapping, "a mapping"),
    ("system", str, "a text"),
    ("content", Mapping, "a mapping"),
    ("reason", str, "a text"),
    ("suites", Mapping, "a mapping"),
)


def names(spec: PolicySpec) -> Iterator[str]:
    """Of the candidates, before anything sorts or prints them."""
    for candidate in spec.candidates:
        yield from _named(candidate)


def problems(spec: PolicySpec) -> Iterator[str]:
    """Of the candidates and of the roles of those that are teams."""
    for profile in spec.profiles:
        who = str(profile.candidate)
        yield from _profile(profile, who)
        if profile.harness is not None:
            yield from _harness(profile.harness, profile.candidate, who)
        yield from _roles(profile.roles, who)
    every = [one for p in spec.profiles for one in (p, *(role.profile for role in p.roles.values()))]
    tables = (table for p in every for table in (p.tier_seconds, p.prices and p.prices.tiers))
    tiers = {tier for table in tables for tier in table or ()}
    if len(tiers) > MAX_TIERS:
        yield f"candidates: prices and tier_seconds name {len(tiers)} tiers, not up to {MAX_TIERS}"


def _named(candidate: Candidate, where: str = "candidates:") -> Iterator[str]:
    if not isinstance(candidate.model, str) or not candidate.model:
        yield f"{where} model {candidate.model!r} is not a text"
    for key in ("effort", "harness"):
        value = getattr(candidate, key)
        if value is not None and (not isinstance(value, str) or not value):
            yield f"{where} {key} {value!r} of {candidate.model} is neither a text nor null"


def _harness(harness: Harness, candidate: Candidate, who: str) -> Iterator[str]:
    """What `Harness` itself does not look at."""
    if not isinstance(harness, Harness) or harness.name != candidate.harness:
        yield f"candidates: harness_settings of {who} are not those of its harness"
    for key in ("result_chars", "turns", "retries"):
        if (getattr(harness, key) or 0) > GREATEST:
            yield f"candidates: harness_settings.{key} {shown(getattr(harness, key))} of {who} is above 1e9"
    for policy, rounds in (harness.context or {}).items():
        if rounds > GREATEST:
            yield f"candidates: harness_settings.context.{policy} {shown(rounds)} of {who} is above 1e9"


def _roles(roles: Mapping[str, Role], team: str) -> Iterator[str]:
    if not isinstance(roles, Mapping) or len(roles) > MAX_ROLES:
        size = f"{len(roles):,} of them" if isinstance(roles, Mapping) else shown(roles)
        yield f"candidates: roles of {team}: {size}, not a mapping of up to {MAX_ROLES}"
    for name, role in roles.items():
        if not isinstance(name, str) or not name:
            yield f"candidates: role {shown(name)} of {team} is not a text with at least one character"
        where = f"role {shown(name)} of {team}"
        own = role.profile.candidate
        yield from _named(own, f"candidates: {where}:")
        if own.harness is not None or role.profile.harness is not None or role.profile.roles:
            yield f"candidates: {where} is not a model and an effort: it has a harness, or roles of its own"
        yield from _profile(role.profile, f"{own} ({where})")
        if not all(value is None or (real(value) and value >= 0) for value in role.limits):
            yield f"candidates: limits {shown(role.limits)} of {where} are not null and numbers of 0 or more"
        if role.share is not None and (not real(role.share) or not 0 <= role.share <= 1):
            yield f"candidates: share {shown(role.share)} of {where} is neither a number from 0 to 1 nor null"


def _profile(profile: Profile, who: str) -> Iterator[str]:
    for key in ("context_window", "max_output_tokens"):
        value = getattr(profile, key)
        if value is not None and (
            not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= GREATEST
        ):
            yield f"candidates: {key} {shown(value)} of {who} is not a whole number from 1 to 1e9"
    if not _positive(profile.tier_seconds):
        yield f"candidates: tier_seconds of {who} are not finite numbers of 0 or more"
    yield from _request(profile.request, who)
    if profile.prices is not None:
        yield from _prices(profile.prices, who)


def _prices(prices: Prices, who: str) -> Iterator[str]:
    needed = all(getattr(prices, kind.name) is not None for kind in KINDS if kind.needed)
    listed = (*(getattr(prices, kind.name) for kind in KINDS), prices.per_1k_requests)
    if not needed or not all(value is None or (real(value) and value >= 0) for value in listed):
        yield f"candidates: a price of {who} is not a finite number of 0 or more"
    if not _positive(prices.tiers):
        yield f"candidates: a tier multiplier of {who} is not a finite number of 0 or more"


def _request(request: Mapping[str, Any], candidate: str) -> Iterator[str]:
    if not isinstance(request, Mapping):
        yield f"candidates: request of {candidate} is not a mapping"
    if request.get("api") not in (None, "anthropic", "openai_chat", "openai_responses"):
        yield f"candidates: request.api {request['api']!r} of {candidate} is unknown"
    for key, kind, what in _REQUEST:
        if request.get(key) and not isinstance(request[key], kind):
            yield f"candidates: request.{key} of {candidate} is not {what}"
    if request.get("reproducible") not in (None, True, False):
        yield f"candidates: request.reproducible {request['reproducible']!r} of {candidate} is not true or false"
    for suite, own in (request.get("suites") or {}).items():
        yield from _request(own, f"{candidate} on {suite!r}")
    shots = request.get("few_shot") or []
    if not isinstance(shots, list | tuple) or not all(
        isinstance(shot, Mapping) and {"user", "assistant"} <= set(shot) for shot in shots
    ):
        yield f"candidates: request.few_shot of {candidate} is not a list of {{user, assistant}}"


def _positive(table: object) -> bool:
    return isinstance(table, Mapping) and all(
        isinstance(name, str) and real(value) and value >= 0 for name, value in table.items()
    )
