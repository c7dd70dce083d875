"""A caller's request with a decision in it, and what is read of an answer: dicts and models of SDKs alike."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.integrations import requesting
from router_lab.integrations.answers import Answer, read, used
from router_lab.integrations.requesting import (
    MEDIA_TOKENS,
    conversation,
    conversation_of,
    kept_as,
    longest,
    opening,
    request_of,
    several,
    shortened,
    size_of,
)
from router_lab.integrations.sessions import Used
from router_lab.runtime.budget import Budget
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.model import Prices
from router_lab.runtime.store import PolicyStore
from tests.integrations.worlds import APIS, EASY, choosing

ASKED = [{"role": "user", "content": EASY}]


def asked(api: str, body: dict[str, Any], frame: Any = "measured", **request: Any) -> Any:
    return request_of(choosing(api, **request).decide(EASY, suite="triage"), api, body, frame)


@pytest.mark.parametrize(
    ("body", "whole", "kept"),
    [
        ({}, None, None), ({"previous_response_id": "r"}, None, "r"), ({"conversation": "c"}, "c", "c"),
        ({"conversation": {"id": "c"}}, "c", "c"), ({"conversation": None, "previous_response_id": ""}, None, None),
        ({"conversation": {"id": 3}, "previous_response_id": 7}, None, None),
        ({"conversation": SimpleNamespace(id="c")}, None, None),
    ],
)  # fmt: skip
def test_by_what_the_provider_keeps_a_conversation(
    body: dict[str, Any], whole: str | None, kept: str | None
) -> None:
    assert (conversation_of(body), kept_as(body)) == (whole, kept)


def test_how_many_answers_are_asked_for() -> None:
    assert [several(one) for one in (None, 1, 3, 0, -2, True, 2.0, "3")] == [1, 1, 3, 1, 1, 1, 1, 1]


def test_what_was_measured_takes_the_callers_place_and_the_rest_goes_on() -> None:
    body = {
        "model": "router_lab/triage", "messages": ASKED, "temperature": 0.2, "max_completion_tokens": 9,
        "reasoning_effort": "high", "metadata": {"team": "a"}, "response_format": {"type": "json_object"},
        "stream": True, "timeout": 5.0,
    }  # fmt: skip
    found, left = asked("openai_chat", body)
    assert found == {
        "model": "cheap-1", "max_tokens": 64, "messages": ASKED, "stream": True, "metadata": {"team": "a"},
        "response_format": {"type": "json_object"}, "timeout": 5.0,
    }  # fmt: skip
    assert left == ("max_completion_tokens", "reasoning_effort", "temperature")


def test_parts_of_an_argument_that_are_the_policys_are_left_out() -> None:
    body = {
        "model": "m",
        "input": EASY,
        "text": {"verbosity": "low", "format": {"type": "text"}},
        "include": ["b"],
    }
    found, left = asked("openai_responses", body)
    assert found["text"] == {"format": {"type": "text"}} and left == ("text",)
    assert found["include"] == ["b"] and found["input"] == ASKED
    body = {
        "model": "m",
        "messages": ASKED,
        "output_config": {"effort": "max"},
        "max_tokens": 5,
        "metadata": {},
    }
    found, left = asked("anthropic", body)
    assert found == {"model": "cheap-1", "max_tokens": 64, "messages": ASKED, "metadata": {}}
    assert left == ("max_tokens", "output_config")


@pytest.mark.parametrize(("api", "name"), [("anthropic", "system"), ("openai_responses", "instructions")])
def test_a_system_message_that_the_api_has_apart_is_the_measured_one_or_refused(api: str, name: str) -> None:
    body = {"model": "m", ("input" if name == "instructions" else "messages"): ASKED, name: "Be kind."}
    assert asked(api, body)[0][name] == "Be kind."  # none was measured
    assert asked(api, body, system="Be kind.")[0][name] == "Be kind."
    with pytest.raises(
        PolicyError, match=rf"`{name}` of its own \('Be kind.'\).*'Be brief.'.*frame=\"caller\""
    ):
        asked(api, body, system="Be brief.")
    assert asked(api, body, "caller", system="Be brief.")[0][name] == "Be kind."


def test_the_callers_frame_goes_as_it_is() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    messages = [{"role": "system", "content": "You are an agent."}, *ASKED]
    body = {"model": "m", "messages": messages, "tools": tools, "tool_choice": "auto", "temperature": 1.0}
    found, left = asked("openai_chat", body, "caller", system="Be brief.", reproducible=False)
    assert found == {
        "model": "cheap-1",
        "max_tokens": 64,
        "messages": messages,
        "tools": tools,
        "tool_choice": "auto",
    }
    assert left == ("temperature",)
    with pytest.raises(PolicyError, match="a system message of their own"):
        asked("openai_chat", body, system="Be brief.")


class NotGiven:
    """As the SDKs mark what the caller did not say."""


def test_marks_of_what_was_not_given_are_none_and_models_of_sdks_are_messages() -> None:
    model = SimpleNamespace(to_dict=lambda: {"role": "assistant", "content": "so", "refusal": None})
    body = {"model": "m", "messages": [*ASKED, model, *ASKED], "temperature": NotGiven()}
    found, left = asked("openai_chat", requesting.given(body))
    assert found["messages"] == [*ASKED, {"role": "assistant", "content": "so"}, *ASKED] and left == ()
    assert conversation("openai_chat", {"messages": [object(), *ASKED]}) == ASKED
    assert (
        conversation("openai_responses", {}) == "" and conversation("openai_responses", {"input": "x"}) == "x"
    )


def test_of_a_default_nothing_was_measured_and_the_callers_request_goes() -> None:
    store = PolicyStore("nowhere", default=("spare", None))
    body = {"model": "router_lab", "messages": ASKED, "temperature": 0.2}
    assert request_of(store.decide(EASY), "openai_chat", body) == ({**body, "model": "spare"}, ())


def test_how_long_an_answer_may_be() -> None:
    assert longest("openai_chat", {"max_tokens": 9, "max_completion_tokens": 7}) == 7
    assert longest("anthropic", {}) is None
    assert shortened("openai_chat", {"max_tokens": 9}, 5) == {"max_tokens": 5}
    assert shortened("openai_chat", {"max_tokens": 9}, 50) == {"max_tokens": 9}
    assert shortened("openai_responses", {}, 5) == {"max_output_tokens": 5}
    assert shortened("openai_chat", {}, None) == {}


@given(st.text(), st.lists(st.text()))
def test_no_text_has_more_tokens_than_bytes(text: str, more: list[str]) -> None:
    whole = sum(len(one.encode("utf-8", "replace")) for one in (text, *more))
    assert size_of({"role": "user", "content": [text, *more]}) >= whole


def test_a_picture_counts_as_one() -> None:
    assert size_of({"image_url": "data:image/png;base64," + "A" * 10**6}) == MEDIA_TOKENS
    assert size_of({"a": 1, "b": None, "c": True}) == 3 * (8 + 4)


def test_how_a_conversation_begins() -> None:
    assert opening("a text") is None and opening([]) is None
    assert opening([{"role": "system", "content": "s"}, *ASKED]) == (EASY, False)
    assert opening([*ASKED, {"type": "function_call_output", "output": "1"}]) == (EASY, True)


COMPLETION = {
    "choices": [
        {
            "message": {"role": "assistant", "content": "so"},
            "logprobs": {"content": [{"token": "s", "logprob": -0.2}, {"token": "o", "logprob": -0.4}]},
        }
    ],
    "usage": {
        "prompt_tokens": 2000,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 1500},
    },
}
RESPONSE = {
    "id": "resp_1",
    "output": [
        {"type": "reasoning", "summary": []},
        {"type": "message", "content": [{"type": "output_text", "text": "so", "logprobs": []}]},
    ],
    "usage": {"input_tokens": 20, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 0}},
}
MESSAGE = {
    "content": [{"type": "thinking", "thinking": "…"}, {"type": "text", "text": "so"}],
    "usage": {
        "input_tokens": 3, "output_tokens": 5, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 7,
    },
}  # fmt: skip


def models(value: object) -> object:
    """The same as an SDK holds it."""
    if isinstance(value, dict):
        return SimpleNamespace(**{key: models(item) for key, item in value.items()})
    return [models(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("api", "answer", "found"),
    [
        ("openai_chat", COMPLETION, Answer("so", {"logprob": pytest.approx(-0.3)}, Used(2000, 5, 1500, 2000))),
        ("openai_responses", RESPONSE, Answer("so", {}, Used(20, 5, 0, 0), id="resp_1")),
        ("anthropic", MESSAGE, Answer("so", {}, Used(50, 5, 40, 47))),
    ],
)  # fmt: skip
def test_answers_are_read_as_dicts_and_as_models(api: str, answer: Any, found: Answer) -> None:
    assert read(api, answer) == found
    assert read(api, models(answer)) == found


def test_calls_of_tools_are_seen_and_what_is_nothing_is_unknown() -> None:
    call = {"choices": [{"message": {"content": None, "tool_calls": [{"id": "1"}]}}]}
    assert read("openai_chat", call) == Answer(None, calls_tools=True)
    assert read("openai_responses", {"output": [{"type": "function_call"}]}).calls_tools
    assert read("anthropic", {"content": [{"type": "tool_use"}]}).calls_tools
    for api in APIS:
        assert read(api, None) == read(api, {}) == Answer()
        assert used(api, None) is None
    assert used("openai_chat", {"prompt_tokens": -1, "completion_tokens": "5"}) is None


def test_a_budget_at_other_prices_is_spent_by_all_of_them() -> None:
    """10 tokens in and 5 out cost $30 a million at $1 and $4, and $300 at ten times that: $330e-6 of $.001."""
    whole = Budget(max_usd=0.001, prices=Prices(0.0, 0.0))
    for times in (1, 10):
        part = whole.at(Prices(1.0 * times, 4.0 * times))
        part.reserve(10, max_output_tokens=5).settle(10, 5)
    assert whole.usd == pytest.approx(330e-6) and whole.turns == 2
    known = Prices(1.0, 4.0)
    assert whole.at(known) is whole.at(known) is not whole.at(Prices(1.0, 4.0))
    held = whole.at(Prices(10.0, 40.0)).reserve(10)
    assert held.max_output_tokens == 14  # (670 − 100) / 40
    with pytest.raises(ValueError, match="max_usd needs prices"):
        whole.at(None)
    with pytest.raises(ValueError, match="a team's is spent by its roles"):
        whole.at(Prices(1.0, 1.0)).at(Prices(1.0, 1.0))


@pytest.mark.parametrize("api", ["openai_chat", "openai_responses", "anthropic"])
def test_of_an_answer_that_nobody_judges_what_it_used_alone_is_read(api: str) -> None:
    counts = (
        ("prompt_tokens", "completion_tokens") if api == "openai_chat" else ("input_tokens", "output_tokens")
    )
    answer = {
        "id": "a1", "usage": dict(zip(counts, (7, 3), strict=True)), "content": [{"type": "text", "text": "so"}],
        "choices": [{"message": {"content": "so"}}], "output": [{"type": "message", "content": [{"text": "so"}]}],
    }  # fmt: skip
    id = "a1" if api == "openai_responses" else None
    assert read(api, answer) == Answer("so", {}, Used(7, 3), id=id)
    assert read(api, answer, judged=False) == Answer(used=Used(7, 3), id=id)
