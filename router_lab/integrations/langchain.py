"""LangChain and LangGraph: middleware of an agent that routes each of its model calls.

    routed = Routed("policies/support", suite="triage")
    agent = create_agent(ChatOpenAI(model="gpt-5"), tools, middleware=[routed])
    state = agent.invoke({"messages": [("user", "Reset my password")]})
    state["messages"][-1].response_metadata["router_lab"]      # who answered, and why

Import this module only where `langchain` is installed, with the package of each provider.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage
from langgraph.config import get_config

from router_lab.integrations.answers import Answer, read
from router_lab.integrations.framing import Framed, at_most, bare, counted, framed, without
from router_lab.integrations.hosts import Host
from router_lab.integrations.langchain_models import (
    CHOSEN,
    LENGTHS,
    Models,
    Name,
    Seen,
    apis_of,
    beside,
    body_of,
    placed,
    shown,
)
from router_lab.integrations.requesting import RESPONSES, Frame, conversation_of, kept_as, longest, several
from router_lab.integrations.routing import Asked, Routing, arun, run
from router_lab.integrations.turns import Turn
from router_lab.runtime.policy import Policy
from router_lab.runtime.store import PolicyStore

_TOOLS = 1000
_SHOWN = ("_StreamingCallbackHandler", "_V2StreamingCallbackHandler")
_OF_TOOLS = "StreamToolCallHandler"
"""Listens to what tools say (`stream_mode="tools"`), and to no model."""
_ROLES = {"human": "user", "ai": "assistant", "system": "system"}


class Routed(AgentMiddleware[Any, Any, Any]):
    """Every model call of an agent goes to whom the policy chooses. Put it last among middleware
    that changes messages or tools, so that what it sees is what is sent.

    The agent's own model serves all candidates that were measured through its APIs, with its client
    and keys, and whoever is asked where no policy could be loaded. policy: also a `Routing`, which
    several agents may share. others: a model for each other API, alike. frame: what is sent around
    a question (`requesting.Frame`). settings: of `Routing`. A thread (`thread_id`) is a session.
    Answers are judged unless they are shown as they come (`stream_mode="messages"`, events).
    PolicyError for a policy that cannot be loaded; each call raises it where nobody can serve, and
    BudgetExceeded.
    """

    def __init__(
        self,
        policy: Policy | PolicyStore | Routing | str | os.PathLike[str],
        *,
        others: Sequence[BaseChatModel] = (),
        frame: Frame = "measured",
        **settings: Any,
    ) -> None:
        super().__init__()
        self.routing = policy if isinstance(policy, Routing) else Routing(policy, **settings)
        self._others = {api: one for one in others for api in apis_of(one)}
        self._frame = frame
        self._models = Models()
        self._texts: dict[int, tuple[object, str]] = {}

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        by_api, job = self._by_api(request), Job(request)

        def call(turn: Turn) -> tuple[ModelResponse[Any], Answer | None]:
            with Seen() as seen:
                response = handler(self._seen(turn, job, by_api))
            return response, _answer(turn, response, seen)

        return _told(*run(self.routing.calls(self._begin(job, by_api)), call))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        by_api, job = self._by_api(request), Job(request)

        async def call(turn: Turn) -> tuple[ModelResponse[Any], Answer | None]:
            with Seen() as seen:
                response = await handler(self._seen(turn, job, by_api))
            return response, _answer(turn, response, seen)

        return _told(*await arun(self.routing.calls(self._begin(job, by_api)), call))

    def _by_api(self, request: ModelRequest[Any]) -> dict[str, BaseChatModel]:
        return {**self._others, **dict.fromkeys(apis_of(request.model), request.model)}

    def _begin(self, job: Job, by_api: Mapping[str, BaseChatModel]) -> Turn:
        config = _config()
        job.shown = _shown(job.request.model, config)
        thread = (config.get("configurable") or {}).get("thread_id")
        tools = "".join(map(self._text, job.request.tools))
        said = [beside(one, job.request.model_settings) for one in by_api.values()]
        kept = next(filter(None, map(kept_as, said)), None)
        asked = Asked(
            job.plain,
            session=next(filter(None, map(conversation_of, said)), None) if thread is None else str(thread),
            continues=kept,
            around=[part for part in (job.system, tools) if part],
            stream=job.shown,
            answers=max(several(one.get("n")) for one in said),
        )
        # What the provider keeps, only its own API can go on from.
        apis = (RESPONSES,) if kept is not None and RESPONSES in by_api else tuple(sorted(by_api))
        return self.routing.begin(asked, Host(apis, None, self._frame))

    def _text(self, tool: Any) -> str:
        """A tool as a text, for its size: its schema is made once."""
        found = self._texts.get(id(tool))
        if found is not None and found[0] is tool:
            return found[1]
        schema = tool if isinstance(tool, dict) else getattr(tool, "args", {})
        text = f"{getattr(tool, 'name', '')} {getattr(tool, 'description', '')} {json.dumps(schema, default=str)}"
        if len(self._texts) >= _TOOLS:
            self._texts.clear()
        self._texts[id(tool)] = (tool, text)
        return text

    def _seen(self, turn: Turn, job: Job, by_api: Mapping[str, BaseChatModel]) -> ModelRequest[Any]:
        """The agent's request, by a model that says of what is shown as it comes who answers."""
        sent = self._sent(turn, job, by_api)
        return sent.override(model=shown(sent.model, turn)) if job.shown else sent

    def _sent(self, turn: Turn, job: Job, by_api: Mapping[str, BaseChatModel]) -> ModelRequest[Any]:
        """The agent's request, for who is asked now."""
        request, name = job.request, turn.model or turn.decision.model
        if bare(turn):  # nothing was measured, so all goes as the agent has it
            settings = {**request.model_settings, "model": name}
            most = at_most(turn, settings.get("max_tokens", getattr(request.model, "max_tokens", None)))
            return request.override(
                model_settings=settings if most is None else settings | {"max_tokens": most}
            )
        api = turn.decision.api
        given = by_api[api]
        body = body_of(given, request.model_settings)
        found = framed(turn, api, job.plain, job.system, body, self._frame)
        lengths = LENGTHS if longest(api, found.settings) is not None else ()
        kept, left = without(request.model_settings, (*CHOSEN, *lengths))
        model, gave_way = self._models.of(Name(given, api, name, bool(lengths), turn.counted))
        turn.left_out = tuple(sorted({*found.left_out, *left, *gave_way}))
        changes: dict[str, Any] = {"model": model, "model_settings": placed(api, given, kept, found.settings)}
        if found.system:
            changes["system_message"] = SystemMessage(found.system)
        if found.said is not None:
            changes["messages"] = job.sent(found)
        return request.override(**changes)


class Job:
    """One request as the agent makes it. shown: its answer is seen as it comes."""

    def __init__(self, request: ModelRequest[Any]) -> None:
        self.request, self.shown = request, False
        self._systems = [one for one in request.messages if isinstance(one, SystemMessage)]
        self._turns = [one for one in request.messages if not isinstance(one, SystemMessage)]
        own = [] if request.system_message is None else [request.system_message]
        self.system = "\n".join(str(one.text) for one in (*own, *self._systems))
        self.plain = [_plain(one) for one in self._turns]

    def sent(self, found: Framed) -> list[AnyMessage]:
        """The agent's messages in the measured frame."""
        whole: list[AnyMessage] = [*self._systems]
        for one in found.said or ():
            if one.at is not None and not one.changed:
                whole.append(self._turns[one.at])
            else:
                whole.append(AIMessage(one.text) if one.role == "assistant" else HumanMessage(one.text))
        return whole


def _plain(message: AnyMessage) -> dict[str, Any]:
    found: dict[str, Any] = {"role": _ROLES.get(message.type, "tool"), "content": message.content}
    if isinstance(message, AIMessage):
        found["content"] = str(message.text)
        calls = [[one["name"], one["args"]] for one in message.tool_calls]
        found |= {"tool_calls": calls} if calls else {}
    return found


def _config() -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = get_config()
        return found
    except RuntimeError:  # outside of a graph
        return {}


def _shown(model: BaseChatModel, config: Mapping[str, Any]) -> bool:
    """Whether an answer is shown as it comes: somebody listens to its tokens."""
    callbacks = config.get("callbacks")
    handlers = getattr(callbacks, "handlers", callbacks) or ()
    kinds = [{kind.__name__ for kind in type(one).__mro__} for one in handlers]
    listening = any(not names.isdisjoint(_SHOWN) and _OF_TOOLS not in names for names in kinds)
    return listening or getattr(model, "streaming", False) is True


def _answer(turn: Turn, response: ModelResponse[Any], seen: Seen) -> Answer:
    api = None if bare(turn) else turn.decision.api
    message = next((one for one in response.result if isinstance(one, AIMessage)), None)
    if message is None:
        return Answer()
    calls = message.tool_calls
    final = response.structured_response is not None
    tokens = (message.response_metadata.get("logprobs") or {}).get("content")
    said = {
        "content": json.dumps(calls[0]["args"]) if final and calls else str(message.text),
        "tool_calls": bool(calls) and not final,
    }
    found = read("openai_chat", {"choices": [{"message": said, "logprobs": {"content": tokens}}]})
    usage: Any = message.usage_metadata or {}
    details = usage.get("input_token_details") or {}
    whole, output = usage.get("input_tokens") or 0, usage.get("output_tokens") or 0
    cached, written = details.get("cache_read") or 0, details.get("cache_creation") or 0
    signals = found.signals or seen.signals
    return found._replace(signals=signals, used=counted(api or "", whole, output, cached, written))


def _told(response: ModelResponse[Any], turn: Turn) -> ModelResponse[Any]:
    headers = turn.told.headers()
    result = [
        one.model_copy(update={"response_metadata": {**one.response_metadata, "router_lab": headers}})
        if isinstance(one, AIMessage)
        else one
        for one in response.result
    ]
    return replace(response, result=result)
