"""What a decision hands to an SDK: the arguments that were measured, of a whole request or of one
role's part in it."""

from __future__ import annotations

from typing import Any

from router_lab.runtime import clients
from router_lab.runtime.model import Limits, Profile

LOGPROB = "logprob"
"""The signal that an API tells beside its answer, where it is asked to."""


class Requests:
    """The request methods of whoever has a measured profile, limits, a tier and signals."""

    __slots__ = ()

    @property
    def _measured(self) -> Profile:
        """The profile, with the request of the suite that was decided for."""
        raise NotImplementedError

    @property
    def limits(self) -> Limits:
        """From the recorded distribution."""
        raise NotImplementedError

    @property
    def tier(self) -> str:
        """Where to run the request."""
        raise NotImplementedError

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of the signals that are read of the answer."""
        raise NotImplementedError

    @property
    def api(self) -> str:
        """The API that the candidate was measured through, on the suite decided for:
        `openai_chat`, `openai_responses` or `anthropic`. PolicyError if it is not known."""
        return self._through(self._measured)

    @staticmethod
    def _through(measured: Profile) -> str:
        found = measured.request.get("api")
        if found is None:
            clients.check(measured, "")
        return str(found)

    def request(
        self, messages: clients.Messages = None, *, tools: clients.Tools = None, stream: bool | None = None
    ) -> dict[str, Any]:
        """The arguments for the API that was measured (`api`), `send` them: the question in the
        measured frame.

        `messages`: a prompt, or messages in that API's form, of which the last user text is the
        question. The frame (system message, examples, text around the question, tools) is put
        around it as it was sent; the turns before and after it stay beside it. A system message
        that is the measured one counts once, another is refused; where none was measured, the
        caller's is passed on, and so are `tools`, but nothing was shown of them. Without
        `messages`, what comes before the question. `stream` is passed on. PolicyError where no
        request is known, none can be rebuilt, or the candidate's requests differ by suite and the
        decision was for none of them.
        """
        return self._arguments(self.api, messages, tools, stream)

    def settings(self) -> dict[str, Any]:
        """Of `request` those arguments that say who answers and how (model, effort, lengths, tier),
        for whoever sends messages, tools and a system message of his own, of which nothing was
        shown. PolicyError where the API is not known, or the candidate's requests differ by suite
        and the decision was for none of them."""
        measured = self._measured
        api = self._through(measured)
        found = clients.settings_for(measured, api, self.limits, self.tier)
        return clients.with_logprobs(found, api) if LOGPROB in self.signals else found

    def send(
        self,
        client: object,
        messages: clients.Messages,
        *,
        tools: clients.Tools = None,
        stream: bool | None = None,
    ) -> Any:
        """What the SDK's client (`OpenAI()`, `Anthropic()`, or their async kin) answers to
        `request(messages, …)`.

        PolicyError as for `request`, and for a client of another API than the measured one.
        """
        api = self.api
        return clients.send(client, api, self._arguments(api, messages, tools, stream))

    def anthropic(
        self, messages: clients.Messages = None, *, tools: clients.Tools = None, stream: bool | None = None
    ) -> dict[str, Any]:
        """`request` for `Anthropic().messages.create(**…)`; PolicyError if another API was
        measured."""
        return self._arguments("anthropic", messages, tools, stream)

    def openai_chat(
        self, messages: clients.Messages = None, *, tools: clients.Tools = None, stream: bool | None = None
    ) -> dict[str, Any]:
        """`request` for `OpenAI().chat.completions.create(**…)`; PolicyError if another API was
        measured."""
        return self._arguments("openai_chat", messages, tools, stream)

    def openai_responses(
        self, messages: clients.Messages = None, *, tools: clients.Tools = None, stream: bool | None = None
    ) -> dict[str, Any]:
        """`request` for `OpenAI().responses.create(**…)`; PolicyError if another API was
        measured."""
        return self._arguments("openai_responses", messages, tools, stream)

    def _arguments(
        self, api: str, messages: clients.Messages, tools: clients.Tools, stream: bool | None
    ) -> dict[str, Any]:
        found = clients.arguments_for(
            self._measured, api, self.limits, self.tier, messages, tools=tools, stream=stream
        )
        return clients.with_logprobs(found, api) if LOGPROB in self.signals else found
