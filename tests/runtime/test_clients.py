"""Request arguments are the measured ones, in the form of each SDK: by hand, by its type hints, and by real calls."""

from __future__ import annotations

import json
import threading
import typing
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from router_lab.runtime import clients
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.frame import SLOT
from router_lab.runtime.model import Candidate, Limits, Profile
from router_lab.runtime.policy import Policy

SHOTS = [{"user": "1+1?", "assistant": "2"}]
LEAD = [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}]


def profile(api: str | None, **request: Any) -> Profile:
    return Profile(Candidate("m", "low"), request={"api": api, **request}, max_output_tokens=4096)


CHAT = profile(
    "openai_chat", arguments={"model": "m-1", "reasoning_effort": "low"}, system="Be brief.", few_shot=SHOTS
)
RESPONSES = profile(
    "openai_responses", arguments={"model": "m-1", "reasoning": {"effort": "low"}}, system="Be brief."
)
CLAUDE = profile(
    "anthropic",
    arguments={"model": "c-1", "thinking": {"type": "enabled", "budget_tokens": 2048}, "max_tokens": 4000},
    system="Be brief.",
    few_shot=SHOTS,
)
NO_LIMITS = Limits()


def test_chat() -> None:
    system = {"role": "system", "content": "Be brief."}
    assert clients.arguments_for(CHAT, "openai_chat", NO_LIMITS, "standard", "2+2?") == {
        "model": "m-1",
        "reasoning_effort": "low",
        "messages": [system, *LEAD, {"role": "user", "content": "2+2?"}],
    }
    assert clients.arguments_for(CHAT, "openai_chat", NO_LIMITS, "flex")["service_tier"] == "flex"
    assert clients.arguments_for(CHAT, "openai_chat", NO_LIMITS, "batch")["messages"] == [system, *LEAD]


def test_responses() -> None:
    assert clients.arguments_for(RESPONSES, "openai_responses", NO_LIMITS, "priority", "2+2?") == {
        "model": "m-1",
        "reasoning": {"effort": "low"},
        "instructions": "Be brief.",
        "service_tier": "priority",
        "input": [{"role": "user", "content": "2+2?"}],
    }
    assert "input" not in clients.arguments_for(RESPONSES, "openai_responses", NO_LIMITS, "standard")


def test_anthropic() -> None:
    assert clients.arguments_for(
        CLAUDE, "anthropic", NO_LIMITS, "standard", [{"role": "user", "content": "2+2?"}]
    ) == {
        "model": "c-1",
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "max_tokens": 4000,
        "system": "Be brief.",
        "messages": [*LEAD, {"role": "user", "content": "2+2?"}],
    }
    bare = profile("anthropic", arguments={"model": "c-1"})
    assert clients.arguments_for(bare, "anthropic", Limits(max_tokens=700), "standard")["max_tokens"] == 700
    assert clients.arguments_for(bare, "anthropic", NO_LIMITS, "standard")["max_tokens"] == 4096


def test_nothing_is_derived_anew() -> None:
    with pytest.raises(PolicyError, match="measured through openai_chat"):
        clients.arguments_for(CHAT, "anthropic", NO_LIMITS, "standard")
    for unknown in (profile(None), Profile(Candidate("m")), profile(None, arguments={"stop_seqs": ["END"]})):
        for api in clients.APIS:
            with pytest.raises(
                PolicyError, match=r"which API it was measured is not known.*a column `request`"
            ):
                clients.arguments_for(unknown, api, NO_LIMITS, "standard", "2+2?")


def test_the_policys_own_arguments_cannot_be_changed_through_a_decision(make_spec: Any) -> None:
    decision = Policy(make_spec()).decide("the quick brown fox")
    decision.openai_chat()["model"] = "spoiled"
    assert decision.openai_chat("hi") == {
        "model": "cheap-1",
        "reasoning_effort": "low",
        "messages": [{"role": "user", "content": "hi"}],
    }
    assert decision.next("unavailable").anthropic("hi")["system"] == "Be brief."


def keys(hints: type) -> set[str]:
    return set(typing.get_type_hints(hints, include_extras=True))


def test_every_argument_is_in_the_sdks_type_hints() -> None:
    openai = pytest.importorskip("openai.types.chat.completion_create_params")
    responses = pytest.importorskip("openai.types.responses.response_create_params")
    claude = pytest.importorskip("anthropic.types.message_create_params")
    assert clients.arguments_for(CHAT, "openai_chat", NO_LIMITS, "flex", "x").keys() <= keys(
        openai.CompletionCreateParamsNonStreaming
    )
    asked = clients.arguments_for(RESPONSES, "openai_responses", NO_LIMITS, "flex", "x")
    assert asked.keys() <= keys(responses.ResponseCreateParamsNonStreaming)
    asked = clients.arguments_for(CLAUDE, "anthropic", NO_LIMITS, "priority", "x")
    assert asked.keys() <= keys(claude.MessageCreateParamsNonStreaming)
    assert {"max_tokens", "messages", "model"} <= asked.keys()


ANSWERS = {
    "/v1/chat/completions": {
        "id": "1", "object": "chat.completion", "created": 1, "model": "m-1",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "4"}}],
    },
    "/v1/responses": {
        "id": "1", "object": "response", "created_at": 1, "model": "m-1", "status": "completed", "tools": [],
        "parallel_tool_calls": False, "tool_choice": "auto", "error": None, "incomplete_details": None, "metadata": {},
        "output": [{"id": "2", "type": "message", "role": "assistant", "status": "completed",
                    "content": [{"type": "output_text", "text": "4", "annotations": []}]}],
    },
    "/v1/messages": {
        "id": "1", "type": "message", "role": "assistant", "model": "c-1", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "4"}], "usage": {"input_tokens": 1, "output_tokens": 1},
    },
}  # fmt: skip


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address that answers like the providers do, and the bodies that it was sent."""
    bodies: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            data = json.dumps(ANSWERS[self.path]).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}", bodies
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def test_real_calls_with_the_openai_sdk(server: tuple[str, list[dict[str, Any]]]) -> None:
    openai = pytest.importorskip("openai")
    address, bodies = server
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        asked = clients.arguments_for(CHAT, "openai_chat", NO_LIMITS, "flex", "2+2?")
        assert client.chat.completions.create(**asked).choices[0].message.content == "4"
        assert bodies[-1] == asked
        asked = clients.arguments_for(RESPONSES, "openai_responses", NO_LIMITS, "standard", "2+2?")
        assert client.responses.create(**asked).output_text == "4"
        assert bodies[-1] == asked


def test_real_calls_with_the_anthropic_sdk(server: tuple[str, list[dict[str, Any]]]) -> None:
    anthropic = pytest.importorskip("anthropic")
    address, bodies = server
    with anthropic.Anthropic(base_url=address, api_key="none", max_retries=0) as client:
        asked = clients.arguments_for(CLAUDE, "anthropic", NO_LIMITS, "standard", "2+2?")
        assert client.messages.create(**asked).content[0].text == "4"
        assert bodies[-1] == asked


def test_raw_settings_are_sent_where_they_were_measured(server: tuple[str, list[dict[str, Any]]]) -> None:
    """Fields that an SDK does not know were recorded under `extra_body`, which all of them take."""
    openai, anthropic = pytest.importorskip("openai"), pytest.importorskip("anthropic")
    address, bodies = server
    raw = {"arguments": {"model": "m-1", "extra_body": {"switches": {"thinking": True}}}}
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        client.chat.completions.create(
            **clients.arguments_for(profile("openai_chat", **raw), "openai_chat", NO_LIMITS, "standard", "x")
        )
        asked = clients.arguments_for(
            profile("openai_responses", **raw), "openai_responses", NO_LIMITS, "standard", "x"
        )
        client.responses.create(**asked)
    with anthropic.Anthropic(base_url=address, api_key="none", max_retries=0) as client:
        client.messages.create(
            **clients.arguments_for(profile("anthropic", **raw), "anthropic", NO_LIMITS, "standard", "x")
        )
    assert [body["switches"] for body in bodies] == [{"thinking": True}] * 3
    assert all("extra_body" not in body for body in bodies)


def test_settings_that_differ_by_suite_are_those_of_the_suite() -> None:
    """A preset may set max_tokens or examples by suite: its own request is handed out, never a common remnant."""
    by_suite = {
        "maths": {"api": "openai_chat", "arguments": {"model": "m-1", "max_tokens": 40}, "few_shot": SHOTS},
        "triage": {"api": "openai_chat", "arguments": {"model": "m-1", "max_tokens": 16}, "few_shot": []},
    }
    both = profile("openai_chat", arguments={}, suites=by_suite)
    maths = clients.arguments_for(
        clients.for_suite(both, "maths"), "openai_chat", NO_LIMITS, "standard", "2+2?"
    )
    assert maths == {
        "model": "m-1",
        "max_tokens": 40,
        "messages": [*LEAD, {"role": "user", "content": "2+2?"}],
    }
    assert (
        clients.arguments_for(clients.for_suite(both, "triage"), "openai_chat", NO_LIMITS, "standard")[
            "max_tokens"
        ]
        == 16
    )
    for unknown in (None, "poems"):
        with pytest.raises(PolicyError, match=r"settings of its own for each suite \(maths, triage\)"):
            clients.for_suite(both, unknown)
    assert clients.for_suite(CHAT, None) is CHAT


def framed_profile(api: str, content: dict[str, Any], **arguments: Any) -> Profile:
    return profile(api, arguments={"model": "m-1", **arguments}, content=content)


def test_a_question_is_put_wherever_it_was_measured() -> None:
    content = {
        "instructions": f"Sum up: {SLOT}",
        "input": [{"role": "user", "content": f"{SLOT}\n\nAgain: {SLOT}"}],
    }
    both = framed_profile("openai_responses", content)
    asked = clients.arguments_for(both, "openai_responses", NO_LIMITS, "standard", f"2 {SLOT}")
    assert asked["instructions"] == f"Sum up: 2 {SLOT}"
    assert asked["input"] == [{"role": "user", "content": f"2 {SLOT}\n\nAgain: 2 {SLOT}"}]
    with pytest.raises(PolicyError, match="several places"):
        clients.arguments_for(
            both, "openai_responses", NO_LIMITS, "standard", [*LEAD, {"role": "user", "content": "x"}]
        )


WRAPPED = {
    "system": [{"type": "text", "text": "Be brief."}],
    "messages": [{"role": "user", "content": f"Q: {SLOT}"}, {"role": "assistant", "content": "A:"}],
}


def test_conversations_pictures_and_system_messages_in_a_frame() -> None:
    def ask(messages: Any, content: dict[str, Any] = WRAPPED, **more: Any) -> dict[str, Any]:
        own = framed_profile("anthropic", content, max_tokens=9)
        return clients.arguments_for(own, "anthropic", NO_LIMITS, "standard", messages, **more)

    picture = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    parts = [picture, {"type": "text", "text": "Who?"}]
    system = {"role": "system", "content": "Be brief."}
    tail = WRAPPED["messages"][1]
    assert ask([system, *LEAD, {"role": "user", "content": "Who?"}])["messages"] == [
        *LEAD, {"role": "user", "content": "Q: Who?"}, tail,
    ]  # fmt: skip
    shown = ask([{"role": "user", "content": parts}])["messages"]
    assert shown == [{"role": "user", "content": [picture, {"type": "text", "text": "Q: Who?"}]}, tail]
    for wrong, words in (
        ([{"role": "user", "content": [picture]}], "no user message holds a text"),
        ([{"role": "user", "content": [*parts, parts[1]]}], "has 2 text parts, not one"),
        (
            [{"role": "system", "content": "Be rude."}, {"role": "user", "content": "Who?"}],
            "another was measured",
        ),
        (None, "pass it, so that it is put where it was measured"),
    ):
        with pytest.raises(PolicyError, match=words):
            ask(wrong)
    bare = {"messages": [*LEAD, {"role": "user", "content": SLOT}]}
    assert ask([{"role": "user", "content": [picture]}], bare)["messages"] == [
        *LEAD, {"role": "user", "content": [picture]},
    ]  # fmt: skip
    assert ask(None, bare)["messages"] == LEAD
    # None was measured: the caller's own is passed on.
    assert ask([system, {"role": "user", "content": "x"}], bare)["messages"] == [
        *LEAD, system, {"role": "user", "content": "x"},
    ]  # fmt: skip


def test_tools_and_streams_are_passed_on_but_never_exchanged() -> None:
    tools = [{"type": "function", "function": {"name": "add"}}]
    asked = clients.arguments_for(CHAT, "openai_chat", NO_LIMITS, "standard", "x", tools=tools, stream=False)
    assert asked["tools"] == tools and asked["stream"] is False
    own = framed_profile("openai_chat", {"messages": [{"role": "user", "content": SLOT}]}, tools=tools)
    assert (
        clients.arguments_for(own, "openai_chat", NO_LIMITS, "standard", "x", tools=tools)["tools"] == tools
    )
    with pytest.raises(PolicyError, match="measured with tools of its own"):
        clients.arguments_for(own, "openai_chat", NO_LIMITS, "standard", "x", tools=[])


def test_the_measured_api_is_the_one_that_is_asked(make_spec: Any) -> None:
    class Client:
        class responses:
            create = staticmethod(lambda **asked: asked)

    spec = make_spec()
    talk = profile("openai_responses", arguments={"model": "m-1"})._replace(
        candidate=spec.profiles[0].candidate
    )
    policy = Policy(replace(spec, profiles=(talk, *spec.profiles[1:]), reference=0))
    decision = policy.decide("x", allowed=[talk.candidate])
    expected = {"model": "m-1", "input": [{"role": "user", "content": "x"}], "stream": True}
    assert decision.api == "openai_responses"
    assert decision.send(Client(), "x", stream=True) == decision.request("x", stream=True) == expected
    assert decision.openai_responses("x", stream=True) == expected
    with pytest.raises(PolicyError, match=r"decision\.request"):
        decision.openai_chat("x")
    with pytest.raises(PolicyError, match=r"has no \.responses\.create.*pass OpenAI\(\)"):
        decision.send(object(), "x")


def test_a_suite_of_no_single_request_is_refused_with_its_reason() -> None:
    by_suite = {
        "ask": {"api": "openai_chat", "arguments": {"model": "m-1"}},
        "agent": {
            "api": "openai_chat",
            "arguments": {"model": "m-1"},
            "reproducible": False,
            "reason": "it loops",
        },
    }
    both = profile(None, suites=by_suite)
    assert (
        clients.arguments_for(clients.for_suite(both, "ask"), "openai_chat", NO_LIMITS, "standard")["model"]
        == "m-1"
    )
    with pytest.raises(
        PolicyError, match="no single request is what was measured: it loops; run what was measured"
    ):
        clients.arguments_for(clients.for_suite(both, "agent"), "openai_chat", NO_LIMITS, "standard", "x")
    assert clients.unreproducible([both], ["agent", "ask"]) == [
        {"suite": "agent", "reason": "it loops", "candidates": [["m", "low"]]}
    ]


@pytest.mark.parametrize("messages", [42, [], (), ["hi"], {"role": "user", "content": "hi"}, [[]], b"hi"])
def test_what_is_no_prompt_and_no_messages_makes_no_request(messages: Any) -> None:
    for one in (CHAT, RESPONSES, CLAUDE):
        with pytest.raises(
            PolicyError, match=r"request: messages is .*pass a prompt \(str\), or a list of messages"
        ):
            clients.arguments_for(one, one.request["api"], NO_LIMITS, "standard", messages)
