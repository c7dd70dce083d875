"""The OpenAI Agents SDK: a provider of models whose requests are routed.

    config = RunConfig(model_provider=RoutedProvider("policies/support"))
    agent = Agent(name="Support", model="router_lab/triage")
    result = await Runner.run(agent, "Reset the password of my account", run_config=config)
    told(result.raw_responses[-1])      # who answered, and why

Import this module only where `openai-agents` is installed.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from agents import MultiProvider, OpenAIProvider, get_current_trace
from agents.items import ModelResponse, TResponseStreamEvent
from agents.model_settings import ModelSettings
from agents.models.interface import Model, ModelProvider

from router_lab.integrations.answers import Answer, read
from router_lab.integrations.clients import SESSION, SUITE
from router_lab.integrations.framing import Framed, at_most, bare, counted, framed
from router_lab.integrations.hosts import Host
from router_lab.integrations.names import routes
from router_lab.integrations.requesting import RESPONSES, Frame, conversation, longest, several
from router_lab.integrations.routing import Asked, Routing, arun
from router_lab.integrations.telling import marked, told
from router_lab.integrations.turns import Turn
from router_lab.runtime.policy import Policy
from router_lab.runtime.store import PolicyStore

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["RoutedModel", "RoutedProvider", "told"]

_CHOSEN = ("temperature", "top_p", "frequency_penalty", "presence_penalty", "reasoning", "verbosity")
"""What makes another candidate of a model, in the SDK's words."""
_SERVED = Host(("openai_chat", RESPONSES))


class RoutedProvider(ModelProvider):
    """Models named `router_lab…` are routed: `router_lab/SUITE` on that suite. All others are those
    of `others`.

    policy: also a `Routing`, which several providers may share. openai_client: for candidates that
    were measured through OpenAI's APIs; None = the SDK's own. others: None = those of the SDK.
    frame: what is sent around a question (`requesting.Frame`). settings: of `Routing`. A session is
    named by the header `x-router-lab-session` (in `ModelSettings.extra_headers`, taken out again),
    by the SDK's `conversation_id`, or by the `group_id` of the trace. PolicyError for a policy that
    cannot be loaded; each request raises it where nobody can serve, and BudgetExceeded.
    """

    def __init__(
        self,
        policy: Policy | PolicyStore | Routing | str | os.PathLike[str],
        *,
        openai_client: AsyncOpenAI | None = None,
        others: ModelProvider | None = None,
        frame: Frame = "measured",
        **settings: Any,
    ) -> None:
        self.routing = policy if isinstance(policy, Routing) else Routing(policy, **settings)
        self._others = others or MultiProvider(openai_client=openai_client)
        self._frame = frame
        self._by_api: dict[str, ModelProvider] = {
            api: OpenAIProvider(openai_client=openai_client, use_responses=api == RESPONSES)
            for api in _SERVED.apis or ()
        }

    def get_model(self, model_name: str | None) -> Model:
        if model_name is None or not routes(model_name):
            return self._others.get_model(model_name)
        return RoutedModel(self.routing, model_name, self._by_api, self._others, self._frame)

    async def aclose(self) -> None:
        for one in (self._others, *self._by_api.values()):
            await one.aclose()


class Call(NamedTuple):
    """One request as the runner makes it. rest: tools, output schema, handoffs, tracing, in this
    order; kept: what the provider keeps (`previous_response_id`, …). suite, session: as headers
    name them."""

    system: str | None
    input: Any
    settings: ModelSettings
    rest: tuple[Any, ...]
    kept: Mapping[str, Any]
    suite: str | None
    session: str | None

    @property
    def turns(self) -> list[dict[str, Any]]:
        """The messages as dicts, in the form of the Responses API."""
        body = [{"role": "user", "content": self.input}] if isinstance(self.input, str) else self.input
        return cast(list[dict[str, Any]], conversation(RESPONSES, {"input": body}))


class RoutedModel(Model):
    """A model whose every request goes to whom the policy chooses."""

    def __init__(
        self,
        routing: Routing,
        name: str,
        by_api: Mapping[str, ModelProvider],
        others: ModelProvider,
        frame: Frame,
    ) -> None:
        self._routing, self._name, self._frame = routing, name, frame
        self._by_api, self._others = by_api, others

    async def get_response(
        self,
        system_instructions: str | None,
        input: Any,
        model_settings: ModelSettings,
        *rest: Any,
        **kept: Any,
    ) -> ModelResponse:
        asked = _call(system_instructions, input, model_settings, rest, kept)

        async def call(turn: Turn) -> tuple[ModelResponse, Answer | None]:
            model, system, messages, settings = self._sent(turn, asked)
            response = await model.get_response(system, messages, settings, *asked.rest, **asked.kept)
            return response, _answer(_api(turn), response)

        plan: Any = self._routing.calls(self._begin(asked, stream=False))
        response, turn = await arun(plan, call)
        return cast(ModelResponse, marked(response, turn.told))

    async def stream_response(
        self,
        system_instructions: str | None,
        input: Any,
        model_settings: ModelSettings,
        *rest: Any,
        **kept: Any,
    ) -> AsyncIterator[TResponseStreamEvent]:
        asked = _call(system_instructions, input, model_settings, rest, kept)

        async def call(turn: Turn) -> tuple[Any, Answer | None]:
            model, system, messages, settings = self._sent(turn, asked)
            events = model.stream_response(system, messages, settings, *asked.rest, **asked.kept)
            # Before its first event nothing was shown, and another may be asked.
            return (await anext(events, None), events), None

        plan: Any = self._routing.calls(self._begin(asked, stream=True))
        (event, events), turn = await arun(plan, call)
        ended = Answer()
        try:
            while event is not None:
                response = getattr(event, "response", None)
                # The runner makes an answer of its own, of the items.
                for one in (
                    response,
                    getattr(event, "item", None),
                    *(getattr(response, "output", None) or ()),
                ):
                    marked(one, turn.told)
                if response is not None and response.usage is not None:
                    ended = _answer(_api(turn), response)
                yield event
                event = await anext(events, None)
        finally:
            turn.finished(ended._replace(text=None))
            await events.aclose()

    def _begin(self, asked: Call, stream: bool) -> Turn:
        tools, _, handoffs, _ = asked.rest
        told_of = [
            [getattr(one, name, None) for name in ("name", "description", "params_json_schema")]
            for one in tools
        ] + [[one.tool_name, one.tool_description, one.input_json_schema] for one in handoffs]
        kept_by = asked.kept.get("previous_response_id") or asked.kept.get("conversation_id")
        own = {
            **(asked.settings.extra_args or {}),
            **cast(Mapping[str, Any], asked.settings.extra_body or {}),
        }
        host = _SERVED._replace(frame=self._frame)
        return self._routing.begin(
            Asked(
                asked.turns,
                asked.suite or self._routing.suite_of(self._name),
                asked.session,
                kept_by,
                [part for part in (asked.system, told_of) if part],
                stream=stream,
                answers=several(own.get("n")),
            ),
            host._replace(apis=(RESPONSES,)) if kept_by else host,
        )

    def _sent(self, turn: Turn, asked: Call) -> tuple[Model, str | None, Any, ModelSettings]:
        """Who is asked now, and with what."""
        given = asked.settings
        if bare(turn):  # nothing was measured, so all goes as the runner has it
            settings = replace(given, max_tokens=at_most(turn, given.max_tokens))
            return self._others.get_model(turn.decision.model), asked.system, asked.input, settings
        api = turn.decision.api
        own = {**(given.extra_args or {}), **cast(Mapping[str, Any], given.extra_body or {})}
        found = framed(turn, api, asked.turns, asked.system or "", own, self._frame)
        settings, left = _settings(turn, api, given, found)
        turn.left_out = tuple(sorted({*found.left_out, *left}))
        model = self._by_api[api].get_model(turn.model or turn.decision.model)
        messages = asked.input
        if found.said is not None:
            messages = [
                {"role": one.role, "content": one.text}
                if one.at is None or one.changed
                else asked.turns[one.at]
                for one in found.said
            ]
        return model, asked.system or found.system or None, messages, settings


def _call(
    system: str | None, messages: Any, settings: ModelSettings, rest: tuple[Any, ...], kept: dict[str, Any]
) -> Call:
    names = ("tools", "output_schema", "handoffs", "tracing")
    whole = rest + tuple(kept.pop(name) for name in names[len(rest) :])  # by place or by name
    headers = {name.lower(): str(value) for name, value in (settings.extra_headers or {}).items()}
    if headers.keys() & {SESSION, SUITE}:
        others = {
            name: value
            for name, value in (settings.extra_headers or {}).items()
            if name.lower() not in (SESSION, SUITE)
        }
        settings = replace(settings, extra_headers=others)
    trace = get_current_trace()
    session = headers.get(SESSION) or kept.get("conversation_id") or getattr(trace, "group_id", None)
    return Call(system, messages, settings, whole, kept, headers.get(SUITE), session)


def _settings(
    turn: Turn, api: str, given: ModelSettings, found: Framed
) -> tuple[ModelSettings, tuple[str, ...]]:
    """The runner's settings with what was measured, and the names of those that gave way."""
    body, changes = dict(found.settings), dict[str, Any]()
    left = [name for name in _CHOSEN if getattr(given, name) is not None]
    if longest(api, body) is not None and given.max_tokens is not None:
        left.append("max_tokens")
    changes |= dict.fromkeys(left)
    if api == RESPONSES:
        # The SDK sends text and include with parts of its own, which a body would replace.
        verbosity = (body.pop("text", None) or {}).get("verbosity")
        changes |= {"verbosity": verbosity} if verbosity else {}
        include = [*(given.response_include or ()), *(body.pop("include", None) or ())]
        changes |= {"response_include": list(dict.fromkeys(include))} if include else {}
    elif turn.counted:
        changes["include_usage"] = True
    args = {name: body.pop(name) for name in given.extra_args or {} if name in body}
    return replace(given, **changes, extra_args=args, extra_body=body), tuple(left)


def _api(turn: Turn) -> str:
    return RESPONSES if bare(turn) else turn.decision.api


def _answer(api: str, response: Any) -> Answer:
    usage = response.usage
    details = getattr(usage, "input_tokens_details", None)
    found = read(RESPONSES, {"output": response.output})
    return found._replace(
        used=counted(api, usage.input_tokens, usage.output_tokens, getattr(details, "cached_tokens", 0) or 0),
        id=getattr(response, "response_id", None) or getattr(response, "id", None),
    )
