"""LiteLLM's real proxy with our plugin, the real SDKs before it and a provider on loopback behind it."""

from __future__ import annotations

import asyncio
import inspect
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("litellm")
from anthropic import Anthropic, AsyncAnthropic
from openai import APIStatusError, AsyncOpenAI, OpenAI

from router_lab.publish import publish
from router_lab.runtime.artifact import load_policy, save_revision
from router_lab.runtime.decisions import read_decisions
from router_lab.runtime.policy import Policy
from tests.integrations.provider import Provider
from tests.integrations.proxy import KEY, config, proxy
from tests.integrations.test_clients import TOOLS, ask, text_of
from tests.integrations.worlds import APIS, EASY, HARD, chained, choosing

NAMES = [profile.candidate.model for profile in choosing().spec.profiles]
FALLBACKS = [{"cheap-openai_responses": ["dear-openai_responses"]}]
"""LiteLLM's own."""
TURNS = 6
"""What a session may spend."""


class World(NamedTuple):
    """A proxy, the provider behind it, and the folder from which its policy is reloaded."""

    url: str
    provider: Provider
    folder: Path

    def serve(self, policy: Policy) -> Policy:
        """Publish a policy, and wait until the proxy has it."""
        saved = save_revision(policy, self.folder)
        publish(saved, force=True)
        loaded = load_policy(self.folder)
        while self.health()[1].get("revision") != loaded.revision:
            time.sleep(0.1)
        self.provider.requests.clear()
        return loaded

    def health(self) -> tuple[int, dict[str, Any]]:
        try:
            with urllib.request.urlopen(f"{self.url}/router_lab/health", timeout=30) as found:
                return found.status, json.load(found)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def client(self, api: str, waits: bool = False, **more: Any) -> Any:
        if api == "anthropic":
            return (AsyncAnthropic if waits else Anthropic)(
                api_key=KEY, base_url=self.url, max_retries=0, **more
            )
        return (AsyncOpenAI if waits else OpenAI)(
            api_key=KEY, base_url=f"{self.url}/v1", max_retries=0, **more
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("proxy")
    policies = folder / "policies"
    settings = {"policy": str(policies), "default": [NAMES[0], None], "interval_s": 0.5, "session_turns": TURNS,
                "log": str(folder / "week.jsonl")}  # fmt: skip
    with Provider() as provider, proxy(folder, config(provider, NAMES, settings, FALLBACKS)) as url:
        yield World(url, provider, policies)


def headers_of(world: World, api: str, text: str, **more: Any) -> dict[str, str]:
    """Our headers of a response, beside what the SDK makes of it."""
    raw = ask(_raw(world.client(api), api), api, text, **more)
    return {
        k.lower().removeprefix("x-router-lab-"): v
        for k, v in raw.headers.items()
        if "x-router-lab" in k.lower()
    }


def _raw(client: Any, api: str) -> Any:
    """The same client, whose answers are raw responses."""
    resource = {"openai_chat": lambda: client.chat.completions, "openai_responses": lambda: client.responses,
                "anthropic": lambda: client.messages}[api]()  # fmt: skip
    resource.create = resource.with_raw_response.create
    return client


def test_before_a_policy_is_there_the_default_serves_and_health_says_so(world: World) -> None:
    status, said = world.health()
    assert status == 503 and said["ok"] is False and said["origin"] == "default"
    found = headers_of(world, "anthropic", EASY)
    assert (found["model"], found["code"]) == (NAMES[0], "default")
    world.serve(choosing())
    status, said = world.health()
    assert status == 200 and said["ok"] is True and said["origin"] == "source"


@pytest.mark.parametrize("api", APIS)
def test_decisions_are_the_policys(api: str, world: World) -> None:
    policy = world.serve(choosing())
    allowed = [one for one in policy.candidates if one.model.endswith(api)]
    for text in (EASY, HARD, "never seen"):
        decision = policy.decide(text, suite="triage", allowed=allowed)
        found = headers_of(world, api, text)
        assert (found["model"], found["revision"], found["code"]) == (
            decision.model, decision.revision, decision.code,
        )  # fmt: skip
        assert decision.reason[:200] in found["reason"]
        assert text_of(api, ask(world.client(api), api, text)) == f"{decision.model}-1 says so"
        sent = world.provider.requests[-1]["body"]
        assert sent["model"] == f"{decision.model}-1"
        length = {"openai_chat": "max_tokens", "anthropic": "max_tokens"}.get(api)
        assert length is None or sent[length] == 64  # as measured
    other = ask(world.client(api), api, EASY, model=f"dear-{api}")
    assert text_of(api, other) == f"dear-{api}-1 says so"
    assert headers_of(world, api, EASY, model=f"dear-{api}") == {}


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("stream", [False, True])
def test_an_agents_loop_with_tools_runs_unchanged(api: str, stream: bool, world: World) -> None:
    world.serve(choosing())
    client = world.client(api)
    messages: list[Any] = [{"role": "user", "content": HARD}]
    for turn in range(2):
        if api == "anthropic" and stream:
            with client.messages.stream(
                model="router_lab/triage", max_tokens=99, messages=messages, tools=TOOLS[api]
            ) as events:
                answer = events.get_final_message()
        elif api == "openai_responses" and stream:
            *_, last = ask(client, api, messages, tools=TOOLS[api], stream=True)
            answer = last.response
        elif stream:
            answer = joined(list(ask(client, api, messages, tools=TOOLS[api], stream=True)))
        else:
            answer = ask(client, api, messages, tools=TOOLS[api])
        if turn == 0:
            messages += result(api, answer)
    said = answer if isinstance(answer, str) else text_of(api, answer)
    assert said.strip() == f"dear-{api}-1 says so"
    assert world.provider.models == [f"dear-{api}-1"] * 2


def result(api: str, answer: Any) -> list[Any]:
    """What an agent sends back after a call of a tool: the call, and 18 degrees."""
    if api == "openai_chat":
        message = answer if isinstance(answer, dict) else answer.choices[0].message
        call = message["tool_calls"][0]["id"] if isinstance(message, dict) else message.tool_calls[0].id
        return [message, {"role": "tool", "tool_call_id": call, "content": "18 °C"}]
    if api == "openai_responses":
        [call] = [item for item in answer.output if item.type == "function_call"]
        return [*answer.output, {"type": "function_call_output", "call_id": call.call_id, "output": "18 °C"}]
    [block] = [item for item in answer.content if item.type == "tool_use"]
    back = {"type": "tool_result", "tool_use_id": block.id, "content": "18 °C"}
    return [{"role": "assistant", "content": answer.content}, {"role": "user", "content": [back]}]


def joined(chunks: list[Any]) -> Any:
    """A streamed chat completion: its text, or its message where it calls a tool."""
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    calls = [call for delta in deltas for call in delta.tool_calls or ()]
    if not calls:
        return "".join(delta.content or "" for delta in deltas)
    function = {
        "name": calls[0].function.name,
        "arguments": "".join(c.function.arguments or "" for c in calls),
    }
    return {
        "role": "assistant",
        "tool_calls": [{"id": calls[0].id, "type": "function", "function": function}],
    }


@pytest.mark.parametrize("api", APIS)
def test_an_answer_that_is_not_kept_is_never_seen_and_a_stream_is_not_judged(api: str, world: World) -> None:
    world.serve(chained(api, told_apart=True))
    found = headers_of(world, api, EASY)
    assert (found["model"], found["code"]) == (f"dear-{api}", "escalated")
    assert (found["stages"], found["escalation"]) == (f"cheap-{api}", "on")
    assert world.provider.models == [f"cheap-{api}-1", f"dear-{api}-1"]
    assert text_of(api, ask(world.client(api), api, EASY)) == f"dear-{api}-1 says so"
    world.provider.requests.clear()
    found = headers_of(world, api, EASY, stream=True)
    assert (found["model"], found["escalation"]) == (f"cheap-{api}", "off: the answer is streamed")
    assert world.provider.models == [f"cheap-{api}-1"]
    world.serve(chained(api, gain=-1.0, told_apart=True))
    assert headers_of(world, api, EASY)["model"] == f"cheap-{api}"


SESSIONS: dict[str, Callable[[str], dict[str, Any]]] = {
    "litellm": lambda name: {"extra_headers": {"x-litellm-session-id": name}},
    "claude code": lambda name: {"extra_headers": {"x-claude-code-session-id": name}},
}
"""How clients name their sessions."""


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("named", SESSIONS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_session_is_stopped_at_its_budget(api: str, named: str, stream: bool, world: World) -> None:
    world.serve(choosing())
    name = f"{api}-{named.replace(' ', '-')}-{stream}-session"
    client = world.client(api)
    for _ in range(TURNS):
        answer = ask(client, api, EASY, **SESSIONS[named](name), stream=stream)
        if stream:
            list(answer)
    with (
        pytest.raises(APIStatusError)
        if api != "anthropic"
        else pytest.raises(Exception, match="budget") as caught
    ):
        ask(client, api, EASY, **SESSIONS[named](name), stream=stream)
    assert getattr(caught.value, "status_code", None) == 402
    assert "budget of the session: the next call needs 1 turns and 0 are left" in str(caught.value)
    assert len(world.provider.requests) == TURNS
    ask(client, api, EASY, **SESSIONS[named](f"{name}-another"))


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("left", [False, True])
def test_a_stream_is_counted_at_its_end_also_where_its_reader_leaves(
    api: str, left: bool, world: World
) -> None:
    world.serve(choosing())
    before = world.health()[1]["sessions"]
    stream = ask(
        world.client(api),
        api,
        EASY,
        stream=True,
        extra_headers={"x-litellm-session-id": f"{api}-{left}-streamed"},
    )
    if left:
        next(iter(stream))
        stream.close()
    else:
        list(stream)
    while world.health()[1]["sessions"] == before:  # LiteLLM tells of it behind the answer
        time.sleep(0.1)
    assert world.health()[1]["sessions"] == before + 1


def test_a_failure_is_the_providers_and_spends_nothing(world: World) -> None:
    world.serve(choosing())
    world.provider.down = {"cheap-openai_chat-1"}
    try:
        for _ in range(TURNS + 2):  # each is given back
            with pytest.raises(APIStatusError) as caught:
                ask(
                    world.client("openai_chat"),
                    "openai_chat",
                    EASY,
                    extra_headers={"x-litellm-session-id": "failing"},
                )
            assert caught.value.status_code == 503 or caught.value.status_code == 429  # LiteLLM's cooldown
    finally:
        world.provider.down = set()


@pytest.mark.parametrize("stream", [False, True])
def test_where_litellm_falls_back_it_says_so_and_the_request_is_counted(stream: bool, world: World) -> None:
    world.serve(choosing())
    whole, session = world.client("openai_responses"), f"falling-back-{stream}"
    client = _raw(whole, "openai_responses")

    def asked() -> Any:
        raw = ask(
            client, "openai_responses", EASY, stream=stream, extra_headers={"x-litellm-session-id": session}
        )
        answer = raw.parse()
        if stream:
            list(answer)
        return raw.headers

    world.provider.down = {"cheap-openai_responses-1"}
    try:
        found = asked()
        assert found["x-router-lab-model"] == "cheap-openai_responses"  # who was decided for
        assert found["x-litellm-model-group"] == world.provider.models[-1].removesuffix("-1")
        assert world.provider.models[-1] == "dear-openai_responses-1"
        assert found["x-router-lab-answered-by"] == "dear-openai_responses"
        assert "dear-openai_responses answered in its place" in found["x-router-lab-reason"]
        then = row_of(world, found["x-router-lab-id"], "then")["then"]
        assert [(one.model, one.effort, one.code, one.quality) for one in then] == [
            ("dear-openai_responses", None, "replaced", None)
        ]
        for _ in range(TURNS - 1):
            asked()
        with pytest.raises(
            APIStatusError
        ) as caught:  # a stream's end is told behind it, its turn is taken before
            asked()
        assert caught.value.status_code == 402
    finally:
        world.provider.down = set()
        whole.close()


def test_a_caller_names_nobody_else_and_no_other_arguments(world: World) -> None:
    """LiteLLM honours it in any body, past the policy and for more than was set aside."""
    world.serve(choosing())
    api, dear = "openai_responses", {"model": "dear-openai_responses-1", "max_output_tokens": 9_999}
    headers_of(world, api, EASY)
    plain = {key: value for key, value in world.provider.requests[-1]["body"].items() if key != "stream"}
    own = [{"model": "cheap-openai_responses", "max_output_tokens": 9_999}]
    said = {"extra_body": dear, "additional_drop_params": ["max_output_tokens"], "fallbacks": own,
            "router_settings_override": {"fallbacks": own}}  # fmt: skip
    found = headers_of(world, api, EASY, extra_body=said)
    assert found["left-out"].split(", ") == sorted(said)
    assert {k: v for k, v in world.provider.requests[-1]["body"].items() if k != "stream"} == plain
    world.provider.down = {"cheap-openai_responses-1"}
    try:
        found = headers_of(world, api, EASY, extra_body=said)
    finally:
        world.provider.down = set()
    assert found["answered-by"] == "dear-openai_responses"  # by the configuration's fallbacks
    assert world.provider.requests[-1]["body"] == {**plain, "model": "dear-openai_responses-1"}


def test_an_answer_of_litellms_fallback_is_not_judged(world: World) -> None:
    """The chain's judge knows the candidate's answers alone."""
    world.serve(chained("openai_responses", told_apart=True))
    world.provider.down = {"cheap-openai_responses-1"}
    try:
        found = headers_of(world, "openai_responses", EASY)
    finally:
        world.provider.down = set()
    assert found["answered-by"] == "dear-openai_responses"
    assert world.provider.models.count("dear-openai_responses-1") == 1  # and no second time, by the chain
    assert found["escalation"] == "off: another model answered" and "stages" not in found


def test_nobody_who_can_be_asked_is_one_clear_error(world: World) -> None:
    world.serve(choosing("anthropic"))
    with pytest.raises(
        APIStatusError, match=r"has nobody that can be asked here.*this request is of"
    ) as caught:
        ask(world.client("openai_chat"), "openai_chat", EASY)
    assert caught.value.status_code == 400  # SDKs would ask again after 503
    world.serve(choosing())


def test_the_proxys_log_says_what_we_warn_of(world: World) -> None:
    """LiteLLM's proxy shows no warning of Python's to anybody."""
    world.serve(choosing())
    ask(_raw(world.client("openai_chat"), "openai_chat"), "openai_chat", EASY, model="router_lab/triagee")
    release = world.folder / "RELEASE.json"
    good = release.read_bytes()
    release.write_bytes(b"{")
    while not world.health()[1]["refused"]:
        time.sleep(0.1)
    status, said = world.health()
    assert status == 200 and said["serves"] is True  # the one before serves on
    release.write_bytes(good)
    log = (world.folder.parent / "proxy.log").read_text()
    assert "suite 'triagee' is not in policy" in log
    assert "a release is refused, and what served before" in log


def row_of(world: World, id: str, key: str = "id") -> dict[str, Any]:
    """A decision of the proxy's log, once it has this key: it is written behind the answer."""
    while True:
        for row in read_decisions(world.folder.parent / "week.jsonl"):
            if row.get("id") == id and key in row:
                return row
        time.sleep(0.1)


def test_a_response_names_its_row_of_the_decision_log(world: World) -> None:
    world.serve(choosing())
    found = headers_of(world, "anthropic", EASY)
    row = row_of(world, found["id"])
    assert row["model"] == found["model"] and "prompt" not in row


def test_two_hundred_at_once_across_hot_reloads(world: World) -> None:
    """What the headers say is what the named revision decides, and the model that answered."""
    policies = [choosing(worse=worse) for worse in (0.3, 0.4)]
    paths = [save_revision(policy, world.folder) for policy in policies]
    world.serve(policies[0])

    async def one(clients: dict[str, Any], number: int) -> str:
        api, text = APIS[number % 3], (EASY, HARD)[number % 2]
        raw = await ask(
            clients[api], api, text, extra_headers={"x-litellm-session-id": f"storm-session-{number}"}
        )
        model = raw.headers["x-router-lab-model"]
        assert model == f"{'cheap' if text == EASY else 'dear'}-{api}"
        parsed = raw.parse()
        assert text_of(api, await parsed if inspect.isawaitable(parsed) else parsed) == f"{model}-1 says so"
        return str(raw.headers["x-router-lab-revision"])

    async def swapping(done: asyncio.Event) -> None:
        place = 0
        while not done.is_set():
            place = 1 - place
            await asyncio.to_thread(publish, paths[place], force=True)
            await asyncio.sleep(0.3)

    async def storm() -> list[str]:
        clients = {api: _raw(world.client(api, waits=True, timeout=300), api) for api in APIS}
        done = asyncio.Event()
        swaps = asyncio.create_task(swapping(done))
        found = await asyncio.gather(*(one(clients, number) for number in range(200)))
        done.set()
        await swaps
        return found

    revisions = asyncio.run(storm())
    assert len(revisions) == 200 == len(world.provider.requests)
    assert {one[:12] for one in revisions} <= {path.name[:12] for path in paths}
    assert world.health()[0] == 200
