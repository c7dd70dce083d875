"""What a session is charged where a provider, its connection or its answer does not behave; no host is needed."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.integrations import gateway as gateways
from router_lab.integrations.answers import Answer, read, used
from router_lab.integrations.clients import told, wrap
from router_lab.integrations.gateway import Gateway, Settings
from router_lab.integrations.hosts import Host
from router_lab.integrations.requesting import request_of
from router_lab.integrations.routing import Asked, Routing
from router_lab.integrations.sessions import Allowance, Served, Sessions, Used, bounded
from router_lab.integrations.watching import watch
from router_lab.runtime.budget import Budget, BudgetExceeded
from router_lab.runtime.model import Candidate, Limits
from router_lab.runtime.policy import Policy
from tests.integrations.worlds import APIS, EASY, chained, choosing

MODELS = {profile.candidate.model for profile in choosing().spec.profiles}
HELD = 90
"""Tokens set aside for `body`: 26 of text and marks, and 64 that the answer may have."""


def body(**more: Any) -> dict[str, Any]:
    return {"model": "router_lab/triage", "messages": [{"role": "user", "content": "hi"}], **more}


def begun(api: str = "openai_chat", **more: Any) -> tuple[Gateway, Budget]:
    """A gateway with request "1" of session "s" under way, and the session's budget."""
    found = Gateway(Settings(Routing(choosing(), session_tokens=1000), "caller"))
    found.begin("1", api, body(**more), MODELS, "s")
    budget = found.routing.sessions.budget("s")
    assert budget is not None and budget._held_tokens == (210 if api == "openai_responses" else HELD)
    return found, budget


class Breaks:
    """An answer of a host whose every field fails."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


class BreaksWithin:
    """An answer that is read until it breaks: a truth of its own, which fails."""

    usage: Any = None

    @property
    def choices(self) -> list[object]:
        raise ValueError("of a host")

    def __bool__(self) -> bool:
        raise ValueError("neither")


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("judged", [False, True])
def test_an_answer_that_breaks_was_paid_for(api: str, judged: bool) -> None:
    unread = {"choices": [{"message": {"content": "so", "tool_calls": BreaksWithin()}}]}
    for answer in (Breaks(), BreaksWithin(), SimpleNamespace(usage=Breaks(), id="a1"), unread):
        assert read(api, answer, judged=judged).used is None
    gateway, budget = begun(api, **({"input": "hi"} if api == "openai_responses" else {}))
    held, kept = budget._held_tokens, gateway.take("1", stream=False)
    assert kept is not None and kept.turn.answered(read(api, Breaks(), judged=judged)) is None
    assert (budget.tokens, budget._held_tokens, budget.turns) == (held, 0, 1)


@pytest.mark.parametrize(
    ("usage", "found"),
    [
        ({}, None), ({"prompt_tokens": 0, "completion_tokens": 0}, None), ({"prompt_tokens": 20}, None),
        ({"prompt_tokens": 20, "completion_tokens": -1}, None),
        ({"prompt_tokens": 20, "completion_tokens": "5"}, None),
        ({"prompt_tokens": 10**30, "completion_tokens": 5}, None),
        ({"prompt_tokens": 20.0, "completion_tokens": 5.0}, Used(20, 5)),
        ({"prompt_tokens": 20.5, "completion_tokens": 5}, None),
        ({"prompt_tokens": True, "completion_tokens": 5}, None),
        ({"prompt_tokens": 20, "completion_tokens": 0}, Used(20, 0)),
        (
            {"prompt_tokens": 20, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 30}},
            Used(20, 5, 20, 20),
        ),
    ],
)  # fmt: skip
def test_what_a_usage_block_does_not_say_is_not_nothing(usage: dict[str, Any], found: Used | None) -> None:
    assert used("openai_chat", usage) == found
    gateway, budget = begun(stream=True)
    gateway.ended("1", {"usage": usage})
    assert budget.tokens == (HELD if found is None else found.input + found.output)
    assert budget._held_tokens == 0 and budget.turns == 1


def test_the_cache_that_an_answer_claims_never_outgrows_its_prompt() -> None:
    """Else the session's next turn would be asked with fewer tokens than none, and refused."""
    for written in (-500, 10**40, 3.0, True, "7"):
        gateway, budget = begun("anthropic", stream=True)
        usage = {"prompt_tokens": 20, "completion_tokens": 5, "cache_creation_input_tokens": written}
        gateway.ended("1", {"usage": usage})
        assert budget.tokens == 25
        kept, _ = gateway.begin("2", "anthropic", body(), MODELS, "s")
        assert kept.turn.asked["cached_tokens"] == (3 if written == 3.0 else 0)


class Stopping:
    """A stream as the SDKs hold it, with events that end, or break, before the answer does."""

    def __init__(self, *events: object) -> None:
        self._iterator = iter(events)
        self.itself = self  # as a generator within holds it: only the collector finds it


START = {"type": "message_start", "message": {"usage": {"input_tokens": 20, "output_tokens": 1}}}
DELTA = {"type": "message_delta", "usage": {"output_tokens": 5}}


@pytest.mark.parametrize(
    ("events", "found"), [((START,), None), ((START, DELTA), Used(20, 5)), ((DELTA,), None), ((), None)]
)
def test_the_beginning_of_a_streamed_message_is_not_all_of_it(
    events: tuple[object, ...], found: Used | None
) -> None:
    seen: list[Answer] = []
    stream = Stopping(*events)
    assert watch(stream, "anthropic", seen.append, hides=False)
    for _ in events:
        next(stream._iterator)
    del stream
    gc.collect()
    assert [one.used for one in seen] == [found]


def failure(name: str, status: int | None) -> Any:
    error = type(name, (Exception,), {})()
    if status is not None:
        error.status_code = status
    return error


@pytest.mark.parametrize(
    ("error", "spent"),
    [
        (failure("RateLimitError", 429), 0), (failure("ServiceUnavailableError", 503), 0),
        (failure("BadRequestError", 400), 0), (failure("Timeout", 408), HELD),
        (failure("APIConnectionError", 500), HELD), (failure("GatewayTimeout", 504), HELD),
        (failure("MidStreamFallbackError", 503), HELD), (failure("HTTPException", 400), HELD),
        (failure("APITimeoutError", None), HELD), (failure("APIStatusError", 200), HELD),
    ],
)  # fmt: skip
def test_who_refuses_gives_back_and_an_answer_that_was_lost_does_not(error: Exception, spent: int) -> None:
    gateway, budget = begun()
    gateway.failed("1", error)
    gateway.failed("1", error)
    assert (budget.tokens, budget._held_tokens, budget.turns) == (spent, 0, 1 if spent else 0)


def test_a_stream_that_fails_behind_its_headers_was_begun() -> None:
    gateway, budget = begun(stream=True)
    assert gateway.headers("1")["x-router-lab-model"] == "dear-openai_chat"
    gateway.failed("1", failure("RateLimitError", 429))
    assert (budget.tokens, budget._held_tokens, budget.turns) == (HELD, 0, 1)


def test_of_what_is_being_shown_nobody_takes_the_place() -> None:
    """27 tokens of text, 16 of marks around it and 64 of the answer are spent where it had begun, else none."""
    routing = Routing(choosing("openai_chat"), session_tokens=1000)
    budget = routing.sessions.budget("s")
    for shown, after in ((False, "fallback"), (True, None)):
        turn = routing.begin(Asked(EASY, "triage", "s"), Host(("openai_chat",)))
        turn.reserve()
        turn.begun = shown
        onward = turn.failed(failure("RateLimitError", 429))
        assert (None if onward is None else onward.decision.code) == after
    assert budget is not None and (budget.turns, budget.tokens) == (1, 27 + 16 + 64)


def test_several_answers_at_once_are_set_aside_for() -> None:
    """26 tokens go in; of 1,000 three answers of 64 leave 782. None is cut: all 64 that were asked for were recorded."""
    gateway = Gateway(Settings(Routing(choosing("openai_chat"), session_tokens=1000), "caller"))
    _, request = gateway.begin("1", "openai_chat", body(n=3), {"cheap", "dear"}, "s")
    budget = gateway.routing.sessions.budget("s")
    assert request["n"] == 3 and request["max_tokens"] == 64
    assert budget is not None and budget._held_tokens == 26 + 3 * 64
    gateway.ended("1", None)  # of no stream
    with pytest.raises(
        BudgetExceeded, match="of the session: the next call needs 960 tokens of output and 756 are left"
    ):
        gateway.begin("2", "openai_chat", body(n=15), {"cheap", "dear"}, "s")
    _, request = gateway.begin("2", "openai_chat", body(n=11), {"cheap", "dear"}, "s")
    assert request["max_tokens"] == 64
    with pytest.raises(BudgetExceeded):
        gateway.begin("3", "openai_chat", body(n=2), {"cheap", "dear"}, "s")
    turns = budget.turns
    few = Gateway(Settings(Routing(choosing("openai_chat"), session_tokens=30), "caller"))
    with pytest.raises(BudgetExceeded, match="needs 320 tokens of output and 4 are left"):
        few.begin("1", "openai_chat", body(n=5), {"cheap", "dear"}, "s")
    left = few.routing.sessions.budget("s")
    assert turns == 2 and left is not None and (left.turns, left._held_tokens) == (0, 0)


def recorded(tokens: int, **request: Any) -> Policy:
    """Of answers that were recorded with up to so many tokens, and were asked for with 64."""
    spec = choosing("openai_chat").spec
    profiles = (
        tuple(one._replace(request={**one.request, **request}) for one in spec.profiles)
        if request
        else spec.profiles
    )
    return Policy(replace(spec, profiles=profiles, limits=((Limits(tokens, 4, 1.0),) * len(profiles),) * 2))


def test_an_answer_is_cut_to_what_was_recorded_and_no_further_and_that_is_said() -> None:
    """26 in: 64 out, then 40 of the 56 that are left where no answer had more, then nothing is sent."""
    gateway = Gateway(Settings(Routing(recorded(40), session_tokens=172), "caller"))
    kept, request = gateway.begin("1", "openai_chat", body(), {"cheap", "dear"}, "s")
    assert request["max_tokens"] == 64 and "cuts its answer" not in kept.turn.told.reason
    kept, request = gateway.begin("2", "openai_chat", body(), {"cheap", "dear"}, "s")
    assert request["max_tokens"] == 172 - 90 - 26 == 56
    assert kept.turn.told.reason.endswith("; what is left of the budget cuts its answer at 56 tokens")
    gateway = Gateway(Settings(Routing(recorded(40), session_tokens=90 + 65), "caller"))
    gateway.begin("1", "openai_chat", body(), {"cheap", "dear"}, "s")
    with pytest.raises(
        BudgetExceeded, match="of the session: the next call needs 40 tokens of output and 39 are left"
    ):
        gateway.begin("2", "openai_chat", body(), {"cheap", "dear"}, "s")
    budget = gateway.routing.sessions.budget("s")
    assert budget is not None and (budget.turns, budget._held_tokens) == (1, 90)


def test_what_is_set_apart_to_think_in_is_never_cut() -> None:
    """A provider refuses an answer that is to be no longer than its thinking: 50 of 64, where 40 were recorded."""
    arguments = {"max_completion_tokens": 64, "thinking": {"type": "enabled", "budget_tokens": 50}}
    for left, cut in ((77, 51), (76, None)):
        policy = recorded(40, arguments=arguments)
        gateway = Gateway(Settings(Routing(policy, session_tokens=left), "caller"))
        if cut is not None:
            assert (
                gateway.begin("1", "openai_chat", body(), {"cheap", "dear"}, "s")[1]["max_completion_tokens"]
                == cut
            )
            continue
        with pytest.raises(BudgetExceeded, match="needs 51 tokens of output and 50 are left"):
            gateway.begin("1", "openai_chat", body(), {"cheap", "dear"}, "s")


@pytest.mark.parametrize("several", [10**9, 10**11, 10**18, 10**40])
def test_as_many_answers_as_a_caller_likes_are_no_error_of_ours(several: int) -> None:
    """What no count of tokens can say is more than any session has, and where turns alone bound it the provider's."""
    gateway = Gateway(Settings(Routing(choosing("openai_chat"), session_tokens=1000), "caller"))
    with pytest.raises(BudgetExceeded, match="tokens of output and 974 are left"):
        gateway.begin("1", "openai_chat", body(n=several), {"cheap", "dear"}, "s")
    gateway = Gateway(Settings(Routing(choosing("openai_chat"), session_turns=1), "caller"))
    if several <= 10**12:  # the most that a call is held to have
        gateway.begin("1", "openai_chat", body(n=several), {"cheap", "dear"}, "s")
    with pytest.raises(BudgetExceeded):
        gateway.begin("2", "openai_chat", body(n=several), {"cheap", "dear"}, "s")
    budget = gateway.routing.sessions.budget("s")
    assert budget is not None and budget.turns == (several <= 10**12)


def test_messages_that_are_none_are_the_providers_to_refuse() -> None:
    gateway = Gateway(Settings(Routing(choosing()), "caller"))
    for messages in (5, None, 1.5, True):
        _, request = gateway.begin("1", "openai_chat", {**body(), "messages": messages}, MODELS, None)
        assert request["messages"] == messages


@given(st.integers(1, 300), st.lists(st.integers(0, 400), max_size=600))
def test_what_is_forgotten_is_the_oldest_and_no_more_than_a_share(most: int, keys: list[int]) -> None:
    kept: dict[str, int] = {}
    for key in keys:
        order = [name for name in kept if name != str(key)] + [str(key)]
        kept.pop(str(key), None)
        kept[str(key)] = key
        lost = bounded(kept, most)
        assert [str(one) for one in lost] + list(kept) == order
        assert len(kept) <= most and len(lost) <= 1 + most // 64 and str(key) in kept


def test_a_request_of_which_no_end_is_told_is_charged_when_it_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Above the bound that is who was under way a call's longest time before; the others may be alive."""
    now = [0.0]
    monkeypatch.setattr(gateways, "_MOST_AT_ONCE", 1)
    monkeypatch.setattr(gateways, "monotonic", lambda: now[0])
    gateway, budget = begun()
    for id, now[0] in (("2", 10.0), ("3", 6_009.9)):
        gateway.begin(id, "openai_chat", body(), MODELS, id)
        assert (budget.tokens, budget._held_tokens) == (0, HELD)
    now[0] = 6_010.0
    gateway.begin("4", "openai_chat", body(), MODELS, "4")
    assert (budget.tokens, budget._held_tokens) == (HELD, 0)
    assert [gateway.take(id, stream=False) is not None for id in "1234"] == [False, False, True, True]


def test_of_very_many_requests_at_once_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateways, "_MOST_AT_ONCE", 1)
    monkeypatch.setattr(gateways, "_MOST_OF_ALL", 3)
    gateway, budget = begun()
    for id in "2345":
        gateway.begin(id, "openai_chat", body(), MODELS, id)
    assert (budget.tokens, budget._held_tokens) == (HELD, 0)
    assert [gateway.take(id, stream=False) is not None for id in "12345"] == [False, False, True, True, True]


@pytest.mark.parametrize("where", ["sessions", "budget"])
def test_a_stream_may_be_collected_wherever_its_thread_stands(where: str) -> None:
    """A dropped stream is a cycle, and its end is told of from within the collector, which may run while the same
    thread holds what telling needs."""
    routing = Routing(chained("openai_chat"), session_tokens=1000)
    budget = routing.sessions.budget("s")
    assert budget is not None
    turn = Gateway(Settings(routing, "caller")).begin(
        "1", "openai_chat", body(messages=EASY, stream=True), {"cheap", "dear"}, "s"
    )[0].turn  # fmt: skip

    def collected() -> None:
        with routing.sessions._lock if where == "sessions" else budget._lock:
            stream = Stopping()
            watch(stream, "openai_chat", turn.finished, hides=False)
            del stream
            gc.collect()

    thread = threading.Thread(target=collected, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive() and budget._held_tokens == 0 and len(routing.sessions) == 1


def test_many_sessions_are_forgotten_a_few_at_once() -> None:
    sessions, served = Sessions(128, 300.0, Allowance()), Served(Candidate("m"), 0, 0, 0.0)
    for number in range(129):
        sessions.serve(str(number), served)
    assert len(sessions) == 126  # 129 less the first three
    assert sessions.served("2", 0.0) is None and sessions.served("3", 0.0) is not None


def test_what_the_provider_keeps_of_a_conversation_is_set_aside_for() -> None:
    """The first turn used 400 + 100 tokens, which the second sends again without their text."""
    routing = Routing(choosing("openai_responses"), session_tokens=2000)
    host = Host(("openai_responses",))
    asked, own = Asked("hi", "triage", "s"), 18
    turn = routing.begin(asked, host)
    turn.reserve()
    turn.answered(Answer("so", used=Used(400, 100), id="r1"))
    budget = routing.sessions.budget("s")
    assert budget is not None and budget.tokens == 500
    turn = routing.begin(asked._replace(continues="r1"), host)
    assert turn.asked["context_tokens"] == 503
    turn.reserve()
    assert budget._held_tokens == 500 + own + 200
    turn.answered(Answer("so", used=Used(502, 100), id="r2"))
    turn = routing.begin(asked._replace(continues="r2"), host)
    turn.reserve()
    assert budget.tokens + budget._held_tokens == 1102 + 602 + own + 200
    with pytest.raises(BudgetExceeded, match="needs 621 tokens and 78 are left"):
        routing.begin(asked._replace(continues="r2"), host).reserve()


class Wrapped:
    """A client whose streams somebody else has made generators of, as instrumentations do."""

    def __init__(self) -> None:
        self.chat = SimpleNamespace(completions=SimpleNamespace(create=self._create))

    def copy(self) -> Wrapped:
        return Wrapped()

    def _create(self, **body: Any) -> Iterator[str]:
        assert body["model"] == "dear-1" and "x-router-lab-session" not in body["extra_headers"]
        return (text for text in ("so",))


def test_an_answer_that_takes_no_mark_is_the_callers_all_the_same() -> None:
    routing = Routing(choosing("openai_chat"), session_tokens=1000)
    client: Any = wrap(Wrapped(), routing)
    sent = body(stream=True, extra_headers={"x-router-lab-session": "s"})
    stream = client.chat.completions.create(**sent)
    assert list(stream) == ["so"] and told(stream) is None
    budget = routing.sessions.budget("s")
    assert budget is not None and (budget.tokens, budget._held_tokens) == (HELD, 0)


def test_what_was_never_sent_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Any:
        raise TypeError("of the request")

    gateway = Gateway(Settings(Routing(choosing(), session_turns=1), "caller"))
    with monkeypatch.context() as patched:
        patched.setattr(gateways, "request_of", broken)
        for _ in range(3):
            with pytest.raises(TypeError, match="of the request"):
                gateway.begin("1", "openai_chat", body(), MODELS, "s")
    gateway.begin("2", "openai_chat", body(), MODELS, "s")
    assert list(gateway._kept) == ["2"]


def test_an_include_that_is_no_list_gives_way() -> None:
    policy = choosing("openai_responses", arguments={"include": ["message.output_text.logprobs"]})
    decision = policy.decide(EASY, suite="triage")
    for include, found, left in (
        (
            ["reasoning.encrypted_content"],
            ["message.output_text.logprobs", "reasoning.encrypted_content"],
            (),
        ),
        (5, ["message.output_text.logprobs"], ("include",)),
    ):
        sent = request_of(decision, "openai_responses", {"input": EASY, "include": include}, "caller")
        assert (sent[0]["include"], sent[1]) == (found, left)
