"""The real SDKs, wrapped, against a provider on loopback."""

from __future__ import annotations

import asyncio
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai")
pytest.importorskip("anthropic")
import anthropic
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, InternalServerError, OpenAI

from router_lab.integrations.clients import told, wrap
from router_lab.integrations.routing import Routing
from router_lab.integrations.turns import STREAMED
from router_lab.publish import publish
from router_lab.runtime.artifact import save_revision
from router_lab.runtime.budget import BudgetExceeded
from router_lab.runtime.clients import METHODS
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.model import Candidate
from router_lab.runtime.store import PolicyStore
from tests.integrations.provider import Provider
from tests.integrations.worlds import APIS, EASY, HARD, chained, choosing

MODEL = "router_lab/triage"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: dict[str, list[Any]] = {
    "openai_chat": [{"type": "function", "function": {"name": "weather", "parameters": CITY}}],
    "openai_responses": [{"type": "function", "name": "weather", "parameters": CITY, "strict": False}],
    "anthropic": [{"name": "weather", "input_schema": CITY}],
}
FINAL = {
    "openai_chat": "get_final_completion",
    "openai_responses": "get_final_response",
    "anthropic": "get_final_message",
}
HELPERS = {
    "openai_chat": ("AsyncChatCompletionStreamManager", "AsyncChatCompletionStream"),
    "openai_responses": ("AsyncResponseStreamManager", "AsyncResponseStream"),
    "anthropic": ("AsyncMessageStreamManager", "AsyncMessageStream"),
}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as server:
        yield server


def client(provider: Provider, api: str, waits: bool = False) -> Any:
    if api == "anthropic":
        return (AsyncAnthropic if waits else Anthropic)(api_key="x", base_url=provider.root, max_retries=0)
    return (AsyncOpenAI if waits else OpenAI)(api_key="x", base_url=provider.url, max_retries=0)


def ask(routed: Any, api: str, text: str | list[Any], **more: Any) -> Any:
    """What the user's code says, unchanged but for the model."""
    messages = [{"role": "user", "content": text}] if isinstance(text, str) else text
    if api == "openai_chat":
        return routed.chat.completions.create(**{"model": MODEL, "messages": messages, **more})
    if api == "openai_responses":
        return routed.responses.create(**{"model": MODEL, "input": messages, **more})
    return routed.messages.create(**{"model": MODEL, "max_tokens": 99, "messages": messages, **more})


def text_of(api: str, answer: Any) -> str:
    if api == "openai_chat":
        return str(answer.choices[0].message.content)
    return str(answer.output_text if api == "openai_responses" else answer.content[0].text)


@pytest.mark.parametrize("api", APIS)
def test_decisions_are_the_policys_and_answers_say_so(api: str, provider: Provider) -> None:
    policy = choosing(api)
    routed = wrap(client(provider, api), policy)
    assert isinstance(routed, type(client(provider, api)))
    for text in (EASY, HARD, "never seen"):
        decision = policy.decide(text, suite="triage")
        answer = ask(routed, api, text)
        found = told(answer)
        assert found is not None and found.candidate == decision.candidate and found.reason == decision.reason
        assert text_of(api, answer) == f"{decision.model}-1 says so"
        assert "_router_lab" not in answer.to_dict() and "router" not in answer.to_json()
        sent = provider.requests[-1]["body"]
        assert sent.items() <= {**decision.request(text), "stream": False}.items()
    assert ask(routed, api, EASY, model="gpt-5").model == provider.models[-1] == "gpt-5"


@pytest.mark.parametrize("api", APIS)
def test_async_clients(api: str, provider: Provider) -> None:
    async def both() -> None:
        async with wrap(client(provider, api, waits=True), choosing(api)) as routed:
            for text, model in ((EASY, "cheap"), (HARD, "dear")):
                answer = await ask(routed, api, text)
                found = told(answer)
                assert found is not None and found.candidate == Candidate(model)
            assert (await ask(routed, api, EASY, model="gpt-5")).model == "gpt-5"

    asyncio.run(both())


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("waits", [False, True])
def test_streams_are_the_sdks_own_and_are_counted_at_their_end(
    api: str, waits: bool, provider: Provider
) -> None:
    routing = Routing(chained(api), session_tokens=100_000)
    budget = routing.sessions.budget("s")
    assert budget is not None
    header = {"x-router-lab-session": "s", "X-Other": "kept"}
    if waits:

        async def stream() -> tuple[Any, list[Any]]:
            async with wrap(client(provider, api, waits=True), routing) as routed:
                found = await ask(routed, api, EASY, stream=True, extra_headers=header)
                return found, [event async for event in found]

        found, events = asyncio.run(stream())
    else:
        found = ask(wrap(client(provider, api), routing), api, EASY, stream=True, extra_headers=header)
        events = list(found)
    if api == "openai_chat":
        assert all(event.choices for event in events)  # the usage was our wish, not the caller's
        assert "".join(event.choices[0].delta.content or "" for event in events) == "cheap-1 says so "
    seen = told(found)
    assert seen is not None and (seen.escalation, seen.session) == (STREAMED, "s")
    assert provider.models == ["cheap-1"]
    headers = {name.lower() for name in provider.requests[0]["headers"]}
    assert "x-other" in headers and "x-router-lab-session" not in headers
    size = len(str(provider.requests[0]["body"])) // 4
    assert budget.turns == 1 and budget.tokens == pytest.approx(size + 5, abs=6)


def test_the_callers_own_wish_for_usage_is_heeded(provider: Provider) -> None:
    routed = wrap(client(provider, "openai_chat"), choosing("openai_chat"), session_turns=5)
    events = list(ask(routed, "openai_chat", EASY, stream=True, stream_options={"include_usage": True}))
    assert events[-1].usage is not None and events[-1].choices == []


@pytest.mark.parametrize("api", APIS)
def test_stream_helpers(api: str, provider: Provider) -> None:
    routing = Routing(choosing(api), session_turns=2)
    routed: Any = wrap(client(provider, api), routing)
    resource = routed
    for name in METHODS[api][:-1]:
        resource = getattr(resource, name)
    body = {
        "model": MODEL,
        "input" if api == "openai_responses" else "messages": [{"role": "user", "content": HARD}],
    }
    body |= {"max_tokens": 9} if api == "anthropic" else {}
    body |= {"extra_headers": {"x-router-lab-session": "s"}}
    for _ in range(2):
        with resource.stream(**body) as stream:
            events = list(stream)
            found, final = told(stream), getattr(stream, FINAL[api])()
        assert found is not None and found.candidate.model == "dear"
        assert events and provider.models[-1] == "dear-1"
        assert told(final) == found and text_of(api, final).strip() == "dear-1 says so"
        assert "_router_lab" not in final.to_dict() and "router" not in final.to_json()
    budget = routing.sessions.budget("s")
    assert budget is not None and budget.turns == 2 and budget.tokens > 0
    with pytest.raises(BudgetExceeded), resource.stream(**body):
        pass
    assert len(provider.requests) == 2


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("model", [MODEL, "gpt-5"])
def test_the_whole_answer_at_the_end_of_an_awaited_stream(api: str, model: str, provider: Provider) -> None:
    field = "input" if api == "openai_responses" else "messages"
    body: dict[str, Any] = {"model": model, field: [{"role": "user", "content": HARD}]}
    body |= {"max_tokens": 9} if api == "anthropic" else {}

    async def streamed() -> tuple[Any, ...]:
        async with wrap(client(provider, api, waits=True), choosing(api)) as routed:
            resource: Any = routed
            for name in METHODS[api][:-1]:
                resource = getattr(resource, name)
            manager = resource.stream(**body)
            kind = type(manager).__name__
            async with manager as stream:
                seen = [
                    told(event.response) for event in [e async for e in stream] if hasattr(event, "response")
                ]
                return kind, type(stream), told(stream), await getattr(stream, FINAL[api])(), seen

    kind, own, found, final, seen = asyncio.run(streamed())
    assert (kind, own.__name__) == HELPERS[api] and text_of(api, final).strip().endswith(" says so")
    if model == "gpt-5":
        assert found is None and told(final) is None and not any(seen)
    else:
        assert found.candidate == Candidate("dear") and told(final) == found
        assert seen == [found] * len(seen) and bool(seen) == (api == "openai_responses")


def test_the_whole_response_in_a_streams_last_event(provider: Provider) -> None:
    routed = wrap(client(provider, "openai_responses"), choosing("openai_responses"))
    stream = ask(routed, "openai_responses", HARD, stream=True)
    *_, last = stream
    found = told(last.response)
    assert last.type == "response.completed" and found is not None and found == told(stream)
    assert found.candidate == Candidate("dear")


@pytest.mark.parametrize("api", APIS)
def test_an_answer_that_is_not_kept_is_never_seen(api: str, provider: Provider) -> None:
    answer = ask(wrap(client(provider, api), chained(api)), api, EASY)
    found = told(answer)
    assert provider.models == ["cheap-1", "dear-1"] and text_of(api, answer) == "dear-1 says so"
    assert found is not None and (found.code, found.stages) == ("escalated", (Candidate("cheap"),))
    keeping = wrap(client(provider, api), chained(api, gain=-1.0))
    assert text_of(api, ask(keeping, api, EASY)) == "cheap-1 says so"  # its signals were there


def test_a_stream_in_the_sdks_place_that_takes_no_reference_is_given_on(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a tracer may put it there."""
    monkeypatch.setattr(anthropic.resources.messages.Messages, "stream", lambda self, **asked: (1, 2))
    client = wrap(Anthropic(api_key="x", base_url=provider.root, max_retries=0), choosing())
    asked = {"model": "router_lab/triage", "max_tokens": 99, "messages": [{"role": "user", "content": EASY}]}
    assert client.messages.stream(**asked) == (1, 2)  # type: ignore[comparison-overlap]


def test_a_stream_that_nobody_enters_spends_nothing(provider: Provider) -> None:
    routing = Routing(choosing(), session_turns=1)
    client = wrap(Anthropic(api_key="x", base_url=provider.root, max_retries=0), routing)
    asked = {"model": "router_lab/triage", "max_tokens": 99, "messages": [{"role": "user", "content": EASY}],
             "extra_headers": {"x-router-lab-session": "s"}}  # fmt: skip
    for _ in range(3):
        unused = client.messages.stream(**asked)
        del unused
    with client.messages.stream(**asked) as stream:
        assert stream.get_final_text() and told(stream) is not None
    budget = routing.sessions.budget("s")
    assert budget is not None and budget.turns == 1 and len(provider.requests) == 1
    with pytest.raises(BudgetExceeded):
        client.messages.stream(**asked)


@pytest.mark.parametrize("api", APIS)
def test_a_session_within_its_budget(api: str, provider: Provider) -> None:
    routed = wrap(client(provider, api), choosing(api), session_usd=0.0012)
    asked = 0
    with pytest.raises(BudgetExceeded, match="budget of the session"):
        for _ in range(100):
            ask(routed, api, EASY, extra_headers={"x-router-lab-session": "s"})
            asked += 1
    assert 1 <= asked == len(provider.requests) < 100
    ask(routed, api, EASY, extra_headers={"x-router-lab-session": "another"})


@pytest.mark.parametrize("named", ["conv_1", {"id": "conv_1"}])
def test_a_conversation_that_the_provider_keeps_is_a_session(named: Any, provider: Provider) -> None:
    """What its turns used before is read again, and set aside for; a header names a session of its own."""
    api = "openai_responses"
    routing = Routing(choosing(api), session_tokens=100_000)
    budget = routing.sessions.budget("conv_1")
    held = provider.telling(budget)
    routed = wrap(client(provider, api), routing)
    assert budget is not None
    found = told(ask(routed, api, EASY, conversation=named))
    used = budget.tokens
    assert found is not None and found.session == "conv_1" and used >= 40
    ask(routed, api, EASY, conversation=named)
    assert held[1] == held[0] + used and budget.turns == 2
    assert [one["body"]["conversation"] for one in provider.requests] == [named] * 2
    own = told(ask(routed, api, EASY, conversation=named, extra_headers={"x-router-lab-session": "s"}))
    assert own is not None and own.session == "s" and budget.turns == 2


@pytest.mark.parametrize("api", APIS)
def test_an_agent_with_tools(api: str, provider: Provider) -> None:
    """The loop of the SDKs' own pages: the model calls a tool, its result goes back, and it answers."""
    routed: Any = wrap(client(provider, api), choosing(api))
    messages: list[Any] = [{"role": "user", "content": HARD}]
    answer = ask(routed, api, messages, tools=TOOLS[api])
    if api == "openai_chat":
        [call] = answer.choices[0].message.tool_calls
        messages += [answer.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "18 °C"}]
    elif api == "openai_responses":
        [call] = answer.output
        messages += [
            *answer.output,
            {"type": "function_call_output", "call_id": call.call_id, "output": "18 °C"},
        ]
    else:
        [block] = answer.content
        result = {"type": "tool_result", "tool_use_id": block.id, "content": "18 °C"}
        messages += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
    answer = ask(routed, api, messages, tools=TOOLS[api])
    assert text_of(api, answer) == "dear-1 says so" and provider.models == ["dear-1", "dear-1"]
    assert provider.requests[-1]["body"]["tools"] == TOOLS[api]


def test_who_is_away_gives_way_and_errors_are_the_sdks(provider: Provider) -> None:
    provider.down = {"cheap-1"}
    routed = wrap(client(provider, "openai_chat"), choosing("openai_chat"))
    found = told(ask(routed, "openai_chat", EASY))
    assert found is not None and found.code == "fallback"
    provider.down = {"cheap-1", "dear-1"}
    with pytest.raises(InternalServerError):
        ask(routed, "openai_chat", EASY)


def test_parsed_raw_and_copied_clients(provider: Provider) -> None:
    routed = wrap(client(provider, "openai_chat"), chained("openai_chat", gain=-1.0))
    raw = routed.chat.completions.with_raw_response.create(
        model=MODEL, messages=[{"role": "user", "content": EASY}]
    )
    assert raw.parse().choices[0].message.content == "cheap-1 says so"
    parsed = routed.chat.completions.parse(model=MODEL, messages=[{"role": "user", "content": EASY}])
    assert parsed.choices[0].message.content == "cheap-1 says so" and told(parsed) is not None
    again = routed.with_options(timeout=7.0)
    assert again.timeout == 7.0 and told(ask(again, "openai_chat", EASY)) is not None
    assert told(ask(client(provider, "openai_chat"), "openai_chat", EASY, model="gpt-5")) is None


def test_what_cannot_be_asked_here_is_said(provider: Provider) -> None:
    routed = wrap(client(provider, "openai_chat"), choosing())
    found = told(ask(routed, "openai_chat", EASY))
    assert found is not None and found.candidate == Candidate("cheap-openai_chat")
    assert (
        "of 6 candidates 2 can be asked here (cheap-anthropic: it was measured through anthropic, and this request is of "
        in found.reason
    )
    with pytest.raises(PolicyError, match="this request is of openai_chat: use a client of that API"):
        ask(wrap(client(provider, "openai_chat"), choosing("anthropic")), "openai_chat", EASY)
    with pytest.raises(PolicyError, match=r"pass OpenAI\(\) or Anthropic\(\)"):
        wrap(object(), choosing())


def test_two_hundred_at_once_across_hot_reloads(tmp_path: Path, provider: Provider) -> None:
    """Each answer is of the candidate that the policy named in it decides for."""
    folder = tmp_path / "policies"
    policies = [choosing("openai_chat", worse=worse) for worse in (0.3, 0.4)]
    paths = [save_revision(policy, folder) for policy in policies]
    publish(paths[0], force=True)
    store = PolicyStore(folder, default=("spare", None))
    assert store.check()

    async def one(routed: Any, number: int) -> str:
        text = (EASY, HARD)[number % 2]
        answer = await ask(
            routed, "openai_chat", text, extra_headers={"x-router-lab-session": f"s{number % 40}"}
        )
        found = told(answer)
        assert found is not None and found.code in ("predicted", "reference", "sticky", "kept")
        assert text_of("openai_chat", answer) == f"{found.candidate.model}-1 says so"
        return found.revision

    async def swapping(done: asyncio.Event) -> None:
        place = 0
        while not done.is_set():
            place = 1 - place
            await asyncio.to_thread(publish, paths[place], force=True)
            await asyncio.to_thread(store.check)

    async def storm() -> list[str]:
        async with wrap(client(provider, "openai_chat", waits=True), store, session_turns=50) as routed:
            done = asyncio.Event()
            swaps = asyncio.create_task(swapping(done))
            found = await asyncio.gather(*(one(routed, number) for number in range(200)))
            done.set()
            await swaps
            return found

    revisions = asyncio.run(storm())
    assert len(revisions) == 200 == len(provider.requests)
    assert {one[:12] for one in revisions} <= {path.name[:12] for path in paths}


def test_the_pages_file_runs_as_it_stands(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
    [code] = re.findall(r"<!-- run: wrap -->\n```python\n(.*?)```", page, flags=re.S)
    publish(save_revision(choosing("openai_responses"), tmp_path / "policies" / "support"), force=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    monkeypatch.setenv("OPENAI_BASE_URL", provider.url)
    (tmp_path / "mine.py").write_text(code)
    runpy.run_path("mine.py")
    printed = capsys.readouterr().out
    assert printed.startswith("dear the reference: ") and printed.endswith("dear-1 says so\n")
