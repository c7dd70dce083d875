"""A caller's request, with whom a policy chose in it: what was measured of the candidate takes the
place of what the caller said of the same, and the rest of his request goes on as it was."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

from router_lab.runtime.clients import FIELDS
from router_lab.runtime.decision import Decision
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.messages import text_of
from router_lab.runtime.reasons import BARE

Frame = Literal["measured", "caller"]
"""measured: the question goes into the messages, template and tools that were measured, and a
system message other than the measured one is refused. caller: his messages, system message and
tools go as they are, with the measured model, effort and lengths; of that nothing was shown."""

RESPONSES = "openai_responses"
"""The only API through which a conversation that the provider keeps goes on."""
LENGTHS = {
    "openai_chat": ("max_completion_tokens", "max_tokens"),
    "openai_responses": ("max_output_tokens",),
    "anthropic": ("max_tokens",),
}
"""The longest answer that a request asks for, by API; the first is what is set where none is."""
SYSTEM = {"openai_responses": "instructions", "anthropic": "system"}
"""Where an API has the system message apart from the messages."""
_CHOSEN = (
    "reasoning_effort", "reasoning", "thinking", "verbosity", "temperature", "top_p", "top_k",
    "presence_penalty", "frequency_penalty", "seed", "logit_bias",
)  # fmt: skip
"""What makes another candidate of a model: the policy's to choose, never the caller's."""
_CHOSEN_WITHIN = {"output_config": "effort", "text": "verbosity"}
_MEDIA = {"data", "image_url", "url", "file_data", "encrypted_content", "signature"}
DICTS = (dict, Mapping)
"""In this order: what is no dict is asked at length. A union of types is made anew each time."""
_LISTS, _SCALARS = (list, tuple), (int, float, type(None))
MEDIA_TOKENS = 2_000
"""Counted for a picture, a file or sealed reasoning, whose characters say nothing of its tokens."""
PLAIN = frozenset({dict})
"""The types of messages that are taken as they are."""
_SENTINELS = ("NotGiven", "Omit")


def given(body: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that the caller gave, without the SDKs' marks of those that he did not."""
    return {key: value for key, value in body.items() if type(value).__name__ not in _SENTINELS}


def conversation(api: str, body: Mapping[str, Any]) -> str | list[dict[str, Any]]:
    """The messages of a request of `api`, the SDK's own models among them as dicts."""
    found = body.get(FIELDS[api])
    if type(found) is list and PLAIN.issuperset(map(type, found)):
        return list(found)
    if isinstance(found, str) or not isinstance(found, Iterable):  # which the provider refuses
        return found if isinstance(found, str) else ""
    return [plain for one in found if (plain := _plain(one)) is not None]


def several(count: object) -> int:
    """How many answers a request asks for at once, by its `n`; what is no count of any is the
    provider's to refuse."""
    return count if type(count) is int and count > 1 else 1


def kept_as(body: Mapping[str, Any]) -> str | None:
    """By which id the provider keeps the conversation that a request goes on with: its last
    answer's, or its own; None where the request holds all of it."""
    found = body.get("previous_response_id")
    return found if isinstance(found, str) and found else conversation_of(body)


def conversation_of(body: Mapping[str, Any]) -> str | None:
    """The id of the conversation that the provider keeps, the same in all its requests."""
    found = body.get("conversation")
    if isinstance(found, DICTS):
        found = found.get("id")
    return found if isinstance(found, str) and found else None


def size_of(value: object) -> int:
    """Tokens that a part of a request can have at most: no token is shorter than a byte."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "replace"))
    if isinstance(value, _LISTS):
        whole = 4 * len(value)
        for item in value:
            whole += size_of(item)
        return whole
    if isinstance(value, DICTS):
        whole = 0
        for key, item in value.items():
            own = len(item) if type(item) is str and item.isascii() else size_of(item)
            whole += min(own, MEDIA_TOKENS) if key in _MEDIA and isinstance(item, str) else own + 4
        return whole
    plain = None if isinstance(value, _SCALARS) else _plain(value)
    return 8 if plain is None else size_of(plain)


def longest(api: str, settings: Mapping[str, Any]) -> int | None:
    """Tokens of the longest answer that a request asks for; None where it does not say."""
    found: int | None = None
    for name in LENGTHS[api]:
        asked = settings.get(name)
        if isinstance(asked, int) and (found is None or asked < found):
            found = asked
    return found


def request_of(
    decision: Decision, api: str, own: Mapping[str, Any], frame: Frame = "measured"
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The arguments of `api`'s method for who was decided for, and the names of the caller's
    arguments that were left out, sorted. own: those that the caller gave (`given`, of an SDK's).

    Of a candidate of which nothing was measured (a store's default) the caller's request goes as
    it is, but for the model. PolicyError as of `Decision.request`.
    """
    if decision.code in BARE and not decision.measured:
        return {**own, "model": decision.model}, ()
    if frame == "caller":
        settings = decision.settings()
        asked = {k: own[k] for k in (FIELDS[api], SYSTEM.get(api, ""), "tools", "stream") if k in own}
        measured = {**settings, **asked}
    else:
        measured = _framed(decision, api, own)
    return _merged(api, measured, own)


def shortened(api: str, request: Mapping[str, Any], most: int | None) -> dict[str, Any]:
    """The request, with an answer of at most so many tokens; None = as it was."""
    if most is None:
        return dict(request)
    asked = longest(api, request)
    if asked is not None and asked <= most:
        return dict(request)
    name = LENGTHS[api][0]
    if name not in request:
        name = next((other for other in LENGTHS[api] if other in request), name)
    return {**request, name: most}


def opening(messages: str | Sequence[Mapping[str, Any]]) -> tuple[str, bool] | None:
    """The first user text of a conversation, by which its turns are known from one another, and
    whether somebody has answered it yet; None of a single text."""
    if isinstance(messages, str):
        return None
    for index, one in enumerate(messages):
        text = text_of(one.get("content")) if one.get("role") == "user" else ""
        if text:
            return text, any(later.get("role") != "user" for later in messages[index + 1 :])
    return None


def _framed(decision: Decision, api: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """The question in its measured frame, and the system message that an API has apart."""
    found = decision.request(conversation(api, own), tools=own.get("tools"), stream=own.get("stream"))
    name = SYSTEM.get(api)
    if name is None or not own.get(name):
        return found
    if name not in found:
        return {**found, name: own[name]}
    if text_of(found[name]) != text_of(own[name]):
        raise PolicyError(
            f"{decision.candidate}: the request brings `{name}` of its own ({text_of(own[name])[:60]!r}), and another "
            f"was measured ({text_of(found[name])[:60]!r}); leave yours out, measure a suite whose task sends it, or "
            'send it unmeasured: frame="caller"'
        )
    return found


def _merged(
    api: str, measured: Mapping[str, Any], own: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    placed = {"model", "stream", "tools", FIELDS[api], SYSTEM.get(api, FIELDS[api])}
    lengths: Collection[str] = LENGTHS[api] if longest(api, measured) is not None else ()
    request, left = dict(measured), []
    for key, value in own.items():
        if key in placed:
            continue
        if key in _CHOSEN or key in lengths:
            left.append(key)
        elif key in _CHOSEN_WITHIN and isinstance(value, DICTS):
            inner = {k: v for k, v in value.items() if k != _CHOSEN_WITHIN[key]}
            left += [key] if len(inner) < len(value) else []
            request[key] = {**inner, **(measured.get(key) or {})}
        elif key not in measured:
            request[key] = value
        elif isinstance(value, DICTS) and isinstance(measured[key], DICTS):
            request[key] = {**value, **measured[key]}
        elif key == "include" and isinstance(value, list | tuple):
            request[key] = list(dict.fromkeys([*measured[key], *value]))
        elif value != measured[key]:
            left.append(key)
    for key in _CHOSEN_WITHIN:
        if request.get(key) == {}:
            del request[key]
    return request, tuple(sorted(left)) if left else ()


def _plain(value: object) -> dict[str, Any] | None:
    """A message as a dict, from an SDK's model too; None for what is none."""
    if isinstance(value, dict):
        return value
    if isinstance(value, Mapping):
        return dict(value)
    for name in ("to_dict", "model_dump"):
        method = getattr(value, name, None)
        if callable(method):
            found = method()
            return {k: v for k, v in found.items() if v is not None} if isinstance(found, dict) else None
    return None
