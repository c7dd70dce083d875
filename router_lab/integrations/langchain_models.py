"""Models of LangChain as a user made them, under the names of those who are chosen."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from typing import Any, NamedTuple

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.language_models import BaseChatModel

from router_lab.integrations.answers import read
from router_lab.integrations.turns import Turn
from router_lab.runtime.errors import PolicyError

_APIS = {"ChatOpenAI": ("openai_chat", "openai_responses"), "ChatAnthropic": ("anthropic",)}
CHOSEN = (
    "temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "effort",
    "reasoning_effort", "reasoning", "verbosity", "thinking", "thinking_budget",
)  # fmt: skip
"""What makes another candidate of a model, in LangChain's words."""
LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_BESIDE = ("extra_headers", "extra_query", "timeout")
"""What a model's `model_kwargs` may hold for its SDK, and not for the body of a request."""
_WITHIN = {
    "openai_chat": (),
    "openai_responses": ("reasoning", "include"),
    "anthropic": ("max_tokens", "thinking", "output_config"),
}
"""Arguments that LangChain sends with parts of its own, which a body would replace."""
_MODELS = 1000
_SEEN: ContextVar[list[Any] | None] = ContextVar("router_lab_seen", default=None)


class Name(NamedTuple):
    """One of the models that are made of a user's. measured_length: the longest answer was
    measured, so that his own gives way; counted: what an answer uses is to be told, also where it
    is streamed."""

    given: BaseChatModel
    api: str
    name: str
    measured_length: bool
    counted: bool


class Models:
    """A user's models under other names, without settings of his that are the policy's to choose;
    each shares the connections of the one that was given."""

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], tuple[BaseChatModel, BaseChatModel, tuple[str, ...]]] = {}

    def of(self, name: Name) -> tuple[BaseChatModel, tuple[str, ...]]:
        """The model, and the names of its settings that gave way."""
        key = (id(name.given), *name[1:])
        found = self._made.get(key)
        if found is None or found[0] is not name.given:
            if len(self._made) >= _MODELS:
                self._made.clear()
            found = self._made[key] = (name.given, *_renamed(name))
        return found[1:]


class Seen:
    """What the Responses API answered within: LangChain passes on no log-probabilities of it."""

    def __enter__(self) -> Seen:
        self._raw = list[Any]()
        self._token: Token[list[Any] | None] = _SEEN.set(self._raw)  # a list: tasks within share it
        return self

    def __exit__(self, *_: object) -> None:
        _SEEN.reset(self._token)

    @property
    def signals(self) -> Mapping[str, float]:
        """Of the last answer."""
        return read("openai_responses", self._raw[-1].parse()).signals if self._raw else {}


class Shown(BaseCallbackHandler):
    """Tells a turn that its answer is being shown, with the first part of it."""

    run_inline = True  # before anybody sees that part
    ignore_chat_model = True  # else a text is made of all messages, to tell of a beginning

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    def on_llm_new_token(self, *_: Any, **__: Any) -> None:
        self._turn.begun = True

    def on_stream_event(self, *_: Any, **__: Any) -> None:
        self._turn.begun = True


def shown(model: BaseChatModel, turn: Turn) -> BaseChatModel:
    """A copy of the model for this turn, whose every token says in its metadata who answers."""
    own = model.callbacks
    handlers = [*(own.handlers if isinstance(own, BaseCallbackManager) else own or ()), Shown(turn)]
    metadata = {**(model.metadata or {}), "router_lab": turn.told.headers()}
    return model.model_copy(update={"callbacks": handlers, "metadata": metadata})


def apis_of(model: BaseChatModel) -> tuple[str, ...]:
    """The APIs that a model speaks; PolicyError for one that none was measured through, or whose
    requests go elsewhere than their model's name says (a deployment of Azure's)."""
    found = next((_APIS[kind.__name__] for kind in type(model).__mro__ if kind.__name__ in _APIS), None)
    if found is None:
        raise PolicyError(
            f"Routed: {type(model).__module__}.{type(model).__name__} is neither ChatOpenAI nor ChatAnthropic, through "
            "whose APIs candidates are measured; give the agent one of them"
        )
    return found


def body_of(given: BaseChatModel, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the user says in the words of the API, of all requests and of this one."""
    always = {**(getattr(given, "model_kwargs", None) or {}), **(getattr(given, "extra_body", None) or {})}
    whole = {**always, **(settings.get("extra_body") or {})}
    return {name: value for name, value in whole.items() if name not in _BESIDE}


def beside(given: BaseChatModel, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a request says beside its messages, wherever the user said it."""
    return {"n": getattr(given, "n", None), **settings, **body_of(given, settings)}


def _renamed(name: Name) -> tuple[BaseChatModel, tuple[str, ...]]:
    given, api = name.given, name.api
    fields = type(given).model_fields
    lengths = (
        LENGTHS if name.measured_length and api != "anthropic" else ()
    )  # Anthropic's is always sent anew
    gone = [one for one in (*CHOSEN, *lengths) if one in fields and getattr(given, one) is not None]
    changes: dict[str, Any] = dict.fromkeys(gone)
    own: Mapping[str, Any] = getattr(given, "model_kwargs", None) or {}
    changes["model_kwargs"] = {key: value for key, value in own.items() if key in _BESIDE}
    changes["model_name" if "model_name" in fields else "model"] = name.name
    output = getattr(given, "output_config", None)
    if output and "effort" in output:
        changes["output_config"] = {key: value for key, value in output.items() if key != "effort"}
        gone.append("output_config")
    if api != "anthropic":
        changes |= {"extra_body": None, "use_responses_api": api == "openai_responses"}
        changes |= {"stream_usage": True} if name.counted else {}
    if api == "openai_responses":
        changes |= {
            client: _watched(getattr(given, client)) for client in ("root_client", "root_async_client")
        }
    return given.model_copy(update=changes), tuple(gone)


def _watched(client: Any) -> Any:
    """A copy of an SDK's client that keeps what the Responses API answers for whoever looks on."""
    if client is None:
        return None
    copied = client.copy()
    keep = _kept_awaited if hasattr(client, "__aenter__") else _kept
    for name in ("create", "parse"):
        original = getattr(copied.responses, name)
        setattr(copied.responses, name, functools.wraps(original)(functools.partial(keep, original)))
    return copied


def _kept(original: Callable[..., Any], /, **body: Any) -> Any:
    return _keep(original(**body))


async def _kept_awaited(original: Callable[..., Any], /, **body: Any) -> Any:
    return _keep(await original(**body))


def _keep(raw: Any) -> Any:
    seen = _SEEN.get()
    if seen is not None and hasattr(raw, "parse"):  # a stream has none
        seen.append(raw)
    return raw


def placed(
    api: str, given: BaseChatModel, kept: Mapping[str, Any], measured: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings of a call: what LangChain sends with parts of its own in its own words, all else
    as it was measured, in the body."""
    body = dict(measured)
    settings = {name: value for name, value in kept.items() if name != "extra_body"}
    settings |= {name: body.pop(name) for name in _WITHIN[api] if name in body}
    if api == "openai_responses":
        verbosity = (body.pop("text", None) or {}).get("verbosity")
        settings |= {"verbosity": verbosity} if verbosity else {}
        if "include" in settings:
            own = getattr(given, "include", None) or ()
            settings["include"] = list(dict.fromkeys([*own, *settings["include"]]))
    return settings | ({"extra_body": body} if body else {})
