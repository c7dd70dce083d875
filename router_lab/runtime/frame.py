"""A frame: what was sent around a question, with `SLOT` in the question's place, in the form of
one provider's API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, cast

from router_lab.runtime.errors import PolicyError
from router_lab.runtime.messages import TEXT_PARTS, last_user_turn, text_of

SLOT = "<<router-lab:question>>"
"""Stands for the question in a recorded frame, at every place at which it was sent."""

_SYSTEM = ("system", "developer")


def filled(value: object, question: str) -> Any:
    """A copy of `value` with `question` at every `SLOT` in its texts."""
    if isinstance(value, str):
        return value.replace(SLOT, question)
    if isinstance(value, Mapping):
        return {key: filled(item, question) for key, item in value.items()}
    return [filled(item, question) for item in value] if isinstance(value, list | tuple) else value


def holds_slot(value: object) -> bool:
    """Whether `SLOT` occurs in a text of `value`."""
    if isinstance(value, str):
        return SLOT in value
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return any(map(holds_slot, items))


def leading(content: Mapping[str, Any], field: str) -> dict[str, Any]:
    """What comes before the question, for a caller who puts it in himself.

    PolicyError where that would lose a part of the frame: text around the question, or messages
    after it.
    """
    place = _place(content, field)
    if place is None or not _bare(content[field][place]) or place + 1 < len(content[field]):
        raise PolicyError(
            "the question was measured inside a frame (text around it, or messages after it); pass it, so that it is "
            "put where it was measured: decision.request(prompt)"
        )
    before = deepcopy(content[field][:place])
    others = {key: deepcopy(value) for key, value in content.items() if key != field}
    return others | ({field: before} if before else {})


def framed(content: Mapping[str, Any], field: str, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`content` around a conversation: its last user text takes the question's place, the turns
    before it come right before it, those after it right after.

    A system message of the caller's that is the measured one counts once. PolicyError for another
    one where one was measured, and for a turn that the measured text cannot be put around.
    """
    own = _without_system(content, [dict(one) for one in messages])
    place, turn = _place(content, field), last_user_turn(own)
    if turn is not None and len(own) == 1 and isinstance(own[turn].get("content"), str):
        return cast(dict[str, Any], filled(content, own[turn]["content"]))
    if place is None:
        raise PolicyError(
            "the question was measured in several places of one request: pass it alone, as a text or as one user "
            "message, and not a conversation"
        )
    slot = content[field][place]
    if turn is None:
        if not _bare(slot):
            raise PolicyError(
                "text was measured around the question, and no user message holds a text to put there"
            )
        middle = own
    else:
        middle = [*own[:turn], _asking(slot, own[turn]), *own[turn + 1 :]]
    items = content[field]
    return deepcopy({**content, field: [*items[:place], *middle, *items[place + 1 :]]})


def _asking(slot: Mapping[str, Any], message: dict[str, Any]) -> dict[str, Any]:
    """The caller's last user message as the question that was measured in `slot`."""
    content = message.get("content")
    if isinstance(content, str):
        return cast(dict[str, Any], filled(slot, content))
    if _bare(slot):
        return message
    texts = [part for part in content or () if isinstance(part, Mapping) and part.get("type") in TEXT_PARTS]
    if len(texts) != 1:
        raise PolicyError(
            f"text was measured around the question, and the last user message has {len(texts)} text parts, not one"
        )
    around = filled(text_of(slot.get("content")), texts[0]["text"])
    parts = [{**part, "text": around} if part is texts[0] else part for part in content or ()]
    return {**message, "content": parts}


def _without_system(content: Mapping[str, object], own: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The caller's messages without a system message that the frame holds already."""
    measured = _system_texts(content)
    given = [text_of(message.get("content")) for message in own if message.get("role") in _SYSTEM]
    if not measured or not given:
        return own
    if "\n".join(given) != "\n".join(measured) and given != measured[: len(given)]:
        raise PolicyError(
            f"the messages bring a system message of their own ({given[0][:60]!r}), and another was measured "
            f"({measured[0][:60]!r}); leave yours out, or measure a suite whose task sends it"
        )
    return [message for message in own if message.get("role") not in _SYSTEM]


def _system_texts(content: Mapping[str, object]) -> list[str]:
    """The system messages of a frame, wherever the API has them."""
    apart = [text_of(content[key]) for key in ("system", "instructions") if content.get(key)]
    lists = [value for value in content.values() if isinstance(value, list)]
    turns = [m for items in lists for m in items if isinstance(m, Mapping) and m.get("role") in _SYSTEM]
    return apart + [text_of(message.get("content")) for message in turns]


def _place(content: Mapping[str, object], field: str) -> int | None:
    """Which item of `content[field]` holds the slot; None if there is not exactly one, or it is
    elsewhere too."""
    items = content.get(field)
    places = (
        [index for index, item in enumerate(items) if holds_slot(item)] if isinstance(items, list) else []
    )
    elsewhere = any(holds_slot(value) for key, value in content.items() if key != field)
    return places[0] if len(places) == 1 and not elsewhere else None


def _bare(item: object) -> bool:
    """Whether the message is the question and nothing else."""
    return isinstance(item, Mapping) and item.get("role") == "user" and text_of(item.get("content")) == SLOT
