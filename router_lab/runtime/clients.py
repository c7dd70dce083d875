"""Request arguments for the providers' SDKs: those that were measured, handed out as they are,
never derived anew.

What was measured is a question in a frame: the messages around it, the text around it in its own
message, the tools. `request["content"]` holds all that in the API's own form, with `SLOT` where
the question stood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, cast

from router_lab.runtime.errors import PolicyError
from router_lab.runtime.frame import SLOT, filled, framed, leading
from router_lab.runtime.model import Limits, Profile

METHODS = {
    "openai_chat": ("chat", "completions", "create"),
    "openai_responses": ("responses", "create"),
    "anthropic": ("messages", "create"),
}
"""The APIs, and the method of the SDK's client that makes a request of each."""
APIS = tuple(METHODS)
FIELDS = {"openai_chat": "messages", "openai_responses": "input", "anthropic": "messages"}
_FLAT = (str, int, float, bool, type(None))
_LOGPROBS = "message.output_text.logprobs"
_OPENAI_TIERS = {"flex": "flex", "priority": "priority"}

Messages = str | Sequence[Mapping[str, Any]] | None
Tools = Sequence[Mapping[str, Any]] | None


def arguments_for(
    profile: Profile,
    api: str,
    limits: Limits,
    tier: str,
    messages: Messages = None,
    *,
    tools: Tools = None,
    stream: bool | None = None,
) -> dict[str, Any]:
    """The arguments of `api`'s method. PolicyError where none were measured, or they would not be
    those.

    `max_tokens`, which Anthropic's API requires, is the measured one, else the limit from the
    recorded distribution, else the model's maximum. `tools` are added where none were measured;
    others than the measured ones are refused.
    """
    check(profile, api)
    arguments = settings_for(profile, api, limits, tier)
    arguments |= _content(profile, api, messages)
    if tools is not None:
        arguments["tools"] = _tools(profile, arguments.get("tools"), tools)
    return arguments if stream is None else arguments | {"stream": stream}


def settings_for(profile: Profile, api: str, limits: Limits, tier: str) -> dict[str, Any]:
    """Of `arguments_for` those that say how is answered, and nothing of what is asked."""
    measured: Mapping[str, Any] = profile.request.get("arguments") or {}
    # A copy for each request; most of it are texts and numbers, of which there is none.
    arguments = {key: one if type(one) in _FLAT else deepcopy(one) for key, one in measured.items()}
    arguments.setdefault("model", profile.candidate.model)
    room = limits.max_tokens or profile.max_output_tokens
    if api == "anthropic" and "max_tokens" not in arguments and room is not None:
        arguments["max_tokens"] = room
    if api == "anthropic":
        arguments |= {"service_tier": "auto"} if tier == "priority" else {}
    elif tier in _OPENAI_TIERS:  # a batch is sent through its own API; standard is what was measured
        arguments["service_tier"] = _OPENAI_TIERS[tier]
    return arguments


def with_logprobs(arguments: Mapping[str, Any], api: str) -> dict[str, Any]:
    """The same request, beside whose answer the log-probabilities of its tokens come, where the API
    has them (Anthropic's has none)."""
    if api == "openai_chat":
        return {**arguments, "logprobs": True}
    if api == "openai_responses":
        kept = [part for part in arguments.get("include") or () if part != _LOGPROBS]
        return {**arguments, "include": [*kept, _LOGPROBS]}
    return dict(arguments)


def check(profile: Profile, api: str) -> None:
    """Raise PolicyError if no request of this profile can be handed out for `api`."""
    request, who = profile.request, profile.candidate
    if request.get("reproducible") is False:
        model = str((request.get("arguments") or {}).get("model", who.model))
        raise PolicyError(
            f"{who}: no single request is what was measured: {request.get('reason') or 'it was not recorded'}; run "
            f"what was measured (the task's solver) with model {model!r}, or measure a suite that asks once"
        )
    if request.get("api") is None:
        why = f" ({request['reason']})" if request.get("reason") else ""
        raise PolicyError(
            f"{who}: through which API it was measured is not known{why}, so no arguments are made up; add it to the "
            'outcomes and fit again: a column `request` in the table, JSON such as {"api": "openai_chat", "arguments": '
            f'{{"model": "…"}}}} (APIs: {", ".join(APIS)}), or `request` in outcomes.attrs["candidates"]'
        )
    if request["api"] != api:
        raise PolicyError(
            f"{who} was measured through {request['api']}: no request for {api} was shown to do as well; "
            "`decision.request(…)` has the measured one"
        )


def send(client: Any, api: str, arguments: Mapping[str, object]) -> Any:
    """Call the method of `api` on an SDK's client, async ones included. PolicyError if the client
    has none."""
    method = client
    for name in METHODS[api]:
        method = getattr(method, name, None)
    if method is None:
        raise PolicyError(
            f"send: {type(client).__module__}.{type(client).__name__} has no .{'.'.join(METHODS[api])}; the request "
            f"was measured through {api}: pass {'Anthropic()' if api == 'anthropic' else 'OpenAI()'}, sync or async"
        )
    return method(**arguments)


def for_suite(profile: Profile, suite: str | None) -> Profile:
    """`profile` with the request that was measured on `suite`, where a candidate's requests differ
    by suite.

    Raises PolicyError for a suite on which such a candidate was not measured: no one request of it
    was.
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


def unreproducible(profiles: Sequence[Profile], suites: Sequence[str]) -> list[dict[str, Any]]:
    """Of which suites no request can be handed out: `suite`, `reason`, and `candidates` as [model,
    effort] and the harness, if any, sorted."""
    found: dict[tuple[str, str], list[list[str | None]]] = {}
    for profile in profiles:
        by_suite = profile.request.get("suites") or dict.fromkeys(suites, profile.request)
        for suite, request in by_suite.items():
            if request.get("reproducible") is False:
                found.setdefault((suite, str(request.get("reason"))), []).append(list(profile.candidate))
    return [
        {"suite": suite, "reason": reason, "candidates": who}
        for (suite, reason), who in sorted(found.items())
    ]


def _content(profile: Profile, api: str, messages: Messages) -> dict[str, Any]:
    """The fields that say what is asked, with the caller's messages in the place of the measured
    question."""
    field, content = FIELDS[api], profile.request.get("content")
    if content is None:
        content = _asked(profile, api)
    if messages is None:
        return leading(content, field)
    if isinstance(messages, str):
        return cast(dict[str, Any], filled(content, messages))
    if (
        not isinstance(messages, list | tuple)
        or not messages
        or not all(isinstance(m, Mapping) for m in messages)
    ):
        raise PolicyError(
            f"request: messages is {repr(messages)[:60]}; pass a prompt (str), or a list of messages (dicts) that "
            "holds at least one"
        )
    return framed(content, field, messages)


def _asked(profile: Profile, api: str) -> dict[str, Any]:
    """The frame of a request that says only which system message and examples it had."""
    system = profile.request.get("system")
    shots: list[dict[str, Any]] = [
        {"role": role, "content": shot[role]}
        for shot in profile.request.get("few_shot") or []
        for role in ("user", "assistant")
    ]
    turns = [*shots, {"role": "user", "content": SLOT}]
    if api == "openai_chat":
        return {"messages": [{"role": "system", "content": system}] * bool(system) + turns}
    name = "system" if api == "anthropic" else "instructions"
    return {FIELDS[api]: turns} | ({name: system} if system else {})


def _tools(profile: Profile, measured: Any, given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    asked = [dict(tool) for tool in given]
    if measured and asked != measured:
        raise PolicyError(
            f"{profile.candidate} was measured with tools of its own ({len(measured)}), which the arguments hold "
            "already; others are another measurement: leave `tools` out, or give the suite's task those tools"
        )
    return asked
