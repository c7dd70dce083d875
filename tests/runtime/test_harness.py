"""What a harness does to messages, in the forms of all three APIs; by hand, and as rules."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.runtime.errors import PolicyError
from router_lab.runtime.harness import Harness, tool_name


def chat(rounds: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"role": "system", "content": "s"}, {"role": "user", "content": "task"}]
    for i in range(1, rounds + 1):
        call = {"id": f"c{i}", "type": "function", "function": {"name": "read", "arguments": f'{{"n": {i}}}'}}
        found.append({"role": "assistant", "content": f"a{i}", "tool_calls": [call]})
        found.append({"role": "tool", "tool_call_id": f"c{i}", "content": f"result {i}"})
    return found


def said(messages: list[Any]) -> list[str]:
    return [str(message["content"]) for message in messages]


def test_each_policy_by_hand() -> None:
    four = chat(4)
    assert Harness("all").apply(four) == four and Harness("all").apply(four) is not four
    assert said(Harness("x", {"last": 2}).apply(four)) == ["s", "task", "a3", "result 3", "a4", "result 4"]
    gone = "[an earlier result of 8 characters was left out]"
    masked = Harness("x", {"mask": 1}).apply(four)
    assert said(masked) == ["s", "task", "a1", gone, "a2", gone, "a3", gone, "a4", "result 4"]
    assert masked[3]["tool_call_id"] == "c1" and masked[2] is four[2]  # no call loses its result
    kept = {n: said(Harness("x", {"fresh": 3}).apply(chat(n)))[2::2] for n in (2, 3, 4, 5, 6)}
    assert kept == {2: ["a1", "a2"], 3: ["a3"], 4: ["a3", "a4"], 5: ["a3", "a4", "a5"], 6: ["a6"]}
    asked: list[str] = []
    short = Harness("x", {"summarise": 1}).apply(
        chat(2), summarise=lambda text: asked.append(text) or "all well"
    )
    assert said(short) == ["s", "task", "Summary of what was done so far:\nall well", "a2", "result 2"]
    assert asked == ['assistant: a1\nread({"n": 1})\n\ntool: result 1']
    both = said(Harness("x", {"mask": 1}, result_chars=3).apply(chat(2)))
    assert both[3:] == [
        gone,
        "a2",
        "res\n[… 5 more characters were left out]",
    ]  # what is left out is not cut again
    cut = Harness("x", result_chars=3).apply(chat(1))
    assert said(cut)[-1] == "res\n[… 5 more characters were left out]" and cut[1]["content"] == "task"


def test_results_stand_elsewhere_in_anthropics_messages_and_in_responses() -> None:
    anthropic = [
        {"role": "user", "content": "task"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "read", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "long text"}]},
        {"role": "assistant", "content": "done"},
    ]
    masked = Harness("x", {"mask": 1}).apply(anthropic)
    assert masked[2]["content"][0] == {
        "type": "tool_result", "tool_use_id": "t", "content": "[an earlier result of 9 characters was left out]",
    }  # fmt: skip
    responses = [
        {"role": "user", "content": "task"},
        {"type": "function_call", "name": "read", "arguments": "{}", "call_id": "t"},
        {"type": "function_call_output", "call_id": "t", "output": "long text"},
        {"role": "assistant", "content": "done"},
    ]
    assert (
        Harness("x", result_chars=4).apply(responses)[2]["output"]
        == "long\n[… 5 more characters were left out]"
    )
    assert Harness("x", {"last": 1}).apply(responses) == [responses[0], responses[3]]


def test_in_a_text_protocol_the_user_observes() -> None:
    talk = [
        {"role": role, "content": text}
        for role, text in (("user", "task " * 9), ("assistant", "a"), ("user", "seen " * 9))
    ]
    cut = Harness("x", observations="user", result_chars=5).apply(talk)
    assert (
        cut[0] is talk[0]
        and cut[2]["content"].startswith("seen \n[…")
        and Harness("x", result_chars=5).apply(talk) == talk
    )


def test_where_the_user_observes_a_call_keeps_its_result() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": "seen " * 9}
    answer, go = {"role": "assistant", "content": "a"}, {"type": "text", "text": "go on"}
    talk = [
        {"role": "user", "content": "task"},
        answer,
        {"role": "user", "content": [result, go]},
        answer,
    ]
    masked = Harness("x", {"mask": 1}, observations="user").apply(talk)
    left_out = {**result, "content": "[an earlier result of 45 characters was left out]"}
    assert masked[2]["content"] == [left_out, go]


@pytest.mark.parametrize("calls", [None, 5, "f", [5], {"function": 5}, [{"function": {"name": 1}}]])
@pytest.mark.parametrize(
    "content", [None, 5, [None], [{"type": [1]}], [{"type": "tool_result", "content": 5}]]
)
def test_messages_of_any_content_are_let_through(content: object, calls: object) -> None:
    odd = {"role": "assistant", "content": content, "output": content, "tool_calls": calls}
    for policy in ("last", "mask", "fresh", "summarise"):
        for observer in ("tool", "user"):
            harness = Harness("x", {policy: 1}, observer, result_chars=1)
            for kind in ("tool", "user", 5):
                talk = [{**odd, "role": kind}, odd, {**odd, "role": kind}, odd]
                assert harness.apply(talk, summarise=str)[-1] == odd


def test_tools_are_shown_by_name_in_any_form_and_a_missing_one_is_said() -> None:
    tools = [
        {"type": "function", "function": {"name": "read"}},
        {"name": "write", "input_schema": {}},
        {"type": "web_search"},
    ]
    assert [tool_name(tool) for tool in tools] == ["read", "write", "web_search"]
    assert (
        Harness("x", tools=("write",)).shown_tools(tools) == tools[1:2]
        and Harness("x").shown_tools(tools) == tools
    )
    with pytest.raises(PolicyError, match="measured with tool 'grep', which is not among 'read', 'write'"):
        Harness("x", tools=("grep",)).shown_tools(tools)


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"context": {"last": 0}}, "context.last 0 is not a whole number of at least 1"),
        ({"context": {"last": 1, "mask": 1}}, "is not one of last, mask, fresh, summarise"),
        ({"context": {"first": 1}}, "is not one of"),
        ({"observations": "all"}, "observations 'all' is not tool or user"),
        ({"turns": True}, "turns True is not a whole number"),
        ({"tools": ("",)}, "are not names"),
        ({"tools": "read"}, "tools 'read' are not names"),
        ({"tools": 5}, "tools 5 are not names"),
        ({"context": "last"}, "context 'last' is not a mapping"),
        ({"task_args": 5}, "task_args 5 is not a mapping"),
    ],
)
def test_what_is_no_harness_is_refused(fields: dict[str, Any], rule: str) -> None:
    with pytest.raises(PolicyError, match=rule.replace("(", "\\(")):
        Harness("x", **fields)


def test_messages_that_are_none_and_a_summary_without_a_summariser_are_refused() -> None:
    with pytest.raises(PolicyError, match="is not a list of messages"):
        Harness("x").apply("text")  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match="pass `summarise`"):
        Harness("x", {"summarise": 1}).apply(chat(2))
    with pytest.raises(PolicyError, match="unknown key 'turn'"):
        Harness.from_json("x", {"turn": 1})


POLICIES = st.one_of(
    st.none(),
    st.tuples(st.sampled_from(("last", "mask", "fresh")), st.integers(1, 4)).map(lambda p: {p[0]: p[1]}),
)


@given(rounds=st.integers(0, 7), context=POLICIES, chars=st.one_of(st.none(), st.integers(1, 12)))
def test_the_task_stays_no_call_loses_its_result_and_nothing_of_the_caller_changes(
    rounds: int, context: dict[str, int] | None, chars: int | None
) -> None:
    messages = chat(rounds)
    before = json.dumps(messages)
    found = Harness("x", context, result_chars=chars).apply(messages)
    assert json.dumps(messages) == before and found[:2] == messages[:2]
    calls = [call["id"] for m in found for call in m.get("tool_calls", ())]
    assert calls == [m["tool_call_id"] for m in found if m["role"] == "tool"]
    if rounds:
        assert found[-2] is messages[-2]  # the last answer always stays
    once = Harness("x", context, result_chars=chars)
    assert Harness.from_json("x", json.loads(json.dumps(once.to_json()))) == once
