"""Pydantic AI: a model of an agent whose requests are routed.

    model = RoutedModel(OpenAIChatModel("gpt-5"), "policies/support", suite="triage")
    result = await Agent(model).run("Reset the password of my account")
    result.new_messages()[-1].metadata["router_lab"]      # who answered, and why

Import this module only where `pydantic-ai-slim` is installed, with the extra of each provider.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
)
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings, merge_model_settings

from router_lab.integrations.answers import Answer, read
from router_lab.integrations.framing import at_most, bare, counted, framed, without
from router_lab.integrations.hosts import Host
from router_lab.integrations.pydantic_ai_messages import Job, text_of
from router_lab.integrations.requesting import RESPONSES, Frame, longest, several
from router_lab.integrations.routing import Asked, Routing, arun
from router_lab.integrations.turns import Turn
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.policy import Policy
from router_lab.runtime.store import PolicyStore

_APIS = {
    "OpenAIChatModel": "openai_chat",
    "OpenAIResponsesModel": "openai_responses",
    "AnthropicModel": "anthropic",
}
_CHOSEN = (
    "temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "thinking",
    "openai_reasoning_effort", "openai_text_verbosity", "anthropic_thinking", "anthropic_effort",
)  # fmt: skip
"""What makes another candidate of a model, in Pydantic AI's words."""
_KEPT = ("openai_previous_response_id", "openai_conversation_id")
"""By which the provider's copy of a conversation is gone on with; "auto" leaves out of the request
what the history holds, which is counted."""


class RoutedModel(WrapperModel):
    """A model whose every request goes to whom the policy chooses. Made for one event loop at a
    time, as the models that it wraps are.

    wrapped: a model whose class and provider serve all candidates measured through its API, and
    whoever is asked where no policy could be loaded. policy: also a `Routing`, which several models
    may share. others: a model for each other API, alike. frame: what is sent around a question
    (`requesting.Frame`). settings: of `Routing`. A run's conversation is its session. PolicyError
    for a policy that cannot be loaded, or a model whose API is none of those that are measured;
    each request raises it where nobody can serve, and BudgetExceeded.
    """

    def __init__(
        self,
        wrapped: Model | str,
        policy: Policy | PolicyStore | Routing | str | os.PathLike[str],
        *,
        others: Sequence[Model] = (),
        frame: Frame = "measured",
        **settings: Any,
    ) -> None:
        super().__init__(wrapped)
        self.routing = policy if isinstance(policy, Routing) else Routing(policy, **settings)
        self._frame = frame
        self._by_api = {_api(one): one for one in (*others, self.wrapped)}
        self._host = Host(tuple(sorted(self._by_api)), None, frame)
        self._made: dict[tuple[str, str], Model] = {}

    def prepare_request(
        self, model_settings: ModelSettings | None, model_request_parameters: ModelRequestParameters
    ) -> tuple[ModelSettings | None, ModelRequestParameters]:
        """Nothing: who is asked prepares it."""
        return model_settings, model_request_parameters

    def prepare_messages(
        self,
        messages: list[ModelMessage],
        model_request_parameters: ModelRequestParameters | None = None,
    ) -> list[ModelMessage]:
        """Nothing: who is asked prepares them."""
        return messages

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        job = self._job(messages, model_settings, model_request_parameters)

        async def call(turn: Turn) -> tuple[ModelResponse, Answer | None]:
            api, model, prepared, settings = self._sent(turn, job)
            response = await model.request(prepared, settings, job.parameters)
            return response, _answer(api, response, job.parameters)

        response, turn = await arun(self.routing.calls(self._begin(job, stream=False)), call)
        return replace(response, metadata=_told(response.metadata, turn))

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: Any = None,
    ) -> AsyncGenerator[StreamedResponse, None]:
        job = self._job(messages, model_settings, model_request_parameters)
        async with AsyncExitStack() as opened:

            async def call(turn: Turn) -> tuple[StreamedResponse, Answer | None]:
                _, model, prepared, settings = self._sent(turn, job)
                streaming = model.request_stream(prepared, settings, job.parameters, run_context)
                return await opened.enter_async_context(streaming), None

            stream, turn = await arun(self.routing.calls(self._begin(job, stream=True)), call)
            stream.metadata = _told(stream.metadata, turn)
            try:
                yield stream
            finally:
                response = stream.get()
                answer = _answer(self._api_of(turn), response, job.parameters)._replace(text=None)
                # What was counted of one that was left is a beginning.
                turn.finished(answer if response.state == "complete" else answer._replace(used=None))

    def _job(
        self, messages: list[ModelMessage], settings: ModelSettings | None, parameters: ModelRequestParameters
    ) -> Job:
        return Job(messages, merge_model_settings(self.wrapped.settings, settings) or {}, parameters)

    def _begin(self, job: Job, stream: bool) -> Turn:
        own, settings = job.settings.get("extra_body"), job.settings
        answer, whole = (None if (one := settings.get(name)) == "auto" else one for name in _KEPT)
        run = next(
            (one.conversation_id for one in reversed(job.messages) if isinstance(one, ModelRequest)), None
        )
        tools = [
            [one.name, one.description, one.parameters_json_schema]
            for one in (*job.parameters.function_tools, *job.parameters.output_tools)
        ]
        asked = Asked(
            [one.plain for one in job.turns],
            session=whole or run,
            continues=answer or whole,
            around=[part for part in (job.system, tools) if part],
            stream=stream,
            answers=several(own.get("n") if isinstance(own, Mapping) else None),
        )
        # What the provider keeps, only its own API can go on from.
        only = asked.continues is not None and RESPONSES in self._by_api
        return self.routing.begin(asked, self._host._replace(apis=(RESPONSES,)) if only else self._host)

    def _sent(self, turn: Turn, job: Job) -> tuple[str, Model, list[ModelMessage], ModelSettings]:
        """Who is asked now, through which API, and with what."""
        api = self._api_of(turn)
        own = job.settings.get("extra_body")
        body = own if isinstance(own, Mapping) else {}
        found = framed(turn, api, [one.plain for one in job.turns], job.system, body, self._frame)
        chosen = () if bare(turn) else (*_CHOSEN, *(["max_tokens"] if longest(api, found.settings) else []))
        kept, left = without(job.settings, chosen)
        if bare(turn) and (most := at_most(turn, kept.get("max_tokens"))) is not None:
            kept["max_tokens"] = most
        turn.left_out = tuple(sorted({*found.left_out, *left}))
        model = self._model(api, turn.model or turn.decision.model)
        messages = model.prepare_messages(job.sent(found), job.parameters)
        return api, model, messages, _placed(api, kept, found.settings)

    def _api_of(self, turn: Turn) -> str:
        return _api(self.wrapped) if bare(turn) else turn.decision.api

    def _model(self, api: str, name: str) -> Model:
        found = self._made.get((api, name))
        if found is None:
            given = self._by_api[api]
            made: Any = type(given)  # each of these classes takes a name and a provider
            found = self._made[api, name] = made(name, provider=given.provider)
        return found


def _api(model: Model) -> str:
    """The API that a model speaks; PolicyError for one that none was measured through."""
    api = next((_APIS[kind.__name__] for kind in type(model).__mro__ if kind.__name__ in _APIS), None)
    if api is None:
        raise PolicyError(
            f"RoutedModel: {type(model).__module__}.{type(model).__name__} is none of {', '.join(_APIS)}, through "
            "whose APIs candidates are measured; give one of them, with the provider that serves your models"
        )
    return api


def _placed(api: str, kept: Mapping[str, Any], measured: Mapping[str, Any]) -> ModelSettings:
    """The settings of a model: what it sends within other arguments in its own words, all else as
    it was measured, in the body."""
    body, settings = dict(measured), dict(kept)
    if api == "openai_responses":
        verbosity = (body.pop("text", None) or {}).get("verbosity")
        settings |= {"openai_text_verbosity": verbosity} if verbosity else {}
        if "message.output_text.logprobs" in (body.pop("include", None) or ()):
            settings["openai_logprobs"] = True
    if api == "anthropic":
        effort = (body.pop("output_config", None) or {}).get("effort")
        settings |= {"anthropic_effort": effort} if effort else {}
        settings |= {"max_tokens": body.pop("max_tokens")} if "max_tokens" in body else {}
    settings["extra_body"] = body
    found: Any = settings
    return ModelSettings(**found)


def _answer(api: str, response: ModelResponse, parameters: ModelRequestParameters) -> Answer:
    final = {one.name for one in parameters.output_tools}
    calls = [one for one in response.parts if isinstance(one, ToolCallPart)]
    outputs = [one.args_as_json_str() for one in calls if one.tool_name in final]
    tokens = (response.provider_details or {}).get("logprobs") or [
        token
        for one in response.parts
        if isinstance(one, TextPart)
        for token in (one.provider_details or {}).get("logprobs") or ()
    ]
    message = {
        "content": outputs[0] if outputs else text_of(response),
        "tool_calls": len(calls) > len(outputs),
    }
    found = read("openai_chat", {"choices": [{"message": message, "logprobs": {"content": tokens}}]})
    usage = response.usage
    used = counted(
        api, usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens
    )
    return found._replace(used=used)


def _told(metadata: Mapping[str, Any] | None, turn: Turn) -> dict[str, Any]:
    return {**(metadata or {}), "router_lab": turn.told.headers()}
