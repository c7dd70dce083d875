"""What every drop-in shares: from a host's request to who answers it, and who after that.

    routing = Routing(policy)                        # a Policy, a PolicyStore, or a path
    turn = routing.begin(Asked(messages, suite="triage"), Host(apis=("openai_chat",)))
    answer, turn = run(routing.calls(turn), call)    # or `await arun(…)`
    turn.told                                        # who, why, by which revision

`call(turn)` is the host's own part: it makes the request of `turn.decision` (with an answer of at
most `turn.most_output` tokens) and gives back the host's answer and what was read of it, an
`answers.Answer`; or None in its place where the answer is shown as it comes, which is kept then,
and told of with `turn.finished(…)` at its end.

What happens around it: a session stays with who served it unless a switch pays (`previous`,
`cached_tokens`, `key` of `Policy.decide`); an answer that can be seen before it is shown is judged
(`Decision.judge`), and a candidate that cannot answer gives way to the next (`Decision.next`); a
call that does not fit into its session's budget raises BudgetExceeded before it is made. Where a
later stage fails or is not paid for, the answer before it stands.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Awaitable, Callable, Collection, Generator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

from router_lab.integrations.answers import Answer
from router_lab.integrations.hosts import Host, Servable, profile_of
from router_lab.integrations.names import ToldOnce, unknown_suite
from router_lab.integrations.requesting import PLAIN, SYSTEM, conversation, kept_as, opening, several, size_of
from router_lab.integrations.sessions import Allowance, Served, Sessions
from router_lab.integrations.turns import Request, Turn
from router_lab.runtime.artifact import load_policy
from router_lab.runtime.budget import BudgetExceeded
from router_lab.runtime.constraints import CHARACTERS_PER_TOKEN
from router_lab.runtime.decision import Decision
from router_lab.runtime.decisions import DecisionLog
from router_lab.runtime.errors import PolicyError, shown
from router_lab.runtime.features import cap_text
from router_lab.runtime.policy import Policy
from router_lab.runtime.reasons import BARE
from router_lab.runtime.store import PolicyStore

_LOOKS = 3
Raw = TypeVar("Raw")
Plan: TypeAlias = Generator[Turn, tuple[Raw, Answer | None], tuple[Raw, Turn]]
"""One request as calls; see `Routing.calls`."""
_ANY_HOST = Host()


class Asked(NamedTuple):
    """What a host is asked. messages: a text, or messages (dicts), as `Policy.decide` takes them.
    session: the user's own name of it; turns of a conversation without one are known by how it
    begins. continues: where the provider keeps the conversation, its id, or that of the answer that
    this goes on from. around: what else is sent (system message, tools), for its size. stream: the
    answer is shown as it comes, and never judged. answers: how many are asked for at once."""

    messages: str | Sequence[Mapping[str, Any]]
    suite: str | None = None
    session: str | None = None
    continues: str | None = None
    around: object = None
    stream: bool = False
    answers: int = 1


def asked_of(
    api: str, body: Mapping[str, Any], suite: str | None, session: str | None, stream: bool
) -> Asked:
    """What a request of `api` asks; `session` as the host knows its name."""
    around = tuple(filter(None, (body.get(SYSTEM.get(api, "")), body.get("tools"))))
    answers = several(body["n"]) if "n" in body else 1
    kept = kept_as(body) if "previous_response_id" in body or "conversation" in body else None
    return Asked(conversation(api, body), suite, session, kept, around, stream, answers)


class Routing:
    """How the requests of one host are routed. Safe among threads and tasks.

    policy: a `Policy`, a `PolicyStore` (reloads while it serves), or the path of an artifact.
    suite: of requests that name none. point: of the policy's points. allowed: the only candidates
    that may serve. escalate: whether answers are judged. fallbacks: whether the next is asked where
    a candidate cannot answer. session_turns, session_tokens, session_usd: what one session may
    spend; a request without a named session is one of its own. most_sessions: how many are
    remembered. cache_s: seconds for which a provider keeps a prompt cache. check, signals: what is
    known of an answer's text: whether it passes a check of yours, and numbers by the names in
    `Decision.signals`. log: where decisions are written; of a path without prompts. clock: seconds.
    PolicyError for a policy that cannot be loaded.
    """

    def __init__(
        self,
        policy: Policy | PolicyStore | str | os.PathLike[str],
        *,
        suite: str | None = None,
        point: str | None = None,
        allowed: Collection[object] | None = None,
        escalate: bool = True,
        fallbacks: bool = True,
        session_turns: int | None = None,
        session_tokens: int | None = None,
        session_usd: float | None = None,
        most_sessions: int = 10_000,
        cache_s: float = 300.0,
        check: Callable[[str], bool | None] | None = None,
        signals: Callable[[str], Mapping[str, float]] | None = None,
        log: DecisionLog | str | os.PathLike[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policy: Policy | PolicyStore = (
            policy if isinstance(policy, Policy | PolicyStore) else load_policy(policy)
        )
        self.escalate, self.fallbacks = escalate, fallbacks
        self.check, self.signals = check, signals
        self.log = DecisionLog(log) if isinstance(log, str | os.PathLike) else log
        self.sessions = Sessions(
            most_sessions, cache_s, Allowance(session_turns, session_tokens, session_usd)
        )
        self._suite, self._point, self._clock, self.priced = suite, point, clock, session_usd is not None
        self.servable, self._typos = Servable(allowed), ToldOnce()

    @property
    def serving(self) -> Policy:
        """The policy that serves now."""
        return self.policy.policy if isinstance(self.policy, PolicyStore) else self.policy

    def suite_of(self, model: str) -> str | None:
        """The suite that a model's name asks for: what follows `router_lab/`, unless that is the
        policy's own name."""
        named = model.partition("/")[2]
        spec = self.serving.spec
        if not named or (named == spec.name and named not in spec.suites):
            return self._suite
        return named

    def begin(self, asked: Asked, host: Host = _ANY_HOST) -> Turn:
        """Who is asked first. PolicyError where the host can serve nobody of the policy, or the
        request is nested some hundred levels deep."""
        if self.priced and not host.priced:
            host = host._replace(priced=True)
        suite = self._suite if asked.suite is None else asked.suite
        look, remember, key = self._thread(asked, suite)
        try:
            size = size_of(asked.messages) + (0 if asked.around == () else size_of(asked.around))
        except RecursionError:
            raise PolicyError("the request is nested deeper than any model's: nobody is asked") from None
        question: dict[str, Any] = {"suite": suite, "point": self._point, "key": key}
        known = self.sessions.served(look, self._clock())
        if known is not None:
            question |= {"previous": known.candidate, "cached_tokens": known.cached}
        # What the provider keeps is read again, and paid for.
        kept = 0 if known is None or asked.continues is None else known.context
        if kept or asked.around or not (isinstance(asked.messages, str) or len(asked.messages) == 1):
            # What was asked last says nothing of how long the whole conversation is.
            context = kept + size // CHARACTERS_PER_TOKEN
            question["context_tokens"] = max(context, known.context if known else 0)
        decision, said, question = self._decided(asked, host, suite, question)
        if decision.unknown_suite is not None:
            said = "; ".join(filter(None, (self._unknown(decision, decision.unknown_suite), said)))
        request = Request(
            host, suite, asked.session, remember, self.sessions.budget(asked.session), asked.stream,
            size=size + kept, said=said, asked=question, answers=asked.answers,
        )  # fmt: skip
        return Turn(self, request, decision)

    def _unknown(self, decision: Decision, name: str) -> str:
        """What the caller is told of a suite that the policy does not know; a warning is given
        once."""
        spec = self.serving.spec
        if not spec.suites or decision.code in BARE:
            return ""
        hint = unknown_suite(name, spec.suites)
        text = f"suite {shown(name)} is not in policy {spec.name!r}, so rates of all suites decide"
        self._typos.once(name, f"{text}: {hint}")
        return hint

    def _thread(self, asked: Asked, suite: str | None) -> tuple[str | None, str | None, str | None]:
        """By what a session's last turn is looked up and this one remembered, None = not at all,
        and the key that chance is drawn by: the same in all its turns."""
        if asked.session is not None:
            name = f"named {asked.session}"
            return name, name, asked.session
        if asked.continues is not None:
            return f"answer {asked.continues}", None, None
        begun = opening(asked.messages)
        if begun is None:
            return None, None, None
        text, gone_on = begun
        name = "begins " + hashlib.sha256(f"{suite} {text}".encode("utf-8", "replace")).hexdigest()
        # Until somebody has answered, another conversation that began alike is not this one; and
        # the draw of the first turn is that of its text.
        if not gone_on:
            return None, name, None
        return name, name, cap_text(text, self.serving.spec.featuriser.cap)

    def _decided(
        self, asked: Asked, host: Host, suite: str | None, question: dict[str, Any]
    ) -> tuple[Decision, str, dict[str, Any]]:
        """The decision, what is to be said of who cannot serve, and all that was asked."""
        given = asked.messages
        if isinstance(given, str):
            prompt: Any = given
        else:
            prompt = list(given) if PLAIN.issuperset(map(type, given)) else [dict(one) for one in given]
        for _ in range(_LOOKS):
            policy = self.serving
            served = self.servable.of(policy, host, suite)
            whole = question if served.allowed is None else {**question, "allowed": served.allowed}
            decision = self.policy.decide(prompt, **whole)
            if policy is self.serving:
                break
        if decision.code not in BARE and decision.revision != (policy.revision or "unsaved"):
            known = None if decision.unknown_suite is not None else suite
            if host.lacks(profile_of(decision), known) is not None:
                decision = policy.decide(prompt, **whole)  # the canary's this host cannot ask
        return decision, served.said, {"prompt": prompt, **whole}

    def calls(self, turn: Turn) -> Plan[Raw]:
        """One request as calls: yields whom to ask, is sent the host's answer and what was read of
        it, or thrown the error of the call; returns the answer that is kept, and its turn."""
        kept: tuple[Raw, Turn, Answer] | None = None
        while True:
            try:
                turn.reserve()
            except BudgetExceeded:
                if kept is None:
                    raise
                return _standing(*kept)
            try:
                raw, answer = yield turn
            except BaseException as error:
                after = turn.failed(error)
                if after is None:
                    if kept is None or not isinstance(error, Exception):
                        raise
                    return _standing(*kept)
                turn = after
                continue
            onward = turn.answered(answer)
            if onward is None or answer is None:
                return raw, turn
            kept, turn = (raw, turn, answer), onward

    def serve(self, request: Request, decision: Decision, answer: Answer) -> None:
        """Remember who served a session's turn."""
        used = answer.used
        cached, context = (0, 0) if used is None else (used.held, used.input + used.output)
        served = Served(decision.candidate, cached, context, self._clock())
        self.sessions.serve(request.remembered, served)
        if request.session is None and answer.id is not None:
            self.sessions.serve(f"answer {answer.id}", served)

    def health(self) -> dict[str, Any]:
        """What serves, and what went wrong on the way; JSON-able. `serves` is false where no policy
        does; `ok` is false then, and where a store's last look at its source failed.
        policy_expires, retires: the days on which the policy and the first of its candidates are
        over, None where none are named."""
        policy = self.serving
        spec = policy.spec
        found: dict[str, Any] = {
            "ok": True, "serves": True, "policy": spec.name, "revision": policy.revision,
            "policy_expires": spec.expires, "retires": spec.first_retirement,
        }  # fmt: skip
        if isinstance(self.policy, PolicyStore):
            status = self.policy.status
            serves = status.origin != "default"
            ok = serves and status.interrupted_since is None
            found |= {"ok": ok, "serves": serves, **status._asdict()}
        return found | {"sessions": len(self.sessions)}


def _standing(raw: Raw, turn: Turn, answer: Answer) -> tuple[Raw, Turn]:
    """An earlier answer, which is kept for want of a later one."""
    turn.stands(answer)
    return raw, turn


def run(plan: Plan[Raw], call: Callable[[Turn], tuple[Raw, Answer | None]]) -> tuple[Raw, Turn]:
    """Make the calls of `Routing.calls`: the answer that is kept, and its turn."""

    async def made(turn: Turn) -> tuple[Raw, Answer | None]:
        return call(turn)

    try:
        arun(plan, made).send(None)
    except StopIteration as end:
        found: tuple[Raw, Turn] = end.value
        return found
    raise AssertionError("nothing in it waits, so it ends at once")


async def arun(
    plan: Plan[Raw], call: Callable[[Turn], Awaitable[tuple[Raw, Answer | None]]]
) -> tuple[Raw, Turn]:
    """`run`, for a call that is awaited."""
    try:
        turn = next(plan)
        while True:
            try:
                made = await call(turn)
            except BaseException as error:  # noqa: BLE001  # the plan raises what it does not answer
                turn = plan.throw(error)
            else:
                turn = plan.send(made)
    except StopIteration as end:
        found: tuple[Raw, Turn] = end.value
        return found
