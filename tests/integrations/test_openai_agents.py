"""The real runner of the OpenAI Agents SDK, routed, against a provider on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("agents")
from agents import Agent, ModelSettings, RunConfig, Runner, function_tool, set_tracing_disabled, trace
from agents.agent_output import AgentOutputSchema
from openai import AsyncOpenAI, InternalServerError
from openai.types.shared import Reasoning
from pydantic import BaseModel

from router_lab.integrations.openai_agents import RoutedProvider, told
from router_lab.integrations.routing import Routing
from router_lab.integrations.turns import STREAMED
from router_lab.runtime.budget import BudgetExceeded
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.model import Candidate
from router_lab.runtime.store import PolicyStore
from tests.integrations.pages import play
from tests.integrations.provider import Provider
from tests.integrations.storms import TEXTS, stored, storm
from tests.integrations.worlds import EASY, HARD, chained, choosing

APIS = ("openai_chat", "openai_responses")
MODEL = "router_lab/triage"
set_tracing_disabled(True)  # nothing is sent to anybody


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as server:
        yield server


def routed(provider: Provider, policy: Any, **settings: Any) -> RunConfig:
    client = AsyncOpenAI(api_key="x", base_url=provider.url, max_retries=0)
    return RunConfig(model_provider=RoutedProvider(policy, openai_client=client, **settings))


def run(config: RunConfig, text: Any, agent: Any = None, **more: Any) -> Any:
    """What the user's code says, unchanged but for the model and its provider."""
    settings = more.pop("settings", ModelSettings())
    agent = agent or Agent(name="a", model=more.pop("model", MODEL), model_settings=settings)
    return Runner.run_sync(agent, text, run_config=config, **more)


def named(name: str) -> ModelSettings:
    return ModelSettings(extra_headers={"X-Router-Lab-Session": name, "x-mine": "kept"})


def found(result: Any) -> Any:
    whole = told(result.raw_responses[-1])
    assert whole is not None
    return whole


def asking(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Roles and texts of a request, with a system message that the API has apart."""
    apart = [("system", body["instructions"])] if body.get("instructions") else []
    items = body.get("messages") or body["input"]
    texts = []
    for one in [{"role": "user", "content": items}] if isinstance(items, str) else items:
        content = one["content"]
        texts.append((one["role"], content if isinstance(content, str) else content[0]["text"]))
    return [*apart, *texts]


@pytest.mark.parametrize("api", APIS)
def test_decisions_are_the_policys_and_answers_say_so(api: str, provider: Provider) -> None:
    policy = choosing(api)
    config = routed(provider, policy)
    for text in TEXTS:
        decision = policy.decide(text, suite="triage")
        result = run(config, text)
        whole = found(result)
        assert result.final_output == f"{decision.model}-1 says so"
        assert (whole.candidate, whole.code, whole.reason) == (
            decision.candidate,
            decision.code,
            decision.reason,
        )
        sent = provider.requests[-1]["body"]
        assert asking(sent) == [("user", text)]
        measured = decision.settings()
        assert {name: sent.get(name) for name in measured} == measured
    assert set(provider.models) == {"cheap-1", "dear-1"}
    assert run(config, EASY, model="gpt-5").final_output == "gpt-5 says so"


@pytest.mark.parametrize("api", APIS)
def test_what_was_measured_takes_the_callers_place_and_the_rest_goes_on(api: str, provider: Provider) -> None:
    chat = api == "openai_chat"
    effort: dict[str, Any] = (
        {"reasoning_effort": "low"} if chat else {"reasoning": {"effort": "low"}, "max_output_tokens": 64}
    )
    policy = choosing(api)
    for one in policy.spec.profiles:
        one.request["arguments"].update(effort)
    settings = ModelSettings(
        temperature=0.9, reasoning=Reasoning(effort="high"), max_tokens=7, verbosity="high", metadata={"a": "b"},
        extra_body={"top_logprobs": 1}, extra_args={"seed": 3, "user": "u"},
    )  # fmt: skip
    result = run(routed(provider, policy), EASY, settings=settings)
    sent = provider.requests[-1]["body"]
    assert sent.items() >= {**effort, "metadata": {"a": "b"}, "top_logprobs": 1, "user": "u"}.items()
    assert not sent.keys() & {"temperature", "verbosity", "seed"} and "verbosity" not in str(sent.get("text"))
    assert found(result).left_out == ("max_tokens", "reasoning", "seed", "temperature", "verbosity")


@pytest.mark.parametrize("api", APIS)
def test_the_question_goes_into_the_measured_frame(api: str, provider: Provider) -> None:
    few = [{"user": "1 + 1", "assistant": "2"}]
    frame = [("system", "Be brief."), ("user", "1 + 1"), ("assistant", "2")]
    policy = choosing(api, system="Be brief.", few_shot=few)
    config = routed(provider, policy)
    first = run(config, EASY)
    assert asking(provider.requests[-1]["body"]) == [*frame, ("user", EASY)]
    run(config, [*first.to_input_list(), {"role": "user", "content": HARD}])
    turns = [("user", EASY), ("assistant", first.final_output), ("user", HARD)]
    assert asking(provider.requests[-1]["body"]) == [*frame, *turns]
    run(config, EASY, Agent(name="a", model=MODEL, instructions="Be brief."))  # the measured one, said once
    assert asking(provider.requests[-1]["body"]) == [*frame, ("user", EASY)]
    kind = Agent(name="a", model=MODEL, instructions="Be kind.")
    with pytest.raises(PolicyError, match="Be kind"):
        run(config, EASY, kind)
    run(routed(provider, policy, frame="caller"), EASY, kind)
    assert asking(provider.requests[-1]["body"]) == [("system", "Be kind."), ("user", EASY)]


def test_each_is_asked_through_its_own_api_and_others_are_said(provider: Provider) -> None:
    config = routed(provider, choosing())
    result = run(config, EASY)
    assert result.final_output == "cheap-openai_chat-1 says so"
    assert (
        "of 6 candidates 4 can be asked here (cheap-anthropic: it was measured through"
        in found(result).reason
    )
    # What the provider keeps, only its own API can go on from.
    assert run(config, EASY, previous_response_id="resp_1").final_output == "cheap-openai_responses-1 says so"
    with pytest.raises(PolicyError, match="nobody that can be asked here"):
        run(routed(provider, choosing("anthropic")), EASY)


@pytest.mark.parametrize("streams", [False, True])
def test_a_conversation_that_the_provider_keeps_is_a_session(streams: bool, provider: Provider) -> None:
    """Only its own API goes on from it, and what its turns used before is read again, and set aside for."""
    routing = Routing(choosing(), session_tokens=100_000)
    config, budget, used = routed(provider, routing), routing.sessions.budget("conv_1"), list[int]()
    held = provider.telling(budget)

    async def turn(agent: Any) -> Any:
        if not streams:
            return await Runner.run(agent, EASY, run_config=config, conversation_id="conv_1")
        result = Runner.run_streamed(agent, EASY, run_config=config, conversation_id="conv_1")
        async for _ in result.stream_events():
            pass
        return result

    async def both() -> None:
        for _ in range(2):
            result = await turn(Agent(name="a", model=MODEL))
            assert result.final_output == "cheap-openai_responses-1 says so"
            assert found(result).session == "conv_1"
            used.append(0 if budget is None else budget.tokens)

    asyncio.run(both())
    assert held[1] == held[0] + used[0] and used[0] >= 40
    assert [one["body"]["conversation"] for one in provider.requests] == ["conv_1"] * 2
    assert budget is not None and (budget.turns, budget._held_tokens) == (2, 0)
    config = routed(provider, routing)  # a client of its own for another loop
    own = run(config, EASY, settings=named("s"), conversation_id="conv_1")
    assert found(own).session == "s" and budget.turns == 2  # a header names a session of its own


def test_several_answers_at_once_are_set_aside_for(provider: Provider) -> None:
    routing = Routing(choosing("openai_chat"), session_tokens=100_000)
    held = provider.telling(routing.sessions.budget("s"))
    for more in ({}, {"extra_args": {"n": 3}}, {"extra_body": {"n": 3}}):
        settings = ModelSettings(extra_headers={"X-Router-Lab-Session": "s"}, **more)
        run(routed(provider, routing), EASY, settings=settings)
        assert provider.requests[-1]["body"].get("n") == (3 if more else None)
    assert held == [held[0], *[held[0] + 2 * 64] * 2]  # two answers more, of 64 tokens


@pytest.mark.parametrize("api", APIS)
def test_an_answer_that_is_not_kept_is_never_seen(api: str, provider: Provider) -> None:
    result = run(routed(provider, chained(api)), EASY)
    assert provider.models == ["cheap-1", "dear-1"] and result.final_output == "dear-1 says so"
    assert (found(result).code, found(result).stages) == ("escalated", (Candidate("cheap"),))
    assert len(result.raw_responses) == 1
    assert (
        run(routed(provider, chained(api, gain=-1.0)), EASY).final_output == "cheap-1 says so"
    )  # signals were there


class City(BaseModel):
    city: str


@pytest.mark.parametrize("api", APIS)
def test_what_is_sent_within_other_arguments_leaves_the_rest_of_them(api: str, provider: Provider) -> None:
    provider.say = lambda model, prompt: '{"city": "Paris"}'
    policy = chained(api, gain=-1.0)
    for one in policy.spec.profiles:
        one.request["arguments"].update(
            {"verbosity": "low"} if api == "openai_chat" else {"text": {"verbosity": "low"}}
        )
    agent = Agent(name="a", model=MODEL, output_type=AgentOutputSchema(City, strict_json_schema=True))
    assert run(routed(provider, policy), EASY, agent).final_output == City(city="Paris")
    sent = provider.requests[-1]["body"]
    assert (sent if api == "openai_chat" else sent["text"])["verbosity"] == "low"
    assert "city" in str(sent.get("response_format") or sent["text"]["format"])


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("streams", [False, True])
def test_tools_pass_through_and_are_no_answer(api: str, streams: bool, provider: Provider) -> None:
    @function_tool
    def weather(city: str) -> str:
        """The weather of a city."""
        return f"18 °C in {city}"

    agent = Agent(name="a", model=MODEL, tools=[weather])
    config = routed(provider, chained(api, gain=-1.0), check=lambda text: "says" in text)

    async def streamed() -> Any:
        result = Runner.run_streamed(agent, EASY, run_config=config)
        async for _ in result.stream_events():
            pass
        return result

    result = asyncio.run(streamed()) if streams else run(config, EASY, agent)
    escalations = [getattr(told(one), "escalation", None) for one in result.raw_responses]
    assert escalations == [STREAMED if streams else "on"] * 2
    assert "router_lab_" not in str(result.to_input_list()) and "_router_lab" not in str(provider.requests)
    assert provider.models == ["cheap-1", "cheap-1"] and result.final_output.strip() == "cheap-1 says so"
    assert "18 °C in Paris" in str(provider.requests[-1]["body"])
    assert [
        tool.get("name") or tool["function"]["name"] for tool in provider.requests[-1]["body"]["tools"]
    ] == ["weather"]


@pytest.mark.parametrize("api", APIS)
def test_what_is_streamed_is_not_judged_and_counted_at_its_end(api: str, provider: Provider) -> None:
    routing = Routing(chained(api), session_tokens=100_000)
    config = routed(provider, routing)

    async def streamed() -> Any:
        agent = Agent(name="a", model=MODEL, model_settings=named("s"))
        result = Runner.run_streamed(agent, EASY, run_config=config)
        seen = [event.data async for event in result.stream_events() if event.type == "raw_response_event"]
        return told(seen[-1].response), told(result.raw_responses[-1]), result.final_output

    whole, last, output = asyncio.run(streamed())
    assert whole == last
    assert output.strip() == "cheap-1 says so" and provider.models == ["cheap-1"]
    assert (whole.escalation, whole.session) == (STREAMED, "s")
    headers = {name.lower() for name in provider.requests[0]["headers"]}
    assert "x-mine" in headers and "x-router-lab-session" not in headers
    budget = routing.sessions.budget("s")
    size = len(str(provider.requests[0]["body"])) // 4
    assert budget is not None and budget.turns == 1 and budget.tokens == pytest.approx(size + 5, abs=6)


@pytest.mark.parametrize("api", APIS)
def test_a_session_within_its_budget(api: str, provider: Provider) -> None:
    config = routed(provider, choosing(api), session_usd=0.002)
    asked = 0
    with pytest.raises(BudgetExceeded, match="budget of the session"):
        for _ in range(100):
            run(config, EASY, settings=named("s"))
            asked += 1
    assert 1 <= asked == len(provider.requests) < 100
    assert run(config, EASY, settings=named("another")).final_output


@pytest.mark.parametrize("api", APIS)
def test_a_session_stays_with_who_served_it(api: str, provider: Provider) -> None:
    """As `decide` has it: the cache of what was sent is worth more than cheap saves."""
    config = routed(provider, choosing(api))
    first = run(config, HARD + " " + "word " * 60_000)
    assert found(first).candidate == Candidate("dear")
    second = run(config, [*first.to_input_list(), {"role": "user", "content": EASY}])
    assert (found(second).candidate, found(second).code) == (Candidate("dear"), "sticky")
    assert found(run(config, EASY)).candidate == Candidate("cheap")


def test_a_trace_names_its_session(provider: Provider) -> None:
    config = routed(provider, choosing("openai_chat"), session_turns=1)
    set_tracing_disabled(False)
    try:
        with trace("work", group_id="g", disabled=False):
            assert found(run(config, EASY)).session == "g"
            with pytest.raises(BudgetExceeded):
                run(config, EASY)
    finally:
        set_tracing_disabled(True)


@pytest.mark.parametrize("api", APIS)
def test_who_is_away_gives_way_also_in_a_stream(api: str, provider: Provider) -> None:
    provider.down = {"cheap-1"}
    config = routed(provider, choosing(api))
    agent = Agent(name="a", model=MODEL)

    async def asked() -> None:
        assert found(await Runner.run(agent, EASY, run_config=config)).code == "fallback"
        result = Runner.run_streamed(agent, EASY, run_config=config)
        async for _ in result.stream_events():
            pass
        assert result.final_output.strip() == "dear-1 says so"
        provider.down = {"cheap-1", "dear-1"}
        with pytest.raises(InternalServerError):
            await Runner.run(agent, EASY, run_config=config)

    asyncio.run(asked())


def test_before_a_policy_is_loaded_the_default_serves_as_the_caller_asked(
    tmp_path: Path, provider: Provider
) -> None:
    store = PolicyStore(tmp_path / "nothing", default=("spare", None))
    result = run(
        routed(provider, store, session_tokens=1_000_000), EASY, settings=ModelSettings(temperature=0.5)
    )
    assert result.final_output == "spare says so" and found(result).code == "default"
    assert provider.requests[-1]["body"]["temperature"] == 0.5


@pytest.mark.parametrize("api", APIS)
def test_two_hundred_at_once_across_hot_reloads(api: str, tmp_path: Path, provider: Provider) -> None:
    store, paths = stored(tmp_path / "policies", api)
    config = routed(provider, store, session_turns=5)

    async def one(text: str, session: str) -> tuple[str, dict[str, str]]:
        agent = Agent(name="a", model=MODEL, model_settings=named(session))
        result = await Runner.run(agent, text, run_config=config)
        return str(result.final_output), found(result).headers()

    asyncio.run(storm(store, paths, one))
    assert len(provider.requests) == 200


def test_the_page(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    play("openai_agents", "openai_responses", tmp_path, provider, monkeypatch)
    out = capsys.readouterr().out
    assert out.startswith("dear-1 says so dear ") and "the reference: only 0%" in out
    assert provider.models == ["dear-1"]
