"""A decision in the words of a host that makes the request itself. No host is needed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.integrations.framing import Framed, Said, counted, framed, without
from router_lab.integrations.routing import Asked, Routing
from router_lab.integrations.sessions import Used
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.frame import SLOT
from router_lab.runtime.store import PolicyStore
from tests.integrations.worlds import APIS, EASY, HARD, choosing

USER = {"role": "user", "content": EASY}
CONVERSATION: list[dict[str, Any]] = [
    USER,
    {"role": "assistant", "content": "so"},
    {"role": "user", "content": HARD},
]


def spoken(
    api: str, messages: list[dict[str, Any]], own: str = "", frame: Any = "measured", /, **request: Any
) -> Framed:
    turn = Routing(choosing(api, **request), suite="triage").begin(Asked(messages))
    return framed(turn, api, messages, own, {}, frame)


@pytest.mark.parametrize("api", APIS)
def test_where_nothing_was_measured_around_it_all_goes_as_it_is(api: str) -> None:
    for messages in ([USER], CONVERSATION):
        for system in ("", "Be kind."):
            found = spoken(api, messages, system)
            assert (found.said, found.system) == (None, "")
            assert found.settings == ({"max_tokens": 64} if api != "openai_responses" else {})


@pytest.mark.parametrize("api", APIS)
def test_what_was_measured_is_put_around_it(api: str) -> None:
    frame = {"system": "Be brief.", "few_shot": [{"user": "1 + 1", "assistant": "2"}]}
    shots = (Said("user", "1 + 1"), Said("assistant", "2"))
    found = spoken(api, CONVERSATION, **frame)
    own = tuple(Said(one["role"], one["content"], place) for place, one in enumerate(CONVERSATION))
    assert found.said == (*shots, *own) and found.system == "Be brief."
    assert spoken(api, [USER], **frame).said == (*shots, Said("user", EASY, 0))
    assert spoken(api, [USER], "Be brief.", **frame).system == ""  # the host says it already
    with pytest.raises(PolicyError, match="Be kind"):
        spoken(api, [USER], "Be kind.", **frame)
    assert spoken(api, [USER], "Be kind.", "caller", **frame).said is None


SPOKEN = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["user", "assistant", "tool"]),
            "content": st.sampled_from(["", EASY, HARD, "so"]),
        }
    ),
    min_size=1,
)


@given(SPOKEN, st.sampled_from(APIS), st.sampled_from(["", "Be brief."]))
def test_all_messages_keep_their_order_and_what_is_added_comes_before(
    messages: list[dict[str, Any]], api: str, own: str
) -> None:
    assert spoken(api, messages, own).said is None
    shots = (Said("user", "1 + 1"), Said("assistant", "2"))
    found = spoken(api, messages, own, system="Be brief.", few_shot=[{"user": "1 + 1", "assistant": "2"}])
    whole = tuple(Said(one["role"], one["content"], place) for place, one in enumerate(messages))
    assert found.said == (*shots, *whole)
    assert found.system == ("" if own else "Be brief.")


def test_text_around_the_question_changes_it() -> None:
    content = {"messages": [{"role": "user", "content": f"Q: {SLOT}\nA:"}]}
    assert spoken("openai_chat", [USER], content=content).said == (Said("user", f"Q: {EASY}\nA:"),)
    said = spoken("openai_chat", CONVERSATION, content=content).said
    assert said == (
        Said("user", EASY, 0),
        Said("assistant", "so", 1),
        Said("user", f"Q: {HARD}\nA:", 2, True),
    )


def test_tools_that_were_measured_cannot_be_offered_by_a_host() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    policy = choosing("openai_chat")
    for one in policy.spec.profiles:
        one.request["arguments"]["tools"] = tools
    turn = Routing(policy, suite="triage").begin(Asked([USER]))
    with pytest.raises(PolicyError, match="tools of its own"):
        framed(turn, "openai_chat", [USER], "", {}, "measured")
    assert framed(turn, "openai_chat", [USER], "", {}, "caller").settings == {"max_tokens": 64}


def test_the_callers_own_arguments_are_merged_as_everywhere() -> None:
    turn = Routing(choosing("openai_chat"), suite="triage").begin(Asked([USER]))
    found = framed(turn, "openai_chat", [USER], "", {"temperature": 1.0, "metadata": {"a": "b"}}, "measured")
    assert found.settings == {"max_tokens": 64, "metadata": {"a": "b"}} and found.left_out == ("temperature",)
    assert without({"a": 1, "b": 2, "c": None}, ("b", "c")) == ({"a": 1}, ("b",))


def test_of_a_default_nothing_was_measured() -> None:
    store = PolicyStore("nowhere", default=("spare", None))
    turn = Routing(store).begin(Asked([USER]))
    assert framed(turn, "openai_chat", [USER], "Be kind.", {"seed": 1}, "measured") == Framed(
        None, "", {"seed": 1}
    )


def test_tokens_as_a_host_counts_them() -> None:
    assert counted("anthropic", 3000, 5, 1000, 500) == Used(3000, 5, 1000, 1500)
    assert counted("openai_chat", 3000, 5, 1000) == Used(3000, 5, 1000, 3000)  # all of it is held from now on
    assert counted("openai_responses", 900, 5, 0) == Used(900, 5, 0, 0)
    assert counted("openai_chat", 0, 0, 0) is None
