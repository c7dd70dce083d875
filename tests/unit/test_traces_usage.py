"""Tokens of one call by whoever counted them: each usage as its source documents it, all of one and the same call."""

from __future__ import annotations

from typing import Any

import pytest

from router_lab.prices import Tokens
from router_lab.traces.spans import Span, calls_of_spans
from router_lab.traces.usage import usage_tokens

READ, THOUGHT = {"input": 200, "cache_read": 800, "output": 100}, {"reasoning": 40}
WROTE = {"input": 200, "cache_write_5m": 800, "output": 100}


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100,
          "prompt_tokens_details": {"cached_tokens": 800}, "completion_tokens_details": {"reasoning_tokens": 40}},
         READ | THOUGHT),
        ({"input_tokens": 200, "cache_read_input_tokens": 800, "output_tokens": 100}, READ),
        ({"promptTokenCount": 1000, "cachedContentTokenCount": 800, "candidatesTokenCount": 60,
          "thoughtsTokenCount": 40, "totalTokenCount": 1100}, READ | THOUGHT),
        ({"prompt_token_count": 1000, "cached_content_token_count": 800, "candidates_token_count": 60,
          "thoughts_token_count": 40}, READ | THOUGHT),
        ({"promptTokenCount": 150, "toolUsePromptTokenCount": 50, "candidatesTokenCount": 100,
          "totalTokenCount": 300}, {"input": 200, "output": 100}),
        # Bedrock's Converse counts cached tokens beside the input, with a total or without.
        ({"inputTokens": 200, "outputTokens": 100, "cacheReadInputTokens": 800, "cacheWriteInputTokens": 0,
          "totalTokens": 1100}, READ),
        ({"inputTokens": 200, "outputTokens": 100, "cacheReadInputTokenCount": 0,
          "cacheWriteInputTokenCount": 800}, WROTE),
        # The AI SDK and LangChain count them inside.
        ({"inputTokens": 1000, "outputTokens": 100, "cachedInputTokens": 800, "reasoningTokens": 40,
          "totalTokens": 1100}, READ | THOUGHT),
        ({"inputTokens": 1000, "inputTokenDetails": {"noCacheTokens": 200, "cacheReadTokens": 800},
          "outputTokens": 100, "outputTokenDetails": {"textTokens": 60, "reasoningTokens": 40}}, READ | THOUGHT),
        ({"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100,
          "input_token_details": {"cache_read": 800}, "output_token_details": {"reasoning": 40}}, READ | THOUGHT),
        ({"input_tokens": 1000, "output_tokens": 100,
          "input_token_details": {"cache_read": 0, "cache_creation": 800}}, WROTE),
        # xAI counts reasoning beside the output; the total tells.
        ({"prompt_tokens": 1000, "completion_tokens": 60, "total_tokens": 1100,
          "prompt_tokens_details": {"cached_tokens": 800}, "completion_tokens_details": {"reasoning_tokens": 40}},
         READ | THOUGHT),
        # Under two names, and nothing under the first.
        ({"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 0},
          "prompt_cache_hit_tokens": 800}, READ),
        ({"billed_units": {"input_tokens": 200, "output_tokens": 100},
          "tokens": {"input_tokens": 260, "output_tokens": 100}}, {"input": 200, "output": 100}),
    ],
)  # fmt: skip
def test_a_usage_by_hand(usage: dict[str, Any], tokens: dict[str, int]) -> None:
    assert usage_tokens(usage) == Tokens(**tokens)


@pytest.mark.parametrize(
    "more",
    [
        {"ai.usage.cachedInputTokens": 800, "ai.usage.reasoningTokens": 40},
        {
            "ai.usage.inputTokenDetails.cacheReadTokens": 800,
            "ai.usage.outputTokenDetails.reasoningTokens": 40,
        },
    ],
)
def test_a_span_of_the_ai_sdk_by_hand(more: dict[str, Any]) -> None:
    told = {"ai.model.id": "m", "ai.usage.inputTokens": 1000, "ai.usage.outputTokens": 100, **more}
    (call,), left = calls_of_spans([Span("1", "t", "s", None, "ai.generateText", None, None, told)], "f")
    assert call.tokens == Tokens(**READ, **THOUGHT) and not left
