"""The frame around a suite's questions, factored out of what its log says was sent.

Every sample's first call is compared with the sample's own question. If all of them are one
template, filled with their questions, that template is the frame; else no request can be rebuilt
from it, and the reason is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from router_lab.providers.evallog import event_input, resolve
from router_lab.providers.keys import TRANSPORT
from router_lab.runtime.frame import SLOT, filled, holds_slot
from router_lab.runtime.messages import last_user_turn, text_of

MOST_PLACES = 6
"""Up to so many places at which the question's text occurs, every choice of them is tried
(2^n)."""
FIRST = 20
"""Samples that are looked at together at first: the longest question of them is the least likely
to occur by chance."""
MESSAGE_KEYS = ("role", "content", "tool_calls", "tool_call_id", "function", "error")
CALL_CACHE = ("cache_prompt",)
"""Transport settings that change the body all the same."""


@dataclass(frozen=True)
class Frame:
    """What Inspect handed to the provider, `SLOT` in the question's place: messages, tools,
    tool_choice, config; or `reason`, why there is no such thing."""

    asked: Mapping[str, Any] | None
    reason: str | None = None


class FrameFinder:
    """Looks at samples one by one (`see`), keeps only the templates that all of them fit, and says
    which it is."""

    def __init__(self) -> None:
        self._early: list[tuple[str, Any, Any]] = []
        self._whole: list[Any] | None = None
        self._parted: list[Any] | None = None
        self._turns = 0
        self._last: Any = None
        self._reason: str | None = None

    def see(
        self, sample: Mapping[str, Any], events: Sequence[Mapping[str, Any]], helper: str | None = None
    ) -> None:
        """One sample, and the answered calls of its last attempt that the candidate itself made;
        `helper`: another model that its solver asked."""
        if helper is not None:
            self._reason = f"its solver asks another model, too ({helper})"
        if not events:
            return
        self._turns = max(self._turns, len(events))
        question, messages = _question(sample, event_input(dict(sample), dict(events[0])))
        asked = _asked(sample, events[0], messages)
        self._last = asked
        if not asked["messages"]:
            self._reason = "its log does not say what was sent (no events, or calls without their messages)"
            return
        if question is None:
            self._reason = "a sample has no question of its own (an empty input, or one without a user turn)"
            return
        parted = _without_history(sample, messages)
        self._take((question, asked, None if parted is None else {**asked, "messages": parted}))

    def frame(self) -> Frame:
        """What all samples were sent in."""
        self._start()
        if self._turns == 0:
            return Frame(None, "no answered model call of its own is in the log")
        if self._turns > 1:
            return Frame(
                None, "its solver goes on after the first answer (several turns, or tools that were called)"
            )
        found = self._whole or self._parted or []
        if self._reason or not found:
            return Frame(
                None,
                self._reason
                or "what its solver put around the question differs from sample to sample, or is no part of the input",
            )
        if len(found) > 1:
            return Frame(
                None, "only one distinct question was measured, and its text stands in several places"
            )
        return Frame(found[0])

    @property
    def last(self) -> Mapping[str, Any] | None:
        """What one sample was really asked, for what is known of the request even where there is
        no frame."""
        return self._last if isinstance(self._last, Mapping) else None

    def _take(self, seen: tuple[str, Any, Any]) -> None:
        if self._whole is None:
            self._early.append(seen)
            if len(self._early) == FIRST:
                self._start()
            return
        question, asked, parted = seen
        self._whole = _fitting(self._whole, question, asked)
        self._parted = _fitting(self._parted or [], question, parted)

    def _start(self) -> None:
        """Make the templates that the longest of the first questions allows, and try them on the
        others."""
        if self._whole is not None:
            return
        # Of a question that holds the slot's own text no template is made: its places could not be
        # told apart.
        early = sorted(self._early, key=lambda seen: (SLOT in seen[0] and seen[0] != SLOT, -len(seen[0])))
        self._early = []
        self._whole, self._parted = [], []
        if early:
            question, asked, parted = early[0]
            self._whole = list(_templates(asked, question))
            self._parted = [] if parted is None else list(_templates(parted, question))
        for seen in early:
            self._take(seen)


def _question(
    sample: Mapping[str, Any], sent: list[dict[str, Any]]
) -> tuple[str | None, list[dict[str, Any]]]:
    """The sample's question, and what was sent with `SLOT` where a message is the sample's own,
    pictures and all; then that is the question, too."""
    own = resolve(dict(sample), sample["input"])
    if isinstance(own, str):
        return own or None, sent
    turn = last_user_turn(own)
    if turn is None:
        turn = next((i for i in range(len(own) - 1, -1, -1) if own[i].get("role") == "user"), None)
    if turn is None:
        return None, sent
    content = own[turn]["content"]
    if isinstance(content, str):
        return content, sent
    whole = [
        {**message, "content": SLOT}
        if message.get("role") == "user" and message.get("content") == content
        else message
        for message in sent
    ]
    return (text_of(content) or SLOT) if whole == sent else SLOT, whole


def _asked(
    sample: Mapping[str, Any], event: Mapping[str, Any], messages: list[dict[str, Any]]
) -> dict[str, Any]:
    config = event.get("config") or {}
    return {
        "messages": [_bare(message) for message in messages],
        "tools": resolve(dict(sample), list(event.get("tools") or [])),
        "tool_choice": event.get("tool_choice") or "none",
        "config": {k: v for k, v in config.items() if k not in TRANSPORT or k in CALL_CACHE},
    }


def _bare(message: Mapping[str, Any]) -> dict[str, Any]:
    """What a provider sees of a message: no ids, sources and metadata, which are new in every
    run."""
    return {key: message[key] for key in MESSAGE_KEYS if message.get(key) is not None}


def _without_history(sample: Mapping[str, Any], sent: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """What was sent without the sample's earlier turns, where it is a conversation and they are
    all there; the frame is then what the task put around every such conversation."""
    own = resolve(dict(sample), sample["input"])
    if isinstance(own, str) or len(own) < 2 or any(m.get("role") in ("system", "developer") for m in own):
        return None
    turn = last_user_turn(own)
    history = [_bare(message) for index, message in enumerate(own) if index != turn]
    kept = []
    for message in map(_bare, sent):
        if history and message == history[0]:
            history.pop(0)
        else:
            kept.append(message)
    return None if history else kept


def _templates(asked: Mapping[str, Any], question: str) -> Iterator[Any]:
    """`asked` with `SLOT` at one place of the question's text, at several, at all."""
    texts = asked["messages"]
    if holds_slot(texts):
        if question == SLOT:
            yield asked
        return
    places = _count(texts, question)
    if places > MOST_PLACES:
        choices: list[tuple[int, ...]] = [(n,) for n in range(places)] + [tuple(range(places))]
    else:
        choices = [chosen for size in range(1, places + 1) for chosen in combinations(range(places), size)]
    for chosen in choices:
        yield {**asked, "messages": _slotted(texts, question, set(chosen), iter(range(places)))}


def _count(value: Any, question: str) -> int:
    if isinstance(value, str):
        return value.count(question)
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return sum(_count(item, question) for item in items)


def _slotted(value: Any, question: str, chosen: set[int], numbers: Iterator[int]) -> Any:
    """`value` with `SLOT` at the chosen ones of the places, counted from the first."""
    if isinstance(value, str):
        first, *rest = value.split(question)
        return first + "".join((SLOT if next(numbers) in chosen else question) + part for part in rest)
    if isinstance(value, Mapping):
        return {key: _slotted(item, question, chosen, numbers) for key, item in value.items()}
    if isinstance(value, list):
        return [_slotted(item, question, chosen, numbers) for item in value]
    return value


def _fitting(templates: list[Any], question: str, asked: Any) -> list[Any]:
    """Those of the templates that are `asked` when the question is put in."""
    if asked is None:
        return []
    rest = {key: value for key, value in asked.items() if key != "messages"}
    return [
        template
        for template in templates
        if {key: value for key, value in template.items() if key != "messages"} == rest
        and (
            template["messages"] == asked["messages"]
            or filled(template["messages"], question) == asked["messages"]
        )
    ]
