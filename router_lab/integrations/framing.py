"""A decision in the words of a host that makes the provider's request itself: what is said, in
which order, and the settings beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from router_lab.integrations.answers import used
from router_lab.integrations.requesting import SYSTEM, Frame, given, request_of, shortened
from router_lab.integrations.sessions import Used
from router_lab.integrations.turns import Turn
from router_lab.runtime.clients import FIELDS
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.messages import last_user_turn, text_of
from router_lab.runtime.reasons import BARE

_AT = "router_lab_at"
_ROLES_OF_SYSTEM = ("system", "developer")


class Said(NamedTuple):
    """One message. at: which of the host's own it stands for, None = it was measured around them;
    changed: its text is not that of the host's own, because text was measured around it."""

    role: str
    text: str
    at: int | None = None
    changed: bool = False


class Framed(NamedTuple):
    """What is sent for a turn. said: all messages in order, without the system message; None = the
    host's own, as they are. system: a system message that the host has not, "" = none. settings:
    arguments of the API, as measured, beside the model, the messages and the tools."""

    said: tuple[Said, ...] | None
    system: str
    settings: dict[str, Any]
    left_out: tuple[str, ...] = ()


def framed(
    turn: Turn,
    api: str,
    messages: Sequence[Mapping[str, Any]],
    system: str,
    own: Mapping[str, Any],
    frame: Frame,
) -> Framed:
    """What a host sends to `api` for whom the turn asks.

    messages: its own, each with a role and a text, in the order in which they are sent; system: its
    system message, "" = none; own: the caller's arguments in the words of the API. Of whom nothing
    was measured (a store's default) all goes as it is. PolicyError where the measured frame cannot
    be put around the messages (`Decision.request`), or holds tools of its own.
    """
    if bare(turn):
        return Framed(None, "", dict(own))
    field, apart = FIELDS[api], SYSTEM.get(api)
    leading = [{"role": "system", "content": system}] if system and apart is None else []
    body = {
        **given(own),
        field: [*leading, *_marked(messages)],
        **({apart: system} if system and apart else {}),
    }
    request, left = request_of(turn.decision, api, body, frame)
    if frame == "measured" and request.get("tools"):
        raise PolicyError(
            f"{turn.decision.candidate} was measured with tools of its own, which this host cannot offer in their "
            'place; give the suite\'s task none, or send yours unmeasured: frame="caller"'
        )
    placed = (field, apart, "model", "tools", "stream")
    settings = {name: value for name, value in request.items() if name not in placed}
    found = Framed(None, "", shortened(api, settings, turn.most_output), left)
    if frame == "caller":
        return found
    said, told = _spoken(request[field], messages, request.get(apart) if apart else None)
    return found._replace(said=said, system="" if system else told)


def _spoken(
    request: Sequence[Mapping[str, Any]], own: Sequence[Mapping[str, Any]], apart: object
) -> tuple[tuple[Said, ...] | None, str]:
    """All messages but those of the system, None if they are the host's own; and what those say."""
    texts, turns = list[str](), list[Said]()
    for one in request:
        if one.get("role") in _ROLES_OF_SYSTEM:
            texts.append(text_of(one.get("content")))
        else:
            turns.append(_said(one, own))
    texts += [text_of(apart)] if apart else []
    same = [one.at for one in turns] == list(range(len(own))) and not any(one.changed for one in turns)
    return None if same else tuple(turns), "\n".join(texts)


def bare(turn: Turn) -> bool:
    """Whether nothing was measured of who is asked, so that the caller's request goes as it is."""
    return turn.decision.code in BARE and not turn.decision.measured


def at_most(turn: Turn, asked: int | None) -> int | None:
    """How many tokens an answer may have of whom nothing was measured: what the caller asks, within
    what the session's budget allows; None = any."""
    limits = [one for one in (turn.most_output, asked) if one is not None]
    return min(limits) if limits else None


def without(settings: Mapping[str, Any], chosen: Collection[str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A caller's settings without those that are the policy's to choose, and the names of what was
    left out, sorted."""
    kept = {name: value for name, value in settings.items() if name not in chosen}
    left = (name for name in settings if name in chosen and settings[name] is not None)
    return kept, tuple(sorted(left))


def counted(api: str, whole: int, output: int, read: int, written: int = 0) -> Used | None:
    """Tokens of a call, from a host that counts those read from and written to a prompt cache
    within `whole`; None where it does not know: no prompt has no tokens."""
    if not whole:
        return None
    if api == "anthropic":
        return Used(whole, output, read, read + written)
    usage = {"input_tokens": whole, "output_tokens": output, "input_tokens_details": {"cached_tokens": read}}
    return used("openai_responses", usage)


def _marked(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Who spoke, each with its place; of what was said the question alone, since all is copied. Of
    a text that is the question the frame makes a message of its own; of parts it does not."""
    if len(messages) == 1:
        return [{**messages[0], _AT: 0}]
    marked: list[dict[str, Any]] = [
        {"role": one.get("role"), _AT: place} for place, one in enumerate(messages)
    ]
    asking = last_user_turn(list(messages))
    if asking is not None:
        content = messages[asking]["content"]
        marked[asking]["content"] = (
            [{"type": "text", "text": content}] if isinstance(content, str) else content
        )
    return marked


def _said(message: Mapping[str, Any], own: Sequence[Mapping[str, Any]]) -> Said:
    place: int | None = message.get(_AT)
    before = None if place is None else text_of(own[place].get("content"))
    text = before if before is not None and "content" not in message else text_of(message.get("content"))
    if place is None and len(own) == 1 and own[0].get("content") == text:
        return Said(str(message.get("role")), text, 0)  # a question alone is measured without its mark
    return Said(str(message.get("role")), text, place, before is not None and text != before)
