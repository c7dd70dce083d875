"""What an agent of LangChain shows as it comes: who answers, what it may cost, and where it breaks."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("langchain")
from langchain_core.callbacks import BaseCallbackHandler, CallbackManager
from langgraph.checkpoint.memory import InMemorySaver

from router_lab.integrations.routing import Routing
from router_lab.integrations.turns import STREAMED
from tests.integrations.test_langchain import Unlike, asked, model, routed, told, weather
from tests.integrations.worlds import APIS, EASY, chained, choosing
from tests.servers.wires import Reply

ERROR = {"type": "error", "code": "server_error", "param": None, "sequence_number": 9, "message": "Overloaded",
         "error": {"type": "overloaded_error", "message": "Overloaded"}}  # fmt: skip
OFF = ("cheap", STREAMED)


class Breaking(Unlike):
    """Where `how` says so, streams of cheap-1 break behind their first events: "cut" is a dead line, "error" the
    provider's own event."""

    how: str | None = None

    def respond(self, path: str, body: dict[str, Any], headers: Mapping[str, str] | None = None) -> Reply:
        reply = super().respond(path, body, headers)
        if self.how is None or body["model"] != "cheap-1" or not body.get("stream"):
            return reply
        events = reply.body.split(b"\n\n")[:4]
        events += [b"event: error\ndata: " + json.dumps(ERROR).encode()] if self.how == "error" else []
        return replace(reply, body=b"\n\n".join(events) + b"\n\n", withheld=1000 if self.how == "cut" else 0)


@pytest.fixture
def provider() -> Iterator[Breaking]:
    with Breaking() as server:
        yield server


def thread(name: str) -> Any:
    return {"configurable": {"thread_id": name}}


def said_of(metadata: Mapping[str, Any]) -> tuple[str, str]:
    """Who answers, and whether the answer is judged, by a token's metadata."""
    headers = metadata["router_lab"]
    return headers["x-router-lab-model"], headers["x-router-lab-escalation"]


@pytest.mark.parametrize("api", APIS)
def test_every_token_says_who_answers(api: str, provider: Breaking) -> None:
    own = model(provider, api, metadata={"mine": "kept"})
    agent = routed(provider, api, chained(api), [weather], model=own)

    async def both() -> list[tuple[Any, Any]]:
        return [part async for part in agent.astream(asked(EASY), stream_mode="messages")]

    for parts in (list(agent.stream(asked(EASY), stream_mode="messages")), asyncio.run(both())):
        whole = [(part, metadata) for part, metadata in parts if metadata["langgraph_node"] == "model"]
        assert {said_of(metadata) for _, metadata in whole} == {OFF}
        assert {metadata["mine"] for _, metadata in whole} == {"kept"}
        assert "".join(part.text for part, _ in whole).strip() == "cheap-1 says so"
    assert provider.models == ["cheap-1"] * 4 and "router" not in str(provider.requests)
    assert "router_lab" not in own.metadata and own.callbacks is None  # the user's own model is as it was


@pytest.mark.filterwarnings("ignore:The v3 streaming protocol")
@pytest.mark.parametrize("api", APIS)
def test_events_say_who_answers(api: str, provider: Breaking) -> None:
    agent = routed(provider, api, chained(api), checkpointer=InMemorySaver())

    async def events() -> list[Any]:
        return [event async for event in agent.astream_events(asked(EASY), thread("a"), version="v2")]

    found = [one for one in asyncio.run(events()) if one["event"].startswith("on_chat_model_")]
    assert len(found) > 2 and {said_of(one["metadata"]) for one in found} == {OFF}
    texts = [str(one.text) for one in agent.stream_events(asked(EASY), thread("b"), version="v3").messages]
    assert [text.strip() for text in texts] == ["cheap-1 says so"] and provider.models == ["cheap-1"] * 2
    assert told(agent.get_state(thread("b")).values["messages"][-1])["x-router-lab-escalation"] == STREAMED


@pytest.mark.parametrize("api", APIS)
def test_what_tools_say_shows_no_answer_so_it_is_judged(api: str, provider: Breaking) -> None:
    agent = routed(provider, api, chained(api), [weather], checkpointer=InMemorySaver())
    assert list(agent.stream(asked(EASY), thread("s"), stream_mode="tools"))
    message = agent.get_state(thread("s")).values["messages"][-1]
    assert message.text.strip() == "dear-1 says so" and told(message)["x-router-lab-stages"] == "cheap"
    assert provider.models == ["cheap-1", "cheap-1", "dear-1"]


@pytest.mark.parametrize("how", ["cut", "error"])
@pytest.mark.parametrize("api", APIS)
def test_behind_what_was_shown_nobody_else_answers_and_all_of_it_counts(
    api: str, how: str, provider: Breaking
) -> None:
    provider.how = how
    routing = Routing(choosing(api), suite="triage", session_tokens=100_000)
    agent, shown = routed(provider, api, routing), list[Any]()
    with pytest.raises(Exception, match=r"Connection error|peer closed|Overloaded"):
        for part, metadata in agent.stream(asked(EASY), thread("s"), stream_mode="messages"):
            shown.append((part.text, said_of(metadata)[0]))
    assert provider.models == ["cheap-1"] and {who for _, who in shown} == {"cheap"}
    assert "".join(text for text, _ in shown).strip() == "cheap-1 says so"
    budget = routing.sessions.budget("s")
    assert budget is not None and (budget.turns, budget._held_tokens) == (1, 0)
    assert budget.tokens > len(EASY) + 64 * (api != "openai_responses")  # what was set aside, not nothing


@pytest.mark.parametrize("api", APIS)
def test_of_a_stream_that_is_left_all_that_was_set_aside_counts(api: str, provider: Breaking) -> None:
    routing = Routing(chained(api), session_tokens=100_000)
    agent = routed(provider, api, routing)

    async def left() -> None:
        async for part, _ in agent.astream(asked(EASY), thread("s"), stream_mode="messages"):
            if part.text:
                break

    asyncio.run(left())
    gc.collect()
    budget = routing.sessions.budget("s")
    assert budget is not None and (budget.turns, budget._held_tokens) == (1, 0)
    assert budget.tokens >= len(EASY) // 4 + 5


def test_no_text_is_made_of_a_conversation_to_know_of_its_tokens(
    provider: Breaking, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(*messages: Any) -> str:
        raise AssertionError("of the whole conversation, for each answer")

    monkeypatch.setattr("langchain_core.callbacks.manager.get_buffer_string", made)
    agent = routed(provider, "openai_chat", choosing("openai_chat"))

    async def streamed() -> list[Any]:
        return [part async for part in agent.astream(asked(EASY), stream_mode="messages")]

    for parts in (list(agent.stream(asked(EASY), stream_mode="messages")), asyncio.run(streamed())):
        assert {said_of(metadata)[0] for _, metadata in parts} == {"cheap"}


def test_callbacks_of_the_users_own_model_go_on(provider: Breaking) -> None:
    class Listener(BaseCallbackHandler):
        def __init__(self) -> None:
            self.tokens = list[str]()

        def on_llm_new_token(self, token: str, **_: Any) -> None:
            self.tokens.append(token)

    for wrapped in (lambda one: [one], lambda one: CallbackManager([one])):
        listener = Listener()
        own = model(provider, "openai_chat", callbacks=wrapped(listener))
        agent = routed(provider, "openai_chat", choosing("openai_chat"), model=own)
        list(agent.stream(asked(EASY), stream_mode="messages"))
        assert "".join(listener.tokens).strip() == "cheap-1 says so"
