"""A candidate's harness in a sweep: every call of its models is made with the messages and tools
that `Harness` leaves, as an application would."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageUser,
    GenerateConfig,
    Model,
    get_model,
)
from inspect_ai.tool import ToolDef, ToolInfo, ToolSource

from router_lab.inspect_compat import surround
from router_lab.runtime.harness import Harness

SUMMARISER = "summariser"
"""Role that a team may have for a `summarise` policy; else the asked model does it itself."""
ASK = (
    "Summarise what was done so far for whoever goes on with it: what was tried, what came out, and what is still "
    "open. Be short.\n\n{text}"
)


def with_harness(model: Model, harness: Harness) -> Model:
    """`model`, every call of which goes through `harness`; itself where that changes nothing."""
    if not harness.changes_messages and harness.tools is None:
        return model
    return surround(model, partial(_prepared, harness))


async def _prepared(harness: Harness, model: Model, given: Any, tools: Any) -> tuple[Any, Any]:
    messages = [ChatMessageUser(content=given)] if isinstance(given, str) else list(given)
    return await _kept(harness, model, messages), await _shown(harness, tools)


async def _kept(harness: Harness, model: Model, messages: list[ChatMessage]) -> list[ChatMessage]:
    if not harness.changes_messages:
        return messages
    views = [_view(message, at) for at, message in enumerate(messages)]
    wanted: list[str] = []

    def note(text: str) -> str:
        wanted.append(text)
        return ""

    kept = harness.apply(views, summarise=note)
    if wanted:
        summary = await _summary(model, wanted[0])
        kept = harness.apply(views, summarise=lambda _: summary)
    return [_message(view, views, messages) for view in kept]


async def _summary(model: Model, text: str) -> str:
    # Past its own harness, which would ask for a summary again.
    asked = get_model(role=SUMMARISER, default=model)
    prompt = ASK.format(text=text)
    output = await Model.generate(asked, prompt, config=GenerateConfig())
    return output.completion.strip()


def _view(message: ChatMessage, at: int) -> dict[str, Any]:
    """What `Harness.apply` reads of a message, and where it stands."""
    content = message.content if isinstance(message.content, str) else message.text
    calls = message.tool_calls or () if isinstance(message, ChatMessageAssistant) else ()
    asked = [{"function": {"name": one.function, "arguments": json.dumps(one.arguments)}} for one in calls]
    return {"role": message.role, "content": content, "tool_calls": asked, "_at": at}


def _message(
    view: Mapping[str, Any], views: Sequence[Mapping[str, Any]], messages: list[ChatMessage]
) -> ChatMessage:
    if "_at" not in view:
        return ChatMessageUser(content=view["content"])
    original: ChatMessage = messages[view["_at"]]
    if view is views[view["_at"]]:
        return original
    return type(original).model_validate({**original.model_dump(), "content": view["content"]})


async def _shown(harness: Harness, tools: Any) -> Any:
    if harness.tools is None:
        return tools
    given = [tools] if isinstance(tools, ToolSource) else list(tools)
    every = [tool for one in given for tool in (await one.tools() if isinstance(one, ToolSource) else [one])]
    return [tool for tool in every if _name(tool) in harness.tools]


def _name(tool: Any) -> str:
    return str(tool.name if isinstance(tool, ToolInfo | ToolDef) else ToolDef(tool).name)
