"""The clients of `openai` and `anthropic`, routed: `wrap(OpenAI(), policy)`.

    routed = wrap(OpenAI(), "policies/support")
    answer = routed.chat.completions.create(model="router_lab/triage", messages=[…])
    told(answer)      # who answered, and why

Sync and async, `create`, `parse` and `stream`, of chat completions, responses and messages.
Requests for other models pass through untouched. The user's code stays as it was; what it may say
beside is in two headers, which are taken out again: `x-router-lab-session` and
`x-router-lab-suite` (in `extra_headers`).
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeVar, cast

from router_lab.integrations.answers import Answer, field, read
from router_lab.integrations.hosts import Host
from router_lab.integrations.names import routes
from router_lab.integrations.requesting import Frame, conversation_of, given, request_of, shortened
from router_lab.integrations.routing import Routing, arun, asked_of, run
from router_lab.integrations.telling import mark_within, marked, telling, told
from router_lab.integrations.turns import Turn
from router_lab.integrations.watching import watch
from router_lab.runtime.clients import METHODS
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.policy import Policy
from router_lab.runtime.store import PolicyStore

__all__ = ["SESSION", "SUITE", "told", "wrap"]

SESSION, SUITE = "x-router-lab-session", "x-router-lab-suite"
_ANSWERS = {"openai_chat": "choices", "openai_responses": "output", "anthropic": "content"}
_ROUTED = ("create", "parse", "stream")
Client = TypeVar("Client")
Method = Callable[..., Any]


def wrap(
    client: Client,
    policy: Policy | PolicyStore | Routing | str | os.PathLike[str],
    *,
    frame: Frame = "measured",
    **settings: Any,
) -> Client:
    """A copy of an SDK's client, whose requests for models named `router_lab…` are routed; it
    shares the connections of the one that was given.

    policy: also a `Routing`, which several clients may share. settings: of `Routing`. frame: what
    is sent around a question (`requesting.Frame`). Who was measured through another API than that
    of the method called never serves, and the reason says so; whom this client cannot reach for
    another reason (another server) is to be left out of `allowed`. PolicyError for what is no
    client, or a policy that cannot be loaded; each request raises it where nobody can serve, or
    its frame is not the measured one, and BudgetExceeded.
    """
    routing = policy if isinstance(policy, Routing) else Routing(policy, **settings)
    copied: Any = getattr(client, "copy", lambda: None)()
    found = {api: _resource(copied, path[:-1]) for api, path in METHODS.items()}
    if not any(found.values()):
        raise PolicyError(
            f"wrap: {type(client).__module__}.{type(client).__name__} has none of "
            f"{', '.join('.'.join(path) for path in METHODS.values())}; pass OpenAI() or Anthropic(), sync or async"
        )
    waits = hasattr(client, "__aenter__")
    for api, resource in found.items():
        for name in _ROUTED if resource is not None else ():
            if hasattr(resource, name):
                replace(resource, name, Job(routing, api, frame), waits)
    again = functools.partial(_copied, copied.copy, routing, frame)
    copied.copy = copied.with_options = again
    return cast(Client, copied)


class Job:
    """How requests of one API are made."""

    def __init__(self, routing: Routing, api: str, frame: Frame) -> None:
        self.routing, self.api, self.frame = routing, api, frame

    def host(self) -> Host:
        """What the client is able to ask."""
        return Host((self.api,), None, self.frame)

    def session(self, body: Mapping[str, Any]) -> str | None:
        """The session that the caller named by its header, or else otherwise."""
        return _header(body, SESSION) or self.named(body)

    def named(self, body: Mapping[str, Any]) -> str | None:
        """The session by the conversation that the provider keeps."""
        return conversation_of(body)

    def begin(self, body: Mapping[str, Any], stream: bool) -> Turn:
        """Who is asked first for what the caller asks."""
        suite = _header(body, SUITE) or self.routing.suite_of(str(body["model"]))
        return self.routing.begin(asked_of(self.api, body, suite, self.session(body), stream), self.host())

    def request(self, turn: Turn, body: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """The arguments for who is asked now, and whether the usage at a stream's end is our wish
        and not the caller's."""
        request, turn.left_out = request_of(turn.decision, self.api, given(body), self.frame)
        request = shortened(self.api, request, turn.most_output)
        if headers := request.get("extra_headers"):
            kept = {name: value for name, value in headers.items() if name.lower() not in (SESSION, SUITE)}
            request["extra_headers"] = kept
        wished = turn.counted and bool(request.get("stream")) and self.api == "openai_chat"
        options = request.get("stream_options")
        wished = wished and not (isinstance(options, Mapping) and options.get("include_usage"))
        if wished:
            request["stream_options"] = {**(options or {}), "include_usage": True}
        return request, wished

    def seen(self, turn: Turn, raw: object, hides: bool, wanted: bool) -> tuple[Any, Answer | None]:
        """The SDK's answer and what was read of it; of a stream, and of a raw response, nothing."""
        if wanted and isinstance(field(raw, _ANSWERS[self.api]), list):
            return raw, read(self.api, raw, turn.judged)
        if not watch(raw, self.api, turn.finished, hides, lambda event: mark_within(event, turn.told)):
            turn.finished(Answer())
        return raw, None


def replace(resource: Any, name: str, job: Job, waits: bool) -> None:
    """Route the calls of one method of one object; `waits`: it is awaited."""
    original: Method = getattr(resource, name)
    if name == "stream":
        routed: Method = functools.partial(_streamed, job, resource, original)
    elif waits:
        routed = functools.partial(_acreated, job, original)
    else:
        routed = functools.partial(_created, job, original)
    setattr(resource, name, functools.wraps(original)(routed))


def _created(job: Job, original: Method, /, **body: Any) -> Any:
    if not routes(body.get("model")):
        return original(**body)
    streams = body.get("stream") is True

    def call(turn: Turn) -> tuple[Any, Answer | None]:
        request, hides = job.request(turn, body)
        return job.seen(turn, original(**request), hides, not streams)

    answer, turn = run(job.routing.calls(job.begin(body, streams)), call)
    return marked(answer, turn.told)


async def _acreated(job: Job, original: Method, /, **body: Any) -> Any:
    if not routes(body.get("model")):
        return await original(**body)
    streams = body.get("stream") is True

    async def call(turn: Turn) -> tuple[Any, Answer | None]:
        request, hides = job.request(turn, body)
        return job.seen(turn, await original(**request), hides, not streams)

    answer, turn = await arun(job.routing.calls(job.begin(body, streams)), call)
    return marked(answer, turn.told)


def _streamed(job: Job, resource: Any, original: Method, /, **body: Any) -> Any:
    """The SDKs' stream helpers: OpenAI's make a `create` of their own, which is routed already;
    Anthropic's post at once."""
    if not routes(body.get("model")):
        return original(**body)
    if job.api != "anthropic":
        return telling(original(**body))
    turn = job.begin(body, stream=True)
    own = type(resource)(resource._client)
    post, entered = own._post, threading.Event()

    def posted(*args: Any, **options: Any) -> Any:
        entered.set()
        turn.reserve()
        with _failing(turn):
            made = post(*args, **options)
            if isinstance(made, Awaitable):
                return _awaited(job, turn, made)
            return _seen(job, turn, made)

    own._post = posted
    turn.reserve()  # before the caller enters it, as everywhere
    with _failing(turn):
        manager = marked(telling(own.stream(**job.request(turn, body)[0])), turn.told)
        with contextlib.suppress(TypeError):  # somebody else's, in the SDK's place, may take no reference
            weakref.finalize(manager, _given_back, turn, entered).atexit = False
        return manager


def _given_back(turn: Turn, entered: threading.Event) -> None:
    """A stream that nobody has entered is gone, and was never sent."""
    if not entered.is_set():
        turn.unsent()


async def _awaited(job: Job, turn: Turn, made: Awaitable[object]) -> Any:
    with _failing(turn):
        return _seen(job, turn, await made)


def _seen(job: Job, turn: Turn, stream: object) -> Any:
    return marked(job.seen(turn, stream, hides=False, wanted=False)[0], turn.told)


@contextlib.contextmanager
def _failing(turn: Turn) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        turn.failed(error)
        raise


def _copied(copy: Method, routing: Routing, frame: Frame, /, **options: Any) -> Any:
    return wrap(copy(**options), routing, frame=frame)


def _header(body: Mapping[str, Any], name: str) -> str | None:
    headers = body.get("extra_headers")
    found = (
        {str(key).lower(): value for key, value in headers.items()} if isinstance(headers, Mapping) else {}
    )
    value = found.get(name)
    return value if isinstance(value, str) and value else None


def _resource(client: object, path: tuple[str, ...]) -> object:
    for name in path:
        client = getattr(client, name, None)
    return client
