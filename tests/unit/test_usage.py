"""Usage as providers count it, to tokens: `total_tokens` tells which way, and what cannot be told is said."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.prices import Tokens, provider_tools, read_usage, written_for_an_hour


def usage(
    fresh: int, output: int, total: int | None = None, read: int = 0, written: int = 0, reasoning: int = 0
) -> Any:
    told = {"input_tokens": fresh, "output_tokens": output, "input_tokens_cache_read": read,
            "input_tokens_cache_write": written, "reasoning_tokens": reasoning}  # fmt: skip
    return told if total is None else {**told, "total_tokens": total}


@pytest.mark.parametrize(
    ("given", "fresh", "output"),
    [
        # As Inspect documents: 100 + 1000 + 200 + 50 = 1350.
        (usage(100, 50, 1350, 1000, 200, 20), 100, 50),
        # xAI: 100 + 20 + 300 = 420, and 320 tokens are billed as output.
        (usage(100, 20, 420, reasoning=300), 100, 320),
        (usage(100, 320, 420, reasoning=300), 100, 320),
        # Cached inside the input: 1300 + 50 = 1350, of which 1000 were read and 200 written.
        (usage(1300, 50, 1350, 1000, 200), 100, 50),
        # Both: 1300 + 20 + 30 = 1350.
        (usage(1300, 20, 1350, 1000, 200, 30), 100, 50),
        # Reads inside, writes beside: 1100 + 200 + 50; and the other way round: 300 + 1000 + 50.
        (usage(1100, 50, 1350, 1000, 200), 100, 50),
        (usage(300, 50, 1350, 1000, 200), 100, 50),
        # Reads inside and reasoning outside: 1100 + 20 + 30 = 1150.
        (usage(1100, 20, 1150, 1000, 0, 30), 100, 50),
        # Fully cached prompt, inside the input.
        (usage(1000, 50, 1050, 1000), 0, 50),
    ],
)
def test_the_total_tells_how_a_provider_counts(given: dict[str, int], fresh: int, output: int) -> None:
    tokens, doubt = read_usage(given)
    assert doubt is None and tokens is not None
    assert (tokens.input, tokens.output, tokens.reasoning) == (fresh, output, given["reasoning_tokens"])
    assert (tokens.cache_read, tokens.cache_write_5m) == (
        given["input_tokens_cache_read"], given["input_tokens_cache_write"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "fresh", "output", "doubt"),
    [
        (usage(100, 50, 0, 1000), 100, 50, "no total_tokens, which would tell how cached tokens"),
        (usage(100, 50, 0, reasoning=20), 100, 50, "no total_tokens, which would tell how reasoning tokens"),
        (usage(100, 50, 0, 10, 0, 20), 100, 50, "how cached and reasoning tokens"),
        (usage(100, 50, 0), 100, 50, None),
        (usage(100, 50, None, 1000, 0, 20), 100, 50, None),
        # 300 of reasoning cannot be part of an output of 20.
        (usage(100, 20, 0, reasoning=300), 100, 320, None),
        (usage(100, 20, 7, reasoning=300), 100, 320, "a total_tokens with fewer tokens than its parts"),
        # The sum leaves reasoning out that cannot be a part of the output: 100 + 20 and 300 beside.
        (usage(100, 20, 120, reasoning=300), 100, 320, "a total_tokens with fewer tokens than its parts"),
        # A token too many or too few: 100 + 20 with 60 of them read, 100 + 20 + 50 with reasoning outside.
        (usage(100, 20, 119, 60), 40, 20, "they are read by what comes closest"),
        (usage(100, 20, 171, reasoning=50), 100, 70, "they are read by what comes closest"),
        (usage(100, 70, 172, reasoning=50), 100, 70, "they are read by what comes closest"),
        # Gemini counts what its own tools read in the total alone.
        (usage(100, 50, 190), 100, 50, "a total_tokens with more tokens than its parts"),
    ],
)
def test_without_a_total_the_documentation_holds_and_is_said(
    given: dict[str, int], fresh: int, output: int, doubt: str | None
) -> None:
    tokens, said = read_usage(given)
    assert tokens is not None and (tokens.input, tokens.output) == (fresh, output)
    assert (said is None) if doubt is None else (said is not None and doubt in said)


@pytest.mark.parametrize("bad", [math.nan, -1, math.inf, "many", True])
def test_figures_that_cannot_be_are_no_zero(bad: Any) -> None:
    tokens, doubt = read_usage({**usage(1, 1, 2), "input_tokens": bad})
    assert tokens is None and doubt is not None and f"`input_tokens` is {bad!r}" in doubt


@given(*(st.integers(0, 10**9) for _ in range(5)), st.booleans(), st.booleans())
def test_no_way_of_counting_loses_a_token(
    fresh: int, read: int, written: int, spoken: int, thought: int, inside: bool, outside: bool
) -> None:
    total = fresh + read + written + spoken + thought
    told = usage(
        fresh + (read + written) * inside, spoken + thought * (not outside), total, read, written, thought
    )
    tokens, doubt = read_usage(told)
    assert tokens is not None and doubt is None
    assert tokens.prompt + tokens.output == total


def test_other_kinds_of_usage_are_kept_by_name() -> None:
    told = {
        **usage(10, 5, 15),
        "tokens_nobody_has": 7,
        "server": {"web": 2, "none": 0},
        "note": "x",
        "ok": True,
    }
    assert read_usage(told).tokens == Tokens(
        10, 0, 0, 0, 5, other=(("tokens_nobody_has", 7), ("server.web", 2))
    )


def part(tool_type: str, name: str, error: str | None = None) -> dict[str, Any]:
    return {"type": "tool_use", "tool_type": tool_type, "name": name, "error": error}


def test_calls_of_a_providers_tools_are_counted_as_it_charges_them() -> None:
    # Anthropic's search and fetch; OpenAI's search, page opened and container; one that failed is not charged.
    content = [
        part("web_search", "web_search"), part("web_search", "web_fetch"), part("web_search", "search"),
        part("web_search", "open_page"), part("web_search", "GOOGLE_SEARCH_WEB"),
        part("web_search", "web_search", "no"),
        part("web_search", "x_search"), part("code_execution", "code_interpreter"), part("mcp_call", "lookup"),
        {"type": "text", "text": "…"},
    ]  # fmt: skip
    output = {"choices": [{"message": {"content": content}}]}
    counts = {
        "web_search": 3,
        "web_fetch": 1,
        "open_page": 1,
        "x_search": 1,
        "code_execution": 1,
        "lookup": 1,
    }
    assert provider_tools(output) == counts
    assert (
        provider_tools(output, {"usage": {"server_tool_use": {"web_search_requests": 5}}})["web_search"] == 5
    )
    assert provider_tools({"choices": [], "metadata": {"num_search_queries": 4}}) == {"web_search": 4}
    assert provider_tools({"choices": [{"message": {"content": "text"}}]}) == {}


def test_tokens_cached_for_an_hour_are_told_by_the_answer_then_by_the_request() -> None:
    told = usage(10, 5, 515, 0, 500)
    split = {"call": {"response": {"usage": {"cache_creation": {"ephemeral_1h_input_tokens": 300}}}}}
    asked = {
        "call": {"request": {"system": [{"text": "…", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}}
    }
    plain = {"call": {"request": {"system": [{"cache_control": {"type": "ephemeral"}}]}}}
    for event, ttl, hour in [
        (split, "1h", 300),
        (asked, None, 500),
        (plain, None, 0),
        ({}, "1h", 500),
        ({}, "5m", 0),
    ]:
        assert written_for_an_hour(told, event, ttl) == hour
        tokens = read_usage(told, written_1h=hour).tokens
        assert tokens is not None and (tokens.cache_write_5m, tokens.cache_write_1h) == (500 - hour, hour)
    assert written_for_an_hour(None, asked, "1h") == 0
