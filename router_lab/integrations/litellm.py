"""LiteLLM's plugin: a line in the proxy's configuration, or `route(Router(…), policy)` in its SDK.

    litellm_settings:
      callbacks: router_lab.integrations.litellm.plugin
      router_lab: {policy: /policies/support, default: [openai/gpt-5, null], session_usd: 2.0}

Requests for models named `router_lab…` are routed, to model groups that are named as the policy
names its candidates' models; all others are none of ours. Everything else stays LiteLLM's: which
deployment of a group, its keys, cooldowns and fallbacks. This module imports LiteLLM, so it is for
those who have it. docs/gateways.md says how it is used.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import warnings
from collections.abc import Mapping
from typing import Any

import litellm
from litellm import Router
from litellm._logging import verbose_proxy_logger
from litellm.integrations.custom_logger import CustomLogger

from router_lab.integrations.answers import Answer, read
from router_lab.integrations.clients import Job, replace
from router_lab.integrations.failures import refused
from router_lab.integrations.fallbacks import fell_back, logged_fallback, models_of, refused_before
from router_lab.integrations.gateway import API_OF, Gateway, settings_of
from router_lab.integrations.hops import look_at
from router_lab.integrations.hosts import Host
from router_lab.integrations.names import routes
from router_lab.integrations.outsiders import without_replacing
from router_lab.integrations.requesting import DICTS, Frame, conversation_of
from router_lab.integrations.routing import Routing, arun
from router_lab.integrations.telling import marked
from router_lab.integrations.turns import Turn
from router_lab.runtime.budget import BudgetExceeded
from router_lab.runtime.errors import PolicyError, RouterLabWarning
from router_lab.runtime.policy import Policy
from router_lab.runtime.store import PolicyStore

_SERVER = "litellm.proxy.proxy_server"
_CALLS = {"openai_chat": "acompletion", "openai_responses": "aresponses", "anthropic": "aanthropic_messages"}
"""The methods of LiteLLM's router."""
_OF_ONE_CALL = (
    "litellm_call_id",
    "litellm_logging_obj",
    "proxy_server_request",
    "secret_fields",
    "deployment",
)
"""What LiteLLM keeps in a request that another call of the same request makes anew."""
HEALTH = "/router_lab/health"
"""Where the proxy says whether a policy serves: 200, or 503 where none does."""
_SAID = (
    "ok", "serves", "policy", "revision", "policy_expires", "retires", "origin", "release", "since", "expires",
    "refused", "sessions",
)  # fmt: skip


class RouterLab(CustomLogger):  # type: ignore[misc]  # LiteLLM is not installed where types are checked
    """The proxy's callback. settings: as under `router_lab` in the configuration, which is read at
    the first request where they are None."""

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._settings, self._lock = settings, threading.Lock()
        self._made: Gateway | None = None
        self._fault = ""

    @property
    def gateway(self) -> Gateway:
        """PolicyError where the configuration is wrong, or its policy cannot be loaded."""
        if self._made is None:
            with self._lock:
                if self._made is None:
                    given = self._settings
                    given = getattr(litellm, "router_lab", None) if given is None else given
                    try:
                        if not isinstance(given, Mapping):
                            raise PolicyError("litellm_settings: `router_lab` is missing: {policy: PATH, …}")
                        self._made = Gateway(settings_of(given))
                    except PolicyError as error:
                        self._tell(error)
                        raise
        return self._made

    def _tell(self, error: PolicyError) -> None:
        """Into the proxy's log, once: health is asked for every few seconds, by anybody."""
        if str(error) != self._fault:
            self._fault = str(error)
            verbose_proxy_logger.error("nothing is routed: %s", error)

    async def async_pre_call_hook(
        self, user_api_key_dict: object, cache: object, data: dict[str, Any], call_type: str
    ) -> dict[str, Any] | None:
        """Before LiteLLM chooses a deployment: whose model group it is. What no later try would
        change is answered with 400, for SDKs ask again after 503."""
        api = API_OF.get(call_type)
        if api is None or not routes(data.get("model")):
            return None
        try:
            gateway = self.gateway
        except PolicyError as error:
            raise _refused(503, "router_lab", str(error)) from error
        try:
            router = _router()
            models = set() if router is None else models_of(router)
            id = os.urandom(16).hex()  # LiteLLM's own may be the caller's, and so another request's, too
            body, left_out = without_replacing(data)
            session = _session(data, user_api_key_dict)
            kept, request = gateway.begin(id, api, body, models, session, left_out)
        except BudgetExceeded as error:
            raise _refused(402, "budget_exceeded", str(error)) from error
        except PolicyError as error:
            raise _refused(400, "router_lab", str(error)) from error
        _note(request, kept.turn, id)
        return request

    async def async_post_call_success_hook(
        self, data: dict[str, Any], user_api_key_dict: object, response: object
    ) -> object:
        """After an answer that can be seen: whether it is kept, and if not, the next one's."""
        if self._made is None:
            return None
        gateway, id = self._made, _id(data)
        kept = gateway.take(id, stream=False)
        if kept is None:
            return None
        _seen(kept.turn, response, _router())
        if not kept.turn.judged:  # nobody is asked after it
            kept.turn.answered(read(kept.api, response, judged=False))
            gateway.tell(id, kept.turn.told)
            return response

        async def call(turn: Turn) -> tuple[object, Answer | None]:
            if turn is kept.turn:
                return response, read(kept.api, response, turn.judged)
            request = gateway.request(kept._replace(turn=turn))
            _note(request, turn, id, again=True)
            made = await getattr(_router(), _CALLS[kept.api])(
                **{key: value for key, value in request.items() if key not in _OF_ONE_CALL}
            )
            _seen(turn, made, _router())
            return made, read(kept.api, made, turn.judged)

        answer, turn = await arun(gateway.routing.calls(kept.turn), call)
        gateway.tell(id, turn.told)
        return answer

    async def async_post_call_response_headers_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: object,
        response: object,
        request_headers: dict[str, str] | None = None,
        litellm_call_info: dict[str, object] | None = None,
    ) -> dict[str, str] | None:
        """Who answered, why, and by which revision."""
        if self._made is None:
            return None
        by = fell_back(response, _noted(data).get("group"), _router())
        return self._made.headers(_id(data), by) or None

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: object, start_time: object, end_time: object
    ) -> None:
        """A stream has ended."""
        if self._made is not None and _own(kwargs):
            by = logged_fallback(kwargs, _noted(kwargs).get("group"), _router())
            self._made.ended(_id(kwargs), response_obj, by)

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: object,
        traceback_str: str | None = None,
    ) -> None:
        """The proxy gave up on a request. (What LiteLLM logs as a failure may be one of several
        attempts.)"""
        if self._made is not None:
            # Until all callbacks before the call let it through, LiteLLM has it as it came.
            sent, id = not routes(request_data.get("model")), _id(request_data)
            if not refused_before(request_data):
                self._made.lost(id)
            self._made.failed(id, original_exception, sent)

    async def log_failure_fallback_event(
        self, original_model_group: str, kwargs: dict[str, Any], original_exception: Exception
    ) -> None:
        """A fallback failed, too. What the proxy is told in the end is the error before it,
        whatever the fallback did; its own is the one that LiteLLM handles as it calls this."""
        error = sys.exception()
        worked = error is None or not refused(error) or not refused_before(kwargs)
        if self._made is not None and worked and _own(kwargs):
            self._made.lost(_id(kwargs))

    def health(self) -> dict[str, Any]:
        """As `Routing.health`; where the policy cannot be loaded, why."""
        try:
            return self.gateway.routing.health()
        except PolicyError as error:
            return {"ok": False, "serves": False, "error": str(error)}


def _router() -> Any:
    return getattr(sys.modules.get(_SERVER), "llm_router", None)  # an import costs more, on every request


def _session(data: Mapping[str, Any], caller: object = None) -> str | None:
    """The session's name as LiteLLM has read it, or the conversation that the provider keeps; with
    the hash of the caller's key, for two callers may give theirs the same name."""
    metadata = data.get("metadata") or data.get("litellm_metadata")
    named = metadata.get("session_id") if isinstance(metadata, DICTS) else None
    found = data.get("litellm_session_id") or named or conversation_of(data)
    if not found:
        return None
    key = getattr(caller, "token", None)
    return f"{key} {found}" if key else str(found)


def _note(request: dict[str, Any], turn: Turn, id: str, again: bool = False) -> None:
    """What was decided, beside what LiteLLM logs of a request, and by which it is known again.
    again: of another call of the same request."""
    name = "litellm_metadata" if "litellm_metadata" in request else "metadata"
    told = turn.told
    noted = {"model": told.candidate.model, "effort": told.candidate.effort, "revision": told.revision,
             "code": told.code, "reason": told.reason, "suite": told.suite, "request": id,
             "group": turn.model, "call": request.get("litellm_call_id")}  # fmt: skip
    found = request.get(name)
    if again or not isinstance(found, dict):
        request[name] = {**(found if isinstance(found, dict) else {}), "router_lab": noted}
    else:  # in place: where a later callback refuses it, LiteLLM tells of the request as it came
        found["router_lab"] = noted


def _id(data: Mapping[str, Any]) -> str:
    """By which a request is known; "" where nothing was noted."""
    return str(_noted(data).get("request", ""))


def _own(kwargs: Mapping[str, Any]) -> bool:
    """Whether what LiteLLM tells is of a request's own call, whose id stays the same through its
    retries and fallbacks. A copy that LiteLLM sends elsewhere (`silent_model`) has the request's
    metadata, and a call's id of its own."""
    return bool(_noted(kwargs).get("call") == kwargs.get("litellm_call_id"))


def _noted(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `_note` put into a request, wherever LiteLLM has carried it."""
    for holder in (data, data.get("litellm_params")):
        if isinstance(holder, DICTS):
            for name in ("litellm_metadata", "metadata"):
                metadata = holder.get(name)
                noted = metadata.get("router_lab") if isinstance(metadata, DICTS) else None
                if isinstance(noted, DICTS) and "request" in noted:
                    return noted
    return {}


def _seen(turn: Turn, response: object, router: Any) -> None:
    if (group := fell_back(response, turn.model, router)) is not None:
        turn.replaced(group)


def _looked(turn: Turn, router: Any, stream: object) -> None:
    """A stream as it is read: who gives it may have changed since it began."""
    _seen(turn, stream, router)
    marked(stream, turn.told)


def _refused(status: int, kind: str, message: str) -> Exception:
    from fastapi import HTTPException

    error: Exception = HTTPException(status_code=status, detail={"error": {"message": message, "type": kind}})
    return error


def route(
    router: Router,
    policy: Policy | PolicyStore | Routing | str | os.PathLike[str],
    *,
    frame: Frame = "measured",
    **settings: Any,
) -> Router:
    """LiteLLM's `Router` itself, whose `completion`, `responses` and `anthropic_messages`, awaited
    or not, are routed for models named `router_lab…`, as `clients.wrap` does it. A routing strategy
    of LiteLLM's own would choose a deployment, but see no answer and change no message.

    A session is named by `litellm_session_id` or `metadata={"session_id": …}`. What is streamed
    counts in a budget as all that was set aside for it. PolicyError as of `clients.wrap`.
    """
    routing = policy if isinstance(policy, Routing) else Routing(policy, **settings)
    for api, awaited in _CALLS.items():
        for name, waits in ((awaited, True), (awaited[1:], False)):
            if hasattr(router, name) and (waits or api != "anthropic"):  # which is awaited by either name
                replace(router, name, RouterJob(routing, api, frame, router), waits)
    return router


class RouterJob(Job):
    """Requests of LiteLLM's `Router`, to its model groups."""

    def __init__(self, routing: Routing, api: str, frame: Frame, router: Router) -> None:
        super().__init__(routing, api, frame)
        self._router = router

    def host(self) -> Host:
        return Host((self.api,), frozenset(self._router.get_model_names()), self.frame)

    def named(self, body: Mapping[str, Any]) -> str | None:
        return _session(body)

    def request(self, turn: Turn, body: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        request, wished = super().request(turn, body)
        return request | {"model": turn.model}, wished

    def seen(self, turn: Turn, raw: object, hides: bool, wanted: bool) -> tuple[Any, Answer | None]:
        _seen(turn, raw, self._router)
        if not wanted:
            look_at(raw, functools.partial(_looked, turn, self._router))
        return super().seen(turn, raw, hides, wanted)


plugin = RouterLab()
"""For `callbacks: router_lab.integrations.litellm.plugin`."""


async def _health() -> Any:
    from fastapi.responses import JSONResponse

    found = plugin.health()
    said = {name: found[name] for name in _SAID if name in found}
    return JSONResponse(said, status_code=200 if found["serves"] else 503)


def _log_warnings() -> None:
    """The proxy shows no warning of Python's to anybody; ours go to its log."""
    others = warnings.showwarning

    def shown(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, RouterLabWarning):
            verbose_proxy_logger.warning("%s", message)
        else:
            others(message, category, *where, **more)

    warnings.showwarning = shown


if _SERVER in sys.modules:  # the proxy imports its callbacks while it starts
    _log_warnings()
    sys.modules[_SERVER].app.add_api_route(HEALTH, _health, methods=["GET"])
