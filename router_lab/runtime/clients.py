"""Request arguments for the providers' SDKs: those that were measured, handed out as they are, never derived anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from router_lab.runtime.errors import PolicyError
from router_lab.runtime.model import Limits, Profile

APIS = ("anthropic", "openai_chat", "openai_responses")
_OPENAI_TIERS = {"flex": "flex", "priority": "priority"}

Messages = str | Sequence[Mapping[str, Any]] | None


def anthropic(profile: Profile, limits: Limits, tier: str, messages: Messages = None) -> dict[str, Any]:
    """For `Anthropic().messages.create(**arguments)`. `max_tokens`, which that API requires, is the measured one, else
    the limit from the recorded distribution, else the model's maximum."""
    arguments = _measured(profile, "anthropic")
    room = limits.max_tokens or profile.max_output_tokens
    if "max_tokens" not in arguments and room is not None:
        arguments["max_tokens"] = room
    if profile.request.get("system"):
        arguments["system"] = profile.request["system"]
    if tier == "priority":
        arguments["service_tier"] = "auto"
    return _with_messages(arguments, "messages", _few_shot(profile), messages)


def openai_chat(profile: Profile, limits: Limits, tier: str, messages: Messages = None) -> dict[str, Any]:
    """For `OpenAI().chat.completions.create(**arguments)`."""
    del limits  # this API needs no maximum; the measured one, if any, is among the arguments
    arguments = _measured(profile, "openai_chat") | _openai_tier(tier)
    system = profile.request.get("system")
    lead = [{"role": "system", "content": system}] if system else []
    return _with_messages(arguments, "messages", lead + _few_shot(profile), messages)


def openai_responses(profile: Profile, limits: Limits, tier: str, messages: Messages = None) -> dict[str, Any]:
    """For `OpenAI().responses.create(**arguments)`."""
    del limits
    arguments = _measured(profile, "openai_responses") | _openai_tier(tier)
    if profile.request.get("system"):
        arguments["instructions"] = profile.request["system"]
    return _with_messages(arguments, "input", _few_shot(profile), messages)


def for_suite(profile: Profile, suite: str | None) -> Profile:
    """`profile` with the request that was measured on `suite`, where a candidate's settings differ by suite.

    Raises PolicyError for a suite on which such a candidate was not measured: no one request of it was.
    """
    by_suite = profile.request.get("suites")
    if not by_suite:
        return profile
    if suite not in by_suite:
        raise PolicyError(
            f"{profile.candidate} was measured with settings of its own for each suite "
            f"({', '.join(sorted(by_suite))}), and the decision was for "
            f"{'none' if suite is None else repr(suite)}; call decide(…, suite=…)"
        )
    return profile._replace(request=by_suite[suite])


def _measured(profile: Profile, api: str) -> dict[str, Any]:
    """A copy of the measured arguments; PolicyError where none can be had for this API."""
    recorded = profile.request.get("api")
    if recorded is not None and recorded != api:
        raise PolicyError(
            f"{profile.candidate} was measured through {recorded}: no request for {api} was shown to do as well"
        )
    if recorded is None and profile.candidate.effort is not None and not profile.request.get("arguments"):
        raise PolicyError(
            f"{profile.candidate}: no request was recorded with its outcomes, and what its effort means is not guessed"
        )
    return {"model": profile.candidate.model} | deepcopy(dict(profile.request.get("arguments") or {}))


def _openai_tier(tier: str) -> dict[str, Any]:
    """A batch is sent through its own API and needs no argument; standard is what was measured."""
    return {"service_tier": _OPENAI_TIERS[tier]} if tier in _OPENAI_TIERS else {}


def _few_shot(profile: Profile) -> list[dict[str, Any]]:
    return [
        {"role": role, "content": shot[role]}
        for shot in profile.request.get("few_shot") or []
        for role in ("user", "assistant")
    ]


def _with_messages(
    arguments: dict[str, Any], name: str, lead: list[dict[str, Any]], messages: Messages
) -> dict[str, Any]:
    """Put what was measured before the caller's messages. Without either, the argument is left to the caller."""
    if messages is None:
        return arguments | ({name: lead} if lead else {})
    own = [{"role": "user", "content": messages}] if isinstance(messages, str) else [dict(one) for one in messages]
    return arguments | {name: lead + own}
