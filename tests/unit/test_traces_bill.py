"""The bill of traces by hand: tasks, loops and what bounds would have stopped, repeats, sources, and its words."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.config import Prices
from router_lab.prices import PriceTable, Tokens
from router_lab.report.traces import trace_bill
from router_lab.report.traces_page import bill_lines, bill_page, sentences
from router_lab.traces import Message, Priced, ToolUse, TracedCall, Traces, price_calls, undivided
from router_lab.traces.dollars import full_name, price_names
from router_lab.traces.repeats import near_groups, repeats_of
from router_lab.traces.tasks import bound, bounds, looping, tasks_of
from tests.trace_exports import MODEL, prices

BEGIN = dt.datetime(2026, 10, 1, 8, tzinfo=dt.UTC)


def call(session: str | None = None, minute: float = 0, text: str = "", **more: Any) -> TracedCall:
    asked = (Message("user", text),) if text else ()
    fields: dict[str, Any] = {"started": BEGIN + dt.timedelta(minutes=minute), "messages": asked, **more}
    return TracedCall("f", f"line {minute}", MODEL, session=session, **fields)


def paid(
    usd: float | None, session: str | None = None, minute: float = 0, text: str = "", **more: Any
) -> Priced:
    return Priced(call(session, minute, text, **more), usd, None, "source")


def agent(session: str, turns: int, *, same: int = 0, ends: str = "stop") -> list[Priced]:
    """A task of $1 a call: each but the last uses a tool, the first `same` of them with the same arguments."""
    made = []
    for at in range(turns):
        tool = ToolUse("look", "{}" if at < same else f'{{"n": {at}}}')
        last = at == turns - 1
        made.append(
            paid(1.0, session, at, behind=() if last else (tool,), finish=ends if last else "tool_calls")
        )
    return made


def test_calls_become_tasks_by_session_else_by_trace() -> None:
    calls = [
        paid(1.0, "s1", 3), paid(2.0, "s1", 1), paid(4.0, None, 2, trace="t"), paid(8.0, None, 4, trace="t"), paid(16.0),
    ]  # fmt: skip
    assert [(t.key, t.usd, t.turns) for t in tasks_of(calls)] == [
        ("call 4", 16.0, 1), ("session s1", 3.0, 2), ("trace t", 12.0, 2),
    ]  # fmt: skip
    both = [paid(1.0, "s", 0, trace="a"), paid(1.0, "s", 1, trace="b")]
    assert [len(tasks_of(both, by)) for by in ("session", "trace")] == [1, 2]


def test_a_task_loops_by_its_tools_or_by_its_turns() -> None:
    """Medians of a route of 4 tasks: 4, 3, 2, 13 turns, half 3.5 or fewer: 13 > max(10, 10.5)."""
    tasks = tasks_of([*agent("a", 4, same=3), *agent("b", 3, same=2), *agent("c", 2), *agent("d", 13)])
    assert [(one.task.key, one.rule) for one in looping(tasks)] == [
        ("session a", "called look 3 times with the same arguments"),
        ("session d", "13 turns, where half of its route's tasks have 3.5 or fewer"),
    ]


def test_bounds_stop_loops_and_say_what_they_lose() -> None:
    """Ten tasks of 3 turns end well; one of 12 and one of 20 loop, and the one of 12 ends well. No success is lost
    from 12 turns on: 8 calls of the longest are spared. 3 turns spare 9 + 17 and lose one of 11, over 5 %."""
    calls = [one for name in "abcdefghij" for one in agent(name, 3)]
    tasks = tasks_of([*calls, *agent("x", 12, same=5), *agent("y", 20, same=5, ends="length")])
    found = looping(tasks)
    assert [one.task.key for one in found] == ["session x", "session y"]
    assert bounds(tasks, found) == [(12, 1, 8.0, 0, 11)]
    assert bound(tasks, found, 3) == (3, 2, 26.0, 1, 11)
    assert bounds(tasks, []) == []


def test_a_call_is_a_repeat_of_what_was_answered_before() -> None:
    """Of five equal requests the failed one is neither; another model's is none; two orders are near."""
    calls = [
        paid(1.0, text="Ship the order?", minute=0, error="down"), paid(2.0, text="Ship the order?", minute=1),
        paid(4.0, text="Ship the order?", minute=2), paid(8.0, text="Ship the order?", minute=3, route="other"),
        paid(None, text="Ship the order?", minute=4), paid(16.0, key="k"), paid(32.0, key="k"), paid(64.0),
    ]  # fmt: skip
    found = repeats_of(calls)
    assert (found.exact, found.exact_usd, found.told, found.calls) == (3, 36.0, 6, 8)


LONG_QUESTION = (
    "Please tell me by which day the parcel with number {} will arrive at our house in the old town"
)


def test_near_duplicates_are_told_apart_from_repeats() -> None:
    """Others around them, lest their words be common in the route."""
    words = "red blue green tall short wide narrow quick slow bright dark warm cold new old"
    others = [f"{word} question about something else, number {at}" for at, word in enumerate(words.split())]
    texts = [LONG_QUESTION.format(17), LONG_QUESTION.format(18), *others]
    found = repeats_of([paid(1.0, text=text, minute=at) for at, text in enumerate(texts)])
    assert found.exact == 0 and found.near >= 1 and found.near_usd == pytest.approx(found.near)
    groups = near_groups(["a"] * len(texts), texts)
    assert groups[0] == groups[1] == 0
    assert near_groups(["a", "b", "a"], ["x", "x", "x"]) == [0, 1, 0]
    assert near_groups([], []) == []


def test_the_bill_by_hand() -> None:
    """Over two days and an hour: tasks of $3, $1 and $6, one of which fails and costs its $6."""
    calls = [
        paid(1.0, "a", 0, route="chat"), paid(2.0, "a", 10, route="chat"), paid(1.0, "b", 60, route="mail"),
        paid(6.0, "c", 48 * 60, route="mail", error="down", seconds=3600.0), paid(None, "d", 5, route="mail"),
    ]  # fmt: skip
    bill = trace_bill(calls)
    assert (bill.calls, bill.tasks, bill.usd, bill.unpriced) == (5, 4, 10.0, 1)
    assert bill.days == pytest.approx(49 / 24)
    assert bill.month == pytest.approx(10 / (49 / 24) * 365.25 / 12)
    assert (bill.p50, bill.p95) == (3.0, 6.0)
    assert [(r.name, r.calls, r.tasks, r.usd, r.unpriced) for r in bill.routes] == [
        ("mail", 3, 3, 7.0, 1), ("chat", 2, 1, 3.0, 0),
    ]  # fmt: skip
    assert (bill.failed, bill.failed_tasks, bill.done) == ((1, 6.0), (1, 6.0), 3)
    assert sum(bill.sources["mail"].values()) == 7.0


def test_sources_are_told_where_tokens_and_prices_are() -> None:
    """Reading 1,000 and 1,600 tokens at $2 a million, writing 100 each at $8: of the second call 1,000 are the first
    prompt, 100 its answer sent again, 500 are new."""
    tokens = [Tokens(input=1000, output=100), Tokens(input=1600, output=100)]
    calls = [call("s", at, tokens=one) for at, one in enumerate(tokens)]
    bill = trace_bill(price_calls(calls, prices())[0])
    assert bill.usd == pytest.approx(0.0052 + 0.0016)
    assert bill.sources["all"] == pytest.approx(
        {"frame": 0.004, "history": 0.0002, "results": 0.001, "answers": 0.0016, "unknown": 0.0}
    )


def test_a_first_message_is_a_first_prompt_wherever_in_a_session_it_stands() -> None:
    """Two questions of 400 characters, 100 and 300 tokens, in one session: no part of the second is new in a later prompt.
    Without texts, or with what is new of them alone, 180 tokens are."""
    tokens = [Tokens(input=100, output=20), Tokens(input=300, output=20)]
    for texts, new in (
        (("x" * 400, "y" * 400), 0.0),
        (("", ""), 180.0),
        (("x" * 400, "just what is new"), 180.0),
    ):
        calls = [
            paid(1.0, "s", at, text, tokens=one)._replace(read=one.input * 1e-6)
            for at, (one, text) in enumerate(zip(tokens, texts, strict=True))
        ]
        (found,) = trace_bill(calls).sources.values()
        assert found["results"] == pytest.approx(new * 1e-6)
        assert found["frame"] == pytest.approx((400 if new == 0 else 200) * 1e-6)
        assert sum(found.values()) == pytest.approx(2.0)


def test_a_month_needs_a_day_and_times() -> None:
    assert trace_bill([paid(1.0), paid(1.0, minute=1439)]).month is None
    assert trace_bill([paid(1.0), paid(1.0, minute=1440)]).month == pytest.approx(2 * 365.25 / 12)
    timeless = trace_bill([paid(1.0, started=None)])
    assert (timeless.days, timeless.month) == (None, None)
    assert any("tell no time" in one for one in sentences(timeless))


def test_the_bill_is_plain_data_words_and_a_page() -> None:
    calls = [one for name in "abcdefghij" for one in agent(name, 3)]
    bill = trace_bill([*calls, *agent("<y>", 20, same=5, ends="length"), paid(None, "z", text="?")])
    json.dumps(bill.to_json(), allow_nan=False)
    said = "\n".join(bill_lines(bill))
    assert "max_turns 3 would have stopped 1 of them and spared $17.00; none of the tasks" in said
    assert "1 call has no known dollars" in said
    made = bill_page(
        bill, Traces(tuple(one.call for one in calls), (), Counter(), {"f": "chat"}), {"m": "no price"}
    )
    assert (
        "<svg" in made
        and "<y>" not in made
        and "&lt;y&gt;" in made
        and "m: no dollars known: no price" in made
    )


def test_dollars_are_the_sources_own_before_prices() -> None:
    tokens = Tokens(input=1_000_000, output=1_000_000)
    calls = [call(tokens=tokens, usd=5.0), call(tokens=tokens), call(tokens=tokens, tier="batch"),
             call(error="down"), call(), call(usd=0.0)]  # fmt: skip
    priced, lacking = price_calls(calls, prices())
    assert [one.usd for one in priced] == pytest.approx([5.0, 10.0, 5.0, 0.0, None, 0.0])
    assert priced[0].read == pytest.approx(1.0)
    assert lacking == {MODEL: "the source counts no tokens of it"}
    unknown = price_calls([call(tokens=tokens)], type(prices())({}, default=False))
    assert unknown[0][0].usd is None and "prices add" in unknown[1][MODEL]


@pytest.mark.parametrize(
    ("model", "provider", "names"),
    [("gpt-5", None, ["gpt-5", "openai/gpt-5"]), ("gpt-5", "azure.ai.openai", ["gpt-5", "azure/gpt-5"]),
     ("vertex_ai/gemini-2.5-pro", None, ["vertex_ai/gemini-2.5-pro", "google/gemini-2.5-pro"]),
     ("ours", "acme", ["ours", "acme/ours"]), ("odd", None, ["odd"]), ("mapped", "x", ["openai/gpt-5"]),
     ("openai/gpt-5", "openai", ["openai/gpt-5"]), ("ours/llama-x", "ours", ["ours/llama-x"]),
     ("azure/gpt-5", "azure", ["azure/gpt-5"]), ("bedrock/anthropic.x", "bedrock", ["bedrock/anthropic.x"]),
     ("anthropic.x", "aws.bedrock", ["anthropic.x", "bedrock/anthropic.x"]),
     ("openrouter/openai/gpt-5", "openrouter", ["openrouter/openai/gpt-5"]),
     ("openai/gpt-5", "openrouter", ["openrouter/openai/gpt-5", "openai/gpt-5"]),
     ("gemini/gemini-2.5-pro", "gemini", ["gemini/gemini-2.5-pro", "google/gemini-2.5-pro"])],
)  # fmt: skip
def test_under_which_names_a_model_is_priced(model: str, provider: str | None, names: list[str]) -> None:
    assert price_names(model, provider, {"mapped": "openai/gpt-5"}) == names


PARTS = st.text(alphabet="abcxyz-.", min_size=1, max_size=6)


@given(PARTS, PARTS)
def test_a_name_that_begins_with_its_provider_is_not_given_it_again(provider: str, model: str) -> None:
    once = full_name(f"{provider}/{model}", provider)
    assert once.count("/") == 1 and full_name(once, provider) == once
    assert price_names(once, provider, {}) == [once]


def test_calls_without_a_price_of_what_they_used_leave_the_others_known() -> None:
    """Three calls of one task, of which the source tells $1 each. At $2 and $8 a million the first has read for .002 and
    written for .0008 of .0028; the second has cached tokens, which the prices do not know."""
    tokens = [Tokens(input=1000, output=100), Tokens(input=100, cache_read=1000, output=100),
              Tokens(input=1600, output=100)]  # fmt: skip
    rows = {
        MODEL: [{"starts": "2026-01-01", "input": 2, "output": 8, "source": "x", "checked": "2026-01-01"}]
    }
    table = PriceTable(Prices.model_validate({"models": rows}).models, where="p.yaml", file="p.yaml")
    priced, lacking = price_calls(
        [call("s", at, tokens=one, usd=1.0) for at, one in enumerate(tokens)], table
    )
    assert lacking == {} and [one.read for one in priced] == [
        pytest.approx(2 / 2.8), None, pytest.approx(3.2 / 4),
    ]  # fmt: skip
    why = undivided(priced)[MODEL]
    assert "used 1000 cache_read tokens" in why
    assert f"router-lab prices add '{MODEL}' --cache-read X --starts 2026-01-01 --prices p.yaml" in why
    # The third repeats the first prompt (1,000 of its 1,600 tokens), sends 200 again, and 400 are new.
    bill = trace_bill(priced)
    assert bill.sources["all"] == pytest.approx({
        "frame": 2 / 2.8 + 0.8 * 1000 / 1600, "history": 0.8 * 200 / 1600, "results": 0.8 * 400 / 1600,
        "answers": 0.8 / 2.8 + 0.2, "unknown": 1.0,
    })  # fmt: skip
    page = bill_page(bill, Traces((), (), Counter(), {}), {}, undivided(priced))
    assert "what some of its dollars were paid for is not known" in page
    assert undivided(price_calls([call("s", tokens=tokens[0])], table)[0]) == {}
