"""LiteLLM's real `Router`, routed, against a provider on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("litellm")
import litellm
from fastapi import HTTPException
from litellm import Router
from litellm.caching.caching import DualCache
from litellm.integrations.custom_logger import CustomLogger

import router_lab.integrations.litellm
from router_lab.integrations.clients import told
from router_lab.integrations.litellm import RouterLab, route
from router_lab.integrations.routing import Routing
from router_lab.integrations.turns import STREAMED
from router_lab.publish import publish
from router_lab.runtime.artifact import save_policy, save_revision
from router_lab.runtime.budget import BudgetExceeded
from router_lab.runtime.decisions import DecisionLog, read_decisions
from router_lab.runtime.model import Candidate
from router_lab.runtime.store import PolicyStore
from tests.integrations.failing import Failing, breaking, failing
from tests.integrations.provider import Provider
from tests.integrations.proxy import config
from tests.integrations.test_clients import TOOLS
from tests.integrations.worlds import APIS, EASY, HARD, chained, choosing
from tests.servers.wires import Reply

pytestmark = pytest.mark.filterwarnings("ignore")  # LiteLLM's own
NAMES = [profile.candidate.model for profile in choosing().spec.profiles]
MODEL = "router_lab/triage"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as server:
        yield server


def router(provider: Provider, **more: Any) -> Any:
    groups = config(provider, NAMES, {})["model_list"]
    return Router(model_list=[one for one in groups if one["model_name"] in NAMES], num_retries=0, **more)


async def ask(routed: Any, api: str, text: str, **more: Any) -> Any:
    messages = [{"role": "user", "content": text}]
    if api == "openai_chat":
        return await routed.acompletion(**{"model": MODEL, "messages": messages, **more})
    if api == "openai_responses":
        return await routed.aresponses(**{"model": MODEL, "input": messages, **more})
    return await routed.aanthropic_messages(
        **{"model": MODEL, "max_tokens": 99, "messages": messages, **more}
    )


def text_of(api: str, answer: Any) -> str:
    if api == "openai_chat":
        return str(answer.choices[0].message.content)
    return str(answer.output_text if api == "openai_responses" else answer["content"][0]["text"])


@pytest.mark.parametrize("api", APIS)
def test_decisions_are_the_policys(api: str, provider: Provider) -> None:
    policy = choosing()
    routed = route(router(provider), policy)
    for text in (EASY, HARD, "never seen"):
        allowed = [one for one in policy.candidates if one.model.endswith(api)]
        decision = policy.decide(text, suite="triage", allowed=allowed)
        answer = asyncio.run(ask(routed, api, text))
        assert text_of(api, answer) == f"{decision.model}-1 says so"
        found = told(answer)
        assert api == "anthropic" or (found is not None and found.candidate == decision.candidate)
    answer = asyncio.run(ask(routed, api, EASY, model=f"dear-{api}"))
    assert text_of(api, answer) == f"dear-{api}-1 says so"


@pytest.mark.parametrize("api", APIS)
def test_an_answer_that_is_not_kept_is_never_seen(api: str, provider: Provider) -> None:
    routed = route(router(provider), chained(api, told_apart=True))
    assert text_of(api, asyncio.run(ask(routed, api, EASY))) == f"dear-{api}-1 says so"
    assert provider.models == [f"cheap-{api}-1", f"dear-{api}-1"]


def test_what_is_not_awaited_is_routed_too(provider: Provider) -> None:
    routed = route(router(provider), chained("openai_chat", told_apart=True))
    answer = routed.completion(model=MODEL, messages=[{"role": "user", "content": EASY}])
    assert text_of("openai_chat", answer) == "dear-openai_chat-1 says so"
    provider.requests.clear()
    stream = routed.completion(model=MODEL, messages=[{"role": "user", "content": EASY}], stream=True)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    found = told(stream)
    assert said.strip() == "cheap-openai_chat-1 says so" and provider.models == ["cheap-openai_chat-1"]
    assert found is not None and found.escalation == STREAMED


def test_a_session_stops_at_its_budget_and_tools_are_no_answer(provider: Provider) -> None:
    routed = route(router(provider), choosing(), session_turns=2)
    named = {"metadata": {"session_id": "s"}}
    for _ in range(2):
        answer = asyncio.run(ask(routed, "openai_chat", HARD, tools=TOOLS["openai_chat"], **named))
        assert answer.choices[0].message.tool_calls[0].function.name == "weather"
    with pytest.raises(BudgetExceeded):
        asyncio.run(ask(routed, "openai_chat", HARD, litellm_session_id="s"))
    asyncio.run(ask(routed, "openai_chat", HARD, litellm_session_id="t"))


def test_a_conversation_that_the_provider_keeps_is_a_session_of_one_key() -> None:
    named, key = {"conversation": {"id": "conv_1"}}, SimpleNamespace(token="k")
    session = router_lab.integrations.litellm._session
    assert (session(named), session(named, key)) == ("conv_1", "k conv_1")
    assert (
        session({**named, "litellm_session_id": "s"}, key) == "k s" and session({"conversation": 3}) is None
    )


def test_who_is_away_gives_way(provider: Provider) -> None:
    provider.down = {"cheap-openai_chat-1"}
    found = told(asyncio.run(ask(route(router(provider), choosing()), "openai_chat", EASY)))
    assert (
        found is not None and found.code == "fallback" and found.stages == (Candidate("cheap-openai_chat"),)
    )


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_of_litellms_own_fallback_is_said_to_be_one(
    api: str, stream: bool, provider: Provider
) -> None:
    provider.down = {f"cheap-{api}-1"}
    own = router(provider, fallbacks=[{f"cheap-{api}": [f"dear-{api}"]}])
    routing = Routing(chained(api, told_apart=True), session_usd=1.0)

    async def made() -> Any:
        answer = await ask(route(own, routing), api, EASY, stream=stream)
        if stream:
            [event async for event in answer]
        return told(answer)

    found = asyncio.run(made())
    if api == "anthropic" and not stream:  # a dict takes no mark
        assert found is None
    else:
        assert found is not None and found.answered_by == f"dear-{api}" and "in its place" in found.reason
    assert provider.models.count(f"dear-{api}-1") == 1  # not judged, so the chain asks nobody after it


@pytest.mark.parametrize("api", [*APIS, "not awaited"])
def test_a_fallback_within_a_stream_is_said_to_be_one(api: str, tmp_path: Path) -> None:
    """LiteLLM goes on in the same stream where it breaks off before it says anything."""
    log, named = DecisionLog(tmp_path / "log.jsonl"), "openai_chat" if api == "not awaited" else api
    with Failing() as provider:
        provider.faults = {f"cheap-{named}-1": breaking}
        routed = route(router(provider, fallbacks=[{f"cheap-{named}": [f"dear-{named}"]}]),
                       Routing(choosing(), log=log))  # fmt: skip

        async def awaited() -> Any:
            answer = await ask(routed, api, EASY, stream=True)
            before = told(answer)
            assert before is not None and before.answered_by is None
            [event async for event in answer]
            return answer

        if api == "not awaited":
            messages = [{"role": "user", "content": EASY}]
            answer = routed.completion(model=MODEL, messages=messages, stream=True)
            list(answer)
        else:
            answer = asyncio.run(awaited())
        assert provider.models == [f"cheap-{named}-1", f"dear-{named}-1"]
    found = told(answer)
    assert found is not None and found.answered_by == f"dear-{named}" and "in its place" in found.reason
    [row] = read_decisions(log.path)
    assert [(one.model, one.code) for one in row["then"]] == [(f"dear-{named}", "replaced")]


@pytest.mark.parametrize("named", ["again", "by its id"])
@pytest.mark.parametrize("api", APIS)
def test_a_fallback_to_the_candidates_own_group_is_nobody_else(api: str, named: str) -> None:
    """Whichever name the configuration has for it."""

    def once(provider: Failing, path: str, body: dict[str, Any]) -> Reply:
        provider.faults.clear()
        return failing("down")(provider, path, body)

    with Failing() as provider:
        provider.faults = {f"cheap-{api}-1": once}
        own = router(provider, model_group_alias={"again": f"cheap-{api}"})
        [deployment] = own.get_model_list(f"cheap-{api}")
        by = named if named == "again" else deployment["model_info"]["id"]
        own.fallbacks = [{f"cheap-{api}": [by]}]
        routing = Routing(choosing(), session_tokens=10_000)
        answer = asyncio.run(ask(route(own, routing), api, EASY, litellm_session_id="s"))
    assert text_of(api, answer) == f"cheap-{api}-1 says so" and not provider.faults
    found, budget = told(answer), routing.sessions.budget("s")
    assert api == "anthropic" or (found is not None and found.answered_by is None)
    assert budget is not None and 0 < budget.tokens < 64  # what was used


def test_two_hundred_at_once_across_hot_reloads(tmp_path: Path, provider: Provider) -> None:
    folder = tmp_path / "policies"
    paths = [save_revision(choosing(worse=worse), folder) for worse in (0.3, 0.4)]
    publish(paths[0], force=True)
    store = PolicyStore(folder, default=(NAMES[0], None))
    assert store.check()
    routed = route(router(provider), Routing(store, session_turns=50))

    async def one(number: int) -> str:
        text, kind = ((EASY, "cheap"), (HARD, "dear"))[number % 2]
        answer = await ask(routed, "openai_chat", text, litellm_session_id=f"s{number}")
        found = told(answer)
        assert found is not None and found.candidate == Candidate(f"{kind}-openai_chat")
        assert text_of("openai_chat", answer) == f"{found.candidate.model}-1 says so"
        return found.revision

    async def storm() -> list[str]:
        done = asyncio.Event()

        async def swapping() -> None:
            place = 0
            while not done.is_set():
                place = 1 - place
                await asyncio.to_thread(publish, paths[place], force=True)
                await asyncio.to_thread(store.check)

        swaps = asyncio.create_task(swapping())
        found = await asyncio.gather(*map(one, range(200)))
        done.set()
        await swaps
        return found

    revisions = asyncio.run(storm())
    assert len(revisions) == 200 == len(provider.requests)
    assert {one[:12] for one in revisions} <= {path.name[:12] for path in paths}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"policy": "nowhere"}, "nowhere"),
        ({"policy": "nowhere", "polcy": 1}, "key 'polcy' is not one of"),
        ({}, "`policy` is missing"),
    ],
)
def test_a_configuration_that_is_wrong_refuses_what_is_routed_and_nothing_else(
    settings: dict[str, Any], said: str
) -> None:
    plugin = RouterLab(settings)
    assert plugin.health()["ok"] is False and said in plugin.health()["error"]

    async def hook(model: str) -> Any:
        return await plugin.async_pre_call_hook(None, None, {"model": model, "messages": []}, "acompletion")

    assert asyncio.run(hook("gpt-5")) is None and asyncio.run(hook("router_labs")) is None
    with pytest.raises(HTTPException, match=said) as caught:
        asyncio.run(hook(MODEL))
    assert caught.value.status_code == 503


def test_sessions_of_two_keys_are_two_though_they_have_one_name(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from litellm.proxy._types import UserAPIKeyAuth

    plugin = RouterLab({"policy": str(save_policy(choosing(), tmp_path / "policy")), "session_turns": 1})
    monkeypatch.setattr(router_lab.integrations.litellm, "_router", lambda: router(provider))
    data = {"model": MODEL, "messages": [{"role": "user", "content": EASY}], "litellm_session_id": "1"}

    def ask(caller: UserAPIKeyAuth) -> Any:
        return asyncio.run(plugin.async_pre_call_hook(caller, None, {**data}, "acompletion"))

    assert ask(UserAPIKeyAuth(token="a")) and ask(UserAPIKeyAuth(token="b"))
    with pytest.raises(HTTPException, match="budget") as caught:
        ask(UserAPIKeyAuth(token="a"))
    assert caught.value.status_code == 402


def test_an_alias_is_a_candidates_name_in_the_proxy_too(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = RouterLab({"policy": str(save_policy(choosing("openai_chat"), tmp_path / "policy"))})
    own = Router(
        model_list=[{"model_name": "real", "litellm_params": {"model": "openai/cheap-1", "api_key": "x"}}],
        model_group_alias={"cheap": "real"},
    )
    monkeypatch.setattr(router_lab.integrations.litellm, "_router", lambda: own)
    data = {"model": MODEL, "messages": [{"role": "user", "content": EASY}]}
    request = asyncio.run(plugin.async_pre_call_hook(None, None, data, "acompletion"))
    assert request is not None and request["model"] == "cheap"


class Refuses(CustomLogger):
    """Another callback of the proxy, which stops the request behind ours."""

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: Any, call_type: str
    ) -> None:
        raise HTTPException(429, "over somebody's limit")


class Breaks:
    """An answer that fails wherever it is looked at."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


@pytest.mark.filterwarnings("ignore")  # of LiteLLM's own
def test_what_another_callback_refuses_is_given_back_and_an_answer_that_breaks_is_kept(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = RouterLab({"policy": str(save_policy(choosing(), tmp_path / "policy")), "session_turns": 1})
    from litellm.proxy._types import UserAPIKeyAuth
    from litellm.proxy.utils import ProxyLogging

    monkeypatch.setattr(router_lab.integrations.litellm, "_router", lambda: router(provider))
    host, caller = ProxyLogging(user_api_key_cache=DualCache()), UserAPIKeyAuth()

    def asked() -> dict[str, Any]:
        messages = [{"role": "user", "content": EASY}]
        return {"model": MODEL, "messages": messages, "metadata": {}, "litellm_session_id": "s"}

    async def refused() -> None:
        data = asked()
        with pytest.raises(HTTPException) as caught:
            await host.pre_call_hook(user_api_key_dict=caller, data=data, call_type="acompletion")
        assert caught.value.status_code == 429
        await host.post_call_failure_hook(
            request_data=data, original_exception=caught.value, user_api_key_dict=caller
        )

    async def refused_behind_its_answer() -> None:
        data = asked() | {"litellm_session_id": "guarded"}
        sent = await host.pre_call_hook(user_api_key_dict=caller, data=data, call_type="acompletion")
        await host.post_call_failure_hook(
            request_data=sent,
            original_exception=HTTPException(400, "not to be shown"),
            user_api_key_dict=caller,
        )

    async def answered() -> None:
        sent = await host.pre_call_hook(user_api_key_dict=caller, data=asked(), call_type="acompletion")
        answer = Breaks()
        assert await plugin.async_post_call_success_hook(sent, caller, answer) is answer

    monkeypatch.setattr(litellm, "callbacks", [plugin, Refuses()])
    for _ in range(3):  # of one turn that the session has
        asyncio.run(refused())
    monkeypatch.setattr(litellm, "callbacks", [plugin])
    asyncio.run(refused_behind_its_answer())
    guarded = plugin.gateway.routing.sessions.budget("guarded")
    assert guarded is not None and (guarded.turns, guarded._held_tokens) == (1, 0) and guarded.tokens > 64
    asyncio.run(answered())
    budget = plugin.gateway.routing.sessions.budget("s")
    assert budget is not None and (budget.turns, budget._held_tokens) == (1, 0)
    assert not plugin.gateway._kept
