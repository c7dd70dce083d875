"""A real agent of Pydantic AI, routed, against a provider on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelRequest, ModelResponse, ToolCallPart, ToolReturnPart, UserPromptPart
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from router_lab.integrations.pydantic_ai import RoutedModel
from router_lab.integrations.routing import Routing
from router_lab.integrations.turns import STREAMED
from router_lab.runtime.budget import BudgetExceeded
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.store import PolicyStore
from tests.integrations.pages import play
from tests.integrations.provider import Provider
from tests.integrations.storms import TEXTS, stored, storm
from tests.integrations.worlds import APIS, EASY, HARD, chained, choosing


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as server:
        yield server


def model(provider: Provider, api: str, **settings: Any) -> Model:
    if api == "anthropic":
        anthropic = AsyncAnthropic(api_key="x", base_url=provider.root, max_retries=0)
        return AnthropicModel(
            "own", provider=AnthropicProvider(anthropic_client=anthropic), settings=settings or None
        )
    openai = OpenAIProvider(openai_client=AsyncOpenAI(api_key="x", base_url=provider.url, max_retries=0))
    kind = OpenAIChatModel if api == "openai_chat" else OpenAIResponsesModel
    return kind("own", provider=openai, settings=settings or None)


def routed(provider: Provider, api: str, policy: Any, **settings: Any) -> Agent[None, str]:
    return Agent(RoutedModel(model(provider, api), policy, **{"suite": "triage", **settings}))


def told(result: Any) -> dict[str, str]:
    found: dict[str, str] = result.new_messages()[-1].metadata["router_lab"]
    return found


def asking(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Roles and texts of a request, with a system message that the API has apart."""
    whole = body.get("instructions") or body.get("system") or []
    apart = [("system", whole)] if isinstance(whole, str) else [("system", part["text"]) for part in whole]
    found = []
    for one in body.get("messages") or body["input"]:
        content = one["content"]
        found.append((one["role"], content if isinstance(content, str) else content[0]["text"]))
    return [*apart, *found]


@pytest.mark.parametrize("api", APIS)
def test_decisions_are_the_policys_and_answers_say_so(api: str, provider: Provider) -> None:
    policy = choosing(api)
    agent = routed(provider, api, policy)
    for text in TEXTS:
        decision = policy.decide(text, suite="triage")
        result = agent.run_sync(text)
        assert result.output == f"{decision.model}-1 says so"
        found = told(result)
        assert (found["x-router-lab-model"], found["x-router-lab-code"]) == (decision.model, decision.code)
        assert found["x-router-lab-revision"] == "support-revision"
        sent = provider.requests[-1]["body"]
        assert asking(sent) == [("user", text)]
        measured = decision.settings()
        assert {name: sent.get(name) for name in measured} == measured
    assert set(provider.models) == {"cheap-1", "dear-1"}


@pytest.mark.parametrize("api", APIS)
def test_what_was_measured_takes_the_callers_place_and_the_rest_goes_on(api: str, provider: Provider) -> None:
    effort = {"reasoning_effort": "low"} if api == "openai_chat" else {"reasoning": {"effort": "low"}}
    effort = {"output_config": {"effort": "low"}} if api == "anthropic" else effort
    policy = choosing(api)
    for one in policy.spec.profiles:
        one.request["arguments"].update(effort)
    agent = routed(provider, api, policy)
    result = agent.run_sync(EASY, model_settings={
        "temperature": 0.9, "thinking": "high", "max_tokens": 7, "extra_headers": {"x-mine": "kept"},
        "extra_body": {"top_p": 0.1, "metadata": {"user_id": "u"}},
    })  # fmt: skip
    sent = provider.requests[-1]
    assert {name.lower() for name in sent["headers"]} >= {"x-mine"}
    assert sent["body"].items() >= {**effort, "metadata": {"user_id": "u"}}.items()
    assert not sent["body"].keys() & {"temperature", "top_p"}
    assert sent["body"].get("max_tokens") == (None if api == "openai_responses" else 64)
    left = (
        "temperature, thinking, top_p"
        if api == "openai_responses"
        else "max_tokens, temperature, thinking, top_p"
    )
    assert told(result)["x-router-lab-left-out"] == left


@pytest.mark.parametrize("api", APIS)
def test_the_question_goes_into_the_measured_frame(api: str, provider: Provider) -> None:
    few = [{"user": "1 + 1", "assistant": "2"}]
    frame = [("system", "Be brief."), ("user", "1 + 1"), ("assistant", "2")]
    agent = routed(provider, api, choosing(api, system="Be brief.", few_shot=few))
    first = agent.run_sync(EASY)
    assert asking(provider.requests[-1]["body"]) == [*frame, ("user", EASY)]
    agent.run_sync(HARD, message_history=first.all_messages())
    turns = [("user", EASY), ("assistant", first.output), ("user", HARD)]
    assert asking(provider.requests[-1]["body"]) == [*frame, *turns]
    agent.run_sync(EASY, instructions="Be brief.")  # the measured one, said once
    assert asking(provider.requests[-1]["body"]) == [*frame, ("user", EASY)]
    with pytest.raises(PolicyError, match="Be kind"):
        agent.run_sync(EASY, instructions="Be kind.")
    own = routed(provider, api, choosing(api, system="Be brief.", few_shot=few), frame="caller")
    own.run_sync(EASY, instructions="Be kind.")
    assert asking(provider.requests[-1]["body"]) == [("system", "Be kind."), ("user", EASY)]


def test_a_policy_of_three_apis_is_asked_through_each(provider: Provider) -> None:
    chat, responses, anthropic = (model(provider, api) for api in APIS)
    both = Agent(RoutedModel(chat, choosing(), suite="triage", others=[anthropic, responses]))
    assert both.run_sync(EASY).output == "cheap-anthropic-1 says so"
    result = Agent(RoutedModel(chat, choosing(), suite="triage")).run_sync(EASY)
    assert result.output == "cheap-openai_chat-1 says so"
    assert (
        "of 6 candidates 2 can be asked here (cheap-anthropic: it was" in told(result)["x-router-lab-reason"]
    )
    with pytest.raises(PolicyError, match="TestModel is none of OpenAIChatModel"):
        RoutedModel(TestModel(), choosing())


@pytest.mark.parametrize("api", APIS)
def test_an_answer_that_is_not_kept_is_never_seen(api: str, provider: Provider) -> None:
    result = routed(provider, api, chained(api)).run_sync(EASY)
    assert provider.models == ["cheap-1", "dear-1"] and result.output == "dear-1 says so"
    assert told(result)["x-router-lab-code"] == "escalated" and told(result)["x-router-lab-stages"] == "cheap"
    keeping = routed(provider, api, chained(api, gain=-1.0))
    assert keeping.run_sync(EASY).output == "cheap-1 says so"  # its signals were there


class City(BaseModel):
    city: str


@pytest.mark.parametrize("api", APIS)
def test_an_output_that_a_tool_carries_is_an_answer(api: str, provider: Provider) -> None:
    agent = Agent(RoutedModel(model(provider, api), choosing(api), suite="triage", check=lambda text: "Rome" in text),
                  output_type=City)  # fmt: skip
    assert agent.run_sync(EASY).output == City(city="Paris")
    assert provider.models == ["cheap-1", "dear-1"]  # Paris failed the check


@pytest.mark.parametrize("api", APIS)
def test_tools_pass_through_and_are_no_answer(api: str, provider: Provider) -> None:
    agent = routed(provider, api, chained(api, gain=-1.0), check=lambda text: "says" in text)

    @agent.tool_plain
    def weather(city: str) -> str:
        return f"18 °C in {city}"

    result = agent.run_sync(EASY)
    assert provider.models == ["cheap-1", "cheap-1"] and result.output == "cheap-1 says so"
    assert "18 °C in Paris" in str(provider.requests[-1]["body"])


def test_results_of_calls_that_were_made_together_stay_together_in_a_frame(provider: Provider) -> None:
    """Anthropic refuses them in two messages."""
    policy = choosing("anthropic", few_shot=[{"user": "1 + 1", "assistant": "2"}])
    calls = [ToolCallPart("weather", {"city": city}, city) for city in ("Paris", "Rome")]
    results = [ToolReturnPart(one.tool_name, "18 °C", one.tool_call_id) for one in calls]
    history = [ModelRequest([UserPromptPart(EASY)]), ModelResponse(calls), ModelRequest(results)]
    assert routed(provider, "anthropic", policy).run_sync(message_history=history).output == "cheap-1 says so"
    sent = provider.requests[-1]["body"]["messages"]
    assert [one["role"] for one in sent] == ["user", "assistant", "user", "assistant", "user"]
    assert [one["tool_use_id"] for one in sent[-1]["content"]] == ["Paris", "Rome"]


@pytest.mark.parametrize("api", APIS)
def test_what_is_streamed_is_not_judged_and_counted_at_its_end(api: str, provider: Provider) -> None:
    routing = Routing(chained(api), suite="triage", session_tokens=100_000)
    agent = Agent(RoutedModel(model(provider, api), routing))

    async def streamed() -> Any:
        async with agent.run_stream(EASY, conversation_id="s") as result:
            assert (
                "".join([text async for text in result.stream_text(delta=True)]).strip() == "cheap-1 says so"
            )
            return result

    assert told(asyncio.run(streamed()))["x-router-lab-escalation"] == STREAMED
    assert provider.models == ["cheap-1"]
    budget = routing.sessions.budget("s")
    size = len(str(provider.requests[0]["body"])) // 4
    assert budget is not None and budget.turns == 1 and budget.tokens == pytest.approx(size + 5, abs=6)


@pytest.mark.parametrize("api", APIS)
def test_of_a_stream_that_is_left_all_that_was_set_aside_counts(api: str, provider: Provider) -> None:
    """What Anthropic counts in its first event is a beginning."""
    routing = Routing(choosing(api), suite="triage", session_tokens=100_000)
    agent, held = Agent(RoutedModel(model(provider, api), routing)), list[int]()

    async def left() -> None:
        async with agent.run_stream(EASY, conversation_id="s") as result:
            async for _ in result.stream_text(delta=True, debounce_by=None):
                held.append(routing.sessions.budget("s")._held_tokens)
                break

    asyncio.run(left())
    budget = routing.sessions.budget("s")
    assert budget is not None and (budget.turns, budget._held_tokens) == (1, 0)
    assert budget.tokens == held[0] > 64


def test_a_conversation_that_the_provider_keeps_is_a_session(provider: Provider) -> None:
    """Only its own API goes on from it, and what its turns used before is read again, and set aside for."""
    routing = Routing(choosing(), session_tokens=100_000)
    budget, used = routing.sessions.budget("conv_1"), list[int]()
    held = provider.telling(budget)
    agent: Any = routed(provider, "openai_responses", routing, others=[model(provider, "openai_chat")])
    for _ in range(2):
        result = agent.run_sync(EASY, model_settings={"openai_conversation_id": "conv_1"})
        assert result.output == "cheap-openai_responses-1 says so"
        used.append(0 if budget is None else budget.tokens)
    assert held[1] == held[0] + used[0] and used[0] >= 40
    assert [one["body"]["conversation"] for one in provider.requests] == ["conv_1"] * 2
    assert agent.run_sync(EASY).output == "cheap-openai_chat-1 says so"


def test_several_answers_at_once_are_set_aside_for(provider: Provider) -> None:
    routing = Routing(choosing("openai_chat"), session_tokens=100_000)
    held = provider.telling(routing.sessions.budget("s"))
    agent: Any = routed(provider, "openai_chat", routing)
    for more in ({}, {"extra_body": {"n": 3}}):
        agent.run_sync(EASY, conversation_id="s", model_settings=more)
        assert provider.requests[-1]["body"].get("n") == (3 if more else None)
    assert held == [held[0], held[0] + 2 * 64]  # two answers more, of 64 tokens


@pytest.mark.parametrize("api", APIS)
def test_a_conversation_within_its_budget(api: str, provider: Provider) -> None:
    agent = routed(provider, api, choosing(api), session_usd=0.002)
    history, asked = list[Any](), 0
    with pytest.raises(BudgetExceeded, match="budget of the session"):
        for _ in range(100):
            history = agent.run_sync(EASY, message_history=history).all_messages()
            asked += 1
    assert 1 <= asked == len(provider.requests) < 100
    assert agent.run_sync(EASY).output  # another conversation


def test_a_conversation_stays_with_who_served_it(provider: Provider) -> None:
    """As `decide` has it: the cache of what was sent is worth more than cheap saves."""
    agent = routed(provider, "openai_chat", choosing("openai_chat"))
    first = agent.run_sync(HARD + " " + "word " * 60_000)
    assert told(first)["x-router-lab-model"] == "dear"
    second = agent.run_sync(EASY, message_history=first.all_messages())
    assert (told(second)["x-router-lab-model"], told(second)["x-router-lab-code"]) == ("dear", "sticky")
    assert told(agent.run_sync(EASY))["x-router-lab-model"] == "cheap"


@pytest.mark.parametrize("api", APIS)
def test_who_is_away_gives_way_also_in_a_stream(api: str, provider: Provider) -> None:
    provider.down = {"cheap-1"}
    agent = routed(provider, api, choosing(api))

    async def asked() -> None:
        assert told(await agent.run(EASY))["x-router-lab-code"] == "fallback"
        async with agent.run_stream(EASY) as result:
            assert (await result.get_output()).strip() == "dear-1 says so"
        provider.down = {"cheap-1", "dear-1"}
        with pytest.raises(ModelHTTPError):
            await agent.run(EASY)

    asyncio.run(asked())


def test_a_server_that_nobody_reaches_gives_way(provider: Provider) -> None:
    gone = OpenAIProvider(
        openai_client=AsyncOpenAI(api_key="x", base_url="http://127.0.0.1:9/v1", max_retries=0)
    )
    allowed = [("cheap-openai_chat", None), ("dear-anthropic", None)]
    one = RoutedModel(OpenAIChatModel("own", provider=gone), choosing("openai_chat", "anthropic"), suite="triage",
                      others=[model(provider, "anthropic")], allowed=allowed)  # fmt: skip
    assert Agent(one).run_sync(EASY).output == "dear-anthropic-1 says so"


def test_before_a_policy_is_loaded_the_default_serves_as_the_caller_asked(
    tmp_path: Path, provider: Provider
) -> None:
    store = PolicyStore(tmp_path / "nothing", default=("spare", None))
    result = routed(provider, "openai_chat", store).run_sync(EASY, model_settings={"temperature": 0.5})
    assert result.output == "spare says so" and told(result)["x-router-lab-code"] == "default"
    assert provider.requests[-1]["body"]["temperature"] == 0.5


@pytest.mark.parametrize("api", APIS)
def test_two_hundred_at_once_across_hot_reloads(api: str, tmp_path: Path, provider: Provider) -> None:
    store, paths = stored(tmp_path / "policies", api)
    agent = routed(provider, api, store, session_turns=5)

    async def one(text: str, session: str) -> tuple[str, dict[str, str]]:
        result = await agent.run(text, conversation_id=session)
        return result.output, told(result)

    asyncio.run(storm(store, paths, one))
    assert len(provider.requests) == 200


def test_the_page(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    play("pydantic_ai", "openai_chat", tmp_path, provider, monkeypatch)
    out = capsys.readouterr().out
    assert out.startswith("dear-1 says so dear ") and "the reference: only 0%" in out
    assert provider.models == ["dear-1"]
