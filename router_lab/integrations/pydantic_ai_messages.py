"""The messages of a run of Pydantic AI: what is decided on, and what is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, NamedTuple

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from router_lab.integrations.framing import Framed
from router_lab.integrations.requesting import MEDIA_TOKENS

_UNSEEN = "." * MEDIA_TOKENS


class Piece(NamedTuple):
    """A part of a request, or a whole response, and what it is as a dict with a role and a
    content."""

    whole: ModelMessage
    part: ModelRequestPart | None
    plain: dict[str, Any]


class Job:
    """One request as the agent makes it."""

    def __init__(
        self, messages: list[ModelMessage], settings: ModelSettings, parameters: ModelRequestParameters
    ) -> None:
        self.messages, self.settings, self.parameters = messages, settings, parameters
        pieces = list(_pieces(messages))
        self.turns = [one for one in pieces if one.plain["role"] != "system"]
        self._systems = [one for one in pieces if one.plain["role"] == "system"]
        requests = [one for one in messages if isinstance(one, ModelRequest)]
        self._instructions = requests[-1].instructions if requests else None
        texts = [str(one.plain["content"]) for one in self._systems]
        self.system = "\n".join([*texts, *([self._instructions] if self._instructions else [])])

    def sent(self, found: Framed) -> list[ModelMessage]:
        """The agent's messages in the measured frame."""
        added: list[ModelMessage] = (
            [ModelRequest([SystemPromptPart(found.system)], instructions=self._instructions)]
            if found.system
            else []
        )
        if found.said is None:
            return [*added, *self.messages]
        whole: list[Piece | ModelMessage] = [*added, *self._systems]
        for said in found.said:
            if said.at is not None and not said.changed:
                whole.append(self.turns[said.at])
            elif said.role == "assistant":
                whole.append(ModelResponse([TextPart(said.text)]))
            else:
                # The instructions are read of the last request.
                whole.append(ModelRequest([UserPromptPart(said.text)], instructions=self._instructions))
        return list(_joined(whole))


def _joined(found: list[Piece | ModelMessage]) -> Iterator[ModelMessage]:
    """Parts that stood in one request next to each other stand in one again: the results of calls
    that were made together must come together."""
    for _, group in groupby(found, lambda one: id(one.whole if isinstance(one, Piece) else one)):
        first, *others = group
        if isinstance(first, Piece) and isinstance(first.whole, ModelRequest):
            pieces = [first, *(one for one in others if isinstance(one, Piece))]
            yield replace(first.whole, parts=[one.part for one in pieces if one.part is not None])
        else:
            yield first.whole if isinstance(first, Piece) else first


def _pieces(messages: Sequence[ModelMessage]) -> Iterator[Piece]:
    for message in messages:
        if isinstance(message, ModelResponse):
            calls = [[one.tool_name, one.args] for one in message.parts if isinstance(one, ToolCallPart)]
            plain: dict[str, Any] = {"role": "assistant", "content": text_of(message)}
            yield Piece(message, None, {**plain, "tool_calls": calls} if calls else plain)
            continue
        for part in message.parts:
            content = getattr(part, "content", None)
            if isinstance(part, SystemPromptPart):
                plain = {"role": "system", "content": part.content}
            elif isinstance(part, UserPromptPart):
                plain = {"role": "user", "content": content if isinstance(content, str) else _parts(content)}
            else:  # what a tool gave back, and what is asked again, is no question of the user's
                plain = {"role": "tool", "content": content if isinstance(content, str) else repr(content)}
            yield Piece(message, part, plain)


def _parts(content: object) -> list[dict[str, Any]]:
    found = list[dict[str, Any]]()
    for one in content if isinstance(content, list | tuple) else ():
        text = one if isinstance(one, str) else getattr(one, "content", None)
        found.append(
            {"type": "text", "text": text} if isinstance(text, str) else {"type": "media", "data": _UNSEEN}
        )
    return found


def text_of(response: ModelResponse) -> str:
    """The text of an answer."""
    return "".join(one.content for one in response.parts if isinstance(one, TextPart))
