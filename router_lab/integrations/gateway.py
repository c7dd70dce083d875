"""A gateway's requests, each in several hooks: before the call, after the answer, for the headers,
at a stream's end. What LiteLLM's plugin does, but for LiteLLM's own classes."""

from __future__ import annotations

import math
import os
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from router_lab.integrations.answers import Answer, counts, field, used
from router_lab.integrations.hosts import Host
from router_lab.integrations.requesting import Frame, request_of, shortened
from router_lab.integrations.routing import Routing, asked_of
from router_lab.integrations.sessions import bounded
from router_lab.integrations.turns import Told, Turn
from router_lab.runtime.artifact import load_policy
from router_lab.runtime.decisions import DecisionLog
from router_lab.runtime.errors import PolicyError, RouterLabWarning
from router_lab.runtime.release import RELEASE
from router_lab.runtime.store import PolicyStore

API_OF = {
    "completion": "openai_chat",
    "acompletion": "openai_chat",
    "responses": "openai_responses",
    "aresponses": "openai_responses",
    "anthropic_messages": "anthropic",
}
"""The API of what LiteLLM calls a type of call."""
_MOST_AT_ONCE = 10_000
_MOST_OF_ALL = 10 * _MOST_AT_ONCE
"""Requests under way of which the oldest are forgotten, whatever their age."""
_LONGEST_S = 6_000.0
"""Seconds after which LiteLLM gives a call up, unless it is told otherwise."""
_STORE = ("name", "alias", "state", "verify", "public_key", "interval_s", "accept_older", "requires")
_ROUTING = (
    "suite", "point", "allowed", "escalate", "session_turns", "session_tokens", "session_usd",
    "most_sessions", "cache_s",
)  # fmt: skip
_OWN = ("policy", "default", "frame", "log", "log_prompts")


class Settings(NamedTuple):
    """How a gateway routes, from `router_lab` in its configuration."""

    routing: Routing
    frame: Frame


def settings_of(given: Mapping[str, Any]) -> Settings:
    """From the configuration's mapping. `policy` is the path of an artifact or of a folder of
    releases, which is looked at again every `interval_s` seconds; with `default`, [model, effort],
    this serves until one can be loaded. The other keys are those of `Routing` and
    `PolicyStore`; `frame` (here "caller" unless it is given), `log`, a path, and `log_prompts`,
    whether it holds them. Warns (RouterLabWarning) of releases that are refused. PolicyError for a
    key that is none of these, and for a policy that cannot be loaded where there is no default."""
    known = (*_OWN, *_ROUTING, *_STORE)
    unknown = sorted(set(given) - set(known))
    if unknown or "policy" not in given:
        what = f"key {unknown[0]!r} is not one of {', '.join(known)}" if unknown else "`policy` is missing"
        raise PolicyError(f"litellm_settings: router_lab: {what}")
    frame = given.get("frame", "caller")
    if frame not in ("measured", "caller"):
        raise PolicyError(f"litellm_settings: router_lab: frame is {frame!r}, not measured or caller")
    policy = _policy_of(given)
    log, prompts = given.get("log"), given.get("log_prompts", False)
    if not isinstance(prompts, bool) or (prompts and log is None):
        raise PolicyError(
            f"litellm_settings: router_lab: log_prompts is {prompts!r}; it is true or false, beside `log`"
        )
    routing = {key: given[key] for key in _ROUTING if key in given}
    if "allowed" in routing:
        routing["allowed"] = [tuple(one) for one in routing["allowed"]]
    return Settings(
        Routing(policy, log=None if log is None else DecisionLog(log, prompts=prompts), **routing), frame
    )


def _policy_of(given: Mapping[str, Any]) -> PolicyStore | str | os.PathLike[str]:
    """A store, or without `default` the path itself of an artifact: it is loaded once, and never
    changes."""
    path, default = given["policy"], given.get("default")
    if not isinstance(path, str | os.PathLike):
        raise PolicyError(f"litellm_settings: router_lab: policy is {path!r:.80}, not a path")
    store = {key: given[key] for key in _STORE if key in given}
    first = None if default is None else tuple(default)
    if default is None and os.path.lexists(Path(path) / RELEASE):
        known = {
            key: value for key, value in store.items() if key in ("name", "alias", "verify", "public_key")
        }
        spec = load_policy(path, **known).spec  # it serves at once, or the configuration is wrong
        first = spec.profiles[spec.reference]
    if first is None:
        if store:
            raise PolicyError(
                f"litellm_settings: router_lab: {next(iter(store))!r} is of a folder of releases, and {path} holds no "
                f"{RELEASE}: publish there, or give `default`: [model, effort], which serves until somebody does"
            )
        return path
    found = PolicyStore(path, default=first, on_refused=_refused, **store)
    found.check()
    if default is None and found.status.origin == "default":  # nobody named who serves then
        raise PolicyError(f"litellm_settings: router_lab: {found.status.last_refusal}")
    found.start()
    return found


def _refused(error: PolicyError) -> None:
    told = f"a release is refused, and what served before (a release, else `default`) serves on: {error}"
    warnings.warn(RouterLabWarning(told), stacklevel=2)


class Kept(NamedTuple):
    """A request that is under way: whom it asks, how, and what the caller said. left_out: what else
    he said, which is none of his to say."""

    turn: Turn
    api: str
    body: Mapping[str, Any]
    stream: bool
    left_out: tuple[str, ...] = ()


class Gateway:
    """The requests of one gateway that are under way, by its own ids. Safe among threads."""

    def __init__(self, settings: Settings) -> None:
        self.routing, self.frame = settings
        self._kept: dict[str, Kept] = {}
        self._told: dict[str, Told] = {}
        self._lock = threading.Lock()
        self._hosts: tuple[frozenset[str], dict[str, Host]] = (frozenset(), {})
        """By API, as long as the models stay the same."""
        self._old, self._crowded = frozenset[str](), -math.inf

    def begin(
        self,
        id: str,
        api: str,
        body: Mapping[str, Any],
        models: set[str],
        session: str | None,
        left_out: tuple[str, ...] = (),
    ) -> tuple[Kept, dict[str, Any]]:
        """Who is asked, and the request for it, by the name that the gateway has for the model.
        left_out: what the gateway took out of the body before. PolicyError and BudgetExceeded as of
        `Routing.begin` and `Turn.reserve`."""
        known, hosts = self._hosts
        if known != models:
            known, hosts = self._hosts = (frozenset(models), {})  # one assignment: both or neither
        host = hosts.get(api)
        if host is None:
            host = hosts[api] = Host((api,), known, self.frame, priced=self.routing.priced)
        stream, suite = body.get("stream") is True, self.routing.suite_of(str(body["model"]))
        asked = asked_of(api, body, suite, session, stream)
        turn = self.routing.begin(asked, host)
        turn.reserve()
        kept = Kept(turn, api, body, stream, left_out)
        try:
            request = self.request(kept)
        except BaseException:
            turn.unsent()
            raise
        with self._lock:
            self._kept[id] = kept
            lost = self._over() if len(self._kept) > _MOST_AT_ONCE else ()
        for other in lost:  # of which the gateway has told no end
            other.turn.given_up(TimeoutError())
        return kept, request

    def _over(self) -> list[Kept]:
        """Where many are under way: those that were so a whole call's time ago, too, of which no
        end will be told. The others may be alive, however many they are."""
        now = monotonic()
        if now - self._crowded < _LONGEST_S:
            return bounded(self._kept, _MOST_OF_ALL)
        lost = [self._kept.pop(id) for id in self._old if id in self._kept]
        self._old, self._crowded = frozenset(self._kept), now
        return lost

    def request(self, kept: Kept) -> dict[str, Any]:
        """The request of `kept` for who is asked now."""
        turn = kept.turn
        request, left_out = request_of(turn.decision, kept.api, kept.body, self.frame)
        turn.left_out = tuple(sorted((*kept.left_out, *left_out))) if kept.left_out else left_out
        return {**shortened(kept.api, request, turn.most_output), "model": turn.model}

    def take(self, id: str, *, stream: bool) -> Kept | None:
        """The request of this id, which is then no more under way; None if there is none, or the
        other of streamed and not streamed is asked for."""
        with self._lock:
            found = self._kept.get(id)
            return self._kept.pop(id) if found is not None and found.stream is stream else None

    def tell(self, id: str, told: Told) -> None:
        """Keep what the caller is to be told, until the headers are written."""
        with self._lock:
            self._told[id] = told
            if len(self._told) > _MOST_AT_ONCE:
                bounded(self._told, _MOST_AT_ONCE)

    def headers(self, id: str, by: str | None = None) -> dict[str, str]:
        """Headers of the response to a request; none of one that was not routed. by: as of
        `ended`."""
        with self._lock:
            told, kept = self._told.pop(id, None), self._kept.get(id)
        if kept is not None and kept.stream:
            kept.turn.begun = True
            if by is not None:
                kept.turn.replaced(by)
        if told is None and kept is not None:
            told = kept.turn.told
        return {} if told is None else told.headers()

    def lost(self, id: str) -> None:
        """An attempt of a request that is under way failed after whatever work, and the gateway
        makes another."""
        with self._lock:
            found = self._kept.get(id)
        if found is not None:
            found.turn.lost = True

    def failed(self, id: str, error: BaseException, sent: bool = True) -> None:
        """The gateway gave up on a request. sent: whether it may have been sent to a provider."""
        with self._lock:
            found = self._kept.pop(id, None)
        if found is not None and not sent:
            found.turn.unsent()
        elif found is not None:
            found.turn.given_up(error)

    def ended(self, id: str, answer: object, by: str | None = None) -> None:
        """A streamed answer has ended; `answer` as the gateway put it together; by: who gave it,
        where the gateway fell back by itself."""
        found = self.take(id, stream=True)
        if found is not None:
            if by is not None:
                found.turn.replaced(by)
            usage = field(answer, "usage") or field(field(answer, "response"), "usage")
            told = used(_style(usage), usage)
            if told is not None and found.api == "anthropic":  # whose cache holds what was marked alone
                (written,) = counts(usage, ("cache_creation_input_tokens",))
                told = told._replace(held=min(told.read + (written or 0), told.input))
            found.turn.finished(Answer(used=told, id=_id(found.api, answer)))


def _style(usage: object) -> str:
    """Whose names a usage block has: gateways put one API's answer together in another's."""
    if field(usage, "prompt_tokens") is not None:
        return "openai_chat"
    return "anthropic" if field(usage, "input_tokens_details") is None else "openai_responses"


def _id(api: str, answer: object) -> str | None:
    found = field(answer, "id") or field(field(answer, "response"), "id")
    return found if api == "openai_responses" and isinstance(found, str) else None
