"""What several commands say of who works in a team, and of what surrounds a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from router_lab.columns import named
from router_lab.runtime.decision import Decision
from router_lab.runtime.harness import Harness
from router_lab.runtime.model import Profile, Role
from router_lab.runtime.shares import part

CONTEXT = {
    "last": "last {} rounds",
    "mask": "results older than {} rounds masked",
    "fresh": "begins anew every {} rounds",
    "summarise": "what is older than {} rounds summarised",
}
"""By the policy of a context; of one round in the singular."""
BRIEF = 60
"""Characters of a value that are shown of what differs between two policies."""
OWN = "known to the application alone"


def around_lines(profile: Profile) -> list[str]:
    """A line for each role of a team, and one for a harness; none of a single model in none."""
    lines = [f"{named(role)}: {role_told(who)}" for role, who in profile.roles.items()]
    if profile.candidate.harness is not None:
        lines.append(f"harness {named(profile.candidate.harness)}: {harness_told(profile.harness)}")
    return lines


def role_told(role: Role) -> str:
    """`m1 @ low, 75 % of the dollars`."""
    who = named(role.profile.candidate)
    return who if role.share is None else f"{who}, {part(role.share, ' %')} of the dollars"


def harness_told(harness: Harness | None) -> str:
    """What it does: `context: last 2 rounds; turns: 9`."""
    if harness is None:
        return OWN
    told = [f"context: {_rounds(name, rounds)}" for name, rounds in (harness.context or {}).items()]
    if harness.observations != "tool":
        told.append(f"results: the {harness.observations}'s messages")
    if harness.result_chars is not None:
        told.append(f"results: at most {harness.result_chars:,} characters")
    if harness.tools is not None:
        told.append(f"tools: {', '.join(map(named, harness.tools)) or 'none'}")
    for key in ("turns", "retries"):
        value = getattr(harness, key)
        told += [] if value is None else [f"{key}: {value:,}"]
    if harness.task_args:
        told.append(f"task_args: {named(json.dumps(harness.task_args, ensure_ascii=False))}")
    return "; ".join(told) or "changes no message; it names a request of its own"


def around_json(profile: Profile) -> dict[str, object]:
    """`roles` and `harness_settings`, where there are any."""
    more: dict[str, object] = {}
    if profile.roles:
        more["roles"] = {role: _role(who) for role, who in profile.roles.items()}
    if profile.candidate.harness is not None:
        more["harness_settings"] = None if profile.harness is None else profile.harness.to_json()
    return more


def around_rows(decision: Decision) -> list[tuple[str, str]]:
    """(heading, text) of who a decision asks for each role, and what is to be put around them."""
    profile = decision.profile
    rows = [("role", f"{named(role)}: {role_told(who)}") for role, who in profile.roles.items()]
    harness = profile.candidate.harness
    return rows if harness is None else [*rows, ("harness", harness_told(profile.harness))]


def profile_changes(old: Profile, new: Profile) -> list[str]:
    """What a candidate of two policies is in one of them and not in the other: what it sends, its
    prices and window, and who works in it."""
    was, now = _told_parts(old), _told_parts(new)
    return [
        f"{new.candidate}: {part} {was.get(part, 'none')} → {now.get(part, 'none')}"
        for part in sorted({*was, *now})
        if was.get(part) != now.get(part)
    ]


def _told_parts(profile: Profile) -> dict[str, str]:
    """By name; a long value is known by its beginning and a digest."""
    found: dict[str, object] = {
        f"role {role}": role_told(who._replace(share=None)) for role, who in profile.roles.items()
    }
    request = dict(profile.request)
    found |= {f"request {key}": value for key, value in dict(request.pop("arguments", {})).items()}
    found |= {f"request {key}": value for key, value in request.items() if value}
    if profile.prices is not None:
        prices = profile.prices.as_dict()
        found |= {f"tier {tier}": times for tier, times in prices.pop("tiers").items()}
        found |= {f"price {kind}": usd for kind, usd in prices.items() if usd is not None}
    found |= {
        name: value
        for name, value in (
            ("context window", profile.context_window),
            ("output limit", profile.max_output_tokens),
        )
        if value is not None
    }
    if profile.candidate.harness is not None:
        found["harness"] = harness_told(profile.harness)
    return {named(part): _brief(value) for part, value in found.items()}


def _brief(value: object) -> str:
    text = (
        value
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    )
    if len(text) <= BRIEF:
        return named(text)
    return f"{named(text[: BRIEF // 2])}… ({hashlib.sha256(text.encode()).hexdigest()[:8]})"


def _rounds(policy: str, rounds: int) -> str:
    text = CONTEXT[policy].format(f"{rounds:,}")
    return (
        text.replace("1 rounds", "round" if policy in ("last", "fresh") else "1 round")
        if rounds == 1
        else text
    )


def _role(role: Role) -> Mapping[str, object]:
    return {**role.profile.candidate.named(), "limits": role.limits._asdict(), "share": role.share}
