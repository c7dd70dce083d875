"""A candidate of policy.json <-> `Profile`, alone or as a role of a team, and his limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from router_lab.runtime.errors import PolicyError
from router_lab.runtime.harness import Harness
from router_lab.runtime.model import Candidate, Limits, Prices, Profile, Role
from router_lab.runtime.typed import as_list, as_number, as_whole, only_keys

HARNESSES = 5
"""The first version whose candidates may have a harness, or be teams."""
_LATER_KEYS = frozenset(["harness", "harness_settings", "roles"])
_PROFILE_KEYS = frozenset((
    "model", "effort", "request", "prices", "context_window", "max_output_tokens", "settings_sha", "tier_seconds",
))  # fmt: skip


def profile_out(profile: Profile) -> dict[str, object]:
    """As in `candidates` of policy.json."""
    more: dict[str, object] = {}
    if profile.candidate.harness is not None:
        settings = None if profile.harness is None else profile.harness.to_json()
        more = {"harness": profile.candidate.harness, "harness_settings": settings}
    if profile.roles:
        more["roles"] = {role: _role_out(part) for role, part in sorted(profile.roles.items())}
    return {
        "model": profile.candidate.model,
        "effort": profile.candidate.effort,
        "request": dict(profile.request),
        "prices": None if profile.prices is None else profile.prices.as_dict(),
        "context_window": profile.context_window,
        "max_output_tokens": profile.max_output_tokens,
        "settings_sha": profile.settings_sha,
        "tier_seconds": {tier: float(seconds) for tier, seconds in profile.tier_seconds.items()},
        **more,
    }


def _role_out(role: Role) -> dict[str, object]:
    share = None if role.share is None else float(role.share)
    return {**profile_out(role.profile), "limits": limits_out(role.limits), "share": share}


def profile_in(row: dict[str, Any], version: int) -> Profile:
    """The inverse, in a policy of that `schema_version`: up to 4 a candidate has a model and an
    effort alone. PolicyError for what stands where it may not; KeyError, TypeError and ValueError
    for another shape."""
    more = {key: value for key, value in row.items() if version >= HARNESSES and key in _LATER_KEYS}
    only_keys({k: v for k, v in row.items() if k not in more}, _PROFILE_KEYS, "policy.json: candidates")
    if more and set(more) not in ({"roles"}, _LATER_KEYS - {"roles"}, _LATER_KEYS):
        raise PolicyError(
            "policy.json: candidates: harness and harness_settings stand together or not at all"
        )
    if more.get("roles") == {}:
        raise PolicyError("policy.json: candidates: roles: none, and a candidate without is no team")
    name, settings = more.get("harness"), more.get("harness_settings")
    return Profile(
        candidate=Candidate(row["model"], row["effort"], name),
        request=row["request"],
        prices=None if row["prices"] is None else Prices(**row["prices"]),
        context_window=row["context_window"],
        max_output_tokens=row["max_output_tokens"],
        settings_sha=row["settings_sha"],
        tier_seconds=row["tier_seconds"],
        harness=None if settings is None else Harness.from_json(str(name), settings),
        roles={role: _role_in(part, version) for role, part in more.get("roles", {}).items()},
    )


def _role_in(row: dict[str, Any], version: int) -> Role:
    if "roles" in row or "harness" in row:
        raise PolicyError(
            "policy.json: candidates: a role is a model and an effort, and has no roles of its own"
        )
    rest = {key: value for key, value in row.items() if key not in ("limits", "share")}
    share = row["share"]
    return Role(
        profile_in(rest, version), limits_in(row["limits"]), None if share is None else as_number(share)
    )


def limits_out(limit: Limits) -> list[float | None]:
    """[tokens, turns, usd], null where there is none."""
    tokens, turns, usd = limit
    return [
        None if tokens is None else int(tokens),
        None if turns is None else int(turns),
        None if usd is None else float(usd),
    ]


def limits_in(row: Sequence[object]) -> Limits:
    """The inverse; TypeError and ValueError for another shape."""
    tokens, turns, usd = as_list(row)
    return Limits(
        None if tokens is None else as_whole(tokens),
        None if turns is None else as_whole(turns),
        None if usd is None else as_number(usd),
    )
