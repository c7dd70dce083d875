"""What all drop-ins share: sessions, budgets, escalation, what the caller is told. No host is needed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router_lab.integrations.answers import Answer
from router_lab.integrations.failures import failure_of
from router_lab.integrations.hosts import Host
from router_lab.integrations.names import ToldOnce, routes
from router_lab.integrations.routing import Asked, Routing, arun, run
from router_lab.integrations.sessions import Used
from router_lab.integrations.turns import STREAMED, Told, Turn
from router_lab.publish import publish
from router_lab.runtime.artifact import save_revision
from router_lab.runtime.budget import BudgetExceeded
from router_lab.runtime.decisions import DecisionLog, read_decisions
from router_lab.runtime.errors import PolicyError, RouterLabWarning
from router_lab.runtime.model import Candidate
from router_lab.runtime.outcomerows import outcome_rows
from router_lab.runtime.policy import Policy
from router_lab.runtime.store import PolicyStore
from tests.integrations.worlds import APIS, EASY, HARD, PRICES, chained, choosing

CHAT = Host(apis=("openai_chat",))


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


class Down(Exception):
    """As an SDK's error of a provider that is away."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(message)
        self.status_code = status


def answering(**answers: Any) -> Callable[[Turn], tuple[str, Answer | None]]:
    """A host that answers as told by model: an Answer, None for a stream, or an error."""

    def call(turn: Turn) -> tuple[str, Answer | None]:
        found = answers[turn.decision.model]
        if isinstance(found, Exception):
            raise found
        return turn.decision.model, found

    return call


def asked(routing: Routing, text: str, host: Host = CHAT, **more: Any) -> Turn:
    return routing.begin(Asked(text, **{"suite": "triage", **more}), host)


def test_models_that_are_routed_and_their_suites() -> None:
    routing = Routing(choosing("openai_chat"), suite="triage")
    assert [routes(name) for name in ("router_lab", "router_lab/x", "router_labs", "gpt-5", None)] == [
        True, True, False, False, False,
    ]  # fmt: skip
    assert routing.suite_of("router_lab/maths") == "maths"
    assert routing.suite_of("router_lab") == routing.suite_of("router_lab/support") == "triage"


@pytest.mark.parametrize("text", [EASY, HARD, "", "something that was never seen"])
def test_a_decision_is_the_policys(text: str) -> None:
    policy = choosing("openai_chat")
    turn = asked(Routing(policy), text)
    assert turn.decision == policy.decide(text, suite="triage")
    question = {**turn.asked}
    assert turn.decision == policy.decide(question.pop("prompt"), **question)
    assert turn.told.candidate == turn.decision.candidate and turn.told.revision == "support-revision"


def test_only_those_are_asked_whom_the_host_can_ask_and_it_is_said() -> None:
    policy = choosing()
    for api in APIS:
        turn = asked(Routing(policy), EASY, Host(apis=(api,)))
        assert turn.decision.candidate == Candidate(f"cheap-{api}") and turn.decision.api == api
        assert "of 6 candidates 2 can be asked here (cheap-" in turn.told.reason
        assert "it was measured through" in turn.told.reason and "and 1 more" in turn.told.reason
    assert asked(Routing(policy), EASY, Host()).told.reason == policy.decide(EASY, suite="triage").reason
    named = Host(models=frozenset({"dear-anthropic", "dear-openai_chat-1"}))
    with pytest.warns(RouterLabWarning, match="is never asked: the host has no model"):
        turn = asked(Routing(policy), EASY, named)
    assert (turn.decision.model, turn.model) == ("dear-anthropic", "dear-anthropic")
    assert (
        asked(Routing(policy, allowed=[("dear-openai_chat", None)]), EASY, named).model
        == "dear-openai_chat-1"
    )


def test_a_host_that_can_ask_nobody_is_told_why() -> None:
    with pytest.raises(
        PolicyError, match=r"nobody that can be asked here: cheap: it was measured through anthr"
    ):
        asked(Routing(choosing("anthropic")), EASY)
    broken = choosing("openai_chat", reproducible=False, reason="its solver asks twice")
    with pytest.raises(PolicyError, match='frame="caller" sends yours'):
        asked(Routing(broken), EASY)
    assert asked(Routing(broken), EASY, CHAT._replace(frame="caller")).decision.model == "cheap"
    spec = choosing("openai_chat").spec
    hint = r"no prices, and session_usd counts dollars: `router-lab collect .*--prices [^;]*; or limit session_tokens$"
    with pytest.raises(PolicyError, match=hint):
        unpriced = replace(spec, profiles=tuple(one._replace(prices=None) for one in spec.profiles))
        asked(Routing(Policy(unpriced), session_usd=1.0), EASY)
    with pytest.raises(PolicyError, match="names no candidate of policy 'support'"):
        asked(Routing(choosing("openai_chat"), allowed=[("x", None)]), EASY)


def test_a_session_stays_with_who_served_it_while_its_cache_is_warm() -> None:
    """dear's cache holds 90,000 tokens, worth 90,000 × ($10 − $1) / 1e6 = $.81 or 8.1 in utility: cheap's .09 for an
    easy turn does not pay. Once the cache is cold, it does."""
    now = [0.0]
    policy = choosing("openai_chat")
    routing = Routing(policy, clock=lambda: now[0], cache_s=300.0)
    first = asked(routing, HARD, session="s")
    assert first.decision.model == "dear" and first.asked["key"] == "s"
    run(routing.calls(first), answering(dear=Answer("so", used=Used(90_000, 10, 0, 90_000))))
    now[0] = 300.0
    second = asked(routing, EASY, session="s")
    assert (second.asked["previous"], second.asked["cached_tokens"]) == (Candidate("dear"), 90_000)
    assert (second.decision.model, second.decision.code) == ("dear", "sticky")
    assert asked(routing, EASY, session="t").decision.model == "cheap"
    now[0] = 300.5
    third = asked(routing, EASY, session="s")
    assert (third.decision.model, third.asked["cached_tokens"]) == ("cheap", 0)


def test_a_conversation_without_a_name_is_known_by_how_it_begins() -> None:
    routing = Routing(choosing("openai_chat"))
    answer = answering(dear=Answer("so", used=Used(90_000, 10, 0, 90_000)), cheap=Answer("so"))
    begun = [user(HARD)]
    run(routing.calls(routing.begin(Asked(begun, suite="triage"), CHAT)), answer)
    again = routing.begin(Asked(begun, suite="triage"), CHAT)
    assert "previous" not in again.asked and again.asked["key"] is None  # another that begins alike
    second = routing.begin(Asked([*begun, said("so"), user(EASY)], suite="triage"), CHAT)
    assert (second.decision.model, second.decision.code) == ("dear", "sticky")
    assert second.asked["key"] == HARD  # the draw of the first turn
    assert second.asked["context_tokens"] == 90_010
    other = routing.begin(Asked([user("else"), said("so"), user(EASY)], suite="triage"), CHAT)
    assert other.decision.model == "cheap"


def test_a_conversation_that_the_provider_keeps_is_known_by_its_last_answer() -> None:
    routing = Routing(choosing("openai_responses"))
    host = Host(apis=("openai_responses",))
    first = asked(routing, HARD, host)
    run(routing.calls(first), answering(dear=Answer("so", used=Used(90_000, 10, 0, 90_000), id="resp_1")))
    assert asked(routing, EASY, host, continues="resp_1").decision.model == "dear"
    assert asked(routing, EASY, host, continues="resp_2").decision.model == "cheap"


def test_sessions_are_bounded() -> None:
    routing = Routing(choosing("openai_chat"), most_sessions=3, session_turns=9)
    for name in "abcde":
        run(routing.calls(asked(routing, EASY, session=name)), answering(cheap=Answer("so")))
    assert len(routing.sessions) == 3
    assert "previous" not in asked(routing, EASY, session="b").asked
    assert "previous" in asked(routing, EASY, session="e").asked
    with pytest.raises(ValueError, match="at least one"):
        Routing(choosing("openai_chat"), most_sessions=0)


def test_an_answer_that_can_be_seen_is_judged_and_a_streamed_one_is_not() -> None:
    routing = Routing(chained("openai_chat"))
    both = {"cheap": Answer("hm", {"logprob": -0.5}), "dear": Answer("so")}
    raw, turn = run(routing.calls(asked(routing, EASY)), answering(**both))
    assert raw == "dear" and turn.told.code == "escalated" and turn.told.stages == (Candidate("cheap"),)
    assert turn.told.escalation == "on"
    raw, turn = run(routing.calls(asked(routing, EASY, stream=True)), answering(cheap=None, dear=None))
    assert raw == "cheap" and turn.told.escalation == STREAMED
    raw, _ = run(
        routing.calls(asked(Routing(chained("openai_chat"), escalate=False), EASY)), answering(**both)
    )
    assert raw == "cheap"
    keeps = Routing(chained("openai_chat", gain=-1.0))
    assert run(keeps.calls(asked(keeps, EASY)), answering(**both))[0] == "cheap"
    # A call of tools is no answer yet.
    calling = {**both, "cheap": Answer(None, calls_tools=True)}
    assert run(routing.calls(asked(routing, EASY)), answering(**calling))[0] == "cheap"


def test_a_check_of_the_users_asks_the_next_and_one_that_fails_says_nothing() -> None:
    both = {"cheap": Answer("no json"), "dear": Answer("{}")}
    routing = Routing(choosing("openai_chat"), check=lambda text: text.startswith("{"))
    raw, turn = run(routing.calls(asked(routing, EASY)), answering(**both))
    assert raw == "dear" and turn.told.code == "unmeasured"
    broken = Routing(choosing("openai_chat"), check=lambda text: bool(1 / 0))
    with pytest.warns(RouterLabWarning, match="division by zero"):
        assert run(broken.calls(asked(broken, EASY)), answering(**both))[0] == "cheap"
    for nothing in (None, [-0.1]):
        odd = Routing(chained("openai_chat"), signals=lambda text, nothing=nothing: nothing)
        with pytest.warns(RouterLabWarning, match="not a mapping of names to numbers"):
            assert run(odd.calls(asked(odd, EASY)), answering(**both))[0] == "dear"
    told = Routing(chained("openai_chat", gain=-1.0), signals=lambda text: {"logprob": -0.1})
    assert run(told.calls(asked(told, EASY)), answering(**both))[0] == "cheap"  # else it would be missing


@pytest.mark.parametrize("cause", ["down", "budget"])
def test_an_answer_that_stands_for_want_of_a_later_one_is_its_candidates(cause: str, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log.jsonl")
    limit = {"session_turns": 1} if cause == "budget" else {}
    routing = Routing(chained("openai_chat"), log=log, **limit)
    turn = asked(routing, EASY, session="s")
    raw, turn = run(routing.calls(turn), answering(cheap=Answer("hm"), dear=Down(503)))
    cheap = Candidate("cheap")
    assert raw == "cheap" and turn.told.candidate == cheap
    served = routing.sessions.served("named s", routing._clock())
    assert served is not None and served.candidate == cheap
    [row] = read_decisions(log.path)
    assert [(one.model, one.code) for one in row["then"]] == [("dear", "escalated"), ("cheap", "kept")]
    log.outcome(turn.told.id, quality=0.0)
    [outcome] = outcome_rows(log.path)
    assert (outcome["model"], outcome["quality"], outcome["status"]) == ("cheap", 0.0, "ok")


def test_what_an_answer_says_is_looked_at_where_somebody_could_be_asked_after_it() -> None:
    read = list[str]()

    def signals(text: str) -> dict[str, float]:
        read.append(text)
        return {"logprob": -0.1}

    answers = {"cheap": Answer("hm"), "dear": Answer("so")}
    for policy, settings, stream, judged in (
        (choosing("openai_chat"), {}, False, False),
        (choosing("openai_chat"), {"check": lambda text: True}, False, True),
        (chained("openai_chat", gain=-1.0), {}, False, True),
        (chained("openai_chat", gain=-1.0), {}, True, False),
        (chained("openai_chat", gain=-1.0), {"escalate": False}, False, False),
    ):
        routing = Routing(policy, signals=signals, **settings)
        turn = asked(routing, EASY, stream=stream)
        read.clear()
        run(routing.calls(turn), answering(**answers))
        assert turn.judged is judged and read == ["hm"] * judged


def test_a_call_that_is_not_awaited_raises_what_it_raises() -> None:
    routing = Routing(choosing("openai_chat"), fallbacks=False)
    with pytest.raises(Down, match="gone"):
        run(routing.calls(asked(routing, EASY)), answering(cheap=Down(503, "gone")))


def test_who_cannot_answer_gives_way_and_what_was_paid_for_stands() -> None:
    routing = Routing(choosing("openai_chat"))
    raw, turn = run(routing.calls(asked(routing, EASY)), answering(cheap=Down(503), dear=Answer("so")))
    assert raw == "dear" and turn.told.code == "fallback"
    with pytest.raises(Down):
        run(routing.calls(asked(routing, EASY)), answering(cheap=Down(503), dear=Down(500)))
    with pytest.raises(Down):  # the caller's own mistake: the next would refuse it, too
        run(routing.calls(asked(routing, EASY)), answering(cheap=Down(400), dear=Answer("so")))
    alone = Routing(choosing("openai_chat"), fallbacks=False)
    with pytest.raises(Down):
        run(alone.calls(asked(alone, EASY)), answering(cheap=Down(503), dear=Answer("so")))
    chain = Routing(chained("openai_chat"))
    raw, turn = run(chain.calls(asked(chain, EASY)), answering(cheap=Answer("hm"), dear=Down(503)))
    assert raw == "cheap" and turn.told.stages == ()
    with pytest.raises(KeyboardInterrupt):
        plan = chain.calls(asked(chain, EASY))
        next(plan)
        plan.throw(KeyboardInterrupt())


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (Down(429), "unavailable"), (Down(500), "unavailable"), (Down(408), "unavailable"),
        (Down(400, "This model's maximum context length is 10 tokens"), "context"), (Down(400), None),
        (Down(401), None), (Down(404), None), (PolicyError("no"), None), (ValueError("no"), None),
        (type("APITimeoutError", (Exception,), {})(), "unavailable"), (KeyboardInterrupt(), None),
    ],
)  # fmt: skip
def test_what_an_error_means(error: BaseException, failure: str | None) -> None:
    assert failure_of(error) == failure


def test_a_frameworks_error_is_what_its_cause_is() -> None:
    error = ValueError("of a framework")
    error.__cause__ = type("APIConnectionError", (Exception,), {})()
    assert failure_of(error) == "unavailable"


def test_a_session_spends_its_turns_and_others_have_their_own() -> None:
    routing = Routing(choosing("openai_chat"), session_turns=2)
    for _ in range(2):
        run(routing.calls(asked(routing, EASY, session="s")), answering(cheap=Answer("so", used=Used(10, 5))))
    with pytest.raises(BudgetExceeded, match="needs 1 turns and 0 are left"):
        run(routing.calls(asked(routing, EASY, session="s")), answering(cheap=Answer("so")))
    run(routing.calls(asked(routing, EASY, session="t")), answering(cheap=Answer("so")))
    for _ in range(3):  # without a name each request is a session of its own
        run(routing.calls(asked(routing, EASY)), answering(cheap=Answer("so")))


def test_dollars_are_those_of_who_serves() -> None:
    """cheap: 1,000 in and 500 out cost $1 × .001 + $4 × .0005 = $.003; dear ten times as much."""
    routing = Routing(choosing("openai_chat"), session_usd=0.04)
    budget = routing.sessions.budget("s")
    assert budget is not None
    used = {name: Answer("so", used=Used(1000, 500)) for name in ("cheap", "dear")}
    run(routing.calls(asked(routing, EASY, session="s")), answering(**used))
    assert budget.usd == pytest.approx(0.003)
    run(routing.calls(asked(routing, HARD, session="s")), answering(**used))
    assert budget.usd == pytest.approx(0.033)
    turn = asked(routing, EASY, session="s")
    turn.reserve()
    assert turn.most_output == 64  # as measured: what is left, $.007, pays for more
    turn.failed(Down(429))
    assert budget.usd == pytest.approx(0.033) and budget.turns == 2  # refused before any work was done
    turn = asked(routing, EASY, session="s")
    turn.reserve()
    held = len(EASY) * PRICES[0].input / 1e6 + 64 * PRICES[0].output / 1e6
    turn.failed(asyncio.CancelledError())
    assert budget.usd >= 0.033 + held  # nobody knows: all of it counts


def test_a_later_stage_that_the_budget_does_not_allow_leaves_the_answer_before_it() -> None:
    routing = Routing(chained("openai_chat"), session_turns=1)
    raw, turn = run(
        routing.calls(asked(routing, EASY, session="s")), answering(cheap=Answer("hm"), dear=Answer("so"))
    )
    assert raw == "cheap" and turn.told.candidate == Candidate("cheap")


def test_what_is_streamed_is_settled_at_its_end() -> None:
    routing = Routing(choosing("openai_chat"), session_tokens=1000)
    budget = routing.sessions.budget("s")
    assert budget is not None
    _, turn = run(routing.calls(asked(routing, EASY, session="s", stream=True)), answering(cheap=None))
    assert budget.tokens == 0 and budget.turns == 1
    turn.finished(Answer("so", used=Used(20, 5)))
    assert budget.tokens == 25
    assert asked(routing, EASY, session="s").asked["previous"] == Candidate("cheap")


def test_the_log_has_every_stage(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "week.jsonl")
    routing = Routing(chained("openai_chat"), log=log)
    _, turn = run(routing.calls(asked(routing, EASY)), answering(cheap=Answer("hm"), dear=Answer("so")))
    [row] = read_decisions(tmp_path / "week.jsonl")
    assert [one.model for one in row["then"]] == ["dear"] and turn.told.id is not None
    log.outcome(turn.told.id, quality=1.0)


@pytest.mark.parametrize("prompts", [False, True])
def test_a_log_that_is_to_hold_prompts_has_them(tmp_path: Path, prompts: bool) -> None:
    """By which `evaluate` asks another policy about the same requests."""
    routing = Routing(
        choosing("openai_chat"), log=DecisionLog(tmp_path / "week.jsonl", prompts=prompts), suite="triage"
    )
    messages = [
        {"role": "user", "content": "first"},
        {"role": "assistant"},
        {"role": "user", "content": HARD},
    ]
    routing.begin(Asked(messages), CHAT)
    [row] = read_decisions(tmp_path / "week.jsonl")
    assert row.get("prompt") == (HARD if prompts else None)


def test_a_request_nested_without_end_is_refused_by_name() -> None:
    content: Any = "x"
    for _ in range(5_000):
        content = [content]
    with pytest.raises(PolicyError, match="nested deeper"):
        Routing(choosing("openai_chat")).begin(Asked([{"role": "user", "content": content}]), CHAT)


def test_headers_are_lines_of_ascii() -> None:
    told = Told(
        Candidate("m\n", "low"),
        "r",
        "code",
        "because → \x1b" + "x" * 900,
        left_out=("temperature",),
        id="row-1",
    )
    found = told.headers()
    assert found["x-router-lab-id"] == "row-1"
    assert all(value.isascii() and value.isprintable() and len(value) <= 400 for value in found.values())
    assert found["x-router-lab-effort"] == "low" and found["x-router-lab-left-out"] == "temperature"
    assert "x-router-lab-stages" not in found


@given(model=st.text(min_size=1), reason=st.text(), cut=st.integers(380, 420))
@example(model="m", reason="x" * 399 + " y", cut=401)
def test_no_header_breaks_a_response(model: str, reason: str, cut: int) -> None:
    """A server refuses a whole response whose header begins or ends in a space, as a reason does that is cut there."""
    found = Told(Candidate(model), "r", "code", (reason * 400)[:cut]).headers()
    for name, value in found.items():
        assert value and value == value.strip(), name
        assert value.isascii() and value.isprintable() and len(value) <= 400, name


def stored(tmp_path: Path) -> tuple[PolicyStore, list[Path]]:
    """A store of the first of two policies, and both revisions."""
    folder = tmp_path / "policies"
    paths = [save_revision(choosing("openai_chat", worse=worse), folder) for worse in (0.3, 0.4)]
    publish(paths[0], force=True)
    return PolicyStore(folder, default=("fallen-back", None)), paths


def test_before_a_policy_is_loaded_the_default_serves(tmp_path: Path) -> None:
    store = PolicyStore(tmp_path / "nothing", default=("spare", None))
    routing = Routing(store)
    turn = asked(routing, EASY)
    assert (turn.decision.model, turn.told.code, turn.model) == ("spare", "default", "spare")
    assert routing.health()["ok"] is routing.health()["serves"] is False
    with pytest.raises(PolicyError, match="has no prices"):
        paying = Routing(store, session_usd=1.0)
        run(paying.calls(asked(paying, EASY, session="s")), answering(spare=Answer("so")))


def test_a_storm_of_threads_across_swaps_has_decisions_of_one_policy_each(tmp_path: Path) -> None:
    store, paths = stored(tmp_path)
    assert store.check()
    routing = Routing(store, session_turns=1000)
    done, wrong, seen = threading.Event(), list[Turn](), set[str]()

    def ask() -> None:
        while not done.is_set():
            for text in (EASY, HARD):
                turn = asked(routing, text, session=threading.current_thread().name)
                seen.add(turn.told.revision)
                model = "cheap" if text == EASY else "dear"
                if turn.decision.model != model or turn.decision.code in ("default", "outside"):
                    wrong.append(turn)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for place in (1, 0, 1, 0, 1):
        publish(paths[place], force=True)
        assert store.check()
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong and {name[:12] for name in seen} <= {path.name[:12] for path in paths}
    assert routing.health()["ok"] and routing.health()["revision"].startswith(paths[1].name[:12])


def test_two_hundred_at_once_share_sessions_and_spend_each_its_own() -> None:
    routing = Routing(choosing("openai_chat"), session_turns=10)
    turns = list[Turn]()

    async def call(turn: Turn) -> tuple[str, Answer | None]:
        await asyncio.sleep(0)
        return turn.decision.model, Answer("so", used=Used(10, 5))

    async def one(number: int) -> None:
        turn = asked(routing, (EASY, HARD)[number % 2], session=f"s{number % 20}")
        raw, kept = await arun(routing.calls(turn), call)
        assert raw == kept.decision.model
        turns.append(kept)

    async def storm() -> None:
        await asyncio.gather(*map(one, range(200)))

    asyncio.run(storm())
    assert len(turns) == 200 and len(routing.sessions) == 20
    for number in range(20):
        with pytest.raises(BudgetExceeded):
            asked(routing, EASY, session=f"s{number}").reserve()


@pytest.mark.parametrize(("model", "meant"), [
    ("router-lab/triage", "router_lab/triage"), ("Router_Lab", "router_lab"), ("routerlab/x/y", "router_lab/x/y"),
    (" router lab /q", "router_lab/q"),
])  # fmt: skip
def test_a_name_that_is_ours_but_for_its_spelling_is_told_once(model: str, meant: str) -> None:
    with pytest.warns(RouterLabWarning, match="is not routed and goes on as it is") as told:
        assert not routes(model) and not routes(model)
    assert len(told) == 1 and f"write '{meant}" in str(told[0].message)


@pytest.mark.parametrize(
    "model", ["gpt-5", "router_lab2/x", "router", "lab/router_lab", "", None, 7, "router_labs"]
)
def test_other_names_are_none_of_ours_and_nothing_is_said(model: object) -> None:
    assert not routes(model)  # a warning is an error here


def test_a_suite_that_is_misspelt_is_told_once_with_the_nearest() -> None:
    """In the log once for a name, in what the caller is told each time; of none alike it says which there are."""
    routing = Routing(choosing("openai_chat"))
    suites = routing.serving.spec.suites
    near, far = suites[0][:-1], "poems of old"
    with pytest.warns(
        RouterLabWarning, match=f"suite '{near}' is not in policy 'support', .* meant '{suites[0]}'"
    ):
        turn = asked(routing, EASY, suite=near)
    assert turn.told.reason.startswith(f"suite '{near}' is not in this policy: ")
    assert turn.told.reason.endswith(f"; meant '{suites[0]}'?")
    assert asked(routing, EASY, suite=near).told.reason == turn.told.reason  # and no second warning
    with pytest.warns(RouterLabWarning, match="it knows '"):
        assert (
            f"it knows '{suites[0]}'" in asked(routing, EASY, suite=far).told.headers()["x-router-lab-reason"]
        )
    assert "; " not in asked(routing, EASY, suite=suites[0]).told.reason.partition("the reference")[2]


def test_no_storm_of_names_fills_a_log() -> None:
    told = ToldOnce(most=2)
    with pytest.warns(RouterLabWarning) as warned:
        for name in ("a", "b", "a", "c", "d"):
            told.once(name, name)
    assert [str(one.message) for one in warned] == ["a", "b"]
