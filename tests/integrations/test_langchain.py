"""A real agent of LangChain (a LangGraph graph), routed, against a provider on loopback."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain")
from anthropic import InternalServerError as AnthropicError
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from openai import InternalServerError
from pydantic import BaseModel

from router_lab.integrations.langchain import Routed
from router_lab.integrations.routing import Routing
from router_lab.integrations.turns import STREAMED
from router_lab.runtime.budget import BudgetExceeded
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.store import PolicyStore
from tests.integrations.pages import play
from tests.integrations.provider import Provider
from tests.integrations.storms import TEXTS, stored, storm
from tests.integrations.worlds import APIS, EASY, HARD, chained, choosing
from tests.servers.wires import Reply


class Unlike(Provider):
    """No two answers have one id: of two messages with the same LangGraph keeps one."""

    def respond(self, path: str, body: dict[str, Any], headers: Mapping[str, str] | None = None) -> Reply:
        reply, count = super().respond(path, body, headers), len(self.requests)
        return replace(reply, body=re.sub(rb'"(resp|msg|chatcmpl)[-_]1"', rb'"\1_%d"' % count, reply.body))


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Unlike() as server:
        yield server


def model(provider: Provider, api: str, **settings: Any) -> Any:
    if api == "anthropic":
        return ChatAnthropic(
            model_name="own",
            api_key="x",
            base_url=provider.root,
            max_retries=0,
            timeout=None,
            stop=None,
            **settings,
        )
    return ChatOpenAI(model="own", api_key="x", base_url=provider.url, max_retries=0, **settings)


def routed(provider: Provider, api: str, policy: Any, tools: Any = (), **settings: Any) -> Any:
    more = {
        name: settings.pop(name)
        for name in ("response_format", "system_prompt", "checkpointer")
        if name in settings
    }
    own = settings.pop("model", None) or model(provider, api)
    return create_agent(
        own, list(tools), middleware=[Routed(policy, **{"suite": "triage", **settings})], **more
    )


def asked(text: str) -> Any:
    return {"messages": [("user", text)]}


def ask(agent: Any, text: str, thread: str | None = None) -> AIMessage:
    config = {} if thread is None else {"configurable": {"thread_id": thread}}
    found = agent.invoke(asked(text), config)["messages"][-1]
    assert isinstance(found, AIMessage)
    return found


def told(message: AIMessage) -> dict[str, str]:
    found: dict[str, str] = message.response_metadata["router_lab"]
    return found


def asking(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Roles and texts of a request, with a system message that the API has apart."""
    whole = body.get("system") or []
    found = [("system", whole)] if isinstance(whole, str) else [("system", part["text"]) for part in whole]
    for one in body.get("messages") or body["input"]:
        content = one["content"]
        found.append((one["role"], content if isinstance(content, str) else content[0]["text"]))
    return found


@pytest.mark.parametrize("api", APIS)
def test_decisions_are_the_policys_and_answers_say_so(api: str, provider: Provider) -> None:
    policy = choosing(api)
    agent = routed(provider, api, policy)
    for text in TEXTS:
        decision = policy.decide(text, suite="triage")
        message = ask(agent, text)
        assert message.text == f"{decision.model}-1 says so"
        found = told(message)
        assert (found["x-router-lab-model"], found["x-router-lab-code"]) == (decision.model, decision.code)
        assert found["x-router-lab-revision"] == "support-revision"
        sent = provider.requests[-1]["body"]
        assert asking(sent) == [("user", text)]
        measured = decision.settings()
        assert {name: sent.get(name) for name in measured} == measured
    assert set(provider.models) == {"cheap-1", "dear-1"}


@pytest.mark.parametrize("api", APIS)
def test_what_was_measured_takes_the_callers_place_and_the_rest_goes_on(api: str, provider: Provider) -> None:
    effort: dict[str, Any] = {
        "openai_chat": {"reasoning_effort": "low"},
        "openai_responses": {"reasoning": {"effort": "low"}, "max_output_tokens": 64},
        "anthropic": {"output_config": {"effort": "low"}},
    }[api]
    policy = choosing(api)
    for one in policy.spec.profiles:
        one.request["arguments"].update(effort)
    if api == "anthropic":
        own = model(provider, api, temperature=0.9, thinking={"type": "enabled", "budget_tokens": 2000}, effort="high",
                    max_tokens=4000, model_kwargs={"other": "kept"})  # fmt: skip
        left = "reasoning_effort, temperature, thinking"
    else:
        own = model(provider, api, temperature=0.9, reasoning_effort="high", verbosity="high", seed=3, max_tokens=7,
                    extra_body={"other": "kept", "top_p": 0.1})  # fmt: skip
        left = "max_tokens, reasoning_effort, seed, temperature, top_p, verbosity"
    message = ask(routed(provider, api, policy, model=own), EASY)
    sent = provider.requests[-1]["body"]
    assert sent.items() >= {**effort, "other": "kept"}.items()
    assert not sent.keys() & {
        "temperature",
        "top_p",
        "seed",
        "verbosity",
        "text",
        "thinking",
        "max_completion_tokens",
    }
    assert sent.get("max_tokens") == (None if api == "openai_responses" else 64)
    assert told(message)["x-router-lab-left-out"] == left


@pytest.mark.parametrize("api", APIS)
def test_the_question_goes_into_the_measured_frame(api: str, provider: Provider) -> None:
    few = [{"user": "1 + 1", "assistant": "2"}]
    frame = [("system", "Be brief."), ("user", "1 + 1"), ("assistant", "2")]
    policy = choosing(api, system="Be brief.", few_shot=few)
    agent = routed(provider, api, policy, checkpointer=InMemorySaver())
    first = ask(agent, EASY, "t")
    assert asking(provider.requests[-1]["body"]) == [*frame, ("user", EASY)]
    ask(agent, HARD, "t")
    turns = [("user", EASY), ("assistant", first.text), ("user", HARD)]
    assert asking(provider.requests[-1]["body"]) == [*frame, *turns]
    ask(routed(provider, api, policy, system_prompt="Be brief."), EASY)  # the measured one, said once
    assert asking(provider.requests[-1]["body"]) == [*frame, ("user", EASY)]
    with pytest.raises(PolicyError, match="Be kind"):
        ask(routed(provider, api, policy, system_prompt="Be kind."), EASY)
    ask(routed(provider, api, policy, system_prompt="Be kind.", frame="caller"), EASY)
    assert asking(provider.requests[-1]["body"]) == [("system", "Be kind."), ("user", EASY)]


def test_a_policy_of_three_apis_is_asked_through_each(provider: Provider) -> None:
    both = routed(provider, "openai_chat", choosing(), others=[model(provider, "anthropic")])
    assert ask(both, EASY).text == "cheap-anthropic-1 says so"
    message = ask(routed(provider, "openai_chat", choosing()), EASY)
    assert message.text == "cheap-openai_chat-1 says so"
    assert (
        "of 6 candidates 4 can be asked here (cheap-anthropic: it was" in told(message)["x-router-lab-reason"]
    )
    message = ask(
        routed(provider, "x", choosing("openai_responses"), model=model(provider, "openai_chat")), EASY
    )
    assert provider.requests[-1]["path"] == "/v1/responses" and message.text == "cheap-1 says so"
    with pytest.raises(PolicyError, match="FakeListChatModel is neither ChatOpenAI"):
        ask(routed(provider, "x", choosing(), model=FakeListChatModel(responses=["so"])), EASY)
    azure = AzureChatOpenAI(
        azure_endpoint=provider.root, api_key="x", api_version="1", azure_deployment="own"
    )
    with pytest.raises(
        PolicyError, match="AzureChatOpenAI is neither"
    ):  # whose deployment would answer for all
        ask(routed(provider, "x", choosing(), model=azure), EASY)


@pytest.mark.parametrize("api", APIS)
def test_an_answer_that_is_not_kept_is_never_seen(api: str, provider: Provider) -> None:
    agent = routed(provider, api, chained(api))
    state = agent.invoke(asked(EASY))
    message = state["messages"][-1]
    assert provider.models == ["cheap-1", "dear-1"] and message.text == "dear-1 says so"
    assert len(state["messages"]) == 2
    assert (
        told(message)["x-router-lab-code"] == "escalated" and told(message)["x-router-lab-stages"] == "cheap"
    )
    updates = list(agent.stream(asked(EASY), stream_mode="updates"))  # whole answers, so judged
    assert updates[-1]["model"]["messages"][-1].text == "dear-1 says so"
    assert (
        ask(routed(provider, api, chained(api, gain=-1.0)), EASY).text == "cheap-1 says so"
    )  # signals were there


class City(BaseModel):
    """A city."""

    city: str


@pytest.mark.parametrize("api", APIS)
def test_an_output_that_a_tool_carries_is_an_answer(api: str, provider: Provider) -> None:
    agent = routed(
        provider, api, choosing(api), check=lambda text: "Rome" in text, response_format=ToolStrategy(City)
    )
    assert agent.invoke(asked(EASY))["structured_response"] == City(city="Paris")
    assert provider.models == ["cheap-1", "dear-1"]  # Paris failed the check


@pytest.mark.parametrize("api", APIS)
def test_what_is_sent_within_other_arguments_leaves_the_rest_of_them(api: str, provider: Provider) -> None:
    provider.say = lambda model, prompt: '{"city": "Paris"}'
    policy = chained(api, gain=-1.0)
    measured: dict[str, Any] = {
        "openai_chat": {"verbosity": "low"},
        "openai_responses": {"text": {"verbosity": "low"}},
        "anthropic": {"output_config": {"effort": "low"}},
    }[api]
    for one in policy.spec.profiles:
        one.request["arguments"].update(measured)
    agent = routed(provider, api, policy, response_format=ProviderStrategy(City))
    assert agent.invoke(asked(EASY))["structured_response"] == City(city="Paris")
    sent = provider.requests[-1]["body"]
    parts = {
        "openai_chat": sent,
        "openai_responses": sent.get("text"),
        "anthropic": sent.get("output_config"),
    }[api]
    [(name, value)] = (measured if api == "openai_chat" else next(iter(measured.values()))).items()
    assert parts[name] == value and "city" in str(parts.get("format") or sent.get("response_format"))


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"18 °C in {city}"


@pytest.mark.parametrize("api", APIS)
def test_tools_pass_through_and_are_no_answer(api: str, provider: Provider) -> None:
    agent = routed(provider, api, chained(api, gain=-1.0), [weather], check=lambda text: "says" in text)
    assert ask(agent, EASY).text == "cheap-1 says so" and provider.models == ["cheap-1", "cheap-1"]
    assert "18 °C in Paris" in str(provider.requests[-1]["body"])
    [offered] = provider.requests[-1]["body"]["tools"]
    assert (offered.get("name") or offered["function"]["name"]) == "weather"


@pytest.mark.parametrize("api", APIS)
def test_what_is_streamed_is_not_judged_and_is_counted(api: str, provider: Provider) -> None:
    routing = Routing(chained(api), suite="triage", session_tokens=100_000)
    agent = routed(provider, api, routing, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "s"}}
    tokens = [chunk.text for chunk, _ in agent.stream(asked(EASY), config, stream_mode="messages")]
    assert "".join(tokens).strip() == "cheap-1 says so" and provider.models == ["cheap-1"]
    assert provider.requests[0]["body"]["stream"] is True
    message = agent.get_state(config).values["messages"][-1]
    assert told(message)["x-router-lab-escalation"] == STREAMED
    budget = routing.sessions.budget("s")
    size = len(str(provider.requests[0]["body"])) // 4
    assert budget is not None and budget.turns == 1
    if (
        api == "anthropic"
    ):  # LangChain tells of a stream's end alone, and this one's has no prompt: all that was set aside
        assert budget.tokens >= size + 5
    else:
        assert budget.tokens == pytest.approx(size + 5, abs=6)

    async def streamed() -> list[str]:
        return [event["event"] async for event in agent.astream_events(asked(EASY), config, version="v2")]

    assert "on_chat_model_stream" in asyncio.run(streamed()) and provider.models == ["cheap-1", "cheap-1"]


@pytest.mark.parametrize("api", APIS)
def test_a_thread_within_its_budget(api: str, provider: Provider) -> None:
    agent = routed(provider, api, choosing(api), session_usd=0.002)
    count = 0
    with pytest.raises(BudgetExceeded, match="budget of the session"):
        for _ in range(100):
            ask(agent, EASY, "s")
            count += 1
    assert 1 <= count == len(provider.requests) < 100
    assert ask(agent, EASY, "another").text and ask(agent, EASY).text


def test_several_answers_at_once_are_set_aside_for(provider: Provider) -> None:
    routing = Routing(choosing("openai_chat"), suite="triage", session_tokens=100_000)
    budget = routing.sessions.budget("s")
    held = provider.telling(budget)
    for more in ({}, {"n": 3}, {"extra_body": {"n": 3}}, {"n": 2, "extra_body": {"n": 3}}):
        own = model(provider, "openai_chat", **more)
        ask(routed(provider, "openai_chat", routing, model=own), EASY, "s")
        assert provider.requests[-1]["body"].get("n") == (3 if more else None)
    assert held == [held[0], *[held[0] + 2 * 64] * 3]  # two answers more, of 64 tokens
    assert budget is not None and budget._held_tokens == 0


@pytest.mark.parametrize("named", [{"conversation": "conv_1"}, {"previous_response_id": "resp_1"}])
def test_what_the_provider_keeps_is_asked_through_its_own_api(named: Any, provider: Provider) -> None:
    own = model(provider, "openai_responses", model_kwargs=named)
    agent = routed(provider, "openai_responses", choosing(), model=own)
    for _ in range(2):
        assert ask(agent, EASY).text == "cheap-openai_responses-1 says so"
        assert provider.requests[-1]["body"].items() >= named.items()


def test_a_conversation_that_the_provider_keeps_is_a_session(provider: Provider) -> None:
    routing = Routing(choosing("openai_responses"), suite="triage", session_tokens=100_000)
    own = model(provider, "openai_responses", model_kwargs={"conversation": {"id": "conv_1"}})
    budget, used = routing.sessions.budget("conv_1"), list[int]()
    held = provider.telling(budget)
    for _ in range(2):
        ask(routed(provider, "openai_responses", routing, model=own), EASY)
        used.append(budget.tokens if budget is not None else 0)
    assert budget is not None and budget.turns == 2 and used[0] >= 40
    assert held[1] == held[0] + used[0]  # what the first turn used is read again


@pytest.mark.parametrize("api", APIS)
def test_a_thread_stays_with_who_served_it(api: str, provider: Provider) -> None:
    """As `decide` has it: the cache of what was sent is worth more than cheap saves. (Anthropic's keeps nothing that
    it was not told to keep.)"""
    agent = routed(provider, api, choosing(api), checkpointer=InMemorySaver())
    assert told(ask(agent, HARD + " " + "word " * 60_000, "s"))["x-router-lab-model"] == "dear"
    second = told(ask(agent, EASY, "s"))
    kept = ("cheap", "predicted") if api == "anthropic" else ("dear", "sticky")
    assert (second["x-router-lab-model"], second["x-router-lab-code"]) == kept
    assert told(ask(agent, EASY, "t"))["x-router-lab-model"] == "cheap"


@pytest.mark.parametrize("api", APIS)
def test_who_is_away_gives_way_also_in_a_stream(api: str, provider: Provider) -> None:
    provider.down = {"cheap-1"}
    agent = routed(provider, api, choosing(api))
    assert told(ask(agent, EASY))["x-router-lab-code"] == "fallback"
    tokens = [chunk.text for chunk, _ in agent.stream(asked(EASY), stream_mode="messages")]
    assert "".join(tokens).strip() == "dear-1 says so"
    provider.down = {"cheap-1", "dear-1"}
    with pytest.raises((InternalServerError, AnthropicError)):
        ask(agent, EASY)


@pytest.mark.parametrize("api", ["openai_chat", "anthropic"])
def test_before_a_policy_is_loaded_the_default_serves_as_the_caller_asked(
    api: str, tmp_path: Path, provider: Provider
) -> None:
    store = PolicyStore(tmp_path / "nothing", default=("spare", None))
    own = model(provider, api, max_tokens=50)
    message = ask(routed(provider, api, store, model=own, session_tokens=1_000_000), EASY)
    assert message.text == "spare says so" and told(message)["x-router-lab-code"] == "default"
    sent = provider.requests[-1]["body"]
    assert sent.get("max_completion_tokens", sent.get("max_tokens")) == 50


@pytest.mark.parametrize("api", APIS)
def test_two_hundred_at_once_across_hot_reloads(api: str, tmp_path: Path, provider: Provider) -> None:
    store, paths = stored(tmp_path / "policies", api)
    agent = routed(provider, api, store, session_turns=5)

    async def one(text: str, session: str) -> tuple[str, dict[str, str]]:
        state = await agent.ainvoke(asked(text), {"configurable": {"thread_id": session}})
        message = state["messages"][-1]
        return str(message.text), told(message)

    asyncio.run(storm(store, paths, one))
    assert len(provider.requests) == 200


def test_the_page(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    play("langchain", "openai_chat", tmp_path, provider, monkeypatch)
    out = capsys.readouterr().out
    assert out.startswith("dear-1 says so dear ") and "the reference: only 0%" in out
    assert provider.models == ["dear-1"]
